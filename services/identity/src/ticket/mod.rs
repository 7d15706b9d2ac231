//! Tickets: one-time tokens that somebody hands over by hand, because there is no mail to send them with.
//!
//! * An invitation (seven days) makes an invited user active; a password reset (one day) sets a new password.
//! * A new ticket of a kind voids the user's older ones; a used or expired one is refused like an unknown one.
//! * A reset ends the user's sessions and voids his access tokens.

mod commands;
mod http;
mod model;
mod store;

pub use commands::{issue, void};
pub use http::routes;
pub use model::{Kind, Ticket};
