//! What the documents say of the tests is so.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use world::tree;

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("read a directory");
    let entries = entries.map(|entry| entry.expect("an entry").path());
    let (directories, mut found): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    found.retain(|path| path.extension().is_some_and(|this| this == extension));
    found.extend(directories.iter().flat_map(|directory| files(directory, extension)));
    found.sort();
    found
}

fn every_source() -> String {
    let directories = ["common/src", "helpers", "policy/src", "tests/tests"];
    let files = directories.iter().flat_map(|directory| files(&tree().join(directory), "rs"));
    files.map(|file| fs::read_to_string(file).expect("read a source")).collect()
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

/// A test, or a script that is one, and what its comment says of the attack list.
struct Test {
    /// As `docs/attacks.md` has it, and `tests/attacks` finds it in the log: program and name.
    name: String,
    lines: Vec<String>,
    is_left_out: bool,
}

/// Sources with tests in them, and what cargo calls the program of these. None: each file is one.
const PROGRAMS: [(&str, Option<&str>); 6] = [
    ("tests/tests", None),
    ("policy/tests", None),
    ("common/src", Some("common")),
    ("helpers/newidmap/src", Some("newidmap")),
    ("helpers/lxc-user-nic/src", Some("usernic")),
    ("policy/src", Some("nsgate")),
];

fn every_test() -> Vec<Test> {
    let mut tests = Vec::new();
    for (directory, program) in PROGRAMS {
        for file in files(&tree().join(directory), "rs") {
            let stem = file.file_stem().and_then(OsStr::to_str).expect("a name");
            tests.extend(tests_of(program.unwrap_or(stem), &fs::read_to_string(&file).expect("read")));
        }
    }
    for file in files(&tree().join("tests/packages"), "sh") {
        let text = fs::read_to_string(&file).expect("read");
        let lines =
            text.lines().filter_map(|line| line.trim_start().strip_prefix("# ")).flat_map(lines_tested);
        let name = file.file_name().and_then(OsStr::to_str).expect("a name").to_owned();
        tests.push(Test { name, lines: lines.collect(), is_left_out: false });
    }
    tests
}

fn tests_of(program: &str, source: &str) -> Vec<Test> {
    let (mut tests, mut comment, mut attributes) = (Vec::new(), String::new(), String::new());
    for line in source.lines().map(str::trim_start) {
        if let Some(text) = line.strip_prefix("///") {
            comment += &format!("{} ", text.trim());
        } else if line.starts_with("#[") {
            attributes += line;
        } else {
            if let Some(name) = line.strip_prefix("fn ").filter(|_| attributes.contains("[test]")) {
                let name = name.split(['(', '<']).next().expect("a name");
                tests.push(Test {
                    name: format!("{program}::{name}"),
                    lines: lines_tested(&comment),
                    is_left_out: attributes.contains("ignore"),
                });
            }
            comment.clear();
            attributes.clear();
        }
    }
    tests
}

/// The numbers that a comment begins with, as in `A19, A20: from its first moment`.
fn lines_tested(comment: &str) -> Vec<String> {
    let words = comment.split([' ', '.', ':', ',']).filter(|word| !word.is_empty());
    words.take_while(|word| is_number(word)).map(str::to_owned).collect()
}

fn is_number(word: &str) -> bool {
    matches!(word.as_bytes(), [b'A'..=b'N', b'0'..=b'9', b'0'..=b'9'])
}

/// All numbers in a text; of `C07 to C09` those between them, too.
fn numbers_in(text: &str) -> BTreeSet<String> {
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let mut found: BTreeSet<String> =
        words.iter().filter(|word| is_number(word)).map(|word| (*word).to_owned()).collect();
    for range in
        words.windows(3).filter(|range| range[1] == "to" && is_number(range[0]) && is_number(range[2]))
    {
        let number = |word: &str| word[1..].parse::<u8>().expect("two digits");
        found.extend(
            (number(range[0])..number(range[2])).map(|number| format!("{}{number:02}", &range[0][..1])),
        );
    }
    found
}

const ATTACKS: &str = "docs/attacks.md";

/// The number of a line of the attack list, and whether C differs there.
fn attack(line: &str) -> Option<(&str, bool)> {
    let first = line.strip_prefix("| ")?.split(" | ").next()?;
    let (number, mark) = first.split_once(' ').unwrap_or((first, ""));
    is_number(number).then_some((number, mark == "+"))
}

/// Every line of the list has a test that says so, none of them is left out, and no test speaks of a line that there is not.
/// That they have passed is for `tests/attacks` to see.
#[test]
fn every_line_of_the_attack_list_has_its_tests() {
    let (page, tests) = (read(ATTACKS), every_test());
    let numbers: Vec<&str> = page.lines().filter_map(attack).map(|(number, _)| number).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]) && numbers.len() > 170, "{numbers:?}");
    for Test { name, lines, is_left_out } in &tests {
        assert!(lines.is_empty() || !is_left_out, "{name} is left out");
        let unknown = lines.iter().find(|line| !numbers.contains(&line.as_str()));
        assert_eq!(unknown, None, "{name} speaks of a line that {ATTACKS} does not have");
    }
    let mut right = String::new();
    for line in page.lines() {
        if let Some((number, _)) = attack(line) {
            let of_it = tests.iter().filter(|test| test.lines.iter().any(|line| line == number));
            let names: Vec<String> = of_it.map(|test| format!("`{}`", test.name)).collect();
            assert!(!names.is_empty(), "{number} has no test");
            let columns: Vec<&str> = line.splitn(4, " | ").collect();
            assert!(columns.len() == 4 && columns[3].ends_with('|'), "{number} has not four columns");
            let text = columns[..3].join(" | ");
            right += &format!("{text} | {} |\n", names.join("<br>"));
        } else {
            right += &format!("{line}\n");
        }
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(tree().join(ATTACKS), &right).expect("write");
    }
    assert!(
        read(ATTACKS) == right,
        "UPDATE=1 cargo test -p nsgate-tests --test documents brings {ATTACKS} up to date"
    );
}

