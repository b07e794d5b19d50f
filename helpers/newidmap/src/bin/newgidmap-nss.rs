//! `newgidmap(1)` for a host whose callers are not in `/etc/passwd`: dynamic, asks the name services.
#![no_main]
#![forbid(unsafe_code)]

common::program!("newgidmap", |args| newidmap::main(
    &newidmap::NEWGIDMAP,
    args,
    common::os::account::from_name_services
));
