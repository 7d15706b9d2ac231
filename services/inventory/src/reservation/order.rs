//! What sales asks for its orders: holds that last until the order closes, and deliveries from them.

use std::collections::{BTreeMap, BTreeSet};

use bahi_db::{Ctx, Tx};
use bahi_http::Refusal;
use bahi_proto::reservation_id;
use bahi_service::pause_point;
use bahi_types::{BatchId, InvoiceId, ProductId, Quantity, ReservationId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    commands::{self, Issued},
    model::{Demand, Hold, HoldState, by_line, fewer, grant, hold_lines},
    store,
};
use crate::{
    Error, State,
    error::Short,
    events::{self, HoldNews},
    kit, ledger, shelf_life,
};

/// What became of an attempt to hold stock for an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Promised {
    /// Held, by line, in the line's own product.
    Held {
        /// Of the hold.
        version: i64,
        /// Lines of which something is held.
        lines: BTreeMap<i32, Quantity>,
    },
    /// Not enough; the attempt is over.
    Refused(Vec<Short>),
    /// The attempt was over before.
    Terminal(HoldState),
}

/// Holds stock for one attempt of an order, in place of every lower one.
///
/// # Errors
/// [`Error::OtherBasket`] when the attempt holds something else; [`Error::Restoring`]; the database's.
pub(crate) async fn hold_for_order(
    state: &State,
    ctx: &Ctx,
    demand: Demand,
) -> Result<Promised, Error> {
    state.restore.passed().await?;
    let done = state
        .db
        .write(ctx, async move |tx: &mut Tx| promise(tx, &demand).await)
        .await?;
    pause_point("inventory.hold_for_order.after_commit").await;
    Ok(done.value)
}

async fn promise(tx: &mut Tx, demand: &Demand) -> Result<Promised, Error> {
    let (id, now) = (demand.id(), tx.now());
    let lower = demand.lower();
    if !store::claim_over(tx, demand, &lower).await? {
        return standing(tx, demand).await;
    }
    let kits = kit::store::kits(tx, &demand.products()).await?;
    let (all, _) = kit::demand(&demand.lines, &kits)?;
    let mut open = store::lock(tx, &lower).await?;
    open.retain(Hold::is_pending);
    let mut places: BTreeSet<_> = all.iter().map(|l| (demand.location, l.product)).collect();
    let terms = shelf_life::ruled(tx, &demand.terms, &places).await?;
    places.extend(open.iter().flat_map(Hold::places));
    let mut books = ledger::store::lock(tx, &places, &BTreeSet::new()).await?;
    for hold in &open {
        hold.free(&mut books, now);
    }
    let ended: Vec<ReservationId> = open.iter().map(|h| h.id).collect();
    store::end(tx, HoldState::Released, &ended).await?;
    let mut lines = demand.lines.clone();
    let granted = loop {
        let (asks, parts) = kit::demand(&lines, &kits)?;
        // Of two products that are short the second may be enough once the first has cost a kit: one at a time.
        match grant(&mut books.clone(), demand.location, &asks, false, &terms) {
            Ok(_) => break Ok((asks, parts)),
            Err(short) => match short.first() {
                Some(first) if demand.allow_short => lines = fewer(&lines, &kits, first),
                _ => break Err(short),
            },
        }
    };
    let (asks, parts) = match granted {
        Ok(granted) => granted,
        Err(short) => {
            // Kept as released: told again, however late, it is not granted.
            store::end(tx, HoldState::Released, &[id]).await?;
            ledger::close(tx, books).await?;
            publish(tx, HoldNews::Released, &open);
            return Ok(Promised::Refused(short));
        }
    };
    // This order takes its part before anybody else is served from what was freed.
    let allocations = grant(&mut books, demand.location, &asks, false, &terms)
        .map_err(Error::InsufficientStock)?;
    let held = hold_lines(&allocations);
    store::insert_lines(tx.shared(), tx.tenant(), id, &held)
        .await
        .map_err(bahi_db::Error::from)?;
    kit::store::keep(tx, id, &parts, &kits).await?;
    ledger::close(tx, books).await?;
    publish(tx, HoldNews::Released, &open);
    let hold = store::get(tx, id).await?;
    if !held.is_empty() {
        tx.publish(events::hold(HoldNews::Reserved, &hold, hold.version));
    }
    Ok(Promised::Held {
        version: hold.version,
        lines: by_line(&held, &parts),
    })
}

fn publish(tx: &mut Tx, news: HoldNews, holds: &[Hold]) {
    for hold in holds {
        tx.publish(events::hold(news, hold, hold.version + 1));
    }
}

/// The answer to a request for an attempt that is there already.
async fn standing(tx: &mut Tx, demand: &Demand) -> Result<Promised, Error> {
    let hold = store::lock_one(tx, demand.id()).await?;
    if !hold.is_pending() {
        return Ok(Promised::Terminal(hold.state));
    }
    if hold.demand_hash.as_deref() != Some(demand.demand_hash.as_str()) {
        return Err(Error::OtherBasket);
    }
    let parts = kit::store::parts(tx, hold.id).await?;
    Ok(Promised::Held {
        version: hold.version,
        lines: by_line(&hold.lines, &parts),
    })
}

/// Why a delivery took nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NoDelivery {
    /// Stable code.
    pub code: String,
    /// In words.
    pub message: String,
}

/// What became of a delivery.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Handed {
    /// What left, by line, product and batch.
    Over(Vec<(i32, ProductId, BatchId, Quantity)>),
    /// Nothing left.
    Refused(NoDelivery),
}

/// Issues a delivery of an order, once; a refusal is kept too, so that nothing leaves for a delivery that was given up.
///
/// # Errors
/// [`Error::Restoring`]; the database's. What the stock refuses is an answer.
pub(crate) async fn deliver(
    state: &State,
    ctx: &Ctx,
    (order, attempt): (InvoiceId, u32),
    issued: Issued,
    fulfilment: Uuid,
) -> Result<Handed, Error> {
    state.restore.passed().await?;
    let id = reservation_id(order, attempt);
    let tried = state
        .db
        .write(ctx, {
            let issued = issued.clone();
            async move |tx: &mut Tx| commands::deliver(tx, id, &issued, fulfilment).await
        })
        .await;
    pause_point("inventory.deliver.after_commit").await;
    let refused = match tried {
        Ok(_) => None,
        Err(error) if error.verdict().status.is_client_error() => Some(NoDelivery {
            code: error.verdict().code.to_owned(),
            message: error.to_string(),
        }),
        Err(error) => return Err(error),
    };
    let done = state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Handed, Error> {
            if let Some(refused) = &refused {
                let wanted = issued.wanted.as_ref();
                store::keep_delivery(tx, fulfilment, id, wanted, Some(refused)).await?;
            }
            // Told twice at once, one telling may have issued it and the other been refused.
            let told = store::delivery(tx, fulfilment).await?;
            if let Some(refused) = told.and_then(|told| told.refused) {
                return Ok(Handed::Refused(refused));
            }
            Ok(Handed::Over(store::delivered(tx, fulfilment).await?))
        })
        .await?;
    Ok(done.value)
}
