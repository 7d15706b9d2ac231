//! The catalogue as a file.
//!
//! * The columns are those of an import, so that a file that is exported and imported again changes nothing: categories
//!   as paths from the top, units by code, brands and tax profiles by name.
//! * No cell runs in a spreadsheet: what begins like a formula is guarded by an apostrophe, which an import takes off.
//! * In XLSX prices are numbers, where a number of a spreadsheet can hold them exactly; SKUs, barcodes and HSN are texts.
//! * Rows are read in pages, the oldest product first, and are gone from memory when they are written. A product that
//!   changes meanwhile is as it was when its page was read.

mod commands;
mod http;
mod model;
mod store;

pub use http::routes;
