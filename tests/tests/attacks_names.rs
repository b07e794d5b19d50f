//! Section H of the attack list: the command line of `lxc-user-nic`, and the names of what it makes.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::sync::Barrier;
use std::time::Duration;

use world::ovs::Ovs;
use world::{
    ALICE, Answer, BOB, Container, LXC_USER_NIC, NicAnswer, ROOT, User, World, kernel_renames_what_is_up,
    theirs,
};

/// A machine with the bridge lxcbr0, this policy, and a container of Alice's.
fn with_container(policy: &str, test: impl FnOnce(&World, &Container) + Send) {
    World::enter_with_nic(|world| {
        world.bridge("lxcbr0");
        world.usernet(policy);
        test(world, &world.container(ALICE));
    });
}

/// Ends with nothing made: not on the host, not in the container.
struct Untouched<'a>(&'a World, &'a Container, world::State, Vec<String>);

impl<'a> Untouched<'a> {
    fn now(world: &'a World, container: &'a Container) -> Self {
        Self(world, container, world.state(), container.names())
    }

    #[track_caller]
    fn still(&self) {
        assert_eq!((self.0.state(), self.1.names()), (self.2.clone(), self.3.clone()));
    }
}

/// `create` with this type, bridge and name, as bytes.
fn create_bytes(world: &World, container: &Container, kind: &[u8], bridge: &[u8], name: &[u8]) -> Answer {
    let mut command = world.command(ALICE, LXC_USER_NIC);
    command.args(["create", "/dev/null", "dummy", &container.pid()]);
    world.run(command.args([kind, bridge, name].map(OsStr::from_bytes)))
}

/// H01. Differs: C says so in several lines.
#[test]
fn a_command_line_of_another_shape_is_refused_with_the_usage() {
    with_container("alice veth lxcbr0 10\n", |world, container| {
        let untouched = Untouched::now(world, container);
        let usage = if theirs() { "" } else { "usage: " };
        let (pid, netns) = (container.pid(), container.netns());
        let create = ["create", "/dev/null", "dummy", &pid, "veth", "lxcbr0", "eth0", "surplus"];
        let delete = ["delete", "/dev/null", "dummy", &netns, "veth", "lxcbr0", "veth52001_0000", "surplus"];
        for (whole, least) in [(create, 6), (delete, 7)] {
            for shape in (0..least).chain([8]) {
                let answer = world.nic(ALICE, &whole[..shape]);
                answer.refuses(usage);
                untouched.still();
            }
            for word in [
                "Create",
                "CREATE",
                "creat",
                "creates",
                "create ",
                " create",
                "create\n",
                "Delete",
                "DELETE",
                "delet",
                "deleted",
                "",
                "-",
                "--",
                "--create",
                "-c",
                "help",
                "remove",
                "add",
                "cr\u{e9}ate",
            ] {
                let mut other = whole;
                other[0] = word;
                for shape in [1, 6, 7] {
                    world.nic(ALICE, &other[..shape]).refuses(usage);
                }
                untouched.still();
            }
        }
        // Before 2.1 it was called like this.
        for older in [
            &[&*pid, "veth", "lxcbr0", "eth0"][..],
            &["/dev/null", "dummy", &pid, "veth", "lxcbr0"],
            &["/dev/null", "dummy", &pid, "veth", "lxcbr0", "eth0"],
        ] {
            world.nic(ALICE, older).refuses(usage);
            untouched.still();
        }
        // Many more than there are.
        let mut command = world.command(ALICE, LXC_USER_NIC);
        let answer = world.run(command.args(["create"; 10_000]));
        answer.refuses(if theirs() {
            ""
        } else {
            "a command is 6 or 7 words, and 10000 were given; usage: "
        });
        untouched.still();
    });
}

