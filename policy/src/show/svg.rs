//! The picture as SVG: one file that needs nothing else, no script, fit for light and dark pages.

use std::fmt::Write;

use common::policy::id::Range;

use super::picture::{Hint, Picture, Row};

const WIDTH: u64 = 960;
const LEFT: u64 = 430;
const RIGHT: u64 = 20;
const ROW: u64 = 24;
const BAR: u64 = 14;
const LONGEST_LABEL: usize = 22;

/// Colours that can be read on white and on black, and told apart by those who do not see all of them.
const COLORS: [&str; 6] = ["#0f8f9e", "#a855c7", "#3b78d8", "#3a9448", "#b07d18", "#6b7fd0"];

const STYLE: &str = "text{font:13px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1f2328}\
.page{fill:#ffffff;stroke:#d0d7de}.faint,.tick{fill:#6e7781}.tick{font-size:11px}.title{font-weight:bold;font-size:15px}\
.nobody{fill:#8c959f;fill-opacity:.13}.hint{fill:#8c959f;fill-opacity:.55}.line{stroke:#8c959f;stroke-opacity:.45}\
.bad{fill:#cf222e}.shared{fill:url(#shared);stroke:#cf222e}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#0d1117;stroke:#30363d}.faint,.tick{fill:#9198a1}\
.bad{fill:#ff7b72}.shared{stroke:#ff7b72}}";

/// A part of the page: a heading, and a picture under it.
#[derive(Debug)]
pub struct Part<'a> {
    /// What it is of.
    pub title: String,
    /// The picture.
    pub picture: &'a Picture,
    /// What there is to say under it.
    pub notes: Vec<String>,
}

/// The whole file. What is in it of others' making has to be printable already ([`Row::label`]).
#[must_use]
pub fn document(parts: &[Part<'_>]) -> String {
    let mut body = String::new();
    let mut y = 16_u64;
    for part in parts {
        y = draw(&mut body, part, y);
    }
    let height = y.saturating_add(4);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\">\n<title>nsgate: who holds which ids</title>\n<style>{STYLE}</style>\n\
         <defs><pattern id=\"shared\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
         <rect width=\"6\" height=\"6\" fill=\"#ffffff\"/><rect width=\"3\" height=\"6\" fill=\"#cf222e\"/></pattern></defs>\n\
         <rect class=\"page\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"6\"/>\n{body}</svg>\n",
        WIDTH.saturating_sub(1),
        height.saturating_sub(1),
    )
}

/// Draws from there down, and says where it ended.
fn draw(body: &mut String, part: &Part<'_>, top: u64) -> u64 {
    let picture = part.picture;
    let mut y = top.saturating_add(14);
    text(body, (16, y), "title", &part.title);
    y = y.saturating_add(28);
    let rows = u64::try_from(picture.rows.len().saturating_add(picture.hints.len())).unwrap_or(u64::MAX);
    let bottom = y.saturating_add(8).saturating_add(rows.saturating_mul(ROW));
    if !picture.rows.is_empty() {
        for (x, word) in [(32, "owner"), (216, "first-last"), (374, "ids")] {
            text(body, (x, y), "faint", word);
        }
        scale(body, picture, y, bottom);
    }
    y = y.saturating_add(8);
    for row in &picture.rows {
        draw_row(body, picture, row, y);
        y = y.saturating_add(ROW);
    }
    for hint in &picture.hints {
        draw_hint(body, picture, hint, y);
        y = y.saturating_add(ROW);
    }
    y = y.saturating_add(6);
    for note in &part.notes {
        for line in super::terminal::wrapped(note, 115) {
            y = y.saturating_add(18);
            text(body, (16, y), if note.starts_with('!') { "bad" } else { "faint" }, &line);
        }
    }
    y.saturating_add(24)
}

