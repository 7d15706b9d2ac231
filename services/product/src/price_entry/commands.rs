//! What can be done with the prices of a price list.

use std::collections::HashMap;

use bahi_db::{Ctx, Done, Tx};
use bahi_types::{PriceEntryId, PriceListId, ProductId, TaxProfileId, UnitId};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Error, State, events,
    price_entry::{
        model::{Draft, PriceEntry, consistent},
        store,
    },
    price_list,
    product::{self, model::Product},
    tax_profile::{self, model::TaxProfile},
    unit,
};

/// Prices that were changed, and the version of their list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Changed {
    /// The list.
    pub list: PriceListId,
    /// Its version.
    pub version: i64,
    /// The prices as they are now.
    pub entries: Vec<PriceEntry>,
}

/// Adds prices to a list: all, or none.
pub async fn add(
    state: &State,
    ctx: &Ctx,
    id: PriceListId,
    drafts: Vec<Draft>,
) -> Result<Done<Changed>, Error> {
    let add = async move |tx: &mut Tx| -> Result<Changed, Error> {
        let list = price_list::store::lock(tx, id, None).await?;
        let known = Known::of(tx, &drafts).await?;
        let now = tx.now();
        let mut new = Vec::with_capacity(drafts.len());
        for (at, draft) in drafts.iter().enumerate() {
            let field = format!("entries[{at}].");
            let (product, tax) = known.check(draft, &field)?;
            let id = PriceEntryId::new();
            let entry = PriceEntry::said(id, &list, draft, product, tax, &field, now)?;
            new.push((format!("entries[{at}]"), entry));
        }
        let products = products(new.iter().map(|(_, entry)| entry.product_id));
        let there = store::of_products(tx, id, &products).await?;
        consistent(&there, &new)?;
        let entries: Vec<PriceEntry> = new.into_iter().map(|(_, entry)| entry).collect();
        store::insert(tx, &entries).await?;
        let details = json!({ "prices": entries.len() });
        let action = "product.price_list.add_prices";
        let version = tell(tx, list, action, &products, details).await?;
        Ok(Changed {
            list: id,
            version,
            entries,
        })
    };
    state.db.write(ctx, add).await
}

/// Changes a price of a list at the version that the caller has seen.
pub async fn amend(
    state: &State,
    ctx: &Ctx,
    (list, id): (PriceListId, PriceEntryId),
    seen: i64,
    draft: Draft,
) -> Result<Done<Changed>, Error> {
    let amend = async move |tx: &mut Tx| -> Result<Changed, Error> {
        let list = price_list::store::lock(tx, list, Some(seen)).await?;
        let before = store::get(tx, list.id, id).await?;
        let known = Known::of(tx, std::slice::from_ref(&draft)).await?;
        let (product, tax) = known.check(&draft, "")?;
        let after = PriceEntry::said(id, &list, &draft, product, tax, "", tx.now())?;
        let changed = |version| Changed {
            list: after.price_list_id,
            version,
            entries: vec![after.clone()],
        };
        if after == before {
            return Ok(changed(list.version));
        }
        let there = store::of_products(tx, list.id, &[after.product_id]).await?;
        let there: Vec<PriceEntry> = there.into_iter().filter(|entry| entry.id != id).collect();
        consistent(&there, &[("valid_from".to_owned(), after.clone())])?;
        store::save(tx, &after).await?;
        let products = products([before.product_id, after.product_id].into_iter());
        let details = json!({ "old": before, "new": after });
        let action = "product.price_list.change_price";
        let version = tell(tx, list, action, &products, details).await?;
        Ok(changed(version))
    };
    state.db.write(ctx, amend).await
}

/// Takes a price off a list at the version that the caller has seen.
pub async fn delete(
    state: &State,
    ctx: &Ctx,
    (list, id): (PriceListId, PriceEntryId),
    seen: i64,
) -> Result<Done<()>, Error> {
    let delete = async move |tx: &mut Tx| -> Result<(), Error> {
        let list = price_list::store::lock(tx, list, Some(seen)).await?;
        let entry = store::get(tx, list.id, id).await?;
        store::delete(tx, id).await?;
        let (products, details) = ([entry.product_id], json!({ "old": entry }));
        let action = "product.price_list.delete_price";
        tell(tx, list, action, &products, details).await?;
        Ok(())
    };
    state.db.write(ctx, delete).await
}

/// What drafts refer to.
struct Known {
    products: HashMap<ProductId, Product>,
    taxes: HashMap<TaxProfileId, TaxProfile>,
    units: Vec<UnitId>,
}

impl Known {
    async fn of(tx: &mut Tx, drafts: &[Draft]) -> Result<Self, Error> {
        let ids = products(drafts.iter().map(|draft| draft.product_id));
        let products = product::store::by_ids(tx, &ids).await?;
        let taxes: Vec<TaxProfileId> = products.iter().map(|p| p.tax_profile_id).collect();
        let taxes = tax_profile::store::by_ids(tx, &taxes).await?;
        let mut units: Vec<UnitId> = drafts.iter().filter_map(|draft| draft.unit_id).collect();
        units.sort_unstable();
        units.dedup();
        let units = unit::store::hold_any(tx, &units, &[]).await?;
        Ok(Self {
            products: products.into_iter().map(|p| (p.id, p)).collect(),
            taxes: taxes.into_iter().map(|tax| (tax.head.id, tax)).collect(),
            units: units.into_iter().map(|unit| unit.id).collect(),
        })
    }

    fn check(&self, draft: &Draft, field: &str) -> Result<(&Product, Option<&TaxProfile>), Error> {
        let unknown = |name: &str| Error::UnknownAt(format!("{field}{name}"));
        let product = self.products.get(&draft.product_id);
        let product = product.ok_or_else(|| unknown("product_id"))?;
        if draft
            .unit_id
            .is_some_and(|unit| !self.units.contains(&unit))
        {
            return Err(unknown("unit_id"));
        }
        Ok((product, self.taxes.get(&product.tax_profile_id)))
    }
}

fn products(ids: impl Iterator<Item = ProductId>) -> Vec<ProductId> {
    let mut ids: Vec<ProductId> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Takes the list to its next version, audits the change and says what prices these products have now.
async fn tell(
    tx: &mut Tx,
    list: price_list::model::PriceList,
    action: &str,
    products: &[ProductId],
    details: serde_json::Value,
) -> Result<i64, Error> {
    let list = list.repriced(tx.now());
    price_list::store::save(tx, &list).await?;
    let now = store::of_products(tx, list.id, products).await?;
    tx.audit(action, ("price_list", list.id.uuid()), None, details);
    for event in events::prices_changed(&list, products, &now) {
        tx.publish(event);
    }
    Ok(list.version)
}
