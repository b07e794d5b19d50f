//! The picture in letters, as wide as a terminal is and no wider. The numbers matter most, then the names, then the bars.

use super::picture::{Hint, Picture, Row};
use crate::output::Style;

/// What bars are made of. All of them one column wide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Letters {
    /// Held by this one alone.
    own: char,
    /// Held by another one, too.
    shared: char,
    /// Held by nobody.
    nobody: char,
    /// Something else is here.
    hint: char,
    /// Before a number on the scale.
    tick: char,
}

impl Letters {
    /// Those for a locale that can show all, or for one that cannot.
    #[must_use]
    pub const fn of(unicode: bool) -> Self {
        if unicode {
            Self { own: '█', shared: '╳', nobody: '·', hint: '▒', tick: '╷' }
        } else {
            Self { own: '#', shared: 'X', nobody: '.', hint: '=', tick: '|' }
        }
    }

    /// Those for the locale that is set.
    #[must_use]
    pub fn of_locale() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
        Self::of(locale.is_some_and(|locale| is_utf8(&locale.to_string_lossy())))
    }
}

fn is_utf8(locale: &str) -> bool {
    let charset = locale.split('.').nth(1).unwrap_or(locale).split('@').next().unwrap_or_default();
    charset.eq_ignore_ascii_case("UTF-8") || charset.eq_ignore_ascii_case("utf8")
}

/// How wide the columns are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Columns {
    name: usize,
    first: usize,
    last: usize,
    count: usize,
    bar: usize,
}

/// Less of a bar says nothing.
const SHORTEST_BAR: usize = 12;
const LONGEST_NAME: usize = 28;
/// Between two columns.
const GAP: usize = 2;
/// The mark before a name, and a blank.
const MARK: usize = 2;

const HEAD: [&str; 3] = ["owner", "first-last", "ids"];

/// How a piece of text gets its colour.
pub type Paint<'a> = &'a dyn Fn(Style, &str) -> String;

/// The lines of the picture, none of them wider than `width`.
#[must_use]
pub fn lines(picture: &Picture, width: usize, letters: Letters, paint: Paint<'_>) -> Vec<String> {
    let Some(columns) = Columns::of(picture, width) else {
        return picture.rows.iter().flat_map(|row| stacked(row, width, paint)).collect();
    };
    let mut lines = vec![head(picture, columns, letters, paint)];
    for row in &picture.rows {
        let name = clipped(&row.label, columns.name);
        let name = format!("{name:<width$}", width = columns.name);
        let style = if row.owners == 1 { Style::Owner(row.color) } else { Style::Strong };
        let numbers = numbers(row.span.first().raw(), row.span.last().raw(), row.count, columns);
        let cells = cells(row, picture, columns.bar);
        let bar = bar(&cells, style, letters, paint);
        let mark = paint(Style::Error, mark(row));
        lines.push(format!("{mark} {}  {numbers}{bar}", paint(style, &name)).trim_end().to_owned());
    }
    if columns.bar > 0 {
        lines.extend(picture.hints.iter().map(|hint| hint_line(hint, picture, columns, letters, paint)));
    }
    lines
}

/// Beside the name, as not everybody sees colours.
fn mark(row: &Row) -> &'static str {
    match (row.shared.is_empty(), row.known) {
        (false, _) => "!",
        (true, false) => "?",
        (true, true) => " ",
    }
}

