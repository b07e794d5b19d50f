//! What the helpers can still do when they are no longer themselves: the calls that their filters let through are those that
//! they make, and an intruder who has got hold of one in the middle can make no others. Ours alone: C has no filter.
//!
//! The programs are those that are shipped: the intruder is a tracer (`tests/src/intruder.rs`).
#![cfg(target_arch = "x86_64")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::process::{Command, Stdio};

use common::os::confine::{Call, Libc, List};
use nix::errno::Errno;
use nix::libc::{self, c_long};
use world::Argument::{Bytes, Number};
use world::{
    ALICE, Answer, Argument, Container, Install, Intruder, LXC_USER_NIC, Target, UNKNOWN_TO_STRACE, User,
    World, kernel_has_landlock, theirs,
};

const NEWUIDMAP: &str = "/usr/bin/newuidmap";
const NEWGIDMAP: &str = "/usr/bin/newgidmap";
const NIC_TWIN: &str = "/usr/libexec/nsgate/lxc-user-nic-nss";

const GRANTED: [&str; 3] = ["0", "600000", "65536"];

fn twin(helper: &str) -> String {
    format!("/usr/libexec/nsgate/{}-nss", helper.rsplit('/').next().expect("a name"))
}

/// A program's C library, by whether it has a loader.
fn libc_of(program: &str) -> Libc {
    let file = fs::read(program).expect("read");
    let has = |word: &[u8]| file.windows(word.len()).any(|part| part == word);
    if has(b"ld-linux") || has(b"GNU C Library") { Libc::Gnu } else { Libc::Musl }
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status().expect("run");
    assert!(status.success(), "{program} {args:?}: {status}");
}

// ---------------------------------------------------------------------------------------------------------------------
// The lists

/// What a program has been seen to do from each of its filters on, and what the filter let through.
#[derive(Default)]
struct Seen {
    after: [BTreeSet<String>; 2],
    refused: Vec<String>,
}

impl Seen {
    /// Adds a run of a program.
    fn add(&mut self, trace: &str) {
        let mut filters = 0;
        for line in trace.lines() {
            let Some((call, rest)) = line.split_once('(') else { continue };
            let call = if call == UNKNOWN_TO_STRACE { "lsm_get_self_attr" } else { call };
            if !call.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_') {
                continue;
            }
            for after in self.after.iter_mut().take(filters) {
                after.insert(call.to_owned());
            }
            // Of nothing else does the kernel say so in these runs.
            let kernels = rest.contains("NS_GET_PARENT");
            if filters > 0 && !kernels && rest.ends_with("= -1 EPERM (Operation not permitted)") {
                self.refused.push(line.to_owned());
            }
            if call == "seccomp" && rest.ends_with("= 0") {
                filters += 1;
            }
        }
        assert!(filters <= 2, "{trace}");
    }
}

/// What is in a list for a reason that no run of these shows.
fn for_a_reason(call: &str, libc: Libc) -> bool {
    match call {
        // After SIGSTOP and SIGCONT in a wait, by the kernel itself.
        "restart_syscall" => true,
        // Where there is a clock that the process can read itself, it does.
        "clock_gettime" => true,
        // Which of them depends on how much has been asked for before, and on what there is.
        "brk" | "mmap" | "mremap" | "munmap" => true,
        // glibc's allocator, when it is first asked.
        "getrandom" => libc == Libc::Gnu,
        // musl's, where brk fails: `nic_faults.rs`.
        "mprotect" => libc == Libc::Musl,
        // Versions of glibc differ in these.
        "fstat" | "newfstatat" | "statx" => libc == Libc::Gnu,
        _ => false,
    }
}

#[track_caller]
fn the_list_is_what_is_done(program: &str, seen: &Seen, lists: [List; 2]) {
    let mut wrong: Vec<String> = seen.refused.iter().map(|line| format!("refused: {line}")).collect();
    let libc = libc_of(program);
    for (stage, (after, list)) in seen.after.iter().zip(lists).enumerate() {
        let name = |call: &Call| call.name.trim_start_matches("SYS_").to_owned();
        let listed: BTreeSet<String> = list.calls().iter().map(name).collect();
        wrong.extend(after.difference(&listed).map(|call| format!("stage {stage}: not in the list: {call}")));
        let idle = listed.difference(after).filter(|call| !for_a_reason(call, libc));
        wrong.extend(idle.map(|call| format!("stage {stage}: in the list, and never made: {call}")));
    }
    assert_eq!(wrong, Vec::<String>::new(), "{program}");
}

fn trace(world: &World, user: User, program: &str, args: &[&str], seen: &mut Seen) -> Answer {
    trace_with(world, user, &[], program, args, seen)
}

fn trace_with(
    world: &World,
    user: User,
    more: &[&str],
    program: &str,
    args: &[&str],
    seen: &mut Seen,
) -> Answer {
    let options = [&["-o", "/run/world/calls"], more].concat();
    let answer = world.run(world.strace(user, &options, program).args(args));
    seen.add(&fs::read_to_string("/run/world/calls").expect("trace"));
    answer
}

