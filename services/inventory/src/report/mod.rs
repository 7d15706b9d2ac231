//! Reports on stock: what does not sell, how old it is, and what is worth watching.
//!
//! * Dead stock: goods that have lain since before a day, at a place that nothing has left since. A daily look says it
//!   once, when goods have lain for ninety days, and again only after something of them has left.
//! * Ageing: what lies there by the age of its cost layers. The buckets add up to the valuation of now.
//! * ABC by the value issued in a period: A the first 80 % of it, B the next 15 %, C the rest; a product is where its
//!   share begins. XYZ by the coefficient of variation of its demand over the whole periods in between: X to 0.5, Y to
//!   1, Z above.
//! * Time is when movements were posted, as in ledger and valuation.

mod commands;
mod http;
mod model;
mod store;

pub(crate) use commands::find_dead;
pub use http::routes;
