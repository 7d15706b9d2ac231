//! Tenants: a business registers itself and its owner.
//!
//! * The short name (slug) is unique in the whole product: it is what people type when they sign in.
//! * Registration makes the tenant, its owner, the default roles, the company's row, and a session; nothing else.
//! * With an idempotency key the ids follow from key and e-mail, so that a repetition meets its first.

mod commands;
mod http;
mod model;
pub mod store;

pub use http::routes;
pub use model::Tenant;
