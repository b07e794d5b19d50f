//! Section J of the attack list: who may have how many interfaces, and the files in which they are counted.
//!
//! J13 and J15 have their sweeps in `nic_faults.rs`: a helper that is stopped, frozen or killed at any of its
//! system calls.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::slice::from_ref;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use world::{
    ALICE, Answer, BOB, CAROL, Container, LXC_USER_NIC, NicAnswer, ROOT, Record, User, World,
    kernel_renames_what_is_up, theirs,
};

const POLICY: &str = "/etc/lxc/lxc-usernet";
const TABLES: &str = "/run/lxc/nsgate";
const VIEW: &str = "/run/lxc/nics";

/// Two groups, whose members are whoever a test says.
const CREW: u32 = 53001;
const LAB: u32 = 53002;

/// A machine with the bridge lxcbr0, this policy, and a container of Alice's.
fn with_container(policy: &str, test: impl FnOnce(&World, &Container) + Send) {
    World::enter_with_nic(|world| {
        world.bridge("lxcbr0");
        world.group("crew", CREW);
        world.group("lab", LAB);
        world.usernet(policy);
        test(world, &world.container(ALICE));
    });
}

/// The table behind Alice's own quota on lxcbr0.
fn table_of_alices(world: &World) -> String {
    format!("{}/u52001.veth.lxcbr0", world.tables())
}

/// `create` without a name: the next free ethN.
fn create(world: &World, user: User, container: &Container) -> Answer {
    world.create(user, container, "veth", "lxcbr0", &[])
}

/// The same by a process with these groups.
fn create_in(world: &World, user: User, groups: &[u32], container: &Container) -> Answer {
    let mut command = world.command_in_groups(user, groups, LXC_USER_NIC);
    world.run(command.args(["create", "/dev/null", "dummy", &container.pid(), "veth", "lxcbr0"]))
}

/// Policy has no line for it. C has one sentence for every failure.
#[track_caller]
fn refused_by_policy(answer: &Answer) {
    answer.refuses(if theirs() { "Quota reached" } else { "is not allowed" });
}

/// It is allowed, and there is no room.
#[track_caller]
fn refused_as_full(answer: &Answer) {
    answer.refuses("Quota reached");
}

/// How many interfaces on this bridge Alice gets, up to 5. They are gone afterwards.
fn allotted(world: &World, container: &Container, bridge: &str) -> usize {
    let mut made = vec![];
    while made.len() < 5 {
        let answer = world.create(ALICE, container, "veth", bridge, &[]);
        if answer.status != Some(0) {
            answer.refuses("");
            break;
        }
        made.push(answer.nic());
    }
    for nic in &made {
        container.delete_link(&nic.container_name);
    }
    made.len()
}

/// All of `/run/lxc`: names, kinds, owners, modes, contents.
fn files_of(path: &Path) -> Vec<String> {
    let Ok(about) = fs::symlink_metadata(path) else { return vec![format!("{path:?} is not there")] };
    let (kind, owner) = (about.file_type(), (about.uid(), about.gid()));
    let what = if kind.is_file() {
        // Of one that is too large its size will do.
        let small = about.len() < 1 << 15;
        format!(
            "{} {:?}",
            about.len(),
            small.then(|| fs::read(path).expect("read").escape_ascii().to_string())
        )
    } else {
        format!("{:?}", fs::read_link(path))
    };
    let mut all = vec![format!("{path:?} {kind:?} {owner:?} {:o} {} {what}", about.mode(), about.nlink())];
    if kind.is_dir() {
        let mut entries: Vec<_> =
            fs::read_dir(path).expect("read").map(|e| e.expect("read").path()).collect();
        entries.sort();
        all.extend(entries.iter().flat_map(|entry| files_of(entry)));
    }
    all
}

/// Everything that a refusal must leave as it is.
fn everything(world: &World, container: &Container) -> (Vec<String>, Vec<String>, Vec<String>) {
    let links = world.host_links().into_iter().map(|link| format!("{} {}", link.index, link.name));
    (files_of(Path::new("/run/lxc")), links.collect(), container.names())
}

/// J01: what nobody has written allows nobody anything.
#[test]
fn a_missing_policy_allows_nobody_anything() {
    with_container("", |world, container| {
        let before = everything(world, container);
        refused_by_policy(&create(world, ALICE, container));
        fs::remove_file(POLICY).expect("remove");
        let answer = create(world, ALICE, container);
        refused_by_policy(&answer);
        if !theirs() {
            answer.refuses("there is no /etc/lxc/lxc-usernet");
            assert_eq!(everything(world, container), before);
        }
        symlink("/nowhere/at/all", POLICY).expect("link");
        let answer = create(world, ALICE, container);
        answer.refuses(if theirs() { "Quota reached" } else { "it is a symbolic link that leads nowhere" });
        fs::remove_file(POLICY).expect("remove");
        fs::remove_dir("/etc/lxc/default.conf").unwrap_or_default();
        fs::rename("/etc/lxc", "/etc/lxc.away").expect("rename");
        refused_by_policy(&create(world, ALICE, container));
        fs::create_dir(POLICY.rsplit_once('/').expect("a directory").0).expect("create");
        fs::create_dir(POLICY).expect("create");
        let answer = create(world, ALICE, container);
        answer.refuses(if theirs() { "Quota reached" } else { POLICY });
        assert_eq!((world.host_veths(), container.names()), (vec![], vec![]));
    });
}

/// J01. Differs: the kernel opens it for root, as in C; but what it says is then not repeated to those who
/// cannot read it.
#[test]
fn a_policy_that_only_root_may_read_is_obeyed_and_not_repeated() {
    with_container("alice veth lxcbr0 1\n", |world, container| {
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o600)).expect("chmod");
        let _nic = create(world, ALICE, container).nic();
        let answer = create(world, ALICE, container);
        refused_as_full(&answer);
        if !theirs() {
            answer.refuses("all that alice may have are used");
            assert!(
                !answer.stderr.contains("1 of 1") && !answer.stderr.contains("lxc-usernet:"),
                "{answer:?}"
            );
        }
    });
}

/// J01. Differs: C follows and obeys whatever is there, and waits at a FIFO for ever.
#[test]
fn a_policy_that_others_than_root_could_have_written_is_refused_by_name() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 10\n", |world, container| {
        let elsewhere = "/home/alice/usernet";
        let good = fs::read(POLICY).expect("read");
        let before = everything(world, container);
        let refused = |world: &World, case: &str| {
            let answer = create(world, ALICE, container);
            println!("{case}: {answer:?}");
            answer.refuses("/etc/lxc");
            assert_eq!(everything(world, container), before, "{case}");
        };
        for mode in [0o666, 0o664, 0o646, 0o602, 0o777] {
            fs::set_permissions(POLICY, fs::Permissions::from_mode(mode)).expect("chmod");
            refused(world, &format!("mode {mode:o}"));
        }
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o644)).expect("chmod");
        chown(POLICY, Some(ALICE.id), None).expect("chown");
        refused(world, "Alice's");
        world.usernet(&good);
        for mode in [0o777, 0o775, 0o1777] {
            fs::set_permissions("/etc/lxc", fs::Permissions::from_mode(mode)).expect("chmod");
            refused(world, &format!("directory {mode:o}"));
        }
        fs::set_permissions("/etc/lxc", fs::Permissions::from_mode(0o755)).expect("chmod");
        chown("/etc/lxc", Some(ALICE.id), None).expect("chown");
        refused(world, "directory of Alice's");
        chown("/etc/lxc", Some(0), None).expect("chown");

        // Links: to a file of hers, in a directory of hers, or hers themselves.
        fs::write(elsewhere, &good).expect("write");
        chown(elsewhere, Some(ALICE.id), None).expect("chown");
        fs::remove_file(POLICY).expect("remove");
        symlink(elsewhere, POLICY).expect("link");
        refused(world, "link to a file of hers");
        chown(elsewhere, Some(0), None).expect("chown");
        refused(world, "link into a directory of hers");
        fs::copy(elsewhere, "/etc/lxc/root's").expect("copy");
        fs::remove_file(POLICY).expect("remove");
        symlink("/etc/lxc/root's", POLICY).expect("link");
        std::os::unix::fs::lchown(POLICY, Some(ALICE.id), None).expect("chown");
        refused(world, "link of hers");
        std::os::unix::fs::lchown(POLICY, Some(0), None).expect("chown");
        let nic = create(world, ALICE, container).nic();
        world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();

        // What is no file.
        let before = everything(world, container);
        for make in [
            &["/usr/bin/mkfifo", POLICY][..],
            &["/usr/bin/mkdir", POLICY],
            &["/usr/bin/mknod", POLICY, "c", "1", "3"],
            &["/usr/bin/ln", "-s", "lxc-usernet", POLICY],
        ] {
            world.run(world.command(ROOT, "/usr/bin/rm").args(["-rf", POLICY])).succeeds();
            world.run(world.command(ROOT, make[0]).args(&make[1..])).succeeds();
            create(world, ALICE, container).refuses(POLICY);
            assert_eq!(everything(world, container), before, "{make:?}");
        }
    });
}

/// J01. Differs: to C a file that cannot be read to its end is one that ends there.
#[test]
fn a_policy_that_cannot_be_read_is_refused() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 10\n", |world, container| {
        let before = everything(world, container);
        for fault in ["read:error=EIO", "openat:error=EACCES", "openat:error=EIO", "openat:error=ENFILE"] {
            let inject = format!("inject={fault}");
            let options = ["-qq", "-P", POLICY, "-P", "lxc-usernet", "-e", &inject, "-o", "/run/trace"];
            let args = ["create", "/dev/null", "dummy", &container.pid(), "veth", "lxcbr0"];
            world.run(world.strace(ALICE, &options, LXC_USER_NIC).args(args)).refuses(POLICY);
            let trace = fs::read_to_string("/run/trace").expect("trace");
            assert!(trace.contains("(INJECTED)"), "{trace}");
            assert_eq!(everything(world, container), before, "{fault}");
        }
    });
}

