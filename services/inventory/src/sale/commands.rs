//! Issuing and taking back, for any number of documents in one transaction and a fixed number of statements.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
};

use bahi_db::Tx;
use bahi_types::{BatchId, InvoiceId, Money, Price, ProductId, Quantity, ReservationId};
use uuid::Uuid;

use super::{
    model::{self, Back, BackLine, Sale},
    store::{self, Left, LineKey, ReturnLine},
};
use crate::{
    Error, copy,
    count::{self, store::Late},
    events,
    kit::{self, Sold},
    ledger::{
        self, Books, Cost, Key, Kind, Movement, NO_BATCH, Place, Source, Status, return_cost,
        share, unit_cost, worth,
    },
    recall::{self, Buyer},
    reservation::{self, Ask, Hold, HoldState},
    serial::{self, Name, Pieces, Reason, SerialState},
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
    let (sales, kits) = apart(tx, &sales, &holds).await?;
    let sales: Vec<&Sale> = sales.iter().map(AsRef::as_ref).collect();
    store::keep_kits(tx, &kits).await?;
    store::keep_billed(tx, &sales).await?;
    let mut places: BTreeSet<Place> = sales.iter().flat_map(|s| s.places()).collect();
    places.extend(
        holds
            .values()
            .filter(|h| h.is_pending())
            .flat_map(Hold::places),
    );
    let mut books = ledger::store::lock(tx, &places, &BTreeSet::new()).await?;
    let (tracked, mut pieces) = named(tx, &sales).await?;
    let corrected = correct(tx, &mut books, &sales, &mut pieces).await?;
    let mut owed: Vec<Shortage> = Vec::new();
    let mut waiting: Vec<serial::store::Waiting> = Vec::new();
    for sale in &sales {
        let hold = sale.reservation.and_then(|id| holds.get(&id));
        let (short, names) = model::issue(&mut books, sale, hold, now, &pieces);
        let of_tracked = |line: i32| {
            let mut of_line = short.iter().filter(|s| s.line == line);
            of_line.any(|s| tracked.contains(&s.place.1))
        };
        waiting.extend(names.into_iter().filter(|w| of_tracked(w.line)));
        owed.extend(short);
    }
    let open: Vec<ReservationId> = holds
        .values()
        .filter(|h| h.state != HoldState::Committed)
        .map(|h| h.id)
        .collect();
    reservation::store::end(tx, HoldState::Committed, &open).await?;
    shortage::store::insert(tx, &owed).await?;
    serial::store::wait(tx, &waiting).await?;
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
        let own = by_source.get(&sale.invoice.uuid()).is_some_and(|own| {
            own.iter()
                .any(|m| m.draft.key.batch != NO_BATCH || m.numbered)
        });
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

/// The pieces that sales name, locked, and the products of theirs that are followed by number.
async fn named(tx: &mut Tx, sales: &[&Sale]) -> Result<(BTreeSet<ProductId>, Pieces), Error> {
    let mut names: BTreeSet<Name> = BTreeSet::new();
    for sale in sales {
        for ask in &sale.lines {
            let of_line = sale.serials.get(&ask.line).into_iter().flatten();
            names.extend(of_line.map(|no| (ask.product, no.clone())));
        }
    }
    let tracked = serial::store::tracked(tx, &names.iter().map(|n| n.0).collect()).await?;
    names.retain(|name| tracked.contains(&name.0));
    let pieces = serial::store::lock(tx, &names, &BTreeMap::new()).await?;
    Ok((tracked, pieces))
}

/// The sales with their kits taken apart, into what their holds promised, else into what kits consist of now; and which
/// lines those were.
async fn apart<'a>(
    tx: &mut Tx,
    sales: &[&'a Sale],
    holds: &HashMap<ReservationId, Hold>,
) -> Result<(Vec<Cow<'a, Sale>>, Vec<(InvoiceId, Sold)>), Error> {
    let ids: Vec<ReservationId> = holds.keys().copied().collect();
    let promised = kit::store::promised(tx, &ids).await?;
    let products: BTreeSet<ProductId> = sales
        .iter()
        .flat_map(|s| &s.lines)
        .map(|l| l.product)
        .collect();
    let kits = kit::store::kits(tx, &products.into_iter().collect::<Vec<_>>()).await?;
    let (mut whole, mut sold) = (Vec::with_capacity(sales.len()), Vec::new());
    for sale in sales {
        let own = |hold: &&Hold| hold.demand_hash.as_deref() == Some(sale.demand_hash.as_str());
        let hold = sale.reservation.and_then(|id| holds.get(&id)).filter(own);
        let recipe = |line: &Ask| {
            let promised = hold.and_then(|hold| promised.get(&hold.id));
            let promised = promised.and_then(|kits| kits.components(line.product));
            promised.or_else(|| kits.components(line.product))
        };
        let of: Vec<_> = sale.lines.iter().map(recipe).collect();
        if of.iter().all(Option::is_none) {
            whole.push(Cow::Borrowed(*sale));
            continue;
        }
        let mut lines = Vec::new();
        for (line, of) in sale.lines.iter().zip(of) {
            let parts = of.and_then(|of| Some((of, kit::taken_apart(line.qty, of)?)));
            let Some((of, parts)) = parts else {
                lines.push(*line);
                continue;
            };
            lines.extend(parts.into_iter().map(|(product, qty)| Ask {
                line: line.line,
                product,
                qty,
            }));
            let (kit, of) = (line.product, of.clone());
            let line = Sold {
                line: line.line,
                kit,
                qty: line.qty,
                of,
            };
            sold.push((sale.invoice, line));
        }
        let sale = Sale {
            lines,
            ..(*sale).clone()
        };
        whole.push(Cow::Owned(sale));
    }
    Ok((whole, sold))
}

/// Source type of what puts back goods that a count has taken already.
const CORRECTION: &str = "count_correction";

/// A sale that happened before a posted look and is told after it has been taken by the count: its goods are put back
/// first, so that they leave once. The balances that were corrected.
async fn correct(
    tx: &mut Tx,
    books: &mut Books,
    sales: &[&Sale],
    pieces: &mut Pieces,
) -> Result<BTreeSet<Key>, Error> {
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
        // The count took these very pieces.
        let said = sale.serials.get(&line.line).into_iter().flatten();
        let gone = said.filter(|no| {
            let piece = pieces.get(line.product, no);
            piece.is_some_and(|p| p.state == SerialState::Gone)
        });
        let gone: Vec<String> = gone.cloned().collect();
        for no in &gone {
            pieces.assume(line.product, no, (key, Uuid::nil()));
        }
        books.name(gone);
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
    let backs = apart_again(tx, &backs, &invoices).await?;
    let backs: Vec<&Back> = backs.iter().map(AsRef::as_ref).collect();
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
        .map(|s| ((s.invoice, s.line, s.place.1), s.open))
        .collect();
    // A settlement may have come between the two readings.
    left.clear();
    left.extend(store::left(tx, &invoices).await?);
    let current = ledger::store::current_costs(tx, &targets).await?;
    let mut brought = Brought::look(tx, &backs, &invoices).await?;
    let products = targets.iter().map(|place| place.1).collect();
    let tracked = copy::batch_tracked(tx, &products).await?;
    let (mut kept, mut closed) = (Vec::new(), BTreeMap::new());
    for back in &backs {
        for line in &back.lines {
            let original = back.invoice.zip(line.original);
            let original = original.map(|(invoice, n)| (invoice, n, line.product));
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
            let waived_pieces = serial::whole(waived).unwrap_or_default();
            let named = brought.names(back, line, rest, waived_pieces, sold);
            let by_batch = tracked.contains(&line.product);
            put_back(
                &mut books,
                back,
                line,
                (rest, cost),
                sold,
                (named, by_batch),
            );
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
        .map(|((invoice, line, product), qty)| (invoice, line, product, qty))
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

/// Pieces that returns bring back.
struct Brought {
    tracked: BTreeSet<ProductId>,
    pieces: Pieces,
    /// Those that are still with the customers of the invoices.
    with_customer: BTreeSet<Name>,
}

/// Numbers of a line that came back: those of its pieces, by the batch they left from, and others that were said.
#[derive(Default)]
struct Returned {
    by_batch: BTreeMap<BatchId, Vec<String>>,
    said: Vec<(String, Reason)>,
}

impl Brought {
    async fn look(tx: &mut Tx, backs: &[&Back], invoices: &[InvoiceId]) -> Result<Self, Error> {
        let lines = || backs.iter().flat_map(|b| &b.lines);
        let with_customer = serial::store::sold_with(tx, invoices).await?;
        let named = lines().filter(|l| !l.serials.is_empty()).map(|l| l.product);
        let products = named.chain(with_customer.iter().map(|n| n.0)).collect();
        let tracked = serial::store::tracked(tx, &products).await?;
        let mut names: BTreeSet<Name> = lines()
            .flat_map(|l| l.serials.iter().map(|no| (l.product, no.clone())))
            .chain(with_customer.iter().cloned())
            .collect();
        names.retain(|name| tracked.contains(&name.0));
        let pieces = serial::store::lock(tx, &names, &BTreeMap::new()).await?;
        Ok(Self {
            tracked,
            pieces,
            with_customer,
        })
    }

    /// Which pieces a line brings back. One that was not sold with the invoice is not taken; without a bill any may come.
    fn names(
        &mut self,
        back: &Back,
        line: &BackLine,
        qty: Quantity,
        waived: usize,
        sold: &Left,
    ) -> Returned {
        let mut found = Returned::default();
        let Some(most) = serial::whole(qty).filter(|_| self.tracked.contains(&line.product)) else {
            return found;
        };
        let of_line = |name: &&Name| {
            let piece = self.pieces.get(name.0, &name.1);
            let with = piece.and_then(|p| p.sold.as_ref());
            name.0 == line.product
                && with.is_some_and(|s| {
                    Some(s.id) == back.invoice.map(|i| i.uuid()) && Some(s.line) == line.original
                })
        };
        let mut said = line.serials.clone();
        if said.is_empty() && sold.qty - sold.back.0 == qty {
            // All that is left of the line comes back: if its pieces are known, it is these.
            let all: Vec<String> = self
                .with_customer
                .iter()
                .filter(of_line)
                .map(|name| name.1.clone())
                .collect();
            if all.len() == most {
                said = all;
            }
        }
        // What never left the books cannot come back to them.
        let mut spare = waived;
        for no in said {
            let piece = self.pieces.get(line.product, &no);
            let ours = piece.and_then(|p| p.sold.as_ref()).is_some_and(|s| {
                let Some(invoice) = back.invoice else {
                    return true;
                };
                // A delivery is not the invoice, and knows nothing of it.
                s.kind != "invoice" || s.id == invoice.uuid()
            });
            let unknown = piece.is_none() && back.invoice.is_none();
            if ours || unknown {
                let batch = piece.map_or(NO_BATCH, |p| p.key.batch);
                self.with_customer.remove(&(line.product, no.clone()));
                found.by_batch.entry(batch).or_default().push(no);
            } else if spare > 0 {
                spare -= 1;
            } else {
                found.said.push((no, Reason::NotSold));
            }
        }
        found
    }
}

/// The returns with their kits taken apart, into what was sold; without an invoice, into what kits consist of now.
async fn apart_again<'a>(
    tx: &mut Tx,
    backs: &[&'a Back],
    invoices: &[InvoiceId],
) -> Result<Vec<Cow<'a, Back>>, Error> {
    let sold = store::kits(tx, invoices).await?;
    let products: BTreeSet<ProductId> = backs
        .iter()
        .filter(|b| b.invoice.is_none())
        .flat_map(|b| b.lines.iter().map(|l| l.product))
        .collect();
    let kits = kit::store::kits(tx, &products.into_iter().collect::<Vec<_>>()).await?;
    let mut whole = Vec::with_capacity(backs.len());
    for back in backs {
        let recipe = |line: &BackLine| match back.invoice {
            Some(invoice) => sold.get(&(invoice, line.original?)),
            None => kits.components(line.product),
        };
        let of: Vec<_> = back.lines.iter().map(recipe).collect();
        if of.iter().all(Option::is_none) {
            whole.push(Cow::Borrowed(*back));
            continue;
        }
        let mut lines = Vec::new();
        for (line, of) in back.lines.iter().zip(of) {
            match of.and_then(|of| kit::taken_apart(line.qty, of)) {
                None => lines.push(line.clone()),
                Some(parts) => lines.extend(parts.into_iter().map(|(product, qty)| BackLine {
                    product,
                    qty,
                    ..line.clone()
                })),
            }
        }
        let back = Back {
            lines,
            ..(*back).clone()
        };
        whole.push(Cow::Owned(back));
    }
    Ok(whole)
}

/// Puts what came back where its disposition says, into the batches it left from, in their order; pieces that are
/// named, into their own. Goods followed by batch of which nobody knows the batch, or its last day, do not go back to the
/// shelf.
fn put_back(
    books: &mut Books,
    back: &Back,
    line: &BackLine,
    (qty, cost): (Quantity, Money),
    sold: &Left,
    (named, by_batch): (Returned, bool),
) {
    let (mut left, mut done) = (qty, (Quantity::ZERO, Money::ZERO));
    let mut skip = sold.back.0;
    let mut parts: Vec<(BatchId, Quantity, Vec<String>)> = Vec::new();
    for (batch, mut names) in named.by_batch {
        let most = serial::whole(left).unwrap_or_default();
        names.truncate(most);
        let part = Quantity::from(names.len() as i64);
        if part.is_positive() {
            left -= part;
            parts.push((batch, part, names));
        }
    }
    for (batch, there) in &sold.parts {
        let skipped = (*there).min(skip);
        skip -= skipped;
        let part = (*there - skipped).min(left);
        left -= part;
        if part.is_positive() {
            parts.push((*batch, part, Vec::new()));
        }
    }
    if left.is_positive() {
        parts.push((NO_BATCH, left, Vec::new()));
    }
    let mut said = named.said;
    for (batch, part, names) in parts {
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
                books.name(names.clone());
                if names.is_empty() {
                    books.note(std::mem::take(&mut said));
                }
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
                books.name(names);
                continue;
            }
            "restock" => {
                let key = if by_batch && batch == NO_BATCH {
                    shelf.in_status(Status::Quarantine)
                } else {
                    books.shelf_or_quarantine(shelf)
                };
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
        if names.is_empty() {
            books.note(std::mem::take(&mut said));
        }
        books.name(names);
    }
}
