//! Batches: goods of one product that were made together.
//!
//! * A number is one batch of a product; its expiry date does not change, and its day of manufacture and MRP are said
//!   once: another date or price under the same number is refused.
//! * `active <-> blocked`, expired by the calendar, and disposed of when expired or blocked, which is final. A batch
//!   that is not active is never promised.
//! * Flags are copied to the balances under their gates, so that a pick never sees an old one. Holds on a batch that
//!   is blocked later stay, because those goods may be over the counter already; a recall breaks them.
//! * Unblocking makes stock available: open shortages are served from it.

mod commands;
pub(crate) mod graphql;
pub(crate) mod http;
mod model;
pub(crate) mod store;

pub(crate) use commands::{Named, check_lines, ensure};
pub use http::routes;
pub(crate) use http::{BatchBody, Reason};
pub(crate) use model::{Batch, Label};
