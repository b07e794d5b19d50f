//! `/etc/nsgate.ini`: what a host asks for beyond the files that grant. It can only take away: absent, or empty, it changes
//! nothing. `nsgate.ini(5)`.
//!
//! It is read whole or not at all: a section or key that nobody knows, a second value for a key, or a value that is none is
//! the end of every request, with the line. A rule that was misspelt is not to look like one that is in force.

use ini_roundtrip::{Item, Parser};

use super::id::{self, Id, Range};
use super::nic::InterfaceName;
use super::text::{Quoted, lines};

/// A value, and the line that sets it, counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Set<T> {
    /// The value.
    pub value: T,
    /// The line.
    pub line: u32,
}

/// The whole file. A key that is not in it is None.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// `[idmap]`
    pub idmap: Idmap,
    /// `[nic]`
    pub nic: Nic,
    /// `[per-user-bridge]`
    pub per_user_bridge: PerUserBridge,
    bridges: Vec<(Name, Bridge)>,
}

/// `[idmap]`
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Idmap {
    /// `overlap = refuse`: host ids that another owner also holds are not mapped.
    pub refuse_overlap: Option<Set<bool>>,
    /// `protect`: host ids that are mapped for nobody.
    pub protect: Option<Set<Vec<Range>>>,
    /// `protect-accounts`: ids of accounts or groups of this host are mapped for nobody but themselves.
    pub protect_accounts: Option<Set<bool>>,
    /// `strict-setgroups`: newgidmap denies setgroups unless every triple comes from policy.
    pub strict_setgroups: Option<Set<bool>>,
    /// `max-ids`: at most so many host ids in one map; 0: no limit.
    pub max_ids: Option<Set<u32>>,
    /// `exclusive`: host ids that another live user namespace maps are not mapped.
    pub exclusive: Option<Set<bool>>,
    /// `require-limits`: what has to be limited by control group.
    pub require_limits: Option<Set<Vec<Controller>>>,
    /// `ulimits`: what has to be limited by `setrlimit(2)`.
    pub ulimits: Option<Set<Vec<Ulimit>>>,
}

/// `[nic]`
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Nic {
    /// `require-limits`, as for [`Idmap`].
    pub require_limits: Option<Set<Vec<Controller>>>,
    /// `on-missing-kernel = warn`: a guard that cannot be set here is left out, and the log says so.
    pub leave_out_missing: Option<Set<bool>>,
}

/// `[bridge "NAME"]`
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bridge {
    /// `isolate`: ports reach the bridge and its uplink, and not each other.
    pub isolate: Option<Set<bool>>,
    /// `lock-mac`: a port sends from the address it was born with, and no other.
    pub lock_mac: Option<Set<bool>>,
    /// `max-nics`: of all owners together; 0: no limit.
    pub max_nics: Option<Set<u32>>,
    /// `mac = stable`: the container end's address is always the same for the same user, container and name.
    pub stable_mac: Option<Set<bool>>,
    /// `max-multicast-groups`: that a port may join; 0: no limit.
    pub max_multicast_groups: Option<Set<u32>>,
}

/// `[per-user-bridge]`
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PerUserBridge {
    /// `create`: a bridge that lxc-usernet names with `%u` is made when its user asks for it.
    pub create: Option<Set<bool>>,
    /// `max-bridges`: so many are made at most.
    pub max_bridges: Option<Set<u32>>,
}

/// What a control group can limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Controller {
    /// `memory`
    Memory,
    /// `pids`
    Pids,
    /// `cpu`
    Cpu,
}

impl Controller {
    const ALL: [Self; 3] = [Self::Memory, Self::Pids, Self::Cpu];

    /// The kernel's name of it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        }
    }
}

/// What `setrlimit(2)` can limit: its name as `ulimits` has it, and as `/proc/PID/limits` does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ulimit {
    /// Without `RLIMIT_`, in small letters.
    pub word: &'static str,
    /// As `proc_pid_limits(5)` has it.
    pub title: &'static str,
}

const ULIMITS: [Ulimit; 11] = [
    Ulimit { word: "as", title: "Max address space" },
    Ulimit { word: "cpu", title: "Max cpu time" },
    Ulimit { word: "data", title: "Max data size" },
    Ulimit { word: "fsize", title: "Max file size" },
    Ulimit { word: "memlock", title: "Max locked memory" },
    Ulimit { word: "msgqueue", title: "Max msgqueue size" },
    Ulimit { word: "nofile", title: "Max open files" },
    Ulimit { word: "nproc", title: "Max processes" },
    Ulimit { word: "rss", title: "Max resident set" },
    Ulimit { word: "sigpending", title: "Max pending signals" },
    Ulimit { word: "stack", title: "Max stack size" },
];

