//! Every SQL statement about reorder levels.

use std::collections::{BTreeMap, BTreeSet};

use bahi_db::{Error, Result, Tx, sql};
use bahi_types::{LocationId, PageQuery, ProductId, Quantity, TenantId};
use chrono::NaiveDate;
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{
        Array, BigInt, Bool, Date, Integer, Nullable, Numeric, Timestamptz, Uuid as SqlUuid,
    },
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::model::{Day, Days, Demand, Level, PerDay, Policy};
use crate::ledger::Place;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    location_id: LocationId,
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
    #[diesel(sql_type = Nullable<Numeric>)]
    min_qty: Option<Quantity>,
    #[diesel(sql_type = Nullable<Numeric>)]
    max_qty: Option<Quantity>,
    #[diesel(sql_type = Numeric)]
    lead_days: Days,
    #[diesel(sql_type = Numeric)]
    lead_sigma: Days,
    #[diesel(sql_type = Numeric)]
    service_z: Days,
    #[diesel(sql_type = Numeric)]
    moq: Quantity,
    #[diesel(sql_type = Numeric)]
    pack: Quantity,
    #[diesel(sql_type = Nullable<Integer>)]
    shelf_life_days: Option<i32>,
    #[diesel(sql_type = Numeric)]
    on_order: Quantity,
    #[diesel(sql_type = Bool)]
    demand_stated: bool,
    #[diesel(sql_type = Integer)]
    window_days: i32,
    #[diesel(sql_type = Numeric)]
    demand_mean: PerDay,
    #[diesel(sql_type = Numeric)]
    demand_sigma: PerDay,
    #[diesel(sql_type = Integer)]
    demand_days: i32,
    #[diesel(sql_type = Numeric)]
    reorder_point: Quantity,
    #[diesel(sql_type = Date)]
    planned_on: NaiveDate,
    #[diesel(sql_type = Bool)]
    low: bool,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Numeric)]
    available: Quantity,
}

impl From<Row> for (Level, Quantity) {
    fn from(row: Row) -> Self {
        let level = Level {
            place: (row.location_id, row.product_id),
            policy: Policy {
                min_qty: row.min_qty,
                max_qty: row.max_qty,
                lead_days: row.lead_days,
                lead_sigma: row.lead_sigma,
                service_z: row.service_z,
                moq: row.moq,
                pack: row.pack,
                shelf_life_days: row.shelf_life_days,
                on_order: row.on_order,
                window_days: row.window_days,
            },
            demand_stated: row.demand_stated,
            demand: Demand {
                mean: row.demand_mean,
                sigma: row.demand_sigma,
                days: row.demand_days,
            },
            reorder_point: row.reorder_point,
            planned_on: row.planned_on,
            low: row.low,
            version: row.version,
        };
        (level, row.available)
    }
}

macro_rules! columns {
    () => {
        "r.location_id, r.product_id, r.min_qty, r.max_qty, r.lead_days, r.lead_sigma, r.service_z, r.moq, r.pack,
         r.shelf_life_days, r.on_order, r.demand_stated, r.window_days, r.demand_mean, r.demand_sigma, r.demand_days,
         r.reorder_point, r.planned_on, r.low, r.version, "
    };
}

const CROSS: &str = concat!(
    "update reorder_level r set low = not r.low, version = r.version + 1
     from unnest($2, $3, $4) as u(l, p, a)
     where r.tenant_id = $1 and r.location_id = u.l and r.product_id = u.p and r.low <> (u.a < r.reorder_point)
     returning ",
    columns!(),
    "u.a as available"
);

/// Writes the side of the point on which places stand now, where that has changed, and gives those that have fallen
/// below it with what is available. Their gates are locked: nobody else decides it at the same time.
pub(crate) async fn cross(
    mut conn: &AsyncPgConnection,
    tenant: Uuid,
    available: &BTreeMap<Place, Quantity>,
) -> std::result::Result<Vec<(Level, Quantity)>, diesel::result::Error> {
    if available.is_empty() {
        return Ok(Vec::new());
    }
    let (places, quantities): (Vec<Place>, Vec<Quantity>) =
        available.iter().map(|(p, q)| (*p, *q)).unzip();
    let (locations, products): (Vec<LocationId>, Vec<ProductId>) = places.into_iter().unzip();
    let rows: Vec<Row> = sql(CROSS)
        .bind::<SqlUuid, _>(tenant)
        .bind::<Array<SqlUuid>, _>(locations)
        .bind::<Array<SqlUuid>, _>(products)
        .bind::<Array<Numeric>, _>(quantities)
        .load(&mut conn)
        .await?;
    Ok(rows.into_iter().filter(|r| r.low).map(Into::into).collect())
}

