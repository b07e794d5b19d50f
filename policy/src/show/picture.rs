//! What is drawn, whatever it is drawn with: rows on one scale.

use common::policy::id::{Id, Range, merged};
use common::policy::text::Quoted;

use super::axis::Axis;
use super::holders::{Holder, Holders, common_ids, total};
use crate::check::reserved::RESERVED;

/// A row: an owner, or as many as there is no room to show each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// What it is called. Printable.
    pub label: String,
    /// The lowest id, and the highest.
    pub span: Range,
    /// How many ids.
    pub count: u64,
    /// Which ids, lowest first.
    pub pieces: Vec<Range>,
    /// Those that somebody else holds too.
    pub shared: Vec<Range>,
    /// So many owners are in it.
    pub owners: usize,
    /// Are all of them accounts of this machine?
    pub known: bool,
    /// Which of the colours.
    pub color: usize,
}

/// Something else that is on the scale.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hint {
    /// What it is. Printable.
    pub label: String,
    /// The lowest id, and the highest.
    pub span: Range,
    /// Where.
    pub pieces: Vec<Range>,
}

/// All of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Picture {
    /// Owners, by their lowest id.
    pub rows: Vec<Row>,
    /// What else is there.
    pub hints: Vec<Hint>,
    /// The scale.
    pub axis: Axis,
}

/// So many rows a person can look at.
pub const MOST_ROWS: usize = 40;

/// So many of those are kept for owners who share ids with others.
const MOST_SHARING: usize = 20;

impl Picture {
    /// Of these owners, in at most `most` rows, with these accounts' ids.
    #[must_use]
    pub fn of<'a>(
        holders: impl IntoIterator<Item = &'a Holder>,
        all: &Holders,
        accounts: &[Id],
        most: usize,
    ) -> Self {
        let shared = all.shared();
        let row = |holder: &Holder| {
            let span = whole(&holder.ids)?;
            Some(Row {
                label: Quoted(&holder.name).to_string(),
                span,
                count: holder.count(),
                pieces: holder.ids.clone(),
                shared: common_ids(&holder.ids, &shared),
                owners: 1,
                known: holder.known,
                color: 0,
            })
        };
        let mut rows = folded(holders.into_iter().filter_map(row).collect(), most);
        for (row, color) in rows.iter_mut().zip(0..) {
            row.color = color;
        }
        let pieces: Vec<Range> = rows.iter().flat_map(|row| row.pieces.iter().copied()).collect();
        let axis = Axis::of(&pieces.iter().copied().chain(shared_in(&rows)).collect::<Vec<_>>());
        let hints = hints(&axis, accounts);
        Self { rows, hints, axis }
    }
}

fn shared_in(rows: &[Row]) -> impl Iterator<Item = Range> {
    rows.iter().flat_map(|row| row.shared.iter().copied())
}

/// From the lowest to the highest.
fn whole(ranges: &[Range]) -> Option<Range> {
    Range::between(ranges.first()?.first(), ranges.iter().map(|range| range.last()).max()?)
}

/// As many rows as that: owners who share ids stay by themselves as long as there is room, others go together with those next to
/// them.
fn folded(rows: Vec<Row>, most: usize) -> Vec<Row> {
    if rows.len() <= most {
        return rows;
    }
    let mut room = MOST_SHARING.min(most.div_euclid(2));
    let (alone, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| {
        let stays = !row.shared.is_empty() && room > 0;
        room = room.saturating_sub(usize::from(stays));
        stays
    });
    let left = most.saturating_sub(alone.len()).max(1);
    let together = others.len().div_ceil(left).max(1);
    let mut rows: Vec<Row> = others.chunks(together).filter_map(one_of).chain(alone).collect();
    rows.sort_by_key(|row| (row.span.first(), row.span.last()));
    rows
}

fn one_of(rows: &[Row]) -> Option<Row> {
    let (first, last) = (rows.first()?, rows.last()?);
    if rows.len() == 1 {
        return Some(first.clone());
    }
    let pieces = merged(rows.iter().flat_map(|row| row.pieces.iter().copied()).collect());
    let shared = merged(rows.iter().flat_map(|row| row.shared.iter().copied()).collect());
    Some(Row {
        label: format!("{}: {}..{}", rows.len(), first.label, last.label),
        span: whole(&pieces)?,
        count: total(&pieces),
        pieces,
        shared,
        owners: rows.len(),
        known: rows.iter().all(|row| row.known),
        color: 0,
    })
}

/// What else lies on the scale, up to where it ends.
fn hints(axis: &Axis, accounts: &[Id]) -> Vec<Hint> {
    let hint = |label: &str, pieces: Vec<Range>| {
        let span = whole(&pieces)?;
        (u64::from(span.first().raw()) < axis.end()).then(|| Hint { label: label.to_owned(), span, pieces })
    };
    let accounts = merged(accounts.iter().filter_map(|id| Range::between(*id, *id)).collect());
    let reserved = RESERVED.iter().filter_map(|reserved| hint(reserved.label?, vec![reserved.range()?]));
    hint("accounts", accounts).into_iter().chain(reserved).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Accounts;
    use crate::show::holders::Names;

    fn picture(file: &str, most: usize) -> Picture {
        let accounts = Accounts::of(b"root:x:0:0::/:\nalice:x:1000:1::/:\n", b"", false);
        let holders = Holders::of(file.as_bytes(), &Names::of(&accounts));
        Picture::of(&holders.all, &holders, &[Id::new(0).unwrap(), Id::new(1000).unwrap()], most)
    }

    #[test]
    fn ten_thousand_owners_are_a_few_rows_and_those_who_share_stand_by_themselves() {
        let mut file: String =
            (0..10_000_u32).map(|n| format!("u{n}:{}:65536\n", 100_000 + n * 65536)).collect();
        file.push_str("eve:165000:10\n");
        let picture = picture(&file, MOST_ROWS);
        assert!(picture.rows.len() <= MOST_ROWS, "{}", picture.rows.len());
        assert_eq!(picture.rows.iter().map(|row| row.owners).sum::<usize>(), 10_001);
        assert!(picture.rows.iter().any(|row| row.label == "eve" && row.shared.len() == 1));
        assert!(picture.rows.iter().any(|row| row.label == "u0" && row.owners == 1));
        assert!(picture.rows.is_sorted_by_key(|row| row.span.first()));
    }

    #[test]
    fn what_is_beyond_the_scale_is_not_hinted_at() {
        let labels = |file| picture(file, 9).hints.into_iter().map(|hint| hint.label).collect::<Vec<_>>();
        assert_eq!(labels("alice:100000:65536\n"), ["accounts", "systemd dynamic", "nobody"]);
        assert_eq!(labels("alice:500:10\n"), ["accounts"]);
        assert_eq!(labels("x:600000:1\n").len(), 4);
        assert_eq!(labels(""), Vec::<String>::new());
    }
}
