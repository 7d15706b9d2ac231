//! Identity through HTTP on a real database.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api_keys;
mod approvals;
mod audit;
mod branches;
mod emails;
mod erasures;
mod graphql;
mod house;
mod mfa;
mod oauth;
mod oidc;
mod organisation;
mod passwords;
mod providers;
mod roles;
mod sign_in;
mod support;
mod tenant_exports;
mod tenants;
mod users;
