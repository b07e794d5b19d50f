//! The packages of the privileged programs are a list that somebody has agreed to: `docs/dependencies.md`.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use world::tree;

/// The packages of the workspace itself.
const OUR_OWN: [&str; 3] = ["lxc-user-nic", "newidmap", "nsgate-common"];

/// A package of privileged programs, and the packages that somebody has agreed to.
struct Agreed {
    package: &'static str,
    /// Those that are in the programs.
    linked: &'static [&'static str],
    /// Those that run while the programs are built, as whoever builds them, and write some of their code.
    at_build_time: &'static [&'static str],
}

const NEWIDMAP: Agreed = Agreed {
    package: "newidmap",
    linked: &[
        "bitflags",
        "cfg-if",
        "ini-roundtrip",
        "libc",
        "memchr",
        "newidmap",
        "nix",
        "nsgate-common",
        "zeroize",
    ],
    at_build_time: &["cfg_aliases"],
};

const LXC_USER_NIC: Agreed = Agreed {
    package: "lxc-user-nic",
    linked: &[
        "bitflags",
        "bytes",
        "cfg-if",
        "futures-channel",
        "futures-core",
        "futures-sink",
        "futures-task",
        "futures-util",
        "ini-roundtrip",
        "libc",
        "log",
        "lxc-user-nic",
        "memchr",
        "netlink-packet-core",
        "netlink-packet-route",
        "netlink-proto",
        "netlink-sys",
        "nix",
        "nsgate-common",
        "pin-project-lite",
        "rtnetlink",
        "slab",
        "tokio",
        "zerocopy",
        "zeroize",
    ],
    at_build_time: &[
        "cfg_aliases",
        "futures-macro",
        "proc-macro2",
        "quote",
        "syn",
        "unicode-ident",
        "zerocopy-derive",
    ],
};

/// `cargo tree` of these packages over these edges of the graph: each package in it, with its features.
fn tree_of(packages: &[&str], edges: &str) -> BTreeSet<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .current_dir(tree())
        .args(["tree", "--locked", "--offline", "--prefix", "none"])
        .args(["-f", "{p}|{f}", "-e", edges])
        .args(packages)
        .output()
        .expect("cargo tree");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo tree prints text");
    // What it has shown before has a star behind it.
    let lines = text.lines().filter(|line| !line.is_empty()).map(|line| line.trim_end_matches(" (*)"));
    let parts = |line: &str| {
        let (package, features) = line.split_once('|').expect("two parts");
        (package.split(' ').next().expect("a name").to_owned(), features.to_owned())
    };
    lines.map(parts).collect()
}

