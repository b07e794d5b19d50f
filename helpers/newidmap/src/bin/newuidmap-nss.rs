//! `newuidmap(1)` for a host whose callers are not in `/etc/passwd`: dynamic, asks the name services.
#![no_main]
#![forbid(unsafe_code)]

use common::os::account::Services;

common::program!("newuidmap", |args| newidmap::main(&newidmap::NEWUIDMAP, args, &Services));
