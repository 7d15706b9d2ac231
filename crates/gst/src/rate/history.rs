//! The rates of one commodity through time and price.

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{RateError, TaxRate};

/// The prices for which a rate holds, where the tariff sets a limit: footwear to 2,500 rupees a pair
/// at 5 %, above at 18 %. The price is that of one unit before tax, after discount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceBand {
    /// Any price.
    Any,
    /// This price or less.
    UpTo(Decimal),
    /// More than this price.
    Above(Decimal),
}

impl PriceBand {
    fn holds(self, price: Decimal) -> bool {
        match self {
            Self::Any => true,
            Self::UpTo(limit) => price <= limit,
            Self::Above(limit) => price > limit,
        }
    }

    fn overlaps(self, other: Self) -> bool {
        match (self, other) {
            (Self::UpTo(top), Self::Above(bottom)) | (Self::Above(bottom), Self::UpTo(top)) => {
                top > bottom
            }
            _ => true,
        }
    }
}

/// A rate for a time and a range of prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RateRow {
    /// The first day.
    pub from: NaiveDate,
    /// The day after the last; none while it lasts.
    pub to: Option<NaiveDate>,
    /// The prices.
    pub band: PriceBand,
    /// The rate.
    pub tax: TaxRate,
}

impl RateRow {
    fn holds_on(&self, date: NaiveDate) -> bool {
        self.from <= date && self.to.is_none_or(|to| date < to)
    }

    fn clashes(&self, other: &Self) -> bool {
        let begins_before = |a: &Self, b: &Self| b.to.is_none_or(|end| a.from < end);
        begins_before(self, other) && begins_before(other, self) && self.band.overlaps(other.band)
    }
}

/// The rates of one commodity through time. At most one holds for a day and a price.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateHistory(Vec<RateRow>);

impl RateHistory {
    /// A history of `rows`, in any order.
    ///
    /// # Errors
    /// When a row ends before it begins, has a rate the law did not know on its first day, or holds
    /// for the same day and price as another.
    pub fn try_new(mut rows: Vec<RateRow>) -> Result<Self, RateError> {
        rows.sort_by_key(|row| row.from);
        for (place, row) in rows.iter().enumerate() {
            if row.to.is_some_and(|to| to <= row.from) {
                return Err(RateError::EmptyPeriod(row.from));
            }
            row.tax.valid_on(row.from)?;
            if rows[..place].iter().any(|earlier| earlier.clashes(row)) {
                return Err(RateError::Overlap(row.from));
            }
        }
        Ok(Self(rows))
    }

    /// The rows, the oldest first.
    pub fn rows(&self) -> &[RateRow] {
        &self.0
    }

    /// The rate on a day at a price per unit before tax, after discount.
    ///
    /// # Errors
    /// [`RateError::NotFound`] when no row holds.
    pub fn on(&self, date: NaiveDate, price: Decimal) -> Result<TaxRate, RateError> {
        let mut rows = self.0.iter().filter(|row| row.holds_on(date));
        let row = rows.find(|row| row.band.holds(price));
        row.map(|row| row.tax)
            .ok_or(RateError::NotFound { date, price })
    }

    /// The rate on a day at a price per unit that includes the tax, like a printed retail price.
    ///
    /// The lowest rate is taken under which the price without tax lies in that rate's own range. Just
    /// above a limit there may be none (2,700 rupees are 2,571 at 5 %, which is too much, and 2,288 at
    /// 18 %, which is too little): then the highest rate applies, so that tax is never short.
    ///
    /// # Errors
    /// [`RateError::NotFound`] when no row holds.
    pub fn on_inclusive(
        &self,
        date: NaiveDate,
        shelf_price: Decimal,
    ) -> Result<TaxRate, RateError> {
        let mut rows: Vec<&RateRow> = self.0.iter().filter(|row| row.holds_on(date)).collect();
        rows.sort_by_key(|row| row.tax.rate);
        let fitting = rows.iter().find(|row| {
            without_tax(shelf_price, row.tax).is_some_and(|price| row.band.holds(price))
        });
        // A single row that does not fit leaves the price without a rate; two leave it between them.
        let row = fitting.or(if rows.len() > 1 { rows.last() } else { None });
        row.map(|row| row.tax).ok_or(RateError::NotFound {
            date,
            price: shelf_price,
        })
    }
}

