//! Roles: named sets of permissions.
//!
//! * A permission is `<service>.<noun>.<verb>`; a grant may end early in a star: `sales.pos.*`, `sales.*`, `*`.
//! * The owner role holds everything, is made with the tenant and never changes.
//! * Nobody makes, changes or deletes a role that holds more than he does.
//! * A role that somebody has is not deleted. A change of its permissions voids the access tokens of all who have it.
//! * Who gives a role and who changes it wait for each other: what is given is what was looked at.

mod commands;
pub mod http;
pub mod model;
pub mod store;

pub use http::routes;
