//! Exact whole-number arithmetic behind the decimals: amounts in paise, quantities in thousandths.
//!
//! Amounts stay below 10^15 rupees (10^17 paise), so they fit an `i64` and every product of two of
//! them an `i128`.

use rust_decimal::Decimal;

/// Amounts in paise stay below this in absolute value: 10^15 rupees.
const LIMIT: i128 = 100_000_000_000_000_000;

/// Why a number cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NumberError {
    /// More decimals than the quantity may have.
    #[error("has more than {0} decimals")]
    TooManyDecimals(u32),
    /// Or a result is: 10^15 or more.
    #[error("is too large")]
    TooLarge,
}

/// `value` as a whole number of 10^-`scale`.
pub(crate) fn scaled(value: Decimal, scale: u32) -> Result<i128, NumberError> {
    let value = value.normalize();
    let shift = scale
        .checked_sub(value.scale())
        .ok_or(NumberError::TooManyDecimals(scale))?;
    let number = value
        .mantissa()
        .checked_mul(10_i128.pow(shift))
        .ok_or(NumberError::TooLarge)?;
    if number.unsigned_abs() / 10_u128.pow(scale) >= 1_000_000_000_000_000 {
        return Err(NumberError::TooLarge);
    }
    Ok(number)
}

/// An amount with at most two decimals, in paise.
pub(crate) fn paise(value: Decimal) -> Result<i64, NumberError> {
    narrow(scaled(value, 2)?)
}

/// Paise as an amount with exactly two decimals.
pub(crate) fn rupees(paise: i64) -> Decimal {
    Decimal::new(paise, 2)
}

/// Back to paise, within the limit.
pub(crate) fn narrow(paise: i128) -> Result<i64, NumberError> {
    if paise.abs() >= LIMIT {
        return Err(NumberError::TooLarge);
    }
    i64::try_from(paise).map_err(|_| NumberError::TooLarge)
}

/// The sum of amounts.
pub(crate) fn sum(amounts: impl IntoIterator<Item = i64>) -> Result<i64, NumberError> {
    narrow(amounts.into_iter().map(i128::from).sum())
}

/// `a × b ÷ divisor`, rounded half away from zero: the absolute value is rounded and the sign put back.
pub(crate) fn mul_div(a: i128, b: i128, divisor: i128) -> Result<i64, NumberError> {
    let product = a.checked_mul(b).ok_or(NumberError::TooLarge)?;
    narrow(div_round(product, divisor)?)
}

/// `a ÷ divisor`, rounded half away from zero; `divisor` must be positive.
pub(crate) fn div_round(a: i128, divisor: i128) -> Result<i128, NumberError> {
    let magnitude = a.unsigned_abs();
    let divisor = divisor.unsigned_abs();
    let quotient = magnitude
        .checked_div(divisor)
        .ok_or(NumberError::TooLarge)?;
    let remainder = magnitude % divisor;
    // remainder >= divisor - remainder is "at least half", without doubling what might overflow.
    let up = u128::from(remainder >= divisor - remainder);
    let rounded = i128::try_from(quotient + up).map_err(|_| NumberError::TooLarge)?;
    Ok(if a < 0 { -rounded } else { rounded })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn takes_only_what_fits() {
        let d = |s: &str| s.parse::<Decimal>().unwrap();
        assert_eq!(paise(d("12.50")), Ok(1250));
        assert_eq!(paise(d("12.500000")), Ok(1250));
        assert_eq!(paise(d("-0.01")), Ok(-1));
        assert_eq!(paise(d("12.505")), Err(NumberError::TooManyDecimals(2)));
        assert_eq!(paise(d("999999999999999.99")), Ok(99_999_999_999_999_999));
        assert_eq!(paise(d("1000000000000000")), Err(NumberError::TooLarge));
        assert_eq!(paise(Decimal::MAX), Err(NumberError::TooLarge));
        assert_eq!(paise(Decimal::MIN), Err(NumberError::TooLarge));
        assert_eq!(rupees(1200).to_string(), "12.00");
    }

    #[test]
    fn division_by_zero_is_an_error() {
        assert!(div_round(1, 0).is_err());
    }

    proptest! {
        #[test]
        fn rounds_as_the_fleet_does(a in -1_000_000_000i64..1_000_000_000) {
            let by_fleet = bahi_types::r2(Decimal::new(a, 5));
            prop_assert_eq!(rupees(mul_div(a.into(), 1, 1000).unwrap()), by_fleet);
        }
    }
}
