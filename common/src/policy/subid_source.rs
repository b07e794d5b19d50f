//! Sources of subordinate ids besides the files: `subid:` in `/etc/nsswitch.conf`. What they may be called, what they can
//! answer, and what all of them grant together.
//!
//! What counts is the union. A source can grant or not; none can take away what another one grants, and none that
//! fails stands for a yes or for a no.

use std::collections::BTreeSet;
use std::fmt;

use super::id::Range;
use super::subid::Grants;

/// What a source is called: `sss`. A part of the plugin's file name, so nothing that could lead elsewhere is in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SourceName(String);

/// In bytes, as in shadow.
const LONGEST_NAME: usize = 50;

impl SourceName {
    /// A name: `a` to `z`, `0` to `9` and `_` alone. None: this word is not one.
    #[must_use]
    pub fn new(word: &[u8]) -> Option<Self> {
        let fits = (1..=LONGEST_NAME).contains(&word.len());
        let plain =
            word.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_');
        (fits && plain).then(|| Self(word.iter().copied().map(char::from).collect()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whom the line names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sources {
    /// Are `/etc/subuid` and `/etc/subgid` among them?
    pub files: bool,
    /// The others, in the order of the line, each once.
    pub plugins: Vec<SourceName>,
}

impl Sources {
    /// The words of the line.
    ///
    /// # Errors
    /// A word that is no name. What such a line means nobody knows, so it names nobody: `[NOTFOUND=return]` would
    /// take away what the words behind it grant.
    pub fn named<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, &'a [u8]> {
        let mut sources = Self::default();
        for word in words {
            let name = SourceName::new(word).ok_or(word)?;
            if name.as_str() == "files" {
                sources.files = true;
            } else if !sources.plugins.contains(&name) {
                sources.plugins.push(name);
            }
        }
        Ok(sources)
    }
}

/// What a plugin says of one range: may the caller have all of it?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// He may.
    Yes,
    /// He may not, or is not known.
    No,
    /// Neither.
    Trouble(Trouble),
}

/// How a plugin says that it does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// `SUBID_STATUS_ERROR_CONN`
    Connection,
    /// `SUBID_STATUS_ERROR`
    Other,
    /// A status that the interface does not have.
    NoStatus,
}

impl Answer {
    /// The answer behind a status and what was written where a `bool` should be.
    #[must_use]
    pub const fn of(status: i32, yes: bool) -> Self {
        match (status, yes) {
            (0, true) => Self::Yes,
            (0, false) | (1, _) => Self::No,
            (2, _) => Self::Trouble(Trouble::Connection),
            (3, _) => Self::Trouble(Trouble::Other),
            _ => Self::Trouble(Trouble::NoStatus),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "connection error",
            Self::Other => "error",
            Self::NoStatus => "a status that is none",
        })
    }
}

/// A source that could not say yes or no.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failed {
    /// Which.
    pub source: SourceName,
    /// What it did instead.
    pub what: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the subid source \"{}\" of /etc/nsswitch.conf {}", self.source, self.what)
    }
}