/// So many per-user bridges are made if the file does not say.
pub const MOST_BRIDGES: u32 = 1000;

/// Why the file is not one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Malformed {
    /// Where, counted from 1.
    pub line: u32,
    /// In what way.
    pub why: String,
}

/// A name of bridges in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Name {
    /// `"*"`
    All,
    /// Of one, or `none`.
    One(String),
}

#[derive(Clone, Copy)]
enum Section {
    Idmap,
    Nic,
    PerUserBridge,
    /// By its place.
    Bridge(usize),
}

impl Settings {
    /// Reads the file.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        let mut settings = Self::default();
        let mut section = None;
        for (line, number) in lines(text).zip(1_u32..) {
            settings.take(&mut section, line, number).map_err(|why| Malformed { line: number, why })?;
        }
        Ok(settings)
    }

    fn take(&mut self, section: &mut Option<Section>, line: &[u8], number: u32) -> Result<(), String> {
        let line = std::str::from_utf8(line).map_err(|_| "is not text".to_owned())?;
        let shown = Quoted(line.as_bytes());
        let mut items = Parser::new(without_comment(line)).filter(|item| *item != Item::SectionEnd);
        let item = items.next();
        if items.next().is_some() {
            return Err(format!("\"{shown}\" is more than one line"));
        }
        match item {
            None | Some(Item::Blank { .. } | Item::Comment { .. } | Item::SectionEnd) => Ok(()),
            Some(Item::Section { name, .. }) => {
                *section = Some(self.section(name)?);
                Ok(())
            }
            Some(Item::Property { key, val: Some(value), .. }) => match *section {
                Some(section) => self.set(section, key, value, number),
                None => Err(format!("\"{shown}\" is in no section")),
            },
            Some(Item::Property { val: None, .. } | Item::Error(_)) => {
                Err(format!("\"{shown}\" is neither [section] nor key = value"))
            }
        }
    }

    /// A section may come more than once. A key may not.
    fn section(&mut self, name: &str) -> Result<Section, String> {
        match name {
            "idmap" => return Ok(Section::Idmap),
            "nic" => return Ok(Section::Nic),
            "per-user-bridge" => return Ok(Section::PerUserBridge),
            _ => {}
        }
        let shown = Quoted(name.as_bytes());
        let quoted = name.strip_prefix("bridge").map(str::trim_start);
        let quoted = quoted.and_then(|name| name.strip_prefix('"')).and_then(|name| name.strip_suffix('"'));
        let Some(bridge) = quoted else {
            return Err(format!(
                "[{shown}] is not a section: there are [idmap], [nic], [bridge \"NAME\"] and [per-user-bridge]"
            ));
        };
        let name = if bridge == "*" {
            Name::All
        } else {
            let name = InterfaceName::parse(bridge.as_bytes())
                .map_err(|why| format!("the bridge name in [{shown}] {why}"))?;
            Name::One(name.as_str().to_owned())
        };
        let place = self.bridges.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            self.bridges.push((name, Bridge::default()));
            self.bridges.len().saturating_sub(1)
        });
        Ok(Section::Bridge(place))
    }

    fn set(&mut self, section: Section, key: &str, value: &str, line: u32) -> Result<(), String> {
        let Self { idmap, nic, per_user_bridge, bridges } = self;
        let outcome = match section {
            Section::Idmap => match key {
                "overlap" => put(&mut idmap.refuse_overlap, line, one_of(value, "allow", "refuse")),
                "protect" => put(&mut idmap.protect, line, ranges(value)),
                "protect-accounts" => put(&mut idmap.protect_accounts, line, yes_or_no(value)),
                "strict-setgroups" => put(&mut idmap.strict_setgroups, line, yes_or_no(value)),
                "max-ids" => put(&mut idmap.max_ids, line, number(value)),
                "exclusive" => put(&mut idmap.exclusive, line, yes_or_no(value)),
                "require-limits" => put(&mut idmap.require_limits, line, controllers(value)),
                "ulimits" => put(&mut idmap.ulimits, line, ulimits(value)),
                _ => return Err(no_key(key, "idmap")),
            },
            Section::Nic => match key {
                "require-limits" => put(&mut nic.require_limits, line, controllers(value)),
                "on-missing-kernel" => put(&mut nic.leave_out_missing, line, one_of(value, "refuse", "warn")),
                _ => return Err(no_key(key, "nic")),
            },
            Section::PerUserBridge => match key {
                "create" => put(&mut per_user_bridge.create, line, yes_or_no(value)),
                "max-bridges" => put(&mut per_user_bridge.max_bridges, line, number(value)),
                _ => return Err(no_key(key, "per-user-bridge")),
            },
            Section::Bridge(place) => {
                let Some((_, bridge)) = bridges.get_mut(place) else { return Err(no_key(key, "bridge")) };
                match key {
                    "isolate" => put(&mut bridge.isolate, line, yes_or_no(value)),
                    "lock-mac" => put(&mut bridge.lock_mac, line, yes_or_no(value)),
                    "max-nics" => put(&mut bridge.max_nics, line, number(value)),
                    "mac" => put(&mut bridge.stable_mac, line, one_of(value, "random", "stable")),
                    "max-multicast-groups" => put(&mut bridge.max_multicast_groups, line, number(value)),
                    _ => return Err(no_key(key, "bridge")),
                }
            }
        };
        outcome.map_err(|wrong| match wrong {
            Wrong::Value(should) => {
                format!("{key} = \"{}\" is not a value of it: {should}", Quoted(value.as_bytes()))
            }
            Wrong::Again(first) => format!("{key} is set a second time; line {first} has it already"),
        })
    }

    /// The bridges that have a section of their own, in the order of the file.
    pub fn bridge_names(&self) -> impl Iterator<Item = &str> {
        self.bridges.iter().filter_map(|(name, _)| match name {
            Name::One(name) => Some(name.as_str()),
            Name::All => None,
        })
    }

    /// What is asked for on this bridge (or `none`): what its own section says, and for the rest what `"*"` does.
    #[must_use]
    pub fn bridge(&self, name: &str) -> Bridge {
        let named = |wanted: &Name| {
            let found = self.bridges.iter().find(|(name, _)| name == wanted);
            found.map(|(_, bridge)| bridge.clone()).unwrap_or_default()
        };
        let (own, all) = (named(&Name::One(name.to_owned())), named(&Name::All));
        Bridge {
            isolate: own.isolate.or(all.isolate),
            lock_mac: own.lock_mac.or(all.lock_mac),
            max_nics: own.max_nics.or(all.max_nics),
            stable_mac: own.stable_mac.or(all.stable_mac),
            max_multicast_groups: own.max_multicast_groups.or(all.max_multicast_groups),
        }
    }
}

