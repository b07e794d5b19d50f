//! The places of one interface: in the table of its quota, and in that of all owners where the host limits these.
//!
//! One's own is the first to be taken and the last to be given back. So whoever dies in between has a place less himself, and takes
//! none from others that costs him nothing.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use common::Error;
use common::os::netns::Interfaces;
use common::policy::ledger::Record;
use common::policy::nic::Attachment;
use common::policy::settings::Set;
use common::policy::usernet::Quota;

use crate::ledger::{ALL, Claim, Ledger, PATIENCE, Place, SOME, Table, Tidied};
use crate::links::Links;
use crate::permit;
use crate::view::View;
use crate::wire;

/// So long a call that has room anyhow clears away what others have left. To remove one interface takes some 16 milliseconds.
const FOR_WHAT_OTHERS_LEFT: Duration = Duration::from_millis(100);

/// Both, locked and with a record in them.
pub(crate) struct Places<'a> {
    own: Place<'a>,
    all: Option<Place<'a>>,
}

impl Places<'_> {
    pub(crate) fn write(&self, record: &Record) -> Result<(), Error> {
        self.all.as_ref().map_or(Ok(()), |place| place.write(record))?;
        self.own.write(record)
    }

    pub(crate) fn locks(&self) -> Vec<BorrowedFd<'_>> {
        std::iter::once(&self.own).chain(&self.all).map(Place::lock).collect()
    }

    pub(crate) fn withdraw(self) -> Result<(), Error> {
        self.all.map_or(Ok(()), Place::withdraw)?;
        self.own.withdraw()
    }
}

/// Where they are asked for.
pub(crate) struct Tables<'a> {
    ledger: &'a Ledger,
    interfaces: &'a Interfaces,
    attachment: &'a Attachment,
    /// That of all owners, and how many may be in it.
    all: Option<(Table, Set<u32>)>,
}

/// Why there are none.
#[derive(Default)]
pub(crate) struct NoRoom<'a> {
    /// Of each quota, how many there are.
    pub(crate) used: Vec<(&'a Quota, usize)>,
    /// The host's limit for all owners, and how many there are.
    pub(crate) of_all: Option<(Set<u32>, usize)>,
    /// Some are being made or removed just now: they may leave room.
    pub(crate) is_busy: bool,
    /// What could not be cleared away, and counts.
    pub(crate) in_the_way: Option<Error>,
}

impl NoRoom<'_> {
    fn add(&mut self, trouble: Option<Error>) {
        self.in_the_way = self.in_the_way.take().or(trouble);
    }
}

/// What goes with clearing away what others have left in a table.
#[derive(Clone, Copy)]
enum Along<'a> {
    /// Of a quota's table: the same is cleared away in that of all owners before.
    All(Option<&'a Table>),
    /// Of the table of all owners: a command that is run for it keeps one's own place, too. Its caller could freeze it and have us killed.
    Own(&'a Place<'a>),
}

impl<'a> Tables<'a> {
    /// On this bridge, of whose owners there may be `most` interfaces.
    pub(crate) fn open(
        ledger: &'a Ledger,
        interfaces: &'a Interfaces,
        attachment: &'a Attachment,
        most: Option<Set<u32>>,
    ) -> Result<Self, Error> {
        let all = most.map(|most| Ok((ledger.make_table(&permit::table_of_all(attachment))?, most)));
        Ok(Self { ledger, interfaces, attachment, all: all.transpose()? })
    }

