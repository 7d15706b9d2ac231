//! Price lists: prices for a branch, a group of customers, a season.
//!
//! * A list is for one branch or all, for one group of customers or everybody, and holds for a period or for ever.
//! * Which list gives a price is never left to chance. The higher priority goes first, then the narrower audience
//!   (customer group and branch, customer group, branch, everybody). Two lists of the same audience and priority would
//!   be ambiguous where their periods overlap: the second is refused, whatever products they hold.
//! * A name is unique in the tenant, ignoring case.
//! * Every change is one version, that of its entries too, and is told and audited. Deleting a list deletes its prices.

pub mod commands;
mod http;
pub mod model;
pub mod store;

pub use http::routes;
