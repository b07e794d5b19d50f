//! Why policy does not let somebody, and what would help: the words of the helpers, and of whoever explains them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::holdings::{Asker, Holdings};
use super::host::{Forbidden, Why};
use super::idmap::{Kind, MOST_EXTENTS, NotATriple, NotGranted, Triple};
use super::text::{Quoted, is_tame};
use super::usernet::{Quota, VETH};

/// Why a range is not granted.
#[must_use]
pub fn not_granted(asker: &Asker<'_>, held: &Holdings, refused: &NotGranted) -> String {
    let (word, file) = (asker.kind.word(), asker.kind.policy_file());
    let owner = Quoted(asker.name());
    let host = refused.triple.host();
    // Where a private line ends is not told.
    let is_private = held.exists && !held.may_be_repeated;
    let (missing, what) = if is_private {
        (host.first(), "it".to_owned())
    } else {
        (refused.missing, format!("{word} {}", refused.missing))
    };
    let in_file = || match (refused.nearest, held.grants.void()) {
        _ if !held.exists => format!("/etc/{file} does not exist, so it grants nothing to {owner}"),
        _ if is_private => format!("/etc/{file} does not grant it to {owner}"),
        (None, None) => format!("/etc/{file} has no line for {owner}"),
        (None, Some(void)) => format!("/etc/{file}:{void} grants nothing to {owner}: nsgate check says why"),
        (Some(near), void) => {
            let void = void.map_or_else(String::new, |void| {
                format!("; line {void} grants nothing: nsgate check says why")
            });
            format!(
                "{what} is not granted to {owner} (/etc/{file}:{} grants {}{void})",
                near.line, near.range
            )
        }
    };
    let rule = match &held.sources {
        Err(_) if !held.sources_may_be_named => {
            "/etc/nsswitch.conf (subid:) is not as it should be".to_owned()
        }
        Err(named) => format!(
            "/etc/nsswitch.conf (subid:) names the source \"{}\", which cannot be a source's name (a-z, 0-9 and _, \
             at most 50)",
            Quoted(named)
        ),
        Ok(_) if !held.failed.is_empty() && !held.sources_may_be_named => {
            "a subid source of /etc/nsswitch.conf has not answered".to_owned()
        }
        Ok(_) if !held.failed.is_empty() => {
            held.failed.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        }
        Ok(sources) if sources.plugins.is_empty() => in_file(),
        Ok(sources) => {
            let quoted = sources.plugins.iter().map(|plugin| format!("\"{plugin}\""));
            let plugins = if held.sources_may_be_named {
                quoted.collect::<Vec<_>>().join(", ")
            } else {
                "its sources".to_owned()
            };
            let by_plugins = format!("{what} is not granted to {owner} by {plugins}");
            let by_plugins = by_plugins + " (subid: in /etc/nsswitch.conf)";
            if sources.files { by_plugins + "; " + &in_file() } else { by_plugins }
        }
    };
    let exempt = if asker.uid.raw() == 0 { "; root is not exempt" } else { "" };
    let own = asker.own;
    let files_decide = held.failed.is_empty() && held.sources.as_ref().is_ok_and(|sources| sources.files);
    let help = if held.sources.is_err() {
        "; with \"subid: files\" the file decides".to_owned()
    } else if host.contains(own) && host.count() > 1 {
        format!("; the caller's own {word} {own} is allowed by itself only, with count 1")
    } else if missing.raw() < FIRST_FREE {
        format!("; host {word}s below {FIRST_FREE} are for accounts of this host, not for containers")
    } else if !files_decide {
        String::new()
    } else if !is_tame(asker.name()) {
        "; root can grant more".to_owned()
    } else if held.exists && held.sources.as_ref().is_ok_and(|sources| sources.plugins.is_empty()) {
        format!("; root can grant more: usermod --add-sub{word}s FIRST-LAST {owner}")
    } else {
        // usermod(8) makes no file, and writes none where a plugin is asked first.
        format!("; root can grant more: nsgate grant ids {owner}")
    };
    rule + exempt + &help
}

/// 16-bit ids are where hosts have their accounts; `useradd` grants subordinate ids from 100000 up: `login.defs(5)`.
pub const FIRST_FREE: u32 = 65536;

