//! Section G of the attack list: how much power the helpers have, when, and what the host may take from them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use nix::errno::Errno;
use nix::libc;
use world::{
    ALICE, Answer, CAROL, Fake, Install, LSM_GET_SELF_ATTR, NOBODY_AT_ALL, ROOT, Target, UNKNOWN_TO_STRACE,
    User, World, theirs,
};

const SETGID: u64 = 1 << 6;
const SETUID: u64 = 1 << 7;
const SETFCAP: u64 = 1 << 31;

/// newuidmap or newgidmap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Helper {
    Uid,
    Gid,
}

use Helper::{Gid, Uid};

impl Helper {
    const fn path(self) -> &'static str {
        match self {
            Uid => "/usr/bin/newuidmap",
            Gid => "/usr/bin/newgidmap",
        }
    }

    const fn map_file(self) -> &'static str {
        match self {
            Uid => "uid_map",
            Gid => "gid_map",
        }
    }

    const fn capability(self) -> u64 {
        match self {
            Uid => SETUID,
            Gid => SETGID,
        }
    }

    fn map(self, target: &Target) -> String {
        match self {
            Uid => target.uid_map(),
            Gid => target.gid_map(),
        }
    }

    /// The command line for these triples.
    fn args(self, target: &Target, ask: &str) -> Vec<String> {
        std::iter::once(target.pid()).chain(ask.split(' ').map(str::to_owned)).collect()
    }
}

/// A whole grant, and the own id alone.
const GRANT: &str = "0 600000 65536";
const OWN: &str = "0 52001 1";

/// What a process may do, as the kernel tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Power {
    /// Real, effective, saved, file system.
    uids: [u32; 4],
    gids: [u32; 4],
    inheritable: u64,
    permitted: u64,
    effective: u64,
    ambient: u64,
    /// Are its `/proc` files root's, so that the caller can neither read nor trace it?
    hidden: bool,
}

impl Power {
    fn of(pid: &str) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_else(|| panic!("no {name} in {status}")).split_whitespace()
        };
        let ids = |name: &str| {
            let ids: Vec<u32> = field(name).map(|id| id.parse().expect("an id")).collect();
            ids.try_into().expect("four ids")
        };
        let set = |name: &str| u64::from_str_radix(field(name).next().expect("a set"), 16).expect("a set");
        Self {
            uids: ids("Uid"),
            gids: ids("Gid"),
            inheritable: set("CapInh"),
            permitted: set("CapPrm"),
            effective: set("CapEff"),
            ambient: set("CapAmb"),
            hidden: fs::metadata(format!("/proc/{pid}/environ")).expect("environ").uid() == 0,
        }
    }

    /// The caller's ids, these capabilities, and nothing else.
    fn of_caller_with(user: User, capabilities: u64) -> Self {
        Self {
            uids: [user.id; 4],
            gids: [user.id; 4],
            inheritable: 0,
            permitted: capabilities,
            effective: capabilities,
            ambient: 0,
            hidden: true,
        }
    }
}

/// Runs a helper with these faults, and tells what it could do when it wrote the map.
fn power_at_the_write(world: &World, user: User, helper: Helper, ask: &str, options: &[&str]) -> Power {
    let target = world.target(user);
    let args = helper.args(&target, ask);
    let args: Vec<&str> = args.iter().map(|arg| &**arg).collect();
    let mut power = None;
    let command = (user, options, helper.path(), &*args);
    let answer =
        world.look_after_write(command, (&target, helper.map_file()), |pid| power = Some(Power::of(pid)));
    answer.succeeds();
    assert_eq!(helper.map(&target), ask);
    power.expect("look_after_write looks")
}

/// The fault that stops a helper where it writes the map: a newgidmap that denies setgroups has a write before that.
fn stop_at_the_write(helper: Helper, ask: &str) -> String {
    let nth = if helper == Gid && ask == OWN { 2 } else { 1 };
    format!("inject=write:signal=STOP:when={nth}")
}

/// G01: Differs: the map is written with the caller's ids and one capability (Debian's: as root, with all of them).
/// Nobody but root can look into the process.
#[test]
fn the_map_is_written_with_one_capability_and_the_callers_ids() {
    World::enter(|world| {
        for how in [Install::SetUid, Install::FileCapabilities] {
            world.install(how);
            for (helper, ask) in [(Uid, GRANT), (Gid, GRANT), (Uid, OWN), (Gid, OWN)] {
                let stop = stop_at_the_write(helper, ask);
                let power = power_at_the_write(world, ALICE, helper, ask, &["-e", &stop]);
                if theirs() && how == Install::SetUid {
                    assert_eq!(power.uids, [ALICE.id, 0, 0, 0]);
                    assert!(power.effective.count_ones() > 30, "{power:?}");
                } else if theirs() {
                    assert_eq!(power.effective, helper.capability(), "{how:?} {helper:?} {ask}");
                } else {
                    let wanted = Power::of_caller_with(ALICE, helper.capability());
                    assert_eq!(power, wanted, "{how:?} {helper:?} {ask}");
                }
            }
        }
    });
}

