//! Verification of e-mail addresses: whoever gets the mail has the token.
//!
//! * A token is asked for when somebody registers, joins or gets another address, and again when he asks: after the first, once
//!   a minute, ten times a day. It leaves in an event, for who sends mail; a new one voids those before it.
//! * It marks the address as verified, once, within a day, and does nothing else.

mod commands;
mod http;
mod model;

pub use commands::{request, request_again};
pub use http::routes;
