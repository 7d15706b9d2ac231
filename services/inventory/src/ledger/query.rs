//! What can be read of the ledger: balances, availability, movements, values, and what does not agree.

use bahi_db::{Result, Tx, sql};
use bahi_types::{
    BatchId, LocationId, Money, MovementId, PageQuery, Price, ProductId, Quantity, business_date,
};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{
        Array, BigInt, Bool, Date, Integer, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;
use rust_decimal::Decimal;
use serde::Serialize;
use uuid::Uuid;

/// A balance.
#[derive(Clone, Debug, QueryableByName, Serialize, utoipa::ToSchema)]
#[schema(as = StockRow)]
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
    /// `sellable` or `quarantine`.
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = Numeric)]
    pub on_hand: Quantity,
    #[diesel(sql_type = Numeric)]
    pub reserved: Quantity,
    /// What may be promised.
    #[diesel(sql_type = Numeric)]
    pub available: Quantity,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
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
pub(crate) async fn availability(
    tx: &mut Tx,
    location: LocationId,
    products: &[ProductId],
) -> Result<Vec<Available>> {
    let today = business_date(tx.now());
    sql("select u.p as product_id, coalesce(sum(s.on_hand - s.reserved) filter
             (where s.status = 'sellable' and not s.blocked and (s.expiry is null or s.expiry >= $4)), 0) as available,
           coalesce(sum(s.on_hand), 0) as on_hand, coalesce(sum(s.reserved), 0) as reserved
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
}