/// G01: a step to less privilege that only seems to have worked is found out, or has made no difference. Ours alone:
/// the C helpers, as Debian builds them, take no such step.
#[test]
fn a_faked_reduction_of_privilege_is_never_built_upon() {
    const READ_BACK: &str = "the kernel did not reduce this process's privileges as asked; not going on";
    // As strace counts from the start of the program. None: the process becomes what it should be by another step.
    const FAKES: [(&str, Option<&str>); 13] = [
        ("capset:retval=0:when=1", None),
        ("capset:retval=0:when=2", Some(READ_BACK)),
        ("capset:retval=0", Some(READ_BACK)),
        ("setresuid:retval=0", Some(READ_BACK)),
        ("setresuid,setresgid:retval=0", Some(READ_BACK)),
        ("setresuid,capset:retval=0", Some(READ_BACK)),
        // The caller's effective and saved gid are his real one already.
        ("setresgid:retval=0", None),
        // The second is the one that keeps the capability over the change of user. The others hide the process, which
        // the kernel has done itself for a set-id program.
        ("prctl:retval=0", Some("enter a seccomp filter: Permission denied")),
        ("prctl:retval=0:when=1", None),
        ("prctl:retval=0:when=2", Some("reduce capabilities: Operation not permitted")),
        ("prctl:retval=0:when=3", None),
        // Whether the caller has set no_new_privs, and setting it.
        ("prctl:retval=0:when=4", None),
        ("prctl:retval=0:when=5", Some("enter a seccomp filter: Permission denied")),
    ];
    if theirs() {
        return;
    }
    World::enter(|world| {
        for (helper, ask) in [(Uid, GRANT), (Gid, GRANT), (Gid, OWN)] {
            for (fake, refusal) in FAKES {
                println!("{helper:?} {ask} {fake}");
                let fault = format!("inject={fake}");
                if let Some(phrase) = refusal {
                    let target = world.target(ALICE);
                    let mut command = world.strace(ALICE, &["-o", "/dev/null", "-e", &fault], helper.path());
                    world.run(command.args(helper.args(&target, ask))).refuses(phrase);
                    target.assert_untouched();
                } else {
                    let stop = stop_at_the_write(helper, ask);
                    let power = power_at_the_write(world, ALICE, helper, ask, &["-e", &fault, "-e", &stop]);
                    assert_eq!(power, Power::of_caller_with(ALICE, helper.capability()));
                }
            }
        }
    });
}

/// G01: the ids that the helper goes by are the kernel's word; where they are not ids the caller has, the kernel does
/// not let it take them, as it has no capability in effect yet.
#[test]
fn a_faked_identity_cannot_be_taken() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        for (fake, phrase) in [
            ("getuid:retval=52002", "become the calling user"),
            ("getgid:retval=52002", "become the calling group"),
            ("getuid:error=EPERM", "Cannot determine your user name"),
        ] {
            let target = world.target(ALICE);
            let fault = format!("inject={fake}");
            let mut command = world.strace(ALICE, &["-o", "/dev/null", "-e", &fault], Uid.path());
            world.run(command.args(Uid.args(&target, GRANT))).refuses(phrase);
            target.assert_untouched();
        }
    });
}

/// G02: Differs: file capabilities that are permitted but not in effect (`+p`) are enough (Debian's: EPERM).
/// liblxc looks for `+ep` all the same before it uses a helper.
#[test]
fn file_capabilities_that_are_only_permitted_are_raised() {
    World::enter(|world| {
        world.install(Install::Plain);
        for (helper, capability) in [(Uid, "cap_setuid=p"), (Gid, "cap_setgid=p")] {
            set_capability(helper, capability);
            let target = world.target(ALICE);
            let answer = ask(world, ALICE, helper, &target, GRANT);
            if theirs() {
                answer.refuses("failed: Operation not permitted");
                target.assert_untouched();
            } else {
                answer.succeeds();
                assert_eq!(helper.map(&target), GRANT);
                let stop = stop_at_the_write(helper, GRANT);
                let power = power_at_the_write(world, ALICE, helper, GRANT, &["-e", &stop]);
                assert_eq!(power, Power::of_caller_with(ALICE, helper.capability()));
            }
        }
    });
}

fn set_capability(helper: Helper, capability: &str) {
    let status = Command::new("setcap").args([capability, helper.path()]).status().expect("setcap");
    assert!(status.success(), "setcap {capability}");
}

fn ask(world: &World, user: User, helper: Helper, target: &Target, ask: &str) -> Answer {
    world.run(world.command(user, helper.path()).args(helper.args(target, ask)))
}

