//! Policy as pure functions: bytes in, decision out. No I/O, no clock, no environment.

pub mod id;
pub mod idmap;
pub mod login_defs;
pub mod nsswitch;
pub mod passwd;
pub mod subid;
pub mod text;
