//! A map: from the words on the command line to the verdict of newuidmap or newgidmap, step by step as they go.

use std::ffi::OsString;

use common::Error;
use common::os::account::Services;
use common::os::host_policy::HostPolicy;
use common::os::namespace::{ids_here, is_of_an_owner_unknown_here};
use common::os::subid_source::{Inquiry, Plugins};
use common::policy::holdings::{Asker, Holdings};
use common::policy::host::{self, Fact, OtherOwner};
use common::policy::id::{Id, Range};
use common::policy::idmap::{Approved, Kind, NotGranted, Triple, decide};
use common::policy::nsswitch::Nsswitch;
use common::policy::overlap::Reaching;
use common::policy::refusal;
use common::policy::settings::Idmap;
use common::policy::subid::Grants;
use common::policy::subid_source::Sources;

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
    match refusal::triples(kind, words).map_err(usage) {
        Ok(triples) => answer.triples = triples,
        Err(error) => {
            answer.refuse(error);
            return Ok(answer);
        }
    }

    let rules = &host_policy.settings.idmap;
    let (names, triples) = (answer.names.clone(), answer.triples.clone());
    let asker = Asker { uid: user.uid, own, kind, names: &names };
    let held = nsswitch.and_then(|nsswitch| held(&asker, machine, policy_file, &nsswitch, rules, &triples));
    let other_owner = grant(&mut answer, question, &asker, held)?;
    let facts = rules::find(question, own, rules, &triples, other_owner)?;
    answer.rules = rules::say(kind, own, &triples, rules, &facts);
    if answer.not_granted.is_none() {
        settle(&mut answer, &asker, &host_policy, &facts);
    }
    Ok(answer)
}

/// Granted it is: what the host's rules and the kernel make of it.
fn settle(answer: &mut Answer, asker: &Asker<'_>, host_policy: &HostPolicy, known: &Known) {
    let (own, kind) = (asker.own, asker.kind);
    let granted =
        match decide(own, answer.triples.clone(), answer.grants.as_ref().unwrap_or(&Grants::default())) {
            Ok(granted) => granted,
            Err(_) => return,
        };
    let approved: Approved = match host::allow(own, granted, &host_policy.settings.idmap, &known.facts) {
        Ok(approved) => approved,
        Err(forbidden) => return answer.refuse(host_policy.forbids_map(kind, &forbidden)),
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
    asker: &Asker<'_>,
    held: Result<Holdings, Error>,
) -> Result<Fact<OtherOwner>, Failure> {
    let (own, triples) = (asker.own, answer.triples.clone());
    let held = match held {
        Ok(held) => held,
        Err(out_of_reach) => {
            // As for the helpers: where the policy's owner does not exist, everybody keeps his own id.
            let foreign = is_of_an_owner_unknown_here(&out_of_reach);
            if foreign && decide(own, triples, &Grants::default()).is_ok() {
                return Ok(Fact::Nothing);
            }
            answer.refuse(out_of_reach);
            return Ok(Fact::Unknown);
        }
    };
    if let Err(refused) = decide(own, triples, &held.grants) {
        let why = refusal::not_granted(asker, &held, &refused);
        answer.not_granted = Some(refused);
        answer.refuse(Error::NotGranted { kind: asker.kind, refused, why });
        answer.holder_of_missing = holder_of_missing(question, asker, &answer.triples, &held.grants)?;
    }
    answer.grants = Some(held.grants);
    answer.sources = held.sources.ok();
    Ok(held.other_owner)
}

/// So many runs of missing ids are held against other owners' lines.
const MOST_MISSING: usize = 64;

/// Whose are the ids that he lacks?
fn holder_of_missing(
    question: &Question<'_>,
    asker: &Asker<'_>,
    triples: &[Triple],
    grants: &Grants,
) -> Result<Option<OtherOwner>, Failure> {
    let file = question.machine.policy(asker.kind.policy_file())?;
    let Ok(Some(mut file)) = file else { return Ok(None) };
    // A few are enough for a hint; of a great many, every line would have to be held against each.
    let wanted = host::wanted(asker.own, triples);
    let missing: Vec<Range> =
        wanted.iter().flat_map(|range| grants.missing(*range)).take(MOST_MISSING).collect();
    let owner = asker.owner();
    let mut reaching = Reaching::new(&owner, &missing, None);
    let read = file.blocks("", |line, block| reaching.look_at(line, block));
    Ok(read.ok().and_then(|()| reaching.finish().1))
}

/// What policy says to him, as to the helpers.
fn held(
    asker: &Asker<'_>,
    machine: &Machine<'_>,
    file: Opened,
    nsswitch: &Nsswitch,
    rules: &Idmap,
    triples: &[Triple],
) -> Result<Holdings, Error> {
    let (mut unread, mut file) = (Some(file), None);
    let held = Holdings::in_file(asker, nsswitch, rules, triples, |see| {
        if let Some(opened) = unread.take() {
            file = opened?;
        }
        let Some(file) = &mut file else { return Ok(None) };
        file.blocks(&format!("/etc/{}", asker.kind.policy_file()), see)?;
        Ok(Some(file.readable_by_all()))
    })?;
    Ok(held.with_plugins(asker, triples, |source, ranges| {
        if machine.is_live() {
            Services.ask(source, &Inquiry { kind: asker.kind, owner: asker.name(), ranges, args: &[] })
        } else {
            Err("is one of the image's, and is not asked here".to_owned())
        }
    }))
}

impl Answer {
    /// What comes first is what the helper says.
    fn refuse(&mut self, error: Error) {
        self.refused.get_or_insert(error);
    }
}

fn usage(why: String) -> Error {
    Error::Usage { why, usage: "ID LOWERID COUNT, once or more" }
}

/// Those of a machine that is not running.
fn all_ids() -> Vec<Range> {
    Vec::from_iter(Id::new(0).and_then(|first| Range::new(first, u32::MAX)))
}
