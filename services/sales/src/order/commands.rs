//! What is done with orders. What needs inventory's word goes through [`steps`].

use bahi_db::{Ctx, Done, Error as DbError, Tx};
use bahi_events::{Envelope, StockHold, StockReceived, StockReturned};
use bahi_http::{Caller, Fault};
use bahi_kafka::Failed;
use bahi_types::{
    BranchId, CustomerId, FiscalYear, InvoiceId, LocationId, Money, ProductId, Quantity,
    RegistrationId,
};
use chrono::{Duration, NaiveDate};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    model::{Fulfilment, FulfilmentLine, Head, Order, OrderId, OrderLine, Part, Step},
    steps::{self, Ended, LATER, begin, hold_id, next_hold, settle},
    store,
};
use crate::{
    State,
    customer::{self, Claim},
    error::{Error, Result},
    events,
    invoice::{self, Bill, Invoice, Line, NewTender, OfOrder, Wish, of_order, today},
    number::{self, Counter, Purpose},
    offer::Offer,
    reservation::{self, Standing},
};

/// Times that a request looks again because another was quicker.
const ROUNDS: usize = 5;
/// A step that nobody has ended by then is ended by the job.
const STUCK: Duration = Duration::seconds(10);
/// Most orders of a round of the job.
const MOST: i32 = 100;

/// What an order is to say.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub wish: Wish,
    /// The prefix asked for.
    pub series: Option<String>,
    pub allow_back_order: bool,
    pub expected_date: Option<NaiveDate>,
    pub note: Option<String>,
}

/// An order that is priced.
#[derive(Clone, Debug)]
pub(crate) struct NewOrder {
    pub registration_id: RegistrationId,
    pub branch_id: BranchId,
    pub location_id: LocationId,
    pub customer_id: Option<CustomerId>,
    pub quotation_id: Option<Uuid>,
    pub offer: Offer,
    /// The prefix asked for.
    pub series: Option<String>,
    pub allow_back_order: bool,
    pub expected_date: Option<NaiveDate>,
    pub note: Option<String>,
}

fn lines_of(offer: &mut Offer) -> Result<Vec<OrderLine>> {
    let lines = std::mem::take(&mut offer.lines);
    lines.into_iter().map(OrderLine::new).collect()
}

/// Writes a priced order as a draft.
pub(crate) async fn take_down(tx: &mut Tx, caller: &Caller, new: NewOrder) -> Result<Order> {
    let (mut offer, registration, today) = (new.offer, new.registration_id, today(tx));
    let asked = new.series.as_deref();
    let prefix = number::prefix(tx, registration, Purpose::Order, asked).await?;
    let prefix =
        prefix.ok_or_else(|| Error::UnknownSeries(asked.unwrap_or_default().to_owned()))?;
    let lines = lines_of(&mut offer)?;
    let counter = Counter::new(&prefix, FiscalYear::of(today));
    let taken = number::take(tx, registration, &counter, Purpose::Order).await?;
    let taken = taken.ok_or_else(|| Error::SeriesTaken(counter.prefix.clone()))?;
    let head = Head {
        order_id: OrderId::new(),
        registration_id: registration,
        number: taken.number.clone(),
        date: today,
        status: "draft".to_owned(),
        branch_id: new.branch_id,
        location_id: new.location_id,
        customer_id: new.customer_id,
        quotation_id: new.quotation_id,
        allow_back_order: new.allow_back_order,
        expected_date: new.expected_date,
        total: offer.total,
        offer: serde_json::to_value(offer).map_err(DbError::from)?,
        note: new.note,
        exposure: Money::ZERO,
        attempt: 0,
        hold: None,
        hold_version: 0,
        step: None,
        next_try: None,
        reason: None,
        created_by: caller.user().ok(),
        created_at: tx.now(),
        confirmed_at: None,
        ended_at: None,
        version: 1,
    };
    let order = Order { head, lines };
    store::insert(tx, &order, &counter, &taken).await?;
    tx.publish(events::order_created(&order)?);
    Ok(order)
}

