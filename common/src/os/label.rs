//! What a security module (AppArmor, SELinux, Smack) calls this process: asked only to explain a refusal, and before the file that says it
//! can no longer be opened.

use std::fs::File;

use nix::errno::Errno;

use super::sys;
use super::target::{contents, open_own};

/// A label, or where it stands.
#[derive(Debug)]
pub enum Label {
    /// It is known, or that there is none.
    Known(Option<Vec<u8>>),
    /// The kernel does not tell it by a call (Linux before 6.8, somebody's filter, a label that is very long), but in this file, which
    /// is read when it is wanted.
    In(Option<File>),
}

/// Under `/proc/self`.
const FILE: &str = "attr/current";

/// In units of eight bytes. Few labels are longer.
const ROOM: usize = 64;

impl Label {
    /// This process's.
    #[must_use]
    pub fn own() -> Self {
        let mut room = [0; ROOM];
        match sys::own_labels(&mut room) {
            Ok(()) => Self::Known(first_of(&room)),
            // There is no such module.
            Err(Errno::EOPNOTSUPP) => Self::Known(None),
            Err(_) => Self::In(open_own(FILE)),
        }
    }

    /// The label, if it is one that confines.
    #[must_use]
    pub fn of_confined(&self) -> Option<Vec<u8>> {
        let label = match self {
            Self::Known(label) => label.clone()?,
            Self::In(file) => contents(file.as_ref()?).ok()?,
        };
        let label = label.split(|byte| *byte == b'\n' || *byte == 0).next()?.to_vec();
        (!label.is_empty() && !label.starts_with(b"unconfined")).then_some(label)
    }
}

/// `struct lsm_ctx`, `linux/lsm.h`: which module, flags, the length of all, that of the label, and the label.
fn first_of(room: &[u64]) -> Option<Vec<u8>> {
    let (head, text) = room.split_at_checked(4)?;
    let bytes: Vec<u8> = text.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.get(..usize::try_from(*head.last()?).ok()?).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_is_as_long_as_the_kernel_says() {
        let words = |text: &[u8; 16]| {
            [text.first_chunk(), text.last_chunk()].map(|half| u64::from_ne_bytes(*half.unwrap()))
        };
        let [one, two] = words(b"a (enforce)\0\0\0\0\0");
        assert_eq!(first_of(&[104, 0, 48, 12, one, two]).as_deref(), Some(&b"a (enforce)\0"[..]));
        assert_eq!(first_of(&[104, 0, 48, 17, one, two]), None);
        assert_eq!(first_of(&[104, 0]), None);
    }

    #[test]
    fn a_label_that_does_not_confine_is_none() {
        let label = |text: &[u8]| Label::Known(Some(text.to_vec())).of_confined();
        assert_eq!(label(b"a (enforce)\0").as_deref(), Some(&b"a (enforce)"[..]));
        assert_eq!(label(b"a_t:s0\n").as_deref(), Some(&b"a_t:s0"[..]));
        for none in [&b"unconfined"[..], b"unconfined\0", b"", b"\0"] {
            assert_eq!(label(none), None);
        }
        assert_eq!(Label::Known(None).of_confined(), None);
        assert_eq!(Label::In(None).of_confined(), None);
    }
}