/// H01. Differs: C answers these with its usage and status 1, like any mistake. With more on the command line they are
/// one here, too.
#[test]
fn help_and_version_are_answered_alone_on_standard_output() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 10\n", |world, container| {
        let untouched = Untouched::now(world, container);
        for (option, phrase) in [("--help", "usage: lxc-user-nic create"), ("--version", "lxc-user-nic ")] {
            for user in [ALICE, ROOT] {
                let answer = world.nic(user, &[option]);
                assert_eq!((answer.status, &*answer.stderr), (Some(0), ""), "{answer:?}");
                assert!(answer.stdout.contains(phrase), "{answer:?}");
            }
            let pid = container.pid();
            for args in [&[option, option][..], &["create", option], &[option, "create"]] {
                world.nic(ALICE, args).refuses("usage: ");
            }
            let whole = ["create", "/dev/null", "dummy", &pid, "veth", "lxcbr0", option];
            world.nic(ALICE, &whole).refuses("");
        }
        untouched.still();
    });
}

/// H02. What a container path or name may be: anything, as nobody looks at it.
#[test]
fn container_path_and_name_are_never_looked_at() {
    with_container("alice veth lxcbr0 100\n", |world, container| {
        fs::create_dir("/home/alice/mark").expect("mkdir");
        let long = "mark".repeat(30_000);
        for odd in [
            "",
            "../../mark",
            "/home/alice/mark",
            "mark\n<2>kernel: x",
            "\u{1b}[2Jmark",
            "%s%n%mark",
            "-mark",
            "/mark",
            "--help",
            "-",
            &long,
        ] {
            for (path, name) in [(odd, "dummy"), ("/dev/null", odd), (odd, odd)] {
                let args = ["create", path, name, &container.pid(), "veth", "lxcbr0", "eth0"];
                let options = ["-qq", "-f", "-s", "200000", "-o", "/run/trace", "-e", "signal=none"];
                let answer = world.run(world.strace(ALICE, &options, LXC_USER_NIC).args(args));
                assert_eq!(answer.nic().container_name, "eth0");
                let trace = fs::read_to_string("/run/trace").expect("trace");
                let calls = trace.lines().filter(|line| !line.contains("execve("));
                // The log may have it. That is not a file, and not in its raw form.
                let used = calls.filter(|line| line.contains("mark") && !line.contains(" sendto("));
                assert_eq!(used.collect::<Vec<_>>(), Vec::<&str>::new());
                container.delete_link("eth0");
            }
        }
        // Bytes that are no text.
        let mut command = world.command(ALICE, LXC_USER_NIC);
        command.arg("create").args([b"\xff\xfe", b"\xc3\x28"].map(|bytes| OsStr::from_bytes(bytes)));
        let answer = world.run(command.args([&container.pid(), "veth", "lxcbr0", "eth0"]));
        assert_eq!(answer.nic().container_name, "eth0");
    });
}

/// A `/dev` with a log that the test reads.
fn log_of(world: &World) -> UnixDatagram {
    fs::create_dir("/run/dev").expect("create");
    for (name, minor) in [("null", "3"), ("zero", "5"), ("full", "7")] {
        let mut mknod = world.command(ROOT, "/usr/bin/mknod");
        world.run(mknod.args(["-m", "666", &format!("/run/dev/{name}"), "c", "1", minor])).succeeds();
    }
    world.run(world.command(ROOT, "/usr/bin/mount").args(["--bind", "/run/dev", "/dev"])).succeeds();
    let log = UnixDatagram::bind("/dev/log").expect("bind");
    fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o666)).expect("chmod");
    log.set_read_timeout(Some(Duration::from_secs(5))).expect("time-out");
    log
}

/// H02. Differs: C logs nothing.
#[test]
fn what_the_caller_says_is_escaped_in_the_log() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 100\n", |world, container| {
        let log = log_of(world);
        let evil = b"x\n<2>kernel: \x1b[2Jpanic\r\xff\x9b\t";
        let pid = container.pid();
        for place in 1..7 {
            let mut args =
                ["create", "/dev/null", "dummy", &pid, "veth", "lxcbr0", "eth0"].map(OsString::from);
            args[place] = OsStr::from_bytes(evil).to_os_string();
            let answer = world.run(world.command(ALICE, LXC_USER_NIC).args(&args));
            let wanted = if place < 3 { Some(0) } else { Some(1) };
            assert_eq!(answer.status, wanted, "{place} {answer:?}");
            if place < 3 {
                container.delete_link("eth0");
            } else {
                answer.refuses("");
            }
            let mut bytes = vec![0; 1 << 16];
            let length = log.recv(&mut bytes).expect("a record");
            let record = &bytes[..length];
            assert!(record.starts_with(b"<8") && length <= 2048, "{}", record.escape_ascii());
            assert!(record.iter().all(|byte| (b' '..=b'~').contains(byte)), "{}", record.escape_ascii());
        }
        log.set_nonblocking(true).expect("not blocking");
        assert!(log.recv(&mut [0]).is_err(), "one record a request");
    });
}

