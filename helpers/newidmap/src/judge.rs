//! May he? What policy says to this request, and which files said it.

use common::Error;
use common::os::host_policy::{self, HostPolicy};
use common::os::namespace::{Relation, is_of_an_owner_unknown_here};
use common::os::target::Target;
use common::os::trusted::{AsRead, Etc, EtcFile};
use common::policy::holdings::{Asker, Holdings};
use common::policy::host::{self, Fact, OtherOwner};
use common::policy::idmap::{Approved, Granted, Kind, Map, Triple, decide};
use common::policy::nsswitch::Nsswitch;
use common::policy::refusal;
use common::policy::settings::Idmap;
use common::policy::subid::Grants;

use crate::{Caller, Program, explain, facts};

/// So often policy is read again, if it changes each time. More than that is no admin at work.
const MOST_READINGS: u32 = 1000;

/// What is judged, and what is known of it besides policy.
pub(crate) struct Judge<'a> {
    pub(crate) program: &'a Program,
    pub(crate) caller: &'a Caller,
    pub(crate) target: &'a Target,
    pub(crate) etc: &'a Etc,
    /// Has the helper the capability that it is for?
    pub(crate) privileged: bool,
    pub(crate) triples: Vec<Triple>,
}

/// He may, by these files.
pub(crate) struct Judged {
    pub(crate) approved: Approved,
    pub(crate) relation: Relation,
    pub(crate) map: Map,
    grants: FilesSay,
    host: HostPolicy,
}

/// Which file it is that grants.
enum FilesSay {
    /// None has a say, or none could be obeyed. Whatever becomes of them is all the same.
    Nothing,
    /// This one, or that there is none.
    Read(AsRead),
}

impl FilesSay {
    fn is_as_it_was(&self, etc: &Etc) -> Result<bool, Error> {
        match self {
            Self::Nothing => Ok(true),
            Self::Read(file) => file.is_as_it_was(etc),
        }
    }
}

impl Judged {
    /// Does setgroups have to be denied first?
    pub(crate) fn denies_setgroups(&self, kind: Kind) -> bool {
        kind == Kind::Gid && self.approved.denies_setgroups()
    }
}

