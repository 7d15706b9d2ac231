//! Minimum shelf life: how many days a batch must still keep for a customer or a group of customers.
//!
//! * A rule is for one customer or for one group, and for one product or for all; there is one of each.
//! * Who buys is said by the caller; of all rules that fit, and what the request itself asks for, the longest counts.
//! * The rules bind a promise. A sale that happened is issued from what may be sold at all.

mod commands;
mod http;
mod store;

pub use http::routes;
pub(crate) use store::ruled;
