//! Every statement about brands.

use bahi_db::{Error as Db, Tx, sql};
use bahi_http::{Walk, walk};
use bahi_types::BrandId;
use diesel::{
    prelude::*,
    sql_types::{Array, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use crate::{
    Error,
    brand::model::Brand,
    schema::brand::{self, dsl},
    search::{model::dictionary, store::learn},
    text::fold,
};

/// What a list of brands may be narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// This name, ignoring case.
    pub name: Option<String>,
}

/// One brand.
pub async fn find(tx: &mut Tx, id: BrandId) -> Result<Option<Brand>, Error> {
    let row = brand::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id))
        .select(Brand::as_select());
    Ok(row.first(tx.conn()).await.optional()?)
}

/// Brands by id.
pub async fn by_ids(tx: &mut Tx, ids: &[BrandId]) -> Result<Vec<Brand>, Error> {
    let rows = brand::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq_any(ids));
    Ok(rows.select(Brand::as_select()).load(tx.conn()).await?)
}

/// One brand, which must be there.
pub async fn get(tx: &mut Tx, id: BrandId) -> Result<Brand, Error> {
    Ok(find(tx, id).await?.ok_or(Db::NotFound)?)
}

/// One brand, locked, at the version that the caller has seen.
pub async fn lock(tx: &mut Tx, id: BrandId, seen: i64) -> Result<Brand, Error> {
    let row = brand::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id))
        .select(Brand::as_select());
    let brand = row.for_update().first(tx.conn()).await?;
    if brand.version == seen {
        Ok(brand)
    } else {
        Err(Db::Stale {
            current: brand.version,
        }
        .into())
    }
}

/// Ids by folded name.
pub async fn ids_by_name(tx: &mut Tx, keys: &[String]) -> Result<Vec<(String, BrandId)>, Error> {
    let rows = brand::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::name_key.eq_any(keys));
    Ok(rows
        .select((dsl::name_key, dsl::id))
        .load(tx.conn())
        .await?)
}

/// A page of brands, and how many there are.
pub async fn list(tx: &mut Tx, filter: &Filter, at: &Walk) -> Result<(Vec<Brand>, i64), Error> {
    let tenant = tx.tenant();
    let matching = || {
        let mut rows = brand::table.filter(dsl::tenant_id.eq(tenant)).into_boxed();
        if let Some(name) = &filter.name {
            rows = rows.filter(dsl::name_key.eq(fold(name)));
        }
        rows
    };
    let total = matching().count().get_result(tx.conn()).await?;
    let rows = matching().select(Brand::as_select());
    let page = match at.sort.field {
        "created_at" => {
            walk!(
                rows,
                at,
                dsl::created_at,
                chrono::DateTime<chrono::Utc>,
                dsl::id
            )
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

/// Adds brands.
pub async fn insert(tx: &mut Tx, brands: &[Brand]) -> Result<(), Error> {
    let mut rows: Vec<&Brand> = brands.iter().collect();
    // Two imports that make the same brands wait for each other in one order.
    rows.sort_by_cached_key(|brand| fold(&brand.name));
    let ids: Vec<BrandId> = rows.iter().map(|brand| brand.id).collect();
    let names: Vec<&str> = rows.iter().map(|brand| brand.name.as_str()).collect();
    let keys: Vec<String> = rows.iter().map(|brand| fold(&brand.name)).collect();
    let now = tx.now();
    sql(
        "insert into brand (tenant_id, id, version, name, name_key, created_at, updated_at)
         select $1, n.id, 1, n.name, n.key, $5, $5 from unnest($2, $3, $4) as n(id, name, key)",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Array<Text>, _>(names)
    .bind::<Array<Text>, _>(keys)
    .bind::<Timestamptz, _>(now)
    .execute(tx.conn())
    .await?;
    let words = brands.iter().flat_map(|brand| dictionary(&brand.name));
    learn(tx, words.collect()).await
}

/// Stores a brand that is locked.
pub async fn save(tx: &mut Tx, brand: &Brand) -> Result<(), Error> {
    let row = brand::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(brand.id));
    diesel::update(row)
        .set((brand, dsl::name_key.eq(fold(&brand.name))))
        .execute(tx.conn())
        .await?;
    learn(tx, dictionary(&brand.name).collect()).await
}

/// Deletes a brand that is locked.
pub async fn delete(tx: &mut Tx, id: BrandId) -> Result<(), Error> {
    let row = brand::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    diesel::delete(row).execute(tx.conn()).await?;
    Ok(())
}
