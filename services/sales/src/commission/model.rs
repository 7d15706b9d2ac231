//! What documents earn: pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bahi_types::{CategoryId, InvoiceId, Money, ProductId, Quantity, Rate, UserId};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{Date, Integer, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid},
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::commission_plan::{Amount, Basis, Mode, Plan, PlanId, Rule, Slabs, Terms, share};

/// Namespace of the ids of postings and entries.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_0b0c_5b1e_5c8e_9a55_0d3f_27c4_b1a6);

/// An invoice as it was issued.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct Sold {
    #[diesel(sql_type = SqlUuid)]
    pub invoice_id: InvoiceId,
    #[diesel(sql_type = Text)]
    pub number: String,
    #[diesel(sql_type = Date)]
    pub date: NaiveDate,
    #[diesel(sql_type = Timestamptz)]
    pub issued_at: DateTime<Utc>,
    /// Whose it is now.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub salesperson_id: Option<UserId>,
    #[diesel(sql_type = Numeric)]
    pub total: Money,
    /// Left to be paid.
    #[diesel(sql_type = Numeric)]
    pub credit: Money,
    #[diesel(sql_type = Text)]
    pub currency: String,
}

/// A line of an invoice.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct SoldLine {
    #[diesel(sql_type = SqlUuid)]
    pub invoice_id: InvoiceId,
    #[diesel(sql_type = Integer)]
    pub line: i32,
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
    #[diesel(sql_type = Numeric)]
    pub taxable: Money,
}

/// What a document is to an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Invoice,
    Return,
    CreditNote,
    DebitNote,
    Cancellation,
    Allocation,
    ReceiptReversal,
    Edit,
}

impl What {
    /// Its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Invoice => "invoice",
            Self::Return => "return",
            Self::CreditNote => "credit_note",
            Self::DebitNote => "debit_note",
            Self::Cancellation => "cancellation",
            Self::Allocation => "allocation",
            Self::ReceiptReversal => "receipt_reversal",
            Self::Edit => "edit",
        }
    }

    /// The one of that name.
    pub(super) fn of(name: &str) -> Option<Self> {
        [
            Self::Invoice,
            Self::Return,
            Self::CreditNote,
            Self::DebitNote,
            Self::Cancellation,
            Self::Allocation,
            Self::ReceiptReversal,
            Self::Edit,
        ]
        .into_iter()
        .find(|what| what.name() == name)
    }
}

/// A document that moves what stands of an invoice.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub what: What,
    /// Unique among those of its kind and invoice. Of an edit, the version of the invoice that it made.
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub date: NaiveDate,
    /// With tax; of a payment, what of it is this invoice's.
    pub total: Money,
    /// What of it is on or off what is owed.
    pub credit: Money,
    /// (line, quantity, taxable value).
    pub lines: Vec<(i32, Quantity, Money)>,
    /// Of an edit: who sold until then, and from then on.
    pub salesperson: Option<(Option<UserId>, Option<UserId>)>,
}

impl Document {
    /// Names it among the documents of its invoice.
    pub(super) fn key(&self) -> String {
        format!("{}:{}", self.what.name(), self.id)
    }
}

/// An invoice with all that happened to it.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub sold: Sold,
    pub lines: Vec<SoldLine>,
    /// In their order, the issue first.
    pub documents: Vec<Document>,
}

impl Story {
    /// Of an invoice; `later` in any order.
    pub(super) fn new(sold: Sold, lines: Vec<SoldLine>, mut later: Vec<Document>) -> Self {
        later.sort_by_key(|d| (d.at, d.id));
        let edits = later.iter().filter(|d| d.what == What::Edit);
        let edited = edits.min_by_key(|d| d.id).and_then(|d| d.salesperson);
        let first = edited.map_or(sold.salesperson_id, |(from, _)| from);
        let issue = Document {
            what: What::Invoice,
            id: sold.invoice_id.uuid(),
            at: sold.issued_at,
            date: sold.date,
            total: sold.total,
            credit: sold.credit,
            lines: lines.iter().map(|l| (l.line, l.qty, l.taxable)).collect(),
            salesperson: Some((None, first)),
        };
        let documents = std::iter::once(issue).chain(later).collect();
        Self {
            sold,
            lines,
            documents,
        }
    }
}

