//! The audit trail: sensitive operations of every service, in the order they happened.
//!
//! * Records arrive as events, ours too, and each is kept once. They are only ever added: a trigger of the database
//!   refuses every change.
//! * Each is numbered and carries a hash over itself and the one before it, made by the database; `:verify` sums the trail
//!   up again, in steps as of one moment. Who can write to the database past its triggers can chain a trail anew, so its end
//!   is to be noted elsewhere.
//! * It is kept for ever and does not say of which branch a record is: who works for some branches only does not read it,
//!   and no network address, and nothing by which a provider knows somebody, is written to it.

mod commands;
mod http;
mod model;
mod store;

pub use commands::{STEP, verify};
pub use http::routes;
pub use model::{Record, Verdict};
pub use store::insert;
