//! What a change makes of the text of a policy file: bytes in, bytes out.
//!
//! Nothing but the lines that it is about differs: remarks, order, lines that nobody understands, carriage returns and a missing
//! last newline stay as they are, unless something is added behind that last line.

use common::policy::id::{Id, Range};
use common::policy::{subid, usernet};

/// A text after a change, and what the change was.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Edited {
    /// The whole text.
    pub bytes: Vec<u8>,
    /// Line by line, from the top. None: nothing differs.
    pub changes: Vec<Change>,
}

/// A line that was taken out, or put in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Was it put in?
    pub added: bool,
    /// Its number, counted from 1: in the new text if it was put in, in the old one if it was taken out.
    pub line: usize,
    /// The line, without its newline.
    pub text: Vec<u8>,
}

/// Adds lines at the end.
#[must_use]
pub fn append(text: &[u8], new: &[Vec<u8>]) -> Edited {
    let mut edited = Edited { bytes: text.to_vec(), changes: Vec::new() };
    if new.is_empty() {
        return edited;
    }
    if !text.is_empty() && !text.ends_with(b"\n") {
        edited.bytes.push(b'\n');
    }
    let mut line = common::policy::text::newlines(&edited.bytes);
    for new in new {
        line = line.saturating_add(1);
        edited.bytes.extend_from_slice(new);
        edited.bytes.push(b'\n');
        edited.changes.push(Change { added: true, line, text: new.clone() });
    }
    edited
}

/// A line of `/etc/subuid` or `/etc/subgid`.
#[must_use]
pub fn subid_line(owner: &[u8], range: Range) -> Vec<u8> {
    [owner, format!(":{}:{}", range.first(), range.count()).as_bytes()].concat()
}

/// Takes ids away from an owner: those of `what`, or all. Of a line that has others too, those stay. Also says which ids are
/// gone, line by line.
pub fn take_out(text: &[u8], is_his: impl Fn(&[u8]) -> bool, what: Option<Range>) -> (Edited, Vec<Range>) {
    let mut gone = Vec::new();
    let edited = rewrite(text, |line| {
        let (owner, range) = subid::entry(line).filter(|_| is_his(line))?;
        let taken = what.map_or(Some(range), |what| range.intersection(what))?;
        gone.push(taken);
        let below = taken.first().raw().checked_sub(1).and_then(Id::new);
        let below = below.and_then(|last| Range::between(range.first(), last));
        let above = taken.last().next().and_then(|first| Range::between(first, range.last()));
        Some(below.into_iter().chain(above).map(|rest| subid_line(owner, rest)).collect())
    });
    (edited, gone)
}

/// What an owner has on a bridge in lxc-usernet, and in which line: the largest holds.
#[must_use]
pub fn quota(text: &[u8], owner: &[u8], bridge: &[u8]) -> Option<(u32, usize)> {
    let entries = common::policy::text::lines(text).zip(1_usize..).filter_map(|(line, number)| {
        let entry = usernet::entry(line).filter(|entry| entry.owner == owner && entry.bridge == bridge)?;
        Some((entry.count, number))
    });
    // Of two that are as large, the first.
    entries.fold(None, |best: Option<(u32, usize)>, entry| match best {
        Some(best) if best.0 >= entry.0 => Some(best),
        _ => Some(entry),
    })
}

/// Gives an owner `count` interfaces on a bridge: in the line that he has, of which nothing but the number changes, or in a new
/// one. Nothing changes if he has as many.
#[must_use]
pub fn raise(text: &[u8], owner: &[u8], bridge: &[u8], count: u32) -> Edited {
    let Some((has, at)) = quota(text, owner, bridge) else {
        return append(text, &[usernet_line(owner, bridge, count)]);
    };
    let mut number = 0_usize;
    rewrite(text, |line| {
        number = number.saturating_add(1);
        if number != at || has >= count {
            return None;
        }
        let (before, after) = around_field(line, 3)?;
        Some(vec![[before, count.to_string().as_bytes(), after].concat()])
    })
}

