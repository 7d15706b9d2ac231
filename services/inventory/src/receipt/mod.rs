//! Receipts: goods come in, with their cost.
//!
//! * Every line is valued by its product's method; what was paid is quantity × unit cost, rounded once to the paisa.
//! * It may be dated back into an open period. History is not costed anew: its goods are the newest to go out.
//! * A product followed by batch needs a batch number, and an expiry date where its batches have one.
//! * What comes in serves open shortages first, oldest sale first.

mod commands;
pub(crate) mod graphql;
mod http;

pub use http::routes;
