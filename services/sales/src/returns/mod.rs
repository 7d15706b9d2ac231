//! Returns: goods that come back, each with its credit note.
//!
//! * With bill: by line of the original invoice, at its price, rate and tax. S3: no more comes back than was sold, and
//!   amounts are prorated cumulatively, so that all parts of a line add up to the line, to the paisa. The round-off is
//!   the difference to what is due in all: when everything is back, exactly the invoice's total was refunded.
//! * The original invoice is locked and its version raised; the event is the invoice's, with the invoice's key, so it
//!   cannot overtake the issue.
//! * What was sold on credit is credited, what was paid is refunded: neither beyond the other's part.
//! * Promotions are in those amounts: what comes back is what was paid. No promotion is worked out again for what stays,
//!   and a coupon that was used stays used.
//! * Without bill: needs `sales.return.unbilled`, is audited, is priced like a sale of today with its price lists and
//!   promotions but without coupons, has its own series and is an aggregate of its own.
//! * Each line says what becomes of the goods: `restock`, `quarantine` or `scrap`.

mod commands;
pub(crate) mod graphql;
mod http;
mod model;
mod store;

pub(crate) use commands::{Common, Frozen, take_back, take_back_frozen, take_back_in, worth};
pub(crate) use http::{ReturnBody, routes};
pub(crate) use model::{Back, CreditNote, Disposition, NoteLine, refundable};
pub(crate) use store::get;
