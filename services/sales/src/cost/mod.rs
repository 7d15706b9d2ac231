//! Copies of what goods cost us, by product and location, so that a till notices a price below it.
//!
//! * Told by what comes in: receipts, arrivals of transfers, goods that were found, and changes of value. What goes out
//!   tells nothing new and would be one write a sale, so it is not heard.
//! * Applied only when the event is newer, by (epoch, time of its row), than what is known; a replay resets nothing.
//! * A cost is not known for goods that never came in here, and then nothing is below it. It is never told to a till.

mod store;

pub(crate) use store::{adjusted, received, revalued, transferred};
