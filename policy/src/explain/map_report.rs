//! `nsgate explain map`: the answer, for a person or a program.

use std::ffi::{OsStr, OsString};

use common::policy::id::Range;
use common::policy::idmap::{Kind, Triple};
use common::policy::login_defs;
use common::policy::text::Quoted;
use serde::Serialize;

use super::map::{Answer, Question, answer};
use super::remedy::{self, Remedy};
use super::rules::Says;
use super::{ALLOWED, Ids, Person, REFUSED, Reason, helper, said, say_remedies, title};
use crate::accounts::{Accounts, User};
use crate::failure::Failure;
use crate::machine::Machine;
use crate::output::{Output, Style, plural};
use crate::root::Root;

/// So many lines that grant one range are shown.
const MOST_LINES: usize = 6;

/// The answer, and the exit status.
pub(super) fn run(
    root: &Root,
    user: &OsStr,
    kind: Kind,
    words: &[OsString],
    out: &mut Output,
) -> Result<u8, Failure> {
    let machine = Machine::of(root)?;
    let accounts = Accounts::read(root)?;
    let user = accounts.user(user)?;
    let found = answer(&Question { machine: &machine, kind, user: &user, words })?;
    let target = of_the_target(&machine, kind, &user)?;
    let word = accounts.word_for(&user);
    let remedies = remedy::of_map(root, kind, (&user, &word), &found);
    let remedies: Vec<Remedy> = remedies.into_iter().map(|remedy| remedy.on(root)).collect();
    if out.is_json() {
        out.document(&document(kind, &user, &found, &target, &remedies))?;
    } else {
        say(kind, &user, &found, &target, &remedies, out);
    }
    Ok(if found.refused.is_none() { ALLOWED } else { REFUSED })
}

/// What the helper will look at besides: there is no target yet.
fn of_the_target(machine: &Machine<'_>, kind: Kind, user: &User) -> Result<Vec<String>, Failure> {
    let (uid, gid) = (user.uid, user.gid);
    // As for the helpers: a file that is not as it should be allows nothing.
    let login_defs = machine.policy("login.defs").ok().and_then(Result::ok).flatten();
    let text = login_defs.and_then(|mut file| file.contents("/etc/login.defs").ok());
    let any_group = text.is_some_and(|text| login_defs::grants_aux_group_subids(&text));
    let group = if any_group {
        "in the group that the caller is in just then (/etc/login.defs: GRANT_AUX_GROUP_SUBIDS yes)"
            .to_owned()
    } else {
        format!("in the caller's login group, gid {gid}")
    };
    Ok(vec![
        format!("it runs as uid {uid}, {group}"),
        format!(
            "it is in a user namespace that uid {uid} has made in the caller's own, whose {} is empty",
            kind.map_file()
        ),
        "it is dumpable".to_owned(),
    ])
}

/// What grants a range, and what nothing grants.
struct Behind {
    lines: Vec<(u32, Range)>,
    more: usize,
    sources: Vec<String>,
    missing: Vec<Range>,
    own: bool,
}

fn behind(triple: &Triple, found: &Answer) -> Behind {
    let host = triple.host();
    let own = host.count() == 1 && found.own == Some(host.first());
    let Some(grants) = &found.grants else {
        return Behind { lines: Vec::new(), more: 0, sources: Vec::new(), missing: Vec::new(), own };
    };
    let mut lines = grants.behind(host).map(|grant| (grant.line, grant.range));
    let shown = lines.by_ref().take(MOST_LINES).collect();
    let missing = grants.missing(host);
    Behind {
        lines: shown,
        more: lines.count(),
        sources: grants.sources_behind(host).map(ToString::to_string).collect(),
        // By itself it needs no grant.
        own: own && !missing.is_empty(),
        missing: if own { Vec::new() } else { missing },
    }
}

