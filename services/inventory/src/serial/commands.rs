//! Following pieces through a transaction's movements, and promising them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bahi_db::Tx;
use bahi_events::{Envelope, Product};
use bahi_types::{InvoiceId, ProductId, Quantity};
use uuid::Uuid;

use super::{
    model::{Name, Pieces, check, is_automatic},
    store::{self, Waiting},
};
use crate::{
    Error,
    copy::{self, ProductRow},
    ledger::{self, Lot, Movement},
    reservation::Ask,
    shortage::Settlement,
};

/// Where a piece is that somebody was promised.
pub(crate) const PROMISED: &str = "promised to a sale";

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
    // Pieces that are named may be among those that lie there, and have left by then.
    for qty in lots.values_mut() {
        *qty += Quantity::from(names.len() as i64);
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

/// Refuses pieces that somebody was promised: by index of the line, product and numbers.
///
/// # Errors
/// [`Error::SerialNotHere`].
pub(crate) async fn refuse_promised<'a>(
    tx: &mut Tx,
    lines: impl IntoIterator<Item = (usize, ProductId, &'a [String])> + Clone,
) -> Result<(), Error> {
    let names = lines.clone().into_iter();
    let names =
        names.flat_map(|(_, product, names)| names.iter().map(move |no| (product, no.clone())));
    let pieces = store::lock(tx, &names.collect(), &BTreeMap::new()).await?;
    for (n, product, names) in lines {
        let held = |no: &&String| pieces.get(product, no).is_some_and(|p| p.held.is_some());
        if let Some(no) = names.iter().find(held) {
            return Err(Error::SerialNotHere(n, no.clone(), PROMISED.to_owned()));
        }
    }
    Ok(())
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
