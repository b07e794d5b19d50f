//! `nsgate gc`: takes out what interfaces that are gone have left in the ledger, and bridges of users' own that nothing is on.
//!
//! It decides nothing by itself: the ledger is tidied as `lxc-user-nic create` does it, under the same locks, so what is in use or
//! being made stays, and whoever kills this at any moment leaves a ledger that is true.

use common::policy::settings::{Settings, in_force};
use common::policy::text::Quoted;
use serde::Serialize;
use usernic::census::{Census, Swept};

use crate::accounts::Accounts;
use crate::cli::Gc;
use crate::failure::Failure;
use crate::machine::{Machine, said};
use crate::output::Output;
use crate::root::Root;
use crate::show::nics::Words;
use crate::write::replace::writes_fail_at_the_limit;

/// As `docs/json.md` has it.
#[derive(Debug, Serialize)]
struct Document {
    schema: &'static str,
    verb: &'static str,
    dry_run: bool,
    records: Vec<Removed>,
    bridges: Vec<Bridge>,
}

#[derive(Debug, Serialize)]
struct Removed {
    table: String,
    name: String,
    uid: u32,
    unfinished: bool,
}

#[derive(Debug, Serialize)]
struct Bridge {
    name: String,
    removed: bool,
    why: Option<&'static str>,
}

/// The answer, and the exit status.
///
/// # Errors
/// Not root, or something cannot be removed.
pub fn run(root: &Root, args: &Gc, out: &mut Output) -> Result<u8, Failure> {
    if !root.is_live() {
        return Err(Failure::new("what is left over is in /run of the machine that runs; gc has no --root"));
    }
    if !nix::unistd::geteuid().is_root() {
        let dry_run = if args.dry_run { " --dry-run" } else { "" };
        return Err(Failure::new(format!(
            "gc needs root, whose the ledger is; run: sudo nsgate gc{dry_run}"
        )));
    }
    // The host's own rules are root's alone and whole, or nothing goes by them: as for the helpers.
    let path = "/etc/nsgate.ini";
    let file = Machine::of(root)?.policy("nsgate.ini")?.map_err(said)?;
    let text = file.map(|mut file| file.contents(path)).transpose().map_err(said)?.unwrap_or_default();
    let settings = Settings::parse(&text).map_err(|malformed| {
        let why = malformed.why;
        Failure::new(format!("{path}:{}: {why}; mend it: nsgate edit nsgate.ini", malformed.line))
    })?;
    writes_fail_at_the_limit()?;
    let makes_bridges = in_force(settings.per_user_bridge.create).is_some();
    let accounts = Accounts::read(root)?;
    let words = Words { accounts: &accounts };
    let mut census = Census::open().map_err(said)?;
    let tidied = census.tidy(args.dry_run, |key| words.word(key)).map_err(said)?;
    let (mut bridges, mut trouble) = (Vec::new(), tidied.trouble);
    let known = census.bridges().unwrap_or_else(|error| {
        trouble.push(error);
        Vec::new()
    });
    for name in known {
        // One that nobody could make again stays.
        let (removed, why) = match census.sweep(&name, args.dry_run || !makes_bridges) {
            Ok(Swept::Removed) if makes_bridges => (true, None),
            Ok(Swept::Removed) => {
                (false, Some("create is not yes in /etc/nsgate.ini, so nobody could make it again"))
            }
            Ok(Swept::Used) => (false, Some("there are interfaces on it")),
            Ok(Swept::Busy) => (false, Some("somebody is just making it, or about to use it")),
            Ok(Swept::NotOurs) => continue,
            Err(error) => {
                trouble.push(error);
                continue;
            }
        };
        bridges.push(Bridge { name: name.to_string(), removed, why });
    }
    let removed = |left: &usernic::census::Left| Removed {
        table: Quoted(left.table.as_bytes()).to_string(),
        name: left.record.name.to_string(),
        uid: left.record.uid.raw(),
        unfinished: left.record.is_unfinished(),
    };
    let records = tidied.gone.iter().map(removed).collect();
    let document = Document { schema: "nsgate/1", verb: "gc", dry_run: args.dry_run, records, bridges };
    let is_idle = document.records.is_empty() && !document.bridges.iter().any(|bridge| bridge.removed);
    if out.is_json() {
        out.document(&document)?;
    } else {
        write(&document, out);
        if is_idle && trouble.is_empty() {
            out.line("nothing to remove");
        }
    }
    let mut trouble = trouble.into_iter();
    let Some(first) = trouble.next() else { return Ok(0) };
    let more = trouble.count();
    let more = if more == 0 { String::new() } else { format!("; and {more} more like that") };
    // What was removed is said all the same. Where it cannot be, what could not be removed is still what matters.
    out.flush().unwrap_or_default();
    Err(Failure::new(format!("{first}{more}")))
}

fn write(document: &Document, out: &mut Output) {
    let done = if document.dry_run { "would remove" } else { "removed" };
    for Removed { table, name, uid, unfinished } in &document.records {
        let what = if *unfinished { "was left unfinished" } else { "is gone" };
        out.line(format!("{done} the record of {name} of uid {uid} from {table}: the interface {what}"));
    }
    for Bridge { name, removed, why } in &document.bridges {
        match why {
            None if *removed => out.line(format!("{done} the bridge {name}: nothing is on it")),
            None => {}
            Some(why) => out.line(format!("left the bridge {name}: {why}")),
        }
    }
}
