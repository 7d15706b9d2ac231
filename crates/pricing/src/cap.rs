//! The maximum retail price: what a customer pays for a unit, tax included, is never above it.

use bahi_gst::TaxRate;
use bahi_types::{Fixed, Money, Price, Quantity, Rate};
use rust_decimal::Decimal;

use crate::{
    Base,
    paise::{WHOLE, mul_div, mul_div_up, parts},
};

/// The price under an MRP, and whether the MRP has lowered it.
///
/// A price without tax is settled on the bill: the tax of all its lines is rounded once and shared out, so a line may
/// carry a paisa more than its own tax rounded up would be for each of CGST and SGST. Where that could carry it past the
/// MRP (253.39 and 18 % make 299.01, not 299.00), the price is charged with tax inside, which is exact.
pub(crate) fn cap(price: Base, mrp: Money, tax: TaxRate, quantities: &[Quantity]) -> (Base, bool) {
    let limit: Price = Fixed::rounded(mrp.decimal());
    if price.includes_tax {
        let lowered = price.price > limit;
        let capped = Base {
            price: price.price.min(limit),
            ..price
        };
        return (capped, lowered);
    }
    if quantities
        .iter()
        .all(|qty| fits(*qty, price.price, mrp, tax))
    {
        return (price, false);
    }
    let with_tax = with_tax(price.price, tax);
    let lowered = with_tax > limit.decimal();
    let inside = Base {
        price: Price::rounded(with_tax.min(limit.decimal())),
        includes_tax: true,
    };
    (inside, lowered)
}

/// The price with its tax, cut off after four decimals so that it is never more.
fn with_tax(price: Price, tax: TaxRate) -> Decimal {
    let percent = tax.rate() + tax.cess() + Decimal::ONE_HUNDRED;
    let whole = price.decimal().checked_mul(percent);
    whole.map_or(Decimal::MAX, |whole| {
        (whole / Decimal::ONE_HUNDRED).trunc_with_scale(4)
    })
}

/// Whether a line without tax stays within the MRP however its tax is shared out.
fn fits(qty: Quantity, price: Price, mrp: Money, tax: TaxRate) -> bool {
    let (qty, rate, cess) = (
        parts(qty),
        parts(Rate::rounded(tax.rate())),
        parts(Rate::rounded(tax.cess())),
    );
    let net = mul_div(qty, parts(price), 100_000);
    let taxes = 2 * mul_div_up(net, rate, 2 * WHOLE) + mul_div_up(net, cess, WHOLE);
    // Thousandths of a unit times paise.
    (net + taxes).saturating_mul(1000) <= qty.saturating_mul(parts(mrp))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capped(price: &str, includes_tax: bool, mrp: &str) -> (String, bool, bool) {
        let base = Base {
            price: price.parse().unwrap(),
            includes_tax,
        };
        let tax = TaxRate::taxable(Decimal::from(18), Decimal::ZERO).unwrap();
        let (base, lowered) = cap(base, mrp.parse().unwrap(), tax, &[Quantity::from(1)]);
        (base.price.to_string(), base.includes_tax, lowered)
    }

    #[test]
    fn a_price_with_tax_is_at_most_the_mrp() {
        assert_eq!(capped("299", true, "299"), ("299".into(), true, false));
        assert_eq!(capped("299.01", true, "299"), ("299".into(), true, true));
    }

    #[test]
    fn a_price_without_tax_leaves_room_for_the_rounding_of_its_tax() {
        assert_eq!(capped("200", false, "299"), ("200".into(), false, false));
        // 298.9998: allowed by itself, but 253.39 + 22.81 + 22.81 on the bill.
        assert_eq!(
            capped("253.3897", false, "299"),
            ("298.9998".into(), true, false)
        );
        assert_eq!(capped("300", false, "299"), ("299".into(), true, true));
    }
}
