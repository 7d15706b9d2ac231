//! Second factors: the code of an authenticator app (TOTP, RFC 6238), and recovery codes.
//!
//! * The secret of the app is shown once, when its owner begins to enrol with his password, and kept sealed. It counts from
//!   the first right code on; from then on his password alone opens no session, and those it opened are ended.
//! * A code is taken within one step of 30 seconds to either side, and no step twice, nor an earlier one after it.
//! * Ten recovery codes are shown when the first code was right, or made anew with password and code. Each stands for one
//!   code of the app, once. Only their hashes are kept; they have 80 bits, so the hash needs no key.
//! * A guess is counted before it is looked at, and a right password does not reset the count.
//! * Who lost everything is helped by somebody who holds all of his permissions: never by himself.

mod commands;
mod http;
mod model;
pub mod store;

pub use http::routes;
