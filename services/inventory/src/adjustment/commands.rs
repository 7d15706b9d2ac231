//! Posting an adjustment.

use std::collections::{BTreeSet, HashMap};

use bahi_db::{Ctx, Done, Tx};
use bahi_http::Fault;
use bahi_types::{BatchId, LocationId, Money, Price, ProductId, Quantity, ReservationId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Error, State, batch, copy,
    error::HoldRef,
    events::{self, HoldNews},
    ledger::{self, Books, Cost, Key, Kind, NO_BATCH, Place, Source, Status, worth},
    reservation::{self, Hold, HoldLine, HoldState, Owner},
};

/// An adjustment to be posted.
#[derive(Clone, Debug)]
pub(super) struct NewAdjustment {
    pub location: LocationId,
    pub reason: String,
    pub lines: Vec<NewLine>,
}

/// A line of it.
#[derive(Clone, Debug)]
pub(super) struct NewLine {
    pub product: ProductId,
    pub batch: Option<BatchId>,
    pub status: Status,
    pub delta: Quantity,
    pub unit_cost: Option<Price>,
}

/// A posted adjustment.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(super) struct Adjustment {
    /// Its id: the source of its movements.
    pub id: Uuid,
    /// Where.
    pub location_id: LocationId,
    /// Why.
    pub reason: String,
    /// When it was posted.
    pub recorded_at: DateTime<Utc>,
    /// Change of the stock's value.
    pub value_delta: Money,
    /// Lines, in the order of the request.
    pub lines: Vec<Line>,
    /// Holds that had to end because their goods are gone.
    pub broken_reservations: Vec<ReservationId>,
}

/// A line of a posted adjustment.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AdjustmentLine)]
pub(super) struct Line {
    /// Line number, from 1.
    pub line: i32,
    /// Product.
    pub product_id: ProductId,
    /// Batch.
    pub batch_id: Option<BatchId>,
    /// State of the stock.
    pub status: Status,
    /// What was asked for.
    pub qty_asked: Quantity,
    /// What was done: a loss takes at most what is on hand.
    pub qty_delta: Quantity,
    /// Change of value.
    pub value_delta: Money,
    /// On hand after it.
    pub on_hand_after: Quantity,
}

/// Rounds of asking sales before giving up; each asks about the newest undecided holds in the way.
const ROUNDS: usize = 8;

/// Corrects stock, breaking promises where there is no other way.
pub(super) async fn post(
    state: &State,
    ctx: &Ctx,
    new: NewAdjustment,
) -> Result<Done<Adjustment>, Error> {
    // The key belongs to the adjustment, not to what sales answers on the way.
    let inner = Ctx {
        idempotency: None,
        ..ctx.clone()
    };
    let mut last = Vec::new();
    for _ in 0..ROUNDS {
        match attempt(state, ctx, new.clone()).await {
            Err(Error::HeldByTills(holds)) => {
                reservation::ask(state, &inner, &holds).await?;
                last = holds;
            }
            decided => return decided,
        }
    }
    Err(Error::HeldByTills(last))
}

