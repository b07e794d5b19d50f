//! `nsgate explain`: it says what the set-id helpers do, and in their words. Ours only.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use world::{ALICE, Answer, BOB, CAROL, Container, ROOT, Target, User, World, theirs, tree};

/// Numbers by lot: the same for the same seed (splitmix64).
struct Lot {
    state: u64,
    /// What is given to users begins here. A test has a region of its own: what lives is seen by `exclusive`, also where it
    /// lives in the machine of another test.
    base: u64,
}

impl Lot {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// In so many cases of a hundred.
    fn percent(&mut self, cases: u64) -> bool {
        self.below(100) < cases
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[usize::try_from(self.below(all.len() as u64)).expect("an index")]
    }
}

/// A region of ids that nobody else on this machine maps.
const fn region(number: u64) -> u64 {
    1_234_000_000 + number * 10_000
}

/// The ids that the processes of [`holder`] map begin so far above the base.
const HELD: u64 = 1000;

const USERS: [&User; 3] = [&ALICE, &BOB, &CAROL];

/// Mostly of a few hundred, so that ranges meet; sometimes of those that are special.
fn an_id(lot: &mut Lot) -> String {
    if lot.percent(96) {
        return (lot.base + lot.below(300)).to_string();
    }
    let special = [
        "0",
        "1",
        "33",
        "52001",
        "52002",
        "52003",
        "65534",
        "65535",
        "4294967294",
        "4294967295",
        "1234001005",
    ];
    lot.of(&special).to_owned()
}

fn a_count(lot: &mut Lot) -> String {
    if lot.percent(95) {
        (1 + lot.below(80)).to_string()
    } else {
        lot.of(&["0", "4294967295", "1", "65536"]).to_owned()
    }
}

fn junk(lot: &mut Lot) -> String {
    lot.of(&[
        "",
        "-1",
        "+5",
        "0x10",
        "010",
        " 7",
        "7 ",
        "1e3",
        "4294967296",
        "99999999999999999999",
        "\u{e9}",
        "x\x1b[2J",
    ])
    .to_owned()
}

fn a_policy_line(lot: &mut Lot) -> String {
    if lot.percent(6) {
        return lot
            .of(&[
                "# alice:1234000000:300",
                "",
                "alice",
                "\t",
                "::",
                ":1234000000:300",
                "alice:1234000000:300:",
            ])
            .to_owned();
    }
    let owner = lot.of(&[
        "alice", "alice", "alice", "bob", "bob", "carol", "52001", "52002", "lass", "ghost", "#alice",
        "alice ", "052001",
    ]);
    let mut number = |good: fn(&mut Lot) -> String| if lot.percent(2) { junk(lot) } else { good(lot) };
    let (first, count) = (number(an_id), number(|lot| (1 + lot.below(200)).to_string()));
    let end = if lot.percent(4) { lot.of(&["\r", " "]) } else { "" };
    format!("{owner}:{first}:{count}{end}")
}

fn a_policy(lot: &mut Lot) -> String {
    let lines = lot.below(16);
    let mut text = (0..lines).map(|_| a_policy_line(lot) + "\n").collect::<String>();
    for (owner, first) in [("alice", lot.base), ("52002", lot.base + 150), ("carol", lot.base + 30)] {
        if lot.percent(60) {
            text += &format!("{owner}:{first}:{}\n", 100 + lot.below(150));
        }
    }
    if lot.percent(10) {
        text.pop();
    }
    text
}

/// Does it look at the control groups and ulimits of who calls?
fn asks_of_the_caller(rules: &str) -> bool {
    rules.contains("require-limits") || rules.contains("ulimits")
}

fn some_rules(lot: &mut Lot) -> String {
    let mut text = "[idmap]\n".to_owned();
    for _ in 0..1 + lot.below(3) {
        let line = match lot.below(28) {
            0..=4 => "overlap = refuse".to_owned(),
            5..=7 => format!("protect = 0, {}-{}", lot.base + lot.below(100), lot.base + 100 + lot.below(20)),
            8 | 9 => format!("protect = 65534, {}", lot.base + lot.below(300)),
            10..=12 => "protect-accounts = yes".to_owned(),
            13..=16 => format!("max-ids = {}", 5 + lot.below(30)),
            17..=20 => "exclusive = yes".to_owned(),
            21..=23 => "strict-setgroups = yes".to_owned(),
            24 | 25 => lot
                .of(&[
                    "require-limits = memory, pids",
                    "require-limits =",
                    "ulimits = nofile, nproc",
                    "ulimits = core",
                ])
                .to_owned(),
            26 => lot
                .of(&["overlap = allow", "exclusive = no", "protect =", "max-ids = 0", "; note", ""])
                .to_owned(),
            _ => lot
                .of(&["overlaps = refuse", "junk", "exclusive = maybe", "[bridge \"*\"]", "max-ids = 007"])
                .to_owned(),
        };
        // The same key twice is a mistake, and not to be most of them.
        let key = line.split(' ').next().expect("a word").to_owned();
        if !text.contains(&format!("\n{key} ")) || lot.percent(10) {
            text += &(line + "\n");
        }
    }
    text
}

fn a_request(lot: &mut Lot) -> Vec<String> {
    let (mut words, mut inside) = (vec![], 0);
    for _ in 0..1 + lot.below(5).saturating_sub(2) {
        let mut first = if lot.percent(95) { inside.to_string() } else { an_id(lot) };
        let (mut host, mut count) = (an_id(lot), a_count(lot));
        if lot.percent(15) {
            (host, count) = (lot.of(&["52001", "52002", "52003"]).to_owned(), "1".to_owned());
        }
        if lot.percent(8) {
            host = (lot.base + HELD + lot.below(12)).to_string();
        }
        if lot.percent(3) {
            let wrong = junk(lot);
            *[&mut first, &mut host, &mut count][usize::try_from(lot.below(3)).expect("a place")] = wrong;
        }
        inside += count.parse::<u64>().unwrap_or(1);
        words.extend([first, host, count]);
    }
    if lot.percent(2) {
        words.pop();
    }
    words
}

/// What the helper said, without what its command line should look like.
fn its_words(answer: &Answer, program: &str) -> String {
    let said = answer
        .stderr
        .trim_end()
        .strip_prefix(&format!("{program}: "))
        .unwrap_or_else(|| panic!("{answer:?}"));
    said.split("; usage: ").next().expect("a part").to_owned()
}

/// Asks `nsgate explain` as somebody: None if it may, or the words of the refusal.
fn explained(world: &World, asker: User, words: &[&str], program: &str) -> Option<String> {
    let answer = world.run(world.nsgate(asker).arg("explain").args(words));
    let first = answer.stdout.lines().next().unwrap_or_else(|| panic!("{words:?}: {answer:?}"));
    if answer.status == Some(0) {
        assert!(first.contains(" may "), "{answer:?}");
        return None;
    }
    assert_eq!((answer.status, &*answer.stderr), (Some(1), ""), "{words:?}: {answer:?}");
    let refuses = format!("{program} would refuse: ");
    Some(first.strip_prefix(&refuses).unwrap_or_else(|| panic!("{answer:?}")).to_owned())
}