/// Where nobody has anything, and where something begins or ends.
fn scale(body: &mut String, picture: &Picture, y: u64, bottom: u64) {
    let top = y.saturating_add(6);
    let height = bottom.saturating_sub(top);
    for (from, to) in picture.axis.gaps() {
        let (start, end) = (place(picture, *from), place(picture, *to));
        rect(body, "nobody", (start, top, end.saturating_sub(start), height));
    }
    let mut free_from = 0;
    for id in picture.axis.bounds().filter(|id| *id > 0) {
        let x = place(picture, id);
        let label = id.to_string();
        let wide = u64::try_from(label.len()).unwrap_or(0).saturating_mul(7);
        let start = x.min(WIDTH.saturating_sub(RIGHT).saturating_sub(wide));
        if start >= free_from {
            text(body, (start, y), "tick", &label);
            write(
                body,
                format_args!("<line class=\"line\" x1=\"{x}\" y1=\"{top}\" x2=\"{x}\" y2=\"{bottom}\"/>\n"),
            );
            free_from = start.saturating_add(wide).saturating_add(8);
        }
    }
}

fn draw_row(body: &mut String, picture: &Picture, row: &Row, y: u64) {
    let baseline = y.saturating_add(15);
    let (mark, why) = match (row.shared.is_empty(), row.known) {
        (false, _) => ("!", "; shares ids with another owner"),
        (true, false) => ("?", "; no such account"),
        (true, true) => ("", ""),
    };
    text(body, (16, baseline), "bad", mark);
    text(body, (32, baseline), "", &clipped(&row.label));
    text(body, (216, baseline), "", &row.span.to_string());
    text(body, (374, baseline), "", &short(row.count));
    let color = row.color.checked_rem(COLORS.len()).and_then(|place| COLORS.get(place)).unwrap_or(&"#6e7781");
    let title = format!("{} {} ({} ids){why}", row.label, row.span, row.count);
    write(body, format_args!("<g fill=\"{color}\"><title>{}</title>\n", escaped(&title)));
    let top = y.saturating_add(4);
    for (pieces, class) in [(&row.pieces, ""), (&row.shared, "shared")] {
        for (start, end) in spans(picture, pieces) {
            rect(body, class, (start, top, end.saturating_sub(start), BAR));
        }
    }
    body.push_str("</g>\n");
}

fn draw_hint(body: &mut String, picture: &Picture, hint: &Hint, y: u64) {
    text(body, (32, y.saturating_add(15)), "faint", &format!("({}) {}", hint.label, hint.span));
    let on_scale = hint.pieces.iter().filter(|piece| u64::from(piece.first().raw()) < picture.axis.end());
    for (start, end) in spans(picture, &on_scale.copied().collect::<Vec<_>>()) {
        rect(body, "hint", (start, y.saturating_add(8), end.saturating_sub(start), 6));
    }
}

/// Places of ranges, those that touch each other taken together: there may be many more ranges than places.
fn spans(picture: &Picture, pieces: &[Range]) -> Vec<(u64, u64)> {
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for piece in pieces {
        let (start, end) = picture.axis.span(*piece, WIDTH.saturating_sub(LEFT).saturating_sub(RIGHT));
        let (start, end) = (start.saturating_add(LEFT), end.saturating_add(LEFT));
        match spans.last_mut() {
            Some(before) if start <= before.1 => before.1 = before.1.max(end),
            _ => spans.push((start, end)),
        }
    }
    spans
}

fn place(picture: &Picture, id: u64) -> u64 {
    picture.axis.place(id, WIDTH.saturating_sub(LEFT).saturating_sub(RIGHT)).saturating_add(LEFT)
}

/// A number that may be long, in the room for five digits.
fn short(count: u64) -> String {
    match count {
        0..=99_999 => count.to_string(),
        100_000..=9_999_999 => format!("{}k", count.div_euclid(1000)),
        _ => format!("{}M", count.div_euclid(1_000_000)),
    }
}

