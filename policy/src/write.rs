//! The verbs that change a policy file.

pub mod edit;
pub mod grant;
pub mod revoke;
