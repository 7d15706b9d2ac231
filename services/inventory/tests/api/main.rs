//! The behaviour of the inventory service, on a real database: what sales asks over gRPC, what people do over HTTP,
//! and what is heard.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A test that cannot go on stops.

mod adjusting;
mod batches;
mod contract;
mod costs;
mod holding;
mod issuing;
mod planning;
mod random;
mod recalls;
mod receiving;
mod reports;
mod reserving;
mod support;
mod sweeping;
mod taking_back;
