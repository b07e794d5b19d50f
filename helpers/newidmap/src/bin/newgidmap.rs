//! `newgidmap(1)`, static. The story is in `newidmap`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    newidmap::main(&newidmap::NEWGIDMAP, |uid, etc, nsswitch| {
        common::os::account::in_files(uid, etc, nsswitch, c"/usr/libexec/nsgate/newgidmap-nss")
    })
}
