//! What can be done with price lists.

use bahi_db::{Ctx, Done, Tx};
use bahi_types::PriceListId;
use serde_json::json;

use crate::{
    Error, State, events,
    price_list::{
        model::{Draft, PriceList},
        store,
    },
};

/// Adds a list without prices.
pub async fn create(state: &State, ctx: &Ctx, draft: Draft) -> Result<Done<PriceList>, Error> {
    let create = async move |tx: &mut Tx| -> Result<PriceList, Error> {
        let list = PriceList::new(draft, tx.now())?;
        unambiguous(tx, &list).await?;
        store::insert(tx, &list).await?;
        audit(tx, "product.price_list.create", None, &list);
        tx.publish(events::price_list_created(&list));
        Ok(list)
    };
    state.db.write(ctx, create).await
}

/// Changes a list in anything but its prices.
pub async fn amend(
    state: &State,
    ctx: &Ctx,
    id: PriceListId,
    seen: i64,
    draft: Draft,
) -> Result<Done<PriceList>, Error> {
    let amend = async move |tx: &mut Tx| -> Result<PriceList, Error> {
        let before = store::lock(tx, id, Some(seen)).await?;
        let after = before.amended(draft, tx.now())?;
        if after != before {
            unambiguous(tx, &after).await?;
            store::save(tx, &after).await?;
            audit(tx, "product.price_list.update", Some(&before), &after);
            tx.publish(events::price_list_updated(&after));
        }
        Ok(after)
    };
    state.db.write(ctx, amend).await
}

/// Deletes a list with its prices.
pub async fn delete(
    state: &State,
    ctx: &Ctx,
    id: PriceListId,
    seen: i64,
) -> Result<Done<()>, Error> {
    let delete = async move |tx: &mut Tx| -> Result<(), Error> {
        let list = store::lock(tx, id, Some(seen)).await?;
        store::delete(tx, id).await?;
        audit(tx, "product.price_list.delete", Some(&list), &list);
        tx.publish(events::price_list_deleted(&list));
        Ok(())
    };
    state.db.write(ctx, delete).await
}

/// Names the list that it would be ambiguous with.
async fn unambiguous(tx: &mut Tx, list: &PriceList) -> Result<(), Error> {
    store::lock_all(tx).await?;
    let rivals = store::rivals(tx, list).await?;
    match rivals
        .into_iter()
        .find(|rival| rival.period().overlaps(&list.period()))
    {
        Some(rival) => Err(Error::PriceListsAmbiguous(Some((rival.id, rival.name)))),
        None => Ok(()),
    }
}

fn audit(tx: &mut Tx, action: &str, before: Option<&PriceList>, after: &PriceList) {
    let details = json!({ "old": before, "new": after });
    tx.audit(action, ("price_list", after.id.uuid()), None, details);
}
