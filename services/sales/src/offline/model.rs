//! What a till sends, and whether it is sound. Pure.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bahi_events::{Offline, OfflineDifference};
use bahi_gst::{
    Discount, Document, Levy, Line as TaxLine, Pricing, RoundOff, TaxRate, TaxedLine, compute,
};
use bahi_http::{Fault, validate};
use bahi_types::{
    CustomerGroupId, CustomerId, FiscalYear, InvoiceId, Money, PosSessionId, Price, ProductId,
    Quantity, Rate, RegistrationId, TillId, UserId, business_date,
};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    catalogue::Goods,
    error::{Error, Result},
    invoice::{
        Buyer, Invoice, Line, MOST_COUPONS, MOST_LINES, NewTender, Priced, client_made,
        serial_numbers, short_text,
    },
    number::{Numbered, numbered},
    returns::Disposition,
};

/// Most items of a batch.
pub(super) const MOST_ITEMS: usize = 500;
/// Clocks of a shop differ by this much without anybody wondering.
pub(super) const TOLERANCE: TimeDelta = TimeDelta::minutes(10);

/// A line as the till sold it; its amounts are frozen.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct FrozenLine {
    pub product_id: ProductId,
    #[garde(custom(validate::positive))]
    pub qty: Quantity,
    #[garde(custom(validate::non_negative))]
    pub unit_price: Price,
    pub price_includes_tax: bool,
    /// The price of the catalogue, where the cashier charged another; goes with `reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(custom(validate::optional(validate::non_negative)))]
    pub list_price: Option<Price>,
    /// Why the price is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(short_text)))]
    pub reason: Option<String>,
    /// Of promotions on goods and of the cashier.
    #[serde(default)]
    #[garde(custom(validate::non_negative))]
    pub discount: Money,
    /// Its share of the bill's discount.
    #[serde(default)]
    #[garde(custom(validate::non_negative))]
    pub bill_discount: Money,
    /// `taxable`, `nil`, `exempt` or `non_gst`.
    pub tax_category: Category,
    #[garde(custom(validate::non_negative))]
    pub rate: Rate,
    #[serde(default)]
    #[garde(custom(validate::non_negative))]
    pub cess_rate: Rate,
    pub taxable: Money,
    #[serde(default)]
    pub cgst: Money,
    #[serde(default)]
    pub sgst: Money,
    #[serde(default)]
    pub igst: Money,
    #[serde(default)]
    pub cess: Money,
    pub total: Money,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(custom(validate::optional(validate::positive)))]
    pub batch_mrp: Option<Money>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[garde(custom(serial_numbers))]
    pub serials: Vec<String>,
    /// Of a return without bill: `restock` when absent.
    #[serde(default)]
    pub disposition: Disposition,
}

/// How a line is taxed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Category {
    /// At a rate.
    Taxable,
    /// At 0 %.
    Nil,
    /// Exempt.
    Exempt,
    /// Outside GST.
    NonGst,
}

impl Category {
    /// As it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Taxable => "taxable",
            Self::Nil => "nil",
            Self::Exempt => "exempt",
            Self::NonGst => "non_gst",
        }
    }
}

fn frozen_lines(lines: &[FrozenLine], (): &()) -> garde::Result {
    for (index, line) in lines.iter().enumerate() {
        let n = index + 1;
        if line.list_price.is_some() != line.reason.is_some() {
            let text = format!("line {n}: list_price and reason go together");
            return Err(garde::Error::new(text));
        }
        if Quantity::from(line.serials.len() as i64) > line.qty {
            let text = format!("line {n} names more serials than its quantity");
            return Err(garde::Error::new(text));
        }
    }
    Ok(())
}

