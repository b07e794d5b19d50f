//! `/etc/passwd`, searched by uid: `passwd(5)`.

use std::collections::BTreeSet;

use memchr::memmem;

use super::host::{self, Fact};
use super::id::{self, Id, Range};
use super::idmap::Kind;
use super::text::lines;

/// Who a uid is: every account name of it, and those accounts' login groups. At least one of each.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Account {
    /// The names, in the order found; the first is the one to speak of.
    pub names: Vec<Vec<u8>>,
    /// The login group of each.
    pub gids: Vec<u32>,
    /// The names again: a uid may have tens of thousands.
    known: BTreeSet<Vec<u8>>,
}

impl Account {
    /// Adds a name and its login group, once.
    pub fn add(&mut self, name: &[u8], gid: u32) {
        if self.known.insert(name.to_vec()) {
            self.names.push(name.to_vec());
            self.gids.push(gid);
        }
    }

    /// Collects the accounts of `uid` from a block of whole lines.
    pub fn collect(&mut self, uid: Id, block: &[u8]) {
        // The third field, so between two colons: far fewer places than there are lines.
        let field = format!(":{uid}:");
        let mut line_end = 0;
        for place in memmem::find_iter(block, field.as_bytes()) {
            if place < line_end {
                continue; // a second hit in a line that has been looked at
            }
            let (before, after) = block.split_at(place);
            let start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline.saturating_add(1));
            line_end =
                memchr::memchr(b'\n', after).map_or(block.len(), |length| place.saturating_add(length));
            let line = block.get(start..line_end).unwrap_or_default();
            if let Some((name, gid)) = account_of(uid, line) {
                self.add(name, gid);
            }
        }
    }
}

/// Looks for an account, or a group, whose number is one that is wanted.
#[derive(Debug)]
pub struct Numbers<'a> {
    own: Id,
    wanted: &'a [Range],
    found: Option<host::Account>,
}

/// Where a line has the number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// The uid in `/etc/passwd`, the gid in `/etc/group`.
    Own,
    /// The gid of the login group, in `/etc/passwd`.
    LoginGroup,
}

impl<'a> Numbers<'a> {
    /// A search for others than the caller's own.
    #[must_use]
    pub const fn new(own: Id, wanted: &'a [Range]) -> Self {
        Self { own, wanted, found: None }
    }

    /// Looks at a block of whole lines, or at the beginning of one.
    ///
    /// A line that the C library would not take for an account is one here all the same: it may be one to others. So may a
    /// number with zeros in front.
    pub fn look_at(&mut self, block: &[u8], field: Field) {
        for line in lines(block) {
            if self.found.is_some() {
                return;
            }
            let mut fields = line.split(|byte| *byte == b':');
            let name = fields.next().unwrap_or_default();
            let number = fields.nth(if field == Field::Own { 1 } else { 2 }).unwrap_or_default().trim_ascii();
            let zeros = number.iter().take_while(|digit| **digit == b'0').count();
            let number = number.get(zeros.min(number.len().saturating_sub(1))..).unwrap_or_default();
            let id = id::decimal(number).ok().and_then(Id::new).filter(|id| *id != self.own);
            let id = id.filter(|id| self.wanted.iter().any(|range| range.contains(*id)));
            self.found = id.map(|id| host::Account { id, name: name.to_vec() });
        }
    }

    /// The first that was found.
    #[must_use]
    pub fn finish(self) -> Option<host::Account> {
        self.found
    }
}

