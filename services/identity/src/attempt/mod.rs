//! Failed sign-ins, counted by e-mail, by network address and by the network around it (/24, or /48 of IPv6).
//!
//! * An attempt is counted before the password is checked, so that parallel guesses count like serial ones; a right
//!   password takes it back, and those before it too where the e-mail was shown to be its user's. Anybody may register with
//!   any address: whoever comes in with one that he has not shown to be his is forgiven nothing that was guessed at others.
//! * What is forgiven follows from who comes in alone, and says nothing of who else has his address.
//! * After a few free failures each next attempt must wait, twice as long each time, up to a bound. Nobody is ever
//!   locked out: whoever waits may try.
//! * The attempts of one network are looked at one after the other, those of different networks side by side.
//! * Those of a second factor wait up to an hour and are forgotten after a day, as only who knows the password gets there.
//! * The others are forgotten half an hour after the last attempt. They hold keyed hashes, no addresses.

mod commands;
mod lane;
mod model;
mod store;

pub use commands::{forgive, take};
pub use lane::Lanes;
pub use model::{ACCOUNT, Counted, SECOND};
