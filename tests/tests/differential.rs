//! Ours, Debian's helpers and a set of numbers, asked the same thousands of random questions.
//!
//! A case is a policy file, a caller and a command line. Both programs are really run, set-user-ID root, as a real
//! user on a real target, and each must do to the last extent what a brute-force model of the rule says: exit status,
//! the reason on stderr, the kernel's map and setgroups. There is one model. Debian's 4.13 is this model with the
//! [`Habit`]s, which are all the ways in which it may differ; whatever no habit explains must agree.
//!
//! `NSGATE_CASES` is the number of cases, `NSGATE_SEED` repeats a run, `NSGATE_ONLY` runs one case of it.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use world::{ALICE, Answer, BOB, CAROL, ROOT, Target, User, World, tree};

/// B12, B13, B14, B15, B16, B17, B19, B20, B21, C18, D06, D07, D09, D10, D11, D12, D13, D15, D16, D17, D19, D20, D21,
/// E01, E02, E03, E04, E06, E08, E09, E10, E12, F01, F03, F07: random cases of them all.
#[test]
fn ours_and_debians_do_what_the_model_says() {
    let (cases, seed) = (setting("NSGATE_CASES").unwrap_or(3000), setting("NSGATE_SEED").unwrap_or_else(now));
    let only = setting("NSGATE_ONLY");
    println!("{cases} cases, NSGATE_SEED={seed}");
    let programs = Programs::read();
    let (next, tally) = (AtomicU64::new(only.unwrap_or(0)), Mutex::new(Tally::default()));
    let end = only.map_or(cases, |only| only + 1);
    let work = || {
        World::enter(|world| {
            let mut bench = Bench::new(world, &programs);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    break;
                }
                let case = Case::random(seed, number);
                if let Err(complaint) = bench.judge(&case) {
                    next.store(end, Ordering::Relaxed);
                    let small = bench.shrink(case);
                    let again = bench.judge(&small).err().unwrap_or(complaint);
                    panic!(
                        "NSGATE_SEED={seed} NSGATE_ONLY={number}, made as small as it still fails:\n{small}\n{again}"
                    );
                }
                tally.lock().unwrap().count(&case);
            }
        });
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
    let tally = tally.into_inner().unwrap();
    println!("{tally:?}");
    if cases >= 3000 && only.is_none() {
        tally.assert_worth_its_time(cases);
    }
}

/// Differs: Debian's 4.13 has the habits of the table; each is shown to be what makes the difference.
#[test]
fn every_habit_of_debians_is_shown_by_a_case() {
    use Habit::{
        ChecksLate, DigitNames, ExtraFields, GluedLines, LaxNumbers, LinesPastTheEnd, NegativeNumbers,
        ZeroZero,
    };
    let alice = |kind, habits: &[Habit], policy: &str, words: &str, ours: &str, theirs: &str| Shown {
        case: Case {
            kind,
            caller: ALICE,
            policy: policy.into(),
            words: words.split(',').map(str::to_owned).collect(),
        },
        habits: habits.to_vec(),
        ours: ours.to_owned(),
        theirs: theirs.to_owned(),
    };
    let uid = |habits: &[Habit], policy: &str, words: &str, theirs: &str| {
        alice(Kind::Uid, habits, policy, words, " allow", &format!("{theirs} allow"))
    };
    let plain = "alice:100:10\n";
    let shown = [
        uid(&[LaxNumbers], plain, "0,0x64,10", "0 100 10"),
        uid(&[LaxNumbers], plain, "0,0144,10", "0 100 10"),
        uid(&[LaxNumbers], plain, "+0, 100,10", "0 100 10"),
        uid(&[LaxNumbers], "alice:0x64:10\n", "0,100,10", "0 100 10"),
        uid(&[LaxNumbers], "alice: 100:+10\n", "0,100,10", "0 100 10"),
        uid(&[LaxNumbers], "alice:0144:10\n", "0,100,10", "0 100 10"),
        uid(&[NegativeNumbers], plain, "-18446744073709551616,100,10", ""),
        uid(&[NegativeNumbers], plain, "-18446744073709551615,100,9", "1 100 9"),
        uid(&[NegativeNumbers, LinesPastTheEnd], "alice:0:-1\n", "0,0,10", "0 0 10"),
        uid(&[NegativeNumbers, LinesPastTheEnd], "alice:1:-1\n", "0,5,10", "0 5 10"),
        uid(&[ExtraFields], "alice:100:10:\n", "0,100,10", "0 100 10"),
        uid(&[ExtraFields], "alice:100:10:x\n", "0,100,10", "0 100 10"),
        uid(&[LinesPastTheEnd], "alice:4294967290:6\n", "0,4294967290,5", "0 4294967290 5"),
        uid(&[LinesPastTheEnd], "alice:0:4294967296\n", "0,0,5", "0 0 5"),
        uid(&[ZeroZero], "alice:0:0\n", "0,0,4294967295", "0 0 4294967295"),
        uid(&[GluedLines], "ali\0x\nce:100:10\n", "0,100,10", "0 100 10"),
        uid(&[DigitNames], "52002:100:10\n", "0,100,10", "0 100 10"),
        // In these it is ours that lets the rest of the file, or the target, be.
        alice(Kind::Uid, &[GluedLines], "x\0\nalice:100:10\n", "0,100,10", "0 100 10 allow", " allow"),
        alice(Kind::Uid, &[GluedLines], "alice:100:10\nx\0\n", "0,100,10", "0 100 10 allow", " allow"),
        alice(Kind::Gid, &[ChecksLate], "", "0,52001,1,1,52001,1", " allow", " deny"),
        alice(Kind::Gid, &[ChecksLate], "", "0,52001,1,0,52001,1", " allow", " deny"),
    ];
    let programs = Programs::read();
    World::enter(|world| {
        let mut bench = Bench::new(world, &programs);
        for Shown { case, habits, ours, theirs } in &shown {
            bench.judge(case).unwrap_or_else(|complaint| panic!("{case}\n{complaint}"));
            let expected = |habits: &[Habit]| {
                let Outcome { map, setgroups, .. } = Outcome::of(case, habits);
                format!("{map} {setgroups}")
            };
            assert_eq!((expected(&[]), expected(&Habit::ALL)), (ours.clone(), theirs.clone()), "{case}");
            if ours != theirs {
                assert_eq!(Habit::behind(case), *habits, "{case}");
            }
        }
    });
    let named = |habit| shown.iter().any(|shown| shown.ours != shown.theirs && shown.habits.contains(habit));
    assert!(Habit::ALL.iter().all(named));
}

