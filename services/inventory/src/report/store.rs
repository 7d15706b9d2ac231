//! Every SQL statement of the reports.

use bahi_db::{Result, Tx, sql};
use bahi_types::{LocationId, Money, PageQuery, ProductId, Quantity, TenantId, business_date};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{
        Array, BigInt, Date, Integer, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;
use rust_decimal::Decimal;
use serde::Serialize;

/// Reports may take longer than what a till waits for.
async fn patience(tx: &mut Tx) -> Result<()> {
    sql("select set_config('statement_timeout', '20s', true)")
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Sums over a whole list.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub(super) struct Total {
    #[diesel(sql_type = BigInt)]
    pub rows: i64,
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
    #[diesel(sql_type = Numeric)]
    pub value: Money,
}

/// Stock that nothing has left.
#[derive(Clone, Debug, QueryableByName, Serialize, utoipa::ToSchema)]
#[schema(as = DeadStockRow)]
pub(super) struct Dead {
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = Nullable<Text>)]
    pub sku: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub name: Option<String>,
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
    #[diesel(sql_type = Numeric)]
    pub value: Money,
    /// When the oldest of it came.
    #[diesel(sql_type = Timestamptz)]
    pub oldest_at: DateTime<Utc>,
    /// When one was last sold from here; absent for never.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub last_sale_at: Option<DateTime<Utc>>,
}

macro_rules! goods {
    () => {
            "with stock as (
               select product_id, location_id, sum(qty_left) as qty, sum(value_left) as value, min(received_at) as oldest_at
               from cost_layer where tenant_id = $1 and ($2 is null or location_id = $2) and ($3 is null or product_id = $3)
                 and status <> 'in_transit'
               group by 1, 2 having min(received_at) < $4
             ), lively as (
               select distinct product_id, location_id from movement
               where tenant_id = $1 and recorded_at >= $4 and kind in ('issue', 'transfer_out', 'return_out')
                 and status <> 'in_transit'
             )"
    };
}

macro_rules! dead {
    ($columns:literal, $rest:literal) => {
        concat!(
            goods!(),
            " select ",
            $columns,
            " from stock s
              where not exists (select 1 from lively l where l.product_id = s.product_id and l.location_id = s.location_id) ",
            $rest
        )
    };
}

/// Which places.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filter {
    pub location: Option<LocationId>,
    pub product: Option<ProductId>,
}

