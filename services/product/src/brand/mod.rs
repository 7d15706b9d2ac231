//! Brands.
//!
//! A name is unique in the tenant, ignoring case. A brand that a product carries cannot be deleted.

pub mod commands;
pub mod graphql;
mod http;
pub mod model;
pub mod store;

pub use http::{BrandBody, routes};
