//! Tenants: a business registers itself and its owner.
//!
//! * The short name (slug) is unique in the whole product: it is what people type when they sign in.
//! * Registration makes the tenant, its owner, the default roles, the company's row, and a session; nothing else.
//! * A suspended tenant keeps everything, but nobody comes in and no token is prolonged; the gateway lets none of its tokens
//!   and keys pass. Reactivated, it goes on where it was. Operators do that by command, and services that a setting names.
//! * With an idempotency key the ids follow from key and e-mail, so that a repetition meets its first.

mod commands;
mod http;
mod model;
pub mod store;

pub use commands::{reactivate, suspend};
pub use http::routes;
pub use model::Tenant;
