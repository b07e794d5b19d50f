//! `nsgate explain`: it says what the set-id helpers do, and in their words. Ours only.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use world::{ALICE, Answer, BOB, CAROL, ROOT, Target, User, World, theirs};

/// Numbers by lot: the same for the same seed (splitmix64).
struct Lot(u64);

impl Lot {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
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

/// Ids that no other test on this machine maps: what lives is seen by `exclusive`.
const BASE: u64 = 1_234_000_000;

/// The ids that the processes of [`holder`] map.
const HELD: u64 = BASE + 1000;

const USERS: [&User; 3] = [&ALICE, &BOB, &CAROL];

/// Mostly of a few hundred, so that ranges meet; sometimes of those that are special.
fn an_id(lot: &mut Lot) -> String {
    if lot.percent(96) {
        return (BASE + lot.below(300)).to_string();
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
    for (owner, first) in [("alice", BASE), ("52002", BASE + 150), ("carol", BASE + 30)] {
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
            5..=7 => format!("protect = 0, {}-{}", BASE + lot.below(100), BASE + 100 + lot.below(20)),
            8 | 9 => format!("protect = 65534, {}", BASE + lot.below(300)),
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
            host = (HELD + lot.below(12)).to_string();
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

/// A process of Bob's that maps [`HELD`] and nine more.
fn holder(world: &World) -> Target {
    for file in ["/etc/subuid", "/etc/subgid"] {
        world.write(file, format!("bob:{HELD}:10\n"));
    }
    let target = world.target(BOB);
    for helper in [World::newuidmap, World::newgidmap] {
        helper(world, BOB, &[&target.pid(), "0", &HELD.to_string(), "10"]).succeeds();
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
fn maps_by_lot(seed: u64, policies: u32) {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let lot = &mut Lot(seed);
        let extra = format!("lass:x:52001:52001::/:/bin/sh\nsvc:x:{}:{}::/:/bin/sh\n", BASE + 40, BASE + 41);
        world.append("/etc/passwd", &extra);
        world.append("/etc/group", &format!("svc:x:{}:\n", BASE + 41));
        let held = holder(world);
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
    maps_by_lot(1, 250);
}

#[test]
fn what_is_explained_of_maps_is_what_the_helpers_do_by_another_lot() {
    maps_by_lot(20_261_125, 250);
}

#[test]
fn what_is_explained_of_maps_is_what_the_helpers_do_by_a_third_lot() {
    maps_by_lot(777, 250);
}
