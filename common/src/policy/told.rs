//! What a child without power tells of accounts and groups, as bytes: written by whatever code the host's name services have
//! run in it, so read as a stranger's word. All of it is of fixed size, and has one meaning or none.

/// Bytes that a name may have. Those of Linux have 32.
pub const LONGEST_NAME: usize = 1024;

const FOUND: u8 = b'y';
const ABSENT: u8 = b'n';
const FAILED: u8 = b'e';

/// What is told of a group.
pub const GROUP: usize = 5;

/// What is told of an account.
pub const ACCOUNT: usize = GROUP + 2 + LONGEST_NAME;

/// A gid; that there is no such group or account; or the number of the error that kept it from being known.
pub type Told<T> = Result<Option<T>, i32>;

/// A group's gid, as bytes.
#[must_use]
pub fn tell_group(told: Told<u32>) -> [u8; GROUP] {
    let (kind, number) = match told {
        Ok(Some(gid)) => (FOUND, gid.to_le_bytes()),
        Ok(None) => (ABSENT, [0; 4]),
        Err(errno) => (FAILED, errno.to_le_bytes()),
    };
    let [a, b, c, d] = number;
    [kind, a, b, c, d]
}

/// What they mean. None: nothing.
#[must_use]
pub fn hear_group(bytes: &[u8]) -> Option<Told<u32>> {
    let [kind, number @ ..] = *bytes.first_chunk::<GROUP>().filter(|_| bytes.len() == GROUP)?;
    match kind {
        FOUND => Some(Ok(Some(u32::from_le_bytes(number)))),
        ABSENT if number == [0; 4] => Some(Ok(None)),
        FAILED => Some(Err(i32::from_le_bytes(number))),
        _ => None,
    }
}

/// An account's login group and name, as bytes. A name that is too long is an error (`ERANGE` is the one of a buffer that is too
/// small for an answer).
#[must_use]
pub fn tell_account(told: Told<(u32, Vec<u8>)>) -> Vec<u8> {
    const ERANGE: i32 = 34;
    let told = told.and_then(|found| match found {
        Some((_, name)) if name.len() > LONGEST_NAME => Err(ERANGE),
        found => Ok(found),
    });
    let name = told.as_ref().ok().and_then(|found| found.as_ref()).map(|(_, name)| name.clone());
    let name = name.unwrap_or_default();
    let length = u16::try_from(name.len()).unwrap_or(0).to_le_bytes();
    let mut bytes = [&tell_group(told.map(|found| found.map(|(gid, _)| gid)))[..], &length, &name].concat();
    bytes.resize(ACCOUNT, 0);
    bytes
}

/// What they mean. None: nothing.
#[must_use]
pub fn hear_account(bytes: &[u8]) -> Option<Told<(u32, Vec<u8>)>> {
    let (gid, rest) = bytes.split_at_checked(GROUP).filter(|_| bytes.len() == ACCOUNT)?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (name, padding) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    let told = hear_group(gid)?;
    let is_named = matches!(told, Ok(Some(_)));
    // A C string has no NUL in it.
    let is_name = !name.contains(&0) && name.is_empty() != is_named && padding.iter().all(|byte| *byte == 0);
    is_name.then(|| told.map(|found| found.map(|gid| (gid, name.to_vec()))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn account(name: &[u8]) -> Vec<u8> {
        tell_account(Ok(Some((7, name.to_vec()))))
    }

    #[test]
    fn what_is_told_is_heard() {
        for told in [Ok(Some(0)), Ok(Some(u32::MAX)), Ok(None), Err(0), Err(13), Err(-1)] {
            assert_eq!(hear_group(&tell_group(told)), Some(told));
        }
        for told in
            [Ok(Some((7, b"a".to_vec()))), Ok(Some((0, vec![0xff; LONGEST_NAME]))), Ok(None), Err(111)]
        {
            assert_eq!(hear_account(&tell_account(told.clone())), Some(told));
        }
        assert_eq!(hear_account(&account(&[b'a'; LONGEST_NAME + 1])), Some(Err(34)));
    }

    #[test]
    fn what_is_odd_means_nothing() {
        let good = account(b"ned");
        for length in (0..good.len()).chain([good.len() + 1]) {
            let mut odd = good.clone();
            odd.resize(length, 0);
            assert_eq!(hear_account(&odd), None, "{length}");
        }
        let with = |place: usize, byte: u8| {
            let mut odd = good.clone();
            odd[place] = byte;
            hear_account(&odd)
        };
        // The kind, the length, a NUL in the name, something behind it.
        assert!((0..=255).all(|kind| kind == FOUND || with(0, kind).is_none()));
        assert!((0..=255).all(|length| length == 3 || with(GROUP, length).is_none()));
        assert_eq!((with(GROUP + 1, 4), with(GROUP + 3, 0), with(ACCOUNT - 1, 1)), (None, None, None));
        // No name.
        assert_eq!(hear_account(&account(b"")), None);
        assert_eq!(
            (hear_group(b""), hear_group(b"n\0\0\0\x01"), hear_group(b"y\0\0\0\0\0")),
            (None, None, None)
        );
    }

    proptest! {
        #[test]
        fn whatever_is_heard_would_be_told_in_the_same_bytes(kind in prop::sample::select(b"yne!".to_vec()), rest: [u8; 8]) {
            let mut bytes = [&[kind][..], &rest].concat();
            bytes.resize(ACCOUNT, 0);
            if let Some(told) = hear_account(&bytes) {
                prop_assert_eq!(tell_account(told), bytes);
            }
        }
    }
}
