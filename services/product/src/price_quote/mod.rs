//! Price quotes: what a basket would cost, and why. Nothing is written.
//!
//! * A line names a product by id or SKU, a unit (that of its stock unless it is said) and a quantity; it may name the
//!   MRP printed on the batch that is sold. What is a draft or archived is not for sale.
//! * The rules are the pricing crate's, the same that a till sells by. A product's own price is for its stock unit; in
//!   another unit a price list must have one.
//! * The MRP is that of the batch, else the product's, which is for its stock unit.
//! * Tax is settled as on an invoice of these lines, with every line's discounts taken off first. Where the rate depends
//!   on the price it is that of what is left of a unit. A line whose profile knows no rate for the day has none, and
//!   then neither have the totals.
//! * How often a coupon has been used is known to sales; here its limits are not looked at.

pub mod commands;
mod http;
pub mod model;

pub use http::routes;
