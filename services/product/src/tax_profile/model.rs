//! A tax profile and the rules of its rates.

use bahi_gst::{Hsn, PriceBand, RateError, RateHistory, RateRow};
use bahi_types::{Money, Price, Rate, TaxProfileId};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    schema::{tax_profile, tax_rate},
    text::words,
};

words! {
    /// How the law treats a supply.
    #[schema(as = TaxCategory)]
    #[graphql(name = "TaxCategory")]
    pub enum Category {
        /// Taxed at a rate.
        Taxable = "taxable",
        /// In the tariff at 0 %.
        Nil = "nil",
        /// Exempt by notification.
        Exempt = "exempt",
        /// Outside GST.
        NonGst = "non_gst",
    }
}

impl From<bahi_gst::TaxCategory> for Category {
    fn from(category: bahi_gst::TaxCategory) -> Self {
        match category {
            bahi_gst::TaxCategory::Taxable => Self::Taxable,
            bahi_gst::TaxCategory::NilRated => Self::Nil,
            bahi_gst::TaxCategory::Exempt => Self::Exempt,
            bahi_gst::TaxCategory::NonGst => Self::NonGst,
        }
    }
}

/// A tax profile without its rates.
#[derive(
    Clone, Debug, PartialEq, Serialize, Deserialize, Queryable, Selectable, Insertable, AsChangeset,
)]
#[diesel(table_name = tax_profile)]
pub struct Head {
    /// Id.
    pub id: TaxProfileId,
    /// Version.
    pub version: i64,
    /// Name.
    pub name: String,
    /// HSN or SAC.
    pub hsn: String,
    /// Category.
    pub category: Category,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A rate and the days on which it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = tax_rate)]
pub struct TaxRate {
    /// First day.
    pub valid_from: NaiveDate,
    /// First day on which it no longer holds; none for the last rate.
    pub valid_to: Option<NaiveDate>,
    /// Per cent: CGST and SGST together, or IGST.
    pub rate: Rate,
    /// Compensation cess in per cent.
    pub cess: Rate,
    /// Price of a unit before tax, after discount, up to which it holds; any price when none.
    pub price_limit: Option<Price>,
    /// The rate above that price.
    pub rate_above: Option<Rate>,
    /// The cess above that price.
    pub cess_above: Option<Rate>,
}

/// What holds for units that cost more than a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Above {
    /// The price of a unit before tax, after discount.
    pub price: Price,
    /// Per cent.
    pub rate: Rate,
    /// Compensation cess in per cent.
    pub cess: Rate,
}

/// A rate that holds from a day on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRate {
    /// The first day.
    pub from: NaiveDate,
    /// Per cent.
    pub rate: Rate,
    /// Compensation cess in per cent.
    pub cess: Rate,
    /// What holds for dearer units.
    pub above: Option<Above>,
}

impl TaxRate {
    /// A rate of some days.
    pub fn new(rate: NewRate, to: Option<NaiveDate>) -> Self {
        Self {
            valid_from: rate.from,
            valid_to: to,
            rate: rate.rate,
            cess: rate.cess,
            price_limit: rate.above.map(|above| above.price),
            rate_above: rate.above.map(|above| above.rate),
            cess_above: rate.above.map(|above| above.cess),
        }
    }

    /// What holds for dearer units.
    pub fn above(&self) -> Option<Above> {
        Some(Above {
            price: self.price_limit?,
            rate: self.rate_above?,
            cess: self.cess_above?,
        })
    }

    /// Its rows in the terms of the law.
    fn rows(&self, category: Category) -> Result<Vec<RateRow>, RateError> {
        let row = |band, rate: Rate, cess: Rate| {
            let tax = match category {
                Category::Taxable => bahi_gst::TaxRate::taxable(rate.decimal(), cess.decimal())?,
                _ if !(rate.is_zero() && cess.is_zero()) => return Err(RateError::NotTaxable),
                Category::Nil => bahi_gst::TaxRate::NIL_RATED,
                Category::Exempt => bahi_gst::TaxRate::EXEMPT,
                Category::NonGst => bahi_gst::TaxRate::NON_GST,
            };
            Ok(RateRow {
                from: self.valid_from,
                to: self.valid_to,
                band,
                tax,
            })
        };
        let Some(above) = self.above() else {
            return Ok(vec![row(PriceBand::Any, self.rate, self.cess)?]);
        };
        let limit = above.price.decimal();
        Ok(vec![
            row(PriceBand::UpTo(limit), self.rate, self.cess)?,
            row(PriceBand::Above(limit), above.rate, above.cess)?,
        ])
    }
}

