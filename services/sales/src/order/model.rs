//! An order and what may be done with it.

use std::collections::BTreeMap;

use bahi_types::{
    BatchId, BranchId, CustomerId, Id, LocationId, Money, ProductId, Quantity, RegistrationId,
    UserId,
};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{
        BigInt, Bool, Bytea, Date, Integer, Jsonb, Nullable, Numeric, Text, Timestamptz,
        Uuid as SqlUuid,
    },
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    invoice::{Agreed, Line, OfOrder, line_pricing_of},
    offer::Offer,
    reservation::Hand,
};

/// Marker of the kind.
pub(crate) enum OrderKind {}
/// An order.
pub(crate) type OrderId = Id<OrderKind>;

/// What inventory is being asked for an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(crate) enum Step {
    /// To hold what is still to be delivered.
    Hold {
        attempt: u32,
        /// The order is being confirmed.
        confirm: bool,
        allow_short: bool,
        /// The greatest version of this hold that was heard of meanwhile.
        heard: i64,
    },
    /// To issue a delivery.
    Deliver { attempt: u32, fulfilment_id: Uuid },
    /// To give back what is held.
    Release { attempt: u32 },
}

impl Step {
    /// It is the same question, whatever was heard meanwhile.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Hold { attempt, .. }, Self::Hold { attempt: same, .. })
            | (Self::Release { attempt }, Self::Release { attempt: same }) => attempt == same,
            (
                Self::Deliver { fulfilment_id, .. },
                Self::Deliver {
                    fulfilment_id: same,
                    ..
                },
            ) => fulfilment_id == same,
            _ => false,
        }
    }
}

/// An order without its lines.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(crate) struct Head {
    #[diesel(sql_type = SqlUuid)]
    pub order_id: OrderId,
    #[diesel(sql_type = SqlUuid)]
    pub registration_id: RegistrationId,
    #[diesel(sql_type = Text)]
    pub number: String,
    #[diesel(sql_type = Date)]
    pub date: NaiveDate,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = SqlUuid)]
    pub branch_id: BranchId,
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub customer_id: Option<CustomerId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub quotation_id: Option<Uuid>,
    #[diesel(sql_type = Bool)]
    pub allow_back_order: bool,
    #[diesel(sql_type = Nullable<Date>)]
    pub expected_date: Option<NaiveDate>,
    /// As [`Offer`], without lines.
    #[diesel(sql_type = Jsonb)]
    pub offer: serde_json::Value,
    #[diesel(sql_type = Numeric)]
    pub total: Money,
    #[diesel(sql_type = Nullable<Text>)]
    pub note: Option<String>,
    /// What it has claimed of the customer's credit and not given up yet.
    #[diesel(sql_type = Numeric)]
    pub exposure: Money,
    /// The highest attempt that inventory was asked for.
    #[diesel(sql_type = Integer)]
    pub attempt: i32,
    /// The attempt that holds stock.
    #[diesel(sql_type = Nullable<Integer>)]
    pub hold: Option<i32>,
    #[diesel(sql_type = BigInt)]
    pub hold_version: i64,
    /// As [`Step`].
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub step: Option<serde_json::Value>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub next_try: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub created_by: Option<UserId>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub confirmed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub ended_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
}

/// A line of an order.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(crate) struct OrderLine {
    #[diesel(sql_type = Integer)]
    pub line: i32,
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = Bool)]
    pub stocked: bool,
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
    #[diesel(sql_type = Numeric)]
    pub held: Quantity,
    #[diesel(sql_type = Numeric)]
    pub delivered: Quantity,
    #[diesel(sql_type = Numeric)]
    pub invoiced: Quantity,
    #[diesel(sql_type = Numeric)]
    pub invoiced_discount: Money,
    #[diesel(sql_type = Numeric)]
    pub invoiced_bill_discount: Money,
    /// As a line of an invoice.
    #[diesel(sql_type = Jsonb)]
    pub priced: serde_json::Value,
}

/// Part of an amount that falls to so much of a whole.
fn share(amount: Money, part: Quantity, whole: Quantity) -> Money {
    Money::rounded(amount.decimal() * part.decimal() / whole.decimal())
}

impl OrderLine {
    /// A line as it was priced.
    pub(super) fn new(line: Line) -> Result<Self> {
        Ok(Self {
            line: line.line,
            product_id: line.product_id,
            stocked: line.stocked,
            qty: line.qty,
            held: Quantity::ZERO,
            delivered: Quantity::ZERO,
            invoiced: Quantity::ZERO,
            invoiced_discount: Money::ZERO,
            invoiced_bill_discount: Money::ZERO,
            priced: serde_json::to_value(line).map_err(bahi_db::Error::from)?,
        })
    }

