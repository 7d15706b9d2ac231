//! Variants: products of their own that share a template.
//!
//! * A template is goods or a service, still a draft, and no variant itself. While it has variants, and ever after, it
//!   stays a draft: its variants are sold and stocked, not itself. Inventory is told, and takes no stock of it.
//! * Variants are made from the matrix of the values of some attributes; all variants of a template have the same
//!   attributes, and no two the same values. What is there already is left alone, so the call can be repeated; the
//!   template is locked, so two calls at once make nothing twice.
//! * SKUs follow a pattern in which `{sku}` is the template's, and the name of an attribute in braces is the code of
//!   its value. A SKU that another product has refuses the whole call; a dry run shows it.
//! * A variant inherits what it does not say itself: name (behind which its values stand), kind, category, brand, unit,
//!   tax profile, tracking, price, MRP. What is changed of a variant is its own from then on, until it is told to
//!   inherit it again. A change of the template changes, in the same transaction, every variant that inherits; where one
//!   cannot follow, nothing changes.

pub mod commands;
mod http;
pub mod model;
pub mod store;

pub use http::routes;
