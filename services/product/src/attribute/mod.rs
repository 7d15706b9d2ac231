//! Attributes of variants, such as size and colour, and their values in order.
//!
//! * The name of an attribute is unique in the tenant, those of its values are in the attribute, ignoring case.
//! * Each value has a code that stands for it in SKUs: 1 to 20 capital letters and digits, made from the name where none
//!   is given.
//! * An attribute is changed as a whole: values are put in the order in which they are said, those that are not said are
//!   deleted. What a variant has cannot be deleted.

pub mod commands;
mod http;
pub mod model;
pub mod store;

pub use http::routes;
