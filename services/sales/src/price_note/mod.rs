//! Notes on prices: a credit note lowers what lines of an invoice have cost, a debit note raises it. No goods move.
//!
//! * By line of the original invoice, at its rate and with its levy; a credit note is a share of what is left of the line,
//!   so that S3 holds together with returns: what notes and returns give back is, when all is back, exactly the line.
//! * A credit note is settled like a return: off what is owed, and refunded what was paid, neither beyond the other's part.
//! * A debit note is owed whole, within the customer's credit (S6).
//! * The original invoice is locked and its version raised; the event is the invoice's. Both kinds have series of their own.
//! * Needs `sales.note.write`.

mod commands;
mod http;
mod model;
mod store;

pub(crate) use http::routes;
pub(crate) use model::{Kind, Note};