/// Takes away all lines of an owner for a bridge.
#[must_use]
pub fn strike(text: &[u8], owner: &[u8], bridge: &[u8]) -> Edited {
    rewrite(text, |line| {
        usernet::entry(line)
            .filter(|entry| entry.owner == owner && entry.bridge == bridge)
            .map(|_| Vec::new())
    })
}

/// A line of lxc-usernet.
#[must_use]
pub fn usernet_line(owner: &[u8], bridge: &[u8], count: u32) -> Vec<u8> {
    [owner, b" ", usernet::VETH.as_bytes(), b" ", bridge, b" ", count.to_string().as_bytes()].concat()
}

/// What is before and behind a field of a line whose fields have blanks between them.
fn around_field(line: &[u8], wanted: usize) -> Option<(&[u8], &[u8])> {
    let (mut start, mut fields) = (0_usize, 0_usize);
    for field in line.split(|byte| matches!(byte, b' ' | b'\t')) {
        let end = start.saturating_add(field.len());
        if !field.is_empty() {
            if fields == wanted {
                return Some((line.get(..start)?, line.get(end..)?));
            }
            fields = fields.saturating_add(1);
        }
        start = end.saturating_add(1);
    }
    None
}

/// Puts other lines, or none, in the place of those for which `new` answers.
fn rewrite(text: &[u8], mut new: impl FnMut(&[u8]) -> Option<Vec<Vec<u8>>>) -> Edited {
    let mut edited = Edited { bytes: Vec::with_capacity(text.len()), changes: Vec::new() };
    let mut new_number = 1_usize;
    for (whole, number) in text.split_inclusive(|byte| *byte == b'\n').zip(1_usize..) {
        let line = whole.strip_suffix(b"\n").unwrap_or(whole);
        let Some(instead) = new(line) else {
            edited.bytes.extend_from_slice(whole);
            new_number = new_number.saturating_add(1);
            continue;
        };
        edited.changes.push(Change { added: false, line: number, text: line.to_vec() });
        for (new, left) in instead.iter().zip((0..instead.len()).rev()) {
            edited.bytes.extend_from_slice(new);
            if left > 0 || whole.ends_with(b"\n") {
                edited.bytes.push(b'\n');
            }
            edited.changes.push(Change { added: true, line: new_number, text: new.clone() });
            new_number = new_number.saturating_add(1);
        }
    }
    edited
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(first: u32, last: u32) -> Range {
        Range::between(Id::new(first).unwrap(), Id::new(last).unwrap()).unwrap()
    }

    fn alice(line: &[u8]) -> bool {
        line.starts_with(b"alice:")
    }

    fn without(text: &str, what: Option<Range>) -> String {
        String::from_utf8(take_out(text.as_bytes(), alice, what).0.bytes).unwrap()
    }

    #[test]
    fn a_last_newline_is_added_only_where_something_comes_behind_it() {
        let line = [b"b:1:2".to_vec()];
        assert_eq!(append(b"", &line).bytes, b"b:1:2\n");
        assert_eq!(append(b"a", &line).bytes, b"a\nb:1:2\n");
        assert_eq!(append(b"a\r\n", &line).bytes, b"a\r\nb:1:2\n");
        assert_eq!(append(b"a\n\nx", &line).changes.first().unwrap().line, 4);
        assert_eq!(append(b"a", &[]).bytes, b"a");
    }

    #[test]
    fn a_line_that_is_taken_out_of_leaves_what_is_below_and_above() {
        let text = "# mine\nalice:100:10\nbob:100:10\n alice:1:1\nalice:105:1\nalice:0200:5\r\nalice:300:1";
        assert_eq!(without(text, None), "# mine\nbob:100:10\n alice:1:1\nalice:0200:5\r\n");
        let middle = "# mine\nalice:100:5\nalice:106:4\nbob:100:10\n alice:1:1\nalice:0200:5\r\nalice:300:1";
        assert_eq!(without(text, Some(range(105, 105))), middle);
        assert_eq!(without("alice:100:10", Some(range(0, 104))), "alice:105:5");
        assert_eq!(without("alice:100:10", Some(range(105, 4_294_967_294))), "alice:100:5");
        assert_eq!(without("alice:100:10", Some(range(105, 106))), "alice:100:5\nalice:107:3");
        assert_eq!(
            without("alice:4294967290:5", Some(range(4_294_967_294, 4_294_967_294))),
            "alice:4294967290:4"
        );
    }

    #[test]
    fn of_an_interface_line_nothing_but_the_number_changes() {
        let text = b"# alice veth br0 1\nalice\tveth  br0 2  # two \nalice veth br0 1\nalice veth br1 1";
        let raised = raise(text, b"alice", b"br0", 30);
        assert_eq!(
            raised.bytes,
            b"# alice veth br0 1\nalice\tveth  br0 30  # two \nalice veth br0 1\nalice veth br1 1"
        );
        assert_eq!(raised.changes.iter().map(|change| change.line).collect::<Vec<_>>(), [2, 2]);
        assert_eq!(raise(text, b"alice", b"br0", 2), Edited { bytes: text.to_vec(), changes: Vec::new() });
        assert_eq!(raise(b"x", b"@lab", b"br-%u", 3).bytes, b"x\n@lab veth br-%u 3\n");
        assert_eq!(strike(text, b"alice", b"br0").bytes, b"# alice veth br0 1\nalice veth br1 1");
    }

    proptest! {
        /// M04: whatever the file has, the lines that are not about it are there afterwards, in their order, byte for byte.
        #[test]
        fn other_lines_survive_every_change(
            lines in proptest::collection::vec("(alice|bob|#x|):?[0-9\\t :\\r]{0,6}|alice:[0-9]{1,3}:[0-9]{1,2}|\\PC{0,9}", 0..12),
            end in proptest::bool::ANY, first in 0_u32..300, count in 1_u32..300,
        ) {
            let text = lines.join("\n") + if end { "\n" } else { "" };
            let text = text.as_bytes();
            let what = Range::new(Id::new(first).unwrap(), count).unwrap();
            let (edited, _) = take_out(text, alice, Some(what));
            let other = |line: &&[u8]| !(alice(line) && subid::entry(line).is_some());
            let all = |text: &[u8]| -> Vec<Vec<u8>> {
                text.split(|byte| *byte == b'\n').filter(other).map(<[u8]>::to_vec).filter(|line| !line.is_empty()).collect()
            };
            prop_assert_eq!(all(text), all(&edited.bytes));
            // What is left grants what was granted, without what was taken.
            let ids = |text: &[u8]| -> std::collections::BTreeSet<u32> {
                let his = text.split(|byte| *byte == b'\n').filter(|line| alice(line)).filter_map(subid::entry);
                his.flat_map(|(_, range)| range.first().raw()..=range.last().raw()).collect()
            };
            let mut left = ids(text);
            left.retain(|id| !what.contains(Id::new(*id).unwrap()));
            prop_assert_eq!(ids(&edited.bytes), left);
            if edited.changes.is_empty() {
                prop_assert_eq!(&*edited.bytes, text);
            }
            // Put in and taken out again is as before.
            let new = append(text, &[b"zoe:5:5".to_vec()]);
            let (back, _) = take_out(&new.bytes, |line| line.starts_with(b"zoe:"), None);
            prop_assert_eq!(back.bytes.strip_suffix(b"\n").unwrap_or(&back.bytes), text.strip_suffix(b"\n").unwrap_or(text));
        }

        #[test]
        fn a_raised_quota_is_what_the_helper_reads(
            text in "((alice|@a|bob)[ \\t]+veth[ \\t]+br[01] [0-9]{1,3}( #x)?\\n|\\PC{0,9}\\n){0,8}", count in 1_u32..2000,
        ) {
            let text = text.as_bytes();
            let had = quota(text, b"alice", b"br0").map_or(0, |(count, _)| count);
            let raised = raise(text, b"alice", b"br0", count);
            prop_assert_eq!(quota(&raised.bytes, b"alice", b"br0").unwrap().0, had.max(count));
            prop_assert_eq!(quota(&raised.bytes, b"bob", b"br0"), quota(text, b"bob", b"br0"));
            prop_assert_eq!(quota(&strike(&raised.bytes, b"alice", b"br0").bytes, b"alice", b"br0"), None);
        }
    }
}
