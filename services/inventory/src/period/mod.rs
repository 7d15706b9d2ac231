//! Periods: the months of the books, and up to which of them is closed.
//!
//! * A month is closed by hand, an hour or more after it ended, and every earlier one with it; opening a month opens
//!   every later one. So the books have one line between closed and open, and the current month is always open.
//! * A document that a person posts into a closed month is refused; a fact that cannot be refused (a sale, a return)
//!   lands in the first open day and keeps its own time.
//! * Whoever posts to an earlier month than the current one shares the calendar until his transaction ends; who closes,
//!   opens or takes a snapshot has it alone. So nothing slips into a month while it is being closed.

mod commands;
mod http;
mod model;
pub(crate) mod store;

pub(crate) use commands::{moment, open};
pub use http::routes;
pub use model::{GRACE, Open, dekad_end, dekad_of};