/// The first account, or group, whose number is one that is wanted. `read` shows the file of that name in `/etc`, as
/// [`Numbers::look_at`] wants it; its answer is None if there is no such file: then nobody knows.
///
/// # Errors
/// Those of `read`.
pub fn account_among<E>(
    kind: Kind,
    own: Id,
    wanted: &[Range],
    mut read: impl FnMut(&'static str, &mut dyn FnMut(&[u8])) -> Result<Option<()>, E>,
) -> Result<Fact<host::Account>, E> {
    let mut numbers = Numbers::new(own, wanted);
    let files = match kind {
        Kind::Uid => &[("passwd", Field::Own)][..],
        Kind::Gid => &[("group", Field::Own), ("passwd", Field::LoginGroup)],
    };
    for (name, field) in files {
        let Some(()) = read(name, &mut |block| numbers.look_at(block, *field))? else {
            return Ok(Fact::Unknown);
        };
    }
    Ok(numbers.finish().into())
}

/// `name:password:uid:gid:comment:home:shell`, if it is of this uid.
fn account_of(uid: Id, line: &[u8]) -> Option<(&[u8], u32)> {
    entry(line).filter(|(_, of, _)| *of == uid).map(|(name, _, gid)| (name, gid))
}

/// The name, uid and login group of an account's line. As in the C library, comments (`#`) and NIS markers (`+`, `-`) are not
/// accounts. Nor are lines with a blank in front or a NUL, of which the C library sees a part.
#[must_use]
pub fn entry(line: &[u8]) -> Option<(&[u8], Id, u32)> {
    let mut fields = line.split(|byte| *byte == b':');
    let (name, _password) = (fields.next()?, fields.next()?);
    let (uid, gid) = (fields.next()?, fields.next()?);
    let is_account =
        !name.first().is_none_or(|first| b"#+- \t\x0b\x0c\r".contains(first)) && !line.contains(&0);
    let uid = id::decimal(uid).ok().and_then(Id::new).filter(|_| is_account)?;
    Some((name, uid, id::decimal(gid).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(uid: u32, file: &str) -> Account {
        let mut account = Account::default();
        account.collect(Id::new(uid).unwrap(), file.as_bytes());
        account
    }

    #[test]
    fn every_name_of_the_uid_is_found() {
        let file = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000:A:/:/bin/sh\nbob:x:1001:1000::/:\nalias:x:1000:50::/:";
        let alice = account(1000, file);
        assert_eq!((alice.names, alice.gids), (vec![b"alice".to_vec(), b"alias".to_vec()], vec![1000, 50]));
        assert_eq!(account(7, file), Account::default());
    }

    #[test]
    fn a_number_that_is_wanted_is_found_unless_it_is_the_callers_own() {
        let found = |file: &str| {
            let id = |raw| Id::new(raw).unwrap();
            let wanted = [Range::new(id(100), 10).unwrap(), Range::new(id(1000), 5).unwrap()];
            let mut numbers = Numbers::new(id(1000), &wanted);
            numbers.look_at(file.as_bytes(), Field::Own);
            numbers.finish().map(|account| (account.id.raw(), String::from_utf8(account.name).unwrap()))
        };
        assert_eq!(found("root:x:0:0:::\nalice:x:1000:100:::\nb:x:110:0:"), None);
        assert_eq!(
            found("root:x:0:0:::\nalice:x:1000:100:::\nb:x:109:0:\nc:x:100:"),
            Some((109, "b".to_owned()))
        );
    }

    #[test]
    fn a_login_group_that_is_wanted_is_found_however_it_is_written() {
        let found = |file: &str, field: Field| {
            let id = |raw| Id::new(raw).unwrap();
            let wanted = [Range::new(id(0), 1).unwrap(), Range::new(id(100), 10).unwrap()];
            let mut numbers = Numbers::new(id(105), &wanted);
            numbers.look_at(file.as_bytes(), field);
            // The first stays.
            numbers.look_at(b"later:x:101:101:", field);
            numbers.finish().map(|account| account.id.raw())
        };
        assert_eq!(found("a:x:102:103:::", Field::LoginGroup), Some(103));
        assert_eq!(found("a:x:102:103:::", Field::Own), Some(102));
        for zeros in ["a:x:00104:1:", "a:x: 104 :1:", "a:x:104", "#a:x:104:1:", " a:x:0104:1:"] {
            assert_eq!(found(zeros, Field::Own), Some(104), "{zeros}");
        }
        assert_eq!((found("a:x:0:7:", Field::Own), found("a:x:000:7:", Field::Own)), (Some(0), Some(0)));
        for none in ["a:x:105:1:", "a:x::1:", "a:x", "a:x:1040:1:", "a:x:-104:1:", "a:104:x:104:"] {
            assert_eq!(found(none, Field::Own), Some(101), "{none}");
        }
    }

    #[test]
    fn two_lines_of_one_name_are_one_and_two_numbers_in_one_line_are_one_line() {
        let twice = account(7, "a:7:7:7:\na:x:7:8:\nb:7:x:7:\nc:x:7:9:\n");
        assert_eq!((twice.names, twice.gids), (vec![b"a".to_vec(), b"c".to_vec()], vec![7, 9]));
    }

    #[test]
    fn an_entry_is_a_line_that_the_c_library_takes_for_an_account() {
        let id = |raw| Id::new(raw).unwrap();
        assert_eq!(entry(b"alice:x:1000:50:A:/:"), Some((&b"alice"[..], id(1000), 50)));
        for line in
            ["#a:x:1:1:", "-a:x:1:1:", "+a:x:1:1:", "a:x:1", "a:x:1:", "a:x::1", ":x:1:1:", "a\0:x:1:1:", ""]
        {
            assert_eq!(entry(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn a_uid_counts_in_its_own_field_only() {
        assert_eq!(account(1000, "a:1000:5:1000:x:1000:y\nb:x:1000"), Account::default());
        assert_eq!(account(1000, "a:1000:1000:7:x").gids, [7]);
        assert_eq!(
            account(
                1000,
                "c:x:01000:1:\n+d:x:1000:1:\n:x:1000:1:\n#e:x:1000:1:\n f:x:1000:1:\ng\0:x:1000:1:"
            ),
            Account::default()
        );
    }
}
