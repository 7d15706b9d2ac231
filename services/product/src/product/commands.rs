//! What can be done with products.

use bahi_db::{Ctx, Done, Error as Db, Tx};
use bahi_types::{ProductId, UnitId};
use serde_json::json;

use crate::{
    Error, State, barcode, brand, category, events,
    product::{
        model::{Change, Draft, Product, Status},
        store,
    },
    tax_profile::{self, model::TaxProfile},
    unit::{self, model::Unit},
};

/// Adds a product.
pub async fn create(state: &State, ctx: &Ctx, draft: Draft) -> Result<Done<Product>, Error> {
    let create = async move |tx: &mut Tx| -> Result<Product, Error> {
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

/// Changes a product.
pub async fn amend(
    state: &State,
    ctx: &Ctx,
    id: ProductId,
    seen: i64,
    draft: Draft,
) -> Result<Done<Product>, Error> {
    let amend = async move |tx: &mut Tx| -> Result<Product, Error> {
        let before = store::lock(tx, id).await?;
        seen_at(&before, seen)?;
        let (unit, tax) = references(tx, &draft).await?;
        let after = before.amended(draft, &unit, &tax, tx.now())?;
        if after != before {
            record(
                tx,
                &[Change {
                    before: Some(before),
                    after: after.clone(),
                }],
            )
            .await?;
        }
        Ok(after)
    };
    state.db.write(ctx, amend).await
}

/// Takes a product to another state.
pub async fn step(
    state: &State,
    ctx: &Ctx,
    id: ProductId,
    to: Status,
) -> Result<Done<Product>, Error> {
    let step = async move |tx: &mut Tx| -> Result<Product, Error> {
        let before = store::lock(tx, id).await?;
        let after = before.moved(to, tx.now())?;
        record(
            tx,
            &[Change {
                before: Some(before),
                after: after.clone(),
            }],
        )
        .await?;
        Ok(after)
    };
    state.db.write(ctx, step).await
}

/// Deletes a product whose stock has never moved.
pub async fn delete(state: &State, ctx: &Ctx, id: ProductId, seen: i64) -> Result<Done<()>, Error> {
    let delete = async move |tx: &mut Tx| -> Result<(), Error> {
        let product = store::lock(tx, id).await?;
        seen_at(&product, seen)?;
        product.may_be_deleted()?;
        store::delete(tx, id).await?;
        tx.audit(
            "product.product.delete",
            ("product", id.uuid()),
            None,
            json!({ "old": product }),
        );
        tx.publish(events::product_deleted(&product));
        Ok(())
    };
    state.db.write(ctx, delete).await
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

/// Writes changes and tells them. What is changed is locked already.
pub async fn record(tx: &mut Tx, changes: &[Change]) -> Result<(), Error> {
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
    if !new.is_empty() {
        store::insert(tx, &new).await?;
    }
    if !known.is_empty() {
        store::save(tx, &known).await?;
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
    let reworded = after(Change::rewords);
    if !reworded.is_empty() {
        store::save_texts(tx, &reworded).await?;
    }
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
