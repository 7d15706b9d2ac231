//! Statutory document numbers (S4).
//!
//! * A number is `<prefix>/<fiscal year>/<running>`, at most 16 characters, from a counter of (registration, prefix,
//!   fiscal year). The counter is a row raised in the transaction that posts the document, late in it: a document that
//!   is rolled back leaves no gap, and the row is locked shortly.
//! * Each till brings a prefix of its own for its invoices. Documents of no till take the prefix asked for among those
//!   opened for the registration, else the one opened last, else a built-in one.
//! * Quotations, orders and deliveries are no tax documents, and numbered in the same way.
//! * While it is away a till numbers by itself, under prefixes of its own: see [`crate::offline`].
//! * A prefix serves one purpose in a year, so invoices and credit notes of a registration never share a number.

mod http;
mod store;

pub(crate) use http::routes;
pub(crate) use store::{Purpose, Taken, prefix, take, taken};

use bahi_types::FiscalYear;
use chrono::NaiveDate;

/// The built-in prefix of invoices.
const INVOICES: &str = "INV";
/// The built-in prefix of credit notes to an invoice.
const CREDIT_NOTES: &str = "CRN";
/// The built-in prefix of credit notes that lower prices.
const PRICE_NOTES: &str = "PCN";
/// The built-in prefix of debit notes.
const DEBIT_NOTES: &str = "DBN";
/// The built-in prefix of receipts.
const RECEIPTS: &str = "RCT";
/// The built-in prefix of quotations.
const QUOTATIONS: &str = "QTN";
/// The built-in prefix of orders.
const ORDERS: &str = "ORD";
/// The built-in prefix of deliveries.
const DELIVERIES: &str = "DLV";
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

/// A statutory number, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Numbered {
    pub prefix: String,
    pub fiscal_year: i32,
    pub running: i64,
}

/// `P1/26-27/0042`, of a document of that date. `None` when it is no number of ours.
pub(crate) fn numbered(number: &str, date: NaiveDate) -> Option<Numbered> {
    let year = FiscalYear::of(date);
    let (stem, running) = number.rsplit_once('/')?;
    let prefix = stem.strip_suffix(&format!("/{year}"))?;
    let running = running.parse().ok().filter(|running| *running > 0)?;
    (!prefix.is_empty()).then(|| Numbered {
        prefix: prefix.to_owned(),
        fiscal_year: year.start_year(),
        running,
    })
}

impl Numbered {
    /// As it is printed.
    pub(crate) fn text(&self) -> String {
        let year = FiscalYear::starting(self.fiscal_year);
        format!("{}/{year}/{:04}", self.prefix, self.running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_taken_apart() {
        let date = NaiveDate::from_ymd_opt(2026, 11, 21).unwrap_or_default();
        let year = FiscalYear::of(date);
        assert_eq!(
            numbered(&format!("P1/{year}/0042"), date),
            Some(Numbered {
                prefix: "P1".into(),
                fiscal_year: 2026,
                running: 42
            })
        );
        assert_eq!(
            numbered(&format!("P1/{year}/0042"), date).map(|n| n.text()),
            Some("P1/26-27/0042".into())
        );
        for strange in [
            String::new(),
            "42".into(),
            format!("P1/{year}/"),
            format!("/{year}/1"),
            format!("P1/{year}/0"),
            "P1/19-20/0042".into(),
        ] {
            assert_eq!(numbered(&strange, date), None, "{strange}");
        }
    }
}
