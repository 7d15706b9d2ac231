//! Cancelled invoices: sales that are undone as if they had not been, which the law allows for a short time.
//!
//! * Within the business day, or within 24 hours, by configuration; not once something came back or a note was issued.
//!   Later, goods are taken back.
//! * The number stays the invoice's own, which keeps its lines and amounts.
//! * What the buyer has paid, at the sale or by receipts, is refunded in the same call; the rest is owed no more.
//! * A sale of a till is cancelled while its session is open, out of its drawer, and counted there: it stays among the
//!   session's sales.
//! * The event is the invoice's, with the invoice's key and next version, so it cannot overtake the issue; inventory takes
//!   the goods back by it.
//! * Uses of coupons are given back: who mistyped a bill may use the coupon again. The rows of the uses stay as history.
//! * What a till had issued online and then printed otherwise while it was away is cancelled by itself ([`replace`]), with a
//!   supplement to the Z report where the session is closed by then.
//! * Needs `sales.invoice.cancel`, and is audited.

mod commands;
pub(crate) mod graphql;
mod http;
mod model;
mod store;

pub(crate) use commands::replace;
pub(crate) use http::routes;
pub(crate) use model::{Cancellation, Window};
