//! Documents on paper, as pure functions: from the plain description of an invoice, credit note or receipt to bytes.
//!
//! | Module | Question |
//! |---|---|
//! | [`document`] | What is there to print? |
//! | [`receipt`] | How does it look on a roll of 58 or 80 mm, as ESC/POS, HTML and PDF? |
//! | [`invoice`] | How does it look on A4, with all that rule 46 of the CGST Rules asks for? |
//! | [`font`] | Which glyphs show a text, in which places? |
//! | [`words`] | What is an amount called? |
//!
//! Nothing here reads a clock or a database, and the fonts are read once. The same description gives the same bytes, so
//! that a stored print can be named by its hash. Lengths are whole thousandths of a point; the floating numbers that PDF
//! and outlines of glyphs are made of stand in two modules alone.
//!
//! Indian scripts are shaped: conjuncts, reordered vowels and marks come as the fonts' own tables say, and what is shown is
//! also what a reader of the PDF copies. Right-to-left scripts are not known here: their text is set, but from left to right.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod document;
pub mod font;
pub mod invoice;
pub mod receipt;
pub mod words;

mod pdf;
mod qr;
mod raster;

#[cfg(test)]
mod tests;

pub use document::{Copy, Document, Kind, Line, Mark, Party, Payment};
pub use font::{FontError, Fonts};
pub use qr::svg as qr_svg;
