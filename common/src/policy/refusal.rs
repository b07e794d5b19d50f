//! Why policy does not let somebody, and what would help: the words of the helpers, and of whoever explains them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::holdings::{Asker, Holdings};
use super::host::{Forbidden, Why};
use super::idmap::{Kind, MOST_EXTENTS, NotATriple, NotGranted, Triple};
use super::text::{Quoted, is_tame};
use super::usernet::VETH;

/// Why a range is not granted.
#[must_use]
pub fn not_granted(asker: &Asker<'_>, held: &Holdings, refused: &NotGranted) -> String {
    let (word, file) = (asker.kind.word(), asker.kind.policy_file());
    let owner = Quoted(asker.name());
    let host = refused.triple.host();
    let in_file = || match (held.exists, held.may_be_repeated, refused.nearest) {
        (false, ..) => format!("/etc/{file} does not exist, so it grants nothing to {owner}"),
        (true, false, _) => format!("/etc/{file} does not grant it to {owner}"),
        (true, true, None) => format!("/etc/{file} has no line for {owner}"),
        (true, true, Some(near)) => format!(
            "{word} {} is not granted to {owner} (/etc/{file}:{} grants {})",
            refused.missing, near.line, near.range
        ),
    };
    let rule = match &held.sources {
        Err(named) => format!(
            "/etc/nsswitch.conf (subid:) names the source \"{}\", which cannot be a source's name (a-z, 0-9 and _, \
             at most 50)",
            Quoted(named)
        ),
        Ok(_) if !held.failed.is_empty() => {
            held.failed.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        }
        Ok(sources) if sources.plugins.is_empty() => in_file(),
        Ok(sources) => {
            let quoted = sources.plugins.iter().map(|plugin| format!("\"{plugin}\""));
            let plugins = quoted.collect::<Vec<_>>().join(", ");
            let by_plugins = format!("{word} {} is not granted to {owner} by {plugins}", refused.missing);
            let by_plugins = by_plugins + " (subid: in /etc/nsswitch.conf)";
            if sources.files { by_plugins + "; " + &in_file() } else { by_plugins }
        }
    };
    let exempt = if asker.uid.raw() == 0 { "; root is not exempt" } else { "" };
    let own = asker.own;
    let files_decide = held.failed.is_empty() && held.sources.as_ref().is_ok_and(|sources| sources.files);
    let help = if held.sources.is_err() {
        "; with \"subid: files\" the file decides".to_owned()
    } else if host.contains(own) && host.count() > 1 {
        format!("; the caller's own {word} {own} is allowed by itself only, with count 1")
    } else if refused.missing.raw() < FIRST_FREE {
        format!("; host {word}s below {FIRST_FREE} are for accounts of this host, not for containers")
    } else if !files_decide {
        String::new()
    } else if is_tame(asker.name()) {
        format!("; root can grant more: usermod --add-sub{word}s FIRST-LAST {owner}")
    } else {
        "; root can grant more".to_owned()
    };
    rule + exempt + &help
}

/// 16-bit ids are where hosts have their accounts; `useradd` grants subordinate ids from 100000 up: `login.defs(5)`.
pub const FIRST_FREE: u32 = 65536;

/// What a rule of the host's own forbids, and why.
#[must_use]
pub fn forbidden(kind: Kind, forbidden: &Forbidden) -> (String, String) {
    let (word, file) = (kind.word(), kind.policy_file());
    let why = match &forbidden.why {
        Why::OtherOwner(other) => match other.line {
            Some(line) => {
                format!("{word} {} is granted to another owner too, by line {line} of /etc/{file}", other.id)
            }
            None => format!("/etc/{file} grants some of it to another owner too"),
        },
        Why::Protected(id) => format!("{word} {id} is protected on this host"),
        Why::Account(account) => {
            let what = if kind == Kind::Uid { "account" } else { "group" };
            format!("{word} {} is the {what} {} of this host", account.id, Quoted(&account.name))
        }
        Why::TooMany(ids, most) => format!("{ids} {word}s in all; at most {most} can be mapped at once"),
        Why::Live(live) => {
            format!("{word} {} is in use: the user namespace of process {} maps it", live.id, live.pid)
        }
        Why::NoLimit(what) => what.clone(),
        Why::Unknown(None) => "what this rule is about cannot be found out".to_owned(),
        Why::Unknown(Some(why)) => format!("what this rule is about cannot be found out: {why}"),
    };
    let what = forbidden
        .triple
        .map_or_else(|| format!("this {} is", kind.map_file()), |triple| format!("{word} range {triple}"));
    (what, why)
}

/// So many words are no triples. None: they may be.
#[must_use]
pub fn not_triples(kind: Kind, words: usize) -> Option<String> {
    let triples = words.div_ceil(3);
    if words % 3 != 0 {
        Some(format!("ranges: {triples} is wrong for argc: {words}"))
    } else if triples == 0 {
        Some(format!("no {} range given", kind.word()))
    } else if triples > MOST_EXTENTS {
        Some(format!("{triples} ranges; the kernel takes at most {MOST_EXTENTS}"))
    } else {
        None
    }
}

/// The triples that these words are, if [`not_triples`] has nothing against their number.
///
/// # Errors
/// Why three of them are no triple.
pub fn triples(kind: Kind, words: &[impl AsRef<OsStr>]) -> Result<Vec<Triple>, String> {
    let triples = words.chunks_exact(3).filter_map(<[_]>::first_chunk::<3>);
    let parse = |words: [&[u8]; 3]| Triple::parse(words).map_err(|wrong| not_a_triple(kind, words, wrong));
    triples.map(|words| parse(words.each_ref().map(|word| word.as_ref().as_bytes()))).collect()
}

fn not_a_triple(kind: Kind, words: [&[u8]; 3], wrong: NotATriple) -> String {
    let kind = kind.word();
    let quoted = words.map(|word| Quoted(word).to_string()).join(" ");
    match wrong {
        NotATriple::Malformed(place) => {
            let word = words.get(place).copied().unwrap_or_default();
            format!("\"{}\" in \"{quoted}\" is not a plain decimal number", Quoted(word))
        }
        NotATriple::Overflow => {
            format!("sub{kind} overflow detected: \"{quoted}\" leaves the ids 0 to 4294967294")
        }
        NotATriple::Empty => format!("{kind} range \"{quoted}\" not allowed: its count is 0"),
    }
}

/// Where interfaces are allotted.
const USERNET: &str = "/etc/lxc/lxc-usernet";

/// Why somebody may have no interface there. `exists`: is there a policy file?
#[must_use]
pub fn not_allotted(name: &[u8], bridge: &str, exists: bool) -> String {
    let (name, bridge) = (Quoted(name), Quoted(bridge.as_bytes()));
    let remedy = format!("root can allow it with a line there: {name} {VETH} {bridge} 10");
    if exists {
        format!("no line of {USERNET} for him or a group of his says so; {remedy}")
    } else {
        format!("there is no {USERNET}; {remedy}")
    }
}
