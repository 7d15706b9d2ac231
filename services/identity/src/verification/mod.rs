//! Verification of e-mail addresses: whoever gets the mail has the token.
//!
//! * A token is asked for when somebody registers, joins or gets another address, and again when he asks: after the first, once
//!   a minute, ten times a day. It leaves in an event, for who sends mail; a new one voids those before it.
//! * Whom a provider brings in asks for one himself: nobody is sent mail because a provider says that an address is his.
//! * It marks the address as verified, once, within a day, and does nothing else. Nothing else marks it: the tenant chooses
//!   its provider, and who has verified an address comes first of those who sign in with it.

mod commands;
mod http;
mod model;

pub use commands::{request, request_again};
pub use http::routes;
