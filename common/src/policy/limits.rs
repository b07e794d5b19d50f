//! Is something limited? As the kernel tells it: control groups of version 1 and 2 (`cgroups(7)`, the kernel's
//! `admin-guide/cgroup-v2` and `cgroup-v1`), and `/proc/PID/limits` (`proc_pid_limits(5)`).

use super::settings::{Controller, Ulimit};
use super::text::lines;

/// A hierarchy of control groups that has this controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// One for a controller or a few.
    V1,
    /// One for all.
    V2,
}

/// Where a control group is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The hierarchy.
    pub version: Version,
    /// The directory that it is mounted on.
    pub mounted_on: Vec<u8>,
    /// The way from there: names of directories.
    pub path: Vec<Vec<u8>>,
}

/// The group of a process that is to limit `controller`, from its `/proc/PID/cgroup` and our `/proc/self/mountinfo`. None: it
/// is in none that can be found.
///
/// Where version 1 has the controller, version 2 has not.
#[must_use]
pub fn place(controller: Controller, cgroup: &[u8], mountinfo: &[u8]) -> Option<Place> {
    let v1 = cgroup_path(cgroup, |controllers| {
        controllers.split(|byte| *byte == b',').any(|word| word == controller.word().as_bytes())
    });
    let (version, path) = match v1 {
        Some(path) => (Version::V1, path),
        None => (Version::V2, cgroup_path(cgroup, <[u8]>::is_empty)?),
    };
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec);
    let path: Vec<Vec<u8>> = parts.collect();
    // A group above the one that our namespace of control groups begins with.
    if path.iter().any(|part| part == b"..") {
        return None;
    }
    Some(Place { version, mounted_on: mounted_on(version, controller, mountinfo)?, path })
}

/// `ID:CONTROLLERS:PATH`
fn cgroup_path(cgroup: &[u8], is_it: impl Fn(&[u8]) -> bool) -> Option<&[u8]> {
    lines(cgroup).find_map(|line| {
        let mut fields = line.splitn(3, |byte| *byte == b':');
        let (_id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        is_it(controllers).then_some(path)
    })
}

/// `36 35 98:0 ROOT MOUNTED_ON OPTIONS ... - TYPE SOURCE SUPER_OPTIONS`: `proc_pid_mountinfo(5)`. The last one is on top.
fn mounted_on(version: Version, controller: Controller, mountinfo: &[u8]) -> Option<Vec<u8>> {
    let mounts = lines(mountinfo).filter_map(|line| {
        let Mount { root, on, kind, options } = mount(line)?;
        let is_it = match version {
            Version::V1 => {
                let word = controller.word().as_bytes();
                kind == b"cgroup" && options.split(|byte| *byte == b',').any(|option| option == word)
            }
            Version::V2 => kind == b"cgroup2",
        };
        // One with a backslash in it is written in another way than it is.
        (is_it && root == b"/" && !on.contains(&b'\\')).then(|| on.to_vec())
    });
    mounts.last()
}

/// Of a mount: root, directory, type and options of the file system.
struct Mount<'a> {
    root: &'a [u8],
    on: &'a [u8],
    kind: &'a [u8],
    options: &'a [u8],
}

fn mount(line: &[u8]) -> Option<Mount<'_>> {
    let mut words = line.split(|byte| *byte == b' ');
    let (root, on) = (words.nth(3)?, words.next()?);
    let mut words = words.skip_while(|word| word != b"-");
    let (kind, _source, options) = (words.nth(1)?, words.next()?, words.next()?);
    Some(Mount { root, on, kind, options })
}

/// Is this line of `/proc/self/mountinfo` about a file system that anything here asks for?
#[must_use]
pub fn says_something(line: &[u8]) -> bool {
    mount(line).is_some_and(|mount| [&b"proc"[..], b"cgroup", b"cgroup2"].contains(&mount.kind))
}

/// Does `/proc` hide the processes of others (`hidepid`), by our `/proc/self/mountinfo`? None: there is no `/proc`.
#[must_use]
pub fn proc_hides_processes(mountinfo: &[u8]) -> Option<bool> {
    let is_proc = |mount: &Mount<'_>| mount.on == b"/proc" && mount.kind == b"proc";
    let options = lines(mountinfo).filter_map(mount).filter(is_proc).last()?.options;
    let hides =
        |option: &[u8]| option.strip_prefix(b"hidepid=").is_some_and(|how| how != b"0" && how != b"off");
    Some(options.split(|byte| *byte == b',').any(hides))
}

