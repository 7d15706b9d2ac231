//! Landed costs: freight, duty, a price that turned out higher: what is known only after the goods were received.
//!
//! * The amount is spread over lines of receipts by value, quantity or weight, by largest remainder, so that not a
//!   paisa is lost.
//! * Of each line, the goods still on hand are raised, wherever they lie by now (in another state, at another
//!   location); goods are taken to leave in the order they came, whatever the method. The share of the rest is said
//!   to finance as cost of goods sold; that of goods at standard cost as a variance.
//! * It is posted by who works for all branches, even where all is sold and nothing moves.
//! * It is posted today or in an open period, as movements of kind `revalue`; no receipt and no issue is touched.
//! * Goods on their way between locations are waited for: the transfer brings what it took.

mod commands;
mod http;
mod model;
pub(crate) mod store;

pub(crate) use commands::{Budget, whereabouts};
pub use http::routes;