/// C17: nor does a line of `/etc/subuid` that was commented out with it grant anything.
#[test]
fn an_account_that_is_commented_out_is_none() {
    let programs = Programs::read();
    World::enter(|world| {
        let mut bench = Bench::new(world, &programs);
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        world.write("/etc/passwd", passwd.replace("\ncarol:", "\n#carol:"));
        world.write("/etc/subuid", "#carol:100:10\n52003:200:10\n");
        for whose in ["ours", "theirs"] {
            for host in ["52003", "100", "200"] {
                let words = ["0", host, "1"].map(str::to_owned).into();
                let case = Case { kind: Kind::Uid, caller: CAROL, policy: Vec::new(), words };
                let (answer, target) = bench.run(whose, &case);
                assert_eq!(answer.status, Some(1), "{whose}: {host}: {answer:?}");
                assert!(answer.stderr.contains("Cannot determine your user name"), "{whose}: {answer:?}");
                target.assert_untouched();
            }
        }
    });
}

struct Shown {
    case: Case,
    habits: Vec<Habit>,
    ours: String,
    theirs: String,
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

// The question.

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Kind {
    Uid,
    Gid,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Uid => "uid",
            Self::Gid => "gid",
        }
    }
}

#[derive(Clone)]
struct Case {
    kind: Kind,
    caller: User,
    policy: Vec<u8>,
    words: Vec<String>,
}

/// The one id that the caller may map without a grant.
fn own(kind: Kind, caller: User) -> u64 {
    match kind {
        Kind::Uid => caller.id.into(),
        Kind::Gid => group_of(caller.id).into(),
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, caller, policy, words } = self;
        let (word, policy) = (kind.word(), policy.escape_ascii());
        write!(f, "/etc/sub{word} is \"{policy}\"\n{} calls new{word}map TARGET {words:?}", caller.name)
    }
}

/// Whose group has not the number of his uid.
const DAVE: User = User { name: "dave", id: 52004 };

const fn group_of(uid: u32) -> u32 {
    if uid == DAVE.id { 53004 } else { uid }
}

/// The accounts of the machine, in the order of its `/etc/passwd`. Alice has aliases: a usual one, one as long as a
/// line of `/etc/subuid` can hold, and one that looks like bob's uid. Bob's is from a directory.
fn accounts() -> [(String, u32); 9] {
    [
        ("root", ROOT.id),
        ("daemon", 1),
        (ALICE.name, ALICE.id),
        (BOB.name, BOB.id),
        (DAVE.name, DAVE.id),
        ("lass", ALICE.id),
        (&"x".repeat(1014), ALICE.id),
        ("52002", ALICE.id),
        ("DOM\\b\u{f6}b@dom", BOB.id),
    ]
    .map(|(name, id)| (name.to_owned(), id))
}

/// A group, and no user.
const GROUP: &str = "crew";

/// The last id, and one more: 4294967295 is `(uid_t)-1`, no id.
const LAST: u64 = 4_294_967_294;

