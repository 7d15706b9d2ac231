//! Product through HTTP on a real database.

#![allow(clippy::unwrap_used)] // In helpers, which the lint does not know to be tests.

mod archiving;
mod catalogue;
mod history;
mod house;
mod imports;
mod kits;
mod products;
mod search;
mod stock;
mod support;
mod variants;
