//! Every statement about products.

use bahi_db::{Error as Db, Tx, sql};
use bahi_http::{Walk, walk};
use bahi_types::{BrandId, CategoryId, Price, ProductId, TenantId};
use chrono::{DateTime, Utc};
use diesel::{
    pg::Pg,
    prelude::*,
    sql_types::{Array, Integer, Jsonb, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use serde_json::json;

use crate::{
    Error,
    product::model::{Kind, Product, Status},
    schema::product::{self, dsl},
    text::fold,
};

/// Most products that a search ranks.
pub const RANKED: i32 = 1000;

/// What a list of products may be narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// This state.
    pub status: Option<Status>,
    /// One of these categories.
    pub categories: Option<Vec<CategoryId>>,
    /// This brand.
    pub brand: Option<BrandId>,
    /// This kind.
    pub kind: Option<Kind>,
    /// This HSN or SAC.
    pub hsn: Option<String>,
    /// This SKU, ignoring case.
    pub sku: Option<String>,
    /// One of these: what a search found.
    pub found: Option<Vec<ProductId>>,
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
}

/// One product.
pub async fn find(tx: &mut Tx, id: ProductId) -> Result<Option<Product>, Error> {
    let row = dsl::product
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    Ok(row
        .select(Product::as_select())
        .first(tx.conn())
        .await
        .optional()?)
}

/// One product, which must be there.
pub async fn get(tx: &mut Tx, id: ProductId) -> Result<Product, Error> {
    Ok(find(tx, id).await?.ok_or(Db::NotFound)?)
}

/// One product, locked.
pub async fn lock(tx: &mut Tx, id: ProductId) -> Result<Product, Error> {
    let row = dsl::product
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    Ok(row
        .select(Product::as_select())
        .for_update()
        .first(tx.conn())
        .await?)
}

/// Products by folded SKU.
pub async fn by_sku(tx: &mut Tx, keys: &[String]) -> Result<Vec<Product>, Error> {
    let rows = dsl::product
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::sku_key.eq_any(keys));
    Ok(rows.select(Product::as_select()).load(tx.conn()).await?)
}

/// Products by folded SKU, locked in the order of their ids.
pub async fn lock_by_sku(tx: &mut Tx, keys: &[String]) -> Result<Vec<Product>, Error> {
    let rows = dsl::product
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::sku_key.eq_any(keys));
    Ok(rows
        .order(dsl::id)
        .select(Product::as_select())
        .for_update()
        .load(tx.conn())
        .await?)
}

/// Products that match a text by their trigrams, the best first; at most [`RANKED`].
pub async fn search(tx: &mut Tx, text: &str) -> Result<Vec<ProductId>, Error> {
    let rows: Vec<Found> = sql("select product_id from search_products($1, $2)")
        .bind::<Text, _>(text.trim().to_lowercase())
        .bind::<Integer, _>(RANKED)
        .load(tx.conn())
        .await?;
    Ok(rows.into_iter().map(|row| row.product_id).collect())
}

/// A page of products, and how many there are.
pub async fn list(tx: &mut Tx, filter: &Filter, at: &Walk) -> Result<(Vec<Product>, i64), Error> {
    let total = matching(tx, filter).count().get_result(tx.conn()).await?;
    let rows = matching(tx, filter).select(Product::as_select());
    let page = match at.sort.field {
        "sku" => {
            walk!(rows, at, dsl::sku_key, String, dsl::id)
                .load(tx.conn())
                .await?
        }
        "price" => {
            walk!(rows, at, dsl::price, Price, dsl::id)
                .load(tx.conn())
                .await?
        }
        "created_at" => {
            walk!(rows, at, dsl::created_at, DateTime<Utc>, dsl::id)
                .load(tx.conn())
                .await?
        }
        "updated_at" => {
            walk!(rows, at, dsl::updated_at, DateTime<Utc>, dsl::id)
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

/// A page of what a search found, the best first, and how many there are.
pub async fn list_ranked(
    tx: &mut Tx,
    filter: &Filter,
    ranked: &[ProductId],
    at: &Walk,
) -> Result<(Vec<Product>, i64), Error> {
    let mut kept: Vec<ProductId> = matching(tx, filter).select(dsl::id).load(tx.conn()).await?;
    kept.sort_by_cached_key(|id| ranked.iter().position(|found| found == id));
    let total = i64::try_from(kept.len()).unwrap_or(i64::MAX);
    let skip = usize::try_from(at.offset).unwrap_or(usize::MAX);
    let take = usize::try_from(at.limit).unwrap_or_default();
    let page: Vec<ProductId> = kept.into_iter().skip(skip).take(take).collect();
    let rows = dsl::product
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq_any(&page));
    let mut products: Vec<Product> = rows.select(Product::as_select()).load(tx.conn()).await?;
    products.sort_by_cached_key(|product| page.iter().position(|id| *id == product.id));
    Ok((products, total))
}

fn matching<'a>(tx: &Tx, filter: &'a Filter) -> product::BoxedQuery<'a, Pg> {
    let mut rows = dsl::product
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .into_boxed();
    if let Some(status) = filter.status {
        rows = rows.filter(dsl::status.eq(status));
    }
    if let Some(categories) = &filter.categories {
        rows = rows.filter(dsl::category_id.eq_any(categories));
    }
    if let Some(brand) = filter.brand {
        rows = rows.filter(dsl::brand_id.eq(brand));
    }
    if let Some(kind) = filter.kind {
        rows = rows.filter(dsl::kind.eq(kind));
    }
    if let Some(hsn) = &filter.hsn {
        rows = rows.filter(dsl::hsn.eq(hsn));
    }
    if let Some(sku) = &filter.sku {
        rows = rows.filter(dsl::sku_key.eq(fold(sku)));
    }
    if let Some(found) = &filter.found {
        rows = rows.filter(dsl::id.eq_any(found));
    }
    rows
}

