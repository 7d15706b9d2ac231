//! Money, prices, quantities and rates: exact decimals of a fixed scale. Never a float.

use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Mul, Neg, Sub, SubAssign},
    str::FromStr,
};

use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::{Pg, PgValue},
    serialize::{self, Output, ToSql},
    sql_types,
};
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Rounds to `scale` decimals, half away from zero: the one rounding rule of the fleet
/// (GST: the absolute value is rounded and the sign re-applied, so a credit note mirrors its invoice).
pub fn round_to(value: Decimal, scale: u32) -> Decimal {
    let mut rounded = value.round_dp_with_strategy(scale, RoundingStrategy::MidpointAwayFromZero);
    rounded.rescale(scale);
    rounded
}

/// Rounds to paise (2 decimals), half away from zero.
pub fn r2(value: Decimal) -> Decimal {
    round_to(value, 2)
}

/// An exact decimal with at most `S` decimals and 15 integer digits.
/// JSON carries it as a decimal string (`"4621.00"`); a JSON number is refused.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = sql_types::Numeric)]
pub struct Fixed<const S: u32>(Decimal);

/// An amount of money in the document's currency, in units with 2 decimals (rupees and paise).
pub type Money = Fixed<2>;
/// A unit price, up to 4 decimals.
pub type Price = Fixed<4>;
/// A quantity in the line's unit of measure, up to 3 decimals.
pub type Quantity = Fixed<3>;
/// A percentage, up to 3 decimals (`18` is 18 %).
pub type Rate = Fixed<3>;

/// Why a text is not a valid decimal here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FixedError {
    /// Not digits with an optional sign and point.
    #[error("is not a plain decimal like 12.50")]
    Malformed,
    /// More decimals than the type holds.
    #[error("has more than {0} decimals")]
    TooManyDecimals(u32),
    /// More than 15 integer digits.
    #[error("is too large")]
    TooLarge,
}

const LIMIT: Decimal = Decimal::from_parts(2_764_472_320, 232_830, 0, false, 0); // 10^15

impl<const S: u32> Fixed<S> {
    /// Zero.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Rounds `value` half away from zero to the type's scale.
    pub fn rounded(value: Decimal) -> Self {
        Self(round_to(value, S))
    }

    /// Takes `value` as it is.
    ///
    /// # Errors
    /// When it has more decimals than `S` or is 10^15 or more in absolute value.
    pub fn try_new(value: Decimal) -> Result<Self, FixedError> {
        if value.abs() >= LIMIT {
            return Err(FixedError::TooLarge);
        }
        let value = value.normalize();
        if value.scale() > S {
            return Err(FixedError::TooManyDecimals(S));
        }
        Ok(Self(value))
    }

    /// The bare decimal.
    pub const fn decimal(self) -> Decimal {
        self.0
    }

    /// True for zero.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// True for values greater than zero.
    pub fn is_positive(self) -> bool {
        self.0 > Decimal::ZERO
    }

    /// True for values less than zero.
    pub fn is_negative(self) -> bool {
        self.0 < Decimal::ZERO
    }

    /// The smaller of the two.
    pub fn min(self, other: Self) -> Self {
        if other < self { other } else { self }
    }
}

