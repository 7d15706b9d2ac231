//! Erasures: what the services hold of a person is taken away, and what the law keeps is named.
//!
//! * A person is a customer or a user, by id. A user who is active is disabled first. Who was erased stays so: asking again
//!   answers with the first erasure, and no user comes back: what was handed out to him is void, and he is neither enabled nor
//!   invited again.
//! * Every service that hears the privacy topic, as the register says, is asked by an event that names nobody, and answers by
//!   one. No service gives up; one that has not answered after a day makes the erasure overdue.
//! * Archives of the tenant that lie in the store hold the person still: they expire at once.

mod commands;
mod http;
mod model;
mod store;

pub use commands::{answered, of_user};
pub use http::routes;
