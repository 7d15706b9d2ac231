//! What a return gives back.

use bahi_gst::{Amounts, Pricing, prorate_line};
use bahi_types::{
    BranchId, InvoiceId, LocationId, Money, PosSessionId, ProductId, Quantity, Rate,
    RegistrationId, TillId, UserId,
};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{
        BigInt, Bool, Date, Integer, Jsonb, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    error::{Error, Result},
    invoice::{Header, Line, ReturnedLine, serials_of},
};

/// What becomes of goods that came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Disposition {
    /// Back on the shelf.
    #[default]
    Restock,
    /// Set aside.
    Quarantine,
    /// Thrown away.
    Scrap,
}

impl Disposition {
    /// As it is stored and said.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Restock => "restock",
            Self::Quarantine => "quarantine",
            Self::Scrap => "scrap",
        }
    }
}

/// A credit note's header.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(crate) struct NoteHeader {
    #[diesel(sql_type = SqlUuid)]
    pub credit_note_id: InvoiceId,
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
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub original_invoice_id: Option<InvoiceId>,
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
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub till_id: Option<TillId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub session_id: Option<PosSessionId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub cashier_id: Option<UserId>,
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
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
    #[diesel(sql_type = Nullable<Text>)]
    pub external_reference: Option<String>,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
}

/// A line of a credit note.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(crate) struct NoteLine {
    #[diesel(sql_type = Integer)]
    pub line: i32,
    #[diesel(sql_type = Nullable<Integer>)]
    pub original_line: Option<i32>,
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = Text)]
    pub description: String,
    #[diesel(sql_type = Bool)]
    pub stocked: bool,
    #[diesel(sql_type = Text)]
    pub hsn: String,
    #[diesel(sql_type = Text)]
    pub uqc: String,
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
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
    #[diesel(sql_type = Text)]
    pub disposition: String,
    /// Serial numbers of its pieces.
    #[diesel(sql_type = Jsonb)]
    pub serials: serde_json::Value,
}

/// A refund.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(crate) struct Refund {
    #[diesel(sql_type = Text)]
    pub method: String,
    #[diesel(sql_type = Numeric)]
    pub amount: Money,
    #[diesel(sql_type = Nullable<Text>)]
    pub reference: Option<String>,
}

/// A whole credit note.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CreditNote {
    pub header: NoteHeader,
    pub lines: Vec<NoteLine>,
    pub tenders: Vec<Refund>,
}

/// What comes back of one line of an invoice.
#[derive(Clone, Debug)]
pub(super) struct Back {
    pub line: i32,
    pub qty: Quantity,
    pub disposition: Disposition,
    /// Serial numbers of its pieces.
    pub serials: Vec<String>,
}

/// What a return with bill gives back.
#[derive(Debug)]
pub(super) struct Given {
    pub lines: Vec<NoteLine>,
    /// The original lines as they stand afterwards.
    pub after: Vec<ReturnedLine>,
    pub round_off: Money,
    pub total: Money,
    /// Everything is back.
    pub whole: bool,
}

fn sold(line: &Line) -> Amounts {
    Amounts {
        taxable: line.taxable.decimal(),
        cgst: line.cgst.decimal(),
        sgst: line.sgst.decimal(),
        igst: line.igst.decimal(),
        cess: line.cess.decimal(),
    }
}

fn returned(line: &Line) -> Amounts {
    Amounts {
        taxable: line.returned_taxable.decimal(),
        cgst: line.returned_cgst.decimal(),
        sgst: line.returned_sgst.decimal(),
        igst: line.returned_igst.decimal(),
        cess: line.returned_cess.decimal(),
    }
}

/// Nearest rupee, half up; amounts here are never negative.
fn whole_rupees(amount: Money) -> Money {
    Money::rounded(bahi_types::round_to(amount.decimal(), 0))
}

/// Refuses a piece that a line did not sell, or that came back before. A line that sold pieces without naming them all
/// says nothing about the others.
fn check_serials(line: &Line, back: &Back, before: &[(i32, Vec<String>)]) -> Result<()> {
    let sold = serials_of(&line.serials);
    let all_named = Quantity::from(sold.len() as i64) == line.qty;
    for no in &back.serials {
        let came = |(of, names): &(i32, Vec<String>)| *of == line.line && names.contains(no);
        if all_named && !sold.contains(no) || before.iter().any(came) {
            return Err(Error::SerialNotSold {
                line: line.line,
                serial: no.clone(),
            });
        }
    }
    Ok(())
}