/// A process of Bob's that maps the ids from `base` + [`HELD`] on: ten of them.
fn holder(world: &World, base: u64) -> Target {
    let first = (base + HELD).to_string();
    for file in ["/etc/subuid", "/etc/subgid"] {
        world.write(file, format!("bob:{first}:10\n"));
    }
    let target = world.target(BOB);
    for helper in [World::newuidmap, World::newgidmap] {
        helper(world, BOB, &[&target.pid(), "0", &first, "10"]).succeeds();
    }
    target
}

/// How often what was said. The same class of refusal has the same first words.
#[derive(Default)]
struct Tally(BTreeMap<&'static str, u32>);

impl Tally {
    fn count(&mut self, refused: Option<&str>) {
        let class = match refused {
            None => "allowed",
            Some(words) if words.contains("/etc/nsgate.ini:") && words.contains("nothing is granted") => {
                "settings"
            }
            Some(words) if words.contains("not trusted") => "not trusted",
            Some(words) if words.contains("(/etc/nsgate.ini") => "a rule",
            Some(words) if words.contains("overlap") || words.contains("share host ids") => "the kernel's",
            Some(words) if words.contains("not a plain decimal") || words.contains("argc") => "usage",
            Some(_) => "not granted, or other",
        };
        *self.0.entry(class).or_default() += 1;
    }

    fn all(&self) -> u32 {
        self.0.values().sum()
    }
}

/// Policies and requests by lot: what is explained is what the set-id helper does, word for word.
fn maps_by_lot(seed: u64, number: u64, policies: u32) {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let lot = &mut Lot { state: seed, base: region(number) };
        let extra =
            format!("lass:x:52001:52001::/:/bin/sh\nsvc:x:{}:{}::/:/bin/sh\n", lot.base + 40, lot.base + 41);
        world.append("/etc/passwd", &extra);
        world.append("/etc/group", &format!("svc:x:{}:\n", lot.base + 41));
        let held = holder(world, lot.base);
        let mut targets: BTreeMap<u32, Target> = BTreeMap::new();
        let mut tally = Tally::default();
        for _ in 0..policies {
            let rules = if lot.percent(45) { some_rules(lot) } else { String::new() };
            let of_the_caller = asks_of_the_caller(&rules);
            let private = policy_by_lot(world, lot, &rules);
            for _ in 0..8 {
                let user = *lot.of(&USERS);
                let (kind, program) = *lot.of(&[&("u", "newuidmap"), &("g", "newgidmap")]);
                let words = a_request(lot);
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                // Of limits only he knows who would call; a private file only root may read.
                let asker = if of_the_caller || !private && lot.percent(30) { user } else { ROOT };
                let asked = [&["map", user.name, kind], &*words].concat();
                let explained = explained(world, asker, &asked, program);

                let target = targets.entry(user.id).or_insert_with(|| world.target(user));
                let pid = target.pid();
                let args = [&[&*pid], &*words].concat();
                let answer =
                    if kind == "u" { world.newuidmap(user, &args) } else { world.newgidmap(user, &args) };
                let happened = (answer.status != Some(0)).then(|| its_words(&answer, program));
                let context = || {
                    let file = |name| fs::read(name).map(|text| String::from_utf8_lossy(&text).into_owned());
                    let files =
                        ["/etc/subuid", "/etc/subgid", "/etc/nsgate.ini", "/etc/nsswitch.conf"].map(file);
                    format!("seed {seed}: {} {asked:?} {files:#?}", user.name)
                };
                assert_eq!(explained, happened, "{}", context());
                tally.count(happened.as_deref());
                if happened.is_none() {
                    if kind == "g" {
                        let text = world.run(world.nsgate(asker).arg("explain").args(&asked)).stdout;
                        let denied = text.contains("\nsetgroups\n  denied");
                        // What is mapped by now is in nobody's way for itself: exclusive may say no to the second look.
                        if text.contains(" may map this") {
                            assert_eq!(denied, target.setgroups() == "deny", "{}: {text}", context());
                        }
                    }
                    targets.remove(&user.id);
                } else {
                    target.assert_untouched();
                }
            }
        }
        drop(held);
        println!("maps, seed {seed}: {} requests, {:?}", tally.all(), tally.0);
        assert!(tally.0["allowed"] > tally.all() / 10 && tally.0.len() >= 6, "{:?}", tally.0);
    });
}

/// Four files, each as it may be. May root alone read one of them?
fn policy_by_lot(world: &World, lot: &mut Lot, rules: &str) -> bool {
    let mut private = false;
    for file in ["/etc/subuid", "/etc/subgid"] {
        drop(fs::remove_file(file));
        if lot.percent(3) {
            continue;
        }
        world.write(file, a_policy(lot));
        match lot.below(60) {
            0 => fs::set_permissions(file, fs::Permissions::from_mode(0o664)).expect("chmod"),
            1 => chown(file, Some(ALICE.id), None).expect("chown"),
            2 if !asks_of_the_caller(rules) => {
                private = true;
                fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("chmod");
            }
            3 => {
                fs::remove_file(file).expect("remove");
                std::os::unix::fs::symlink("/etc/passwd", file).expect("link");
            }
            _ => {}
        }
    }
    drop(fs::remove_file("/etc/nsgate.ini"));
    if !rules.is_empty() {
        world.write("/etc/nsgate.ini", rules);
        match lot.below(20) {
            0 => fs::set_permissions("/etc/nsgate.ini", fs::Permissions::from_mode(0o666)).expect("chmod"),
            1 if !asks_of_the_caller(rules) => {
                private = true;
                fs::set_permissions("/etc/nsgate.ini", fs::Permissions::from_mode(0o600)).expect("chmod");
            }
            _ => {}
        }
    }
    let sources = if lot.percent(85) {
        ""
    } else {
        lot.of(&["files", "nope", "files nope", "../x", "nope files", "# x"])
    };
    let line = if sources.is_empty() { String::new() } else { format!("subid: {sources}\n") };
    world.write("/etc/nsswitch.conf", format!("passwd: files\ngroup: files\n{line}"));
    private
}

#[test]
fn what_is_explained_of_maps_is_what_the_helpers_do() {
    maps_by_lot(1, 1, 200);
}

#[test]
fn what_is_explained_of_maps_is_what_the_helpers_do_by_another_lot() {
    maps_by_lot(20_261_125, 2, 200);
}

#[test]
fn what_is_explained_of_maps_is_what_the_helpers_do_by_a_third_lot() {
    maps_by_lot(777, 3, 200);
}

/// The groups of the machine of [`nics_by_lot`], and who is in them.
const LAB: (&str, u32, &[User]) = ("lab", 60001, &[ALICE]);
const DEV: (&str, u32, &[User]) = ("dev", 60002, &[ALICE, BOB]);