/// What stands of an invoice after some of its documents. Each adds to sums, so their order does not matter.
#[derive(Clone, Debug, Default)]
struct Standing {
    salesperson: Option<UserId>,
    /// The last edit of that; their ids ascend.
    edit: Uuid,
    cancelled: bool,
    /// What the buyer is charged in all, and what of that is owed.
    charged: Money,
    open: Money,
    lines: BTreeMap<i32, (Quantity, Money)>,
}

impl Standing {
    fn take(&mut self, document: &Document) {
        match document.what {
            What::Invoice | What::DebitNote => {
                self.charged += document.total;
                self.open += document.credit;
            }
            What::Return | What::CreditNote => {
                self.charged -= document.total;
                self.open -= document.credit;
            }
            What::Cancellation => self.cancelled = true,
            What::Allocation => self.open -= document.total,
            What::ReceiptReversal => self.open += document.total,
            What::Edit => {}
        }
        for &(line, qty, taxable) in &document.lines {
            let stands = self.lines.entry(line).or_default();
            match document.what {
                What::Return | What::CreditNote => {
                    stands.0 -= qty;
                    stands.1 -= taxable;
                }
                _ => {
                    stands.0 += qty;
                    stands.1 += taxable;
                }
            }
        }
        let edit = match document.what {
            What::Edit => document.id,
            _ => Uuid::nil(),
        };
        if let Some((_, to)) = document.salesperson.filter(|_| edit >= self.edit) {
            (self.salesperson, self.edit) = (to, edit);
        }
    }

    /// Part of the bill that counts, as numerator and denominator.
    fn part(&self, basis: Basis) -> (Decimal, Decimal) {
        let whole = (Decimal::ONE, Decimal::ONE);
        let none = (Decimal::ZERO, Decimal::ONE);
        let (charged, open) = (self.charged.decimal(), self.open.decimal());
        if self.cancelled {
            none
        } else if basis == Basis::Invoiced || open <= Decimal::ZERO {
            whole
        } else if open >= charged {
            // What was given back in cash of a payment that bounced is owed beyond the bill.
            none
        } else {
            (charged - open, charged)
        }
    }

    /// Base and, by its rule, commission of a line.
    fn earns(&self, basis: Basis, rate: &LineRate) -> (Money, Money) {
        let Some(&(qty, taxable)) = self.lines.get(&rate.line) else {
            return (Money::ZERO, Money::ZERO);
        };
        let (of, all) = self.part(basis);
        let part = |whole: Decimal| {
            let exact = whole.checked_mul(of).map(|product| product / all);
            Money::rounded(exact.unwrap_or_else(|| whole / all * of))
        };
        let base = part(taxable.decimal());
        let amount = match rate.gives {
            Gives::Rule(Amount::Percent(percent)) => share(base, percent),
            Gives::Rule(Amount::PerUnit(price)) => {
                // Nobody earns more by a sale than it was worth.
                let full = qty.decimal().checked_mul(price.decimal());
                let full = full.unwrap_or(taxable.decimal()).min(taxable.decimal());
                part(full).min(base)
            }
            Gives::Slabs | Gives::Nothing => Money::ZERO,
        };
        (base, amount)
    }
}

/// What a line earns by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Gives {
    Rule(Amount),
    Slabs,
    /// It counts for the target alone.
    Nothing,
}

/// The rate of a line that a plan covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LineRate {
    pub line: i32,
    /// From 1; 0 where no rule names it.
    pub rule: i32,
    pub gives: Gives,
}

