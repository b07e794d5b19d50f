//! Maps: a process in a new user namespace gets both of them, or what can be had of them.

use world::Dice;

use super::helper::Fate;
use super::nursery::Cell;
use super::{CREW, FIRST_UID, User, count};

/// The first of a user's subordinate ids, of 65536.
pub(crate) fn first_id(user: u32) -> u32 {
    10_000_000 + user * 100_000
}

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    program: &'static str,
    file: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind { program: "/usr/bin/newuidmap", file: "uid_map" },
    Kind { program: "/usr/bin/newgidmap", file: "gid_map" },
];

/// What is asked for, as the arguments have it and the kernel shows it: a triple a line.
struct Asked {
    map: String,
    /// Does policy grant it?
    is_granted: bool,
    /// Has `setgroups` to be denied for it?
    denies: bool,
}

impl Asked {
    fn drawn(dice: &mut Dice, kind: Kind, user: u32) -> Self {
        let first = first_id(user);
        let is_gid = kind.file == "gid_map";
        let own = if is_gid { CREW } else { FIRST_UID + user };
        let (map, is_granted, denies) = match dice.below(10) {
            0..3 => (format!("0 {first} 65536"), true, false),
            3..6 => (format!("0 {own} 1\n1 {first} 65536"), true, false),
            // No two of them adjoin.
            6 => {
                let triple = |n: u32| format!("{} {} 1", 2 * n, first + 2 * n);
                ((0..20).map(triple).collect::<Vec<_>>().join("\n"), true, false)
            }
            7 | 8 => (format!("0 {own} 1"), true, is_gid),
            // The last one is somebody else's, or nobody's.
            _ => (format!("0 {first} 65536\n65536 {} 1", first + 65536), false, false),
        };
        Self { map, is_granted, denies }
    }
}

/// A process, and both maps in one order or the other.
pub(crate) fn round(user: &mut User<'_>) {
    let mut cell = user.nursery.unmapped();
    let first = usize::from(user.dice.percent(50));
    for kind in [KINDS[first], KINDS[1 - first]] {
        write(user, kind, &mut cell);
        if cell.is_ended() || user.soak.is_over() {
            return;
        }
    }
}

/// Has it written; if the helper was killed before it was, once more, in peace.
fn write(user: &mut User<'_>, kind: Kind, cell: &mut Cell) {
    let asked = Asked::drawn(&mut user.dice, kind, user.number);
    let fate = Fate::drawn(&mut user.dice);
    if try_it(user, kind, &asked, cell, fate) && asked.is_granted {
        try_it(user, kind, &asked, cell, Fate::Peace);
    }
}

/// Runs the helper, and looks. Is the map still empty, with nobody to blame?
fn try_it(user: &mut User<'_>, kind: Kind, asked: &Asked, cell: &mut Cell, fate: Fate) -> bool {
    let pid = cell.pid();
    let args: Vec<&str> = std::iter::once(&*pid).chain(asked.map.split([' ', '\n'])).collect();
    let denied_before = cell.file("setgroups") == "deny";
    let answer = user.helpers.run(&mut user.dice, fate, (kind.program, &args), cell);
    let soak = user.soak;
    if cell.is_ended() {
        return false;
    }
    let (map, setgroups) = (cell.file(kind.file), cell.file("setgroups"));
    let context = || format!("{} {args:?}, {fate:?}: {answer:?}, map {map:?}, {setgroups}", kind.program);

    // Whole or empty, and never by a helper that says no.
    soak.check(map.is_empty() || map == asked.map, || format!("a part of a map: {}", context()));
    soak.check(asked.is_granted || map.is_empty(), || format!("not granted: {}", context()));
    match answer.status {
        Some(0) => soak.check(map == asked.map, || format!("it says yes: {}", context())),
        Some(_) => {
            soak.check(map.is_empty(), || format!("it says no: {}", context()));
            soak.check(!asked.is_granted, || format!("it is granted: {}", context()));
            if !asked.is_granted {
                count(&soak.counts.refused);
            }
        }
        None => {}
    }
    // Denied where the map needs it, by then; and by nothing else.
    let denied = setgroups == "deny";
    soak.check(!asked.denies || map.is_empty() || denied, || format!("not denied: {}", context()));
    soak.check(denied_before || !denied || asked.denies, || format!("denied: {}", context()));
    if map.is_empty() {
        return answer.status.is_none();
    }
    count(&soak.counts.maps);
    false
}
