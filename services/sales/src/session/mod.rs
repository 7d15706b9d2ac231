//! POS sessions: a till between opening and closing, and the money in its drawer.
//!
//! * One open session a till (partial unique index); a sale or refund is refused unless its session is open.
//! * S8: expected cash = opening float + cash received − change − cash refunds + cash in − cash out. It is a generated
//!   column over running totals that every sale adds to, so closing reads one row however many sales there were,
//!   and no document can block it.
//! * What a till sends of its time away belongs to the session in which it was made. After the close it goes to a
//!   supplement of the Z report, by the day it came; the report itself stays, and S8 holds for both together.
//! * The count is blind: what is expected is shown by reports, to those who may see them, and after the close.
//! * Counted, expected and variance are kept by means of payment; retained + deposited = counted cash. Credit is not
//!   counted: there is nothing in the drawer.

mod commands;
mod http;
mod model;
mod store;

pub(crate) use http::routes;
pub(crate) use model::{Count, Late, Method, Session, Takings};
pub(crate) use store::{Seat, add_late, add_receipt, add_return, add_sale, pay_out, seat};
