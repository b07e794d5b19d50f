//! `lxc-user-nic(1)`: puts a network interface into a user's container, if policy lets him, and takes it away.
//!
//! [`create`] and [`delete`] read like the list of steps in the manual. Up to [`privilege::Cut::become_root`] nothing is
//! changed anywhere and nothing is held that somebody else could wait for.
#![forbid(unsafe_code)]

pub mod census;
pub mod confine;
mod guards;
mod ledger;
mod line;
mod links;
mod ovs;
mod own_bridge;
mod permit;
mod places;
mod request;
mod sieve;
mod view;
mod wire;

use std::cell::Cell;
use std::ffi::OsStr;
use std::mem::ManuallyDrop;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use common::os::account::{self, Names};
use common::os::audit::{Log, Verdict};
use common::os::host_policy::{self, HostPolicy};
use common::os::installed;
use common::os::limits::{Limited, not_limited};
use common::os::netns::{Interfaces, Netns};
use common::os::privilege::{self, Capability, Cut};
use common::os::startup;
use common::os::target::read_own;
use common::os::trusted::Etc;
use common::policy::host::asks_for_any;
use common::policy::ledger::{Port, Record};
use common::policy::nic::{Attachment, InterfaceName};
use common::policy::settings::{Controller, in_force, limit};
use common::policy::text::Words;
use common::{Error, Outcome};

use confine::Confinement;
use guards::Guards;
use ledger::{BETWEEN_LOOKS, Ledger, PATIENCE, Table};
use links::Links;
use own_bridge::OwnBridge;
use permit::{Caller, Permit};
use places::{NoRoom, Tables};
use request::Request;
use view::View;
use wire::{Bridge, Making, Rules, Wanted};

pub(crate) const PROGRAM: &str = "lxc-user-nic";

pub(crate) const USAGE: &str = "lxc-user-nic create LXCPATH NAME PID veth BRIDGE [CONTAINER_NICNAME] | lxc-user-nic delete \
     LXCPATH NAME NETNSPATH veth BRIDGE HOST_NICNAME";

/// The whole program: given the arguments after its name, answers with the exit status.
pub fn main(args: &[&OsStr], names: &impl Names) -> i32 {
    common::main(PROGRAM, || match args {
        [only] if *only == "--help" => Outcome::words(help()),
        [only] if *only == "--version" => {
            Outcome::words(format!("{PROGRAM} (nsgate) {}\n", env!("CARGO_PKG_VERSION")))
        }
        _ => run(args, names).map(|()| Outcome::Done),
    })
}

/// Tells the story, and logs how it ended if that is badly. What is done is logged in it, before the deed.
fn run(args: &[&OsStr], names: &impl Names) -> Result<(), Error> {
    // What is open here and below goes with the process: it is not closed first.
    let caller = nix::unistd::getuid().as_raw();
    let asked = ManuallyDrop::new(Asked { caller, words: args, log: Log::of(PROGRAM) });
    tell(args, names, &asked).inspect_err(|error| asked.log(Verdict::Refused, &error.to_string()))
}

fn tell(args: &[&OsStr], names: &impl Names, asked: &Asked<'_>) -> Result<(), Error> {
    startup::lift_limits()?;
    names.make_room();
    // Looking into any process is something that root, as a caller, may do anyhow.
    let for_root = if asked.caller == 0 { Capability::SysPtrace } else { Capability::SetUid };
    let stage = privilege::cut_to(Capability::NetAdmin, &[Capability::SetUid, Capability::SetGid, for_root])?;
    let request = Request::parse(args)?;
    asked.log.connect()?;
    match request {
        Request::Create { pid, attachment, name, container } => {
            require_privilege(&stage, "create")?;
            let target = Target { pid, attachment: &attachment, name: name.as_ref(), container };
            create(stage, args, names, asked, &target)
        }
        Request::Delete { netns, attachment, name } => {
            require_privilege(&stage, "delete")?;
            delete(stage, asked, (netns, &attachment, &name))
        }
    }
}

/// For so long the kernel may take to remove the interfaces of a network namespace whose last process has ended.
const THE_KERNEL_CLEANS_UP: Duration = Duration::from_millis(300);

/// What is to be made, as asked.
struct Target<'a> {
    pid: i32,
    attachment: &'a Attachment,
    name: Option<&'a InterfaceName>,
    container: &'a OsStr,
}

