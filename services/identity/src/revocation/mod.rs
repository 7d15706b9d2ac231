//! Revocations: what the gateway must no longer let pass, although the signature is right.
//!
//! * A session that ended, all access tokens of a user issued before a second, or what was believed of an API key before one.
//! * Tenants that are suspended now, however long they are.
//! * The feed is always the whole of the last 16 minutes, one more than an access token lives, so a reader that
//!   missed some needs only the next. The gateway asks every second.

mod http;
mod store;

pub use http::{gateway, routes};
pub use store::{principals, sessions};
