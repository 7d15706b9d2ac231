//! Whole numbers behind the decimals: paise, thousandths of a unit, thousandths of a per cent.

use bahi_types::{Fixed, Money};
use rust_decimal::Decimal;

/// Amounts stay below this, in paise: 10^15 rupees.
const LIMIT: i128 = 100_000_000_000_000_000;

/// 100 % in thousandths of a per cent.
pub(crate) const WHOLE: i128 = 100_000;

/// A decimal as a whole number of its smallest part.
pub(crate) fn parts<const S: u32>(value: Fixed<S>) -> i128 {
    let mut decimal = value.decimal();
    decimal.rescale(S);
    decimal.mantissa()
}

/// Paise as money.
pub(crate) fn money(paise: i64) -> Money {
    Money::rounded(Decimal::new(paise, 2))
}

/// Paise within the limit.
pub(crate) fn narrow(paise: i128) -> Option<i64> {
    (paise.abs() < LIMIT)
        .then(|| i64::try_from(paise).ok())
        .flatten()
}

/// `a × b ÷ divisor`, rounded half up; none of them negative, the divisor not zero, and the product at most 10^38.
pub(crate) fn mul_div(a: i128, b: i128, divisor: i128) -> i128 {
    let divisor = divisor.max(1);
    a.saturating_mul(b).saturating_add(divisor / 2) / divisor
}

/// `a × b ÷ divisor`, rounded up.
pub(crate) fn mul_div_up(a: i128, b: i128, divisor: i128) -> i128 {
    let divisor = divisor.max(1);
    a.saturating_mul(b).saturating_add(divisor - 1) / divisor
}
