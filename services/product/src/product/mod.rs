//! Products.
//!
//! * draft → active → (discontinued) → archived → active. A product is made as a draft or active.
//! * The SKU is unique in the tenant, ignoring case. A barcode stands for one product among those not archived.
//! * The price including tax, at the rate of the day, does not exceed the MRP where there is one.
//! * Goods carry an HSN code, services a SAC; only goods are tracked; tracking by expiry needs tracking by batch.
//! * It has units besides the stock unit, which keep their factors once stock has moved (see `product_unit`).
//! * Once stock has moved, kind, unit and tracking are frozen, and the product cannot be deleted, only archived.
//! * A product is archived only when inventory says that there is none of it; inventory is asked before the transaction.
//!   Goods that come in while it is being archived, or after, open it again: it is sold off (discontinued).
//! * Every change is one version and one snapshot event; changes of price and deletions are audited.

pub mod commands;
pub mod graphql;
mod http;
pub mod model;
pub mod store;

pub use http::{ProductBody, paged, routes, values};