/// Takes an order down.
pub(super) async fn create(state: &State, caller: &Caller, terms: Terms) -> Result<Done<Order>> {
    state.restore.passed().await?;
    let by = caller.clone();
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let (header, lines) = invoice::offer(tx, &by, &terms.wish).await?;
            let new = NewOrder {
                registration_id: header.registration_id,
                branch_id: header.branch_id,
                location_id: header.location_id,
                customer_id: header.customer_id,
                quotation_id: None,
                offer: Offer::new(&terms.wish, header, lines),
                series: terms.series.clone(),
                allow_back_order: terms.allow_back_order,
                expected_date: terms.expected_date,
                note: terms.note.clone(),
            };
            take_down(tx, &by, new).await
        })
        .await
}

/// Says something else while it is a draft; it is priced anew, and keeps number and registration.
pub(super) async fn amend(
    state: &State,
    caller: &Caller,
    id: OrderId,
    seen: i64,
    terms: Terms,
) -> Result<Done<Order>> {
    let by = caller.clone();
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let mut order = store::lock(tx, id).await?.ok_or(Fault::NotFound)?;
            if order.head.version != seen {
                let current = order.head.version;
                return Err(DbError::Stale { current }.into());
            }
            order.must_be(&["draft"])?;
            if order.head.step.is_some() {
                return Err(Error::OrderBusy);
            }
            let (header, lines) = invoice::offer(tx, &by, &terms.wish).await?;
            if header.registration_id != order.head.registration_id {
                let why = "is of another registration than the order's number";
                return Err(Fault::field("location_id", why).into());
            }
            let head = &mut order.head;
            head.branch_id = header.branch_id;
            head.location_id = header.location_id;
            head.customer_id = header.customer_id;
            head.total = header.total;
            head.allow_back_order = terms.allow_back_order;
            head.expected_date = terms.expected_date;
            head.note = terms.note.clone();
            head.version += 1;
            let mut offer = Offer::new(&terms.wish, header, lines);
            order.lines = lines_of(&mut offer)?;
            order.head.offer = serde_json::to_value(offer).map_err(DbError::from)?;
            store::save(tx, &order).await?;
            store::replace_lines(tx, id, &order.lines).await?;
            Ok(order)
        })
        .await
}

/// The same circumstances without the request's key, for what is idempotent by itself.
fn without_key(ctx: &Ctx) -> Ctx {
    Ctx {
        idempotency: None,
        ..ctx.clone()
    }
}

/// What a request finds when it begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Begun<T> {
    /// What it asks for is so already.
    Already(T),
    /// It is so now.
    Done(T),
    /// Inventory is to be asked.
    Asked,
    /// Something else is under way.
    Busy,
}

/// Confirms an order: credit, then stock. Confirmed again, it is the same.
pub(super) async fn confirm(
    state: &State,
    caller: &Caller,
    id: OrderId,
    credit_override: Option<String>,
) -> Result<Done<Order>> {
    state.restore.passed().await?;
    let ctx = without_key(&caller.ctx);
    let mut asked = false;
    for _ in 0..ROUNDS {
        if !asked {
            settle(state, &ctx, id).await?;
        }
        let reason = credit_override.clone();
        let begun = state
            .db
            .write(&ctx, async move |tx: &mut Tx| {
                begin_confirm(tx, id, reason.as_deref()).await
            })
            .await?
            .value;
        match begun {
            Begun::Already(order) => {
                return Ok(Done {
                    value: order,
                    replayed: !asked,
                });
            }
            Begun::Done(order) => return Ok(Done::first(order)),
            Begun::Asked => asked = true,
            Begun::Busy => asked = false,
        }
        if asked {
            match settle(state, &ctx, id).await? {
                Ended::Short(short) => return Err(Error::InsufficientStock(short)),
                Ended::Refused { message, .. } => return Err(Error::InventoryRefused(message)),
                Ended::Done | Ended::Again => {}
            }
        }
    }
    Err(Error::OrderBusy)
}

async fn begin_confirm(tx: &mut Tx, id: OrderId, reason: Option<&str>) -> Result<Begun<Order>> {
    let mut order = steps::lock(tx, id).await?;
    if order.head.step.is_some() {
        return Ok(Begun::Busy);
    }
    match order.head.status.as_str() {
        "draft" => {}
        "confirmed" | "partially_fulfilled" | "fulfilled" => return Ok(Begun::Already(order)),
        _ => return Err(Error::OrderState(order.head.status)),
    }
    if let Some(customer) = order.head.customer_id {
        customer::claim(tx, customer, Claim::Order(order.head.total), reason).await?;
        order.head.exposure = order.head.total;
    }
    if order.wanted().is_empty() {
        order.head.status = "confirmed".to_owned();
        order.head.confirmed_at = Some(tx.now());
        order.head.version += 1;
        store::save(tx, &order).await?;
        tx.publish(events::order_confirmed(&order)?);
        return Ok(Begun::Done(order));
    }
    let step = next_hold(&order, true, order.head.allow_back_order);
    begin(&mut order, &step)?;
    store::save(tx, &order).await?;
    Ok(Begun::Asked)
}

