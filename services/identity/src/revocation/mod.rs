//! Revocations: what the gateway must no longer let pass, although the signature is right.
//!
//! * A session that ended, or all access tokens of a user issued before a second.
//! * The feed is always the whole of the last 16 minutes, one more than an access token lives, so a reader that
//!   missed some needs only the next. The gateway asks every second.

mod http;
mod store;

pub use http::routes;
pub use store::{sessions, users};