impl Case {
    fn random(seed: u64, number: u64) -> Self {
        let mut dice = Dice::new(seed, number);
        let caller = *dice.pick(&[ALICE, ALICE, ALICE, BOB, BOB, DAVE, DAVE, ROOT]);
        let kind = *dice.pick(&[Kind::Uid, Kind::Gid]);
        if dice.one_in(60) {
            return Self::of_many_triples(dice, kind, caller);
        }
        // Not that of the other kind.
        let id = if dice.one_in(8) { caller.id.into() } else { own(kind, caller) };
        let mut lines = Lines::random(&mut dice, caller, id);
        let words = lines.request(&mut dice, id);
        dice.shuffle_some(&mut lines.text);
        if dice.one_in(50) {
            // So that a block of what ours reads at once ends among the caller's lines.
            let mut room = (64 << 10) - dice.below(60);
            while room > 0 {
                let length = room.min(1000);
                lines.text.insert(0, vec![b'#'; usize::try_from(length - 1).unwrap()]);
                room -= length;
            }
        }
        let mut policy = lines.text.join(&b"\n"[..]);
        if !dice.one_in(6) {
            policy.push(b'\n');
        }
        Self { kind, caller, policy, words }
    }

    /// At the kernel's limits of 340 extents, or of 4095 bytes.
    fn of_many_triples(mut dice: Dice, kind: Kind, caller: User) -> Self {
        let (first, mut triples) = if dice.one_in(3) {
            (10, (0..dice.between(336, 343)).map(|number| (number, 10 + number)).collect())
        } else {
            (4_000_000_000_u64, as_long_as(*dice.pick(&[4094, 4095, 4095, 4096, 4096, 4097]), 4_000_000_000))
        };
        if dice.one_in(3) {
            triples[0].1 = own(kind, caller);
        }
        let asked = u64::try_from(triples.len()).unwrap();
        let granted = if dice.one_in(4) { dice.between(1, asked) } else { asked };
        let words =
            triples.iter().flat_map(|(inside, host)| [inside, host, &1].map(u64::to_string)).collect();
        Self { kind, caller, policy: format!("{}:{first}:{granted}\n", caller.name).into(), words }
    }
}

/// Inside and host ids whose map has this many bytes: one of 24, some of 18, one that fits.
fn as_long_as(bytes: usize, first: u64) -> Vec<(u64, u64)> {
    let mut triples = vec![(2_000_000_000, first)];
    let (mut room, mut host) = (bytes - 24, first);
    while room > 0 {
        host += 1;
        let inside =
            if room > 24 { 5000 + host - first } else { 10_u64.pow(u32::try_from(room).unwrap() - 15) };
        triples.push((inside, host));
        room -= format!("{inside} {host} 1\n").len();
    }
    triples
}

/// A policy file being made: its lines, and what those of the caller were meant to grant.
struct Lines {
    text: Vec<Vec<u8>>,
    own: Vec<(u64, u64)>,
    others: Vec<(u64, u64)>,
}

impl Lines {
    /// A few lines close together, so that they adjoin, overlap and leave gaps, at a place where there is something
    /// to get wrong.
    fn random(dice: &mut Dice, caller: User, id: u64) -> Self {
        let mut place =
            *dice.pick(&[0, 0, 1, 100_000, 100_000, 600_000, id.saturating_sub(4), LAST - 20, LAST - 8]);
        let mut lines = Self { text: Vec::new(), own: Vec::new(), others: Vec::new() };
        for _ in 0..dice.below(8) {
            let first = (place + *dice.pick(&[1, 1, 1, 1, 1, 1, 1, 0, 2, 3])).saturating_sub(1);
            let count = match dice.below(40) {
                0 => *dice.pick(&[0, LAST, LAST + 1, LAST + 2, (LAST + 1).saturating_sub(first)]),
                1 => *dice.pick(&[100, 1_000, 10_000, 100_000]) + dice.below(9),
                2..5 => dice.between(9, 12),
                _ => dice.between(1, 7),
            };
            let mine = dice.below(10) < 7;
            let owner = if mine { own_name(dice, caller) } else { other_name(dice, caller) };
            lines.text.push(line(dice, &owner, first, count));
            let known = if mine { &mut lines.own } else { &mut lines.others };
            known.push((first, first + count));
            if mine || dice.one_in(2) {
                place = first + count;
            }
        }
        lines
    }