/// J02, J03, J06: what a line is worth. Differs: to C the number is what its scanner makes of the digits,
/// text may follow it without a blank, and a NUL ends the line; and what C does with a line about a group
/// depends on the groups around it.
#[test]
fn a_line_that_is_not_one_grants_nothing_and_harms_no_other() {
    // A line, and how many interfaces Alice has by it: in ours, and in C. LONG is a long word.
    let lines: [(&str, usize, usize); 66] = [
        // J02
        ("alice veth lxcbr0 2", 2, 2),
        ("alice\tveth\tlxcbr0\t2", 2, 2),
        ("alice \t veth  lxcbr0 \t\t 2 \t", 2, 2),
        ("alice veth lxcbr0 2 surplus", 2, 2),
        ("alice veth lxcbr0 2 # of the lab", 2, 2),
        ("alice veth lxcbr0 2 3", 2, 2),
        (" alice veth lxcbr0 2", 0, 0),
        ("\talice veth lxcbr0 2", 0, 0),
        ("alice veth lxcbr0", 0, 0),
        ("alice veth lxcbr0 ", 0, 0),
        ("alice veth 2", 0, 0),
        ("alice lxcbr0 2", 0, 0),
        ("alice veth lxcbr0 many", 0, 0),
        ("alice veth lxcbr 2", 0, 0),
        ("alice veth lxcbr00 2", 0, 0),
        ("alice vet lxcbr0 2", 0, 0),
        ("alice VETH lxcbr0 2", 0, 0),
        ("alice phys lxcbr0 2", 0, 0),
        ("alice veth * 2", 0, 0),
        ("alice * lxcbr0 2", 0, 0),
        ("# alice veth lxcbr0 2", 0, 0),
        ("#alice veth lxcbr0 2", 0, 0),
        ("#", 0, 0),
        ("", 0, 0),
        ("   ", 0, 0),
        ("\u{feff}alice veth lxcbr0 2", 0, 0),
        ("alice\u{b}veth lxcbr0 2", 0, 0),
        ("alice\u{a0}veth lxcbr0 2", 0, 0),
        ("alice:veth:lxcbr0:2", 0, 0),
        ("\"alice\" veth lxcbr0 2", 0, 0),
        ("alice veth lxcbr0 2\r", 0, 2),
        ("alice veth lxcbr0 2 \r", 0, 2),
        ("alice veth lxcbr0 2 # of the lab\r", 0, 2),
        ("alice \u{b}veth lxcbr0 2", 0, 2),
        ("alice veth lxcbr0 2 \0", 0, 2),
        ("alice veth lxcbr0 2\0", 0, 2),
        ("al\0ice veth lxcbr0 2", 0, 0),
        ("\0alice veth lxcbr0 2", 0, 0),
        ("alice veth lxcbr0 2 LONG", 0, 2),
        ("LONG alice veth lxcbr0 2", 0, 0),
        ("aliceLONG veth lxcbr0 2", 0, 0),
        ("alice veth lxcbr0LONG 2", 0, 0),
        // J03
        ("alice veth lxcbr0 0", 0, 0),
        ("alice veth lxcbr0 -0", 0, 0),
        ("alice veth lxcbr0 -1", 0, 0),
        ("alice veth lxcbr0 +2", 0, 2),
        ("alice veth lxcbr0 02", 0, 2),
        ("alice veth lxcbr0 0x2", 0, 0),
        ("alice veth lxcbr0 2x", 0, 2),
        ("alice veth lxcbr0 2#", 0, 2),
        ("alice veth lxcbr0 2.5", 0, 2),
        ("alice veth lxcbr0 2e3", 0, 2),
        ("alice veth lxcbr0 2147483648", 0, 0),
        ("alice veth lxcbr0 4294967296", 0, 0),
        ("alice veth lxcbr0 4294967298", 0, 2),
        ("alice veth lxcbr0 99999999999999999999", 0, 0),
        ("alice veth lxcbr0 2147483647", 5, 5),
        // J06
        ("* veth lxcbr0 2", 0, 0),
        ("root veth lxcbr0 2", 0, 0),
        ("#52001 veth lxcbr0 2", 0, 0),
        ("52001 veth lxcbr0 2", 0, 0),
        ("%alice veth lxcbr0 2", 0, 0),
        ("Alice veth lxcbr0 2", 0, 0),
        ("alic veth lxcbr0 2", 0, 0),
        ("alicea veth lxcbr0 2", 0, 0),
        ("ALL veth lxcbr0 2", 0, 0),
    ];
    let try_one = |world: &World, container: &Container, (line, ours, in_c): (&str, usize, usize)| {
        let worth = if theirs() { in_c } else { ours };
        let long = line.replace("LONG", &"x".repeat(1 << 20));
        for end in ["", "\n"] {
            world.usernet(format!("{long}{end}"));
            assert_eq!(allotted(world, container, "lxcbr0"), worth, "{line:?}{end:?}");
        }
        if theirs() && [0, 5].contains(&in_c) {
            return; // C adds all lines up, whatever they are
        }
        // Nor does it do anything to those before and after it. Of two, the larger number holds.
        for around in [format!("{long}\nalice veth lxcbr0 1\n"), format!("alice veth lxcbr0 1\n{long}\n")] {
            world.usernet(around);
            assert_eq!(allotted(world, container, "lxcbr0"), worth.max(1), "{line:?}");
        }
    };
    // Whoever has no room waits a moment for some: so in several machines at once.
    thread::scope(|scope| {
        for lines in lines.chunks(7) {
            let one = |world: &World, container: &Container| {
                lines.iter().for_each(|line| try_one(world, container, *line));
            };
            scope.spawn(move || with_container("", one));
        }
    });
}

/// J02, J06: no line about a group is one about everybody, about a gid, or about a user; nor the other way
/// round. Differs: Debian's C helper crashes at a group line that the caller is not in.
#[test]
fn a_line_about_a_group_is_about_its_members_alone() {
    if theirs() {
        return;
    }
    with_container("", |world, container| {
        world.append("/etc/group", &format!("*:x:{LAB}:\n"));
        for owner in [
            "@",
            "@@crew",
            "@*",
            "@alic",
            "@cre",
            "@crews",
            "@Crew",
            "@53001",
            "@52001",
            "@root",
            "@%d",
            "@#",
            "crew",
            "%crew",
            ":crew",
            "@ crew",
            "crew@",
            "@crew@",
            "@crew,lab",
            "@lab",
        ] {
            world.usernet(format!("{owner} veth lxcbr0 2\n"));
            refused_by_policy(&create_in(world, ALICE, &[CREW], container));
            refused_by_policy(&create(world, ALICE, container));
        }
        // Alice's own group has her name: the one she logged in with.
        world.usernet("@crew veth lxcbr0 1\n@alice veth lxcbr0 1\n");
        for wanted in ["@crew", "@alice"] {
            let nic = create_in(world, ALICE, &[CREW], container).nic();
            assert_eq!(world.nics().last(), Some(&format!("{wanted} veth lxcbr0 {}", nic.host_name)));
        }
        refused_as_full(&create_in(world, ALICE, &[CREW], container));
    });
}

/// J03, J07: numbers of several lines neither add up nor overflow.
#[test]
fn large_numbers_of_several_lines_are_no_overflow() {
    with_container("", |world, container| {
        let most = "alice veth lxcbr0 2147483647\n";
        world.usernet(most.repeat(2));
        // To C their sum is negative, and that is no room at all.
        assert_eq!(allotted(world, container, "lxcbr0"), if theirs() { 0 } else { 5 });
        if theirs() {
            return;
        }
        world.usernet(format!("{most}@crew veth lxcbr0 2147483647\n@lab veth lxcbr0 2147483647\n"));
        for _ in 0..3 {
            let _nic = create_in(world, ALICE, &[CREW, LAB], container).nic();
        }
        assert_eq!(world.ledger().iter().filter(|record| record.quota == "u52001.veth.lxcbr0").count(), 3);
    });
}

/// J07: compared with C from nothing, as far as both agree.
#[test]
fn lines_are_charged_in_the_order_of_the_file_and_the_first_with_room_takes_it() {
    with_container("alice veth lxcbr0 1\n@crew veth lxcbr0 2\n@lab veth lxcbr0 1\n", |world, container| {
        // C sees only groups of this list, and both have to be in it.
        let create = || create_in(world, ALICE, &[ALICE.id, CREW, LAB], container);
        let owner = |nic: &NicAnswer| {
            let nics = world.nics();
            let line = nics.iter().find(|line| line.ends_with(&format!(" {}", nic.host_name)));
            line.expect("a line").split(' ').next().expect("an owner").to_owned()
        };
        let nics: Vec<NicAnswer> = (0..4).map(|_| create().nic()).collect();
        let owners: Vec<String> = nics.iter().map(owner).collect();
        assert_eq!(owners, ["alice", "@crew", "@crew", "@lab"]);
        refused_as_full(&create());
        if theirs() {
            return;
        }
        // A place in the middle is free again, then the first.
        for place in [2, 0, 3, 1] {
            container.delete_link(&nics[place].container_name);
            let again = create().nic();
            assert_eq!(
                (owner(&again), &again.container_name),
                (owners[place].clone(), &nics[place].container_name)
            );
            refused_as_full(&create());
        }
    });
}

/// J07: a caller whose own lines are full is told of all of them.
#[test]
fn a_full_quota_is_explained_line_by_line() {
    if theirs() {
        return;
    }
    with_container("@lab veth lxcbr0 9\nalice veth lxcbr0 1\n@crew veth lxcbr0 2\n", |world, container| {
        for _ in 0..3 {
            let _nic = create_in(world, ALICE, &[CREW], container).nic();
        }
        let answer = create_in(world, ALICE, &[CREW], container);
        refused_as_full(&answer);
        answer.refuses("1 of 1 used by alice (/etc/lxc/lxc-usernet:2)");
        answer.refuses("2 of 2 used by @crew (/etc/lxc/lxc-usernet:3)");
        assert!(!answer.stderr.contains("lab"), "{answer:?}");
    });
}

/// J08. Differs: C counts all interfaces of an owner, on whichever bridge.
#[test]
fn quota_is_per_bridge() {
    if theirs() {
        return;
    }
    let policy = "alice veth lxcbr0 1\nalice veth lxcbr1 2\nalice veth none 1\n@crew veth lxcbr1 1\n";
    with_container(policy, |world, container| {
        world.bridge("lxcbr1");
        world.bridge("lxcbr2");
        let create = |bridge: &str| {
            let mut command = world.command_in_groups(ALICE, &[CREW], LXC_USER_NIC);
            world.run(command.args(["create", "/dev/null", "dummy", &container.pid(), "veth", bridge]))
        };
        let mut made = vec![];
        for (bridge, room) in [("lxcbr0", 1), ("lxcbr1", 3), ("none", 1)] {
            for _ in 0..room {
                made.push((bridge, create(bridge).nic()));
            }
            refused_as_full(&create(bridge));
        }
        refused_by_policy(&create("lxcbr2"));
        // What becomes free on one is of no use on another.
        for (bridge, nic) in &made {
            container.delete_link(&nic.container_name);
            for other in ["lxcbr0", "lxcbr1", "none"].into_iter().filter(|other| other != bridge) {
                refused_as_full(&create(other));
            }
            let _again = create(bridge).nic();
        }
        assert_eq!(world.host_veths().len(), 5);
    });
}

/// J09: and the next is refused, until there is room: at once when the container deletes its end, and as soon
/// as the kernel is done with a container that has ended. Compared with C from nothing, as far as both agree.
#[test]
fn exactly_the_quota_can_be_had() {
    with_container("alice veth lxcbr0 3\n", |world, container| {
        let alices_table = &*table_of_alices(world);
        let mut other = world.container(ALICE);
        for _ in 0..4 {
            let kept = create(world, ALICE, container).nic();
            let lost = [create(world, ALICE, &other).nic(), create(world, ALICE, &other).nic()];
            let before = world.state();
            for container in [container, &other] {
                let answer = create(world, ALICE, container);
                refused_as_full(&answer);
                if !theirs() {
                    answer.refuses("3 of 3 used by alice (/etc/lxc/lxc-usernet:1)");
                }
            }
            assert_eq!(world.state(), before);
            if theirs() {
                return;
            }

            container.delete_link(&kept.container_name);
            let kept = create(world, ALICE, container).nic();
            refused_as_full(&create(world, ALICE, container));

            other.end();
            for nic in &lost {
                world.wait_until_gone(&nic.host_name);
            }
            other = world.container(ALICE);
            assert_eq!(world.host_veths(), [kept.host_name]);
            container.delete_link(&kept.container_name);
        }
        // The table is no longer than it ever has to be.
        assert_eq!(fs::metadata(alices_table).expect("a table").len(), 3 * 64);
    });
}

/// J09: of a quota that has become smaller, a free place below those that are taken is none.
#[test]
fn a_place_below_what_is_left_of_a_larger_quota_cannot_be_had() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 3\n", |world, container| {
        let made: Vec<_> = (0..3).map(|_| create(world, ALICE, container).nic()).collect();
        let [first, second, _] = &made[..] else { unreachable!() };
        world.delete(ALICE, &container.netns(), "lxcbr0", &first.host_name).succeeds();
        world.usernet("alice veth lxcbr0 2\n");
        let before = world.state();
        refused_as_full(&create(world, ALICE, container));
        assert_eq!(world.state(), before);

        world.delete(ALICE, &container.netns(), "lxcbr0", &second.host_name).succeeds();
        let _again = create(world, ALICE, container).nic();
        refused_as_full(&create(world, ALICE, container));
    });
}

/// Many at once, and all their answers.
fn at_once(how_many: usize, one: impl Fn(usize) -> Answer + Sync) -> Vec<Answer> {
    let barrier = Barrier::new(how_many);
    let one = |number| {
        barrier.wait();
        one(number)
    };
    thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = (0..how_many).map(|number| scope.spawn(move || one(number))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    })
}