/// A tax profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaxProfile {
    /// All but the rates.
    pub head: Head,
    /// The rates, oldest first.
    pub rates: Vec<TaxRate>,
}

/// What can be said of a tax profile.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Name.
    pub name: String,
    /// HSN or SAC.
    pub hsn: Hsn,
    /// Category.
    pub category: Category,
    /// Rates in any order; an end that is left out is the beginning of the next.
    pub rates: Vec<TaxRate>,
}

impl TaxProfile {
    /// A new profile.
    ///
    /// # Errors
    /// What is wrong with the rates.
    pub fn new(draft: Draft, now: DateTime<Utc>) -> Result<Self, Error> {
        let Draft {
            name,
            hsn,
            category,
            rates,
        } = draft;
        let rates = history(category, rates)?;
        let (id, hsn) = (TaxProfileId::new(), hsn.as_str().to_owned());
        let head = Head {
            id,
            version: 1,
            name,
            hsn,
            category,
            created_at: now,
            updated_at: now,
        };
        Ok(Self { head, rates })
    }

    /// The profile as `draft` wants it, where products use it if `in_use`.
    ///
    /// # Errors
    /// What is wrong with the rates; [`Error::FixedByUse`].
    pub fn amended(&self, draft: Draft, in_use: bool, now: DateTime<Utc>) -> Result<Self, Error> {
        let Draft {
            name,
            hsn,
            category,
            rates,
        } = draft;
        let rates = history(category, rates)?;
        if in_use && hsn.as_str() != self.head.hsn {
            return Err(Error::FixedByUse("hsn"));
        }
        if in_use && category != self.head.category {
            return Err(Error::FixedByUse("category"));
        }
        let head = Head {
            name,
            hsn: hsn.as_str().to_owned(),
            category,
            ..self.head.clone()
        };
        Ok(Self { head, rates }.next_version(self, now))
    }

    /// The profile with one rate more, which ends the one that held before it.
    ///
    /// # Errors
    /// [`Error::RateExists`]; what is wrong with the rate.
    pub fn with_rate(&self, new: NewRate, now: DateTime<Utc>) -> Result<Self, Error> {
        if self.rates.iter().any(|known| known.valid_from == new.from) {
            return Err(Error::RateExists(new.from));
        }
        let mut rates = self.rates.clone();
        rates.push(TaxRate::new(new, None));
        rates.iter_mut().for_each(|rate| rate.valid_to = None);
        let rates = history(self.head.category, rates)?;
        Ok(Self {
            head: self.head.clone(),
            rates,
        }
        .next_version(self, now))
    }

    /// The rate that holds on a day.
    pub fn rate_on(&self, day: NaiveDate) -> Option<&TaxRate> {
        let mut rates = self.rates.iter().rev();
        rates.find(|rate| rate.valid_from <= day)
    }

    /// The tax of a day at a price of one unit after discount; none where no rate is known for the day.
    pub fn tax_on(
        &self,
        day: NaiveDate,
        price: Decimal,
        includes_tax: bool,
    ) -> Option<bahi_gst::TaxRate> {
        let history =
            RateHistory::try_new(self.rate_on(day)?.rows(self.head.category).ok()?).ok()?;
        if includes_tax {
            history.on_inclusive(day, price).ok()
        } else {
            history.on(day, price).ok()
        }
    }

    /// The highest tax of a day, whatever the price.
    pub fn highest_on(&self, day: NaiveDate) -> Option<bahi_gst::TaxRate> {
        let rows = self.rate_on(day)?.rows(self.head.category).ok()?;
        rows.into_iter()
            .map(|row| row.tax)
            .max_by_key(|tax| tax.rate() + tax.cess())
    }

    fn next_version(mut self, before: &Self, now: DateTime<Utc>) -> Self {
        if self != *before {
            self.head.version += 1;
            self.head.updated_at = now;
        }
        self
    }

