//! Everything that stands in the way of new ids on a machine.

use std::fmt;
use std::time::Duration;

use common::policy::id::{Id, Range};
use common::policy::nsswitch::Nsswitch;
use common::policy::settings::Set;
use common::policy::text::{Quoted, lines};
use common::policy::{group, passwd, subid};

use super::allocate::Taken;
use super::live;
use crate::accounts::Accounts;
use crate::check::reserved::{RESERVED, Reserved, When};
use crate::failure::Failure;
use crate::login_defs;
use crate::machine::Machine;
use crate::root::Root;
use crate::tool::{Limits, ask_within};

/// Whose ids they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum By<'a> {
    /// Of the owner of a line.
    Line {
        /// Which file.
        file: &'static str,
        /// Counted from 1.
        line: u32,
        /// As the line calls him.
        owner: &'a [u8],
    },
    /// Of the owner of a line that is none to our helpers, and one to other programs.
    OddLine {
        /// As of [`By::Line`].
        file: &'static str,
        /// As there.
        line: u32,
        /// As there.
        owner: &'a [u8],
    },
    /// Of a user of this name.
    User(Vec<u8>),
    /// Of a group of this name.
    Group(Vec<u8>),
    /// Of whomever useradd and groupadd make next: login.defs' UID_MAX and GID_MAX.
    FutureAccounts(u32),
    /// By convention.
    Reserved(&'static Reserved),
    /// Of nobody: the line of nsgate.ini that protects them.
    Protected(u32),
    /// A process maps it.
    Live(u32),
}

impl fmt::Display for By<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line, owner } => write!(f, "{} holds them ({file}:{line})", Quoted(owner)),
            Self::OddLine { file, line, owner } => write!(
                f,
                "{} holds them for programs that take the numbers of {file}:{line} for some, as shadow's do",
                Quoted(owner)
            ),
            Self::User(name) => write!(f, "it is the uid or login group of user {}", Quoted(name)),
            Self::Group(name) => write!(f, "it is the gid of group {}", Quoted(name)),
            Self::FutureAccounts(last) => write!(
                f,
                "useradd and groupadd give accounts ids up to {last} (UID_MAX, GID_MAX in /etc/login.defs)"
            ),
            Self::Reserved(reserved) => write!(f, "they are for {} ({})", reserved.whose, reserved.source),
            Self::Protected(line) => write!(f, "mapped for nobody (/etc/nsgate.ini:{line} protect)"),
            Self::Live(pid) => {
                write!(f, "process {pid} ({}) maps them just now", Quoted(&live::name_of(*pid)))
            }
        }
    }
}

