//! The shell completions in `packaging/completions` are those of the command line as it is.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::{Shell, generate};
use nsgate::cli::Cli;

/// `UPDATE=1 cargo test -p nsgate --test completions` writes them anew.
#[test]
fn they_are_up_to_date() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/completions");
    for (shell, name) in [(Shell::Bash, "nsgate.bash"), (Shell::Zsh, "_nsgate"), (Shell::Fish, "nsgate.fish")]
    {
        let mut now = Vec::new();
        generate(shell, &mut Cli::command(), "nsgate", &mut now);
        let path = directory.join(name);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &now).expect("write");
        }
        let kept = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(kept == now, "{} is not what the command line says; UPDATE=1 writes it", path.display());
    }
}