/// What a rule of the host's own forbids, and why.
#[must_use]
pub fn forbidden(kind: Kind, forbidden: &Forbidden) -> (String, String) {
    let (word, file) = (kind.word(), kind.policy_file());
    let why = match &forbidden.why {
        Why::OtherOwner(other) => match other.line {
            Some(line) => {
                format!("{word} {} is granted to another owner too, by line {line} of /etc/{file}", other.id)
            }
            None => format!("/etc/{file} grants some of it to another owner too"),
        },
        Why::Protected(id) => format!("{word} {id} is protected on this host"),
        Why::Account(account) => {
            let what = if kind == Kind::Uid { "account" } else { "group" };
            format!("{word} {} is the {what} {} of this host", account.id, Quoted(&account.name))
        }
        Why::TooMany(ids, most) => format!("{ids} {word}s in all; at most {most} can be mapped at once"),
        Why::Live(live) => {
            format!("{word} {} is in use: the user namespace of process {} maps it", live.id, live.pid)
        }
        Why::NoLimit(what) => what.clone(),
        Why::Unknown(None) => "what this rule is about cannot be found out".to_owned(),
        Why::Unknown(Some(why)) => format!("what this rule is about cannot be found out: {why}"),
    };
    let what = forbidden
        .triple
        .map_or_else(|| format!("this {} is", kind.map_file()), |triple| format!("{word} range {triple}"));
    (what, why)
}

/// So many words are no triples. None: they may be.
#[must_use]
pub fn not_triples(kind: Kind, words: usize) -> Option<String> {
    let triples = words.div_ceil(3);
    if words % 3 != 0 {
        Some(format!("ranges: {triples} is wrong for argc: {words}"))
    } else if triples == 0 {
        Some(format!("no {} range given", kind.word()))
    } else if triples > MOST_EXTENTS {
        Some(format!("{triples} ranges; the kernel takes at most {MOST_EXTENTS}"))
    } else {
        None
    }
}

/// The triples that these words are, if [`not_triples`] has nothing against their number.
///
/// # Errors
/// Why three of them are no triple.
pub fn triples(kind: Kind, words: &[impl AsRef<OsStr>]) -> Result<Vec<Triple>, String> {
    let triples = words.chunks_exact(3).filter_map(<[_]>::first_chunk::<3>);
    let parse = |words: [&[u8]; 3]| Triple::parse(words).map_err(|wrong| not_a_triple(kind, words, wrong));
    triples.map(|words| parse(words.each_ref().map(|word| word.as_ref().as_bytes()))).collect()
}

fn not_a_triple(kind: Kind, words: [&[u8]; 3], wrong: NotATriple) -> String {
    let kind = kind.word();
    let quoted = words.map(|word| Quoted(word).to_string()).join(" ");
    match wrong {
        NotATriple::Malformed(place) => {
            let word = words.get(place).copied().unwrap_or_default();
            format!("\"{}\" in \"{quoted}\" is not a plain decimal number", Quoted(word))
        }
        NotATriple::Overflow => {
            format!("sub{kind} overflow detected: \"{quoted}\" leaves the ids 0 to 4294967294")
        }
        NotATriple::Empty => format!("{kind} range \"{quoted}\" not allowed: its count is 0"),
    }
}

/// Where interfaces are allotted.
const USERNET: &str = "/etc/lxc/lxc-usernet";

/// Why somebody may have no interface there. `exists`: is there a policy file?
#[must_use]
pub fn not_allotted(name: &[u8], bridge: &str, exists: bool) -> String {
    let rule = if exists {
        format!(
            "no line of {USERNET} for him or a group of his says so (nsgate check shows lines that do not count)"
        )
    } else {
        format!("there is no {USERNET}")
    };
    let mut help = "; root can allow it with a line there".to_owned();
    if is_tame(name) && is_tame(bridge.as_bytes()) {
        help += &format!(": {} {VETH} {bridge} 10", Quoted(name));
    }
    rule + &help
}

/// Why there is no room for another interface: of each quota, how many are there. `may_be_repeated`: may everybody read the policy file?
#[must_use]
pub fn all_used(used: &[(&Quota, usize)], may_be_repeated: bool) -> String {
    let line = |(quota, used): &(&Quota, usize)| {
        let owner = Quoted(&quota.owner.word()).to_string();
        if may_be_repeated {
            format!("{used} of {} used by {owner} ({USERNET}:{})", quota.limit, quota.line)
        } else {
            format!("all that {owner} may have are used")
        }
    };
    let used = used.iter().map(line).collect::<Vec<_>>().join(", ");
    format!("{used}; an interface is free again when its container has ended")
}

