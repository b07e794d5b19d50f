//! Interfaces: made, and removed by the helper, by root, or with their container.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use world::{Dice, LXC_USER_NIC, World};

use super::census;
use super::helper::{Answer, Fate, Helpers};
use super::nursery::{Cell, Nursery};
use super::{CREW, FIRST_UID, Soak, USERS, User, count};

/// Whose quota it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Each user has his own.
    Each,
    /// All have one together, by their group.
    Crew,
}

/// A bridge, or none, and how many may be there.
pub(crate) struct Place {
    pub(crate) bridge: &'static str,
    owner: Owner,
    /// By `lxc-usernet`.
    quota: usize,
    /// By `max-nics`.
    all: Option<usize>,
}

pub(crate) const PLACES: [Place; 4] = [
    Place { bridge: "lxcbr0", owner: Owner::Each, quota: 3, all: None },
    Place { bridge: "pool0", owner: Owner::Crew, quota: 9, all: None },
    Place { bridge: "capped0", owner: Owner::Each, quota: 2, all: Some(9) },
    Place { bridge: "none", owner: Owner::Each, quota: 2, all: None },
];

impl Place {
    /// How many one user may have.
    pub(crate) fn of_each(&self) -> usize {
        self.quota
    }

    /// How many all may have together, if that is a rule.
    pub(crate) fn of_all(&self) -> Option<usize> {
        self.all.or((self.owner == Owner::Crew).then_some(self.quota))
    }

    /// Nobody else can take the room that a user has there.
    fn is_private(&self) -> bool {
        self.of_all().is_none()
    }

    /// The table behind a user's quota.
    fn table(&self, uid: u32) -> String {
        match self.owner {
            Owner::Each => format!("u{uid}.veth.{}", self.bridge),
            Owner::Crew => format!("g{CREW}.veth.{}", self.bridge),
        }
    }

    /// Every table that there may be for it.
    pub(crate) fn tables(&self) -> BTreeSet<String> {
        let mut tables: BTreeSet<String> = uids().map(|uid| self.table(uid)).collect();
        tables.extend(self.all.map(|_| format!("all.veth.{}", self.bridge)));
        tables
    }
}

fn uids() -> impl Iterator<Item = u32> {
    (FIRST_UID..).take(USERS)
}

/// Bridges and policy.
pub(crate) fn prepare(world: &World) {
    let (mut usernet, mut rules) = (String::new(), String::new());
    for place in &PLACES {
        let Place { bridge, quota, .. } = place;
        if *bridge != "none" {
            world.bridge(bridge);
        }
        match place.owner {
            Owner::Each => {
                (0..USERS).for_each(|n| usernet.push_str(&format!("soak{n} veth {bridge} {quota}\n")))
            }
            Owner::Crew => usernet.push_str(&format!("@crew veth {bridge} {quota}\n")),
        }
        if let Some(all) = place.all {
            rules.push_str(&format!("[bridge \"{bridge}\"]\nmax-nics = {all}\n"));
        }
    }
    world.usernet(usernet);
    world.write("/etc/nsgate.ini", rules);
}

/// What a user has.
#[derive(Default)]
pub(crate) struct Nics {
    containers: Vec<Cell>,
    alive: Vec<Nic>,
    /// Host ends whose container was killed: the kernel takes its time.
    dying: Vec<String>,
}

struct Nic {
    place: &'static Place,
    host_name: String,
    /// The pid of its container.
    container: String,
}

impl Nics {
    fn at(&self, place: &Place) -> usize {
        self.alive.iter().filter(|nic| nic.place.bridge == place.bridge).count()
    }

    /// Puts a container back that was in use; or, if it has ended, all that was in it is gone.
    fn put_back(&mut self, soak: &Soak<'_>, container: Cell) {
        if !container.is_ended() {
            self.containers.push(container);
            return;
        }
        let (gone, alive): (Vec<Nic>, _) =
            std::mem::take(&mut self.alive).into_iter().partition(|nic| nic.container == container.pid());
        self.alive = alive;
        for nic in gone {
            count(&soak.counts.cycles);
            self.dying.push(nic.host_name);
        }
        self.dying.retain(|name| exists(name));
    }

