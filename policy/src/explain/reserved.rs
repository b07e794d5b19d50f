//! Ids that are somebody's by convention, whether or not a file says so.

use common::policy::id::Id;

/// First, last, whose.
const RESERVED: [(u32, u32, &str); 7] = [
    (0, 0, "root"),
    (1, 999, "system accounts"),
    (61184, 65519, "systemd's dynamic users"),
    (65534, 65534, "nobody: who has no id here shows as it"),
    (65535, 65535, "16-bit -1, which is nobody's"),
    (524_288, 1_879_048_191, "systemd's containers (systemd-nspawn -U)"),
    (2_147_483_648, 4_294_967_294, "FreeIPA's subordinate ids"),
];

/// Whose an id is by convention.
pub(super) fn of(id: Id) -> Vec<&'static str> {
    let raw = id.raw();
    let has_it = |(first, last, _): &&(u32, u32, &'static str)| (*first..=*last).contains(&raw);
    RESERVED.iter().filter(has_it).map(|(_, _, whose)| *whose).collect()
}
