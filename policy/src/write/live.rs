//! Which ids the user namespaces of this machine map just now.

use std::collections::BTreeSet;

use common::policy::id::{self, Range};
use common::policy::idmap::{Kind, host_ids_of_map};

/// Some ids that a process maps. Of several processes with the same map, one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapped {
    /// The process.
    pub pid: u32,
    /// Of users, or of groups?
    pub kind: Kind,
    /// The host ids.
    pub range: Range,
}

/// A map of so many is no claim to any of them: containers that see all ids there are.
const NO_CLAIM: u32 = 1 << 31;

/// All that can be seen. With `each`, of every process and not only one for each map.
#[must_use]
pub fn mapped(each: bool) -> Vec<Mapped> {
    let mut found = Vec::new();
    for kind in [Kind::Uid, Kind::Gid] {
        let mut known: BTreeSet<Vec<u8>> = BTreeSet::new();
        known.insert(std::fs::read(format!("/proc/self/{}", kind.map_file())).unwrap_or_default());
        for pid in pids() {
            // It may have ended, or not be for us to see.
            let Ok(map) = std::fs::read(format!("/proc/{pid}/{}", kind.map_file())) else { continue };
            if known.contains(&map) {
                continue;
            }
            let ranges = host_ids_of_map(&map).into_iter().filter(|range| range.count() < NO_CLAIM);
            found.extend(ranges.map(|range| Mapped { pid, kind, range }));
            if !each {
                known.insert(map);
            }
        }
    }
    found
}

fn pids() -> Vec<u32> {
    use std::os::unix::ffi::OsStrExt;
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> =
        entries.filter_map(|entry| id::decimal(entry.file_name().as_bytes()).ok()).collect();
    pids.sort_unstable();
    pids
}

/// What a process is called, for a person. It says so itself, so it is shown quoted.
#[must_use]
pub fn name_of(pid: u32) -> Vec<u8> {
    std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default().trim_ascii_end().to_vec()
}
