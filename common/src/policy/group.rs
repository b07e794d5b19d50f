//! `/etc/group`, searched for the gids of some names: `group(5)`.

use std::collections::BTreeMap;

use super::id::{self, Id};
use super::text::lines;

/// The groups that are wanted, and the gids found so far.
#[derive(Debug)]
pub struct Groups<'a> {
    wanted: BTreeMap<&'a [u8], Option<Id>>,
}

impl<'a> Groups<'a> {
    /// Nothing found yet.
    #[must_use]
    pub fn named(names: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self { wanted: names.into_iter().map(|name| (name, None)).collect() }
    }

    /// Collects from a block of whole lines. The first line with a name counts, as in the C library; comments and NIS
    /// markers are no groups.
    pub fn collect(&mut self, block: &[u8]) {
        for line in lines(block) {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            let wanted = self.wanted.get_mut(name).filter(|found| found.is_none());
            let Some(found) = wanted else { continue };
            *found = entry(line).map(|(_, gid)| gid);
        }
    }

    /// The names that are still missing, in order.
    pub fn missing(&self) -> impl Iterator<Item = &'a [u8]> {
        self.wanted.iter().filter(|(_, found)| found.is_none()).map(|(name, _)| *name)
    }

    /// Sets what was learnt elsewhere about those that are still missing, in the same order.
    pub fn complete(&mut self, answers: impl IntoIterator<Item = Option<Id>>) {
        let missing = self.wanted.values_mut().filter(|found| found.is_none());
        for (found, answer) in missing.zip(answers) {
            *found = answer;
        }
    }

    /// The gid of a group of this name.
    #[must_use]
    pub fn gid(&self, name: &[u8]) -> Option<Id> {
        self.wanted.get(name).copied().flatten()
    }

    /// Is one of them not found?
    #[must_use]
    pub fn some_missing(&self) -> bool {
        self.wanted.values().any(Option::is_none)
    }
}

/// The name and gid of a group's line: `name:password:gid:members`. As in the C library, comments (`#`) and NIS markers are no
/// groups.
#[must_use]
pub fn entry(line: &[u8]) -> Option<(&[u8], Id)> {
    let mut fields = line.split(|byte| *byte == b':');
    let (name, gid) = (fields.next()?, fields.nth(1)?);
    let is_group =
        !name.first().is_none_or(|first| b"#+- \t\x0b\x0c\r".contains(first)) && !line.contains(&0);
    Some((name, id::decimal(gid).ok().and_then(Id::new).filter(|_| is_group)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gid(file: &str, name: &str) -> Option<u32> {
        let mut groups = Groups::named([name.as_bytes()]);
        groups.collect(file.as_bytes());
        groups.gid(name.as_bytes()).map(Id::raw)
    }

    #[test]
    fn the_first_line_of_a_name_counts() {
        let file = "root:x:0:\nlab:x:70:alice,bob\nlab:x:71:\nlabs:x:72:\n";
        assert_eq!((gid(file, "lab"), gid(file, "labs"), gid(file, "la")), (Some(70), Some(72), None));
    }

    #[test]
    fn what_the_c_library_would_not_take_for_a_group_is_none() {
        for line in [
            "#lab:x:70:",
            "+lab:x:70:",
            " lab:x:70:",
            "lab:x:070:",
            "lab:x::",
            "lab:70",
            "lab:x:4294967295:",
            "lab\0:x:70:",
        ] {
            let name = line.split(':').next().unwrap();
            assert_eq!((gid(line, name), gid(line, "lab")), (None, None), "{line:?}");
        }
        assert_eq!(gid(":x:70:", ""), None);
    }

    #[test]
    fn an_entry_is_a_line_that_the_c_library_takes_for_a_group() {
        assert_eq!(entry(b"lab:x:70:alice"), Id::new(70).map(|gid| (&b"lab"[..], gid)));
        for line in ["#lab:x:70:", "lab:x:70\0", "lab:x", "lab", "", ":x:70:", "-lab:x:70:"] {
            assert_eq!(entry(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn what_is_missing_is_asked_for_elsewhere_and_nothing_else_is() {
        let mut groups = Groups::named([b"a".as_slice(), b"b", b"c"]);
        groups.collect(b"a:x:1:");
        assert!(groups.some_missing());
        assert_eq!(groups.missing().collect::<Vec<_>>(), [b"b".as_slice(), b"c"]);
        groups.complete([Id::new(2), None]);
        assert_eq!((groups.gid(b"a").map(Id::raw), groups.gid(b"b").map(Id::raw)), (Some(1), Some(2)));
        assert_eq!(groups.missing().collect::<Vec<_>>(), [b"c".as_slice()]);
    }
}
