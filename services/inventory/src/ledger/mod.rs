//! The ledger: balances, movements and cost layers.
//!
//! * A balance is (location, product, batch, status); `0 <= reserved <= on_hand`, always. `available` is what is
//!   sellable, free, and of no blocked or expired batch.
//! * Whoever changes anything of a (location, product) locks its gate row first, all gates in primary-key order, and
//!   reads the rest after that. So there is no deadlock, and every decision rests on the truth.
//! * Movements are facts and never change; Σ movements = on_hand. Cost is first in, first out within a balance, in
//!   whole paise; the last unit of a layer carries what rounding left over.
//! * A fact moves stock once: its header row is the guard, its movements are numbered by line and allocation.
//! * Whatever made more available settles open shortages before its transaction ends ([`close`]).

mod commands;
mod http;
mod model;
mod query;
pub(crate) mod store;

pub(crate) use commands::close;
pub(crate) use http::cursor;
pub use http::routes;
pub use model::{
    Books, Cost, Draft, Excluded, Flags, Item, Key, Kind, Layer, Layers, Movement, NO_BATCH, Place,
    Source, Status, Taken, Unbacked, deal, named, return_cost, share, unit_cost, value, worth,
};
pub(crate) use query::{availability, summary};