/// So many of these have succeeded, and all others were refused for want of room. The host has just these,
/// and all are recorded once.
#[track_caller]
fn exactly(world: &World, answers: &[Answer], fresh: usize, all: usize) -> Vec<NicAnswer> {
    let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == Some(0));
    for answer in &refused {
        refused_as_full(answer);
    }
    let made: Vec<NicAnswer> = made.into_iter().map(Answer::nic).collect();
    assert_eq!(made.len(), fresh, "{} refused, such as {:?}", refused.len(), refused.first());
    let veths: BTreeSet<String> = world.host_veths().into_iter().collect();
    assert_eq!(veths.len(), all, "{veths:?}");
    assert!(made.iter().all(|nic| veths.contains(&nic.host_name)), "{made:?} {veths:?}");
    let viewed: Vec<String> =
        world.nics().iter().map(|line| line.rsplit(' ').next().expect("a name").to_owned()).collect();
    assert_eq!((viewed.len(), viewed.into_iter().collect::<BTreeSet<_>>()), (all, veths.clone()));
    if !theirs() {
        let ledger = world.ledger();
        assert!(ledger.iter().all(|record| record.fields[0] == "+"), "{ledger:?}");
        let recorded: Vec<String> = ledger.iter().map(|record| record.fields[1].clone()).collect();
        assert_eq!((recorded.len(), recorded.into_iter().collect::<BTreeSet<_>>()), (all, veths));
    }
    made
}

/// J10: in several rounds, from nothing and from what the round before has left. Compared with C from
/// nothing, as far as both agree.
#[test]
fn fifty_at_once_get_what_the_quota_has_and_no_more() {
    with_container("alice veth lxcbr0 10\n", |world, container| {
        let mut alive: Vec<NicAnswer> = vec![];
        for lost in if theirs() { &[0][..] } else { &[0, 10, 3, 0, 7, 1, 10] } {
            for nic in alive.drain(..*lost) {
                container.delete_link(&nic.container_name);
            }
            let free = 10 - alive.len();
            let answers = at_once(50, |_| create(world, ALICE, container));
            alive.extend(exactly(world, &answers, free, 10));
            assert_eq!(container.names().len(), 10);
        }
    });
}

/// J10: a pool of several users', who also have some of their own. Compared with C from nothing, as far as
/// both agree.
#[test]
fn members_of_a_group_who_race_for_its_pool_get_what_it_has_and_no_more() {
    let policy = "alice veth lxcbr0 2\n@crew veth lxcbr0 6\n@lab veth lxcbr0 3\n";
    with_container(policy, |world, alices| {
        let (bobs, carols) = (world.container(BOB), world.container(CAROL));
        let users = [(ALICE, alices), (BOB, &bobs), (CAROL, &carols)];
        for _ in 0..3 {
            let answers = at_once(45, |number| {
                let (user, container) = users[number % 3];
                create_in(world, user, &[user.id, CREW, LAB], container)
            });
            let all = exactly(world, &answers, 11, 11);
            let mine =
                |user: User| all.iter().filter(|nic| nic.host_name.contains(&user.id.to_string())).count();
            assert!(mine(ALICE) >= 2, "{all:?}");
            let nics = world.nics();
            for (owner, most) in [("alice", 2), ("@crew", 6), ("@lab", 3)] {
                let owned = nics.iter().filter(|line| line.starts_with(&format!("{owner} veth lxcbr0 ")));
                assert_eq!(owned.count(), most, "{nics:?}");
            }
            if theirs() {
                return;
            }
            // Whatever one of them gives back is for all.
            let freed =
                all.iter().find(|nic| nic.host_name.contains("52002") || nic.host_name.contains("52003"));
            let freed = freed.expect("not all are Alice's, who has a share of 45");
            let whose = if freed.host_name.contains("52002") { &bobs } else { &carols };
            whose.delete_link(&freed.container_name);
            let answers = at_once(12, |number| {
                let (user, container) = users[number % 3];
                create_in(world, user, &[user.id, CREW, LAB], container)
            });
            let _one = exactly(world, &answers, 1, 11);
            for (_, container) in users {
                for name in container.names() {
                    container.delete_link(&name);
                }
            }
            assert_eq!(world.host_veths(), Vec::<String>::new());
        }
    });
}

/// J10: makers, deleters and containers that delete their own ends, all at once: at no moment are there too
/// many.
#[test]
fn at_no_moment_are_there_more_than_the_quota() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 4\n@crew veth lxcbr0 1\n", |world, _| {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut most = 0;
                while !done.load(Ordering::Relaxed) {
                    let names = fs::read_dir("/sys/class/net").expect("read");
                    let names = names.map(|entry| entry.expect("read").file_name());
                    most = most.max(names.filter(|name| name.to_string_lossy().starts_with("veth")).count());
                }
                most
            });
            let workers: Vec<_> = (0..8)
                .map(|number| {
                    scope.spawn(move || {
                        let container = world.container(ALICE);
                        let (mut made, mut refused) = (0, 0);
                        for round in 0..12 {
                            let answer = create_in(world, ALICE, &[CREW], &container);
                            if answer.status != Some(0) {
                                refused_as_full(&answer);
                                refused += 1;
                                continue;
                            }
                            let nic = answer.nic();
                            made += 1;
                            if (number + round) % 3 == 0 {
                                container.delete_link(&nic.container_name);
                            } else {
                                // The group's are hers to delete as long as she is in it.
                                let mut delete = world.command_in_groups(ALICE, &[CREW], LXC_USER_NIC);
                                delete.args(["delete", "/dev/null", "dummy", &container.netns()]);
                                world.run(delete.args(["veth", "lxcbr0", &nic.host_name])).succeeds();
                            }
                            assert_eq!(container.names(), Vec::<String>::new());
                        }
                        (made, refused)
                    })
                })
                .collect();
            let counts: Vec<(i32, i32)> =
                workers.into_iter().map(|worker| worker.join().expect("one")).collect();
            done.store(true, Ordering::Relaxed);
            let most = watch.join().expect("watch");
            println!("{counts:?}, at most {most}");
            assert!(most <= 5, "{most} at once");
            assert!(counts.iter().map(|(made, _)| made).sum::<i32>() > 10, "{counts:?}");
        });
        let container = world.container(ALICE);
        assert_eq!((world.host_veths(), container.names()), (vec![], vec![]));
        let answers: Vec<Answer> = (0..6).map(|_| create_in(world, ALICE, &[CREW], &container)).collect();
        let _all = exactly(world, &answers, 5, 5);
    });
}

/// A write lock of ours on some bytes of a file, as a helper has it that stands still.
fn lock(path: &str, from: i64, length: i64) -> File {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).expect("open");
    let range = libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).expect("small"),
        l_whence: i16::try_from(libc::SEEK_SET).expect("small"),
        l_start: from,
        l_len: length,
        l_pid: 0,
    };
    // What another thread starts has a copy of an older lock until it execs.
    let start = Instant::now();
    while let Err(error) = fcntl(&file, FcntlArg::F_OFD_SETLK(&range)) {
        assert!(start.elapsed() < Duration::from_secs(5), "lock: {error}");
        std::thread::sleep(Duration::from_millis(1));
    }
    file
}

/// Runs it, and asserts that it took less than a second.
#[track_caller]
fn within_a_second(what: &str, command: impl FnOnce() -> Answer) -> Answer {
    let start = Instant::now();
    let answer = command();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(1), "{what}: {took:?}, {answer:?}");
    answer
}

/// J13. Differs: C has one lock for all, which it waits for as long as it takes.
#[test]
fn a_lock_on_a_place_holds_up_nobody() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 6\nbob veth lxcbr0 2\n", |world, container| {
        let alices_table = &*table_of_alices(world);
        let bobs = world.container(BOB);
        let _first = create(world, ALICE, container).nic();
        let bob = |what: &str| {
            let nic = within_a_second(what, || create(world, BOB, &bobs)).nic();
            world.delete(BOB, &bobs.netns(), "lxcbr0", &nic.host_name).succeeds();
        };
        // Taken, free, the one behind the end, and one that is further out.
        for place in [0, 1, 2, 3, 7] {
            let held = lock(alices_table, place * 64, 64);
            let what = format!("place {place}");
            bob(&what);
            let nic = within_a_second(&what, || create(world, ALICE, container)).nic();
            bob(&what);
            drop(held);
            // Whoever held it has gone: there is nothing left of him.
            world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
        }
        assert_eq!((world.host_veths().len(), world.nics().len(), world.ledger().len()), (1, 1, 1));
    });
}

/// J13: the owner whose places are all held is told so in bounded time; others do not notice.
#[test]
fn a_table_that_somebody_holds_is_its_owners_trouble_alone() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 2\nalice veth none 1\nbob veth lxcbr0 2\n", |world, container| {
        let alices_table = &*table_of_alices(world);
        let bobs = world.container(BOB);
        let nic = create(world, ALICE, container).nic();
        let before = world.state();
        for (from, length) in [(0, 0), (0, 2 * 64)] {
            let _held = lock(alices_table, from, length);
            create(world, ALICE, container).refuses("");
            let answer = world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name);
            answer.refuses(alices_table);
            assert_eq!(world.state(), before);
            for (user, container, bridge) in [(BOB, &bobs, "lxcbr0"), (ALICE, container, "none")] {
                let nic =
                    within_a_second(bridge, || world.create(user, container, "veth", bridge, &[])).nic();
                world.delete(user, &container.netns(), bridge, &nic.host_name).succeeds();
            }
        }
        let second = create(world, ALICE, container).nic();
        refused_as_full(&create(world, ALICE, container));
        world.delete(ALICE, &container.netns(), "lxcbr0", &second.host_name).succeeds();
        world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
    });
}

/// J13: a member who stands still holds one place of the pool, and the others have the rest. One who stands
/// still in a pool that is full does not hold up those who have room in another.
#[test]
fn a_member_of_a_group_who_stands_still_holds_one_place() {
    if theirs() {
        return;
    }
    with_container("@crew veth lxcbr0 3\n@lab veth lxcbr0 2\n", |world, _| {
        let bobs = world.container(BOB);
        let table = format!("{}/g{CREW}.veth.lxcbr0", world.tables());
        let warm_up = create_in(world, BOB, &[CREW], &bobs).nic();
        bobs.delete_link(&warm_up.container_name);
        let bob = |groups: &[u32]| create_in(world, BOB, groups, &bobs);
        let held = lock(&table, 0, 64);
        for _ in 0..2 {
            let _nic = within_a_second("room in the pool", || bob(&[CREW])).nic();
        }
        // The pool has no room any more but for what the one who stands still might give back.
        let _nic = within_a_second("room in another pool", || bob(&[CREW, LAB])).nic();
        refused_as_full(&bob(&[CREW]));
        drop(held);
        let _nic = within_a_second("it was given back", || bob(&[CREW])).nic();
        refused_as_full(&bob(&[CREW]));
        assert_eq!(world.host_veths().len(), 4);
    });
}

/// J13: the view is one file for all. Who does not get its lock adds his line all the same; what has to go
/// goes later.
#[test]
fn a_lock_on_the_view_holds_up_nobody() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 9\nbob veth lxcbr0 9\n", |world, alices| {
        let bobs = world.container(BOB);
        let first = create(world, BOB, &bobs).nic();
        let mut wanted = vec![format!("bob veth lxcbr0 {}", first.host_name)];
        let make = |user: User, container: &Container| {
            let nic = within_a_second("a held view", || create(world, user, container)).nic();
            (format!("{} veth lxcbr0 {}", user.name, nic.host_name), nic)
        };
        for (user, container) in [(BOB, &bobs), (ALICE, alices), (BOB, &bobs)] {
            let _held = lock(VIEW, 0, 0);
            for (user, container) in [(user, container), (ALICE, alices), (BOB, &bobs)] {
                wanted.push(make(user, container).0);
                assert_eq!(world.nics(), wanted);
            }
        }
        // With lines to be taken out, too.
        let held = lock(VIEW, 0, 0);
        for name in ["eth0", "eth2"] {
            alices.delete_link(name);
            wanted.push(make(ALICE, alices).0);
            assert!(wanted.iter().all(|line| world.nics().contains(line)), "{:?}", world.nics());
        }
        let (line, nic) = make(ALICE, alices);
        wanted.push(line);
        within_a_second("a held view", || world.delete(ALICE, &alices.netns(), "lxcbr0", &nic.host_name))
            .succeeds();
        drop(held);
        alices.delete_link("eth1");
        wanted.push(make(ALICE, alices).0);
        let alive = world.host_veths();
        wanted.retain(|line| alive.iter().any(|name| line.ends_with(&format!(" {name}"))));
        assert_eq!(world.nics(), wanted);
        let files = files_of(Path::new("/run/lxc"));
        assert_eq!(fs::read_dir("/run/lxc").expect("read").count(), 2, "{files:?}");
    });
}

