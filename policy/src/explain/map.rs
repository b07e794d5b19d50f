//! A map: from the words on the command line to the verdict of newuidmap or newgidmap, step by step as they go.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use common::Error;
use common::os::account::Services;
use common::os::host_policy::HostPolicy;
use common::os::namespace::{ids_here, is_of_an_owner_unknown_here};
use common::os::subid_source::{Inquiry, Plugins};
use common::policy::host::{self, OtherOwner};
use common::policy::id::{Id, Range};
use common::policy::idmap::{self, Approved, Kind, NotGranted, Triple, decide, wanted};
use common::policy::nsswitch::Nsswitch;
use common::policy::overlap::Others;
use common::policy::refusal::{self, Refused};
use common::policy::settings::{Idmap, in_force};
use common::policy::subid::{Grants, Owner, Search};
use common::policy::subid_source::{Failed, Sources, complete};

use super::rules::{self, Known, Rule};
use crate::accounts::User;
use crate::failure::Failure;
use crate::machine::{Machine, Opened};

/// Who asks for what.
pub(super) struct Question<'a> {
    pub(super) machine: &'a Machine<'a>,
    pub(super) kind: Kind,
    pub(super) user: &'a User,
    pub(super) words: &'a [OsString],
}

/// What was found out.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Of the helper. None: it would write the map.
    pub(super) refused: Option<Error>,
    /// What was asked for, as far as the words are triples.
    pub(super) triples: Vec<Triple>,
    /// The caller's own id.
    pub(super) own: Option<Id>,
    /// His account's names, the one to speak of first.
    pub(super) names: Vec<Vec<u8>>,
    /// What he was granted. None: policy could not be gone by.
    pub(super) grants: Option<Grants>,
    /// Who was asked for grants besides the files.
    pub(super) sources: Option<Sources>,
    /// The first triple that is not granted.
    pub(super) not_granted: Option<NotGranted>,
    /// Lines of others that grant what he lacks.
    pub(super) holder_of_missing: Option<OtherOwner>,
    /// What nsgate.ini has in force for maps.
    pub(super) rules: Vec<Rule>,
    /// Of an allowed map.
    pub(super) denies_setgroups: Option<bool>,
    /// How many extents the kernel gets, if triples have to be split.
    pub(super) extents: Option<usize>,
}

/// Whose lines count, and what policy says to him.
struct Policy {
    grants: Grants,
    exists: bool,
    may_be_repeated: bool,
    sources: Result<Sources, Vec<u8>>,
    failed: Vec<Failed>,
    other_owner: Option<Option<OtherOwner>>,
}

/// The whole story, as in the helpers' `tell`.
pub(super) fn answer(question: &Question<'_>) -> Result<Answer, Failure> {
    let &Question { machine, kind, user, words } = question;
    let mut answer = Answer::default();
    if let Some(why) = refusal::not_triples(kind, words.len()) {
        answer.refuse(usage(why));
        return Ok(answer);
    }

    let policy_file = machine.policy(kind.policy_file())?;
    let nsswitch = machine.nsswitch()?;
    let host_policy = machine.host_policy()?;
    let accounts_from = nsswitch.as_ref().ok().cloned().unwrap_or_default();
    match machine.account(user.uid, &accounts_from)? {
        Ok(Some(account)) => answer.names = account.names,
        Ok(None) => answer.refuse(Error::NoAccount { uid: user.uid.raw() }),
        Err(error) => answer.refuse(error),
    }
    let own = match kind {
        Kind::Uid => user.uid,
        Kind::Gid => Id::new(user.gid).ok_or_else(|| Failure::new("his login group is no group's number"))?,
    };
    answer.own = Some(own);

    let host_policy = match host_policy {
        Ok(rules) => rules,
        Err(error) if policy_file.is_err() && is_of_an_owner_unknown_here(&error) => HostPolicy::default(),
        Err(error) => {
            answer.refuse(error);
            HostPolicy::default()
        }
    };
    match parse(kind, words) {
        Ok(triples) => answer.triples = triples,
        Err(error) => {
            answer.refuse(error);
            return Ok(answer);
        }
    }

    let rules = &host_policy.settings.idmap;
    let (asked, triples) = (answer.names.clone(), answer.triples.clone());
    let caller = Caller { uid: user.uid, own, kind, names: &asked };
    let policy = match nsswitch {
        Ok(nsswitch) => Policy::of(&caller, machine.is_live(), policy_file, &nsswitch, rules, &triples),
        Err(error) => Err(error),
    };
    let other_owner = grant(&mut answer, question, &caller, policy)?;
    let facts = rules::find(question, own, rules, &triples, other_owner)?;
    answer.rules = rules::say(kind, own, &triples, rules, &facts);
    if answer.not_granted.is_none() {
        settle(&mut answer, &caller, &host_policy, &facts);
    }
    Ok(answer)
}

