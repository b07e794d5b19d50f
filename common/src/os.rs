//! The operating system, narrowed to what the helpers do.

pub mod account;
pub mod audit;
pub mod child;
pub mod installed;
pub mod namespace;
pub mod netns;
pub mod privilege;
pub mod startup;
pub mod subid_source;
mod sys;
pub mod sysctl;
pub mod target;
pub mod trusted;

pub use sys::arguments;
