//! The `nsgate` command: checks, explains, shows, edits and grants the policy that newuidmap, newgidmap and lxc-user-nic
//! obey. An ordinary program, never set-id: it can do what its caller can, and no more.
//!
//! There is one definition of a valid line and one of "allowed": those of the helpers, in `common::policy`. What is here asks
//! them, and tells a person.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

pub mod accounts;
pub mod check;
pub mod cli;
pub mod doctor;
pub mod explain;
pub mod failure;
pub mod gc;
pub mod getsubids;
mod login_defs;
pub mod machine;
pub mod output;
pub mod root;
pub mod show;
mod tool;
pub mod write;

use cli::{Cli, Verb};
use failure::Failure;
use output::Output;
use root::Root;

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => code,
        Err(failure) => {
            output::complain(&format!("nsgate: {failure}\n"));
            // 1 is for warnings there: who tolerates them does not mean files that were not looked at.
            let is_check = matches!(cli.verb, Verb::Check(_));
            ExitCode::from(if is_check { failure::USAGE } else { failure.code() })
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode, Failure> {
    let root = Root::open(cli.root.as_deref())?;
    let mut out = Output::new(cli.json, cli.color);
    let code = match &cli.verb {
        Verb::Check(args) => check::run(&root, args, &mut out),
        Verb::Explain(args) => explain::run(&root, args, &mut out),
        Verb::Show(args) => show::run(&root, args, &mut out),
        Verb::Doctor(args) => doctor::run(&root, args, &mut out),
        Verb::Grant(args) => write::grant::run(&root, args, &mut out),
        Verb::Revoke(args) => write::revoke::run(&root, args, &mut out),
        Verb::Edit(args) => write::edit::run(&root, args, &mut out),
        Verb::Gc(args) => gc::run(&root, args, &mut out),
    }?;
    out.finish()?;
    Ok(ExitCode::from(code))
}