/// What the host says about new ids, but for the two files of subordinate ids.
#[derive(Debug)]
pub struct Host<'a> {
    /// Where they may be: `SUB_UID_MIN`, `SUB_UID_MAX`, `SUB_GID_MIN` and `SUB_GID_MAX` of login.defs all at once.
    pub window: Option<Range>,
    /// Whose others are.
    pub taken: Vec<Taken<By<'a>>>,
    /// Ids to give only when nothing else is free: those that systemd would take for containers, if it took any here.
    pub pool: Vec<Taken<By<'a>>>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Host<'_> {
    /// Asks the machine.
    ///
    /// # Errors
    /// A file that is there cannot be read.
    pub fn ask(root: &Root, accounts: &Accounts, listed: &Listed) -> Result<Self, Failure> {
        let mut host =
            Self { window: None, taken: Vec::new(), pool: Vec::new(), notes: listed.notes.clone() };
        host.read_login_defs(root)?;
        host.add_reserved(root);
        host.add_protected(root);
        let users = accounts
            .users()
            .iter()
            .map(|user| (&user.name, user.uid, user.gid))
            .chain(listed.users.iter().map(|(name, uid, gid)| (name, *uid, *gid)));
        for (name, uid, gid) in users {
            for id in std::iter::once(uid).chain(Id::new(gid).filter(|gid| *gid != uid)) {
                host.taken.extend(Range::new(id, 1).map(|range| Taken { range, by: By::User(name.clone()) }));
            }
        }
        let groups = accounts.groups().iter().map(|group| (&group.name, group.gid));
        for (name, gid) in groups.chain(listed.groups.iter().map(|(name, gid)| (name, *gid))) {
            host.taken.extend(Range::new(gid, 1).map(|range| Taken { range, by: By::Group(name.clone()) }));
        }
        host.add_odd_accounts(root)?;
        if root.is_live() {
            let mapped = live::mapped(false).into_iter();
            host.taken.extend(mapped.map(|mapped| Taken { range: mapped.range, by: By::Live(mapped.pid) }));
        }
        Ok(host)
    }

    /// The C library reads numbers with blanks, a sign and zeros in front, too.
    fn add_odd_accounts(&mut self, root: &Root) -> Result<(), Failure> {
        for (path, fields, is_group) in [("/etc/passwd", 2..4, false), ("/etc/group", 2..3, true)] {
            let text = root.read(path)?.map(|text| text.bytes).unwrap_or_default();
            let is_known = |line: &&[u8]| {
                if is_group { group::entry(line).is_some() } else { passwd::entry(line).is_some() }
            };
            for line in lines(&text).filter(|line| !line.starts_with(b"#") && !is_known(line)) {
                let all: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
                let name = all.first().map(|name| name.to_vec()).unwrap_or_default();
                let ids =
                    all.get(fields.clone()).unwrap_or_default().iter().flat_map(|field| readings(field));
                let ids = ids.filter_map(|id| Id::new(u32::try_from(id).ok()?));
                let by = || if is_group { By::Group(name.clone()) } else { By::User(name.clone()) };
                self.taken
                    .extend(ids.filter_map(|id| Range::new(id, 1)).map(|range| Taken { range, by: by() }));
            }
        }
        Ok(())
    }

    fn read_login_defs(&mut self, root: &Root) -> Result<(), Failure> {
        let text = login_defs::read(root)?;
        let mut number = |name: &str, default: u32| match login_defs::number(&text, name) {
            None => default,
            Some(Ok(number)) => number,
            Some(Err(value)) => {
                self.notes.push(format!(
                    "{name} \"{}\" in /etc/login.defs is no number; taken for {default}",
                    Quoted(value)
                ));
                default
            }
        };
        let first = number("SUB_UID_MIN", 100_000).max(number("SUB_GID_MIN", 100_000));
        let last = number("SUB_UID_MAX", 600_100_000).min(number("SUB_GID_MAX", 600_100_000));
        let accounts = number("UID_MAX", 60_000).max(number("GID_MAX", 60_000));
        let last = Id::new(last.min(u32::MAX.saturating_sub(1)));
        self.window = Id::new(first).zip(last).and_then(|(first, last)| Range::between(first, last));
        let range = Id::new(0).zip(Id::new(accounts)).and_then(|(first, last)| Range::between(first, last));
        self.taken.extend(range.map(|range| Taken { range, by: By::FutureAccounts(accounts) }));
        Ok(())
    }

    /// If nsgate.ini is not gone by, the helpers refuse everybody: `void` says so.
    fn add_protected(&mut self, root: &Root) {
        let host_policy = Machine::of(root).and_then(|machine| machine.host_policy());
        let protect = host_policy.ok().and_then(Result::ok).and_then(|policy| policy.settings.idmap.protect);
        let taken = |Set { value, line }: Set<Vec<Range>>| {
            value.into_iter().map(move |range| Taken { range, by: By::Protected(line) })
        };
        self.taken.extend(protect.into_iter().flat_map(taken));
    }

    fn add_reserved(&mut self, root: &Root) {
        let has = |path: &str| !entries(root, path).is_empty();
        for reserved in RESERVED {
            let Some(range) = reserved.range() else { continue };
            let taken = Taken { range, by: By::Reserved(reserved) };
            match reserved.when {
                When::Always | When::FreeIpa => self.taken.push(taken),
                When::Incus if has("/var/lib/incus") || has("/var/lib/lxd") => self.taken.push(taken),
                When::Incus => {}
                // machined's list of what runs, and where it keeps what can.
                When::Nspawn
                    if has("/var/lib/machines") || root.is_live() && has("/run/systemd/machines") =>
                {
                    self.notes.push(format!(
                        "systemd has containers on this machine (/var/lib/machines, /run/systemd/machines): {} is left to it",
                        range
                    ));
                    self.taken.push(taken);
                }
                When::Nspawn => self.pool.push(taken),
            }
        }
    }
}