fn a_usernet(lot: &mut Lot) -> String {
    let mut text = String::new();
    for _ in 0..lot.below(14) {
        if lot.percent(8) {
            text += lot.of(&[
                "# alice veth bra 9\n",
                "\n",
                "alice veth bra\n",
                " alice veth bra 5\n",
                "bob phys bra 5\n",
                "\u{e9}\n",
            ]);
            continue;
        }
        let odd = lot.of(&["lass", "ghost", "@none", "52001", "@60001"]);
        let owner = if lot.percent(80) { lot.of(&["alice", "bob", "carol", "@lab", "@dev"]) } else { odd };
        let odd = lot.of(&["missing", "dummy0", "nsbr-%u", "nsbr-52001", "b%ua", "nsbr-%d"]);
        let bridge = if lot.percent(60) { lot.of(&["bra", "brb", "none"]) } else { odd };
        let odd = lot.of(&["2147483647", "0", "-1", "05", "2147483648", "4 # remark"]);
        let count = if lot.percent(75) { "3" } else { odd };
        text += &format!("{owner} veth {bridge} {count}\n");
    }
    text
}

fn some_nic_rules(lot: &mut Lot) -> String {
    let mut text = String::new();
    for (section, keys) in [
        ("[bridge \"*\"]", ["mac = stable", "max-nics = 5"]),
        ("[bridge \"bra\"]", ["mac = random", "max-nics = 2"]),
        ("[per-user-bridge]", ["create = yes", "max-bridges = 9"]),
        ("[nic]", ["on-missing-kernel = warn", "require-limits ="]),
    ] {
        text += section;
        text += "\n";
        for key in keys {
            if lot.percent(50) {
                text += &format!("{key}\n");
            }
        }
    }
    if lot.percent(8) {
        text +=
            lot.of(&["isolated = yes\n", "[bridge \"a/b\"]\n", "create = yes\ncreate = yes\n", "nonsense\n"]);
    }
    text
}

/// The same of interfaces: with real bridges, containers, groups and lxc-user-nic.
#[test]
fn what_is_explained_of_interfaces_is_what_the_helper_does() {
    if theirs() {
        return;
    }
    World::enter_with_nic(|world| {
        // It would be asked first, and says nothing here.
        world.without_open_vswitch();
        let lot = &mut Lot { state: 5, base: region(0) };
        world.append("/etc/passwd", "lass:x:52001:52001::/:/bin/sh\n");
        for (name, gid, members) in [LAB, DEV] {
            let members = members.iter().map(|user| user.name).collect::<Vec<_>>().join(",");
            world.append("/etc/group", &format!("{name}:x:{gid}:{members}\n"));
        }
        world.bridge("bra");
        world.bridge("brb");
        world.ip(&["link", "add", "dummy0", "type", "veth", "peer", "name", "dummy1"]);
        let mut containers: BTreeMap<u32, Container> = BTreeMap::new();
        let mut tally: BTreeMap<&str, u32> = BTreeMap::new();
        for _ in 0..100 {
            nic_policy_by_lot(world, lot);
            for _ in 0..6 {
                let user = *lot.of(&USERS);
                let odd = lot.of(&[
                    "missing",
                    "dummy0",
                    "nsbr-52001",
                    "nsbr-52002",
                    "b52001a",
                    "a/b",
                    "nsbr-%u",
                    "",
                ]);
                let bridge = if lot.percent(60) { lot.of(&["bra", "brb", "none"]) } else { odd };
                let asker = if lot.percent(50) { user } else { ROOT };
                let asked = ["nic", user.name, bridge];
                let explained = explained(world, asker, &asked, "lxc-user-nic");

                let container = containers.entry(user.id).or_insert_with(|| world.container(user));
                let groups = [LAB, DEV].into_iter().filter(|(_, _, members)| members.contains(&user));
                let groups = groups.map(|(_, gid, _)| gid).collect::<Vec<_>>();
                let mut command = world.command_in_groups(user, &groups, world::LXC_USER_NIC);
                let args = ["create", "/dev/null", "web", &container.pid(), "veth", bridge, "eth7"];
                let answer = world.run(command.args(args));
                let context = || {
                    let file = |name| fs::read_to_string(name).unwrap_or_default();
                    let files = ["/etc/lxc/lxc-usernet", "/etc/nsgate.ini"].map(file);
                    format!("{asked:?} {files:#?} {answer:?}")
                };
                if answer.status == Some(0) {
                    assert_eq!(explained, None, "{}", context());
                    *tally.entry("allowed").or_default() += 1;
                    let mut command = world.command_in_groups(user, &groups, world::LXC_USER_NIC);
                    let netns = container.netns();
                    let args =
                        ["delete", "/dev/null", "web", &netns, "veth", bridge, &answer.nic().host_name];
                    assert_eq!(world.run(command.args(args)).status, Some(0), "{}", context());
                    continue;
                }
                let (explained, happened) =
                    (explained.unwrap_or_default(), its_words(&answer, "lxc-user-nic"));
                if explained.contains("there is no such bridge") {
                    // The helper adds what would make it.
                    assert!(happened.starts_with(&explained), "{explained:?}: {}", context());
                } else {
                    assert_eq!(explained, happened, "{}", context());
                }
                let class =
                    ["is not allowed a veth", "bridge name", "nothing is granted", "trusted", "bridge"];
                let class = class.into_iter().find(|class| happened.contains(class)).unwrap_or("other");
                *tally.entry(class).or_default() += 1;
            }
        }
        println!("interfaces: {} requests, {tally:?}", tally.values().sum::<u32>());
        assert!(tally["allowed"] > 40 && tally.len() >= 5 && !tally.contains_key("other"), "{tally:?}");
    });
}

fn nic_policy_by_lot(world: &World, lot: &mut Lot) {
    drop(fs::remove_file("/etc/lxc/lxc-usernet"));
    if lot.percent(95) {
        world.usernet(a_usernet(lot));
        match lot.below(30) {
            0 => {
                fs::set_permissions("/etc/lxc/lxc-usernet", fs::Permissions::from_mode(0o666)).expect("chmod")
            }
            1 => chown("/etc/lxc/lxc-usernet", Some(ALICE.id), None).expect("chown"),
            _ => {}
        }
    }
    drop(fs::remove_file("/etc/nsgate.ini"));
    if lot.percent(60) {
        world.write("/etc/nsgate.ini", some_nic_rules(lot));
    }
}

/// A machine with rules, an odd name and odd lines, for looks at the answer as a whole. Nothing in it depends on what others
/// map on the real machine just now.
fn a_machine(world: &World) {
    world.append("/etc/passwd", "odd\x1b[2Jname:x:52010:52010::/:/bin/sh\n");
    world.append("/etc/subuid", "gho\x1b]0;st:1234070100:10\n");
    world.write("/etc/nsgate.ini", "[idmap]\nprotect = 0, 65534\nmax-ids = 70000\n");
}

