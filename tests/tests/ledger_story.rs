//! A random story of the ledger, told by the real helpers: they make and remove interfaces and are killed at some system
//! call, containers end, and the tables are damaged as a disk might. After each step a model says what has to be there.
//!
//! A model of bytes and interfaces in a few lines is below; tests/fuzz/src/story.rs tells the same with more at once, and in a
//! model alone. The same seed is the same story. `STORY_SEED=N` tells another one, of `STORY_STEPS` steps.
//!
//! Whatever was done to a table: no helper panics, none grants more than the quota of what the tables still count, and where
//! a table is not as it was written, it refuses. What damage has made a table forget, nobody counts any more.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use world::{ALICE, Answer, BOB, CAROL, Container, Dice, LXC_USER_NIC, ROOT, User, World, theirs};

/// Alice and Bob are in it.
const CREW: u32 = 53001;

const USERS: [User; 3] = [ALICE, BOB, CAROL];

/// On `capped0` all together may have three.
const BRIDGES: [&str; 2] = ["lxcbr0", "capped0"];
const ALL: usize = 3;

/// Whose quota, on both bridges.
const QUOTAS: [(&str, &str, usize); 4] =
    [("u52001", "alice", 2), ("u52002", "bob", 1), ("u52003", "carol", 1), ("g53001", "@crew", 2)];

const PLACE: usize = 64;

#[test]
fn a_damaged_ledger_refuses_or_counts_what_it_has_and_never_grants_more() {
    if theirs() {
        return;
    }
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let steps = number("STORY_STEPS").unwrap_or(90);
    let seeds = number("STORY_SEED").map_or(vec![1, 2, 3, 4], |seed| vec![seed]);
    std::thread::scope(|scope| {
        for seed in seeds {
            scope.spawn(move || {
                World::enter_with_nic(|world| Story::begin(world, seed).tell(steps));
            });
        }
    });
}

/// Found by such a story: the record in one's own table was left, unfinished, for the next run.
#[test]
fn a_create_that_somebody_elses_damaged_table_refuses_leaves_no_record() {
    if theirs() {
        return;
    }
    World::enter_with_nic(|world| {
        world.bridge("capped0");
        world.usernet("alice veth capped0 2\nbob veth capped0 2\n");
        world.write("/etc/nsgate.ini", "[bridge \"capped0\"]\nmax-nics = 3\n");
        let (alice, bob) = (world.container(ALICE), world.container(BOB));
        let made = world.create(BOB, &bob, "veth", "capped0", &[]).nic();
        let table = format!("{}/u52002.veth.capped0", world.tables());
        let whole = fs::read(&table).expect("read");
        fs::write(&table, &whole[..PLACE / 2]).expect("write");
        world.create(ALICE, &alice, "veth", "capped0", &[]).refuses("u52002.veth.capped0");
        fs::write(&table, &whole).expect("write");
        let names: Vec<String> = world.ledger().into_iter().map(|record| record.fields[1].clone()).collect();
        assert_eq!(names, [made.host_name.clone(), made.host_name]);
    });
}

struct Story<'a> {
    world: &'a World,
    dice: Dice,
    /// One a user.
    containers: BTreeMap<&'static str, Container>,
    /// What was made, by its name.
    made: BTreeMap<String, Made>,
    told: Vec<String>,
}

#[derive(Clone)]
struct Made {
    user: User,
    bridge: &'static str,
    /// How much of the story had been told.
    number: usize,
    /// The table it was made by, and whether that has been made to forget it.
    table: String,
    is_lost: bool,
}

/// What a `create` has to come to.
#[derive(PartialEq, Debug)]
enum Expected {
    Made { table: String },
    Full,
    Damaged,
}

impl<'a> Story<'a> {
    fn begin(world: &'a World, seed: u64) -> Self {
        world.group("crew", CREW);
        BRIDGES.iter().for_each(|bridge| world.bridge(bridge));
        let lines = BRIDGES.iter().flat_map(|bridge| {
            QUOTAS.iter().map(move |(_, who, quota)| format!("{who} veth {bridge} {quota}\n"))
        });
        world.usernet(lines.collect::<String>());
        world.write("/etc/nsgate.ini", format!("[bridge \"capped0\"]\nmax-nics = {ALL}\n"));
        let containers = USERS.map(|user| (user.name, world.container(user))).into();
        let told = vec![format!("seed {seed}")];
        Self { world, dice: Dice(seed), containers, made: BTreeMap::new(), told }
    }

