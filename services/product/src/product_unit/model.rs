//! Units of a product, and exact quantities.

use std::{fmt, str::FromStr};

use bahi_types::{Money, Price, Quantity, UnitId};
use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    pg::{Pg, PgValue},
    sql_types::Jsonb,
};
use num_rational::Ratio;
use num_traits::{CheckedDiv, CheckedMul};
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

use crate::barcode::model::Barcodes;

/// Most units of one product besides its stock unit.
pub const MOST: usize = 20;
/// The largest numerator or denominator.
pub const LARGEST: i64 = 1_000_000_000;

/// One side of a factor: 1 to [`LARGEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Part(i64);

impl TryFrom<i64> for Part {
    type Error = String;
    fn try_from(value: i64) -> Result<Self, String> {
        if (1..=LARGEST).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!("must be a whole number from 1 to {LARGEST}"))
        }
    }
}
impl From<Part> for i64 {
    fn from(part: Part) -> Self {
        part.0
    }
}

fn one() -> Part {
    Part(1)
}

/// A unit of a product besides its stock unit.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
    async_graphql::SimpleObject,
    async_graphql::InputObject,
)]
#[serde(deny_unknown_fields)]
#[graphql(name = "ProductUnit", input_name = "ProductUnitInput")]
pub struct ProductUnit {
    /// The unit.
    pub unit_id: UnitId,
    /// One of it is `numerator / denominator` stock units: 1 to 1,000,000,000.
    #[schema(value_type = i64, minimum = 1, maximum = 1_000_000_000, example = 12)]
    pub numerator: Part,
    /// 1 to 1,000,000,000; 1 when absent.
    #[serde(default = "one")]
    #[graphql(default_with = "one()")]
    #[schema(value_type = i64, minimum = 1, maximum = 1_000_000_000, default = 1)]
    pub denominator: Part,
    /// Selling price of one of it; the product's price times the factor when absent.
    #[serde(default)]
    pub price: Option<Price>,
    /// Barcodes that stand for one of it; at most 20.
    #[serde(default)]
    #[graphql(default)]
    #[schema(value_type = Vec<String>, example = json!(["14006381333938"]))]
    pub barcodes: Barcodes,
}

impl ProductUnit {
    /// Stock units in one of it.
    pub fn factor(&self) -> Factor {
        Factor(Ratio::new(
            self.numerator.0.into(),
            self.denominator.0.into(),
        ))
    }

    fn reduced(mut self) -> Self {
        let factor = self.factor().0;
        // Lowest terms are no greater than what was checked.
        if let (Ok(numerator), Ok(denominator)) =
            ((*factor.numer()).try_into(), (*factor.denom()).try_into())
        {
            (self.numerator, self.denominator) = (Part(numerator), Part(denominator));
        }
        self
    }
}

/// Stock units in one of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor(Ratio<i128>);

impl Factor {
    /// The stock unit's own.
    pub fn one() -> Self {
        Self(Ratio::from_integer(1))
    }

    /// Numerator and denominator in lowest terms.
    pub fn parts(self) -> (i64, i64) {
        let part = |value: &i128| i64::try_from(*value).unwrap_or(i64::MAX);
        (part(self.0.numer()), part(self.0.denom()))
    }

    /// `price` of a stock unit for one of the unit, rounded to the scale of prices.
    pub fn price(self, price: Price) -> Price {
        let (numerator, denominator) = self.parts();
        // 10^15 times 10^9 fits; the quotient is rounded once.
        Price::rounded(price.decimal() * Decimal::from(numerator) / Decimal::from(denominator))
    }

    /// `mrp` of a stock unit for one of the unit, rounded down: no paisa more than the law allows.
    pub fn mrp(self, mrp: Money) -> Money {
        let (numerator, denominator) = self.parts();
        let exact = mrp.decimal() * Decimal::from(numerator) / Decimal::from(denominator);
        Money::rounded(exact.trunc_with_scale(2))
    }

    /// The least quantity of the unit that is at least `stock` stock units.
    ///
    /// # Errors
    /// [`ExactError::TooLarge`].
    pub fn at_least(self, stock: Quantity) -> Result<Quantity, ExactError> {
        let (numerator, denominator) = self.parts();
        let exact = stock.decimal() * Decimal::from(denominator) / Decimal::from(numerator);
        let up = exact.round_dp_with_strategy(3, RoundingStrategy::AwayFromZero);
        Quantity::try_new(up).map_err(|_| ExactError::TooLarge)
    }

    /// Whether `amount` for one of the unit is at most `most` for each stock unit, to the last digit.
    pub fn within(self, amount: Decimal, most: Decimal) -> bool {
        let (numerator, denominator) = self.parts();
        amount * Decimal::from(denominator) <= most * Decimal::from(numerator)
    }
}

/// The units of one product besides its stock unit, none of them twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, FromSqlRow)]
#[serde(try_from = "Vec<ProductUnit>")]
pub struct Units(Vec<ProductUnit>);

