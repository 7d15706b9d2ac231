//! A plan and its terms.

use bahi_http::{Fault, FieldError, validate};
use bahi_types::{CategoryId, FiscalYear, Id, Money, Price, ProductId, Rate, UserId};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use garde::Validate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Error, Result};

/// Marker of the kind.
pub(crate) enum PlanKind {}
/// A plan.
pub(crate) type PlanId = Id<PlanKind>;

/// Most rules of a plan.
const MOST_RULES: usize = 500;
/// Most slabs of a plan.
const MOST_SLABS: usize = 20;
/// Most sales persons that a plan names.
const MOST_SALESPERSONS: usize = 1000;

/// When commission is earned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Basis {
    /// When the bill is issued.
    Invoiced,
    /// As the bill is paid, in proportion.
    Collected,
}

impl Basis {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Invoiced => "invoiced",
            Self::Collected => "collected",
        }
    }
}

/// Over which days sales are summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Period {
    Month,
    /// Of the fiscal year, and so of the calendar year.
    Quarter,
    /// 1 April to 31 March.
    FiscalYear,
}

impl Period {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::FiscalYear => "fiscal_year",
        }
    }

    /// First and last day of the one that a day is in.
    pub(crate) fn of(self, day: NaiveDate) -> (NaiveDate, NaiveDate) {
        let (year, month, months) = match self {
            Self::Month => (day.year(), day.month(), 1),
            Self::Quarter => (day.year(), (day.month() - 1) / 3 * 3 + 1, 3),
            Self::FiscalYear => (FiscalYear::of(day).start_year(), 4, 12),
        };
        let first = NaiveDate::from_ymd_opt(year, month, 1).unwrap_or(day);
        (first, self.last(first, months))
    }

    /// Last day of the one that begins on a day.
    pub(crate) fn until(self, first: NaiveDate) -> NaiveDate {
        self.of(first).1
    }

    fn last(self, first: NaiveDate, months: u32) -> NaiveDate {
        let next = first.checked_add_months(Months::new(months));
        next.and_then(|next| next.checked_sub_days(Days::new(1)))
            .unwrap_or(first)
    }
}

/// What a rule gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Amount {
    /// Of the taxable value; 0 to 100.
    Percent(Rate),
    /// Rupees a unit, at most the taxable value.
    PerUnit(Price),
}

impl Amount {
    /// Whether it gives nothing.
    pub(crate) fn is_zero(self) -> bool {
        match self {
            Self::Percent(percent) => percent.is_zero(),
            Self::PerUnit(price) => price.is_zero(),
        }
    }
}

fn bounded(value: &Amount, ctx: &()) -> garde::Result {
    match value {
        Amount::Percent(percent) => validate::percent(percent, ctx),
        Amount::PerUnit(price) => validate::non_negative(price, ctx),
    }
}

/// What lines earn; of a product, of a category with those below it, or of everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct Rule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_id: Option<ProductId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category_id: Option<CategoryId>,
    /// Zero leaves out what the rule names.
    #[garde(custom(bounded))]
    pub gives: Amount,
}

fn each_its_own(rules: &[Rule], (): &()) -> garde::Result {
    for (n, rule) in rules.iter().enumerate() {
        if rule.product_id.is_some() && rule.category_id.is_some() {
            return Err(garde::Error::new(format!(
                "{n}: a rule names a product or a category, not both"
            )));
        }
        let same = |r: &Rule| (r.product_id, r.category_id) == (rule.product_id, rule.category_id);
        if rules[..n].iter().any(same) {
            return Err(garde::Error::new(format!("{n}: names the same as another")));
        }
    }
    Ok(())
}

/// How slabs count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// Each part of the sum by its own per cent.
    Marginal,
    /// All of the sum by the per cent of the highest slab reached.
    Whole,
}

/// From here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slab {
    /// Sum of the period, rupees.
    #[garde(custom(validate::non_negative))]
    pub from: Money,
    /// 0 to 100.
    #[garde(custom(validate::percent))]
    pub percent: Rate,
}

fn ascending(slabs: &[Slab], (): &()) -> garde::Result {
    if slabs.windows(2).all(|pair| pair[0].from < pair[1].from) {
        Ok(())
    } else {
        Err(garde::Error::new("must ascend by from"))
    }
}