/// A sale made while the till was away.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct Sale {
    /// `sale`.
    pub kind: String,
    /// A UUIDv7 of the till's making; the one that was tried online, if it was.
    #[garde(custom(client_made))]
    pub invoice_id: InvoiceId,
    /// As it is printed, of the till's offline series.
    #[garde(length(min = 1, max = 16))]
    pub number: String,
    pub session_id: PosSessionId,
    pub cashier_id: UserId,
    /// By the till's clock.
    pub made_at: DateTime<Utc>,
    #[garde(length(min = 1, max = MOST_LINES), dive, custom(frozen_lines))]
    pub lines: Vec<FrozenLine>,
    #[serde(default)]
    #[garde(length(max = 20), dive)]
    pub tenders: Vec<NewTender>,
    /// Cash given back.
    #[serde(default)]
    #[garde(custom(validate::non_negative))]
    pub change: Money,
    #[serde(default)]
    pub round_off: Money,
    #[garde(custom(validate::non_negative))]
    pub total: Money,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    pub buyer: Option<Buyer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<CustomerId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_group_id: Option<CustomerGroupId>,
    /// Codes of the coupons that were taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[garde(length(max = MOST_COUPONS), inner(length(chars, min = 1, max = 100)))]
    pub coupons: Vec<String>,
    /// The cashier when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salesperson_id: Option<UserId>,
    /// Number of an outside document that this sale mirrors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(short_text)))]
    pub external_reference: Option<String>,
    /// Date of that document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_date: Option<DateTime<Utc>>,
}

/// A line that came back against its bill.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct BackLine {
    /// Line of the bill.
    pub original_line: i32,
    #[garde(custom(validate::positive))]
    pub qty: Quantity,
    /// `restock` when absent.
    #[serde(default)]
    pub disposition: Disposition,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[garde(custom(serial_numbers))]
    pub serials: Vec<String>,
}

/// A return taken while the till was away: `lines` of the bill `original_invoice_id`, or, without a bill, `goods`.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct Return {
    /// `return`.
    pub kind: String,
    /// A UUIDv7 of the till's making.
    #[garde(custom(client_made))]
    pub credit_note_id: InvoiceId,
    /// As it is printed, of the till's offline series.
    #[garde(length(min = 1, max = 16))]
    pub number: String,
    pub session_id: PosSessionId,
    pub cashier_id: UserId,
    /// By the till's clock.
    pub made_at: DateTime<Utc>,
    /// The bill, by the id that the till knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_invoice_id: Option<InvoiceId>,
    #[serde(default)]
    #[garde(length(max = MOST_LINES), dive)]
    pub lines: Vec<BackLine>,
    #[serde(default)]
    #[garde(length(max = MOST_LINES), dive, custom(frozen_lines))]
    pub goods: Vec<FrozenLine>,
    #[serde(default)]
    #[garde(length(max = 20), dive)]
    pub refund_tenders: Vec<NewTender>,
    /// Of a return without bill.
    #[serde(default)]
    pub round_off: Money,
    #[garde(custom(validate::non_negative))]
    pub total: Money,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(short_text)))]
    pub reason: Option<String>,
    /// Number of an outside document that this return mirrors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(short_text)))]
    pub external_reference: Option<String>,
}

/// A number that was printed and stands for nothing.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct Void {
    /// `void`.
    pub kind: String,
    #[garde(length(min = 1, max = 16))]
    pub number: String,
    pub cashier_id: UserId,
    /// By the till's clock.
    pub made_at: DateTime<Utc>,
    #[garde(custom(short_text))]
    pub reason: String,
}

/// An item of a batch.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Item {
    /// A sale.
    Sale(Sale),
    /// A return.
    Return(Return),
    /// A spoilt number.
    Void(Void),
}

impl Item {
    /// Reads an item by its `kind`.
    ///
    /// # Errors
    /// What is wrong with it, by field.
    pub fn read(value: &serde_json::Value) -> Result<Self> {
        let text = value.to_string();
        match value["kind"].as_str() {
            Some("sale") => Ok(Self::Sale(bahi_http::parse(text.as_bytes())?)),
            Some("return") => {
                let back: Return = bahi_http::parse(text.as_bytes())?;
                back.checked()?;
                Ok(Self::Return(back))
            }
            Some("void") => Ok(Self::Void(bahi_http::parse(text.as_bytes())?)),
            _ => Err(Fault::field("kind", "must be sale, return or void").into()),
        }
    }

    /// The number, the id that the till gave it, the moment and the cashier.
    pub fn face(&self) -> (&str, Option<InvoiceId>, DateTime<Utc>, UserId) {
        match self {
            Self::Sale(s) => (&s.number, Some(s.invoice_id), s.made_at, s.cashier_id),
            Self::Return(r) => (&r.number, Some(r.credit_note_id), r.made_at, r.cashier_id),
            Self::Void(v) => (&v.number, None, v.made_at, v.cashier_id),
        }
    }