impl Units {
    /// The units in the order they were said.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &ProductUnit> {
        self.0.iter()
    }

    /// The unit with this id.
    pub fn get(&self, id: UnitId) -> Option<&ProductUnit> {
        self.0.iter().find(|unit| unit.unit_id == id)
    }

    /// Whether each unit is still in `after`, with the same factor.
    pub fn kept_in(&self, after: &Self) -> bool {
        self.0.iter().all(|unit| {
            after
                .get(unit.unit_id)
                .is_some_and(|other| other.factor() == unit.factor())
        })
    }

    /// The units without those of their barcodes that are `taken` (GTIN-14).
    pub fn without(&self, taken: &[String]) -> Self {
        let bared = |unit: &ProductUnit| ProductUnit {
            barcodes: unit.barcodes.without(taken),
            ..unit.clone()
        };
        Self(self.0.iter().map(bared).collect())
    }

    /// The units without their barcodes, as a variant gets them of its template.
    pub fn bare(&self) -> Self {
        let bared = |unit: &ProductUnit| ProductUnit {
            barcodes: Barcodes::default(),
            ..unit.clone()
        };
        Self(self.0.iter().map(bared).collect())
    }

    /// As a list.
    pub fn to_vec(&self) -> Vec<ProductUnit> {
        self.0.clone()
    }
}

impl TryFrom<Vec<ProductUnit>> for Units {
    type Error = String;
    fn try_from(units: Vec<ProductUnit>) -> Result<Self, String> {
        if units.len() > MOST {
            return Err(format!("has more than {MOST} units"));
        }
        for (at, unit) in units.iter().enumerate() {
            if units[..at]
                .iter()
                .any(|other| other.unit_id == unit.unit_id)
            {
                return Err(format!("names the unit {} twice", unit.unit_id));
            }
        }
        Ok(Self(units.into_iter().map(ProductUnit::reduced).collect()))
    }
}

bahi_types::stands_as!(Part as i64, |part: &Part| part.0);
bahi_types::stands_as!(Units as Vec<ProductUnit>, Units::to_vec);

impl FromSql<Jsonb, Pg> for Units {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let json = <serde_json::Value as FromSql<Jsonb, Pg>>::from_sql(value)?;
        Ok(serde_json::from_value(json)?)
    }
}

/// A quantity as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact(Ratio<i128>);

/// Why a text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExactError {
    /// Not a decimal or fraction.
    #[error("is not a decimal like 2.5 or a fraction like 5/2")]
    Malformed,
    /// The denominator is zero.
    #[error("has a denominator of zero")]
    ZeroDenominator,
    /// More than 18 digits, or the result has.
    #[error("is too large")]
    TooLarge,
}

impl Exact {
    /// So many of `from` as a quantity of `to`, exactly.
    ///
    /// # Errors
    /// [`ExactError::TooLarge`].
    pub fn convert(self, from: Factor, to: Factor) -> Result<Self, ExactError> {
        let stock = self.0.checked_mul(&from.0).ok_or(ExactError::TooLarge)?;
        let result = stock.checked_div(&to.0).ok_or(ExactError::TooLarge)?;
        Ok(Self(result))
    }

    /// To three decimals, half away from zero, and whether nothing was lost by that.
    ///
    /// # Errors
    /// [`ExactError::TooLarge`].
    pub fn decimals(self) -> Result<(Quantity, bool), ExactError> {
        let thousandths = self
            .0
            .checked_mul(&Ratio::from_integer(1000))
            .ok_or(ExactError::TooLarge)?;
        let rounded = thousandths.round().to_integer();
        let decimal = Decimal::try_from_i128_with_scale(rounded, 3)
            .ok()
            .and_then(|decimal| Quantity::try_new(decimal).ok())
            .ok_or(ExactError::TooLarge)?;
        Ok((decimal, thousandths.is_integer()))
    }
}

impl From<Quantity> for Exact {
    fn from(quantity: Quantity) -> Self {
        let decimal = quantity.decimal();
        Self(Ratio::new(decimal.mantissa(), 10i128.pow(decimal.scale())))
    }
}

impl FromStr for Exact {
    type Err = ExactError;
    fn from_str(text: &str) -> Result<Self, ExactError> {
        if let Some((numerator, denominator)) = text.split_once('/') {
            let (sign, digits) = match numerator.strip_prefix('-') {
                Some(digits) => (-1, digits),
                None => (1, numerator),
            };
            let numerator = whole(digits)? * sign;
            return match whole(denominator)? {
                0 => Err(ExactError::ZeroDenominator),
                denominator => Ok(Self(Ratio::new(numerator, denominator))),
            };
        }
        let quantity: Quantity = text.parse().map_err(|error| match error {
            bahi_types::FixedError::TooLarge => ExactError::TooLarge,
            _ => ExactError::Malformed,
        })?;
        Ok(quantity.into())
    }
}

fn whole(digits: &str) -> Result<i128, ExactError> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ExactError::Malformed);
    }
    if digits.len() > 18 {
        return Err(ExactError::TooLarge);
    }
    digits.parse().map_err(|_| ExactError::Malformed)
}