    fn tell(&mut self, steps: u64) {
        for _ in 0..steps {
            let user = *self.dice.one_of(&USERS);
            let bridge = *self.dice.one_of(&BRIDGES);
            match self.dice.below(100) {
                0..40 => self.create(user, bridge),
                40..55 => self.killed(user, bridge),
                55..72 => self.delete(),
                72..78 => self.container_ends(user),
                78..92 => self.damage(),
                _ => self.repair(),
            }
            self.check();
        }
        // Root makes good what was damaged. Then everything works as on the first day.
        USERS.iter().for_each(|user| self.container_ends(*user));
        drop(fs::remove_dir_all(self.world.tables()));
        for bridge in BRIDGES {
            for user in USERS {
                self.create(user, bridge);
                self.check();
            }
        }
        println!("{}", self.told.join("\n"));
    }

    fn say(&mut self, what: impl Into<String>) {
        self.told.push(what.into());
    }

    /// With all that has happened until now, if it does not hold.
    #[track_caller]
    fn holds(&self, holds: bool, what: &str) {
        let tables = || {
            let show = |path: &PathBuf| {
                let bytes = fs::read(path).unwrap_or_default();
                format!("{}: {}", path.display(), bytes.escape_ascii())
            };
            self.tables().iter().map(show).collect::<Vec<_>>().join("\n")
        };
        let story = self.told.join("\n");
        assert!(holds, "{what}\n{story}\n{}\n{:?}", tables(), self.world.host_veths());
    }

    fn create(&mut self, user: User, bridge: &'static str) {
        let (expected, before) = (self.expected(user, bridge), self.world.host_veths());
        let unfinished = self.unfinished();
        let answer = self.run(user, &self.args(user, bridge), &[]);
        self.say(format!("{} creates on {bridge}, {expected:?}: {answer:?}", user.name));
        match &expected {
            Expected::Made { table } => {
                self.holds(answer.status == Some(0), "there is room");
                let name = answer.nic().host_name;
                self.holds(self.counted_in(&name) == Some(table.clone()), "it is in its table");
                let number = self.told.len();
                let made = Made { user, bridge, number, table: table.clone(), is_lost: false };
                self.made.insert(name, made);
            }
            Expected::Full | Expected::Damaged => {
                self.holds(answer.status == Some(1), "it refuses");
                let full = answer.stderr.contains("Quota reached") || answer.stderr.contains("of all users");
                self.holds(full == (expected == Expected::Full), "it says why");
                let made = self.world.host_veths().into_iter().any(|veth| !before.contains(&veth));
                self.holds(!made, "a refusal makes nothing");
                let left = self.unfinished().iter().any(|record| !unfinished.contains(record));
                self.holds(!left, "nor a record");
            }
        }
    }

    /// A `create` that dies at some system call, if it gets there.
    fn killed(&mut self, user: User, bridge: &'static str) {
        let calls = [
            ("fcntl", 14),
            ("pwrite64", 5),
            ("fallocate", 2),
            ("sendto", 7),
            ("recvfrom", 14),
            ("openat", 14),
        ];
        let (call, most) = *self.dice.one_of(&calls);
        let nth = 1 + self.dice.below(most);
        let room = matches!(self.expected(user, bridge), Expected::Made { .. });
        let before = self.world.host_veths();
        let inject = format!("inject={call}:signal=KILL:when={nth}");
        let answer = self.run(user, &self.args(user, bridge), &["-e", &inject]);
        self.say(format!("{} on {bridge} is killed at {call} {nth}: {answer:?}", user.name));
        for name in self.world.host_veths().into_iter().filter(|veth| !before.contains(veth)) {
            self.holds(room, "nothing is made where there is no room");
            let table = self.counted_in(&name);
            self.holds(table.is_some(), "there is a record before there is an interface");
            let (number, table) = (self.told.len(), table.expect("a table"));
            let made = Made { user, bridge, number, table, is_lost: false };
            self.made.insert(name, made);
        }
    }

