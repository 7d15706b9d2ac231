//! Units of measure.
//!
//! Each is reported to the government as one of the 45 unique quantity codes (UQC), or `NA` for services. A code is
//! unique in the tenant, ignoring case. While products use a unit its UQC is fixed and it can only gain decimals: stock
//! is counted in it. A unit in use cannot be deleted.

pub mod commands;
pub mod graphql;
mod http;
pub mod model;
pub mod store;

pub use http::{UnitBody, routes};
