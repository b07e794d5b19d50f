//! Findings, for a person and for a program.

use serde::Serialize;

use crate::failure::{Failure, USAGE};
use crate::output::{Output, Style, plural};

use super::finding::Finding;
use super::findings::Findings;
use super::machine::{Content, Policy};
use super::rule::{self, RULES, Rule, Severity};

/// Findings as one JSON document: docs/json.md, policy/schema/check.json.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    verb: &'static str,
    files: Vec<&'a str>,
    errors: u64,
    warnings: u64,
    infos: u64,
    findings: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    rule: &'static str,
    severity: &'static str,
    file: &'a str,
    line: Option<u32>,
    message: &'a str,
    fix: Option<&'a str>,
}

impl<'a> Entry<'a> {
    fn of(Finding { rule, place, message, fix }: &'a Finding) -> Self {
        let (rule, severity) = (rule.id, rule.severity.word());
        Self { rule, severity, file: &place.file, line: place.line, message, fix: fix.as_deref() }
    }
}

#[derive(Serialize)]
struct RuleDocument {
    schema: &'static str,
    verb: &'static str,
    rule: RuleEntry,
}

#[derive(Serialize)]
struct RuleEntry {
    id: &'static str,
    severity: &'static str,
    title: &'static str,
    help: &'static str,
}

const SCHEMA: &str = "nsgate/1";
const VERB: &str = "check";

/// Says what was found in these files.
///
/// # Errors
/// It cannot be written down.
pub fn findings(files: &[&Policy], findings: Findings, out: &mut Output) -> Result<(), Failure> {
    let number = |severity| findings.number(severity);
    let (errors, warnings, infos) =
        (number(Severity::Error), number(Severity::Warning), number(Severity::Info));
    let shown = findings.into_shown();
    if out.is_json() {
        let findings = shown.iter().map(|(finding, _)| Entry::of(finding)).collect();
        let files = files.iter().map(|policy| &*policy.name).collect();
        return out.document(&Document {
            schema: SCHEMA,
            verb: VERB,
            files,
            errors,
            warnings,
            infos,
            findings,
        });
    }
    for (finding, more) in &shown {
        let line = finding.place.line.map(|line| format!(":{line}")).unwrap_or_default();
        let place = out.paint(Style::Strong, &format!("{}{line}:", finding.place.file));
        let severity = out.paint(style(finding.rule.severity), finding.rule.severity.word());
        let id = out.paint(Style::Faint, &format!("[{}]", finding.rule.id));
        out.line(format!("{place} {severity}: {} {id}", finding.message));
        if let Some(fix) = &finding.fix {
            out.line(format!("    {fix}"));
        }
        if *more > 0 {
            out.line(format!("    ... and {} more like it {id}", grouped(*more)));
        }
    }
    let places = places(files, &shown);
    let counts = [
        (errors, "error", Style::Error),
        (warnings, "warning", Style::Warning),
        (infos, "info", Style::Faint),
    ];
    let counts: Vec<String> = counts
        .into_iter()
        .filter(|(number, _, _)| *number > 0)
        .map(|(number, what, style)| {
            out.paint(style, &format!("{} {what}{}", grouped(number), plural(number)))
        })
        .collect();
    if counts.is_empty() {
        out.line(format!("{}{places}", out.paint(Style::Good, "no findings")));
    } else {
        out.line(format!("{}{places}", counts.join(", ")));
    }
    let worst = shown.iter().min_by_key(|(finding, _)| std::cmp::Reverse(finding.rule.severity));
    if let Some((finding, _)) = worst {
        let id = finding.rule.id;
        out.line(out.paint(Style::Faint, &format!("why, and what follows: nsgate check --help-rule {id}")));
    }
    Ok(())
}

/// Where that is; and which files are not there, if that is no finding.
fn places(files: &[&Policy], shown: &[(Finding, u64)]) -> String {
    let is_missing = |policy: &&&Policy| {
        matches!(policy.found.content, Content::Absent)
            && shown.iter().all(|(finding, _)| finding.place.file != policy.name)
    };
    let (missing, there): (Vec<_>, Vec<_>) = files.iter().partition(is_missing);
    let list = |before: &str, files: Vec<&&Policy>| {
        let names: Vec<&str> = files.iter().map(|policy| &*policy.name).collect();
        if names.is_empty() { String::new() } else { format!("{before}{}", names.join(", ")) }
    };
    list(" in ", there) + &list("; not there: ", missing)
}

/// Explains a rule.
///
/// # Errors
/// There is none of this id.
pub fn rule(id: &str, out: &mut Output) -> Result<(), Failure> {
    let Some(Rule { id, severity, title, help }) = rule::named(id) else {
        let known: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        let shown = super::command::shown(id.as_bytes());
        let message = format!("there is no rule \"{shown}\"; there are {}", known.join(", "));
        return Err(Failure::new(message).with_code(USAGE));
    };
    if out.is_json() {
        let rule = RuleEntry { id, severity: severity.word(), title, help };
        return out.document(&RuleDocument { schema: SCHEMA, verb: VERB, rule });
    }
    let severity = out.paint(style(*severity), severity.word());
    out.line(format!("{} ({severity}): {title}", out.paint(Style::Strong, id)));
    out.line("");
    for line in wrapped(help, out.width().min(100)) {
        out.line(line);
    }
    Ok(())
}

/// The colour of its word.
pub(crate) const fn style(severity: Severity) -> Style {
    match severity {
        Severity::Error => Style::Error,
        Severity::Warning => Style::Warning,
        Severity::Info => Style::Faint,
    }
}

/// 99990 as 99 990.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        let left = digits.len().saturating_sub(place);
        if place > 0 && left.checked_rem(3) == Some(0) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len().saturating_add(word.len()) < width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_paragraphs_are_readable() {
        assert_eq!([7, 990, 99_990, 1_234_567].map(grouped), ["7", "990", "99 990", "1 234 567"]);
        assert_eq!(wrapped("a bb ccc dddd", 6), ["a bb", "ccc", "dddd"]);
        assert!(RULES.iter().flat_map(|rule| wrapped(rule.help, 40)).all(|line| line.len() <= 60));
    }
}