fn clipped(label: &str) -> String {
    if label.chars().count() <= LONGEST_LABEL {
        return label.to_owned();
    }
    label.chars().take(LONGEST_LABEL.saturating_sub(1)).collect::<String>() + "…"
}

fn rect(body: &mut String, class: &str, (x, y, width, height): (u64, u64, u64, u64)) {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    write(body, format_args!("<rect{class} x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>\n"));
}

fn text(body: &mut String, (x, y): (u64, u64), class: &str, text: &str) {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    write(body, format_args!("<text{class} x=\"{x}\" y=\"{y}\">{}</text>\n", escaped(text)));
}

/// Into memory, where there is always room.
fn write(body: &mut String, what: std::fmt::Arguments<'_>) {
    body.write_fmt(what).unwrap_or_default();
}

/// As XML has it. What no XML may have is not in it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ if letter.is_control() || letter >= '\u{fffe}' => escaped.push('\u{fffd}'),
            _ => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]
mod tests {
    use super::*;
    use crate::accounts::Accounts;
    use crate::show::holders::{Holders, Names};
    use proptest::prelude::*;

    fn drawn(file: &[u8]) -> String {
        let accounts = Accounts::of(b"", b"", false);
        let holders = Holders::of(file, &Names::of(&accounts));
        let picture = Picture::of(&holders.all, &holders, &[], 40);
        document(&[Part { title: "<a&b>".to_owned(), picture: &picture, notes: vec!["! it's".to_owned()] }])
    }

    /// What makes text into XML: every tag that is opened is closed, in order; `&` and `<` stand for nothing else.
    fn is_well_formed(xml: &str) -> bool {
        let mut open = Vec::new();
        let Some((_, mut rest)) = xml.split_once("?>") else { return false };
        while let Some((before, after)) = rest.split_once('<') {
            let entity = |part: &str| {
                ["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|entity| part.starts_with(entity))
            };
            if before.contains('>') || !before.split('&').skip(1).all(entity) {
                return false;
            }
            let Some((tag, after)) = after.split_once('>') else { return false };
            rest = after;
            if tag.matches('"').count() % 2 != 0 {
                return false;
            }
            match tag.strip_prefix('/') {
                Some(name) if open.pop() != Some(name.to_owned()) => return false,
                Some(_) => {}
                None if tag.ends_with('/') => {}
                None => open.push(tag.split(' ').next().unwrap_or_default().to_owned()),
            }
        }
        open.is_empty() && rest.trim().is_empty()
    }

    #[test]
    fn a_name_is_text_whatever_is_in_it() {
        let drawn = drawn(b"<script>alert(1)</script>:100000:65536\na&b\"'\x1b[31m:100000:1\n");
        assert!(is_well_formed(&drawn), "{drawn}");
        assert!(!drawn.contains("<script") && !drawn.contains('\x1b'), "{drawn}");
        assert!(drawn.contains("&lt;script&gt;") && drawn.contains("class=\"shared\""), "{drawn}");
    }

    proptest! {
        #[test]
        fn it_is_well_formed_and_within_the_page(
            lines in prop::collection::vec(("[^:\n]{1,30}", 0..u32::MAX - 1, 1_u32..1 << 30), 0..30),
        ) {
            let file: String = lines.iter().map(|(who, first, count)| format!("{who}:{first}:{count}\n")).collect();
            let drawn = drawn(file.as_bytes());
            prop_assert!(is_well_formed(&drawn), "{drawn}");
            for rect in drawn.split("<rect ").skip(1).filter(|rect| rect.contains(" x=\"") || rect.starts_with("x=\"")) {
                let number = |key: &str| -> u64 {
                    let (_, after) = rect.split_once(&format!("{key}=\"")).unwrap();
                    after.split('"').next().unwrap().parse().unwrap_or(0)
                };
                prop_assert!(number("x") + number("width") <= WIDTH, "{rect}");
            }
        }
    }
}
