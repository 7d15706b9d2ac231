//! Issuing and taking back, for any number of documents in one transaction and a fixed number of statements.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bahi_db::Tx;
use bahi_types::{BatchId, InvoiceId, Money, Price, Quantity, ReservationId};
use uuid::Uuid;

use super::{
    model::{self, Back, BackLine, Sale},
    store::{self, Left, LineKey, ReturnLine},
};
use crate::{
    Error,
    count::{self, store::Late},
    events,
    ledger::{
        self, Books, Cost, Key, Kind, Movement, NO_BATCH, Place, Source, Status, return_cost,
        share, unit_cost, worth,
    },
    recall::{self, Buyer},
    reservation::{self, Ask, Hold, HoldState},
    shortage::{self, Shortage},
};

/// Issues the goods of invoices, in their order. One that was issued before is skipped.
///
/// # Errors
/// When the database refuses; never for want of stock.
pub(crate) async fn issue(tx: &mut Tx, sales: &[Sale]) -> Result<(), Error> {
    let facts: Vec<_> = sales.iter().map(|s| (s.invoice.uuid(), s.told)).collect();
    let mut new = ledger::store::guard_told(tx, "invoice", "issue", &facts).await?;
    // One slice may tell of an invoice twice; its first telling counts.
    let (sales, again): (Vec<&Sale>, Vec<&Sale>) =
        sales.iter().partition(|s| new.remove(&s.invoice.uuid()));
    remember_buyers(tx, &again).await?;
    if sales.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    let holds: Vec<_> = sales
        .iter()
        .filter_map(|s| Some((s.reservation?, s.invoice, None)))
        .collect();
    let hold_ids: Vec<ReservationId> = holds.iter().map(|h| h.0).collect();
    reservation::store::claim_ended(tx, HoldState::Committed, &holds).await?;
    let holds: HashMap<ReservationId, Hold> = reservation::store::lock(tx, &hold_ids)
        .await?
        .into_iter()
        .map(|h| (h.id, h))
        .collect();
    let mut places: BTreeSet<Place> = sales.iter().flat_map(|s| s.places()).collect();
    places.extend(
        holds
            .values()
            .filter(|h| h.is_pending())
            .flat_map(Hold::places),
    );
    let mut books = ledger::store::lock(tx, &places, &BTreeSet::new()).await?;
    let corrected = correct(tx, &mut books, &sales).await?;
    let mut owed: Vec<Shortage> = Vec::new();
    for sale in &sales {
        let hold = sale.reservation.and_then(|id| holds.get(&id));
        owed.extend(model::issue(&mut books, sale, hold, now));
    }
    let open: Vec<ReservationId> = holds
        .values()
        .filter(|h| h.state != HoldState::Committed)
        .map(|h| h.id)
        .collect();
    reservation::store::end(tx, HoldState::Committed, &open).await?;
    shortage::store::insert(tx, &owed).await?;
    let versions = corrected
        .iter()
        .map(|key| {
            (
                *key,
                (
                    books.item(key.in_status(Status::Sellable)),
                    books.version(key.place()),
                ),
            )
        })
        .collect::<HashMap<_, _>>();
    // What is owed may leave from a batch later.
    let owing: HashSet<InvoiceId> = owed.iter().map(|s| s.invoice).collect();
    let movements = ledger::close(tx, books).await?;
    let settled: HashMap<Key, Quantity> = corrected
        .iter()
        .map(|key| (*key, ledger::settled_from(&movements, *key)))
        .collect();
    let (corrections, movements): (Vec<Movement>, Vec<Movement>) = movements
        .into_iter()
        .partition(|m| m.draft.source.kind == CORRECTION);
    for movement in &corrections {
        if let Some((item, version)) = versions.get(&movement.draft.key) {
            tx.publish(events::adjusted(
                tx.tenant(),
                movement,
                *version,
                item.on_hand
                    - settled
                        .get(&movement.draft.key)
                        .copied()
                        .unwrap_or_default(),
            ));
        }
    }
    let by_source = by_source(&movements);
    let batched = |sale: &&&Sale| {
        let own = by_source
            .get(&sale.invoice.uuid())
            .is_some_and(|own| own.iter().any(|m| m.draft.key.batch != NO_BATCH));
        own || owing.contains(&sale.invoice)
    };
    let buyers: Vec<&Buyer> = sales.iter().filter(batched).map(|s| &s.buyer).collect();
    recall::store::keep_buyers(tx, &buyers).await?;
    for sale in sales {
        if let Some(own) = by_source.get(&sale.invoice.uuid()) {
            tx.publish(events::issued(
                sale.invoice,
                sale.location,
                sale.occurred_at,
                sale.cause,
                own,
            ));
        }
    }
    Ok(())
}

