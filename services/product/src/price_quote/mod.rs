//! Price quotes: what a basket would cost, and why. Nothing is written.
//!
//! * A line names a product by id or SKU, a unit (that of its stock unless it is said) and a quantity; it may name the
//!   MRP printed on the batch that is sold. What is a draft or archived is not for sale.
//! * The rules are the pricing crate's, the same that a till sells by. In a unit of the product it costs what the product
//!   says for that unit, else the stock unit's price times the factor; a list's price for the stock unit, and the quantity
//!   from which it holds, are converted likewise where the list has none in the unit itself. In a unit that is not the
//!   product's a price list must have a price.
//! * The MRP is that of the batch, else the product's, times the factor, rounded down.
//! * Tax is settled as on an invoice of these lines, with every line's discounts taken off first. Where the rate depends
//!   on the price it is that of what is left of a unit. A line whose profile knows no rate for the day has none, and
//!   then neither have the totals.
//! * How often a coupon has been used is known to sales; here its limits are not looked at.

pub mod commands;
mod http;
pub mod model;

pub use http::routes;
