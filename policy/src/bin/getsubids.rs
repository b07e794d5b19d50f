//! getsubids(1).
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    nsgate::getsubids::main()
}