/// A delivery as it is asked for.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// What the idempotency key stands for.
    pub request_id: Option<Uuid>,
    /// Of the request.
    pub request_hash: Vec<u8>,
    /// Everything that can be delivered, when absent.
    pub parts: Option<Vec<Part>>,
    pub note: Option<String>,
}

type Delivery = (Fulfilment, Vec<FulfilmentLine>);

/// Delivers. The same request again gets the same delivery, for ever.
pub(super) async fn fulfil(
    state: &State,
    caller: &Caller,
    id: OrderId,
    ask: Ask,
) -> Result<Done<Delivery>> {
    state.restore.passed().await?;
    let ctx = without_key(&caller.ctx);
    let by = caller.user().ok();
    let mut own = None;
    for _ in 0..ROUNDS {
        settle(state, &ctx, id).await?;
        if let Some(fulfilment) = own
            && let Some(delivery) = delivery(state, &ctx, fulfilment).await?
        {
            return Ok(Done::first(delivery));
        }
        let fulfilment = Uuid::now_v7();
        let asked = ask.clone();
        let begun = state
            .db
            .write(&ctx, async move |tx: &mut Tx| {
                let mut order = steps::lock(tx, id).await?;
                if let Some(request) = asked.request_id
                    && let Some(told) = store::requested(tx, request).await?
                {
                    if told.request_hash != asked.request_hash || told.order_id != id {
                        return Err(Error::RequestReused);
                    }
                    return Ok(if told.state == "delivered" {
                        Begun::Already(told.fulfilment_id)
                    } else {
                        Begun::Busy
                    });
                }
                if order.head.step.is_some() {
                    return Ok(Begun::Busy);
                }
                order.must_be(&["confirmed", "partially_fulfilled"])?;
                let lines = order.pick(asked.parts.clone())?;
                let delivery = Fulfilment {
                    fulfilment_id: fulfilment,
                    order_id: id,
                    request_id: asked.request_id,
                    request_hash: asked.request_hash.clone(),
                    state: "pending".to_owned(),
                    registration_id: order.head.registration_id,
                    number: None,
                    delivered_at: None,
                    note: asked.note.clone(),
                    created_by: by,
                    created_at: tx.now(),
                };
                store::insert_delivery(tx, &delivery, &lines).await?;
                let Some(hold) = order.head.hold.filter(|_| lines.iter().any(|l| l.stocked)) else {
                    steps::posted(tx, &mut order, fulfilment, lines).await?;
                    return Ok(Begun::Done(fulfilment));
                };
                let step = Step::Deliver {
                    attempt: u32::try_from(hold).unwrap_or_default(),
                    fulfilment_id: fulfilment,
                };
                begin(&mut order, &step)?;
                store::save(tx, &order).await?;
                Ok(Begun::Asked)
            })
            .await?
            .value;
        match begun {
            Begun::Already(told) | Begun::Done(told) => {
                let value = delivery(state, &ctx, told).await?.ok_or(Fault::NotFound)?;
                return Ok(Done {
                    value,
                    replayed: matches!(begun, Begun::Already(_)),
                });
            }
            Begun::Busy => continue,
            Begun::Asked => own = Some(fulfilment),
        }
        if let Ended::Refused { why, message } = settle(state, &ctx, id).await? {
            return Err(Error::DeliveryRefused { why, message });
        }
        if let Some(delivery) = delivery(state, &ctx, fulfilment).await? {
            return Ok(Done::first(delivery));
        }
    }
    Err(Error::OrderBusy)
}

/// A delivery whose goods have left.
async fn delivery(state: &State, ctx: &Ctx, id: Uuid) -> Result<Option<Delivery>> {
    state
        .db
        .read(ctx, async move |tx: &mut Tx| -> Result<_> {
            let found = store::delivery(tx, id).await?;
            Ok(found.filter(|(head, _)| head.state == "delivered"))
        })
        .await
}

