//! Sessions: signing in, staying in, signing out.
//!
//! * An access token lives 15 minutes; the permissions in it are the union of the user's roles.
//! * A session is a family of refresh tokens of at most seven days, whatever its use. Each refresh replaces the
//!   token. The one before gives the same successor for 20 seconds more (a lost answer, several tabs); after that
//!   its use means that somebody has a copy, and the whole family dies.
//! * A user has a hundred open sessions at most: signing in once more ends the oldest.
//! * A right password is not a session where the user has a second factor or the company asks for one: it is a ticket for
//!   that. A session that was opened without is not prolonged once the company asks.
//! * A right password in several tenants leaves the choice to the client; a wrong one says nothing at all.
//! * Locks: the user's row, then the session's. A token is minted under the user's lock, so it never outlives a
//!   change of his permissions: it is either made after the change or void by its issue time.

mod commands;
mod http;
mod model;
mod store;

pub use commands::{enter, open, prove, revoke_all, session_of};
pub use http::{Challenge, Device, Tokens, answer, name_of_device, routes};
pub use model::{Entry, PASSWORD, SignedIn, TWO_FACTORS, Why, and_a_code};
pub use store::set_amr;
