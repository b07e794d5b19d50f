//! `lxc-user-nic(1)` for a host whose callers or groups are not in `/etc`: dynamic, asks the name services.
#![no_main]
#![forbid(unsafe_code)]

use common::os::account::Services;

common::program!("lxc-user-nic", |args| usernic::main(args, &Services));