    /// The price with tax of a day; before the first rate, with the first.
    pub fn with_tax(&self, price: Price, day: NaiveDate) -> Money {
        let known = self.rate_on(day).or(self.rates.first());
        let percent = known.map_or(Decimal::ZERO, |known| match known.above() {
            Some(above) if price > above.price => above.rate.decimal() + above.cess.decimal(),
            _ => known.rate.decimal() + known.cess.decimal(),
        });
        Money::rounded(price.decimal() * (Decimal::ONE_HUNDRED + percent) / Decimal::ONE_HUNDRED)
    }

    /// Whether it is for services.
    pub fn is_for_services(&self) -> bool {
        self.head.hsn.starts_with("99")
    }
}

/// The rates in order, each ending where the next begins.
fn history(category: Category, mut rates: Vec<TaxRate>) -> Result<Vec<TaxRate>, Error> {
    rates.sort_by_key(|rate| rate.valid_from);
    for at in 0..rates.len() {
        let next = rates.get(at + 1).map(|next| next.valid_from);
        let rate = &mut rates[at];
        let end = rate.valid_to.or(next);
        if end.is_some_and(|end| end <= rate.valid_from) && rate.valid_to.is_some() {
            return Err(Error::RatePeriod(rate.valid_from));
        }
        match (end, next) {
            (Some(end), Some(next)) if end > next || next == rate.valid_from => {
                return Err(Error::RatesOverlap(next));
            }
            (Some(end), Some(next)) if end < next => return Err(Error::RatesGap(end)),
            (Some(end), None) => return Err(Error::RatesGap(end)),
            _ => rate.valid_to = end,
        }
        lawful(category, rate)?;
    }
    Ok(rates)
}

