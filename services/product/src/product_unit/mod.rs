//! The units of a product besides its stock unit.
//!
//! One of a unit is `numerator / denominator` stock units, both whole numbers from 1 to 1,000,000,000, kept in lowest
//! terms; the stock unit itself has the factor 1 and is not listed. Conversions are exact: a quantity is a fraction
//! until somebody asks for decimals, so that there and back again is the same quantity. A unit may have a price of its
//! own, which the MRP bounds as it bounds the product's, and barcodes of its own. Once stock has moved, a unit keeps its
//! factor and stays: documents speak of it. Others can still be added, and prices and barcodes change.

mod http;
pub mod model;

pub use http::routes;
