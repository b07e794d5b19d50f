//! `nsgate edit`: visudo's habit.
//!
//! The file is locked, so `useradd` and its kin wait; the editor has a private copy, in a directory of the caller's that nobody
//! else can enter; what comes back is looked at before it is installed, and what is broken is installed only if somebody says so.
//! A broken nsgate.ini never is: with one, every helper refuses everybody.

mod draft;
mod editor;

use std::io::Read;

use common::policy::text::Quoted;

use super::grant::text_of;
use super::lock::Lock;
use super::place::Place;
use super::replace::Prepared;
use crate::check::{self, Finding, Severity};
use crate::cli::{Edit, PolicyFile};
use crate::failure::{Failure, USAGE};
use crate::output::{Output, complain};
use crate::root::Root;
use draft::Draft;
use editor::Editor;

/// What is shown to a person who has made more mistakes.
const MOST_SHOWN: usize = 20;

/// The answer, and the exit status.
///
/// # Errors
/// Nothing was installed: why.
pub fn run(root: &Root, args: &Edit, out: &mut Output) -> Result<u8, Failure> {
    if out.is_json() {
        return Err(Failure::new("edit is for a person: it has no --json").with_code(USAGE));
    }
    super::may(root)?;
    let path = args.file.path();
    let name = path.rsplit('/').next().unwrap_or(path);
    let editor = Editor::of_the_environment(format!("{} edit {name}", root.nsgate()))?;
    let place = Place::open(root, args.file, true)?;
    let place = place.ok_or_else(|| Failure::new(format!("there is no directory for {path}")))?;
    let mut lock = Lock::take(root, [&place])?;
    // passwd(1) and others need not wait for the editor: it is this file that is ours.
    lock.keep_the_files_only();
    let found = place.read()?;
    place.may_change()?;

    let old = if found.is_some() { text_of(&found).to_vec() } else { template(args.file).to_vec() };
    let mut draft = Draft::make(place.name, &old)?;
    loop {
        let ended = editor.edit(draft.path())?;
        let text = draft.read();
        let new = match text {
            Ok(new) => new,
            Err(why) => {
                return Err(Failure::new(format!("{why}: nothing was installed")));
            }
        };
        let failed = ended.err();
        if new == old {
            let why = failed.map_or(String::new(), |why| format!("{why}; "));
            if !why.is_empty() {
                return Err(Failure::new(format!("{why}{path} is as it was")));
            }
            out.line(format!("{path} is as it was: nothing was changed"));
            return Ok(0);
        }
        let findings = Findings::of(root, args.file, &new, &old, failed);
        findings.say(out);
        out.flush()?;
        let may_be_broken = args.file != PolicyFile::NsgateIni;
        let install = if findings.is_broken() { ask(may_be_broken) } else { Answer::Install };
        match install {
            Answer::Again => continue,
            Answer::Discard => {
                return Err(Failure::new(format!("the changes to {path} were discarded")));
            }
            Answer::Install => {}
        }
        let installed = Prepared::write(&place, found.as_ref(), &new).and_then(Prepared::install);
        if let Err(failure) = installed {
            draft.keep();
            let kept = draft.path().display();
            return Err(Failure::new(format!(
                "{failure}; your text is kept in {kept}; to see how it differs: diff {} {kept}",
                place.word
            )));
        }
        let before = if found.is_some() { format!("; the one before is {path}-") } else { String::new() };
        out.line(format!("{path} is installed{before}"));
        return Ok(0);
    }
}

/// What a file that is not there begins with: remarks that say how to write it.
const fn template(file: PolicyFile) -> &'static [u8] {
    match file {
        PolicyFile::LxcUsernet => include_bytes!("../../defaults/lxc-usernet"),
        PolicyFile::NsgateIni => include_bytes!("../../defaults/nsgate.ini"),
        PolicyFile::Subuid | PolicyFile::Subgid => b"",
    }
}

/// What is to be done with a text that has something wrong with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Again,
    Discard,
    Install,
}

/// Asks. Who says nothing discards.
fn ask(may_be_broken: bool) -> Answer {
    let (broken, known) =
        if may_be_broken { (", (Q) install it broken", "e, x and Q") } else { ("", "e and x") };
    loop {
        complain(&format!("What now? (e)dit again, (x) discard{broken}: "));
        // Byte by byte: what comes after the line is the editor's.
        let mut line = Vec::new();
        loop {
            let mut byte = [0];
            let read = std::io::stdin().read(&mut byte);
            match read {
                Ok(0) | Err(_) if line.is_empty() => {
                    complain("\n");
                    return Answer::Discard;
                }
                Ok(0) | Err(_) => break,
                Ok(_) if byte == *b"\n" => break,
                // Nobody answers at such length.
                Ok(_) if line.len() < 64 => line.extend_from_slice(&byte),
                Ok(_) => {}
            }
        }
        match line.trim_ascii() {
            b"e" | b"E" => return Answer::Again,
            b"x" | b"X" => return Answer::Discard,
            b"Q" if may_be_broken => return Answer::Install,
            other => complain(&format!("\"{}\" is none of {known}\n", Quoted(other))),
        }
    }
}

/// What there is to say of a new text, the worst first.
#[derive(Debug)]
struct Findings(Vec<(Severity, String)>);

impl Findings {
    fn of(root: &Root, file: PolicyFile, new: &[u8], old: &[u8], failed: Option<String>) -> Self {
        let mut said: Vec<_> = failed.into_iter().map(|failed| (Severity::Error, failed)).collect();
        if new.is_empty() && !old.is_empty() {
            // Of this one nobody is asked whether he means it.
            let meant =
                if file == PolicyFile::NsgateIni { "; a remark in it says that it is meant so" } else { "" };
            said.push((Severity::Error, format!("{} would be empty{meant}", file.path())));
        }
        // Next to all else that is known of the machine; if that cannot be looked at, by itself.
        let found = check::draft(root, file, new.to_vec()).unwrap_or_else(|failure| {
            said.push((Severity::Warning, format!("only the file itself was checked: {failure}")));
            check::text(file, new)
        });
        for Finding { rule, place, message, .. } in found {
            let line = place.line.map_or(String::new(), |line| format!(":{line}"));
            said.push((rule.severity, format!("{}{line}: {message} [{}]", place.file, rule.id)));
        }
        said.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
        Self(said)
    }

    fn is_broken(&self) -> bool {
        self.0.iter().any(|(severity, _)| *severity == Severity::Error)
    }

    fn say(&self, out: &mut Output) {
        for (severity, message) in self.0.iter().take(MOST_SHOWN) {
            let word = out.paint(check::report::style(*severity), severity.word());
            out.line(format!("{word}: {message}"));
        }
        let more = self.0.len().saturating_sub(MOST_SHOWN);
        if more > 0 {
            out.line(format!("and {more} more"));
        }
    }
}
