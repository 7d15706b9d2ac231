//! Rates of tax: what they may be on which day, and which of a commodity's rates applies.

mod history;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::paise::{NumberError, scaled};

pub use history::{PriceBand, RateHistory, RateRow};

/// How the law treats a supply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaxCategory {
    /// Taxed at a rate.
    Taxable,
    /// In the tariff at 0 %.
    NilRated,
    /// Exempt by notification (CGST Act, s.11).
    Exempt,
    /// Outside GST: alcohol for drinking, petrol, diesel and the like (s.9(1), s.9(2)).
    NonGst,
}

/// A category with its rate and its cess, both in percent of the taxable value. Only a taxable supply
/// has either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawTaxRate")]
pub struct TaxRate {
    category: TaxCategory,
    rate: Decimal,
    cess: Decimal,
}

/// The JSON of a [`TaxRate`] before it is checked.
#[derive(Deserialize)]
struct RawTaxRate {
    category: TaxCategory,
    #[serde(default)]
    rate: Decimal,
    #[serde(default)]
    cess: Decimal,
}

/// Why a rate is refused or not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// A rate has at most 3 decimals.
    #[error("rate {0}")]
    Number(#[from] NumberError),
    /// A rate is between 0 and 100 %, a cess between 0 and 1000 %.
    #[error("{0} % is no rate of tax")]
    OutOfRange(Decimal),
    /// Nil-rated, exempt and non-GST supplies carry no tax.
    #[error("only a taxable supply has a rate or a cess")]
    NotTaxable,
    /// There was no GST before 1-Jul-2017.
    #[error("there was no GST on {0}")]
    BeforeGst(NaiveDate),
    /// No notification in force that day knows the rate.
    #[error("{rate} % was no rate of GST on {date}")]
    UnknownRate {
        /// The rate.
        rate: Decimal,
        /// The day.
        date: NaiveDate,
    },
    /// Compensation cess ended on 1-Feb-2026.
    #[error("there was no compensation cess on {0}")]
    NoCess(NaiveDate),
    /// The row ends before it begins.
    #[error("rate from {0} ends before it begins")]
    EmptyPeriod(NaiveDate),
    /// Two rows hold for the same day and price.
    #[error("two rates hold on {0} for the same price")]
    Overlap(NaiveDate),
    /// No row holds.
    #[error("no rate is known for {date} at a price of {price}")]
    NotFound {
        /// The day asked for.
        date: NaiveDate,
        /// The price asked for.
        price: Decimal,
    },
}

/// Every rate of GST since its first day (rate masters of the return offline tool), with the day from
/// which it was known. A rate never leaves the list: goods keep moving out of 12 % and 28 %, but a
/// note to an old invoice is made at the rate of that invoice.
const RATES: [(Decimal, (i32, u32, u32)); 13] = [
    (Decimal::from_parts(0, 0, 0, false, 0), GST_BEGINS),
    (Decimal::from_parts(1, 0, 0, false, 1), GST_BEGINS),
    (Decimal::from_parts(25, 0, 0, false, 2), GST_BEGINS),
    (Decimal::from_parts(1, 0, 0, false, 0), GST_BEGINS),
    (Decimal::from_parts(15, 0, 0, false, 1), GST_BEGINS),
    (Decimal::from_parts(3, 0, 0, false, 0), GST_BEGINS),
    (Decimal::from_parts(5, 0, 0, false, 0), GST_BEGINS),
    (Decimal::from_parts(6, 0, 0, false, 0), GST_BEGINS),
    (Decimal::from_parts(75, 0, 0, false, 1), GST_BEGINS),
    (Decimal::from_parts(12, 0, 0, false, 0), GST_BEGINS),
    (Decimal::from_parts(18, 0, 0, false, 0), GST_BEGINS),
    (Decimal::from_parts(28, 0, 0, false, 0), GST_BEGINS),
    // 56th Council; Notifications 9 to 17/2025-CTR of 17-Sep-2025.
    (Decimal::from_parts(40, 0, 0, false, 0), GST_2_BEGINS),
];

const GST_BEGINS: (i32, u32, u32) = (2017, 7, 1);
const GST_2_BEGINS: (i32, u32, u32) = (2025, 9, 22);
const CESS_ENDS: (i32, u32, u32) = (2026, 2, 1);

fn since(date: NaiveDate, (year, month, day): (i32, u32, u32)) -> bool {
    NaiveDate::from_ymd_opt(year, month, day).is_some_and(|from| date >= from)
}

/// The rates in the law on a day, lowest first; none before GST.
pub fn rates_on(date: NaiveDate) -> impl Iterator<Item = Decimal> {
    RATES
        .into_iter()
        .filter(move |(_, from)| since(date, *from))
        .map(|(rate, _)| rate)
}

impl TaxRate {
    /// In the tariff at 0 %.
    pub const NIL_RATED: Self = Self::untaxed(TaxCategory::NilRated);
    /// Exempt by notification.
    pub const EXEMPT: Self = Self::untaxed(TaxCategory::Exempt);
    /// Outside GST.
    pub const NON_GST: Self = Self::untaxed(TaxCategory::NonGst);

    const fn untaxed(category: TaxCategory) -> Self {
        Self {
            category,
            rate: Decimal::ZERO,
            cess: Decimal::ZERO,
        }
    }

