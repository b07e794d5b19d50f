//! Of each rule a machine that breaks it, and one that nearly does.

#![allow(clippy::arithmetic_side_effects, reason = "a test")]

use std::collections::BTreeMap;

use common::os::trusted::SMALL;
use common::policy::text::lines;
use common::policy::{subid, usernet};
use proptest::prelude::*;

use super::machine::{Found, Interface, Step};
use super::rule::{self, Rule};
use super::{Content, Finding, Findings, Machine, Policy, RULES, findings, gather, look, text};
use crate::accounts::Accounts;
use crate::cli::PolicyFile::{self, LxcUsernet, NsgateIni, Subgid, Subuid};

const PASSWD: &[u8] = b"root:x:0:0:::\nalice:x:1000:1000:::\nbob:x:1001:1001:::\nnobody:x:65534:65534:::\n1500:x:1002:1002:::\n\
    far:x:1234567890:1002:::\n";
const GROUP: &[u8] = b"root:x:0:\nalice:x:1000:\nbob:x:1001:\nlab:x:300000:\nnogroup:x:65534:\n";

#[allow(clippy::unnecessary_wraps, reason = "it may not be known")]
fn nsswitch(bytes: &[u8]) -> Option<Found> {
    Some(Found::of("/etc/nsswitch.conf", Content::Bytes(bytes.to_vec())))
}

/// A machine that runs, with these policy files and accounts.
fn machine(files: &[(PolicyFile, &str)]) -> Machine {
    let mut machine = Machine {
        files: files
            .iter()
            .map(|(file, text)| Policy::of(*file, Content::Bytes(text.as_bytes().to_vec())))
            .collect(),
        nsswitch: nsswitch(b"subid: files\n"),
        login_defs: Some(b"UID_MAX 60000\n".to_vec()),
        interfaces: Some(BTreeMap::new()),
        ..Machine::default()
    };
    machine.people = Some(gather::people(&Accounts::of(PASSWD, GROUP, false), &machine, false));
    machine
}

fn with(files: &[(PolicyFile, &str)], change: impl FnOnce(&mut Machine)) -> Machine {
    let mut machine = machine(files);
    change(&mut machine);
    machine
}

/// What one rule says of a machine: the lines.
fn lines_of(rule: &'static Rule, machine: &Machine) -> Vec<Option<u32>> {
    let of_rule = |finding: &Finding| finding.rule.id == rule.id;
    findings(machine).iter().filter(|finding| of_rule(finding)).map(|finding| finding.place.line).collect()
}

fn interface(name: &str, bridge: Option<bool>, accept_ra: Option<i64>) -> impl FnOnce(&mut Machine) {
    let interfaces = BTreeMap::from([(name.as_bytes().to_vec(), Interface { bridge, accept_ra })]);
    move |machine| machine.interfaces = Some(interfaces)
}

fn way(uid: u32, mode: u32) -> impl FnOnce(&mut Machine) {
    move |machine| {
        let step = |path: &str, uid, mode| Step { path: path.to_owned(), uid, mode, device: 1 };
        machine.files[0].found.way =
            vec![step("/", 0, 0o040_755), step("/etc", 0, 0o040_755), step("/etc/subuid", uid, mode)];
    }
}

/// The same of a file in its place, and of this nsswitch.conf.
fn nsswitch_with(mode: u32, content: Content) -> Machine {
    with(&[(Subuid, "")], |machine| {
        way(0, 0o100_644)(machine);
        let way = vec![Step { path: "/etc/nsswitch.conf".to_owned(), uid: 0, mode, device: 1 }];
        machine.nsswitch = Some(Found { way, ..Found::of("/etc/nsswitch.conf", content) });
    })
}

fn content(content: Content) -> impl FnOnce(&mut Machine) {
    move |machine| machine.files[0].found.content = content
}

