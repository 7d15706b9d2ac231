//! Tickets: one-time tokens. Invitations and resets are handed over by hand, because there is no mail to send them with.
//!
//! * An invitation (seven days) makes an invited user active; a password reset (one day) sets a new password.
//! * A new one of these voids the user's older tickets; a used or expired one is refused like an unknown one.
//! * Who gave his password and still has to give, or enrol, his second factor holds a ticket of five or fifteen minutes.
//!   It voids no other, is used up by the right code alone, and is void once the password changes.
//! * A token that is mailed to verify an address (one day) voids those before it and nothing else.
//! * A reset ends the user's sessions and voids his access tokens.

mod commands;
mod http;
mod model;
pub mod store;

pub use commands::{add, add_after, find, holder, issue, take_in, void};
pub use http::routes;
pub use model::{Kind, Ticket};