    /// As it was priced.
    pub(crate) fn priced(&self) -> Result<Line> {
        Ok(serde_json::from_value(self.priced.clone()).map_err(bahi_db::Error::from)?)
    }

    /// Still to be delivered.
    pub(crate) fn undelivered(&self) -> Quantity {
        self.qty - self.delivered
    }

    /// Still to be delivered and not held.
    pub(crate) fn back_ordered(&self) -> Quantity {
        if self.stocked {
            self.undelivered() - self.held
        } else {
            Quantity::ZERO
        }
    }

    /// What can be delivered now.
    fn deliverable(&self) -> Quantity {
        if self.stocked {
            self.held
        } else {
            self.undelivered()
        }
    }

    /// Takes so much of it for a bill, with its share of the discounts: the parts of a line add up to it.
    fn bill(&mut self, qty: Quantity, of: OfOrder) -> Result<Agreed> {
        let mut line = self.priced()?;
        let after = self.invoiced + qty;
        let gross = Money::rounded(line.unit_price.decimal() * qty.decimal());
        let due = share(line.discount, after, self.qty) - self.invoiced_discount;
        let discount = due.min(gross);
        let due = share(line.bill_discount, after, self.qty) - self.invoiced_bill_discount;
        let bill_discount = due.min(gross - discount);
        if qty != self.qty {
            // What promotions took off is told of the whole line alone.
            let pricing = line_pricing_of(&line).map(|mut pricing| {
                pricing.promotions.clear();
                pricing
            });
            line.pricing = pricing
                .map(serde_json::to_value)
                .transpose()
                .map_err(bahi_db::Error::from)?;
        }
        line.qty = qty;
        line.of_order = Some(serde_json::to_value(of).map_err(bahi_db::Error::from)?);
        self.invoiced = after;
        self.invoiced_discount += discount;
        self.invoiced_bill_discount += bill_discount;
        Ok(Agreed {
            line,
            discount,
            bill_discount,
        })
    }
}

/// An order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub head: Head,
    pub lines: Vec<OrderLine>,
}

/// Part of a line that is to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub line: i32,
    pub qty: Quantity,
    pub batch_id: Option<BatchId>,
    pub serials: Vec<String>,
}

/// Part of a line as it is kept with its delivery.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeptPart {
    qty: Quantity,
    batch_id: Option<BatchId>,
    serials: Vec<String>,
}

impl Order {
    /// What it promises, without lines.
    pub(crate) fn offer(&self) -> Result<Offer> {
        Ok(serde_json::from_value(self.head.offer.clone()).map_err(bahi_db::Error::from)?)
    }

    /// What inventory is being asked.
    pub(super) fn step(&self) -> Result<Option<Step>> {
        let step = self.head.step.clone().map(serde_json::from_value);
        Ok(step.transpose().map_err(bahi_db::Error::from)?)
    }

    /// That it is in one of these.
    pub(super) fn must_be(&self, statuses: &[&str]) -> Result<()> {
        if statuses.contains(&self.head.status.as_str()) {
            Ok(())
        } else {
            Err(Error::OrderState(self.head.status.clone()))
        }
    }

