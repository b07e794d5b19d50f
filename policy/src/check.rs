//! `nsgate check`: what is wrong in the policy files, and what mends it.
//!
//! A pure core looks at bytes and facts ([`Machine`]), by the helpers' own parsers: what they would not take for a line, this
//! does not. Around it, [`gather`] reads the machine, and [`report`] tells a person.

use crate::cli::{Check, PolicyFile};
use crate::failure::Failure;
use crate::output::Output;
use crate::root::Root;

#[cfg(test)]
mod cases;
pub mod command;
pub mod finding;
pub mod findings;
pub mod gather;
pub mod junk;
pub mod known;
pub mod machine;
pub mod pattern;
pub mod report;
pub mod reserved;
pub mod rule;
mod settings;
mod sources;
mod status;
mod subid;
mod usernet;

pub use finding::{Finding, Place};
pub use findings::Findings;
pub use machine::{Content, Found, Machine, Policy};
pub use reserved::{RESERVED, Reserved};
pub use rule::{RULES, Rule, Severity};

/// So many findings of a rule in a file are shown to a person.
const SHOWN: usize = 10;

/// Checks one file by itself: what is wrong with it whatever else there is on the machine.
#[must_use]
pub fn text(file: PolicyFile, bytes: &[u8]) -> Vec<Finding> {
    let policy = Policy::of(file, Content::Bytes(bytes.to_vec()));
    findings(&Machine { files: vec![policy], ..Machine::default() })
}

/// Checks what is to be in one file of a machine, next to all else that is known of it.
///
/// # Errors
/// The machine cannot be looked at.
pub fn draft(root: &Root, file: PolicyFile, bytes: Vec<u8>) -> Result<Vec<Finding>, Failure> {
    let mut machine = gather::machine(root, &[])?;
    for policy in &mut machine.files {
        policy.wanted = policy.file == file;
    }
    if let Some(policy) = machine.files.iter_mut().find(|policy| policy.wanted) {
        *policy = Policy::of(file, Content::Bytes(bytes));
    }
    Ok(findings(&machine))
}

/// Checks all that is known of a machine. Sorted by file and line.
#[must_use]
pub fn findings(machine: &Machine) -> Vec<Finding> {
    let mut findings = Findings::new(usize::MAX);
    look(machine, &mut findings);
    findings.into_vec()
}

/// The same, into a place that may keep less than all.
pub fn look(machine: &Machine, findings: &mut Findings) {
    let known = known::Known::of(machine);
    status::look(machine, findings);
    sources::look(machine, findings);
    let settings = settings::read(machine, findings);
    subid::look(machine, &known, &settings, findings);
    let bridges = usernet::look(machine, &known, findings);
    settings::look(machine, &settings, bridges.as_ref(), findings);
}

/// The answer, and the exit status: 0 if nothing is wrong, 1 for warnings, 2 for errors.
///
/// # Errors
/// It cannot be answered.
pub fn run(root: &Root, args: &Check, out: &mut Output) -> Result<u8, Failure> {
    if let Some(id) = &args.help_rule {
        return report::rule(id, out).map(|()| 0);
    }
    let machine = gather::machine(root, &args.files)?;
    let mut findings = Findings::new(if out.is_json() { usize::MAX } else { SHOWN });
    look(&machine, &mut findings);
    let status = match (findings.number(Severity::Error), findings.number(Severity::Warning)) {
        (0, 0) => 0,
        (0, _) if !args.strict => 1,
        _ => 2,
    };
    let wanted: Vec<&Policy> = machine.files.iter().filter(|policy| policy.wanted).collect();
    report::findings(&wanted, findings, out)?;
    Ok(status)
}
