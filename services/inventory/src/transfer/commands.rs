//! Writing, approving, shipping, receiving and closing transfers.

use std::collections::{BTreeMap, BTreeSet};

use bahi_db::{Ctx, Done, Tx};
use bahi_events::Actor;
use bahi_http::Fault;
use bahi_types::{BatchId, LocationId, Money, ProductId, Quantity, business_date};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{Arrived, Moved, Names, Transfer, TransferLine, TransferState, Verb},
    store,
};
use crate::{
    Error, State, batch, copy, events,
    ledger::{self, Key, Kind, Movement, NO_BATCH, Place, Source, Status, worth},
    policy,
    serial::{self, Pieces},
};

/// A transfer to be written.
#[derive(Clone, Debug)]
pub(super) struct NewTransfer {
    pub from: LocationId,
    pub to: LocationId,
    pub reference: Option<String>,
    pub lines: Vec<NewLine>,
}

/// A line of it.
#[derive(Clone, Debug)]
pub(super) struct NewLine {
    pub product: ProductId,
    pub batch: Option<BatchId>,
    pub status: Status,
    pub qty: Quantity,
    /// Pieces, where they are sent at once.
    pub serials: Vec<String>,
}

/// Writes a draft.
pub(super) async fn create(
    state: &State,
    ctx: &Ctx,
    new: NewTransfer,
) -> Result<Done<Transfer>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| draft(tx, &new).await)
        .await
}

/// Writes, approves and ships in one go.
pub(super) async fn send(
    state: &State,
    ctx: &Ctx,
    new: NewTransfer,
    eway_bill_no: Option<String>,
) -> Result<Done<Transfer>, Error> {
    state.restore.passed().await?;
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Transfer, Error> {
            let mut transfer = draft(tx, &new).await?;
            permit(tx, &mut transfer).await?;
            let named = (1..).zip(&new.lines).map(|(n, l)| (n, l.serials.clone()));
            leave(tx, &mut transfer, eway_bill_no, named.collect()).await?;
            Ok(transfer)
        })
        .await
}

async fn draft(tx: &mut Tx, new: &NewTransfer) -> Result<Transfer, Error> {
    if new.from == new.to {
        return Err(Fault::field("to_location_id", "must differ from from_location_id").into());
    }
    open_end(tx, new.from, "from_location_id").await?;
    open_end(tx, new.to, "to_location_id").await?;
    let named: Vec<_> = new.lines.iter().map(|l| (l.product, l.batch)).collect();
    batch::check_lines(tx, &named).await?;
    fit(tx, new).await?;
    let (registration_from, gstin_from) = copy::registration(tx, new.from).await?;
    let (registration_to, gstin_to) = copy::registration(tx, new.to).await?;
    let line = |(n, line): (i32, &NewLine)| TransferLine {
        line: n,
        product_id: line.product,
        batch_id: line.batch,
        status: line.status,
        qty: line.qty,
        origin: Uuid::now_v7(),
        parts: Vec::new(),
    };
    let transfer = Transfer {
        id: Uuid::now_v7(),
        state: TransferState::Draft,
        from_location_id: new.from,
        to_location_id: new.to,
        reference: new.reference.clone(),
        registration_from,
        registration_to,
        gstin_from,
        gstin_to,
        taxable: registration_from != registration_to,
        eway_bill_no: None,
        reason: None,
        created_by: tx.ctx().principal(),
        approved_by: None,
        created_at: tx.now(),
        approved_at: None,
        shipped_at: None,
        ended_at: None,
        value_in_transit: Some(Money::ZERO),
        lines: (1..).zip(&new.lines).map(line).collect(),
        version: 1,
    };
    store::insert(tx, &transfer).await?;
    Ok(transfer)
}

/// Refuses a location that is closed, and says which one it is.
async fn open_end(tx: &mut Tx, id: LocationId, field: &'static str) -> Result<(), Error> {
    match copy::open_location(tx, id).await {
        Err(Error::LocationClosed) => Err(Error::ClosedAt(field)),
        open => open,
    }
}

/// Refuses sellable goods of a batch that may not be sold: they would not be sent.
async fn fit(tx: &mut Tx, new: &NewTransfer) -> Result<(), Error> {
    let today = business_date(tx.now());
    let named = new.lines.iter().filter_map(|l| l.batch).collect();
    let batches = batch::store::share(tx, &named).await?;
    let unfit = |line: &NewLine| {
        let batch = batches.iter().find(|b| Some(b.id) == line.batch);
        line.status == Status::Sellable && batch.is_some_and(|b| !b.is_active(today))
    };
    match new.lines.iter().position(unfit) {
        Some(n) => Err(Error::BatchUnfit(n)),
        None => Ok(()),
    }
}

