//! `newuidmap(1)` and `newgidmap(1)`: write another process's id map, if policy lets the caller.
//!
//! One story for both: [`Program`] says in what they differ. [`run`] reads like the list of checks in the manual.
#![forbid(unsafe_code)]

pub mod confine;
mod explain;
mod facts;
mod judge;
mod request;
mod write;

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use common::os::account::{self, Names, Question};
use common::os::audit::{Log, Verdict};
use common::os::host_policy;
use common::os::privilege::{self, Capability};
use common::os::subid_source::{Inquiry, Plugins};
use common::os::target::Target;
use common::os::trusted::Etc;
use common::policy::holdings::Asker;
use common::policy::id::Id;
use common::policy::idmap::Kind;
use common::policy::login_defs;
use common::policy::passwd::Account;
use common::policy::text::{Quoted, Words};
use common::{Error, Outcome};

use judge::Judge;
use request::Request;

/// In what the two programs differ.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    kind: Kind,
    capability: Capability,
    usage: &'static str,
}

/// Writes `uid_map`.
pub const NEWUIDMAP: Program = Program {
    name: "newuidmap",
    kind: Kind::Uid,
    capability: Capability::SetUid,
    usage: "newuidmap [<pid>|fd:<pidfd>] <uid> <loweruid> <count> [ <uid> <loweruid> <count> ] ...",
};

/// Writes `gid_map`, and `setgroups` where it must.
pub const NEWGIDMAP: Program = Program {
    name: "newgidmap",
    kind: Kind::Gid,
    capability: Capability::SetGid,
    usage: "newgidmap [<pid>|fd:<pidfd>] <gid> <lowergid> <count> [ <gid> <lowergid> <count> ] ...",
};

/// The whole program: given the arguments after its name, answers with the exit status.
pub fn main(program: &'static Program, args: &[&OsStr], host: &(impl Names + Plugins)) -> i32 {
    common::main(program.name, || match args {
        [only] if *only == "--help" => Outcome::words(program.help()),
        [only] if *only == "--version" => Outcome::words(program.version()),
        _ => run(program, args, host).map(|()| Outcome::Done),
    })
}

/// Tells the story, and logs how it ended if that is badly. A grant is logged in it, before the deed: the caller may kill
/// us at any moment, and nothing is to happen that the log does not know of.
fn run(program: &'static Program, args: &[&OsStr], host: &(impl Names + Plugins)) -> Result<(), Error> {
    let log = Log::of(program.name);
    // For the log: known before anything can go wrong.
    let mut record = Record { caller: nix::unistd::getuid().as_raw(), target: None, words: args };
    tell(program, args, host, &log, &mut record)
        .inspect_err(|error| log.record(Verdict::Refused, &format!("{record}: {error}")))
}

/// What is asked, who asks, whether they may, then the deed: each step needs what the last one made.
fn tell(
    program: &'static Program,
    args: &[&OsStr],
    host: &(impl Names + Plugins),
    log: &Log,
    record: &mut Record<'_>,
) -> Result<(), Error> {
    host.make_room();
    let stage = privilege::cut_to(program.capability, program.also())?;
    let request = Request::parse(program, args)?;
    log.open()?;

    // Root's files, opened while we still have root's name; read later.
    let etc = Etc::open()?;
    let open = |name| etc.policy(name).map_err(explain::out_of_reach);
    let policy_file = open(program.kind.policy_file());
    let nsswitch = open("nsswitch.conf");
    let host_policy = open(host_policy::NAME);

    // From here on with nothing but the caller's rights.
    let stage = stage.lower()?;
    let (uid, gid) = (an_id(stage.uid().as_raw())?, an_id(stage.gid().as_raw())?);
    let nsswitch = nsswitch.and_then(account::read_nsswitch);
    let accounts_from = nsswitch.as_ref().cloned().unwrap_or_default();
    let account = host.account(&Question { uid, etc: &etc, nsswitch: &accounts_from, args })?;
    // Whom nobody but the files can grant anything needs neither the twin nor a child any more.
    let may_ask_plugins = accounts_from.names_plugins();
    if !may_ask_plugins {
        confine::to_checks()?;
    }

    let target = Target::open(&request.target)?;
    let identity = target.identity();
    record.target = identity.as_ref().ok().copied();
    let caller = Caller::new(uid, gid, account)?;
    caller.owns(&target, &etc)?;
    identity?;

    let host_policy = judge::read_host_policy(host_policy, policy_file.is_err() && !may_ask_plugins)?;
    let (triples, privileged) = (request.triples()?, stage.may_raise(program.capability));
    let judge = Judge { program, caller: &caller, target: &target, etc: &etc, privileged, triples };
    // Only as long as these are the sources can it be judged again.
    let sources = nsswitch.as_ref().is_ok().then_some(&accounts_from);
    let judged = judge.judge(policy_file, host_policy, nsswitch.map(|_| &accounts_from), |held| {
        // A static program whose files do not grant everything becomes its twin here, which can ask plugins.
        let held = held.map(|held| {
            let asker = caller.asks(program.kind);
            held.with_plugins(&asker, &judge.triples, |source, ranges| {
                host.ask(source, &Inquiry { kind: asker.kind, owner: asker.name(), ranges, args })
            })
        });
        if may_ask_plugins {
            confine::to_checks()?;
        }
        held
    })?;

    let denies_setgroups = judged.denies_setgroups(program.kind);
    let opened = write::open(program, &caller, &target, &judged, stage)?;

    // He may have stopped us since policy was read, or have met the moment in which it was being replaced.
    let judged = judge.by_policy_now(judged, sources)?;
    if judged.denies_setgroups(program.kind) != denies_setgroups {
        return Err(Error::Changed);
    }
    confine::to_the_deed()?;
    log.record(Verdict::Granted, &format!("{record:#}: {}", explain::grounds(program, &judged.approved)));
    opened.write(&judged.map)
}

