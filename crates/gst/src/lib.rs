//! India's goods and services tax (GST) as pure functions: what a number must look like, which tax
//! falls due where, at which rate on which day, and how the paise are settled.
//!
//! Nothing here reads a clock, a file or a database: every date, rate and state is handed in, and
//! every answer is a value or an error that says what is wrong. Amounts are exact decimals; inside,
//! they are whole paise, and the only rounding is half away from zero on the absolute value.
//!
//! | Module | Question |
//! |---|---|
//! | [`gstin`], [`pan`], [`state`], [`pincode`] | Is this identifier well formed, and whose is it? |
//! | [`number`] | Is this a legal document number, and what is the next one called? |
//! | [`place`] | Where is the supply, and is it inter-state? |
//! | [`rate`] | Which category, rate and cess apply on this day at this price? |
//! | [`tax`] | What do the lines of a document come to? |
//! | [`proration`] | What share of a line goes back with a part return? |
//! | [`mod@apportion`] | How is an amount split without losing a paisa? |
//! | [`mod@classify`] | Which table of GSTR-1 does a line belong to? |
//! | [`hsn`], [`uqc`] | Is this a legal commodity code, and in which unit is it reported? |
//!
//! The law changes: what is here is either its grammar (formats, arithmetic) or carries the date
//! and the notification it stands on. Rates of single goods are data of the product service.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod apportion;
pub mod classify;
pub mod gstin;
pub mod hsn;
pub mod number;
pub mod pan;
pub mod pincode;
pub mod place;
pub mod proration;
pub mod rate;
pub mod state;
pub mod tax;
pub mod uqc;

mod paise;
mod pattern;
mod text;

pub use apportion::{ApportionError, apportion};
pub use bahi_types::FiscalYear;
pub use classify::{
    CdnurType, DocumentKind, InvoiceType, NilSupply, OutwardLine, SupplyNature, Table,
    b2c_large_limit, classify,
};
pub use gstin::{Gstin, GstinError, GstinKind, gstin_check_digit};
pub use hsn::{Hsn, HsnError, required_hsn_digits};
pub use number::{InvoiceNumber, InvoiceNumberError, Series, SeriesError};
pub use paise::NumberError;
pub use pan::{Pan, PanError, PanHolder};
pub use pincode::{Pincode, PincodeError};
pub use place::{Supply, SupplyFacts, place_of_supply};
pub use proration::{ProrationError, prorate, prorate_line};
pub use rate::{PriceBand, RateError, RateHistory, RateRow, TaxCategory, TaxRate};
pub use state::{StateCode, StateCodeError};
pub use tax::{
    Amounts, Computed, Discount, Document, Fault, Field, Levy, Line, Pricing, RateTotal, RoundOff,
    TaxError, TaxedLine, Totals, compute,
};
pub use uqc::{Uqc, UqcError};
