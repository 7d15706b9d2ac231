//! The audit trail: sensitive operations of every service, in the order they happened.
//!
//! * Records arrive as events, ours too, and each is kept once. They are only ever added: a trigger of the database
//!   refuses every change.

mod http;
mod model;
mod store;

pub use http::routes;
pub use model::Record;
pub use store::insert;
