//! Held bills: baskets put aside at a till, to be taken up again there or at another till of the branch.
//!
//! * `held → resumed | expired | discarded`; whoever resumes it first has it (row lock), everybody else is told.
//! * A held bill holds no stock and fixes no price: it is sold like any other basket when it is resumed.
//! * It expires by its own time, whether or not the sweep has come by yet.

mod commands;
mod http;
mod model;
mod store;

pub(crate) use http::routes;
pub(crate) use store::expire;
