//! The ledger: balances, movements and cost layers.
//!
//! * A balance is (location, product, batch, status); `0 <= reserved <= on_hand`, always. `available` is what is
//!   sellable, free, and of no blocked or expired batch.
//! * Whoever changes anything of a (location, product) locks its gate row first, all gates in primary-key order, and
//!   reads the rest after that. So there is no deadlock, and every decision rests on the truth.
//! * What lies at a place is sellable, in quarantine or damaged; what is on its way to it is in transit, and every
//!   line of a transfer keeps cost layers of its own there.
//! * Movements are facts and never change; Σ movements = on_hand. Cost follows the product's method (first in, first
//!   out; moving average; standard) within a balance, in whole paise; the last unit carries what rounding left over.
//! * Every movement has a posting date, the business day it counts for: its own, or the first open one.
//! * A fact moves stock once: its header row is the guard, its movements are numbered by line and allocation.
//! * Whatever made more available settles open shortages before its transaction ends ([`close`]).

mod commands;
mod costing;
pub(crate) mod graphql;
mod http;
mod integrity;
mod levels;
mod model;
mod past;
mod query;
pub(crate) mod store;

pub(crate) use commands::{close, save_values, settled_from};
pub use costing::{Change, Costing, Method};
pub use http::routes;
pub(crate) use http::{after_id, cursor, page_by_id};
pub use model::{
    Books, Cost, Draft, Excluded, Flags, Item, Key, Kind, Known, Layer, Layers, Lot, Movement,
    NO_BATCH, Origin, Place, Source, Status, Taken, Unbacked, deal, named, return_cost, share,
    unit_cost, value, worth,
};
pub use past::take_snapshots;
pub(crate) use query::{summary, with_kits};
