//! What can be done with attributes.

use bahi_db::{Ctx, Done, Tx};
use serde_json::json;

use crate::{
    Error, State,
    attribute::{
        model::{Attribute, AttributeId, Draft},
        store,
    },
};

/// Adds an attribute.
pub async fn create(state: &State, ctx: &Ctx, draft: Draft) -> Result<Done<Attribute>, Error> {
    let create = async move |tx: &mut Tx| -> Result<Attribute, Error> {
        let attribute = Attribute::new(draft, tx.now())?;
        store::insert(tx, &attribute).await?;
        Ok(attribute)
    };
    state.db.write(ctx, create).await
}

/// Changes an attribute and its values.
pub async fn amend(
    state: &State,
    ctx: &Ctx,
    id: AttributeId,
    seen: i64,
    draft: Draft,
) -> Result<Done<Attribute>, Error> {
    let amend = async move |tx: &mut Tx| -> Result<Attribute, Error> {
        let before = store::lock(tx, id, seen).await?;
        let after = before.amended(draft, tx.now())?;
        if after != before {
            store::save(tx, &after).await?;
        }
        Ok(after)
    };
    state.db.write(ctx, amend).await
}

/// Deletes an attribute that no variant has.
pub async fn delete(
    state: &State,
    ctx: &Ctx,
    id: AttributeId,
    seen: i64,
) -> Result<Done<()>, Error> {
    let delete = async move |tx: &mut Tx| -> Result<(), Error> {
        let attribute = store::lock(tx, id, seen).await?;
        store::delete(tx, id).await?;
        tx.audit(
            "product.attribute.delete",
            ("attribute", id.uuid()),
            None,
            json!({ "name": attribute.head.name }),
        );
        Ok(())
    };
    state.db.write(ctx, delete).await
}
