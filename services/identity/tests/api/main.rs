//! Identity through HTTP on a real database.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod approvals;
mod audit;
mod graphql;
mod house;
mod organisation;
mod roles;
mod sign_in;
mod support;
mod users;