/// What is to be billed of an order.
#[derive(Clone, Debug)]
pub(super) struct Billing {
    /// The client's, where it made one.
    pub invoice_id: Option<InvoiceId>,
    /// Of the request.
    pub request_hash: Vec<u8>,
    /// Everything delivered and not billed when absent.
    pub lines: Option<Vec<(i32, Quantity)>>,
    /// Only of this delivery.
    pub fulfilment_id: Option<Uuid>,
    /// What is not delivered yet too.
    pub before_delivery: bool,
    pub series: Option<String>,
    pub tenders: Option<Vec<NewTender>>,
    pub credit_override: Option<String>,
}

/// Bills an order, or a part of it, at the prices agreed on and the tax of today. It moves no stock, so it is one
/// transaction and waits for nobody.
pub(super) async fn bill(
    state: &State,
    caller: &Caller,
    id: OrderId,
    billing: Billing,
) -> Result<Done<Invoice>> {
    state.restore.passed().await?;
    let (by, asked) = (caller.clone(), billing.clone());
    let done = state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let mut order = steps::lock(tx, id).await?;
            order.must_be(&["confirmed", "partially_fulfilled", "fulfilled"])?;
            let before = order.clone();
            let mut left = store::unbilled(tx, id, asked.fulfilment_id).await?;
            let ahead = asked.before_delivery && asked.fulfilment_id.is_none();
            let lines = order.bill(asked.lines.clone(), &mut left, ahead)?;
            let from_orders = order.give_up(&before)?;
            order.head.version += 1;
            store::save(tx, &order).await?;
            store::save_lines(tx, id, &order.lines).await?;
            store::bill_deliveries(tx, &left).await?;
            let wish = order
                .offer()?
                .wish(order.head.location_id, order.head.customer_id);
            let bill = Bill {
                invoice_id: asked.invoice_id.unwrap_or_else(InvoiceId::new),
                request_hash: asked.request_hash.clone(),
                wish,
                lines,
                series: asked.series.clone(),
                tenders: asked.tenders.clone(),
                credit_override: asked.credit_override.clone(),
                from_orders,
            };
            invoice::bill(tx, &by, bill).await
        })
        .await;
    // For ever, by the invoice's id: the same request gets the same invoice.
    let Some(invoice) = billing.invoice_id.filter(|_| done.is_err()) else {
        return done;
    };
    let issued = state
        .db
        .read(&caller.ctx, async |tx| -> Result<_> {
            match reservation::standing(tx, invoice).await? {
                Standing::Issued { request_hash } if request_hash == billing.request_hash => {
                    Ok(invoice::get(tx, invoice).await?)
                }
                _ => Ok(None),
            }
        })
        .await?;
    match issued {
        Some(value) => Ok(Done {
            value,
            replayed: true,
        }),
        None => done,
    }
}

fn orders_of(lines: &[Line]) -> Vec<Uuid> {
    let mut ids: Vec<Uuid> = lines
        .iter()
        .filter_map(of_order)
        .map(|of| of.order_id)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Locks the orders that an invoice bills. The caller holds the customer's account and not yet the invoice.
pub(crate) async fn lock_billed(tx: &mut Tx, lines: &[Line]) -> Result<()> {
    let ids = orders_of(lines);
    if !ids.is_empty() {
        store::lock_all(tx, &ids).await?;
    }
    Ok(())
}

/// Takes a bill that is cancelled off its orders, which [`lock_billed`] has locked.
///
/// # Errors
/// [`Error::OrderState`] where an order has ended.
pub(crate) async fn unbill(tx: &mut Tx, lines: &[Line]) -> Result<()> {
    let billed: Vec<(OfOrder, &Line)> = lines
        .iter()
        .filter_map(|l| of_order(l).map(|of| (of, l)))
        .collect();
    for id in orders_of(lines).into_iter().map(OrderId::from_uuid) {
        let mut order = steps::lock(tx, id).await?;
        order.must_be(&["confirmed", "partially_fulfilled", "fulfilled"])?;
        let before = order.clone();
        let own = billed.iter().filter(|(of, _)| of.order_id == id.uuid());
        order.unbill(own.clone().map(|(of, line)| (of.line, *line)));
        let claimed = order.claim_again(&before)?;
        order.head.version += 1;
        store::save(tx, &order).await?;
        store::save_lines(tx, id, &order.lines).await?;
        let left: Vec<_> = own
            .filter_map(|(of, l)| Some((of.fulfilment_id?, of.line, l.qty)))
            .collect();
        store::unbill_deliveries(tx, id, &left).await?;
        if let Some(customer) = order.head.customer_id {
            // Less than nothing is released: it is claimed, whatever the limit is by now.
            customer::release_order(tx, customer, -claimed).await?;
        }
    }
    Ok(())
}

/// How an order ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Before anything was delivered or billed.
    Cancelled,
    /// After that; what is still to be delivered never will be.
    Closed,
}