/// Whatever it is compared with.
#[test]
fn of_a_draft_no_command_is_about_the_machine() {
    let files = [
        (
            Subuid,
            "alice:100000:65536\nbob:150000:65536\nghost:400000:10\nalice:700000:10\nalice:3000:10\nx\n",
        ),
        (Subgid, "alice:100000:65536\nbob:150000:65536\nbob:900000:10\n"),
        (NsgateIni, "[idmap]\nprotect = 700000-700009\n"),
    ];
    let mut commands = 0;
    for (drafts, wanted) in
        [(&[Subuid][..], &[Subuid][..]), (&[Subgid], &[Subgid]), (&[Subuid], &[Subuid, Subgid])]
    {
        let machine = with(&files, |machine| {
            for policy in &mut machine.files {
                policy.draft = drafts.contains(&policy.file);
                policy.wanted = wanted.contains(&policy.file);
                if policy.draft {
                    policy.found.path = b"draft".to_vec();
                }
            }
        });
        for fix in findings(&machine).into_iter().filter_map(|finding| finding.fix) {
            let is_in_file = fix.ends_with(" draft") || fix.starts_with("nsgate edit ") && wanted.len() > 1;
            assert!(is_in_file, "{fix}");
            commands += 1;
        }
    }
    assert!(commands > 8, "{commands}");
}

