//! What `/etc/nsswitch.conf` and `/etc/login.defs` have to do with the policy files.

use std::sync::Arc;

use common::policy::id::{Id, Range};
use common::policy::nsswitch::Nsswitch;
use common::policy::subid;
use common::policy::text::{Quoted, lines};

use crate::cli::PolicyFile;
use crate::login_defs::number_or;

use super::command::edit_nsswitch;
use super::findings::Findings;
use super::machine::Machine;
use super::rule::{SUBID_SOURCE, SUBID_SOURCE_NAME};

/// Says where subordinate ids come from. The helpers refuse every request if it is not root's alone, as with a policy file.
pub(super) const NSSWITCH: &str = "/etc/nsswitch.conf";

/// Does the machine ask this source for subordinate ids?
#[must_use]
pub(super) fn asks(machine: &Machine, source: &str) -> bool {
    machine.nsswitch().is_some_and(|bytes| {
        let nsswitch = Nsswitch::parse(bytes);
        let sources = nsswitch.subid_sources();
        sources.is_ok_and(|sources| sources.plugins.iter().any(|plugin| plugin.as_str() == source))
    })
}

/// Where useradd (`UID`) or groupadd (`GID`) take ids for new accounts, system accounts among them.
#[must_use]
pub(super) fn new_accounts(login_defs: &[u8], kind: &str) -> Option<Range> {
    let id = |name: String, otherwise| Id::new(number_or(login_defs, &name, otherwise));
    Range::between(id(format!("SYS_{kind}_MIN"), 100)?, id(format!("{kind}_MAX"), 60000)?)
}

/// Is `/etc/subuid` read at all?
pub(super) fn look(machine: &Machine, findings: &mut Findings) {
    let Some(found) = &machine.nsswitch else { return };
    let Some(bytes) = found.bytes() else { return };
    let ours = [PolicyFile::Subuid, PolicyFile::Subgid].map(|file| machine.policy(file));
    if !ours.iter().flatten().any(|policy| policy.wanted) {
        return;
    }
    let nsswitch = Nsswitch::parse(bytes);
    let said = |line: &[u8]| {
        line.split_at_checked(b"subid:".len()).is_some_and(|(name, rest)| {
            name.eq_ignore_ascii_case(b"subid:") && !matches!(rest.trim_ascii().first(), None | Some(b'#'))
        })
    };
    let line = lines(bytes).zip(1_u32..).find(|(line, _)| said(line)).map(|(_, number)| number);
    let name: Arc<str> = NSSWITCH.into();
    let fix = || edit_nsswitch(machine, &found.path, line.unwrap_or(1));
    match nsswitch.subid_sources() {
        Err(word) => findings.add_at(SUBID_SOURCE_NAME, &name, line, || {
            let word = Quoted(word);
            (
                format!(
                    "subid: has \"{word}\" on it, which is no name of a source, as files is: every request is refused"
                ),
                fix(),
            )
        }),
        Ok(sources) if !sources.files => {
            let grants = |policy: &&super::machine::Policy| {
                policy
                    .found
                    .bytes()
                    .is_some_and(|bytes| lines(bytes).any(|line| subid::entry(line).is_some()))
            };
            let unused: Vec<String> =
                ours.into_iter().flatten().filter(grants).map(|policy| policy.name.to_string()).collect();
            if !unused.is_empty() {
                findings.add_at(SUBID_SOURCE, &name, line, || {
                    let what = unused.join(" and ");
                    let grant = if unused.len() == 1 { "grants" } else { "grant" };
                    (format!("subid: does not name files: what {what} {grant} does not count"), fix())
                });
            }
        }
        Ok(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_new_accounts_are_those_of_login_defs_or_the_usual() {
        let bounds = |text: &str| new_accounts(text.as_bytes(), "UID").map(|range| range.to_string());
        assert_eq!(bounds("").as_deref(), Some("100-60000"));
        assert_eq!(bounds("# x\nUID_MAX 70000\n\tSYS_UID_MIN\t 500 \n").as_deref(), Some("500-70000"));
        assert_eq!(bounds("UID_MAX x\n").as_deref(), Some("100-60000"));
        assert_eq!(bounds("UID_MAX 0x11170\nSYS_UID_MIN 0764\n").as_deref(), Some("500-70000"));
        assert_eq!(bounds("UID_MAX 5\n"), None);
    }
}