    /// A taxable supply at `rate` % and a cess of `cess` %, each with at most 3 decimals.
    ///
    /// # Errors
    /// When either is no percentage. Whether it was in the law on a day is for [`Self::valid_on`].
    pub fn taxable(rate: Decimal, cess: Decimal) -> Result<Self, RateError> {
        let rate = percentage(rate, 100)?;
        let cess = percentage(cess, 1000)?;
        Ok(Self {
            category: TaxCategory::Taxable,
            rate,
            cess,
        })
    }

    /// The category.
    pub const fn category(&self) -> TaxCategory {
        self.category
    }

    /// The rate in percent: CGST and SGST together, or IGST.
    pub const fn rate(&self) -> Decimal {
        self.rate
    }

    /// The compensation cess in percent.
    pub const fn cess(&self) -> Decimal {
        self.cess
    }

    /// Checks the rate against the law of a day: that of the invoice, for a note that of its original.
    ///
    /// # Errors
    /// When GST had not begun, or did not know the rate or the cess, on that day.
    pub fn valid_on(&self, date: NaiveDate) -> Result<(), RateError> {
        if !since(date, GST_BEGINS) {
            return Err(RateError::BeforeGst(date));
        }
        if !rates_on(date).any(|known| known == self.rate) {
            return Err(RateError::UnknownRate {
                rate: self.rate,
                date,
            });
        }
        if !self.cess.is_zero() && since(date, CESS_ENDS) {
            return Err(RateError::NoCess(date));
        }
        Ok(())
    }
}

fn percentage(value: Decimal, limit: i64) -> Result<Decimal, RateError> {
    scaled(value, 3)?;
    if value.is_sign_negative() && !value.is_zero() || value > Decimal::from(limit) {
        return Err(RateError::OutOfRange(value));
    }
    Ok(value.normalize())
}

impl TryFrom<RawTaxRate> for TaxRate {
    type Error = RateError;
    fn try_from(raw: RawTaxRate) -> Result<Self, Self::Error> {
        if raw.category == TaxCategory::Taxable {
            return Self::taxable(raw.rate, raw.cess);
        }
        if !raw.rate.is_zero() || !raw.cess.is_zero() {
            return Err(RateError::NotTaxable);
        }
        Ok(Self::untaxed(raw.category))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }
    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }
    fn taxable(rate: &str, cess: &str) -> TaxRate {
        TaxRate::taxable(d(rate), d(cess)).unwrap()
    }

    #[test]
    fn the_law_of_the_day_decides_which_rates_exist() {
        let historical = [
            "0", "0.1", "0.25", "1", "1.5", "3", "5", "6", "7.5", "12", "18", "28",
        ];
        for rate in historical {
            assert_eq!(
                taxable(rate, "0").valid_on(day("2017-07-01")),
                Ok(()),
                "{rate}"
            );
            assert_eq!(
                taxable(rate, "0").valid_on(day("2026-11-05")),
                Ok(()),
                "{rate}"
            );
        }
        let forty = taxable("40", "0");
        assert_eq!(forty.valid_on(day("2025-09-22")), Ok(()));
        assert!(matches!(
            forty.valid_on(day("2025-09-21")),
            Err(RateError::UnknownRate { .. })
        ));
        assert!(taxable("17", "0").valid_on(day("2026-11-05")).is_err());
        let eve = day("2017-06-30");
        assert_eq!(
            taxable("18", "0").valid_on(eve),
            Err(RateError::BeforeGst(eve))
        );
        assert_eq!(rates_on(day("2026-01-01")).count(), 13);
    }

    #[test]
    fn cess_ended_in_february_2026() {
        let drink = taxable("28", "12");
        assert_eq!(drink.valid_on(day("2026-01-31")), Ok(()));
        assert_eq!(
            drink.valid_on(day("2026-02-01")),
            Err(RateError::NoCess(day("2026-02-01")))
        );
    }

    #[test]
    fn refuses_what_is_no_percentage() {
        for (rate, cess) in [
            ("-1", "0"),
            ("100.1", "0"),
            ("18", "-0.5"),
            ("18", "1001"),
            ("1.0001", "0"),
        ] {
            assert!(TaxRate::taxable(d(rate), d(cess)).is_err(), "{rate} {cess}");
        }
        assert!(TaxRate::taxable(Decimal::MAX, Decimal::ZERO).is_err());
    }

    #[test]
    fn json_is_checked_on_the_way_in() {
        let rate: TaxRate =
            serde_json::from_str(r#"{"category":"taxable","rate":"18.00","cess":"0"}"#).unwrap();
        assert_eq!(rate, taxable("18", "0"));
        let json = serde_json::to_string(&rate).unwrap();
        assert_eq!(json, r#"{"category":"taxable","rate":"18","cess":"0"}"#);
        let nil: TaxRate = serde_json::from_str(r#"{"category":"nil_rated"}"#).unwrap();
        assert_eq!(nil, TaxRate::NIL_RATED);
        assert!(serde_json::from_str::<TaxRate>(r#"{"category":"exempt","rate":"5"}"#).is_err());
        assert!(serde_json::from_str::<TaxRate>(r#"{"category":"taxable","rate":"-5"}"#).is_err());
    }
}
