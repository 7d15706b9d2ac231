//! Changes of status: goods of a location are found to be in another state.
//!
//! * `sellable`, `quarantine` and `damaged` goods become one of these, or `scrap`: what is scrapped leaves stock at once.
//! * That goods are damaged or thrown away is a fact: promises on them break, as for a loss. To set goods apart is a
//!   decision: it takes what nobody was promised.
//! * Nobody can put a blocked or expired batch on the shelf.
//! * Goods keep their batch and cost; every change is audited with its reason.

mod commands;
pub(crate) mod graphql;
mod http;

pub use http::routes;