/// Requests of every kind, of hosts of every kind.
fn idmaps(world: &World, program: &str, seen: &mut Seen) {
    let own = ["0", "52001", "1"];
    let ask = |target: &Target, triple: &[&str], seen: &mut Seen| {
        trace(world, ALICE, program, &[&[&*target.pid()], triple].concat(), seen)
    };
    let fresh = || world.target(ALICE);
    ask(&fresh(), &GRANTED, seen).succeeds();
    ask(&fresh(), &own, seen).succeeds();
    ask(&fresh(), &["0", "700000", "1"], seen).refuses("not allowed");
    ask(&world.plain_process(ALICE), &GRANTED, seen).refuses("");
    let mapped = fresh();
    ask(&mapped, &GRANTED, seen).succeeds();
    ask(&mapped, &GRANTED, seen).refuses("already has a");

    // By descriptor: of the directory, and of the process.
    for open in ["os.open(f'/proc/{pid}', os.O_RDONLY)", "os.pidfd_open(pid)"] {
        let target = fresh();
        let script = format!(
            "import os,sys\npid = int(sys.argv[2])\nfd = {open}\nos.dup2(fd, 9)\n\
             os.execv(sys.argv[1], [sys.argv[1], 'fd:9', *sys.argv[3:]])"
        );
        let mut args = vec!["-I", "-c", &script, program];
        let pid = target.pid();
        args.push(&pid);
        args.extend(GRANTED);
        trace(world, ALICE, "/usr/bin/python3", &args, seen).succeeds();
    }

    // The host's own rules, which ask the kernel for more; and files behind links.
    world.write(
        "/etc/nsgate.ini",
        "[idmap]\noverlap = refuse\nprotect-accounts = yes\nexclusive = yes\nrequire-limits = memory\nulimits = nofile\n",
    );
    for file in ["passwd", "group"] {
        let (link, real) = (format!("/etc/{file}"), format!("{file}.real"));
        fs::rename(&link, format!("/etc/{real}")).expect("rename");
        symlink(real, link).expect("link");
    }
    ask(&fresh(), &GRANTED, seen);
    for file in ["passwd", "group"] {
        fs::rename(format!("/etc/{file}.real"), format!("/etc/{file}")).expect("rename");
    }
    fs::remove_file("/etc/nsgate.ini").expect("remove");
    // One that allows it, and is looked at again; and a deed that fails.
    world.write("/etc/nsgate.ini", "[idmap]\nmax-ids = 100000\n");
    ask(&fresh(), &GRANTED, seen).succeeds();
    // It cannot be looked at by its name, where the caller may not go.
    fs::DirBuilder::new().mode(0o700).create("/etc/hidden").expect("a directory");
    fs::rename("/etc/nsgate.ini", "/etc/hidden/nsgate.ini").expect("rename");
    symlink("hidden/nsgate.ini", "/etc/nsgate.ini").expect("link");
    ask(&fresh(), &GRANTED, seen).succeeds();
    fs::remove_file("/etc/nsgate.ini").expect("remove");
    fs::rename("/etc/hidden/nsgate.ini", "/etc/nsgate.ini").expect("rename");
    fs::remove_dir("/etc/hidden").expect("remove");
    let target = fresh();
    let pid = target.pid();
    let args = [&[&*pid], &GRANTED[..]].concat();
    trace_with(world, ALICE, &["-e", "inject=write:error=EIO:when=1"], program, &args, seen)
        .refuses("failed");
    fs::remove_file("/etc/nsgate.ini").expect("remove");

    // More than the memory that is set aside.
    let many: String = (0..60_000).map(|n| format!("alice:{}:1\n", 1_000_000 + n * 2)).collect();
    for file in ["/etc/subuid", "/etc/subgid"] {
        world.append(file, &many);
    }
    ask(&fresh(), &GRANTED, seen).succeeds();
    for file in ["/etc/subuid", "/etc/subgid"] {
        world.write(file, "alice:600000:65536\nbob:700000:65536\n");
    }

    // Without privilege, and without anybody to tell.
    world.install(Install::Plain);
    ask(&fresh(), &GRANTED, seen).refuses("is not installed");
    world.install(Install::SetUid);
}

/// G10, G12: each filter of newuidmap and newgidmap, and of their twins, lets through what is done behind it, and nothing else.
#[test]
fn the_lists_of_the_id_map_helpers_are_what_they_do() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        // Of one list for two programs, it is enough that one of them does it.
        let mut by_libc: BTreeMap<bool, (String, Seen)> = BTreeMap::new();
        for helper in [NEWUIDMAP, NEWGIDMAP] {
            for program in [helper.to_owned(), twin(helper)] {
                let key = libc_of(&program) == Libc::Gnu;
                let (_, seen) = by_libc.entry(key).or_insert_with(|| (program.clone(), Seen::default()));
                idmaps(world, &program, seen);
            }
        }
        for (program, seen) in by_libc.into_values() {
            let libc = libc_of(&program);
            the_list_is_what_is_done(
                &program,
                &seen,
                [newidmap::confine::checks(libc), newidmap::confine::deed(libc)],
            );
        }
    });
}

