//! What there is, before and after.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::nics::PLACES;
use super::{FIRST_UID, Soak, USERS};

/// What is to be so afterwards.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// What it was before.
    Same,
    /// No more than that.
    AtMost(u64),
    /// Other programs have their part in it, or the kernel keeps some for later: to be seen, not judged.
    Shown,
}

/// Everything that was counted at one time.
pub(crate) struct Census(Vec<(&'static str, u64, Rule)>);

impl Census {
    pub(crate) fn take(soak: &Soak<'_>) -> Self {
        let world = soak.world;
        let (ours, zombies) = processes();
        let tables = entries(&soak.tables);
        let expected = PLACES.iter().flat_map(super::nics::Place::tables).collect::<Vec<_>>();
        let unknown = tables.iter().filter(|table| !expected.contains(table)).count();
        let sizes = tables.iter().filter_map(|table| fs::metadata(Path::new(&soak.tables).join(table)).ok());
        let places = sizes.map(|table| table.size().div_ceil(64)).max().unwrap_or(0);
        // A new list of interfaces that somebody was killed over is written over by the next one.
        let odd = entries("/run/lxc")
            .iter()
            .filter(|file| !["nics", "nsgate", "nics.new"].contains(&&***file))
            .count();
        let counts = &soak.counts;
        let made = counts.maps.load(Ordering::Relaxed) + counts.cycles.load(Ordering::Relaxed);
        let slab = |name: &str| slab(name).unwrap_or(0);
        let most = |before: u64| if made == 0 { Rule::Shown } else { Rule::AtMost(before + made / 20 + 400) };
        let (users, nets) = (slab("user_namespace"), slab("net_namespace"));
        let first = soak.first_slabs.get_or_init(|| (users, nets));
        Self(vec![
            ("interfaces of the host", number(world.host_links().len()), Rule::Same),
            ("records of the ledger", number(world.ledger().len()), Rule::Same),
            ("lines of /run/lxc/nics", number(world.nics().len()), Rule::Same),
            ("tables of no quota", number(unknown), Rule::Same),
            ("tables", number(tables.len()), Rule::AtMost(number(expected.len()))),
            ("places of the largest table", places, Rule::AtMost(24)),
            ("other files in /run/lxc", number(odd), Rule::Same),
            ("processes of the users", ours, Rule::Same),
            ("zombies", zombies, Rule::Same),
            ("our descriptors", number(entries("/proc/self/fd").len()), Rule::Same),
            ("our mounts", number(lines("/proc/self/mountinfo")), Rule::Same),
            ("kernel: user namespaces", users, most(first.0)),
            ("kernel: network namespaces", nets, most(first.1)),
            ("kernel: open files", first_number("/proc/sys/fs/file-nr"), Rule::Shown),
            ("kernel: Slab kB", meminfo("Slab:"), Rule::Shown),
            ("kernel: SUnreclaim kB", meminfo("SUnreclaim:"), Rule::Shown),
            ("kernel: Percpu kB", meminfo("Percpu:"), Rule::Shown),
            ("kernel: KernelStack kB", meminfo("KernelStack:"), Rule::Shown),
        ])
    }

    /// A table of both.
    pub(crate) fn beside(&self, after: &Self) -> String {
        let mut text = format!("{:<46}{:>10}{:>10}\n", "", "before", "after");
        for ((what, before, _), (_, after, rule)) in self.0.iter().zip(&after.0) {
            let remark = if *rule == Rule::Shown { "  shown, not judged" } else { "" };
            writeln!(text, "{what:<46}{before:>10}{after:>10}{remark}").expect("text");
        }
        text
    }

    /// What there is now that should not be.
    pub(crate) fn what_is_left(&self, after: &Self) -> Vec<String> {
        let wrong = |before: u64, after: u64, rule: Rule| match rule {
            Rule::Same => before != after,
            Rule::AtMost(most) => after > most,
            Rule::Shown => false,
        };
        let both = self.0.iter().zip(&after.0);
        let left = both.filter(|((_, before, _), (_, after, rule))| wrong(*before, *after, *rule));
        left.map(|((what, before, _), (_, after, _))| format!("{what}: {before} before, {after} after"))
            .collect()
    }
}

fn number(of: usize) -> u64 {
    u64::try_from(of).expect("64 bits")
}

/// The users' own in this world, as there may be another soak beside it; and those of ours that nobody has waited for.
pub(crate) fn processes() -> (u64, u64) {
    let us = std::process::id().to_string();
    // Of this thread: the process as a whole has the host's.
    let mounts = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    let here = mounts("thread-self");
    let (mut ours, mut zombies) = (0, 0);
    for process in entries("/proc").iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
        let Ok(status) = fs::read_to_string(format!("/proc/{process}/status")) else { continue };
        let field = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            line.split_whitespace().next().unwrap_or_default().to_owned()
        };
        let uid = field("Uid:").parse::<u32>().unwrap_or(0);
        let is_a_user = (FIRST_UID..).take(USERS).any(|user| user == uid);
        ours += u64::from(is_a_user && mounts(process) == here);
        zombies += u64::from(field("PPid:") == us && field("State:") == "Z");
    }
    (ours, zombies)
}

fn entries(directory: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return vec![] };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

fn lines(file: &str) -> usize {
    fs::read_to_string(file).unwrap_or_default().lines().count()
}

fn first_number(file: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn meminfo(key: &str) -> u64 {
    word_after("/proc/meminfo", key).unwrap_or(0)
}

/// Objects of this kind that the kernel has.
fn slab(name: &str) -> Option<u64> {
    word_after("/proc/slabinfo", name)
}

fn word_after(file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