/// Source type of what puts back goods that a count has taken already.
const CORRECTION: &str = "count_correction";

/// A sale that happened before a posted look and is told after it has been taken by the count: its goods are put back
/// first, so that they leave once. The balances that were corrected.
async fn correct(tx: &mut Tx, books: &mut Books, sales: &[&Sale]) -> Result<BTreeSet<Key>, Error> {
    let late: Vec<(&Sale, &Ask, Late)> = sales
        .iter()
        .flat_map(|sale| sale.told.late_at.map(|at| (*sale, at)))
        .flat_map(|(sale, at)| sale.lines.iter().map(move |line| (sale, line, at)))
        .map(|(sale, line, at)| {
            let late = Late {
                place: (sale.location, line.product),
                at,
                txid: sale.told.txid,
                epoch: sale.told.epoch,
            };
            (sale, line, late)
        })
        .collect();
    let mut corrected = BTreeSet::new();
    if late.is_empty() {
        return Ok(corrected);
    }
    let asked: Vec<Late> = late.iter().map(|l| l.2.clone()).collect();
    let into = count::store::corrections(tx, &asked).await?;
    let places = asked.iter().map(|l| l.place).collect();
    let costs = ledger::store::current_costs(tx, &places).await?;
    for ((sale, line, late), batch) in late.into_iter().zip(into) {
        let Some(batch) = batch else { continue };
        let unit = costs.get(&late.place).copied().unwrap_or(Price::ZERO);
        let known = Cost::Known(worth(line.qty, unit).unwrap_or_default(), unit);
        let source = Source {
            kind: CORRECTION,
            id: sale.invoice.uuid(),
            line: line.line,
            purpose: "count",
        };
        let key = Key::sellable(late.place, batch);
        let why = Some("sold before a count that was posted before it was told".to_owned());
        books.put(
            Kind::AdjustIn,
            key,
            line.qty,
            known,
            source,
            why,
            sale.occurred_at,
        );
        books.touch(late.place);
        corrected.insert(key);
    }
    Ok(corrected)
}

/// The event of a sale that was issued from what sales answered says more of who bought.
async fn remember_buyers(tx: &mut Tx, told: &[&Sale]) -> Result<(), Error> {
    let said: Vec<&Buyer> = told
        .iter()
        .map(|s| &s.buyer)
        .filter(|b| b.date.is_some())
        .collect();
    if said.is_empty() {
        return Ok(());
    }
    let ids: Vec<InvoiceId> = said.iter().map(|b| b.invoice).collect();
    let mut half = recall::store::half_known(tx, &ids).await?;
    let missing: Vec<&Buyer> = said
        .into_iter()
        .filter(|b| {
            let at = half.iter().position(|i| *i == b.invoice);
            at.map(|at| half.swap_remove(at)).is_some()
        })
        .collect();
    recall::store::keep_buyers(tx, &missing).await?;
    Ok(())
}

fn by_source(movements: &[Movement]) -> HashMap<Uuid, Vec<&Movement>> {
    let mut map: HashMap<Uuid, Vec<&Movement>> = HashMap::new();
    for movement in movements {
        map.entry(movement.draft.source.id)
            .or_default()
            .push(movement);
    }
    map
}