/// G05: Differs: a file that is set-user-ID root and has file capabilities too works (Debian's: EACCES).
/// The kernel gives it root's name with that one capability, which is not enough for Debian's.
#[test]
fn a_helper_with_both_kinds_of_privilege_works() {
    World::enter(|world| {
        world.install(Install::Both);
        for (helper, triples, setgroups) in [(Uid, GRANT, "allow"), (Gid, GRANT, "allow"), (Gid, OWN, "deny")]
        {
            let target = world.target(ALICE);
            let answer = ask(world, ALICE, helper, &target, triples);
            if theirs() {
                answer.refuses("Permission denied");
                target.assert_untouched();
                continue;
            }
            answer.succeeds();
            assert_eq!((&*helper.map(&target), &*target.setgroups()), (triples, setgroups));
            let stop = stop_at_the_write(helper, triples);
            let power = power_at_the_write(world, ALICE, helper, triples, &["-e", &stop]);
            assert_eq!(power, Power::of_caller_with(ALICE, helper.capability()));
        }
    });
}

/// G06: under a tracer of the caller's the kernel gives a program nothing of what its file has, and the refusal says so.
#[test]
fn a_helper_that_the_caller_traces_has_no_privilege_and_says_why() {
    World::enter(|world| {
        let target = world.target(ALICE);
        let mut command = world.command(ALICE, "/usr/bin/strace");
        let command = command.args(["-o", "/dev/null", "/usr/bin/newuidmap", &target.pid()]);
        let answer = world.run(command.args(GRANT.split(' ')));
        if theirs() {
            answer.refuses("");
        } else {
            answer.refuses("or it is being traced (strace, gdb)");
        }
        target.assert_untouched();
    });
}

/// One way to be installed and called, one request, and what comes of it.
struct Situation {
    how: Install,
    /// Options of setpriv(1).
    caller: &'static [&'static str],
    helper: Helper,
    ask: &'static str,
    /// What refuses: ours, and what refuses Debian's. None: the map is written.
    refusal: Option<&'static str>,
    theirs: Option<&'static str>,
}

const NO_SETUID: &str = "write to uid_map failed: Operation not permitted: newuidmap is installed set-user-ID root but \
                         was started without CAP_SETUID; the caller's capability bounding set lacks it";
const NO_SETGID: &str = "write to gid_map failed: Operation not permitted: newgidmap is installed set-user-ID root but \
                         was started without CAP_SETGID; the caller's capability bounding set lacks it";
const NNP_UID: &str =
    "write to uid_map failed: Operation not permitted: no_new_privs is set for the calling process";
const NNP_GID: &str =
    "write to gid_map failed: Operation not permitted: no_new_privs is set for the calling process";
const PLAIN_UID: &str = "write to uid_map failed: Operation not permitted: newuidmap is not installed set-user-ID root \
                         nor with cap_setuid=ep";
const PLAIN_GID: &str = "write to gid_map failed: Operation not permitted: newgidmap is not installed set-user-ID root \
                         nor with cap_setgid=ep";
const HOST_ROOT: &str = "write to uid_map failed: Operation not permitted: host uid 0 can be mapped only with \
                         CAP_SETFCAP";
/// Debian's keeps root's name, and without CAP_DAC_OVERRIDE that is nobody to the caller's files.
const UID_EACCES: &str = "open of uid_map failed: Permission denied";
const GID_EACCES: &str = "open of gid_map failed: Permission denied";
const SETGROUPS_EACCES: &str = "couldn't open process setgroups: Permission denied";
const UID_EPERM: &str = "write to uid_map failed: Operation not permitted";
const GID_EPERM: &str = "write to gid_map failed: Operation not permitted";
/// The kernel does not start a program with capabilities in effect that it cannot have.
const NO_EXEC: &str = "failed to execute";

const ANY: &[&str] = &[];
const NONE: &[&str] = &["--bounding-set=-all"];
const ONLY_SETUID: &[&str] = &["--bounding-set=-all,+setuid"];
const ONLY_SETGID: &[&str] = &["--bounding-set=-all,+setgid"];
const BOTH_SETS: &[&str] = &["--bounding-set=-all,+setuid,+setgid"];
const AND_SETFCAP: &[&str] = &["--bounding-set=-all,+setuid,+setfcap"];
const NNP: &[&str] = &["--no-new-privs"];
const HOST_ROOT_ID: &str = "0 0 1";

