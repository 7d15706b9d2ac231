//! Shortages: what was sold and could not be issued, because a sale that happened is never refused.
//!
//! * Opened when an invoice is issued for more than there is; one for each invoice line, of kits for
//!   each component.
//! * Settled oldest sale first whenever more becomes available, each part with its own movements and `stock.issued`.
//! * A return or cancellation of the invoice closes its own open shortage before any goods come back.
//! * `qty = open + settled + cancelled`.

mod commands;
mod http;
mod model;
pub(crate) mod store;

pub(crate) use commands::{announce, settle};
pub use http::routes;
pub use model::{SOURCE, Settlement, Shortage};