/// Granted it is: what the host's rules and the kernel make of it.
fn settle(answer: &mut Answer, caller: &Caller<'_>, host_policy: &HostPolicy, known: &Known) {
    let (own, kind) = (caller.own, caller.kind);
    let granted =
        match decide(own, answer.triples.clone(), answer.grants.as_ref().unwrap_or(&Grants::default())) {
            Ok(granted) => granted,
            Err(_) => return,
        };
    let approved: Approved = match host::allow(own, granted, &host_policy.settings.idmap, &known.facts) {
        Ok(approved) => approved,
        Err(forbidden) => {
            let (what, why) = refusal::forbidden(kind, &forbidden);
            let rule = host_policy.rule(forbidden.key, forbidden.line, why);
            return answer.refuse(Error::Forbidden { what, rule });
        }
    };
    let parent = if known.live { ids_here(kind) } else { all_ids() };
    match approved.for_parent(&parent) {
        Ok(map) => {
            answer.denies_setgroups = (kind == Kind::Gid).then(|| approved.denies_setgroups());
            answer.extents = Some(map.text().lines().count());
        }
        Err(why) => answer.refuse(Error::Unfit { kind, why }),
    }
}

/// Takes in what policy grants, or why it does not; hands on what it says of other owners.
fn grant(
    answer: &mut Answer,
    question: &Question<'_>,
    caller: &Caller<'_>,
    policy: Result<Policy, Error>,
) -> Result<Option<Option<OtherOwner>>, Failure> {
    let (own, triples) = (caller.own, answer.triples.clone());
    let policy = match policy {
        Ok(policy) => policy,
        Err(out_of_reach) => {
            // As for the helpers: where the policy's owner does not exist, everybody keeps his own id.
            let foreign = is_of_an_owner_unknown_here(&out_of_reach);
            if foreign && decide(own, triples, &Grants::default()).is_ok() {
                return Ok(Some(None));
            }
            answer.refuse(out_of_reach);
            return Ok(None);
        }
    };
    if let Err(refused) = decide(own, triples, &policy.grants) {
        let asked = Refused {
            kind: caller.kind,
            name: caller.name(),
            uid: caller.uid,
            own,
            exists: policy.exists,
            may_be_repeated: policy.may_be_repeated,
            sources: policy.sources.as_ref().map_err(Vec::as_slice),
            failed: &policy.failed,
        };
        let why = refusal::not_granted(&asked, &refused);
        answer.not_granted = Some(refused);
        answer.refuse(Error::NotGranted { kind: caller.kind, refused, why });
        answer.holder_of_missing = holder_of_missing(question, caller, &answer.triples, &policy.grants)?;
    }
    answer.grants = Some(policy.grants);
    answer.sources = policy.sources.ok();
    Ok(policy.other_owner)
}

/// So many runs of missing ids are held against other owners' lines.
const MOST_MISSING: usize = 64;

/// Whose are the ids that he lacks?
fn holder_of_missing(
    question: &Question<'_>,
    caller: &Caller<'_>,
    triples: &[Triple],
    grants: &Grants,
) -> Result<Option<OtherOwner>, Failure> {
    let file = question.machine.policy(caller.kind.policy_file())?;
    let Ok(Some(mut file)) = file else { return Ok(None) };
    // A few are enough for a hint; of a great many, every line would have to be held against each.
    let wanted = host::wanted(caller.own, triples);
    let missing: Vec<Range> =
        wanted.iter().flat_map(|range| grants.missing(*range)).take(MOST_MISSING).collect();
    let owner = caller.owner();
    let mut others = Others::new(&owner, &missing);
    let read = file.blocks("", |line, block| others.look_at(line, block));
    Ok(read.ok().and_then(|()| others.finish()))
}

