//! A note's rows, and what it gives or charges.

use bahi_gst::{
    Amounts, Discount, Document, Levy, Line as TaxLine, Pricing, RoundOff, TaxRate, compute,
    prorate_line,
};
use bahi_types::{
    BranchId, CustomerId, InvoiceId, Money, PosSessionId, ProductId, Rate, RegistrationId, UserId,
};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{Bool, Date, Integer, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid},
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    invoice::{Header, Line, Tender},
};

/// Which way prices go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Down.
    Credit,
    /// Up.
    Debit,
}

impl Kind {
    /// As it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Debit => "debit",
        }
    }
}

/// A note's header.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(crate) struct NoteHeader {
    #[diesel(sql_type = SqlUuid)]
    pub note_id: InvoiceId,
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[diesel(sql_type = SqlUuid)]
    pub registration_id: RegistrationId,
    #[diesel(sql_type = Integer)]
    pub fiscal_year: i32,
    #[diesel(sql_type = Text)]
    pub series: String,
    #[diesel(sql_type = Text)]
    pub number: String,
    #[diesel(sql_type = Date)]
    pub date: NaiveDate,
    #[diesel(sql_type = Timestamptz)]
    pub issued_at: DateTime<Utc>,
    #[diesel(sql_type = SqlUuid)]
    pub original_invoice_id: InvoiceId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub customer_id: Option<CustomerId>,
    #[diesel(sql_type = Nullable<Text>)]
    pub gstin_supplier: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub gstin_buyer: Option<String>,
    #[diesel(sql_type = Text)]
    pub place_of_supply: String,
    #[diesel(sql_type = Bool)]
    pub inter_state: bool,
    #[diesel(sql_type = SqlUuid)]
    pub branch_id: BranchId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub session_id: Option<PosSessionId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub issued_by: Option<UserId>,
    #[diesel(sql_type = Text)]
    pub reason: String,
    #[diesel(sql_type = Numeric)]
    pub taxable: Money,
    #[diesel(sql_type = Numeric)]
    pub cgst: Money,
    #[diesel(sql_type = Numeric)]
    pub sgst: Money,
    #[diesel(sql_type = Numeric)]
    pub igst: Money,
    #[diesel(sql_type = Numeric)]
    pub cess: Money,
    #[diesel(sql_type = Numeric)]
    pub round_off: Money,
    #[diesel(sql_type = Numeric)]
    pub total: Money,
    #[diesel(sql_type = Text)]
    pub currency: String,
}

/// A note's line.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(crate) struct NoteLine {
    #[diesel(sql_type = Integer)]
    pub line: i32,
    #[diesel(sql_type = Integer)]
    pub original_line: i32,
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = Text)]
    pub description: String,
    #[diesel(sql_type = Text)]
    pub hsn: String,
    #[diesel(sql_type = Text)]
    pub tax_category: String,
    #[diesel(sql_type = Numeric)]
    pub rate: Rate,
    #[diesel(sql_type = Numeric)]
    pub cess_rate: Rate,
    #[diesel(sql_type = Numeric)]
    pub taxable: Money,
    #[diesel(sql_type = Numeric)]
    pub cgst: Money,
    #[diesel(sql_type = Numeric)]
    pub sgst: Money,
    #[diesel(sql_type = Numeric)]
    pub igst: Money,
    #[diesel(sql_type = Numeric)]
    pub cess: Money,
    #[diesel(sql_type = Numeric)]
    pub total: Money,
}

/// A whole note.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    pub header: NoteHeader,
    pub lines: Vec<NoteLine>,
    pub tenders: Vec<Tender>,
}

impl Note {
    /// Which way it goes.
    pub fn kind(&self) -> Kind {
        if self.header.kind == Kind::Debit.name() {
            Kind::Debit
        } else {
            Kind::Credit
        }
    }
}

/// By how much the price of a line changes: with tax where its price includes it.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    pub line: i32,
    pub amount: Money,
}

/// What a note comes to.
#[derive(Debug)]
pub(super) struct Noted {
    pub lines: Vec<NoteLine>,
    pub round_off: Money,
    pub total: Money,
    /// Nothing is left of the invoice.
    pub whole: bool,
}

fn pricing(line: &Line) -> Pricing {
    if line.price_includes_tax {
        Pricing::Inclusive
    } else {
        Pricing::Exclusive
    }
}

