//! What can be done with patterns.

use bahi_db::{Ctx, Done, Tx};
use serde_json::json;

use crate::{
    Error, State,
    barcode_pattern::{
        model::{Draft, MOST, Pattern, PatternId},
        store,
    },
    events,
};

/// Adds a pattern.
pub async fn create(state: &State, ctx: &Ctx, draft: Draft) -> Result<Done<Pattern>, Error> {
    let create = async move |tx: &mut Tx| -> Result<Pattern, Error> {
        if store::count(tx).await? >= MOST {
            return Err(Error::TooManyPatterns(MOST));
        }
        let pattern = Pattern::new(draft, tx.now());
        store::insert(tx, &pattern).await?;
        tx.publish(events::barcode_pattern_created(&pattern));
        Ok(pattern)
    };
    state.db.write(ctx, create).await
}

/// Changes a pattern.
pub async fn amend(
    state: &State,
    ctx: &Ctx,
    id: PatternId,
    seen: i64,
    draft: Draft,
) -> Result<Done<Pattern>, Error> {
    let amend = async move |tx: &mut Tx| -> Result<Pattern, Error> {
        let before = store::lock(tx, id, seen).await?;
        let after = before.amended(draft, tx.now());
        if after != before {
            store::save(tx, &after).await?;
            tx.publish(events::barcode_pattern_updated(&after));
        }
        Ok(after)
    };
    state.db.write(ctx, amend).await
}

/// Deletes a pattern.
pub async fn delete(state: &State, ctx: &Ctx, id: PatternId, seen: i64) -> Result<Done<()>, Error> {
    let delete = async move |tx: &mut Tx| -> Result<(), Error> {
        let pattern = store::lock(tx, id, seen).await?;
        store::delete(tx, id).await?;
        tx.audit(
            "product.barcode_pattern.delete",
            ("barcode_pattern", id.uuid()),
            None,
            json!({ "pattern": pattern.pattern }),
        );
        tx.publish(events::barcode_pattern_deleted(&pattern));
        Ok(())
    };
    state.db.write(ctx, delete).await
}
