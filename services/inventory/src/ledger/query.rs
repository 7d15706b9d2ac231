//! What can be read of the ledger as it stands: balances, availability, movements.

use std::collections::{BTreeMap, BTreeSet};

use async_graphql::SimpleObject;
use bahi_db::{Result, Tx, sql};
use bahi_types::{
    BatchId, LocationId, Money, MovementId, PageQuery, ProductId, Quantity, business_date,
};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{
        Array, BigInt, Bool, Date, Integer, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use uuid::Uuid;

use super::model::Status;
use crate::kit::{self, Kits};

/// A balance.
#[derive(Clone, Debug, QueryableByName, Serialize, utoipa::ToSchema, SimpleObject)]
#[schema(as = StockRow)]
#[graphql(name = "StockLevel", complex)]
pub(crate) struct Stock {
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    /// Stock-keeping unit.
    #[diesel(sql_type = Nullable<Text>)]
    pub sku: Option<String>,
    /// Name of the product.
    #[diesel(sql_type = Nullable<Text>)]
    pub name: Option<String>,
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    /// Batch; absent for stock without batches.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub batch_id: Option<BatchId>,
    /// Number of the batch.
    #[diesel(sql_type = Nullable<Text>)]
    pub batch_no: Option<String>,
    /// Last day of the batch.
    #[diesel(sql_type = Nullable<Date>)]
    pub expiry: Option<NaiveDate>,
    /// The batch is blocked.
    #[diesel(sql_type = Bool)]
    pub blocked: bool,
    /// `sellable`, `quarantine`, `damaged` or `in_transit` (on its way to the location).
    #[diesel(sql_type = Text)]
    #[schema(value_type = String)]
    pub status: Status,
    #[diesel(sql_type = Numeric)]
    pub on_hand: Quantity,
    /// Absent for a past moment, as are `available` and `version`.
    #[diesel(sql_type = Nullable<Numeric>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved: Option<Quantity>,
    /// What may be promised.
    #[diesel(sql_type = Nullable<Numeric>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available: Option<Quantity>,
    #[diesel(sql_type = Nullable<BigInt>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    total: i64,
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub product: Option<ProductId>,
    pub location: Option<LocationId>,
    pub batch: Option<BatchId>,
    pub status: Option<String>,
    pub below: Option<Quantity>,
}

/// Where a walk over the balances goes on.
pub(super) type StockPlace = (ProductId, LocationId, BatchId, String);

// The gate of a product followed by batch is a balance that never has goods of its own: it is not shown.
const STOCK: &str = "
select s.product_id, p.sku, p.name, s.location_id, nullif(s.batch_id, '00000000-0000-0000-0000-000000000000') as batch_id,
       b.no as batch_no, s.expiry, s.blocked, s.status, s.on_hand, s.reserved,
       case when s.status = 'sellable' and not s.blocked and (s.expiry is null or s.expiry >= $7)
            then s.on_hand - s.reserved else 0 end as available, s.version
from stock_item s
left join product p on p.tenant_id = s.tenant_id and p.product_id = s.product_id
left join batch b on b.tenant_id = s.tenant_id and b.id = s.batch_id
where s.tenant_id = $1 and ($2 is null or s.product_id = $2) and ($3 is null or s.location_id = $3)
  and ($4 is null or s.batch_id = $4) and ($5 is null or s.status = $5)
  and ($6 is null or case when s.status = 'sellable' and not s.blocked and (s.expiry is null or s.expiry >= $7)
                          then s.on_hand - s.reserved else 0 end < $6)
  and not (s.on_hand = 0 and coalesce(p.batch_tracked, false) and s.batch_id = '00000000-0000-0000-0000-000000000000')
  and not (s.on_hand = 0 and s.status <> 'sellable')
  and ($8 is null or (s.product_id, s.location_id, s.batch_id, s.status) > ($8, $9, $10, $11))
order by s.product_id, s.location_id, s.batch_id, s.status limit $12 offset $13";

const STOCK_COUNT: &str = "
select count(*) as total
from stock_item s left join product p on p.tenant_id = s.tenant_id and p.product_id = s.product_id
where s.tenant_id = $1 and ($2 is null or s.product_id = $2) and ($3 is null or s.location_id = $3)
  and ($4 is null or s.batch_id = $4) and ($5 is null or s.status = $5)
  and ($6 is null or case when s.status = 'sellable' and not s.blocked and (s.expiry is null or s.expiry >= $7)
                          then s.on_hand - s.reserved else 0 end < $6)
  and not (s.on_hand = 0 and coalesce(p.batch_tracked, false) and s.batch_id = '00000000-0000-0000-0000-000000000000')
  and not (s.on_hand = 0 and s.status <> 'sellable')";

/// One page of balances and how many there are.
pub(super) async fn stock(
    tx: &mut Tx,
    filter: &Filter,
    after: Option<StockPlace>,
    page: &PageQuery,
) -> Result<(Vec<Stock>, i64)> {
    let today = business_date(tx.now());
    let count: Count = sql(STOCK_COUNT)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<SqlUuid>, _>(filter.product)
        .bind::<Nullable<SqlUuid>, _>(filter.location)
        .bind::<Nullable<SqlUuid>, _>(filter.batch)
        .bind::<Nullable<Text>, _>(&filter.status)
        .bind::<Nullable<Numeric>, _>(filter.below)
        .bind::<Date, _>(today)
        .get_result(tx.conn())
        .await?;
    let rows = sql(STOCK)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<SqlUuid>, _>(filter.product)
        .bind::<Nullable<SqlUuid>, _>(filter.location)
        .bind::<Nullable<SqlUuid>, _>(filter.batch)
        .bind::<Nullable<Text>, _>(&filter.status)
        .bind::<Nullable<Numeric>, _>(filter.below)
        .bind::<Date, _>(today)
        .bind::<Nullable<SqlUuid>, _>(after.as_ref().map(|a| a.0))
        .bind::<Nullable<SqlUuid>, _>(after.as_ref().map(|a| a.1))
        .bind::<Nullable<SqlUuid>, _>(after.as_ref().map(|a| a.2))
        .bind::<Nullable<Text>, _>(after.as_ref().map(|a| a.3.clone()))
        .bind::<BigInt, _>(page.limit())
        .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
        .load(tx.conn())
        .await?;
    Ok((rows, count.total))
}

/// What may be promised of a product.
#[derive(Clone, Debug, QueryableByName, Serialize, utoipa::ToSchema)]
#[schema(as = Availability)]
pub(crate) struct Available {
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = Numeric)]
    pub available: Quantity,
    #[diesel(sql_type = Numeric)]
    pub on_hand: Quantity,
    #[diesel(sql_type = Numeric)]
    pub reserved: Quantity,
}

