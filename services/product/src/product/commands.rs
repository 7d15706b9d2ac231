//! What can be done with products.

use bahi_db::{Ctx, Done, Error as Db, Tx};
use bahi_types::{ProductId, UnitId};
use futures::future::BoxFuture;
use serde_json::json;

use crate::{
    Error, State, barcode, brand, category, events,
    history::{self, model::Entry},
    kit,
    product::{
        model::{Change, Draft, Product, Status},
        store,
    },
    search,
    shelf::End,
    tax_profile::{self, model::TaxProfile},
    unit::{self, model::Unit},
    variant,
};

/// Times that inventory is asked anew because goods came in meanwhile.
const ASKED: usize = 3;

/// Adds a product.
pub async fn create(state: &State, ctx: &Ctx, draft: Draft) -> Result<Done<Product>, Error> {
    let create = async move |tx: &mut Tx| -> Result<Product, Error> {
        let parts: Vec<ProductId> = draft.components.iter().map(|c| c.product_id).collect();
        let parts = store::lock_all(tx, &parts).await?;
        components(tx, &draft, &parts).await?;
        let (unit, tax) = references(tx, &draft).await?;
        let product = Product::new(draft, &unit, &tax, tx.now())?;
        record(
            tx,
            &[Change {
                before: None,
                after: product.clone(),
            }],
        )
        .await?;
        Ok(product)
    };
    state.db.write(ctx, create).await
}

/// Changes a product to what `said` makes of it.
pub async fn amend<F>(
    state: &State,
    ctx: &Ctx,
    id: ProductId,
    seen: i64,
    said: F,
) -> Result<Done<Product>, Error>
where
    F: Fn(&Product) -> Result<Draft, Error> + Clone + Send + Sync + 'static,
{
    cleared(state, ctx, (id, End::Archived), |clearance| {
        let said = said.clone();
        let amend = async move |tx: &mut Tx| -> Result<Product, Error> {
            let glance = store::get(tx, id).await?;
            let mut ids: Vec<ProductId> = said(&glance)?
                .components
                .iter()
                .map(|c| c.product_id)
                .collect();
            ids.push(id);
            let locked = store::lock_all(tx, &ids).await?;
            let before = locked.iter().find(|product| product.id == id).cloned();
            let before = before.ok_or(Db::NotFound)?;
            seen_at(&before, seen)?;
            let draft = said(&before)?;
            if draft.components != before.components {
                components(tx, &draft, &locked).await?;
            }
            let (unit, tax) = references(tx, &draft).await?;
            let change = Change {
                after: before.amended(draft, &unit, &tax, tx.now())?,
                before: Some(before),
            };
            may_archive(tx, &change, clearance).await?;
            if change.before.as_ref() != Some(&change.after) {
                record(tx, std::slice::from_ref(&change)).await?;
            }
            Ok(change.after)
        };
        Box::pin(state.db.write(ctx, amend))
    })
    .await
}

/// Takes a product to another state.
pub async fn step(
    state: &State,
    ctx: &Ctx,
    id: ProductId,
    to: Status,
) -> Result<Done<Product>, Error> {
    cleared(state, ctx, (id, End::Archived), |clearance| {
        let step = async move |tx: &mut Tx| -> Result<Product, Error> {
            let before = store::lock(tx, id).await?;
            let change = Change {
                after: before.moved(to, tx.now())?,
                before: Some(before),
            };
            may_archive(tx, &change, clearance).await?;
            record(tx, std::slice::from_ref(&change)).await?;
            Ok(change.after)
        };
        Box::pin(state.db.write(ctx, step))
    })
    .await
}

/// Runs a command that may archive the product, or deletes it. Where the product has ever had stock, or would be
/// forgotten, inventory is asked what there is, between two runs because no transaction waits for the network; the second
/// counts only when no goods have come in since the first. What comes in after that is heard later and opens an archived
/// product again ([`arrived`]).
async fn cleared<'a, T>(
    state: &'a State,
    ctx: &'a Ctx,
    (id, end): (ProductId, End),
    run: impl Fn(Option<i64>) -> BoxFuture<'a, Result<Done<T>, Error>>,
) -> Result<Done<T>, Error> {
    let mut clearance = None;
    for _ in 0..ASKED {
        match run(clearance).await {
            Err(Error::StockUnknown { arrivals }) => {
                state.shelf.clears(ctx, id, end).await?;
                clearance = Some(arrivals);
            }
            decided => return decided,
        }
    }
    run(clearance).await
}

