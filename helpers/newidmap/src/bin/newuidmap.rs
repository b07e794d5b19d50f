//! `newuidmap(1)`, static. The story is in `newidmap`.
#![no_main]
#![forbid(unsafe_code)]

use common::os::account::Files;

common::program!("newuidmap", |args| newidmap::main(
    &newidmap::NEWUIDMAP,
    args,
    &Files { twin: common::twin!("newuidmap-nss") }
));