impl Columns {
    /// None: there is not even room for the numbers beside a short name.
    fn of(picture: &Picture, width: usize) -> Option<Self> {
        let spans = || picture.rows.iter().map(|row| row.span);
        let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
        let name = longest(&mut picture.rows.iter().map(|row| row.label.chars().count()));
        let first = longest(&mut spans().map(|span| digits(span.first().raw().into())));
        let last = longest(&mut spans().map(|span| digits(span.last().raw().into())));
        let count = longest(&mut picture.rows.iter().map(|row| digits(row.count))).max(HEAD[2].len());
        let mut columns = Self {
            name: name.clamp(HEAD[0].len(), LONGEST_NAME),
            first,
            last: last.max(HEAD[1].len().saturating_sub(first.saturating_add(1))),
            count,
            bar: 0,
        };
        let with_bar = columns.without_bar().saturating_add(GAP).saturating_add(SHORTEST_BAR);
        if let Some(more) = width.checked_sub(with_bar) {
            columns.bar = SHORTEST_BAR.saturating_add(more);
            return Some(columns);
        }
        // Without bars: the name gives way, but not wholly.
        let too_much = columns.without_bar().saturating_sub(width);
        columns.name = columns.name.saturating_sub(too_much);
        (columns.name >= HEAD[0].len()).then_some(columns)
    }

    fn without_bar(self) -> usize {
        [MARK, self.name, GAP, self.first, 1, self.last, GAP, self.count].into_iter().sum()
    }
}

fn digits(number: u64) -> usize {
    number.to_string().len()
}

fn numbers(first: u32, last: u32, count: u64, columns: Columns) -> String {
    let Columns { first: before, last: after, count: wide, .. } = columns;
    format!("{first:>before$}-{last:<after$}  {count:>wide$}")
}

/// The names of the columns, and numbers on the scale as far as there is room.
fn head(picture: &Picture, columns: Columns, letters: Letters, paint: Paint<'_>) -> String {
    let span = columns.first.saturating_add(1).saturating_add(columns.last);
    let Columns { name, count, bar, .. } = columns;
    let [owner, range, ids] = HEAD;
    let mut line = format!("  {owner:<name$}  {range:<span$}  {ids:>count$}");
    if bar > 0 {
        line.push_str("  ");
        line.push_str(&ticks(picture, bar, letters));
    }
    paint(Style::Faint, line.trim_end())
}

fn ticks(picture: &Picture, bar: usize, letters: Letters) -> String {
    let mut ticks = String::new();
    let mut free_from = 0;
    for id in picture.axis.bounds().filter(|id| *id > 0) {
        let place = to_size(picture.axis.place(id, to_u64(bar)));
        let label = format!("{}{id}", letters.tick);
        let end = place.saturating_add(label.chars().count());
        if place >= free_from && end <= bar {
            let blanks = place.saturating_sub(ticks.chars().count());
            ticks.push_str(&" ".repeat(blanks));
            ticks.push_str(&label);
            free_from = end.saturating_add(1);
        }
    }
    ticks
}

/// What is in a place of a bar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cell {
    Empty,
    Nobody,
    Own,
    Shared,
    Hint,
}

fn background(picture: &Picture, width: usize) -> Vec<Cell> {
    let mut cells = vec![Cell::Empty; width];
    for (from, to) in picture.axis.gaps() {
        let (start, end) = (picture.axis.place(*from, to_u64(width)), picture.axis.place(*to, to_u64(width)));
        fill(&mut cells, (start, end), Cell::Nobody);
    }
    cells
}

fn cells(row: &Row, picture: &Picture, width: usize) -> Vec<Cell> {
    let mut cells = background(picture, width);
    for (pieces, cell) in [(&row.pieces, Cell::Own), (&row.shared, Cell::Shared)] {
        for piece in pieces {
            fill(&mut cells, picture.axis.span(*piece, to_u64(width)), cell);
        }
    }
    cells
}

fn fill(cells: &mut [Cell], (start, end): (u64, u64), with: Cell) {
    let end = to_size(end).min(cells.len());
    let cells = cells.get_mut(to_size(start).min(end)..end).unwrap_or_default();
    cells.fill(with);
}

fn to_size(place: u64) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

fn to_u64(width: usize) -> u64 {
    u64::try_from(width).unwrap_or(u64::MAX)
}

