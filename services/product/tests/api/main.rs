//! Product through HTTP on a real database.

#![allow(clippy::unwrap_used)] // In helpers, which the lint does not know to be tests.

mod catalogue;
mod exports;
mod house;
mod images;
mod imports;
mod products;
mod stock;
mod support;
mod workbooks;
