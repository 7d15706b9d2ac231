//! Following pieces through a transaction's movements, promising them, and naming them afterwards.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bahi_db::{Ctx, Done, Tx};
use bahi_events::{Envelope, Product};
use bahi_http::Fault;
use bahi_types::{InvoiceId, ProductId, Quantity};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{Name, Piece, Pieces, SerialState, Sold, check, is_automatic, place_of},
    store::{self, Waiting},
};
use crate::{
    Error, State,
    copy::{self, ProductRow},
    ledger::{self, Key, Kind, Lot, Movement, NO_BATCH, Status},
    reservation::Ask,
    shortage::Settlement,
};

/// What movements make of pieces, ready to be written.
#[derive(Default)]
pub(crate) struct Followed {
    pieces: Pieces,
    named: Vec<Waiting>,
}

impl Followed {
    /// Writes it; the movements are written.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn save(&self, tx: &mut Tx, movements: &[Movement]) -> Result<(), Error> {
        store::save(tx, &self.pieces, movements).await?;
        Ok(store::stop_waiting(tx, &self.named).await?)
    }
}

/// Moves the pieces of `tracked` products with their movements.
///
/// # Errors
/// What [`Pieces::follow`] refuses.
pub(crate) async fn follow(
    tx: &mut Tx,
    movements: &[Movement],
    tracked: &BTreeSet<ProductId>,
    settled: &[Settlement],
) -> Result<Followed, Error> {
    let own = || {
        let drafts = movements.iter().map(|m| &m.draft);
        drafts.filter(|d| tracked.contains(&d.key.product) && !d.qty.is_zero())
    };
    if own().next().is_none() {
        return Ok(Followed::default());
    }
    let settled: Vec<&Settlement> = settled
        .iter()
        .filter(|s| tracked.contains(&s.place.1))
        .collect();
    let lines: Vec<(InvoiceId, i32)> = settled.iter().map(|s| (s.invoice, s.line)).collect();
    let waiting = store::waiting(tx, &lines).await?;
    let mut names: BTreeSet<Name> = own()
        .flat_map(|d| d.serials.iter().map(|no| (d.key.product, no.clone())))
        .collect();
    let mut lots: BTreeMap<Lot, Quantity> = BTreeMap::new();
    for draft in own().filter(|d| d.qty.is_negative() && is_automatic(d)) {
        *lots.entry((draft.key, draft.origin)).or_default() += -draft.qty;
    }
    let mut invoices = HashMap::new();
    let mut due: HashMap<Uuid, Vec<String>> = HashMap::new();
    for settlement in &settled {
        invoices.insert(settlement.id, settlement.invoice);
        let of = |w: &&Waiting| (w.invoice_id, w.line) == (settlement.invoice, settlement.line);
        for wait in waiting.iter().filter(of) {
            names.insert((settlement.place.1, wait.no.clone()));
            due.entry(settlement.id).or_default().push(wait.no.clone());
        }
    }
    let mut pieces = store::lock(tx, &names, &lots).await?;
    pieces.owe(due);
    pieces.follow(movements, tracked, &invoices)?;
    let taken = pieces.taken();
    let named = settled.iter().flat_map(|s| {
        let of = move |w: &&Waiting| (w.invoice_id, w.line) == (s.invoice, s.line);
        let used = taken.get(&s.id).cloned().unwrap_or_default();
        waiting
            .iter()
            .filter(of)
            .filter(move |w| used.contains(&w.no))
            .cloned()
            .collect::<Vec<_>>()
    });
    let named = named.collect();
    Ok(Followed { pieces, named })
}

/// The pieces that lines name.
#[derive(Default)]
pub(crate) struct Named {
    /// The pieces, as far as they are known.
    pub pieces: Pieces,
    /// Numbers by line, of products that are followed by number.
    pub lines: BTreeMap<i32, Vec<String>>,
}

/// Locks the pieces that the lines of a demand name. A product that is not followed by number has none, whatever was
/// scanned.
///
/// # Errors
/// [`Error::WholeNumbers`], [`Error::SerialsCount`], [`Error::SerialTwice`], unless it is a fact.
pub(crate) async fn promise(
    tx: &mut Tx,
    lines: &[Ask],
    serials: &BTreeMap<i32, Vec<String>>,
    fact: bool,
) -> Result<Named, Error> {
    let named = |ask: &&Ask| {
        serials
            .get(&ask.line)
            .is_some_and(|names| !names.is_empty())
    };
    let in_question: BTreeSet<ProductId> = lines
        .iter()
        .filter(|ask| named(ask) || super::whole(ask.qty).is_none())
        .map(|ask| ask.product)
        .collect();
    let tracked = store::tracked(tx, &in_question).await?;
    let (mut names, mut by_line) = (BTreeSet::new(), BTreeMap::new());
    for (n, ask) in lines.iter().enumerate() {
        if !tracked.contains(&ask.product) {
            continue;
        }
        let Some(most) = super::whole(ask.qty) else {
            if fact {
                continue;
            }
            return Err(Error::WholeNumbers(n));
        };
        let of_line = serials.get(&ask.line).cloned().unwrap_or_default();
        if of_line.len() > most && !fact {
            return Err(Error::SerialsCount(n));
        }
        for no in &of_line {
            if !names.insert((ask.product, no.clone())) && !fact {
                return Err(Error::SerialTwice(n, no.clone()));
            }
        }
        if !of_line.is_empty() {
            by_line.insert(ask.line, of_line);
        }
    }
    Ok(Named {
        pieces: store::lock(tx, &names, &BTreeMap::new()).await?,
        lines: by_line,
    })
}