/// Works out what a return of `backs` gives back. `before`: pieces that came back earlier, by line.
pub(super) fn give_back(
    header: &Header,
    lines: &[Line],
    backs: &[Back],
    before: &[(i32, Vec<String>)],
) -> Result<Given> {
    let mut note = Vec::with_capacity(backs.len());
    let mut after = Vec::with_capacity(backs.len());
    for (index, back) in backs.iter().enumerate() {
        let line = lines
            .iter()
            .find(|l| l.line == back.line)
            .ok_or(Error::NoSuchLine(back.line))?;
        let left = line.qty - line.returned_qty;
        if back.qty > left {
            return Err(Error::ExceedsSold {
                line: back.line,
                asked: back.qty,
                left,
            });
        }
        check_serials(line, back, before)?;
        let cumulative = line.returned_qty + back.qty;
        let pricing = if line.price_includes_tax {
            Pricing::Inclusive
        } else {
            Pricing::Exclusive
        };
        let earlier = returned(line);
        let share = prorate_line(
            &sold(line),
            pricing,
            line.qty.decimal(),
            cumulative.decimal(),
            &earlier,
        )
        .map_err(|e| Error::Uncomputable(e.to_string()))?;
        let plus = |a: Decimal, b: Decimal| Money::rounded(a + b);
        after.push(ReturnedLine {
            line: line.line,
            qty: cumulative,
            taxable: plus(earlier.taxable, share.taxable),
            cgst: plus(earlier.cgst, share.cgst),
            sgst: plus(earlier.sgst, share.sgst),
            igst: plus(earlier.igst, share.igst),
            cess: plus(earlier.cess, share.cess),
        });
        note.push(NoteLine {
            line: i32::try_from(index + 1).unwrap_or(i32::MAX),
            original_line: Some(line.line),
            product_id: line.product_id,
            description: line.description.clone(),
            stocked: line.stocked,
            hsn: line.hsn.clone(),
            uqc: line.uqc.clone(),
            qty: back.qty,
            tax_category: line.tax_category.clone(),
            rate: line.rate,
            cess_rate: line.cess_rate,
            taxable: Money::rounded(share.taxable),
            cgst: Money::rounded(share.cgst),
            sgst: Money::rounded(share.sgst),
            igst: Money::rounded(share.igst),
            cess: Money::rounded(share.cess),
            total: Money::rounded(share.total()),
            disposition: back.disposition.name().to_owned(),
            serials: serde_json::Value::from(back.serials.clone()),
        });
    }
    let standing = |line: &Line| match after.iter().find(|a| a.line == line.line) {
        Some(now) => (
            now.qty,
            now.taxable + now.cgst + now.sgst + now.igst + now.cess,
        ),
        None => (line.returned_qty, Money::rounded(returned(line).total())),
    };
    let whole = lines.iter().all(|line| standing(line).0 == line.qty);
    let in_all: Money = lines.iter().map(|line| standing(line).1).sum();
    let due = match (whole, header.round_to_rupee) {
        (true, _) => header.total,
        (false, true) => whole_rupees(in_all),
        (false, false) => in_all,
    };
    let total = due - header.returned;
    let of_lines: Money = note.iter().map(|l| l.total).sum();
    Ok(Given {
        lines: note,
        after,
        round_off: total - of_lines,
        total,
        whole,
    })
}

/// Checks a refund against what is due and what was paid. `credit` of it is credited, the rest refunded.
pub(super) fn refundable(
    header: &Header,
    total: Money,
    refunded: Money,
    credit: Money,
) -> Result<()> {
    if refunded != total {
        return Err(Error::RefundMismatch { total });
    }
    let owed = header.credit - header.returned_credit;
    if credit > owed {
        return Err(Error::RefundExceedsPaid { left: owed });
    }
    let paid = (header.total - header.credit) - (header.returned - header.returned_credit);
    if refunded - credit > paid {
        return Err(Error::RefundExceedsPaid { left: paid });
    }
    Ok(())
}