/// H03. Differs: C reads blanks, signs, octal and hexadecimal numbers, too.
#[test]
fn a_pid_is_a_plain_decimal_number() {
    with_container("alice veth lxcbr0 10\n", |world, container| {
        let untouched = Untouched::now(world, container);
        let pid = container.pid();
        let number: u32 = pid.parse().expect("a pid");
        let mut wrong = vec![
            "0".to_owned(),
            "-1".to_owned(),
            "-0".to_owned(),
            "2147483648".to_owned(),
            "4294967297".to_owned(),
            (u64::from(number) + (1 << 32)).to_string(),
            "99999999999999999999".to_owned(),
            (u128::from(number) + (1 << 64)).to_string(),
            String::new(),
            " ".to_owned(),
            "self".to_owned(),
            "thread-self".to_owned(),
            ".".to_owned(),
            "..".to_owned(),
            "1e3".to_owned(),
            format!("{pid} "),
            format!("{pid}x"),
            format!("{pid}.0"),
            format!("{pid}/"),
            format!("{pid}/."),
            format!("{pid}/task/{pid}"),
            format!("../proc/{pid}"),
            format!("1/../{pid}"),
            format!("{pid}\n"),
            format!("-{pid}"),
            format!("fd:{pid}"),
            pid.chars()
                .map(|digit| char::from_u32(u32::from(digit) + 0xff10 - 0x30).expect("wide"))
                .collect(),
        ];
        if !theirs() {
            wrong.extend([
                format!(" {pid}"),
                format!("\t{pid}"),
                format!("+{pid}"),
                format!("0{pid}"),
                format!("{number:#x}"),
                format!("0{number:o}"),
            ]);
        }
        for wrong in &wrong {
            let args = ["create", "/dev/null", "dummy", wrong, "veth", "lxcbr0", "eth0"];
            world.nic(ALICE, &args).refuses("");
            untouched.still();
        }
        // No process.
        world
            .nic(ALICE, &["create", "/dev/null", "dummy", "2147483647", "veth", "lxcbr0", "eth0"])
            .refuses("");
        untouched.still();
        // So that this can fail.
        let _nic = world.create(ALICE, container, "veth", "lxcbr0", &["eth0"]).nic();
    });
}

/// H04. Differs: C makes a veth of whatever word the policy has.
#[test]
fn the_type_is_veth_and_no_other_word() {
    if theirs() {
        return;
    }
    let long = "v".repeat(200);
    let words = [
        "Veth",
        "VETH",
        "veth ",
        " veth",
        "veth\n",
        "veth0",
        "vet",
        "phys",
        "macvlan",
        "ipvlan",
        "vlan",
        "ovs",
        "none",
        "empty",
        "bridge",
        "tun",
        "",
        "*",
        "-veth",
        "veth/../veth",
        "v\u{e9}th",
        &long,
    ];
    let policy = words.map(|word| format!("alice {word} lxcbr0 10\n")).concat();
    with_container(&(policy + "alice veth lxcbr0 10\n"), |world, container| {
        let untouched = Untouched::now(world, container);
        for word in words {
            world.create(ALICE, container, word, "lxcbr0", &["eth0"]).refuses("");
            let delete =
                ["delete", "/dev/null", "dummy", &container.netns(), word, "lxcbr0", "veth52001_0000"];
            world.nic(ALICE, &delete).refuses("");
            untouched.still();
        }
        create_bytes(world, container, b"veth\xff", b"lxcbr0", b"eth0").refuses("");
        untouched.still();
        assert_eq!(world.create(ALICE, container, "veth", "lxcbr0", &["eth0"]).nic().container_name, "eth0");
    });
}

