//! `lxc-user-nic(1)`: puts a network interface into a user's container, if policy lets him, and takes it away.
//!
//! [`create`] and [`delete`] read like the list of steps in the manual. Up to [`privilege::Cut::become_root`] nothing is
//! changed anywhere and nothing is held that somebody else could wait for.
#![forbid(unsafe_code)]

mod ledger;
mod links;
mod ovs;
mod permit;
mod request;
mod view;
mod wire;

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use common::os::account::{self, Names};
use common::os::audit::{Log, Verdict};
use common::os::installed;
use common::os::netns::{Interfaces, Netns, own_netns};
use common::os::privilege::{self, Capability, Cut};
use common::os::startup;
use common::os::trusted::Etc;
use common::policy::ledger::Record;
use common::policy::nic::{Attachment, InterfaceName};
use common::policy::text::Words;
use common::{Error, Outcome};

use ledger::{BETWEEN_LOOKS, Claim, Ledger, PATIENCE};
use links::Links;
use permit::{Caller, Permit};
use request::Request;
use view::View;
use wire::{Bridge, Making};

pub(crate) const PROGRAM: &str = "lxc-user-nic";

pub(crate) const USAGE: &str = "lxc-user-nic create LXCPATH NAME PID veth BRIDGE [CONTAINER_NICNAME] | lxc-user-nic delete \
     LXCPATH NAME NETNSPATH veth BRIDGE HOST_NICNAME";

/// The whole program: given the arguments after its name, answers with the exit status.
pub fn main(args: &[&OsStr], names: &impl Names) -> i32 {
    common::main(PROGRAM, || match args {
        [only] if *only == "--help" => Ok(Outcome::Say(help())),
        [only] if *only == "--version" => {
            Ok(Outcome::Say(format!("{PROGRAM} (nsgate) {}\n", env!("CARGO_PKG_VERSION"))))
        }
        _ => run(args, names).map(|()| Outcome::Done),
    })
}

/// Tells the story, and logs how it ended if that is badly. What is done is logged in it, before the deed.
fn run(args: &[&OsStr], names: &impl Names) -> Result<(), Error> {
    let asked = Asked { caller: nix::unistd::getuid().as_raw(), words: args, log: Log::of(PROGRAM) };
    tell(args, names, &asked).inspect_err(|error| asked.log(Verdict::Refused, &error.to_string()))
}

fn tell(args: &[&OsStr], names: &impl Names, asked: &Asked<'_>) -> Result<(), Error> {
    startup::lift_limits()?;
    // Looking into any process is something that root, as a caller, may do anyhow.
    let caller_is_root = nix::unistd::getuid().is_root();
    let for_root = if caller_is_root { Capability::SysPtrace } else { Capability::SetUid };
    let stage = privilege::cut_to(Capability::NetAdmin, &[Capability::SetUid, Capability::SetGid, for_root])?;
    let request = Request::parse(args)?;
    asked.log.open()?;
    match request {
        Request::Create { pid, attachment, name } => {
            require_privilege(&stage, "create")?;
            create(stage, args, names, asked, (pid, &attachment, name.as_ref()))
        }
        Request::Delete { netns, attachment, name } => {
            require_privilege(&stage, "delete")?;
            delete(stage, asked, (netns, &attachment, &name))
        }
    }
}

/// For so long the kernel may take to remove the interfaces of a network namespace whose last process has ended.
const THE_KERNEL_CLEANS_UP: Duration = Duration::from_millis(300);

