//! Statutory document numbers (S4).
//!
//! * A number is `<prefix>/<fiscal year>/<running>`, at most 16 characters, from a counter of (registration, prefix,
//!   fiscal year). The counter is a row raised in the transaction that posts the document, late in it: a document that
//!   is rolled back leaves no gap, and the row is locked shortly.
//! * Each till brings a prefix of its own for its invoices. Documents of no till take the prefix asked for among those
//!   opened for the registration, else the one opened last, else a built-in one.
//! * A prefix serves one purpose in a year, so invoices and credit notes of a registration never share a number.

mod http;
mod store;

pub(crate) use http::routes;
pub(crate) use store::{Purpose, prefix};

use bahi_types::FiscalYear;

/// The built-in prefix of invoices.
const INVOICES: &str = "INV";
/// The built-in prefix of credit notes to an invoice.
const CREDIT_NOTES: &str = "CRN";
/// The prefix of returns without bill: a series of their own.
pub(crate) const UNBILLED: &str = "RTN";

/// The counter of a document.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    /// Upper case.
    pub prefix: String,
    /// Of the document's date.
    pub year: FiscalYear,
}

impl Counter {
    /// A counter of `prefix`.
    pub(crate) fn new(prefix: &str, year: FiscalYear) -> Self {
        Self {
            prefix: prefix.to_ascii_uppercase(),
            year,
        }
    }

    /// What stands before the running number.
    pub(crate) fn stem(&self) -> String {
        format!("{}/{}/", self.prefix, self.year)
    }
}