/// H06: the word `none` is a bridge's name to the policy, and no other line allows it.
#[test]
fn no_bridge_is_allowed_by_a_line_of_its_own() {
    with_container("alice veth lxcbr0 10\nalice veth NONE 10\nalice veth no 10\n", |world, container| {
        let untouched = Untouched::now(world, container);
        let words = if theirs() { "Quota reached" } else { "is not allowed" };
        world.create(ALICE, container, "veth", "none", &["eth0"]).refuses(words);
        untouched.still();
        world.usernet("alice veth none 1\n");
        let nic = world.create(ALICE, container, "veth", "none", &["eth0"]).nic();
        assert_eq!(world.host_link(&nic.host_name).master, "");
        let untouched = Untouched::now(world, container);
        world.create(ALICE, container, "veth", "none", &["eth1"]).refuses("Quota reached");
        world.create(ALICE, container, "veth", "lxcbr0", &["eth1"]).refuses(words);
        untouched.still();
    });
}

/// H06: nor does a bridge that has that name become attached to.
#[test]
fn a_bridge_with_the_name_none_is_left_alone() {
    with_container("alice veth none 1\n", |world, container| {
        world.bridge("none");
        let nic = world.create(ALICE, container, "veth", "none", &["eth0"]).nic();
        assert_eq!(world.host_link(&nic.host_name).master, "");
    });
}

/// H07: whatever the policy has. Differs: C asks Open vSwitch about some of these.
#[test]
fn a_bridge_name_that_no_interface_could_have_is_refused() {
    let names: [&[u8]; 26] = [
        b"",
        b".",
        b"..",
        b"all",
        b"default",
        b"a/b",
        b"../lxcbr0",
        b"lxcbr0/",
        b"a b",
        b"lxcbr0 ",
        b" lxcbr0",
        b"a%d",
        b"lxcbr%d",
        b"%s",
        b"a:b",
        b"lxcbr0:",
        b"lxcbr0\n",
        b"lxcbr0\r",
        b"lxcbr0\x1b[2J",
        b"lxcbr0\x7f",
        b"lxcbr\xff",
        b"\xc2\x85br",
        b"-lxcbr0",
        b"--help",
        b"1234567890123456",
        b"br0 --if-exists del",
    ];
    let lines = names.map(|name| [b"alice veth ", name, b" 10\n"].concat()).concat();
    with_container("", |world, container| {
        world.usernet([&lines[..], b"alice veth lxcbr0 10\n"].concat());
        // Which the kernel does take.
        world.ip(&["link", "add", "name", "-lxcbr0", "type", "bridge"]);
        let untouched = Untouched::now(world, container);
        let long = "x".repeat(100_000);
        let options = ["-qq", "-f", "-o", "/run/trace", "-e", "trace=execve,openat,open,sendto,sendmsg"];
        for name in names.into_iter().chain([long.as_bytes()]) {
            let mut command = world.strace(ALICE, &options, LXC_USER_NIC);
            if theirs() && name == b"-lxcbr0" {
                continue;
            }
            command.args(["create", "/dev/null", "dummy", &container.pid(), "veth"]);
            world.run(command.arg(OsStr::from_bytes(name)).arg("eth0")).refuses("");
            untouched.still();
            if theirs() {
                continue;
            }
            // No other program is asked, and the kernel not either.
            let trace = fs::read_to_string("/run/trace").expect("trace");
            assert_eq!(trace.matches("execve(").count(), 1, "{trace}");
            assert!(!trace.contains("nlmsg_type"), "{trace}");
            let mut delete = world.command(ALICE, LXC_USER_NIC);
            delete.args(["delete", "/dev/null", "dummy", &container.netns(), "veth"]);
            world.run(delete.arg(OsStr::from_bytes(name)).arg("veth52001_0000")).refuses("");
            untouched.still();
        }
    });
}

/// H07: the name is the interface's own. An alternative name, which root has given the bridge for other purposes, is none of
/// a bridge.
#[test]
fn an_alternative_name_is_no_bridge_name() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 1\nalice veth other 1\n", |world, container| {
        world.ip(&["link", "property", "add", "dev", "lxcbr0", "altname", "other"]);
        let untouched = Untouched::now(world, container);
        world.create(ALICE, container, "veth", "other", &["eth0"]).refuses("");
        untouched.still();
    });
}