#[derive(QueryableByName)]
struct PlaceRow {
    #[diesel(sql_type = SqlUuid)]
    location_id: LocationId,
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
}

/// Those of `places` that have a level and are not known to be below it.
pub(super) async fn not_low(tx: &mut Tx, places: &BTreeSet<Place>) -> Result<BTreeSet<Place>> {
    let (locations, products): (Vec<LocationId>, Vec<ProductId>) = places.iter().copied().unzip();
    let rows: Vec<PlaceRow> = sql("select r.location_id, r.product_id from unnest($2, $3) as u(l, p)
         join reorder_level r on r.tenant_id = $1 and r.location_id = u.l and r.product_id = u.p where not r.low")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(locations)
    .bind::<Array<SqlUuid>, _>(products)
    .load(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| (r.location_id, r.product_id))
        .collect())
}

/// Locks the level of a place; its gate is locked.
pub(super) async fn lock(tx: &mut Tx, (location, product): Place) -> Result<Option<Level>> {
    let row: Option<Row> = sql(concat!(
        "select ",
        columns!(),
        "0::numeric as available from reorder_level r
         where r.tenant_id = $1 and r.location_id = $2 and r.product_id = $3 for update"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(location)
    .bind::<SqlUuid, _>(product)
    .get_result(tx.conn())
    .await
    .optional()?;
    Ok(row.map(|r| <(Level, Quantity)>::from(r).0))
}

/// Writes a level.
pub(super) async fn save(tx: &mut Tx, level: &Level) -> Result<()> {
    let (now, policy, demand) = (tx.now(), &level.policy, &level.demand);
    sql("insert into reorder_level (tenant_id, location_id, product_id, min_qty, max_qty, lead_days, lead_sigma, service_z,
           moq, pack, shelf_life_days, on_order, demand_stated, window_days, demand_mean, demand_sigma, demand_days,
           reorder_point, planned_on, low, version, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
         on conflict (tenant_id, location_id, product_id) do update set
           min_qty = excluded.min_qty, max_qty = excluded.max_qty, lead_days = excluded.lead_days,
           lead_sigma = excluded.lead_sigma, service_z = excluded.service_z, moq = excluded.moq, pack = excluded.pack,
           shelf_life_days = excluded.shelf_life_days, on_order = excluded.on_order,
           demand_stated = excluded.demand_stated, window_days = excluded.window_days,
           demand_mean = excluded.demand_mean, demand_sigma = excluded.demand_sigma,
           demand_days = excluded.demand_days, reorder_point = excluded.reorder_point,
           planned_on = excluded.planned_on, low = excluded.low, version = excluded.version,
           updated_at = excluded.updated_at")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(level.place.0)
        .bind::<SqlUuid, _>(level.place.1)
        .bind::<Nullable<Numeric>, _>(policy.min_qty)
        .bind::<Nullable<Numeric>, _>(policy.max_qty)
        .bind::<Numeric, _>(policy.lead_days)
        .bind::<Numeric, _>(policy.lead_sigma)
        .bind::<Numeric, _>(policy.service_z)
        .bind::<Numeric, _>(policy.moq)
        .bind::<Numeric, _>(policy.pack)
        .bind::<Nullable<Integer>, _>(policy.shelf_life_days)
        .bind::<Numeric, _>(policy.on_order)
        .bind::<Bool, _>(level.demand_stated)
        .bind::<Integer, _>(policy.window_days)
        .bind::<Numeric, _>(demand.mean)
        .bind::<Numeric, _>(demand.sigma)
        .bind::<Integer, _>(demand.days)
        .bind::<Numeric, _>(level.reorder_point)
        .bind::<Date, _>(level.planned_on)
        .bind::<Bool, _>(level.low)
        .bind::<BigInt, _>(level.version)
        .bind::<Timestamptz, _>(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct DayRow {
    #[diesel(sql_type = Numeric)]
    issued: Quantity,
    #[diesel(sql_type = Numeric)]
    delta: Quantity,
    #[diesel(sql_type = Numeric)]
    closing: Quantity,
}

/// The days `from` to `to` of a place, both included: business days in India.
pub(super) async fn days(
    tx: &mut Tx,
    (location, product): Place,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<Day>> {
    let rows: Vec<DayRow> = sql("with moved as (
           select (m.occurred_at at time zone 'Asia/Kolkata')::date as day, sum(m.qty) as delta,
                  coalesce(-sum(m.qty) filter (where m.kind = 'issue'), 0) as issued
           from movement m
           where m.tenant_id = $1 and m.product_id = $2 and m.location_id = $3 and m.status = 'sellable' group by 1
         )
         select coalesce(m.issued, 0) as issued, coalesce(m.delta, 0) as delta,
                (select coalesce(sum(b.delta), 0) from moved b where b.day < $4)
                  + sum(coalesce(m.delta, 0)) over (order by d.day) as closing
         from (select generate_series($4::timestamp, $5::timestamp, interval '1 day')::date as day) d
         left join moved m using (day) order by d.day")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(product)
    .bind::<SqlUuid, _>(location)
    .bind::<Date, _>(from)
    .bind::<Date, _>(to)
    .load(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| Day {
            issued: r.issued,
            opening: r.closing - r.delta,
            closing: r.closing,
        })
        .collect())
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub location: Option<LocationId>,
    pub product: Option<ProductId>,
    pub low: Option<bool>,
    /// Only those of which available and on order is below the point.
    pub to_buy: bool,
}

macro_rules! levels {
    ($columns:expr, $rest:literal) => {
        concat!(
            "select ",
            $columns,
            " from reorder_level r
             cross join lateral (
               select coalesce(sum(s.on_hand - s.reserved), 0) as available from stock_item s
               where s.tenant_id = r.tenant_id and s.location_id = r.location_id and s.product_id = r.product_id
                 and s.status = 'sellable' and not s.blocked and (s.expiry is null or s.expiry >= $6)) a
             where r.tenant_id = $1 and ($2 is null or r.location_id = $2) and ($3 is null or r.product_id = $3)
               and ($4 is null or r.low = $4) and (not $5 or a.available + r.on_order < r.reorder_point) ",
            $rest
        )
    };
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    total: i64,
}

/// One page of levels with what is available, by location and product, and how many there are.
pub(super) async fn list(
    tx: &mut Tx,
    filter: &Filter,
    after: Option<Place>,
    page: &PageQuery,
) -> Result<(Vec<(Level, Quantity)>, i64)> {
    let today = bahi_types::business_date(tx.now());
    let count: Count = sql(levels!("count(*) as total", ""))
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<SqlUuid>, _>(filter.location)
        .bind::<Nullable<SqlUuid>, _>(filter.product)
        .bind::<Nullable<Bool>, _>(filter.low)
        .bind::<Bool, _>(filter.to_buy)
        .bind::<Date, _>(today)
        .get_result(tx.conn())
        .await?;
    let rows: Vec<Row> = sql(levels!(
        concat!(columns!(), "a.available"),
        "and ($7 is null or (r.location_id, r.product_id) > ($7, $8))
         order by r.location_id, r.product_id limit $9 offset $10"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(filter.location)
    .bind::<Nullable<SqlUuid>, _>(filter.product)
    .bind::<Nullable<Bool>, _>(filter.low)
    .bind::<Bool, _>(filter.to_buy)
    .bind::<Date, _>(today)
    .bind::<Nullable<SqlUuid>, _>(after.map(|a| a.0))
    .bind::<Nullable<SqlUuid>, _>(after.map(|a| a.1))
    .bind::<BigInt, _>(page.limit())
    .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
    .load(tx.conn())
    .await?;
    Ok((rows.into_iter().map(Into::into).collect(), count.total))
}

#[derive(QueryableByName)]
struct Stale {
    #[diesel(sql_type = SqlUuid)]
    tenant_id: TenantId,
    #[diesel(sql_type = SqlUuid)]
    location_id: LocationId,
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
}

/// Places of every tenant whose demand is the ledger's and was not planned today.
pub(super) async fn stale(
    tx: &mut Tx,
    today: NaiveDate,
    most: i32,
    besides: &[TenantId],
) -> Result<Vec<(TenantId, Place)>> {
    let rows: Vec<Stale> =
        sql("select tenant_id, location_id, product_id from stale_levels($1, $2, $3)")
            .bind::<Date, _>(today)
            .bind::<Integer, _>(most)
            .bind::<Array<SqlUuid>, _>(besides)
            .load(tx.conn())
            .await
            .map_err(Error::from)?;
    Ok(rows
        .into_iter()
        .map(|r| (r.tenant_id, (r.location_id, r.product_id)))
        .collect())
}