const QUESTIONS: [&[&str]; 13] = [
    &["map", "alice", "u", "0", "600000", "65536"],
    &["map", "alice", "g", "0", "52001", "1", "1", "600000", "5"],
    &["map", "alice", "u", "0", "600000", "80000"],
    &["map", "alice", "u", "0", "700000", "5"],
    &["map", "alice", "u", "\x1b[2J", "700000", "5"],
    &["map", "52010", "u", "0", "800000", "5"],
    &["map", "alice", "u", "0", "65530", "6"],
    &["map", "alice", "u", "0", "1"],
    &["nic", "52010", "none"],
    &["nic", "alice", "a\x1bb"],
    &["nic", "alice", "lxcbr0"],
    &["id", "1234070100"],
    &["id", "52010"],
];

/// M15
#[test]
fn m15_no_answer_has_a_control_byte_in_it() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        a_machine(world);
        for question in QUESTIONS {
            for how in [&["explain"][..], &["--json", "explain"]] {
                let answer = world.run(world.nsgate(ALICE).args(how).args(question));
                assert!(answer.status == Some(0) || answer.status == Some(1), "{question:?} {answer:?}");
                assert!(!answer.stdout.is_empty() && answer.stderr.is_empty(), "{question:?} {answer:?}");
                let odd = answer.stdout.chars().find(|letter| letter.is_control() && *letter != '\n');
                assert_eq!(odd, None, "{question:?} {answer:?}");
            }
        }
        let answer =
            world.run(world.nsgate(ALICE).args(["explain", "map", "no\x1b[2Jbody", "u", "0", "1", "1"]));
        assert_eq!(answer.status, Some(1));
        assert!(answer.stderr.contains("no\\x1b[2Jbody") && !answer.stderr.contains('\x1b'), "{answer:?}");
    });
}

fn fits_schema(world: &World, text: &str) {
    let schema = tree().join("policy/schema/explain.json");
    world.write("/tmp/schema.json", fs::read_to_string(schema).expect("the schema"));
    world.write("/tmp/answer.json", text);
    let check = "import json, sys\nfrom jsonschema import Draft202012Validator as V\n\
        schema = json.load(open('/tmp/schema.json'))\nV.check_schema(schema)\n\
        document = json.load(open('/tmp/answer.json'))\nV(schema).validate(document)\n\
        assert list(document)[:2] == ['schema', 'verb'], document\n";
    let answer = world.run(world.command(ROOT, "/usr/bin/python3").args(["-c", check]));
    assert_eq!(answer.status, Some(0), "{text} {answer:?}");
}

/// M15
#[test]
fn m15_json_is_as_its_schema_says() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        a_machine(world);
        let validate = |text: &str| fits_schema(world, text);
        let _held = holder(world, region(4));
        world.write("/etc/subuid", "alice:600000:65536\n");
        let held = (region(4) + HELD).to_string();
        for question in QUESTIONS.into_iter().chain([&["id", &*held][..]]) {
            validate(&world.run(world.nsgate(ROOT).args(["--json", "explain"]).args(question)).stdout);
        }
        for rules in [
            "junk\n",
            "[idmap]\nrequire-limits = cpu\nulimits = core\noverlap = refuse\nstrict-setgroups = yes\n",
        ] {
            world.write("/etc/nsgate.ini", rules);
            for question in QUESTIONS {
                validate(&world.run(world.nsgate(ALICE).args(["--json", "explain"]).args(question)).stdout);
            }
        }
        fs::set_permissions("/etc/subuid", fs::Permissions::from_mode(0o666)).expect("chmod");
        for question in QUESTIONS {
            validate(&world.run(world.nsgate(ALICE).args(["--json", "explain"]).args(question)).stdout);
        }
    });
}

/// M16: who may not read what the helper reads is told so, and nothing is guessed.
#[test]
fn m16_anybody_may_ask_and_what_he_may_not_read_is_said() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let ask = |asker, question: &[&str]| world.run(world.nsgate(asker).arg("explain").args(question));
        for asker in [ROOT, ALICE, BOB, CAROL] {
            let answer = ask(asker, QUESTIONS[0]);
            assert_eq!((answer.status, &*answer.stderr), (Some(0), ""), "{answer:?}");
        }
        fs::set_permissions("/etc/subuid", fs::Permissions::from_mode(0o600)).expect("chmod");
        assert_eq!(ask(ROOT, QUESTIONS[0]).status, Some(0));
        let answer = ask(ALICE, QUESTIONS[0]);
        assert_eq!((answer.status, &*answer.stdout), (Some(1), ""), "{answer:?}");
        let says = "nsgate: cannot open /etc/subuid: Permission denied; the helpers may read it, you may not: ask as root\n";
        assert_eq!(answer.stderr, says);
    });
}

/// M20
#[test]
fn m20_the_environment_changes_no_answer() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        a_machine(world);
        for question in QUESTIONS {
            let usual = world.run(world.nsgate(ALICE).arg("explain").args(question));
            for (name, value) in [
                ("LC_ALL", "tr_TR.UTF-8"),
                ("LANG", "ja_JP.eucJP"),
                ("TZ", ":/etc/passwd"),
                ("COLUMNS", "1"),
                ("NO_COLOR", "1"),
                ("TERM", "\x1b[2J"),
                ("POSIXLY_CORRECT", "1"),
            ] {
                let answer = world.run(world.nsgate(ALICE).env(name, value).arg("explain").args(question));
                assert_eq!((&answer, name), (&usual, name), "{question:?}");
            }
        }
    });
}