/// Refuses to archive what may have stock, unless inventory was asked at this count of arrivals.
async fn may_archive(tx: &mut Tx, change: &Change, clearance: Option<i64>) -> Result<(), Error> {
    if !change.archives() || !change.after.transacted {
        return Ok(());
    }
    is_clear(tx, change.after.id, clearance).await
}

async fn is_clear(tx: &mut Tx, id: ProductId, clearance: Option<i64>) -> Result<(), Error> {
    let arrivals = store::arrivals(tx, id).await?;
    if clearance == Some(arrivals) {
        Ok(())
    } else {
        Err(Error::StockUnknown { arrivals })
    }
}

/// Deletes a product whose stock has never moved.
pub async fn delete(state: &State, ctx: &Ctx, id: ProductId, seen: i64) -> Result<Done<()>, Error> {
    cleared(state, ctx, (id, End::Forgotten), |clearance| {
        let delete = async move |tx: &mut Tx| -> Result<(), Error> {
            let product = store::lock(tx, id).await?;
            seen_at(&product, seen)?;
            product.may_be_deleted()?;
            is_clear(tx, id, clearance).await?;
            store::delete(tx, id).await?;
            history::store::insert(tx, &[Entry::gone(&product)?]).await?;
            tx.audit(
                "product.product.delete",
                ("product", id.uuid()),
                None,
                json!({ "old": product }),
            );
            tx.publish(events::product_deleted(&product));
            Ok(())
        };
        Box::pin(state.db.write(ctx, delete))
    })
    .await
}

/// Notes that stock of these products has moved.
pub async fn mark_transacted(tx: &mut Tx, mut ids: Vec<ProductId>) -> bahi_db::Result<()> {
    ids.sort_unstable();
    ids.dedup();
    for id in store::mark_transacted(tx, &ids).await? {
        tx.touch("product", id.uuid());
    }
    Ok(())
}

/// Notes that goods of these products have come in. One that was archived meanwhile is sold off again: it was
/// archived because there was nothing of it.
pub async fn arrived(tx: &mut Tx, mut ids: Vec<ProductId>) -> Result<(), Error> {
    ids.sort_unstable();
    ids.dedup();
    // Whoever archives one of them waits for us, or we for him.
    let products = store::lock_all(tx, &ids).await?;
    let ids: Vec<ProductId> = products.iter().map(|product| product.id).collect();
    mark_transacted(tx, ids.clone()).await?;
    store::count_arrivals(tx, &ids).await?;
    let archived: Vec<Product> = products
        .into_iter()
        .filter(|product| product.status == Status::Archived)
        .collect();
    if archived.is_empty() {
        return Ok(());
    }
    let codes: Vec<String> = archived
        .iter()
        .flat_map(|product| product.codes().map(barcode::model::Gtin::canonical))
        .collect();
    let mut taken: Vec<String> = barcode::store::owners(tx, &codes)
        .await?
        .into_iter()
        .map(|(code, _)| code)
        .collect();
    let now = tx.now();
    let mut changes = Vec::with_capacity(archived.len());
    for before in archived {
        let after = before.reopened(&taken, now);
        // Two of them may have had one code; the first has it now.
        taken.extend(after.claims().into_iter().map(|(code, _)| code));
        changes.push(Change {
            before: Some(before),
            after,
        });
    }
    record(tx, &changes).await
}

/// Writes changes and tells them, with what variants have to change after their templates. What is changed is locked
/// already.
pub async fn record(tx: &mut Tx, changes: &[Change]) -> Result<(), Error> {
    write(tx, changes).await?;
    let followers = variant::commands::follow(tx, changes).await?;
    write(tx, &followers).await
}