/// Wherever else a comment or a page speaks of a line of the list, there is one.
#[test]
fn every_line_of_the_attack_list_that_is_mentioned_exists() {
    let page = read(ATTACKS);
    let known: BTreeSet<String> =
        page.lines().filter_map(attack).map(|(number, _)| number.to_owned()).collect();
    for (directory, extension, begins) in [
        ("common/src", "rs", "//"),
        ("helpers", "rs", "//"),
        ("policy/src", "rs", "//"),
        ("tests/tests", "rs", "//"),
        ("tests/src", "rs", "//"),
        ("tests/packages", "sh", "#"),
        ("docs", "md", ""),
    ] {
        for file in files(&tree().join(directory), extension) {
            let text = fs::read_to_string(&file).expect("read");
            for line in text.lines().filter(|line| line.trim_start().starts_with(begins)) {
                let mentioned = numbers_in(line);
                let unknown: Vec<_> = mentioned.difference(&known).collect();
                assert!(unknown.is_empty(), "{}: {unknown:?}: {line}", file.display());
            }
        }
    }
}

/// The lines that are marked as stricter than C are those that the page of differences names.
#[test]
fn the_attack_list_marks_what_the_page_of_differences_has() {
    let (list, page) = (read(ATTACKS), read("docs/differences.md"));
    let marked = list.lines().filter_map(attack).filter(|(_, differs)| *differs);
    let marked: BTreeSet<String> = marked.map(|(number, _)| number.to_owned()).collect();
    let named = numbers_in(&page);
    let only =
        |one: &BTreeSet<String>, other: &BTreeSet<String>| one.difference(other).cloned().collect::<Vec<_>>();
    assert_eq!((only(&marked, &named), only(&named, &marked)), (vec![], vec![]), "only marked, only named");
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