/// The rates of the lines that a plan covers. `categories` are those of a product, the nearest first.
pub(super) fn rates(
    terms: &Terms,
    lines: &[SoldLine],
    categories: &HashMap<ProductId, Vec<CategoryId>>,
) -> Vec<LineRate> {
    let find = |names: &dyn Fn(&Rule) -> bool| terms.rules.iter().position(names);
    let all = |r: &Rule| r.product_id.is_none() && r.category_id.is_none();
    let rate = |l: &SoldLine| {
        let above = categories.get(&l.product_id).map_or(&[][..], Vec::as_slice);
        let found = find(&|r| r.product_id == Some(l.product_id))
            .or_else(|| {
                above
                    .iter()
                    .find_map(|c| find(&|r| r.category_id == Some(*c)))
            })
            .or_else(|| find(&all));
        let (rule, gives) = match found {
            Some(at) => {
                let gives = terms.rules[at].gives;
                if gives.is_zero() {
                    return None;
                }
                (
                    i32::try_from(at + 1).unwrap_or(i32::MAX),
                    Gives::Rule(gives),
                )
            }
            None if terms.slabs.is_some() => (0, Gives::Slabs),
            None if terms.rules.is_empty() => (0, Gives::Nothing),
            None => return None,
        };
        Some(LineRate {
            line: l.line,
            rule,
            gives,
        })
    };
    lines.iter().filter_map(rate).collect()
}

/// What of an invoice earns by a plan, and which of its documents are in the ledger.
#[derive(Clone, Debug, Default)]
pub(super) struct Sale {
    pub rates: Vec<LineRate>,
    pub seen: BTreeSet<String>,
}

/// Sums of a sales person in a period of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub base: Money,
    pub slab_base: Money,
}

/// Plan, sales person and first day of the period.
pub(super) type Place = (PlanId, UserId, NaiveDate);

/// An entry of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    pub entry_id: Uuid,
    /// `accrual`, `reversal`, `true_up` or `bonus`.
    pub kind: &'static str,
    /// 0 where it belongs to none.
    pub line: i32,
    /// 0 for slabs and target.
    pub rule: i32,
    pub base: Money,
    pub amount: Money,
}

impl Entry {
    fn new(kind: &'static str, rate: Option<&LineRate>, base: Money, amount: Money) -> Self {
        Self {
            entry_id: Uuid::nil(),
            kind,
            line: rate.map_or(0, |r| r.line),
            rule: rate.map_or(0, |r| r.rule),
            base,
            amount,
        }
    }

    fn of_line(rate: &LineRate, base: Money, amount: Money) -> Option<Self> {
        if base.is_zero() && amount.is_zero() {
            return None;
        }
        let back = amount.is_negative() || amount.is_zero() && base.is_negative();
        let kind = if back { "reversal" } else { "accrual" };
        Some(Self::new(kind, Some(rate), base, amount))
    }
}

/// The entries of a document for one sales person by one plan that go in one direction.
#[derive(Clone, Debug)]
pub(crate) struct Posting {
    pub posting_id: Uuid,
    pub plan_id: PlanId,
    pub basis: &'static str,
    pub salesperson_id: UserId,
    pub invoice_id: InvoiceId,
    pub number: String,
    pub document_kind: &'static str,
    pub document_id: Uuid,
    pub date: NaiveDate,
    pub period: (NaiveDate, NaiveDate),
    pub currency: String,
    pub entries: Vec<Entry>,
}

impl Posting {
    /// Base of its entries.
    pub(crate) fn base(&self) -> Money {
        self.entries.iter().map(|e| e.base).sum()
    }

    /// Commission of its entries.
    pub(crate) fn amount(&self) -> Money {
        self.entries.iter().map(|e| e.amount).sum()
    }

    /// Whether it takes back.
    pub(crate) fn is_back(&self) -> bool {
        self.entries.iter().any(takes_back)
    }
}

fn takes_back(entry: &Entry) -> bool {
    entry.kind == "reversal" || entry.amount.is_negative()
}

/// What slabs give for lines whose bases change by these amounts. `sums` moves on.
fn by_slabs(slabs: &Slabs, sums: &mut Sums, moved: &[(LineRate, Money)]) -> Vec<Entry> {
    let before = sums.slab_base;
    let after = before + moved.iter().map(|(_, base)| *base).sum();
    let mut entries = Vec::new();
    let rate: Rate = slabs.rate(after);
    // Within a document every line is rated alike; what the other slab had given before is trued up.
    let earned = |sum: Money| match slabs.mode {
        Mode::Marginal => slabs.earned(sum),
        Mode::Whole => share(sum, rate),
    };
    let mut sum = before;
    for (line, base) in moved {
        let amount = earned(sum + *base) - earned(sum);
        sum += *base;
        entries.extend(Entry::of_line(line, *base, amount));
    }
    let true_up = slabs.earned(after) - slabs.earned(before) - (earned(after) - earned(before));
    if !true_up.is_zero() {
        entries.push(Entry::new("true_up", None, Money::ZERO, true_up));
    }
    sums.slab_base = after;
    entries
}

