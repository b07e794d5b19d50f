//! `newuidmap(1)`, static. The story is in `newidmap`.
#![no_main]
#![forbid(unsafe_code)]

common::program!("newuidmap", |args| newidmap::main(&newidmap::NEWUIDMAP, args, |question| {
    common::os::account::in_files(question, c"/usr/libexec/nsgate/newuidmap-nss")
}));
