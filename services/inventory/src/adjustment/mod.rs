//! Adjustments: what was found, lost, broken or miscounted, put right by hand.
//!
//! * A loss takes at most what is on hand; a gain needs a cost, stated or known.
//! * Where a loss would leave less than is promised, promises break: the API's and orders', newest first; then tills',
//!   newest first, but only what sales says was never sold. A hold whose sale was issued is lowered, and the sale's
//!   event takes the rest from elsewhere or leaves it owed. When sales cannot be asked, nothing is taken.
//! * Its reason is one of the tenant's list; beyond the tenant's limit of value `inventory.stock.adjust_any` is needed.
//! * Every adjustment is audited with its reason.

mod commands;
pub(crate) mod graphql;
mod http;

pub use http::routes;