/// What a change of what stands of a sale gives one sales person.
fn entries(
    terms: &Terms,
    rates: &[LineRate],
    sums: &mut Sums,
    before: &Standing,
    after: &Standing,
) -> Vec<Entry> {
    let (mut entries, mut by_sum) = (Vec::new(), Vec::new());
    let base_before = sums.base;
    for rate in rates {
        let (had, earned) = before.earns(terms.basis, rate);
        let (has, earns) = after.earns(terms.basis, rate);
        sums.base += has - had;
        match rate.gives {
            Gives::Rule(_) => entries.extend(Entry::of_line(rate, has - had, earns - earned)),
            Gives::Slabs if has != had => by_sum.push((*rate, has - had)),
            Gives::Slabs | Gives::Nothing => {}
        }
    }
    if let (Some(slabs), false) = (&terms.slabs, by_sum.is_empty()) {
        entries.extend(by_slabs(slabs, sums, &by_sum));
    }
    if let Some(target) = &terms.target {
        let bonus = target.earned(sums.base) - target.earned(base_before);
        if !bonus.is_zero() {
            entries.push(Entry::new("bonus", None, Money::ZERO, bonus));
        }
    }
    entries
}

/// Takes the documents of an invoice that are not in the ledger of a plan. `sale` and the sums move on.
pub(super) fn post(
    plan: &Plan,
    story: &Story,
    sale: &mut Sale,
    sums: &mut BTreeMap<Place, Sums>,
) -> Vec<Posting> {
    let terms = &plan.terms;
    let period = terms.period_of(story.sold.date);
    let mut standing = Standing::default();
    let (seen, fresh): (Vec<_>, Vec<_>) = story
        .documents
        .iter()
        .partition(|d| sale.seen.contains(&d.key()));
    for document in seen {
        standing.take(document);
    }
    let nothing = Standing::default();
    let mut postings = Vec::new();
    for document in fresh {
        let before = standing.clone();
        standing.take(document);
        let changes = if before.salesperson == standing.salesperson {
            vec![(standing.salesperson, &before, &standing)]
        } else {
            vec![
                (before.salesperson, &before, &nothing),
                (standing.salesperson, &nothing, &standing),
            ]
        };
        for (salesperson, before, after) in changes {
            let Some(salesperson) = salesperson.filter(|s| terms.covers(*s)) else {
                continue;
            };
            let place = (plan.plan_id, salesperson, period.0);
            let sums = sums.entry(place).or_default();
            let made = entries(terms, &sale.rates, sums, before, after);
            let (back, on): (Vec<_>, Vec<_>) = made.into_iter().partition(takes_back);
            for entries in [on, back].into_iter().filter(|e| !e.is_empty()) {
                let posting = Posting {
                    posting_id: Uuid::nil(),
                    plan_id: plan.plan_id,
                    basis: terms.basis.name(),
                    salesperson_id: salesperson,
                    invoice_id: story.sold.invoice_id,
                    number: story.sold.number.clone(),
                    document_kind: document.what.name(),
                    document_id: document.id,
                    date: document.date,
                    period,
                    currency: story.sold.currency.clone(),
                    entries,
                };
                postings.push(posting.named());
            }
        }
        sale.seen.insert(document.key());
    }
    postings
}

impl Posting {
    /// With ids that follow from what it is of, so that it has the same ones whenever it is made.
    fn named(mut self) -> Self {
        let of = format!(
            "{}:{}:{}:{}:{}:{}",
            self.plan_id,
            self.invoice_id,
            self.document_kind,
            self.document_id,
            self.salesperson_id,
            if self.is_back() {
                "reversed"
            } else {
                "accrued"
            },
        );
        self.posting_id = Uuid::new_v5(&NAMESPACE, of.as_bytes());
        for entry in &mut self.entries {
            let of = format!("{}:{}:{}", entry.kind, entry.line, entry.rule);
            entry.entry_id = Uuid::new_v5(&self.posting_id, of.as_bytes());
        }
        self
    }
}