/// Rates by the sum of a period. Below the first nothing is earned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct Slabs {
    pub mode: Mode,
    #[garde(length(min = 1, max = MOST_SLABS), dive, custom(ascending))]
    pub steps: Vec<Slab>,
}

impl Slabs {
    /// The per cent of the slab that a sum has reached.
    pub(crate) fn rate(&self, sum: Money) -> Rate {
        let reached = self.steps.iter().rev().find(|s| s.from <= sum);
        reached.map_or(Rate::ZERO, |s| s.percent)
    }

    /// What a sum earns in all, to the paisa. Of a sum below zero, nothing.
    pub(crate) fn earned(&self, sum: Money) -> Money {
        match self.mode {
            Mode::Whole => share(sum, self.rate(sum)),
            Mode::Marginal => {
                let ends = self.steps.iter().skip(1).map(|s| s.from);
                let ends = ends.chain(std::iter::once(sum));
                let part = |(slab, end): (&Slab, Money)| {
                    let part = end.min(sum) - slab.from;
                    if part.is_positive() {
                        part * slab.percent
                    } else {
                        Decimal::ZERO
                    }
                };
                let sum: Decimal = self.steps.iter().zip(ends).map(part).sum();
                Money::rounded(sum / Decimal::ONE_HUNDRED)
            }
        }
    }
}

/// Per cent of an amount, to the paisa.
pub(crate) fn share(of: Money, percent: Rate) -> Money {
    Money::rounded(of * percent / Decimal::ONE_HUNDRED)
}

/// A bonus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bonus {
    /// Rupees.
    Amount(Money),
    /// Of the period's base; 0 to 100.
    Percent(Rate),
}

fn bounded_bonus(value: &Bonus, ctx: &()) -> garde::Result {
    match value {
        Bonus::Amount(amount) => validate::positive(amount, ctx),
        Bonus::Percent(percent) => {
            validate::positive(percent, ctx).and(validate::percent(percent, ctx))
        }
    }
}

/// What is to be reached in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// The period's base, rupees.
    #[garde(custom(validate::positive))]
    pub base: Money,
    /// For reaching it.
    #[garde(custom(bounded_bonus))]
    pub bonus: Bonus,
}

impl Target {
    /// The bonus at a base.
    pub(crate) fn earned(&self, base: Money) -> Money {
        match self.bonus {
            _ if base < self.base => Money::ZERO,
            Bonus::Amount(amount) => amount,
            Bonus::Percent(percent) => share(base, percent),
        }
    }
}

fn each_once(ids: &[UserId], (): &()) -> garde::Result {
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    if sorted.windows(2).all(|pair| pair[0] != pair[1]) {
        Ok(())
    } else {
        Err(garde::Error::new("names somebody twice"))
    }
}

/// What a plan says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct Terms {
    #[garde(custom(|name: &String, ctx| validate::line(name, ctx)))]
    pub name: String,
    pub basis: Basis,
    /// Everybody when empty.
    #[serde(default)]
    #[garde(length(max = MOST_SALESPERSONS), custom(each_once))]
    pub salesperson_ids: Vec<UserId>,
    /// First day of sales that it pays.
    pub valid_from: NaiveDate,
    /// Last day of sales that it pays.
    #[serde(default)]
    pub valid_to: Option<NaiveDate>,
    /// Over which slabs and target count; goes with them.
    #[serde(default)]
    pub period: Option<Period>,
    #[serde(default)]
    #[garde(length(max = MOST_RULES), dive, custom(each_its_own))]
    pub rules: Vec<Rule>,
    #[serde(default)]
    #[garde(dive)]
    pub slabs: Option<Slabs>,
    #[serde(default)]
    #[garde(dive)]
    pub target: Option<Target>,
}