/// The file of a control group that has the limit.
#[must_use]
pub const fn file(version: Version, controller: Controller) -> &'static str {
    match (version, controller) {
        (Version::V1, Controller::Memory) => "memory.limit_in_bytes",
        (Version::V1, Controller::Cpu) => "cpu.cfs_quota_us",
        (Version::V1 | Version::V2, Controller::Pids) => "pids.max",
        (Version::V2, Controller::Memory) => "memory.max",
        (Version::V2, Controller::Cpu) => "cpu.max",
    }
}

/// Is what that file says a limit?
#[must_use]
pub fn is_limit(version: Version, controller: Controller, text: &[u8]) -> bool {
    // Of version 1: as many pages as fit in a long, in bytes. Nobody has as much memory.
    const NO_MEMORY_LIMIT: u64 = 1 << 62;
    let word = text.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let number = || std::str::from_utf8(word).ok()?.parse::<u64>().ok();
    match (version, controller) {
        (Version::V1, Controller::Memory) => number().is_some_and(|bytes| bytes < NO_MEMORY_LIMIT),
        // "max", or "-1" in version 1's cpu.cfs_quota_us, is none.
        _ => number().is_some(),
    }
}

/// Is there a limit that the process cannot lift, by `/proc/PID/limits`? That is the hard one.
#[must_use]
pub fn is_finite(limits: &[u8], ulimit: Ulimit) -> bool {
    let values = lines(limits).find_map(|line| line.strip_prefix(ulimit.title.as_bytes()));
    let mut words = values.unwrap_or_default().split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let hard = words.nth(1).and_then(|word| std::str::from_utf8(word).ok());
    hard.is_some_and(|hard| hard.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &[u8] = b"24 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
        25 24 0:23 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n\
        26 24 0:24 / /sys/fs/cgroup/cpu,cpuacct rw master:1 - cgroup cgroup rw,cpu,cpuacct\n\
        27 24 0:25 /deep /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
        28 24 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    fn at(controller: Controller, cgroup: &str) -> Option<(Version, String, Vec<String>)> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let place = place(controller, cgroup.as_bytes(), HYBRID)?;
        Some((place.version, text(place.mounted_on), place.path.into_iter().map(text).collect()))
    }

    #[test]
    fn version_1_has_what_it_has_and_version_2_the_rest() {
        let cgroup = "9:cpu,cpuacct:/a:b/c\n4:memory:/\n3:name=systemd:/x\n0::/user.slice/u\n";
        let on = |on: &str| format!("/sys/fs/cgroup/{on}");
        let path = |path: &[&str]| path.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        assert_eq!(at(Controller::Cpu, cgroup), Some((Version::V1, on("cpu,cpuacct"), path(&["a:b", "c"]))));
        assert_eq!(at(Controller::Memory, cgroup), Some((Version::V1, on("memory"), vec![])));
        assert_eq!(
            at(Controller::Pids, cgroup),
            Some((Version::V2, on("unified"), path(&["user.slice", "u"])))
        );
        // One that is mounted in part only, above our own, or not at all.
        assert_eq!(at(Controller::Pids, "8:pids:/a\n"), None);
        assert_eq!(at(Controller::Cpu, "0::/../a\n"), None);
        assert_eq!(at(Controller::Cpu, ""), None);
        assert_eq!(place(Controller::Cpu, b"0::/a", b""), None);
    }

    proptest::proptest! {
        #[test]
        fn what_says_nothing_changes_nothing(picked in proptest::collection::vec(0_usize..9, 0..12), hybrid: bool) {
            let others: [&[u8]; 4] = [
                b"30 24 0:40 / /home/a/\\040\\040 rw - fuse.cgroup2 cgroup2 rw",
                b"31 24 0:41 / /proc rw - tmpfs proc rw,hidepid=2",
                b"33 24 0:43 / /proc rw,relatime - proc proc rw,hidepid=invisible",
                b"34 24 0:44",
            ];
            let known: Vec<&[u8]> = lines(HYBRID).chain(others).collect();
            let text = picked.iter().map(|number| [known[*number % known.len()], b"\n"].concat()).collect::<Vec<_>>().concat();
            let kept = lines(&text).filter(|line| says_something(line)).collect::<Vec<_>>().join(&b'\n');
            let cgroup: &[u8] = if hybrid { b"4:memory:/\n0::/a\n" } else { b"0::/a\n" };
            for controller in [Controller::Cpu, Controller::Memory, Controller::Pids] {
                proptest::prop_assert_eq!(place(controller, cgroup, &kept), place(controller, cgroup, &text));
            }
            proptest::prop_assert_eq!(proc_hides_processes(&kept), proc_hides_processes(&text));
        }
    }

    #[test]
    fn each_controller_has_its_file() {
        use Controller::{Cpu, Memory, Pids};
        for (version, controller, name) in [
            (Version::V1, Memory, "memory.limit_in_bytes"),
            (Version::V1, Cpu, "cpu.cfs_quota_us"),
            (Version::V1, Pids, "pids.max"),
            (Version::V2, Memory, "memory.max"),
            (Version::V2, Cpu, "cpu.max"),
            (Version::V2, Pids, "pids.max"),
        ] {
            assert_eq!(file(version, controller), name);
        }
    }

    #[test]
    fn a_limit_is_a_number() {
        use Controller::{Cpu, Memory, Pids};
        for (version, controller, text, is) in [
            (Version::V2, Memory, "max\n", false),
            (Version::V2, Memory, "1073741824\n", true),
            (Version::V2, Memory, "0\n", true),
            (Version::V2, Cpu, "max 100000\n", false),
            (Version::V2, Cpu, "50000 100000\n", true),
            (Version::V2, Pids, "max\n", false),
            (Version::V1, Pids, "100\n", true),
            (Version::V1, Cpu, "-1\n", false),
            (Version::V1, Cpu, "50000\n", true),
            (Version::V1, Memory, "9223372036854771712\n", false),
            (Version::V1, Memory, "1073741824\n", true),
            (Version::V1, Memory, "4611686018427387903\n", true),
            (Version::V1, Memory, "4611686018427387904\n", false),
            (Version::V1, Memory, "", false),
        ] {
            assert_eq!(
                is_limit(version, controller, text.as_bytes()),
                is,
                "{version:?} {controller:?} {text:?}"
            );
        }
    }

    #[test]
    fn the_hard_limit_counts() {
        let limits = b"Limit                     Soft Limit           Hard Limit           Units     \n\
            Max cpu time              unlimited            unlimited            seconds   \n\
            Max processes             100                  200                  processes \n\
            Max open files            100                  unlimited            files     \n";
        let is = |word: &'static str, title| is_finite(limits, Ulimit { word, title });
        assert!(is("nproc", "Max processes"));
        assert!(
            !is("cpu", "Max cpu time") && !is("nofile", "Max open files") && !is("as", "Max address space")
        );
    }

    #[test]
    fn hidepid_is_seen_in_each_of_its_ways() {
        let hides = |options: &str| {
            proc_hides_processes(format!("2 1 0:2 / /proc rw - proc proc {options}").as_bytes())
        };
        for (options, hidden) in [
            ("rw", false),
            ("rw,hidepid=0", false),
            ("rw,hidepid=off", false),
            ("rw,gid=5,hidepid=2", true),
            ("rw,hidepid=invisible", true),
            ("rw,hidepid=ptraceable", true),
        ] {
            assert_eq!(hides(options), Some(hidden), "{options}");
        }
        assert_eq!(proc_hides_processes(b""), None);
        // Another /proc, or something else that is mounted there, says nothing; of several the last is on top.
        assert_eq!(proc_hides_processes(b"2 1 0:2 / /c/proc rw - proc proc rw,hidepid=2\n"), None);
        assert_eq!(proc_hides_processes(b"2 1 0:2 / /proc rw - tmpfs proc rw,hidepid=2\n"), None);
        let twice = b"2 1 0:2 / /proc rw - proc proc rw\n3 2 0:3 / /proc rw - proc proc rw,hidepid=2\n";
        assert_eq!(proc_hides_processes(twice), Some(true));
    }
}
