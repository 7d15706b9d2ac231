//! Barcodes: GTINs with a valid check digit.
//!
//! A barcode stands for one product among those that are not archived. Codes of our own come from the range 29 of
//! restricted circulation, which no manufacturer may use: `29`, ten digits of a running number, and the check digit; or
//! from the company prefix that GS1 has given the tenant. Pictures of codes have their quiet zones.

pub mod commands;
mod http;
pub mod model;
pub mod picture;
pub mod store;

pub use http::routes;
