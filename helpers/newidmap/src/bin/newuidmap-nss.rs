//! `newuidmap(1)` for a host whose callers are not in `/etc/passwd`: dynamic, asks the name services.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    newidmap::main(&newidmap::NEWUIDMAP, |uid, etc, _| common::os::account::from_name_services(uid, etc))
}