/// The files beside the tables, the records of interfaces that were finished, and the interfaces. Other
/// records say that something was to be made or removed; it is not there, and the next run of their owner
/// takes them away.
#[track_caller]
fn finished(world: &World) -> (Vec<String>, Vec<Record>, Vec<String>) {
    // There may be one list that did not become the next.
    let no_matter = |line: &String| line.contains("/run/lxc/nsgate") || line.contains("/run/lxc/nics.new");
    let files = files_of(Path::new("/run/lxc")).into_iter().filter(|line| !no_matter(line));
    let (finished, intents): (Vec<_>, Vec<_>) =
        world.ledger().into_iter().partition(|record| record.fields[0] == "+");
    let veths = world.host_veths();
    assert!(intents.iter().all(|record| !veths.contains(&record.fields[1])), "{intents:?} {veths:?}");
    (files.collect(), finished, veths)
}

/// A file system of this size in the place of `/run/lxc`, with what was in it.
fn small_run_lxc(options: &str) {
    let keep = Path::new("/run/kept");
    drop(fs::remove_dir_all(keep));
    let copy = |from: &str, to: &str| {
        assert!(Command::new("/usr/bin/cp").args(["-a", from, to]).status().expect("cp").success());
    };
    fs::create_dir_all("/run/lxc").expect("create");
    copy("/run/lxc", "/run/kept");
    mount(Some("tmpfs"), "/run/lxc", Some("tmpfs"), MsFlags::empty(), Some(&*format!("mode=755,{options}")))
        .expect("mount");
    copy("/run/kept/.", "/run/lxc");
}

/// Nothing more fits in there.
fn fill() {
    let mut file = File::create("/run/lxc/filler").expect("create");
    while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
}

fn drain() {
    fs::remove_file("/run/lxc/filler").expect("remove");
}

/// J14: a helper that can write no record makes nothing, and spoils none. Differs: C keeps another kind of
/// file.
#[test]
fn a_full_file_system_is_a_refusal_and_costs_no_record() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 200\nbob veth lxcbr0 9\ncarol veth lxcbr0 9\n", |world, container| {
        let alices_table = &*table_of_alices(world);
        let bobs = world.container(BOB);
        let _nic = create(world, ALICE, container).nic();
        small_run_lxc("size=64k");
        let refused = |user: User, whose: &Container, file: &str| {
            let before = finished(world);
            let answer = create(world, user, whose);
            println!("{answer:?}");
            answer.refuses(file);
            answer.refuses("No space left on device");
            assert_eq!((finished(world), bobs.names()), (before, vec![]));
        };
        // A table that takes its first page; then one that has room, and a view that has.
        fill();
        refused(BOB, &bobs, &format!("{}/u52002.veth.lxcbr0", world.tables()));
        let _nic = create(world, ALICE, container).nic();
        // The view is at the end of its page, then the table.
        drain();
        let mut text = fs::read_to_string(VIEW).expect("read");
        while text.len() < 4096 - 10 {
            text.push_str("zoe veth br7 vethZ\n");
        }
        fs::write(VIEW, &text).expect("write");
        fill();
        refused(ALICE, container, VIEW);
        assert_eq!(fs::read_to_string(VIEW).expect("read"), text);
        drain();
        let _nic = create(world, ALICE, container).nic();
        let table = fs::read(alices_table).expect("read");
        // Of living ones: lines of the table as it is, which all count.
        let full: Vec<u8> = table.chunks(64).next().expect("one").repeat(64);
        fs::write(alices_table, full).expect("write");
        fill();
        refused(ALICE, container, alices_table);
        drain();
        fs::write(alices_table, table).expect("write");
        let _nic = create(world, ALICE, container).nic();
        let _nic = create(world, BOB, &bobs).nic();
        assert_eq!(world.ledger().len(), 5);
        assert_eq!((world.host_veths().len(), container.names().len(), bobs.names().len()), (5, 4, 1));
        umount2("/run/lxc", MntFlags::MNT_DETACH).expect("umount");
    });
}

/// J14: nor is a line lost, or one of an interface that is gone kept for ever, when the view cannot be
/// written anew.
#[test]
fn a_view_that_cannot_be_replaced_is_put_right_later() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 3\nbob veth lxcbr0 9\n", |world, container| {
        let bobs = world.container(BOB);
        let lines = |nics: &[(User, &NicAnswer)]| -> Vec<String> {
            nics.iter().map(|(user, nic)| format!("{} veth lxcbr0 {}", user.name, nic.host_name)).collect()
        };
        let gone = create(world, ALICE, container).nic();
        let kept = create(world, ALICE, container).nic();
        let bob = create(world, BOB, &bobs).nic();
        small_run_lxc("size=64k");
        container.delete_link(&gone.container_name);
        fill();
        let before = fs::read(VIEW).expect("read");
        let answer = create(world, ALICE, container);
        answer.refuses(VIEW);
        assert_eq!(fs::read(VIEW).expect("read"), before);
        assert_eq!(container.names(), from_ref(&kept.container_name));
        drain();
        let new = create(world, ALICE, container).nic();
        assert_eq!(world.nics(), lines(&[(ALICE, &kept), (BOB, &bob), (ALICE, &new)]));

        // delete: the interface goes in any case, and its line when there is room again.
        fill();
        let answer = world.delete(ALICE, &container.netns(), "lxcbr0", &kept.host_name);
        println!("{answer:?}");
        assert_eq!(container.names(), from_ref(&new.container_name));
        drain();
        let newer = create(world, ALICE, container).nic();
        assert_eq!(world.nics(), lines(&[(BOB, &bob), (ALICE, &new), (ALICE, &newer)]));
        let _last = create(world, ALICE, container).nic();
        refused_as_full(&create(world, ALICE, container));
        umount2("/run/lxc", MntFlags::MNT_DETACH).expect("umount");
    });
}

/// J14: when no more files can be made.
#[test]
fn a_file_system_without_inodes_is_a_refusal() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 9\n", |world, container| {
        let alices_table = &*table_of_alices(world);
        // The root of it, then the two directories of tables, the table, the view.
        for (inodes, file) in [(1, TABLES), (2, &*world.tables()), (3, alices_table), (4, VIEW)] {
            small_run_lxc(&format!("nr_inodes={inodes}"));
            let answer = create(world, ALICE, container);
            println!("{inodes}: {answer:?}");
            answer.refuses(file);
            assert_eq!((world.host_veths(), container.names()), (vec![], vec![]));
            assert_eq!(finished(world).1, vec![]);
            umount2("/run/lxc", MntFlags::MNT_DETACH).expect("umount");
            fs::remove_dir_all("/run/lxc").expect("remove");
        }
        let _nic = create(world, ALICE, container).nic();
    });
}

/// J14: the medium fails once, at each access to the ledger and the view. Afterwards it is as if nothing had
/// been asked.
#[test]
fn a_ledger_that_cannot_be_read_or_written_is_a_refusal() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 2\n", |world, container| {
        let alices_table = &*table_of_alices(world);
        let nic = create(world, ALICE, container).nic();
        let view = fs::read(VIEW).expect("read");
        let args = ["create", "/dev/null", "dummy", &container.pid(), "veth", "lxcbr0"];
        let mut hit = BTreeSet::new();
        for (path, call, most) in [
            (alices_table, "pread64", 2),
            (alices_table, "fallocate", 1),
            (alices_table, "pwrite64", 3),
            (alices_table, "fstat", 2),
            (alices_table, "openat", 1),
            (alices_table, "fcntl", 1),
            (VIEW, "write", 1),
            (VIEW, "openat", 1),
            (VIEW, "fstat", 1),
        ] {
            for (number, errno) in (1..=most).flat_map(|number| [(number, "EIO"), (number, "ENOSPC")]) {
                // One goes through a view that is written anew, as a line has to go.
                let inject = format!("inject={call}:error={errno}:when={number}");
                let name = path.rsplit('/').next().expect("a name");
                let options = ["-qq", "-P", path, "-P", name, "-e", &inject, "-o", "/run/trace"];
                let answer = world.run(world.strace(ALICE, &options, LXC_USER_NIC).args(args));
                let context = format!("{path} {inject}: {answer:?}");
                println!("{context}");
                let trace = fs::read_to_string("/run/trace").expect("trace");
                if !trace.contains("(INJECTED)") {
                    panic!("not reached: {context}\n{trace}");
                }
                hit.insert((path, call));
                answer.refuses("");
                assert!(answer.stderr.contains(path), "{context}");
                assert_eq!(world.host_veths(), from_ref(&nic.host_name), "{context}");
                assert_eq!(fs::read(VIEW).expect("read"), view, "{context}");
                let ledger = world.ledger();
                assert_eq!((ledger.len(), &ledger[0].fields[1]), (1, &nic.host_name), "{context}");
            }
        }
        assert_eq!(hit.len(), 9);
        // And if it fails for good: nothing is left but, at worst, a record that says what may be there.
        for call in ["pread64", "fallocate", "pwrite64"] {
            for number in 1..=3 {
                let inject = format!("inject={call}:error=EIO:when={number}+");
                let options = ["-qq", "-P", alices_table, "-e", &inject, "-o", "/run/trace"];
                let answer = world.run(world.strace(ALICE, &options, LXC_USER_NIC).args(args));
                let context = format!("{inject}: {answer:?}");
                if answer.status == Some(0) {
                    let made = answer.nic();
                    container.delete_link(&made.container_name);
                } else {
                    answer.refuses("");
                    // The caller hears of a record that stays.
                    let stays = answer.stderr.contains(" could be taken back (");
                    assert_eq!(stays, call == "pwrite64" && number > 1, "{context}");
                }
                assert_eq!(world.host_veths(), from_ref(&nic.host_name), "{context}");
                let second = create(world, ALICE, container).nic();
                assert_eq!(world.host_veths().len(), 2, "{context}");
                refused_as_full(&create(world, ALICE, container));
                world.delete(ALICE, &container.netns(), "lxcbr0", &second.host_name).succeeds();
                assert_eq!(fs::read(VIEW).expect("read"), view, "{context}");
            }
        }
    });
}

/// J14: two append to the view at once, and the one that comes second finds no room: it takes back what is
/// its own.
#[test]
fn a_line_that_does_not_fit_takes_no_other_along() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 9\nbob veth lxcbr0 9\n", |world, container| {
        let bobs = world.container(BOB);
        let _nic = create(world, ALICE, container).nic();
        // She is about to lock the view, and gets to it when Bob has been there. Her write fails.
        let inject = "inject=fcntl,lseek:delay_enter=700000:when=1";
        let fail = "inject=write:error=ENOSPC";
        let options = ["-qq", "-P", VIEW, "-e", inject, "-e", fail, "-o", "/run/trace"];
        let args = ["create", "/dev/null", "dummy", &container.pid(), "veth", "lxcbr0"];
        let mut command = world.strace(ALICE, &options, LXC_USER_NIC);
        let (answer, bob) = thread::scope(|scope| {
            let alice = scope.spawn(|| world.run(command.args(args)));
            // When her interface is there she is on her way to the view.
            while world.host_veths().len() < 2 {
                assert!(!alice.is_finished(), "{:?}", alice.join());
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(Duration::from_millis(200));
            let bob = create(world, BOB, &bobs).nic();
            assert!(!alice.is_finished());
            (alice.join().expect("alice"), bob)
        });
        let trace = fs::read_to_string("/run/trace").expect("trace");
        assert!(trace.contains("(INJECTED)") && trace.contains("(DELAYED)"), "{trace}");
        answer.refuses(VIEW);
        let bobs_line = format!("bob veth lxcbr0 {}", bob.host_name);
        assert!(world.nics().contains(&bobs_line), "{:?}\n{trace}", world.nics());
        assert_eq!((world.nics().len(), world.host_veths().len()), (2, 2));
    });
}

