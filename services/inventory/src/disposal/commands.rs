//! Throwing goods of a batch away.

use std::collections::{BTreeSet, HashMap};

use bahi_db::{Ctx, Done, Tx};
use bahi_types::{BatchId, LocationId, Money, Quantity, business_date};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Error, State, batch, copy, events,
    ledger::{self, Key, Kind, NO_BATCH, Place, Source},
    recall,
};

/// Where, and why.
#[derive(Clone, Debug)]
pub(super) struct NewDisposal {
    pub batch: BatchId,
    pub location: Option<LocationId>,
    pub reason: String,
}

/// A posted disposal.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(super) struct Disposal {
    /// Its id: the source of its movements.
    pub id: Uuid,
    /// The batch.
    pub batch_id: BatchId,
    /// Why.
    pub reason: String,
    /// When it was posted.
    pub recorded_at: DateTime<Utc>,
    /// What was thrown away.
    pub qty: Quantity,
    /// What that cost us; for those who may see values.
    pub value: Option<Money>,
    /// By location and state.
    pub lines: Vec<Line>,
    /// What is promised to sales at tills, and leaves with them.
    pub kept_for_sales: Quantity,
}

/// A line of a posted disposal.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DisposalLine)]
pub(super) struct Line {
    /// Line number, from 1.
    pub line: i32,
    /// Where.
    pub location_id: LocationId,
    /// In which state.
    pub status: ledger::Status,
    /// How much.
    pub qty: Quantity,
    /// What that cost us; for those who may see values.
    pub value: Option<Money>,
}

/// Posts it.
///
/// # Errors
/// [`Error::BatchActive`], [`Error::NothingOnHand`]; [`bahi_db::Error::OtherBranch`] for a location of one, and for
/// goods that other branches have too and might sell again.
pub(super) async fn post(
    state: &State,
    ctx: &Ctx,
    new: NewDisposal,
) -> Result<Done<Disposal>, Error> {
    state.restore.passed().await?;
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Disposal, Error> {
            if let Some(location) = new.location {
                copy::own_location(tx, location).await?;
            }
            let product = recall::store::product_of(tx, new.batch).await?;
            let all = ledger::store::places_of(tx, product, new.batch).await?;
            // What is promised elsewhere, and lies there, is for who works there.
            let own = copy::own_places(tx, &all).await?;
            let here =
                |place: &Place| own.contains(place) && new.location.is_none_or(|l| l == place.0);
            let mut holds = recall::holding(tx, &own, new.batch).await?;
            let mut batch = batch::store::lock(tx, new.batch).await?;
            let now = tx.now();
            // What might be sold again elsewhere is not one branch's to end.
            if own.len() < all.len() && !batch.is_over(business_date(now)) {
                tx.ctx().everywhere()?;
            }
            batch.dispose(&new.reason, business_date(now), now)?;
            let gates = recall::gates(&all, &holds);
            ledger::store::lock(tx, &gates, &BTreeSet::new()).await?;
            batch::store::save(tx, &batch).await?;
            ledger::store::set_blocked(tx, new.batch, true).await?;
            let mut books = ledger::store::lock(tx, &gates, &BTreeSet::from([new.batch])).await?;
            recall::all_seen(&books, &holds, &own, new.batch)?;
            let id = Uuid::now_v7();
            recall::break_holds(tx, &mut books, &mut holds, new.batch, ("disposal", id)).await?;
            let lying: Vec<(Key, Quantity, Quantity)> = books
                .items()
                // What is on its way belongs to its transfer; received into quarantine, it can be thrown away too.
                .filter(|(key, _)| {
                    key.batch == new.batch && key.status.at_rest() && here(&key.place())
                })
                .map(|(key, item)| (*key, item.free(), item.reserved))
                .collect();
            let mut disposal = Disposal {
                id,
                batch_id: new.batch,
                reason: new.reason.clone(),
                recorded_at: now,
                qty: Quantity::ZERO,
                value: None,
                lines: Vec::new(),
                kept_for_sales: lying.iter().map(|l| l.2).sum(),
            };
            let mut after: HashMap<Key, Quantity> = HashMap::new();
            for (key, free, _) in lying {
                if !free.is_positive() {
                    continue;
                }
                let line = disposal.lines.len() as i32 + 1;
                let source = Source {
                    kind: "disposal",
                    id,
                    line,
                    purpose: "scrap",
                };
                books.take(
                    Kind::Scrap,
                    key,
                    free,
                    source,
                    Some(new.reason.clone()),
                    now,
                );
                books.touch(key.place());
                after.insert(key, books.item(key).on_hand);
                disposal.qty += free;
                disposal.lines.push(Line {
                    line,
                    location_id: key.location,
                    status: key.status,
                    qty: free,
                    value: None,
                });
            }
            if disposal.lines.is_empty() {
                return Err(Error::NothingOnHand);
            }
            let versions: HashMap<Place, i64> = all
                .iter()
                .map(|p| (*p, books.item(Key::sellable(*p, NO_BATCH)).version + 1))
                .collect();
            let movements = ledger::close(tx, books).await?;
            let mut value = Money::ZERO;
            for movement in movements
                .iter()
                .filter(|m| m.draft.source.id == id && m.draft.kind == Kind::Scrap)
            {
                let at = disposal
                    .lines
                    .iter_mut()
                    .find(|l| l.line == movement.draft.source.line);
                if let Some(line) = at {
                    line.value = Some(-movement.value);
                    value -= movement.value;
                }
                let key = movement.draft.key;
                let version = versions.get(&key.place()).copied().unwrap_or(1);
                let left = after.get(&key).copied().unwrap_or_default();
                tx.publish(events::adjusted(tx.tenant(), movement, version, left));
            }
            disposal.value = Some(value);
            let details = json!({ "no": batch.no, "product_id": product, "document": id,
                "qty": disposal.qty, "value": disposal.value });
            tx.audit(
                "inventory.batch.dispose",
                ("batch", new.batch.uuid()),
                Some(new.reason),
                details,
            );
            Ok(disposal)
        })
        .await
}