fn say(kind: Kind, user: &User, found: &Answer, target: &[String], remedies: &[Remedy], out: &mut Output) {
    let (name, helper, word) = (Quoted(&user.name), helper(kind), kind.word());
    let file = kind.policy_file();
    match &found.refused {
        None => {
            let verdict = format!("{name} may map this");
            out.line(out.paint(Style::Good, &verdict));
        }
        Some(error) => {
            let refuses = out.paint(Style::Error, &format!("{helper} would refuse:"));
            out.line(format!("{refuses} {}", Reason::of(error).message));
        }
    }
    if !found.triples.is_empty() {
        out.line("");
    }
    for triple in &found.triples {
        let heading = format!("{word} {} -> host {word} {}", triple.inside(), triple.host());
        out.line(out.paint(Style::Strong, &heading));
        let Behind { lines, more, sources, missing, own } = behind(triple, found);
        for (line, range) in lines {
            out.line(format!("  granted by /etc/{file}:{line} ({})", said(range)));
        }
        if more > 0 {
            out.line(format!("  and by {more} more line{}", plural(more)));
        }
        for source in sources {
            out.line(format!("  granted by the source {source} (subid: in /etc/nsswitch.conf)"));
        }
        if own {
            out.line(format!("  {name}'s own {word}, which needs no grant"));
        }
        for range in missing.iter().take(MOST_LINES) {
            let missing = out.paint(Style::Error, "missing");
            out.line(format!("  {missing}: {range} ({} id{})", range.count(), plural(range.count())));
        }
        if missing.len() > MOST_LINES {
            let more = missing.len().saturating_sub(MOST_LINES);
            out.line(format!("  and {more} more gap{}", plural(more)));
        }
    }
    if let Some(denies) = found.denies_setgroups {
        title(out, "setgroups");
        out.line(if denies {
            "  denied in the namespace: the ids are not all granted by policy, and dropping a group could gain access"
        } else {
            "  stays as it is: policy grants gids"
        });
    }
    if let Some(extents) = found.extents.filter(|extents| *extents > found.triples.len()) {
        out.line("");
        out.line(format!(
            "the kernel gets {extents} extents: triples are split where the caller's own user namespace is"
        ));
    }
    if !found.rules.is_empty() {
        title(out, "rules of /etc/nsgate.ini");
    }
    for rule in &found.rules {
        let says = match &rule.says {
            Says::Yes(why) => format!("{}: {why}", out.paint(Style::Good, "no objection")),
            Says::No(why) => format!("{}: {why}", out.paint(Style::Error, "forbids it")),
            Says::Later(what) => format!("{}: {what}", out.paint(Style::Warning, "will want")),
        };
        out.line(format!("  :{} {} = {}", rule.line, rule.key, rule.value));
        out.line(format!("      {says}"));
    }
    if found.refused.is_none() {
        title(out, "what it will want of the target process");
        for line in target {
            out.line(format!("  {line}"));
        }
    }
    say_remedies(out, remedies);
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    verb: &'static str,
    user: Person,
    helper: &'static str,
    allowed: bool,
    reason: Option<Reason>,
    triples: Vec<TripleDocument>,
    setgroups: Option<&'static str>,
    rules: Vec<RuleDocument<'a>>,
    target: &'a [String],
    commands: Vec<&'a str>,
    advice: Vec<&'a str>,
}

#[derive(Serialize)]
struct TripleDocument {
    inside: Ids,
    host: Ids,
    own: bool,
    lines: Vec<LineDocument>,
    more_lines: usize,
    sources: Vec<String>,
    missing: Vec<Ids>,
}

#[derive(Serialize)]
struct LineDocument {
    file: String,
    line: u32,
    ids: Ids,
}

#[derive(Serialize)]
struct RuleDocument<'a> {
    line: u32,
    key: &'static str,
    value: &'a str,
    verdict: &'static str,
    says: &'a str,
}

fn document<'a>(
    kind: Kind,
    user: &User,
    found: &'a Answer,
    target: &'a [String],
    remedies: &'a [Remedy],
) -> Document<'a> {
    let triple = |triple: &Triple| {
        let Behind { lines, more, sources, missing, own } = behind(triple, found);
        let line = |(line, range): (u32, Range)| LineDocument {
            file: format!("/etc/{}", kind.policy_file()),
            line,
            ids: range.into(),
        };
        TripleDocument {
            inside: triple.inside().into(),
            host: triple.host().into(),
            own,
            lines: lines.into_iter().map(line).collect(),
            more_lines: more,
            sources,
            missing: missing.into_iter().map(Ids::from).collect(),
        }
    };
    let rule = |rule: &'a super::rules::Rule| {
        let (verdict, says) = match &rule.says {
            Says::Yes(says) => ("no objection", says),
            Says::No(says) => ("forbids", says),
            Says::Later(says) => ("at the call", says),
        };
        RuleDocument { line: rule.line, key: rule.key, value: &rule.value, verdict, says }
    };
    Document {
        schema: "nsgate/1",
        verb: "explain map",
        user: Person::of(user),
        helper: helper(kind),
        allowed: found.refused.is_none(),
        reason: found.refused.as_ref().map(Reason::of),
        triples: found.triples.iter().map(triple).collect(),
        setgroups: found.denies_setgroups.map(|denies| if denies { "denied" } else { "as it is" }),
        rules: found.rules.iter().map(rule).collect(),
        target,
        commands: remedies.iter().filter_map(|remedy| remedy.command.as_deref()).collect(),
        advice: remedies.iter().filter_map(|remedy| remedy.advice.as_deref()).collect(),
    }
}
