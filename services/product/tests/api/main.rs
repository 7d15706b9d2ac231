//! Product through HTTP on a real database.

#![allow(clippy::unwrap_used)] // In helpers, which the lint does not know to be tests.

mod catalogue;
mod house;
mod imports;
mod labels;
mod products;
mod scanning;
mod stock;
mod support;
mod units;