    fn request(&mut self, dice: &mut Dice, id: u64) -> Vec<String> {
        let mut inside = if dice.one_in(12) { LAST - dice.below(30) } else { *dice.pick(&[0, 0, 1, 1000]) };
        let mut hosts = Vec::new();
        match dice.below(16) {
            // One run of the caller's lines, in pieces, as podman asks.
            0..=8 => {
                let (first, end) = self.some_run(dice);
                let mut cuts: Vec<u64> =
                    (0..dice.below(4)).map(|_| dice.between(first, end.max(first))).collect();
                cuts.extend([first, end]);
                cuts.sort_unstable();
                cuts.dedup();
                hosts.extend(cuts.windows(2).map(|cut| (cut[0], cut[1] - cut[0])));
                if dice.one_in(3) {
                    hosts.insert(0, (id, 1));
                }
            }
            9 => hosts.push((id, *dice.pick(&[1, 1, 1, 1, 2]))),
            10 => hosts.extend([(id, 1), (id, 1)].iter().take(usize::from(dice.one_in(9)) * 2)),
            _ => {
                for _ in 0..*dice.pick(&[1, 1, 1, 2, 2, 3, 7]) {
                    let (first, end) = match dice.below(10) {
                        0 => (id, id + 1),
                        1 => *dice.pick_or(&self.others, &(id, id + 1)),
                        2 => (dice.below(LAST), LAST),
                        _ => self.some_run(dice),
                    };
                    hosts.push((first, end.saturating_sub(first)));
                }
            }
        }
        dice.shuffle_some(&mut hosts);
        let mut words = Vec::new();
        for (host, count) in hosts {
            words.extend([inside, host, count].map(|number| spelled(dice, number, 150)));
            inside = (inside + count + *dice.pick(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 5]))
                .saturating_sub(u64::from(dice.one_in(30)));
        }
        if dice.one_in(60) {
            words.truncate(words.len().saturating_sub(1));
        }
        words
    }

    /// From the start of one of the caller's lines to the end of one, or near.
    fn some_run(&self, dice: &mut Dice) -> (u64, u64) {
        let one = *dice.pick_or(&self.own, &(100_000, 100_005));
        let other = if dice.one_in(2) { one } else { *dice.pick_or(&self.own, &one) };
        let (first, end) = (one.0.min(other.0), one.1.max(other.1));
        match dice.below(12) {
            0 => (first.saturating_sub(1), end),
            1 => (first, end + 1),
            2 => (first + 1, end),
            3 => (first, end.saturating_sub(1).max(first)),
            _ => (first, end),
        }
    }
}

fn own_name(dice: &mut Dice, caller: User) -> String {
    let mut names: Vec<String> =
        accounts().into_iter().filter(|(_, id)| *id == caller.id).map(|(n, _)| n).collect();
    names.extend([caller.name.to_owned(), caller.id.to_string()]);
    dice.pick(&names).clone()
}

/// Somebody else's name, or what looks like the caller's.
fn other_name(dice: &mut Dice, caller: User) -> String {
    let others = "bob|52002|lass|crew|nobody-here|52998";
    let alike = "| NAME|NAME |NAMEx|xNAME|#NAME|+NAME|-NAME|@NAME|%NAME|GROUP|#ID|0ID|+ID| ID|ID |0xID|*|ALL";
    match dice.below(8) {
        0..3 => dice.pick(&accounts()).0.clone(),
        3 => dice.word(others),
        4 => caller.name.to_uppercase(),
        5 => caller.name[1..].to_owned(),
        _ => dice
            .word(alike)
            .replace("NAME", caller.name)
            .replace("GROUP", &group_of(caller.id).to_string())
            .replace("ID", &caller.id.to_string()),
    }
}

fn line(dice: &mut Dice, owner: &str, first: u64, count: u64) -> Vec<u8> {
    let odd = "OWNER:FIRST:COUNT:|OWNER:FIRST:COUNT:5|OWNER:FIRST:COUNT::x|OWNER:FIRST:COUNT |OWNER:FIRST:COUNT\r\
               |OWNER:FIRST:COUNT # note|OWNER:FIRST:COUNT\0|OWNER:FIRST:COUNT\0x|OWNER\0:1:1|note\0 OWNER:FIRST:COUNT\
               |\u{feff}OWNER:FIRST:COUNT| OWNER:FIRST:COUNT|#OWNER:FIRST:COUNT|OWNER:FIRST|OWNER:FIRST:|OWNER::COUNT\
               |OWNER|:|OWNER:0:0|OWNER:0:-1|OWNER:1:-1|OWNER:4294967295:COUNT|OWNER:4294967296:COUNT|OWNER:FIRST:LONG|";
    let shape = if dice.one_in(8) { dice.word(odd) } else { "OWNER:FIRST:COUNT".to_owned() };
    let [first, count] = [first, count].map(|number| spelled(dice, number, 40));
    let long = " ".repeat(1000) + &count;
    let parts = [("FIRST", &first), ("COUNT", &count), ("LONG", &long), ("OWNER", &owner.to_owned())];
    parts.iter().fold(shape, |line, (part, text)| line.replace(part, text)).into()
}