#[rustfmt::skip]
const SITUATIONS: &[Situation] = {
    use Install::{FileCapabilities as Fcap, Plain, SetUid};
    const fn s(
        how: Install, caller: &'static [&'static str], helper: Helper, ask: &'static str,
        refusal: Option<&'static str>, theirs: Option<&'static str>,
    ) -> Situation {
        Situation { how, caller, helper, ask, refusal, theirs }
    }
    &[
        // Nothing taken away.
        s(SetUid, ANY, Uid, GRANT, None, None),
        s(SetUid, ANY, Gid, GRANT, None, None),
        s(SetUid, ANY, Uid, OWN, None, None),
        s(SetUid, ANY, Gid, OWN, None, None),
        s(Fcap, ANY, Uid, GRANT, None, None),
        s(Fcap, ANY, Gid, GRANT, None, None),
        s(Fcap, ANY, Uid, OWN, None, None),
        s(Fcap, ANY, Gid, OWN, None, None),
        // A bounding set with just what is needed.
        s(SetUid, ONLY_SETUID, Uid, GRANT, None, Some(UID_EACCES)),
        s(SetUid, BOTH_SETS, Uid, GRANT, None, Some(UID_EACCES)),
        s(SetUid, ONLY_SETUID, Uid, OWN, None, Some(UID_EACCES)),
        s(SetUid, ONLY_SETGID, Gid, GRANT, None, Some(GID_EACCES)),
        s(SetUid, BOTH_SETS, Gid, GRANT, None, Some(GID_EACCES)),
        s(SetUid, ONLY_SETGID, Gid, OWN, None, Some(SETGROUPS_EACCES)),
        s(SetUid, BOTH_SETS, Gid, OWN, None, Some(SETGROUPS_EACCES)),
        s(Fcap, ONLY_SETUID, Uid, GRANT, None, None),
        s(Fcap, ONLY_SETUID, Uid, OWN, None, None),
        s(Fcap, ONLY_SETGID, Gid, GRANT, None, None),
        s(Fcap, ONLY_SETGID, Gid, OWN, None, None),
        s(Fcap, BOTH_SETS, Gid, OWN, None, None),
        // With the wrong capability, or none.
        s(SetUid, NONE, Uid, GRANT, Some(NO_SETUID), Some(UID_EACCES)),
        s(SetUid, ONLY_SETGID, Uid, GRANT, Some(NO_SETUID), Some(UID_EACCES)),
        s(SetUid, NONE, Gid, GRANT, Some(NO_SETGID), Some(GID_EACCES)),
        s(SetUid, ONLY_SETUID, Gid, GRANT, Some(NO_SETGID), Some(GID_EACCES)),
        s(SetUid, NONE, Uid, OWN, None, Some(UID_EACCES)),
        s(SetUid, NONE, Gid, OWN, None, Some(SETGROUPS_EACCES)),
        s(Fcap, NONE, Uid, GRANT, Some(NO_EXEC), Some(NO_EXEC)),
        s(Fcap, NONE, Uid, OWN, Some(NO_EXEC), Some(NO_EXEC)),
        s(Fcap, ONLY_SETUID, Gid, GRANT, Some(NO_EXEC), Some(NO_EXEC)),
        s(Fcap, NONE, Gid, OWN, Some(NO_EXEC), Some(NO_EXEC)),
        // No privilege from the file: the kernel still allows everybody his own id.
        s(Plain, ANY, Uid, OWN, None, None),
        s(Plain, ANY, Gid, OWN, None, None),
        s(SetUid, NNP, Uid, OWN, None, None),
        s(SetUid, NNP, Gid, OWN, None, None),
        s(Fcap, NNP, Uid, OWN, None, None),
        s(Fcap, NNP, Gid, OWN, None, None),
        s(Plain, ANY, Uid, GRANT, Some(PLAIN_UID), Some(UID_EPERM)),
        s(Plain, ANY, Gid, GRANT, Some(PLAIN_GID), Some(GID_EPERM)),
        s(SetUid, NNP, Uid, GRANT, Some(NNP_UID), Some(UID_EPERM)),
        s(SetUid, NNP, Gid, GRANT, Some(NNP_GID), Some(GID_EPERM)),
        s(Fcap, NNP, Uid, GRANT, Some(NNP_UID), Some(UID_EPERM)),
        s(Fcap, NNP, Gid, GRANT, Some(NNP_GID), Some(GID_EPERM)),
        // Host id 0, granted.
        s(SetUid, ANY, Uid, HOST_ROOT_ID, None, None),
        s(SetUid, AND_SETFCAP, Uid, HOST_ROOT_ID, None, Some(UID_EACCES)),
        s(SetUid, BOTH_SETS, Uid, HOST_ROOT_ID, Some(HOST_ROOT), Some(UID_EACCES)),
        s(Fcap, ANY, Uid, HOST_ROOT_ID, Some(HOST_ROOT), Some(UID_EPERM)),
        s(SetUid, ANY, Gid, HOST_ROOT_ID, None, None),
        s(SetUid, ONLY_SETGID, Gid, HOST_ROOT_ID, None, Some(GID_EACCES)),
        s(Fcap, ANY, Gid, HOST_ROOT_ID, None, None),
    ]
};

