//! Reports on stock: what does not sell, how old it is, and what is worth watching.
//!
//! * Dead stock: goods that have lain since before a day, at a place that nothing has left since.
//! * Ageing: what lies there by the age of its cost layers. The buckets add up to the valuation of now.
//! * ABC by the value issued in a period: A the first 80 % of it, B the next 15 %, C the rest; a product is where its
//!   share begins. XYZ by the coefficient of variation of its demand over the whole periods in between: X to 0.5, Y to
//!   1, Z above.
//! * Time is when movements were posted, as in ledger and valuation.

mod http;
mod model;
mod store;

pub use http::routes;