/// The line of a rule that is in force.
#[must_use]
pub fn in_force(rule: Option<Set<bool>>) -> Option<u32> {
    rule.filter(|rule| rule.value).map(|rule| rule.line)
}

/// A limit that is in force: 0 is none.
#[must_use]
pub fn limit(rule: Option<Set<u32>>) -> Option<Set<u32>> {
    rule.filter(|rule| rule.value > 0)
}

enum Wrong {
    /// What it should be.
    Value(String),
    /// The line that had it.
    Again(u32),
}

fn put<T>(place: &mut Option<Set<T>>, line: u32, value: Result<T, String>) -> Result<(), Wrong> {
    if let Some(first) = place {
        return Err(Wrong::Again(first.line));
    }
    *place = Some(Set { value: value.map_err(Wrong::Value)?, line });
    Ok(())
}

fn no_key(key: &str, section: &str) -> String {
    format!("\"{}\" is not a key of [{section}]", Quoted(key.as_bytes()))
}

/// `;` or `#` begins a comment, at the beginning of a line or behind a blank.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (place, letter) in line.char_indices() {
        if matches!(letter, ';' | '#') && matches!(before, ' ' | '\t') {
            return line.get(..place).unwrap_or(line).trim();
        }
        before = letter;
    }
    line.trim()
}

/// Is it the second of two words?
fn one_of(value: &str, usual: &str, rule: &str) -> Result<bool, String> {
    match value {
        _ if value == usual => Ok(false),
        _ if value == rule => Ok(true),
        _ => Err(format!("{usual} or {rule}")),
    }
}

fn yes_or_no(value: &str) -> Result<bool, String> {
    one_of(value, "no", "yes")
}

