//! What can be done with categories.

use bahi_db::{Ctx, Done, Tx};
use bahi_types::CategoryId;
use serde_json::json;

use crate::{
    Error, State,
    category::{
        model::{Category, may_lie_below},
        store,
    },
    events,
};

/// Adds a category.
pub async fn create(
    state: &State,
    ctx: &Ctx,
    name: String,
    parent: Option<CategoryId>,
) -> Result<Done<Category>, Error> {
    let create = async move |tx: &mut Tx| -> Result<Category, Error> {
        let category = Category::new(name, parent, tx.now());
        // Nobody moves what it is put under meanwhile.
        if parent.is_some() {
            store::lock_tree(tx).await?;
        }
        let line = line(tx, parent).await?;
        may_lie_below(category.id, 1, &line)?;
        store::insert(tx, std::slice::from_ref(&category)).await?;
        tx.publish(events::category_created(&category));
        Ok(category)
    };
    state.db.write(ctx, create).await
}

/// Gives a category another name or another parent.
pub async fn amend(
    state: &State,
    ctx: &Ctx,
    id: CategoryId,
    seen: i64,
    name: String,
    parent: Option<CategoryId>,
) -> Result<Done<Category>, Error> {
    let amend = async move |tx: &mut Tx| -> Result<Category, Error> {
        store::lock_tree(tx).await?;
        let before = store::lock(tx, id, seen).await?;
        let after = before.amended(name, parent, tx.now());
        if after == before {
            return Ok(after);
        }
        if after.parent_id != before.parent_id {
            let line = line(tx, parent).await?;
            may_lie_below(id, store::height(tx, id).await?, &line)?;
        }
        store::save(tx, &after).await?;
        tx.publish(events::category_updated(&after));
        Ok(after)
    };
    state.db.write(ctx, amend).await
}

/// Deletes a category that has neither children nor products.
pub async fn delete(
    state: &State,
    ctx: &Ctx,
    id: CategoryId,
    seen: i64,
) -> Result<Done<()>, Error> {
    let delete = async move |tx: &mut Tx| -> Result<(), Error> {
        let category = store::lock(tx, id, seen).await?;
        store::delete(tx, id).await?;
        tx.audit(
            "product.category.delete",
            ("category", id.uuid()),
            None,
            json!({ "name": category.name }),
        );
        tx.publish(events::category_deleted(&category));
        Ok(())
    };
    state.db.write(ctx, delete).await
}

/// The parent and all above it.
async fn line(tx: &mut Tx, parent: Option<CategoryId>) -> Result<Vec<CategoryId>, Error> {
    let Some(parent) = parent else {
        return Ok(Vec::new());
    };
    let line = store::line(tx, parent).await?;
    if line.is_empty() {
        Err(Error::UnknownReference("parent_id"))
    } else {
        Ok(line)
    }
}