async fn attempt(state: &State, ctx: &Ctx, new: NewAdjustment) -> Result<Done<Adjustment>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Adjustment, Error> {
            let keys = keys(tx, &new).await?;
            let lost: Vec<Key> = keys
                .iter()
                .zip(&new.lines)
                .filter(|(key, line)| line.delta.is_negative() && key.status == Status::Sellable)
                .map(|(key, _)| *key)
                .collect();
            // Holds before gates, as everywhere.
            let holding = if lost.is_empty() { Vec::new() } else { reservation::store::holding(tx, &lost).await? };
            let mut holds = reservation::store::lock(tx, &holding).await?;
            holds.retain(Hold::is_pending);
            let batches: BTreeSet<BatchId> = keys.iter().map(|k| k.batch).filter(|b| *b != NO_BATCH).collect();
            let mut places: BTreeSet<Place> = keys.iter().map(|k| k.place()).collect();
            let own = places.clone();
            places.extend(holds.iter().flat_map(Hold::places));
            let mut books = ledger::store::lock(tx, &places, &batches).await?;
            let costs = ledger::store::current_costs(tx, &own).await?;
            let (id, now) = (Uuid::now_v7(), tx.now());
            let mut broken = Broken::new(holds);
            let mut lines = Vec::with_capacity(new.lines.len());
            for ((n, line), key) in (1..).zip(&new.lines).zip(&keys) {
                let source = Source { kind: "adjustment", id, line: n, purpose: "adjust" };
                let reason = Some(new.reason.clone());
                let delta = if line.delta.is_negative() {
                    let gone = (-line.delta).min(books.item(*key).on_hand);
                    if gone.is_positive() {
                        broken.make_free(&mut books, *key, gone, now)?;
                        books.take(Kind::AdjustOut, *key, gone, source, reason, now);
                    }
                    -gone
                } else {
                    let unit = line.unit_cost.or_else(|| costs.get(&key.place()).copied());
                    let unit = unit.ok_or(Error::UnitCostRequired(n as usize - 1))?;
                    let Some(value) = worth(line.delta, unit) else {
                        let field = format!("lines[{}].unit_cost", n - 1);
                        return Err(Fault::field(field, "makes too large a value").into());
                    };
                    books.put(Kind::AdjustIn, *key, line.delta, Cost::Known(value, unit), source, reason, now);
                    line.delta
                };
                books.touch(key.place());
                lines.push(Line {
                    line: n,
                    product_id: line.product,
                    batch_id: line.batch,
                    status: line.status,
                    qty_asked: line.delta,
                    qty_delta: delta,
                    value_delta: Money::ZERO,
                    on_hand_after: books.item(*key).on_hand,
                });
            }
            if lines.iter().all(|l| l.qty_delta.is_zero()) {
                return Err(Error::NothingOnHand);
            }
            broken.save(tx).await?;
            let versions: HashMap<Place, i64> =
                own.iter().map(|p| (*p, books.item(Key::sellable(*p, NO_BATCH)).version + 1)).collect();
            let movements = ledger::close(tx, books).await?;
            let mut value_delta = Money::ZERO;
            for movement in movements.iter().filter(|m| m.draft.source.id == id) {
                let Some(line) = lines.iter_mut().find(|l| l.line == movement.draft.source.line) else { continue };
                line.value_delta = movement.value;
                value_delta += movement.value;
                let version = versions.get(&movement.draft.key.place()).copied().unwrap_or(1);
                tx.publish(events::adjusted(tx.tenant(), movement, version, line.on_hand_after));
            }
            for hold in &broken.ended {
                tx.publish(events::hold(HoldNews::Released, hold, hold.version + 1));
            }
            let adjustment = Adjustment {
                id,
                location_id: new.location,
                reason: new.reason.clone(),
                recorded_at: now,
                value_delta,
                lines,
                broken_reservations: broken.ended.iter().map(|h| h.id).collect(),
            };
            let details = json!({
                "location_id": new.location,
                "lines": adjustment.lines.iter().map(|l| json!({
                    "product_id": l.product_id, "qty_delta": l.qty_delta, "value_delta": l.value_delta
                })).collect::<Vec<_>>(),
            });
            tx.audit("inventory.stock.adjust", ("stock_document", id), Some(new.reason.clone()), details);
            Ok(adjustment)
        })
        .await
}

/// The balance of each line, its product, batch and place checked.
async fn keys(tx: &mut Tx, new: &NewAdjustment) -> Result<Vec<Key>, Error> {
    copy::open_location(tx, new.location).await?;
    let ids: BTreeSet<ProductId> = new.lines.iter().map(|l| l.product).collect();
    let products = copy::products(tx, &ids).await?;
    let named: BTreeSet<BatchId> = new.lines.iter().filter_map(|l| l.batch).collect();
    let batches: HashMap<BatchId, ProductId> = batch::store::share(tx, &named)
        .await?
        .into_iter()
        .map(|b| (b.id, b.product_id))
        .collect();
    let mut keys = Vec::with_capacity(new.lines.len());
    for (n, line) in new.lines.iter().enumerate() {
        let Some(product) = products.get(&line.product) else {
            continue;
        };
        if !product.stocked {
            return Err(Error::NotStocked(n));
        }
        match line.batch {
            Some(batch) if batches.get(&batch) != Some(&line.product) => {
                return Err(Fault::field(
                    format!("lines[{n}].batch_id"),
                    "is not a batch of the product",
                )
                .into());
            }
            // Goods of such a product may lie there without a batch (returned without bill); they can be taken away.
            None if product.batch_tracked && line.delta.is_positive() => {
                return Err(Error::BatchRequired(n));
            }
            _ => {}
        }
        let shelf = Key::sellable((new.location, line.product), line.batch.unwrap_or(NO_BATCH));
        keys.push(shelf.in_status(line.status));
    }
    Ok(keys)
}

