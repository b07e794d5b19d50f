//! Who the caller is and what policy lets him have.

use std::ffi::OsStr;

use common::Error;
use common::os::account::{Names, Question};
use common::os::trusted::{Etc, EtcFile};
use common::policy::id::Id;
use common::policy::nic::Attachment;
use common::policy::nsswitch::Nsswitch;
use common::policy::refusal::{all_used, not_allotted};
use common::policy::text::Quoted;
use common::policy::usernet::{Quota, Search, VETH};
use nix::unistd::{getgid, getgroups};

/// Under `/etc`.
pub(crate) const POLICY: &str = "lxc/lxc-usernet";
const PATH: &str = "/etc/lxc/lxc-usernet";

/// Who asks: by his real ids, which `exec` does not change, and the groups he is in.
pub(crate) struct Caller<'a> {
    question: Question<'a>,
    names: Vec<Vec<u8>>,
    groups: Vec<Id>,
}

impl<'a> Caller<'a> {
    /// By his real uid. His own credentials must be in force: the name services of the host may run code of others.
    pub(crate) fn of_this_process(
        uid: u32,
        etc: &'a Etc,
        nsswitch: &'a Nsswitch,
        names: &impl Names,
        args: &'a [&'a OsStr],
    ) -> Result<Self, Error> {
        let uid = id_of(uid)?;
        let question = Question { uid, etc, nsswitch, args };
        let account = names.account(&question)?.ok_or(Error::NoAccount { uid: uid.raw() })?;
        Ok(Self { question, names: account.names, groups: own_groups()? })
    }

    pub(crate) const fn uid(&self) -> Id {
        self.question.uid
    }

    fn name(&self) -> &[u8] {
        self.names.first().map_or(b"?", Vec::as_slice)
    }
}

/// The kernel never gives a process the id -1.
pub(crate) fn id_of(uid: u32) -> Result<Id, Error> {
    Id::new(uid).ok_or(Error::NoAccount { uid })
}

/// The real group, and all others.
fn own_groups() -> Result<Vec<Id>, Error> {
    let others = getgroups().map_err(Error::when("ask for the caller's groups"))?;
    Ok(std::iter::once(getgid()).chain(others).filter_map(|gid| Id::new(gid.as_raw())).collect())
}

/// Tables in which something that this user made may be recorded: his own, and those of his groups.
pub(crate) fn tables_of(uid: Id, attachment: &Attachment) -> Result<Vec<String>, Error> {
    let groups = own_groups()?;
    let owners = std::iter::once(format!("u{uid}")).chain(groups.iter().map(|gid| format!("g{gid}")));
    Ok(owners.map(|owner| table(&owner, attachment)).collect())
}

/// The ledger's name for the table behind a quota.
pub(crate) fn table(owner: &str, attachment: &Attachment) -> String {
    format!("{owner}.{}", any_table(attachment))
}

/// What is the same in the names of all owners' tables for a bridge.
pub(crate) fn any_table(attachment: &Attachment) -> String {
    format!("{VETH}.{}", attachment.word())
}

/// The ledger's name for the table of all owners' interfaces on a bridge.
pub(crate) fn table_of_all(attachment: &Attachment) -> String {
    table("all", attachment)
}

/// The caller may have an interface there, as long as one of these quotas has room. There is at least one.
pub(crate) struct Permit {
    uid: Id,
    user: Vec<u8>,
    bridge: String,
    quotas: Vec<Quota>,
    file: EtcFile,
}

impl Permit {
    /// The decision.
    pub(crate) fn of(
        caller: &Caller<'_>,
        attachment: &Attachment,
        file: Option<EtcFile>,
        names: &impl Names,
    ) -> Result<Self, Error> {
        let bridge = attachment.word();
        let refused = |exists| {
            let why = not_allotted(caller.name(), bridge, exists);
            Error::NotAllotted { user: caller.name().to_vec(), bridge: bridge.to_owned(), why }
        };
        let Some(mut file) = file else { return Err(refused(false)) };
        let mut search = Search::new(caller.uid(), &caller.names, bridge);
        file.blocks(PATH, |line, block| search.look_at(line, block))?;
        let found = search.finish();

        let wanted: Vec<Vec<u8>> = found.groups().map(<[u8]>::to_vec).collect();
        let groups = if wanted.is_empty() {
            None
        } else {
            Some(names.groups(&caller.question, wanted.iter().map(Vec::as_slice))?)
        };
        let quotas = found.quotas(caller.uid(), |name| {
            groups.as_ref().and_then(|groups| groups.gid(name)).filter(|gid| caller.groups.contains(gid))
        });
        if quotas.is_empty() {
            return Err(refused(true));
        }
        Ok(Self { uid: caller.uid(), user: caller.name().to_vec(), bridge: bridge.to_owned(), quotas, file })
    }

    pub(crate) const fn uid(&self) -> Id {
        self.uid
    }

    /// Is the policy file still what it was when it was read?
    pub(crate) fn policy_is_as_it_was(&self, etc: &Etc) -> Result<bool, Error> {
        self.file.is_as_it_was(etc)
    }

    /// Is the bridge one of the caller's own, by a line that says so?
    pub(crate) fn names_an_own_bridge(&self) -> bool {
        self.quotas.iter().any(|quota| quota.per_user)
    }

    /// The caller's own first.
    pub(crate) fn quotas(&self) -> &[Quota] {
        &self.quotas
    }

    /// What a grant rests on, for the log.
    pub(crate) fn grounds(&self, quota: &Quota) -> String {
        format!("{} may have {} ({PATH}:{})", Quoted(&quota.owner.word()), quota.limit, quota.line)
    }

    /// There was no room, and this is why. `used` has how many of each quota are.
    pub(crate) fn quota_reached(&self, used: &[(&Quota, usize)]) -> Error {
        let used = all_used(used, self.file.readable_by_all());
        Error::QuotaReached { user: self.user.clone(), bridge: self.bridge.clone(), used }
    }
}
