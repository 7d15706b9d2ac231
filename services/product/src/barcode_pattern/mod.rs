//! Patterns of in-store barcodes: which digits are the item, which its weight, price or quantity.
//!
//! A pattern has the twelve digits of an EAN-13 before its check digit: digits that must be there, `.` for a digit of
//! the item, `{NNDDD}` for the value with its whole and decimal digits, and at most one `C` for the value's own check
//! digit (GS1 General Specifications, 7.9.2 to 7.9.4). It begins with a prefix of restricted circulation (02, 04,
//! 20 to 28); 29 is the range of our own codes. The item is the product with the barcode that remains when the value
//! and its check digit are zero. The active pattern with the lowest position that fits counts.
//!
//! A tenant without patterns has `21.....{NNDDD}` for weights and `23.....{NNNDD}` for prices, until it makes the first
//! of its own.

pub mod commands;
mod http;
pub mod model;
pub mod store;

pub use http::routes;