/// What the lines of a document say of their pieces is in order: product, quantity, numbers.
///
/// # Errors
/// What [`check`] refuses.
pub(crate) fn check_lines<'a>(
    products: &HashMap<ProductId, ProductRow>,
    lines: impl IntoIterator<Item = (ProductId, Quantity, &'a [String])>,
) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for (n, (product, qty, serials)) in lines.into_iter().enumerate() {
        let tracked = products.get(&product).is_some_and(|p| p.serial_tracked);
        check(n, tracked, product, qty, serials, &mut seen)?;
    }
    Ok(())
}

/// Of the products in `events`, those that will be followed by number and were not: what lies there of them has no
/// numbers yet. Call it before the events are applied.
///
/// # Errors
/// The database's.
pub(crate) async fn begin(
    tx: &mut Tx,
    events: &[Envelope<Product>],
) -> Result<BTreeSet<ProductId>, Error> {
    let tracked: Vec<ProductId> = events
        .iter()
        .filter(|e| e.payload.tracking.serial)
        .map(|e| e.payload.product_id)
        .collect();
    if tracked.is_empty() {
        return Ok(BTreeSet::new());
    }
    Ok(store::untracked(tx, &tracked).await?)
}

/// Lists what lies there of products that are followed by number from now on.
///
/// # Errors
/// The database's.
pub(crate) async fn take_up(tx: &mut Tx, products: &BTreeSet<ProductId>) -> Result<(), Error> {
    if products.is_empty() {
        return Ok(());
    }
    // Nobody brings goods of them to a new place until this is written.
    copy::lock_known(tx, products).await?;
    let now = store::tracked(tx, products).await?;
    let places = ledger::store::places_of_products(tx, &now).await?;
    ledger::store::lock(tx, &places, &BTreeSet::new()).await?;
    Ok(store::open_for_stock(tx, &now).await?)
}

/// What was named.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SerialAssignment)]
pub(super) struct Assigned {
    /// The discrepancy.
    pub id: Uuid,
    /// Numbers that are assigned now.
    pub serials: Vec<String>,
    /// Pieces of it that are still without one.
    pub open: Quantity,
}

/// Gives pieces that a fact moved their numbers.
///
/// # Errors
/// [`Error::SerialNotHere`] for a piece that left, and whose number is not in stock where it left from;
/// [`Error::SerialKnown`] for a piece that lies there, and whose number is in stock already.
pub(super) async fn assign(
    state: &State,
    ctx: &Ctx,
    id: Uuid,
    serials: Vec<String>,
) -> Result<Done<Assigned>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Assigned, Error> {
            let seen = store::gap(tx, id).await?;
            let place = (seen.location_id, seen.product_id);
            ledger::store::lock(tx, &BTreeSet::from([place]), &BTreeSet::new()).await?;
            let gap = store::lock_gap(tx, id).await?;
            if Quantity::from(serials.len() as i64) > gap.open {
                let text = format!("must be at most {}: so many have no number", gap.open);
                return Err(Fault::field("serials", text).into());
            }
            let mut names = BTreeSet::new();
            for (n, no) in serials.iter().enumerate() {
                if !names.insert((gap.product_id, no.clone())) {
                    return Err(Error::SerialTwice(n, no.clone()));
                }
            }
            let kind = store::kind(tx, &gap).await?;
            let next = store::lock_next(tx, &gap).await?;
            if gap.direction > 0 && next.is_some() {
                let text = "the pieces came from another balance: assign the numbers that left it";
                return Err(Fault::field("id", text).into());
            }
            let next = next.filter(|next| next.open >= Quantity::from(serials.len() as i64));
            let invoice = match gap.document_id {
                Some(id) => store::settled(tx, id).await?,
                None => None,
            };
            let mut pieces = store::lock(tx, &names, &BTreeMap::new()).await?;
            let lot = lot_of(&gap)?;
            let to = next.as_ref().map(lot_of).transpose()?;
            let mut ids = Vec::new();
            for (n, no) in serials.iter().enumerate() {
                let found = pieces.get(gap.product_id, no).cloned();
                let piece = if gap.direction < 0 {
                    let Some(mut piece) = found.clone().filter(|p| p.lies(lot)) else {
                        let found = place_of(found.as_ref());
                        return Err(Error::SerialNotHere(n, no.clone(), found));
                    };
                    if piece.held.is_some() {
                        let found = "promised to a sale".to_owned();
                        return Err(Error::SerialNotHere(n, no.clone(), found));
                    }
                    match to {
                        Some(to) => piece.arrive(to),
                        None => gone(&mut piece, kind.as_deref(), invoice, &gap),
                    }
                    piece
                } else {
                    match found {
                        Some(piece) if piece.state == SerialState::InStock => {
                            return Err(Error::SerialKnown(n, no.clone(), place_of(Some(&piece))));
                        }
                        Some(mut piece) => {
                            piece.arrive(lot);
                            piece
                        }
                        None => Piece {
                            id: Uuid::now_v7(),
                            name: (gap.product_id, no.clone()),
                            state: SerialState::InStock,
                            key: lot.0,
                            origin: lot.1,
                            sold: None,
                            held: None,
                            fresh: true,
                            dirty: true,
                        },
                    }
                };
                ids.push(piece.id);
                pieces.set(piece);
            }
            store::save(tx, &pieces, &[]).await?;
            store::close(tx, &gap, &ids).await?;
            if let Some(next) = &next {
                store::close(tx, next, &ids).await?;
            }
            let details = json!({ "product_id": gap.product_id, "location_id": gap.location_id,
                "document": gap.document, "document_id": gap.document_id, "serials": serials });
            tx.audit("inventory.serial.assign", ("serial_gap", id), None, details);
            let open = gap.open - Quantity::from(ids.len() as i64);
            Ok(Assigned { id, serials, open })
        })
        .await
}

