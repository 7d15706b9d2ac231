//! Search.
//!
//! * A product is found by words of its name and SKU, by its barcodes and HSN, and by words of its brand and of its
//!   category or one above; each word by its beginning, from two characters on. All words of a query must be found.
//! * Where nothing is found, words with which nothing begins are taken for misspelt: the nearest words that there are
//!   take their place, one wrong, missing, added or swapped letter being a step, two steps at most (one in words of
//!   three letters, three in those of nine and more).
//! * Where more than 3,000 products match, `capped` says so: as far as these they are counted and ranked by relevance, and
//!   what has the text as its SKU or name is always among them, and then what begins with it. By name, SKU and price a page is
//!   of all that match.
//! * A list of products with a text has its 1,000 best; in an order that was asked for, and in an export, all.
//! * Facets count what was found, filters included: per state, category, brand, band of price and value of attributes.
//! * What a product is found by is written with the product, in its transaction; see the migration `search` for why
//!   one table is read past its policy.

mod http;
pub mod model;
pub mod store;

pub use bahi_http::search::text;
pub use http::routes;
pub use store::{all, best};
