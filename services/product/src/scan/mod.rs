//! What a scanned code stands for: a product, a unit of it, how much of it, and what else the code says.
//!
//! * Read are EAN-8, UPC-A, UPC-E, EAN-13, GTIN-14, SSCC (a logistic unit, which is no product), the in-store codes of
//!   `barcode_pattern`, and GS1 element strings (GS1-128, GS1 DataMatrix, GS1 QR) as they are scanned, with ASCII 29 for
//!   FNC1, or with their application identifiers in brackets. The prefixes that scanners put before a code are dropped.
//! * A code that can be read in two ways is what a product claims: eight digits first as EAN-8, then as UPC-E; an
//!   in-store code first by its pattern, then as it is. An eight-digit number may be right as both.
//! * Products are found in memory. What is there is dropped when this process commits a change of the product, before
//!   whoever made it is answered, and when `products.events.v1` tells that another process did. Memory is bounded, and
//!   nothing is believed for longer than `BAHI_LOOKUP_SECONDS`, whatever became of the broker.

pub mod commands;
mod gs1;
mod http;
mod index;
pub mod model;
pub mod store;

pub use gs1::raw as gs1_raw;
pub use http::routes;
pub use index::{Index, follows};
