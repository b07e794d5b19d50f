//! A place to put findings. There may be millions: of each rule in each file a few are kept, those of the lowest lines, and the
//! rest is counted; or all are kept, for a program.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::finding::{Finding, Place};
use super::machine::Policy;
use super::rule::{Rule, Severity};

/// What was found.
#[derive(Debug)]
pub struct Findings {
    /// So many of a kind are kept.
    keep: usize,
    kinds: BTreeMap<(Arc<str>, &'static str), Kind>,
}

/// Findings of one rule in one file.
#[derive(Debug)]
struct Kind {
    rule: &'static Rule,
    number: u64,
    kept: Vec<Finding>,
    /// What is further down is not kept any more.
    lowest_lost: Option<u32>,
}

/// Findings as they are shown: those that were kept, by file and line, each with how many like it come behind it that were not.
pub type Shown = Vec<(Finding, u64)>;

impl Findings {
    /// Of each rule in each file, `keep` are kept.
    #[must_use]
    pub const fn new(keep: usize) -> Self {
        Self { keep, kinds: BTreeMap::new() }
    }

    /// Adds one, if the file is one to be looked at. What it says is only asked for if it is kept.
    pub fn add(
        &mut self,
        rule: &'static Rule,
        policy: &Policy,
        line: Option<u32>,
        say: impl FnOnce() -> (String, Option<String>),
    ) {
        if policy.wanted {
            self.add_at(rule, &policy.name, line, say);
        }
    }

    /// The same for a file that is no policy file.
    pub fn add_at(
        &mut self,
        rule: &'static Rule,
        file: &Arc<str>,
        line: Option<u32>,
        say: impl FnOnce() -> (String, Option<String>),
    ) {
        let kind = self.kinds.entry((file.clone(), rule.id)).or_insert_with(|| Kind {
            rule,
            number: 0,
            kept: Vec::new(),
            lowest_lost: None,
        });
        kind.number = kind.number.saturating_add(1);
        if kind.lowest_lost.is_some_and(|lost| line.is_some_and(|line| line >= lost)) {
            return;
        }
        let (message, fix) = say();
        kind.kept.push(Finding { rule, place: Place { file: file.clone(), line }, message, fix });
        if kind.kept.len() >= self.keep.saturating_mul(2) {
            kind.cut(self.keep);
        }
    }

    /// How many there are of a severity.
    #[must_use]
    pub fn number(&self, severity: Severity) -> u64 {
        let kinds = self.kinds.values().filter(|kind| kind.rule.severity == severity);
        kinds.fold(0, |sum, kind| sum.saturating_add(kind.number))
    }

    /// All that were kept, sorted by file and line.
    #[must_use]
    pub fn into_shown(self) -> Shown {
        let mut shown = Vec::new();
        for mut kind in self.kinds.into_values() {
            kind.cut(self.keep);
            let kept = u64::try_from(kind.kept.len()).unwrap_or(u64::MAX);
            let lost = kind.number.saturating_sub(kept);
            shown.extend(kind.kept.into_iter().map(|finding| (finding, 0)));
            if let Some((_, more)) = shown.last_mut() {
                *more = lost;
            }
        }
        shown.sort_by(|(one, _), (other, _)| {
            let what = |finding: &Finding| (std::cmp::Reverse(finding.rule.severity), finding.rule.id);
            one.place.cmp(&other.place).then_with(|| what(one).cmp(&what(other)))
        });
        shown
    }

    /// All that were kept, sorted by file and line.
    #[must_use]
    pub fn into_vec(self) -> Vec<Finding> {
        self.into_shown().into_iter().map(|(finding, _)| finding).collect()
    }
}

impl Kind {
    /// Forgets all but the first few.
    fn cut(&mut self, keep: usize) {
        self.kept.sort_by_key(|finding| finding.place.line);
        if self.kept.len() > keep {
            self.lowest_lost = self.kept.get(keep).and_then(|finding| finding.place.line);
            self.kept.truncate(keep);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::{OVERLAP, SYNTAX};
    use super::*;

    #[test]
    fn the_lowest_lines_are_kept_and_the_rest_is_counted() {
        let mut findings = Findings::new(3);
        let (a, b) = (Arc::from("a"), Arc::from("b"));
        let mut asked = 0;
        for line in (1..=1000).rev().chain(1001..=100_000) {
            findings.add_at(SYNTAX, &a, Some(line), || {
                asked += 1;
                (line.to_string(), None)
            });
        }
        findings.add_at(OVERLAP, &b, Some(7), || ("b7".to_owned(), None));
        findings.add_at(OVERLAP, &a, Some(2), || ("a2".to_owned(), None));
        assert_eq!(findings.number(Severity::Error), 100_002);
        let shown: Vec<(String, u64)> =
            findings.into_shown().into_iter().map(|(finding, more)| (finding.message, more)).collect();
        let expected = [("1", 0), ("a2", 0), ("2", 0), ("3", 99_997), ("b7", 0)];
        assert_eq!(shown, expected.map(|(message, more)| (message.to_owned(), more)));
        assert!(asked <= 1000, "{asked}");
    }
}
