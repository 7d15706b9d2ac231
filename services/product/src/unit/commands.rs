//! What can be done with units.

use bahi_db::{Ctx, Done, Tx};
use bahi_types::UnitId;
use serde_json::json;

use crate::{
    Error, State,
    unit::{
        model::{Draft, Unit},
        store,
    },
};

/// Adds a unit.
pub async fn create(state: &State, ctx: &Ctx, draft: Draft) -> Result<Done<Unit>, Error> {
    let create = async move |tx: &mut Tx| -> Result<Unit, Error> {
        let unit = Unit::new(draft, tx.now());
        store::insert(tx, &unit).await?;
        Ok(unit)
    };
    state.db.write(ctx, create).await
}

/// Changes a unit as far as its use allows.
pub async fn amend(
    state: &State,
    ctx: &Ctx,
    id: UnitId,
    seen: i64,
    draft: Draft,
) -> Result<Done<Unit>, Error> {
    let amend = async move |tx: &mut Tx| -> Result<Unit, Error> {
        let before = store::lock(tx, id, seen).await?;
        let in_use = store::in_use(tx, id).await?;
        let after = before.amended(draft, in_use, tx.now())?;
        if after != before {
            store::save(tx, &after).await?;
        }
        Ok(after)
    };
    state.db.write(ctx, amend).await
}

/// Deletes a unit that no product uses.
pub async fn delete(state: &State, ctx: &Ctx, id: UnitId, seen: i64) -> Result<Done<()>, Error> {
    let delete = async move |tx: &mut Tx| -> Result<(), Error> {
        let unit = store::lock(tx, id, seen).await?;
        store::delete(tx, id).await?;
        tx.audit(
            "product.unit.delete",
            ("unit", id.uuid()),
            None,
            json!({ "code": unit.code }),
        );
        Ok(())
    };
    state.db.write(ctx, delete).await
}