/// Lets a draft go.
pub(super) async fn approve(state: &State, ctx: &Ctx, id: Uuid) -> Result<Done<Transfer>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Transfer, Error> {
            let mut transfer = store::lock(tx, id).await?;
            permit(tx, &mut transfer).await?;
            store::save(tx, &transfer).await?;
            Ok(transfer)
        })
        .await
}

async fn permit(tx: &mut Tx, transfer: &mut Transfer) -> Result<(), Error> {
    copy::own_location(tx, transfer.from_location_id).await?;
    transfer.allow(Verb::Approve)?;
    let who = tx.ctx().principal();
    let most = policy::get(tx).await?.transfer_second_person_above;
    // An API key may be anybody's: it is no second person.
    let second = transfer.created_by != who && matches!(tx.ctx().actor, Actor::User { .. });
    if let Some(most) = most.filter(|_| !second)
        && cost(tx, transfer).await?.is_none_or(|cost| cost > most)
    {
        return Err(Error::SecondPerson);
    }
    let now = tx.now();
    transfer.enter(TransferState::Approved, now);
    transfer.approved_by = Some(who);
    transfer.approved_at = Some(now);
    audit(tx, "inventory.transfer.approve", transfer);
    Ok(())
}

/// What the goods cost where they lie, as far as they have ever moved.
async fn cost(tx: &mut Tx, transfer: &Transfer) -> Result<Option<Money>, Error> {
    let place = |line: &TransferLine| (transfer.from_location_id, line.product_id);
    let places = transfer.lines.iter().map(place).collect();
    let costs = ledger::store::current_costs(tx, &places).await?;
    let cost = |line: &TransferLine| worth(line.qty, *costs.get(&place(line))?);
    Ok(transfer.lines.iter().map(cost).sum())
}

fn audit(tx: &mut Tx, action: &str, transfer: &Transfer) {
    let details = json!({
        "from_location_id": transfer.from_location_id,
        "to_location_id": transfer.to_location_id,
    });
    let object = ("transfer", transfer.id);
    tx.audit(action, object, transfer.reason.clone(), details);
}

/// Calls off what has not left.
pub(super) async fn cancel(
    state: &State,
    ctx: &Ctx,
    id: Uuid,
    reason: String,
) -> Result<Done<Transfer>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Transfer, Error> {
            let mut transfer = store::lock(tx, id).await?;
            transfer.allow(Verb::Cancel)?;
            let now = tx.now();
            transfer.enter(TransferState::Cancelled, now);
            transfer.reason = Some(reason);
            store::save(tx, &transfer).await?;
            audit(tx, "inventory.transfer.cancel", &transfer);
            Ok(transfer)
        })
        .await
}

/// Sends what was approved, all of it or nothing.
pub(super) async fn ship(
    state: &State,
    ctx: &Ctx,
    id: Uuid,
    eway_bill_no: Option<String>,
    serials: BTreeMap<i32, Vec<String>>,
) -> Result<Done<Transfer>, Error> {
    state.restore.passed().await?;
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Transfer, Error> {
            let mut transfer = store::lock(tx, id).await?;
            leave(tx, &mut transfer, eway_bill_no, serials.clone()).await?;
            Ok(transfer)
        })
        .await
}

