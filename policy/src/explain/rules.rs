//! What `/etc/nsgate.ini` has in force for maps, and what each rule has against one.

use common::os::limits::{self, Limited};
use common::os::live;
use common::os::target::read_own;
use common::policy::host::{self, Fact, Facts, OtherOwner, asks_for_any, asks_for_limits};
use common::policy::id::Id;
use common::policy::idmap::{Kind, Triple, decide};
use common::policy::passwd::account_among;
use common::policy::refusal;
use common::policy::settings::{Idmap, in_force, limit};
use common::policy::subid::{Grant, Grants};

use super::map::Question;
use crate::failure::Failure;
use crate::machine::said;

/// What the rules are about, and what of it depends on a call that nobody makes.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) facts: Facts,
    /// On the machine that we run on?
    pub(super) live: bool,
    live_maps: bool,
    /// Is whoever runs us the one who would call?
    is_caller: bool,
}

/// A rule in force.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) line: u32,
    pub(super) key: &'static str,
    /// As the file has it, in order.
    pub(super) value: String,
    pub(super) says: Says,
}

/// What it says to the map.
#[derive(Debug)]
pub(super) enum Says {
    /// Nothing against it.
    Yes(String),
    /// This.
    No(String),
    /// It will look at this when the helper is called.
    Later(String),
}

/// Finds out what the rules in force are about. What depends on a call is taken for fulfilled; [`say`] says so.
pub(super) fn find(
    question: &Question<'_>,
    own: Id,
    rules: &Idmap,
    triples: &[Triple],
    other_owner: Fact<OtherOwner>,
) -> Result<Known, Failure> {
    let (machine, kind) = (question.machine, question.kind);
    let wanted = host::wanted(own, triples);
    let mut facts = Facts { other_owner, ..Facts::default() };
    if in_force(rules.protect_accounts).is_some() {
        facts.account = account_among(kind, own, &wanted, |name, see| {
            let file = machine.database(name)?.map_err(said)?;
            file.map(|mut file| file.beginnings(&format!("/etc/{name}"), see).map_err(said)).transpose()
        })?;
    }
    let live = machine.is_live();
    let is_caller = live && nix::unistd::getuid().as_raw() == question.user.uid.raw();
    let live_maps = live && in_force(rules.exclusive).is_some();
    facts.live = if live_maps { facts.or_why_not(live::user_of(&wanted, kind)) } else { Fact::Nothing };
    (facts.no_limit, facts.no_ulimit) = (Fact::Nothing, Fact::Nothing);
    if is_caller && asks_for_limits(rules) {
        let (cgroup, own_limits) = (read_own("cgroup"), read_own("limits"));
        let caller =
            [Limited { who: "the caller", cgroup: cgroup.as_deref(), limits: own_limits.as_deref() }];
        limits::find(rules, &caller, &mut facts);
    }
    Ok(Known { facts, live, live_maps, is_caller })
}

/// Every rule in force by itself, so that not only the first one in the way is heard. A map that is not granted is looked at
/// as if it were.
pub(super) fn say(kind: Kind, own: Id, triples: &[Triple], rules: &Idmap, known: &Known) -> Vec<Rule> {
    let all = triples.iter().map(|triple| Grant { range: triple.host(), line: 0 }).collect();
    let Ok(granted) = decide(own, triples.to_vec(), &Grants::new(all)) else { return Vec::new() };
    let says = |alone: Idmap, yes: &str| match host::allow(own, granted.clone(), &alone, &known.facts) {
        Ok(_) => Says::Yes(yes.to_owned()),
        Err(forbidden) => Says::No(refusal::forbidden(kind, &forbidden).1),
    };
    let mut said = Vec::new();
    let mut add = |line, key, value: String, says| said.push(Rule { line, key, value, says });

    if let Some(rule) = rules.protect.clone().filter(|rule| !rule.value.is_empty()) {
        let (line, value) = (rule.line, list(rule.value.iter().map(ToString::to_string)));
        let alone = Idmap { protect: Some(rule), ..Idmap::default() };
        add(line, "protect", value, says(alone, "none of these is asked for"));
    }
    if let Some(rule) = limit(rules.max_ids) {
        let alone = Idmap { max_ids: Some(rule), ..Idmap::default() };
        let ids: u64 = triples.iter().map(|triple| u64::from(triple.host().count())).sum();
        add(rule.line, "max-ids", rule.value.to_string(), says(alone, &format!("{ids} in all")));
    }
    if let Some(line) = in_force(rules.refuse_overlap) {
        let alone = Idmap { refuse_overlap: rules.refuse_overlap, ..Idmap::default() };
        add(line, "overlap", "refuse".to_owned(), says(alone, "no line of another owner has one of them"));
    }
    if let Some(line) = in_force(rules.protect_accounts) {
        let alone = Idmap { protect_accounts: rules.protect_accounts, ..Idmap::default() };
        add(line, "protect-accounts", "yes".to_owned(), says(alone, "none of them is somebody else's"));
    }
    if let Some(line) = in_force(rules.exclusive) {
        let alone = Idmap { exclusive: rules.exclusive, ..Idmap::default() };
        let says = if known.live_maps {
            says(alone, "no user namespace maps one of them just now")
        } else {
            Says::Later("that no other user namespace maps one of them then".to_owned())
        };
        add(line, "exclusive", "yes".to_owned(), says);
    }
    if let (Some(line), Some(rule)) =
        (asks_for_any(rules.require_limits.as_ref()), rules.require_limits.clone())
    {
        let value = list(rule.value.iter().map(|controller| controller.word().to_owned()));
        let later = format!("that control groups limit {value} for the caller and for the target");
        let alone = Idmap { require_limits: Some(rule), ..Idmap::default() };
        add(line, "require-limits", value, of_the_caller(known, says(alone, ""), later));
    }
    if let (Some(line), Some(rule)) = (asks_for_any(rules.ulimits.as_ref()), rules.ulimits.clone()) {
        let value = list(rule.value.iter().map(|ulimit| ulimit.word.to_owned()));
        let later = format!("that {value} is limited (ulimit) for the caller and for the target");
        let alone = Idmap { ulimits: Some(rule), ..Idmap::default() };
        add(line, "ulimits", value, of_the_caller(known, says(alone, ""), later));
    }
    if let Some(line) = in_force(rules.strict_setgroups).filter(|_| kind == Kind::Gid) {
        let yes = "newgidmap denies setgroups unless every triple is granted by policy";
        add(line, "strict-setgroups", "yes".to_owned(), Says::Yes(yes.to_owned()));
    }
    said.sort_by_key(|rule| rule.line);
    said
}

/// What can be said of whoever runs us is a no, at most.
fn of_the_caller(known: &Known, says: Says, later: String) -> Says {
    match says {
        Says::No(why) if known.is_caller => Says::No(format!("{why}, called from here")),
        _ if known.is_caller => Says::Later(format!("{later}; called from here, the caller's is")),
        _ => Says::Later(later),
    }
}

fn list(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}