/// Sums of products, in the order asked for.
pub(crate) async fn summary(tx: &mut Tx, products: &[ProductId]) -> Result<Vec<Summary>> {
    let today = business_date(tx.now());
    sql("select u.p as product_id, s.on_hand, s.reserved, s.available, o.owed,
                s.reserved > 0 or o.owed > 0
                or exists (select 1 from movement m where m.tenant_id = $1 and m.product_id = u.p) as moved
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
#[derive(Clone, Debug, QueryableByName, Serialize, utoipa::ToSchema)]
#[schema(as = LedgerEntry)]
pub(crate) struct Entry {
    #[diesel(sql_type = SqlUuid)]
    pub movement_id: MovementId,
    /// Order of the ledger.
    #[diesel(sql_type = BigInt)]
    pub seq: i64,
    /// `receipt`, `issue`, `adjust_in`, `adjust_out`, `return_in`, `scrap` or `status_change`.
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// Kind of document.
    #[diesel(sql_type = Text)]
    pub source_type: String,
    /// Document.
    #[diesel(sql_type = SqlUuid)]
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
    pub status: String,
    /// Signed.
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
    /// Signed.
    #[diesel(sql_type = Numeric)]
    pub value: Money,
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    /// Business time.
    #[diesel(sql_type = Timestamptz)]
    pub occurred_at: DateTime<Utc>,
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

/// One page of movements by the time they were posted, and how many there are.
pub(super) async fn ledger(
    tx: &mut Tx,
    period: &Period,
    after: Option<i64>,
    page: &PageQuery,
) -> Result<(Vec<Entry>, i64)> {
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
    let rows = sql("select id as movement_id, seq, kind, source_type, source_id, source_line, location_id, product_id,
           nullif(batch_id, '00000000-0000-0000-0000-000000000000') as batch_id, status, qty, value, reason,
           occurred_at, recorded_at
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
    Ok((rows, count.total))
}

/// What the stock of a product at a location is worth.
#[derive(Clone, Debug, QueryableByName, Serialize, utoipa::ToSchema)]
#[schema(as = ValuationRow)]
pub(crate) struct Value {
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
    #[diesel(sql_type = Numeric)]
    pub value: Money,
    /// Value / quantity.
    #[diesel(sql_type = Numeric)]
    pub average_cost: Price,
}

#[derive(QueryableByName)]
struct Total {
    #[diesel(sql_type = BigInt)]
    rows: i64,
    #[diesel(sql_type = Numeric)]
    value: Decimal,
}

/// One page of values at a time (now, when it is absent), how many rows there are, and their sum.
pub(super) async fn valuation(
    tx: &mut Tx,
    location: Option<LocationId>,
    product: Option<ProductId>,
    as_of: Option<DateTime<Utc>>,
    after: Option<(ProductId, LocationId)>,
    page: &PageQuery,
) -> Result<(Vec<Value>, i64, Money)> {
    let total: Total = sql("select count(*) as rows, coalesce(sum(value), 0) as value from (
           select sum(qty) as qty, sum(value) as value from movement
           where tenant_id = $1 and ($2 is null or location_id = $2) and ($3 is null or product_id = $3)
             and ($4 is null or recorded_at <= $4)
           group by product_id, location_id having sum(qty) <> 0) x")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<SqlUuid>, _>(location)
        .bind::<Nullable<SqlUuid>, _>(product)
        .bind::<Nullable<Timestamptz>, _>(as_of)
        .get_result(tx.conn())
        .await?;
    let rows = sql("select product_id, location_id, sum(qty) as qty, sum(value) as value,
                           round(sum(value) / sum(qty), 4) as average_cost from movement
         where tenant_id = $1 and ($2 is null or location_id = $2) and ($3 is null or product_id = $3)
           and ($4 is null or recorded_at <= $4) and ($5 is null or (product_id, location_id) > ($5, $6))
         group by product_id, location_id having sum(qty) <> 0 order by product_id, location_id limit $7 offset $8")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<SqlUuid>, _>(location)
        .bind::<Nullable<SqlUuid>, _>(product)
        .bind::<Nullable<Timestamptz>, _>(as_of)
        .bind::<Nullable<SqlUuid>, _>(after.map(|a| a.0))
        .bind::<Nullable<SqlUuid>, _>(after.map(|a| a.1))
        .bind::<BigInt, _>(page.limit())
        .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
        .load(tx.conn())
        .await?;
    Ok((rows, total.rows, Money::rounded(total.value)))
}

/// Two numbers that must be equal and are not.
#[derive(Clone, Debug, QueryableByName, Serialize, utoipa::ToSchema)]
pub(crate) struct Difference {
    /// The rule that is broken.
    #[diesel(sql_type = Text)]
    pub rule: String,
    /// Location, where there is one.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub location_id: Option<LocationId>,
    /// Product.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub product_id: Option<ProductId>,
    /// Batch.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub batch_id: Option<BatchId>,
    /// What the books say.
    #[diesel(sql_type = Numeric)]
    #[schema(value_type = String)]
    pub expected: Decimal,
    /// What is there.
    #[diesel(sql_type = Numeric)]
    #[schema(value_type = String)]
    pub found: Decimal,
}

const INTEGRITY: &str = "
with item as (
  select location_id, product_id, batch_id, status, on_hand, reserved, expiry, blocked from stock_item where tenant_id = $1
), moved as (
  select location_id, product_id, batch_id, status, sum(qty) as qty, sum(value) as value
  from movement where tenant_id = $1 group by 1, 2, 3, 4
), layered as (
  select location_id, product_id, batch_id, status, sum(qty_left) as qty, sum(value_left) as value
  from cost_layer where tenant_id = $1 group by 1, 2, 3, 4
), held as (
  select r.location_id, l.product_id, l.batch_id, 'sellable'::text as status, sum(l.qty) as qty
  from reservation r join reservation_line l on l.tenant_id = r.tenant_id and l.reservation_id = r.id
  where r.tenant_id = $1 and r.state = 'pending' group by 1, 2, 3
), place as (
  select location_id, product_id,
         sum(on_hand - reserved) filter (where status = 'sellable' and not blocked and (expiry is null or expiry >= $2)) as available
  from item group by 1, 2
)
select 'I1 on hand = sum of movements' as rule, location_id, product_id, batch_id,
       coalesce(m.qty, 0) as expected, coalesce(i.on_hand, 0) as found
from item i full join moved m using (location_id, product_id, batch_id, status)
where coalesce(i.on_hand, 0) <> coalesce(m.qty, 0)
union all
select 'I2 reserved = sum of pending holds', location_id, product_id, batch_id, coalesce(h.qty, 0), coalesce(i.reserved, 0)
from item i full join held h using (location_id, product_id, batch_id, status)
where coalesce(i.reserved, 0) <> coalesce(h.qty, 0)
union all
select 'I2 0 <= reserved <= on hand', location_id, product_id, batch_id, on_hand, reserved
from item where reserved < 0 or reserved > on_hand
union all
select 'I4 quantity of layers = on hand', location_id, product_id, batch_id, coalesce(i.on_hand, 0), coalesce(l.qty, 0)
from item i full join layered l using (location_id, product_id, batch_id, status)
where coalesce(i.on_hand, 0) <> coalesce(l.qty, 0)
union all
select 'I4 value of layers = value of movements', location_id, product_id, batch_id, coalesce(m.value, 0), coalesce(l.value, 0)
from moved m full join layered l using (location_id, product_id, batch_id, status)
where coalesce(m.value, 0) <> coalesce(l.value, 0)
union all
select 'flags of a balance = flags of its batch', i.location_id, i.product_id, i.batch_id,
       b.blocked::int::numeric, i.blocked::int::numeric
from item i join batch b on b.tenant_id = $1 and b.id = i.batch_id
where i.blocked <> b.blocked or i.expiry is distinct from b.expiry
union all
select 'nothing is owed while something is available', s.location_id, s.product_id, null, 0, sum(s.open)
from shortage s join place p on p.location_id = s.location_id and p.product_id = s.product_id and p.available > 0
where s.tenant_id = $1 and s.open > 0 group by s.location_id, s.product_id
union all
select 'settled = sum of settlements', s.location_id, s.product_id, null, coalesce(t.qty, 0), s.settled
from shortage s left join (select invoice_id, line, sum(qty) as qty from shortage_settlement where tenant_id = $1
                           group by 1, 2) t using (invoice_id, line)
where s.tenant_id = $1 and s.settled <> coalesce(t.qty, 0)";

/// Everything that does not agree. Nothing, in a sound database.
pub(super) async fn integrity(tx: &mut Tx) -> Result<Vec<Difference>> {
    let today = business_date(tx.now());
    sql(INTEGRITY)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Date, _>(today)
        .load(tx.conn())
        .await
        .map_err(bahi_db::Error::from)
}
