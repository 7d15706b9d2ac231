//! Promotions: what is taken off a basket, when, and for whom.
//!
//! * A promotion is a draft, then active, then ended; it applies only while it is active and its period holds.
//! * A draft changes freely and can be deleted. Once active, customers have seen it: its name and its end may change,
//!   nothing else. What is ended stays as it is.
//! * At most [`model::MOST_ACTIVE`] are active at once: each is weighed for every basket.
//! * How they are weighed against each other is the pricing crate's; priority goes first, then what saves more.
//! * Every change is one version, told with the whole promotion and audited.

pub mod commands;
mod http;
pub mod model;
pub mod store;

pub use http::routes;