impl Policy {
    /// As the helpers' own.
    fn of(
        caller: &Caller<'_>,
        live: bool,
        file: Opened,
        nsswitch: &Nsswitch,
        rules: &Idmap,
        triples: &[Triple],
    ) -> Result<Self, Error> {
        let sources = nsswitch.subid_sources().map_err(<[u8]>::to_vec);
        let in_files = sources.as_ref().is_ok_and(|sources| sources.files);
        let looks_for_others = in_force(rules.refuse_overlap).is_some();
        let mut policy = Self {
            grants: Grants::default(),
            exists: false,
            may_be_repeated: false,
            sources,
            failed: Vec::new(),
            other_owner: Some(None),
        };
        if let Some(mut file) = if in_files || looks_for_others { file? } else { None } {
            let owner = caller.owner();
            let wanted = host::wanted(caller.own, triples);
            let mut search = Search::new(&owner);
            let mut others = looks_for_others.then(|| Others::new(&owner, &wanted));
            file.blocks(&format!("/etc/{}", caller.kind.policy_file()), |line, block| {
                if in_files {
                    search.look_at(line, block);
                }
                if let Some(others) = &mut others {
                    others.look_at(line, block);
                }
            })?;
            policy.may_be_repeated = file.readable_by_all();
            let may_know = policy.may_be_repeated;
            let as_far_as_he_may_know =
                |other: OtherOwner| OtherOwner { line: other.line.filter(|_| may_know), ..other };
            policy.other_owner = others.map(|others| others.finish().map(as_far_as_he_may_know));
            policy.grants = search.finish();
            policy.exists = in_files;
        }
        policy.ask_plugins(caller, live, triples);
        Ok(policy)
    }

    fn ask_plugins(&mut self, caller: &Caller<'_>, live: bool, triples: &[Triple]) {
        let Ok(sources) = &self.sources else { return };
        let wanted = wanted(caller.kind, caller.own, triples);
        self.failed = complete(&mut self.grants, &wanted, &sources.plugins, |source, ranges| {
            if live {
                let inquiry = Inquiry { kind: caller.kind, owner: caller.name(), ranges, args: &[] };
                Services.ask(source, &inquiry)
            } else {
                Err("is one of the image's, and is not asked here".to_owned())
            }
        });
    }
}

/// As whom the helper would know him.
struct Caller<'a> {
    uid: Id,
    own: Id,
    kind: Kind,
    names: &'a [Vec<u8>],
}

impl Caller<'_> {
    fn name(&self) -> &[u8] {
        self.names.first().map_or(b"?", Vec::as_slice)
    }

    fn owner(&self) -> Owner {
        Owner::new(self.uid, self.names.iter().map(Vec::as_slice))
    }
}

impl Answer {
    /// What comes first is what the helper says.
    fn refuse(&mut self, error: Error) {
        self.refused.get_or_insert(error);
    }
}

/// The triples, every one of them a legal pair of ranges.
fn parse(kind: Kind, words: &[OsString]) -> Result<Vec<Triple>, Error> {
    let words: Vec<&[u8]> = words.iter().map(OsString::as_os_str).map(OsStr::as_bytes).collect();
    let triples = words.chunks_exact(3).filter_map(|words| words.first_chunk::<3>());
    let parse = |words: &[&[u8]; 3]| {
        idmap::Triple::parse(*words).map_err(|wrong| usage(refusal::not_a_triple(kind, *words, wrong)))
    };
    triples.map(parse).collect()
}

fn usage(why: String) -> Error {
    Error::Usage { why, usage: "ID LOWERID COUNT, once or more" }
}

/// Those of a machine that is not running.
fn all_ids() -> Vec<Range> {
    Vec::from_iter(Id::new(0).and_then(|first| Range::new(first, u32::MAX)))
}