/// The bar, with two blanks in front. Neighbours of one kind get their colour together.
fn bar(cells: &[Cell], style: Style, letters: Letters, paint: Paint<'_>) -> String {
    let mut bar = String::new();
    for run in cells.chunk_by(|one, next| one == next) {
        let (letter, style) = match run.first() {
            Some(Cell::Own) => (letters.own, style),
            Some(Cell::Shared) => (letters.shared, Style::Error),
            Some(Cell::Nobody) => (letters.nobody, Style::Faint),
            Some(Cell::Hint) => (letters.hint, Style::Faint),
            Some(Cell::Empty) | None => {
                bar.push_str(&" ".repeat(run.len()));
                continue;
            }
        };
        bar.push_str(&paint(style, &letter.to_string().repeat(run.len())));
    }
    if bar.is_empty() { bar } else { format!("  {bar}") }
}

fn hint_line(hint: &Hint, picture: &Picture, columns: Columns, letters: Letters, paint: Paint<'_>) -> String {
    let mut cells = background(picture, columns.bar);
    for piece in hint.pieces.iter().filter(|piece| u64::from(piece.first().raw()) < picture.axis.end()) {
        fill(&mut cells, picture.axis.span(*piece, to_u64(columns.bar)), Cell::Hint);
    }
    // Not in the columns: it is not to make them wider.
    let wide = columns.without_bar().saturating_sub(MARK);
    let line = format!("  {:<wide$}", clipped(&format!("({}) {}", hint.label, hint.span), wide));
    format!("{}{}", paint(Style::Faint, &line), bar(&cells, Style::Faint, letters, paint))
        .trim_end()
        .to_owned()
}

/// A name of at most so many letters.
fn clipped(name: &str, longest: usize) -> String {
    const DOTS: &str = "..";
    if name.chars().count() <= longest {
        return name.to_owned();
    }
    name.chars().take(longest.saturating_sub(DOTS.len())).collect::<String>() + DOTS
}

/// For so little room: a name, and the numbers under it.
fn stacked(row: &Row, width: usize, paint: Paint<'_>) -> Vec<String> {
    let name = clipped(&row.label, width.saturating_sub(MARK));
    let mut lines = vec![format!("{} {}", paint(Style::Error, mark(row)), paint(Style::Strong, &name))];
    let range = format!("  {}-{}", row.span.first(), row.span.last());
    if range.len() <= width {
        lines.push(range);
    } else {
        lines.extend([format!("  {}-", row.span.first()), format!("  {}", row.span.last())]);
    }
    let count = format!("  {} ids", row.count);
    lines.push(if count.len() <= width { count } else { format!("  {}", row.count) });
    lines
}

/// Breaks a text at blanks, so that no line is wider than that. Blanks in front stay, and what follows the first line stands a
/// little more to the right.
#[must_use]
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let first = text.len().saturating_sub(text.trim_start_matches(' ').len()).min(width.div_euclid(2));
    let rest = " ".repeat(first.saturating_add(2).min(width.div_euclid(2)));
    let (mut lines, mut line, mut empty) = (Vec::new(), " ".repeat(first), true);
    for mut word in text.split(' ').filter(|word| !word.is_empty()) {
        let needed = line.len().saturating_add(word.len()).saturating_add(usize::from(!empty));
        if !empty && needed > width {
            lines.push(std::mem::replace(&mut line, rest.clone()));
        } else if !empty {
            line.push(' ');
        }
        // A word that is too long for any line is cut where it has to be.
        while line.len().saturating_add(word.len()) > width {
            let room = width.saturating_sub(line.len()).max(1);
            let Some((now, later)) = word.split_at_checked(room) else { break };
            line.push_str(now);
            word = later;
            lines.push(std::mem::replace(&mut line, rest.clone()));
        }
        line.push_str(word);
        empty = false;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]
mod tests {
    use super::*;
    use crate::accounts::Accounts;
    use crate::show::holders::{Holders, Names};
    use crate::show::picture::MOST_ROWS;
    use common::policy::id::Id;
    use proptest::prelude::*;

