//! Every statement about promotions.

use bahi_db::{Error as Db, Tx, sql};
use bahi_http::{Walk, walk};
use bahi_types::PromotionId;
use diesel::{
    prelude::*,
    sql_types::{Array, Bool, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::{
    Error,
    promotion::model::{MOST_ACTIVE, Promotion, Status},
    schema::promotion::{self, dsl},
};

/// What a list of promotions may be narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// This state.
    pub status: Option<Status>,
}

/// One promotion, which must be there.
pub async fn get(tx: &mut Tx, id: PromotionId) -> Result<Promotion, Error> {
    let row = dsl::promotion
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    let found: Option<Promotion> = row
        .select(Promotion::as_select())
        .first(tx.conn())
        .await
        .optional()?;
    Ok(found.ok_or(Db::NotFound)?)
}

/// One promotion, locked; at the version that the caller has seen, if any.
pub async fn lock(tx: &mut Tx, id: PromotionId, seen: Option<i64>) -> Result<Promotion, Error> {
    let row = dsl::promotion
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    let promotion: Promotion = row
        .select(Promotion::as_select())
        .for_update()
        .first(tx.conn())
        .await?;
    match seen {
        Some(seen) if seen != promotion.version => Err(Db::Stale {
            current: promotion.version,
        }
        .into()),
        _ => Ok(promotion),
    }
}

/// The promotions that are active.
pub async fn active(tx: &mut Tx) -> Result<Vec<Promotion>, Error> {
    let rows = dsl::promotion
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::status.eq(Status::Active));
    Ok(rows
        .order(dsl::id)
        .limit(MOST_ACTIVE)
        .select(Promotion::as_select())
        .load(tx.conn())
        .await?)
}

/// How many promotions are active. Nobody else activates one until the transaction ends.
pub async fn count_active(tx: &mut Tx) -> Result<i64, Error> {
    sql("select pg_advisory_xact_lock(hashtextextended('promotion ' || $1::text, 0))")
        .bind::<SqlUuid, _>(tx.tenant())
        .execute(tx.conn())
        .await?;
    let rows = dsl::promotion
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::status.eq(Status::Active));
    Ok(rows.count().get_result(tx.conn()).await?)
}

#[derive(QueryableByName)]
struct Missing {
    #[diesel(sql_type = Bool)]
    missing: bool,
}

/// Whether some of the ids are not those of a product, category or brand.
pub async fn has_unknown(tx: &mut Tx, kind: Kind, ids: &[Uuid]) -> Result<bool, Error> {
    if ids.is_empty() {
        return Ok(false);
    }
    let text = match kind {
        Kind::Product => {
            "select exists (select from unnest($2) as i(id) where not exists
              (select from product t where t.tenant_id = $1 and t.id = i.id)) as missing"
        }
        Kind::Category => {
            "select exists (select from unnest($2) as i(id) where not exists
              (select from category t where t.tenant_id = $1 and t.id = i.id)) as missing"
        }
        Kind::Brand => {
            "select exists (select from unnest($2) as i(id) where not exists
              (select from brand t where t.tenant_id = $1 and t.id = i.id)) as missing"
        }
    };
    let row: Missing = sql(text)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(ids)
        .get_result(tx.conn())
        .await?;
    Ok(row.missing)
}

/// What a scope names.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Products.
    Product,
    /// Categories.
    Category,
    /// Brands.
    Brand,
}

/// A page of promotions, and how many there are.
pub async fn list(tx: &mut Tx, filter: &Filter, at: &Walk) -> Result<(Vec<Promotion>, i64), Error> {
    let tenant = tx.tenant();
    let matching = || {
        let mut rows = dsl::promotion
            .filter(dsl::tenant_id.eq(tenant))
            .into_boxed();
        if let Some(status) = filter.status {
            rows = rows.filter(dsl::status.eq(status));
        }
        rows
    };
    let total = matching().count().get_result(tx.conn()).await?;
    let rows = matching().select(Promotion::as_select());
    let page = match at.sort.field {
        "priority" => {
            walk!(rows, at, dsl::priority, i32, dsl::id)
                .load(tx.conn())
                .await?
        }
        _ => {
            walk!(rows, at, dsl::name, String, dsl::id)
                .load(tx.conn())
                .await?
        }
    };
    Ok((page, total))
}

/// Adds a promotion.
pub async fn insert(tx: &mut Tx, promotion: &Promotion) -> Result<(), Error> {
    diesel::insert_into(promotion::table)
        .values((dsl::tenant_id.eq(tx.tenant()), promotion))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Stores a promotion that is locked.
pub async fn save(tx: &mut Tx, promotion: &Promotion) -> Result<(), Error> {
    let row = dsl::promotion
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(promotion.id));
    diesel::update(row)
        .set(promotion)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Deletes a promotion that is locked, with its coupons.
pub async fn delete(tx: &mut Tx, id: PromotionId) -> Result<(), Error> {
    let row = dsl::promotion
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    diesel::delete(row).execute(tx.conn()).await?;
    Ok(())
}