    /// Asks for places for what is to be made, by a quota whose table is that of `view`. Ok(None): there is no room, and why has been added
    /// to `no_room`.
    pub(crate) fn claim<'t, 'q>(
        &'t self,
        links: &mut Links,
        view: &View<'t>,
        (quota, record): (&'q Quota, &Record),
        no_room: &mut NoRoom<'q>,
    ) -> Result<Option<Places<'t>>, Error> {
        let along = Along::All(self.all.as_ref().map(|(table, _)| table));
        let (claimed, trouble) = self.claim_in(links, view, (quota.limit, record), along)?;
        no_room.add(trouble);
        let own = match claimed {
            Claim::Placed(own) => own,
            Claim::Full { taken, busy } => {
                no_room.used.push((quota, taken));
                no_room.is_busy |= busy;
                return Ok(None);
            }
        };
        let Some((table, most)) = &self.all else { return Ok(Some(Places { own, all: None })) };
        let view = View { table, owner: Vec::new(), ..*view };
        match self.claim_in_all(links, &view, (*most, record), &own, no_room) {
            Ok(Some(all)) => Ok(Some(Places { own, all: Some(all) })),
            // Or that table is not as it should be. One's own place is not to stay taken for that.
            none_or_error => {
                own.withdraw()?;
                none_or_error.map(|_| None)
            }
        }
    }

    fn claim_in_all<'t>(
        &self,
        links: &mut Links,
        view: &View<'t>,
        (most, record): (Set<u32>, &Record),
        own: &Place<'_>,
        no_room: &mut NoRoom<'_>,
    ) -> Result<Option<Place<'t>>, Error> {
        let what = permit::any_table(self.attachment);
        let older = self.ledger.older_than(view.table, &what, self.interfaces)?;
        let left = most.value.saturating_sub(older);
        let (claimed, trouble) = self.claim_in(links, view, (left, record), Along::Own(own))?;
        no_room.add(trouble);
        Ok(match claimed {
            Claim::Placed(place) => Some(place),
            Claim::Full { taken, busy } => {
                no_room.is_busy |= busy;
                no_room.of_all = Some((most, taken.saturating_add(usize::try_from(older).unwrap_or(0))));
                None
            }
        })
    }

    /// Asks for a place in a table, after the places of what is gone have been emptied. Also says why some could not be.
    ///
    /// Mostly there is room, whatever is gone: then it does not depend on every record. "Full" is only said after a look at all; and
    /// when all that was left behind is cleared away, or a second has been spent on that.
    fn claim_in<'t>(
        &self,
        links: &mut Links,
        view: &View<'t>,
        (limit, record): (u32, &Record),
        along: Along<'_>,
    ) -> Result<(Claim<'t>, Option<Error>), Error> {
        let (start, mut most) = (Instant::now(), SOME);
        loop {
            let mut seen = view.table.look(self.interfaces, most)?;
            let tidied = view.table.tidy(
                &mut seen,
                FOR_WHAT_OTHERS_LEFT,
                |record, locks| clear(links, record, locks, along),
                |gone| view.forget(gone),
            )?;
            let claim = view.table.claim(&seen, limit, record)?;
            let (may_have_room, trouble) = match tidied {
                Tidied::Wholly => (seen.len() > most, None),
                Tidied::InPart => (start.elapsed() < PATIENCE, None),
                Tidied::NotThat(error @ Error::System { .. }) => (seen.len() > most, Some(error)),
                Tidied::NotThat(error) => (false, Some(error)),
            };
            if !may_have_room || matches!(claim, Claim::Placed(_)) {
                return Ok((claim, trouble));
            }
            most = ALL;
        }
    }
}

/// Removes what there is of an interface that is gone, or was left unfinished.
fn clear(
    links: &mut Links,
    record: &Record,
    locks: &[BorrowedFd<'_>],
    along: Along<'_>,
) -> Result<(), Error> {
    let held = if let Along::Own(place) = along { Some(place.lock()) } else { None };
    let locks: Vec<_> = locks.iter().copied().chain(held).collect();
    if record.is_unfinished() {
        wire::clear(links, record, &locks)?;
    } else {
        // The kernel has just said that there is no such interface.
        wire::clear_port(record, &locks)?;
    }
    if let Along::All(Some(all)) = along { all.forget(record) } else { Ok(()) }
}
