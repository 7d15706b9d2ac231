//! Invoices: what was sold, to whom, at which price and tax, and how it was paid.
//!
//! * Priced from sales' own copies, by the rules of [`crate::pricing`]. Another price needs `sales.price.override` and a
//!   reason, is audited (one record an invoice) and, with tax, never exceeds the maximum retail price. A discount that is
//!   no promotion's needs `sales.discount.give`.
//! * Tax is computed once, by the rate of the posting date in India, and frozen on the line (S5: a trigger refuses
//!   every change of a fiscal field).
//! * S1, S2, S3 and S7 are CHECKs: the lines' taxes and the round-off make the total; tenders less change make the
//!   total; change comes from cash alone; no more comes back than was sold and paid. S4 is two unique indexes.
//! * A sale is idempotent by its invoice id for ever: the client's UUIDv7, else UUIDv5 of (tenant, principal, route,
//!   Idempotency-Key). The decision row that `issued` it holds the hash of the whole request and stands in for the
//!   generic row of idempotency keys, which a sale does not use: a second row would say the same thing for seven days.
//! * Every path through the protocol is in [`commands`]; what a decision means is in [`crate::reservation`].

mod commands;
mod http;
mod model;
mod store;

pub(crate) use commands::{known, named, today};
pub(crate) use http::{TenderBody, routes};
pub(crate) use model::{
    Basket, Header, Invoice, Line, MOST_LINES, NewLine, NewTender, Terms, batches_of, levy_of,
    line_pricing_of, price, pricing_of, serial_numbers, serials_of, short_text,
};
pub(crate) use store::{ReturnedLine, credit_back, get, lock, return_lines};