/// The names in a directory. None if there is none, or none that can be read.
fn entries(root: &Root, path: &str) -> Vec<Vec<u8>> {
    use nix::fcntl::OFlag;
    let Ok(directory) = root.open_at(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NONBLOCK) else {
        return Vec::new();
    };
    let Ok(mut directory) = rustix::fs::Dir::read_from(&directory) else { return Vec::new() };
    let mut names = Vec::new();
    while let Some(Ok(entry)) = directory.read() {
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names
}

/// The lines of a file of subordinate ids, but for those that are left out.
pub fn of_file<'a>(
    file: &'static str,
    text: &'a [u8],
    mut leave_out: impl FnMut(&[u8]) -> bool,
) -> impl Iterator<Item = Taken<By<'a>>> {
    lines(text).zip(1_u32..).flat_map(move |(text, line)| {
        let found = match subid::entry(text) {
            Some((owner, range)) => vec![Taken { range, by: By::Line { file, line, owner } }],
            None => {
                let odd = odd_entry(text).into_iter();
                odd.map(|(owner, range)| Taken { range, by: By::OddLine { file, line, owner } }).collect()
            }
        };
        if found.is_empty() || leave_out(text) { Vec::new() } else { found }
    })
}

/// What other programs may see in a line that is none to us. shadow's read numbers as strtol(3) does, with blanks and a sign in front,
/// 0x for hexadecimal and 0 for octal, and pass over a fourth field; others take such numbers for decimal ones. Whichever is meant, these
/// ids are not to be given to somebody else.
pub fn odd_entry(line: &[u8]) -> Vec<(&[u8], Range)> {
    let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut fields = line.split(|byte| *byte == b':');
    let (Some(owner), Some(first), Some(count)) = (fields.next(), fields.next(), fields.next()) else {
        return Vec::new();
    };
    let Some(count) =
        readings(count).into_iter().max().filter(|_| !owner.is_empty() && !owner.starts_with(b"#"))
    else {
        return Vec::new();
    };
    let last = u64::from(u32::MAX).saturating_sub(1);
    let range = |first: u64| {
        let last = first.checked_add(count.checked_sub(1)?)?.min(last);
        Range::between(Id::new(u32::try_from(first).ok()?)?, Id::new(u32::try_from(last).ok()?)?)
    };
    readings(first).into_iter().filter_map(range).map(|range| (owner, range)).collect()
}

fn readings(number: &[u8]) -> Vec<u64> {
    let number = number.trim_ascii();
    let number = std::str::from_utf8(number.strip_prefix(b"+").unwrap_or(number)).unwrap_or_default();
    if !number.starts_with(|first: char| first.is_ascii_digit()) {
        return Vec::new();
    }
    let hexadecimal = number.strip_prefix("0x").or_else(|| number.strip_prefix("0X"));
    let readings = match hexadecimal {
        Some(digits) if !digits.starts_with('+') => vec![u64::from_str_radix(digits, 16)],
        Some(_) => Vec::new(),
        None if number.starts_with('0') => vec![u64::from_str_radix(number, 8), number.parse()],
        None => vec![number.parse()],
    };
    readings.into_iter().flatten().collect()
}

