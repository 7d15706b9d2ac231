//! Sales: goods leave when an invoice was issued, and come back with a return.
//!
//! * A sale that happened is never refused for want of stock: what cannot be issued is an open shortage.
//! * With a pending hold of the same hash, its batches are issued, whatever has become of them by now; the hold of
//!   another basket is freed and counts for nothing. In every case the hold's id ends committed.
//! * A fact moves stock once, however often it is told and by whom (the event, or the answer of sales).
//! * Goods followed by batch that come back without one go to quarantine, whatever is said of them: their last day is
//!   not known.
//! * A return first closes the invoice's own open shortage; only the rest comes back, at the cost it left with.

mod commands;
mod model;
mod store;

pub(crate) use commands::{issue, take_back};
pub use model::Back;
pub(crate) use model::Sale;
