//! What happened to products: who changed what, and when.
//!
//! Every version of a product leaves one entry, written in the transaction of the change itself, with the old and the
//! new value of each field that differs. Entries are never changed, and outlive their product.

mod http;
pub mod model;
pub mod store;

pub use http::routes;
