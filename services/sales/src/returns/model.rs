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
    invoice::{Header, Line, ReturnedLine, Tender, serials_of},
};

/// What becomes of goods that came back.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    async_graphql::Enum,
)]
#[serde(rename_all = "snake_case")]
#[graphql(name = "ReturnDisposition")]
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

/// A whole credit note.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CreditNote {
    pub header: NoteHeader,
    pub lines: Vec<NoteLine>,
    pub tenders: Vec<Tender>,
}

/// What comes back of one line of an invoice.
#[derive(Clone, Debug)]
pub(crate) struct Back {
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
    line.sold()
}

fn returned(line: &Line) -> Amounts {
    line.returned()
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
        let share = if line.is_noted() {
            // A note changed the price of what is left: that much of it goes back.
            prorate_line(
                &line.left(),
                pricing,
                left.decimal(),
                back.qty.decimal(),
                &Amounts::default(),
            )
        } else {
            prorate_line(
                &sold(line),
                pricing,
                line.qty.decimal(),
                cumulative.decimal(),
                &earlier,
            )
        };
        let share = share.map_err(|e| Error::Uncomputable(e.to_string()))?;
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
    let noted = |line: &Line| Money::rounded(line.credited().total());
    let in_all: Money = lines.iter().map(|l| standing(l).1 + noted(l)).sum();
    let total = header.due_back(lines, in_all, whole) - header.returned - header.credited;
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
pub(crate) fn refundable(
    header: &Header,
    total: Money,
    refunded: Money,
    credit: Money,
) -> Result<()> {
    if refunded != total {
        return Err(Error::RefundMismatch { total });
    }
    let owed = header.open;
    if credit > owed {
        return Err(Error::RefundExceedsPaid { left: owed });
    }
    // What was refunded of a receipt that bounced later is owed again: nothing is left, not less.
    let paid = Ord::max(header.refundable(), Money::ZERO);
    if refunded - credit > paid {
        return Err(Error::RefundExceedsPaid { left: paid });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bahi_gst::Levy;
    use bahi_pricing::{Audience, Period, Promotion, Rule, Rules, Scope};
    use bahi_types::{Price, PromotionId};
    use proptest::prelude::*;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::{
        catalogue::Goods,
        invoice::{NewLine, Terms, price},
        pricing::Market,
        right::{Allowance, Rights},
    };

    fn goods(at: usize, price: i64, inclusive: bool, rate: i64) -> Goods {
        Goods {
            template: false,
            product_id: ProductId::from_uuid(Uuid::from_u128(at as u128 + 1)),
            sku: "SKU".into(),
            name: "Thing".into(),
            stocked: true,
            hsn: "854442".into(),
            uqc: "PCS".into(),
            price: Price::rounded(Decimal::new(price, 3)),
            price_includes_tax: inclusive,
            mrp: None,
            status: "active".into(),
            category: Some("taxable".into()),
            rate: Some(Rate::from(rate)),
            cess: Some(Rate::ZERO),
            rate_from: Some("2025-09-22".parse().unwrap()),
            price_limit: None,
            rate_above: None,
            cess_above: None,
            stock_unit_id: None,
            category_id: None,
            brand_id: None,
            cost: None,
        }
    }

    fn promotion(at: usize, (kind, number): (u8, i64)) -> Promotion {
        let percent = Rate::rounded(Decimal::new(number, 1));
        let amount = Money::rounded(Decimal::new(number, 2));
        let rule = match kind {
            0 => Rule::Percent { percent },
            1 => Rule::AmountPerUnit { amount },
            2 => Rule::SetFree {
                qty: 3,
                free: 1,
                max_times: None,
            },
            3 => Rule::SetPrice {
                qty: 2,
                price: amount,
                max_times: None,
            },
            4 => Rule::BillPercent {
                percent,
                max_discount: None,
            },
            _ => Rule::BillAmount { amount },
        };
        Promotion {
            id: PromotionId::from_uuid(Uuid::from_u128(at as u128 + 1)),
            priority: 0,
            stackable: true,
            needs_coupon: false,
            audience: Audience::default(),
            period: Period::default(),
            scope: Scope::default(),
            min_qty: None,
            min_amount: None,
            rule,
        }
    }

    /// What [`give_back`] looks at of an invoice.
    fn header(total: Money, round_to_rupee: bool) -> Header {
        let id = Uuid::nil();
        let zeros = [
            "gross",
            "discount",
            "taxable",
            "cgst",
            "sgst",
            "igst",
            "cess",
            "round_off",
            "tendered",
            "tendered_cash",
            "change",
            "credit",
            "returned",
            "returned_credit",
            "paid",
            "credited",
            "credited_credit",
            "debited",
            "open",
        ];
        let mut of: HashMap<&str, serde_json::Value> =
            zeros.into_iter().map(|name| (name, json!("0"))).collect();
        of.extend([
            ("total", json!(total)),
            ("round_to_rupee", json!(round_to_rupee)),
            ("fiscal_year", json!(2026)),
            ("version", json!(1)),
            ("inter_state", json!(false)),
            ("reverse_charge", json!(false)),
            ("date", json!("2026-11-05")),
            ("issued_at", json!("2026-11-05T06:00:00Z")),
        ]);
        for name in [
            "invoice_id",
            "registration_id",
            "branch_id",
            "location_id",
            "reservation_id",
        ] {
            of.insert(name, json!(id));
        }
        for name in [
            "series",
            "number",
            "kind",
            "place_of_supply",
            "demand_hash",
            "currency",
            "status",
        ] {
            of.insert(name, json!(""));
        }
        serde_json::from_value(json!(of)).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn all_partial_returns_of_a_promoted_sale_refund_what_was_paid(
            lines in prop::collection::vec((1..500_000_i64, any::<bool>(), prop::sample::select(vec![0_i64, 5, 18, 40]), 1..9_000_i64), 1..6),
            promotions in prop::collection::vec((0..6_u8, 1..1_000_i64), 0..4),
            off in prop::option::of(1..99_000_i64),
            round_to_rupee in any::<bool>(),
            parts in prop::collection::vec((any::<prop::sample::Index>(), 1..=4_000_i64), 0..12),
        ) {
            let goods: Vec<Goods> = lines
                .iter()
                .enumerate()
                .map(|(at, (price, inclusive, rate, _))| goods(at, *price, *inclusive, *rate))
                .collect();
            let wanted: Vec<NewLine> = lines
                .iter()
                .zip(&goods)
                .map(|(line, goods)| {
                    // Thousandths of a unit, or whole ones.
                    let qty = if line.3 % 2 == 0 { Decimal::from(line.3 % 20 + 1) } else { Decimal::new(line.3, 3) };
                    let line = json!({ "product_id": goods.product_id, "qty": qty.to_string() });
                    serde_json::from_value(line).unwrap()
                })
                .collect();
            let market = Market {
                rules: Rules {
                    promotions: promotions.iter().enumerate().map(|(at, p)| promotion(at, *p)).collect(),
                    ..Rules::default()
                },
                ..Market::default()
            };
            let terms = Terms { levy: Levy::Intra, round_to_rupee, rights: Rights { price: Allowance::None, ..Rights::ALL } };
            let of: Vec<&Goods> = goods.iter().collect();
            let percent = off.map(|off| serde_json::from_value(json!({ "percent": Decimal::new(off, 3).to_string() })).unwrap());
            let sold = price(&wanted, &of, percent, terms, &market).unwrap();
            for line in &sold.lines {
                let off = line.discount + line.bill_discount;
                prop_assert!(!line.discount.is_negative() && !line.bill_discount.is_negative() && off <= line.gross);
            }
            let mut header = header(sold.total, round_to_rupee);
            let mut left = sold.lines.clone();
            // Some parts by chance, and then all that is left.
            let parts = parts.iter().map(|(line, qty)| (Some(line.index(left.len())), Quantity::rounded(Decimal::new(*qty, 3))));
            let parts: Vec<_> = parts.chain([(None, Quantity::ZERO)]).collect();
            for (only, qty) in parts {
                let back = |(at, line): (usize, &Line)| {
                    let rest = line.qty - line.returned_qty;
                    let qty = if only.is_none() { rest } else { qty.min(rest) };
                    let wanted = only.is_none_or(|only| only == at) && qty.is_positive();
                    wanted.then_some(Back { line: line.line, qty, disposition: Disposition::Restock, serials: Vec::new() })
                };
                let backs: Vec<Back> = left.iter().enumerate().filter_map(back).collect();
                if backs.is_empty() {
                    continue;
                }
                let given = give_back(&header, &left, &backs, &[]).unwrap();
                prop_assert!(!given.total.is_negative());
                header.returned += given.total;
                prop_assert!(header.returned <= header.total);
                for after in given.after {
                    let line = left.iter_mut().find(|l| l.line == after.line).unwrap();
                    line.returned_qty = after.qty;
                    line.returned_taxable = after.taxable;
                    (line.returned_cgst, line.returned_sgst) = (after.cgst, after.sgst);
                    (line.returned_igst, line.returned_cess) = (after.igst, after.cess);
                }
            }
            prop_assert_eq!(header.returned, header.total);
            for line in &left {
                prop_assert_eq!(returned(line), sold_of(line));
            }
        }
    }

    fn sold_of(line: &Line) -> Amounts {
        super::sold(line)
    }
}
