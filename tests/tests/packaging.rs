//! What is installed where, with which privilege; that the checks of a release find what they are for. The scripts count their
//! own checks. Those that need a Debian of their own, and minutes, are steps of `packaging/RELEASING.md`.

use std::path::PathBuf;
use std::process::Command;

use world::tree;

/// Where cargo has put the programs, which `tests/run` builds first.
fn built() -> PathBuf {
    tree().join("target/release")
}

fn script(name: &str) {
    let path = tree().join("tests/packages").join(name);
    let output = Command::new(&path).env("BUILT", built()).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// M16, N01
#[test]
fn make_install_gives_each_program_the_privilege_that_was_asked_for() {
    script("install.sh");
}