/// The rule, a machine that breaks it in these lines, and one that does not.
fn cases() -> Vec<(&'static Rule, Machine, Vec<Option<u32>>, Machine)> {
    let at = |line| vec![Some(line)];
    let whole = || vec![None];
    let uids = |text: &str| machine(&[(Subuid, text)]);
    let gids = |text: &str| machine(&[(Subgid, text)]);
    let nics = |text: &str| machine(&[(LxcUsernet, text)]);
    let ini = |ini: &str, nics: &str| machine(&[(NsgateIni, ini), (LxcUsernet, nics)]);
    let sources = |text: &'static str| {
        with(&[(Subuid, "alice:100000:65536\n")], |machine| machine.nsswitch = nsswitch(text.as_bytes()))
    };
    let good = "alice:100000:65536\n";
    let small = |size| Content::Bytes(vec![b'\n'; size]);
    vec![
        (rule::SYNTAX, uids("# x\nalice:1:1:1\n"), at(2), uids("# x:1:1:1\n\n \t\nalice:100000:65536")),
        (rule::SYNTAX, nics("alice veth br0\n"), at(1), nics("alice  veth\tbr0 5 remark\n#x\n")),
        (rule::ENCODING, uids("alice:1:1\r\n"), at(1), uids(good)),
        (rule::ENCODING, nics("alice veth br0 5\r\n"), at(1), nics("alice veth br0 5\n")),
        (rule::ENCODING, uids("\u{feff}alice:100000:65536"), at(1), uids(good)),
        (
            rule::LONG_LINE,
            uids(&format!("alice:1:{}", "1".repeat(1016))),
            at(1),
            uids(&format!("alice:1:{}", "1".repeat(1015))),
        ),
        (rule::LEADING_BLANK, nics(" alice veth br0 5\n"), at(1), nics("alice veth br0 5\n  \n")),
        (rule::NUMBER_BASE, uids("alice:0100000:65536\n"), at(1), uids(good)),
        (rule::NUMBER_BASE, uids("alice:0x186a0:65536\n"), at(1), uids(good)),
        (rule::NUMBER_BASE, nics("alice veth br0 010\n"), at(1), nics("alice veth br0 10\n")),
        (rule::EMPTY_RANGE, uids("alice:100000:0\n"), at(1), uids(good)),
        (rule::ID_OVERFLOW, uids("alice:4294967290:6\n"), at(1), uids("alice:4294967290:5\n")),
        (rule::ID_OVERFLOW, uids("alice:4294967295:1\n"), at(1), uids("alice:4294967294:1\n")),
        (rule::UNKNOWN_OWNER, uids("carol:100000:65536\n"), at(1), uids(good)),
        (rule::UNKNOWN_OWNER, uids("1003:100000:65536\n"), at(1), uids("1001:100000:65536\n")),
        (rule::UNKNOWN_OWNER, gids("lab:100000:65536\n"), at(1), gids(good)),
        (rule::UNKNOWN_OWNER, nics("@lob veth br0 5\n"), at(1), nics("@lab veth br0 5\n")),
        (rule::UNKNOWN_OWNER, nics("lab veth br0 5\n"), at(1), nics("alice veth br0 5\n")),
        (rule::AMBIGUOUS_OWNER, uids("1500:100000:65536\n"), at(1), uids("1001:100000:65536\n")),
        (
            rule::OVERLAP,
            uids("alice:100000:65536\nbob:165535:65536\n"),
            at(2),
            uids("alice:100000:65536\nbob:165536:65536\n1000:100000:5\n"),
        ),
        (rule::OWN_OVERLAP, uids("alice:100000:65536\n1000:100000:65536\n"), at(2), uids(good)),
        (rule::ROOT_ID, uids("alice:0:65536\n"), at(1), uids("alice:1:65536\n")),
        (rule::OWN_ID, uids("alice:1000:65536\n"), at(1), uids("alice:1001:65536\n")),
        (rule::OWN_ID, gids("alice:1000:1\n"), at(1), gids("alice:1001:1\n")),
        (
            rule::ACCOUNT_OVERLAP,
            uids("alice:1001:1\n"),
            at(1),
            uids("alice:1000:1\nroot:1000:1\nbob:65534:1\n"),
        ),
        (rule::ACCOUNT_OVERLAP, gids("alice:299999:65536\n"), at(1), gids("alice:300001:65536\n")),
        (rule::FUTURE_ACCOUNTS, uids("alice:60000:1\n"), at(1), uids("alice:60001:1\nroot:2000:1\n")),
        (
            rule::RESERVED_IDS,
            uids("alice:65519:1\n"),
            at(1),
            uids("alice:65520:1\nbob:65536:1\nbob:2147418112:9\n"),
        ),
        (
            rule::CONTAINER_POOL,
            uids("alice:524288:65536\nbob:900000:65536\n"),
            at(1),
            uids("alice:458752:65536\nbob:1879048192:65536\n"),
        ),
        (
            rule::CONTAINER_POOL_IN_USE,
            with(&[(Subuid, "alice:524288:65536\n")], |machine| machine.nspawn = true),
            at(1),
            uids("alice:524288:65536\n"),
        ),
        (
            rule::IPA_IDS,
            with(&[(Subuid, "alice:2200000000:65536\n")], |machine| {
                machine.nsswitch = nsswitch(b"subid: files sss")
            }),
            at(1),
            uids("alice:2200000000:65536\n"),
        ),
        (
            rule::INCUS_IDS,
            with(&[(Subuid, "alice:1000000:65536\nbob:1001000000:5\n")], |machine| machine.incus = true),
            at(1),
            with(&[(Subuid, "alice:1000000:65536\n"), (Subgid, "root:5000000:5\n")], |machine| {
                machine.incus = true
            }),
        ),
        (rule::INCUS_IDS, with(&[(Subgid, "alice:999999:2\n")], |machine| machine.incus = true), at(1), {
            gids("alice:1000000:65536\n")
        }),
        (
            rule::FEW_IDS,
            uids("alice:100000:65535\n"),
            at(1),
            uids("alice:100000:65535\nalice:100000:100\n1000:200000:1\n"),
        ),
        (
            rule::OUT_OF_STEP,
            machine(&[(Subuid, good), (Subgid, "alice:200000:65536\n")]),
            at(1),
            machine(&[(Subuid, good), (Subgid, "alice:100005:65531\n1000:100000:5\n")]),
        ),
        (rule::OUT_OF_STEP, machine(&[(Subuid, ""), (Subgid, good)]), at(1), machine(&[(Subuid, good)])),
        (rule::SUBID_SOURCE, sources("passwd: x\nsubid: sss\n"), at(2), sources("subid: sss files\n")),
        (rule::SUBID_SOURCE_NAME, sources("subid: files [NOTFOUND=return]\n"), at(1), sources("")),
        (rule::NIC_TYPE, nics("alice phys br0 5\n"), at(1), nics("alice veth br0 5\n")),
        (rule::NO_INTERFACES, nics("alice veth br0 0\n"), at(1), nics("alice veth br0 1\n")),
        (rule::NO_INTERFACES, nics("alice veth br0 -1\n"), at(1), nics("alice veth br0 2147483647\n")),
        (
            rule::REPEATED_QUOTA,
            nics("alice veth br0 5\nalice veth br0 3\n"),
            at(2),
            nics("alice veth br0 5\nalice veth br1 3\n@alice veth br0 3\n"),
        ),
        (rule::BRIDGE_NAME, nics("alice veth br%d 5\n"), at(1), nics("alice veth br%u 5\n")),
        (
            rule::BRIDGE_NAME,
            nics("alice veth sixteen-bytes-xx 5\n"),
            at(1),
            nics("alice veth fifteen-bytes-x 5\n"),
        ),
        (
            rule::BRIDGE_NAME,
            nics("far veth nsbr--%u 5\n"),
            at(1),
            nics("far veth nsbr-%u 5\nalice veth longername-%u 5\n"),
        ),
        (rule::LONG_BRIDGE_NAME, nics("@lab veth nsbr--%u 5\n"), at(1), nics("@lab veth nsbr-%u 5\n")),
        (
            rule::BRIDGE_PATTERN,
            nics("@lab veth br%u 5\n@lab veth br1%u 5\n"),
            at(2),
            nics("@lab veth br%u 5\n@lab veth nsbr%u 5\n"),
        ),
        (
            rule::BRIDGE_PATTERN,
            nics("@lab veth br%u 5\nbob veth br1000 5\n"),
            at(2),
            nics("@lab veth br%u 5\nbob veth br01 5\nalice veth br%u 1\n"),
        ),
        (
            rule::MISSING_BRIDGE,
            nics("alice veth br0 5\n"),
            at(1),
            with(
                &[(LxcUsernet, "alice veth br0 5\nbob veth none 1\nbob veth n%u 1\n")],
                interface("br0", Some(true), None),
            ),
        ),
        (
            rule::NOT_A_BRIDGE,
            with(&[(LxcUsernet, "alice veth eth0 5\n")], interface("eth0", Some(false), None)),
            at(1),
            with(&[(LxcUsernet, "alice veth ovsbr 5\n")], interface("ovsbr", None, None)),
        ),
        (
            rule::ACCEPT_RA,
            with(&[(LxcUsernet, "alice veth br0 5\n")], interface("br0", Some(true), Some(2))),
            at(1),
            with(&[(LxcUsernet, "alice veth br0 5\n")], interface("br0", Some(true), Some(0))),
        ),
        (
            rule::ACCEPT_RA,
            with(&[(LxcUsernet, "alice veth n%u 5\n")], interface("n1000", Some(true), Some(1))),
            at(1),
            with(&[(LxcUsernet, "alice veth n%u 5\n")], interface("n01000", Some(true), Some(1))),
        ),
        (
            rule::SETTINGS,
            ini("[idmap]\noverlap = maybe\n", ""),
            at(2),
            ini("[idmap]\noverlap = refuse\n", ""),
        ),
        (rule::SETTINGS, ini(&"\n".repeat(SMALL + 1), ""), whole(), ini(&"\n".repeat(SMALL), "")),
        (
            rule::UNUSED_BRIDGE,
            ini("[nic]\n[bridge \"br0\"]\n", "alice veth br1 5\n"),
            at(2),
            ini("[bridge \"*\"]\n[bridge \"br0\"]\n[bridge \"n7\"]\n", "alice veth br0 5\n@lab veth n%u 1\n"),
        ),
        (
            rule::FEW_MULTICAST_GROUPS,
            ini(
                "[bridge \"*\"]\nmax-multicast-groups = 7\n[bridge \"br0\"]\nmax-multicast-groups = 2\n[bridge \"br1\"]\n",
                "",
            ),
            vec![Some(2), Some(4)],
            ini("[bridge \"*\"]\nmax-multicast-groups = 8\n[bridge \"br0\"]\nmax-multicast-groups = 0\n", ""),
        ),
        (
            rule::CREATE_NOTHING,
            ini("[per-user-bridge]\ncreate = yes\n", "alice veth br0 5\n"),
            at(2),
            ini("[per-user-bridge]\ncreate = yes\n", "alice veth br%u 5\n"),
        ),
        (
            rule::PROTECTED_GRANT,
            machine(&[(NsgateIni, "[idmap]\nprotect = 5-6, 100000\n"), (Subuid, good)]),
            at(1),
            machine(&[(NsgateIni, "[idmap]\nprotect = 99999, 165536\n"), (Subuid, good)]),
        ),
        (
            rule::WRITABLE,
            with(&[(Subuid, good)], way(0, 0o100_664)),
            whole(),
            with(&[(Subuid, good)], way(0, 0o100_644)),
        ),
        (rule::WRITABLE, with(&[(Subuid, good)], way(1000, 0o100_644)), whole(), uids(good)),
        (
            rule::NOT_A_FILE,
            with(&[(Subuid, "")], content(Content::NotAFile("is a directory".into()))),
            whole(),
            uids(""),
        ),
        (
            rule::UNREAD,
            with(&[(Subuid, "")], content(Content::Unread("Permission denied".into()))),
            whole(),
            uids(""),
        ),
        (
            rule::NOT_FOR_ALL,
            with(&[(Subuid, "")], way(0, 0o100_640)),
            whole(),
            with(&[(Subuid, "")], way(0, 0o100_644)),
        ),
        (rule::MISSING_FILE, with(&[(Subuid, "")], content(Content::Absent)), whole(), uids("")),
        (rule::WRITABLE, nsswitch_with(0o100_666, small(0)), whole(), nsswitch_with(0o100_644, small(0))),
        (
            rule::NOT_A_FILE,
            nsswitch_with(0o120_777, Content::NotAFile("is a symbolic link to what is not there".into())),
            whole(),
            nsswitch_with(0o100_644, Content::Absent),
        ),
        (
            rule::TOO_LARGE,
            nsswitch_with(0o100_644, small(SMALL + 1)),
            whole(),
            nsswitch_with(0o100_644, small(SMALL)),
        ),
    ]
}

