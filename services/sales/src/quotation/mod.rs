//! Quotations: prices promised until a day.
//!
//! * `draft → sent → accepted | declined`; a revision makes it a draft again, whichever it was of the two. Neither holds
//!   stock or claims credit.
//! * It expires with its last day, by the date in India: nothing has to happen for that.
//! * Accepting one makes an order of its lines at its prices, once: accepted again it gives the same order.

mod commands;
mod http;
mod model;
mod store;

pub(crate) use http::routes;
