//! Categories: a tree.
//!
//! A category cannot lie below itself, and the tree has at most eight levels. A name is unique among the children of
//! one parent, ignoring case. A category with children or products cannot be deleted. A list of products filtered by
//! a category shows what lies anywhere below it.

pub mod commands;
pub mod graphql;
mod http;
pub mod model;
pub mod store;

pub use http::{CategoryBody, routes};