/// `grant` wants an account, and whoever has one need not give way to whoever has none.
#[test]
fn of_an_owner_who_is_nobody_the_line_goes() {
    let machine = machine(&[
        (Subuid, "dave:100000:65536\nalice:150000:65536\n99999999999:300000:5\n1001:400000:65536\n"),
        (Subgid, "alice:150000:65536\n1001:400000:65536\n"),
        (NsgateIni, "[idmap]\nprotect = 100000\n"),
    ]);
    let found = findings(&machine);
    let fixes = |id: &str| -> Vec<_> {
        let of_rule = found.iter().filter(|finding| finding.rule.id == id);
        of_rule.map(|finding| finding.fix.clone().unwrap_or_default()).collect()
    };
    let daves = "nsgate revoke ids dave --start 100000 --count 65536";
    let numbers = "nsgate revoke ids 99999999999 --start 300000 --count 5";
    assert_eq!(fixes("overlap"), [daves]);
    assert_eq!(fixes("protected-grant"), [daves]);
    assert_eq!(fixes("few-ids"), [numbers]);
    assert_eq!(fixes("out-of-step"), [daves, numbers]);
}

/// What `grant` refuses, and what would make an error elsewhere, is in no command.
#[test]
fn ids_of_one_file_are_granted_in_the_other_if_they_are_nobody_elses() {
    let fixes = |uids: &str, gids: &str| -> Vec<_> {
        let machine = machine(&[(Subuid, uids), (Subgid, gids), (NsgateIni, "[idmap]\nprotect = 700000\n")]);
        let found = findings(&machine).into_iter().filter(|finding| finding.rule.id == "out-of-step");
        found.map(|finding| finding.fix.unwrap_or_default()).collect()
    };
    let (uids, gids) = ("nsgate edit subuid", "nsgate edit subgid");
    let alices = "nsgate grant ids alice --start 200000 --count 65536";
    for (subuid, subgid, expected) in [
        ("alice:200000:65536\n", "", &[alices][..]),
        ("", "alice:200000:65536\n", &[alices]),
        ("alice:200000:65536\nalice:400000:5\n", "", &[alices]),
        ("alice:100000:5\n", "alice:200000:5\n", &[uids]),
        ("alice:0:2\n", "bob:400000:65536\n", &["nsgate grant ids bob --start 400000 --count 65536", uids]),
        ("alice:200000:65536\n", "bob:265535:65536\n", &[gids, uids]),
        ("alice:299999:65536\n", "", &[uids]),
        ("alice:60000:5\n", "", &[uids]),
        ("", "alice:65534:5\n", &[gids]),
        ("alice:699999:65536\n", "", &[uids]),
        ("root:1000:1\n", "", &[uids]),
    ] {
        assert_eq!(fixes(subuid, subgid), expected, "{subuid:?} {subgid:?}");
    }
}

