//! Asking inventory, and writing what it answers. Each may be done again by whoever comes next.

use std::{collections::BTreeMap, sync::Arc};

use bahi_db::{Ctx, Error as DbError, Tx};
use bahi_http::Fault;
use bahi_proto::reservation_id;
use bahi_service::pause_point;
use bahi_types::{FiscalYear, InvoiceId, Money, ReservationId, business_date};
use chrono::Duration;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{FulfilmentLine, Order, OrderId, Step},
    store,
};
use crate::{
    State, customer,
    error::{Error, Result, Short},
    events,
    number::{self, Counter, Purpose},
    reservation::{Demand, Handed, Held},
};

/// Answers that one request waits for. Each takes one more attempt than the last at most.
const ROUNDS: usize = 5;
/// Until stock is looked for again, if nothing is heard of it before.
pub(super) const LATER: Duration = Duration::minutes(15);

/// How a step ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Ended {
    /// What was asked is done.
    Done,
    /// There is not enough; nothing is held for the attempt.
    Short(Vec<Short>),
    /// Inventory does not let it.
    Refused { why: String, message: String },
    /// It is another step by now, or the answer is older than what was heard: look again.
    Again,
}

/// The hold of an order's attempt.
pub(super) fn hold_id(order: OrderId, attempt: u32) -> ReservationId {
    reservation_id(InvoiceId::from_uuid(order.uuid()), attempt)
}

fn attempt(value: i32) -> u32 {
    u32::try_from(value).unwrap_or_default()
}

/// The order with its customer's account locked before it.
pub(super) async fn lock(tx: &mut Tx, id: OrderId) -> Result<Order> {
    let known = store::customer_of(tx, id).await?.ok_or(Fault::NotFound)?;
    if let Some(customer) = known {
        customer::lock(tx, customer).await?;
    }
    let order = store::lock(tx, id).await?.ok_or(Fault::NotFound)?;
    if order.head.customer_id != known {
        // A draft was given to another customer in between.
        return Err(DbError::Contention.into());
    }
    Ok(order)
}

/// Begins a step of a locked order.
pub(super) fn begin(order: &mut Order, step: &Step) -> Result<()> {
    if let Step::Hold { attempt, .. } = step {
        order.head.attempt = i32::try_from(*attempt).unwrap_or(i32::MAX);
    }
    order.head.step = Some(serde_json::to_value(step).map_err(DbError::from)?);
    Ok(())
}

/// The next attempt to hold stock.
pub(super) fn next_hold(order: &Order, confirm: bool, allow_short: bool) -> Step {
    Step::Hold {
        attempt: attempt(order.head.attempt) + 1,
        confirm,
        allow_short,
        heard: 0,
    }
}

/// Ends whatever an order is in the midst of, by asking until there is an answer. How the last step ended.
///
/// # Errors
/// [`Error::InventoryUnavailable`]: the step stays. [`Error::OrderBusy`].
pub(super) async fn settle(state: &State, ctx: &Ctx, id: OrderId) -> Result<Ended> {
    // What a step does is once for all: it is not for the key of the request that happens to do it.
    let ctx = Ctx {
        idempotency: None,
        ..ctx.clone()
    };
    let mut last = Ended::Done;
    for _ in 0..ROUNDS {
        let order = state
            .db
            .read(&ctx, async move |tx: &mut Tx| -> Result<_> {
                Ok(store::get(tx, id).await?.ok_or(Fault::NotFound)?)
            })
            .await?;
        let Some(step) = order.step()? else {
            return Ok(last);
        };
        last = ask(state, &ctx, &order, step).await?;
        if !matches!(last, Ended::Again) {
            return Ok(last);
        }
    }
    Err(Error::OrderBusy)
}

