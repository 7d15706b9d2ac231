//! Product through HTTP on a real database.

#![allow(clippy::unwrap_used)] // In helpers, which the lint does not know to be tests.

mod archiving;
mod catalogue;
mod deadline;
mod exports;
mod graphql;
mod history;
mod house;
mod images;
mod imports;
mod kits;
mod labels;
mod pricing;
mod privacy;
mod products;
mod scanning;
mod search;
mod stock;
mod support;
mod tax_change;
mod units;
mod variants;
mod workbooks;
