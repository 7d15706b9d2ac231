//! Splitting an amount by weights without losing or gaining a paisa: the method of largest remainder.

use rust_decimal::Decimal;

use crate::paise::{NumberError, narrow, paise, rupees};

/// Why an amount cannot be split.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApportionError {
    /// The amount or a weight is no amount.
    #[error("amount or weight {0}")]
    Number(#[from] NumberError),
    /// Weights must not be negative.
    #[error("weights must not be negative")]
    NegativeWeight,
    /// There is something to split but no weight to split it by.
    #[error("no weight to split by")]
    NoWeight,
}

/// Splits `total` (2 decimals) by `weights` (2 decimals, none negative): each share is rounded down to
/// the paisa, and the paise left over go one each to the largest remainders, the earlier line first
/// where these are equal. The shares sum to `total` exactly; a negative total is split as its mirror.
///
/// # Errors
/// When a number is out of range, a weight is negative, or all weights are zero and `total` is not.
pub fn apportion(total: Decimal, weights: &[Decimal]) -> Result<Vec<Decimal>, ApportionError> {
    let weights: Vec<i64> = weights
        .iter()
        .map(|w| paise(*w))
        .collect::<Result<_, _>>()?;
    let shares = apportion_paise(paise(total)?, &weights)?;
    Ok(shares.into_iter().map(rupees).collect())
}

/// [`apportion`] in paise.
pub(crate) fn apportion_paise(total: i64, weights: &[i64]) -> Result<Vec<i64>, ApportionError> {
    if weights.iter().any(|w| *w < 0) {
        return Err(ApportionError::NegativeWeight);
    }
    if total == 0 {
        return Ok(vec![0; weights.len()]);
    }
    let divisor: i128 = weights.iter().map(|w| i128::from(*w)).sum();
    if divisor == 0 {
        return Err(ApportionError::NoWeight);
    }
    let magnitude = i128::from(total).abs();
    let quotas: Vec<i128> = weights
        .iter()
        .map(|w| {
            magnitude
                .checked_mul(i128::from(*w))
                .ok_or(NumberError::TooLarge)
        })
        .collect::<Result<_, _>>()?;
    let shares = largest_remainder(&quotas, divisor, magnitude)?;
    Ok(shares
        .into_iter()
        .map(|share| share * total.signum())
        .collect())
}

/// Gives out `units` whole units so that each receiver has `quotas[i] ÷ divisor` of them, rounded
/// down, or one more. Quotas are not negative; `units` is their sum ÷ `divisor`, rounded either way.
pub(crate) fn largest_remainder(
    quotas: &[i128],
    divisor: i128,
    units: i128,
) -> Result<Vec<i64>, NumberError> {
    let mut shares: Vec<i64> = quotas
        .iter()
        .map(|quota| narrow(quota / divisor))
        .collect::<Result<_, _>>()?;
    let given: i128 = shares.iter().map(|share| i128::from(*share)).sum();
    let left = usize::try_from(units - given).unwrap_or_default();
    let mut by_remainder: Vec<usize> = (0..quotas.len()).collect();
    // A stable sort keeps equal remainders in line order.
    by_remainder.sort_by_key(|line| std::cmp::Reverse(quotas[*line] % divisor));
    for line in by_remainder.into_iter().take(left) {
        shares[line] += 1;
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn spreads_a_bill_discount_by_largest_remainder() {
        let shares = apportion(d("100"), &[d("2149.20"), d("998.50"), d("930")]).unwrap();
        assert_eq!(shares, [d("52.70"), d("24.49"), d("22.81")]);
    }

    #[test]
    fn the_earlier_line_gets_the_odd_paisa() {
        let thirds = apportion(d("0.02"), &[d("1"), d("1"), d("1")]).unwrap();
        assert_eq!(thirds, [d("0.01"), d("0.01"), d("0.00")]);
        let mirrored = apportion(d("-0.02"), &[d("1"), d("1"), d("1")]).unwrap();
        assert_eq!(mirrored, [d("-0.01"), d("-0.01"), d("0.00")]);
    }

    #[test]
    fn refuses_what_has_no_answer() {
        assert_eq!(apportion(d("1"), &[]), Err(ApportionError::NoWeight));
        assert_eq!(
            apportion(d("1"), &[d("0"), d("0")]),
            Err(ApportionError::NoWeight)
        );
        assert_eq!(apportion(d("0"), &[d("0")]), Ok(vec![d("0")]));
        assert_eq!(
            apportion(d("1"), &[d("-1"), d("2")]),
            Err(ApportionError::NegativeWeight)
        );
        assert!(apportion(d("1.001"), &[d("1")]).is_err());
        assert!(apportion(Decimal::MAX, &[d("1")]).is_err());
    }

    proptest! {
        #[test]
        fn shares_sum_to_the_total_and_are_within_a_paisa(
            total in -1_000_000_000_000i64..1_000_000_000_000,
            weights in prop::collection::vec(0i64..10_000_000_000, 1..40),
        ) {
            prop_assume!(weights.iter().any(|w| *w > 0));
            let shares = apportion_paise(total, &weights).unwrap();
            prop_assert_eq!(shares.iter().sum::<i64>(), total);
            let weight: i128 = weights.iter().map(|w| i128::from(*w)).sum();
            for (share, w) in shares.iter().zip(&weights) {
                let exact = i128::from(total) * i128::from(*w);
                prop_assert!((i128::from(*share) * weight - exact).abs() < weight);
            }
        }
    }
}