async fn write(tx: &mut Tx, changes: &[Change]) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let after = |wanted: fn(&Change) -> bool| -> Vec<&Product> {
        changes
            .iter()
            .filter(|change| wanted(change))
            .map(|change| &change.after)
            .collect()
    };
    let (new, known) = (
        after(|change| change.before.is_none()),
        after(|change| change.before.is_some()),
    );
    let unshelved: Vec<ProductId> = after(Change::leaves_the_shelf)
        .iter()
        .map(|product| product.id)
        .collect();
    if !unshelved.is_empty()
        && !kit::store::components_among(tx, &unshelved)
            .await?
            .is_empty()
    {
        return Err(Error::ComponentOfKit);
    }
    if !new.is_empty() {
        store::insert(tx, &new).await?;
    }
    if !known.is_empty() {
        store::save(tx, &known).await?;
    }
    let variants = after(|change| change.before.is_none() && change.after.variant_of.is_some());
    if !variants.is_empty() {
        variant::store::insert_options(tx, &variants).await?;
    }
    let recomposed = after(Change::recomposes);
    if !recomposed.is_empty() {
        kit::store::replace(tx, &recomposed).await?;
    }
    let reclaiming = after(Change::reclaims);
    let released: Vec<ProductId> = reclaiming.iter().map(|product| product.id).collect();
    if !released.is_empty() {
        barcode::store::release(tx, &released).await?;
    }
    let reunited = after(Change::reunits);
    if !reunited.is_empty() {
        store::save_units(tx, &reunited).await?;
    }
    let claims = reclaiming.iter().flat_map(|product| {
        let claims = product.claims().into_iter();
        claims.map(|(code, unit)| (code, product.id, unit))
    });
    barcode::store::claim(tx, claims.collect()).await?;
    search::store::save(tx, changes).await?;
    let entries = changes
        .iter()
        .map(Entry::of)
        .collect::<Result<Vec<_>, _>>()?;
    history::store::insert(tx, &entries).await?;
    for change in changes {
        events::product_changed(change)
            .into_iter()
            .for_each(|event| tx.publish(event));
        if let (Some(before), true) = (&change.before, change.reprices()) {
            let price = |p: &Product| json!({ "price": p.price, "price_includes_tax": p.price_includes_tax });
            let details = json!({ "old": price(before), "new": price(&change.after) });
            tx.audit(
                "product.product.price_change",
                ("product", before.id.uuid()),
                None,
                details,
            );
        }
    }
    Ok(())
}

/// Refuses components that are none; `known` holds those that there are, locked.
async fn components(tx: &mut Tx, draft: &Draft, known: &[Product]) -> Result<(), Error> {
    if draft.components.is_empty() {
        return Ok(());
    }
    let units: Vec<_> = known.iter().map(|product| product.unit_id).collect();
    let units = unit::store::hold_any(tx, &units, &[]).await?;
    kit::model::check(&draft.components, known, &units)
}

/// What a draft refers to; unit and tax profile stay as they are until the transaction ends.
async fn references(tx: &mut Tx, draft: &Draft) -> Result<(Unit, TaxProfile), Error> {
    let unit = unit::store::hold(tx, draft.unit_id)
        .await?
        .ok_or(Error::UnknownReference("unit_id"))?;
    let units: Vec<UnitId> = draft.units.iter().map(|unit| unit.unit_id).collect();
    if unit::store::hold_any(tx, &units, &[]).await?.len() < units.len() {
        return Err(Error::UnknownReference("units.unit_id"));
    }
    let tax = tax_profile::store::hold(tx, draft.tax_profile_id).await?;
    let tax = tax.ok_or(Error::UnknownReference("tax_profile_id"))?;
    if let Some(id) = draft.category_id {
        category::store::find(tx, id)
            .await?
            .ok_or(Error::UnknownReference("category_id"))?;
    }
    if let Some(id) = draft.brand_id {
        brand::store::find(tx, id)
            .await?
            .ok_or(Error::UnknownReference("brand_id"))?;
    }
    Ok((unit, tax))
}

fn seen_at(product: &Product, seen: i64) -> Result<(), Error> {
    if product.version == seen {
        Ok(())
    } else {
        Err(Db::Stale {
            current: product.version,
        }
        .into())
    }
}
