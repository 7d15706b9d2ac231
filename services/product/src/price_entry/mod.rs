//! The prices of a price list.
//!
//! * A price is for a product in a unit from a quantity on, for a period or for ever; the unit is any the shop has, and
//!   that of the product's stock unless it is said.
//! * For one list, product, unit and quantity no day has two prices: what overlaps is refused, and named.
//! * A price in the stock unit, tax included, is at most the product's MRP when it is entered; a basket is held to the
//!   MRP whatever a list says.
//! * At most [`model::MOST_AT_ONCE`] prices are added at once, all or none, and a list has at most
//!   [`model::MOST_OF_PRODUCT`] of a product.
//! * A change is one version of the list, told with all prices of the products it touches (`price_list.prices_changed`).

pub mod commands;
mod http;
pub mod model;
pub mod store;

pub use http::routes;