impl Terms {
    /// That it says something, and nothing that contradicts itself.
    ///
    /// # Errors
    /// [`Fault::Invalid`] by field.
    pub(super) fn sound(&self) -> Result<()> {
        let mut wrong = Vec::new();
        let mut say = |field: &str, message: &str| {
            wrong.push(FieldError {
                field: field.to_owned(),
                message: message.to_owned(),
            });
        };
        let summed = self.slabs.is_some() || self.target.is_some();
        if self.rules.is_empty() && !summed {
            say("rules", "are needed, or slabs, or a target");
        }
        if self.period.is_some() != summed {
            say("period", "goes with slabs or a target, and is needed then");
        }
        if self.valid_to.is_some_and(|last| last < self.valid_from) {
            say("valid_to", "must not be before valid_from");
        }
        // Payroll of another age is nobody's.
        if !(2017..=2200).contains(&self.valid_from.year()) {
            say("valid_from", "must be a day from 2017 to 2200");
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(Fault::Invalid(wrong).into())
        }
    }

    /// Whether it pays sales of a day.
    pub(crate) fn covers_day(&self, day: NaiveDate) -> bool {
        self.valid_from <= day && self.valid_to.is_none_or(|last| day <= last)
    }

    /// Whether it pays somebody.
    pub(crate) fn covers(&self, salesperson: UserId) -> bool {
        self.salesperson_ids.is_empty() || self.salesperson_ids.contains(&salesperson)
    }

    /// The period of a sale; the month, where nothing is summed up.
    pub(crate) fn period_of(&self, day: NaiveDate) -> (NaiveDate, NaiveDate) {
        self.period.unwrap_or(Period::Month).of(day)
    }
}

/// A plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub plan_id: PlanId,
    /// `draft`, `active` or `ended`.
    pub status: String,
    pub terms: Terms,
    pub created_by: Option<UserId>,
    pub created_at: DateTime<Utc>,
    pub version: i64,
}

impl Plan {
    /// Its status on a day: time ends it as well.
    pub(super) fn status_on(&self, today: NaiveDate) -> &str {
        let over = self.terms.valid_to.is_some_and(|last| last < today);
        if self.status == "active" && over {
            "ended"
        } else {
            &self.status
        }
    }

    /// That it is a draft.
    ///
    /// # Errors
    /// [`Error::PlanState`].
    pub(super) fn must_be(&self, status: &str, today: NaiveDate) -> Result<()> {
        let is = self.status_on(today);
        if is == status {
            Ok(())
        } else {
            Err(Error::PlanState(is.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn slabs(mode: Mode) -> Slabs {
        let slab = |from: &str, percent: &str| Slab {
            from: from.parse().unwrap(),
            percent: percent.parse().unwrap(),
        };
        Slabs {
            mode,
            steps: vec![slab("100", "1"), slab("1000", "2.5"), slab("5000", "5")],
        }
    }

    #[test]
    fn periods_are_those_of_the_fiscal_year() {
        let of = |p: Period, d: &str| p.of(day(d));
        assert_eq!(
            of(Period::Month, "2028-02-29"),
            (day("2028-02-01"), day("2028-02-29"))
        );
        assert_eq!(
            of(Period::Quarter, "2027-03-31"),
            (day("2027-01-01"), day("2027-03-31"))
        );
        assert_eq!(
            of(Period::Quarter, "2026-12-31"),
            (day("2026-10-01"), day("2026-12-31"))
        );
        assert_eq!(
            of(Period::FiscalYear, "2027-03-31"),
            (day("2026-04-01"), day("2027-03-31"))
        );
        assert_eq!(
            of(Period::FiscalYear, "2027-04-01"),
            (day("2027-04-01"), day("2028-03-31"))
        );
    }

    #[test]
    fn marginal_slabs_rate_each_part_and_whole_ones_all_of_it_from_the_very_edge() {
        let earned = |mode: Mode, sum: &str| {
            let earned = slabs(mode).earned(sum.parse().unwrap());
            earned.to_string()
        };
        for (sum, marginal, whole) in [
            ("-50", "0.00", "0.00"),
            ("99.99", "0.00", "0.00"),
            ("100", "0.00", "1.00"),
            ("999.99", "9.00", "10.00"),
            ("1000", "9.00", "25.00"),
            ("4999.99", "109.00", "125.00"),
            ("5000", "109.00", "250.00"),
            ("6000", "159.00", "300.00"),
        ] {
            assert_eq!(earned(Mode::Marginal, sum), marginal, "{sum}");
            assert_eq!(earned(Mode::Whole, sum), whole, "{sum}");
        }
    }
}
