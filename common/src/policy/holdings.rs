//! What policy says to one caller who asks for ids: which are his by the files, which by plugins, and, where the host wants to
//! know, whose else they are.
//!
//! The helpers decide by it, and `nsgate explain` says by it what they would decide.

use super::host::{self, Fact, OtherOwner};
use super::id::{Id, Range};
use super::idmap::{Kind, Triple, wanted};
use super::nsswitch::Nsswitch;
use super::overlap::Others;
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
    /// and answers whether everybody may read it, or that there is none. Where the file has no say it is not called.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn in_file<E>(
        asker: &Asker<'_>,
        nsswitch: &Nsswitch,
        rules: &Idmap,
        triples: &[Triple],
        read: impl FnOnce(&mut dyn FnMut(u32, &[u8])) -> Result<Option<bool>, E>,
    ) -> Result<Self, E> {
        let sources = nsswitch.subid_sources().map_err(<[u8]>::to_vec);
        let in_files = sources.as_ref().is_ok_and(|sources| sources.files);
        // Whose ids they are is in the file, also where it does not grant any.
        let looks_for_others = in_force(rules.refuse_overlap).is_some();
        let owner = asker.owner();
        let wanted = host::wanted(asker.own, triples);
        let mut search = Search::new(&owner);
        let mut others = looks_for_others.then(|| Others::new(&owner, &wanted));
        let mut look_at = |line: u32, block: &[u8]| {
            if in_files {
                search.look_at(line, block);
            }
            if let Some(others) = &mut others {
                others.look_at(line, block);
            }
        };
        let readable_by_all = if in_files || looks_for_others { read(&mut look_at)? } else { None };
        let may_be_repeated = readable_by_all == Some(true);
        let as_far_as_he_may_know =
            |other: OtherOwner| OtherOwner { line: other.line.filter(|_| may_be_repeated), ..other };
        let other_owner = match readable_by_all {
            Some(_) => {
                others.map_or(Fact::Unknown, |others| others.finish().map(as_far_as_he_may_know).into())
            }
            None => Fact::Nothing,
        };
        let exists = in_files && readable_by_all.is_some();
        Ok(Self {
            grants: search.finish(),
            exists,
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::super::settings::Settings;
    use super::*;

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
}
