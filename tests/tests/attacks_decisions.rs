//! Section E of the attack list: which ranges are granted. Every row is asked of both helpers, with the same lines in
//! both policy files.

use world::{ALICE, CAROL, ROOT, Target, User, World, theirs};

/// One request, and what must come of it.
struct Row {
    user: User,
    /// The triples, one blank between numbers.
    ask: &'static str,
    fate: Fate,
}

enum Fate {
    /// Exactly this map is written, and setgroups is left alone.
    Written(&'static str),
    /// The same, but as nothing but the caller's own id is in it, newgidmap denies setgroups first.
    WrittenAndDenied(&'static str),
    /// Refused in these words. The first are everybody's, the others are the reason that ours alone gives.
    Refused(&'static str, &'static [&'static str]),
}

use Fate::{Refused, Written, WrittenAndDenied};

const fn row(user: User, ask: &'static str, fate: Fate) -> Row {
    Row { user, ask, fate }
}

/// Asks each row of both helpers, in a machine with this policy.
#[track_caller]
fn ask_all(policy: &str, rows: &[Row]) {
    World::enter(|world| {
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.write(file, policy);
        }
        for row in rows {
            ask(world, row);
        }
    });
}

fn ask(world: &World, row: &Row) {
    let target = world.target(row.user);
    for word in ["uid", "gid"] {
        println!("{word}: {} asks for {}", row.user.name, row.ask);
        let pid = target.pid();
        let mut args = vec![&*pid];
        args.extend(row.ask.split(' '));
        let answer =
            if word == "uid" { world.newuidmap(row.user, &args) } else { world.newgidmap(row.user, &args) };
        match row.fate {
            Written(_) | WrittenAndDenied(_) => {
                answer.succeeds();
            }
            Refused(phrase, reasons) => {
                answer.refuses(&phrase.replace("uid", word));
                for reason in reasons.iter().filter(|_| !theirs()) {
                    answer.refuses(&reason.replace("uid", word));
                }
            }
        }
        assert_eq!(state(&target), expected(&row.fate, word));
    }
}

type State = (String, String, String);

fn state(target: &Target) -> State {
    (target.uid_map(), target.gid_map(), target.setgroups())
}

/// The kernel's view after newuidmap has been asked, and then after newgidmap.
fn expected(fate: &Fate, asked: &str) -> State {
    let (map, setgroups) = match *fate {
        Written(map) => (map, "allow"),
        WrittenAndDenied(map) => (map, "deny"),
        Refused(..) => ("", "allow"),
    };
    let (gid_map, setgroups) = if asked == "gid" { (map, setgroups) } else { ("", "allow") };
    (map.to_owned(), gid_map.to_owned(), setgroups.to_owned())
}

/// E01: the whole grant, or any part of it, and not one id more at either end.
#[test]
fn a_grant_is_granted_to_its_last_id_and_not_one_further() {
    const LINE: &str = "/etc/subuid:2 grants 600000-665535";
    ask_all(
        "bob:700000:65536\nalice:600000:65536\n",
        &[
            row(ALICE, "0 600000 65536", Written("0 600000 65536")),
            row(ALICE, "0 600000 1", Written("0 600000 1")),
            row(ALICE, "0 665535 1", Written("0 665535 1")),
            row(ALICE, "7 630000 10 0 600000 5", Written("7 630000 10\n0 600000 5")),
            row(
                ALICE,
                "0 599999 1",
                Refused(
                    "uid range [0-1) -> [599999-600000) not allowed",
                    &["uid 599999 is not granted to alice", LINE],
                ),
            ),
            row(
                ALICE,
                "0 599999 65537",
                Refused(
                    "uid range [0-65537) -> [599999-665536) not allowed",
                    &["uid 599999 is not granted to alice", LINE],
                ),
            ),
            row(
                ALICE,
                "0 665536 1",
                Refused(
                    "uid range [0-1) -> [665536-665537) not allowed",
                    &["uid 665536 is not granted to alice", LINE],
                ),
            ),
            row(
                ALICE,
                "0 600000 65537",
                Refused(
                    "uid range [0-65537) -> [600000-665537) not allowed",
                    &["uid 665536 is not granted to alice", LINE],
                ),
            ),
            row(ALICE, "0 665535 2", Refused("uid range [0-2) -> [665535-665537) not allowed", &[LINE])),
        ],
    );
}

/// E02: lines of one owner that adjoin or overlap are one grant, in whatever order and under whatever name of his; a
/// gap of a single id is a gap.
#[test]
fn adjoining_lines_of_an_owner_are_one_grant_and_a_gap_of_one_id_is_none() {
    let lines = "alice:100030:10\nalice:100000:10\nbob:5:5\n52001:100010:10\nalice:100015:16\n\
                 alice:200000:10\nalice:200011:10\nalice:300000:10\nalice:300000:10\nalice:300002:3\n";
    ask_all(
        lines,
        &[
            row(ALICE, "0 100000 40", Written("0 100000 40")),
            row(ALICE, "0 100009 2", Written("0 100009 2")),
            row(ALICE, "0 300000 10", Written("0 300000 10")),
            row(
                ALICE,
                "0 100000 41",
                Refused(
                    "uid range [0-41) -> [100000-100041) not allowed",
                    &["uid 100040 is not granted to alice"],
                ),
            ),
            row(
                ALICE,
                "0 200000 21",
                Refused(
                    "uid range [0-21) -> [200000-200021) not allowed",
                    &["uid 200010 is not granted to alice", ":6 grants 200000-200009"],
                ),
            ),
            row(
                ALICE,
                "0 200010 1",
                Refused(
                    "uid range [0-1) -> [200010-200011) not allowed",
                    &["uid 200010 is not granted to alice"],
                ),
            ),
            row(
                ALICE,
                "0 300000 11",
                Refused(
                    "uid range [0-11) -> [300000-300011) not allowed",
                    &["uid 300010 is not granted to alice"],
                ),
            ),
        ],
    );
}

/// E03: a neighbour's grant does not lengthen one's own, and what is granted to two may be used by both.
#[test]
fn a_range_that_reaches_into_the_neighbours_grant_is_refused() {
    ask_all(
        "alice:100000:10\nbob:100010:10\ncarol:100005:5\n",
        &[
            row(
                ALICE,
                "0 100000 20",
                Refused(
                    "uid range [0-20) -> [100000-100020) not allowed",
                    &["uid 100010 is not granted to alice", "/etc/subuid:1 grants 100000-100009"],
                ),
            ),
            row(
                ALICE,
                "0 100009 2",
                Refused(
                    "uid range [0-2) -> [100009-100011) not allowed",
                    &["uid 100010 is not granted to alice"],
                ),
            ),
            row(
                ALICE,
                "0 100010 10",
                Refused(
                    "uid range [0-10) -> [100010-100020) not allowed",
                    &["uid 100010 is not granted to alice"],
                ),
            ),
            row(ALICE, "0 100000 10", Written("0 100000 10")),
            row(CAROL, "0 100005 5", Written("0 100005 5")),
        ],
    );
}

/// E04: one's own id needs no grant, but goes alone: it neither starts a longer range nor lengthens a granted one.
#[test]
fn own_id_is_granted_by_itself_only() {
    const ALONE: &str = "the caller's own uid 52003 is allowed by itself only, with count 1";
    ask_all(
        "alice:600000:65536\n",
        &[
            row(CAROL, "0 52003 1", WrittenAndDenied("0 52003 1")),
            row(CAROL, "4294967294 52003 1", WrittenAndDenied("4294967294 52003 1")),
            row(
                CAROL,
                "0 52003 2",
                Refused(
                    "uid range [0-2) -> [52003-52005) not allowed",
                    &["/etc/subuid has no line for carol", ALONE],
                ),
            ),
            row(
                CAROL,
                "0 52002 2",
                Refused(
                    "uid range [0-2) -> [52002-52004) not allowed",
                    &["/etc/subuid has no line for carol", ALONE],
                ),
            ),
            row(
                CAROL,
                "0 52001 1",
                Refused(
                    "uid range [0-1) -> [52001-52002) not allowed",
                    &["/etc/subuid has no line for carol"],
                ),
            ),
        ],
    );
    ask_all(
        "carol:52004:10\ncarol:51993:10\n",
        &[
            row(
                CAROL,
                "0 52003 11",
                Refused(
                    "uid range [0-11) -> [52003-52014) not allowed",
                    &["uid 52003 is not granted to carol", ALONE],
                ),
            ),
            row(
                CAROL,
                "0 51993 21",
                Refused(
                    "uid range [0-21) -> [51993-52014) not allowed",
                    &["uid 52003 is not granted to carol", ALONE],
                ),
            ),
            row(CAROL, "0 51993 10 10 52003 1 11 52004 10", Written("0 51993 10\n10 52003 1\n11 52004 10")),
        ],
    );
}

/// E06: one triple that is not granted, wherever it stands, and none is written. The first such one is named.
#[test]
fn one_ungranted_triple_refuses_the_whole_request() {
    let phrase = "uid range [50-51) -> [700000-700001) not allowed";
    ask_all(
        "alice:600000:65536\nbob:700000:65536\n",
        &[
            row(ALICE, "0 600000 10 50 700000 1", Refused(phrase, &[])),
            row(ALICE, "50 700000 1 0 600000 10", Refused(phrase, &[])),
            row(ALICE, "0 600000 10 50 700000 1 60 600010 1", Refused(phrase, &[])),
            row(ALICE, "0 600000 10 50 700000 1 60 599999 1", Refused(phrase, &[])),
            row(ALICE, "0 52001 1 50 700000 1", Refused(phrase, &[])),
        ],
    );
}

/// E08: of the ids inside nothing is asked but that they are ids.
#[test]
fn inside_ids_have_no_policy_but_arithmetic() {
    ask_all(
        "alice:600000:65536\n",
        &[
            row(ALICE, "0 600000 1", Written("0 600000 1")),
            row(ALICE, "52002 600000 1", Written("52002 600000 1")),
            row(ALICE, "700000 600000 65536", Written("700000 600000 65536")),
            row(ALICE, "4294967294 600000 1", Written("4294967294 600000 1")),
            row(ALICE, "4294901759 600000 65536", Written("4294901759 600000 65536")),
            row(
                ALICE,
                "4294967294 600000 2",
                Refused("overflow detected", &["\"4294967294 600000 2\" leaves the ids 0 to 4294967294"]),
            ),
            row(
                ALICE,
                "4294901760 600000 65536",
                Refused("overflow detected", &["\"4294901760 600000 65536\" leaves the ids"]),
            ),
            row(
                ALICE,
                "4294967295 600000 1",
                Refused("overflow detected", &["\"4294967295 600000 1\" leaves the ids"]),
            ),
        ],
    );
}

/// E09: a grant may end at the last id there is; neither it nor a request for it wraps.
#[test]
fn a_grant_that_ends_at_the_last_id_is_granted_whole() {
    ask_all(
        "alice:4294967290:5\n",
        &[
            row(ALICE, "0 4294967290 5", Written("0 4294967290 5")),
            row(ALICE, "4294967290 4294967290 5", Written("4294967290 4294967290 5")),
            row(ALICE, "0 4294967294 1", Written("0 4294967294 1")),
            row(
                ALICE,
                "0 4294967289 6",
                Refused(
                    "uid range [0-6) -> [4294967289-4294967295) not allowed",
                    &["uid 4294967289 is not granted to alice"],
                ),
            ),
            row(ALICE, "0 4294967290 6", Refused("overflow detected", &["leaves the ids 0 to 4294967294"])),
            row(
                ALICE,
                "0 0 1",
                Refused("uid range [0-1) -> [0-1) not allowed", &["uid 0 is not granted to alice"]),
            ),
        ],
    );
    ask_all(
        "alice:0:4294967295\n",
        &[
            row(ALICE, "0 4294967290 5", Written("0 4294967290 5")),
            row(ALICE, "0 1 4294967294", Written("0 1 4294967294")),
        ],
    );
}

/// E10: the helpers' verdict on random policies and requests is that of a set of numbers. (A million cases of the
/// decision alone are in `common/src/policy/idmap.rs`; here the installed programs answer, and the kernel tells.)
#[test]
fn verdicts_are_those_of_a_set_of_numbers() {
    World::enter(|world| {
        let mut random = Random(20);
        let mut target = world.target(ALICE);
        let (mut written, mut refused) = (0, 0);
        for _ in 0..120 {
            let mut granted = std::collections::BTreeSet::new();
            let mut policy = String::new();
            for _ in 0..random.below(8) {
                let owner = ["alice", "52001", "alice", "alice", "bob", "Alice"][random.below(6)];
                let (first, count) = (100_000 + random.below(20), random.below(16));
                policy += &format!("{owner}:{first}:{count}\n");
                if owner == "alice" || owner == "52001" {
                    granted.extend(first..first + count);
                }
            }
            let (first, count) = (100_000 + random.below(20), 1 + random.below(6));
            let beyond = first + count + random.below(4);
            let more = 1 + random.below(4);
            let both = [(first, count), (beyond, more)];
            let triples = &both[..1 + random.below(2)];
            let allowed =
                triples.iter().all(|(first, count)| (*first..first + count).all(|id| granted.contains(&id)));

            world.write("/etc/subuid", &policy);
            let map: Vec<String> =
                triples.iter().map(|(first, count)| format!("{} {first} {count}", first - 100_000)).collect();
            let pid = target.pid();
            let mut args = vec![&*pid];
            args.extend(map.iter().flat_map(|extent| extent.split(' ')));
            let answer = world.newuidmap(ALICE, &args);
            println!("policy {policy:?} asked {map:?}: {answer:?}");
            if allowed {
                answer.succeeds();
                assert_eq!(target.uid_map(), map.join("\n"));
                target = world.target(ALICE);
                written += 1;
            } else {
                answer.refuses(") not allowed");
                target.assert_untouched();
                refused += 1;
            }
        }
        assert!(written > 25 && refused > 25, "{written} written, {refused} refused: a lopsided test");
    });
}

/// A generator good enough to choose cases: the constants of Knuth's MMIX. The same cases on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

/// E12: root asks policy like everybody else, for all but his own id.
#[test]
fn root_without_lines_is_refused() {
    ask_all(
        "alice:600000:65536\n",
        &[
            row(
                ROOT,
                "0 600000 1",
                Refused(
                    "uid range [0-1) -> [600000-600001) not allowed",
                    &["/etc/subuid has no line for root", "root is not exempt"],
                ),
            ),
            row(
                ROOT,
                "0 1000 1",
                Refused("uid range [0-1) -> [1000-1001) not allowed", &["root is not exempt"]),
            ),
            row(ROOT, "0 0 2", Refused("uid range [0-2) -> [0-2) not allowed", &["root is not exempt"])),
            row(ROOT, "0 0 1", WrittenAndDenied("0 0 1")),
        ],
    );
    ask_all(
        "root:600000:10\n0:600010:10\n",
        &[
            row(ROOT, "0 600000 20", Written("0 600000 20")),
            row(
                ROOT,
                "0 600000 21",
                Refused(
                    "uid range [0-21) -> [600000-600021) not allowed",
                    &["uid 600020 is not granted to root", "root is not exempt"],
                ),
            ),
        ],
    );
}

/// E12: nor does root map another user's process, whatever policy grants either of them.
#[test]
fn root_is_refused_another_users_process() {
    World::enter(|world| {
        world.append("/etc/subuid", "root:600000:65536\n");
        let target = world.target(ALICE);
        world.newuidmap(ROOT, &[&target.pid(), "0", "600000", "1"]).refuses(
            "is owned by a different user: uid:0 pw_uid:0 st_uid:52001, gid:0 pw_gid:0 st_gid:52001",
        );
        target.assert_untouched();
    });
}