async fn leave(
    tx: &mut Tx,
    transfer: &mut Transfer,
    eway_bill_no: Option<String>,
    mut serials: BTreeMap<i32, Vec<String>>,
) -> Result<(), Error> {
    copy::own_location(tx, transfer.from_location_id).await?;
    transfer.allow(Verb::Ship)?;
    open_end(tx, transfer.to_location_id, "to_location_id").await?;
    // As they are now: the document that goes with the goods names them.
    (transfer.registration_from, transfer.gstin_from) =
        copy::registration(tx, transfer.from_location_id).await?;
    (transfer.registration_to, transfer.gstin_to) =
        copy::registration(tx, transfer.to_location_id).await?;
    transfer.taxable = transfer.registration_from != transfer.registration_to;
    let sources: BTreeSet<Place> = transfer
        .lines
        .iter()
        .map(|l| (transfer.from_location_id, l.product_id))
        .collect();
    // Batches come before gates. Those that may be picked are looked up first; should another have come meanwhile,
    // the whole is done again.
    let seen = ledger::store::peek(tx, &sources).await?;
    let batches: BTreeSet<BatchId> = seen
        .items()
        .filter(|(key, item)| key.batch != NO_BATCH && item.on_hand.is_positive())
        .map(|(key, _)| key.batch)
        .chain(transfer.lines.iter().filter_map(|l| l.batch_id))
        .collect();
    batch::store::share(tx, &batches).await?;
    ledger::store::guard(tx, "transfer", "ship", &[transfer.id]).await?;
    let mut places = sources.clone();
    places.extend(
        transfer
            .lines
            .iter()
            .map(|l| (transfer.to_location_id, l.product_id)),
    );
    let mut books = ledger::store::lock(tx, &places, &batches).await?;
    let (id, now) = (transfer.id, tx.now());
    let pieces = sent(tx, transfer, &mut serials).await?;
    let mut strange = false;
    transfer.pick(&mut books, &pieces, &serials, |books, line, (key, qty)| {
        strange |= key.batch != NO_BATCH && !batches.contains(&key.batch);
        let source = Source {
            kind: "transfer",
            id,
            line: line.line,
            purpose: "ship",
        };
        let kinds = (Kind::TransferOut, Kind::TransferIn);
        let (from, way) = ((key, Uuid::nil()), transfer.way(line, key.batch));
        books.carry(kinds, from, way, qty, source, None, now);
    })?;
    if strange {
        return Err(bahi_db::Error::Contention.into());
    }
    let movements = ledger::close(tx, books).await?;
    let moved = arrived(&movements, id);
    transfer.enter(TransferState::Shipped, now);
    transfer.shipped_at = Some(now);
    transfer.eway_bill_no = eway_bill_no;
    transfer.send(&moved);
    store::insert_parts(tx, id, &moved).await?;
    store::save(tx, transfer).await?;
    let facts = facts(tx, transfer).await?;
    tx.publish(events::transferred(&facts, transfer, "shipped", &moved));
    Ok(())
}

/// The pieces that are sent, locked: every one of a product that is followed by number is named.
async fn sent(
    tx: &mut Tx,
    transfer: &Transfer,
    serials: &mut BTreeMap<i32, Vec<String>>,
) -> Result<Pieces, Error> {
    if let Some(line) = serials
        .keys()
        .find(|n| !transfer.lines.iter().any(|l| l.line == **n))
    {
        return Err(Fault::field("lines", format!("{line} is no line of the transfer")).into());
    }
    let products = transfer.lines.iter().map(|l| l.product_id).collect();
    let tracked = serial::store::tracked(tx, &products).await?;
    let mut names = BTreeSet::new();
    for (n, line) in transfer.lines.iter().enumerate() {
        let of_line = serials.get(&line.line).map_or(&[][..], Vec::as_slice);
        let followed = tracked.contains(&line.product_id);
        serial::check(n, followed, line.product_id, line.qty, of_line, &mut names)?;
    }
    serials.retain(|_, names| !names.is_empty());
    Ok(serial::store::lock(tx, &names, &BTreeMap::new()).await?)
}

/// What is known of a transfer's products and of both its ends.
async fn facts(tx: &mut Tx, transfer: &Transfer) -> Result<copy::Facts, Error> {
    let ends = [transfer.from_location_id, transfer.to_location_id];
    let places = |l: &TransferLine| ends.map(|end| (end, l.product_id));
    copy::facts(tx, transfer.lines.iter().flat_map(places)).await
}

/// What the movements into a place that a document made were worth, by line and batch.
fn arrived(movements: &[Movement], document: Uuid) -> Vec<Moved> {
    sums(movements, document, |m| m.draft.kind == Kind::TransferIn)
}

fn sums(movements: &[Movement], document: Uuid, wanted: impl Fn(&Movement) -> bool) -> Vec<Moved> {
    let mut sums: BTreeMap<(i32, BatchId), (Quantity, Money)> = BTreeMap::new();
    for m in movements
        .iter()
        .filter(|m| m.draft.source.id == document && wanted(m))
    {
        let sum = sums
            .entry((m.draft.source.line, m.draft.key.batch))
            .or_default();
        sum.0 += m.draft.qty;
        sum.1 += m.value;
    }
    sums.into_iter()
        .map(|((line, batch), (qty, value))| {
            let out = qty.is_negative();
            Moved {
                line,
                batch,
                qty: if out { -qty } else { qty },
                value: if out { -value } else { value },
            }
        })
        .collect()
}