/// `12` or `1/12`.
impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, test_runner::TestRunner};

    use super::*;

    fn factor(numerator: i64, denominator: i64) -> Factor {
        Factor(Ratio::new(numerator.into(), denominator.into()))
    }

    fn exact(text: &str) -> Exact {
        text.parse().unwrap()
    }

    #[test]
    fn a_dozen_is_twelve_pieces_and_back_without_residue() {
        let (piece, dozen) = (Factor::one(), factor(12, 1));
        let pieces = exact("1").convert(dozen, piece).unwrap();
        assert_eq!(pieces.to_string(), "12");
        let back = exact("1").convert(piece, dozen).unwrap();
        assert_eq!(back.to_string(), "1/12");
        assert_eq!(back.decimals(), Ok(("0.083".parse().unwrap(), false)));
        assert_eq!(back.convert(dozen, piece), Ok(exact("1")));
    }

    /// What the exact conversion replaces.
    fn by_decimal(quantity: Decimal, from: (i64, i64), to: (i64, i64)) -> Option<Decimal> {
        quantity
            .checked_mul(Decimal::from(from.0) / Decimal::from(from.1))?
            .checked_div(Decimal::from(to.0) / Decimal::from(to.1))
    }

    fn factors() -> impl Strategy<Value = (i64, i64)> {
        prop_oneof![
            (1..=1000i64, 1..=1000i64),
            (1..=LARGEST, 1..=LARGEST),
            (1..=144i64, Just(1i64))
        ]
    }

    proptest! {
        #[test]
        fn there_and_back_is_the_same_quantity(
            thousandths in 0..10i64.pow(15), from in factors(), to in factors(),
        ) {
            let quantity = Exact(Ratio::new(thousandths.into(), 1000));
            let (from, to) = (factor(from.0, from.1), factor(to.0, to.1));
            if let Ok(there) = quantity.convert(from, to) {
                prop_assert_eq!(there.convert(to, from), Ok(quantity));
                prop_assert_eq!(there.to_string().parse::<Exact>().map_or(there, |read| read), there);
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}", digits in "-?[0-9]{0,40}[/.]?[0-9]{0,40}") {
            for text in [text, digits] {
                if let Ok(quantity) = text.parse::<Exact>() {
                    let _ = quantity.convert(factor(LARGEST, 1), factor(1, LARGEST)).map(Exact::decimals);
                }
            }
        }
    }

    #[test]
    fn division_of_decimals_does_not_come_back() {
        let property = |(pieces, from, to): (i64, (i64, i64), (i64, i64))| {
            let quantity = Decimal::from(pieces);
            let there = by_decimal(quantity, from, to);
            let back = there.and_then(|there| by_decimal(there, to, from));
            prop_assert_eq!(back, Some(quantity));
            Ok(())
        };
        let caught = TestRunner::deterministic().run(&(1..1000i64, factors(), factors()), property);
        assert!(caught.is_err(), "the property lets decimals pass");
    }

    #[test]
    fn quantities_are_decimals_or_fractions() {
        assert_eq!(exact("2.500"), exact("5/2"));
        assert_eq!(exact("-5/10").to_string(), "-1/2");
        for (text, error) in [
            ("", ExactError::Malformed),
            ("1/", ExactError::Malformed),
            ("/2", ExactError::Malformed),
            ("1/-2", ExactError::Malformed),
            ("1.5/2", ExactError::Malformed),
            ("1/0", ExactError::ZeroDenominator),
            ("NaN", ExactError::Malformed),
            ("1e3", ExactError::Malformed),
            ("1000000000000000000/1", ExactError::TooLarge),
            ("1000000000000000", ExactError::TooLarge),
        ] {
            assert_eq!(text.parse::<Exact>(), Err(error), "{text}");
        }
    }

    #[test]
    fn factors_are_whole_positive_and_in_lowest_terms() {
        let read = |numerator: i64, denominator: i64| {
            let json = serde_json::json!([{ "unit_id": UnitId::from_uuid(uuid::Uuid::nil()), "numerator": numerator,
                "denominator": denominator }]);
            serde_json::from_value::<Units>(json)
        };
        let units = read(24, 2).unwrap();
        assert_eq!(units.iter().next().unwrap().factor().parts(), (12, 1));
        assert_eq!(units, read(12, 1).unwrap());
        for (numerator, denominator) in [(0, 1), (-12, 1), (1, 0), (1, -1), (LARGEST + 1, 1)] {
            assert!(
                read(numerator, denominator).is_err(),
                "{numerator}/{denominator}"
            );
        }
    }

    #[test]
    fn a_price_of_its_own_is_compared_to_the_last_digit() {
        let dozen = factor(12, 1);
        assert_eq!(
            dozen.price("10.50".parse().unwrap()),
            "126".parse().unwrap()
        );
        assert!(dozen.within(Decimal::from(120), Decimal::from(10)));
        assert!(!dozen.within("120.0001".parse().unwrap(), Decimal::from(10)));
        let third = factor(1, 3);
        assert!(third.within("3.3333".parse().unwrap(), Decimal::from(10)));
        assert!(!third.within("3.3334".parse().unwrap(), Decimal::from(10)));
    }
}
