//! `newgidmap(1)`, static. The story is in `newidmap`.
#![no_main]
#![forbid(unsafe_code)]

use common::os::account::Files;

common::program!("newgidmap", |args| newidmap::main(
    &newidmap::NEWGIDMAP,
    args,
    &Files { twin: common::twin!("newgidmap-nss") }
));