/// H09. The bridge's name passes to another one, or the bridge goes and comes back, after any system call: what was
/// checked is what is attached to, or nothing is made.
#[test]
fn a_bridge_that_changes_meanwhile_is_attached_to_as_it_was_checked_or_not_at_all() {
    if theirs() {
        return;
    }
    let act = |world: &World, change: &str| {
        if change == "renamed" {
            if !kernel_renames_what_is_up() {
                world.ip(&["link", "set", "lxcbr0", "down"]);
            }
            world.ip(&["link", "set", "lxcbr0", "name", "was0"]);
        } else {
            world.ip(&["link", "del", "lxcbr0"]);
        }
        if change != "deleted" {
            world.ip(&["link", "add", "name", "lxcbr0", "type", "bridge"]);
        }
    };
    with_container("alice veth lxcbr0 1000\n", |world, container| {
        let reset = || {
            for name in ["lxcbr0", "was0"] {
                let mut ip = world.command(ROOT, "/usr/sbin/ip");
                world.run(ip.args(["link", "del", name]));
            }
            for nic in world.host_veths() {
                // Whatever has become of its bridge.
                world.delete(ALICE, &container.netns(), "lxcbr0", &nic).succeeds();
            }
            assert_eq!((container.names(), world.ledger()), (vec![], vec![]));
            world.bridge("lxcbr0");
        };
        let args = ["create", "/dev/null", "dummy", &*container.pid(), "veth", "lxcbr0", "eth0"];
        reset();
        // The bridge is nothing to the loader and the start, nor to what asks the kernel for memory alone.
        let mut places = world.places(ALICE, &args);
        places.drain(..places.len() / 3);
        places.retain(|place| !place.is_dull());
        assert!(places.len() > 20, "{places:?}");
        for change in ["renamed", "deleted", "deleted and made again"] {
            let (mut made, mut refused) = (0, 0);
            let step = if change == "renamed" { 1 } else { 4 };
            for place in places.iter().step_by(step) {
                reset();
                let index = world.host_link("lxcbr0").index;
                let held = match world.held(ALICE, place, &args) {
                    Ok(held) => held,
                    Err(answer) => {
                        let _nic = answer.nic();
                        continue;
                    }
                };
                act(world, change);
                let answer = held.go_on();
                println!("{change} after {place:?}: {answer:?}");
                if answer.status == Some(1) {
                    refused += 1;
                    answer.refuses("");
                    assert_eq!((world.host_veths(), container.names()), (vec![], vec![]));
                    assert_eq!((world.nics(), world.ledger()), (vec![], vec![]));
                    continue;
                }
                made += 1;
                let nic = answer.nic();
                // With its bridge deleted after it was made, a NIC stays, on none.
                let master = world.host_link(&nic.host_name).master;
                let checked = match &*master {
                    "" => change != "renamed",
                    "was0" => world.host_link("was0").index == index,
                    // Before it was looked up.
                    name => name == "lxcbr0",
                };
                assert!(checked, "{change} after {place:?}: on {master:?}");
            }
            assert!(made + refused > 10, "it was not stopped on its way");
            // While it is being made, another name is a refusal: what his line names is another bridge now.
            assert!(change != "renamed" || refused > 0, "{made} made");
        }
    });
}

/// H10, H11. Differs: C lets the kernel expand patterns, takes no name of one character, and leaves what it made when the
/// kernel refuses a name.
#[test]
fn a_container_name_is_a_plain_interface_name() {
    with_container("alice veth lxcbr0 100\n", |world, container| {
        for name in [
            "123456789012345",
            "eth0.100",
            "br-lan",
            "a@b",
            "all2",
            "a'b\"c",
            "w\u{e9}b0",
            "\u{65e5}\u{672c}",
        ] {
            let nic = world.create(ALICE, container, "veth", "lxcbr0", &[name]).nic();
            assert_eq!(nic.container_name, name);
            assert_eq!(container.names(), [name]);
            container.delete_link(name);
        }
        if theirs() {
            return;
        }
        let nic = world.create(ALICE, container, "veth", "lxcbr0", &["x"]).nic();
        assert_eq!((&*nic.container_name, container.names()), ("x", vec!["x".to_owned()]));
        world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();

        let untouched = Untouched::now(world, container);
        // To the kernel one byte of this letter is a blank.
        world.create(ALICE, container, "veth", "lxcbr0", &["w\u{e0}n0"]).refuses("");
        untouched.still();
        let long = [b'x'; 100_000];
        let names: [&[u8]; 25] = [
            b"1234567890123456",
            b"all",
            b"default",
            b".",
            b"..",
            b"a/b",
            b"/",
            b"a:b",
            b"eth0:1",
            b":",
            b"a b",
            b" eth0",
            b"eth0 ",
            b"eth0\t",
            b"eth0\n",
            b"eth0\x0b",
            b"\xc2\xa0",
            b"eth%d",
            b"%d%d",
            b"%n",
            b"%",
            b"-eth0",
            b"eth\xff",
            b"eth\x1b[2J",
            &long,
        ];
        for name in names {
            create_bytes(world, container, b"veth", b"lxcbr0", name).refuses("");
            untouched.still();
        }
    });
}

