//! `nsgate doctor`: what keeps containers from starting on this machine, or makes them unsafe. One finding is one thing that is
//! wrong, why that matters, and one command if there is one.
//!
//! What is looked at may hang: a file system of somebody else's, a name service. So every probe has a thread of its own, and
//! one that is not done in time is given up; the others' answers count. None of them may see what another one does: so the trial comes
//! after them.

mod files;
mod fix;
mod helpers;
mod kernel;
mod network;
pub mod probe;
mod processes;
mod trial;

use std::io::BufRead;
use std::time::Duration;

use common::policy::text::Quoted;
use nix::fcntl::OFlag;
use serde::Serialize;

use crate::cli::Doctor;
use crate::failure::Failure;
use crate::output::{Output, Style};
use crate::root::Root;
use crate::show::terminal::wrapped;
use fix::Fix;
use probe::{Finding, Probe, Report, State, all_within};

/// What is asked of an image.
const OF_FILES: [Probe; 3] = [
    Probe { name: "policy-files", run: files::policy },
    Probe { name: "subid-source", run: files::subid_source },
    Probe { name: "users", run: files::users },
];

/// What is asked of the live machine besides.
const OF_THE_HOST: [Probe; 10] = [
    Probe { name: "helpers", run: helpers::installed },
    Probe { name: "no-new-privs", run: kernel::no_new_privs },
    Probe { name: "user-namespaces", run: kernel::user_namespaces },
    Probe { name: "lsm", run: kernel::security_modules },
    Probe { name: "proc", run: kernel::proc },
    Probe { name: "bridges", run: network::bridges },
    Probe { name: "accept-ra", run: network::accept_ra },
    Probe { name: "ports", run: network::ports },
    Probe { name: "live-maps", run: processes::live_maps },
    Probe { name: "limits", run: processes::limits },
];

/// What is asked when all others have answered: they would see the user's process and the user namespace that it makes.
const AT_THE_END: [Probe; 1] = [Probe { name: "trial", run: trial::real_map }];

/// After that, who has not answered is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// The answer, and the exit status.
///
/// # Errors
/// `--fix` is not possible here, or the image is none.
pub fn run(root: &Root, args: &Doctor, out: &mut Output) -> Result<u8, Failure> {
    if args.fix {
        if !root.is_live() {
            return Err(Failure::new(
                "--fix mends the machine that it runs on; with --root, run the commands by hand",
            ));
        }
        if !nix::unistd::geteuid().is_root() {
            return Err(Failure::new("--fix needs root; run: sudo nsgate doctor --fix"));
        }
        if out.is_json() && !args.yes {
            return Err(Failure::new("--fix asks before it mends, which JSON leaves no room for; add --yes"));
        }
    }
    if !root.is_live() {
        // Whoever has mistaken the directory is not to hear that all is well.
        let etc = root.open_at("/etc", OFlag::O_PATH | OFlag::O_DIRECTORY);
        etc.map_err(Failure::when(format!("cannot open {}", root.for_shell("/etc"))))?;
    }
    let report = look(root)?;
    if !out.is_json() {
        write(&report, out);
    }
    let mut fixed = Vec::new();
    let fixes: Vec<Fix> = report.findings().filter_map(|finding| finding.fix.clone()).collect();
    if args.fix && fixes.is_empty() && !out.is_json() {
        out.line("");
        out.line("nothing of this can be mended safely without you");
    } else if args.fix && (args.yes || ask(&fixes, out)?) {
        for fix in &fixes {
            let done = fix.apply();
            if !out.is_json() {
                match &done {
                    Ok(()) => out.line(format!("{} {fix}", out.paint(Style::Good, "done:"))),
                    Err(why) => out.line(format!("{} {fix}: {why}", out.paint(Style::Error, "not done:"))),
                }
            }
            fixed.push(Fixed { what: fix.to_string(), error: done.err() });
        }
    }
    // What is so now is what counts.
    let report = if fixed.is_empty() { report } else { look(root)? };
    if out.is_json() {
        out.document(&Document::of(&report, root.is_live(), fixed))?;
    } else if !fixed.is_empty() {
        out.line(format!("now: {}", report.summary()));
    }
    Ok(report.worst().code())
}

