//! The company behind a tenant: one row, made at registration.
//!
//! * Its PAN, once known, is the one inside every GSTIN of its registrations.
//! * It may ask everybody for a second factor: from then on no session is opened, or prolonged, without one.

mod commands;
pub mod graphql;
mod http;
mod model;
pub mod store;

pub use commands::first;
pub use http::routes;
pub use model::{Company, same_pan};