/// In both files, whatever the owner runs: usermod takes nothing from whoever has a process, and leaves the other file as it is.
#[test]
fn protected_ids_are_taken_out_of_both_files() {
    let ids = "alice:100000:65536\n";
    let machine =
        machine(&[(Subuid, ids), (Subgid, ids), (NsgateIni, "[idmap]\nprotect = 5, 100000-100009\n")]);
    let fixes: Vec<_> = findings(&machine).into_iter().filter_map(|finding| finding.fix).collect();
    let revoke = "nsgate revoke ids alice --start 100000 --count 10";
    assert_eq!(fixes, [revoke, revoke]);
}

/// A name service that is down, one that was not asked any more, that of an image; and capitals.
#[test]
fn of_an_owner_who_may_be_somebody_no_command_takes_the_ids() {
    let fixes = |owner: &str, change: fn(&mut Machine)| -> Vec<_> {
        let uids = format!("{owner}:100000:65536\nalice:150000:65536\n{owner}:100000:5\n");
        let gids = format!("alice:150000:65536\n{owner}:400000:5\n");
        let files = [(Subuid, &*uids), (Subgid, &*gids), (NsgateIni, "[idmap]\nprotect = 100000\n")];
        let found =
            findings(&with(&files, change)).into_iter().filter(|finding| finding.rule.id != "own-overlap");
        found.map(|finding| (finding.rule.id, finding.fix.unwrap_or_default())).collect()
    };
    let revoked =
        |fixes: &[(&str, String)]| fixes.iter().filter(|(_, fix)| fix.contains("revoke ids")).count();
    assert_eq!(revoked(&fixes("dave", |_| ())), 8);
    let assert_unclear = |owner: &str, change: fn(&mut Machine)| {
        // Whoever is somebody moves, as he came later.
        let moves =
            "nsgate revoke ids alice --start 150000 --count 65536 && nsgate grant ids alice --count 65536";
        for (rule, fix) in fixes(owner, change) {
            let expected = if rule == "overlap" { fix == moves } else { fix.starts_with("nsgate edit sub") };
            assert!(expected, "{owner}: {rule}: {fix}");
        }
    };
    assert_unclear("dave", |machine| machine.nsswitch = nsswitch(b"passwd: files sss\n"));
    assert_unclear("dave", |machine| machine.nsswitch = None);
    assert_unclear("dave", |machine| machine.people.as_mut().unwrap().all_asked = false);
    assert_unclear("Alice", |_| ());
    assert_unclear("1500", |_| ());
}

