//! What the documents say of the tests is so.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use world::tree;

fn sources(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).expect("read a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).expect("read a source"));
        }
    }
}

fn every_source() -> String {
    let mut text = String::new();
    for directory in ["common/src", "helpers", "policy/src", "tests/tests"] {
        sources(&tree().join(directory), &mut text);
    }
    text
}

fn read(path: &str) -> String {
    fs::read_to_string(tree().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_test_that_past_cves_names_exists() {
    let (sources, table) = (every_source(), read("docs/past-cves.md"));
    let rows = table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| what") && !line.starts_with("| ---"));
    let mut named = 0;
    for row in rows {
        let tests = row.rsplit(" | ").next().expect("a last column");
        for name in tests.split('`').skip(1).step_by(2) {
            assert!(sources.contains(&format!("fn {name}(")), "{name} is no test: {row}");
            named += 1;
        }
    }
    assert!(named > 15, "only {named} tests are named");
}

/// Every line A to M of the attack list has a test that bears its number. The numbers are those of the list;
/// what is missing from a section was never in it.
#[test]
fn every_line_of_the_attack_list_has_a_test() {
    let numbers: [(char, &[u8]); 13] = [
        ('A', &[1, 3, 4, 5, 6, 7, 9, 10, 12, 13, 15, 16, 18, 19, 20, 21, 23, 24, 25, 26, 27, 29, 31, 32]),
        ('B', &[1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 24]),
        ('C', &[1, 2, 3, 4, 6, 7, 8, 9, 11, 13, 14, 15, 16, 17, 18, 20]),
        ('D', &[1, 2, 3, 4, 6, 7, 9, 10, 11, 12, 13, 15, 16, 17, 19, 20, 21, 23, 24, 25]),
        ('E', &[1, 2, 3, 4, 6, 8, 9, 10, 12]),
        ('F', &[1, 2, 3, 4, 5, 6, 7, 9]),
        ('G', &[1, 2, 5, 6, 8, 9, 10, 11, 12]),
        ('H', &[1, 2, 3, 4, 6, 7, 9, 10, 11, 12, 13, 14, 15, 17, 18]),
        ('I', &[1, 2, 4, 5, 6, 7, 9, 11, 12]),
        ('J', &[1, 2, 3, 6, 7, 8, 9, 10, 13, 14, 15, 16, 18, 19, 20]),
        ('K', &[1, 2, 4, 6]),
        // L02 is about kernels that lack a guard.
        ('L', &[1, 3, 4, 6, 7, 8]),
        ('M', &[1, 3, 4, 5, 6, 8, 9, 10, 12, 14, 15, 16, 17, 18, 20]),
    ];
    let sources = every_source();
    let comments: BTreeSet<&str> =
        sources.lines().map(str::trim).filter(|line| line.starts_with("/// ")).collect();
    for (section, lines) in numbers {
        for line in lines {
            let number = format!("{section}{line:02}");
            assert!(comments.iter().any(|comment| comment.contains(&number)), "{number} has no test");
        }
    }
}

#[test]
fn the_page_of_differences_mentions_every_test_that_says_it_differs() {
    let (sources, page) = (every_source(), read("docs/differences.md"));
    for line in
        sources.lines().map(str::trim).filter(|line| line.starts_with("/// ") && line.contains("Differs:"))
    {
        let number = line.trim_start_matches("/// ").get(..3).unwrap_or_default();
        let is_number = number.starts_with(|c: char| c.is_ascii_uppercase())
            && number[1..].bytes().all(|b| b.is_ascii_digit());
        assert!(!is_number || page.contains(number), "docs/differences.md has no {number}: {line}");
    }
}

/// As it is, the file of defaults changes nothing; and every rule in it is one, as soon as the remark is taken off.
#[test]
fn the_default_host_policy_is_valid_and_explains_every_key() {
    use common::policy::settings::Settings;
    let text = read("policy/defaults/nsgate.ini");
    let nothing = Settings::parse(text.as_bytes()).expect("valid");
    assert_eq!((nothing.idmap, nothing.nic), Default::default());
    let in_force = |line: &str| match line.strip_prefix(';') {
        Some(rule) if !rule.starts_with(' ') && rule.contains(" = ") => rule.to_owned(),
        _ => line.to_owned(),
    };
    let text: String = text.lines().map(|line| in_force(line) + "\n").collect();
    let all = Settings::parse(text.as_bytes()).expect("valid");
    let (idmap, nic, bridge, own) = (&all.idmap, &all.nic, all.bridge("br0"), &all.per_user_bridge);
    assert!(idmap.refuse_overlap.is_some() && idmap.protect.is_some() && idmap.protect_accounts.is_some());
    assert!(idmap.strict_setgroups.is_some() && idmap.max_ids.is_some() && idmap.exclusive.is_some());
    assert!(idmap.require_limits.is_some() && idmap.ulimits.is_some());
    assert!(nic.require_limits.is_some() && nic.leave_out_missing.is_some());
    assert!(bridge.isolate.is_some() && bridge.lock_mac.is_some() && bridge.max_nics.is_some());
    assert!(bridge.stable_mac.is_some() && bridge.max_multicast_groups.is_some());
    assert!(own.create.is_some() && own.max_bridges.is_some());
}
