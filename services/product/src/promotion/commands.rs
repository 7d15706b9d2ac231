//! What can be done with promotions.

use bahi_db::{Ctx, Done, Tx};
use bahi_types::PromotionId;
use serde_json::json;
use uuid::Uuid;

use crate::{
    Error, State, events,
    promotion::{
        model::{Draft, MOST_ACTIVE, Promotion, Status},
        store::{self, Kind},
    },
};

/// Adds a draft.
pub async fn create(state: &State, ctx: &Ctx, draft: Draft) -> Result<Done<Promotion>, Error> {
    let create = async move |tx: &mut Tx| -> Result<Promotion, Error> {
        known(tx, &draft).await?;
        let promotion = Promotion::new(draft, tx.now())?;
        store::insert(tx, &promotion).await?;
        audit(tx, "product.promotion.create", None, &promotion);
        tx.publish(events::promotion_created(&promotion));
        Ok(promotion)
    };
    state.db.write(ctx, create).await
}

/// Changes a promotion as far as its state allows.
pub async fn amend(
    state: &State,
    ctx: &Ctx,
    id: PromotionId,
    seen: i64,
    draft: Draft,
) -> Result<Done<Promotion>, Error> {
    let amend = async move |tx: &mut Tx| -> Result<Promotion, Error> {
        let before = store::lock(tx, id, Some(seen)).await?;
        known(tx, &draft).await?;
        let after = before.amended(draft, tx.now())?;
        if after != before {
            store::save(tx, &after).await?;
            audit(tx, "product.promotion.update", Some(&before), &after);
            tx.publish(events::promotion_updated(&after));
        }
        Ok(after)
    };
    state.db.write(ctx, amend).await
}

/// Takes a promotion to its next state.
pub async fn step(
    state: &State,
    ctx: &Ctx,
    id: PromotionId,
    to: Status,
) -> Result<Done<Promotion>, Error> {
    let step = async move |tx: &mut Tx| -> Result<Promotion, Error> {
        let before = store::lock(tx, id, None).await?;
        let after = before.moved(to, tx.now())?;
        if to == Status::Active && store::count_active(tx).await? >= MOST_ACTIVE {
            return Err(Error::TooManyActive(MOST_ACTIVE));
        }
        store::save(tx, &after).await?;
        audit(tx, "product.promotion.step", Some(&before), &after);
        tx.publish(events::promotion_updated(&after));
        Ok(after)
    };
    state.db.write(ctx, step).await
}

/// Deletes a draft with its coupons.
pub async fn delete(
    state: &State,
    ctx: &Ctx,
    id: PromotionId,
    seen: i64,
) -> Result<Done<()>, Error> {
    let delete = async move |tx: &mut Tx| -> Result<(), Error> {
        let promotion = store::lock(tx, id, Some(seen)).await?;
        promotion.may_be_deleted()?;
        store::delete(tx, id).await?;
        audit(tx, "product.promotion.delete", Some(&promotion), &promotion);
        tx.publish(events::promotion_deleted(&promotion));
        Ok(())
    };
    state.db.write(ctx, delete).await
}

/// Refuses goods that are not there, by field.
async fn known(tx: &mut Tx, draft: &Draft) -> Result<(), Error> {
    for (field, scope) in draft.scopes() {
        let products: Vec<Uuid> = scope.products.iter().map(|id| id.uuid()).collect();
        let categories: Vec<Uuid> = scope.categories.iter().map(|id| id.uuid()).collect();
        let brands: Vec<Uuid> = scope.brands.iter().map(|id| id.uuid()).collect();
        for (name, kind, ids) in [
            ("products", Kind::Product, products),
            ("categories", Kind::Category, categories),
            ("brands", Kind::Brand, brands),
        ] {
            if store::has_unknown(tx, kind, &ids).await? {
                return Err(Error::UnknownAt(format!("{field}.{name}")));
            }
        }
    }
    Ok(())
}

fn audit(tx: &mut Tx, action: &str, before: Option<&Promotion>, after: &Promotion) {
    let details = json!({ "old": before, "new": after });
    tx.audit(action, ("promotion", after.id.uuid()), None, details);
}