fn find<'a>(lines: &'a [Line], difference: &Difference) -> Result<&'a Line> {
    lines
        .iter()
        .find(|l| l.line == difference.line)
        .ok_or(Error::NoSuchLine(difference.line))
}

fn note_line(index: usize, line: &Line, amounts: &Amounts) -> NoteLine {
    NoteLine {
        line: i32::try_from(index + 1).unwrap_or(i32::MAX),
        original_line: line.line,
        product_id: line.product_id,
        description: line.description.clone(),
        hsn: line.hsn.clone(),
        tax_category: line.tax_category.clone(),
        rate: line.rate,
        cess_rate: line.cess_rate,
        taxable: Money::rounded(amounts.taxable),
        cgst: Money::rounded(amounts.cgst),
        sgst: Money::rounded(amounts.sgst),
        igst: Money::rounded(amounts.igst),
        cess: Money::rounded(amounts.cess),
        total: Money::rounded(amounts.total()),
    }
}

/// What a credit note of these differences gives back.
pub(super) fn credit(header: &Header, lines: &[Line], wanted: &[Difference]) -> Result<Noted> {
    let mut made = Vec::with_capacity(wanted.len());
    for (index, difference) in wanted.iter().enumerate() {
        let line = find(lines, difference)?;
        let left = line.left();
        // In the terms of the price.
        let most = if line.price_includes_tax {
            left.total()
        } else {
            left.taxable
        };
        if difference.amount.decimal() > most {
            return Err(Error::ExceedsLine {
                line: line.line,
                asked: difference.amount,
                left: Money::rounded(most),
            });
        }
        let amount = difference.amount.decimal();
        let share = prorate_line(&left, pricing(line), most, amount, &Amounts::default())
            .map_err(|e| Error::Uncomputable(e.to_string()))?;
        made.push(note_line(index, line, &share));
    }
    let of_lines: Money = made.iter().map(|l| l.total).sum();
    let given = |l: &Line| Money::rounded(l.returned().total() + l.credited().total());
    let in_all = lines.iter().map(given).sum::<Money>() + of_lines;
    let charged = lines
        .iter()
        .map(|l| Money::rounded(l.sold().total() + l.debited().total()))
        .sum::<Money>();
    let total = header.due_back(lines, in_all, false) - header.returned - header.credited;
    Ok(Noted {
        lines: made,
        round_off: total - of_lines,
        total,
        whole: in_all == charged,
    })
}

fn tax_of(line: &Line) -> Result<TaxRate> {
    Ok(match line.tax_category.as_str() {
        "nil" => TaxRate::NIL_RATED,
        "exempt" => TaxRate::EXEMPT,
        "non_gst" => TaxRate::NON_GST,
        _ => TaxRate::taxable(line.rate.decimal(), line.cess_rate.decimal())
            .map_err(|e| Error::Uncomputable(e.to_string()))?,
    })
}

/// What a debit note of these differences charges, to the paisa.
pub(super) fn debit(header: &Header, lines: &[Line], wanted: &[Difference]) -> Result<Noted> {
    let mut taxed = Vec::with_capacity(wanted.len());
    let mut originals = Vec::with_capacity(wanted.len());
    for difference in wanted {
        let line = find(lines, difference)?;
        if line.returned_qty == line.qty {
            return Err(Error::LineReturned { line: line.line });
        }
        taxed.push(TaxLine {
            qty: Decimal::ONE,
            unit_price: difference.amount.decimal(),
            pricing: pricing(line),
            discount: Discount::None,
            tax: tax_of(line)?,
        });
        originals.push(line);
    }
    let without_tax = matches!(header.kind.as_str(), "EXPORT" | "SEZ") && header.igst.is_zero();
    let levy = if header.gstin_supplier.is_none() || header.reverse_charge || without_tax {
        Levy::NotCharged
    } else if header.inter_state {
        Levy::Inter
    } else {
        Levy::Intra
    };
    let document = Document {
        lines: &taxed,
        bill_discount: Discount::None,
        levy,
        round_off: RoundOff::None,
    };
    let computed = compute(&document).map_err(|e| Error::Uncomputable(e.to_string()))?;
    let made = originals.iter().zip(&computed.lines).enumerate();
    let made: Vec<NoteLine> = made
        .map(|(index, (line, taxed))| note_line(index, line, &taxed.amounts))
        .collect();
    Ok(Noted {
        total: made.iter().map(|l| l.total).sum(),
        lines: made,
        round_off: Money::ZERO,
        whole: false,
    })
}
