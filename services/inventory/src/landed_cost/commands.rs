//! Posting a landed cost.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use bahi_db::{Ctx, Done, Tx};
use bahi_events::ExpensedLine;
use bahi_http::Fault;
use bahi_types::{Money, ProductId, Quantity, business_date};
use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{Basis, Slice, fate, split, spread},
    store::{self, ArrivalRow, Head, Line, Part},
};
use crate::{
    Error, State, copy, events,
    ledger::{self, Books, Change, Costing, Key, Lot, Movement, Source, Status},
    period, revaluation,
};

/// Most lines of one document.
const LINES: usize = 500;
/// Most moves of goods that one document follows: their places are locked meanwhile, and sales there wait.
const MOVES: usize = 1_000;

/// How many moves of goods a document may still follow.
pub(crate) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(MOVES)
    }
}

impl Budget {
    /// Follows one more move, of goods of a line of a receipt.
    ///
    /// # Errors
    /// [`Error::TooManyMoves`].
    fn spend(&mut self) -> Result<(), Error> {
        self.0 = self.0.checked_sub(1).ok_or(Error::TooManyMoves(MOVES))?;
        Ok(())
    }
}

/// A landed cost to be posted.
#[derive(Clone, Debug)]
pub(super) struct NewLandedCost {
    pub reference: Option<String>,
    pub posting_date: Option<NaiveDate>,
    pub amount: Money,
    pub basis: Basis,
    pub receipts: Vec<NewReceipt>,
}

/// A receipt whose goods it is for.
#[derive(Clone, Debug)]
pub(super) struct NewReceipt {
    pub id: Uuid,
    /// Lines and their weights; all lines when absent.
    pub lines: Option<Vec<(i32, Option<Quantity>)>>,
}

/// A posted landed cost.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(super) struct LandedCost {
    #[serde(flatten)]
    pub head: Head,
    /// Lines, in the order of the request.
    pub lines: Vec<Line>,
}

/// Spreads a late cost over goods that were received.
///
/// # Errors
/// When there is nothing to spread it by; [`bahi_db::Error::OtherBranch`] to who does not work for all.
pub(super) async fn post(
    state: &State,
    ctx: &Ctx,
    new: NewLandedCost,
) -> Result<Done<LandedCost>, Error> {
    // Goods that were received at one branch may be anywhere by now, and what is sold out makes no movement.
    ctx.everywhere()?;
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<LandedCost, Error> {
            let at = period::moment(tx, new.posting_date).await?;
            let targets = targets(tx, &new).await?;
            if targets.len() > LINES {
                let message = "must have at most 500 lines together; name those that the amount is for";
                return Err(Fault::field("receipts", message).into());
            }
            let weight = |(arrival, weight): &(ArrivalRow, Option<Quantity>)| match new.basis {
                Basis::Value => arrival.value.decimal(),
                Basis::Quantity => arrival.qty.decimal(),
                Basis::Weight => weight.map_or(Decimal::ZERO, Quantity::decimal),
            };
            let weights: Vec<Decimal> = targets.iter().map(weight).collect();
            let amounts = spread(new.amount, &weights)
                .ok_or(Error::NothingToSpreadBy(new.basis.name()))?;
            let products: BTreeSet<ProductId> = targets.iter().map(|t| t.0.product_id).collect();
            // A product that was deleted since still has goods; only its lock is wanted.
            copy::lock_known(tx, &products).await?;
            let costings = revaluation::costings(tx, &products).await?;
            let places = ledger::store::places_of_products(tx, &products).await?;
            let books = ledger::store::lock(tx, &places, &BTreeSet::new()).await?;
            let (id, mut lines, mut parts, mut expensed) =
                (Uuid::now_v7(), Vec::new(), Vec::new(), Vec::new());
            let mut budget = Budget::default();
            for ((n, (arrival, weight)), amount) in (1..).zip(targets).zip(amounts) {
                let found = whereabouts(tx, &books, &arrival, &mut budget).await?;
                if let Some((key, ..)) = found.iter().find(|f| f.0.status == Status::InTransit) {
                    return Err(Error::InTransit(key.product));
                }
                let on_hand: Quantity = found.iter().map(|f| f.2).sum();
                let quantities: Vec<Quantity> = found.iter().map(|f| f.2).collect();
                let (values, sold_value) = split(amount, arrival.qty, &quantities);
                let costing = costings.get(&arrival.product_id).copied().unwrap_or_default();
                let standard = matches!(costing, Costing::Standard(_));
                let kept = amount - sold_value;
                let (stock_value, variance) =
                    if standard { (Money::ZERO, kept) } else { (kept, Money::ZERO) };
                if !standard {
                    for ((part, (key, behind, qty)), value) in (1..).zip(found).zip(values) {
                        parts.push(Part { line: n, part, seq: 0, key, behind, qty, value });
                    }
                }
                let gone = arrival.qty - on_hand;
                for (qty, value, kind) in
                    [(gone, sold_value, "cost_of_goods_sold"), (on_hand, variance, "variance")]
                {
                    if !value.is_zero() {
                        expensed.push(ExpensedLine {
                            line: n,
                            product_id: arrival.product_id,
                            location_id: arrival.location_id,
                            qty,
                            value,
                            kind: kind.to_owned(),
                            uom: None,
                        });
                    }
                }
                lines.push(Line {
                    line: n,
                    receipt_id: arrival.source_id,
                    receipt_line: arrival.source_line,
                    product_id: arrival.product_id,
                    location_id: arrival.location_id,
                    batch_id: arrival.batch_id,
                    qty: arrival.qty,
                    weight,
                    amount,
                    on_hand,
                    stock_value,
                    sold_value,
                    variance,
                });
            }
            let nil = Uuid::nil();
            let needs: BTreeMap<Lot, Quantity> =
                parts.iter().map(|p| ((p.key, nil), books.item(p.key).on_hand)).collect();
            let mut layers = ledger::store::layers(tx, &needs).await?;
            let seqs = ledger::store::draw(tx, parts.len()).await?;
            let mut movements: Vec<(Movement, Quantity)> = Vec::new();
            for (part, seq) in parts.iter_mut().zip(seqs) {
                part.seq = seq;
                let Part { behind, qty, value, .. } = *part;
                let delta = layers.revalue((part.key, nil), Change::Raise { behind, qty, value });
                if delta != Some(value) {
                    return Err(ledger::Unbacked { key: part.key, qty }.into());
                }
                let source =
                    Source { kind: "landed_cost", id, line: part.line, purpose: "revalue" };
                let reason = new.reference.clone();
                let made = Movement::revaluing(source, part.part, part.key, value, reason, at);
                movements.extend(made.map(|m| (m, qty)));
            }
            let (mut movements, raised): (Vec<Movement>, Vec<Quantity>) = movements.into_iter().unzip();
            ledger::save_values(tx, &layers, &mut movements).await?;
            let said = movements.iter().zip(raised).map(|(m, qty)| events::revalued_line(m, qty)).collect();
            let facts = copy::facts(tx, expensed.iter().map(|e| (e.location_id, e.product_id))).await?;
            for line in &mut expensed {
                line.uom = facts.uom(line.product_id);
            }
            let head = Head {
                id,
                reference: new.reference.clone(),
                basis: new.basis.name().to_owned(),
                amount: new.amount,
                stock_value: lines.iter().map(|l| l.stock_value).sum(),
                posting_date: business_date(at),
                recorded_at: tx.now(),
            };
            store::insert(tx, &head, &lines, &parts).await?;
            tx.publish(events::revalued("landed_cost", id, at, |event| {
                event.reason = new.reference.clone();
                event.lines = said;
                event.expensed = expensed;
            }));
            let details = json!({ "amount": head.amount, "stock_value": head.stock_value, "basis": head.basis });
            tx.audit("inventory.stock.land_cost", ("stock_document", id), new.reference, details);
            Ok(LandedCost { head, lines })
        })
        .await
}

