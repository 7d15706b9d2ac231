//! The behaviour of the inventory service, on a real database: what sales asks over gRPC, what people do over HTTP,
//! and what is heard.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A test that cannot go on stops.

mod adjusting;
mod as_of;
mod batches;
mod branches;
mod contract;
mod costing;
mod costs;
mod counting;
mod documents;
mod graphql;
mod holding;
mod integrity;
mod issuing;
mod kits;
mod landed_cost;
mod orders;
mod plain_model;
mod planning;
mod privacy;
mod random;
mod recalls;
mod receiving;
mod reports;
mod reserving;
mod saying;
mod serials;
mod setting_apart;
mod supplier_returns;
mod support;
mod sweeping;
mod taking_back;
mod transferring;
