//! Every statement on the copies of the catalogue.

use std::collections::HashMap;

use bahi_db::{Result, Tx, sql};
use bahi_events::{Category, Envelope, Product, ProductDeleted, ProductKind, TaxProfile};
use bahi_kafka::Failed;
use bahi_types::{CategoryId, LocationId, Money, PosSessionId, Price, ProductId, Rate};
use chrono::NaiveDate;
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{Array, BigInt, Bool, Date, Jsonb, Nullable, Numeric, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{Goods, newest};

/// Products by id, with their tax on `date` and their cost where they are sold: at the location, else that of the session.
/// Those not known are missing from the answer.
pub(crate) async fn find(
    tx: &Tx,
    ids: &[Uuid],
    date: NaiveDate,
    (session, location): (Option<PosSessionId>, Option<LocationId>),
) -> Result<Vec<Goods>> {
    Ok(sql("
        select p.product_id, p.sku, p.name, p.stocked, coalesce(t.hsn, p.hsn) as hsn, p.uqc, p.price, p.price_includes_tax,
               p.mrp, p.status, p.template, t.category, r.rate, r.cess, r.valid_from as rate_from, r.price_limit, r.rate_above, r.cess_above,
               p.stock_unit_id, p.category_id, p.brand_id, c.cost
          from product p
          left join tax_profile t on t.tenant_id = p.tenant_id and t.tax_profile_id = p.tax_profile_id
          left join tax_rate r on r.tenant_id = p.tenant_id and r.tax_profile_id = p.tax_profile_id
                              and r.valid_from <= $3 and (r.valid_to is null or r.valid_to > $3)
          left join product_cost c on c.tenant_id = p.tenant_id and c.product_id = p.product_id
                              and c.location_id = coalesce($5, (select s.location_id from pos_session s
                                                                 where s.tenant_id = $1 and s.session_id = $4))
         where p.tenant_id = $1 and p.product_id = any($2)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Date, _>(date)
    .bind::<Nullable<SqlUuid>, _>(session)
    .bind::<Nullable<SqlUuid>, _>(location)
    .load(&mut tx.shared())
    .await?)
}

/// A product that a barcode or SKU names.
#[derive(Debug, QueryableByName)]
pub(crate) struct Named {
    /// The code asked for: a barcode as it is, an SKU in lower case.
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = Bool)]
    pub is_barcode: bool,
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
}

