//! Branches: places of business, each under one registration, which it keeps.
//!
//! * The code is unique in the tenant, in capitals.
//! * One with active locations or tills is not closed; a closed registration gets no branch.
//! * One is opened by who works for all of them, and changed, as are its locations and tills, by who works for it. Every
//!   change is audited.

mod commands;
pub mod graphql;
mod http;
mod model;
pub mod store;

pub use commands::reaches;
pub use http::{BranchBody, routes};
pub use model::Branch;