/// G06, G09: Differs: a bounding set with the one capability is enough, without it the own id is (Debian's: EACCES).
/// What cannot be done is refused with the reason. Wherever Debian's writes a map, ours does.
#[test]
fn what_is_left_of_privilege_is_enough_or_the_reason_is_told() {
    World::enter(|world| {
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.append(file, "alice:0:1\n");
        }
        for situation in SITUATIONS {
            let Situation { how, caller, helper, ask, refusal, theirs: refusal_of_theirs } = *situation;
            assert!(refusal.is_none() || refusal_of_theirs.is_some(), "less able than Debian's");
            world.install(how);
            let target = world.target(ALICE);
            // Only root can change his bounding set. But setpriv keeps capabilities over a change of user, and with
            // no_new_privs a program may have what its caller had: that is for the user himself to set.
            let (user, becomes): (_, &[&str]) = if caller == NNP {
                (ALICE, &[])
            } else {
                (ROOT, &["--reuid=52001", "--regid=52001", "--clear-groups"])
            };
            let mut command = world.command(user, "/usr/bin/setpriv");
            command.args(becomes).args(caller).arg(helper.path());
            let answer = world.run(command.args(helper.args(&target, ask)));
            println!("{how:?} {caller:?} {helper:?} {ask}: {answer:?}");
            match if theirs() { refusal_of_theirs } else { refusal } {
                None => {
                    answer.succeeds();
                    assert_eq!(helper.map(&target), ask);
                    let denied = helper == Gid && ask == OWN;
                    assert_eq!(target.setgroups(), if denied { "deny" } else { "allow" });
                }
                Some(NO_EXEC) => {
                    assert_ne!(answer.status, Some(0));
                    assert!(answer.stderr.contains(NO_EXEC));
                    target.assert_untouched();
                }
                Some(phrase) => {
                    answer.refuses(phrase);
                    target.assert_untouched();
                }
            }
        }
    });
}

/// G06: policy files that are root's alone to read are read in a reduced bounding set too, as they are root's and the
/// helper has root's name until it has opened them.
#[test]
fn unreadable_policy_files_need_no_capability_either() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        use std::os::unix::fs::PermissionsExt;
        for file in ["/etc/subuid", "/etc/subgid"] {
            fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("chmod");
        }
        for helper in [Uid, Gid] {
            let target = world.target(ALICE);
            let mut command = world.command(ROOT, "/usr/bin/setpriv");
            command
                .args(["--reuid=52001", "--regid=52001", "--clear-groups"])
                .args(BOTH_SETS)
                .arg(helper.path());
            world.run(command.args(helper.args(&target, GRANT))).succeeds();
            assert_eq!(helper.map(&target), GRANT);
        }
    });
}

/// G08: a security module that forbids the write is named by the label under which the helper runs. (This kernel has
/// none to load: what one answers is injected.)
#[test]
fn a_denial_by_a_security_module_is_refused_and_names_its_label() {
    World::enter(|world| {
        for helper in [Uid, Gid] {
            a_denial_names_its_label(world, helper);
        }
    });
}

fn a_denial_names_its_label(world: &World, helper: Helper) {
    let target = world.target(ALICE);
    let trace = "/run/world/trace";
    let denied = ["-o", trace, "-e", "inject=write:error=EPERM:when=1"];
    let failed = format!("write to {} failed: Operation not permitted", helper.map_file());
    let args = helper.args(&target, GRANT);
    // Without a module it is refused too.
    world.run(world.strace(ALICE, &denied, helper.path()).args(&args)).refuses(&failed);
    if theirs() {
        return;
    }
    // After the refusal the map is read once more; and then the label, where it is in a file: before Linux 6.8 it has just been.
    let text = fs::read_to_string(trace).expect("trace");
    let reads = |part: &str| part.lines().filter(|line| line.starts_with("read(")).count();
    let before_the_label = match text.split_once("attr/current\"") {
        Some((before, after)) => {
            let file =
                after.lines().next().and_then(|line| line.rsplit(' ').next()).expect("what came of it");
            reads(before) + after.split(&format!("\nread({file},")).next().map_or(0, reads)
        }
        None => reads(&text),
    };
    let of_label = u32::try_from(before_the_label + 1).expect("a few");

    let fake = |call, number, answer: Result<usize, Errno>, text: Vec<u8>| {
        let answer = answer
            .map_or_else(|errno| -i64::from(errno as i32), |value| i64::try_from(value).expect("small"));
        Fake { call, number, answer, text, is_made: false }
    };
    let run = |fakes: Vec<Fake>, shown: Option<&str>| {
        let denied = fake(libc::SYS_write, 1, Err(Errno::EPERM), vec![]);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let answer = world.answered(ALICE, helper.path(), &args, &[fakes, vec![denied]].concat());
        match shown {
            Some(label) => answer
                .refuses(&format!("{failed}: a security module may forbid it"))
                .refuses(&format!("confined as \"{label}\"")),
            None => answer.refuses(&failed).refuses("the kernel gives no reason"),
        };
        assert_eq!(answer.stderr.contains("confined as"), shown.is_some(), "{answer:?}");
    };
    for (label, shown) in [
        ("unprivileged_userns (enforce)\n", Some("unprivileged_userns (enforce)")),
        ("user_u:user_r:user_t:s0\0", Some("user_u:user_r:user_t:s0")),
        ("unconfined\n", None),
        ("", None),
    ] {
        let head = [104, 0, 32 + label.len(), label.len()].map(usize::to_ne_bytes).concat();
        run(vec![fake(LSM_GET_SELF_ATTR, 1, Ok(1), [&head, label.as_bytes()].concat())], shown);
        // Before Linux 6.8 it is in a file; and where it is too long, or a filter does not know that call.
        for errno in [Errno::ENOSYS, Errno::E2BIG, Errno::EPERM] {
            let untold = fake(LSM_GET_SELF_ATTR, 1, Err(errno), vec![]);
            run(
                vec![untold, fake(libc::SYS_read, of_label, Ok(label.len()), label.as_bytes().to_vec())],
                shown,
            );
        }
    }
    // Nor does the file of this kernel, which has none.
    run(vec![fake(LSM_GET_SELF_ATTR, 1, Err(Errno::E2BIG), vec![])], None);
    target.assert_untouched();
}