/// H12. Differs: C leaves what it made.
#[test]
fn a_name_that_is_taken_in_the_container_is_refused() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 10\n", |world, container| {
        container.ip(&["link", "add", "mine", "type", "bridge"]);
        container.ip(&["link", "property", "add", "dev", "mine", "altname", "alternative"]);
        let _nic = world.create(ALICE, container, "veth", "lxcbr0", &["eth0"]).nic();
        let untouched = Untouched::now(world, container);
        for name in ["lo", "mine", "alternative", "eth0"] {
            world.create(ALICE, container, "veth", "lxcbr0", &[name]).refuses(name);
            untouched.still();
        }
        // What the host has is free in the container.
        let nic = world.create(ALICE, container, "veth", "lxcbr0", &["lxcbr0"]).nic();
        assert_eq!(nic.container_name, "lxcbr0");
    });
}

/// H13: many at once never get the same.
#[test]
fn names_that_the_helper_chooses_are_the_first_free_ones_even_at_once() {
    with_container("alice veth lxcbr0 100\nbob veth lxcbr0 100\n", |world, container| {
        let args = ["create", "/dev/null", "dummy", &*container.pid(), "veth", "lxcbr0"];
        let start = Barrier::new(16);
        let names = std::thread::scope(|scope| {
            let create = || {
                start.wait();
                world.nic(ALICE, &args).nic().container_name
            };
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(create)).collect();
            threads.into_iter().map(|thread| thread.join().expect("a NIC")).collect::<BTreeSet<_>>()
        });
        let expected: BTreeSet<String> = (0..16).map(|number| format!("eth{number}")).collect();
        assert_eq!(names, expected);
        assert_eq!(container.names().into_iter().collect::<BTreeSet<_>>(), expected);
    });
}

/// H14. Differs: beyond 65536, and for root, C's names do not say whose they are.
#[test]
fn the_host_end_has_a_name_of_the_callers_own_whatever_his_uid() {
    World::enter_with_nic(|world| {
        world.bridge("lxcbr0");
        let uids =
            [0, 1, 9999, 10000, 52001, 65535, 65536, 65537, 100_000, 1 << 31, u32::MAX - 2, u32::MAX - 1];
        let mut policy = "root veth lxcbr0 2\n".to_owned();
        for uid in uids.into_iter().filter(|uid| *uid != 0) {
            world.append("/etc/passwd", &format!("h{uid}:x:{uid}:{uid}::/:/bin/sh\n"));
            policy += &format!("h{uid} veth lxcbr0 2\n");
        }
        // As daemon and alice have these.
        let policy = policy.replace("h1 ", "daemon ").replace("h52001 ", "alice ");
        world.usernet(policy);
        let mut stems = BTreeSet::new();
        for uid in uids {
            let mut unshare = world.command_as(uid, uid, "/usr/bin/unshare");
            let container = world.container_of(unshare.args(["-r", "-n", "sleep", "1000"]));
            let pid = container.pid();
            let create = || {
                let mut command = world.command_as(uid, uid, LXC_USER_NIC);
                command.args(["create", "/dev/null", "dummy", &pid, "veth", "lxcbr0"]);
                world.run(&mut command).nic().host_name
            };
            let (first, second) = (create(), create());
            assert_ne!(first, second);
            for name in [&first, &second] {
                assert!(name.len() <= 15 && name.starts_with("veth"), "{name}");
                assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{name}");
                assert_eq!(world.host_link(name).master, "lxcbr0");
            }
            if (1..=65536).contains(&uid) {
                assert!(first.starts_with(&format!("veth{uid}_")), "{first}");
            }
            if theirs() {
                continue;
            }
            let stem = |name: &str| name.rsplit_once('_').expect("a uid and a random part").0.to_owned();
            assert_eq!(stem(&first), stem(&second));
            let random = |name: &str| name.rsplit_once('_').expect("a random part").1.len();
            assert_eq!((random(&first), random(&second)), (4, 4));
            if uid > 65536 {
                assert_eq!(first.len(), 15);
            }
            assert!(stems.insert(stem(&first)), "{first} could be another user's");
        }
    });
}

