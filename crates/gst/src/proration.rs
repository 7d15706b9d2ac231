//! What goes back with a part return: exact shares of a sold line, which sum to the line when all of
//! it has come back.

use rust_decimal::Decimal;

use crate::{
    paise::{NumberError, mul_div, paise, rupees, scaled, sum},
    tax::{Amounts, Pricing},
};

/// Why a share cannot be worked out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProrationError {
    /// An amount has more than 2 decimals, a quantity more than 3, or one is too large.
    #[error("amount or quantity {0}")]
    Number(#[from] NumberError),
    /// Nothing was sold.
    #[error("sold quantity must be greater than zero")]
    NothingSold,
    /// More came back than was sold, or less than nothing.
    #[error("returned quantity must be between zero and the sold quantity")]
    OutOfRange,
}

/// The share of `total` that goes back when `cumulative_qty` of `sold_qty` have come back in all,
/// this return included, and `previous` has been given before:
/// `r2(total × cumulative_qty ÷ sold_qty) − previous`.
///
/// Because each share is the difference to what is due in all, the rounding never piles up, and the
/// last return brings the sum to `total` exactly. A negative total gives the mirror.
///
/// # Errors
/// When a number has too many decimals or is too large, nothing was sold, or more than that returned.
pub fn prorate(
    total: Decimal,
    sold_qty: Decimal,
    cumulative_qty: Decimal,
    previous: Decimal,
) -> Result<Decimal, ProrationError> {
    let part = Part::try_new(sold_qty, cumulative_qty)?;
    Ok(rupees(part.of(paise(total)?, paise(previous)?)?))
}

/// [`prorate`] for every amount of a line. On a line whose price included the tax the money that goes
/// back in all is exact (half of two biscuits at 30.00 is 30.00) and the taxable value is what the
/// taxes leave of it; elsewhere each amount is prorated by itself.
///
/// # Errors
/// As for [`prorate`].
pub fn prorate_line(
    sold: &Amounts,
    pricing: Pricing,
    sold_qty: Decimal,
    cumulative_qty: Decimal,
    previous: &Amounts,
) -> Result<Amounts, ProrationError> {
    let part = Part::try_new(sold_qty, cumulative_qty)?;
    let (sold, previous) = (in_paise(sold)?, in_paise(previous)?);
    let mut share = [0; 5];
    for (place, amount) in share.iter_mut().enumerate() {
        *amount = part.of(sold[place], previous[place])?;
    }
    if pricing == Pricing::Inclusive {
        let total = part.of(sum(sold)?, sum(previous)?)?;
        share[0] = sum([total, -share[1], -share[2], -share[3], -share[4]])?;
    }
    let [taxable, cgst, sgst, igst, cess] = share.map(rupees);
    Ok(Amounts {
        taxable,
        cgst,
        sgst,
        igst,
        cess,
    })
}

/// The taxable value first.
fn in_paise(amounts: &Amounts) -> Result<[i64; 5], NumberError> {
    let Amounts {
        taxable,
        cgst,
        sgst,
        igst,
        cess,
    } = *amounts;
    Ok([
        paise(taxable)?,
        paise(cgst)?,
        paise(sgst)?,
        paise(igst)?,
        paise(cess)?,
    ])
}

/// How much of a line has come back, in thousandths of its unit.
struct Part {
    returned: i128,
    sold: i128,
}

impl Part {
    fn try_new(sold_qty: Decimal, cumulative_qty: Decimal) -> Result<Self, ProrationError> {
        let (sold, returned) = (scaled(sold_qty, 3)?, scaled(cumulative_qty, 3)?);
        if sold <= 0 {
            return Err(ProrationError::NothingSold);
        }
        if !(0..=sold).contains(&returned) {
            return Err(ProrationError::OutOfRange);
        }
        Ok(Self { returned, sold })
    }

    fn of(&self, total: i64, previous: i64) -> Result<i64, NumberError> {
        sum([mul_div(total.into(), self.returned, self.sold)?, -previous])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn half_of_an_inclusive_line_gives_back_half_of_what_was_paid() {
        let [taxable, tax] = [d("57.14"), d("1.43")];
        let sold = Amounts {
            taxable,
            cgst: tax,
            sgst: tax,
            ..Amounts::ZERO
        };
        let give = |cumulative, previous| {
            prorate_line(&sold, Pricing::Inclusive, d("2"), cumulative, previous).unwrap()
        };
        let first = give(d("1"), &Amounts::ZERO);
        assert_eq!(
            (first.taxable, first.cgst, first.total()),
            (d("28.56"), d("0.72"), d("30.00"))
        );
        let second = give(d("2"), &first);
        assert_eq!(
            (second.taxable, second.cgst, second.total()),
            (d("28.58"), d("0.71"), d("30.00"))
        );
    }

    #[test]
    fn refuses_what_was_not_sold() {
        let share = |sold, cumulative| prorate(d("10"), d(sold), d(cumulative), Decimal::ZERO);
        assert_eq!(share("0", "0"), Err(ProrationError::NothingSold));
        assert_eq!(share("-1", "0"), Err(ProrationError::NothingSold));
        assert_eq!(share("2", "2.001"), Err(ProrationError::OutOfRange));
        assert_eq!(share("2", "-1"), Err(ProrationError::OutOfRange));
        assert!(matches!(
            share("2", "0.0001"),
            Err(ProrationError::Number(_))
        ));
        assert!(prorate(Decimal::MAX, d("1"), d("1"), Decimal::ZERO).is_err());
    }
}