/// May a process that is root here lift limits?
fn may_lift_limits() -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let bounds = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).expect("a bounding set");
    u64::from_str_radix(bounds.trim(), 16).expect("hexadecimal") >> CAP_SYS_RESOURCE & 1 == 1
}

/// J14: a limit of the caller's on the size of files is not one of root's; where root may not lift it,
/// nothing is begun.
#[test]
fn a_file_size_limit_of_the_callers_does_not_matter() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 99\n", |world, container| {
        for signal in ["ignore:SIGXFSZ", "block:SIGXFSZ", "nice:0"] {
            for limit in ["FSIZE=0", "FSIZE=1", "FSIZE=20"] {
                let limit = format!("rlimit:{limit}");
                let create = |name: &str| {
                    let mut command = world.launch(ALICE, &[signal, &limit], LXC_USER_NIC);
                    let args = ["create", "/dev/null", "dummy", &container.pid(), "veth", "lxcbr0", name];
                    world.run(command.args(args))
                };
                if !may_lift_limits() {
                    create("first").refuses("RLIMIT_FSIZE");
                    assert_eq!(files_of(Path::new("/run/lxc")).len(), 1);
                    continue;
                }
                // The second replaces the view, the first adds to it.
                let gone = create("first").nic();
                container.delete_link("first");
                let nic = create("second").nic();
                assert_eq!(world.nics(), [format!("alice veth lxcbr0 {}", nic.host_name)], "{gone:?}");
                let mut delete = world.launch(ALICE, &[signal, &limit], LXC_USER_NIC);
                delete.args(["delete", "/dev/null", "dummy", &container.netns(), "veth", "lxcbr0"]);
                world.run(delete.arg(&nic.host_name)).succeeds();
                assert_eq!((world.nics(), world.ledger()), (vec![], vec![]));
            }
        }
    });
}

/// What `spoil` does to a file or directory, the helper refuses to work with, for all who need it. Then it is
/// repaired.
fn refused_until_repaired(
    world: &World,
    container: &Container,
    (what, path, users): (&str, &str, &[(User, &Container)]),
    spoil: impl FnOnce(),
) {
    world.run(world.command(ROOT, "/usr/bin/rm").args(["-rf", "/run/kept"])).succeeds();
    world.run(world.command(ROOT, "/usr/bin/cp").args(["-a", "/run/lxc", "/run/kept"])).succeeds();
    spoil();
    let before = everything(world, container);
    for (user, container) in users {
        let answer = create(world, *user, container);
        println!("{what}: {answer:?}");
        answer.refuses(path);
    }
    assert_eq!(everything(world, container), before, "{what}");
    world.run(world.command(ROOT, "/usr/bin/rm").args(["-rf", "/run/lxc", "/run/elsewhere"])).succeeds();
    world.run(world.command(ROOT, "/usr/bin/cp").args(["-a", "/run/kept", "/run/lxc"])).succeeds();
    fs::set_permissions("/run", fs::Permissions::from_mode(0o755)).expect("chmod");
}

/// Runs a command of root's.
fn root(world: &World, words: &[&str]) {
    world.run(world.command(ROOT, words[0]).args(&words[1..])).succeeds();
}

/// J15. Where a network namespace has come to an end and another has got its number, some other interface may have the number of
/// one in the old table. It is not that one.
#[test]
fn another_interface_of_the_same_number_does_not_count() {
    if theirs() {
        return;
    }
    World::enter_with_nic(|world| {
        world.bridge("lxcbr0");
        world.usernet("alice veth lxcbr0 1\n");
        let container = world.container(ALICE);
        let nic = world.create(ALICE, &container, "veth", "lxcbr0", &[]).nic();
        let bridge = world.host_link("lxcbr0").index;
        let table = format!("{}/u52001.veth.lxcbr0", world.tables());
        let record = format!("+ {} {bridge} 52001 fe:01:02:03:04:05 linux", nic.host_name);
        container.delete_link("eth0");
        fs::write(&table, format!("{record:<63}\n")).expect("write");
        let nic = world.create(ALICE, &container, "veth", "lxcbr0", &[]).nic();
        // One that root has called otherwise is still the one.
        world.ip(&["link", "set", &nic.host_name, "down"]);
        world.ip(&["link", "set", &nic.host_name, "name", "renamed"]);
        let other = world.container(ALICE);
        world.create(ALICE, &other, "veth", "lxcbr0", &[]).refuses("Quota reached");
    });
}

/// J14: a table that has something else in it than records. Nobody is asked to guess what it was.
#[test]
fn a_damaged_table_is_refused_and_stays_as_it_is() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 3\nbob veth lxcbr0 9\n", |world, container| {
        let alices_table = &*table_of_alices(world);
        let bobs = world.container(BOB);
        // The first place is that of an interface that is gone, whose place the next create would take.
        let gone = create(world, ALICE, container).nic();
        let nic = create(world, ALICE, container).nic();
        container.delete_link(&gone.container_name);
        let good = fs::read(alices_table).expect("read");
        assert_eq!(good.len(), 128);
        let line = |text: &str| format!("{text:<63}\n").into_bytes();
        let with = |place: usize, bytes: &[u8]| {
            let mut table = good.clone();
            table.resize(table.len().max(64 * place), 0);
            table.splice(64 * place..(64 * (place + 1)).min(table.len()), bytes.iter().copied());
            table
        };
        let record = |text: &str| with(1, &line(text));
        let name = &nic.host_name;
        let mut cases = vec![
            [&good[..], b"x"].concat(),
            [&good[..], &good[..63]].concat(),
            good[..127].to_vec(),
            good[..65].to_vec(),
            b"\n".to_vec(),
            b"alice veth lxcbr0 veth52001_abcd\n".to_vec(),
            record("- veth52001_abcd 7 52001 fe:00:00:00:00:01 linux"),
            record("+ veth52001_abcd 0 52001 fe:00:00:00:00:01 linux"),
            record("? veth52001_abcd 07 52001 fe:00:00:00:00:01 linux"),
            record("? veth52001_abcd 2147483648 52001 fe:00:00:00:00:01 linux"),
            record("+ veth52001_abcd 2147483648 52001 fe:00:00:00:00:01 linux"),
            record("+ veth52001_abcd 07 52001 fe:00:00:00:00:01 linux"),
            record("+ veth52001_abcd 7 52001 FE:00:00:00:00:01 linux"),
            record("+ veth52001_abcd 7 52001 fe:00:00:00:00 linux"),
            record("+ veth52001_abcd 7 52001 fe:00:00:00:00:01 bridge"),
            record("+ veth52001_abcd 7 52001 fe:00:00:00:00:01 linux more"),
            record("+ veth52001_abcd 7 52001 fe:00:00:00:00:01"),
            record("+ veth52001_abcd 7 4294967295 fe:00:00:00:00:01 linux"),
            record("+ veth52001_abcd 7 -1 fe:00:00:00:00:01 linux"),
            record("+ veth/abcd 7 52001 fe:00:00:00:00:01 linux"),
            record("+  veth52001_abcd 7 52001 fe:00:00:00:00:01 linux"),
            record(" + veth52001_abcd 7 52001 fe:00:00:00:00:01 linux"),
            record("hello"),
            with(1, &[b' '; 64]),
            with(1, &[b'\n'; 64]),
            with(1, &[0xff; 64]),
            with(1, &[&[0; 63][..], b"\n"].concat()),
            with(1, &[&[b' '; 63][..], b"\0"].concat()),
            with(2, &line("hello")),
            with(5, &line("hello")),
            with(0, &line("hello")),
        ];
        let mut half = good.clone();
        half[100..128].fill(0);
        cases.push(half);
        for table in cases {
            let what = table.escape_ascii().to_string();
            refused_until_repaired(world, container, (&what, alices_table, &[(ALICE, container)]), || {
                fs::write(alices_table, &table).expect("write");
                // delete may do what it can, but only with what is right, and nothing else changes.
                let other = world.delete(ALICE, &container.netns(), "lxcbr0", "veth52001_abcd");
                other.refuses("");
                assert_eq!(fs::read(alices_table).expect("read"), table);
                let bob = create(world, BOB, &bobs).nic();
                world.delete(BOB, &bobs.netns(), "lxcbr0", &bob.host_name).succeeds();
            });
        }
        // Larger than any that we would write.
        refused_until_repaired(world, container, ("huge", alices_table, &[(ALICE, container)]), || {
            let table = OpenOptions::new().write(true).open(alices_table).expect("open");
            table.set_len((64 << 20) + 64).expect("extend");
        });
        assert_eq!(fs::read(alices_table).expect("read"), good);
        // It still counts.
        let _two = [create(world, ALICE, container).nic(), create(world, ALICE, container).nic()];
        refused_as_full(&create(world, ALICE, container));
        world.delete(ALICE, &container.netns(), "lxcbr0", name).succeeds();
    });
}

/// J14: a table that is not root's alone, or no file.
#[test]
fn a_table_that_somebody_could_have_written_is_refused() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 3\nbob veth lxcbr0 9\n", |world, container| {
        let alices_table = &*table_of_alices(world);
        let bobs = world.container(BOB);
        let nic = create(world, ALICE, container).nic();
        let owner = ALICE.id.to_string();
        let elsewhere = "/run/elsewhere";
        let cases: [&[&[&str]]; 11] = [
            &[&["/usr/bin/chown", &owner, alices_table]],
            &[&["/usr/bin/chmod", "620", alices_table]],
            &[&["/usr/bin/chmod", "602", alices_table]],
            &[&["/usr/bin/chmod", "666", alices_table]],
            &[&["/usr/bin/mv", alices_table, elsewhere], &["/usr/bin/ln", "-s", elsewhere, alices_table]],
            &[&["/usr/bin/rm", alices_table], &["/usr/bin/ln", "-s", elsewhere, alices_table]],
            &[&["/usr/bin/rm", alices_table], &["/usr/bin/ln", "-s", "u52001.veth.lxcbr0", alices_table]],
            &[&["/usr/bin/rm", alices_table], &["/usr/bin/mkfifo", alices_table]],
            &[&["/usr/bin/rm", alices_table], &["/usr/bin/mkdir", alices_table]],
            &[&["/usr/bin/rm", alices_table], &["/usr/bin/mknod", alices_table, "c", "1", "3"]],
            &[&["/usr/bin/rm", alices_table], &["/usr/bin/mknod", alices_table, "c", "1", "7"]],
        ];
        let refuse = |what: &str, spoil: &dyn Fn()| {
            refused_until_repaired(world, container, (what, alices_table, &[(ALICE, container)]), || {
                spoil();
                let before = everything(world, container);
                world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).refuses(alices_table);
                assert_eq!(everything(world, container), before, "{what}");
                let bob = create(world, BOB, &bobs).nic();
                world.delete(BOB, &bobs.netns(), "lxcbr0", &bob.host_name).succeeds();
            });
        };
        for commands in cases {
            refuse(&format!("{commands:?}"), &|| commands.iter().for_each(|words| root(world, words)));
        }
        refuse("a socket", &|| {
            fs::remove_file(alices_table).expect("remove");
            drop(UnixListener::bind(alices_table).expect("bind"));
        });
        world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
    });
}

/// J14: a group's table that nobody can use is no trouble to a member who has room of his own.
#[test]
fn a_damaged_pool_is_no_trouble_to_who_has_room_of_his_own() {
    if theirs() {
        return;
    }
    with_container("@crew veth lxcbr0 3\nalice veth lxcbr0 1\n", |world, container| {
        let table = format!("{}/g{CREW}.veth.lxcbr0", world.tables());
        let nic = create_in(world, ALICE, &[CREW], container).nic();
        fs::write(&table, "hello").expect("write");
        create_in(world, ALICE, &[CREW], container).refuses(&table);
        container.delete_link(&nic.container_name);
        let nic = create_in(world, ALICE, &[CREW], container).nic();
        world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
        assert_eq!(fs::read(&table).expect("read"), b"hello");
        assert_eq!(world.host_veths(), Vec::<String>::new());
    });
}

