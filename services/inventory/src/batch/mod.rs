//! Batches: goods of one product that were made together.
//!
//! * A number is one batch of a product; its expiry date does not change.
//! * `active <-> blocked`; expired by the calendar. A batch that is blocked or expired is never promised.
//! * Flags are copied to the balances under their gates, so that a pick never sees an old one. Holds on a batch that
//!   is blocked later stay: those goods may be over the counter already.
//! * Unblocking makes stock available: open shortages are served from it.

mod commands;
mod http;
pub(crate) mod store;

pub(crate) use commands::{check_lines, ensure};
pub use http::routes;