    /// The session in which it was made.
    pub fn session(&self) -> Option<PosSessionId> {
        match self {
            Self::Sale(s) => Some(s.session_id),
            Self::Return(r) => Some(r.session_id),
            Self::Void(_) => None,
        }
    }
}

impl Return {
    fn checked(&self) -> Result<()> {
        let wrong = |field: &str, message: &str| Err(Fault::field(field, message).into());
        match (
            self.original_invoice_id,
            self.lines.is_empty(),
            self.goods.is_empty(),
        ) {
            (Some(_), true, _) => return wrong("lines", "are needed with a bill"),
            (Some(_), _, false) => return wrong("goods", "are of a return without bill"),
            (None, false, _) => return wrong("lines", "need original_invoice_id"),
            (None, _, true) => return wrong("goods", "are needed without a bill"),
            _ => {}
        }
        for (n, line) in self.lines.iter().enumerate() {
            if self.lines[..n]
                .iter()
                .any(|l| l.original_line == line.original_line)
            {
                return wrong(&format!("lines[{n}].original_line"), "names a line twice");
            }
            if Quantity::from(line.serials.len() as i64) > line.qty {
                return wrong(&format!("lines[{n}].serials"), "names more than come back");
            }
        }
        Ok(())
    }
}

/// What the till has printed: number, moment and people, and what is to be said of it.
#[derive(Clone, Debug)]
pub(crate) struct Slip {
    pub till_id: TillId,
    pub registration_id: RegistrationId,
    pub session_id: Option<PosSessionId>,
    pub number: Numbered,
    /// The id that the till gave it.
    pub claimed: InvoiceId,
    /// SHA-256 of the item.
    pub hash: Vec<u8>,
    /// The printed date.
    pub date: NaiveDate,
    pub made_at: DateTime<Utc>,
    /// How far the till's clock was ahead.
    pub skew: TimeDelta,
    /// By our clock.
    pub issued_at: DateTime<Utc>,
    pub received_at: DateTime<Utc>,
    pub cashier: UserId,
    pub sender: Option<UserId>,
    pub catalogue: Option<String>,
    pub differences: Vec<OfflineDifference>,
    /// Inventory did not answer an item of the batch: the rest does not wait for it.
    pub away: Arc<AtomicBool>,
}

impl Slip {
    /// As an event told it; for a restore.
    pub(crate) fn of_event(
        offline: Offline,
        face: (TillId, RegistrationId, Option<PosSessionId>),
        number: Numbered,
        date: NaiveDate,
        issued_at: DateTime<Utc>,
    ) -> Self {
        let hash = (0..offline.hash.len() / 2)
            .filter_map(|n| offline.hash.get(2 * n..2 * n + 2))
            .filter_map(|byte| u8::from_str_radix(byte, 16).ok());
        Self {
            till_id: face.0,
            registration_id: face.1,
            session_id: face.2,
            number,
            claimed: offline.claimed_id,
            hash: hash.collect(),
            date,
            made_at: offline.made_at,
            skew: TimeDelta::try_milliseconds(offline.skew_ms).unwrap_or_default(),
            issued_at,
            received_at: offline.received_at,
            cashier: offline.cashier_id,
            sender: offline.sender_id,
            catalogue: offline.catalogue,
            differences: offline.differences,
            away: Arc::default(),
        }
    }

    /// As events tell it.
    pub(crate) fn told(&self) -> Offline {
        Offline {
            claimed_id: self.claimed,
            made_at: self.made_at,
            skew_ms: self.skew.num_milliseconds(),
            received_at: self.received_at,
            cashier_id: self.cashier,
            sender_id: self.sender,
            hash: self.hash.iter().map(|b| format!("{b:02x}")).collect(),
            catalogue: self.catalogue.clone(),
            differences: self.differences.clone(),
        }
    }

    /// Whether inventory need not be asked.
    pub(crate) fn stock_is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// Inventory has not promised the goods; they are gone all the same.
    pub(crate) fn without_stock(&self, error: &Error) {
        tracing::info!(number = self.number.text(), %error, "a sale is written without a hold");
        if matches!(error, Error::InventoryUnavailable) {
            self.away.store(true, Ordering::Relaxed);
        }
    }
}

