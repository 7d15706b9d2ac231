//! Reorder levels: when to buy a product again for a location, and how much.
//!
//! * Safety stock = z × √(L·σd² + d²·σL²); reorder point = d·L + safety stock, rounded up to whole units, unless people
//!   state one (`min_qty`). d and σd are the demand of a day and its deviation, L and σL the lead time in days.
//! * Demand is stated, or the ledger's issues of the last days; a day without stock at one of its ends says nothing of
//!   demand and is left out. The job plans levels of the second kind anew each day.
//! * Below the point, buy up to `max_qty`, or up to the point plus the demand of a lead time: at least the minimum order,
//!   in whole packs, and no more than sells before it expires.
//! * The row remembers on which side of the point what is available stands. `inventory.low_stock` is said when it falls
//!   below, and not again before it has risen. The side is written in the transaction that moves stock, under the gate
//!   of the place, with one statement for all its places. Goods that expire make less available without a movement: the
//!   job that warns of them looks.

mod commands;
mod http;
mod model;
mod store;

pub use commands::replan;
pub(crate) use commands::{look, low_stock};
pub use http::routes;
pub(crate) use model::Level;
pub(crate) use store::cross;