/// Availability of products at a location, in the order asked for.
async fn availability(
    tx: &mut Tx,
    location: LocationId,
    products: &[ProductId],
) -> Result<Vec<Available>> {
    let today = business_date(tx.now());
    sql("select u.p as product_id, coalesce(sum(s.on_hand - s.reserved) filter
             (where s.status = 'sellable' and not s.blocked and (s.expiry is null or s.expiry >= $4)), 0) as available,
           coalesce(sum(s.on_hand) filter (where s.status <> 'in_transit'), 0) as on_hand,
           coalesce(sum(s.reserved), 0) as reserved
         from unnest($3) with ordinality as u(p, n)
         left join stock_item s on s.tenant_id = $1 and s.location_id = $2 and s.product_id = u.p
         group by u.p, u.n order by u.n")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(location)
        .bind::<Array<SqlUuid>, _>(products)
        .bind::<Date, _>(today)
        .load(tx.conn())
        .await
        .map_err(bahi_db::Error::from)
}

/// Of products and kits at a location, in the order asked for; of a kit as many are available as its components make,
/// each kit looked at by itself. With the kits, and what is available of all goods concerned.
pub(crate) async fn with_kits(
    tx: &mut Tx,
    location: LocationId,
    ids: &[ProductId],
) -> Result<(Vec<Available>, Kits, BTreeMap<ProductId, Quantity>)> {
    let kits = kit::store::kits(tx, ids).await?;
    let mut goods: BTreeSet<ProductId> = kits.all();
    goods.extend(ids);
    let goods: Vec<ProductId> = goods.into_iter().collect();
    // One statement for all of them: what is compared is of one moment.
    let rows = availability(tx, location, &goods).await?;
    let there_is: BTreeMap<ProductId, &Available> =
        rows.iter().map(|a| (a.product_id, a)).collect();
    let of: BTreeMap<ProductId, Quantity> =
        rows.iter().map(|a| (a.product_id, a.available)).collect();
    let item = |id: &ProductId| {
        let mut sums = (*there_is.get(id)?).clone();
        if let Some(components) = kits.components(*id) {
            sums.available = Kits::made_of(components, |c| of.get(&c).copied().unwrap_or_default());
        }
        Some(sums)
    };
    let items = ids.iter().filter_map(item).collect();
    Ok((items, kits, of))
}

