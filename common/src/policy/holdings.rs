//! What policy says to one caller who asks for ids: which are his by the files, which by plugins, and, where the host wants to
//! know, whose else they are.
//!
//! The helpers decide by it, and `nsgate explain` says by it what they would decide.

use super::host::{self, Fact, OtherOwner};
use super::id::{Id, Range};
use super::idmap::{Kind, Triple, wanted};
use super::nsswitch::Nsswitch;
use super::overlap::Reaching;
use super::settings::{Idmap, in_force};
use super::subid::{Grants, Owner, Search};
use super::subid_source::{Answer, Failed, SourceName, Sources, complete};

/// Who asks, and for ids of which kind.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Which ids.
    pub kind: Kind,
    /// His uid.
    pub uid: Id,
    /// The one id of this kind that he may always map.
    pub own: Id,
    /// His account's names; the first is the one to speak of.
    pub names: &'a [Vec<u8>],
}

impl Asker<'_> {
    /// What to call him.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.names.first().map_or(b"?", Vec::as_slice)
    }

    /// Whose lines count.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner::new(self.uid, self.names.iter().map(Vec::as_slice))
    }
}

/// What it says.
#[derive(Debug)]
pub struct Holdings {
    /// What is his.
    pub grants: Grants,
    /// Is there a policy file, and is it among the sources?
    pub exists: bool,
    /// May a message repeat what it says?
    pub may_be_repeated: bool,
    /// Who is asked. Err: nobody, as this word names nobody.
    pub sources: Result<Sources, Vec<u8>>,
    /// May a message name them?
    pub sources_may_be_named: bool,
    /// Who has not answered.
    pub failed: Vec<Failed>,
    /// Whom else the file grants some of the ids that are asked for.
    pub other_owner: Fact<OtherOwner>,
}

impl Holdings {
    /// What the policy file says. `read` shows it from the first line on, in blocks of whole lines, with the number of the first;
    /// and answers whether everybody may read it, or that there is none. It is not called where the file has no say, and twice where
    /// there is a first look, for the lines that reach what is asked, and it does not show that all of it is his alone.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn in_file<E>(
        asker: &Asker<'_>,
        nsswitch: &Nsswitch,
        rules: &Idmap,
        triples: &[Triple],
        mut read: impl FnMut(&mut dyn FnMut(u32, &[u8])) -> Result<Option<bool>, E>,
    ) -> Result<Self, E> {
        let sources = nsswitch.subid_sources().map_err(<[u8]>::to_vec);
        let in_files = sources.as_ref().is_ok_and(|sources| sources.files);
        // Whose ids they are is in the file, also where it does not grant any.
        let looks_for_others = in_force(rules.refuse_overlap).is_some();
        let owner = asker.owner();
        let wanted = host::wanted(asker.own, triples);
        let own = triples.iter().any(|triple| Some(triple.host()) == Range::new(asker.own, 1));
        let reaching = || Reaching::new(&owner, &wanted, own.then_some(asker.own));
        let mut look = |for_all_of_his: bool| {
            let mut his = (in_files && for_all_of_his).then(|| Search::new(&owner));
            let mut reaching = looks_for_others.then(reaching);
            let readable_by_all = read(&mut |line, block| {
                if let Some(his) = &mut his {
                    his.look_at(line, block);
                }
                if let Some(reaching) = &mut reaching {
                    reaching.look_at(line, block);
                }
            })?;
            let (that_reach, other) = reaching.map(Reaching::finish).unzip();
            let grants = match his {
                Some(his) => his.finish(),
                None if in_files => that_reach.unwrap_or_default(),
                None => Grants::default(),
            };
            Ok(Seen { readable_by_all, grants, other_owner: other.map_or(Fact::Unknown, Fact::from) })
        };
        let mut seen = Seen::default();
        if looks_for_others && (!in_files || reaching().looks_for_own()) {
            seen = look(false)?;
        }
        // What else is his helps to say why not.
        if in_files && !seen.grants_alone(&wanted) {
            seen = look(true)?;
        }
        let Seen { readable_by_all, grants, other_owner } = seen;
        let may_be_repeated = readable_by_all == Some(true);
        let as_far_as_he_may_know =
            |other: OtherOwner| OtherOwner { line: other.line.filter(|_| may_be_repeated), ..other };
        let other_owner = match readable_by_all {
            Some(_) => other_owner.map(as_far_as_he_may_know),
            None => Fact::Nothing,
        };
        Ok(Self {
            grants,
            exists: in_files && readable_by_all.is_some(),
            may_be_repeated,
            sources,
            sources_may_be_named: nsswitch.may_be_repeated(),
            failed: Vec::new(),
            other_owner,
        })
    }

    /// With what plugins grant of these triples. `ask` is called for what nothing before has granted: [`complete`].
    #[must_use]
    pub fn with_plugins(
        mut self,
        asker: &Asker<'_>,
        triples: &[Triple],
        ask: impl FnMut(&SourceName, &[Range]) -> Result<Vec<Answer>, String>,
    ) -> Self {
        if let Ok(sources) = &self.sources {
            let wanted = wanted(asker.kind, asker.own, triples);
            self.failed = complete(&mut self.grants, &wanted, &sources.plugins, ask);
        }
        self
    }
}

