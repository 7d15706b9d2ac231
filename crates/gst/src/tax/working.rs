//! Lines while they are computed, in paise: from price and quantity to the value that is taxed.

use rust_decimal::Decimal;

use super::{Amounts, Discount, Fault, Field, Line, Pricing, TaxError, TaxedLine};
use crate::{
    apportion::{ApportionError, apportion_paise},
    paise::{NumberError, mul_div, paise, rupees, scaled, sum},
    rate::TaxRate,
};

/// 100 % in thousandths of a percent.
pub(super) const WHOLE: i128 = 100_000;

/// A line in paise, never negative.
pub(super) struct Working {
    pub gross: i64,
    pub discount: i64,
    pub bill_discount: i64,
    pub pricing: Pricing,
    pub tax: TaxRate,
    /// The rate in thousandths of a percent.
    pub rate: i128,
    /// The cess in thousandths of a percent.
    pub cess: i128,
    pub amounts: WorkingAmounts,
}

/// [`Amounts`] in paise.
#[derive(Clone, Copy, Default)]
pub(super) struct WorkingAmounts {
    pub taxable: i64,
    pub cgst: i64,
    pub sgst: i64,
    pub igst: i64,
    pub cess: i64,
}

/// Prices the lines and takes off their own discounts.
pub(super) fn price(lines: &[Line]) -> Result<Vec<Working>, TaxError> {
    let first = lines.first().ok_or(TaxError::NoLines)?;
    let negative = first.qty < Decimal::ZERO;
    let check = |(place, line): (usize, &Line)| {
        let refused = |field| {
            move |fault: Fault| TaxError::Line {
                line: place,
                field,
                fault,
            }
        };
        let qty = quantity(line.qty, negative).map_err(refused(Field::Quantity))?;
        let unit_price = unit_price(line.unit_price).map_err(refused(Field::UnitPrice))?;
        // Thousandths of a unit times hundredths of a paisa.
        let gross = mul_div(qty, unit_price, 100_000)
            .map_err(|error| refused(Field::Amount)(error.into()))?;
        let discount = discount(line.discount, gross).map_err(refused(Field::Discount))?;
        Ok(Working {
            gross,
            discount,
            bill_discount: 0,
            pricing: line.pricing,
            tax: line.tax,
            rate: scaled(line.tax.rate(), 3)?,
            cess: scaled(line.tax.cess(), 3)?,
            amounts: WorkingAmounts::default(),
        })
    };
    lines.iter().enumerate().map(check).collect()
}

fn quantity(qty: Decimal, negative: bool) -> Result<i128, Fault> {
    let qty = scaled(qty, 3)?;
    match qty {
        0 => Err(Fault::Zero),
        _ if (qty < 0) != negative => Err(Fault::MixedSigns),
        _ => Ok(qty.abs()),
    }
}

fn unit_price(price: Decimal) -> Result<i128, Fault> {
    let price = scaled(price, 4)?;
    if price < 0 {
        Err(Fault::Negative)
    } else {
        Ok(price)
    }
}

/// A discount on `value`, in paise.
fn discount(discount: Discount, value: i64) -> Result<i64, Fault> {
    let off = match discount {
        Discount::None => 0,
        Discount::Percent(percent) => mul_div(value.into(), scaled(percent, 3)?, WHOLE)?,
        Discount::Amount(amount) => paise(amount)?,
    };
    // The sign is asked of what was given: a tiny negative percentage may round to nothing.
    match discount {
        Discount::Percent(given) | Discount::Amount(given) if given < Decimal::ZERO => {
            Err(Fault::Negative)
        }
        Discount::Percent(percent) if percent > Decimal::ONE_HUNDRED => Err(Fault::ExceedsValue),
        _ if off > value => Err(Fault::ExceedsValue),
        _ => Ok(off),
    }
}

/// Spreads the discount on the bill over the nets of the lines.
pub(super) fn spread_bill_discount(bill: Discount, lines: &mut [Working]) -> Result<(), TaxError> {
    let nets: Vec<i64> = lines.iter().map(Working::net).collect();
    let off = discount(bill, sum(nets.iter().copied())?).map_err(TaxError::BillDiscount)?;
    let shares = apportion_paise(off, &nets).map_err(|error| match error {
        ApportionError::Number(error) => TaxError::Total(error),
        // A discount on nothing has been refused above.
        ApportionError::NegativeWeight | ApportionError::NoWeight => {
            TaxError::BillDiscount(Fault::ExceedsValue)
        }
    })?;
    for (line, share) in lines.iter_mut().zip(shares) {
        line.bill_discount = share;
    }
    Ok(())
}

impl Working {
    /// What is left after both discounts: the taxable value, or the price with tax inside.
    pub fn net(&self) -> i64 {
        self.gross - self.discount - self.bill_discount
    }

    /// The line in rupees.
    pub fn finish(&self) -> TaxedLine {
        TaxedLine {
            gross: rupees(self.gross),
            discount: rupees(self.discount),
            bill_discount: rupees(self.bill_discount),
            tax: self.tax,
            amounts: self.amounts.finish(),
        }
    }
}

impl WorkingAmounts {
    pub fn sum(all: &[Self]) -> Result<Self, NumberError> {
        Ok(Self {
            taxable: sum(all.iter().map(|amounts| amounts.taxable))?,
            cgst: sum(all.iter().map(|amounts| amounts.cgst))?,
            sgst: sum(all.iter().map(|amounts| amounts.sgst))?,
            igst: sum(all.iter().map(|amounts| amounts.igst))?,
            cess: sum(all.iter().map(|amounts| amounts.cess))?,
        })
    }

    pub fn total(&self) -> Result<i64, NumberError> {
        sum([self.taxable, self.cgst, self.sgst, self.igst, self.cess])
    }

    pub fn finish(&self) -> Amounts {
        Amounts {
            taxable: rupees(self.taxable),
            cgst: rupees(self.cgst),
            sgst: rupees(self.sgst),
            igst: rupees(self.igst),
            cess: rupees(self.cess),
        }
    }
}
