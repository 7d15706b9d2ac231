//! Making, blocking and unblocking batches.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bahi_db::{Ctx, Done, Tx};
use bahi_http::Fault;
use bahi_types::{BatchId, ProductId};
use chrono::NaiveDate;
use serde_json::json;

use super::store::{self, Batch};
use crate::{
    Error, State,
    copy::{self, ProductRow},
    ledger,
};

/// A batch a document names: index of its line, product, number, date.
pub(crate) type Named<'a> = (usize, ProductId, &'a str, Option<NaiveDate>);

/// The batches that the lines of a document name, made where they are new.
///
/// # Errors
/// [`Error::ExpiryDiffers`] when one is known, or named twice, with another date. A line without a date takes the
/// known one.
pub(crate) async fn ensure(
    tx: &mut Tx,
    named: &[Named<'_>],
) -> Result<HashMap<(ProductId, String), Batch>, Error> {
    if named.is_empty() {
        return Ok(HashMap::new());
    }
    let mut wanted: BTreeMap<(ProductId, String), Option<NaiveDate>> = BTreeMap::new();
    for (line, product, no, expiry) in named {
        let slot = wanted
            .entry((*product, (*no).to_owned()))
            .or_insert(*expiry);
        match (*slot, *expiry) {
            (None, later) => *slot = later,
            (Some(known), Some(stated)) if known != stated => {
                return Err(Error::ExpiryDiffers(*line));
            }
            _ => {}
        }
    }
    let wanted: Vec<_> = wanted
        .into_iter()
        .map(|((product, no), expiry)| (product, no, expiry))
        .collect();
    let batches: HashMap<_, _> = store::ensure(tx, &wanted)
        .await?
        .into_iter()
        .map(|b| ((b.product_id, b.no.clone()), b))
        .collect();
    for (line, product, no, expiry) in named {
        let known = batches
            .get(&(*product, (*no).to_owned()))
            .and_then(|b| b.expiry);
        if expiry.is_some() && known != *expiry {
            return Err(Error::ExpiryDiffers(*line));
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
/// When there is no such batch.
pub(super) async fn set_blocked(
    state: &State,
    ctx: &Ctx,
    id: BatchId,
    blocked: bool,
    reason: String,
) -> Result<Done<Batch>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Batch, Error> {
            let mut batch = store::lock(tx, id).await?;
            if batch.blocked == blocked {
                return Ok(batch);
            }
            batch.blocked = blocked;
            batch.block_reason = blocked.then(|| reason.clone());
            batch.version += 1;
            let places = ledger::store::places_of(tx, batch.product_id, id).await?;
            // The gates first: nobody picks from the batch while its flag changes.
            ledger::store::lock(tx, &places, &BTreeSet::new()).await?;
            store::save(tx, &batch).await?;
            ledger::store::set_blocked(tx, id, blocked).await?;
            if !blocked {
                let mut books = ledger::store::lock(tx, &places, &BTreeSet::new()).await?;
                books.risen = places;
                ledger::close(tx, books).await?;
            }
            let action = if blocked {
                "inventory.batch.block"
            } else {
                "inventory.batch.unblock"
            };
            tx.audit(
                action,
                ("batch", id.uuid()),
                Some(reason),
                json!({ "no": batch.no, "product_id": batch.product_id }),
            );
            Ok(batch)
        })
        .await
}