async fn ask(state: &State, ctx: &Ctx, order: &Order, step: Step) -> Result<Ended> {
    pause_point("sales.order.before_ask").await;
    let id = order.head.order_id;
    match &step {
        Step::Hold {
            attempt,
            allow_short,
            ..
        } => {
            let offer = order.offer()?;
            let demand = Demand::new(order.head.location_id, order.wanted());
            let buyer = (order.head.customer_id, offer.customer_group_id);
            let asked = (id.uuid(), *attempt);
            let number = order.head.number.as_str();
            let held = state
                .inventory
                .hold_for_order(ctx, asked, &demand, *allow_short, buyer, number)
                .await?;
            if let Held::Refused(_) = &held {
                // Said late again, it could be granted after all.
                state.inventory.release_order(ctx, asked).await?;
            }
            pause_point("sales.order.after_ask").await;
            held_so(state, ctx, id, step, held).await
        }
        Step::Deliver {
            attempt,
            fulfilment_id,
        } => {
            let fulfilment = *fulfilment_id;
            let lines = state
                .db
                .read(ctx, async move |tx: &mut Tx| -> Result<_> {
                    let found = store::delivery(tx, fulfilment).await?;
                    Ok(found.map(|(_, lines)| lines).unwrap_or_default())
                })
                .await?;
            let hands: Vec<_> = lines
                .iter()
                .filter(|l| l.stocked)
                .map(FulfilmentLine::hands)
                .collect::<Result<_>>()?;
            let hands = hands.concat();
            if hands.is_empty() {
                // Somebody else has ended it.
                return Ok(Ended::Again);
            }
            let handed = state
                .inventory
                .deliver(ctx, (id.uuid(), *attempt), fulfilment, &hands)
                .await?;
            pause_point("sales.order.after_ask").await;
            handed_so(state, ctx, id, step, handed).await
        }
        Step::Release { attempt } => {
            let asked = (id.uuid(), *attempt);
            state.inventory.release_order(ctx, asked).await?;
            pause_point("sales.order.after_ask").await;
            released(state, ctx, id, step).await
        }
    }
}

/// Runs `end` on the locked order, if it still is in the midst of this step.
async fn finish<F>(state: &State, ctx: &Ctx, id: OrderId, step: Step, end: F) -> Result<Ended>
where
    F: for<'a> Fn(
            &'a mut Tx,
            &'a mut Order,
            &'a Step,
        ) -> futures::future::BoxFuture<'a, Result<Ended>>
        + Clone
        + Send
        + Sync
        + 'static,
{
    let done = state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Ended> {
            let mut order = lock(tx, id).await?;
            match order.step()? {
                Some(now) if now.is(&step) => end(tx, &mut order, &now).await,
                _ => Ok(Ended::Again),
            }
        })
        .await?;
    Ok(done.value)
}

/// What inventory says to an attempt to hold.
async fn held_so(state: &State, ctx: &Ctx, id: OrderId, step: Step, held: Held) -> Result<Ended> {
    let held = Arc::new(held);
    finish(state, ctx, id, step, move |tx, order, now| {
        let held = held.clone();
        Box::pin(async move {
            let Step::Hold {
                attempt: asked,
                confirm,
                allow_short,
                heard,
            } = *now
            else {
                return Ok(Ended::Again);
            };
            let ended = match &*held {
                Held::Granted { version, .. } if *version < heard => return Ok(Ended::Again),
                Held::Granted { version, lines } => {
                    order.hold(lines);
                    order.head.hold = Some(i32::try_from(asked).unwrap_or(i32::MAX));
                    order.head.hold_version = *version;
                    order.head.step = None;
                    if confirm {
                        order.head.status = order.fulfilled_so_far().to_owned();
                        order.head.confirmed_at = Some(tx.now());
                    }
                    order.head.next_try = order.waits().then(|| tx.now() + LATER);
                    Ended::Done
                }
                Held::Gone => {
                    let next = next_hold(order, confirm, allow_short);
                    begin(order, &next)?;
                    store::save(tx, order).await?;
                    return Ok(Ended::Again);
                }
                Held::Short(short) => {
                    // It has ended the lower attempts, and with them what was held.
                    order.hold(&BTreeMap::new());
                    order.head.hold = None;
                    give_in(tx, order, confirm).await?;
                    Ended::Short(short.clone())
                }
                Held::Refused(message) => {
                    give_in(tx, order, confirm).await?;
                    Ended::Refused {
                        why: "INVENTORY_REFUSED".to_owned(),
                        message: message.clone(),
                    }
                }
            };
            order.head.version += 1;
            store::save(tx, order).await?;
            store::save_lines(tx, id, &order.lines).await?;
            if confirm && matches!(ended, Ended::Done) {
                tx.publish(events::order_confirmed(order)?);
            }
            pause_point("sales.order.before_commit").await;
            Ok(ended)
        })
    })
    .await
}