/// Who asks, for which network namespace, and whether he may; a place in the ledger; the interface; the answer.
fn create(
    stage: Cut,
    args: &[&OsStr],
    names: &impl Names,
    asked: &Asked<'_>,
    target: &Target<'_>,
) -> Result<(), Error> {
    let attachment = target.attachment;
    // Root's files, opened while we still have root's name; read later.
    let etc = ManuallyDrop::new(Etc::open()?);
    let policy = etc.policy(permit::POLICY);
    let host_policy = etc.policy(host_policy::NAME);
    let nsswitch = account::read_nsswitch(etc.policy("nsswitch.conf")?)?;

    let confinement = ManuallyDrop::new(Confinement::none_yet());
    let (permit, netns, host_policy) = stage.as_caller(|| {
        let caller = Caller::of_this_process(asked.caller, &etc, &nsswitch, names, args)?;
        let netns = Netns::of_process(target.pid)?.prove_power_of(caller.uid().raw())?;
        let host_policy = HostPolicy::read(host_policy?)?;
        // The last look into another process: who is confined cannot.
        let cgroup = limits_rule(&host_policy).map(|_| netns.cgroup_of(target.pid));
        // Who can be asked about groups may have to be.
        if !nsswitch.groups_are_elsewhere_too() {
            confinement.to_policy()?;
        }
        let permit = Permit::of(&caller, attachment, policy?, names)?;
        confinement.to_policy()?;
        require_limits(&host_policy, attachment, cgroup)?;
        Ok((ManuallyDrop::new(permit), ManuallyDrop::new(netns), host_policy))
    })?;
    let rules = host_policy.settings.bridge(attachment.word());
    let leave_out = in_force(host_policy.settings.nic.leave_out_missing).is_some();
    let (guards, stable_mac) = (Guards::of(&rules, leave_out), in_force(rules.stable_mac).is_some());
    let wanted = Wanted {
        name: target.name,
        container: target.container.as_bytes(),
        rules: &Rules { guards, stable_mac },
    };

    // From here on the caller cannot end or stop us, so nothing below may wait for ever.
    let _root = stage.become_root()?;
    let policy = Policy { permit: &permit, host_policy: &host_policy, etc: &etc };
    policy.is_as_it_was()?;
    let settings = confinement.settings()?;
    let mut links = Links::open()?;
    let interfaces = ManuallyDrop::new(Interfaces::open()?);
    let (bridge, _kept) =
        reach(&mut links, &interfaces, asked, &policy, (attachment, netns.ours(), settings))?;
    if let Bridge::OpenVswitch { name, .. } = &bridge {
        wanted.rules.guards.without_a_kernel_port().map_err(|rule| {
            let why = "a port of Open vSwitch cannot be guarded in this way".to_owned();
            host_policy.forbids_veth(name.as_str(), rule, why)
        })?;
    }

    let ledger = ManuallyDrop::new(Ledger::open(netns.ours())?);
    let tables = ManuallyDrop::new(Tables::open(&ledger, &interfaces, attachment, limit(rules.max_nics))?);
    let (start, hurried) = (Instant::now(), Cell::new(false));
    loop {
        let mut no_room = NoRoom::default();
        for quota in permit.quotas() {
            let table = ledger.make_table(&permit::table(&quota.owner.key(), attachment))?;
            let view = View {
                lxc: &ledger.lxc,
                table: &table,
                owner: quota.owner.word(),
                bridge: attachment.word(),
                hurried: &hurried,
            };
            let mut record = wire::intent(permit.uid(), &bridge);
            let Some(places) = tables.claim(&mut links, &view, (quota, &record), &mut no_room)? else {
                continue;
            };
            if let Err(changed) = policy.is_as_it_was() {
                places.withdraw()?;
                return Err(changed);
            }
            asked.log(Verdict::Granted, &format!("{} as {}", permit.grounds(quota), record.name));
            if !matches!(bridge, Bridge::OpenVswitch { .. }) {
                if let Err(refused) = confinement.to_the_wiring(&asked.log, &ledger.lxc) {
                    places.withdraw()?;
                    return Err(refused);
                }
            }
            let making = Making {
                asked,
                links: &mut links,
                interfaces: &interfaces,
                view: &view,
                bridge: &bridge,
                netns: &netns,
                settings,
                wanted: &wanted,
                policy: &policy,
                owner: &quota.owner,
            };
            return making.make(&mut record, places);
        }
        // What cannot be removed counts, and is why there is no room.
        if let Some(error) = no_room.in_the_way {
            return Err(error);
        }
        // Those who are at work just now may leave room; and so may a container that has ended a moment ago.
        let patience = if no_room.is_busy { PATIENCE } else { THE_KERNEL_CLEANS_UP };
        if start.elapsed() > patience {
            return Err(match no_room.of_all {
                None => permit.quota_reached(&no_room.used),
                Some((most, taken)) => {
                    let why = format!("{taken} of {} interfaces of all users are there", most.value);
                    host_policy.forbids_veth(attachment.word(), ("max-nics", most.line), why)
                }
            });
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

/// The bridge, which is made first if it is to be. As long as the table is open, nobody removes it for being empty.
fn reach(
    links: &mut Links,
    interfaces: &Interfaces,
    asked: &Asked<'_>,
    policy: &Policy<'_>,
    (attachment, netns, settings): (&Attachment, u64, &OwnedFd),
) -> Result<(Bridge, Option<Table>), Error> {
    let makes_bridges = in_force(policy.host_policy.settings.per_user_bridge.create).is_some();
    let is_own = policy.permit.names_an_own_bridge();
    if let Attachment::Bridge(name) = attachment {
        if makes_bridges && is_own {
            let ledger = Ledger::open(netns)?;
            let kept = own_bridge::keep(&ledger, name)?;
            let (uid, host_policy) = (policy.permit.uid(), policy.host_policy);
            let bridge = OwnBridge { settings, asked, host_policy, uid, name };
            bridge.provide(links, &ledger, interfaces)?;
            return Ok((Bridge::find(links, attachment, is_own)?, Some(kept)));
        }
    }
    let bridge = Bridge::find(links, attachment, is_own)?;
    let Bridge::Kernel { name, is_ours: true, .. } = &bridge else { return Ok((bridge, None)) };
    let kept = own_bridge::keep(&Ledger::open(netns)?, name)?;
    // It may have been removed before.
    Ok((Bridge::find(links, attachment, is_own)?, Some(kept)))
}

/// What a request was judged by.
pub(crate) struct Policy<'a> {
    permit: &'a Permit,
    pub(crate) host_policy: &'a HostPolicy,
    etc: &'a Etc,
}

impl Policy<'_> {
    /// The caller may have stopped us, or had us frozen, since it was read. What was taken from him meanwhile he is not to have.
    pub(crate) fn is_as_it_was(&self) -> Result<(), Error> {
        if self.permit.policy_is_as_it_was(self.etc)? && self.host_policy.is_as_it_was(self.etc)? {
            Ok(())
        } else {
            Err(Error::Changed)
        }
    }
}

/// What must be limited, if the host wants it so.
fn limits_rule(host_policy: &HostPolicy) -> Option<(&[Controller], u32)> {
    let rule = host_policy.settings.nic.require_limits.as_ref();
    Some((&rule?.value, asks_for_any(rule)?))
}

/// Both the caller and the container must be limited: the caller could call from a place that is.
fn require_limits(
    host_policy: &HostPolicy,
    attachment: &Attachment,
    container: Option<Result<Vec<u8>, Error>>,
) -> Result<(), Error> {
    let (Some((controllers, line)), Some(container)) = (limits_rule(host_policy), container) else {
        return Ok(());
    };
    let (caller, container) = (read_own("cgroup"), container?);
    let processes = [
        Limited { who: "the caller", cgroup: caller.as_deref(), limits: None },
        Limited { who: "the container", cgroup: Some(&container), limits: None },
    ];
    match not_limited(controllers, &processes)? {
        None => Ok(()),
        Some(why) => Err(host_policy.forbids_veth(attachment.word(), ("require-limits", line), why)),
    }
}

/// Whose network namespace it is, his record, and the end of the interface.
fn delete(
    stage: Cut,
    asked: &Asked<'_>,
    (path, attachment, name): (&std::path::Path, &Attachment, &InterfaceName),
) -> Result<(), Error> {
    let uid = permit::id_of(asked.caller)?;
    let host_policy = Etc::open()?.policy(host_policy::NAME);
    let confinement = ManuallyDrop::new(Confinement::none_yet());
    let (tables, netns) = stage.as_caller(|| {
        let netns = Netns::at_path(path)?.prove_power_of(uid.raw())?;
        confinement.to_policy()?;
        HostPolicy::read(host_policy?)?;
        Ok((permit::tables_of(uid, attachment)?, netns))
    })?;

    let _root = stage.become_root()?;
    let mut links = Links::open()?;
    let ledger = Ledger::open(netns.ours())?;
    let is_it = |record: &Record| record.uid == uid && record.name == *name;
    for table in tables {
        let Some(table) = ledger.table(&table)? else { continue };
        if let Some((place, record)) = table.find(is_it)? {
            asked.log(Verdict::Removed, &format!("{name}, as asked"));
            if record.port == Port::Kernel {
                confinement.to_the_wiring(&asked.log, &ledger.lxc)?;
            }
            wire::clear(&mut links, &record, &[place.lock()]).map_err(port_stays)?;
            // Then the list, then the record: whoever dies between two of these leaves a record that the next run sees.
            let (bridge, hurried) = (attachment.word(), &Cell::new(false));
            let view = View { lxc: &ledger.lxc, table: &table, owner: Vec::new(), bridge, hurried };
            view.forget(std::slice::from_ref(&record))?;
            if let Some(all) = ledger.table(&permit::table_of_all(attachment))? {
                // If that place cannot be had now, whoever comes next sees that its interface is gone.
                all.forget(&record).unwrap_or_default();
            }
            return place.withdraw();
        }
    }
    Err(Error::NoRecord {
        uid: uid.raw(),
        interface: name.as_str().to_owned(),
        bridge: attachment.word().to_owned(),
    })
}

/// The interface goes first, and then Open vSwitch is asked to forget its port.
fn port_stays(error: Error) -> Error {
    let Error::OpenVswitch { doing, why } = error else { return error };
    let why =
        why + "; the interface is gone, and its port counts until delete, or the next create, can remove it";
    Error::OpenVswitch { doing, why }
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