    fn delete(&mut self) {
        // In the order in which they were made: names are drawn by lot.
        let mut names: Vec<String> = self.made.keys().cloned().collect();
        names.sort_by_key(|name| self.made[name].number);
        if names.is_empty() {
            return;
        }
        let name = self.dice.one_of(&names).clone();
        let Made { user, bridge, table, is_lost, .. } = self.made[&name].clone();
        let damaged = QUOTAS.iter().any(|(owner, ..)| self.is_damaged(&format!("{owner}.veth.{bridge}")));
        let netns = self.containers[user.name].netns();
        let args = ["delete", "/dev/null", "dummy", &netns, "veth", bridge, &name].map(str::to_owned);
        let answer = self.run(user, &args, &[]);
        self.say(format!("{} deletes {name} in {table}: {answer:?}", user.name));
        if answer.status != Some(0) {
            self.holds(answer.status == Some(1), "it ends by itself");
            self.holds(damaged || is_lost || !self.exists(&name), "what was made can be removed");
        } else if !damaged && !is_lost {
            self.holds(!self.exists(&name), "it is gone");
        }
    }

    fn container_ends(&mut self, user: User) {
        self.say(format!("the container of {} ends", user.name));
        self.containers.remove(user.name);
        let gone = self.made.iter().filter(|(_, made)| made.user == user).map(|(name, _)| name);
        gone.for_each(|name| self.world.wait_until_gone(name));
        self.containers.insert(user.name, self.world.container(user));
    }

    fn damage(&mut self) {
        let mut tables = self.tables();
        tables.sort();
        if tables.is_empty() {
            return;
        }
        let path = self.dice.one_of(&tables).clone();
        let length = fs::metadata(&path).map_or(0, |about| about.len());
        let (offset, place) = (self.dice.below(length.max(1)), self.dice.below(length / 64 + 1) * 64);
        let noise: Vec<u8> =
            (0..PLACE).map(|_| u8::try_from(self.dice.below(256)).expect("a byte")).collect();
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let write = |bytes: &[u8], offset: u64| {
            drop(file.as_ref().map(|file| file.write_all_at(bytes, offset)));
        };
        let what = self.dice.below(10);
        match what {
            0 => write(&noise[..1], offset),
            1 => write(&[0; PLACE], place),
            2 => write(&noise, place),
            3 => drop(file.as_ref().map(|file| file.set_len(offset))),
            4 => drop(file.as_ref().map(|file| file.set_len(place))),
            5 => remove(&path),
            6 => {
                let mut other = [b' '; PLACE];
                let from = fs::File::open(self.dice.one_of(&tables));
                drop(from.and_then(|from| from.read_exact_at(&mut other, 0)));
                write(&other, place);
            }
            7 => drop(chown(&path, Some(ALICE.id), None)),
            8 => drop(fs::set_permissions(&path, fs::Permissions::from_mode(0o666))),
            _ => {
                remove(&path);
                let made = match offset % 3 {
                    0 => std::os::unix::fs::symlink("/etc/passwd", &path),
                    1 => fs::create_dir(&path),
                    _ => fs::write(&path, &noise),
                };
                made.expect("something else in its place");
            }
        }
        drop(file);
        self.say(format!("damage {what} to {} at {offset}, {place}", path.display()));
    }

    /// What the message tells root to do: what is not as it was written goes, when no interface of it is left.
    fn repair(&mut self) {
        for path in self.tables() {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if self.is_damaged(&name) {
                let bridge = name.rsplit('.').next().unwrap_or_default().to_owned();
                let of_it = self.made.iter().filter(|(_, made)| {
                    made.table == name || name.starts_with("all.") && made.bridge == bridge
                });
                for (veth, _) in of_it {
                    if self.exists(veth) {
                        self.world.ip(&["link", "del", veth]);
                    }
                }
                remove(&path);
                self.say(format!("root removes {name}"));
            }
        }
    }

