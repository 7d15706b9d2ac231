//! Making, blocking and unblocking batches.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bahi_db::{Ctx, Done, Tx};
use bahi_http::Fault;
use bahi_types::{BatchId, ProductId};
use serde_json::json;

use super::{
    model::{Batch, Label},
    store,
};
use crate::{
    Error, State,
    copy::{self, ProductRow},
    ledger,
};

/// A batch that a document names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'a> {
    /// Index of the line, for errors.
    pub line: usize,
    /// Product.
    pub product: ProductId,
    /// Number.
    pub no: &'a str,
    /// What the label says.
    pub label: Label,
}

/// The batches that the lines of a document name, made where they are new.
///
/// # Errors
/// When one is known, or named twice, with another date or price; when it was disposed of. What a line does not say is
/// taken from what is known; what was not known of its manufacture and price is added.
pub(crate) async fn ensure(
    tx: &mut Tx,
    named: &[Named<'_>],
) -> Result<HashMap<(ProductId, String), Batch>, Error> {
    if named.is_empty() {
        return Ok(HashMap::new());
    }
    let mut wanted: BTreeMap<(ProductId, String), Label> = BTreeMap::new();
    for one in named {
        let slot = wanted.entry((one.product, one.no.to_owned())).or_default();
        *slot = slot.and(one.label, one.line)?;
    }
    let wanted: Vec<_> = wanted
        .into_iter()
        .map(|((product, no), label)| (product, no, label))
        .collect();
    let mut batches: HashMap<_, _> = store::ensure(tx, &wanted)
        .await?
        .into_iter()
        .map(|b| ((b.product_id, b.no.clone()), b))
        .collect();
    for one in named {
        let Some(batch) = batches.get_mut(&(one.product, one.no.to_owned())) else {
            continue;
        };
        let label = Label::joins(batch, one.label, one.line)?;
        if (label.mfg, label.mrp) != (batch.mfg, batch.mrp) {
            (batch.mfg, batch.mrp) = (label.mfg, label.mrp);
            store::complete(tx, batch).await?;
        }
    }
    Ok(batches)
}

/// The products of lines, all kept in stock, and of batches that are theirs. The batches keep their flags until the
/// end of the transaction.
///
/// # Errors
/// [`Error::NotStocked`]; a batch that is not one of its product.
pub(crate) async fn check_lines(
    tx: &mut Tx,
    lines: &[(ProductId, Option<BatchId>)],
) -> Result<HashMap<ProductId, ProductRow>, Error> {
    let products = copy::products(tx, &lines.iter().map(|l| l.0).collect()).await?;
    let named: BTreeSet<BatchId> = lines.iter().filter_map(|l| l.1).collect();
    let batches: HashMap<BatchId, ProductId> = store::share(tx, &named)
        .await?
        .into_iter()
        .map(|b| (b.id, b.product_id))
        .collect();
    for (n, (product, batch)) in lines.iter().enumerate() {
        if products.get(product).is_some_and(|p| !p.stocked) {
            return Err(Error::NotStocked(n));
        }
        if batch.is_some_and(|batch| batches.get(&batch) != Some(product)) {
            let field = format!("lines[{n}].batch_id");
            return Err(Fault::field(field, "is not a batch of the product").into());
        }
    }
    Ok(products)
}

/// Blocks a batch everywhere, or lifts the block. Doing it again changes nothing.
///
/// # Errors
/// When there is no such batch, it was disposed of, or it was called back and the caller may not lift that, or does not
/// work for all branches.
pub(super) async fn set_blocked(
    state: &State,
    ctx: &Ctx,
    id: BatchId,
    blocked: bool,
    reason: String,
    may_lift_recall: bool,
) -> Result<Done<Batch>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Batch, Error> {
            let mut batch = store::lock(tx, id).await?;
            let recalled = batch.recalled_at.is_some();
            if recalled && !blocked {
                tx.ctx().everywhere()?;
            }
            if !batch.set_blocked(blocked, &reason, may_lift_recall)? {
                return Ok(batch);
            }
            let places = ledger::store::places_of(tx, batch.product_id, id).await?;
            // The gates first: nobody picks from the batch while its flag changes.
            ledger::store::lock(tx, &places, &BTreeSet::new()).await?;
            store::save(tx, &batch).await?;
            ledger::store::set_blocked(tx, id, blocked).await?;
            let mut books = ledger::store::lock(tx, &places, &BTreeSet::new()).await?;
            for place in &places {
                // What is available changes, and so may the side of the reorder point.
                books.touch(*place);
            }
            if !blocked {
                books.risen = places;
            }
            ledger::close(tx, books).await?;
            let action = if blocked {
                "inventory.batch.block"
            } else {
                "inventory.batch.unblock"
            };
            tx.audit(
                action,
                ("batch", id.uuid()),
                Some(reason),
                json!({ "no": batch.no, "product_id": batch.product_id, "was_recalled": recalled }),
            );
            Ok(batch)
        })
        .await
}
