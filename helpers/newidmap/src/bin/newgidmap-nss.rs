//! `newgidmap(1)` for a host whose callers are not in `/etc/passwd`: dynamic, asks the name services.
#![no_main]
#![forbid(unsafe_code)]

use common::os::account::Services;

common::program!("newgidmap", |args| newidmap::main(&newidmap::NEWGIDMAP, args, &Services));