#[test]
fn the_command_that_would_allow_it_is_told() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let says = |question: &[&str], line: &str| {
            let answer = world.run(world.nsgate(ROOT).arg("explain").args(question));
            assert_eq!(answer.status, Some(1), "{answer:?}");
            assert!(
                answer.stdout.lines().any(|said| said.trim() == line),
                "{line:?} is not in {}",
                answer.stdout
            );
        };
        let map = |triples: &'static str| {
            [&["map", "alice", "u"], &*triples.split(' ').collect::<Vec<_>>()].concat()
        };
        says(&map("0 600000 70000"), "nsgate grant ids alice --start 665536 --count 4464");
        says(&map("0 100000 5 5 200000 7"), "nsgate grant ids alice --start 200000 --count 7");
        says(&map("0 100000 5 5 200000 7"), "nsgate grant ids alice --start 100000 --count 5");
        // Bob's.
        says(&map("0 700000 5"), "nsgate grant ids alice");
        says(
            &map("0 52001 2"),
            "the user's own uid 52001 needs no grant in a triple of its own, with count 1",
        );
        says(&["nic", "alice", "lxcbr0"], "nsgate grant nic alice lxcbr0 10");
        world.write("/etc/nsgate.ini", "[idmap]\nprotect = 600005\nmax-ids = 9\n");
        says(&map("0 600000 10"), "change or remove /etc/nsgate.ini:2 protect, /etc/nsgate.ini:3 max-ids");
        says(&map("0 600000 10"), "nsgate edit nsgate.ini");
        // What is not granted, a rule may be against, too.
        says(&map("0 600000 10 10 200000 5"), "nsgate grant ids alice --start 200000 --count 5");
        says(
            &map("0 600000 10 10 200000 5"),
            "and change or remove /etc/nsgate.ini:2 protect, /etc/nsgate.ini:3 max-ids",
        );
        world.write("/etc/nsgate.ini", "[idmap]\nprotect = 200003\nmax-ids = 9\n");
        let protected = "uid 200003: mapped for nobody (/etc/nsgate.ini:2 protect); for ids that are nobody's, and a map of those:";
        says(&map("0 200000 10"), protected);
        says(&map("0 200000 10"), "nsgate grant ids alice");
        says(&map("0 200000 10"), "and change or remove /etc/nsgate.ini:3 max-ids");
        world.write("/etc/nsgate.ini", "[idmap]\noverlap = refuse\n");
        world.append("/etc/subuid", "carol:600010:1\n");
        assert_eq!(commands(world, &map("0 600000 20")), ["nsgate check", "nsgate edit nsgate.ini"]);
        says(&map("0 600000 20"), "or change or remove /etc/nsgate.ini:2 overlap");
        world.write("/etc/nsgate.ini", "#".repeat((1 << 20) + 1));
        says(&map("0 600000 10"), "make /etc/nsgate.ini shorter: one of more than 1 MiB is not read");
        let mut json = world.nsgate(ROOT);
        let json = world.run(json.args(["--json", "explain"]).args(map("0 600000 10")));
        assert!(json.stdout.contains(r#""class": "settings""#), "{json:?}");
        world.write("/etc/nsgate.ini", "");
        chown("/etc/subuid", Some(52001), None).expect("chown");
        says(&map("0 600000 10"), "chown root /etc/subuid");
    });
}

/// By the name of the policy file, the file of a user would be changed, and nothing mended.
#[test]
fn what_is_not_trusted_on_the_way_to_a_file_is_left_to_check() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        fs::remove_file("/etc/subuid").expect("remove");
        world.write("/home/alice/subuid", "alice:600000:65536\n");
        chown("/home/alice/subuid", Some(ALICE.id), None).expect("chown");
        std::os::unix::fs::symlink("/home/alice/subuid", "/etc/subuid").expect("link");
        assert_eq!(commands(world, &["map", "alice", "u", "0", "600000", "10"]), ["nsgate check"]);
        world.usernet("");
        fs::set_permissions("/etc/lxc", fs::Permissions::from_mode(0o777)).expect("chmod");
        assert_eq!(commands(world, &["nic", "alice", "none"]), ["nsgate check"]);
        let check = world.run(world.nsgate(ROOT).args(["check"]));
        for mend in ["ls -l /etc/subuid", "chmod go-w /etc/lxc"] {
            assert!(check.stdout.lines().any(|line| line.trim().ends_with(mend)), "{mend}: {check:?}");
        }
    });
}