    /// The status of a confirmed order by what was delivered.
    pub(super) fn fulfilled_so_far(&self) -> &'static str {
        if self.lines.iter().all(|l| l.undelivered().is_zero()) {
            "fulfilled"
        } else if self.lines.iter().any(|l| l.delivered.is_positive()) {
            "partially_fulfilled"
        } else {
            "confirmed"
        }
    }

    /// Stock that is still to be delivered: line, product, quantity.
    pub(super) fn wanted(&self) -> Vec<(i32, ProductId, Quantity)> {
        let lines = self.lines.iter().filter(|l| l.stocked);
        let lines = lines.filter(|l| l.undelivered().is_positive());
        lines
            .map(|l| (l.line, l.product_id, l.undelivered()))
            .collect()
    }

    /// Something is back ordered.
    pub(super) fn waits(&self) -> bool {
        self.lines.iter().any(|l| l.back_ordered().is_positive())
    }

    /// Takes over what inventory holds.
    pub(super) fn hold(&mut self, held: &BTreeMap<i32, Quantity>) {
        for line in self.lines.iter_mut().filter(|l| l.stocked) {
            let now = held.get(&line.line).copied().unwrap_or_default();
            line.held = now.min(line.undelivered());
        }
    }

    fn line_mut(&mut self, line: i32) -> Option<&mut OrderLine> {
        self.lines.iter_mut().find(|l| l.line == line)
    }

    /// Takes back what a hold lost.
    pub(super) fn lose(&mut self, line: i32, qty: Quantity) {
        if let Some(line) = self.line_mut(line) {
            line.held -= qty.min(line.held);
        }
    }

    /// What a delivery takes: what is asked for, or everything that can be delivered.
    pub(super) fn pick(&self, parts: Option<Vec<Part>>) -> Result<Vec<FulfilmentLine>> {
        let parts = parts.unwrap_or_else(|| {
            let ready = self.lines.iter().filter(|l| l.deliverable().is_positive());
            ready
                .map(|l| Part {
                    line: l.line,
                    qty: l.deliverable(),
                    batch_id: None,
                    serials: Vec::new(),
                })
                .collect()
        });
        let mut by_line: BTreeMap<i32, Vec<Part>> = BTreeMap::new();
        for part in parts {
            by_line.entry(part.line).or_default().push(part);
        }
        if by_line.is_empty() {
            return Err(Error::NothingTo("deliver"));
        }
        let lines = by_line.into_iter().map(|(line, parts)| {
            let own = self.lines.iter().find(|l| l.line == line);
            let own = own.ok_or(Error::NoOrderLine(line))?;
            let asked: Quantity = parts.iter().map(|p| p.qty).sum();
            let left = own.undelivered();
            if asked > left {
                return Err(Error::ExceedsOrdered { line, asked, left });
            }
            let held = own.deliverable();
            if asked > held {
                return Err(Error::NotPromised { line, asked, held });
            }
            let serials: Vec<String> = parts.iter().flat_map(|p| p.serials.clone()).collect();
            let kept = parts.into_iter().map(|p| KeptPart {
                qty: p.qty,
                batch_id: p.batch_id,
                serials: p.serials,
            });
            let kept: Vec<KeptPart> = kept.collect();
            Ok(FulfilmentLine {
                line,
                product_id: own.product_id,
                stocked: own.stocked,
                qty: asked,
                invoiced: Quantity::ZERO,
                parts: serde_json::to_value(kept).map_err(bahi_db::Error::from)?,
                batches: serde_json::Value::Array(Vec::new()),
                serials: serials.into(),
            })
        });
        lines.collect()
    }

    /// The goods of a delivery have left. `billed` is what deliveries before it have of what was billed, by line: a bill that
    /// came before its delivery is a bill of this one.
    pub(super) fn deliver(
        &mut self,
        delivery: &mut [FulfilmentLine],
        billed: &BTreeMap<i32, Quantity>,
    ) {
        for part in delivery {
            let before = billed.get(&part.line).copied().unwrap_or_default();
            if let Some(line) = self.line_mut(part.line) {
                line.delivered += part.qty;
                line.held -= part.qty.min(line.held);
                part.invoiced = (line.invoiced - before).min(part.qty);
            }
        }
        self.head.status = self.fulfilled_so_far().to_owned();
    }

    /// What a bill takes: what is asked for, or everything delivered and not billed. Of each line what left with the oldest
    /// delivery first; `left` is what is not billed of them, and gets less. `ahead`: what is not delivered yet too.
    pub(super) fn bill(
        &mut self,
        wanted: Option<Vec<(i32, Quantity)>>,
        left: &mut [Unbilled],
        ahead: bool,
    ) -> Result<Vec<Agreed>> {
        let order_id = self.head.order_id.uuid();
        let wanted = wanted.unwrap_or_else(|| {
            let mut sums: BTreeMap<i32, Quantity> = BTreeMap::new();
            for part in left.iter() {
                *sums.entry(part.line).or_default() += part.left;
            }
            sums.into_iter()
                .filter(|(_, qty)| qty.is_positive())
                .collect()
        });
        if wanted.is_empty() {
            return Err(Error::NothingTo("bill"));
        }
        let mut agreed = Vec::new();
        for (line, asked) in wanted {
            let own = self.line_mut(line).ok_or(Error::NoOrderLine(line))?;
            let unbilled = own.qty - own.invoiced;
            if asked > unbilled {
                return Err(Error::ExceedsOrdered {
                    line,
                    asked,
                    left: unbilled,
                });
            }
            let mut rest = asked;
            for part in left.iter_mut().filter(|p| p.line == line) {
                let qty = part.left.min(rest);
                if qty.is_positive() {
                    let fulfilment_id = Some(part.fulfilment_id);
                    agreed.push(own.bill(
                        qty,
                        OfOrder {
                            order_id,
                            line,
                            fulfilment_id,
                        },
                    )?);
                    part.left -= qty;
                    part.taken += qty;
                    rest -= qty;
                }
            }
            if rest.is_positive() {
                if !ahead {
                    let left = asked - rest;
                    return Err(Error::ExceedsDelivered { line, asked, left });
                }
                agreed.push(own.bill(
                    rest,
                    OfOrder {
                        order_id,
                        line,
                        fulfilment_id: None,
                    },
                )?);
            }
        }
        Ok(agreed)
    }

    /// What it gives up of the customer's credit with a bill, of which it has these quantities before.
    pub(super) fn give_up(&mut self, before: &Self) -> Result<Money> {
        let whole = self.lines.iter().all(|l| l.invoiced == l.qty);
        let mut value = Money::ZERO;
        for (now, before) in self.lines.iter().zip(&before.lines) {
            let total = now.priced()?.total;
            value += share(total, now.invoiced, now.qty) - share(total, before.invoiced, now.qty);
        }
        let given = if whole {
            self.head.exposure
        } else {
            value.min(self.head.exposure)
        };
        self.head.exposure -= given;
        Ok(given)
    }

    /// Leaves what a cancelled bill took of its lines to be billed again.
    pub(super) fn unbill<'a>(&mut self, lines: impl Iterator<Item = (i32, &'a Line)>) {
        for (line, billed) in lines {
            if let Some(own) = self.line_mut(line) {
                own.invoiced -= billed.qty;
                own.invoiced_discount -= billed.discount;
                own.invoiced_bill_discount -= billed.bill_discount;
            }
        }
    }

    /// What it claims of the customer's credit again, of which `before` had more billed.
    pub(super) fn claim_again(&mut self, before: &Self) -> Result<Money> {
        let mut value = Money::ZERO;
        for (now, before) in self.lines.iter().zip(&before.lines) {
            let total = now.priced()?.total;
            value += share(total, before.invoiced, now.qty) - share(total, now.invoiced, now.qty);
        }
        self.head.exposure += value;
        Ok(value)
    }

    /// That everything delivered is billed, and everything billed delivered.
    pub(super) fn must_be_settled(&self) -> Result<()> {
        match self.lines.iter().find(|l| l.delivered != l.invoiced) {
            None => Ok(()),
            Some(l) => Err(Error::NotSettled {
                line: l.line,
                delivered: l.delivered,
                invoiced: l.invoiced,
            }),
        }
    }
}