impl<const S: u32> From<i64> for Fixed<S> {
    fn from(value: i64) -> Self {
        Self(Decimal::from(value))
    }
}
impl<const S: u32> fmt::Display for Fixed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if S == 2 {
            write!(f, "{}", r2(self.0))
        } else {
            write!(f, "{}", self.0.normalize())
        }
    }
}
impl<const S: u32> fmt::Debug for Fixed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl<const S: u32> FromStr for Fixed<S> {
    type Err = FixedError;
    fn from_str(text: &str) -> Result<Self, FixedError> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !plain(whole) || !plain(fraction) {
            return Err(FixedError::Malformed);
        }
        if whole.len() > 15 {
            return Err(FixedError::TooLarge);
        }
        if fraction.trim_end_matches('0').len() > S as usize {
            return Err(FixedError::TooManyDecimals(S));
        }
        Self::try_new(Decimal::from_str_exact(text).map_err(|_| FixedError::Malformed)?)
    }
}
impl<const S: u32> Serialize for Fixed<S> {
    fn serialize<Se: Serializer>(&self, serializer: Se) -> Result<Se::Ok, Se::Error> {
        serializer.collect_str(self)
    }
}
impl<'de, const S: u32> Deserialize<'de> for Fixed<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<const S: u32>;
        impl<const S: u32> de::Visitor<'_> for Text<S> {
            type Value = Fixed<S>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a decimal string like \"12.50\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Fixed<S>, E> {
                text.parse().map_err(|e| E::custom(format!("{text:?} {e}")))
            }
        }
        deserializer.deserialize_str(Text::<S>)
    }
}
impl<const S: u32> ToSql<sql_types::Numeric, Pg> for Fixed<S> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        <Decimal as ToSql<sql_types::Numeric, Pg>>::to_sql(&self.0, out)
    }
}
impl<const S: u32> FromSql<sql_types::Numeric, Pg> for Fixed<S> {
    fn from_sql(bytes: PgValue<'_>) -> deserialize::Result<Self> {
        let value = <Decimal as FromSql<sql_types::Numeric, Pg>>::from_sql(bytes)?;
        Ok(Self(value))
    }
}
impl<const S: u32> schemars::JsonSchema for Fixed<S> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Decimal{S}").into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": format!("^-?[0-9]{{1,15}}(\\.[0-9]{{1,{S}}})?$"),
        })
    }
}
impl<const S: u32> utoipa::PartialSchema for Fixed<S> {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some(format!("^-?[0-9]{{1,15}}(\\.[0-9]{{1,{S}}})?$")))
            .examples(["12.50"])
            .into()
    }
}
impl<const S: u32> utoipa::ToSchema for Fixed<S> {
    fn name() -> std::borrow::Cow<'static, str> {
        format!("Decimal{S}").into()
    }
}
impl<const S: u32> Add for Fixed<S> {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}
impl<const S: u32> Sub for Fixed<S> {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}
impl<const S: u32> AddAssign for Fixed<S> {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}
impl<const S: u32> SubAssign for Fixed<S> {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}
impl<const S: u32> Neg for Fixed<S> {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}
/// A product has another scale: it stays a bare decimal until somebody rounds it.
impl<const A: u32, const B: u32> Mul<Fixed<B>> for Fixed<A> {
    type Output = Decimal;
    fn mul(self, other: Fixed<B>) -> Decimal {
        self.0 * other.0
    }
}
impl<const S: u32> Sum for Fixed<S> {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

/// An ISO 4217 currency code of three capital letters.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    utoipa::ToSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(String);

impl Currency {
    /// Indian rupee.
    pub fn inr() -> Self {
        Self("INR".into())
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl TryFrom<String> for Currency {
    type Error = &'static str;
    fn try_from(code: String) -> Result<Self, Self::Error> {
        if code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase()) {
            Ok(Self(code))
        } else {
            Err("is not an ISO 4217 code of three capital letters")
        }
    }
}
impl From<Currency> for String {
    fn from(code: Currency) -> Self {
        code.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rounds_half_away_from_zero_on_both_sides() {
        let d = |s: &str| Decimal::from_str_exact(s).unwrap();
        for (given, expected) in [("1.005", "1.01"), ("-1.005", "-1.01"), ("1.0049", "1.00")] {
            assert_eq!(r2(d(given)), d(expected));
        }
    }

    #[test]
    fn the_limit_is_ten_to_the_fifteen() {
        assert_eq!(LIMIT, Decimal::from(10i64.pow(15)));
    }

    #[test]
    fn json_is_a_decimal_string_and_nothing_else() {
        assert_eq!(serde_json::to_string(&Money::from(3)).unwrap(), "\"3.00\"");
        assert_eq!(serde_json::to_string(&Quantity::from(3)).unwrap(), "\"3\"");
        for bad in [
            "3",
            "3.0",
            "\"1e3\"",
            "\"NaN\"",
            "\"\"",
            "\".5\"",
            "\"5.\"",
            "\"+5\"",
            "\" 5\"",
            "null",
            "\"1.005\"",
            "\"1000000000000000\"",
            "\"--1\"",
            "\"१\"",
        ] {
            assert!(serde_json::from_str::<Money>(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn text_goes_there_and_back(paise in -99_999_999_999i64..99_999_999_999) {
            let money = Money::try_new(Decimal::new(paise, 2)).unwrap();
            prop_assert_eq!(money.to_string().parse::<Money>().unwrap(), money);
        }
    }
}