/// Who asks: by his real ids, which `exec` does not change.
pub(crate) struct Caller {
    uid: Id,
    gid: Id,
    account: Account,
}

impl Caller {
    fn new(uid: Id, gid: Id, account: Option<Account>) -> Result<Self, Error> {
        let account = account.ok_or(Error::NoAccount { uid: uid.raw() })?;
        Ok(Self { uid, gid, account })
    }

    /// The one id he may always map: his real uid, or his real gid.
    pub(crate) const fn own(&self, kind: Kind) -> Id {
        match kind {
            Kind::Uid => self.uid,
            Kind::Gid => self.gid,
        }
    }

    /// He asks for ids.
    fn asks(&self, kind: Kind) -> Asker<'_> {
        Asker { kind, uid: self.uid, own: self.own(kind), names: &self.account.names }
    }

    /// The target must run as him, in his group; and that group must be his login group, unless the host allows
    /// others: `login.defs(5)`, `GRANT_AUX_GROUP_SUBIDS`.
    fn owns(&self, target: &Target, etc: &Etc) -> Result<(), Error> {
        let (uid, gid) = (self.uid.raw(), self.gid.raw());
        let same = uid == target.uid() && gid == target.gid();
        if same && (self.account.gids.contains(&gid) || aux_groups_allowed(etc)) {
            return Ok(());
        }
        let login_group = self.account.gids.iter().copied().find(|login| *login == gid);
        let login_group = login_group.or(self.account.gids.first().copied()).unwrap_or(gid);
        Err(Error::ForeignTarget {
            caller: (uid, gid),
            account: (uid, login_group),
            target: (target.uid(), target.gid()),
        })
    }
}

/// A `login.defs` that is missing, cannot be read or is not root's alone allows nothing.
fn aux_groups_allowed(etc: &Etc) -> bool {
    let file = etc.policy("login.defs").ok().flatten();
    let text = file.and_then(|mut file| file.contents("/etc/login.defs").ok());
    text.is_some_and(|text| login_defs::grants_aux_group_subids(&text))
}

/// The kernel never gives a process the id -1.
fn an_id(raw: u32) -> Result<Id, Error> {
    Id::new(raw).ok_or(Error::NoAccount { uid: raw })
}

/// What is known of a request when its fate is logged.
struct Record<'a> {
    caller: u32,
    target: Option<(i32, u64)>,
    words: &'a [&'a OsStr],
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (target, asked) = self.words.split_at(self.words.len().min(1));
        write!(f, "uid {} target ", self.caller)?;
        match self.target {
            Some((pid, start)) => write!(f, "pid {pid} started {start}")?,
            None => write!(f, "{}", Words(target))?,
        }
        if f.alternate() {
            // A request that is granted is not long, and there is no part of it that does not matter.
            f.write_str(" asked")?;
            for word in asked {
                f.write_str(" ")?;
                Quoted(word.as_bytes()).fmt(f)?;
            }
            Ok(())
        } else {
            write!(f, " asked {}", Words(asked))
        }
    }
}

impl Program {
    /// What else may be needed: the kernel asks for this one where uid 0 is mapped, not for gid 0
    /// (`user_namespace.c`, `verify_root_map()`).
    const fn also(&self) -> &'static [Capability] {
        match self.kind {
            Kind::Uid => &[Capability::SetFcap],
            Kind::Gid => &[],
        }
    }

    fn help(&self) -> String {
        let (word, map, policy) = (self.kind.word(), self.kind.map_file(), self.kind.policy_file());
        format!(
            "usage: {}\n\nWrites the {map} of another process's new user namespace, after checking that\n\
             /etc/{policy} grants every host {word} in it to the caller. See {}(1), {policy}(5).\n",
            self.usage, self.name
        )
    }

    fn version(&self) -> String {
        format!("{} (nsgate) {}\n", self.name, env!("CARGO_PKG_VERSION"))
    }
}
