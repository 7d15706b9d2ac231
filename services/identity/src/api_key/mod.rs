//! API keys: how programs call.
//!
//! * `bahi_<prefix>_<secret>`: the prefix tells keys apart, the secret has 256 bits, is shown once and kept as a hash. A key ends
//!   within a year.
//! * A key is a principal of its own: what it does is told as its doing, and what only a person may it may not. It belongs
//!   to the business.
//! * A key is made, and made anew, by a person, and never holds more than he: not when it is made, and not later, as what he
//!   has lost it has lost too. Who has seen the secret of a key is its maker. When he is disabled, his keys are revoked; so
//!   somebody makes a key anew before a colleague leaves.
//! * The gateway asks what a key may do, and believes the answer for a minute at most; what changes earlier is in the
//!   revocation feed.

mod commands;
mod http;
mod model;
pub mod store;

pub use commands::{revoke_made_by, verify};
pub use http::routes;
pub use model::Presented;
