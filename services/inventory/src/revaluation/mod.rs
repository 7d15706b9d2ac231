//! Revaluations: the only documents that change what goods on hand are worth, or how a product is valued.
//!
//! * A line states a unit cost (for what is on hand of a product, perhaps at one location, of one batch, in one
//!   state), or a method, or a standard cost (for the whole product). It changes value and never quantity.
//! * The difference is a movement of kind `revalue` for each balance; nothing before it is touched, nothing after it
//!   remembers the old value.
//! * A method is not changed, and goods are not revalued, while they are on their way between locations: a transfer
//!   brings what it took.
//! * It is posted by who works for all branches, even where it makes no movement.
//! * The products are locked first, then all gates of them in primary-key order, so the change comes at one point of
//!   the ledger for each place.

mod commands;
mod http;
mod model;
mod store;

pub use http::routes;
pub(crate) use store::costings;