/// A product as its row.
#[derive(Serialize)]
struct Row<'a> {
    tenant_id: TenantId,
    sku_key: String,
    #[serde(flatten)]
    product: &'a Product,
}

fn rows<'a>(tenant: TenantId, products: &[&'a Product]) -> Result<serde_json::Value, Error> {
    let row = |product: &&'a Product| Row {
        tenant_id: tenant,
        sku_key: fold(&product.sku),
        product,
    };
    let mut rows: Vec<Row> = products.iter().map(row).collect();
    // Two writers of the same SKUs wait for each other in one order.
    rows.sort_by(|a, b| a.sku_key.cmp(&b.sku_key));
    Ok(serde_json::to_value(rows).map_err(Db::from)?)
}

/// Adds products. Their claims and texts are written apart.
pub async fn insert(tx: &mut Tx, products: &[&Product]) -> Result<(), Error> {
    sql("insert into product select n.* from jsonb_populate_recordset(null::product, $1) as n")
        .bind::<Jsonb, _>(rows(tx.tenant(), products)?)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Stores products that are locked. Their claims and texts are written apart.
pub async fn save(tx: &mut Tx, products: &[&Product]) -> Result<(), Error> {
    sql("update product p
            set version = n.version, sku = n.sku, sku_key = n.sku_key, name = n.name, kind = n.kind,
                status = n.status, category_id = n.category_id, brand_id = n.brand_id, unit_id = n.unit_id,
                uqc = n.uqc, units = n.units, tax_profile_id = n.tax_profile_id, hsn = n.hsn, track_batch = n.track_batch,
                track_serial = n.track_serial, track_expiry = n.track_expiry, barcodes = n.barcodes, price = n.price,
                price_includes_tax = n.price_includes_tax, mrp = n.mrp, updated_at = n.updated_at
           from jsonb_populate_recordset(null::product, $2) as n
          where p.tenant_id = $1 and p.id = n.id")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Jsonb, _>(rows(tx.tenant(), products)?)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Stores what a search finds products by.
pub async fn save_texts(tx: &mut Tx, products: &[&Product]) -> Result<(), Error> {
    let (ids, texts): (Vec<ProductId>, Vec<String>) =
        products.iter().map(|p| (p.id, p.text())).unzip();
    sql("insert into product_text (tenant_id, product_id, text)
         select $1, n.id, n.text from unnest($2, $3) as n(id, text)
         on conflict (tenant_id, product_id) do update set text = excluded.text")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Array<Text>, _>(texts)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Stores the units of products besides the stock unit. Claims on codes of units that go are taken back before.
pub async fn save_units(tx: &mut Tx, products: &[&Product]) -> Result<(), Error> {
    let ids: Vec<ProductId> = products.iter().map(|product| product.id).collect();
    let rows: Vec<serde_json::Value> = products
        .iter()
        .flat_map(|product| {
            product.units.iter().map(|unit| {
                json!({ "product_id": product.id, "unit_id": unit.unit_id, "numerator": unit.numerator,
                    "denominator": unit.denominator, "price": unit.price })
            })
        })
        .collect();
    sql("with said as (select * from jsonb_populate_recordset(null::product_unit, $3)),
              gone as (delete from product_unit u where u.tenant_id = $1 and u.product_id = any ($2)
                          and not exists (select from said s where s.product_id = u.product_id and s.unit_id = u.unit_id))
         insert into product_unit (tenant_id, product_id, unit_id, numerator, denominator, price)
         select $1, s.product_id, s.unit_id, s.numerator, s.denominator, s.price from said s
         on conflict (tenant_id, product_id, unit_id) do update
            set numerator = excluded.numerator, denominator = excluded.denominator, price = excluded.price")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(ids)
        .bind::<Jsonb, _>(serde_json::Value::Array(rows))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Notes that stock of these products has moved, and says which had not moved before.
pub async fn mark_transacted(tx: &mut Tx, ids: &[ProductId]) -> bahi_db::Result<Vec<ProductId>> {
    let fresh: Vec<Found> = sql(
        "with fresh as (select id from product where tenant_id = $1 and id = any ($2) and not transacted
                         order by id for update)
         update product p set transacted = true from fresh where p.tenant_id = $1 and p.id = fresh.id
         returning p.id as product_id",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load(tx.conn())
    .await?;
    Ok(fresh.into_iter().map(|row| row.product_id).collect())
}

/// Deletes a product that is locked, with its claims and text.
pub async fn delete(tx: &mut Tx, id: ProductId) -> Result<(), Error> {
    let row = dsl::product
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    diesel::delete(row).execute(tx.conn()).await?;
    Ok(())
}
