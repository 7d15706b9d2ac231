//! Signing in with an identity provider: OpenID Connect, the code flow with PKCE.
//!
//! * `:begin` notes a sign-in of ten minutes and names the address to go to. It gives a key to the browser that begins;
//!   `:complete` takes it together with what the provider has sent back: nobody ends a sign-in that another browser began.
//! * State, PKCE verifier and nonce follow from the row of the sign-in, which keeps a hash of the state. It is used up
//!   before the code is exchanged, so neither state nor code is taken twice.
//! * An ID token is believed when its signature (RS256 or ES256, never another) is by a key of that provider, and issuer,
//!   audience, authorised party, times and nonce are right. Why one is not is in the log, and in no answer.
//! * Somebody is who he is by issuer and subject. An address of mail links him once: where the company says so, for a
//!   domain it has named, and if the provider says that it is verified. Otherwise he links himself, signed in, with his password.
//! * A second factor is asked for as after a password, unless the company trusts that of the provider.
//! * What a provider says of itself is kept for an hour. An unknown key has it asked again, once for all who wait, and not
//!   more often than every half a minute.

mod commands;
mod discovery;
mod http;
mod model;
mod store;

pub use commands::forget;
pub use discovery::Providers;
pub use http::routes;
pub use store::has_link;