/// Who asks, for which network namespace, and whether he may; a place in the ledger; the interface; the answer.
fn create(
    stage: Cut,
    args: &[&OsStr],
    names: &impl Names,
    asked: &Asked<'_>,
    (pid, attachment, name): (i32, &Attachment, Option<&InterfaceName>),
) -> Result<(), Error> {
    // Root's files, opened while we still have root's name; read later.
    let etc = Etc::open()?;
    let policy = etc.policy(permit::POLICY);
    let nsswitch = account::read_nsswitch(etc.policy("nsswitch.conf")?)?;

    let (permit, netns) = stage.as_caller(|| {
        let caller = Caller::of_this_process(&etc, &nsswitch, names, args)?;
        let netns = Netns::of_process(pid)?.prove_power_of(caller.uid().raw())?;
        Ok((Permit::of(&caller, attachment, policy?, names)?, netns))
    })?;

    // From here on the caller cannot end or stop us, so nothing below may wait for ever.
    let _root = stage.become_root()?;
    let mut links = Links::open()?;
    let bridge = Bridge::find(&mut links, attachment)?;

    let ledger = Ledger::open(own_netns()?)?;
    let interfaces = Interfaces::open()?;
    let start = Instant::now();
    loop {
        let (mut used, mut some_busy) = (Vec::new(), false);
        for quota in permit.quotas() {
            let table = ledger.make_table(&permit::table(&quota.owner.key(), attachment))?;
            let view = View {
                lxc: &ledger.lxc,
                table: &table,
                owner: quota.owner.word(),
                bridge: attachment.word(),
            };
            let mut record = wire::intent(permit.uid(), &bridge);
            let mut forget = |gone: &[Record]| {
                gone.iter().try_for_each(|record| wire::clear(&mut links, record))?;
                view.forget(gone)
            };
            let mut seen = table.look(&interfaces)?;
            table.tidy(&mut seen, &mut forget)?;
            let place = match table.claim(&seen, quota.limit, &record)? {
                Claim::Placed(place) => place,
                Claim::Full { taken, busy } => {
                    used.push((quota, taken));
                    some_busy |= busy;
                    continue;
                }
            };
            asked.log(Verdict::Granted, &format!("{} as {}", permit.grounds(quota), record.name));
            let making = Making {
                asked,
                links: &mut links,
                interfaces: &interfaces,
                view: &view,
                bridge: &bridge,
                netns: &netns,
                name,
                owner: &quota.owner,
                made: None,
            };
            return making.make(&mut record, place);
        }
        // Those who are at work just now may leave room; and so may a container that has ended a moment ago.
        let patience = if some_busy { PATIENCE } else { THE_KERNEL_CLEANS_UP };
        if start.elapsed() > patience {
            return Err(permit.quota_reached(&used));
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

/// Whose network namespace it is, his record, and the end of the interface.
fn delete(
    stage: Cut,
    asked: &Asked<'_>,
    (path, attachment, name): (&std::path::Path, &Attachment, &InterfaceName),
) -> Result<(), Error> {
    let uid = permit::own_uid()?;
    let (tables, _netns) = stage.as_caller(|| {
        let netns = Netns::at_path(path)?.prove_power_of(uid.raw())?;
        Ok((permit::tables_of(uid, attachment)?, netns))
    })?;

    let _root = stage.become_root()?;
    let mut links = Links::open()?;
    let ledger = Ledger::open(own_netns()?)?;
    let is_it = |record: &Record| record.uid == uid && record.name == *name;
    for table in tables {
        let Some(table) = ledger.table(&table)? else { continue };
        if let Some((place, record)) = table.find(is_it)? {
            asked.log(Verdict::Removed, &format!("{name}, as asked"));
            wire::clear(&mut links, &record)?;
            // Then the list, then the record: whoever dies between two of these leaves a record that the next run sees.
            let view = View { lxc: &ledger.lxc, table: &table, owner: Vec::new(), bridge: attachment.word() };
            view.forget(std::slice::from_ref(&record))?;
            return place.withdraw();
        }
    }
    Err(Error::NoRecord {
        uid: uid.raw(),
        interface: name.as_str().to_owned(),
        bridge: attachment.word().to_owned(),
    })
}

fn require_privilege(stage: &Cut, doing: &'static str) -> Result<(), Error> {
    let needed = [Capability::NetAdmin, Capability::SetUid, Capability::SetGid];
    match needed.into_iter().find(|capability| !stage.may_raise(*capability)) {
        None => Ok(()),
        Some(missing) => Err(Error::NoPrivilege {
            doing: if doing == "create" { "make an interface" } else { "remove an interface" },
            cause: installed::why_without(PROGRAM, missing.name(), None),
        }),
    }
}

/// What is known of a request when its fate is logged.
pub(crate) struct Asked<'a> {
    caller: u32,
    words: &'a [&'a OsStr],
    log: Log,
}

impl Asked<'_> {
    pub(crate) fn log(&self, verdict: Verdict, what: &str) {
        self.log.record(verdict, &format!("uid {} asked {}: {what}", self.caller, Words(self.words)));
    }
}

fn help() -> String {
    format!(
        "usage: {USAGE}\n\nMakes a pair of interfaces, one end of it in the network namespace of process PID, which the caller\n\
         has made, the other on a bridge of the host (or none), after checking that /etc/lxc/lxc-usernet allows it to\n\
         the caller. Prints NAME:INDEX:HOST_NICNAME:HOST_INDEX. See lxc-user-nic(1), lxc-usernet(5).\n"
    )
}
