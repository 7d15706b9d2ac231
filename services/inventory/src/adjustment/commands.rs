//! Posting an adjustment.

use std::collections::{BTreeSet, HashMap};

use async_graphql::SimpleObject;
use bahi_db::{Ctx, Done, Tx};
use bahi_http::Fault;
use bahi_types::{
    BatchId, LocationId, Money, Price, ProductId, Quantity, ReservationId, business_date,
};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Error, State, batch, copy, document, events,
    ledger::{self, Cost, Key, Kind, Movement, NO_BATCH, Place, Source, Status, worth},
    period, policy,
    reservation::{self, Broken},
    serial,
};

/// An adjustment to be posted.
#[derive(Clone, Debug)]
pub(super) struct NewAdjustment {
    pub location: LocationId,
    pub reason: String,
    pub reason_code: Option<String>,
    /// No limit of value binds whoever posts it.
    pub any: bool,
    pub posting_date: Option<NaiveDate>,
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
    pub serials: Vec<String>,
}

/// A posted adjustment.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema, SimpleObject)]
#[graphql(name = "StockAdjustment", complex)]
pub(crate) struct Adjustment {
    /// Its id: the source of its movements.
    #[graphql(skip)]
    pub id: Uuid,
    /// Where.
    pub location_id: LocationId,
    /// Why.
    pub reason: String,
    /// Which of the tenant's reasons that is.
    pub reason_code: String,
    /// The business day it counts for.
    #[serde(default)]
    pub posting_date: NaiveDate,
    /// When it was posted.
    pub recorded_at: DateTime<Utc>,
    /// Change of the stock's value; for those who may see values.
    pub value_delta: Option<Money>,
    /// Lines, in the order of the request.
    // A list gives none.
    #[serde(default)]
    #[schema(required = true)]
    #[graphql(skip)]
    pub lines: Vec<Line>,
    /// Holds that lost goods because they are gone.
    pub broken_reservations: Vec<ReservationId>,
}

/// A line of a posted adjustment.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema, SimpleObject)]
#[schema(as = AdjustmentLine)]
#[graphql(name = "StockAdjustmentLine", complex)]
pub(crate) struct Line {
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
    /// Change of value; for those who may see values.
    pub value_delta: Option<Money>,
    /// On hand after it.
    pub on_hand_after: Quantity,
}

/// Corrects stock, breaking promises where there is no other way.
pub(super) async fn post(
    state: &State,
    ctx: &Ctx,
    new: NewAdjustment,
) -> Result<Done<Adjustment>, Error> {
    state.restore.passed().await?;
    reservation::asking(state, ctx, || attempt(state, ctx, new.clone())).await
}

