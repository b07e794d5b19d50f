//! Policy as pure functions: bytes in, decision out. No I/O, no clock, no environment.

pub mod group;
pub mod holdings;
pub mod host;
pub mod id;
pub mod idmap;
pub mod ledger;
pub mod limits;
pub mod login_defs;
pub mod nic;
pub mod nsswitch;
pub mod overlap;
pub mod passwd;
pub mod refusal;
pub mod settings;
pub mod subid;
pub mod subid_source;
pub mod text;
pub mod told;
pub mod usernet;