/// Accounts and groups that the name services of this machine list, which the files may not have.
#[derive(Debug, Default)]
pub struct Listed {
    users: Vec<(Vec<u8>, Id, u32)>,
    groups: Vec<(Vec<u8>, Id)>,
    notes: Vec<String>,
}

/// LDAP may take its time; for longer nobody waits. It is more than any directory lists.
const OF_LISTS: Limits = Limits { patience: Duration::from_secs(10), most: 1 << 28 };

impl Listed {
    /// Asks `getent`. Only of the machine that we run on; some services (SSSD, as it comes) list nobody, and that is said.
    ///
    /// # Errors
    /// A file that is there cannot be read.
    pub fn ask(root: &Root) -> Result<Self, Failure> {
        let mut listed = Self::default();
        let text = root.read("/etc/nsswitch.conf")?.map(|text| text.bytes).unwrap_or_default();
        let nsswitch = Nsswitch::parse(&text);
        if !root.is_live() {
            return Ok(listed);
        }
        if nsswitch.accounts_are_elsewhere_too() {
            match getent("passwd") {
                Ok(text) => {
                    let users = lines(&text).filter_map(passwd::entry);
                    listed.users = users.map(|(name, uid, gid)| (name.to_vec(), uid, gid)).collect();
                }
                Err(note) => listed.notes.push(note),
            }
        }
        if nsswitch.groups_are_elsewhere_too() {
            match getent("group") {
                Ok(text) => {
                    let groups = lines(&text).filter_map(group::entry);
                    listed.groups = groups.map(|(name, gid)| (name.to_vec(), gid)).collect();
                }
                Err(note) => listed.notes.push(note),
            }
        }
        let directory = ["sss", "ldap", "winbind", "nis"].into_iter().find(|name| {
            lines(&text).any(|line| {
                let line = line.trim_ascii();
                (line.starts_with(b"passwd:") || line.starts_with(b"group:"))
                    && line.split(u8::is_ascii_whitespace).any(|word| word == name.as_bytes())
            })
        });
        if let Some(name) = directory {
            listed.notes.push(format!(
                "accounts come from {name} too, which may not list them all: see that its ids are not among these"
            ));
        }
        Ok(listed)
    }
}

fn getent(database: &str) -> Result<Vec<u8>, String> {
    let said = ask_within(OF_LISTS, "getent", &[database]);
    said.map(|said| said.stdout).map_err(|why| {
        format!("getent {database} could not be asked ({why}): only the accounts in the files are known")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shadow_takes_for_a_line_is_somebodys() {
        let ranges = |line: &str| -> Vec<String> {
            odd_entry(line.as_bytes()).iter().map(|(_, range)| range.to_string()).collect()
        };
        for line in [
            "bob:0x30d40:65536",
            "bob:0X30D40:65536",
            "bob: 200000:65536",
            "bob:+200000:65536",
            "bob:200000:0x10000",
            "bob:200000:65536:x",
            "bob:200000:65536:",
            "bob:200000:65536 ",
            "bob:200000:65536\r",
            "bob:200000:65536\0x",
            " bob:200000:65536",
        ] {
            assert_eq!(ranges(line), ["200000-265535"], "{line:?}");
        }
        assert_eq!(ranges("bob:0606500:65536"), ["200000-265535", "606500-672035"]);
        assert_eq!(ranges("bob:200000:99999999999"), ["200000-4294967294"]);
        for line in [
            "",
            "#bob:0x30d40:65536",
            ":0x1:1",
            "bob:0x1",
            "bob:x:1",
            "bob:0x:1",
            "bob:-5:1",
            "bob:0x1:0",
            "bob:5000000000:1",
        ] {
            assert_eq!(ranges(line), Vec::<String>::new(), "{line:?}");
        }
    }
}