/// J14: the view is not read for decisions, but what is written in its place must be root's to write.
#[test]
fn a_view_that_is_not_roots_file_is_refused() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 3\nbob veth lxcbr0 9\n", |world, container| {
        let alices_table = &*table_of_alices(world);
        let bobs = world.container(BOB);
        let _nic = create(world, ALICE, container).nic();
        let owner = ALICE.id.to_string();
        let elsewhere = "/run/elsewhere";
        let cases: [&[&[&str]]; 11] = [
            &[&["/usr/bin/chown", &owner, VIEW]],
            &[&["/usr/bin/chmod", "620", VIEW]],
            &[&["/usr/bin/chmod", "602", VIEW]],
            &[&["/usr/bin/chmod", "666", VIEW]],
            &[&["/usr/bin/mv", VIEW, elsewhere], &["/usr/bin/ln", "-s", elsewhere, VIEW]],
            &[&["/usr/bin/rm", VIEW], &["/usr/bin/ln", "-s", elsewhere, VIEW]],
            &[&["/usr/bin/rm", VIEW], &["/usr/bin/ln", "-s", "/etc/passwd", VIEW]],
            &[&["/usr/bin/rm", VIEW], &["/usr/bin/mkfifo", VIEW]],
            &[&["/usr/bin/rm", VIEW], &["/usr/bin/mkdir", VIEW]],
            &[&["/usr/bin/rm", VIEW], &["/usr/bin/mknod", VIEW, "c", "1", "3"]],
            &[&["/usr/bin/rm", VIEW], &["/usr/bin/mknod", VIEW, "c", "1", "7"]],
        ];
        for commands in cases {
            let what = format!("{commands:?}");
            // Bob's table would be new.
            let _bobs = create(world, BOB, &bobs).nic();
            bobs.delete_link("eth0");
            fs::write(format!("{}/u52002.veth.lxcbr0", world.tables()), []).expect("write");
            fs::write(alices_table, &fs::read(alices_table).expect("read")[..64]).expect("write");
            let accounts = fs::read("/etc/passwd").expect("read");
            refused_with_records_withdrawn(world, container, &bobs, &what, &|| {
                commands.iter().for_each(|words| root(world, words));
            });
            assert_eq!(fs::read("/etc/passwd").expect("read"), accounts);
        }
        // A second name changes nothing. Anybody can give it one, where hard links are not protected.
        root(world, &["/usr/bin/ln", VIEW, elsewhere]);
        let _bobs = create(world, BOB, &bobs).nic();
    });
}

/// As above, where it is only found out when the interface is there, and gone again.
fn refused_with_records_withdrawn(
    world: &World,
    container: &Container,
    bobs: &Container,
    what: &str,
    spoil: &dyn Fn(),
) {
    root(world, &["/usr/bin/rm", "-rf", "/run/kept", "/run/elsewhere"]);
    root(world, &["/usr/bin/cp", "-a", "/run/lxc", "/run/kept"]);
    spoil();
    let look = || (finished(world), container.names(), bobs.names());
    let before = look();
    for (user, container) in [(ALICE, container), (BOB, bobs)] {
        let answer = create(world, user, container);
        println!("{what}: {answer:?}");
        answer.refuses(VIEW);
    }
    assert_eq!(look(), before, "{what}");
    root(world, &["/usr/bin/rm", "-rf", "/run/lxc", "/run/elsewhere"]);
    root(world, &["/usr/bin/cp", "-a", "/run/kept", "/run/lxc"]);
}

/// J14: the view is text that scripts edit. Whatever is in it, other lines stay, and ours is one of its own.
#[test]
fn other_lines_of_the_view_stay_whatever_they_are() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 9\n", |world, container| {
        for odd in [
            "zoe veth br0 veth1_a\n",
            "zoe veth br0 veth1_a",
            "# a remark\n\nzoe\n",
            "\n\n\n",
            "a\0b\n",
            "no end",
            &"x".repeat(1 << 20),
            &"zoe veth br0 veth1_a\n".repeat(20_000),
        ] {
            fs::write(VIEW, odd).unwrap_or_else(|_| {
                let _nic = create(world, ALICE, container).nic();
                container.delete_link("eth0");
                fs::write(VIEW, odd).expect("write");
            });
            fs::set_permissions(VIEW, fs::Permissions::from_mode(0o600)).expect("chmod");
            let shown = &odd[..odd.len().min(40)];
            let first = create(world, ALICE, container).nic();
            let first_line = format!("alice veth lxcbr0 {}", first.host_name);
            assert!(world.nics().contains(&first_line), "{shown:?}");
            // The first of the two goes.
            container.delete_link(&first.container_name);
            let second = create(world, ALICE, container).nic();
            let nics = world.nics();
            assert!(!nics.contains(&first_line), "{shown:?}");
            assert_eq!(nics.last(), Some(&format!("alice veth lxcbr0 {}", second.host_name)), "{shown:?}");
            for line in odd.split_inclusive('\n').filter(|line| line.len() > 1 && line.ends_with('\n')) {
                assert!(nics.iter().any(|kept| kept == line.trim_end_matches('\n')), "{shown:?}");
            }
            world.delete(ALICE, &container.netns(), "lxcbr0", &second.host_name).succeeds();
        }
    });
}

/// J14: nobody may make the view grow for ever. Nothing depends on it: the interface is made all the same.
#[test]
fn a_view_of_four_megabytes_is_not_added_to() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 9\n", |world, container| {
        let made_by_it = |size: usize| {
            let nic = create(world, ALICE, container).nic();
            let text = "zoe veth br0 veth1_a\n".repeat(1 << 18);
            fs::write(VIEW, &text[..size]).expect("write");
            let next = create(world, ALICE, container).nic();
            let view = fs::read_to_string(VIEW).expect("read");
            assert!(view.starts_with(&text[..size]));
            for name in [nic.container_name, next.container_name] {
                container.delete_link(&name);
            }
            view[size..].trim_start() == format!("alice veth lxcbr0 {}\n", next.host_name)
        };
        assert!(made_by_it(4 << 20));
        fs::remove_file(VIEW).expect("remove");
        let now = made_by_it((4 << 20) + 1);
        assert!(!now && fs::metadata(VIEW).expect("look").len() == (4 << 20) + 1);
    });
}

/// J14: the directories on the way.
#[test]
fn a_directory_that_somebody_could_have_written_is_refused() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 3\nbob veth lxcbr0 9\n", |world, container| {
        let bobs = world.container(BOB);
        let nic = create(world, ALICE, container).nic();
        let owner = ALICE.id.to_string();
        let elsewhere = "/run/elsewhere";
        for (directory, modes) in [
            ("/run/lxc", &["777", "775", "1777"][..]),
            (TABLES, &["777", "720", "1777"]),
            (&world.tables(), &["777", "720", "1777"]),
            ("/run", &["777", "1777"]),
        ] {
            let refuse = |commands: &[&[&str]]| {
                let what = format!("{commands:?}");
                let users = [(ALICE, container), (BOB, &bobs)];
                refused_until_repaired(world, container, (&what, directory, &users), || {
                    commands.iter().for_each(|words| root(world, words));
                    let before = everything(world, container);
                    world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).refuses(directory);
                    assert_eq!(everything(world, container), before, "{what}");
                });
            };
            for mode in modes {
                refuse(&[&["/usr/bin/chmod", mode, directory]]);
            }
            if directory == "/run" {
                continue;
            }
            refuse(&[&["/usr/bin/chown", &owner, directory]]);
            refuse(&[&["/usr/bin/mv", directory, elsewhere], &["/usr/bin/ln", "-s", elsewhere, directory]]);
            for put in [&["/usr/bin/touch", directory][..], &["/usr/bin/mkfifo", directory]] {
                refuse(&[&["/usr/bin/mv", directory, elsewhere], put]);
            }
            refuse(&[&["/usr/bin/mv", directory, elsewhere], &["/usr/bin/ln", "-s", "/nowhere", directory]]);
        }
        world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
    });
}

/// J14: other things in the directory of tables are nobody's.
#[test]
fn what_else_is_in_the_directory_of_tables_does_not_matter() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 1\n", |world, container| {
        let nic = create(world, ALICE, container).nic();
        container.delete_link(&nic.container_name);
        let others =
            ["README", "u52001.veth.lxcbr0.bak", "u52001.veth.lxcbr", "u52001", "g52001.veth.lxcbr00"];
        for other in others {
            fs::write(format!("{}/{other}", world.tables()), "hello").expect("write");
        }
        let nic = create(world, ALICE, container).nic();
        world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
        for other in others {
            assert_eq!(fs::read(format!("{}/{other}", world.tables())).expect("read"), b"hello");
        }
    });
}

/// A helper of Alice's that is killed as it is about to make this call, which it makes.
fn killed_at(world: &World, container: &Container, call: &str) {
    let alices_table = &*table_of_alices(world);
    let inject = format!("inject={call}:signal=KILL");
    let args = ["create", "/dev/null", "dummy", &container.pid(), "veth", "lxcbr0"];
    let options = [
        "-qq",
        "-o",
        "/run/trace",
        "-P",
        "u52001.veth.lxcbr0",
        "-P",
        alices_table,
        "-P",
        "/run/answer",
        "-e",
    ];
    let mut command = world.strace(ALICE, &[&options[..], &[&inject]].concat(), LXC_USER_NIC);
    // Its own file, so that a write to it can be told from others.
    command.args(args);
    let answer = world.run(&mut command);
    let trace = fs::read_to_string("/run/trace").expect("trace");
    assert!(trace.contains("killed by SIGKILL"), "{call}: {answer:?} {trace}");
}

/// J15: between the interface and the record of it: the next run takes away what is half made, and nothing
/// else.
#[test]
fn what_a_killed_helper_left_half_made_is_removed_by_the_next() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 1\nbob veth lxcbr0 1\n", |world, container| {
        let bobs = world.container(BOB);
        let bob = create(world, BOB, &bobs).nic();
        for _ in 0..3 {
            killed_at(world, container, "pwrite64:when=2");
            let ledger = world.ledger();
            let half = ledger.iter().find(|record| record.fields[3] == "52001").expect("a record");
            assert_eq!((&*half.fields[0], &*half.fields[2]), ("?", "0"), "{half:?}");
            assert_eq!(world.host_link(&half.fields[1]).mac, half.fields[4]);
            assert_eq!((container.names().len(), world.host_veths().len()), (1, 2));
            // It is not for others to remove.
            refused_as_full(&create(world, BOB, &bobs));
            assert_eq!(world.ledger(), ledger);

            let nic = create(world, ALICE, container).nic();
            assert_eq!(container.names(), from_ref(&nic.container_name));
            let lines = [(BOB, &bob), (ALICE, &nic)]
                .map(|(user, nic)| format!("{} veth lxcbr0 {}", user.name, nic.host_name));
            assert_eq!(world.nics(), lines);
            refused_as_full(&create(world, ALICE, container));
            world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
        }
    });
}

/// J15: whatever root's rules for new interfaces (udev's) have made of it meanwhile. No quota would count it any more.
#[test]
fn what_a_killed_helper_left_half_made_is_found_by_another_name_or_address() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 1\n", |world, container| {
        let pid = container.pid();
        let args = ["create", "/dev/null", "dummy", &*pid, "veth", "lxcbr0"];
        // It is there, and the record is about to say its number; or it has.
        let killed_before_the_number = || killed_at(world, container, "pwrite64:when=2");
        let killed_with_the_number = || {
            for number in 1..10 {
                let inject = format!("inject=sendto:signal=KILL:when={number}");
                world.run(world.strace(ALICE, &["-o", "/run/trace", "-e", &inject], LXC_USER_NIC).args(args));
                if !world.host_veths().is_empty() {
                    return;
                }
            }
            panic!("it makes nothing");
        };
        let is_found = |killed: &dyn Fn(), has_number: bool, change: [&str; 2]| {
            killed();
            let half = &world.ledger()[0];
            assert_eq!((&*half.fields[0], half.fields[2] != "0"), ("?", has_number), "{half:?}");
            world.ip(&[&["link", "set", "dev", &half.fields[1]], &change[..]].concat());
            let nic = create(world, ALICE, container).nic();
            assert_eq!(world.host_veths(), from_ref(&nic.host_name), "{change:?} {half:?}");
            refused_as_full(&create(world, ALICE, container));
            world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
        };
        is_found(&killed_before_the_number, false, ["name", "renamed"]);
        is_found(&killed_with_the_number, true, ["name", "renamed"]);
        is_found(&killed_with_the_number, true, ["address", "fe:aa:aa:aa:aa:aa"]);
    });
}