/// Takes goods back. A return that was taken before is skipped.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn take_back(tx: &mut Tx, backs: &[Back]) -> Result<(), Error> {
    let facts: Vec<_> = backs
        .iter()
        .map(|b| (b.credit_note.uuid(), b.told))
        .collect();
    let mut new = ledger::store::guard_told(tx, "return", "return", &facts).await?;
    let backs: Vec<&Back> = backs
        .iter()
        .filter(|b| new.remove(&b.credit_note.uuid()))
        .collect();
    if backs.is_empty() {
        return Ok(());
    }
    let invoices: Vec<InvoiceId> = backs
        .iter()
        .filter_map(|b| b.invoice)
        .collect::<HashSet<_>>()
        .into_iter()
        .collect();
    // Read once to know which places to lock, and again when they are locked.
    let owed = shortage::store::of_invoices(tx, &invoices).await?;
    let mut left = store::left(tx, &invoices).await?;
    let batches: BTreeSet<BatchId> = left
        .values()
        .flat_map(|l| &l.parts)
        .map(|p| p.0)
        .filter(|b| *b != NO_BATCH)
        .collect();
    crate::batch::store::share(tx, &batches).await?;
    let mut places: BTreeSet<Place> = backs
        .iter()
        .flat_map(|b| b.lines.iter().map(|l| (b.location, l.product)))
        .collect();
    let targets = places.clone();
    places.extend(owed.iter().map(|s| s.place));
    let mut books = ledger::store::lock(tx, &places, &batches).await?;
    let mut open: BTreeMap<LineKey, Quantity> = shortage::store::of_invoices(tx, &invoices)
        .await?
        .into_iter()
        .map(|s| ((s.invoice, s.line), s.open))
        .collect();
    // A settlement may have come between the two readings.
    left.clear();
    left.extend(store::left(tx, &invoices).await?);
    let current = ledger::store::current_costs(tx, &targets).await?;
    let (mut kept, mut closed) = (Vec::new(), BTreeMap::new());
    for back in &backs {
        for line in &back.lines {
            let original = back.invoice.zip(line.original);
            let owed = original.and_then(|key| open.get_mut(&key));
            let waived = owed.map_or(Quantity::ZERO, |open| {
                let part = (*open).min(line.qty);
                *open -= part;
                part
            });
            if let Some(key) = original.filter(|_| waived.is_positive()) {
                *closed.entry(key).or_insert(Quantity::ZERO) += waived;
            }
            let rest = line.qty - waived;
            let nothing = Left::default();
            let sold = original.and_then(|key| left.get(&key)).unwrap_or(&nothing);
            let place = (back.location, line.product);
            let cost = if sold.qty.is_positive() {
                return_cost(sold.cost, sold.qty, sold.back, rest)
            } else {
                current
                    .get(&place)
                    .and_then(|unit| worth(rest, *unit))
                    .unwrap_or_default()
            };
            put_back(&mut books, back, line, rest, cost, sold);
            if let Some(sold) = original.and_then(|key| left.get_mut(&key)) {
                sold.back = (sold.back.0 + rest, sold.back.1 + cost);
            }
            kept.push(ReturnLine {
                credit_note: back.credit_note,
                line: line.line,
                original,
                product: line.product,
                qty: line.qty,
                shortage_closed: waived,
                cost,
            });
        }
    }
    let closed: Vec<_> = closed
        .into_iter()
        .map(|((invoice, line), qty)| (invoice, line, qty))
        .collect();
    shortage::store::cancel(tx, &closed).await?;
    store::insert_return_lines(tx, &kept).await?;
    let movements = ledger::close(tx, books).await?;
    for back in backs {
        let own: Vec<&Movement> = movements
            .iter()
            .filter(|m| {
                m.draft.source.id == back.credit_note.uuid() && m.draft.kind == Kind::ReturnIn
            })
            .collect();
        if !own.is_empty() {
            tx.publish(events::returned(
                back.credit_note,
                back.invoice,
                back.location,
                back.occurred_at,
                back.cause,
                &own,
            ));
        }
    }
    Ok(())
}

/// Puts what came back where its disposition says, into the batches it left from, in their order.
fn put_back(
    books: &mut Books,
    back: &Back,
    line: &BackLine,
    qty: Quantity,
    cost: Money,
    sold: &Left,
) {
    let (mut left, mut done) = (qty, (Quantity::ZERO, Money::ZERO));
    let mut skip = sold.back.0;
    let mut parts: Vec<(BatchId, Quantity)> = Vec::new();
    for (batch, there) in &sold.parts {
        let skipped = (*there).min(skip);
        skip -= skipped;
        let part = (*there - skipped).min(left);
        left -= part;
        if part.is_positive() {
            parts.push((*batch, part));
        }
    }
    if left.is_positive() {
        parts.push((NO_BATCH, left));
    }
    for (batch, part) in parts {
        // Cumulative shares, so that the parts add up to the whole.
        let due = share(cost, done.0 + part, qty);
        let value = due - done.1;
        done = (done.0 + part, due);
        let source = Source {
            kind: "return",
            id: back.credit_note.uuid(),
            line: line.line,
            purpose: "return",
        };
        let shelf = Key::sellable((back.location, line.product), batch);
        let known = Cost::Known(value, unit_cost(value, part));
        let at = back.occurred_at;
        match line.disposition.as_str() {
            "scrap" => {
                let bin = shelf.in_status(Status::Scrap);
                books.put(Kind::ReturnIn, bin, part, known, source, None, at);
                books.take(
                    Kind::Scrap,
                    bin,
                    part,
                    Source {
                        purpose: "scrap",
                        ..source
                    },
                    None,
                    at,
                );
            }
            "restock" => {
                let key = books.shelf_or_quarantine(shelf);
                books.put(Kind::ReturnIn, key, part, known, source, None, at);
            }
            // What nobody says is good stays apart.
            _ => books.put(
                Kind::ReturnIn,
                shelf.in_status(Status::Quarantine),
                part,
                known,
                source,
                None,
                at,
            ),
        }
    }
}
