//! `nsgate explain`: what the helpers would answer, and why, without doing it.
//!
//! The decision is theirs: the same functions, over the same bytes, in the same order. A property test holds the two together
//! (`tests/tests/nsgate_explain.rs`).

mod id;
mod map;
mod map_report;
mod namespaces;
mod nic;
mod remedy;
mod rules;

use serde::Serialize;

use common::Error;
use common::policy::id::Range;
use common::policy::idmap::Kind;
use common::policy::text::Quoted;
use nix::errno::Errno;

use crate::accounts::User;
use crate::cli::{Explain, ExplainWhat};
use crate::failure::Failure;
use crate::output::{Output, Style};
use crate::root::Root;

/// The answer, and the exit status.
///
/// # Errors
/// It cannot be answered.
pub fn run(root: &Root, args: &Explain, out: &mut Output) -> Result<u8, Failure> {
    match &args.what {
        ExplainWhat::Map { user, kind, triples } => map_report::run(root, user, (*kind).into(), triples, out),
        ExplainWhat::Nic { user, bridge } => nic::run(root, user, bridge, out),
        ExplainWhat::Id { id } => id::run(root, *id, out),
    }
}

/// The helper says yes.
const ALLOWED: u8 = 0;
/// It says no.
const REFUSED: u8 = 1;

/// Who maps ids of this kind.
const fn helper(kind: Kind) -> &'static str {
    match kind {
        Kind::Uid => "newuidmap",
        Kind::Gid => "newgidmap",
    }
}

/// Somebody, in JSON.
#[derive(Debug, Serialize)]
struct Person {
    name: String,
    uid: u32,
    gid: u32,
}

impl Person {
    fn of(user: &User) -> Self {
        Self { name: Quoted(&user.name).to_string(), uid: user.uid.raw(), gid: user.gid }
    }
}

/// Ids, in JSON.
#[derive(Clone, Copy, Debug, Serialize)]
struct Ids {
    first: u32,
    last: u32,
    count: u32,
}

impl From<Range> for Ids {
    fn from(range: Range) -> Self {
        Self { first: range.first().raw(), last: range.last().raw(), count: range.count() }
    }
}

/// Why not.
#[derive(Debug, Serialize)]
struct Reason {
    class: &'static str,
    /// In the helper's own words.
    message: String,
}

impl Reason {
    fn of(error: &Error) -> Self {
        let class = match error {
            Error::Usage { .. } | Error::BadName { .. } => "usage",
            Error::NoAccount { .. } => "no_account",
            Error::NotGranted { .. } | Error::NotAllotted { .. } => "not_granted",
            Error::Forbidden { .. } => "forbidden",
            Error::Unfit { .. } => "unfit",
            Error::Settings { .. } => "settings",
            Error::Untrusted { .. } => "untrusted",
            Error::NoBridge { .. } => "no_bridge",
            Error::QuotaReached { .. } => "quota_reached",
            error if is_settings_too_large(error) => "settings",
            _ => "unreadable",
        };
        let message = match error {
            // What the command line of a helper should look like is no help here.
            Error::Usage { why, .. } => why.clone(),
            error => error.to_string(),
        };
        Self { class, message }
    }
}

/// A file of rules that is too long to be read is as bad as one that nobody understands.
fn is_settings_too_large(error: &Error) -> bool {
    matches!(error, Error::System { doing, errno: Errno::EFBIG } if doing.ends_with("/etc/nsgate.ini"))
}

/// Ids that a line grants: a number alone would be taken for how many.
fn said(range: Range) -> String {
    if range.count() == 1 { format!("id {range}") } else { range.to_string() }
}

/// A paragraph's title.
fn title(out: &mut Output, text: &str) {
    out.line("");
    let text = out.paint(Style::Strong, text);
    out.line(text);
}

/// What would allow it.
fn say_remedies(out: &mut Output, remedies: &[remedy::Remedy]) {
    if remedies.is_empty() {
        return;
    }
    title(out, "to allow it");
    for remedy in remedies {
        if let Some(why) = &remedy.advice {
            out.line(format!("  {why}"));
        }
        if let Some(command) = &remedy.command {
            out.line(format!("  {}", out.paint(Style::Good, command)));
        }
    }
}
