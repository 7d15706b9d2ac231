//! Every statement on the copies of price lists.

use std::collections::BTreeMap;

use bahi_db::{Result, Tx, sql};
use bahi_events::{Envelope, PriceList, PriceListPrices, ProductPrices};
use bahi_kafka::Failed;
use bahi_pricing::{Audience, Offer, Period};
use bahi_types::{
    BranchId, CustomerGroupId, LocationId, PosSessionId, Price, PriceEntryId, PriceListId,
    ProductId, Quantity, UnitId,
};
use chrono::NaiveDate;
use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Bool, Date, Integer, Nullable, Numeric, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::catalogue::newest;

/// Whom, where and when prices are looked up for. The branch is that of the session, else of the location.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub session: Option<PosSessionId>,
    pub location: Option<LocationId>,
    pub customer_group: Option<CustomerGroupId>,
    pub date: NaiveDate,
}

#[derive(QueryableByName)]
struct Offered {
    #[diesel(sql_type = SqlUuid)]
    price_list_id: PriceListId,
    #[diesel(sql_type = Integer)]
    priority: i32,
    #[diesel(sql_type = Bool)]
    price_includes_tax: bool,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    branch_id: Option<BranchId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    customer_group_id: Option<CustomerGroupId>,
    #[diesel(sql_type = Nullable<Date>)]
    list_from: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Date>)]
    list_to: Option<NaiveDate>,
    #[diesel(sql_type = SqlUuid)]
    entry_id: PriceEntryId,
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
    #[diesel(sql_type = SqlUuid)]
    unit_id: UnitId,
    #[diesel(sql_type = Numeric)]
    min_qty: Quantity,
    #[diesel(sql_type = Numeric)]
    price: Price,
    #[diesel(sql_type = Nullable<Date>)]
    valid_from: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Date>)]
    valid_to: Option<NaiveDate>,
}

impl From<Offered> for Offer {
    fn from(row: Offered) -> Self {
        Self {
            list: row.price_list_id,
            priority: row.priority,
            audience: Audience {
                branch: row.branch_id,
                customer_group: row.customer_group_id,
            },
            list_period: Period {
                from: row.list_from,
                to: row.list_to,
            },
            entry: row.entry_id,
            product: row.product_id,
            unit: row.unit_id,
            min_qty: row.min_qty,
            price: row.price,
            includes_tax: row.price_includes_tax,
            period: Period {
                from: row.valid_from,
                to: row.valid_to,
            },
        }
    }
}

