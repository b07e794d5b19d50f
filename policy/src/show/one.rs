//! One user: each of his ranges, who is next to it, and who has a part of it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use common::policy::id::{Id, Range, merged};
use common::policy::text::Quoted;

use super::holders::{Holder, Holders, Identity, common_ids, total};
use super::ids::{File, MOST_TOLD, some_of};
use crate::accounts::{Accounts, User};
use crate::failure::Failure;
use crate::root::Root;
use crate::write::grant::first_not_free;

/// Who is to be shown.
#[derive(Debug)]
pub struct Who {
    /// What he is called.
    pub name: Vec<u8>,
    identity: Identity,
    /// He, and how to call him on a command line. None: he has no account, and gets no ids.
    account: Option<(User, String)>,
}

/// The commands that give a user these ids in both files, or ids at all if there are none of his: if they are nobody else's. What
/// is the matter with them, `nsgate check` says.
#[must_use]
pub fn commands_for_the_same(root: &Root, (user, word): (&User, &str), ids: &[Range]) -> Vec<String> {
    let grant = format!("{} grant ids {word}", root.nsgate());
    let ids = ids.get(..MOST_TOLD).unwrap_or(ids);
    if ids.is_empty() {
        return vec![grant];
    }
    if !matches!(first_not_free(root, user, ids), Ok(None)) {
        return vec![format!("{} check", root.nsgate())];
    }
    let these = |ids: &Range| format!("{grant} --start {} --count {}", ids.first(), ids.count());
    ids.iter().map(these).collect()
}

impl Who {
    /// Somebody who has an account, or is in one of the files without.
    ///
    /// # Errors
    /// There is nobody of that name.
    pub fn find(word: &OsStr, accounts: &Accounts, files: &[File; 2]) -> Result<Self, Failure> {
        match accounts.user_if_any(word)? {
            Some(user) => {
                let (name, identity, word) =
                    (user.name.clone(), Identity::Uid(user.uid), accounts.word_for(&user));
                Ok(Self { name, identity, account: Some((user, word)) })
            }
            None => {
                let mut holders = files.iter().flat_map(|file| &file.holders.all);
                let found = holders
                    .find(|holder| holder.name == word.as_bytes())
                    .ok_or_else(|| accounts.nobody(word))?;
                Ok(Self { name: found.name.clone(), identity: found.identity.clone(), account: None })
            }
        }
    }

    /// Is it he?
    #[must_use]
    pub fn is(&self, holder: &Holder) -> bool {
        holder.identity == self.identity
    }

    fn among<'a>(&self, holders: &'a Holders) -> Option<&'a Holder> {
        holders.all.iter().find(|holder| self.is(holder))
    }

    /// What gives him ids by a file that has none for him: those that he has by the other one, so that both say the same.
    #[must_use]
    pub fn commands(&self, root: &Root, file: &File, other: &File) -> Vec<String> {
        let lacks = self.among(&file.holders).is_none() && other.unreadable.is_none();
        let Some((user, word)) = self.account.as_ref().filter(|_| lacks) else { return Vec::new() };
        let ids = self.among(&other.holders).map(|he| &*he.ids).unwrap_or_default();
        commands_for_the_same(root, (user, word), ids)
    }

    /// He, those who share ids with him, and his neighbours.
    pub fn company<'a>(&self, holders: &'a Holders) -> Vec<&'a Holder> {
        let Some(he) = self.among(holders) else { return Vec::new() };
        let near: Vec<Range> = Neighbours::of(holders, self).around(he);
        let near = merged(near);
        let belongs = |holder: &&Holder| {
            self.is(holder)
                || !common_ids(&he.ids, &holder.ids).is_empty()
                || !common_ids(&near, &holder.ids).is_empty()
        };
        holders.all.iter().filter(belongs).collect()
    }

    /// What one file says of him, in sentences.
    #[must_use]
    pub fn details(&self, file: &File) -> Vec<String> {
        let holders = &file.holders;
        let me = Quoted(&self.name);
        let Some(he) = self.among(holders) else {
            return vec![format!("{me} holds nothing by {}", file.path)];
        };
        let neighbours = Neighbours::of(holders, self);
        let mut lines = Vec::new();
        for line in he.lines.iter().take(MOST_TOLD) {
            let (number, range, count) = (line.number, line.range, line.range.count());
            lines.push(format!("{}:{number}: {range} ({count} ids)", file.path));
            lines.push(format!("    {}", neighbours.of_range(line.range)));
        }
        if let Some(more) = he.lines.len().checked_sub(MOST_TOLD).filter(|more| *more > 0) {
            lines.push(format!("and {more} more lines, {} ids in all", he.count()));
        }
        let shares: Vec<String> = holders
            .all
            .iter()
            .filter(|other| !self.is(other))
            .filter_map(|other| {
                let both = common_ids(&he.ids, &other.ids);
                let first = both.first()?;
                let more = if both.len() > 1 { " and more" } else { "" };
                Some(format!("{} ({first}{more}, {} ids)", Quoted(&other.name), total(&both)))
            })
            .collect();
        if !shares.is_empty() {
            lines.push(format!("! shares ids with {}: they own each other's files", some_of(&shares)));
        }
        lines
    }
}