    /// What has to hold, whatever has happened.
    fn check(&mut self) {
        let names: Vec<String> = self.made.keys().cloned().collect();
        for name in names {
            if !self.exists(&name) {
                self.made.remove(&name);
            } else if self.counted_in(&name).is_none_or(|table| table != self.made[&name].table) {
                let damaged = self.told.iter().any(|line| line.starts_with("damage"));
                self.holds(damaged, "nobody counts it, and nothing was damaged");
                self.made.get_mut(&name).expect("known").is_lost = true;
            }
        }
        let known = |veth: &String| self.made.contains_key(veth);
        self.holds(self.world.host_veths().iter().all(known), "all there is was made by somebody");
        for (owner, _, quota) in QUOTAS {
            for bridge in BRIDGES {
                let table = format!("{owner}.veth.{bridge}");
                let there = self.made.values().filter(|made| made.table == table && !made.is_lost).count();
                self.holds(there <= quota, &format!("{there} in {table}"));
            }
        }
        let capped = self.made.values().filter(|made| made.bridge == "capped0" && !made.is_lost).count();
        self.holds(capped <= ALL, "too many on capped0");
    }

    fn expected(&self, user: User, bridge: &str) -> Expected {
        let all = format!("all.veth.{bridge}");
        let is_capped = bridge == "capped0";
        // Its size and whose it is is looked at first, what is in it later.
        if is_capped && self.is_foreign(&all) {
            return Expected::Damaged;
        }
        let own = format!("u{}", user.id);
        let quotas = QUOTAS.iter().filter(|(owner, ..)| *owner == own || *owner == "g53001" && user != CAROL);
        for (owner, _, quota) in quotas {
            let table = format!("{owner}.veth.{bridge}");
            if self.is_damaged(&table) {
                return Expected::Damaged;
            }
            if self.counted(&table).len() >= *quota {
                continue;
            }
            if is_capped {
                let tables = QUOTAS.map(|(owner, ..)| format!("{owner}.veth.{bridge}"));
                if tables.iter().any(|table| self.is_foreign(table)) || self.is_damaged(&all) {
                    return Expected::Damaged;
                }
                // What is in no table of all, as that has forgotten it, is in one of these.
                let known = self.records(&all).iter().map(|record| record[1].clone()).collect::<Vec<_>>();
                let mut older: Vec<String> = tables.iter().flat_map(|table| self.counted(table)).collect();
                older.sort();
                older.dedup();
                older.retain(|name| !known.contains(name));
                if self.counted(&all).len() + older.len() >= ALL {
                    return Expected::Full;
                }
            }
            return Expected::Made { table };
        }
        Expected::Full
    }

    fn args(&self, user: User, bridge: &str) -> [String; 6] {
        let pid = self.containers[user.name].pid();
        ["create", "/dev/null", "dummy", &pid, "veth", bridge].map(str::to_owned)
    }

    /// Runs the helper, under `strace` if there is something to be done to it.
    fn run(&self, user: User, args: &[String], options: &[&str]) -> Answer {
        let groups: &[u32] = if user == CAROL { &[] } else { &[CREW] };
        let answer = if options.is_empty() {
            self.world.run(self.world.command_in_groups(user, groups, LXC_USER_NIC).args(args))
        } else {
            // The tracer is root, and the groups are those that he gives.
            let mut command = self.world.command(ROOT, "/usr/bin/setpriv");
            let list = groups.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            command.arg(if groups.is_empty() {
                "--clear-groups".to_owned()
            } else {
                format!("--groups={list}")
            });
            command.args(["/usr/bin/strace", "-qq", "-o", "/dev/null", "-e", "signal=none"]).args(options);
            command.args(["/usr/bin/setpriv", "--reuid"]).arg(user.id.to_string()).arg("--regid");
            command.arg(user.id.to_string()).args(["--keep-groups", LXC_USER_NIC]);
            self.world.run(command.args(args))
        };
        // It ends by itself, or by what was done to it; it never aborts.
        let sound = matches!((answer.status, answer.signal), (Some(0 | 1), None) | (None, Some(9)));
        self.holds(sound, &format!("{answer:?}"));
        self.holds(!options.is_empty() || answer.signal.is_none(), "nobody has killed it");
        answer
    }