/// A delivery.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(crate) struct Fulfilment {
    #[diesel(sql_type = SqlUuid)]
    pub fulfilment_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub order_id: OrderId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub request_id: Option<Uuid>,
    #[diesel(sql_type = Bytea)]
    pub request_hash: Vec<u8>,
    /// `pending` or `delivered`.
    #[diesel(sql_type = Text)]
    pub state: String,
    #[diesel(sql_type = SqlUuid)]
    pub registration_id: RegistrationId,
    #[diesel(sql_type = Nullable<Text>)]
    pub number: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub delivered_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub note: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub created_by: Option<UserId>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
}

/// A line of a delivery.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(crate) struct FulfilmentLine {
    #[diesel(sql_type = Integer)]
    pub line: i32,
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = Bool)]
    pub stocked: bool,
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
    #[diesel(sql_type = Numeric)]
    pub invoiced: Quantity,
    /// As asked for.
    #[diesel(sql_type = Jsonb)]
    pub parts: serde_json::Value,
    /// As it left.
    #[diesel(sql_type = Jsonb)]
    pub batches: serde_json::Value,
    #[diesel(sql_type = Jsonb)]
    pub serials: serde_json::Value,
}

impl FulfilmentLine {
    /// What inventory is asked to hand over.
    pub(super) fn hands(&self) -> Result<Vec<Hand>> {
        let parts: Vec<KeptPart> =
            serde_json::from_value(self.parts.clone()).map_err(bahi_db::Error::from)?;
        let parts = parts.into_iter().map(|p| Hand {
            line: self.line,
            qty: p.qty,
            batch_id: p.batch_id,
            serials: p.serials,
        });
        Ok(parts.collect())
    }
}

/// What of a delivery's line is not billed.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct Unbilled {
    #[diesel(sql_type = SqlUuid)]
    pub fulfilment_id: Uuid,
    #[diesel(sql_type = Integer)]
    pub line: i32,
    #[diesel(sql_type = Numeric)]
    pub left: Quantity,
    /// What a bill takes of it.
    #[diesel(sql_type = Numeric)]
    pub taken: Quantity,
}