/// How much there is of a product over all locations.
#[derive(Clone, Debug, QueryableByName)]
pub(crate) struct Summary {
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = Numeric)]
    pub on_hand: Quantity,
    #[diesel(sql_type = Numeric)]
    pub reserved: Quantity,
    #[diesel(sql_type = Numeric)]
    pub available: Quantity,
    /// Sold and not issued yet.
    #[diesel(sql_type = Numeric)]
    pub owed: Quantity,
    /// History refers to it.
    #[diesel(sql_type = Bool)]
    pub moved: bool,
    /// A transfer or a count that has not ended names it.
    #[diesel(sql_type = Bool)]
    pub documents: bool,
}

/// Sums of products, in the order asked for.
pub(crate) async fn summary(tx: &mut Tx, products: &[ProductId]) -> Result<Vec<Summary>> {
    let today = business_date(tx.now());
    sql("select u.p as product_id, s.on_hand, s.reserved, s.available, o.owed,
                s.reserved > 0 or o.owed > 0
                or exists (select 1 from movement m where m.tenant_id = $1 and m.product_id = u.p)
                or exists (select 1 from sale_kit k where k.tenant_id = $1 and k.kit_id = u.p) as moved,
                exists (select 1 from transfer_line l join transfer t on t.tenant_id = $1 and t.id = l.transfer_id
                         where l.tenant_id = $1 and l.product_id = u.p and t.ended_at is null)
                or exists (select 1 from count_session c join count_line l on l.tenant_id = $1 and l.count_id = c.id
                            where c.tenant_id = $1 and c.state not in ('posted', 'cancelled') and l.product_id = u.p)
                  as documents
         from unnest($2) with ordinality as u(p, n)
         cross join lateral (
           select coalesce(sum(i.on_hand), 0) as on_hand, coalesce(sum(i.reserved), 0) as reserved,
                  coalesce(sum(i.on_hand - i.reserved) filter (where i.status = 'sellable' and not i.blocked
                           and (i.expiry is null or i.expiry >= $3)), 0) as available
           from stock_item i where i.tenant_id = $1 and i.product_id = u.p) s
         cross join lateral (
           select coalesce(sum(h.open), 0) as owed from shortage h
           where h.tenant_id = $1 and h.product_id = u.p and h.open > 0) o
         order by u.n")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(products)
        .bind::<Date, _>(today)
        .load(tx.conn())
        .await
        .map_err(bahi_db::Error::from)
}

/// A movement.
#[derive(Clone, Debug, QueryableByName, Serialize, utoipa::ToSchema, SimpleObject)]
#[schema(as = LedgerEntry)]
#[graphql(name = "StockMovement", complex)]
pub(crate) struct Entry {
    #[diesel(sql_type = SqlUuid)]
    pub movement_id: MovementId,
    /// Order of the ledger.
    #[diesel(sql_type = BigInt)]
    pub seq: i64,
    /// `receipt`, `issue`, `adjust_in`, `adjust_out`, `return_in`, `return_out`, `scrap`, `status_change`,
    /// `transfer_in`, `transfer_out`, `revalue`.
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// Kind of document.
    #[diesel(sql_type = Text)]
    pub source_type: String,
    /// Document.
    #[diesel(sql_type = SqlUuid)]
    #[graphql(skip)]
    pub source_id: Uuid,
    /// Line of it.
    #[diesel(sql_type = Integer)]
    pub source_line: i32,
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub batch_id: Option<BatchId>,
    #[diesel(sql_type = Text)]
    #[schema(value_type = String)]
    pub status: Status,
    /// Signed.
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
    /// Signed; for those who may see values.
    #[diesel(sql_type = Nullable<Numeric>)]
    pub value: Option<Money>,
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    /// Business time.
    #[diesel(sql_type = Timestamptz)]
    pub occurred_at: DateTime<Utc>,
    /// The business day it counts for.
    #[diesel(sql_type = Date)]
    pub posting_date: NaiveDate,
    /// When it was posted.
    #[diesel(sql_type = Timestamptz)]
    pub recorded_at: DateTime<Utc>,
}

/// Which movements.
#[derive(Clone, Debug, Default)]
pub(super) struct Period {
    pub product: Option<ProductId>,
    pub location: Option<LocationId>,
    pub from: Option<DateTime<Utc>>,
    pub to: Option<DateTime<Utc>>,
}

/// One page of movements by the time they were posted, and how many there are: counted for the first page alone, `known`
/// on those that follow it.
pub(super) async fn ledger(
    tx: &mut Tx,
    period: &Period,
    after: Option<i64>,
    known: Option<i64>,
    page: &PageQuery,
) -> Result<(Vec<Entry>, i64)> {
    let total = match known {
        Some(total) => total,
        None => count(tx, period).await?,
    };
    let rows = sql("select id as movement_id, seq, kind, source_type, source_id, source_line, location_id, product_id,
           nullif(batch_id, '00000000-0000-0000-0000-000000000000') as batch_id, status, qty, value, reason,
           occurred_at, posting_date, recorded_at
         from movement where tenant_id = $1
         and ($2 is null or product_id = $2) and ($3 is null or location_id = $3)
         and ($4 is null or recorded_at >= $4) and ($5 is null or recorded_at < $5)
         and ($6 is null or seq > $6) order by seq limit $7 offset $8")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<SqlUuid>, _>(period.product)
        .bind::<Nullable<SqlUuid>, _>(period.location)
        .bind::<Nullable<Timestamptz>, _>(period.from)
        .bind::<Nullable<Timestamptz>, _>(period.to)
        .bind::<Nullable<BigInt>, _>(after)
        .bind::<BigInt, _>(page.limit())
        .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
        .load(tx.conn())
        .await?;
    Ok((rows, total))
}

async fn count(tx: &mut Tx, period: &Period) -> Result<i64> {
    let count: Count = sql("select count(*) as total from movement where tenant_id = $1
         and ($2 is null or product_id = $2) and ($3 is null or location_id = $3)
         and ($4 is null or recorded_at >= $4) and ($5 is null or recorded_at < $5)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(period.product)
    .bind::<Nullable<SqlUuid>, _>(period.location)
    .bind::<Nullable<Timestamptz>, _>(period.from)
    .bind::<Nullable<Timestamptz>, _>(period.to)
    .get_result(tx.conn())
    .await?;
    Ok(count.total)
}