/// Refuses what the law did not know on the rate's first day.
fn lawful(category: Category, rate: &TaxRate) -> Result<(), Error> {
    let rows = rate.rows(category).map_err(Error::UnlawfulRate)?;
    RateHistory::try_new(rows).map_err(Error::UnlawfulRate)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }
    fn rate(from: &str, to: Option<&str>, percent: &str) -> TaxRate {
        TaxRate {
            valid_from: day(from),
            valid_to: to.map(day),
            rate: percent.parse().unwrap(),
            cess: Rate::ZERO,
            price_limit: None,
            rate_above: None,
            cess_above: None,
        }
    }
    fn from_day(from: &str, percent: i64) -> NewRate {
        NewRate {
            from: day(from),
            rate: Rate::from(percent),
            cess: Rate::ZERO,
            above: None,
        }
    }
    fn code(result: Result<Vec<TaxRate>, Error>) -> String {
        use bahi_http::Refusal;
        result.map_or_else(
            |error| error.verdict().code.to_owned(),
            |rates| format!("{}", rates.len()),
        )
    }

    #[test]
    fn each_rate_ends_where_the_next_begins() {
        let given = vec![
            rate("2025-09-22", None, "5"),
            rate("2017-07-01", None, "18"),
        ];
        let rates = history(Category::Taxable, given).unwrap();
        assert_eq!(rates[0].valid_to, Some(day("2025-09-22")));
        assert_eq!(rates[1], rate("2025-09-22", None, "5"));
    }

    #[test]
    fn overlaps_and_gaps_are_refused() {
        let check = |rates: Vec<TaxRate>| code(history(Category::Taxable, rates));
        let second = || rate("2025-09-22", None, "5");
        assert_eq!(
            check(vec![rate("2017-07-01", Some("2025-09-22"), "18"), second()]),
            "2"
        );
        assert_eq!(
            check(vec![rate("2017-07-01", Some("2025-09-23"), "18"), second()]),
            "RATES_OVERLAP"
        );
        assert_eq!(
            check(vec![rate("2017-07-01", Some("2025-09-21"), "18"), second()]),
            "RATES_GAP"
        );
        assert_eq!(check(vec![second(), second()]), "RATES_OVERLAP");
        assert_eq!(
            check(vec![rate("2025-09-22", Some("2025-09-22"), "5")]),
            "RATE_PERIOD"
        );
        assert_eq!(
            check(vec![rate("2025-09-22", Some("2026-01-01"), "5")]),
            "RATES_GAP"
        );
    }

    #[test]
    fn only_rates_the_law_knew_are_taken() {
        let check = |category, rates: Vec<TaxRate>| code(history(category, rates));
        assert_eq!(
            check(Category::Taxable, vec![rate("2025-09-22", None, "40")]),
            "1"
        );
        assert_eq!(
            check(Category::Taxable, vec![rate("2025-09-21", None, "40")]),
            "UNLAWFUL_RATE"
        );
        assert_eq!(
            check(Category::Taxable, vec![rate("2017-06-30", None, "5")]),
            "UNLAWFUL_RATE"
        );
        assert_eq!(
            check(Category::Taxable, vec![rate("2026-01-01", None, "17")]),
            "UNLAWFUL_RATE"
        );
        assert_eq!(
            check(Category::Nil, vec![rate("2026-01-01", None, "5")]),
            "UNLAWFUL_RATE"
        );
        assert_eq!(
            check(Category::Nil, vec![rate("2026-01-01", None, "0")]),
            "1"
        );
    }

    #[test]
    fn a_new_rate_splits_the_one_it_falls_into() {
        let now = Utc::now();
        let rates = vec![
            rate("2017-07-01", None, "18"),
            rate("2026-04-01", None, "5"),
        ];
        let draft = Draft {
            name: "Soap".into(),
            hsn: "340111".parse().unwrap(),
            category: Category::Taxable,
            rates,
        };
        let profile = TaxProfile::new(draft, now).unwrap();
        let after = profile.with_rate(from_day("2025-09-22", 12), now).unwrap();
        assert_eq!(after.head.version, 2);
        assert_eq!(
            after.rates,
            [
                rate("2017-07-01", Some("2025-09-22"), "18"),
                rate("2025-09-22", Some("2026-04-01"), "12"),
                rate("2026-04-01", None, "5")
            ]
        );
        let again = profile.with_rate(from_day("2026-04-01", 5), now);
        assert!(matches!(again, Err(Error::RateExists(_))));
        let price = "100".parse().unwrap();
        assert_eq!(
            after.with_tax(price, day("2025-09-21")).to_string(),
            "118.00"
        );
        assert_eq!(
            after.with_tax(price, day("2025-09-22")).to_string(),
            "112.00"
        );
        assert_eq!(
            after.with_tax(price, day("2016-01-01")).to_string(),
            "118.00"
        );
    }

    #[test]
    fn dearer_footwear_has_the_higher_rate() {
        let now = Utc::now();
        let draft = Draft {
            name: "Footwear".into(),
            hsn: "640399".parse().unwrap(),
            category: Category::Taxable,
            rates: vec![rate("2017-07-01", None, "18")],
        };
        let shoes = TaxProfile::new(draft, now).unwrap();
        let above = |rate: i64| NewRate {
            above: Some(Above {
                price: 2500.into(),
                rate: rate.into(),
                cess: Rate::ZERO,
            }),
            ..from_day("2025-09-22", 5)
        };
        assert!(matches!(
            shoes.with_rate(above(17), now),
            Err(Error::UnlawfulRate(_))
        ));
        let shoes = shoes.with_rate(above(18), now).unwrap();
        let percent = |price: i64, includes_tax, date: &str| {
            let tax = shoes.tax_on(day(date), price.into(), includes_tax);
            tax.unwrap().rate().to_string()
        };
        assert_eq!(percent(2500, false, "2026-11-05"), "5");
        assert_eq!(percent(2501, false, "2026-11-05"), "18");
        assert_eq!(percent(2625, true, "2026-11-05"), "5");
        assert_eq!(percent(2626, true, "2026-11-05"), "18");
        assert_eq!(percent(100, false, "2025-09-21"), "18");
        assert!(shoes.tax_on(day("2017-06-30"), 1.into(), true).is_none());
        let highest = shoes.highest_on(day("2026-11-05")).unwrap();
        assert_eq!(highest.rate().to_string(), "18");
        let with_tax = |price: i64| shoes.with_tax(price.into(), day("2026-11-05")).to_string();
        assert_eq!(with_tax(2500), "2625.00");
        assert_eq!(with_tax(3000), "3540.00");
    }
}
