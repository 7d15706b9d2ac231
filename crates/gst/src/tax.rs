//! What the lines of a document come to: discounts, taxable values, taxes, round-off.
//!
//! 1. Gross of a line = quantity × unit price, to the paisa; less its own discount: the net.
//! 2. A discount on the bill is spread over the nets by largest remainder, before tax. On a line whose
//!    price includes the tax it lowers that price, elsewhere the taxable value.
//! 3. Tax on lines priced **without** tax is settled once per document and rate: the tax on the sum of
//!    the taxable values is rounded once, and given to the lines by largest remainder, the earlier line
//!    first. Cess likewise, per rate and cess. Returns, journals and commodity summaries all read these
//!    settled lines and therefore agree with each other.
//! 4. Lines priced **with** tax are settled each for itself: the taxes are rounded and the taxable
//!    value is what they leave of the price. A group settlement is not possible without breaking the
//!    promise made on the shelf, that a line costs exactly what it says whatever else is in the basket.
//!    Both kinds may stand in one document, even at one rate.
//! 5. CGST equals SGST on every line and in every sum: each is half the rate, rounded by itself, and
//!    an odd paisa is never split between them.
//! 6. The payable amount may be rounded to the nearest rupee; the difference is the round-off. (The
//!    rounding of CGST Act, s.170, is another: that of the tax payable in a return.)
//!
//! Everything is computed on absolute values and the sign put back, so that a credit note is the exact
//! mirror of its invoice.

mod settle;
mod working;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{
    paise::{NumberError, div_round, narrow, rupees, sum},
    rate::{TaxCategory, TaxRate},
};
use working::{Working, WorkingAmounts};

/// Whether a unit price includes the taxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pricing {
    /// Taxes come on top.
    Exclusive,
    /// Taxes are inside, as in a maximum retail price.
    Inclusive,
}

/// A discount on a line or on the bill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Discount {
    /// No discount.
    #[default]
    None,
    /// Percent, 0 to 100, at most 3 decimals.
    Percent(Decimal),
    /// An amount in rupees, not negative (also on a credit note), at most 2 decimals.
    Amount(Decimal),
}

/// Which taxes are charged on a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Levy {
    /// CGST and SGST (or UTGST): intra-state.
    Intra,
    /// IGST: inter-state.
    Inter,
    /// None: reverse charge, or an export or supply to SEZ under a letter of undertaking. The lines
    /// keep their rate; a price "with tax" has none inside.
    NotCharged,
}

/// What is done to the total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundOff {
    /// Payable to the paisa.
    #[default]
    None,
    /// Payable in whole rupees, 50 paise up.
    NearestRupee,
}

/// A line to be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Quantity in the unit of the price, at most 3 decimals, not zero. Negative on a credit note,
    /// then on all its lines.
    pub qty: Decimal,
    /// Price per unit, at most 4 decimals, not negative.
    pub unit_price: Decimal,
    /// Whether the price includes the taxes.
    pub pricing: Pricing,
    /// Discount on the line.
    pub discount: Discount,
    /// Category, rate and cess.
    pub tax: TaxRate,
}

/// A document to be computed.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// The lines, at least one.
    pub lines: &'a [Line],
    /// Discount on the bill, of the sum of the nets.
    pub bill_discount: Discount,
    /// Which taxes are charged.
    pub levy: Levy,
    /// What is done to the total.
    pub round_off: RoundOff,
}

/// Taxable value and taxes, of a line or in sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    /// Value on which the tax is due; of nil-rated, exempt and non-GST lines their value.
    pub taxable: Decimal,
    /// Central tax.
    pub cgst: Decimal,
    /// State or union territory tax; always equal to the central tax.
    pub sgst: Decimal,
    /// Integrated tax.
    pub igst: Decimal,
    /// Compensation cess.
    pub cess: Decimal,
}

/// A computed line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TaxedLine {
    /// Quantity × unit price.
    pub gross: Decimal,
    /// The line's own discount.
    pub discount: Decimal,
    /// Its share of the discount on the bill.
    pub bill_discount: Decimal,
    /// Category, rate and cess, as given.
    pub tax: TaxRate,
    /// Taxable value and taxes.
    pub amounts: Amounts,
}

/// Sums of the lines of one category and rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RateTotal {
    /// The category.
    pub category: TaxCategory,
    /// The rate in percent.
    pub rate: Decimal,
    /// Taxable value and taxes.
    pub amounts: Amounts,
}

/// Sums of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Sum of quantity × unit price.
    pub gross: Decimal,
    /// Sum of the lines' own discounts.
    pub discount: Decimal,
    /// The discount on the bill.
    pub bill_discount: Decimal,
    /// Taxable value and taxes; their total is the document's total before round-off.
    pub amounts: Amounts,
    /// What rounding added (or, negative, took away).
    pub round_off: Decimal,
    /// What is to be paid.
    pub payable: Decimal,
}

/// A computed document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Computed {
    /// The lines, in the order given.
    pub lines: Vec<TaxedLine>,
    /// Sums per category and rate, in that order.
    pub rates: Vec<RateTotal>,
    /// Sums of the document.
    pub totals: Totals,
}

