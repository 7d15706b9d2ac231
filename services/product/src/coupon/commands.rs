//! What can be done with coupons. The promotion is locked first: its state decides.

use bahi_db::{Ctx, Done, Tx};
use bahi_types::{CouponId, PromotionId};
use serde_json::json;

use crate::{
    Error, State,
    coupon::{
        model::{Coupon, Draft},
        store,
    },
    events, promotion,
};

/// Adds a coupon to a promotion.
pub async fn create(
    state: &State,
    ctx: &Ctx,
    promotion: PromotionId,
    draft: Draft,
) -> Result<Done<Coupon>, Error> {
    let create = async move |tx: &mut Tx| -> Result<Coupon, Error> {
        let promotion = promotion::store::lock(tx, promotion, None).await?;
        let coupon = Coupon::new(&promotion, draft, tx.now())?;
        store::insert(tx, &coupon).await?;
        audit(tx, "product.coupon.create", None, &coupon);
        tx.publish(events::coupon_created(&coupon));
        Ok(coupon)
    };
    state.db.write(ctx, create).await
}

/// Changes a coupon; its code while the promotion is a draft.
pub async fn amend(
    state: &State,
    ctx: &Ctx,
    (promotion, id): (PromotionId, CouponId),
    seen: i64,
    draft: Draft,
) -> Result<Done<Coupon>, Error> {
    let amend = async move |tx: &mut Tx| -> Result<Coupon, Error> {
        let promotion = promotion::store::lock(tx, promotion, None).await?;
        let before = store::lock(tx, promotion.id, id, seen).await?;
        let after = before.amended(&promotion, draft, tx.now())?;
        if after != before {
            store::save(tx, &after).await?;
            audit(tx, "product.coupon.update", Some(&before), &after);
            tx.publish(events::coupon_updated(&after));
        }
        Ok(after)
    };
    state.db.write(ctx, amend).await
}

/// Deletes a coupon of a draft.
pub async fn delete(
    state: &State,
    ctx: &Ctx,
    (promotion, id): (PromotionId, CouponId),
    seen: i64,
) -> Result<Done<()>, Error> {
    let delete = async move |tx: &mut Tx| -> Result<(), Error> {
        let promotion = promotion::store::lock(tx, promotion, None).await?;
        let coupon = store::lock(tx, promotion.id, id, seen).await?;
        promotion.may_be_deleted()?;
        store::delete(tx, id).await?;
        audit(tx, "product.coupon.delete", Some(&coupon), &coupon);
        tx.publish(events::coupon_deleted(&coupon));
        Ok(())
    };
    state.db.write(ctx, delete).await
}

fn audit(tx: &mut Tx, action: &str, before: Option<&Coupon>, after: &Coupon) {
    let details = json!({ "old": before, "new": after });
    tx.audit(action, ("coupon", after.id.uuid()), None, details);
}