/// As root, who sees the ledger as the helper does.
#[test]
fn what_is_used_up_is_refused_in_the_helpers_words() {
    if theirs() {
        return;
    }
    World::enter_with_nic(|world| {
        world.bridge("lxcbr0");
        world.group("lab", 60001);
        world.usernet("alice veth lxcbr0 1\nbob veth lxcbr0 2\n@lab veth lxcbr0 1\n");
        let ask = |asker, user: &str| world.run(world.nsgate(asker).args(["explain", "nic", user, "lxcbr0"]));
        assert!(ask(ROOT, "alice").stdout.contains("lxc-usernet:1 (alice); used: 0\n"));
        let mut container = world.container(ALICE);
        let made = world.create(ALICE, &container, "veth", "lxcbr0", &[]).nic().host_name;
        let same = |user: User, container: &Container, phrase: &str| {
            let happened = world.create(user, container, "veth", "lxcbr0", &[]);
            let happened = (happened.status != Some(0)).then(|| its_words(&happened, "lxc-user-nic"));
            assert!(happened.as_ref().is_some_and(|words| words.contains(phrase)), "{happened:?}");
            let question = ["nic", user.name, "lxcbr0"];
            assert_eq!(explained(world, ROOT, &question, "lxc-user-nic"), happened);
            let json = world.run(world.nsgate(ROOT).args(["--json", "explain"]).args(question));
            fits_schema(world, &json.stdout);
            assert!(
                json.stdout.contains(r#""used": "#) && !json.stdout.contains(r#""used": null"#),
                "{json:?}"
            );
        };
        same(ALICE, &container, "1 of 1 used by alice (/etc/lxc/lxc-usernet:1)");
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions("/etc/lxc/lxc-usernet", private).expect("chmod");
        same(ALICE, &container, "all that alice may have are used");
        fs::set_permissions("/etc/lxc/lxc-usernet", fs::Permissions::from_mode(0o644)).expect("chmod");

        // Nobody else can see it.
        let answer = ask(ALICE, "alice");
        assert!(
            answer.stdout.starts_with("alice may have a veth on lxcbr0, unless all are used\n"),
            "{answer:?}"
        );
        let unknown = "how many are used is not known here: the ledger is root's; ask as root\n";
        assert!(answer.status == Some(0) && answer.stdout.contains(unknown), "{answer:?}");
        let mut json = world.nsgate(ALICE);
        let json = world.run(json.args(["--json", "explain", "nic", "alice", "lxcbr0"]));
        assert!(json.stdout.contains(r#""used": null"#), "{json:?}");
        fits_schema(world, &json.stdout);

        // There is room in his own, and none for all.
        assert_eq!(explained(world, ROOT, &["nic", "bob", "lxcbr0"], "lxc-user-nic"), None);
        world.write("/etc/nsgate.ini", "[bridge \"lxcbr0\"]\nmax-nics = 1\n");
        same(BOB, &world.container(BOB), "1 of 1 interfaces of all users are there");
        assert!(ask(ROOT, "bob").stdout.contains("forbids it: all users together have 1 here\n"));
        // Nor what somebody is at work on, though there is nothing yet.
        fs::remove_file("/etc/nsgate.ini").expect("remove");
        let mut other = world.container(BOB);
        let pid = other.pid();
        let place = world::Place { call: "pwrite64".to_owned(), number: 1 };
        world.usernet("alice veth lxcbr0 1\nbob veth lxcbr0 1\n");
        let args = ["create", "/dev/null", "dummy", &pid, "veth", "lxcbr0"];
        let held = world.held(BOB, &place, &args).expect("held");
        let full = ask(ROOT, "bob");
        assert!(full.stdout.contains("1 of 1 used by bob (/etc/lxc/lxc-usernet:2)"), "{full:?}");
        let _nic = held.go_on().nic();
        other.end();
        container.end();
        world.wait_until_gone(&made);
        for user in ["alice", "bob"] {
            assert_eq!(explained(world, ROOT, &["nic", user, "lxcbr0"], "lxc-user-nic"), None);
        }
    });
}

/// What `nsgate grant` would note as an error is not advised; and a bridge that is missing is missing after it, too.
#[test]
fn a_line_for_a_bridge_that_would_be_a_mistake_is_not_advised() {
    if theirs() {
        return;
    }
    World::enter_with_nic(|world| {
        world.without_open_vswitch();
        world.usernet("# two\n@containers veth nsbr-%u 10\n");
        for (user, bridge, why) in [
            (
                "bob",
                "nsbr-52001",
                "nsbr-52001 is a bridge of another user's own by /etc/lxc/lxc-usernet:2 (nsbr-%u), and of nobody else; \
                 this user's would be nsbr-52002",
            ),
            ("carol", "lo", "nothing does: lo is an interface and no bridge"),
        ] {
            assert_eq!(commands(world, &["nic", user, bridge]), Vec::<String>::new());
            let said = explain(world, &["nic", user, bridge]);
            assert!(said.contains(&why.to_owned()), "{why}: {said:#?}");
        }
        let make = |name: &str| format!("ip link add name {name} type bridge && ip link set dev {name} up");
        let both = ["nsgate grant nic carol nobr 10".to_owned(), make("nobr")];
        assert_eq!(commands(world, &["nic", "carol", "nobr"]), both);
        both.iter().for_each(|command| copied(world, command));
        assert_eq!(explained(world, ROOT, &["nic", "carol", "nobr"], "lxc-user-nic"), None);

        let (own, question) = ("nsgate grant nic alice nsbr-%u 10", ["nic", "alice", "nsbr-52001"]);
        assert_eq!(commands(world, &question), [own, "nsgate edit nsgate.ini", &make("nsbr-52001")]);
        world.write("/etc/nsgate.ini", "[per-user-bridge]\ncreate = yes\n");
        assert_eq!(commands(world, &question), [own]);
        copied(world, own);
        assert_eq!(explained(world, ROOT, &question, "lxc-user-nic"), None);
    });
}

/// Of an image the files count, and nothing of this machine.
#[test]
fn an_image_is_looked_at_by_its_files_alone() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        fs::create_dir_all("/tmp/image/etc/lxc").expect("create");
        for (file, text) in [
            ("passwd", "root:x:0:0::/:/bin/sh\nzoe:x:1000:1000::/:/bin/sh\n"),
            ("group", "zoe:x:1000:\nlab:x:50:zoe\n"),
            ("subuid", "zoe:100000:65536\n"),
            ("lxc/lxc-usernet", "@lab veth lxcbr0 4\n"),
            ("nsgate.ini", "[idmap]\nexclusive = yes\nrequire-limits = pids\n"),
        ] {
            fs::write(format!("/tmp/image/etc/{file}"), text).expect("write");
        }
        // A link leads to where it would on the image's machine.
        std::os::unix::fs::symlink("/etc/subuid", "/tmp/image/etc/subgid").expect("link");
        let ask = |question: &[&str]| {
            world.run(world.nsgate(CAROL).args(["--root", "/tmp/image", "explain"]).args(question))
        };
        for kind in ["u", "g"] {
            let answer = ask(&["map", "zoe", kind, "0", "100000", "65536"]);
            assert_eq!((answer.status, &*answer.stderr), (Some(0), ""), "{answer:?}");
            assert!(answer.stdout.contains("that no other user namespace maps"), "{answer:?}");
        }
        assert_eq!(ask(&["map", "alice", "u", "0", "600000", "1"]).status, Some(1));
        let answer = ask(&["nic", "zoe", "lxcbr0"]);
        assert_eq!(answer.status, Some(0), "{answer:?}");
        assert!(answer.stdout.contains("(@lab)"), "{answer:?}");
        let unknown = "how many are used is not known here: the machine of this image will know\n";
        assert!(answer.stdout.contains(unknown) && !answer.stdout.contains("show nics"), "{answer:?}");
        let answer = ask(&["id", "100000"]);
        assert!(answer.stdout.contains("granted to zoe by /etc/subuid:1"), "{answer:?}");
        assert!(!answer.stdout.contains("namespace"), "{answer:?}");

        // As the helpers there: a link that leads nowhere is not the same as no file.
        let rules = "/tmp/image/etc/nsgate.ini";
        fs::remove_file(rules).expect("remove");
        std::os::unix::fs::symlink("/srv/rules", rules).expect("link");
        let answer = ask(&["map", "zoe", "u", "0", "100000", "65536"]);
        assert!(answer.status == Some(1) && answer.stdout.contains("leads nowhere"), "{answer:?}");
        fs::remove_file(rules).expect("remove");
        fs::write(rules, "; more than is read\n".repeat(60_000)).expect("write");
        let answer = ask(&["map", "zoe", "u", "0", "100000", "65536"]);
        assert!(answer.status == Some(1) && answer.stdout.contains("File too large"), "{answer:?}");
    });
}

#[test]
fn who_maps_an_id_now_is_seen_with_what_it_is_inside() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let held = holder(world, region(5));
        let id = (region(5) + HELD + 3).to_string();
        for asker in [ROOT, CAROL] {
            let answer = world.run(world.nsgate(asker).args(["explain", "id", &id]));
            let says = |kind| {
                format!("  mapped now: {kind} 3 in the user namespace of process {} (sleep)\n", held.pid())
            };
            assert!(
                answer.stdout.contains(&says("uid")) && answer.stdout.contains(&says("gid")),
                "{answer:?}"
            );
        }
    });
}

/// Asks as root, and takes the answer as lines.
fn explain(world: &World, question: &[&str]) -> Vec<String> {
    let answer = world.run(world.nsgate(ROOT).arg("explain").args(question));
    assert!(answer.stderr.is_empty(), "{question:?} {answer:?}");
    answer.stdout.lines().map(|line| line.trim().to_owned()).collect()
}

/// The commands that a program is told of.
fn commands(world: &World, question: &[&str]) -> Vec<String> {
    let answer = world.run(world.nsgate(ROOT).args(["--json", "explain"]).args(question));
    world.write("/tmp/answer.json", &answer.stdout);
    let script =
        "import json\nfor command in json.load(open('/tmp/answer.json'))['commands']: print(command)";
    let answer = world.run(world.command(ROOT, "/usr/bin/python3").args(["-c", script]));
    assert_eq!(answer.status, Some(0), "{answer:?}");
    answer.stdout.lines().map(str::to_owned).collect()
}

/// Does what an admin would who copies it into a shell.
fn copied(world: &World, command: &str) {
    let mut shell = world.command(ROOT, "/bin/bash");
    let path = format!("PATH=/run/world/bin:$PATH; {command}");
    let answer = world.run(shell.args(["-c", &path]));
    assert_eq!(answer.status, Some(0), "{command}: {answer:?}");
}