/// An attempt came to nothing.
async fn give_in(tx: &mut Tx, order: &mut Order, confirm: bool) -> Result<()> {
    order.head.step = None;
    if !confirm {
        order.head.next_try = Some(tx.now() + LATER);
    }
    // A draft claims no credit.
    if confirm && let Some(customer) = order.head.customer_id {
        customer::release_order(tx, customer, order.head.exposure).await?;
        order.head.exposure = Money::ZERO;
    }
    Ok(())
}

/// What inventory says to a delivery.
async fn handed_so(
    state: &State,
    ctx: &Ctx,
    id: OrderId,
    step: Step,
    handed: Handed,
) -> Result<Ended> {
    let handed = Arc::new(handed);
    finish(state, ctx, id, step, move |tx, order, now| {
        let handed = handed.clone();
        Box::pin(async move {
            let Step::Deliver { fulfilment_id, .. } = *now else {
                return Ok(Ended::Again);
            };
            order.head.step = None;
            match &*handed {
                Handed::Over(parts) => {
                    let found = store::delivery(tx, fulfilment_id).await?;
                    let (_, mut lines) = found.ok_or(DbError::NotFound)?;
                    for line in &mut lines {
                        // Of a kit, inventory knows which batches its components came from.
                        let own = parts
                            .iter()
                            .filter(|p| p.0 == line.line && p.1 == line.product_id);
                        let own = own.filter(|p| p.2.is_some());
                        let own = own.map(|p| json!({ "batch_id": p.2, "qty": p.3 }));
                        line.batches = serde_json::Value::Array(own.collect());
                    }
                    posted(tx, order, fulfilment_id, lines).await?;
                    pause_point("sales.order.before_commit").await;
                    Ok(Ended::Done)
                }
                Handed::Refused { why, message } => {
                    store::drop_delivery(tx, fulfilment_id).await?;
                    if why.as_str() != "SERIAL_NOT_HERE" {
                        // What is held is not what was thought, or may not go: another attempt holds what may.
                        let next = next_hold(order, false, true);
                        begin(order, &next)?;
                    }
                    order.head.version += 1;
                    store::save(tx, order).await?;
                    Ok(Ended::Refused {
                        why: why.clone(),
                        message: message.clone(),
                    })
                }
            }
        })
    })
    .await
}

/// The goods of a pending delivery of a locked order have left.
pub(super) async fn posted(
    tx: &mut Tx,
    order: &mut Order,
    fulfilment_id: Uuid,
    mut lines: Vec<FulfilmentLine>,
) -> Result<()> {
    let id = order.head.order_id;
    let billed = store::billed(tx, id).await?;
    order.deliver(&mut lines, &billed);
    if !order.waits() {
        order.head.next_try = None;
    }
    order.head.version += 1;
    store::save(tx, order).await?;
    store::save_lines(tx, id, &order.lines).await?;
    let registration = order.head.registration_id;
    let prefix = number::prefix(tx, registration, Purpose::Delivery, None).await?;
    let prefix = prefix.ok_or_else(|| Error::UnknownSeries(String::new()))?;
    let counter = Counter::new(&prefix, FiscalYear::of(business_date(tx.now())));
    let taken = number::take(tx, registration, &counter, Purpose::Delivery).await?;
    let taken = taken.ok_or_else(|| Error::SeriesTaken(counter.prefix.clone()))?;
    store::post_delivery(tx, fulfilment_id, (&counter, &taken), &lines).await?;
    tx.publish(events::order_fulfilled(
        order,
        (fulfilment_id, taken.number.as_str()),
        tx.now(),
        &lines,
    )?);
    Ok(())
}

/// Nothing is held any more.
async fn released(state: &State, ctx: &Ctx, id: OrderId, step: Step) -> Result<Ended> {
    finish(state, ctx, id, step, move |tx, order, _| {
        Box::pin(async move {
            order.head.step = None;
            order.head.hold = None;
            order.head.version += 1;
            store::save(tx, order).await?;
            Ok(Ended::Done)
        })
    })
    .await
}
