//! Every statement about coupons.

use bahi_db::{Error as Db, Tx};
use bahi_http::{Walk, walk};
use bahi_types::{CouponId, PromotionId};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::{
    Error,
    coupon::model::Coupon,
    schema::coupon::{self, dsl},
};

/// A coupon of a promotion.
pub async fn get(tx: &mut Tx, promotion: PromotionId, id: CouponId) -> Result<Coupon, Error> {
    let row = dsl::coupon
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::promotion_id.eq(promotion))
        .filter(dsl::id.eq(id));
    let found: Option<Coupon> = row
        .select(Coupon::as_select())
        .first(tx.conn())
        .await
        .optional()?;
    Ok(found.ok_or(Db::NotFound)?)
}

/// A coupon of a promotion, locked, at the version that the caller has seen.
pub async fn lock(
    tx: &mut Tx,
    promotion: PromotionId,
    id: CouponId,
    seen: i64,
) -> Result<Coupon, Error> {
    let row = dsl::coupon
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::promotion_id.eq(promotion))
        .filter(dsl::id.eq(id));
    let coupon: Coupon = row
        .select(Coupon::as_select())
        .for_update()
        .first(tx.conn())
        .await?;
    if coupon.version == seen {
        Ok(coupon)
    } else {
        Err(Db::Stale {
            current: coupon.version,
        }
        .into())
    }
}

/// The coupons with these codes, which are folded.
pub async fn by_code(tx: &mut Tx, codes: &[String]) -> Result<Vec<Coupon>, Error> {
    let rows = dsl::coupon
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::code.eq_any(codes));
    Ok(rows.select(Coupon::as_select()).load(tx.conn()).await?)
}

/// A page of a promotion's coupons, and how many there are.
pub async fn list(
    tx: &mut Tx,
    promotion: PromotionId,
    at: &Walk,
) -> Result<(Vec<Coupon>, i64), Error> {
    let tenant = tx.tenant();
    let matching = || {
        dsl::coupon
            .filter(dsl::tenant_id.eq(tenant))
            .filter(dsl::promotion_id.eq(promotion))
            .into_boxed()
    };
    let total = matching().count().get_result(tx.conn()).await?;
    let rows = matching().select(Coupon::as_select());
    let page = walk!(rows, at, dsl::code, String, dsl::id)
        .load(tx.conn())
        .await?;
    Ok((page, total))
}

/// Adds a coupon to a promotion that is locked.
pub async fn insert(tx: &mut Tx, coupon: &Coupon) -> Result<(), Error> {
    diesel::insert_into(coupon::table)
        .values((dsl::tenant_id.eq(tx.tenant()), coupon))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Stores a coupon that is locked.
pub async fn save(tx: &mut Tx, coupon: &Coupon) -> Result<(), Error> {
    let row = dsl::coupon
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(coupon.id));
    diesel::update(row).set(coupon).execute(tx.conn()).await?;
    Ok(())
}

/// Deletes a coupon that is locked.
pub async fn delete(tx: &mut Tx, id: CouponId) -> Result<(), Error> {
    let row = dsl::coupon
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    diesel::delete(row).execute(tx.conn()).await?;
    Ok(())
}