/// What nobody can map is granted to nobody: whoever explains an id goes by what the helpers do, as for a map.
#[test]
fn an_id_is_granted_to_those_alone_who_may_map_it() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let nsswitch =
            |line: &str| world.write("/etc/nsswitch.conf", format!("passwd: files\ngroup: files\n{line}\n"));
        let well = || {
            for file in ["/etc/nsswitch.conf", "/etc/nsgate.ini"] {
                drop(fs::remove_file(file));
            }
            nsswitch("");
            for file in ["/etc/subuid", "/etc/subgid"] {
                world.write(file, "alice:600000:65536\nbob:600010:1\n");
            }
            world.write("/etc/nsgate.ini", "");
        };
        let granted = [
            "granted to alice by /etc/subuid:1 (600000-665535)",
            "granted to bob by /etc/subuid:2 (id 600010)",
        ];
        well();
        let said = explain(world, &["id", "600010"]);
        assert!(granted.iter().all(|line| said.contains(&(*line).to_owned())), "{said:#?}");

        let breaks: [(&str, &dyn Fn()); 7] = [
            ("a source that is not the files", &|| nsswitch("subid: nope")),
            ("a line that names nobody", &|| nsswitch("subid: files [NOTFOUND=return] sss")),
            ("two owners", &|| world.write("/etc/nsgate.ini", "[idmap]\noverlap = refuse\n")),
            ("protected", &|| world.write("/etc/nsgate.ini", "[idmap]\nprotect = 600010\n")),
            ("a broken file of rules", &|| world.write("/etc/nsgate.ini", "nonsense\n")),
            ("rules that others write", &|| {
                fs::set_permissions("/etc/nsgate.ini", fs::Permissions::from_mode(0o666)).expect("chmod");
            }),
            ("sources that others write", &|| {
                fs::set_permissions("/etc/nsswitch.conf", fs::Permissions::from_mode(0o666)).expect("chmod");
            }),
        ];
        for (case, break_it) in breaks {
            well();
            break_it();
            let said = explain(world, &["id", "600010"]);
            assert!(!said.iter().any(|line| line.starts_with("granted to")), "{case}: {said:#?}");
            for (owner, line) in
                [("alice", "/etc/subuid:1 (600000-665535)"), ("bob", "/etc/subgid:2 (id 600010)")]
            {
                let (kind, program) = if owner == "alice" { ("u", "newuidmap") } else { ("g", "newgidmap") };
                let why = explained(world, ROOT, &["map", owner, kind, "0", "600010", "1"], program);
                let why = why.unwrap_or_else(|| panic!("{case}: granted"));
                let line = format!("{line} is for {owner}, but {program} would refuse it: {why}");
                assert!(said.contains(&line), "{case}: {line} {said:#?}");
            }
        }
        well();
        nsswitch("subid: files nope");
        let said = explain(world, &["id", "600010"]);
        assert!(granted.iter().all(|line| said.contains(&(*line).to_owned())), "{said:#?}");
        let too = "nope (subid: in /etc/nsswitch.conf) may grant it too: nsgate explain map";
        assert_eq!(said.iter().filter(|line| *line == too).count(), 2, "{said:#?}");
    });
}

/// A number alone would be taken for how many, and a blank not be seen.
#[test]
fn one_id_is_called_an_id_and_an_odd_owner_is_in_quotes() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        world.write("/etc/subuid", " alice:1234000:1\nalice:1234000:1\n");
        let said = explain(world, &["id", "1234000"]);
        for line in [
            "granted to \" alice\", of whom there is none, by /etc/subuid:1 (id 1234000)",
            "granted to alice by /etc/subuid:2 (id 1234000)",
        ] {
            assert!(said.contains(&line.to_owned()), "{line} {said:#?}");
        }
        let said = explain(world, &["map", "alice", "u", "0", "1234000", "1"]);
        assert!(said.contains(&"granted by /etc/subuid:2 (id 1234000)".to_owned()), "{said:#?}");
    });
}

#[test]
fn strict_setgroups_is_newgidmaps_alone() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        world.write("/etc/nsgate.ini", "[idmap]\nstrict-setgroups = yes\n");
        for (kind, is_there) in [("u", false), ("g", true)] {
            let said = explain(world, &["map", "alice", kind, "0", "600000", "1"]);
            assert_eq!(said.contains(&":2 strict-setgroups = yes".to_owned()), is_there, "{said:#?}");
        }
    });
}

/// A rule is told with the section that it stands in, and where it asks for something.
#[test]
fn a_rule_for_a_bridge_is_where_its_line_is_and_none_has_no_port() {
    if theirs() {
        return;
    }
    World::enter_with_nic(|world| {
        world.usernet("alice veth lxcbr0 5\nalice veth none 5\n@containers veth nsbr-%u 5\n");
        world.write(
            "/etc/nsgate.ini",
            "[bridge \"*\"]\nisolate = yes\nlock-mac = yes\nmax-nics = 9\nmac = stable\nmax-multicast-groups = 9\n\
             [bridge \"none\"]\nisolate = yes\nmax-nics = 7\n\
             [bridge \"lxcbr0\"]\nlock-mac = yes\nmax-multicast-groups = 8\n[nic]\non-missing-kernel = warn\n",
        );
        let rules = |bridge: &str| {
            let said = explain(world, &["nic", "alice", bridge]);
            said.into_iter().filter(|line| line.starts_with(':')).collect::<Vec<_>>()
        };
        assert_eq!(
            rules("lxcbr0"),
            [
                ":2 [bridge \"*\"] isolate = yes",
                ":11 [bridge \"lxcbr0\"] lock-mac = yes",
                ":4 [bridge \"*\"] max-nics = 9",
                ":5 [bridge \"*\"] mac = stable",
                ":12 [bridge \"lxcbr0\"] max-multicast-groups = 8",
                ":14 [nic] on-missing-kernel = warn",
            ]
        );
        assert_eq!(rules("none"), [":9 [bridge \"none\"] max-nics = 7", ":5 [bridge \"*\"] mac = stable"]);
        let json = world.run(world.nsgate(ROOT).args(["--json", "explain", "nic", "alice", "none"]));
        for key in ["isolate", "lock-mac", "max-multicast-groups"] {
            assert!(!json.stdout.contains(key), "{json:?}");
        }
    });
}