/// Where the text stands.
const COLUMN: usize = 9;

fn look(root: &Root) -> Result<Report, Failure> {
    let live = root.is_live();
    let probes = OF_FILES.into_iter().chain(OF_THE_HOST.into_iter().filter(|_| live));
    let at_the_end = AT_THE_END.into_iter().filter(|_| live);
    all_within(PATIENCE, probes.collect(), root)
        .and_then(|report| Ok(report.and(all_within(PATIENCE, at_the_end.collect(), root)?)))
        .map_err(Failure::when("look at the root directory"))
}

fn write(report: &Report, out: &mut Output) {
    let width = out.width();
    for finding in report.findings() {
        let style = match finding.state {
            State::Ok => Style::Good,
            State::Unknown => Style::Faint,
            State::Warning => Style::Warning,
            State::Problem => Style::Error,
        };
        let word = finding.state.word();
        let blanks = " ".repeat(COLUMN.saturating_sub(word.len()));
        for (line, number) in
            wrapped(&format!("{}{}", " ".repeat(COLUMN), finding.what), width).iter().zip(0..)
        {
            match line.strip_prefix(&*" ".repeat(COLUMN)) {
                Some(rest) if number == 0 => out.line(format!("{}{blanks}{rest}", out.paint(style, word))),
                _ => out.line(line),
            }
        }
        if let Some(cause) = &finding.cause {
            wrapped(&format!("{}{cause}", " ".repeat(COLUMN)), width)
                .into_iter()
                .for_each(|line| out.line(line));
        }
        if let Some(command) = &finding.command {
            // Never broken: somebody wants to copy it.
            out.line(format!("{}{}", " ".repeat(COLUMN), out.paint(Style::Strong, &format!("# {command}"))));
        }
    }
    out.line("");
    out.line(report.summary());
}

/// Only a plain yes is one.
fn ask(fixes: &[Fix], out: &mut Output) -> Result<bool, Failure> {
    if fixes.is_empty() {
        return Ok(false);
    }
    out.line("");
    out.line("To be done:");
    fixes.iter().for_each(|fix| out.line(format!("  {fix}")));
    out.line("Do it? [y/N]");
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(Failure::when("standard input"))?;
    let yes = matches!(answer.trim(), "y" | "Y" | "yes");
    if !yes {
        out.line("nothing was changed");
    }
    Ok(yes)
}

/// As `docs/json.md` has it.
#[derive(Debug, Serialize)]
struct Document {
    schema: &'static str,
    verb: &'static str,
    live: bool,
    state: &'static str,
    findings: Vec<JsonFinding>,
    fixed: Vec<Fixed>,
}

#[derive(Debug, Serialize)]
struct JsonFinding {
    probe: &'static str,
    state: &'static str,
    what: String,
    cause: Option<String>,
    command: Option<String>,
    fixable: bool,
}

#[derive(Debug, Serialize)]
struct Fixed {
    what: String,
    error: Option<String>,
}

impl Document {
    fn of(report: &Report, live: bool, fixed: Vec<Fixed>) -> Self {
        let finding = |(probe, finding): (&'static str, &Finding)| JsonFinding {
            probe,
            state: finding.state.word(),
            what: finding.what.clone(),
            cause: finding.cause.clone(),
            command: finding.command.clone(),
            fixable: finding.fix.is_some(),
        };
        let findings = report.all().map(finding).collect();
        Self { schema: "nsgate/1", verb: "doctor", live, state: report.worst().word(), findings, fixed }
    }
}

/// What installs a package of Debian's. None: this is no Debian, and packages have other names.
fn install(package: &str) -> Option<String> {
    crate::tool::find("apt-get").map(|_| format!("apt-get install {package}"))
}

/// A name that somebody chose, for a sentence.
fn quoted(name: &[u8]) -> String {
    Quoted(name).to_string()
}