/// A number, one time in `rarely` in a way that is not plain decimal.
fn spelled(dice: &mut Dice, number: u64, rarely: u64) -> String {
    if !dice.one_in(rarely) {
        return number.to_string();
    }
    let wrapped = u128::from(u64::MAX) + 1 - u128::from(number);
    dice.pick(&[
        format!(" {number}"),
        format!("\t\n{number}"),
        format!("{number} "),
        format!("+{number}"),
        format!("0{number}"),
        format!("0{number:o}"),
        format!("0x{number:x}"),
        format!("0X{number:X}"),
        format!("0b{number:b}"),
        format!("{number}x"),
        format!("{number}.0"),
        format!("-{number}"),
        format!("-{wrapped}"),
        format!(" -{wrapped}"),
        format!("{}", number + (1 << 32)),
        format!("{}", u128::from(number) + (1 << 64)),
        "-1".to_owned(),
        "-0".to_owned(),
        "00".to_owned(),
        "0x".to_owned(),
        String::new(),
        "4294967295".to_owned(),
        "18446744073709551615".to_owned(),
        "18446744073709551616".to_owned(),
        "\u{663}".to_owned(),
    ])
    .clone()
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn new(seed: u64, number: u64) -> Self {
        let mut dice = Self(seed);
        Self(dice.next() ^ number.wrapping_mul(0xd134_2543_de82_ef95))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = self.below(u64::try_from(from.len()).unwrap());
        &from[usize::try_from(index).unwrap()]
    }

    fn word(&mut self, from: &str) -> String {
        (*self.pick(&from.split('|').collect::<Vec<_>>())).to_owned()
    }

    fn pick_or<'a, T>(&mut self, from: &'a [T], none: &'a T) -> &'a T {
        if from.is_empty() { none } else { self.pick(from) }
    }

    fn shuffle_some<T>(&mut self, all: &mut [T]) {
        if self.one_in(3) {
            for index in 1..all.len() {
                let other = self.below(u64::try_from(index).unwrap() + 1);
                all.swap(index, usize::try_from(other).unwrap());
            }
        }
    }
}

// The model: the rule, as a set of numbers.

/// In what Debian's 4.13 differs. Ours has none of these, on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Habit {
    /// Numbers, in the file and on the command line, may have blanks and a plus in front, or be hex or octal.
    LaxNumbers,
    /// A negative number is taken modulo 2^64.
    NegativeNumbers,
    /// A line may have more than three fields.
    ExtraFields,
    /// A line that goes past the last id grants what it has up to there, modulo 2^64.
    LinesPastTheEnd,
    /// `owner:0:0` grants every id.
    ZeroZero,
    /// What follows a NUL is not seen, not even the end of the line. If it is the file's last, the file is unreadable.
    GluedLines,
    /// A line of digits alone belongs not only to that uid, but to an account of that name, too.
    DigitNames,
    /// What the kernel would not take is left to the kernel, after setgroups was denied.
    ChecksLate,
}

impl Habit {
    const ALL: [Self; 8] = [
        Self::LaxNumbers,
        Self::NegativeNumbers,
        Self::ExtraFields,
        Self::LinesPastTheEnd,
        Self::ZeroZero,
        Self::GluedLines,
        Self::DigitNames,
        Self::ChecksLate,
    ];

    /// The habits without which Debian's would do something else in this case.
    fn behind(case: &Case) -> Vec<Self> {
        let deed = |habits: &[Self]| Outcome::of(case, habits).deed();
        let all = deed(&Self::ALL);
        let without = |habit: Self| Self::ALL.into_iter().filter(|other| *other != habit).collect::<Vec<_>>();
        Self::ALL.into_iter().filter(|habit| deed(&without(*habit)) != all).collect()
    }
}

/// What has to come of a case.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Outcome {
    verdict: Verdict,
    map: String,
    setgroups: &'static str,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Verdict {
    Granted,
    /// The policy file cannot be read.
    Unreadable,
    /// The command line has no triples, or no legal ones.
    Words,
    /// This triple is not allowed.
    NotAllowed(String),
    /// The kernel takes no such map.
    Unfit,
}

struct Triple {
    inside: u64,
    host: u64,
    count: u64,
}