/// J13: what somebody has left behind, in a quota that he shares, costs others no more than a moment.
#[test]
fn what_was_left_is_cleared_away_a_little_at_a_time_unless_there_is_no_room() {
    if theirs() {
        return;
    }
    const LEFT: usize = 12;
    with_container("alice veth lxcbr0 20\n", |world, container| {
        let pid = container.pid();
        // The first one makes the table.
        let nic = create(world, ALICE, container).nic();
        container.delete_link(&nic.container_name);
        let mut records = String::new();
        for number in 10..10 + LEFT {
            let (name, mac) = (format!("veth52001_ha{number}"), format!("fe:00:00:00:00:{number}"));
            let peer = format!("half{number}");
            let pair = ["link", "add", &name, "address", &mac, "type", "veth", "peer", "name", &peer];
            world.ip(&[&pair[..], &["netns", &pid]].concat());
            records += &format!("{:<63}\n", format!("? {name} 0 52001 {mac} linux"));
        }
        fs::write(table_of_alices(world), records).expect("write");
        // The kernel takes its time.
        let options = ["-qq", "-o", "/run/trace", "-e", "inject=sendto:delay_exit=30000"];
        let mut command = world.strace(ALICE, &options, LXC_USER_NIC);
        let first = world.run(command.args(["create", "/dev/null", "dummy", &pid, "veth", "lxcbr0"])).nic();
        let left = world.host_veths().len() - 1;
        assert!((1..LEFT).contains(&left), "{left}");
        // What is left counts until there is no room otherwise.
        world.usernet("alice veth lxcbr0 2\n");
        let second = create(world, ALICE, container).nic();
        assert_eq!(
            BTreeSet::from_iter(world.host_veths()),
            BTreeSet::from([first.host_name, second.host_name])
        );
        refused_as_full(&create(world, ALICE, container));
    });
}

/// J15: between the intent and the interface: a record of nothing. It goes with the next run.
#[test]
fn an_intent_of_a_killed_helper_counts_for_nothing() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 1\n", |world, container| {
        let alices_table = &*table_of_alices(world);
        for call in ["fallocate", "pwrite64:when=1", "pwrite64:when=1"] {
            killed_at(world, container, call);
            assert_eq!((world.host_veths(), container.names()), (vec![], vec![]));
            let nic = create(world, ALICE, container).nic();
            assert_eq!(world.ledger().len(), 1);
            refused_as_full(&create(world, ALICE, container));
            world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
        }
        // A record by hand, as one leaves it who dies before the interface is there; of a name that is
        // somebody else's now.
        world.ip(&["link", "add", "veth52001_mine", "type", "veth", "peer", "name", "other"]);
        for name in ["veth52001_none", "veth52001_mine", "lxcbr0", "lo"] {
            fs::write(alices_table, format!("{:<63}\n", format!("? {name} 0 52001 fe:00:00:00:00:01 linux")))
                .expect("write");
            let nic = create(world, ALICE, container).nic();
            world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
            let names: Vec<String> = world.host_links().into_iter().map(|link| link.name).collect();
            assert_eq!(names, ["lo", "lxcbr0", "other", "veth52001_mine"], "{name}");
        }
    });
}

/// J15: between the record and the answer: nobody knows of it, but it is there, and counts as long as it is.
#[test]
fn an_interface_that_was_finished_counts_though_its_maker_was_killed() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 1\n", |world, container| {
        // The last thing that it does with the ledger is to close it.
        killed_at(world, container, "close:when=1");
        let ledger = world.ledger();
        assert_eq!((ledger.len(), &*ledger[0].fields[0]), (1, "+"));
        assert_eq!((world.host_veths(), world.nics().len()), (vec![ledger[0].fields[1].clone()], 1));
        refused_as_full(&create(world, ALICE, container));
        container.delete_link("eth0");
        let nic = create(world, ALICE, container).nic();
        assert_eq!((world.ledger().len(), world.nics().len()), (1, 1));
        world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
    });
}

/// J16: whatever the container does to its end, the host's is found and counted.
#[test]
fn the_host_end_counts_whatever_the_container_does_to_its_own() {
    with_container("alice veth lxcbr0 1\n", |world, container| {
        let mut other = world.container(ALICE);
        let nic = create(world, ALICE, container).nic();
        let still_counts = |what: &str| {
            assert_eq!(world.host_veths(), from_ref(&nic.host_name), "{what}");
            refused_as_full(&create(world, ALICE, container));
            assert_eq!(world.nics(), [format!("alice veth lxcbr0 {}", nic.host_name)], "{what}");
        };
        still_counts("as it was made");
        for change in [
            &["link", "set", "eth0", "name", "other"][..],
            &["link", "set", "other", "up"],
            &["link", "set", "other", "alias", "nsgate:uid=52002,owner=u52002"],
            &["link", "property", "add", "dev", "other", "altname", "veth52001_0000"],
            &["link", "set", "other", "address", "fe:00:00:00:00:01"],
            &["link", "set", "other", "mtu", "1280"],
            &["link", "set", "other", "group", "7"],
            &["link", "add", "br0", "type", "bridge"],
            &["link", "set", "other", "master", "br0"],
            &["link", "set", "other", "down"],
            &["link", "set", "other", "nomaster"],
            // A pair of its own, with the names of ours.
            &["link", "add", &nic.host_name, "type", "veth", "peer", "name", "eth0"],
        ] {
            container.ip(change);
            still_counts(&format!("{change:?}"));
        }
        // To another container of hers, whose name for it is another one; back, and into a namespace that has
        // no name.
        container.ip(&["link", "set", "other", "netns", &other.pid(), "name", "eth7"]);
        still_counts("moved");
        assert_eq!(other.names(), ["eth7"]);
        other.ip(&["link", "set", "eth7", "netns", &container.pid()]);
        still_counts("moved back");
        container.ip(&["link", "set", "eth7", "netns", &other.pid()]);

        // The one that it was made for ends. Then the one that it is in.
        if theirs() {
            other.delete_link("eth7");
        } else {
            other.end();
            world.wait_until_gone(&nic.host_name);
        }
        let next = create(world, ALICE, container).nic();
        assert_eq!(world.host_veths(), [next.host_name]);
    });
}

/// J16: an end that was moved outlives the container that it was made for, and counts.
#[test]
fn an_end_that_was_moved_counts_when_its_first_container_has_ended() {
    with_container("alice veth lxcbr0 1\n", |world, container| {
        let mut first = world.container(ALICE);
        let nic = create(world, ALICE, &first).nic();
        first.ip(&["link", "set", "eth0", "netns", &container.pid()]);
        let inode = fs::read_link(first.netns()).expect("a namespace");
        first.end();
        // Nothing on the host tells when it is over: a pair of another user's that goes with it would, but it
        // is not his.
        assert!(!Path::new(&first.netns()).exists(), "{inode:?}");
        refused_as_full(&create(world, ALICE, container));
        assert_eq!(
            (world.host_veths(), container.names()),
            (vec![nic.host_name.clone()], vec!["eth0".to_owned()])
        );
        if !theirs() {
            world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
            assert_eq!(container.names(), Vec::<String>::new());
        }
    });
}

/// J18. Differs: a quota belongs to a uid. To C it is the name's, so a new name has a new quota.
#[test]
fn a_user_who_is_renamed_keeps_what_he_has() {
    if theirs() {
        return;
    }
    with_container(
        "alice veth lxcbr0 1\nalicia veth lxcbr0 2\nnewbie veth lxcbr0 2\n",
        |world, container| {
            let rename = |from: &str, to: &str| {
                let accounts = fs::read_to_string("/etc/passwd").expect("read");
                world.write(
                    "/etc/passwd",
                    accounts.replace(&format!("{from}:x:52001:"), &format!("{to}:x:52001:")),
                );
            };
            let first = create(world, ALICE, container).nic();
            refused_as_full(&create(world, ALICE, container));
            rename("alice", "alicia");
            let second = create(world, ALICE, container).nic();
            create(world, ALICE, container).refuses("2 of 2 used by alicia");
            assert_eq!(world.nics()[1], format!("alicia veth lxcbr0 {}", second.host_name));
            // Somebody else gets the number: what is left of its last owner counts as long as it is there, as
            // it is his now.
            rename("alicia", "newbie");
            create(world, ALICE, container).refuses("2 of 2 used by newbie");
            world.delete(ALICE, &container.netns(), "lxcbr0", &first.host_name).succeeds();
            let _nic = create(world, ALICE, container).nic();
            // An account that is gone has nothing.
            let accounts = fs::read_to_string("/etc/passwd").expect("read");
            world.write("/etc/passwd", accounts.replace("newbie:x:52001:", "newbie:x:52009:"));
            create(world, ALICE, container).refuses("no account");
            assert_eq!(world.ledger().len(), 2);
        },
    );
}

/// J18. Differs: the other way round, a name that goes to another uid takes nothing along.
#[test]
fn a_name_that_is_given_to_another_user_brings_him_nothing() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 1\n@crew veth lxcbr0 1\n@gang veth lxcbr0 1\n", |world, alices| {
        let carols = world.container(CAROL);
        let nic = create(world, ALICE, alices).nic();
        let accounts = fs::read_to_string("/etc/passwd").expect("read");
        let accounts = accounts.replace("alice:x:52001:", "former:x:52001:").replace("carol:x:", "alice:x:");
        world.write("/etc/passwd", accounts);
        refused_by_policy(&create(world, ALICE, alices));
        // She who is Alice now has Alice's line, and not what another has made by it.
        let hers = create(world, CAROL, &carols).nic();
        create(world, CAROL, &carols).refuses("1 of 1 used by alice");
        for (user, container, other) in [(CAROL, &carols, &nic), (ALICE, alices, &hers)] {
            let answer = world.delete(user, &container.netns(), "lxcbr0", &other.host_name);
            answer.refuses("Caller is not allowed to delete network device");
        }
        world.delete(ALICE, &alices.netns(), "lxcbr0", &nic.host_name).succeeds();

        // Groups: the number is the pool.
        let pooled = create_in(world, CAROL, &[CREW], &carols).nic();
        let groups = fs::read_to_string("/etc/group").expect("read");
        world.write("/etc/group", groups.replace("crew:x:", "gang:x:").replace("lab:x:", "crew:x:"));
        create_in(world, CAROL, &[CREW], &carols).refuses("1 of 1 used by @gang");
        let _nic = create_in(world, CAROL, &[LAB], &carols).nic();
        let mut delete = world.command_in_groups(CAROL, &[CREW], LXC_USER_NIC);
        delete.args(["delete", "/dev/null", "dummy", &carols.netns(), "veth", "lxcbr0", &pooled.host_name]);
        world.run(&mut delete).succeeds();
    });
}