/// `create` of eth0 by Alice, with the same random numbers each time: what the kernel gives is overwritten.
fn create_without_luck(world: &World, container: &Container) -> NicAnswer {
    let inject = "inject=getrandom:poke_exit=@arg1=0102030405060708090a0b0c0d0e0f10";
    let options = ["-qq", "-o", "/dev/null", "-e", "trace=getrandom", "-e", inject];
    let args = ["create", "/dev/null", "dummy", &*container.pid(), "veth", "lxcbr0", "eth0"];
    world.run(world.strace(ALICE, &options, LXC_USER_NIC).args(args)).nic()
}

/// H14, H15: a host name that is taken is no refusal: another is chosen. It may be an interface that has it, or one that
/// root has given it as an alternative name.
#[test]
fn a_host_name_that_is_taken_is_not_chosen() {
    if theirs() {
        return;
    }
    with_container("alice veth lxcbr0 10\n", |world, container| {
        let first = create_without_luck(world, container).host_name;
        container.delete_link("eth0");
        let again = create_without_luck(world, container).host_name;
        assert_eq!(first, again, "the random numbers are not the same, so the test cannot fail");

        let second = world.container(ALICE);
        let nic = create_without_luck(world, &second);
        assert_ne!(nic.host_name, again);
        assert_eq!(world.host_link(&nic.host_name).index, nic.host_index);
        let lines = [&again, &nic.host_name].map(|name| format!("alice veth lxcbr0 {name}"));
        assert_eq!(world.nics(), lines);
        container.delete_link("eth0");
        second.delete_link("eth0");

        world.bridge("roots0");
        world.ip(&["link", "property", "add", "dev", "roots0", "altname", &first]);
        let nic = create_without_luck(world, container);
        assert_ne!(nic.host_name, first);
        assert_eq!(world.host_link(&nic.host_name).index, nic.host_index);
        assert!(world.host_link("roots0").detail.contains(&first));
        assert_eq!(world.host_veths(), [nic.host_name]);
    });
}

/// H15, in what a test run has time for: a thousand in a row, fifty of them at a time. That a name is chosen in a bounded
/// number of draws, out of 14 million for each user, is a property tested beside the code.
#[test]
fn a_thousand_creations_in_a_row_all_succeed() {
    if theirs() {
        return; // each slower than the one before
    }
    with_container("alice veth lxcbr0 60\n", |world, container| {
        let (pid, netns) = (container.pid(), container.netns());
        for round in 0..20 {
            let mut live = BTreeSet::new();
            for number in 0..50 {
                let nic = world.create(ALICE, container, "veth", "lxcbr0", &[]).nic();
                assert_eq!(nic.container_name, format!("eth{number}"), "{pid} {round}");
                assert!(live.insert(nic.host_name));
            }
            assert_eq!(world.host_veths().into_iter().collect::<BTreeSet<_>>(), live);
            // One half by the helper where it can, the other by the container.
            for (number, name) in live.iter().enumerate() {
                if number % 2 == 0 {
                    world.delete(ALICE, &netns, "lxcbr0", name).succeeds();
                }
            }
            for name in container.names() {
                container.delete_link(&name);
            }
            assert_eq!(world.host_veths(), Vec::<String>::new());
        }
    });
}