/// The prices that lists have for these products, whatever the quantity.
pub(crate) async fn offers(tx: &Tx, products: &[Uuid], asked: &Asked) -> Result<Vec<Offer>> {
    let rows: Vec<Offered> = sql("
        select e.price_list_id, l.priority, l.price_includes_tax, l.branch_id, l.customer_group_id,
               l.valid_from as list_from, l.valid_to as list_to, e.entry_id, e.product_id, e.unit_id, e.min_qty, e.price,
               e.valid_from, e.valid_to
          from price_entry e
          join price_list l on l.tenant_id = e.tenant_id and l.price_list_id = e.price_list_id
         where e.tenant_id = $1 and e.product_id = any($2) and not l.deleted
           and (l.branch_id is null or l.branch_id = coalesce(
                 (select branch_id from pos_session where tenant_id = $1 and session_id = $3),
                 (select branch_id from location where tenant_id = $1 and location_id = $4)))
           and (l.customer_group_id is null or l.customer_group_id = $5)
           and daterange(l.valid_from, l.valid_to) @> $6 and daterange(e.valid_from, e.valid_to) @> $6")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(products)
    .bind::<Nullable<SqlUuid>, _>(asked.session)
    .bind::<Nullable<SqlUuid>, _>(asked.location)
    .bind::<Nullable<SqlUuid>, _>(asked.customer_group)
    .bind::<Date, _>(asked.date)
    .load(&mut tx.shared())
    .await?;
    Ok(rows.into_iter().map(Offer::from).collect())
}

#[derive(QueryableByName)]
struct Applied {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

async fn put(tx: &mut Tx, events: &[Envelope<PriceList>], deleted: bool) -> Result<Vec<Uuid>> {
    let events = newest(events, |l| l.price_list_id.uuid());
    let applied: Vec<Applied> = sql("
        insert into price_list as l (tenant_id, price_list_id, priority, price_includes_tax, branch_id, customer_group_id,
                                     valid_from, valid_to, epoch, version, deleted)
        select $1, n.*, $11 from unnest($2, $3, $4, $5, $6, $7, $8, $9, $10) as n
        on conflict (tenant_id, price_list_id) do update set
          priority = excluded.priority, price_includes_tax = excluded.price_includes_tax, branch_id = excluded.branch_id,
          customer_group_id = excluded.customer_group_id, valid_from = excluded.valid_from, valid_to = excluded.valid_to,
          deleted = excluded.deleted, epoch = excluded.epoch, version = excluded.version
        where (excluded.epoch, excluded.version) > (l.epoch, l.version)
        returning l.price_list_id as id")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.price_list_id).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(events.iter().map(|e| e.payload.priority).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(events.iter().map(|e| e.payload.price_includes_tax).collect::<Vec<_>>())
    .bind::<Array<Nullable<SqlUuid>>, _>(events.iter().map(|e| e.payload.branch_id).collect::<Vec<_>>())
    .bind::<Array<Nullable<SqlUuid>>, _>(events.iter().map(|e| e.payload.customer_group_id).collect::<Vec<_>>())
    .bind::<Array<Nullable<Date>>, _>(events.iter().map(|e| e.payload.valid_from).collect::<Vec<_>>())
    .bind::<Array<Nullable<Date>>, _>(events.iter().map(|e| e.payload.valid_to).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(events.iter().map(|e| e.epoch).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(events.iter().map(|e| e.aggregate_version).collect::<Vec<_>>())
    .bind::<Bool, _>(deleted)
    .load(tx.conn())
    .await?;
    Ok(applied.into_iter().map(|a| a.id).collect())
}

/// Applies `price_list.created` and `price_list.updated`.
pub(crate) async fn lists(
    tx: &mut Tx,
    events: &[Envelope<PriceList>],
) -> std::result::Result<(), Failed> {
    put(tx, events, false).await?;
    Ok(())
}

/// Applies `price_list.deleted`.
pub(crate) async fn deleted(
    tx: &mut Tx,
    events: &[Envelope<PriceList>],
) -> std::result::Result<(), Failed> {
    let gone = put(tx, events, true).await?;
    for text in [
        "delete from price_entry where tenant_id = $1 and price_list_id = any($2)",
        "delete from price_list_product where tenant_id = $1 and price_list_id = any($2)",
    ] {
        sql(text)
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<Array<SqlUuid>, _>(&gone)
            .execute(tx.conn())
            .await
            .map_err(bahi_db::Error::from)?;
    }
    Ok(())
}

#[derive(QueryableByName)]
struct Renewed {
    #[diesel(sql_type = SqlUuid)]
    price_list_id: PriceListId,
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
}

/// Applies `price_list.prices_changed`, which holds all prices of the products it names.
pub(crate) async fn prices(
    tx: &mut Tx,
    events: &[Envelope<PriceListPrices>],
) -> std::result::Result<(), Failed> {
    // The newest of each product of a list, in the order of the keys.
    let mut newest: BTreeMap<(PriceListId, ProductId), (i64, i64, &ProductPrices)> =
        BTreeMap::new();
    for event in events {
        let version = (event.epoch, event.aggregate_version);
        for product in &event.payload.products {
            let key = (event.payload.price_list_id, product.product_id);
            let known = newest
                .get(&key)
                .map(|(epoch, version, _)| (*epoch, *version));
            if known.is_none_or(|known| version > known) {
                newest.insert(key, (version.0, version.1, product));
            }
        }
    }
    let renewed: Vec<Renewed> = sql("
        insert into price_list_product as p (tenant_id, price_list_id, product_id, epoch, version)
        select $1, n.* from unnest($2, $3, $4, $5) as n(price_list_id, product_id, epoch, version)
         where not exists (select from price_list l where l.tenant_id = $1 and l.price_list_id = n.price_list_id
                              and l.deleted and (l.epoch, l.version) >= (n.epoch, n.version))
        on conflict (tenant_id, price_list_id, product_id) do update set
          epoch = excluded.epoch, version = excluded.version
        where (excluded.epoch, excluded.version) > (p.epoch, p.version)
        returning p.price_list_id, p.product_id")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(newest.keys().map(|k| k.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(newest.keys().map(|k| k.1).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(newest.values().map(|v| v.0).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(newest.values().map(|v| v.1).collect::<Vec<_>>())
    .load(tx.conn())
    .await
    .map_err(bahi_db::Error::from)?;
    let renewed: Vec<_> = renewed
        .into_iter()
        .map(|r| (r.price_list_id, r.product_id))
        .collect();
    sql("delete from price_entry e using unnest($2, $3) as n(price_list_id, product_id)
          where e.tenant_id = $1 and e.price_list_id = n.price_list_id and e.product_id = n.product_id")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(renewed.iter().map(|r| r.0).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(renewed.iter().map(|r| r.1).collect::<Vec<_>>())
        .execute(tx.conn())
        .await
        .map_err(bahi_db::Error::from)?;
    let of = |key: &(PriceListId, ProductId)| newest.get(key).map(|(_, _, product)| *product);
    let rows: Vec<_> = renewed
        .iter()
        .filter_map(|key| Some((key, of(key)?)))
        .flat_map(|(key, product)| product.prices.iter().map(move |price| (key, price)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    sql("insert into price_entry (tenant_id, price_list_id, product_id, entry_id, unit_id, min_qty, price, valid_from,
                                  valid_to)
         select $1, n.* from unnest($2, $3, $4, $5, $6, $7, $8, $9) as n")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(rows.iter().map(|(key, _)| key.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(rows.iter().map(|(key, _)| key.1).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(rows.iter().map(|(_, p)| p.entry_id).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(rows.iter().map(|(_, p)| p.unit_id).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(rows.iter().map(|(_, p)| p.min_qty).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(rows.iter().map(|(_, p)| p.price).collect::<Vec<_>>())
    .bind::<Array<Nullable<Date>>, _>(rows.iter().map(|(_, p)| p.valid_from).collect::<Vec<_>>())
    .bind::<Array<Nullable<Date>>, _>(rows.iter().map(|(_, p)| p.valid_to).collect::<Vec<_>>())
    .execute(tx.conn())
    .await
    .map_err(bahi_db::Error::from)?;
    Ok(())
}