/// J19. Differs: C says that it does not do so for kernel bridges, whoever asks.
#[test]
fn only_the_one_who_made_an_interface_may_delete_it() {
    with_container("alice veth lxcbr0 9\nalice veth lxcbr1 9\nbob veth lxcbr0 9\n", |world, alices| {
        world.bridge("lxcbr1");
        let bobs = world.container(BOB);
        let nic = create(world, ALICE, alices).nic();
        let other = world.create(ALICE, alices, "veth", "lxcbr1", &[]).nic();
        let bob = create(world, BOB, &bobs).nic();
        world.ip(&["link", "property", "add", "dev", &nic.host_name, "altname", "veth52001_altname"]);
        world.ip(&["link", "property", "add", "dev", &bob.host_name, "altname", "veth52001_bobs"]);
        let before = everything(world, alices);
        let (name, alices, bobs) = (&*nic.host_name, alices.netns(), bobs.netns());
        let refused = |user: User, netns: &str, bridge: &str, name: &str| {
            let answer = world.delete(user, netns, bridge, name);
            answer.refuses(if theirs() { "" } else { "lxc-user-nic: " });
            answer
        };
        let phrase = "Caller is not allowed to delete network device";
        for (user, netns, bridge, name) in [
            // Another's, and root is another.
            (BOB, &*bobs, "lxcbr0", name),
            (ALICE, &alices, "lxcbr0", &*bob.host_name),
            (ALICE, &alices, "lxcbr0", "veth52001_bobs"),
            // On another bridge.
            (ALICE, &alices, "lxcbr1", name),
            (ALICE, &alices, "lxcbr0", &*other.host_name),
            (ALICE, &alices, "none", name),
            (ALICE, &alices, "lxcbr2", name),
            (ALICE, &alices, "veth", name),
            // By a part of its name, or another name.
            (ALICE, &alices, "lxcbr0", &name[..name.len() - 1]),
            (ALICE, &alices, "lxcbr0", &name[..10]),
            (ALICE, &alices, "lxcbr0", &name[1..]),
            (ALICE, &alices, "lxcbr0", &format!("{name}0")),
            (ALICE, &alices, "lxcbr0", "veth"),
            (ALICE, &alices, "lxcbr0", &name.to_uppercase()),
            (ALICE, &alices, "lxcbr0", "veth52001_alt"),
            (ALICE, &alices, "lxcbr0", "eth0"),
            (ALICE, &alices, "lxcbr0", "lxcbr0"),
            (ALICE, &alices, "lxcbr0", "lo"),
            (ALICE, &alices, "lxcbr0", &nic.host_index.to_string()),
            (ALICE, &alices, "lxcbr0", "+"),
        ] {
            let answer = refused(user, netns, bridge, name);
            if !theirs() {
                answer.refuses(phrase);
            }
        }
        // Names that are none.
        for name in [
            "",
            "*",
            "veth52001_altname",
            "veth52001_*",
            "../nics",
            "veth52001_\n",
            "%d",
            "veth52001_%d",
            "-",
        ] {
            refused(ALICE, &alices, "lxcbr0", name);
        }
        // From where it is not hers to delete.
        refused(ALICE, &bobs, "lxcbr0", name);
        refused(ALICE, "/proc/self/ns/net", "lxcbr0", name);
        refused(BOB, &alices, "lxcbr0", name);
        if !theirs() {
            let root = world.container(ROOT);
            refused(ROOT, &root.netns(), "lxcbr0", name).refuses(phrase);
        }
        let after = world.host_links().into_iter().map(|link| format!("{} {}", link.index, link.name));
        assert_eq!((files_of(Path::new("/run/lxc")), after.collect::<Vec<_>>()), (before.0, before.1));
        if !theirs() {
            world.delete(ALICE, &alices, "lxcbr0", name).succeeds();
            world.delete(ALICE, &alices, "lxcbr1", &other.host_name).succeeds();
            world.delete(BOB, &bobs, "lxcbr0", &bob.host_name).succeeds();
            assert_eq!(world.ledger(), vec![]);
        }
    });
}

/// J19. Differs: what is in a group's pool is deleted by who made it, not by any member; and whether policy
/// still has a line for it does not matter.
#[test]
fn a_pools_interface_is_deleted_by_who_made_it() {
    if theirs() {
        return;
    }
    with_container("@crew veth lxcbr0 3\n@lab veth lxcbr0 3\n", |world, alices| {
        let bobs = world.container(BOB);
        let delete = |user: User, groups: &[u32], netns: &str, nic: &NicAnswer| {
            let mut command = world.command_in_groups(user, groups, LXC_USER_NIC);
            world.run(command.args(["delete", "/dev/null", "dummy", netns, "veth", "lxcbr0", &nic.host_name]))
        };
        let alice = create_in(world, ALICE, &[CREW], alices).nic();
        let bob = create_in(world, BOB, &[CREW, LAB], &bobs).nic();
        let before = world.state();
        for (user, groups, container, nic) in [
            (BOB, &[CREW, LAB][..], &bobs, &alice),
            (ALICE, &[CREW, LAB], alices, &bob),
            // She is not in it any more, or not with this process.
            (ALICE, &[LAB], alices, &alice),
            (ALICE, &[], alices, &alice),
        ] {
            let answer = delete(user, groups, &container.netns(), nic);
            answer.refuses("Caller is not allowed to delete network device");
            assert_eq!(world.state(), before);
        }
        world.usernet("");
        delete(ALICE, &[LAB, CREW], &alices.netns(), &alice).succeeds();
        fs::remove_file(POLICY).expect("remove");
        delete(BOB, &[CREW], &bobs.netns(), &bob).succeeds();
        assert_eq!((world.host_veths(), world.ledger(), world.nics()), (vec![], vec![], vec![]));
    });
}

/// J20: what is in no ledger of ours is not ours to delete, whatever it is called, and whatever the view
/// says.
#[test]
fn what_others_have_made_is_not_deleted() {
    with_container("alice veth lxcbr0 9\n", |world, container| {
        let netns = container.netns();
        let made = ["veth52001_root", "veth52001_d", "veth52001_br", "veth52001_in"];
        world.ip(&[
            "link",
            "add",
            made[0],
            "master",
            "lxcbr0",
            "type",
            "veth",
            "peer",
            "name",
            "eth7",
            "netns",
            &container.pid(),
        ]);
        world.ip(&["link", "set", made[0], "alias", "nsgate:uid=52001,owner=u52001"]);
        world.ip(&["tuntap", "add", made[1], "mode", "tap"]);
        world.ip(&["link", "add", made[2], "type", "bridge"]);
        world.ip(&["link", "add", made[3], "type", "ifb"]);
        // The first create leaves the view to write to.
        let nic = create(world, ALICE, container).nic();
        let lines: String = made.iter().map(|name| format!("alice veth lxcbr0 {name}\n")).collect();
        let mut view = fs::read_to_string(VIEW).expect("read");
        view.push_str(&lines);
        fs::write(VIEW, &view).expect("write");
        let before = world.state();
        for name in made.iter().chain(&["eth7", "lxcbr0", "lo"]) {
            world.delete(ALICE, &netns, "lxcbr0", name).refuses(if theirs() {
                ""
            } else {
                "Caller is not allowed"
            });
        }
        assert_eq!(world.state(), before);
        if !theirs() {
            world.delete(ALICE, &netns, "lxcbr0", &nic.host_name).succeeds();
            // A list that scripts read: what C has put there stays there.
            assert_eq!(fs::read_to_string(VIEW).expect("read"), lines);
        }
        for name in made {
            let _link = world.host_link(name);
        }
    });
}

/// J20: nor is anything removed because of a record that fits something else, by name or by index: only a
/// veth is one of ours, and one that was never finished has to have our address, too.
#[test]
fn a_record_that_fits_something_else_removes_nothing() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 1\n", |world, container| {
        let alices_table = &*table_of_alices(world);
        let netns = container.netns();
        let _nic = create(world, ALICE, container).nic();
        container.delete_link("eth0");
        let mac = "fe:01:02:03:04:05";
        let other = "fe:ff:ff:ff:ff:ff";
        for kind in ["bridge", "ifb", "veth"] {
            let mut args = vec!["link", "add", "veth52001_odd", "address", mac, "type", kind];
            if kind == "veth" {
                args.extend(["peer", "name", "peer0"]);
            }
            world.ip(&args);
            let index = world.host_link("veth52001_odd").index;
            let mut records = vec![
                format!("? veth52001_odd 0 52001 {other} linux"),
                format!("? veth52001_xyz {index} 52001 {other} linux"),
                format!("? veth52001_odd 4444 52001 {mac} linux"),
                format!("+ veth52001_odd 1 52001 {mac} linux"),
                format!("+ veth52001_odd 4444 52001 {mac} linux"),
            ];
            if kind != "veth" {
                records.push(format!("? veth52001_odd 0 52001 {mac} linux"));
                records.push(format!("? veth52001_xyz 0 52001 {mac} linux"));
                records.push(format!("? veth52001_odd {index} 52001 {mac} linux"));
                records.push(format!("+ veth52001_odd {index} 52001 {mac} linux"));
            }
            for record in records {
                let write = || fs::write(alices_table, format!("{record:<63}\n")).expect("write");
                let name = record.split(' ').nth(1).expect("a name");
                write();
                // What is there to be deleted is nothing.
                let _whichever = world.delete(ALICE, &netns, "lxcbr0", name);
                assert_eq!(world.host_link("veth52001_odd").index, index, "{kind}: {record}");
                write();
                let answer = create(world, ALICE, container);
                assert_eq!(world.host_link("veth52001_odd").index, index, "{kind}: {record}");
                if answer.status == Some(0) {
                    let nic = answer.nic();
                    world.delete(ALICE, &netns, "lxcbr0", &nic.host_name).succeeds();
                } else {
                    refused_as_full(&answer);
                }
            }
            world.ip(&["link", "del", "veth52001_odd"]);
        }
    });
}

/// J20: an interface that root has given another name or address is still the caller's, and counts; it is not
/// lost by an attempt to delete it.
#[test]
fn an_interface_that_root_has_changed_still_counts() {
    with_container("alice veth lxcbr0 1\n", |world, container| {
        let changes = [
            &["name", "renamed"][..],
            &["address", "fe:aa:aa:aa:aa:aa"],
            &["alias", "of the lab"],
            &["nomaster"],
        ];
        for (number, change) in changes.iter().enumerate() {
            if theirs() && number == 0 {
                continue; // who goes by the name
            }
            let nic = create(world, ALICE, container).nic();
            if number == 0 && !kernel_renames_what_is_up() {
                world.ip(&["link", "set", "dev", &nic.host_name, "down"]);
            }
            world.ip(&[&["link", "set", "dev", &nic.host_name], *change].concat());
            refused_as_full(&create(world, ALICE, container));
            if !theirs() {
                let answer = world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name);
                let left = container.names().len();
                if answer.status == Some(0) {
                    assert_eq!(left, 0, "{change:?}: it is there, and nobody counts it");
                    continue;
                }
                answer.refuses("");
                assert_eq!(left, 1);
                refused_as_full(&create(world, ALICE, container));
            }
            container.delete_link(&nic.container_name);
        }
    });
}

/// J20: interfaces are counted where they are. A caller in another network namespace than the host's, as `ip
/// netns exec` makes them, gets no second quota there, loses no count, and has nothing removed by a number
/// that means something else there.
#[test]
fn another_network_namespace_has_other_numbers() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 1\n", |world, container| {
        let elsewhere =
            world.container_of(world.command(ROOT, "/usr/bin/unshare").args(["-n", "sleep", "1000"]));
        let nic = create(world, ALICE, container).nic();
        elsewhere.ip(&["link", "add", "lxcbr0", "index", "70", "type", "bridge"]);
        // Root's own there, with the number that Alice's has here.
        let index = nic.host_index.to_string();
        elsewhere.ip(&["link", "add", "roots", "index", &index, "type", "veth", "peer", "name", "other"]);
        let there = |args: &[&str]| {
            let mut command = elsewhere.command("/usr/bin/setpriv");
            let id = ALICE.id.to_string();
            command.args([
                &*format!("--reuid={id}"),
                &format!("--regid={id}"),
                "--clear-groups",
                LXC_USER_NIC,
            ]);
            let answer = world.run(command.args(args).env_clear());
            println!("{args:?}: {answer:?}");
            answer
        };
        let (pid, netns) = (container.pid(), container.netns());
        let create_there = ["create", "/dev/null", "dummy", &*pid, "veth", "lxcbr0"];
        let delete_there = ["delete", "/dev/null", "dummy", &*netns, "veth", "lxcbr0", &nic.host_name];
        for args in [&delete_there[..], &create_there, &delete_there] {
            let _whichever = there(args);
            assert_eq!(elsewhere.link("roots").index, nic.host_index, "{args:?}");
            assert_eq!(world.host_veths(), from_ref(&nic.host_name), "{args:?}");
            refused_as_full(&create(world, ALICE, container));
        }
        elsewhere.ip(&["link", "del", "roots"]);
        let _whichever = there(&create_there);
        refused_as_full(&create(world, ALICE, container));
        world.delete(ALICE, &netns, "lxcbr0", &nic.host_name).succeeds();
    });
}
