//! Posting a revaluation.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bahi_db::{Ctx, Done, Tx};
use bahi_events::CostingChange;
use bahi_http::Fault;
use bahi_types::{LocationId, Money, ProductId, Quantity, business_date};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{NewLine, under_way},
    store::{self, Head, Line},
};
use crate::{
    Error, State, copy, events,
    ledger::{self, Change, Costing, Key, Lot, Movement, Source},
    period,
};

/// A revaluation to be posted.
#[derive(Clone, Debug)]
pub(super) struct NewRevaluation {
    pub reason: String,
    pub posting_date: Option<NaiveDate>,
    pub lines: Vec<NewLine>,
}

/// A posted revaluation.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(super) struct Revaluation {
    #[serde(flatten)]
    pub head: Head,
    /// Lines, in the order of the request.
    pub lines: Vec<Line>,
}

/// Changes what goods are worth.
///
/// # Errors
/// What a line refuses; [`bahi_db::Error::OtherBranch`] to who does not work for all.
pub(super) async fn post(
    state: &State,
    ctx: &Ctx,
    new: NewRevaluation,
) -> Result<Done<Revaluation>, Error> {
    // How a product is valued holds everywhere, and is changed without a movement where it has no stock.
    ctx.everywhere()?;
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Revaluation, Error> {
            let at = period::moment(tx, new.posting_date).await?;
            let ids: BTreeSet<ProductId> = new.lines.iter().map(|l| l.product).collect();
            let products = copy::lock_products(tx, &ids).await?;
            for (n, line) in new.lines.iter().enumerate() {
                if products.get(&line.product).is_some_and(|p| !p.stocked) {
                    return Err(Error::NotStocked(n));
                }
            }
            let named: BTreeSet<LocationId> = new.lines.iter().filter_map(|l| l.location).collect();
            for location in named {
                copy::known_location(tx, location).await?;
            }
            let mut costings = store::costings(tx, &ids).await?;
            let places = ledger::store::places_of_products(tx, &ids).await?;
            let books = ledger::store::lock(tx, &places, &BTreeSet::new()).await?;
            let nil = Uuid::nil();
            let needs: BTreeMap<Lot, Quantity> = books
                .items()
                .filter(|(_, item)| item.on_hand.is_positive())
                .map(|(key, item)| ((*key, nil), item.on_hand))
                .collect();
            let mut layers = ledger::store::layers(tx, &needs).await?;
            let seqs = ledger::store::draw(tx, new.lines.len()).await?;
            let (id, mut movements, mut lines) = (Uuid::now_v7(), Vec::new(), Vec::new());
            let (mut changed, mut quantities) = (Vec::new(), HashMap::new());
            for ((n, line), seq) in (1..).zip(&new.lines).zip(seqs) {
                let index = n as usize - 1;
                let now = costings.get(&line.product).copied().unwrap_or_default();
                let change = line.change(index, now)?;
                let after = match change {
                    Change::Costing(costing) => Some(costing),
                    Change::UnitCost(_) | Change::Raise { .. } => None,
                };
                if after.is_some() && under_way(books.items(), line.product) {
                    return Err(Error::InTransit(line.product));
                }
                let keys: Vec<(Key, Quantity)> = books
                    .items()
                    .filter(|(key, item)| line.takes(**key, item))
                    .map(|(key, item)| (*key, item.on_hand))
                    .collect();
                if after.is_none() && keys.is_empty() {
                    return Err(Error::NothingOnHand);
                }
                let source = Source { kind: "revaluation", id, line: n, purpose: "revalue" };
                let mut row = store::row(n, line, now, after);
                for (allocation_no, (key, qty)) in (0..).zip(keys) {
                    row.qty += qty;
                    row.value_before += layers.held((key, nil)).1;
                    let Some(delta) = layers.revalue((key, nil), change) else {
                        let field = format!("lines[{index}]");
                        return Err(Fault::field(field, "makes too large a value").into());
                    };
                    row.value_after += layers.held((key, nil)).1;
                    quantities.insert((n, key), qty);
                    let reason = Some(new.reason.clone());
                    movements.extend(Movement::revaluing(source, allocation_no, key, delta, reason, at));
                }
                if let Some(costing) = after {
                    store::set_costing(tx, line.product, costing).await?;
                    costings.insert(line.product, costing);
                    changed.push(costing_change(n, line.product, now, costing));
                }
                lines.push((row, seq));
            }
            ledger::save_values(tx, &layers, &mut movements).await?;
            let head = Head {
                id,
                reason: new.reason.clone(),
                posting_date: business_date(at),
                recorded_at: tx.now(),
                value_delta: movements.iter().map(|m| m.value).sum::<Money>(),
            };
            store::insert(tx, &head, &lines).await?;
            let lines: Vec<Line> = lines.into_iter().map(|(line, _)| line).collect();
            tx.publish(events::revalued("revaluation", id, at, |event| {
                event.reason = Some(new.reason.clone());
                event.costings = changed;
                event.lines = movements
                    .iter()
                    .map(|m| {
                        let qty = quantities.get(&(m.draft.source.line, m.draft.key));
                        events::revalued_line(m, qty.copied().unwrap_or_default())
                    })
                    .collect();
            }));
            let details = json!({
                "value_delta": head.value_delta,
                "lines": lines.iter().map(|l| json!({
                    "product_id": l.product_id, "unit_cost": l.unit_cost, "method": l.method,
                    "standard_cost": l.standard_cost, "value_before": l.value_before, "value_after": l.value_after,
                })).collect::<Vec<_>>(),
            });
            tx.audit("inventory.stock.revalue", ("stock_document", id), Some(new.reason), details);
            Ok(Revaluation { head, lines })
        })
        .await
}

fn costing_change(
    line: i32,
    product_id: ProductId,
    before: Costing,
    after: Costing,
) -> CostingChange {
    CostingChange {
        line,
        product_id,
        method_before: before.method().name().to_owned(),
        method: after.method().name().to_owned(),
        standard_cost: after.standard(),
    }
}