/// A host with the bridge lxcbr0 and this policy, on which all of lxc-user-nic is confined.
fn enter_without_open_vswitch(policy: &str, test: impl FnOnce(&World) + Send) {
    World::enter_with_nic(|world| {
        world.without_open_vswitch();
        world.bridge("lxcbr0");
        world.usernet(policy);
        test(world);
    });
}

const NIC_POLICY: &str = "alice veth lxcbr0 2\nalice veth none 5\nalice veth gone 1\n";

fn nics(world: &World, program: &str, seen: &mut Seen) {
    let container = world.container(ALICE);
    let pid = container.pid();
    let create = |bridge: &str, more: &[&str], seen: &mut Seen| {
        trace(
            world,
            ALICE,
            program,
            &[&["create", "/dev/null", "dummy", &pid, "veth", bridge], more].concat(),
            seen,
        )
    };
    let delete = |bridge: &str, name: &str, seen: &mut Seen| {
        let netns = container.netns();
        trace(world, ALICE, program, &["delete", "/dev/null", "dummy", &netns, "veth", bridge, name], seen)
    };
    let nic = create("lxcbr0", &["eth0"], seen).nic();
    create("lxcbr0", &["eth0"], seen).refuses("is taken");
    let _second = create("lxcbr0", &[], seen).nic();
    let _unbridged = create("none", &[], seen).nic();
    create("lxcbr0", &["eth8"], seen).refuses("Quota reached");
    create("other", &[], seen).refuses("is not allowed");
    create("gone", &[], seen).refuses("does not exist");
    delete("lxcbr0", &nic.host_name, seen).succeeds();
    delete("lxcbr0", &nic.host_name, seen).refuses("has made none");
    delete("none", "veth0", seen).refuses("");

    // What the host's rules add.
    world.write(
        "/etc/nsgate.ini",
        "[bridge \"*\"]\nisolate = yes\nlock-mac = yes\nmac = stable\nmax-nics = 100\n[nic]\nrequire-limits = memory\n",
    );
    create("lxcbr0", &["eth3"], seen);
    world.write(
        "/etc/nsgate.ini",
        "[bridge \"*\"]\nisolate = yes\nlock-mac = yes\nmac = stable\nmax-nics = 100\n",
    );
    let nic = create("lxcbr0", &["eth3"], seen).nic();
    delete("lxcbr0", &nic.host_name, seen).succeeds();
    fs::remove_file("/etc/nsgate.ini").expect("remove");

    // A group behind a link.
    world.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\n");
    world.group("lab", 7000);
    world.usernet("@lab veth lxcbr0 2\n");
    fs::rename("/etc/group", "/etc/group.real").expect("rename");
    symlink("group.real", "/etc/group").expect("link");
    create("lxcbr0", &[], seen).refuses("is not allowed");
    fs::rename("/etc/group.real", "/etc/group").expect("rename");
    world.usernet(NIC_POLICY);

    // The list of others, which somebody else has locked, or that cannot be written.
    let lock = "import fcntl,sys,time\nf = open('/run/lxc/nics', 'a')\nfcntl.lockf(f, fcntl.LOCK_EX)\nprint(flush=True)\ntime.sleep(99)";
    let mut holder =
        Command::new("python3").args(["-I", "-c", lock]).stdout(Stdio::piped()).spawn().expect("python3");
    let mut byte = [0];
    holder.stdout.as_mut().expect("a pipe").read_exact(&mut byte).expect("locked");
    let nic = create("lxcbr0", &["eth5"], seen).nic();
    drop(holder.kill());
    drop(holder.wait());
    delete("lxcbr0", &nic.host_name, seen).succeeds();
    let args = ["create", "/dev/null", "dummy", &pid, "veth", "lxcbr0", "eth5"];
    // The two before it are settings of the interface.
    trace_with(world, ALICE, &["-e", "inject=write:error=ENOSPC:when=3"], program, &args, seen)
        .refuses("cannot write /run/lxc/nics");

    // A connection that breaks.
    let args = ["create", "/dev/null", "dummy", &pid, "veth", "lxcbr0", "eth3"];
    trace_with(world, ALICE, &["-e", "inject=recvfrom:error=EIO:when=3"], program, &args, seen)
        .refuses("make the interface: ");

    // A list whose end is missing.
    world.write("/run/lxc/nics", "x");
    fs::set_permissions("/run/lxc/nics", fs::Permissions::from_mode(0o600)).expect("chmod");
    let nic = create("lxcbr0", &["eth4"], seen).nic();
    delete("lxcbr0", &nic.host_name, seen).succeeds();

    // A container that ends leaves a record, which the next one clears away.
    drop(container);
    let container = world.container(ALICE);
    let pid = container.pid();
    let args = ["create", "/dev/null", "dummy", &pid, "veth", "lxcbr0"];
    let _nic = trace(world, ALICE, program, &args, seen).nic();
}