fn lot_of(gap: &store::GapRow) -> Result<Lot, Error> {
    let key = Key {
        location: gap.location_id,
        product: gap.product_id,
        batch: gap.batch_id.unwrap_or(NO_BATCH),
        status: Status::named(&gap.status).ok_or(bahi_db::Error::NotFound)?,
    };
    Ok((key, gap.origin))
}

/// What was taken for the same.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SerialOffset)]
pub(super) struct Offset {
    /// The discrepancy.
    pub id: Uuid,
    /// The other one.
    pub against: Uuid,
    /// Pieces that are closed in both.
    pub qty: Quantity,
    /// Pieces of the first that are still open.
    pub open: Quantity,
}

/// Takes pieces that left a balance without a number for those that came to it without one, because nobody will ever know
/// their numbers.
///
/// # Errors
/// When the two are not of one balance, or do not go opposite ways; when one of them is closed.
pub(super) async fn offset(
    state: &State,
    ctx: &Ctx,
    (id, against): (Uuid, Uuid),
    reason: String,
) -> Result<Done<Offset>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Offset, Error> {
            let seen = store::gap(tx, id).await?;
            let place = (seen.location_id, seen.product_id);
            ledger::store::lock(tx, &BTreeSet::from([place]), &BTreeSet::new()).await?;
            // The gate is locked: in which order the two are makes no difference.
            let one = store::lock_gap(tx, id).await?;
            let other = store::lock_gap(tx, against).await?;
            if lot_of(&one)? != lot_of(&other)? || one.direction != -other.direction {
                let text = "must be of the same balance, and go the other way";
                return Err(Fault::field("against", text).into());
            }
            let qty = one.open.min(other.open);
            if !qty.is_positive() {
                return Err(Fault::field("against", "one of them is closed").into());
            }
            store::lower(tx, one.id, qty).await?;
            store::lower(tx, other.id, qty).await?;
            let details = json!({ "product_id": one.product_id, "location_id": one.location_id,
                "against": against, "qty": qty });
            tx.audit("inventory.serial.offset", ("serial_gap", id), Some(reason), details);
            let open = one.open - qty;
            Ok(Offset {
                id,
                against,
                qty,
                open,
            })
        })
        .await
}

/// It left with the movement that a gap is of.
fn gone(piece: &mut Piece, kind: Option<&str>, invoice: Option<InvoiceId>, gap: &store::GapRow) {
    let kind = match kind {
        Some(kind) if kind == Kind::Issue.name() => Kind::Issue,
        Some(kind) if kind == Kind::Scrap.name() => Kind::Scrap,
        _ => Kind::AdjustOut,
    };
    let document = gap.document.clone().unwrap_or_default();
    let (document, id) = match invoice {
        Some(invoice) => ("invoice".to_owned(), invoice.uuid()),
        None => (document, gap.document_id.unwrap_or_default()),
    };
    piece.leave(
        kind,
        Sold {
            kind: document,
            id,
            line: gap.document_line.unwrap_or_default(),
        },
    );
}