/// The price without the tax, to the paisa: a limit in the tariff is in whole rupees.
fn without_tax(price: Decimal, tax: TaxRate) -> Option<Decimal> {
    let percent = tax
        .rate
        .checked_add(tax.cess)?
        .checked_add(Decimal::ONE_HUNDRED)?;
    Some(bahi_types::r2(
        price
            .checked_mul(Decimal::ONE_HUNDRED)?
            .checked_div(percent)?,
    ))
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
    fn row(from: &str, to: Option<&str>, band: PriceBand, rate: &str) -> RateRow {
        let tax = TaxRate::taxable(d(rate), Decimal::ZERO).unwrap();
        RateRow {
            from: day(from),
            to: to.map(day),
            band,
            tax,
        }
    }
    fn footwear() -> RateHistory {
        let (low, high) = (PriceBand::UpTo(d("2500")), PriceBand::Above(d("2500")));
        RateHistory::try_new(vec![
            row("2025-09-22", None, high, "18"),
            row("2025-09-22", None, low, "5"),
            row("2022-01-01", Some("2025-09-22"), PriceBand::Any, "12"),
        ])
        .unwrap()
    }

    #[test]
    fn the_date_chooses_the_row() {
        let rate = |date, price| footwear().on(day(date), d(price)).map(|tax| tax.rate());
        assert_eq!(rate("2025-09-21", "999"), Ok(d("12")));
        assert_eq!(rate("2025-09-22", "999"), Ok(d("5")));
        assert!(matches!(
            rate("2021-12-31", "999"),
            Err(RateError::NotFound { .. })
        ));
    }

    #[test]
    fn the_unit_price_chooses_the_rate_of_footwear() {
        let rate = |price| footwear().on(day("2026-11-05"), d(price)).unwrap().rate();
        assert_eq!(rate("2500"), d("5"));
        assert_eq!(rate("2500.01"), d("18"));
    }

    #[test]
    fn a_price_with_tax_is_looked_up_without_it() {
        let rate = |price| {
            footwear()
                .on_inclusive(day("2026-11-05"), d(price))
                .unwrap()
                .rate()
        };
        assert_eq!(rate("2625"), d("5"), "2,500.00 without tax");
        assert_eq!(rate("2625.01"), d("18"), "2,500.01 without tax at 5 %");
        assert_eq!(rate("2700"), d("18"), "fits neither range");
        assert_eq!(rate("2950"), d("18"));
        assert_eq!(rate("2951"), d("18"));
        let only_cheap = row("2025-09-22", None, PriceBand::UpTo(d("2500")), "5");
        let history = RateHistory::try_new(vec![only_cheap]).unwrap();
        assert!(history.on_inclusive(day("2026-11-05"), d("5000")).is_err());
    }

    #[test]
    fn refuses_rows_that_contradict_each_other() {
        let any = PriceBand::Any;
        let refused = |rows: Vec<RateRow>| RateHistory::try_new(rows).unwrap_err();
        let (new_year, spring) = ("2024-01-01", "2024-04-01");
        let overlap = vec![row(new_year, None, any, "18"), row(spring, None, any, "5")];
        assert_eq!(refused(overlap), RateError::Overlap(day(spring)));
        let bands = vec![
            row(new_year, None, PriceBand::UpTo(d("1000")), "5"),
            row(spring, None, PriceBand::Above(d("500")), "18"),
        ];
        assert_eq!(refused(bands), RateError::Overlap(day(spring)));
        let empty = vec![row(spring, Some(spring), any, "18")];
        assert_eq!(refused(empty), RateError::EmptyPeriod(day(spring)));
        let too_soon = vec![row(spring, None, any, "40")];
        assert!(matches!(refused(too_soon), RateError::UnknownRate { .. }));
        let in_turn = vec![
            row(new_year, Some(spring), any, "18"),
            row(spring, None, any, "5"),
        ];
        assert!(RateHistory::try_new(in_turn).is_ok());
    }
}