impl Judge<'_> {
    /// The whole of it: what the file of kind [`Kind::policy_file`] grants, what plugins do, the host's own rules, and what the
    /// kernel can take.
    pub(crate) fn judge(
        &self,
        file: Result<Option<EtcFile>, Error>,
        host: HostPolicy,
        nsswitch: Result<&Nsswitch, Error>,
        with_plugins: impl FnOnce(Result<Holdings, Error>) -> Result<Holdings, Error>,
    ) -> Result<Judged, Error> {
        let kind = self.program.kind;
        let asker = self.caller.asks(kind);
        let rules = &host.settings.idmap;
        let mut grants = FilesSay::Nothing;
        let held = nsswitch.and_then(|nsswitch| self.in_file(&asker, file, &mut grants, (nsswitch, rules)));
        let (granted, others) = self.grant(&asker, with_plugins(held))?;
        let facts = facts::find(kind, self.caller, self.target, self.etc, rules, &granted, others)?;
        let approved = host::allow(asker.own, granted, rules, &facts)
            .map_err(|forbidden| host.forbids_map(kind, &forbidden))?;
        let relation = self.target.namespace()?;
        let map = approved.for_parent(&relation.ids_here(kind)).map_err(|why| Error::Unfit { kind, why })?;
        Ok(Judged { approved, relation, map, grants, host })
    }

    /// The same judgement, by policy as it is now: what has changed is opened again, with the caller's rights. Plugins are not
    /// asked again.
    ///
    /// # Errors
    /// He may not, any more. [`Error::Changed`]: perhaps he may, but only a new call can tell.
    pub(crate) fn by_policy_now(
        &self,
        mut judged: Judged,
        nsswitch: Option<&Nsswitch>,
    ) -> Result<Judged, Error> {
        for _ in 0..MOST_READINGS {
            let (same_grants, same_rules) =
                (judged.grants.is_as_it_was(self.etc)?, judged.host.is_as_it_was(self.etc)?);
            if same_grants && same_rules {
                return Ok(judged);
            }
            let host =
                if same_rules { judged.host } else { HostPolicy::read(self.again(host_policy::NAME)?)? };
            let file = match judged.grants {
                FilesSay::Read(read) if same_grants => read.once_more(),
                FilesSay::Read(_) | FilesSay::Nothing => self.again(self.program.kind.policy_file())?,
            };
            let nsswitch = nsswitch.ok_or(Error::Changed)?;
            judged = match self.judge(Ok(file), host, Ok(nsswitch), |held| held) {
                Err(Error::NotGranted { .. }) if nsswitch.names_plugins() => return Err(Error::Changed),
                judged => judged?,
            };
        }
        Err(Error::Changed)
    }

    /// Opens it anew. What only root could open, only a new call can.
    fn again(&self, name: &'static str) -> Result<Option<EtcFile>, Error> {
        self.etc.policy(name).map_err(|_| Error::Changed)
    }

    /// What the file says to him, if it has a say: then it is kept in `file`.
    fn in_file(
        &self,
        asker: &Asker<'_>,
        opened: Result<Option<EtcFile>, Error>,
        file: &mut FilesSay,
        (nsswitch, rules): (&Nsswitch, &Idmap),
    ) -> Result<Holdings, Error> {
        let name = asker.kind.policy_file();
        let (mut unread, mut as_read) = (Some(opened), None);
        let held = Holdings::in_file(asker, nsswitch, rules, &self.triples, |see| {
            if let Some(opened) = unread.take() {
                as_read = Some(opened?.map_or(AsRead::Nothing(name), AsRead::File));
            }
            let Some(AsRead::File(file)) = &mut as_read else { return Ok(None) };
            file.blocks(&format!("/etc/{name}"), see)?;
            Ok(Some(file.readable_by_all()))
        })?;
        *file = as_read.map_or(FilesSay::Nothing, FilesSay::Read);
        Ok(held)
    }

    /// What the policy files grant, and the reason if it is not this; and what they say of other owners of the same ids, if
    /// that was asked.
    fn grant(
        &self,
        asker: &Asker<'_>,
        held: Result<Holdings, Error>,
    ) -> Result<(Granted, Fact<OtherOwner>), Error> {
        let triples = self.triples.clone();
        let out_of_reach = match held {
            Ok(held) => {
                return match decide(asker.own, triples, &held.grants) {
                    Ok(granted) => Ok((granted, held.other_owner)),
                    Err(refused) => {
                        let why = refusal::not_granted(asker, &held, &refused);
                        Err(Error::NotGranted { kind: asker.kind, refused, why })
                    }
                };
            }
            Err(error) => error,
        };
        // Policy that cannot be read or trusted is a refusal. Not so for those whom no policy could help: a helper without
        // privilege, and a user namespace in which the policy's owner does not exist. They keep their own id.
        if self.privileged && !is_of_an_owner_unknown_here(&out_of_reach) {
            return Err(out_of_reach);
        }
        // Of his own id alone, nobody else is an owner.
        decide(asker.own, triples, &Grants::default()).map(|granted| (granted, Fact::Nothing)).map_err(|_| {
            if self.privileged { out_of_reach } else { explain::without_privilege(self.program) }
        })
    }
}

/// The host's own rules. Where their owner does not exist, they are not those of the host that we are on. If there is no policy
/// that could be obeyed either, nor a plugin, so that nothing is granted but the caller's own id, that is no obstacle.
pub(crate) fn read_host_policy(
    file: Result<Option<EtcFile>, Error>,
    nothing_grants: bool,
) -> Result<HostPolicy, Error> {
    match file.and_then(HostPolicy::read) {
        Err(error) if nothing_grants && is_of_an_owner_unknown_here(&error) => Ok(HostPolicy::default()),
        read => read,
    }
}
