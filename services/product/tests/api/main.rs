//! Product through HTTP on a real database.

#![allow(clippy::unwrap_used)] // In helpers, which the lint does not know to be tests.

mod catalogue;
mod exports;
mod house;
mod images;
mod imports;
mod labels;
mod pricing;
mod products;
mod scanning;
mod stock;
mod support;
mod tax_change;
mod units;
mod workbooks;