/// G09: CAP_SETFCAP is in effect, or even permitted, only where host uid 0 is mapped.
#[test]
fn setfcap_is_held_for_host_uid_0_alone() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.write(file, "alice:0:10\nalice:600000:65536\n");
        }
        for (helper, ask, capabilities) in [
            (Uid, "0 0 1", SETUID | SETFCAP),
            (Uid, "5 0 10", SETUID | SETFCAP),
            (Uid, "0 1 9", SETUID),
            (Uid, "0 600000 10", SETUID),
            (Gid, "0 0 1", SETGID),
            (Gid, "0 600000 10", SETGID),
        ] {
            let stop = stop_at_the_write(helper, ask);
            let power = power_at_the_write(world, ALICE, helper, ask, &["-e", &stop]);
            assert_eq!(power, Power::of_caller_with(ALICE, capabilities), "{helper:?} {ask}");
        }
        // An installation may give it along with the other.
        world.install(Install::Plain);
        set_capability(Uid, "cap_setuid,cap_setfcap=ep");
        for (ask, capabilities) in [("0 0 1", SETUID | SETFCAP), ("0 600000 10", SETUID)] {
            let stop = stop_at_the_write(Uid, ask);
            let power = power_at_the_write(world, ALICE, Uid, ask, &["-e", &stop]);
            assert_eq!(power, Power::of_caller_with(ALICE, capabilities), "{ask}");
        }
    });
}

/// G11: root with half of root's power, as in a container, is one more caller: policy decides, and what he cannot do
/// the helper cannot do for him.
#[test]
fn root_with_few_capabilities_is_a_caller_like_others() {
    World::enter(|world| {
        let run = |bounding: &str, helper: Helper, target: &Target, ask: &str| {
            let mut command = world.command(ROOT, "/usr/bin/setpriv");
            command.args([&format!("--bounding-set=-all,{bounding}"), helper.path()]);
            world.run(command.args(helper.args(target, ask)))
        };
        for bounding in ["+setuid,+setgid", "+setuid,+setgid,+setfcap,+sys_admin", "+chown"] {
            for helper in [Uid, Gid] {
                let target = world.target(ROOT);
                for ask in ["0 600000 1", "0 0 2", "0 1000 1"] {
                    let answer = run(bounding, helper, &target, ask);
                    answer.refuses(") not allowed");
                    if !theirs() {
                        answer.refuses("root is not exempt");
                    }
                    target.assert_untouched();
                }
                let theirs = world.target(ALICE);
                run(bounding, helper, &theirs, "0 0 1").refuses("is owned by a different user: uid:0");
                theirs.assert_untouched();
            }
        }
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.append(file, "root:800000:10\n");
        }
        for helper in [Uid, Gid] {
            let target = world.target(ROOT);
            run("+setuid,+setgid", helper, &target, "0 800000 10").succeeds();
            assert_eq!(helper.map(&target), "0 800000 10");
            let target = world.target(ROOT);
            run("+chown", helper, &target, "0 800000 10").refuses("failed: Operation not permitted");
            target.assert_untouched();
            let answer = run("+setuid,+setgid", helper, &target, "0 800000 11");
            answer.refuses("range [0-11) -> [800000-800011) not allowed");
            target.assert_untouched();
        }
        // His own uid is the host's root to the kernel.
        let target = world.target(ROOT);
        let answer = run("+setuid,+setgid", Uid, &target, "0 0 1");
        answer.refuses("write to uid_map failed: Operation not permitted");
        if !theirs() {
            answer.refuses("CAP_SETFCAP");
        }
        target.assert_untouched();
    });
}

