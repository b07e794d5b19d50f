//! The operating system, narrowed to what the helpers do.

pub mod account;
pub mod audit;
pub mod calls;
pub mod child;
pub mod confine;
pub mod host_policy;
pub mod installed;
pub mod label;
pub mod landlock;
pub mod limits;
pub mod live;
pub mod namespace;
pub mod netns;
mod powerless;
pub mod privilege;
pub mod startup;
pub mod subid_source;
mod sys;
pub mod sysctl;
pub mod target;
pub mod trusted;

pub use sys::arguments;
pub(crate) use sys::{die_in, live_on, places_of};
