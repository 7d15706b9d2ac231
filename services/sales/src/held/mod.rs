//! Held bills: baskets put aside at a till, to be taken up again there or at another till of the branch.
//!
//! * `held → resumed → sold`; a till that resumes one has it, and everybody else is told who (409 `BILL_TAKEN`). It gives
//!   it back (`:release`), or loses it after a quarter of an hour to whoever asks, or at once to somebody who may take it
//!   over (`sales.held_bill.take_over`, audited). The sale that names it ends it, in the sale's own transaction.
//! * Or else `expired | discarded`. Its time ends it, also for a till that has let it lie.
//! * A held bill holds no stock and fixes no price: it is sold like any other basket when it is resumed, and whoever
//!   resumes it is told what it comes to by then, and what of it is there.
//! * What is done with one is said (`pos.bill_held`, `_resumed`, `_discarded`, `_expired`), so that other tills see it.
//! * It expires by its own time, whether or not the sweep has come by yet, which tells of it.

mod commands;
mod http;
mod model;
mod store;

pub(crate) use commands::{expire, sell};
pub(crate) use http::routes;
pub(crate) use model::{HeldBill, HeldBillId};
