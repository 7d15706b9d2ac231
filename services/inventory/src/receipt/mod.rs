//! Receipts: goods come in, with their cost.
//!
//! * Every line makes a cost layer of its own; its value is quantity × unit cost, rounded once to the paisa.
//! * A product followed by batch needs a batch number, and an expiry date where its batches have one.
//! * What comes in serves open shortages first, oldest sale first.

mod commands;
mod http;

pub use http::routes;