/// Adds to `grants` what the plugins grant of the ranges that are wanted. Each is asked for the pieces that nothing
/// before it has granted, of each range for itself; when nothing is missing any more, nobody is asked.
///
/// The answer: who failed. If all that is wanted is granted then, that does not matter.
#[must_use]
pub fn complete(
    grants: &mut Grants,
    wanted: &[Range],
    plugins: &[SourceName],
    mut ask: impl FnMut(&SourceName, &[Range]) -> Result<Vec<Answer>, String>,
) -> Vec<Failed> {
    let mut failed = Vec::new();
    // The same triple may be asked for hundreds of times, and each have thousands of pieces.
    let wanted: BTreeSet<Range> = wanted.iter().copied().collect();
    for source in plugins {
        let mut missing: Vec<Range> = wanted.iter().flat_map(|range| grants.missing(*range)).collect();
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            break;
        }
        let mut fail = |what| failed.push(Failed { source: source.clone(), what });
        match ask(source, &missing) {
            Err(what) => fail(what),
            Ok(answers) if answers.len() != missing.len() => fail("answered something else".to_owned()),
            Ok(answers) => {
                let trouble = answers.iter().find_map(|answer| match answer {
                    Answer::Trouble(trouble) => Some(*trouble),
                    Answer::Yes | Answer::No => None,
                });
                if let Some(trouble) = trouble {
                    fail(format!("answered: {trouble}"));
                }
                let granted = missing.iter().zip(&answers).filter(|(_, answer)| **answer == Answer::Yes);
                grants.add(source, granted.map(|(range, _)| *range).collect());
            }
        }
    }
    failed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::id::Id;
    use super::super::subid::Grant;
    use super::*;

    fn range(first: u32, count: u32) -> Range {
        Range::new(Id::new(first).unwrap(), count).unwrap()
    }

    fn files(lines: &[(u32, u32)]) -> Grants {
        Grants::new(
            lines.iter().map(|(first, count)| Grant { range: range(*first, *count), line: 1 }).collect(),
        )
    }

    fn plugins(names: &[&str]) -> Vec<SourceName> {
        names.iter().map(|name| SourceName::new(name.as_bytes()).unwrap()).collect()
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        let longest = "s".repeat(50);
        for name in ["sss", "a", "0", "_", "ipa_2", &longest] {
            assert_eq!(SourceName::new(name.as_bytes()).unwrap().as_str(), name);
        }
        let too_long = "s".repeat(51);
        for word in [
            "",
            ".",
            "..",
            "../x",
            "/tmp/x",
            "a/b",
            "x.so",
            "SSS",
            "a-b",
            "a b",
            "%s",
            "a\0b",
            "a\nb",
            "\u{e9}",
            "[NOTFOUND=return]",
            &too_long,
        ] {
            assert_eq!(SourceName::new(word.as_bytes()), None, "{word:?}");
        }
    }

    #[test]
    fn a_line_is_the_files_and_plugins_each_once_and_one_odd_word_spoils_it() {
        let named = |words: &[&'static str]| {
            Sources::named(words.iter().map(|word| word.as_bytes())).map(|sources| {
                (sources.files, sources.plugins.iter().map(ToString::to_string).collect::<Vec<_>>())
            })
        };
        assert_eq!(named(&["files"]), Ok((true, vec![])));
        assert_eq!(
            named(&["b", "files", "a", "b", "files"]),
            Ok((true, vec!["b".to_owned(), "a".to_owned()]))
        );
        assert_eq!(named(&["sss"]), Ok((false, vec!["sss".to_owned()])));
        assert_eq!(named(&["sss", "[NOTFOUND=return]", "files"]), Err(&b"[NOTFOUND=return]"[..]));
    }

    #[test]
    fn only_success_and_true_is_a_yes() {
        assert_eq!(Answer::of(0, true), Answer::Yes);
        for (status, yes) in [(0, false), (1, true), (1, false)] {
            assert_eq!(Answer::of(status, yes), Answer::No, "{status} {yes}");
        }
        for status in [2, 3, 4, -1, i32::MIN, i32::MAX] {
            assert!(matches!(Answer::of(status, true), Answer::Trouble(_)), "{status}");
        }
    }

    #[test]
    fn who_failed_is_named_with_what_he_did() {
        let mut grants = Grants::default();
        let mut statuses = [2, 3, 4].into_iter();
        let failed = complete(&mut grants, &[range(1, 1)], &plugins(&["a", "b", "c", "d"]), |_, _| {
            Ok(vec![Answer::of(statuses.next().ok_or("does not answer")?, true)])
        });
        let said: Vec<_> = failed.iter().map(ToString::to_string).collect();
        let says = |name, what| format!("the subid source \"{name}\" of /etc/nsswitch.conf {what}");
        assert_eq!(
            said,
            [
                says("a", "answered: connection error"),
                says("b", "answered: error"),
                says("c", "answered: a status that is none"),
                says("d", "does not answer"),
            ]
        );
        assert_eq!(grants.first_missing(range(1, 1)), Id::new(1));
    }

    #[test]
    fn a_plugin_is_asked_for_the_missing_pieces_alone_and_nobody_after_the_last() {
        let mut grants = files(&[(10, 5), (20, 5)]);
        let mut asked = Vec::new();
        let failed = complete(
            &mut grants,
            &[range(8, 20), range(10, 2)],
            &plugins(&["a", "b", "c"]),
            |source, pieces| {
                asked.push((source.to_string(), pieces.to_vec()));
                Ok(pieces
                    .iter()
                    .map(|piece| Answer::of(0, (piece.first().raw() > 9) == (source.as_str() == "a")))
                    .collect())
            },
        );
        assert_eq!(failed, []);
        let pieces = vec![range(8, 2), range(15, 5), range(25, 3)];
        assert_eq!(asked, [("a".to_owned(), pieces), ("b".to_owned(), vec![range(8, 2)])]);
        assert_eq!(grants.first_missing(range(8, 20)), None);
        assert_eq!(grants.sources_behind(range(15, 1)).map(SourceName::as_str).collect::<Vec<_>>(), ["a"]);
        assert_eq!(grants.sources_behind(range(10, 5)).count(), 0);
        assert_eq!(grants.sources_behind(range(8, 20)).count(), 2);
    }

    #[test]
    fn too_few_or_too_many_answers_are_none() {
        for answers in [0, 2] {
            let mut grants = Grants::default();
            let failed = complete(&mut grants, &[range(1, 1)], &plugins(&["a"]), |_, _| {
                Ok(vec![Answer::Yes; answers])
            });
            assert_eq!((failed.len(), grants.first_missing(range(1, 1))), (1, Id::new(1)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        /// Each plugin has a set of ids, and may be one that always fails.
        #[test]
        fn a_union_is_what_sets_of_numbers_say(
            lines in prop::collection::vec((0_u32..40, 1_u32..12), 0..4),
            sets in prop::collection::vec((prop::collection::btree_set(0_u32..50, 0..50), any::<u8>()), 0..4),
            wanted in prop::collection::vec((0_u32..40, 1_u32..10), 1..4),
        ) {
            let in_files: BTreeSet<u32> = lines.iter().flat_map(|(f, c)| *f..f + c).collect();
            let works = |failing: &u8| failing % 4 != 0;
            let ids = |range: &Range| range.first().raw()..range.end();

            // By hand: from source to source, each maximal run of missing ids is granted whole or not at all.
            let (mut expected, mut questions) = (in_files.clone(), 0);
            for (set, failing) in &sets {
                let before = expected.clone();
                questions += usize::from(wanted.iter().any(|(f, c)| (*f..f + c).any(|id| !before.contains(&id))));
                for (first, count) in &wanted {
                    let missing: Vec<u32> = (*first..first + count).filter(|id| !before.contains(id)).collect();
                    for run in missing.chunk_by(|a, b| a + 1 == *b) {
                        if works(failing) && run.iter().all(|id| set.contains(id)) {
                            expected.extend(run);
                        }
                    }
                }
            }

            let mut grants = files(&lines);
            let wanted: Vec<Range> = wanted.iter().map(|(f, c)| range(*f, *c)).collect();
            let names = plugins(&["a", "b", "c", "d"][..sets.len()]);
            let mut asked = 0;
            let failed = complete(&mut grants, &wanted, &names, |source, pieces| {
                asked += 1;
                let (set, failing) = &sets[names.iter().position(|name| name == source).unwrap()];
                if !works(failing) {
                    return Err("failed".to_owned());
                }
                Ok(pieces.iter().map(|piece| Answer::of(0, ids(piece).all(|id| set.contains(&id)))).collect())
            });
            prop_assert_eq!(asked, questions);
            prop_assert_eq!(failed.len(), sets[..questions].iter().filter(|(_, failing)| !works(failing)).count());
            for id in 0..60 {
                prop_assert_eq!(grants.first_missing(range(id, 1)).is_none(), expected.contains(&id), "{}", id);
                // Whoever is named as a ground has it.
                let has = |name: &SourceName| &sets[names.iter().position(|known| known == name).unwrap()].0;
                for source in grants.sources_behind(range(id, 1)) {
                    prop_assert!(has(source).contains(&id));
                    prop_assert!(!in_files.contains(&id));
                }
            }
        }
    }
}
