//! What a tenant allows: reasons of adjustments, and values up to which nobody is asked twice.
//!
//! * Everybody begins with the same reasons and no limits, and with a second person for every count that changes the
//!   value of the stock.
//! * Beyond a limit a further permission is needed: `inventory.stock.adjust_any`, `inventory.count.approve_any`.
//! * A change is audited.

mod commands;
mod http;
mod model;
mod store;

pub use http::routes;
pub(crate) use store::get;