impl Outcome {
    /// Ours without habits, Debian's with all of them.
    fn of(case: &Case, habits: &[Habit]) -> Self {
        let late = habits.contains(&Habit::ChecksLate);
        let refused = |verdict, setgroups| Self { verdict, map: String::new(), setgroups };
        let Some(granted) = granted(case, habits) else { return refused(Verdict::Unreadable, "allow") };
        if case.words.len() % 3 != 0 {
            return refused(Verdict::Words, "allow");
        }
        if !late && !(1..=340).contains(&(case.words.len() / 3)) {
            return refused(Verdict::Unfit, "allow");
        }
        let triples: Option<Vec<Triple>> =
            case.words.chunks(3).map(|words| Triple::of(words, habits)).collect();
        let Some(triples) = triples else { return refused(Verdict::Words, "allow") };

        let mut by_policy = false;
        for triple in &triples {
            let Triple { inside, host, count } = *triple;
            if count > 0 && holds(&granted, host, host + count) {
                by_policy = true;
            } else if count != 1 || host != own(case.kind, case.caller) {
                let (word, end, host_end) = (case.kind.word(), inside + count, host + count);
                let range = format!("{word} range [{inside}-{end}) -> [{host}-{host_end}) not allowed");
                return refused(Verdict::NotAllowed(range), "allow");
            }
        }
        let setgroups = if case.kind == Kind::Gid && !by_policy { "deny" } else { "allow" };
        match kernel_map(&triples) {
            Some(map) => Self { verdict: Verdict::Granted, map, setgroups },
            None => refused(Verdict::Unfit, if late { setgroups } else { "allow" }),
        }
    }

    /// Without the words.
    fn deed(self) -> (bool, String, &'static str) {
        (self.verdict == Verdict::Granted, self.map, self.setgroups)
    }
}

impl Triple {
    fn of(words: &[String], habits: &[Habit]) -> Option<Self> {
        let numbers: Option<Vec<u64>> = words.iter().map(|word| number(word.as_bytes(), habits)).collect();
        let [inside, host, count] = numbers?[..] else { return None };
        let legal = |first: u64| first.checked_add(count).is_some_and(|end| end <= LAST + 1);
        let empty = count == 0 && !habits.contains(&Habit::ChecksLate);
        (legal(inside) && legal(host) && !empty).then_some(Self { inside, host, count })
    }
}

/// What a policy file grants to the caller, range by range. None: nobody can read it.
fn granted(case: &Case, habits: &[Habit]) -> Option<Vec<RangeInclusive<u64>>> {
    let lines = if habits.contains(&Habit::GluedLines) {
        glued(&case.policy)?
    } else {
        case.policy.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    };
    Some(lines.iter().filter_map(|line| granted_by(line, case.caller.id, habits)).collect())
}

fn granted_by(line: &[u8], caller: u32, habits: &[Habit]) -> Option<RangeInclusive<u64>> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
    let (owner, first, count, more) = match fields[..] {
        [owner, first, count] => (owner, first, count, false),
        [owner, first, count, ..] => (owner, first, count, true),
        _ => return None,
    };
    let digits = owner.iter().all(u8::is_ascii_digit);
    let named = accounts().iter().any(|(name, id)| *id == caller && name.as_bytes() == owner)
        && (!digits || habits.contains(&Habit::DigitNames));
    let theirs = named || owner == caller.to_string().as_bytes();
    let (first, count) = (number(first, habits)?, number(count, habits)?);
    let past_the_end = first.checked_add(count).is_none_or(|end| end > LAST + 1);
    let everything = first == 0 && count == 0;
    let usable = theirs
        && line.len() < 1024
        && (!more || habits.contains(&Habit::ExtraFields))
        && (!past_the_end || habits.contains(&Habit::LinesPastTheEnd))
        && (count > 0 || (everything && habits.contains(&Habit::ZeroZero)));
    let last = first.wrapping_add(count).wrapping_sub(1);
    usable.then_some(first..=last)
}

/// Lines as `fgets` and `strlen` see them: after a NUL, the next line begins where the NUL was.
fn glued(file: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut lines, mut before) = (Vec::new(), Vec::new());
    let mut rest = file.split_inclusive(|byte| *byte == b'\n').peekable();
    while let Some(line) = rest.next() {
        let seen = line.split(|byte| *byte == 0).next().unwrap_or_default();
        before.extend_from_slice(seen);
        let cut = seen.len() < line.len();
        if cut && line.ends_with(b"\n") {
            rest.peek()?;
            continue;
        }
        let whole = std::mem::take(&mut before);
        lines.push(whole.strip_suffix(b"\n").unwrap_or(&whole).to_vec());
    }
    Some(lines)
}

/// Is every id from `first` up to `end` in one of these ranges? The lowest that is in none would be `first`, or follow
/// one of them; so those are all that need a look.
fn holds(ranges: &[RangeInclusive<u64>], first: u64, end: u64) -> bool {
    let after = ranges.iter().filter_map(|range| range.end().checked_add(1));
    let mut suspects = std::iter::once(first).chain(after).filter(|id| (first..end).contains(id));
    suspects.all(|id| ranges.iter().any(|range| range.contains(&id)))
}

