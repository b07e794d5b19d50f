//! Reads what the rules look at. All that is asked of the machine is asked here.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::policy::nsswitch::Nsswitch;
use common::policy::text::lines;
use common::policy::{subid, usernet};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use crate::accounts::Accounts;
use crate::cli::PolicyFile;
use crate::failure::{Failure, USAGE};
use crate::login_defs;
use crate::root::{Root, all_of, open_regular};

use super::command::shown;
use super::known::uid_of_digits;
use super::machine::{Content, Found, Interface, Machine, People, Policy, Step};
use super::sources::NSSWITCH;

/// So many owners that the files do not know are asked about.
const ASKED: usize = 256;

/// And for no longer than this.
const PATIENCE: Duration = Duration::from_secs(5);

/// As many links as the kernel follows.
const MOST_LINKS: u32 = 40;

/// The machine, with these files in place of its own, or all its own.
///
/// # Errors
/// One of the files cannot be told apart or opened.
pub fn machine(root: &Root, files: &[PathBuf]) -> Result<Machine, Failure> {
    let mut machine = policy_files(root, files.is_empty())?;
    for given in files {
        let file = kind_of(given)?;
        let place = machine.files.iter_mut().find(|policy| policy.file == file);
        let Some(place) = place else { continue };
        if place.wanted {
            let (one, two) = (&place.name, shown(given.as_os_str().as_bytes()));
            let message = format!("{one} and {two} are both {}: check one of them at a time", file.path());
            return Err(Failure::new(message).with_code(USAGE));
        }
        let given_path = given.as_os_str().as_bytes();
        if given_path != file.path().as_bytes() && given_path != place.found.path {
            *place = draft(file, given)?;
        } else if matches!(place.found.content, Content::Absent) {
            let path = shown(&place.found.path);
            return Err(Failure::new(format!("cannot open {path}: {}", Errno::ENOENT.desc())));
        } else {
            place.wanted = true;
        }
    }
    let mut whole = |path: &str| match root.read(path) {
        Ok(file) => Some(file.map(|file| file.bytes).unwrap_or_default()),
        Err(failure) => {
            machine.unread.push((path.to_owned(), why_alone(&failure.to_string(), path)));
            None
        }
    };
    let (passwd, group) = (whole("/etc/passwd"), whole("/etc/group"));
    machine.login_defs = match login_defs::read(root) {
        Ok(text) => Some(text),
        Err(failure) => {
            let path = "/etc/login.defs";
            machine.unread.push((path.to_owned(), why_alone(&failure.to_string(), path)));
            None
        }
    };
    if let Some((passwd, group)) = passwd.zip(group).filter(|(passwd, _)| !passwd.is_empty()) {
        let nsswitch = Nsswitch::parse(machine.nsswitch().unwrap_or_default());
        let elsewhere = nsswitch.accounts_are_elsewhere_too() || nsswitch.groups_are_elsewhere_too();
        let accounts = Accounts::of(&passwd, &group, root.is_live() && elsewhere);
        machine.people = Some(people(&accounts, &machine, root.is_live() && elsewhere));
    }
    machine.nspawn = ["/var/lib/machines", "/etc/systemd/nspawn", "/run/systemd/nspawn"]
        .into_iter()
        .any(|directory| has_something(root, directory));
    machine.incus =
        ["/var/lib/incus", "/var/lib/lxd"].into_iter().any(|directory| has_something(root, directory));
    if root.is_live() {
        machine.interfaces = interfaces();
    }
    Ok(machine)
}

/// Of all this, the files that the helpers go by. Nobody but the kernel is asked.
///
/// # Errors
/// There is no `/etc`.
pub fn policy_files(root: &Root, wanted: bool) -> Result<Machine, Failure> {
    // What is not mounted has nothing wrong with it either.
    let etc = root.open_at("/etc", OFlag::O_PATH | OFlag::O_DIRECTORY);
    etc.map_err(Failure::when(format!("cannot open {}", root.for_shell("/etc"))))?;
    let path = root.path().map(|path| path.as_os_str().as_bytes().to_vec());
    let files = PolicyFile::ALL.into_iter().map(|file| in_place(root, file, wanted)).collect();
    Ok(Machine { root: path, files, nsswitch: Some(find(root, NSSWITCH)), ..Machine::default() })
}

/// Told apart by its name: it begins, or ends, with that of the policy file.
fn kind_of(path: &Path) -> Result<PolicyFile, Failure> {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let is_one = |file: &PolicyFile| {
        let own = file.path().rsplit('/').next().unwrap_or_default().as_bytes();
        name.starts_with(own) || name.ends_with(own)
    };
    PolicyFile::ALL.into_iter().find(is_one).ok_or_else(|| {
        let path = shown(path.as_os_str().as_bytes());
        let message = format!(
            "cannot tell what {path} is: the name of the file should begin with subuid, subgid, lxc-usernet or nsgate.ini"
        );
        Failure::new(message).with_code(USAGE)
    })
}

