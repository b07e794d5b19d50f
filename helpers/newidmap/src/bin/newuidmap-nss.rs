//! `newuidmap(1)` for a host whose callers are not in `/etc/passwd`: dynamic, asks the name services.
#![no_main]
#![forbid(unsafe_code)]

common::program!("newuidmap", |args| newidmap::main(
    &newidmap::NEWUIDMAP,
    args,
    common::os::account::from_name_services
));