/// The lines asked for, as they were received.
async fn targets(
    tx: &mut Tx,
    new: &NewLandedCost,
) -> Result<Vec<(ArrivalRow, Option<Quantity>)>, Error> {
    let ids: Vec<Uuid> = new.receipts.iter().map(|r| r.id).collect();
    let mut known: BTreeMap<Uuid, Vec<ArrivalRow>> = BTreeMap::new();
    for row in store::receipt_lines(tx, &ids).await? {
        known.entry(row.source_id).or_default().push(row);
    }
    let (mut seen, mut targets) = (HashSet::new(), Vec::new());
    for (n, receipt) in new.receipts.iter().enumerate() {
        let rows = known.get(&receipt.id).ok_or(Fault::NotFound)?;
        let wanted = match &receipt.lines {
            None => rows.iter().map(|r| (r.source_line, None)).collect(),
            Some(lines) => lines.clone(),
        };
        for (line, weight) in wanted {
            let row = rows
                .iter()
                .find(|r| r.source_line == line)
                .ok_or(Error::ReceiptLine(n, "the receipt has no such line"))?;
            if !seen.insert((receipt.id, line)) {
                return Err(Error::ReceiptLine(n, "a line is named twice"));
            }
            if weight.is_some() != (new.basis == Basis::Weight) {
                return Err(Error::ReceiptLine(
                    n,
                    "each line has a weight where the basis is weight, and none otherwise",
                ));
            }
            targets.push((row.clone(), weight));
        }
    }
    Ok(targets)
}

/// Where the goods of an arrival are now: balance, how many came there after them, how many of them. The gates of all
/// places of the product are locked.
///
/// # Errors
/// [`Error::TooManyMoves`]; the database's.
pub(crate) async fn whereabouts(
    tx: &mut Tx,
    books: &Books,
    arrival: &ArrivalRow,
    budget: &mut Budget,
) -> Result<Vec<(Key, Quantity, Quantity)>, Error> {
    let whole = Slice {
        arrived: arrival.qty,
        off: Quantity::ZERO,
        len: arrival.qty,
    };
    let mut open = VecDeque::from([(arrival.clone(), whole)]);
    let mut found = Vec::new();
    while let Some((arrival, slice)) = open.pop_front() {
        let Some(key) = arrival.key() else {
            continue;
        };
        let since = store::since(tx, key, &arrival, books.item(key).on_hand).await?;
        let now = fate(slice, since);
        if now.left.is_positive() {
            found.push((key, now.behind, now.left));
        }
        if now.gone.1 <= now.gone.0 {
            continue;
        }
        for onward in store::onward(tx, key, &arrival, now.gone).await? {
            budget.spend()?;
            let start = onward.gone - onward.arrival.qty;
            let from = if start < now.gone.0 {
                now.gone.0
            } else {
                start
            };
            let slice = Slice {
                arrived: onward.arrival.qty,
                off: from - start,
                len: onward.gone.min(now.gone.1) - from,
            };
            open.push_back((onward.arrival, slice));
        }
    }
    Ok(found)
}