/// G10: the same of lxc-user-nic and its twin.
#[test]
fn the_lists_of_lxc_user_nic_are_what_it_does() {
    if theirs() {
        return;
    }
    enter_without_open_vswitch(NIC_POLICY, |world| {
        for program in [LXC_USER_NIC, NIC_TWIN] {
            let mut seen = Seen::default();
            // As after a boot.
            drop(fs::remove_dir_all("/run/lxc/nsgate"));
            nics(world, program, &mut seen);
            let libc = libc_of(program);
            the_list_is_what_is_done(
                program,
                &seen,
                [usernic::confine::policy(libc), usernic::confine::wiring(libc)],
            );
        }
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// The intruder

/// He tries every call that there is and is not in the list, and more that somebody like him would want.
#[track_caller]
fn can_make_no_other_call(intruder: &mut Intruder, list: &List) {
    let listed: BTreeSet<c_long> = list.calls().iter().map(|call| call.number).collect();
    // Some more than this kernel has; and x32's. But for two that no filter sees and that do nothing (uprobe, uretprobe).
    let x32 = [0x4000_0000, 0x4000_0002, 0x4000_0208];
    for call in (0..335).chain(337..=600).chain(x32).filter(|call| !listed.contains(call)) {
        assert_eq!(intruder.tries(call, &[]), Err(Errno::EPERM), "call {call}");
    }
    for (what, call, arguments) in wishes() {
        let only = list.calls().iter().find(|listed| listed.number == call).map(|listed| listed.only);
        if only.is_none_or(|only| !only.is_empty()) {
            assert_eq!(intruder.tries(call, &arguments), Err(Errno::EPERM), "{what}");
        }
    }
    // Having the kernel send a signal, which one, and when: root's would end anybody (10 is `F_SETSIG`, 15 `F_SETOWN_EX`).
    for (request, argument) in [(libc::F_SETOWN, 1), (15, 1), (10, 9), (libc::F_NOTIFY, 2)] {
        let arguments = [Number(2), Number(request.into()), Number(argument)];
        assert_eq!(intruder.tries(libc::SYS_fcntl, &arguments), Err(Errno::EPERM), "fcntl {request}");
    }
}

const SOCKET: [u8; 18] = *b"\x01\0/run/test.socket";

/// What works before there is a filter, and is what somebody would do next.
fn wishes() -> Vec<(&'static str, c_long, Vec<Argument<'static>>)> {
    let n = Number;
    let mapped = i64::from(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    vec![
        ("run a program", libc::SYS_execve, vec![Bytes(b"/bin/sh\0"), n(0), n(0)]),
        ("run it by descriptor", libc::SYS_execveat, vec![n(-100), Bytes(b"/bin/sh\0"), n(0), n(0), n(0)]),
        ("fork", libc::SYS_fork, vec![]),
        ("clone", libc::SYS_clone, vec![n(17)]),
        ("a socket to the world", libc::SYS_socket, vec![n(2), n(1), n(0)]),
        ("a raw netlink socket", libc::SYS_socket, vec![n(16), n(3), n(15)]),
        ("connect", libc::SYS_connect, vec![n(3), Bytes(&SOCKET), n(18)]),
        (
            "a datagram to whom he likes",
            libc::SYS_sendto,
            vec![n(3), Bytes(b"x\0"), n(1), n(0), Bytes(&SOCKET), n(18)],
        ),
        ("be root", libc::SYS_setuid, vec![n(0)]),
        ("be root as before", libc::SYS_setreuid, vec![n(0), n(0)]),
        ("memory to run", libc::SYS_mmap, vec![n(0), n(4096), n(7), n(mapped), n(-1), n(0)]),
        ("memory made to run", libc::SYS_mprotect, vec![n(0), n(4096), n(5)]),
        ("type on the terminal", libc::SYS_ioctl, vec![n(0), n(0x5412), Bytes(b"x\0")]),
        ("a namespace", libc::SYS_unshare, vec![n(0x1000_0000)]),
        ("trace", libc::SYS_ptrace, vec![n(16), n(1)]),
        ("a mount", libc::SYS_mount, vec![Bytes(b"x\0"), Bytes(b"/tmp\0"), Bytes(b"tmpfs\0"), n(0), n(0)]),
        ("a ring", libc::SYS_io_uring_setup, vec![n(1), Bytes(&[0; 120])]),
        ("dumpable", libc::SYS_prctl, vec![n(4), n(1)]),
    ]
}

/// Opening, in each way that there is.
fn openings() -> Vec<(c_long, Vec<Argument<'static>>)> {
    vec![
        (libc::SYS_openat, vec![Number(-100), Bytes(b"/etc/passwd\0"), Number(0)]),
        (libc::SYS_open, vec![Bytes(b"/etc/passwd\0"), Number(0)]),
        (libc::SYS_openat2, vec![Number(-100), Bytes(b"/etc/passwd\0"), Bytes(&[0; 24]), Number(24)]),
        (libc::SYS_creat, vec![Bytes(b"/dev/null\0"), Number(0o600)]),
    ]
}

/// Before there is a filter these do work: it is the filter that keeps him from them.
#[track_caller]
fn can_do_as_he_likes(intruder: &mut Intruder) {
    for (call, arguments) in openings() {
        let opened = intruder.tries(call, &arguments).unwrap_or_else(|errno| panic!("{call}: {errno}"));
        intruder.tries(libc::SYS_close, &[Number(opened)]).expect("close");
    }
    let socket = intruder.tries(libc::SYS_socket, &[Number(2), Number(1), Number(0)]).expect("socket");
    intruder.tries(libc::SYS_close, &[Number(socket)]).expect("close");
    assert_ne!(intruder.tries(600, &[]), Err(Errno::EPERM));
}

#[test]
fn an_intruder_in_an_id_map_helper_can_neither_open_nor_run_nor_connect() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        for how in [Install::SetUid, Install::FileCapabilities] {
            world.install(how);
            for program in [NEWUIDMAP.to_owned(), twin(NEWUIDMAP), NEWGIDMAP.to_owned(), twin(NEWGIDMAP)] {
                let libc = libc_of(&program);
                let target = world.target(ALICE);
                let pid = target.pid();
                let args: Vec<&str> = [&*pid].into_iter().chain(GRANTED).collect();
                let at = |place| world.intrude(ALICE, &program, &args, place);

                let mut at_first = at((libc::SYS_capset, 1));
                can_do_as_he_likes(&mut at_first);
                drop(at_first.goes());
                let target = world.target(ALICE);
                let pid = target.pid();
                let args: Vec<&str> = [&*pid].into_iter().chain(GRANTED).collect();
                let at = |place| world.intrude(ALICE, &program, &args, place);

                // In the checks: the one with the capability in effect.
                let mut in_checks = at((libc::SYS_getresuid, 1));
                can_make_no_other_call(&mut in_checks, &newidmap::confine::checks(libc));
                for uid in [0, 600_000] {
                    let ids = [Number(uid), Number(uid), Number(uid)];
                    assert_eq!(in_checks.tries(libc::SYS_setresuid, &ids), Err(Errno::EPERM));
                    assert_eq!(in_checks.tries(libc::SYS_setresgid, &ids), Err(Errno::EPERM));
                }
                in_checks.goes().succeeds();

                // In the deed: as it is about to send the grant to the log.
                let target = world.target(ALICE);
                let pid = target.pid();
                let args: Vec<&str> = [&*pid].into_iter().chain(GRANTED).collect();
                let mut in_deed = world.intrude(ALICE, &program, &args, (libc::SYS_sendto, 1));
                can_make_no_other_call(&mut in_deed, &newidmap::confine::deed(libc));
                for (call, arguments) in openings() {
                    assert_eq!(in_deed.tries(call, &arguments), Err(Errno::EPERM), "opening by {call}");
                }
                in_deed.goes().succeeds();
                let map = if program.contains("uid") { target.uid_map() } else { target.gid_map() };
                assert_eq!(map, GRANTED.join(" "));
            }
        }
    });
}

fn create(pid: &str) -> [&str; 7] {
    ["create", "/dev/null", "dummy", pid, "veth", "lxcbr0", "eth0"]
}

/// As root, to a file: what the kernel says.
fn opens(intruder: &mut Intruder, path: &[u8], flags: i32) -> Result<c_long, Errno> {
    let flags = i64::from(flags);
    intruder.tries(libc::SYS_openat, &[Number(-100), Bytes(path), Number(flags), Number(0o600)])
}

#[test]
fn an_intruder_in_lxc_user_nic_reaches_nothing_but_the_ledger_and_interfaces() {
    if theirs() {
        return;
    }
    enter_without_open_vswitch("alice veth lxcbr0 10\n", |world| {
        // The directories are there from boot on.
        fs::create_dir_all("/run/lxc").expect("mkdir");
        let has_landlock = kernel_has_landlock();
        let write_new = libc::O_WRONLY | libc::O_CREAT;
        for program in [LXC_USER_NIC, NIC_TWIN] {
            let libc = libc_of(program);
            let container = world.container(ALICE);
            let pid = container.pid();
            let at = |place| world.intrude(ALICE, program, &create(&pid), place);
            let mut at_first = at((libc::SYS_capset, 1));
            can_do_as_he_likes(&mut at_first);
            drop(at_first.goes().nic());
            container.delete_link("eth0");

            // Root, and about to take a place.
            let mut in_policy = at((libc::SYS_fallocate, 1));
            can_make_no_other_call(&mut in_policy, &usernic::confine::policy(libc));
            if has_landlock {
                for path in
                    [&b"/etc/passwd\0"[..], b"/etc/cron.d/x\0", b"/run/x\0", b"/tmp/x\0", b"/root/x\0"]
                {
                    assert_eq!(opens(&mut in_policy, path, write_new), Err(Errno::EACCES));
                }
                let directory = [Number(-100), Bytes(b"/run/systemd-x\0"), Number(0o700)];
                assert_eq!(in_policy.tries(libc::SYS_mkdirat, &directory), Err(Errno::EACCES));
            }
            drop(in_policy.goes().nic());
            container.delete_link("eth0");

            // Between the record and the interface: at the message that makes it.
            let mut in_wiring = at((libc::SYS_sendto, 3));
            can_make_no_other_call(&mut in_wiring, &usernic::confine::wiring(libc));
            let datagram = [Number(3), Bytes(b"x\0"), Number(1), Number(0), Bytes(&SOCKET), Number(18)];
            assert_eq!(in_wiring.tries(libc::SYS_sendto, &datagram), Err(Errno::EPERM));
            if has_landlock {
                for path in [
                    &b"/etc/passwd\0"[..],
                    b"/etc/shadow\0",
                    b"/etc/hosts\0",
                    b"/dev/null\0",
                    b"/proc/self/mem\0",
                ] {
                    for flags in [libc::O_RDONLY, libc::O_RDWR, write_new] {
                        let opened = opens(&mut in_wiring, path, flags);
                        assert_eq!(opened, Err(Errno::EACCES), "{}", String::from_utf8_lossy(path));
                    }
                }
                let kept =
                    opens(&mut in_wiring, b"/run/lxc/kept\0", write_new).expect("the ledger's directory");
                in_wiring.tries(libc::SYS_close, &[Number(kept)]).expect("close");
            }
            drop(in_wiring.goes().nic());
            container.delete_link("eth0");
        }
        assert!(
            !["/etc/cron.d/x", "/run/x", "/tmp/x", "/root/x"]
                .iter()
                .any(|path| fs::exists(path).expect("look"))
        );
    });
}

/// Where `/run/lxc` has yet to be made, what is beneath `/run` may be changed until it is there.
#[test]
fn an_intruder_in_the_first_lxc_user_nic_since_boot_writes_nothing_but_beneath_run() {
    if theirs() {
        return;
    }
    enter_without_open_vswitch("alice veth lxcbr0 10\n", |world| {
        for program in [LXC_USER_NIC, NIC_TWIN] {
            drop(fs::remove_dir_all("/run/lxc"));
            let container = world.container(ALICE);
            let mut in_policy =
                world.intrude(ALICE, program, &create(&container.pid()), (libc::SYS_mkdirat, 1));
            can_make_no_other_call(&mut in_policy, &usernic::confine::policy(libc_of(program)));
            if kernel_has_landlock() {
                for path in [&b"/etc/passwd\0"[..], b"/etc/cron.d/x\0", b"/tmp/x\0", b"/root/x\0"] {
                    let opened = opens(&mut in_policy, path, libc::O_WRONLY | libc::O_CREAT);
                    assert_eq!(opened, Err(Errno::EACCES));
                }
            }
            drop(in_policy.goes().nic());
        }
    });
}

/// On a host with Open vSwitch the wiring of a port of the kernel's is confined all the same.
#[test]
fn a_host_with_open_vswitch_confines_what_has_nothing_to_do_with_it() {
    if theirs() {
        return;
    }
    World::enter_with_nic(|world| {
        assert!(fs::exists(world::ovs::OVS_VSCTL).expect("look"), "tests/install-tools");
        world.bridge("lxcbr0");
        world.usernet("alice veth lxcbr0 10\n");
        let container = world.container(ALICE);
        let pid = container.pid();
        let mut in_wiring = world.intrude(ALICE, LXC_USER_NIC, &create(&pid), (libc::SYS_sendto, 3));
        can_make_no_other_call(&mut in_wiring, &usernic::confine::wiring(libc_of(LXC_USER_NIC)));
        drop(in_wiring.goes().nic());
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// Kernels

/// A kernel without seccomp and Landlock; and one that has them, and refuses.
#[test]
fn a_filter_that_the_kernel_refuses_is_the_end_and_none_at_all_is_not() {
    if theirs() {
        return;
    }
    enter_without_open_vswitch("alice veth lxcbr0 10\n", |world| {
        fs::create_dir_all("/run/lxc").expect("mkdir");
        let run = |program: &str, args: &[&str], fault: &str| {
            let fault = format!("inject={fault}");
            world.run(world.strace(ALICE, &["-o", "/dev/null", "-e", &fault], program).args(args))
        };
        for program in [NEWUIDMAP, NEWGIDMAP] {
            let target = world.target(ALICE);
            let pid = target.pid();
            let args: Vec<&str> = [&*pid].into_iter().chain(GRANTED).collect();
            for number in [1, 2] {
                for error in ["EINVAL", "EPERM", "ENOMEM", "EACCES"] {
                    let fault = format!("seccomp:error={error}:when={number}");
                    run(program, &args, &fault).refuses("enter a seccomp filter: ");
                }
            }
            run(program, &args, "prctl:error=EINVAL:when=3")
                .status
                .filter(|status| *status == 1)
                .expect("refused");
            target.assert_untouched();
            run(program, &args, "seccomp:error=ENOSYS").succeeds();
        }
        let container: Container = world.container(ALICE);
        let pid = container.pid();
        let before = world.state();
        for number in [1, 2] {
            let fault = format!("seccomp:error=EINVAL:when={number}");
            run(LXC_USER_NIC, &create(&pid), &fault).refuses("enter a seccomp filter: Invalid argument");
            assert_eq!(world.state().links, before.links);
            assert_eq!(world.state().ledger, before.ledger);
            for call in ["landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"] {
                let number = match call {
                    // The other one asks for the version.
                    "landlock_create_ruleset" => number * 2,
                    "landlock_add_rule" => number * 2 - 1,
                    _ => number,
                };
                let fault = format!("{call}:error=EINVAL:when={number}");
                if kernel_has_landlock() {
                    run(LXC_USER_NIC, &create(&pid), &fault)
                        .refuses("enter a Landlock rule set: Invalid argument");
                }
                assert_eq!(world.state().links, before.links);
                assert_eq!(world.state().ledger, before.ledger);
            }
        }
        assert_eq!(container.names(), Vec::<String>::new());
        for error in ["ENOSYS", "EOPNOTSUPP"] {
            let nic =
                run(LXC_USER_NIC, &create(&pid), &format!("landlock_create_ruleset:error={error}")).nic();
            world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
        }
        let _nic = run(LXC_USER_NIC, &create(&pid), "seccomp:error=ENOSYS").nic();
    });
}

/// Why there was no privilege is told as it is, also when the file can no longer be looked at.
#[test]
fn a_refusal_after_the_last_filter_still_knows_how_the_program_is_installed() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        for program in [NEWUIDMAP.to_owned(), twin(NEWUIDMAP)] {
            let target = world.target(ALICE);
            let mut command = world.command(world::ROOT, "/usr/bin/strace");
            command.args(["-o", "/dev/null", "-e", "inject=write:error=EPERM:when=1", "/usr/bin/setpriv"]);
            command.args(["--reuid=52001", "--regid=52001", "--clear-groups", "--bounding-set=-all"]);
            let answer = world.run(command.args([&program, &target.pid(), "0", "52001", "1"]));
            answer.refuses("is installed set-user-ID root but was started without CAP_SETUID");
            target.assert_untouched();
        }
    });
}

/// A clock that only the kernel can read, as where the processor's is no good (`clocksource` is `hpet` or `acpi_pm`, or a
/// hypervisor's): then the time is a system call, which C libraries otherwise do without.
#[test]
fn a_clock_that_only_the_kernel_can_read_is_no_obstacle() {
    if theirs() {
        return;
    }
    enter_without_open_vswitch("alice veth lxcbr0 10\n", |world| {
        for program in [NEWUIDMAP.to_owned(), twin(NEWUIDMAP), NEWGIDMAP.to_owned(), twin(NEWGIDMAP)] {
            let target = world.target(ALICE);
            let pid = target.pid();
            let args: Vec<&str> = [&*pid].into_iter().chain(GRANTED).collect();
            world.without_vdso(ALICE, &program, &args).succeeds();
        }
        for program in [LXC_USER_NIC, NIC_TWIN] {
            let container = world.container(ALICE);
            let nic = world.without_vdso(ALICE, program, &create(&container.pid())).nic();
            let args = ["delete", "/dev/null", "dummy", &container.netns(), "veth", "lxcbr0", &nic.host_name];
            world.without_vdso(ALICE, program, &args).succeeds();
        }
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// Name services

/// Tells what it is allowed to do, and tries to do more; knows the uids from 52100 on.
const NAME_SERVICE: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static void look(void)
{
    char text[8000], path[64], *line, *next;
    if (!getuid()) return; // setpriv of the test's
    FILE *out = fopen("/tmp/seen", "w");
    int fd = open("/proc/self/status", O_RDONLY), n;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (!out || length < 0) abort();
    text[length] = 0;
    for (line = text; line; line = next) {
        if ((next = strchr(line, '\n'))) *next++ = 0;
        if (!strncmp(line, "Uid", 3) || !strncmp(line, "Gid", 3) || !strncmp(line, "NoNew", 5) || !strncmp(line, "Seccomp:", 8) ||
            (!strncmp(line, "Cap", 3) && strncmp(line, "CapBnd", 6))) fprintf(out, "%s\n", line);
    }
    fprintf(out, "dumpable %d\n", prctl(PR_GET_DUMPABLE));
    for (n = 0; n < 256; n++) {
        if (n == fileno(out) || fcntl(n, F_GETFD) < 0) continue;
        snprintf(path, sizeof path, "/proc/self/fd/%d", n);
        length = readlink(path, text, 60);
        text[length < 0 ? 0 : length] = 0;
        fprintf(out, "%d %.4s\n", n, text);
    }
    if (setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0) fprintf(out, "root\n");
    if (open("/proc/self/mem", O_RDWR) >= 0 && getuid() == 0) fprintf(out, "memory\n");
    fclose(out);
}

enum nss_status _nss_nosy_getpwuid_r(uid_t uid, struct passwd *pw, char *buffer, size_t size, int *error)
{
    static char long_name[5000];
    if (uid != 52100 && uid != 52101 && uid != 52102 && uid != 52103) return NSS_STATUS_NOTFOUND;
    look();
    if (uid == 52101) abort();
    if (uid == 52102) _exit(0);
    memset(long_name, 'n', sizeof long_name - 1);
    *pw = (struct passwd) { uid == 52103 ? long_name : "nosy", "x", uid, uid, "", "/", "/bin/sh" };
    return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_nosy_getgrnam_r(const char *name, struct group *group, char *buffer, size_t size, int *error)
{
    static char *nobody[1];
    look();
    if (strcmp(name, "lab")) return NSS_STATUS_NOTFOUND;
    *group = (struct group) { "lab", "x", 7000, nobody };
    return NSS_STATUS_SUCCESS;
}
"#;

fn install_name_service(world: &World) {
    fs::create_dir("/run/nss").expect("mkdir");
    fs::write("/run/nss/module.c", NAME_SERVICE).expect("write");
    run("gcc", &["-shared", "-fPIC", "-w", "-o", "/run/nss/libnss_nosy.so.2", "/run/nss/module.c"]);
    world.append("/etc/ld.so.conf", "/run/nss\n");
    fs::create_dir_all("/var/cache/ldconfig").expect("mkdir");
    run("mount", &["-n", "-t", "tmpfs", "tmpfs", "/var/cache/ldconfig"]);
    run("ldconfig", &["-X"]);
    world.write("/etc/nsswitch.conf", "passwd: files nosy\ngroup: files nosy\n");
}

const fn user(id: u32) -> User {
    User { name: "", id }
}

/// It is in a child: of the caller's ids, without any power, and with one pipe.
#[track_caller]
fn has_no_power(uid: u32) {
    let seen = fs::read_to_string("/tmp/seen").expect("asked");
    fs::remove_file("/tmp/seen").expect("remove");
    let no_capability =
        ["CapInh", "CapPrm", "CapEff", "CapAmb"].map(|set| format!("{set}:\t0000000000000000\n"));
    let expected = format!(
        "Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{uid}\t{uid}\t{uid}\t{uid}\n{}NoNewPrivs:\t1\nSeccomp:\t0\ndumpable 0\n\
         0 /dev\n1 /dev\n2 /dev\n3 pipe\n",
        no_capability.concat()
    );
    assert_eq!(seen, expected);
}

#[test]
fn a_name_service_is_asked_in_a_child_without_power() {
    if theirs() {
        return;
    }
    World::enter_with_nic(|world| {
        install_name_service(world);
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.write(file, "nosy:800000:10\nn:800000:10\n");
        }
        let asked = ["0", "800000", "10"];
        for how in [Install::SetUid, Install::FileCapabilities] {
            world.install(how);
            for program in [NEWUIDMAP, NEWGIDMAP] {
                for (uid, says) in [
                    (52100, ""),
                    (52101, "the name services of /etc/nsswitch.conf (passwd:, group:) crashed (SIGABRT)"),
                    (52102, "(passwd:, group:) ended instead of answering (exit status 0)"),
                    (52103, "look up the caller's account: Math result not representable"),
                ] {
                    let target = world.target(user(uid));
                    let pid = target.pid();
                    let args: Vec<&str> = [&*pid].into_iter().chain(asked).collect();
                    let mut command = world.command(user(uid), program);
                    let answer = world.run(command.args(&args));
                    has_no_power(uid);
                    if says.is_empty() {
                        answer.succeeds();
                    } else {
                        answer.refuses(says);
                        target.assert_untouched();
                    }
                }
            }
        }

        // lxc-user-nic: the caller's account, and a group.
        world.bridge("lxcbr0");
        for policy in ["nosy veth lxcbr0 10\n", "@lab veth lxcbr0 10\n"] {
            world.usernet(policy);
            let container = world.container(user(52100));
            let mut command = world.command_in_groups(user(52100), &[7000], LXC_USER_NIC);
            let _nic = world.run(command.args(create(&container.pid()))).nic();
            has_no_power(52100);
            // Whom the files know needs nobody for his account.
            world.usernet("alice veth lxcbr0 10\n");
            let container = world.container(ALICE);
            let _nic = world.create(ALICE, &container, "veth", "lxcbr0", &[]).nic();
            assert!(!fs::exists("/tmp/seen").expect("look"));
        }
        world.usernet("@lab veth lxcbr0 10\n");
        let container = world.container(user(52101));
        let mut command = world.command(user(52101), LXC_USER_NIC);
        world.run(command.args(create(&container.pid()))).refuses("crashed (SIGABRT)");
    });
}

/// The limit is that of the caller's real uid, whose processes a child counts among. A twin that is set-user-ID root takes it
/// back, where root may (`CAP_SYS_RESOURCE`: in a container it may not); one with a file capability cannot.
#[test]
fn a_caller_who_may_have_no_process_more_is_served_or_refused() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        install_name_service(world);
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.write(file, "nosy:800000:10\n");
        }
        for how in [Install::SetUid, Install::FileCapabilities] {
            world.install(how);
            for helper in [NEWUIDMAP, NEWGIDMAP] {
                let target = world.target(user(52100));
                let mut command = world.command(user(52100), "/usr/bin/prlimit");
                let twin = twin(helper);
                let answer =
                    world.run(command.args(["--nproc=0", &twin, &target.pid(), "0", "800000", "10"]));
                if how == Install::SetUid && may_lift_limits() {
                    answer.succeeds();
                } else {
                    answer.refuses("too many of the caller's run (RLIMIT_NPROC): Try again");
                    target.assert_untouched();
                }
            }
        }
    });
}

fn may_lift_limits() -> bool {
    const SYS_RESOURCE: u64 = 1 << 24;
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).expect("CapBnd");
    u64::from_str_radix(bounding, 16).expect("a set") & SYS_RESOURCE != 0
}
