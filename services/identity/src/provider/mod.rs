//! Identity providers: third parties (OpenID Connect) that say who somebody is, each of one tenant.
//!
//! * A provider speaks for everybody who is linked to it, and for more where it links by e-mail. So only who holds every
//!   permission makes, changes or deletes one, and its issuer stays: another issuer is another provider.
//! * Its client secret is kept sealed and never shown.
//! * It links people by e-mail, or brings unknown ones in, only for domains that the company has named.
//! * A closed one lets nobody in; with a deleted one the links go too. Sessions go on until they end.

mod commands;
mod http;
mod model;
pub mod store;

pub use http::routes;
pub use model::{Provider, owner};