/// A number as `strtoul` with base 0 reads it, if these habits allow its looks.
fn number(text: &[u8], habits: &[Habit]) -> Option<u64> {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    let (negative, plus, unsigned) = match &text[blanks..] {
        [b'-', rest @ ..] => (true, false, rest),
        [b'+', rest @ ..] => (false, true, rest),
        rest => (false, false, rest),
    };
    let (base, digits) = match unsigned {
        [b'0', b'x' | b'X', digits @ ..] => (16, digits),
        [b'0', digits @ ..] if !digits.is_empty() => (8, digits),
        digits => (10, digits),
    };
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let value = u64::from_str_radix(std::str::from_utf8(digits).ok()?, base).ok()?;
    let lax = blanks > 0 || plus || base != 10;
    let allowed = (!lax || habits.contains(&Habit::LaxNumbers))
        && (!negative || habits.contains(&Habit::NegativeNumbers));
    allowed.then_some(if negative { value.wrapping_neg() } else { value })
}

/// What `/proc/PID/uid_map` says after this was written. None: the kernel takes it not.
fn kernel_map(triples: &[Triple]) -> Option<String> {
    let apart = |a: u64, b: u64, a_count: u64, b_count: u64| a + a_count <= b || b + b_count <= a;
    let overlap = triples.iter().enumerate().any(|(index, a)| {
        triples[..index]
            .iter()
            .any(|b| !apart(a.inside, b.inside, a.count, b.count) || !apart(a.host, b.host, a.count, b.count))
    });
    let show = |triples: &[&Triple]| {
        let mut text = String::new();
        for Triple { inside, host, count } in triples {
            writeln!(text, "{inside} {host} {count}").unwrap();
        }
        text
    };
    let mut shown: Vec<&Triple> = triples.iter().collect();
    let fits = (1..=340).contains(&triples.len()) && show(&shown).len() < 4096 && !overlap;
    if triples.len() > 5 {
        // More than UID_GID_MAP_MAX_BASE_EXTENTS are kept sorted.
        shown.sort_unstable_by_key(|triple| triple.inside);
    }
    fits.then(|| show(&shown).trim_end().to_owned())
}

// The programs.

struct Programs(Vec<(&'static str, &'static str, Vec<u8>)>);