/// Ends an order, and gives back what is held for it. That does not wait for inventory. Ended again, it is the same.
pub(super) async fn end(
    state: &State,
    caller: &Caller,
    id: OrderId,
    how: End,
    reason: Option<String>,
) -> Result<Done<Order>> {
    let ctx = without_key(&caller.ctx);
    for _ in 0..ROUNDS {
        settle(state, &ctx, id).await?;
        let reason = reason.clone();
        let begun = state
            .db
            .write(&ctx, async move |tx: &mut Tx| {
                end_now(tx, id, how, reason).await
            })
            .await?
            .value;
        match begun {
            Begun::Already(value) => {
                return Ok(Done {
                    value,
                    replayed: true,
                });
            }
            Begun::Done(order) => {
                if let Err(error) = settle(state, &ctx, id).await {
                    tracing::info!(order = %id, %error, "what it held is given back later");
                }
                return Ok(Done::first(order));
            }
            Begun::Asked | Begun::Busy => {}
        }
    }
    Err(Error::OrderBusy)
}

async fn end_now(
    tx: &mut Tx,
    id: OrderId,
    how: End,
    reason: Option<String>,
) -> Result<Begun<Order>> {
    let mut order = steps::lock(tx, id).await?;
    let (status, from) = match how {
        End::Cancelled => ("cancelled", &["draft", "confirmed"]),
        End::Closed => ("closed", &["partially_fulfilled", "fulfilled"]),
    };
    if order.head.status == status {
        return Ok(Begun::Already(order));
    }
    if order.head.step.is_some() {
        return Ok(Begun::Busy);
    }
    order.must_be(from)?;
    order.must_be_settled()?;
    if let Some(customer) = order.head.customer_id {
        customer::release_order(tx, customer, order.head.exposure).await?;
    }
    order.head.exposure = Money::ZERO;
    order.head.status = status.to_owned();
    order.head.reason = reason;
    order.head.ended_at = Some(tx.now());
    order.head.next_try = None;
    order.head.version += 1;
    order.hold(&std::collections::BTreeMap::new());
    if let Some(hold) = order.head.hold {
        let attempt = u32::try_from(hold).unwrap_or_default();
        begin(&mut order, &Step::Release { attempt })?;
    }
    store::save(tx, &order).await?;
    store::save_lines(tx, id, &order.lines).await?;
    tx.publish(match how {
        End::Cancelled => events::order_cancelled(&order)?,
        End::Closed => events::order_closed(&order)?,
    });
    Ok(Begun::Done(order))
}

/// Looks for stock for a back order at once.
pub(super) async fn allocate(state: &State, caller: &Caller, id: OrderId) -> Result<Done<Order>> {
    state.restore.passed().await?;
    let ctx = without_key(&caller.ctx);
    serve(state, &ctx, id).await?;
    let order = state
        .db
        .read(&ctx, async move |tx: &mut Tx| -> Result<_> {
            Ok(store::get(tx, id).await?.ok_or(Fault::NotFound)?)
        })
        .await?;
    order.must_be(&["confirmed", "partially_fulfilled", "fulfilled"])?;
    Ok(Done::first(order))
}