/// One page of dead stock, the dearest first, and its sums.
pub(super) async fn dead(
    tx: &mut Tx,
    filter: Filter,
    since: DateTime<Utc>,
    after: Option<(Money, ProductId, LocationId)>,
    page: &PageQuery,
) -> Result<(Vec<Dead>, Total)> {
    patience(tx).await?;
    let total = sql(dead!(
        "count(*) as rows, coalesce(sum(qty), 0) as qty, coalesce(sum(value), 0) as value",
        ""
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(filter.location)
    .bind::<Nullable<SqlUuid>, _>(filter.product)
    .bind::<Timestamptz, _>(since)
    .get_result(tx.conn())
    .await?;
    let rows = sql(dead!(
        "s.product_id, s.location_id, s.qty, s.value, s.oldest_at,
         (select p.sku from product p where p.tenant_id = $1 and p.product_id = s.product_id) as sku,
         (select p.name from product p where p.tenant_id = $1 and p.product_id = s.product_id) as name,
         (select max(m.occurred_at) from movement m where m.tenant_id = $1 and m.product_id = s.product_id
             and m.location_id = s.location_id and m.kind = 'issue') as last_sale_at",
        "and ($5 is null or s.value < $5 or (s.value = $5 and (s.product_id, s.location_id) > ($6, $7)))
         order by s.value desc, s.product_id, s.location_id limit $8 offset $9"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(filter.location)
    .bind::<Nullable<SqlUuid>, _>(filter.product)
    .bind::<Timestamptz, _>(since)
    .bind::<Nullable<Numeric>, _>(after.map(|a| a.0))
    .bind::<Nullable<SqlUuid>, _>(after.map(|a| a.1))
    .bind::<Nullable<SqlUuid>, _>(after.map(|a| a.2))
    .bind::<BigInt, _>(page.limit())
    .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
    .load(tx.conn())
    .await?;
    Ok((rows, total))
}

#[derive(QueryableByName)]
struct TenantRow {
    #[diesel(sql_type = SqlUuid)]
    tenant_id: TenantId,
}

/// Tenants of whom nobody has looked today what does not sell.
pub(super) async fn unlooked(tx: &mut Tx, today: NaiveDate, most: i32) -> Result<Vec<TenantId>> {
    let rows: Vec<TenantRow> = sql("select tenant_id from unlooked_tenants($1, $2)")
        .bind::<Date, _>(today)
        .bind::<Integer, _>(most)
        .load(tx.conn())
        .await?;
    Ok(rows.into_iter().map(|r| r.tenant_id).collect())
}

/// Writes that somebody has looked.
pub(super) async fn looked(tx: &mut Tx, today: NaiveDate) -> Result<()> {
    sql(
        "insert into dead_stock_look (tenant_id, looked_on) values ($1, $2)
         on conflict (tenant_id) do update set looked_on = excluded.looked_on",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Date, _>(today)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Forgets what was said of goods that move again, or are gone.
pub(super) async fn wake(tx: &mut Tx, since: DateTime<Utc>) -> Result<()> {
    patience(tx).await?;
    sql(concat!(
        goods!(),
        " update dead_stock_alert a set dead = false where a.tenant_id = $1 and a.dead
          and (not exists (select from stock s where s.product_id = a.product_id and s.location_id = a.location_id)
               or exists (select from lively l where l.product_id = a.product_id and l.location_id = a.location_id))"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(None::<LocationId>)
    .bind::<Nullable<SqlUuid>, _>(None::<ProductId>)
    .bind::<Timestamptz, _>(since)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Goods that have stopped selling and of which it has not been said.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct Died {
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
    #[diesel(sql_type = Numeric)]
    pub value: Money,
    #[diesel(sql_type = Timestamptz)]
    pub oldest_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub last_sale_at: Option<DateTime<Utc>>,
    /// How often it has been said of them, this time included.
    #[diesel(sql_type = BigInt)]
    pub times: i64,
}

/// Notes goods that have stopped selling, at most so many: what it gives is to be said now.
pub(super) async fn died(tx: &mut Tx, since: DateTime<Utc>, most: i64) -> Result<Vec<Died>> {
    patience(tx).await?;
    sql(concat!(
        goods!(),
        ", fresh as (
           insert into dead_stock_alert (tenant_id, location_id, product_id, dead, times, raised_at)
           select $1, s.location_id, s.product_id, true, 1, $5 from stock s
           where not exists (select from lively l where l.product_id = s.product_id and l.location_id = s.location_id)
             and not exists (select from dead_stock_alert a where a.tenant_id = $1 and a.product_id = s.product_id
                             and a.location_id = s.location_id and a.dead)
           order by s.location_id, s.product_id limit $6
           on conflict (tenant_id, location_id, product_id) do update
           set dead = true, times = dead_stock_alert.times + 1, raised_at = excluded.raised_at
           where not dead_stock_alert.dead
           returning location_id, product_id, times
         )
         select f.location_id, f.product_id, f.times, s.qty, s.value, s.oldest_at,
           (select max(m.occurred_at) from movement m where m.tenant_id = $1 and m.product_id = f.product_id
              and m.location_id = f.location_id and m.kind = 'issue') as last_sale_at
         from fresh f join stock s on s.location_id = f.location_id and s.product_id = f.product_id
         order by f.location_id, f.product_id"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(None::<LocationId>)
    .bind::<Nullable<SqlUuid>, _>(None::<ProductId>)
    .bind::<Timestamptz, _>(since)
    .bind::<Timestamptz, _>(tx.now())
    .bind::<BigInt, _>(most)
    .load(tx.conn())
    .await
    .map_err(bahi_db::Error::from)
}

/// Stock by age.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct Aged {
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
    #[diesel(sql_type = Numeric)]
    pub value: Money,
    /// As many as there are ages.
    #[diesel(sql_type = Array<Numeric>)]
    pub qtys: Vec<Quantity>,
    #[diesel(sql_type = Array<Numeric>)]
    pub values: Vec<Money>,
}

/// Sums of a whole list by age.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct AgedTotal {
    #[diesel(sql_type = BigInt)]
    pub rows: i64,
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
    #[diesel(sql_type = Numeric)]
    pub value: Money,
    #[diesel(sql_type = Array<Numeric>)]
    pub qtys: Vec<Quantity>,
    #[diesel(sql_type = Array<Numeric>)]
    pub values: Vec<Money>,
}

macro_rules! aged {
    ($rest:literal) => {
        concat!(
            "with layer as (
               select product_id, location_id, qty_left as qty, value_left as value,
                      width_bucket($4 - (received_at at time zone 'Asia/Kolkata')::date, array[31, 61, 91, 181, 366]) as age
               from cost_layer
               where tenant_id = $1 and ($2 is null or location_id = $2) and ($3 is null or product_id = $3)
             ) ",
            $rest
        )
    };
}

macro_rules! buckets {
    () => {
        "coalesce(sum(qty), 0) as qty, coalesce(sum(value), 0) as value,
         array[coalesce(sum(qty) filter (where age = 0), 0), coalesce(sum(qty) filter (where age = 1), 0),
               coalesce(sum(qty) filter (where age = 2), 0), coalesce(sum(qty) filter (where age = 3), 0),
               coalesce(sum(qty) filter (where age = 4), 0), coalesce(sum(qty) filter (where age = 5), 0)] as qtys,
         array[coalesce(sum(value) filter (where age = 0), 0), coalesce(sum(value) filter (where age = 1), 0),
               coalesce(sum(value) filter (where age = 2), 0), coalesce(sum(value) filter (where age = 3), 0),
               coalesce(sum(value) filter (where age = 4), 0), coalesce(sum(value) filter (where age = 5), 0)] as values "
    };
}

const AGED_TOTAL: &str = concat!(
    aged!("select count(distinct (product_id, location_id)) as rows, "),
    buckets!(),
    "from layer"
);

const AGED: &str = concat!(
    aged!("select product_id, location_id, "),
    buckets!(),
    "from layer where ($5 is null or (product_id, location_id) > ($5, $6))
     group by 1, 2 order by 1, 2 limit $7 offset $8"
);

/// One page of stock by age, by product and location, and the sums of all of it.
pub(super) async fn ageing(
    tx: &mut Tx,
    filter: Filter,
    after: Option<(ProductId, LocationId)>,
    page: &PageQuery,
) -> Result<(Vec<Aged>, AgedTotal)> {
    patience(tx).await?;
    let today = business_date(tx.now());
    let total = sql(AGED_TOTAL)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<SqlUuid>, _>(filter.location)
        .bind::<Nullable<SqlUuid>, _>(filter.product)
        .bind::<Date, _>(today)
        .get_result(tx.conn())
        .await?;
    let rows = sql(AGED)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<SqlUuid>, _>(filter.location)
        .bind::<Nullable<SqlUuid>, _>(filter.product)
        .bind::<Date, _>(today)
        .bind::<Nullable<SqlUuid>, _>(after.map(|a| a.0))
        .bind::<Nullable<SqlUuid>, _>(after.map(|a| a.1))
        .bind::<BigInt, _>(page.limit())
        .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
        .load(tx.conn())
        .await?;
    Ok((rows, total))
}

/// What was issued of a product in a period.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct Issued {
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = Nullable<Text>)]
    pub sku: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub name: Option<String>,
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
    #[diesel(sql_type = Numeric)]
    pub value: Money,
    /// Value of the products before it.
    #[diesel(sql_type = Numeric)]
    pub before: Decimal,
    /// Value of all products.
    #[diesel(sql_type = Numeric)]
    pub total: Decimal,
    /// Per cent of the whole value.
    #[diesel(sql_type = Numeric)]
    pub share: Decimal,
    /// Demand of a period.
    #[diesel(sql_type = Numeric)]
    pub mean: Decimal,
    /// Its coefficient of variation.
    #[diesel(sql_type = Nullable<Numeric>)]
    pub variation: Option<Decimal>,
}

/// The time to be looked at, cut into whole periods; what is left at its end counts for value only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// First day.
    pub from: NaiveDate,
    /// Day after the last.
    pub to: NaiveDate,
    /// Days of a period.
    pub length: i32,
    /// Whole periods.
    pub periods: i32,
}

macro_rules! issued {
    ($rest:literal) => {
        concat!(
            "with demand as (
               select product_id, ((recorded_at at time zone 'Asia/Kolkata')::date - $2) / $5 as n,
                      -sum(qty) as qty, -sum(value) as value
               from movement
               where tenant_id = $1 and kind = 'issue' and ($4 is null or location_id = $4)
                 and recorded_at >= $2::timestamp at time zone 'Asia/Kolkata'
                 and recorded_at < $3::timestamp at time zone 'Asia/Kolkata'
               group by 1, 2
             ), product_sum as (
               select product_id, sum(qty) as qty, sum(value) as value,
                      coalesce(sum(qty) filter (where n < $6), 0) / $6 as mean,
                      coalesce(sum(qty * qty) filter (where n < $6), 0) / $6 as square
               from demand group by 1
             ), ranked as (
               select *, sum(value) over () as total, sum(value) over (order by value desc, product_id) - value as before
               from product_sum
             ) ",
            $rest
        )
    };
}

/// One page of products by the value issued, the most first, and the sums of all of them.
pub(super) async fn issued(
    tx: &mut Tx,
    span: Span,
    location: Option<LocationId>,
    after: Option<(Money, ProductId)>,
    page: &PageQuery,
) -> Result<(Vec<Issued>, Total)> {
    patience(tx).await?;
    let total = sql(issued!(
        "select count(*) as rows, coalesce(sum(qty), 0) as qty, coalesce(sum(value), 0) as value from ranked"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Date, _>(span.from)
    .bind::<Date, _>(span.to)
    .bind::<Nullable<SqlUuid>, _>(location)
    .bind::<Integer, _>(span.length)
    .bind::<Integer, _>(span.periods)
    .get_result(tx.conn())
    .await?;
    let rows = sql(issued!(
        "select r.product_id, r.qty, r.value, r.before, r.total, p.sku, p.name, round(r.mean, 4) as mean,
                case when r.total > 0 then round(r.value * 100 / r.total, 2) else 0 end as share,
                case when r.mean > 0 then round(sqrt(greatest(r.square - r.mean * r.mean, 0)) / r.mean, 4) end as variation
         from ranked r left join product p on p.tenant_id = $1 and p.product_id = r.product_id
         where ($7 is null or r.value < $7 or (r.value = $7 and r.product_id > $8))
         order by r.value desc, r.product_id limit $9 offset $10"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Date, _>(span.from)
    .bind::<Date, _>(span.to)
    .bind::<Nullable<SqlUuid>, _>(location)
    .bind::<Integer, _>(span.length)
    .bind::<Integer, _>(span.periods)
    .bind::<Nullable<Numeric>, _>(after.map(|a| a.0))
    .bind::<Nullable<SqlUuid>, _>(after.map(|a| a.1))
    .bind::<BigInt, _>(page.limit())
    .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
    .load(tx.conn())
    .await?;
    Ok((rows, total))
}