/// When and from where a batch was sent.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub till_id: TillId,
    pub registration_id: RegistrationId,
    pub sender: Option<UserId>,
    /// By the till's clock.
    pub sent_at: DateTime<Utc>,
    /// By ours.
    pub received_at: DateTime<Utc>,
    pub catalogue: Option<String>,
    pub away: Arc<AtomicBool>,
}

/// The id of a spoilt number: nobody gave it one.
fn id_of(post: &Post, number: &str) -> InvoiceId {
    InvoiceId::derived(post.till_id.uuid(), number)
}

/// What stands on an item, if its number and its time can be.
pub(super) fn slip(post: &Post, item: &Item, hash: Vec<u8>) -> Result<Slip> {
    let (text, claimed, made_at, cashier) = item.face();
    let date = business_date(made_at);
    let today = business_date(post.received_at);
    // A clock that is an hour fast prints the right date; tomorrow's is refused.
    if made_at > post.sent_at + TOLERANCE || date > business_date(post.received_at + TOLERANCE) {
        return Err(Error::InFuture { made_at });
    }
    let year = FiscalYear::of(date);
    if today > correctable_until(year) {
        return Err(Error::YearClosed(year));
    }
    let number = numbered(text, date)
        .filter(|n| n.text() == text)
        .ok_or_else(|| {
            let form = format!("must be like P1F/{year}/0001, of the year of made_at");
            Fault::field("number", form)
        })?;
    let skew = post.sent_at - post.received_at;
    let mut differences = Vec::new();
    if skew.abs() > TOLERANCE {
        differences.push(OfflineDifference {
            line: None,
            what: "clock".into(),
            told: post.sent_at.to_rfc3339(),
            known: post.received_at.to_rfc3339(),
            since: false,
        });
    }
    Ok(Slip {
        till_id: post.till_id,
        registration_id: post.registration_id,
        session_id: item.session(),
        claimed: claimed.unwrap_or_else(|| id_of(post, text)),
        number,
        hash,
        date,
        made_at,
        skew,
        issued_at: (made_at - skew).min(post.received_at),
        received_at: post.received_at,
        cashier,
        sender: post.sender,
        catalogue: post.catalogue.clone(),
        differences,
        away: post.away.clone(),
    })
}

/// The last day on which documents of a fiscal year can still be told to the tax office: 30 November after its end
/// (CGST Act, sections 37(3) and 39(9)).
fn correctable_until(year: FiscalYear) -> NaiveDate {
    NaiveDate::from_ymd_opt(year.start_year() + 1, 11, 30).unwrap_or(NaiveDate::MIN)
}

/// A sale outside of its session's hours.
pub(super) fn outside_session(
    at: DateTime<Utc>,
    opened: DateTime<Utc>,
    closed: Option<DateTime<Utc>>,
) -> Option<OfflineDifference> {
    let late = closed.filter(|closed| at > *closed + TOLERANCE);
    let bound = if at < opened - TOLERANCE {
        opened
    } else {
        late?
    };
    Some(OfflineDifference {
        line: None,
        what: "session".into(),
        told: at.to_rfc3339(),
        known: bound.to_rfc3339(),
        since: false,
    })
}

/// What does not add up.
fn differs(line: Option<usize>, field: &'static str, told: Money, due: Money) -> Error {
    Error::DoesNotAddUp {
        line,
        field,
        told,
        due,
    }
}