async fn attempt(state: &State, ctx: &Ctx, new: NewAdjustment) -> Result<Done<Adjustment>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Adjustment, Error> {
            let policy = policy::get(tx).await?;
            let reason_code = policy.reason(new.reason_code.clone())?;
            let at = period::moment(tx, new.posting_date).await?;
            let keys = keys(&new);
            let lost: Vec<Key> = keys
                .iter()
                .zip(&new.lines)
                .filter(|(key, line)| line.delta.is_negative() && key.status == Status::Sellable)
                .map(|(key, _)| *key)
                .collect();
            let mut broken = Broken::lock(tx, &lost).await?;
            check(tx, &new).await?;
            let batches: BTreeSet<BatchId> = keys.iter().map(|k| k.batch).filter(|b| *b != NO_BATCH).collect();
            let mut places: BTreeSet<Place> = keys.iter().map(|k| k.place()).collect();
            let own = places.clone();
            places.extend(broken.places());
            let mut books = ledger::store::lock(tx, &places, &batches).await?;
            let costs = ledger::store::current_costs(tx, &own).await?;
            let (id, now) = (Uuid::now_v7(), tx.now());
            let mut lines = Vec::with_capacity(new.lines.len());
            for ((n, line), key) in (1..).zip(&new.lines).zip(&keys) {
                let source = Source { kind: "adjustment", id, line: n, purpose: "adjust" };
                let reason = Some(new.reason.clone());
                let delta = if line.delta.is_negative() {
                    let gone = (-line.delta).min(books.item(*key).on_hand);
                    if gone.is_positive() {
                        broken.make_free(&mut books, (*key, gone), source, now)?;
                        books.take(Kind::AdjustOut, *key, gone, source, reason, at);
                        let most = serial::whole(gone).unwrap_or_default();
                        books.name(line.serials.iter().take(most).cloned().collect());
                    }
                    -gone
                } else {
                    let unit = line.unit_cost.or_else(|| costs.get(&key.place()).copied());
                    let unit = unit.ok_or(Error::UnitCostRequired(n as usize - 1))?;
                    let Some(value) = worth(line.delta, unit) else {
                        let field = format!("lines[{}].unit_cost", n - 1);
                        return Err(Fault::field(field, "makes too large a value").into());
                    };
                    books.put(Kind::AdjustIn, *key, line.delta, Cost::Known(value, unit), source, reason, at);
                    books.name(line.serials.clone());
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
                    value_delta: Some(Money::ZERO),
                    on_hand_after: books.item(*key).on_hand,
                });
            }
            if lines.iter().all(|l| l.qty_delta.is_zero()) {
                return Err(Error::NothingOnHand);
            }
            broken.save(tx).await?;
            let versions: HashMap<Place, i64> =
                own.iter().map(|p| (*p, books.version(*p))).collect();
            let movements = ledger::close(tx, books).await?;
            let own = |m: &&Movement| m.draft.source.id == id && m.draft.source.purpose == "adjust";
            let moved: Money = movements
                .iter()
                .filter(own)
                .map(|m| if m.value.is_negative() { -m.value } else { m.value })
                .sum();
            if !new.any && policy.adjust_limit.is_some_and(|most| moved > most) {
                return Err(Fault::Forbidden("inventory.stock.adjust_any".into()).into());
            }
            // What was found may have left at once, for whoever waited for it.
            for (n, key) in keys.iter().enumerate() {
                if !keys[n + 1..].contains(key) {
                    lines[n].on_hand_after -= ledger::settled_from(&movements, *key);
                }
            }
            let mut value_delta = Money::ZERO;
            for movement in movements.iter().filter(own) {
                let Some(line) = lines.iter_mut().find(|l| l.line == movement.draft.source.line) else { continue };
                line.value_delta = Some(movement.value);
                value_delta += movement.value;
                let version = versions.get(&movement.draft.key.place()).copied().unwrap_or(1);
                let reason = Some(reason_code.clone());
                tx.publish(events::adjusted_for(reason, tx.tenant(), movement, version, line.on_hand_after));
            }
            let broken_reservations = broken.announce(tx);
            let adjustment = Adjustment {
                id,
                location_id: new.location,
                reason: new.reason.clone(),
                reason_code,
                posting_date: business_date(at),
                recorded_at: now,
                value_delta: Some(value_delta),
                lines,
                broken_reservations,
            };
            let when = (adjustment.location_id, adjustment.posting_date);
            document::store::insert(tx, document::Kind::Adjustment, id, when, &adjustment).await?;
            let details = json!({
                "location_id": new.location,
                "reason_code": adjustment.reason_code,
                "lines": adjustment.lines.iter().map(|l| json!({
                    "product_id": l.product_id, "qty_delta": l.qty_delta, "value_delta": l.value_delta
                })).collect::<Vec<_>>(),
            });
            tx.audit("inventory.stock.adjust", ("stock_document", id), Some(new.reason.clone()), details);
            Ok(adjustment)
        })
        .await
}

/// The balance of each line.
fn keys(new: &NewAdjustment) -> Vec<Key> {
    let key = |line: &NewLine| {
        let place = (new.location, line.product);
        Key::sellable(place, line.batch.unwrap_or(NO_BATCH)).in_status(line.status)
    };
    new.lines.iter().map(key).collect()
}

/// Checks place, products and batches, which are locked after the holds, as everywhere.
async fn check(tx: &mut Tx, new: &NewAdjustment) -> Result<(), Error> {
    copy::open_location(tx, new.location).await?;
    let named: Vec<_> = new.lines.iter().map(|l| (l.product, l.batch)).collect();
    let products = batch::check_lines(tx, &named).await?;
    let named = new.lines.iter();
    serial::check_lines(
        &products,
        named.map(|l| (l.product, l.delta, l.serials.as_slice())),
    )?;
    let tracked = |line: &NewLine| products.get(&line.product).is_some_and(|p| p.batch_tracked);
    // Goods of such a product may lie there without a batch (returned without bill); they can be taken away.
    let gained = |line: &NewLine| line.batch.is_none() && line.delta.is_positive();
    match new.lines.iter().position(|l| gained(l) && tracked(l)) {
        Some(n) => Err(Error::BatchRequired(n)),
        None => Ok(()),
    }
}