/// Receives what is said to have arrived; everything that is on its way when nothing is said.
pub(super) async fn receive(
    state: &State,
    ctx: &Ctx,
    id: Uuid,
    said: Option<Vec<Arrived>>,
) -> Result<Done<Transfer>, Error> {
    state.restore.passed().await?;
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Transfer, Error> {
            let mut transfer = store::lock(tx, id).await?;
            copy::own_location(tx, transfer.to_location_id).await?;
            transfer.allow(Verb::Receive)?;
            // A location that was closed after they had left: the goods are there all the same.
            copy::known_location(tx, transfer.to_location_id).await?;
            let (moved, mut names) = match &said {
                Some(said) => {
                    let (said, names) = pieces(tx, &transfer, said).await?;
                    (transfer.arriving(&said)?, names)
                }
                None => (transfer.under_way(), Names::new()),
            };
            let (document, now) = (Uuid::now_v7(), tx.now());
            let mut books = open(tx, &transfer, &moved).await?;
            for m in &moved {
                let Some(line) = transfer.lines.iter().find(|l| l.line == m.line) else {
                    continue;
                };
                let way = transfer.way(line, m.batch);
                let mut target = way.0.in_status(line.status);
                if line.status == Status::Sellable {
                    target = books.shelf_or_quarantine(target);
                }
                let source = Source {
                    kind: "transfer_receipt",
                    id: document,
                    line: m.line,
                    purpose: "receive",
                };
                let kinds = (Kind::TransferOut, Kind::TransferIn);
                let lot = (target, Uuid::nil());
                books.carry(kinds, way, lot, m.qty, source, None, now);
                books.name(names.remove(&(m.line, m.batch)).unwrap_or_default());
            }
            let movements = ledger::close(tx, books).await?;
            let moved = arrived(&movements, document);
            transfer.settle(&moved, false);
            let next = if transfer.under_way().is_empty() {
                TransferState::Received
            } else {
                TransferState::PartiallyReceived
            };
            transfer.enter(next, now);
            store::add(tx, id, &moved, false).await?;
            store::save(tx, &transfer).await?;
            let facts = facts(tx, &transfer).await?;
            tx.publish(events::transferred(&facts, &transfer, "received", &moved));
            Ok(transfer)
        })
        .await
}

/// The pieces that are said to have arrived. They are on their way with this transfer, which is locked.
async fn pieces(
    tx: &mut Tx,
    transfer: &Transfer,
    said: &[Arrived],
) -> Result<(Vec<Arrived>, Names), Error> {
    let products = transfer.lines.iter().map(|l| l.product_id).collect();
    let tracked = serial::store::tracked(tx, &products).await?;
    let product = |n: i32| transfer.lines.iter().find(|l| l.line == n);
    let names = said
        .iter()
        .filter_map(|a| Some((product(a.line)?.product_id, &a.serials)))
        .flat_map(|(product, names)| names.iter().map(move |no| (product, no.clone())))
        .collect();
    let pieces = serial::store::peek(tx, &names).await?;
    transfer.arrived_pieces(said, &tracked, &pieces)
}

/// Closes a transfer of which no more will arrive: what is missing is lost.
pub(super) async fn close_short(
    state: &State,
    ctx: &Ctx,
    id: Uuid,
    reason: String,
) -> Result<Done<Transfer>, Error> {
    state.restore.passed().await?;
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Transfer, Error> {
            let mut transfer = store::lock(tx, id).await?;
            copy::own_location(tx, transfer.to_location_id).await?;
            transfer.allow(Verb::CloseShort)?;
            let moved = transfer.under_way();
            let (document, now) = (Uuid::now_v7(), tx.now());
            let mut books = open(tx, &transfer, &moved).await?;
            for m in &moved {
                let Some(line) = transfer.lines.iter().find(|l| l.line == m.line) else {
                    continue;
                };
                let source = Source {
                    kind: "transfer_short",
                    id: document,
                    line: m.line,
                    purpose: "short",
                };
                let (way, why) = (transfer.way(line, m.batch), Some(reason.clone()));
                books.take_of(Kind::AdjustOut, way, m.qty, source, why, now);
            }
            let movements = ledger::close(tx, books).await?;
            let moved = sums(&movements, document, |_| true);
            transfer.settle(&moved, true);
            transfer.enter(TransferState::ClosedShort, now);
            transfer.reason = Some(reason);
            store::add(tx, id, &moved, true).await?;
            store::save(tx, &transfer).await?;
            audit(tx, "inventory.transfer.close_short", &transfer);
            let facts = facts(tx, &transfer).await?;
            tx.publish(events::transferred(&facts, &transfer, "short", &moved));
            Ok(transfer)
        })
        .await
}

/// The books of what is on its way to the destination, locked: batches, then gates.
async fn open(tx: &mut Tx, transfer: &Transfer, moved: &[Moved]) -> Result<ledger::Books, Error> {
    let batches: BTreeSet<BatchId> = moved
        .iter()
        .map(|m| m.batch)
        .filter(|b| *b != NO_BATCH)
        .collect();
    batch::store::share(tx, &batches).await?;
    let places = moved
        .iter()
        .filter_map(|m| transfer.lines.iter().find(|l| l.line == m.line))
        .map(|l| Key::sellable((transfer.to_location_id, l.product_id), NO_BATCH).place())
        .collect();
    Ok(ledger::store::lock(tx, &places, &batches).await?)
}
