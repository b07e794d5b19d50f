//! The manual pages in `packaging/man`: what is in them exists, and what exists is in them.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory;
use nsgate::cli::Cli;

fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> String {
    let path = tree().join("packaging/man").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The words behind each `macro` of a page, also within a line.
fn words_of(page: &str, wanted: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in page.lines().filter_map(|line| line.strip_prefix('.')) {
        let mut words = line.split(' ').peekable();
        while let Some(word) = words.next() {
            if word == wanted {
                found.extend(words.peek().map(|word| (*word).to_owned()));
            }
        }
    }
    found
}

#[test]
fn mandoc_has_nothing_against_them() {
    for entry in fs::read_dir(tree().join("packaging/man")).expect("packaging/man") {
        let path = entry.expect("an entry").path();
        let lint = Command::new("mandoc").args(["-T", "lint", "-W", "style"]).arg(&path).output();
        let lint = lint.expect("mandoc; run tests/install-tools tests");
        let text = String::from_utf8_lossy(&lint.stdout).into_owned();
        // Whether the others are installed is not the page's fault.
        let said: Vec<_> =
            text.lines().filter(|line| !line.contains("referenced manual not found")).collect();
        assert!(said.is_empty(), "{said:#?}");
    }
}

#[test]
fn every_option_and_verb_of_nsgate_is_in_its_page_and_no_other() {
    fn collect(command: &clap::Command, options: &mut BTreeSet<String>, verbs: &mut BTreeSet<String>) {
        let longs = command.get_arguments().filter_map(|argument| argument.get_long());
        options.extend(longs.map(|long| format!("-{long}")));
        for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
            verbs.insert(verb.get_name().to_owned());
            collect(verb, options, verbs);
        }
    }
    let (mut options, mut verbs) = (BTreeSet::new(), BTreeSet::new());
    let mut command = Cli::command();
    command.build();
    collect(&command, &mut options, &mut verbs);
    assert!(options.len() > 10 && verbs.len() > 8, "{options:?} {verbs:?}");

    let page = page("nsgate.8");
    assert_eq!(words_of(&page, "Fl"), options);
    for verb in verbs {
        let named = page.lines().any(|line| {
            line.starts_with('.') && line.split(' ').any(|word| word.trim_end_matches(',') == verb)
        });
        assert!(named, "{verb} is not in nsgate.8");
    }
}

#[test]
fn every_key_of_nsgate_ini_is_in_its_page_and_no_other() {
    let defaults = fs::read_to_string(tree().join("policy/defaults/nsgate.ini")).expect("defaults");
    let (mut keys, mut section) = (BTreeSet::new(), String::new());
    for line in defaults.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.split([' ', ']']).next().expect("a word").to_owned();
        } else if let Some((key, _)) = line.strip_prefix(';').and_then(|line| line.split_once(" = ")) {
            if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') {
                keys.insert((section.clone(), key.to_owned()));
            }
        }
    }
    let (mut documented, mut section) = (BTreeSet::new(), String::new());
    for line in page("nsgate.ini.5").lines() {
        if let Some(name) = line.strip_prefix(".Ss Bq ") {
            section = name.split(' ').next().expect("a word").to_owned();
        } else if let Some(key) = line.strip_prefix(".It Cm ") {
            documented.insert((section.clone(), key.split(' ').next().expect("a word").to_owned()));
        }
    }
    assert!(keys.len() > 15, "{keys:?}");
    assert_eq!(documented, keys);
}

/// The helpers have no options but these two, and getsubids has those of shadow's.
#[test]
fn the_options_of_the_others_are_in_their_pages() {
    let both = ["-help", "-version"].map(str::to_owned).into();
    assert_eq!(words_of(&page("newuidmap.1"), "Fl"), both);
    assert_eq!(words_of(&page("lxc-user-nic.1"), "Fl"), both);
    assert_eq!(words_of(&page("getsubids.1"), "Fl"), ["g", "h"].map(str::to_owned).into());
}

/// A file that a page names is one that the programs name, too.
#[test]
fn every_file_in_them_is_one_that_the_sources_know() {
    let mut sources = String::new();
    let mut directories =
        ["common/src", "helpers", "policy/src", "packaging"].map(|name| tree().join(name)).to_vec();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("man") {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&fs::read_to_string(&path).expect("a source"));
            }
        }
    }
    let mut seen = 0;
    for name in ["newuidmap.1", "lxc-user-nic.1", "getsubids.1", "nsgate.8", "nsgate.ini.5"] {
        for path in words_of(&page(name), "Pa") {
            let is_ours = path.starts_with("/etc/") || path.starts_with("/run/");
            let file = path.trim_start_matches("/etc/");
            assert!(!is_ours || sources.contains(file), "{name} names {path}, which no program does");
            seen += usize::from(is_ours);
        }
    }
    assert!(seen > 8);
}
