//! Dues: who owes what since when, as of any day.
//!
//! * Summed from the entries of accounts by their dates, so what is said of a past day stays: a receipt, return, note,
//!   cancellation or reversal counts from its own date.
//! * An invoice ages by its due date: its date and the customer's days of credit at the time. It is overdue from the day
//!   after; that is worked out, never stored.
//! * Buyers without an account are told apart by phone and name, as the documents have them.

mod http;
mod model;
mod store;

pub(crate) use http::{field, routes};