fn names(tree: &BTreeSet<(String, String)>) -> BTreeSet<&str> {
    tree.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn the_privileged_programs_link_what_was_agreed_and_no_more() {
    for Agreed { package, linked, .. } in [NEWIDMAP, LXC_USER_NIC] {
        let found = tree_of(&["-p", package], "normal,no-proc-macro");
        assert_eq!(names(&found), linked.iter().copied().collect(), "{package}");
    }
}

#[test]
fn they_are_built_with_what_was_agreed_and_no_more() {
    for Agreed { package, linked, at_build_time } in [NEWIDMAP, LXC_USER_NIC] {
        let found = tree_of(&["-p", package], "normal,build");
        let both = linked.iter().chain(at_build_time).copied().collect();
        assert_eq!(names(&found), both, "{package}");
    }
}

/// Cargo builds a package once for all programs, with every feature that one of them wants.
#[test]
fn features_that_were_left_out_are_not_switched_on_by_another_program() {
    let all = tree_of(&["--workspace"], "normal,no-proc-macro");
    for (name, agreed) in [("memchr", "alloc"), ("zeroize", "")] {
        let features = all.iter().filter(|(found, _)| found == name).map(|(_, features)| features.as_str());
        assert_eq!(features.collect::<Vec<_>>(), [agreed], "{name}");
    }
}

#[test]
fn every_agreed_package_is_explained() {
    let explained = fs::read_to_string(tree().join("docs/dependencies.md")).expect("docs/dependencies.md");
    for Agreed { linked, at_build_time, .. } in [NEWIDMAP, LXC_USER_NIC] {
        for package in linked.iter().chain(at_build_time).filter(|package| !OUR_OWN.contains(package)) {
            assert!(explained.contains(&format!("`{package}`")), "{package} is not in docs/dependencies.md");
        }
    }
}

/// What the `nsgate` command uses besides is no business of the privileged programs.
#[test]
fn what_the_ordinary_programs_ask_for_is_explained_and_stays_theirs() {
    let explained = fs::read_to_string(tree().join("docs/dependencies.md")).expect("docs/dependencies.md");
    let manifest = fs::read_to_string(tree().join("policy/Cargo.toml")).expect("policy/Cargo.toml");
    let asked_for = manifest.split("[dependencies]").nth(1).and_then(|rest| rest.split("\n[").next());
    let asked_for = asked_for.expect("dependencies").lines().filter(|line| !line.starts_with('#'));
    let names = asked_for.filter_map(|line| line.split(['.', ' ']).next()).filter(|name| !name.is_empty());
    let names: Vec<_> = names.filter(|name| !OUR_OWN.contains(name)).collect();
    assert!(names.len() > 4, "{names:?}");
    for name in names {
        assert!(explained.contains(&format!("`{name}`")), "{name} is not in docs/dependencies.md");
        let is_privileged = [NEWIDMAP, LXC_USER_NIC].iter().any(|agreed| agreed.linked.contains(&name));
        assert!(is_privileged == (name == "nix"), "{name}");
    }
}

#[test]
fn unsafe_code_is_in_one_file() {
    let found = Command::new("grep")
        .current_dir(tree())
        .args([
            "-rlE",
            r"(^|[^_a-z`])unsafe( |\{|\()",
            "--include=*.rs",
            "common/src",
            "helpers",
            "policy",
            "tests/src",
        ])
        .output()
        .expect("grep");
    assert_eq!(String::from_utf8_lossy(&found.stdout), "common/src/os/sys.rs\n");
    for package in ["helpers/newidmap", "helpers/lxc-user-nic", "policy"] {
        let sources = tree().join(package).join("src");
        let programs = fs::read_dir(sources.join("bin")).expect("src/bin");
        let roots = programs.map(|entry| entry.expect("entry").path()).chain([sources.join("lib.rs")]);
        for root in roots {
            let text = fs::read_to_string(&root).expect("read");
            assert!(text.contains("#![forbid(unsafe_code)]"), "{}", root.display());
        }
    }
}

/// A06, N06: no way to move a policy path, and no loader, in the installed programs.
#[test]
fn the_set_id_programs_are_static_and_have_no_variable_to_ask_for() {
    for name in ["newuidmap", "newgidmap", "lxc-user-nic"] {
        let path = tree().join("target/release").join(name);
        let headers = Command::new("readelf").args(["-ldW"]).arg(&path).output().expect("readelf");
        let headers = String::from_utf8_lossy(&headers.stdout).into_owned();
        assert!(
            headers.contains("GNU_RELRO") && !headers.contains("INTERP") && !headers.contains("(NEEDED)"),
            "{headers}"
        );
        assert!(!headers.contains("RPATH") && !headers.contains("RUNPATH"), "{headers}");
        assert!(headers.contains("DYN ("), "not position independent: {headers}");
        let stack = headers.lines().find(|line| line.contains("GNU_STACK")).expect("a stack");
        assert!(!stack.contains("RWE"), "an executable stack: {headers}");
        let bytes = fs::read(&path).expect("read");
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(has("/etc/nsswitch.conf"), "the search below looks at the wrong thing");
        assert!(!has("NSGATE_") && !has("UNDER_TEST"), "{name} names a variable of the tests");
    }
}