/// Computes again what the till computed, by the rates it names, and makes lines of it.
///
/// # Errors
/// [`Error::DoesNotAddUp`] with line and field.
pub(super) fn frozen(
    lines: &[FrozenLine],
    goods: &[&Goods],
    levy: Levy,
    round_off: Money,
    total: Money,
) -> Result<Priced> {
    let uncomputable = |e: String| Error::Uncomputable(e);
    let taxed = lines.iter().map(|line| {
        let tax = match line.tax_category {
            Category::Taxable => TaxRate::taxable(line.rate.decimal(), line.cess_rate.decimal())
                .map_err(|e| uncomputable(e.to_string()))?,
            Category::Nil => TaxRate::NIL_RATED,
            Category::Exempt => TaxRate::EXEMPT,
            Category::NonGst => TaxRate::NON_GST,
        };
        let pricing = if line.price_includes_tax {
            Pricing::Inclusive
        } else {
            Pricing::Exclusive
        };
        Ok(TaxLine {
            qty: line.qty.decimal(),
            unit_price: line.unit_price.decimal(),
            pricing,
            discount: Discount::Amount((line.discount + line.bill_discount).decimal()),
            tax,
        })
    });
    let taxed = taxed.collect::<Result<Vec<_>>>()?;
    let computed = compute(&Document {
        lines: &taxed,
        bill_discount: Discount::None,
        levy,
        round_off: if round_off.is_zero() {
            RoundOff::None
        } else {
            RoundOff::NearestRupee
        },
    })
    .map_err(|e| uncomputable(e.to_string()))?;
    let mut made = Vec::with_capacity(lines.len());
    for (index, ((line, goods), computed)) in
        lines.iter().zip(goods).zip(&computed.lines).enumerate()
    {
        agree(index + 1, line, computed)?;
        made.push(make(index + 1, line, goods, computed));
    }
    let totals = &computed.totals;
    let due = Money::rounded(totals.round_off);
    if round_off != due {
        return Err(differs(None, "round_off", round_off, due));
    }
    let payable = Money::rounded(totals.payable);
    if total != payable {
        return Err(differs(None, "total", total, payable));
    }
    Ok(Priced {
        gross: Money::rounded(totals.gross),
        discount: lines.iter().map(|l| l.discount + l.bill_discount).sum(),
        taxable: Money::rounded(totals.amounts.taxable),
        cgst: Money::rounded(totals.amounts.cgst),
        sgst: Money::rounded(totals.amounts.sgst),
        igst: Money::rounded(totals.amounts.igst),
        cess: Money::rounded(totals.amounts.cess),
        round_off,
        total,
        pricing: None,
        uses: Vec::new(),
        lines: made,
    })
}

fn agree(number: usize, line: &FrozenLine, computed: &TaxedLine) -> Result<()> {
    let amounts = &computed.amounts;
    let all = [
        ("taxable", line.taxable, amounts.taxable),
        ("cgst", line.cgst, amounts.cgst),
        ("sgst", line.sgst, amounts.sgst),
        ("igst", line.igst, amounts.igst),
        ("cess", line.cess, amounts.cess),
        ("total", line.total, computed.total()),
    ];
    for (field, told, due) in all {
        let due = Money::rounded(due);
        if told != due {
            return Err(differs(Some(number), field, told, due));
        }
    }
    Ok(())
}

fn make(number: usize, line: &FrozenLine, goods: &Goods, computed: &TaxedLine) -> Line {
    Line {
        line: i32::try_from(number).unwrap_or(i32::MAX),
        product_id: goods.product_id,
        sku: goods.sku.clone(),
        description: goods.name.clone(),
        stocked: goods.stocked,
        hsn: goods.hsn.clone(),
        uqc: goods.uqc.clone(),
        qty: line.qty,
        unit_price: line.unit_price,
        price_includes_tax: line.price_includes_tax,
        list_price: line.list_price,
        override_reason: line.reason.clone(),
        gross: Money::rounded(computed.gross),
        discount: line.discount,
        bill_discount: line.bill_discount,
        tax_category: line.tax_category.name().to_owned(),
        rate: line.rate,
        cess_rate: line.cess_rate,
        taxable: line.taxable,
        cgst: line.cgst,
        sgst: line.sgst,
        igst: line.igst,
        cess: line.cess,
        total: line.total,
        batches: serde_json::Value::Array(Vec::new()),
        serials: serde_json::Value::from(line.serials.clone()),
        returned_qty: Quantity::ZERO,
        returned_taxable: Money::ZERO,
        returned_cgst: Money::ZERO,
        returned_sgst: Money::ZERO,
        returned_igst: Money::ZERO,
        returned_cess: Money::ZERO,
        credited_taxable: Money::ZERO,
        credited_cgst: Money::ZERO,
        credited_sgst: Money::ZERO,
        credited_igst: Money::ZERO,
        credited_cess: Money::ZERO,
        debited_taxable: Money::ZERO,
        debited_cgst: Money::ZERO,
        debited_sgst: Money::ZERO,
        debited_igst: Money::ZERO,
        debited_cess: Money::ZERO,
        pricing: None,
        of_order: None,
    }
}