    fn drawn(file: &str, width: usize, unicode: bool) -> Vec<String> {
        let accounts = Accounts::of(b"alice:x:1000:1::/:\nbob:x:1001:1::/:\neve:x:1002:1::/:\n", b"", false);
        let holders = Holders::of(file.as_bytes(), &Names::of(&accounts));
        let accounts: Vec<_> = [0, 1000, 1001].into_iter().filter_map(Id::new).collect();
        let picture = Picture::of(&holders.all, &holders, &accounts, MOST_ROWS);
        lines(&picture, width, Letters::of(unicode), &|_, text| text.to_owned())
    }

    #[test]
    fn bars_stand_under_each_other_on_one_scale() {
        let drawn = drawn("alice:100000:65536\nbob:165536:65536\neve:200000:100\n", 70, false);
        let column = |line: usize, letter| drawn[line].chars().position(|c| c == letter).unwrap();
        let after =
            |line: usize, letter| drawn[line].chars().collect::<Vec<_>>().iter().rposition(|c| *c == letter);
        assert_eq!(after(1, '#').unwrap() + 1, column(2, '#'), "{drawn:#?}");
        assert_eq!(column(2, 'X'), column(3, 'X'), "{drawn:#?}");
        assert!(drawn[2].starts_with('!') && drawn[3].starts_with('!') && drawn[1].starts_with(' '));
    }

    #[test]
    fn without_room_for_bars_there_are_names_and_numbers_and_without_room_for_those_lines_of_them() {
        let file = "alice:100000:65536\nbob:4000000000:65536\n";
        assert!(drawn(file, 80, true).iter().any(|line| line.contains('█')));
        assert_eq!(
            drawn(file, 40, true),
            [
                "  owner  first-last               ids",
                "  alice      100000-165535      65536",
                "  bob    4000000000-4000065535  65536"
            ]
        );
        assert_eq!(
            drawn("alice:4000000000:65536\n", 20, true),
            ["  alice", "  4000000000-", "  4000065535", "  65536 ids"]
        );
    }

    #[test]
    fn a_locale_says_whether_it_can_show_all_letters() {
        for (locale, can) in [
            ("C", false),
            ("C.UTF-8", true),
            ("de_DE.utf8", true),
            ("tr_TR.ISO-8859-9", false),
            ("en_US.UTF-8@x", true),
            ("POSIX", false),
            ("", false),
        ] {
            assert_eq!(is_utf8(locale), can, "{locale}");
        }
    }

    #[test]
    fn text_is_broken_at_blanks() {
        assert_eq!(wrapped("aa bb cc", 5), ["aa bb", "  cc"]);
        assert_eq!(wrapped("abcdefgh", 5), ["abcde", "  fgh"]);
        assert_eq!(wrapped("", 5), [""]);
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal_and_every_bar_begins_in_one_column(
            lines in prop::collection::vec(("[a-e]{1,40}", 0..u32::MAX - 1, 1_u32..1 << 30), 1..60),
            width in 20_usize..201,
            unicode: bool,
        ) {
            let file: String = lines.iter().map(|(who, first, count)| format!("{who}:{first}:{count}\n")).collect();
            let drawn = drawn(&file, width, unicode);
            for line in &drawn {
                prop_assert!(line.chars().count() <= width, "{} > {width}: {line}", line.chars().count());
            }
            if !unicode && drawn.first().is_some_and(|head| head.contains('|')) {
                // The same background behind every row: where nobody has anything, nobody's bar is.
                let bars: Vec<Vec<char>> = drawn.iter().skip(1).map(|line| line.chars().collect()).collect();
                let start = drawn[0].find("ids").unwrap() + "ids".len() + GAP;
                for bar in &bars {
                    prop_assert!(bar.get(start - 1).is_none_or(|c| *c == ' '));
                }
            }
        }

        #[test]
        fn no_broken_line_is_too_wide(text in "[a-z ]{0,200}", width in 5_usize..60) {
            for line in wrapped(&text, width) {
                prop_assert!(line.len() <= width, "{line:?}");
            }
        }
    }
}