#[cfg(test)]
mod tests {
    use super::super::host::{Account, Fact, Live, OtherOwner};
    use super::super::id::{Id, Range};
    use super::super::subid::{Grant, Search};
    use super::super::subid_source::{Failed, SourceName, Sources};
    use super::*;

    fn id(raw: u32) -> Id {
        Id::new(raw).unwrap()
    }

    fn triple(host: u32, count: u32) -> Triple {
        let words = [0, host, count].map(|number| number.to_string());
        Triple::parse(words.each_ref().map(|word| word.as_bytes())).unwrap()
    }

    const FILES: &Sources = &Sources { files: true, plugins: vec![] };

    /// Who asks, and what policy says to him.
    #[derive(Clone, Copy)]
    struct Refused<'a> {
        kind: Kind,
        name: &'a [u8],
        uid: Id,
        own: Id,
        exists: bool,
        may_be_repeated: bool,
        sources: Result<&'a Sources, &'a [u8]>,
        failed: &'a [Failed],
        /// What stands in the file.
        file: &'a str,
    }

    impl Refused<'_> {
        fn not_granted(&self, refused: &NotGranted) -> String {
            let names = [self.name.to_vec()];
            let asker = Asker { kind: self.kind, uid: self.uid, own: self.own, names: &names };
            let owner = asker.owner();
            let mut search = Search::new(&owner);
            search.look_at(1, self.file.as_bytes());
            let held = Holdings {
                grants: search.finish(),
                exists: self.exists,
                may_be_repeated: self.may_be_repeated,
                sources: self.sources.cloned().map_err(<[u8]>::to_vec),
                sources_may_be_named: true,
                failed: self.failed.to_vec(),
                other_owner: Fact::Unknown,
            };
            not_granted(&asker, &held, refused)
        }
    }

    /// Uid 1000, in a file that everybody may read.
    fn alice() -> Refused<'static> {
        Refused {
            kind: Kind::Uid,
            name: b"alice",
            uid: id(1000),
            own: id(1000),
            exists: true,
            may_be_repeated: true,
            sources: Ok(FILES),
            failed: &[],
            file: "",
        }
    }

    /// Of 100000 to 165535, on line 12, somebody wants these.
    fn why(asked: &Refused<'_>, host: u32, count: u32) -> String {
        let range = Range::new(id(100_000), 65536).unwrap();
        let triple = triple(host, count);
        let missing = if range.contains(triple.host().first()) { id(165_536) } else { triple.host().first() };
        asked.not_granted(&NotGranted { triple, missing, nearest: Some(Grant { range, line: 12 }) })
    }

    #[test]
    fn a_line_is_repeated_only_of_a_file_that_everybody_may_read() {
        let shown = "uid 165536 is not granted to alice (/etc/subuid:12 grants 100000-165535); root can grant more: \
            usermod --add-subuids FIRST-LAST alice";
        assert_eq!(why(&alice(), 165_000, 1000), shown);
        let private = why(&Refused { may_be_repeated: false, ..alice() }, 165_000, 1000);
        assert!(private.starts_with("/etc/subuid does not grant it to alice;"), "{private}");
        let absent = why(
            &Refused { exists: false, may_be_repeated: false, kind: Kind::Gid, ..alice() },
            165_000,
            1000,
        );
        let nothing = "/etc/subgid does not exist, so it grants nothing to alice; root can grant more: nsgate grant ids alice";
        assert_eq!(absent, nothing);
        let refused = NotGranted { triple: triple(200_000, 1), missing: id(200_000), nearest: None };
        assert!(alice().not_granted(&refused).starts_with("/etc/subuid has no line for alice;"));

        // What looks like a line and is none.
        let odd = Refused { file: "bob:1:1\nalice:100000:65536 \n", ..alice() };
        let none = odd.not_granted(&refused);
        assert!(none.starts_with("/etc/subuid:2 grants nothing to alice: nsgate check says why; "), "{none}");
        let one = why(&odd, 165_000, 1000);
        assert!(
            one.contains(
                "(/etc/subuid:12 grants 100000-165535; line 2 grants nothing: nsgate check says why)"
            ),
            "{one}"
        );
        let private = Refused { may_be_repeated: false, ..odd }.not_granted(&refused);
        assert!(private.starts_with("/etc/subuid does not grant it to alice;"), "{private}");
    }

    #[test]
    fn where_a_private_line_ends_is_not_told() {
        let sss = SourceName::new(b"sss").unwrap();
        let both = Sources { files: true, plugins: vec![sss] };
        let private = Refused { may_be_repeated: false, ..alice() };
        for asked in [private, Refused { sources: Ok(&both), ..private }] {
            for (first, count) in [(165_000, 1000), (100_000, 65_537)] {
                let why = why(&asked, first, count);
                assert!(!why.contains("165536") && !why.contains(":12"), "{why}");
            }
        }
    }

    #[test]
    fn what_would_help_depends_on_what_was_asked() {
        for (host, count, help) in [
            (1000, 2, "; the caller's own uid 1000 is allowed by itself only, with count 1"),
            (999, 2, "; the caller's own uid 1000 is allowed by itself only, with count 1"),
            (1001, 2, "; host uids below 65536 are for accounts of this host, not for containers"),
            (65535, 1, "; host uids below 65536 are for accounts of this host, not for containers"),
            (65536, 1, "; root can grant more: usermod --add-subuids FIRST-LAST alice"),
        ] {
            let why = why(&alice(), host, count);
            assert!(why.ends_with(help), "{host} {count}: {why}");
        }
        // He may have it by itself, and has asked for it by itself, as the wrong kind of id.
        let by_itself = why(&Refused { own: id(70_000), ..alice() }, 70_000, 1);
        assert!(by_itself.ends_with("usermod --add-subuids FIRST-LAST alice"), "{by_itself}");
        let root = why(&Refused { uid: id(0), name: b"root", ..alice() }, 200_000, 1);
        assert!(root.contains("; root is not exempt; root can grant more"), "{root}");
        assert!(!why(&alice(), 200_000, 1).contains("exempt"));
    }

    #[test]
    fn no_command_to_copy_is_made_of_a_name_that_a_shell_would_read() {
        for name in ["alice", "a.b_c-D9"] {
            let why = why(&Refused { name: name.as_bytes(), ..alice() }, 200_000, 1);
            assert!(why.ends_with(&format!("usermod --add-subuids FIRST-LAST {name}")), "{why}");
        }
        for name in ["al ice", "a;reboot", "$(id)", "a\\b", "a'b", "j\u{fc}rgen"] {
            let why = why(&Refused { name: name.as_bytes(), ..alice() }, 200_000, 1);
            assert!(why.ends_with("; root can grant more") && !why.contains("usermod"), "{why}");
        }
    }

    #[test]
    fn whoever_was_asked_is_named_and_so_is_who_could_not_answer() {
        let plugins = ["sss", "ipa"].map(|name| SourceName::new(name.as_bytes()).unwrap()).to_vec();
        let (alone, both) = (
            Sources { files: false, plugins: plugins.clone() },
            Sources { files: true, plugins: plugins.clone() },
        );
        let of = |sources| why(&Refused { sources: Ok(sources), ..alice() }, 200_000, 1);
        let by = "uid 200000 is not granted to alice by \"sss\", \"ipa\" (subid: in /etc/nsswitch.conf)";
        assert_eq!(of(&alone), by);
        let with_file =
            format!("{by}; uid 200000 is not granted to alice (/etc/subuid:12 grants 100000-165535)");
        assert_eq!(of(&both), format!("{with_file}; root can grant more: nsgate grant ids alice"));

        let failed = [Failed { source: plugins[0].clone(), what: "hangs".to_owned() }];
        let not_answered = why(&Refused { sources: Ok(&both), failed: &failed, ..alice() }, 200_000, 1);
        assert_eq!(not_answered, "the subid source \"sss\" of /etc/nsswitch.conf hangs");
        let no_name = why(&Refused { sources: Err(b"a\nb"), ..alice() }, 200_000, 1);
        assert!(no_name.contains("names the source \"a\\nb\"") && no_name.ends_with("the file decides"));
    }

    #[test]
    fn words_that_are_no_triples_are_counted() {
        for (words, says) in [
            (0, "no gid range given"),
            (1, "ranges: 1 is wrong for argc: 1"),
            (2, "ranges: 1 is wrong for argc: 2"),
            (4, "ranges: 2 is wrong for argc: 4"),
            (341 * 3, "341 ranges; the kernel takes at most 340"),
        ] {
            assert_eq!(not_triples(Kind::Gid, words).as_deref(), Some(says));
        }
        for words in [3, 6, 340 * 3] {
            assert_eq!(not_triples(Kind::Gid, words), None);
        }
    }

    #[test]
    fn a_triple_that_is_none_says_which_word_is_wrong() {
        let why = |words: [&str; 3]| {
            let words = words.map(str::as_bytes);
            not_a_triple(Kind::Uid, words, Triple::parse(words).unwrap_err())
        };
        assert_eq!(why(["0", "x\u{1b}", "1"]), "\"x\\x1b\" in \"0 x\\x1b 1\" is not a plain decimal number");
        assert!(why(["0", "-5", "1"]).starts_with("subuid overflow detected: \"0 -5 1\" leaves the ids"));
        assert_eq!(why(["0", "5", "0"]), "uid range \"0 5 0\" not allowed: its count is 0");
    }

    #[test]
    fn a_rule_says_what_it_has_against_which_part() {
        let other = |line| Why::OtherOwner(OtherOwner { id: id(150), line });
        for (why, uid, gid) in [
            (
                other(Some(7)),
                "uid 150 is granted to another owner too, by line 7 of /etc/subuid",
                "gid 150 is granted to another owner too, by line 7 of /etc/subgid",
            ),
            (
                other(None),
                "/etc/subuid grants some of it to another owner too",
                "/etc/subgid grants some of it to another owner too",
            ),
            (Why::Protected(id(0)), "uid 0 is protected on this host", "gid 0 is protected on this host"),
            (
                Why::Account(Account { id: id(5), name: b"g\x1bames".to_vec() }),
                "uid 5 is the account g\\x1bames of this host",
                "gid 5 is the group g\\x1bames of this host",
            ),
            (
                Why::TooMany(51, 50),
                "51 uids in all; at most 50 can be mapped at once",
                "51 gids in all; at most 50 can be mapped at once",
            ),
            (
                Why::Live(Live { id: id(5), pid: 17 }),
                "uid 5 is in use: the user namespace of process 17 maps it",
                "gid 5 is in use: the user namespace of process 17 maps it",
            ),
            (Why::NoLimit("no pids".to_owned()), "no pids", "no pids"),
            (
                Why::Unknown(None),
                "what this rule is about cannot be found out",
                "what this rule is about cannot be found out",
            ),
            (
                Why::Unknown(Some("no /proc".to_owned())),
                "what this rule is about cannot be found out: no /proc",
                "what this rule is about cannot be found out: no /proc",
            ),
        ] {
            let rule = |triple| Forbidden { triple, why: why.clone(), key: "protect", line: 2 };
            let of_a_part = forbidden(Kind::Uid, &rule(Some(triple(100, 50))));
            assert_eq!(of_a_part, ("uid range [0-50) -> [100-150)".to_owned(), uid.to_owned()));
            assert_eq!(forbidden(Kind::Gid, &rule(None)), ("this gid_map is".to_owned(), gid.to_owned()));
        }
    }

    #[test]
    fn an_interface_that_nobody_allots_comes_with_the_line_that_would() {
        let there = "no line of /etc/lxc/lxc-usernet for him or a group of his says so (nsgate check shows lines that do \
            not count); root can allow it with a line there";
        let absent = "there is no /etc/lxc/lxc-usernet; root can allow it with a \
            line there";
        for (exists, rule) in [(true, there), (false, absent)] {
            assert_eq!(not_allotted(b"alice", "br0", exists), format!("{rule}: alice veth br0 10"));
            // Escaped it would be the line of somebody else, and with a blank in it of nobody.
            for name in ["al\nice", "al ice", "j\u{fc}rgen", "@alice"] {
                assert_eq!(not_allotted(name.as_bytes(), "br0", exists), rule);
            }
            assert_eq!(not_allotted(b"alice", "br\u{fc}cke", exists), rule);
        }
    }
}
