//! Users: the people of a tenant.
//!
//! * A user is invited, then active once he has set a password or come by an identity provider, and may be disabled and enabled again. He is never
//!   deleted: documents and the audit trail name him. Once his erasure was asked for he stays out, and nothing of him changes.
//! * Nobody gives, takes or acts upon a permission that he does not hold himself: not through roles, and not by
//!   disabling a mightier user or resetting his password. His own password, as his second factor, nobody resets, and no key
//!   anybody's: whoever has his token for a moment would have his account.
//! * His roles are good at all branches, or at those he works for. Nobody gives or takes a branch that is not his own, nor
//!   acts upon somebody who works for another one.
//! * A tenant keeps at least one active owner. Whoever takes an owner away holds the owner role's row.
//! * His e-mail address is verified by a token that was mailed to it, and by nothing else: what a provider of the tenant says
//!   of it is the tenant's own word. Another address is not verified, and voids what was handed out for the one before; only
//!   somebody else who holds all that he holds may change it, and no key, because a provider may link by it.
//! * A change of roles, branches or status makes every access token void that was issued before it.

mod commands;
pub mod graphql;
pub mod http;
mod model;
pub mod store;

pub use commands::{
    above, brought_in, given, joined, joined_by_provider, reaches, verified, void_tokens,
};
pub use http::routes;
pub use model::{Credentials, Member, Status, User};
