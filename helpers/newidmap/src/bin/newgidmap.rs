//! `newgidmap(1)`, static. The story is in `newidmap`.
#![no_main]
#![forbid(unsafe_code)]

common::program!("newgidmap", |args| newidmap::main(&newidmap::NEWGIDMAP, args, |question| {
    common::os::account::in_files(question, c"/usr/libexec/nsgate/newgidmap-nss")
}));
