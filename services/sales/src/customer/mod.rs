//! Customers: copies of CRM's, and the account of each.
//!
//! * A change of the copy is applied only for a greater (epoch, version); a deleted customer keeps its row.
//! * An account has three running sums: dues (posted, unpaid), orders (confirmed, not invoiced), advances (received, not
//!   allocated). Exposure is dues + orders - advances.
//! * S6: what raises the exposure is granted only up to the credit limit, decided under the lock of the account's row, in
//!   the transaction of the document itself. Beyond it takes `sales.credit.override` and a reason, and is audited. No
//!   limit means no credit, but advances may be used up; so does a credit hold.
//! * Each change of dues and advances is an entry with its date, never changed: sums of any past day are exact.
//! * Locks: account, then its orders, then its invoices (each in the order of their keys), session, counter of numbers.
//! * A sale on credit to a buyer without `customer_id` owes too, but has no account and no limit.

mod commands;
pub(crate) mod graphql;
mod http;
mod model;
mod store;

#[allow(unused_imports, reason = "for sales orders")]
pub(crate) use commands::release_order;
pub(crate) use commands::{Claim, book, claim};
pub(crate) use http::{CustomerBody, routes};
pub(crate) use model::{Customer, Entry, EntryKind, Exceeded};
pub(crate) use store::{customers, deleted, find, lock, lock_of, record};
