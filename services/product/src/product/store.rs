//! Every statement about products.

use std::collections::BTreeMap;

use bahi_db::{Error as Db, Tx, sql};
use bahi_http::{Walk, walk};
use bahi_types::{BrandId, CategoryId, Price, ProductId, TaxProfileId, TenantId};
use chrono::{DateTime, Utc};
use diesel::{
    pg::Pg,
    prelude::*,
    sql_types::{Array, Jsonb, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use serde_json::json;

use crate::{
    Error,
    attribute::model::{AttributeId, ValueId},
    product::model::{Kind, Product, Status},
    schema::{
        attribute_value,
        product::{self, dsl},
        product_arrival, product_option,
    },
    text::fold,
};

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
    /// Variants of this template.
    pub variant_of: Option<ProductId>,
    /// One of the values of each of these groups.
    pub values: Vec<Vec<ValueId>>,
    /// One of these: what a search found.
    pub found: Option<Vec<ProductId>>,
    /// One of these tax profiles.
    pub tax_profiles: Option<Vec<TaxProfileId>>,
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

/// Products by id.
pub async fn by_ids(tx: &mut Tx, ids: &[ProductId]) -> Result<Vec<Product>, Error> {
    let rows = dsl::product
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq_any(ids));
    Ok(rows.select(Product::as_select()).load(tx.conn()).await?)
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

/// Products by id, locked in the order of their ids.
pub async fn lock_all(tx: &mut Tx, ids: &[ProductId]) -> Result<Vec<Product>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = dsl::product
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq_any(ids));
    Ok(rows
        .order(dsl::id)
        .select(Product::as_select())
        .for_update()
        .load(tx.conn())
        .await?)
}

/// Products by id, in the order of the ids.
pub async fn in_order(tx: &mut Tx, ids: &[ProductId]) -> Result<Vec<Product>, Error> {
    let rows = dsl::product
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq_any(ids));
    let mut products: Vec<Product> = rows.select(Product::as_select()).load(tx.conn()).await?;
    products.sort_by_cached_key(|product| ids.iter().position(|id| *id == product.id));
    Ok(products)
}

/// Values grouped by their attributes. One that is not there is a group of its own, which nothing has.
pub async fn by_attribute(tx: &mut Tx, values: &[ValueId]) -> Result<Vec<Vec<ValueId>>, Error> {
    use attribute_value::dsl as v;
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let known: Vec<(ValueId, AttributeId)> = attribute_value::table
        .filter(v::tenant_id.eq(tx.tenant()))
        .filter(v::id.eq_any(values))
        .select((v::id, v::attribute_id))
        .load(tx.conn())
        .await?;
    let mut groups: BTreeMap<Option<AttributeId>, Vec<ValueId>> = BTreeMap::new();
    for value in values {
        let attribute = known.iter().find(|(id, _)| id == value).map(|(_, of)| *of);
        groups.entry(attribute).or_default().push(*value);
    }
    Ok(groups.into_values().collect())
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

/// The products after one, the oldest first. What a search found is sorted by id.
pub async fn after(
    tx: &mut Tx,
    filter: &Filter,
    after: Option<ProductId>,
    most: i64,
) -> Result<Vec<Product>, Error> {
    let Some(found) = &filter.found else {
        return next(tx, filter, after, most).await;
    };
    // Of a search that found much, as many at a time as are wanted.
    let start = found.partition_point(|id| Some(*id) <= after);
    let size = usize::try_from(most).unwrap_or(usize::MAX).max(1);
    let mut narrowed = filter.clone();
    for some in found[start..].chunks(size) {
        narrowed.found = Some(some.to_vec());
        let products = next(tx, &narrowed, None, most).await?;
        if !products.is_empty() {
            return Ok(products);
        }
    }
    Ok(Vec::new())
}

async fn next(
    tx: &mut Tx,
    filter: &Filter,
    after: Option<ProductId>,
    most: i64,
) -> Result<Vec<Product>, Error> {
    let mut rows = matching(tx, filter).select(Product::as_select());
    if let Some(after) = after {
        rows = rows.filter(dsl::id.gt(after));
    }
    Ok(rows.order(dsl::id).limit(most).load(tx.conn()).await?)
}

/// How many products there are.
pub async fn count(tx: &mut Tx, filter: &Filter) -> Result<i64, Error> {
    Ok(matching(tx, filter).count().get_result(tx.conn()).await?)
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
    Ok((in_order(tx, &page).await?, total))
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
    if let Some(template) = filter.variant_of {
        rows = rows.filter(dsl::variant_of.eq(template));
    }
    for group in &filter.values {
        let having = product_option::table
            .filter(product_option::tenant_id.eq(tx.tenant()))
            .filter(product_option::value_id.eq_any(group))
            .select(product_option::product_id);
        rows = rows.filter(dsl::id.eq_any(having));
    }
    if let Some(found) = &filter.found {
        rows = rows.filter(dsl::id.eq_any(found));
    }
    if let Some(profiles) = &filter.tax_profiles {
        rows = rows.filter(dsl::tax_profile_id.eq_any(profiles));
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
                price_includes_tax = n.price_includes_tax, mrp = n.mrp, template = n.template, overrides = n.overrides,
                components = n.components, updated_at = n.updated_at
           from jsonb_populate_recordset(null::product, $2) as n
          where p.tenant_id = $1 and p.id = n.id")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Jsonb, _>(rows(tx.tenant(), products)?)
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

/// How often goods of a product have come in.
pub async fn arrivals(tx: &mut Tx, id: ProductId) -> Result<i64, Error> {
    use product_arrival::dsl as a;
    let row = product_arrival::table
        .filter(a::tenant_id.eq(tx.tenant()))
        .filter(a::product_id.eq(id));
    let count: Option<i64> = row.select(a::count).first(tx.conn()).await.optional()?;
    Ok(count.unwrap_or_default())
}

/// Counts that goods of products, which are locked, have come in.
pub async fn count_arrivals(tx: &mut Tx, ids: &[ProductId]) -> Result<(), Error> {
    sql("insert into product_arrival as a (tenant_id, product_id, count) select $1, id, 1 from unnest($2) as n(id)
         on conflict (tenant_id, product_id) do update set count = a.count + 1")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Deletes a product that is locked, with its claims and text.
pub async fn delete(tx: &mut Tx, id: ProductId) -> Result<(), Error> {
    let row = dsl::product
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    diesel::delete(row).execute(tx.conn()).await?;
    Ok(())
}