    fn exists(&self, veth: &str) -> bool {
        Path::new("/sys/class/net").join(veth).exists()
    }

    fn path(&self, table: &str) -> PathBuf {
        Path::new(&self.world.tables()).join(table)
    }

    fn tables(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.world.tables()).into_iter().flatten();
        entries.map(|entry| entry.expect("read").path()).collect()
    }

    /// Not a file of root's, or not whole. One that is not there is as it should be.
    fn is_foreign(&self, table: &str) -> bool {
        use std::os::unix::fs::MetadataExt;
        let Ok(about) = fs::symlink_metadata(self.path(table)) else { return false };
        let private = about.is_file() && about.uid() == 0 && about.mode() & 0o022 == 0;
        !private || about.len() % 64 != 0
    }

    fn is_damaged(&self, table: &str) -> bool {
        let bad = |place: &[u8]| !is_empty(place) && parse(place).is_none();
        self.is_foreign(table) || self.bytes(table).chunks(PLACE).any(bad)
    }

    fn bytes(&self, table: &str) -> Vec<u8> {
        let path = self.path(table);
        if path.is_file() { fs::read(path).unwrap_or_default() } else { vec![] }
    }

    fn records(&self, table: &str) -> Vec<Vec<String>> {
        self.bytes(table).chunks(PLACE).filter_map(parse).collect()
    }

    /// The records of what is being made, or was when somebody died.
    fn unfinished(&self) -> Vec<Vec<String>> {
        let names =
            self.tables().into_iter().filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
        names.flat_map(|name| self.records(&name)).filter(|record| record[0] == "?").collect()
    }

    /// The names in the records of a table for which the kernel has an interface: one of that number, which has the name or
    /// the address.
    fn counted(&self, table: &str) -> Vec<String> {
        self.records(table)
            .into_iter()
            .filter(|record| self.interface(record).is_some())
            .map(|mut record| record.swap_remove(1))
            .collect()
    }

    fn interface(&self, record: &[String]) -> Option<String> {
        let [state, name, index, _, mac, _] = record else { return None };
        let links = fs::read_dir("/sys/class/net").expect("read").map(|link| link.expect("read").path());
        let says = |link: &Path, what: &str| {
            fs::read_to_string(link.join(what)).unwrap_or_default().trim().to_owned()
        };
        let mut links = links.filter(|link| says(link, "ifindex") == *index && state == "+");
        let link = links.next()?;
        let real = link.file_name()?.to_str()?.to_owned();
        (real == *name || says(&link, "address") == *mac).then_some(real)
    }

    /// The owner's table that has this interface in it, made or not finished.
    fn counted_in(&self, veth: &str) -> Option<String> {
        let tables =
            BRIDGES.iter().flat_map(|bridge| QUOTAS.map(|(owner, ..)| format!("{owner}.veth.{bridge}")));
        let mac = fs::read_to_string(format!("/sys/class/net/{veth}/address")).unwrap_or_default();
        let has = |table: &String| {
            self.records(table).iter().any(|record| match &*record[0] {
                "?" => record[1] == veth && record[4] == mac.trim(),
                _ => self.interface(record).is_some_and(|real| real == veth),
            })
        };
        let tables: Vec<String> = tables.filter(has).collect();
        // Damage may have copied it: then the first it was made by.
        let known = self.made.get(veth).map(|made| &made.table);
        tables.iter().find(|table| Some(*table) == known).or(tables.first()).cloned()
    }
}

fn is_empty(place: &[u8]) -> bool {
    place.iter().all(|byte| *byte == 0)
        || place.len() == PLACE && place[..63].iter().all(|byte| *byte == b' ') && place[63] == b'\n'
}

/// The six fields of a record, if it is one to the last byte.
fn parse(place: &[u8]) -> Option<Vec<String>> {
    let place = common::policy::ledger::Record::parse(place.try_into().ok()?).ok()??;
    Some(place.to_string().split(' ').map(str::to_owned).collect())
}

fn remove(path: &Path) {
    if fs::remove_file(path).is_err() {
        drop(fs::remove_dir(path));
    }
}