/// D04, D09, D10, D12, D19, D20: what the helpers overlook or obey, `nsgate check` flags; and every other rule.
#[test]
fn every_rule_finds_what_breaks_it_and_nothing_else() {
    let cases = cases();
    for (rule, bad, lines, good) in &cases {
        assert_eq!(lines_of(rule, bad), *lines, "{}: {bad:?}", rule.id);
        assert!(lines_of(rule, good).is_empty(), "{}: {:?}", rule.id, findings(good));
    }
    for rule in RULES {
        assert!(cases.iter().any(|(known, ..)| known.id == rule.id), "{} has no case", rule.id);
    }
}

#[test]
fn a_usual_machine_has_no_findings() {
    let ids = "alice:100000:65536\nbob:165536:65536\n";
    let machine = machine(&[
        (Subuid, ids),
        (Subgid, ids),
        (LxcUsernet, "# remark\n@lab veth nsbr-%u 10\nalice veth none 3\n"),
        (NsgateIni, "[idmap]\noverlap = refuse\nprotect = 0, 65534\n[per-user-bridge]\ncreate = yes\n"),
    ]);
    assert_eq!(findings(&machine), []);
}

#[test]
fn a_message_is_one_line_and_so_is_its_command() {
    for (_, bad, _, _) in cases() {
        for finding in findings(&bad) {
            for text in [Some(&finding.message), finding.fix.as_ref()].into_iter().flatten() {
                assert!(
                    !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                    "{finding:?}"
                );
                assert!(!text.ends_with('.') && !text.contains("  "), "{finding:?}");
            }
        }
    }
}

#[test]
fn a_file_by_itself_is_not_compared_with_accounts() {
    assert_eq!(text(Subuid, b"carol:1000:10000\ncarol:100000:65536\n"), []);
    let found = text(Subuid, b"carol:100000:65536\ndave:100000:65536\nx\n");
    assert_eq!(found.iter().map(|finding| finding.rule.id).collect::<Vec<_>>(), ["overlap", "syntax"]);
    assert_eq!(text(NsgateIni, b"[idmap]\nx = y\n").first().map(|finding| finding.rule.id), Some("settings"));
}

