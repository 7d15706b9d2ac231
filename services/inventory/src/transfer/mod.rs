//! Transfers: goods on their way from one location to another.
//!
//! * `draft -> approved -> shipped -> partially_received -> received | closed_short`; a draft or approved one can be
//!   cancelled. What was shipped cannot be called back: it needs a transfer of its own.
//! * Shipping takes what nobody was promised, first expired first out where no batch is named. Sellable goods of a
//!   blocked or expired batch stay where they are; set apart, in quarantine or damaged, they may be sent, so that they
//!   can be gathered and given back or destroyed.
//! * What was shipped is in transit at its destination and keeps the cost layers it left with, apart from those of
//!   every other line. So shipped = received + short + in transit, to the paisa, at any time.
//! * No more arrives than is on its way. Goods arrive in the state in which they were sent; a batch that was blocked or
//!   expired meanwhile arrives in quarantine. What does not arrive is closed short, with a reason, and is a loss.
//!   A location that was closed after they had left still receives them.
//! * Who works for some branches only approves and ships from there, and receives and closes there. To write and to call
//!   off a transfer, one end is enough.
//! * Between two registrations a transfer is a supply: its events carry both GSTINs, as they were when it was shipped.

mod commands;
pub(crate) mod graphql;
mod http;
mod model;
mod store;

pub use http::routes;
pub use model::{Moved, Transfer};