/// A file that is not in its place. Its owner and mode do not matter.
fn draft(file: PolicyFile, path: &Path) -> Result<Policy, Failure> {
    let bytes = path.as_os_str().as_bytes();
    let name = shown(bytes);
    let cannot = |what: &str| format!("cannot {what} {name}");
    let found = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
    let found = found.map_err(Failure::when(cannot("open")))?;
    let opened = open_regular(&found, &name)?;
    let content = all_of(opened).map_err(Failure::when(cannot("read")))?;
    // A path that begins with a dash is no option.
    let path = if bytes.starts_with(b"-") { [b"./", bytes].concat() } else { bytes.to_vec() };
    let found = Found { path, ..Found::of("", Content::Bytes(content)) };
    Ok(Policy { file, name: name.into(), draft: true, wanted: true, found })
}

/// The machine's own file.
fn in_place(root: &Root, file: PolicyFile, wanted: bool) -> Policy {
    let name = shown(file.path().as_bytes()).into();
    Policy { file, name, draft: false, wanted, found: find(root, file.path()) }
}

/// A file that the helpers go by, with the way to it.
fn find(root: &Root, path: &str) -> Found {
    let (way, problem) = way_to(root, path);
    let content = match (problem, root.read(path)) {
        (Some(problem), _) => problem,
        (None, Ok(Some(text))) => Content::Bytes(text.bytes),
        (None, Ok(None)) => Content::Absent,
        (None, Err(failure)) => Content::Unread(why_alone(&failure.to_string(), path)),
    };
    let prefix = root.path().map(|image| image.as_os_str().as_bytes()).unwrap_or_default();
    let prefix = prefix.strip_suffix(b"/").unwrap_or(prefix);
    let root_uid = match (root.is_live(), way.first()) {
        (false, Some(top)) => top.uid,
        _ => 0,
    };
    Found { path: [prefix, path.as_bytes()].concat(), content, way, root_uid }
}

/// "permission denied" of "cannot open /etc/subuid: permission denied".
fn why_alone(message: &str, path: &str) -> String {
    message.split_once(&format!("{path}: ")).map_or(message, |(_, why)| why).to_owned()
}

fn step(path: String, status: &FileStat) -> Step {
    Step { path, uid: status.st_uid, mode: status.st_mode, device: status.st_dev }
}

/// Walks to a file as `common::os::trusted` does, and notes what it goes over. If it does not come to a regular file: what is
/// there instead.
fn way_to(root: &Root, path: &str) -> (Vec<Step>, Option<Content>) {
    let mut names: VecDeque<String> =
        path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let (mut way, mut at, mut links) = (Vec::new(), String::new(), 0_u32);
    let mut is_link = false;
    let unread = |errno: Errno| Some(Content::Unread(errno.desc().to_owned()));
    match fstatat(root.directory(), "", AtFlags::AT_EMPTY_PATH) {
        Ok(status) => way.push(step("/".to_owned(), &status)),
        Err(errno) => return (way, unread(errno)),
    }
    while let Some(name) = names.pop_front() {
        match name.as_str() {
            "." => continue,
            ".." => {
                at.truncate(at.rfind('/').unwrap_or(0));
                continue;
            }
            _ => {}
        }
        let path = format!("{at}/{name}");
        let entry = match root.open_at(&path, OFlag::O_PATH | OFlag::O_NOFOLLOW) {
            Ok(entry) => entry,
            Err(Errno::ENOENT) if !is_link => return (way, Some(Content::Absent)),
            Err(Errno::ENOENT) => {
                return (way, Some(Content::NotAFile("is a symbolic link to what is not there".to_owned())));
            }
            Err(errno) => return (way, unread(errno)),
        };
        let status = match fstat(&entry) {
            Ok(status) => status,
            Err(errno) => return (way, unread(errno)),
        };
        if fstatfs(&entry).is_ok_and(|system| system.filesystem_type() == PROC_SUPER_MAGIC) {
            return (way, Some(Content::NotAFile("is a symbolic link into /proc".to_owned())));
        }
        way.push(step(path.clone(), &status));
        match SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFLNK => {
                links = links.saturating_add(1);
                is_link |= names.is_empty();
                let target = readlinkat(&entry, "").map(|target| target.into_string());
                let target = match target {
                    Ok(Ok(target)) if links <= MOST_LINKS => target,
                    Ok(Ok(_)) => {
                        return (way, Some(Content::NotAFile("is a circle of symbolic links".to_owned())));
                    }
                    Ok(Err(_)) => {
                        return (way, Some(Content::NotAFile("is a symbolic link to no text".to_owned())));
                    }
                    Err(errno) => return (way, unread(errno)),
                };
                if target.starts_with('/') {
                    at.clear();
                }
                for name in target.split('/').filter(|name| !name.is_empty()).rev() {
                    names.push_front(name.to_owned());
                }
            }
            SFlag::S_IFDIR if names.is_empty() => {
                return (way, Some(Content::NotAFile("is a directory".to_owned())));
            }
            SFlag::S_IFDIR => at = path,
            SFlag::S_IFREG if names.is_empty() => return (way, None),
            SFlag::S_IFREG => {
                return (way, Some(Content::NotAFile("is said to be in what is no directory".to_owned())));
            }
            _ => return (way, Some(Content::NotAFile("is a device, pipe or socket".to_owned()))),
        }
    }
    (way, Some(Content::NotAFile("is a directory".to_owned())))
}

