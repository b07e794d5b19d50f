//! `lxc-user-nic(1)`, static. The story is in `usernic`.
#![no_main]
#![forbid(unsafe_code)]

use common::os::account::Files;

common::program!("lxc-user-nic", |args| usernic::main(
    args,
    &Files { twin: common::twin!("lxc-user-nic-nss") }
));