/// G11: the same in a user namespace of which he is root, with all the capabilities that this gives.
#[test]
fn root_of_a_container_is_a_caller_like_others() {
    World::enter(|world| {
        world.append("/etc/subuid", "root:0:10\n");
        let mut command = world.command(ROOT, "/usr/bin/unshare");
        let container = world.target_of(command.args(["-r", "sleep", "1000"]));
        let enter = |program: &str| {
            let mut command = world.command(ROOT, "/usr/bin/nsenter");
            command.args(["-t", &container.pid(), "-U", "--preserve-credentials", program]);
            command
        };
        let target = world.target_of(enter("/usr/bin/unshare").args(["-U", "sleep", "1000"]));
        target.wait_for("comm", "sleep\n");
        let run = |ask: &str| world.run(enter(Uid.path()).args(Uid.args(&target, ask)));
        run("0 600000 1").refuses("uid range [0-1) -> [600000-600001) not allowed");
        // Granted, but his namespace has no such uid.
        let answer = run("0 0 2");
        answer.refuses(if theirs() {
            "write to uid_map failed: Operation not permitted"
        } else {
            "host uid 1 "
        });
        assert_eq!(target.uid_map(), "");
        run("0 0 1").succeeds();
        assert_eq!(target.uid_map(), "0 0 1");
    });
}

/// The requests after which a trace is looked through: of every kind, with every way to end.
fn trace_all(world: &World, see: impl Fn(&str, &Answer, &str)) {
    let foreign = world.target(CAROL);
    let plain = world.plain_process(ALICE);
    for helper in [Uid, Gid] {
        let target = world.target(ALICE);
        let pid = target.pid();
        let asks: [(&str, &str, &[&str]); 10] = [
            ("nothing", "", &[]),
            ("no triple", &pid, &["0", "1"]),
            ("no such process", "2147483647", &["0", "600000", "1"]),
            ("another's process", &foreign.pid(), &["0", "600000", "1"]),
            ("no new namespace", &plain.pid(), &["0", "600000", "1"]),
            ("not granted", &pid, &["0", "700000", "1"]),
            ("no number", &pid, &["0", "x", "1"]),
            ("too much", &pid, &["0", "600000", "10", "5", "600010", "10"]),
            ("granted", &pid, &["0", "600000", "65536"]),
            ("granted before", &pid, &["0", "600000", "65536"]),
        ];
        for (what, target, words) in asks {
            let args: Vec<&str> =
                [target].into_iter().filter(|word| !word.is_empty()).chain(words.iter().copied()).collect();
            trace(world, ALICE, helper, what, &args, &see);
        }
        let target = world.target(ALICE);
        trace(world, ALICE, helper, "own id", &[&target.pid(), "0", "52001", "1"], &see);
        assert_eq!(helper.map(&target), OWN);
    }
}

fn trace(
    world: &World,
    user: User,
    helper: Helper,
    what: &str,
    args: &[&str],
    see: impl Fn(&str, &Answer, &str),
) {
    let mut command = world.strace(user, &["-f", "-o", "/run/world/trace"], helper.path());
    let answer = world.run(command.args(args));
    let trace = fs::read_to_string("/run/world/trace").expect("trace");
    // Each line begins with the pid.
    let trace: Vec<&str> =
        trace.lines().map(|line| line.split_once(' ').expect("a pid").1.trim_start()).collect();
    see(&format!("{helper:?} {what}"), &answer, &trace.join("\n"));
}

/// The name of the system call in a line of a trace. Other lines are of signals and ends.
fn call(line: &str) -> Option<&str> {
    let (name, _) = line.split_once('(')?;
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then_some(name)
}

/// All that is needed once the caller's ids are taken: memory, reading, looking, one capability, a write, the log. glibc
/// and musl have other calls for the same; musl blocks signals while it changes ids.
#[rustfmt::skip]
const AFTER_THE_DROP: [&str; 35] = [
    "rt_sigprocmask", "rt_sigaction", "alarm", "setitimer", "open", "fstat", "stat", "lstat",
    "brk", "mmap", "mremap", "munmap",
    "openat", "newfstatat", "readlinkat", "fstatfs", "statfs", "fcntl", "read", "lseek", "close", "ioctl", "poll",
    "prctl", "seccomp", "capset", "capget", "getresuid", "getresgid",
    "write", "socket", "sendto", "getpid", "exit_group",
    UNKNOWN_TO_STRACE,
];