/// H17: a reader who reads once gets the whole answer, and nothing else.
#[test]
fn the_answer_is_one_line_in_one_write() {
    with_container("alice veth lxcbr0 10\n", |world, container| {
        for name in [&["eth0"][..], &[]] {
            let pid = container.pid();
            let args = [&["create", "/dev/null", "dummy", &*pid, "veth", "lxcbr0"], name].concat();
            let options = [
                "-qq",
                "-f",
                "-o",
                "/run/trace",
                "-e",
                "signal=none",
                "-e",
                "trace=write,writev,pwrite64,sendfile",
            ];
            let answer = world.run(world.strace(ALICE, &options, LXC_USER_NIC).args(&args));
            let nic = answer.nic();
            let trace = fs::read_to_string("/run/trace").expect("trace");
            let writes = trace.lines().filter(|line| line.contains("(1, ") || line.contains("(2, "));
            let writes = writes.collect::<Vec<_>>();
            assert_eq!(writes.len(), 1, "{trace}");
            assert!(
                writes[0].contains(&format!("{}:{}:", nic.container_name, nic.container_index)),
                "{trace}"
            );
        }
    });
}

/// H18. Differs: C says `Quota reached` to all of these.
#[test]
fn each_reason_has_its_own_words() {
    if theirs() {
        return;
    }
    let policy = "alice veth lxcbr0 1\nalice veth missing 1\nalice veth plain0 1\nalice veth full 0\n";
    with_container(policy, |world, container| {
        world.ip(&["link", "add", "plain0", "type", "veth", "peer", "plain1"]);
        world.bridge("full");
        // Whatever is no bridge of the kernel's, it is asked about.
        let _ovs = Ovs::start(world);
        let _nic = world.create(ALICE, container, "veth", "lxcbr0", &["eth0"]).nic();
        let untouched = Untouched::now(world, container);
        let bobs = world.container(BOB);
        let refused = |user: User, container: &Container, bridge: &str, name: &str| {
            let answer = world.create(user, container, "veth", bridge, &[name]);
            answer.refuses("");
            answer.stderr.clone()
        };
        let answers = [
            refused(ALICE, container, "lxcbr0", "eth1"),  // full
            refused(ALICE, container, "other", "eth1"),   // no line
            refused(BOB, &bobs, "lxcbr0", "eth1"),        // no line of his
            refused(ALICE, container, "missing", "eth1"), // no such bridge
            refused(ALICE, container, "plain0", "eth1"),  // no bridge
            refused(ALICE, &bobs, "lxcbr0", "eth1"),      // not hers
        ];
        let full: Vec<bool> = answers.iter().map(|answer| answer.contains("Quota reached")).collect();
        assert_eq!(full, [true, false, false, false, false, false], "{answers:?}");
        let not_allowed: Vec<bool> = answers.iter().map(|answer| answer.contains("is not allowed")).collect();
        assert_eq!(not_allowed[1..5], [true, true, false, false], "{answers:?}");
        assert!(answers[0].contains("1 of 1"), "{answers:?}");
        assert!(answers[2].contains("(nsgate check shows lines that do not count)"), "{answers:?}");
        assert!(answers[2].contains("with a line there: bob veth lxcbr0 10"), "{answers:?}");
        let command = "root can make it: ip link add name missing type bridge && ip link set dev missing up";
        assert!(answers[3].contains(command) && !answers[3].contains("nsgate.ini"), "{answers:?}");
        assert_eq!(answers.iter().collect::<BTreeSet<_>>().len(), answers.len(), "{answers:?}");
        untouched.still();
        // A line that grants nothing is no quota that could be reached.
        world.create(ALICE, container, "veth", "full", &["eth1"]).refuses("");
        // Nor is a kernel that has no memory, or an answer that does not come.
        world.usernet("alice veth lxcbr0 5\n");
        for error in ["ENOBUFS", "ENOMEM"] {
            let inject = format!("inject=sendto,sendmsg:error={error}");
            let options = ["-qq", "-o", "/dev/null", "-e", &inject];
            let args = ["create", "/dev/null", "dummy", &*container.pid(), "veth", "lxcbr0", "eth1"];
            let answer = world.run(world.strace(ALICE, &options, LXC_USER_NIC).args(args));
            answer.refuses("");
            assert!(
                !answer.stderr.contains("Quota") && !answer.stderr.contains("is not allowed"),
                "{answer:?}"
            );
        }
        untouched.still();
    });
}