/// The accounts of the files, and of the name services those that the policy files name.
pub(super) fn people(accounts: &Accounts, machine: &Machine, ask: bool) -> People {
    let mut people =
        People { users: accounts.users().to_vec(), groups: accounts.groups().to_vec(), all_asked: true };
    if !ask {
        return people;
    }
    let users: HashSet<&[u8]> = accounts.users().iter().map(|user| user.name.as_slice()).collect();
    let uids: HashSet<_> = accounts.users().iter().map(|user| user.uid).collect();
    let groups: HashSet<&[u8]> = accounts.groups().iter().map(|group| group.name.as_slice()).collect();
    let mut unknown: HashSet<&[u8]> = HashSet::new();
    let lines_of = |file| lines(machine.bytes(file).unwrap_or_default());
    for line in lines_of(PolicyFile::Subuid).chain(lines_of(PolicyFile::Subgid)) {
        let Some((owner, _)) = subid::entry(line) else { continue };
        let known = match uid_of_digits(owner) {
            Some(uid) => uids.contains(&uid),
            None => users.contains(owner),
        };
        if !known {
            unknown.insert(owner);
        }
    }
    for entry in lines_of(PolicyFile::LxcUsernet).filter_map(usernet::entry) {
        let known = match entry.owner.strip_prefix(b"@") {
            Some(group) => groups.contains(group),
            None => users.contains(entry.owner),
        };
        if !known {
            unknown.insert(entry.owner);
        }
    }
    let mut unknown: Vec<&[u8]> = unknown.into_iter().filter(|owner| !owner.contains(&0)).collect();
    unknown.sort_unstable();
    let began = Instant::now();
    for (place, owner) in unknown.into_iter().enumerate() {
        if place >= ASKED || began.elapsed() > PATIENCE {
            people.all_asked = false;
            break;
        }
        match (owner.strip_prefix(b"@"), uid_of_digits(owner)) {
            (Some(group), _) => people.groups.extend(accounts.group_named(group)),
            (None, Some(uid)) => people.users.extend(accounts.user_with(uid)),
            (None, None) => people.users.extend(accounts.user_named(owner)),
        }
    }
    people
}

fn has_something(root: &Root, directory: &str) -> bool {
    let Ok(opened) = root.open_at(directory, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NONBLOCK) else {
        return false;
    };
    let Ok(mut entries) = nix::dir::Dir::from_fd(opened) else { return false };
    entries.iter().flatten().any(|entry| !entry.file_name().to_bytes().starts_with(b"."))
}

/// The interfaces of this process' network namespace, as sysfs and procfs have them. None: they cannot be seen.
fn interfaces() -> Option<BTreeMap<Vec<u8>, Interface>> {
    let directory = fs::read_dir("/sys/class/net").ok()?;
    let names: Vec<_> = directory.flatten().map(|entry| entry.file_name()).collect();
    // What Open vSwitch calls a bridge is no more than an interface to sysfs.
    let has_ovs = names.iter().any(|name| name == "ovs-system");
    let look = |name: std::ffi::OsString| {
        let own = Path::new("/sys/class/net").join(&name);
        if !own.is_dir() {
            return None; // bonding_masters
        }
        let is_bridge = own.join("bridge").is_dir();
        let may_be_ovs = has_ovs && !own.join("device").exists();
        let bridge = if !is_bridge && may_be_ovs { None } else { Some(is_bridge) };
        let accept_ra = Path::new("/proc/sys/net/ipv6/conf").join(&name).join("accept_ra");
        let accept_ra = fs::read_to_string(accept_ra).ok().and_then(|text| text.trim().parse().ok());
        Some((name.as_bytes().to_vec(), Interface { bridge, accept_ra }))
    };
    Some(names.into_iter().filter_map(look).collect())
}
