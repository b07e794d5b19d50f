//! The packages of the privileged programs are a list that somebody has agreed to: `docs/dependencies.md`.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use world::tree;

/// What may be linked into newuidmap and newgidmap.
const AGREED: [&str; 8] =
    ["bitflags", "cfg-if", "libc", "memchr", "newidmap", "nix", "nsgate-common", "zeroize"];

fn linked(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(tree())
        .args([
            "tree",
            "--locked",
            "--offline",
            "-e",
            "normal",
            "--prefix",
            "none",
            "-f",
            "{p}",
            "-p",
            package,
        ])
        .output()
        .expect("cargo tree");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo tree prints text");
    text.lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_privileged_programs_link_what_was_agreed_and_no_more() {
    assert_eq!(linked("newidmap"), AGREED.map(str::to_owned).into());
}

#[test]
fn every_agreed_package_is_explained() {
    let explained = fs::read_to_string(tree().join("docs/dependencies.md")).expect("docs/dependencies.md");
    for package in AGREED.iter().filter(|package| !["newidmap", "nsgate-common"].contains(package)) {
        assert!(
            explained.contains(&format!("https://crates.io/crates/{package})")),
            "{package} is not in docs/dependencies.md"
        );
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
            "tests/src",
        ])
        .output()
        .expect("grep");
    assert_eq!(String::from_utf8_lossy(&found.stdout), "common/src/os/sys.rs\n");
    for root in fs::read_dir(tree().join("helpers/newidmap/src/bin")).expect("src/bin") {
        let text = fs::read_to_string(root.expect("entry").path()).expect("read");
        assert!(text.contains("#![forbid(unsafe_code)]"));
    }
}

/// A06, N06 in part: no way to move a policy path, and no loader, in the installed programs.
#[test]
fn the_set_id_programs_are_static_and_have_no_variable_to_ask_for() {
    for name in ["newuidmap", "newgidmap"] {
        let path = tree().join("target/release").join(name);
        let headers = Command::new("readelf").args(["-ldW"]).arg(&path).output().expect("readelf");
        let headers = String::from_utf8_lossy(&headers.stdout).into_owned();
        assert!(
            headers.contains("GNU_RELRO") && !headers.contains("INTERP") && !headers.contains("(NEEDED)"),
            "{headers}"
        );
        assert!(!headers.contains("RPATH") && !headers.contains("RUNPATH"), "{headers}");
        assert!(headers.contains("DYN ("), "not position independent: {headers}");
        let bytes = fs::read(&path).expect("read");
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(has("/etc/nsswitch.conf"), "the search below looks at the wrong thing");
        assert!(!has("NSGATE_") && !has("UNDER_TEST"), "{name} names a variable of the tests");
    }
}