/// What others hold, to be searched from either side.
struct Neighbours<'a> {
    by_first: Vec<(Range, &'a [u8])>,
    by_last: Vec<(Range, &'a [u8])>,
}

impl<'a> Neighbours<'a> {
    fn of(holders: &'a Holders, who: &Who) -> Self {
        let others = holders.all.iter().filter(|holder| !who.is(holder));
        let ranges =
            others.flat_map(|holder| holder.ids.iter().map(|range| (*range, holder.name.as_slice())));
        let mut by_first: Vec<_> = ranges.collect();
        let mut by_last = by_first.clone();
        by_first.sort_by_key(|(range, _)| range.first());
        by_last.sort_by_key(|(range, _)| range.last());
        Self { by_first, by_last }
    }

    fn below(&self, id: Id) -> Option<(Range, &'a [u8])> {
        let end = self.by_last.partition_point(|(range, _)| range.last() < id);
        end.checked_sub(1).and_then(|place| self.by_last.get(place)).copied()
    }

    fn above(&self, id: Id) -> Option<(Range, &'a [u8])> {
        self.by_first.get(self.by_first.partition_point(|(range, _)| range.first() <= id)).copied()
    }

    /// The ranges next to his.
    fn around(&self, he: &Holder) -> Vec<Range> {
        let near = |range: &Range| [self.below(range.first()), self.above(range.last())];
        he.ids.iter().flat_map(near).flatten().map(|(range, _)| range).collect()
    }

    fn of_range(&self, range: Range) -> String {
        let free = |from: u32, to: u32| match to.saturating_sub(from) {
            0 => "right beside".to_owned(),
            ids => format!("{ids} ids away"),
        };
        let below = self.below(range.first()).map_or("nobody below".to_owned(), |(other, name)| {
            let far = free(other.end(), range.first().raw());
            format!("below: {} {other}, {far}", Quoted(name))
        });
        let above = self.above(range.last()).map_or("nobody above".to_owned(), |(other, name)| {
            let far = free(range.end(), other.first().raw());
            format!("above: {} {other}, {far}", Quoted(name))
        });
        format!("{below}; {above}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::holders::Names;

    #[test]
    fn neighbours_are_the_nearest_on_either_side() {
        let accounts = Accounts::of(b"alice:x:1000:1::/:\n", b"", false);
        let file = b"alice:500:100\na:100:10\nb:300:200\nc:900:1\nd:700:1\n";
        let holders = Holders::of(file, &Names::of(&accounts));
        let who =
            Who { name: b"alice".to_vec(), identity: Identity::Uid(Id::new(1000).unwrap()), account: None };
        let range = Range::new(Id::new(500).unwrap(), 100).unwrap();
        assert_eq!(
            Neighbours::of(&holders, &who).of_range(range),
            "below: b 300-499, right beside; above: d 700, 100 ids away"
        );
        let names: Vec<_> = who.company(&holders).iter().map(|one| one.name.clone()).collect();
        assert_eq!(names, [b"b".to_vec(), b"alice".to_vec(), b"d".to_vec()]);
    }
}