/// Why a document cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaxError {
    /// Nothing to compute.
    #[error("a document needs at least one line")]
    NoLines,
    /// A line is wrong.
    #[error("line {}: {field} {fault}", .line + 1)]
    Line {
        /// Which line, from 0.
        line: usize,
        /// Which of its fields.
        field: Field,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The discount on the bill is wrong.
    #[error("bill discount {0}")]
    BillDiscount(Fault),
    /// A sum reaches 10^15 rupees.
    #[error("total {0}")]
    Total(#[from] NumberError),
}

/// A field of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Field {
    /// [`Line::qty`].
    #[error("quantity")]
    Quantity,
    /// [`Line::unit_price`].
    #[error("unit price")]
    UnitPrice,
    /// [`Line::discount`].
    #[error("discount")]
    Discount,
    /// What follows from the others.
    #[error("amount")]
    Amount,
}

/// What is wrong with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// Too many decimals, or too large.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// Must not be zero.
    #[error("must not be zero")]
    Zero,
    /// Must not be negative.
    #[error("must not be negative")]
    Negative,
    /// Some lines sell and others give back: two documents.
    #[error("must have the same sign on all lines")]
    MixedSigns,
    /// A discount over 100 % or over what it is taken from.
    #[error("exceeds what it is taken from")]
    ExceedsValue,
}

impl Amounts {
    /// Nothing.
    pub const ZERO: Self = Self {
        taxable: Decimal::ZERO,
        cgst: Decimal::ZERO,
        sgst: Decimal::ZERO,
        igst: Decimal::ZERO,
        cess: Decimal::ZERO,
    };

    /// All taxes and the cess.
    pub fn tax(&self) -> Decimal {
        [self.sgst, self.igst, self.cess]
            .into_iter()
            .fold(self.cgst, Decimal::saturating_add)
    }

    /// Taxable value and taxes.
    pub fn total(&self) -> Decimal {
        self.taxable.saturating_add(self.tax())
    }

    fn mirrored(&self) -> Self {
        Self {
            taxable: mirror(self.taxable),
            cgst: mirror(self.cgst),
            sgst: mirror(self.sgst),
            igst: mirror(self.igst),
            cess: mirror(self.cess),
        }
    }
}

impl TaxedLine {
    /// What the line costs: taxable value and taxes.
    pub fn total(&self) -> Decimal {
        self.amounts.total()
    }
}

/// Computes a document.
///
/// With negative quantities the result is the exact mirror of that with positive ones.
///
/// # Errors
/// [`TaxError`], naming the line and the field.
pub fn compute(document: &Document<'_>) -> Result<Computed, TaxError> {
    let mut lines = working::price(document.lines)?;
    working::spread_bill_discount(document.bill_discount, &mut lines)?;
    settle::settle(&mut lines, document.levy)?;
    let computed = Computed {
        rates: rate_totals(&lines)?,
        totals: totals(&lines, document.round_off)?,
        lines: lines.iter().map(Working::finish).collect(),
    };
    let negative = document.lines.iter().any(|line| line.qty < Decimal::ZERO);
    Ok(if negative {
        computed.mirrored()
    } else {
        computed
    })
}

fn rate_totals(lines: &[Working]) -> Result<Vec<RateTotal>, NumberError> {
    let mut groups: BTreeMap<(TaxCategory, Decimal), Vec<WorkingAmounts>> = BTreeMap::new();
    for line in lines {
        let group = groups
            .entry((line.tax.category(), line.tax.rate()))
            .or_default();
        group.push(line.amounts);
    }
    let total = |((category, rate), amounts): (_, Vec<_>)| {
        Ok(RateTotal {
            category,
            rate,
            amounts: WorkingAmounts::sum(&amounts)?.finish(),
        })
    };
    groups.into_iter().map(total).collect()
}

fn totals(lines: &[Working], round_off: RoundOff) -> Result<Totals, NumberError> {
    let amounts: Vec<WorkingAmounts> = lines.iter().map(|line| line.amounts).collect();
    let amounts = WorkingAmounts::sum(&amounts)?;
    let total = amounts.total()?;
    let payable = match round_off {
        RoundOff::None => total,
        RoundOff::NearestRupee => narrow(div_round(total.into(), 100)? * 100)?,
    };
    Ok(Totals {
        gross: rupees(sum(lines.iter().map(|line| line.gross))?),
        discount: rupees(sum(lines.iter().map(|line| line.discount))?),
        bill_discount: rupees(sum(lines.iter().map(|line| line.bill_discount))?),
        amounts: amounts.finish(),
        round_off: rupees(payable - total),
        payable: rupees(payable),
    })
}

impl Computed {
    /// The same document with every amount negated: what takes it back whole.
    pub fn mirrored(mut self) -> Self {
        for line in &mut self.lines {
            line.gross = mirror(line.gross);
            line.discount = mirror(line.discount);
            line.bill_discount = mirror(line.bill_discount);
            line.amounts = line.amounts.mirrored();
        }
        for rate in &mut self.rates {
            rate.amounts = rate.amounts.mirrored();
        }
        let totals = &mut self.totals;
        totals.gross = mirror(totals.gross);
        totals.discount = mirror(totals.discount);
        totals.bill_discount = mirror(totals.bill_discount);
        totals.amounts = totals.amounts.mirrored();
        totals.round_off = mirror(totals.round_off);
        totals.payable = mirror(totals.payable);
        self
    }
}

/// Negated; but zero stays zero, for a decimal knows "-0.00".
fn mirror(amount: Decimal) -> Decimal {
    if amount.is_zero() { amount } else { -amount }
}