#[test]
fn a_bridge_of_a_users_own_is_made_up_to_the_limit_if_there_is_one() {
    if theirs() {
        return;
    }
    World::enter_with_nic(|world| {
        world.usernet("alice veth nsbr-%u 5\n");
        for (most, says) in [
            ("", "the bridge is made if it is not there, unless there are 1000 such already"),
            ("max-bridges = 7\n", "the bridge is made if it is not there, unless there are 7 such already"),
            ("max-bridges = 0\n", "the bridge is made if it is not there"),
        ] {
            world.write("/etc/nsgate.ini", format!("[per-user-bridge]\ncreate = yes\n{most}"));
            let said = explain(world, &["nic", "alice", "nsbr-52001"]);
            assert!(said.contains(&says.to_owned()), "{says} {said:#?}");
        }
        // Without it, there are two ways.
        world.write("/etc/nsgate.ini", "");
        let make = "ip link add name nsbr-52001 type bridge && ip link set dev nsbr-52001 up";
        assert_eq!(commands(world, &["nic", "alice", "nsbr-52001"]), ["nsgate edit nsgate.ini", make]);
        let said = explain(world, &["nic", "alice", "nsbr-52001"]);
        assert!(said.iter().any(|line| line.starts_with("create = yes in [per-user-bridge]")), "{said:#?}");
        copied(world, make);
        assert_eq!(explained(world, ROOT, &["nic", "alice", "nsbr-52001"], "lxc-user-nic"), None);
        let link = world.run(Command::new("/usr/sbin/ip").args(["-o", "link", "show", "nsbr-52001"]));
        assert!(link.stdout.contains(",UP"), "{link:?}");

        let why = explained(world, ROOT, &["nic", "alice", "nsbr-%u"], "lxc-user-nic").expect("refused");
        assert!(
            why.contains("%u in lxc-usernet stands for the caller's uid") && !why.contains("ethN"),
            "{why}"
        );
        // To ip(8) some names are words of its own.
        world.usernet("alice veth up 5\nalice veth x;reboot 5\n");
        let make = "ip link add name up type bridge && ip link set dev up up";
        assert_eq!(commands(world, &["nic", "alice", "up"]), [make]);
        copied(world, make);
        assert_eq!(explained(world, ROOT, &["nic", "alice", "up"], "lxc-user-nic"), None);
        assert_eq!(commands(world, &["nic", "alice", "x;reboot"]), Vec::<String>::new());
    });
}

/// lxc-usernet knows users by name only, and not by every name.
#[test]
fn the_command_for_an_interface_is_one_that_can_be_carried_out() {
    if theirs() {
        return;
    }
    World::enter_with_nic(|world| {
        world.bridge("lxcbr0");
        world.usernet("");
        world.append(
            "/etc/passwd",
            "jo.d@x.org:x:5001:100::/:/bin/sh\nDOM\\fred:x:5002:100::/:/bin/sh\nM\u{fc}ller:x:5003:100::/:/bin/sh\n\
             a b:x:5004:100::/:/bin/sh\na';id;#:x:5005:100::/:/bin/sh\n",
        );
        // Names that no command can have for any shell.
        for (user, bridge) in [("5003", "lxcbr0"), ("5005", "lxcbr0"), ("alice", "x;reboot")] {
            assert_eq!(commands(world, &["nic", user, bridge]), ["nsgate edit lxc-usernet"]);
        }
        for (uid, command) in [
            ("5001", "nsgate grant nic jo.d@x.org lxcbr0 10"),
            ("5002", "nsgate grant nic 'DOM\\fred' lxcbr0 10"),
        ] {
            assert_eq!(commands(world, &["nic", uid, "lxcbr0"]), [command]);
            copied(world, command);
            assert_eq!(explained(world, ROOT, &["nic", uid, "lxcbr0"], "lxc-user-nic"), None);
        }
        assert_eq!(commands(world, &["nic", "5004", "lxcbr0"]), Vec::<String>::new());
        let said = explain(world, &["nic", "5004", "lxcbr0"]);
        let group = "a group that the user is in can: nsgate grant nic @GROUP lxcbr0 10";
        assert!(
            said.iter().any(|line| line.contains("a blank ends the column") && line.contains(group)),
            "{said:#?}"
        );
    });
}

/// What `nsgate grant` would refuse is not advised: somebody has these ids, or may have them one day.
#[test]
fn the_command_for_ids_is_one_that_can_be_carried_out() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let held = holder(world, region(6));
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.write(file, "");
        }
        world.write("/etc/login.defs", "UID_MAX 200000\nSUB_UID_MIN 300000\nSUB_GID_MIN 300000\n");
        let (first, last) = (region(6) + HELD, region(6) + HELD + 9);
        let (held_id, held_ids) = ((first + 2).to_string(), format!("{first}-{last}"));
        let live = format!("process {} (sleep) maps them just now", held.pid());
        for (first, range, why) in [
            ("2147483648", "2147483648-4294967294", "they are for FreeIPA"),
            ("4294967280", "2147483648-4294967294", "they are for FreeIPA"),
            ("150000", "0-200000", "useradd and groupadd give accounts ids up to 200000"),
            (&*held_id, &*held_ids, &*live),
        ] {
            let question = ["map", "alice", "u", "0", first, "5"];
            assert_eq!(commands(world, &question), ["nsgate grant ids alice"]);
            let said = explain(world, &question);
            let why = format!("uid {range}: {why}");
            let says = |line: &String| line.starts_with(&why) && line.ends_with("and a map of those:");
            assert!(said.iter().any(says), "{why} {said:#?}");
        }
        copied(world, "nsgate grant ids alice");

        // One that is in nobody's way.
        let question = ["map", "alice", "g", "0", "3000000", "5", "5", "3100000", "5"];
        // However many are missing, the machine is asked once.
        let looks = |question: &[&str]| {
            let options = ["-qq", "-o", "/run/trace", "-e", "trace=openat,openat2"];
            let mut command = world.strace(ROOT, &options, "/run/world/bin/nsgate");
            let answer = world.run(command.arg("explain").args(question));
            assert_eq!(answer.status, Some(1), "{answer:?}");
            let trace = fs::read_to_string("/run/trace").expect("trace");
            trace.lines().filter(|call| call.contains("etc/passwd\"")).count()
        };
        assert!(looks(&question) == looks(&question[..6]) && looks(&question) > 0);
        let commands = commands(world, &question);
        assert_eq!(commands.len(), 2, "{commands:?}");
        commands.iter().for_each(|command| copied(world, command));
        assert_eq!(explained(world, ROOT, &question, "newgidmap"), None);
        // By this name, another would be meant.
        world.append("/etc/passwd", "twin:x:5006:100::/:/bin/sh\ntwin:x:5007:100::/:/bin/sh\n");
        let question = ["map", "5007", "u", "0", "3200000", "5"];
        let command = "nsgate grant ids 5007 --start 3200000 --count 5";
        assert_eq!(self::commands(world, &question), [command]);
        copied(world, command);
        assert_eq!(explained(world, ROOT, &question, "newuidmap"), None);
        let other = explained(world, ROOT, &["map", "5006", "u", "0", "3200000", "5"], "newuidmap");
        assert!(other.is_some());
        // Whatever runs here is in no image's way.
        fs::create_dir_all("/tmp/image/etc").expect("create");
        fs::write("/tmp/image/etc/passwd", "zoe:x:1000:1000::/:/bin/sh\n").expect("write");
        let answer = world.run(world.nsgate(ROOT).args([
            "--root",
            "/tmp/image",
            "explain",
            "map",
            "zoe",
            "u",
            "0",
            &held_id,
            "5",
        ]));
        let command = format!("nsgate --root /tmp/image grant ids zoe --start {held_id} --count 5");
        assert!(answer.stdout.contains(&command), "{answer:?}");
    });
}
