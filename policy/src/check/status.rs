//! The rules about policy files as files: the judgement of `common::os::trusted`, which the helpers go by, said beforehand.

use std::sync::Arc;

use common::os::trusted::SMALL;

use super::command::{edit_nsswitch, nsgate, word};
use super::findings::Findings;
use super::machine::{Content, Found, Machine, Step};
use super::rule::{NOT_A_FILE, NOT_FOR_ALL, TOO_LARGE, UNREAD, WRITABLE};
use super::sources::NSSWITCH;

pub(super) const TYPE: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
pub(super) const LINK: u32 = 0o120_000;
const STICKY: u32 = 0o1000;
pub(super) const OTHERS_WRITE: u32 = 0o022;

/// Looks at the way to each file.
pub(super) fn look(machine: &Machine, findings: &mut Findings) {
    for policy in machine.files.iter().filter(|policy| policy.wanted) {
        look_at(machine, &policy.name, &policy.found, findings);
    }
    // A draft is in no place to which it matters.
    let is_in_force = machine.files.iter().any(|policy| policy.wanted && !policy.found.way.is_empty());
    if let Some(nsswitch) = machine.nsswitch.as_ref().filter(|_| is_in_force) {
        let name: Arc<str> = NSSWITCH.into();
        look_at(machine, &name, nsswitch, findings);
        if let Some(bytes) = nsswitch.bytes().filter(|bytes| bytes.len() > SMALL) {
            findings.add_at(TOO_LARGE, &name, None, || {
                let size = bytes.len();
                let message =
                    format!("has {size} bytes, and {SMALL} are read at most: every request is refused");
                (message, edit_nsswitch(machine, &nsswitch.path, 1))
            });
        }
    }
    for (path, why) in &machine.unread {
        findings.add_at(UNREAD, &path.as_str().into(), None, || {
            let again = format!("sudo {} check", nsgate(machine));
            (format!("cannot be read: {why}; owners were not compared with it"), Some(again))
        });
    }
}

fn look_at(machine: &Machine, name: &Arc<str>, found: &Found, findings: &mut Findings) {
    let mut is_below = false;
    for (place, step) in found.way.iter().enumerate() {
        let next = found.way.get(place.saturating_add(1));
        if let Some((why, command)) = distrust(step, next, found.root_uid) {
            let is_first = !is_below;
            is_below = true;
            findings.add_at(WRITABLE, name, None, || {
                let is_itself = next.is_none();
                let which =
                    if is_itself { String::new() } else { format!("{}, on the way to it, ", step.path) };
                // Where a link has led, root's name and mode may not be what that place is to have: it may be somebody's home. And who
                // owns an image, or a directory on the way, may have put a link in this place before the command is run.
                let mend = if is_first && name.starts_with(&step.path) {
                    let path = [machine.root.as_deref().unwrap_or_default(), step.path.as_bytes()].concat();
                    let command = if machine.root.is_none() { &*command } else { "ls -ld" };
                    format!("{command} {}", word(&path))
                } else {
                    format!("ls -l {}", word(&found.path))
                };
                (format!("{which}{why}"), Some(mend))
            });
        }
    }
    match &found.content {
        Content::Bytes(_) => not_for_all(name, found, findings),
        Content::Absent => {}
        Content::Unread(why) => findings.add_at(UNREAD, name, None, || {
            let again = format!("sudo {} check", nsgate(machine));
            (format!("cannot be read: {why}; what is in it was not looked at"), Some(again))
        }),
        Content::NotAFile(what) => findings.add_at(NOT_A_FILE, name, None, || {
            let look = format!("ls -ld {}", word(&found.path));
            (format!("{what}, and no file: every request is refused"), Some(look))
        }),
    }
}

/// Why a step is not root's alone, and what mends that.
fn distrust(step: &Step, next: Option<&Step>, root: u32) -> Option<(String, String)> {
    let kind = step.mode & TYPE;
    if step.uid != root {
        let chown = if kind == LINK { format!("chown -h {root}") } else { format!("chown {root}") };
        return Some((format!("belongs to uid {} and not to root", step.uid), chown));
    }
    let is_roots = |next: &Step| next.mode & TYPE == DIRECTORY && next.device == step.device;
    let leads_on = kind == DIRECTORY && next.is_some_and(is_roots);
    let forgiven = step.mode & STICKY != 0 && leads_on && !["/", "/etc"].contains(&&*step.path);
    if kind == LINK || step.mode & OTHERS_WRITE == 0 || forgiven {
        return None;
    }
    let (who, command) = match (step.mode & 0o020 != 0, step.mode & 0o002 != 0) {
        (true, true) => ("its group and everybody", "chmod go-w"),
        (true, false) => ("its group", "chmod g-w"),
        _ => ("everybody", "chmod o-w"),
    };
    Some((format!("can be written by {who} (mode {:04o})", step.mode & 0o7777), command.to_owned()))
}

fn not_for_all(name: &Arc<str>, found: &Found, findings: &mut Findings) {
    let closed = |step: &Step| match step.mode & TYPE {
        LINK => false,
        DIRECTORY => step.mode & 0o001 == 0,
        _ => step.mode & 0o004 == 0,
    };
    let Some(step) = found.way.iter().find(|step| closed(step)) else { return };
    findings.add_at(NOT_FOR_ALL, name, None, || {
        let is_itself = found.way.last() == Some(step);
        let which = if is_itself { "" } else { &*format!("{}, on the way to it, ", step.path) };
        let mode = step.mode & 0o7777;
        let message = format!(
            "{which}has mode {mode:04o}: only root can read it, and not helpers that have capabilities instead of set-user-ID"
        );
        (message, None)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_roots_alone_or_the_command_that_makes_it_so_is_named() {
        let step = |uid, mode| Step { path: "/etc/x".to_owned(), uid, mode, device: 1 };
        let command = |one: Step, next: Option<&Step>| distrust(&one, next, 0).map(|(_, command)| command);
        let file = step(0, 0o100_644);
        let directory = step(0, 0o040_755);
        assert_eq!(command(file.clone(), None), None);
        assert_eq!(command(step(0, 0o120_777), Some(&file)), None);
        assert_eq!(command(step(5, 0o120_777), Some(&file)).as_deref(), Some("chown -h 0"));
        assert_eq!(command(step(5, 0o100_644), None).as_deref(), Some("chown 0"));
        assert_eq!(command(step(0, 0o100_664), None).as_deref(), Some("chmod g-w"));
        assert_eq!(command(step(0, 0o100_666), None).as_deref(), Some("chmod go-w"));
        assert_eq!(command(step(0, 0o041_777), Some(&file)).as_deref(), Some("chmod go-w"));
        assert_eq!(command(step(0, 0o041_775), Some(&directory)), None);
        let mounted = Step { device: 2, ..directory.clone() };
        assert_eq!(command(step(0, 0o041_775), Some(&mounted)).as_deref(), Some("chmod g-w"));
        let etc = Step { path: "/etc".to_owned(), ..step(0, 0o041_777) };
        assert_eq!(command(etc, Some(&directory)).as_deref(), Some("chmod go-w"));
    }
}
