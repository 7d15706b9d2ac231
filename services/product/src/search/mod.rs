//! Search.
//!
//! * A product is found by words of its name and SKU, by its barcodes and HSN, and by words of its brand and of its
//!   category or one above; each word by its beginning, from two characters on. All words of a query must be found.
//! * Where nothing is found, words with which nothing begins are taken for misspelt: the nearest words that there are
//!   take their place, one wrong, missing, added or swapped letter being a step, two steps at most (one in words of
//!   three letters, three in those of nine and more).
//! * A search looks at the first 3,000 products that match; `capped` says that there are more.
//! * Facets count what was found, filters included: per state, category, brand, band of price and value of attributes.
//! * What a product is found by is written with the product, in its transaction; see the migration `search` for why
//!   one table is read past its policy.

mod http;
pub mod model;
pub mod store;

pub use http::{routes, text};
pub use store::best;
