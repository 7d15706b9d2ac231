//! A tax profile and the rules of its rates.

use bahi_gst::Hsn;
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
    pub fn with_rate(
        &self,
        from: NaiveDate,
        rate: Rate,
        cess: Rate,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        if self.rates.iter().any(|known| known.valid_from == from) {
            return Err(Error::RateExists(from));
        }
        let mut rates = self.rates.clone();
        rates.push(TaxRate {
            valid_from: from,
            valid_to: None,
            rate,
            cess,
        });
        rates.iter_mut().for_each(|rate| rate.valid_to = None);
        let rates = history(self.head.category, rates)?;
        Ok(Self {
            head: self.head.clone(),
            rates,
        }
        .next_version(self, now))
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
        let known = self
            .rates
            .iter()
            .rev()
            .find(|rate| rate.valid_from <= day)
            .or(self.rates.first());
        let percent = known.map_or(Decimal::ZERO, |known| {
            known.rate.decimal() + known.cess.decimal()
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
    let (percent, cess) = (rate.rate.decimal(), rate.cess.decimal());
    if category != Category::Taxable && !(percent.is_zero() && cess.is_zero()) {
        return Err(Error::UnlawfulRate(bahi_gst::RateError::NotTaxable));
    }
    let lawful =
        bahi_gst::TaxRate::taxable(percent, cess).and_then(|tax| tax.valid_on(rate.valid_from));
    lawful.map_err(Error::UnlawfulRate)
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
        let after = profile
            .with_rate(day("2025-09-22"), Rate::from(12), Rate::ZERO, now)
            .unwrap();
        assert_eq!(after.head.version, 2);
        assert_eq!(
            after.rates,
            [
                rate("2017-07-01", Some("2025-09-22"), "18"),
                rate("2025-09-22", Some("2026-04-01"), "12"),
                rate("2026-04-01", None, "5")
            ]
        );
        let again = profile.with_rate(day("2026-04-01"), Rate::from(5), Rate::ZERO, now);
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
}
