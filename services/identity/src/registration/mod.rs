//! Registrations: under which GSTIN, in which state, the company sells.
//!
//! * A GSTIN is checked down to its check digit; its state and PAN must agree with the state code and the company.
//! * A registration without a GSTIN (unregistered business) may be given one later; then it stays for ever, because
//!   documents bear it. The state never changes.
//! * One with active branches is not closed.

mod commands;
mod http;
mod model;
pub mod store;

pub use http::routes;
pub use model::Registration;
