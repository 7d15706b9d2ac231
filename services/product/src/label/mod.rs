//! Labels of products, many on a sheet as PDF or one after the other as ZPL.
//!
//! Lengths are in millimetres with two decimals. A sheet has columns and rows of labels of one size, which follows from
//! the paper, the margins and the gaps. A label shows, in this order, what its template names: name, SKU, price, MRP,
//! and the first barcode of the product or of the unit asked for. Bars are at least 0.19 mm wide, and their quiet zones
//! lie within the label: what does not fit is refused, not squeezed. The fonts of a PDF are those every reader has, with
//! the letters of Western Europe; a name that they cannot set is replaced by the SKU. A printer that takes ZPL has its
//! own fonts and gets names as they are, with everything that could be a command escaped.

mod http;
pub mod model;
mod pdf;
pub mod store;
mod zpl;

pub use http::routes;
