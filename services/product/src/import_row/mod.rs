//! Rows of an imported file, CSV or XLSX: how they are read, and what they mean.
//!
//! * A row is one product, found by its SKU: made when it is new, changed where a cell says something else. Empty cells
//!   and missing columns leave things as they are. A new product is active unless the row says otherwise.
//! * Brands and categories that are named and missing are made. A category is a name or a path from the top.
//! * A row with an error is told all of them, with line, column, value and reason; its neighbours are not touched.

mod decoder;
pub mod model;
pub mod sheet;
pub mod workbook;