/// G10: after the change to the caller's ids nothing happens but reading, looking, the raising of one capability, the
/// writes to `setgroups` and the map, one datagram to the log and one line to stderr. Ours alone.
#[test]
fn after_the_drop_only_a_few_system_calls_are_made() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        trace_all(world, |what, answer, trace| {
            let Some(drop) = trace.find("setresuid(") else {
                // Refused before anything was opened.
                assert_ne!(answer.status, Some(0), "{what}");
                assert!(!trace.contains("openat("), "{what}: {trace}");
                return;
            };
            let (before, after) = trace.split_at(drop);
            // Root's files are opened before the drop; what the caller names, after it.
            for line in before.lines().filter(|line| call(line) == Some("openat")) {
                let name = line.split('"').nth(1).expect("a name");
                assert!(
                    ["/etc", "subuid", "subgid", "nsswitch.conf", "nsgate.ini"].contains(&name),
                    "{what}: {line}"
                );
            }
            for line in after.lines().skip(1) {
                let Some(name) = call(line) else { continue };
                assert!(AFTER_THE_DROP.contains(&name), "{what}: {line}");
                let to_write = line.contains("O_WRONLY") || line.contains("O_RDWR");
                let starts = |texts: &[&str]| texts.iter().any(|text| line.contains(&format!(", \"{text}")));
                let as_meant = match name {
                    "open" if to_write => false,
                    "openat" if to_write => {
                        starts(&["uid_map\"", "gid_map\"", "setgroups\""])
                            && !line.contains("O_CREAT")
                            && !line.contains("O_TRUNC")
                    }
                    // A refusal begins with the program's name.
                    "write" => starts(&[
                        "0 600000 65536\\n\"",
                        "0 52001 1\\n\"",
                        "deny\"",
                        "newuidmap: ",
                        "newgidmap: ",
                    ]),
                    "socket" => line.contains("AF_UNIX, SOCK_DGRAM|SOCK_CLOEXEC"),
                    "prctl" => ["PR_SET_DUMPABLE, SUID_DUMP_DISABLE", "PR_GET_", "PR_SET_NO_NEW_PRIVS, 1"]
                        .iter()
                        .any(|meant| line.contains(meant)),
                    _ => true,
                };
                assert!(as_meant, "{what}: {line}");
            }
        });
    });
}

/// G12: a helper becomes no other program and starts none, whatever it is asked.
#[test]
fn a_helper_starts_no_program() {
    World::enter(|world| {
        trace_all(world, |what, _, trace| {
            let calls: Vec<&str> = trace.lines().filter_map(call).collect();
            assert!(calls.len() > 10, "{what}: a trace of {calls:?}");
            assert_eq!(calls.iter().filter(|name| name.starts_with("execve")).count(), 1, "{what}: {trace}");
            for name in ["fork", "vfork", "clone", "clone3"] {
                assert!(!calls.contains(&name), "{what}: {name}");
            }
        });
    });
}

/// G12: the one exception: for a caller who is not in /etc/passwd the helper becomes its own twin, which is installed
/// like it, and hands it neither privilege, nor environment, nor descriptors of its own.
#[test]
fn a_caller_from_elsewhere_costs_one_exec_of_the_twin() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let target = world.target(NOBODY_AT_ALL);
        for (helper, twin) in
            [(Uid, "/usr/libexec/nsgate/newuidmap-nss"), (Gid, "/usr/libexec/nsgate/newgidmap-nss")]
        {
            let mut command = world.command(ROOT, "/usr/bin/strace");
            command.args([
                "-f",
                "-o",
                "/run/world/trace",
                "/usr/bin/setpriv",
                "--reuid=52999",
                "--regid=52999",
            ]);
            command.args(["--clear-groups", helper.path()]).env("SECRET", "1");
            world
                .run(command.args(helper.args(&target, "0 52999 1")))
                .refuses("Cannot determine your user name");
            let trace = fs::read_to_string("/run/world/trace").expect("trace");
            let programs: Vec<&str> = trace.lines().filter(|line| line.contains(" execve(")).collect();
            let [_setpriv, _helper, hand_over] = programs[..] else { panic!("{programs:?}") };
            assert!(hand_over.contains(&format!("execve(\"{twin}\", [")), "{hand_over}");
            assert!(hand_over.contains("/* 0 vars */") && hand_over.ends_with("= 0"), "{hand_over}");
            let before = trace.split(hand_over).next().expect("the start");
            let (_, ours) = before.split_once("capset(").expect("cuts its capabilities");
            assert!(ours.contains("setresuid(52999, 52999, 52999)"), "{ours}");
            assert!(ours.contains("effective=0"), "{ours}");
            let opened = ours.lines().filter(|line| line.contains("openat("));
            for line in opened {
                assert!(line.contains("O_CLOEXEC"), "{line}");
            }
        }
        target.assert_untouched();
    });
}
