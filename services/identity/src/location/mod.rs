//! Locations: where a branch keeps stock.
//!
//! * The code is unique in the tenant, in capitals; the branch stays.
//! * One that an active till sells from is not closed; a closed branch gets no location.
//! * Who works there adds and changes it, and every change is audited.

mod commands;
pub mod graphql;
mod http;
mod model;
pub mod store;

pub use http::{LocationBody, routes};
pub use model::Location;
