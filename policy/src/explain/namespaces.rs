//! User namespaces that are alive: by the id maps of the processes that can be seen.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use common::os::target::{own_mountinfo, read_own};
use common::policy::id::{self, Id, Range};
use common::policy::idmap::Kind;
use common::policy::limits::proc_hides_processes;

use crate::failure::Failure;

/// A user namespace other than ours that maps an id.
#[derive(Debug)]
pub(super) struct Mapping {
    /// The lowest pid of those in it.
    pub(super) pid: u32,
    /// What that is called.
    pub(super) command: Vec<u8>,
    /// How many processes are in it.
    pub(super) processes: usize,
    /// What the id is inside.
    pub(super) inside: u32,
}

/// All that could be seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) mappings: Vec<Mapping>,
    /// So many processes whose map could not be read.
    pub(super) unreadable: usize,
    /// Does `/proc` hide processes of others?
    pub(super) hidden: bool,
}

/// A map is shorter than a page; `/proc` gives more only where it is no map.
const LONGEST: u64 = 1 << 16;

/// Looks at every process.
pub(super) fn that_map(kind: Kind, id: Id) -> Result<Seen, Failure> {
    let ours = read_own(kind.map_file()).unwrap_or_default();
    let mountinfo = own_mountinfo().unwrap_or_default();
    let mut seen = Seen { hidden: proc_hides_processes(&mountinfo) != Some(false), ..Seen::default() };
    // By their kernel's number if we may know it, else by what they map and who runs in them.
    let mut namespaces: BTreeMap<(Option<u64>, Vec<u8>), Mapping> = BTreeMap::new();
    let entries = fs::read_dir("/proc").map_err(Failure::when("cannot read /proc"))?;
    let mut pids: Vec<u32> =
        entries.filter_map(|entry| id::decimal(entry.ok()?.file_name().as_encoded_bytes()).ok()).collect();
    pids.sort_unstable();
    for pid in pids {
        let process = Path::new("/proc").join(pid.to_string());
        let map = match read(&process.join(kind.map_file())) {
            Ok(map) => map,
            // It has ended.
            Err(error) if !process.exists() || error.raw_os_error() == Some(nix::libc::ESRCH) => continue,
            Err(_) => {
                seen.unreadable = seen.unreadable.saturating_add(1);
                continue;
            }
        };
        if map == ours {
            continue;
        }
        let Some(inside) = inside_of(&map, id) else { continue };
        let mapping = namespaces.entry((number_of(&process), map)).or_insert_with(|| Mapping {
            pid,
            command: command_of(&process),
            processes: 0,
            inside,
        });
        mapping.processes = mapping.processes.saturating_add(1);
    }
    seen.mappings = namespaces.into_values().collect();
    seen.mappings.sort_unstable_by_key(|mapping| mapping.pid);
    Ok(seen)
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut text)?;
    Ok(text)
}

/// `user:[4026531837]`
fn number_of(process: &Path) -> Option<u64> {
    let link = fs::read_link(process.join("ns/user")).ok()?;
    link.to_str()?.strip_prefix("user:[")?.strip_suffix(']')?.parse().ok()
}

fn command_of(process: &Path) -> Vec<u8> {
    let mut command = read(&process.join("comm")).unwrap_or_default();
    if command.last() == Some(&b'\n') {
        command.pop();
    }
    command
}

/// What an id of ours is inside.
fn inside_of(map: &[u8], id: Id) -> Option<u32> {
    let extent = |line: &[u8]| {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let (inside, host, count) = (words.next()?, words.next()?, words.next()?);
        let (inside, host) = (id::decimal(inside).ok()?, Id::new(id::decimal(host).ok()?)?);
        let range = Range::new(host, id::decimal(count).ok()?).filter(|range| range.contains(id))?;
        inside.checked_add(id.raw().checked_sub(range.first().raw())?)
    };
    common::policy::text::lines(map).find_map(extent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_what_its_extent_makes_of_it() {
        let map = b"         0     100000      1000\n      1000       1000          1\n";
        let inside = |raw| inside_of(map, Id::new(raw).unwrap());
        assert_eq!(
            [99_999, 100_000, 100_999, 101_000, 1000].map(inside),
            [None, Some(0), Some(999), None, Some(1000)]
        );
        assert_eq!(inside_of(b"0 4294967295 1\njunk\n", Id::new(7).unwrap()), None);
    }
}