/// Products for sale by barcode and by SKU (in lower case).
pub(crate) async fn resolve(tx: &Tx, barcodes: &[&str], skus: &[String]) -> Result<Vec<Named>> {
    Ok(sql("
        select b.barcode as code, true as is_barcode, b.product_id
          from barcode b join product p using (tenant_id, product_id)
         where b.tenant_id = $1 and b.barcode = any($2) and p.status in ('active', 'discontinued')
        union all
        select lower(p.sku), false, p.product_id from product p
         where p.tenant_id = $1 and lower(p.sku) = any($3) and p.status in ('active', 'discontinued')")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<Text>, _>(barcodes)
    .bind::<Array<Text>, _>(skus)
    .load(&mut tx.shared())
    .await?)
}

#[derive(QueryableByName)]
struct Applied {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

fn json(
    events: &[&Envelope<Product>],
    of: impl Fn(&Product) -> serde_json::Result<serde_json::Value>,
) -> Result<Vec<serde_json::Value>> {
    let values = events.iter().map(|e| of(&e.payload));
    Ok(values.collect::<serde_json::Result<Vec<_>>>()?)
}

/// Applies `product.created` and `product.updated`.
pub(crate) async fn products(
    tx: &mut Tx,
    events: &[Envelope<Product>],
) -> std::result::Result<(), Failed> {
    let events = newest(events, |p| p.product_id.uuid());
    let column = |f: fn(&Product) -> String| {
        events
            .iter()
            .map(|e| f(&e.payload))
            .collect::<Vec<String>>()
    };
    let flag =
        |f: fn(&Product) -> bool| events.iter().map(|e| f(&e.payload)).collect::<Vec<bool>>();
    let prices: Vec<Price> = events.iter().map(|e| e.payload.price).collect();
    let mrps: Vec<Option<Money>> = events.iter().map(|e| e.payload.mrp).collect();
    let applied: Vec<Applied> = sql("
        insert into product as p (tenant_id, product_id, sku, name, stocked, hsn, tax_profile_id, uqc, price,
                                  price_includes_tax, mrp, status, template, epoch, version, stock_unit_id, category_id,
                                  brand_id, units, tracking)
        select $1, n.* from unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) as n
        on conflict (tenant_id, product_id) do update set
          sku = excluded.sku, name = excluded.name, stocked = excluded.stocked, hsn = excluded.hsn,
          tax_profile_id = excluded.tax_profile_id, uqc = excluded.uqc, price = excluded.price,
          price_includes_tax = excluded.price_includes_tax, mrp = excluded.mrp, status = excluded.status,
          template = excluded.template,
          epoch = excluded.epoch, version = excluded.version, stock_unit_id = excluded.stock_unit_id,
          category_id = excluded.category_id, brand_id = excluded.brand_id, units = excluded.units,
          tracking = excluded.tracking
        where (excluded.epoch, excluded.version) > (p.epoch, p.version)
           -- what was heard of before these were kept takes them from the same event again
           or (p.stock_unit_id is null or p.tracking is null) and (excluded.epoch, excluded.version) = (p.epoch, p.version)
        returning p.product_id as id")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.product_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(column(|p| p.sku.clone()))
    .bind::<Array<Text>, _>(column(|p| p.name.clone()))
    .bind::<Array<Bool>, _>(flag(|p| p.kind == ProductKind::Goods))
    .bind::<Array<Text>, _>(column(|p| p.hsn.clone()))
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.tax_profile_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(column(|p| p.uqc.clone()))
    .bind::<Array<Numeric>, _>(prices)
    .bind::<Array<Bool>, _>(flag(|p| p.price_includes_tax))
    .bind::<Array<Nullable<Numeric>>, _>(mrps)
    .bind::<Array<Text>, _>(column(|p| p.status.clone()))
    .bind::<Array<Bool>, _>(flag(|p| p.template))
    .bind::<Array<BigInt>, _>(events.iter().map(|e| e.epoch).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(events.iter().map(|e| e.aggregate_version).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.stock_unit_id).collect::<Vec<_>>())
    .bind::<Array<Nullable<SqlUuid>>, _>(events.iter().map(|e| e.payload.category_id).collect::<Vec<_>>())
    .bind::<Array<Nullable<SqlUuid>>, _>(events.iter().map(|e| e.payload.brand_id).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(json(&events, |p| serde_json::to_value(&p.units))?)
    .bind::<Array<Jsonb>, _>(json(&events, |p| serde_json::to_value(p.tracking))?)
    .load(tx.conn())
    .await
    .map_err(bahi_db::Error::from)?;
    let applied: Vec<Uuid> = applied.into_iter().map(|a| a.id).collect();
    let (mut codes, mut owners) = (Vec::new(), Vec::new());
    for event in events
        .iter()
        .filter(|e| applied.contains(&e.payload.product_id.uuid()))
    {
        for code in &event.payload.barcodes {
            codes.push(code.as_str());
            owners.push(event.payload.product_id);
        }
    }
    replace_barcodes(tx, &applied, &codes, &owners).await?;
    Ok(())
}

async fn replace_barcodes(
    tx: &mut Tx,
    products: &[Uuid],
    codes: &[&str],
    owners: &[ProductId],
) -> Result<()> {
    sql("delete from barcode where tenant_id = $1 and product_id = any($2)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(products)
        .execute(tx.conn())
        .await?;
    if codes.is_empty() {
        return Ok(());
    }
    sql("insert into barcode (tenant_id, barcode, product_id)
         select $1, n.* from unnest($2, $3) as n on conflict do nothing")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<Text>, _>(codes)
    .bind::<Array<SqlUuid>, _>(owners)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Applies `product.deleted`.
pub(crate) async fn deleted(
    tx: &mut Tx,
    events: &[Envelope<ProductDeleted>],
) -> std::result::Result<(), Failed> {
    let events = newest(events, |p| p.product_id.uuid());
    let applied: Vec<Applied> = sql("
        insert into product as p (tenant_id, product_id, sku, name, stocked, hsn, uqc, price, price_includes_tax, status,
                                  epoch, version)
        select $1, n.id, n.sku, n.sku, true, '', '', 0, false, 'deleted', n.epoch, n.version
          from unnest($2, $3, $4, $5) as n(id, sku, epoch, version)
        on conflict (tenant_id, product_id) do update set
          status = 'deleted', epoch = excluded.epoch, version = excluded.version
        where (excluded.epoch, excluded.version) > (p.epoch, p.version)
        returning p.product_id as id")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.product_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(events.iter().map(|e| e.payload.sku.as_str()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(events.iter().map(|e| e.epoch).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(events.iter().map(|e| e.aggregate_version).collect::<Vec<_>>())
    .load(tx.conn())
    .await
    .map_err(bahi_db::Error::from)?;
    let gone: Vec<Uuid> = applied.into_iter().map(|a| a.id).collect();
    replace_barcodes(tx, &gone, &[], &[]).await?;
    Ok(())
}

async fn put_categories(tx: &mut Tx, events: &[Envelope<Category>], deleted: bool) -> Result<()> {
    let events = newest(events, |c| c.category_id.uuid());
    sql("insert into category as c (tenant_id, category_id, parent_id, epoch, version, deleted)
         select $1, n.*, $6 from unnest($2, $3, $4, $5) as n
         on conflict (tenant_id, category_id) do update set
           parent_id = excluded.parent_id, deleted = excluded.deleted, epoch = excluded.epoch, version = excluded.version
         where (excluded.epoch, excluded.version) > (c.epoch, c.version)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.category_id).collect::<Vec<_>>())
    .bind::<Array<Nullable<SqlUuid>>, _>(events.iter().map(|e| e.payload.parent_id).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(events.iter().map(|e| e.epoch).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(events.iter().map(|e| e.aggregate_version).collect::<Vec<_>>())
    .bind::<Bool, _>(deleted)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Applies `category.created` and `category.updated`.
pub(crate) async fn categories(
    tx: &mut Tx,
    events: &[Envelope<Category>],
) -> std::result::Result<(), Failed> {
    Ok(put_categories(tx, events, false).await?)
}

/// Applies `category.deleted`.
pub(crate) async fn categories_deleted(
    tx: &mut Tx,
    events: &[Envelope<Category>],
) -> std::result::Result<(), Failed> {
    Ok(put_categories(tx, events, true).await?)
}

/// The first of these products and categories that has not arrived, or is deleted.
pub(crate) async fn stranger(
    tx: &Tx,
    products: &[ProductId],
    categories: &[CategoryId],
) -> Result<Option<String>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        stranger: String,
    }
    let row: Option<Row> = sql("
        select 'The product ' || n.id as stranger from unnest($2) as n(id)
         where not exists (select from product p where p.tenant_id = $1 and p.product_id = n.id and p.status <> 'deleted')
        union all
        select 'The category ' || n.id from unnest($3) as n(id)
         where not exists (select from category c where c.tenant_id = $1 and c.category_id = n.id and not c.deleted)
        limit 1")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(products)
    .bind::<Array<SqlUuid>, _>(categories)
    .get_result(&mut tx.shared())
    .await
    .optional()?;
    Ok(row.map(|r| r.stranger))
}

/// For each category: itself, also when it has not arrived, and all above it.
pub(crate) async fn with_all_above(
    tx: &Tx,
    ids: &[Uuid],
) -> Result<HashMap<CategoryId, Vec<CategoryId>>> {
    #[derive(QueryableByName)]
    struct Step {
        #[diesel(sql_type = SqlUuid)]
        of: CategoryId,
        #[diesel(sql_type = SqlUuid)]
        id: CategoryId,
    }
    let rows: Vec<Step> = sql("with recursive up (of, id, level) as (
           select id, id, 1 from unnest($2) as n(id)
           union all
           select up.of, c.parent_id, up.level + 1 from category c join up on c.category_id = up.id
            where c.tenant_id = $1 and c.parent_id is not null and not c.deleted and up.level < 100)
         select of, id from up order by of, level")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load(&mut tx.shared())
    .await?;
    let mut above: HashMap<CategoryId, Vec<CategoryId>> = HashMap::new();
    for Step { of, id } in rows {
        above.entry(of).or_default().push(id);
    }
    Ok(above)
}

/// Applies `tax_rate.changed`, whose payload is the whole history of the profile.
pub(crate) async fn tax_profiles(
    tx: &mut Tx,
    events: &[Envelope<TaxProfile>],
) -> std::result::Result<(), Failed> {
    let events = newest(events, |p| p.tax_profile_id.uuid());
    let applied: Vec<Applied> = sql("
        insert into tax_profile as t (tenant_id, tax_profile_id, hsn, category, epoch, version)
        select $1, n.* from unnest($2, $3, $4, $5, $6) as n
        on conflict (tenant_id, tax_profile_id) do update set
          hsn = excluded.hsn, category = excluded.category, epoch = excluded.epoch, version = excluded.version
        where (excluded.epoch, excluded.version) > (t.epoch, t.version)
        returning t.tax_profile_id as id")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.tax_profile_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(events.iter().map(|e| e.payload.hsn.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(events.iter().map(|e| e.payload.category.as_str()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(events.iter().map(|e| e.epoch).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(events.iter().map(|e| e.aggregate_version).collect::<Vec<_>>())
    .load(tx.conn())
    .await
    .map_err(bahi_db::Error::from)?;
    let applied: Vec<Uuid> = applied.into_iter().map(|a| a.id).collect();
    sql("delete from tax_rate where tenant_id = $1 and tax_profile_id = any($2)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(&applied)
        .execute(tx.conn())
        .await
        .map_err(bahi_db::Error::from)?;
    let (mut ids, mut from, mut to, mut rates, mut cess) = (vec![], vec![], vec![], vec![], vec![]);
    let (mut limits, mut rates_above, mut cess_above) = (vec![], vec![], vec![]);
    for event in events
        .iter()
        .filter(|e| applied.contains(&e.payload.tax_profile_id.uuid()))
    {
        for row in &event.payload.rates {
            ids.push(event.payload.tax_profile_id);
            from.push(row.valid_from);
            to.push(row.valid_to);
            rates.push(row.rate);
            cess.push(row.cess);
            limits.push(row.above.as_ref().map(|above| above.price));
            rates_above.push(row.above.as_ref().map(|above| above.rate));
            cess_above.push(row.above.as_ref().map(|above| above.cess));
        }
    }
    sql(
        "insert into tax_rate (tenant_id, tax_profile_id, valid_from, valid_to, rate, cess, price_limit, rate_above,
                               cess_above)
         select $1, n.* from unnest($2, $3, $4, $5, $6, $7, $8, $9) as n",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Array<Date>, _>(from)
    .bind::<Array<Nullable<Date>>, _>(to)
    .bind::<Array<Numeric>, Vec<Rate>>(rates)
    .bind::<Array<Numeric>, Vec<Rate>>(cess)
    .bind::<Array<Nullable<Numeric>>, Vec<Option<Price>>>(limits)
    .bind::<Array<Nullable<Numeric>>, Vec<Option<Rate>>>(rates_above)
    .bind::<Array<Nullable<Numeric>>, Vec<Option<Rate>>>(cess_above)
    .execute(tx.conn())
    .await
    .map_err(bahi_db::Error::from)?;
    Ok(())
}