    fn wait_for_the_dying(&mut self, soak: &Soak<'_>) {
        let start = Instant::now();
        while self.dying.iter().any(|name| exists(name)) {
            if start.elapsed() > Duration::from_secs(60) {
                soak.fail(format!("the containers of {:?} are dead, and they are not gone", self.dying));
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.dying.clear();
    }
}

fn exists(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

/// One interface more or less.
pub(crate) fn round(user: &mut User<'_>, nics: &mut Nics) {
    if nics.containers.is_empty() || nics.containers.len() < 3 && user.dice.percent(20) {
        nics.containers.push(user.nursery.container());
    }
    let removes = !nics.alive.is_empty() && user.dice.percent(if nics.alive.len() > 6 { 75 } else { 35 });
    if removes { remove(user, nics) } else { make(user, nics) }
}

fn make(user: &mut User<'_>, nics: &mut Nics) {
    // Whoever is refused for want of room waits a third of a second for some: not too often.
    let place = loop {
        let place = user.dice.one_of(&PLACES);
        let likely = match nics.at(place) {
            0 => 100,
            at if place.is_private() && at < place.quota => 100,
            1 if place.bridge == "capped0" => 20,
            at if place.owner == Owner::Crew && at < 2 => 30,
            _ => 5,
        };
        if user.dice.percent(likely) {
            break place;
        }
    };
    let number = user.dice.below(u64::try_from(nics.containers.len()).expect("small"));
    let mut container = nics.containers.swap_remove(usize::try_from(number).expect("small"));
    let fate = Fate::drawn(&mut user.dice);
    let answer = create(&mut user.helpers, &mut user.dice, fate, place, &mut container);
    let (soak, uid) = (user.soak, FIRST_UID + user.number);
    let made = host_end(&answer);
    let home = container.pid();
    let mine = |nics: &mut Nics, host_name: String| {
        nics.alive.push(Nic { place, host_name, container: home.clone() });
    };
    match &answer {
        Answer { status: Some(0), .. } => {
            let there = made.as_ref().is_some_and(|name| exists(name) || fate == Fate::TargetKilled);
            soak.check(there, || format!("what was made? {answer:?}"));
            made.into_iter().for_each(|name| mine(nics, name));
        }
        // The container may be gone, for all that the helper knows.
        Answer { status: Some(_), .. } if fate == Fate::TargetKilled => {}
        Answer { status: Some(_), stderr, .. } => {
            let full =
                stderr.contains("Quota reached") || stderr.contains("interfaces of all users are there");
            soak.check(full, || format!("on {}, {fate:?}: {answer:?}", place.bridge));
            count(&soak.counts.full);
            if place.is_private() && nics.at(place) < place.quota && full {
                // Those of dead containers were there still. Now they are not.
                nics.wait_for_the_dying(soak);
                let again = create(&mut user.helpers, &mut user.dice, Fate::Peace, place, &mut container);
                let there = nics.at(place);
                soak.check(again.status == Some(0), || {
                    format!("there is room on {} for uid {uid}, who has {there}: {again:?}", place.bridge)
                });
                host_end(&again).into_iter().for_each(|name| mine(nics, name));
            }
        }
        Answer { status: None, .. } => {
            // It may have got to its end all the same.
            for name in recorded_as_made(soak, &place.table(uid), uid) {
                if exists(&name)
                    && !nics.dying.contains(&name)
                    && nics.alive.iter().all(|nic| nic.host_name != name)
                {
                    count(&soak.counts.adopted);
                    mine(nics, name);
                }
            }
        }
    }
    soak.check(nics.at(place) <= place.quota, || {
        format!("uid {uid} has {} interfaces on {}", nics.at(place), place.bridge)
    });
    nics.put_back(soak, container);
}

fn create(
    helpers: &mut Helpers<'_>,
    dice: &mut Dice,
    fate: Fate,
    place: &Place,
    container: &mut Cell,
) -> Answer {
    let pid = container.pid();
    let args = ["create", "/dev/null", "dummy", &pid, "veth", place.bridge];
    helpers.run(dice, fate, (LXC_USER_NIC, &args), container)
}

fn host_end(answer: &Answer) -> Option<String> {
    let mut fields = answer.stdout.strip_suffix('\n')?.split(':');
    let name = fields.nth(2)?.to_owned();
    (answer.status == Some(0)).then_some(name)
}

fn recorded_as_made(soak: &Soak<'_>, table: &str, uid: u32) -> Vec<String> {
    let text = fs::read(format!("{}/{table}", soak.tables)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let made = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["+", name, _, owner, ..] if owner == uid.to_string() => Some(name.to_owned()),
        _ => None,
    };
    text.lines().filter_map(made).collect()
}

fn remove(user: &mut User<'_>, nics: &mut Nics) {
    let soak = user.soak;
    let number = user.dice.below(u64::try_from(nics.alive.len()).expect("small"));
    let nic = nics.alive.swap_remove(usize::try_from(number).expect("small"));
    let home = nics.containers.iter().position(|container| container.pid() == nic.container);
    let mut container = nics.containers.swap_remove(home.expect("its container is there"));
    match user.dice.below(10) {
        0 | 1 => {
            nics.alive.push(nic);
            container.end();
        }
        2 => {
            soak.world.ip(&["link", "del", &nic.host_name]);
            count(&soak.counts.cycles);
        }
        _ => {
            let fate = Fate::drawn(&mut user.dice);
            let mut answer = delete(&mut user.helpers, &mut user.dice, fate, &nic, &mut container);
            let mut cut_short = false;
            if answer.status.is_none() {
                cut_short = true;
                answer = delete(&mut user.helpers, &mut user.dice, Fate::Peace, &nic, &mut container);
            }
            if container.is_ended() {
                nics.alive.push(nic);
            } else {
                let done_before = cut_short && answer.stderr.contains("has made none of that name");
                soak.check(answer.status == Some(0) || done_before, || {
                    format!("{} cannot be removed, {fate:?}: {answer:?}", nic.host_name)
                });
                gone_for_good(soak, &nic, FIRST_UID + user.number);
                count(&soak.counts.cycles);
            }
        }
    }
    nics.put_back(soak, container);
}

fn delete(helpers: &mut Helpers<'_>, dice: &mut Dice, fate: Fate, nic: &Nic, container: &mut Cell) -> Answer {
    let (netns, bridge) = (container.netns(), nic.place.bridge);
    let args = ["delete", "/dev/null", "dummy", &netns, "veth", bridge, &nic.host_name];
    helpers.run(dice, fate, (LXC_USER_NIC, &args), container)
}

/// There is neither the interface nor its record.
fn gone_for_good(soak: &Soak<'_>, nic: &Nic, uid: u32) {
    soak.check(!exists(&nic.host_name), || format!("{} was removed, and is there", nic.host_name));
    let table = nic.place.table(uid);
    let recorded = recorded_as_made(soak, &table, uid).contains(&nic.host_name);
    soak.check(!recorded, || format!("{} was removed, and is in {table}", nic.host_name));
}

/// Waits until all containers are gone, and what was in them.
pub(crate) fn settle(soak: &Soak<'_>) {
    let start = Instant::now();
    loop {
        let (left, (processes, _)) = (soak.world.host_veths(), census::processes());
        if left.is_empty() && processes == 0 {
            return;
        }
        if start.elapsed() > Duration::from_secs(60) {
            soak.fail(format!("nobody is left, but {processes} processes, and these interfaces: {left:?}"));
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Each quota gives what it says, and not one more; then all of it is given back.
pub(crate) fn fill_and_empty(soak: &Soak<'_>) {
    for place in &PLACES {
        // All together, as fast as they can.
        let made: Vec<usize> = std::thread::scope(|scope| {
            let fill = |uid| scope.spawn(move || Filled::by(soak, uid, place));
            let users: Vec<_> = uids().map(fill).collect();
            let filled: Vec<Filled<'_>> = users.into_iter().filter_map(|user| user.join().ok()).collect();
            filled.into_iter().map(Filled::empty).collect()
        });
        let exact = match place.of_all() {
            Some(all) => made.iter().sum::<usize>() == all && made.iter().all(|made| *made <= place.quota),
            None => made == [place.quota; USERS],
        };
        soak.check(exact, || format!("in the end {} has given {made:?}", place.bridge));
    }
}

/// All that a user can have at one place.
struct Filled<'a> {
    soak: &'a Soak<'a>,
    uid: u32,
    helpers: Helpers<'a>,
    container: Cell,
    nics: Vec<Nic>,
    _nursery: Nursery,
}

impl<'a> Filled<'a> {
    fn by(soak: &'a Soak<'a>, uid: u32, place: &'static Place) -> Self {
        let mut nursery = Nursery::of(soak.world, uid);
        let mut filled = Self {
            soak,
            uid,
            helpers: Helpers::of(soak, uid),
            container: nursery.container(),
            nics: vec![],
            _nursery: nursery,
        };
        while filled.nics.len() <= place.quota {
            let answer = create(&mut filled.helpers, &mut Dice(1), Fate::Peace, place, &mut filled.container);
            let Some(host_name) = host_end(&answer) else { break };
            filled.nics.push(Nic { place, host_name, container: filled.container.pid() });
        }
        filled
    }

    /// How many there were.
    fn empty(mut self) -> usize {
        for nic in &self.nics {
            let answer = delete(&mut self.helpers, &mut Dice(1), Fate::Peace, nic, &mut self.container);
            self.soak.check(answer.status == Some(0), || format!("{} in the end: {answer:?}", nic.host_name));
            gone_for_good(self.soak, nic, self.uid);
        }
        self.nics.len()
    }
}