fn number(value: &str) -> Result<u32, String> {
    id::decimal(value.as_bytes()).map_err(|_| "a plain decimal number; 0 is no limit".to_owned())
}

/// The parts of a list. An empty list is one.
fn parts(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(move |part| !(part.is_empty() && value.is_empty()))
}

fn ranges(value: &str) -> Result<Vec<Range>, String> {
    let id = |text: &str| id::decimal(text.as_bytes()).ok().and_then(Id::new);
    let range = |part: &str| match part.split_once('-') {
        Some((first, last)) => Range::between(id(first)?, id(last)?),
        None => Range::between(id(part)?, id(part)?),
    };
    parts(value)
        .map(range)
        .collect::<Option<_>>()
        .ok_or("ids and ranges such as 0, 100-199, 65534".to_owned())
}

fn controllers(value: &str) -> Result<Vec<Controller>, String> {
    let find = |part: &str| Controller::ALL.into_iter().find(|known| known.word() == part);
    parts(value).map(find).collect::<Option<_>>().ok_or("a list of memory, pids, cpu".to_owned())
}

fn ulimits(value: &str) -> Result<Vec<Ulimit>, String> {
    let find = |part: &str| ULIMITS.into_iter().find(|known| known.word == part);
    let words = || ULIMITS.map(|known| known.word).join(", ");
    parts(value).map(find).collect::<Option<_>>().ok_or_else(|| format!("a list of {}", words()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wrong(text: &str) -> (u32, String) {
        let Malformed { line, why } = Settings::parse(text.as_bytes()).unwrap_err();
        (line, why)
    }

    #[test]
    fn nothing_and_comments_change_nothing() {
        for text in [
            "",
            "\n",
            "; a\n# b\n\n  ; c\n",
            "[idmap]\n[nic]\n[bridge \"*\"]\n[per-user-bridge]",
            "[idmap]\r\n",
        ] {
            let settings = Settings::parse(text.as_bytes()).unwrap();
            assert_eq!(settings.bridge("br0"), Bridge::default());
            assert_eq!(Settings { bridges: vec![], ..settings }, Settings::default(), "{text:?}");
        }
    }

    #[test]
    fn every_key_is_read_with_its_line() {
        let text = "[idmap]\noverlap = refuse ; why\nprotect=0, 65534,100-199\nprotect-accounts = yes\n\
            strict-setgroups = yes\nmax-ids = 65536\nexclusive = yes\nrequire-limits = memory, cpu\nulimits = nproc\n\
            [nic] # x\nrequire-limits =\non-missing-kernel = warn\n[bridge \"*\"]\nisolate = yes\nmac = stable\n\
            [bridge \"lxcbr0\"]   ; one\nisolate = no\nlock-mac = yes\nmax-nics = 9\nmax-multicast-groups = 3\n\
            [per-user-bridge]\ncreate = yes\nmax-bridges = 5\n";
        let settings = Settings::parse(text.as_bytes()).unwrap();
        let range = |first, last| Range::between(Id::new(first).unwrap(), Id::new(last).unwrap()).unwrap();
        let yes = |line| Some(Set { value: true, line });
        assert_eq!(settings.idmap.refuse_overlap, yes(2));
        let protect = vec![range(0, 0), range(65534, 65534), range(100, 199)];
        assert_eq!(settings.idmap.protect, Some(Set { value: protect, line: 3 }));
        assert_eq!((settings.idmap.protect_accounts, settings.idmap.strict_setgroups), (yes(4), yes(5)));
        assert_eq!(
            (settings.idmap.max_ids, settings.idmap.exclusive),
            (Some(Set { value: 65536, line: 6 }), yes(7))
        );
        let limits = vec![Controller::Memory, Controller::Cpu];
        assert_eq!(settings.idmap.require_limits, Some(Set { value: limits, line: 8 }));
        assert_eq!(settings.idmap.ulimits.as_ref().unwrap().value[0].title, "Max processes");
        assert_eq!(settings.nic.require_limits, Some(Set { value: vec![], line: 11 }));
        assert_eq!(settings.nic.leave_out_missing, yes(12));
        assert_eq!(
            (settings.per_user_bridge.create, settings.per_user_bridge.max_bridges.as_ref().unwrap().value),
            (yes(22), 5)
        );
        let (one, other) = (settings.bridge("lxcbr0"), settings.bridge("none"));
        assert_eq!((one.isolate, one.lock_mac), (Some(Set { value: false, line: 17 }), yes(18)));
        assert_eq!((one.max_nics, one.stable_mac), (Some(Set { value: 9, line: 19 }), yes(15)));
        assert_eq!((other.isolate, other.lock_mac, other.max_nics), (yes(14), None, None));
        assert_eq!((in_force(one.isolate), in_force(other.isolate)), (None, Some(14)));
    }

    #[test]
    fn what_is_not_known_is_refused_with_its_line() {
        for (text, line, says) in [
            ("[idmap]\noverlaps = refuse", 2, "not a key of [idmap]"),
            ("[idmap]\nOverlap = refuse", 2, "not a key"),
            ("[idmap]\nisolate = yes", 2, "not a key"),
            ("\n[idmaps]", 2, "not a section"),
            ("[Idmap]", 1, "not a section"),
            ("[bridge]", 1, "not a section"),
            ("[bridge lxcbr0]", 1, "not a section"),
            ("[bridge \"a/b\"]", 1, "bridge name"),
            ("[bridge \"\"]", 1, "is empty"),
            ("[idmap", 1, "neither"),
            ("[idmap] x", 1, "neither"),
            ("overlap = refuse", 1, "in no section"),
            ("[idmap]\noverlap", 2, "neither"),
            ("[idmap]\noverlap = yes", 2, "allow or refuse"),
            ("[idmap]\noverlap = Refuse", 2, "allow or refuse"),
            ("[idmap]\noverlap =", 2, "allow or refuse"),
            ("[idmap]\noverlap = allow\noverlap = refuse", 3, "line 2 has it already"),
            ("[idmap]\noverlap = allow\n[nic]\n[idmap]\noverlap = allow", 5, "a second time"),
            ("[bridge \"a\"]\nisolate = no\n[bridge \"a\"]\nisolate = no", 4, "a second time"),
            ("[idmap]\nexclusive = true", 2, "no or yes"),
            ("[idmap]\nmax-ids = -1", 2, "plain decimal"),
            ("[idmap]\nmax-ids = 010", 2, "plain decimal"),
            ("[idmap]\nmax-ids = 4294967296", 2, "plain decimal"),
            ("[idmap]\nprotect = 5-4", 2, "ranges such as"),
            ("[idmap]\nprotect = 0,,1", 2, "ranges such as"),
            ("[idmap]\nprotect = 4294967295", 2, "ranges such as"),
            ("[idmap]\nprotect = root", 2, "ranges such as"),
            ("[idmap]\nrequire-limits = io", 2, "memory, pids, cpu"),
            ("[idmap]\nulimits = core", 2, "nproc"),
            ("[idmap]\noverlap = refuse\roverlap = allow", 2, "more than one line"),
            ("[idmap]\n\u{feff}", 2, "neither"),
        ] {
            let (at, why) = wrong(text);
            assert!(at == line && why.contains(says), "{text:?}: {at}: {why}");
        }
        assert_eq!(
            wrong("[idmap]\noverlap = a\u{1b}b").1,
            "overlap = \"a\\x1bb\" is not a value of it: allow or refuse"
        );
        assert!(Settings::parse(b"[idmap]\n\xff").is_err());
    }

    #[test]
    fn the_bridges_that_have_a_section_are_known_in_order() {
        let text = b"[bridge \"b\"]\n[bridge \"*\"]\n[bridge \"a\"]\n[bridge \"b\"]\n";
        let settings = Settings::parse(text).unwrap();
        assert_eq!(settings.bridge_names().collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn a_rule_or_limit_is_in_force_only_if_it_says_so() {
        let rule = |value| Some(Set { value, line: 3 });
        assert_eq!((in_force(rule(true)), in_force(rule(false)), in_force(None)), (Some(3), None, None));
        let most = |value| Some(Set { value, line: 3 });
        assert_eq!((limit(most(1)), limit(most(0)), limit(None)), (most(1), None, None));
    }

    proptest! {
        #[test]
        fn any_text_is_settings_or_has_a_wrong_line(text in "([a-z]*\\[?\"?[ =;#*-]?|\\[idmap\\]\n|overlap = |refuse\n|\n|\\PC){0,40}") {
            if let Err(Malformed { line, why }) = Settings::parse(text.as_bytes()) {
                prop_assert!(usize::try_from(line).unwrap() <= text.lines().count().max(1) && !why.is_empty());
            }
        }
    }
}