#[test]
fn a_draft_is_compared_with_the_machine_and_it_alone_is_spoken_of() {
    let directory = std::env::temp_dir().join(format!("nsgate-check-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("etc")).unwrap();
    for (name, text) in [("passwd", PASSWD), ("group", GROUP), ("subuid", b"junk"), ("subgid", b"junk")] {
        std::fs::write(directory.join("etc").join(name), text).unwrap();
    }
    let root = crate::root::Root::open(Some(&directory)).unwrap();
    let found = super::draft(&root, Subuid, b"alice:1001:65536\n".to_vec()).unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    let ids: Vec<_> = found.iter().map(|finding| finding.rule.id).collect();
    assert!(ids.contains(&"account-overlap") && ids.contains(&"out-of-step"), "{ids:?}");
    assert!(found.iter().all(|finding| &*finding.place.file == "/etc/subuid"), "{found:?}");
}

/// M14: what overlaps is compared with one line, and not with every other.
#[test]
fn many_overlapping_lines_are_as_many_findings_and_not_their_square() {
    let mut text = String::new();
    for owner in 0..200_000 {
        text.push_str(&format!("u{owner}:{}:4000000000\n", 100 + owner % 7));
    }
    let mut kept = Findings::new(10);
    look(
        &Machine { files: vec![Policy::of(Subuid, Content::Bytes(text.into_bytes()))], ..Machine::default() },
        &mut kept,
    );
    let overlaps = kept.into_shown();
    let overlaps: Vec<_> = overlaps.iter().filter(|(finding, _)| finding.rule.id == "overlap").collect();
    assert_eq!((overlaps.len(), overlaps[9].1), (10, 199_999 - 10));
}

/// Every kind of line there is, and some there should not be.
fn junk() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"alice".to_vec()),
        Just(b"bob".to_vec()),
        Just(b"@lab".to_vec()),
        Just(b":".to_vec()),
        Just(b" ".to_vec()),
        Just(b" veth ".to_vec()),
        Just(b"br%u".to_vec()),
        Just(b"br1%u".to_vec()),
        Just(b"br0".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"[idmap]\n".to_vec()),
        Just(b"protect = ".to_vec()),
        Just(b"100000:65536".to_vec()),
        (0..=u32::MAX).prop_map(|number| number.to_string().into_bytes()),
        (0..2000_u32).prop_map(|number| number.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_line_that_is_none_always_has_a_finding(bytes in junk()) {
        for file in [Subuid, Subgid, LxcUsernet] {
            let found = text(file, &bytes);
            for (line, number) in lines(&bytes).zip(1_u32..) {
                let is_none = if file == LxcUsernet { usernet::entry(line).is_none() } else { subid::entry(line).is_none() };
                let says_nothing = line.starts_with(b"#") || line.iter().all(|byte| b" \t".contains(byte));
                let has_one = found.iter().any(|finding| finding.place.line == Some(number));
                prop_assert!(!is_none || says_nothing || has_one, "{:?}", line);
            }
        }
    }

    #[test]
    fn whatever_the_files_are_it_comes_to_an_end(files in prop::collection::vec(junk(), 4)) {
        let mut machine = machine(&[]);
        let policy = |(file, bytes): (_, &Vec<u8>)| Policy::of(file, Content::Bytes(bytes.clone()));
        machine.files = PolicyFile::ALL.into_iter().zip(&files).map(policy).collect();
        machine.nsswitch = files.first().and_then(|bytes| nsswitch(bytes));
        machine.login_defs = files.get(1).cloned();
        let all = findings(&machine);
        prop_assert!(all.is_sorted_by(|one, other| one.place <= other.place));
        for finding in &all {
            prop_assert!(finding.message.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }
    }

    /// The sweep says of each line whether it overlaps with another owner's line, as comparing all pairs would.
    #[test]
    fn overlaps_are_those_of_all_pairs(lines in prop::collection::vec((0..4_u8, 0..40_u32, 1..12_u32), 0..12)) {
        let text: String = lines.iter().map(|(owner, first, count)| format!("u{owner}:{}:{count}\n", first + 1)).collect();
        let machine = Machine { files: vec![Policy::of(Subuid, Content::Bytes(text.into_bytes()))], ..Machine::default() };
        let found = findings(&machine);
        let meet = |one: &(u8, u32, u32), other: &(u8, u32, u32)| one.1 < other.1 + other.2 && other.1 < one.1 + one.2;
        let pairs = |same: bool| lines.iter().enumerate().any(|(place, one)| {
            lines[..place].iter().any(|other| (one.0 == other.0) == same && meet(one, other))
        });
        let said = |rule: &Rule| found.iter().any(|finding| finding.rule.id == rule.id);
        prop_assert_eq!(said(rule::OVERLAP), pairs(false));
        prop_assert_eq!(said(rule::OWN_OVERLAP), pairs(true));
    }
}