/// Pending holds in the way of a loss, and what becomes of them.
struct Broken {
    holds: Vec<Hold>,
    ended: Vec<Hold>,
    lowered: Vec<(ReservationId, HoldLine, Quantity)>,
}

impl Broken {
    /// Orders and the API's before tills'; newest first.
    fn new(mut holds: Vec<Hold>) -> Self {
        holds.sort_by_key(|h| {
            (
                h.owner == Owner::Sales,
                std::cmp::Reverse((h.created_at, h.id)),
            )
        });
        Self {
            holds,
            ended: Vec::new(),
            lowered: Vec::new(),
        }
    }

    /// Breaks promises until `gone` of a balance is free.
    fn make_free(
        &mut self,
        books: &mut Books,
        key: Key,
        gone: Quantity,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let need = |books: &Books| gone - books.item(key).free();
        let (mut kept, mut undecided) = (Vec::new(), Vec::new());
        let mut asked = Quantity::ZERO;
        for mut hold in std::mem::take(&mut self.holds) {
            let at_key = |hold: &Hold, l: &HoldLine| hold.key(l) == key && l.qty.is_positive();
            let held: Quantity = hold
                .lines
                .iter()
                .filter(|l| at_key(&hold, l))
                .map(|l| l.qty)
                .sum();
            let missing = need(books) - asked;
            if !missing.is_positive() || held.is_zero() {
                kept.push(hold);
            } else if hold.owner != Owner::Sales {
                for line in &hold.lines {
                    if hold.key(line) == key {
                        // These very goods are the ones that are gone: nothing of them goes to quarantine.
                        books.shrink((key, line.qty));
                        books.risen.insert(key.place());
                    } else {
                        books.unhold(
                            (hold.key(line), line.qty),
                            hold.source(line.line, "quarantine"),
                            now,
                        );
                    }
                }
                self.ended.push(hold);
            } else if hold.answer.is_none() {
                asked += held;
                undecided.push(HoldRef {
                    id: hold.id,
                    invoice: hold
                        .invoice
                        .unwrap_or(bahi_types::InvoiceId::from_uuid(Uuid::nil())),
                    attempt: hold.attempt.unwrap_or_default(),
                });
                kept.push(hold);
            } else {
                let mut left = missing.min(held);
                let (location, id) = (hold.location, hold.id);
                for line in &mut hold.lines {
                    let same = Key::sellable((location, line.product), line.batch) == key;
                    let part = if same {
                        line.qty.min(left)
                    } else {
                        Quantity::ZERO
                    };
                    if part.is_positive() {
                        books.shrink((key, part));
                        self.lowered.push((id, *line, part));
                        line.qty -= part;
                        left -= part;
                    }
                }
                kept.push(hold);
            }
        }
        self.holds = kept;
        if !undecided.is_empty() {
            return Err(Error::HeldByTills(undecided));
        }
        if need(books).is_positive() {
            // A hold was granted between the look at them and the gates: look again.
            return Err(bahi_db::Error::Contention.into());
        }
        Ok(())
    }

    async fn save(&self, tx: &mut Tx) -> Result<(), Error> {
        reservation::store::end(
            tx,
            HoldState::Released,
            &self.ended.iter().map(|h| h.id).collect::<Vec<_>>(),
        )
        .await?;
        for (hold, line, qty) in &self.lowered {
            reservation::store::lower(tx, *hold, line, *qty).await?;
        }
        Ok(())
    }
}