impl Programs {
    /// From outside any World, where Debian's are where they always are.
    fn read() -> Self {
        let version = Command::new("dpkg-query").args(["-W", "-f", "${Version}", "uidmap"]).output();
        let version = version.expect("dpkg-query").stdout;
        let version = String::from_utf8_lossy(&version);
        assert!(version.contains("4.13"), "the model's habits are those of uidmap 4.13, not {version:?}");
        let ours = tree().join("target/release");
        let read = |whose, name, path: &std::path::Path| {
            (whose, name, fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        };
        let mut programs = Vec::new();
        for name in ["newuidmap", "newgidmap"] {
            programs.push(read("ours", name, &ours.join(name)));
            programs.push(read("theirs", name, &std::path::Path::new("/usr/bin").join(name)));
        }
        Self(programs)
    }
}

/// Both installed in one World, and targets that nobody has mapped yet.
struct Bench<'a> {
    world: &'a World,
    targets: HashMap<(&'static str, u32), Target>,
}

impl<'a> Bench<'a> {
    fn new(world: &'a World, programs: &Programs) -> Self {
        for (whose, name, bytes) in &programs.0 {
            let place = format!("/run/world/{whose}");
            fs::create_dir_all(&place).unwrap();
            fs::write(format!("{place}/{name}"), bytes).unwrap();
            fs::set_permissions(format!("{place}/{name}"), fs::Permissions::from_mode(0o4755)).unwrap();
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        for (name, id) in accounts() {
            if !passwd.lines().any(|line| line.starts_with(&format!("{name}:"))) {
                world.append("/etc/passwd", &format!("{name}:x:{id}:{}::/:/bin/sh\n", group_of(id)));
            }
        }
        world.append("/etc/group", &format!("{GROUP}:x:52900:alice\n"));
        let map = fs::read_to_string("/proc/self/uid_map").unwrap();
        assert_eq!(
            map.split_whitespace().collect::<Vec<_>>(),
            ["0", "0", "4294967295"],
            "a host with all ids"
        );
        Self { world, targets: HashMap::new() }
    }

    /// Puts a case to both programs. The answer is a complaint about one that did not do what the model says.
    fn judge(&mut self, case: &Case) -> Result<(), String> {
        self.world.write(&format!("/etc/sub{}", case.kind.word()), &case.policy);
        self.ask("ours", case, &Outcome::of(case, &[]))?;
        self.ask("theirs", case, &Outcome::of(case, &Habit::ALL))
    }

    fn ask(&mut self, whose: &'static str, case: &Case, expected: &Outcome) -> Result<(), String> {
        let kind = case.kind;
        let (answer, target) = self.run(whose, case);
        let (uids, gids, setgroups) = (target.uid_map(), target.gid_map(), target.setgroups());
        let expected_maps = match kind {
            Kind::Uid => (expected.map.as_str(), ""),
            Kind::Gid => ("", expected.map.as_str()),
        };
        let untouched = uids.is_empty() && gids.is_empty() && setgroups == "allow";
        let done = (uids.as_str(), gids.as_str()) == expected_maps && setgroups == expected.setgroups;
        if untouched {
            self.targets.insert((whose, case.caller.id), target);
        }
        if done && said(whose, kind, &answer, &expected.verdict) {
            Ok(())
        } else {
            Err(format!(
                "{whose} should: {expected:?}\n{whose} did: {answer:?}\nuid_map {uids:?} gid_map {gids:?} setgroups {setgroups:?}"
            ))
        }
    }

    /// The program on a target that nobody has mapped yet.
    fn run(&mut self, whose: &'static str, case: &Case) -> (Answer, Target) {
        let (world, caller) = (self.world, case.caller);
        let target = self.targets.remove(&(whose, caller.id)).unwrap_or_else(|| {
            world.target_of(
                world
                    .command_as(caller.id, group_of(caller.id), "/usr/bin/unshare")
                    .args(["-U", "sleep", "1000"]),
            )
        });
        let program = format!("/run/world/{whose}/new{}map", case.kind.word());
        let answer = world.run(
            world.command_as(caller.id, group_of(caller.id), &program).arg(target.pid()).args(&case.words),
        );
        (answer, target)
    }

    /// The same failure with fewer lines and triples.
    fn shrink(&mut self, mut case: Case) -> Case {
        loop {
            let lines: Vec<&[u8]> = case.policy.split_inclusive(|byte| *byte == b'\n').collect();
            let fewer_lines = (0..lines.len()).map(|index| {
                let policy = [&lines[..index], &lines[index + 1..]].concat().concat();
                Case { policy, ..case.clone() }
            });
            let fewer_words = (0..case.words.len() / 3).map(|index| {
                let words = [&case.words[..3 * index], &case.words[3 * index + 3..]].concat();
                Case { words, ..case.clone() }
            });
            let smaller: Vec<Case> = fewer_lines.chain(fewer_words).collect();
            match smaller.into_iter().find(|case| self.judge(case).is_err()) {
                Some(smaller) => case = smaller,
                None => return case,
            }
        }
    }
}

/// Exit status and stderr fit the verdict.
fn said(whose: &str, kind: Kind, answer: &Answer, verdict: &Verdict) -> bool {
    let ours = whose == "ours";
    let Answer { status, stdout, stderr, .. } = answer;
    let phrases: Vec<String> = match verdict {
        Verdict::Granted => return (*status, stdout.as_str(), stderr.as_str()) == (Some(0), "", ""),
        Verdict::Unreadable => vec![String::new()],
        Verdict::Words if ours => {
            ["is not a plain decimal number", "overflow detected", "its count is 0", "is wrong for argc"]
                .map(str::to_owned)
                .into()
        }
        Verdict::Words => ["usage: new", "subuid overflow detected"].map(str::to_owned).into(),
        Verdict::NotAllowed(range) => vec![range.clone()],
        Verdict::Unfit if ours => {
            let none = format!("no {} range given", kind.word());
            vec![
                "overlap inside".to_owned(),
                "share host ids".to_owned(),
                "kernel takes at most".to_owned(),
                none,
            ]
        }
        Verdict::Unfit => vec![format!("write to {}_map failed: Invalid argument", kind.word())],
    };
    let one_line = !ours || (stderr.lines().count() == 1 && stderr.ends_with('\n'));
    (*status, stdout.as_str()) == (Some(1), "")
        && one_line
        && phrases.iter().any(|phrase| stderr.contains(phrase))
}

/// What the cases were like.
#[derive(Default, Debug)]
struct Tally {
    granted: u64,
    not_allowed: u64,
    words: u64,
    unfit: u64,
    differ: u64,
    habits: HashMap<Habit, u64>,
}

impl Tally {
    fn count(&mut self, case: &Case) {
        let ours = Outcome::of(case, &[]);
        let place = match ours.verdict {
            Verdict::Granted => &mut self.granted,
            Verdict::NotAllowed(_) => &mut self.not_allowed,
            Verdict::Words | Verdict::Unreadable => &mut self.words,
            Verdict::Unfit => &mut self.unfit,
        };
        *place += 1;
        if ours.deed() != Outcome::of(case, &Habit::ALL).deed() {
            self.differ += 1;
            for habit in Habit::behind(case) {
                *self.habits.entry(habit).or_default() += 1;
            }
        }
    }

    /// No verdict is rare. Most cases are such that both programs have to agree, but not all.
    fn assert_worth_its_time(&self, cases: u64) {
        assert!(
            self.granted > cases / 5 && self.not_allowed > cases / 8 && self.unfit > cases / 40,
            "{self:?}"
        );
        assert!((cases / 50..cases / 5).contains(&self.differ), "{self:?}");
    }
}