/// Ends what an order is in the midst of, and holds what it still waits for, as far as there is any.
async fn serve(state: &State, ctx: &Ctx, id: OrderId) -> Result<()> {
    settle(state, ctx, id).await?;
    let order = state
        .db
        .read(ctx, async move |tx: &mut Tx| -> Result<_> {
            Ok(store::get(tx, id).await?.ok_or(Fault::NotFound)?)
        })
        .await?;
    let short: Vec<ProductId> = order
        .lines
        .iter()
        .filter(|l| l.back_ordered().is_positive())
        .map(|l| l.product_id)
        .collect();
    let open = matches!(
        order.head.status.as_str(),
        "confirmed" | "partially_fulfilled"
    );
    // Every attempt leaves a row at inventory, so it is asked first whether there is anything.
    let there = if open && !short.is_empty() {
        let found = state
            .inventory
            .available(ctx, order.head.location_id, &short)
            .await?;
        found.values().any(|qty| qty.is_positive())
    } else {
        false
    };
    let asked = state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<bool> {
            let mut order = store::lock(tx, id).await?.ok_or(Fault::NotFound)?;
            if order.head.step.is_some() {
                return Ok(true);
            }
            let open = matches!(
                order.head.status.as_str(),
                "confirmed" | "partially_fulfilled"
            );
            let waits = open && order.waits();
            order.head.next_try = waits.then(|| tx.now() + LATER);
            let ask = waits && there;
            if ask {
                let step = next_hold(&order, false, true);
                begin(&mut order, &step)?;
            }
            store::save(tx, &order).await?;
            Ok(ask)
        })
        .await?
        .value;
    if asked {
        settle(state, ctx, id).await?;
    }
    Ok(())
}

/// The job: ends steps that nobody has ended, and serves back orders.
///
/// # Errors
/// When the database cannot be reached.
pub(crate) async fn tend(state: &State) -> anyhow::Result<()> {
    if state.restore.passed().await.is_err() {
        return Ok(());
    }
    let now = state.db.clock().now();
    for (tenant, id) in store::due(&state.db, now - STUCK, now, MOST).await? {
        let ctx = Ctx::service(state.db.service(), tenant);
        match serve(state, &ctx, id).await {
            Ok(()) => {}
            // The others would wait for it as long.
            Err(Error::InventoryUnavailable) => break,
            Err(error) => {
                tracing::warn!(order = %id, %error, "an order waits for its next turn");
                let later = async move |tx: &mut Tx| -> Result<()> {
                    Ok(store::put_off(tx, id, tx.now() + LATER).await?)
                };
                state.db.write(&ctx, later).await?;
            }
        }
    }
    Ok(())
}

/// Holds of orders lost goods: their lines wait for others.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn broken(
    tx: &mut Tx,
    events: &[Envelope<StockHold>],
) -> std::result::Result<(), Failed> {
    let ids: Vec<Uuid> = events.iter().filter_map(|e| e.payload.order_id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    store::lock_all(tx, &ids).await?;
    for event in events {
        let Some(id) = event.payload.order_id.map(OrderId::from_uuid) else {
            continue;
        };
        let (hold, version) = (event.payload.reservation_id, event.aggregate_version);
        // A client of inventory may hold for orders of its own.
        let Some(mut order) = store::lock(tx, id).await? else {
            continue;
        };
        let current = order.head.hold.and_then(|n| u32::try_from(n).ok());
        if current.is_some_and(|n| hold_id(id, n) == hold) && version > order.head.hold_version {
            for lost in &event.payload.order_lines {
                order.lose(lost.line, lost.qty);
            }
            order.head.hold_version = version;
            order.head.next_try = Some(tx.now());
            order.head.version += 1;
            store::save_lines(tx, id, &order.lines).await?;
        }
        if let Ok(Some(Step::Hold {
            attempt,
            confirm,
            allow_short,
            heard,
        })) = order.step()
            && hold_id(id, attempt) == hold
        {
            let step = Step::Hold {
                attempt,
                confirm,
                allow_short,
                heard: heard.max(version),
            };
            order.head.step = serde_json::to_value(step).ok();
        }
        store::save(tx, &order).await?;
    }
    Ok(())
}

/// Lets the orders that wait for goods at their places try again.
async fn wake(
    tx: &mut Tx,
    goods: impl Iterator<Item = (LocationId, ProductId)>,
) -> std::result::Result<(), Failed> {
    store::wake(tx, &goods.collect::<Vec<_>>()).await?;
    Ok(())
}

/// Goods came in: orders that wait for them look for them.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn received(
    tx: &mut Tx,
    events: &[Envelope<StockReceived>],
) -> std::result::Result<(), Failed> {
    let goods = events.iter().flat_map(|e| {
        let of = e.payload.lines.iter();
        of.map(|l| (e.payload.location_id, l.product_id))
    });
    wake(tx, goods).await
}

/// Goods came back: likewise.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn returned(
    tx: &mut Tx,
    events: &[Envelope<StockReturned>],
) -> std::result::Result<(), Failed> {
    let goods = events.iter().flat_map(|e| {
        let of = e.payload.lines.iter();
        of.map(|l| (e.payload.location_id, l.product_id))
    });
    wake(tx, goods).await
}