/// What a look at the policy file shows.
#[derive(Default)]
struct Seen {
    /// None: there is no file.
    readable_by_all: Option<bool>,
    grants: Grants,
    other_owner: Fact<OtherOwner>,
}

impl Seen {
    /// Is all of it his, and nothing of it another's?
    fn grants_alone(&self, wanted: &[Range]) -> bool {
        let is_his = |range: &Range| self.grants.first_missing(*range).is_none();
        self.other_owner == Fact::Nothing && wanted.iter().all(is_his)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::super::idmap::decide;
    use super::super::settings::Settings;
    use super::*;
    use proptest::prelude::*;

    const FILE: &[u8] = b"alice:100:10\nbob:105:10\n1000:300:1\n";

    fn id(raw: u32) -> Id {
        Id::new(raw).unwrap()
    }

    fn triples() -> Vec<Triple> {
        vec![Triple::parse([b"0", b"105", b"2"]).unwrap()]
    }

    /// What policy says to alice, and whether the file was read for it.
    fn held(nsswitch: &str, rules: &str, file: Option<bool>) -> (Holdings, bool) {
        let names = [b"alice".to_vec()];
        let asker = Asker { kind: Kind::Uid, uid: id(1000), own: id(1000), names: &names };
        let rules = Settings::parse(format!("[idmap]\n{rules}").as_bytes()).unwrap().idmap;
        let nsswitch = Nsswitch::parse(nsswitch.as_bytes());
        let mut was_read = false;
        let read = |see: &mut dyn FnMut(u32, &[u8])| -> Result<Option<bool>, Infallible> {
            was_read = true;
            if file.is_some() {
                see(1, FILE);
            }
            Ok(file)
        };
        let held = Holdings::in_file(&asker, &nsswitch, &rules, &triples(), read).unwrap();
        (held, was_read)
    }

    fn missing(held: &Holdings) -> Option<u32> {
        held.grants.first_missing(Range::new(id(300), 1).unwrap()).map(Id::raw)
    }

    #[test]
    fn the_file_is_read_where_it_grants_or_where_others_in_it_are_in_the_way() {
        let (held, was_read) = self::held("subid: files", "", Some(true));
        assert!(was_read && held.exists && held.may_be_repeated);
        assert_eq!((missing(&held), held.other_owner), (None, Fact::Unknown));

        let (held, was_read) = self::held("subid: sss", "", Some(true));
        assert!(!was_read && !held.exists);
        assert_eq!((missing(&held), held.other_owner), (Some(300), Fact::Nothing));

        let (held, was_read) = self::held("subid: sss", "overlap = refuse", Some(true));
        assert!(was_read && !held.exists);
        let bob = OtherOwner { id: id(105), line: Some(2) };
        assert_eq!((missing(&held), held.other_owner), (Some(300), Fact::Found(bob)));
    }

    #[test]
    fn of_a_file_that_not_everybody_may_read_no_line_is_named() {
        let (held, _) = self::held("subid: files", "overlap = refuse", Some(false));
        assert!(held.exists && !held.may_be_repeated);
        assert_eq!(held.other_owner, Fact::Found(OtherOwner { id: id(105), line: None }));
    }

    #[test]
    fn where_there_is_no_file_there_is_no_other_owner() {
        let (held, was_read) = self::held("subid: files", "overlap = refuse", None);
        assert!(was_read && !held.exists && !held.may_be_repeated);
        assert_eq!((missing(&held), held.other_owner), (Some(300), Fact::Nothing));
    }

    #[test]
    fn plugins_are_asked_for_what_the_file_does_not_grant() {
        let names = [b"alice".to_vec()];
        let asker = Asker { kind: Kind::Uid, uid: id(1000), own: id(1000), names: &names };
        let beyond = vec![Triple::parse([b"0", b"105", b"10"]).unwrap()];
        let mut asked = Vec::new();
        let held =
            self::held("subid: files sss", "", Some(true)).0.with_plugins(&asker, &beyond, |_, ranges| {
                asked.extend_from_slice(ranges);
                Ok(vec![Answer::Yes; ranges.len()])
            });
        assert_eq!(asked, [Range::new(id(110), 5).unwrap()]);
        assert_eq!(
            (held.grants.first_missing(Range::new(id(105), 10).unwrap()), held.failed.len()),
            (None, 0)
        );
    }

    /// With `overlap` too, whatever one look shows of it.
    #[test]
    fn what_his_lines_say_of_his_own_id_counts_wherever_it_is() {
        let names = [b"alice".to_vec()];
        let asker = Asker { kind: Kind::Gid, uid: id(1000), own: id(1000), names: &names };
        let nsswitch = Nsswitch::parse(b"");
        let said = |file: &str, triples: &[Triple], rules: &str| {
            let rules = Settings::parse(rules.as_bytes()).unwrap().idmap;
            let mut looks = 0;
            let read = |see: &mut dyn FnMut(u32, &[u8])| {
                looks += 1;
                see(1, file.as_bytes());
                Ok::<_, Infallible>(Some(true))
            };
            let held = Holdings::in_file(&asker, &nsswitch, &rules, triples, read).unwrap();
            (decide(asker.own, triples.to_vec(), &held.grants), looks)
        };
        for first in ["900", "500000", "3000000000"] {
            let triples = [[b"0", &b"1000"[..], b"1"], [b"1", first.as_bytes(), b"9"]]
                .map(|it| Triple::parse(it).unwrap());
            for file in [
                format!("alice:1000:1\nalice:{first}:9\n"),
                format!("bob:1000:1\nalice:{first}:9\n1000:1000:1\n"),
                format!("alice:{first}:9\n"),
            ] {
                let (plain, _) = said(&file, &triples, "");
                assert!(plain.is_ok());
                assert_eq!(said(&file, &triples, "[idmap]\noverlap = refuse"), (plain, 1), "{file}");
            }
            // All of it is his by what stands before the other's line. It is another's all the same, so he is told of every line.
            let file = format!("alice:{first}:9\nbob:{first}:1\nalice:{first}:7\n");
            let (plain, _) = said(&file, &triples, "");
            assert_eq!(said(&file, &triples, "[idmap]\noverlap = refuse").0, plain);
        }
    }

    proptest! {
        /// Whatever is looked at once or twice: with `overlap`, he is told of his ids what he is told without it, and of others
        /// what reading line by line says.
        #[test]
        fn the_rule_for_others_changes_nothing_of_what_is_his(
            lines in prop::collection::vec(("(alice|1000|bob|7)", 990_u32..1020, 1_u32..12, any::<bool>()), 0..8),
            asked in prop::collection::vec((990_u32..1020, 1_u32..6), 1..4), own_too: bool, gid: bool,
            far: bool, cut in 0_usize..8, exists: bool,
        ) {
            // So that no line for his own id, 1000, is where the others are, or every one is.
            let away = if far { 3_000_000_000 } else { 0 };
            let asked: Vec<_> = asked.iter().map(|(first, count)| (first + away, *count)).collect();
            let lines: Vec<_> = lines.iter().map(|(who, first, count, stays)| (who.clone(), if *stays { *first } else { first + away }, *count)).collect();
            let triple = |(first, count): &(u32, u32), inside: usize| {
                let words = [inside * 100, usize::try_from(*first).unwrap(), usize::try_from(*count).unwrap()];
                Triple::parse(words.map(|word| word.to_string()).each_ref().map(String::as_bytes)).unwrap()
            };
            let mut triples: Vec<_> = asked.iter().zip(1..).map(|(it, inside)| triple(it, inside)).collect();
            triples.extend(own_too.then(|| triple(&(1000, 1), 0)));
            let kind = if gid { Kind::Gid } else { Kind::Uid };
            let names = [b"alice".to_vec()];
            let asker = Asker { kind, uid: id(1000), own: id(1000), names: &names };
            let text = |lines: &[(String, u32, u32)]| {
                lines.iter().map(|(who, first, count)| format!("{who}:{first}:{count}\n")).collect::<String>()
            };
            let held = |rules: &str| {
                let rules = Settings::parse(format!("[idmap]\n{rules}").as_bytes()).unwrap().idmap;
                let (one, other) = lines.split_at(cut.min(lines.len()));
                Holdings::in_file(&asker, &Nsswitch::parse(b""), &rules, &triples, |see| {
                    if exists {
                        see(1, text(one).as_bytes());
                        see(u32::try_from(one.len()).unwrap() + 1, text(other).as_bytes());
                    }
                    Ok::<_, Infallible>(exists.then_some(true))
                })
                .unwrap()
            };
            let (plain, with_rule) = (held(""), held("overlap = refuse"));
            let said = |held: &Holdings| decide(asker.own, triples.clone(), &held.grants);
            prop_assert_eq!(said(&plain), said(&with_rule));
            let wanted = host::wanted(asker.own, &triples);
            let other = lines.iter().zip(1..).filter(|_| exists).find_map(|((who, first, count), line)| {
                let id = host::first_wanted(&wanted, Range::new(id(*first), *count).unwrap())?;
                (who == "bob" || who == "7").then_some(OtherOwner { id, line: Some(line) })
            });
            prop_assert_eq!(&with_rule.other_owner, &Fact::from(other));
        }
    }
}