/// Whether an invoice is the same sale: the same goods for the same money in the same session. The till prints what it
/// computed; an invoice of another sum is not what the customer paid.
pub(super) fn same_sale(issued: &Invoice, sale: &Sale) -> bool {
    let h = &issued.header;
    let line = |l: &Line| (l.product_id, l.qty, l.total, l.cgst, l.igst, l.cess);
    let told = |l: &FrozenLine| (l.product_id, l.qty, l.total, l.cgst, l.igst, l.cess);
    let mut tenders: Vec<_> = issued
        .tenders
        .iter()
        .map(|t| (t.method.as_str(), t.amount))
        .collect();
    let mut paid: Vec<_> = sale
        .tenders
        .iter()
        .map(|t| (t.method.name(), t.amount))
        .collect();
    tenders.sort_unstable();
    paid.sort_unstable();
    h.session_id == Some(sale.session_id)
        && (h.total, h.change) == (sale.total, sale.change)
        && tenders == paid
        && issued
            .lines
            .iter()
            .map(line)
            .eq(sale.lines.iter().map(told))
}

/// What the prefix of a till's offline series may be: short, and telling of the till where that is possible.
pub(super) fn prefixes(series: &str, purpose: &str) -> impl Iterator<Item = String> {
    let mark = if purpose == "invoice" { 'F' } else { 'R' };
    let series = series.to_ascii_uppercase();
    let own = (series.len() < 5).then(|| format!("{series}{mark}"));
    let more = (1..10_000).map(move |n| format!("{mark}{n}"));
    own.into_iter().chain(more.filter(|p| p.len() <= 5))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn post(sent: &str) -> Post {
        Post {
            till_id: TillId::new(),
            registration_id: RegistrationId::new(),
            sender: None,
            sent_at: at(sent),
            received_at: at("2026-11-05T06:00:00Z"),
            catalogue: None,
            away: Arc::default(),
        }
    }

    fn void(number: &str, made: &str) -> Item {
        Item::Void(Void {
            kind: "void".into(),
            number: number.into(),
            cashier_id: UserId::new(),
            made_at: at(made),
            reason: "paper jam".into(),
        })
    }

    #[test]
    fn the_moment_is_by_our_clock_and_the_date_is_the_printed_one() {
        // An hour fast.
        let slip = slip(
            &post("2026-11-05T07:00:00Z"),
            &void("P1F/26-27/0001", "2026-11-05T06:30:00Z"),
            Vec::new(),
        );
        let slip = slip.unwrap();
        assert_eq!(slip.issued_at, at("2026-11-05T05:30:00Z"));
        assert_eq!(slip.date, "2026-11-05".parse().unwrap());
        assert_eq!(slip.differences[0].what, "clock");
    }

    #[test]
    fn what_lies_in_the_future_or_in_a_closed_year_is_refused() {
        let exact = post("2026-11-05T06:00:00Z");
        let made = |made: &str| slip(&exact, &void("P1F/26-27/0001", made), Vec::new());
        assert!(made("2026-11-05T06:09:00Z").is_ok());
        let late = made("2026-11-05T06:11:00Z");
        assert!(matches!(late, Err(Error::InFuture { .. })));
        // Three days fast: the paper bears a day that has not come.
        let fast = slip(
            &post("2026-11-08T06:00:00Z"),
            &void("P1F/26-27/0001", "2026-11-08T05:00:00Z"),
            Vec::new(),
        );
        assert!(matches!(fast, Err(Error::InFuture { .. })));
        // 2025-26 is open to 30 November 2026, 2024-25 no more.
        let old = |number: &str, made: &str| slip(&exact, &void(number, made), Vec::new());
        assert!(old("P1F/25-26/0001", "2026-03-31T10:00:00Z").is_ok());
        let closed = old("P1F/24-25/0001", "2025-03-31T10:00:00Z");
        assert!(matches!(closed, Err(Error::YearClosed(_))));
        // The number's year is the date's.
        assert!(old("P1F/26-27/0001", "2026-03-31T10:00:00Z").is_err());
        assert!(old("P1F/26-27/1", "2026-11-05T05:00:00Z").is_err());
    }

    #[test]
    fn a_prefix_is_short_and_tells_of_its_till() {
        let first = |series: &str, purpose: &str| prefixes(series, purpose).next().unwrap();
        assert_eq!(first("p1", "invoice"), "P1F");
        assert_eq!(first("p1", "credit_note"), "P1R");
        assert_eq!(first("ABCDE", "invoice"), "F1");
    }
}
