//! What there was, and was worth, at a past moment: the snapshot nearest to it and what lies between.
//!
//! Two questions are answered. A day (`2026-10-31`) asks for what counts for the time up to its end, by posting date,
//! as it is known now: a receipt that was dated back into it counts. A moment (RFC 3339) asks for what was written by
//! then, so its answer never changes.
//!
//! A snapshot of a dekad (a third of a month) holds every movement posted up to its end whose place in the ledger is
//! below its fence. Only a late movement (one posted to a dekad that was over) can be missing from it; for a moment within
//! its dekad it also holds younger ones, late or not, which are taken off. Late movements share the calendar while they
//! are posted and a snapshot has it alone, so each of them is either seen by it or has a place above its fence; the tail
//! adds those and takes the others off.

use bahi_db::{Ctx, Result, Tx, sql};
use bahi_service::Failures;
use bahi_types::{
    LocationId, Money, PageQuery, Price, ProductId, Quantity, TenantId, business_date,
};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{BigInt, Date, Integer, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use uuid::Uuid;

use super::{
    query::{Filter, Stock, StockPlace},
    store,
};
use crate::{Error, State, period};

/// A past moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AsOf {
    /// The end of a business day, by posting date.
    Day(NaiveDate),
    /// What was written by then.
    Moment(DateTime<Utc>),
}

impl std::str::FromStr for AsOf {
    type Err = &'static str;
    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        if let Ok(day) = text.parse::<NaiveDate>() {
            return Ok(Self::Day(day));
        }
        let moment = text.parse::<DateTime<Utc>>();
        moment.map(Self::Moment).map_err(
            |_| "must be a day such as 2026-10-31 or a moment such as 2026-10-31T18:30:00Z",
        )
    }
}

/// Where the answer to [`AsOf`] is to be found.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// The snapshot's dekad.
    dekad: Option<NaiveDate>,
    /// Its last day; the tail begins after it, or ends with it.
    last: NaiveDate,
    /// Its fence.
    fence: i64,
    /// The tail ends with this day; where it lies before the snapshot's last, what came between is taken off.
    through: NaiveDate,
    /// It ends with what was written by then, too.
    written: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct SnapshotRow {
    #[diesel(sql_type = Date)]
    dekad: NaiveDate,
    #[diesel(sql_type = BigInt)]
    fence: i64,
}

/// Before every movement, and within what PostgreSQL keeps.
fn dawn() -> NaiveDate {
    NaiveDate::from_ymd_opt(1, 1, 1).unwrap_or_default()
}

async fn bounds(tx: &mut Tx, as_of: AsOf) -> Result<Bounds> {
    // The tail is planned for what is asked, and a worker costs more than it saves.
    sql(
        "select set_config('plan_cache_mode', 'force_custom_plan', true),
                set_config('max_parallel_workers_per_gather', '0', true)",
    )
    .execute(tx.conn())
    .await?;
    let today = business_date(tx.now());
    let (through, written) = match as_of {
        AsOf::Day(day) => (day.clamp(dawn(), today), None),
        AsOf::Moment(at) => (
            business_date(at.clamp(DateTime::UNIX_EPOCH, tx.now())),
            Some(at),
        ),
    };
    let rows: Vec<SnapshotRow> = sql(
        "select dekad, fence from stock_snapshot where tenant_id = $1 and dekad <= $2
         order by dekad desc limit 2",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Date, _>(period::dekad_of(through))
    .load(tx.conn())
    .await?;
    // The nearer one: that of the day's own dekad with what came later taken off, or an earlier one.
    let far = |row: &SnapshotRow| (period::dekad_end(row.dekad) - through).num_days().abs();
    let row = rows.into_iter().min_by_key(far);
    Ok(Bounds {
        dekad: row.as_ref().map(|r| r.dekad),
        last: row
            .as_ref()
            .map_or_else(dawn, |r| period::dekad_end(r.dekad)),
        fence: row.map_or(0, |r| r.fence),
        through,
        written,
    })
}

// $1 tenant, $2 product, $3 location, $4 snapshot's dekad, $5 its last day, $6 its fence, $7 last day, $8 written by.
macro_rules! moved {
    () => {
        "moved as (
  select product_id, location_id, batch_id, status, qty, value from stock_snapshot_line
  where tenant_id = $1 and dekad = $4 and ($2 is null or product_id = $2) and ($3 is null or location_id = $3)
  union all
  select product_id, location_id, batch_id, status, qty, value from movement
  where tenant_id = $1 and posting_date > $5 and posting_date <= $7 and ($8 is null or recorded_at <= $8)
    and ($2 is null or product_id = $2) and ($3 is null or location_id = $3)
  union all
  select product_id, location_id, batch_id, status, -qty, -value from movement
  where tenant_id = $1 and posting_date > $7 and posting_date <= $5 and not (late and seq > $6)
    and ($2 is null or product_id = $2) and ($3 is null or location_id = $3)
  union all
  -- in the snapshot of the moment's own dekad, and written after the moment: by the time it was written, for these are few
  select product_id, location_id, batch_id, status, -qty, -value from movement
  where tenant_id = $1 and $7 <= $5 and posting_date >= $4 and posting_date <= $7 and not late
    and recorded_at > $8 and recorded_at < ($5 + 1)::timestamp at time zone 'UTC' - interval '330 minutes'
    and ($2 is null or product_id = $2) and ($3 is null or location_id = $3)
  union all
  select product_id, location_id, batch_id, status, qty, value from movement
  where tenant_id = $1 and late and seq > $6 and posting_date <= least($5, $7) and ($8 is null or recorded_at <= $8)
    and ($2 is null or product_id = $2) and ($3 is null or location_id = $3)
  union all
  select product_id, location_id, batch_id, status, -qty, -value from movement
  where tenant_id = $1 and late and seq < $6 and posting_date <= least($5, $7) and $8 is not null and recorded_at > $8
    and ($2 is null or product_id = $2) and ($3 is null or location_id = $3)
)"
    };
}

// One row at least, so that the sums are there on every page.
macro_rules! valued {
    () => {
        "
select t.rows, t.total, r.product_id, r.location_id, r.qty, r.value,
       case when r.qty <> 0 then round(r.value / r.qty, 4) else 0 end as average_cost
from (select count(*) as rows, coalesce(sum(value), 0) as total from x) t
left join (select * from x where $9 is null or (product_id, location_id) > ($9, $10)
           order by product_id, location_id limit $11 offset $12) r on true
order by r.product_id, r.location_id"
    };
}

const VALUATION_THEN: &str = concat!(
    "with ",
    moved!(),
    ", x as (select product_id, location_id, sum(qty) as qty, sum(value) as value from moved group by 1, 2
     having sum(qty) <> 0 or sum(value) <> 0)",
    valued!()
);
const VALUATION_NOW: &str = concat!(
    "with x as (select product_id, location_id, sum(qty_left) as qty, sum(value_left) as value from cost_layer
     where tenant_id = $1 and ($2 is null or product_id = $2) and ($3 is null or location_id = $3)
       and ($4 is null and $5 is null and $6 is null and $7 is null and $8 is null)
     group by 1, 2)",
    valued!()
);

/// What the stock of a product at a location is worth.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ValuationRow)]
pub(super) struct Value {
    pub product_id: ProductId,
    pub location_id: LocationId,
    pub qty: Quantity,
    pub value: Money,
    /// Value / quantity.
    pub average_cost: Price,
}

#[derive(QueryableByName)]
struct ValueRow {
    #[diesel(sql_type = BigInt)]
    rows: i64,
    #[diesel(sql_type = Numeric)]
    total: Money,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    product_id: Option<ProductId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    location_id: Option<LocationId>,
    #[diesel(sql_type = Nullable<Numeric>)]
    qty: Option<Quantity>,
    #[diesel(sql_type = Nullable<Numeric>)]
    value: Option<Money>,
    #[diesel(sql_type = Nullable<Numeric>)]
    average_cost: Option<rust_decimal::Decimal>,
}

/// One page of values at a time (now, when it is absent), how many rows there are, and their sum.
pub(super) async fn valuation(
    tx: &mut Tx,
    (product, location): (Option<ProductId>, Option<LocationId>),
    as_of: Option<AsOf>,
    after: Option<(ProductId, LocationId)>,
    page: &PageQuery,
) -> Result<(Vec<Value>, i64, Money)> {
    let bounds = match as_of {
        Some(as_of) => Some(bounds(tx, as_of).await?),
        None => None,
    };
    let text = if bounds.is_some() {
        VALUATION_THEN
    } else {
        VALUATION_NOW
    };
    let rows: Vec<ValueRow> = sql(text)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<SqlUuid>, _>(product)
        .bind::<Nullable<SqlUuid>, _>(location)
        .bind::<Nullable<Date>, _>(bounds.and_then(|b| b.dekad))
        .bind::<Nullable<Date>, _>(bounds.map(|b| b.last))
        .bind::<Nullable<BigInt>, _>(bounds.map(|b| b.fence))
        .bind::<Nullable<Date>, _>(bounds.map(|b| b.through))
        .bind::<Nullable<Timestamptz>, _>(bounds.and_then(|b| b.written))
        .bind::<Nullable<SqlUuid>, _>(after.map(|a| a.0))
        .bind::<Nullable<SqlUuid>, _>(after.map(|a| a.1))
        .bind::<BigInt, _>(page.limit())
        .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
        .load(tx.conn())
        .await?;
    let (count, total) = rows
        .as_slice()
        .first()
        .map_or((0, Money::ZERO), |r| (r.rows, r.total));
    let value = |r: ValueRow| {
        Some(Value {
            product_id: r.product_id?,
            location_id: r.location_id?,
            qty: r.qty?,
            value: r.value?,
            average_cost: Price::rounded(r.average_cost?),
        })
    };
    Ok((rows.into_iter().filter_map(value).collect(), count, total))
}

const STOCK_THEN: &str = concat!(
    "with ",
    moved!(),
    ", x as (select product_id, location_id, batch_id, status, sum(qty) as on_hand from moved
             where ($9 is null or batch_id = $9) and ($10 is null or status = $10)
             group by 1, 2, 3, 4 having sum(qty) <> 0)
select (select count(*) from x) as rows, s.product_id, p.sku, p.name, s.location_id,
       nullif(s.batch_id, '00000000-0000-0000-0000-000000000000') as batch_id, b.no as batch_no, b.expiry,
       coalesce(b.blocked, false) as blocked, s.status, s.on_hand,
       null::numeric as reserved, null::numeric as available, null::bigint as version
from x s
left join product p on p.tenant_id = $1 and p.product_id = s.product_id
left join batch b on b.tenant_id = $1 and b.id = s.batch_id
where $11 is null or (s.product_id, s.location_id, s.batch_id, s.status) > ($11, $12, $13, $14)
order by s.product_id, s.location_id, s.batch_id, s.status limit $15 offset $16"
);

#[derive(QueryableByName)]
struct StockThen {
    #[diesel(sql_type = BigInt)]
    rows: i64,
    #[diesel(embed)]
    stock: Stock,
}

/// One page of the balances of a past moment, and how many there were (0 behind the last page).
pub(super) async fn stock(
    tx: &mut Tx,
    as_of: AsOf,
    filter: &Filter,
    after: Option<StockPlace>,
    page: &PageQuery,
) -> Result<(Vec<Stock>, i64)> {
    let b = bounds(tx, as_of).await?;
    let rows: Vec<StockThen> = sql(STOCK_THEN)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<SqlUuid>, _>(filter.product)
        .bind::<Nullable<SqlUuid>, _>(filter.location)
        .bind::<Nullable<Date>, _>(b.dekad)
        .bind::<Date, _>(b.last)
        .bind::<BigInt, _>(b.fence)
        .bind::<Date, _>(b.through)
        .bind::<Nullable<Timestamptz>, _>(b.written)
        .bind::<Nullable<SqlUuid>, _>(filter.batch)
        .bind::<Nullable<Text>, _>(&filter.status)
        .bind::<Nullable<SqlUuid>, _>(after.as_ref().map(|a| a.0))
        .bind::<Nullable<SqlUuid>, _>(after.as_ref().map(|a| a.1))
        .bind::<Nullable<SqlUuid>, _>(after.as_ref().map(|a| a.2))
        .bind::<Nullable<Text>, _>(after.as_ref().map(|a| a.3.clone()))
        .bind::<BigInt, _>(page.limit())
        .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
        .load(tx.conn())
        .await?;
    let total = rows.as_slice().first().map_or(0, |r| r.rows);
    Ok((rows.into_iter().map(|r| r.stock).collect(), total))
}

/// Most businesses of one run; the next one goes on.
const MOST: i32 = 500;

/// Takes the snapshots that are missing, dekad by dekad, of every business that has any goods.
///
/// # Errors
/// The database's. What was taken stays; the rest is taken by the next run.
pub async fn take_snapshots(state: &State) -> anyhow::Result<()> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        tenant_id: TenantId,
    }
    let ended = ended(state.db.clock().now());
    let nobody = Ctx::service(state.db.service(), TenantId::from_uuid(Uuid::nil()));
    let rows: Vec<Row> = state
        .db
        .read(
            &nobody,
            async move |tx: &mut Tx| -> std::result::Result<_, Error> {
                let rows = sql("select tenant_id from lacking_snapshot($1, $2)")
                    .bind::<Date, _>(ended)
                    .bind::<Integer, _>(MOST)
                    .load(tx.conn())
                    .await?;
                Ok(rows)
            },
        )
        .await?;
    let mut failures = Failures::none();
    for row in rows {
        let ctx = Ctx::service(state.db.service(), row.tenant_id);
        let mut more = true;
        while more {
            let taken = state
                .db
                .write(
                    &ctx,
                    async move |tx: &mut Tx| -> std::result::Result<bool, Error> {
                        next_snapshot(tx, ended).await.map_err(Error::from)
                    },
                )
                .await;
            more = failures.pass(taken).is_some_and(|done| done.value);
        }
    }
    Ok(failures.end()?)
}

/// The last dekad that is over, for as long as a transaction of it could still be open.
fn ended(now: DateTime<Utc>) -> NaiveDate {
    let current = period::dekad_of(business_date(now - period::GRACE));
    period::dekad_of(current.pred_opt().unwrap_or(current))
}

/// Takes the snapshot of the next dekad that lacks one; false when there is none up to `ended`.
async fn next_snapshot(tx: &mut Tx, ended: NaiveDate) -> Result<bool> {
    period::store::lock(tx).await?;
    let last: Option<SnapshotRow> = sql(
        "select dekad, fence from stock_snapshot where tenant_id = $1 order by dekad desc limit 1",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .get_result(tx.conn())
    .await
    .optional()?;
    let dekad = match &last {
        Some(row) => period::dekad_end(row.dekad).succ_opt(),
        None => period::store::first_day(tx).await?.map(period::dekad_of),
    };
    // A business without a movement has an empty snapshot, so that it is not looked for again.
    let dekad = dekad.unwrap_or(ended);
    if dekad > ended {
        return if last.is_none() {
            insert_snapshot(tx, ended, None).await.map(|()| false)
        } else {
            Ok(false)
        };
    }
    insert_snapshot(tx, dekad, last).await?;
    Ok(dekad < ended)
}

async fn insert_snapshot(tx: &mut Tx, dekad: NaiveDate, before: Option<SnapshotRow>) -> Result<()> {
    // A dekad of a large business takes longer than a request may.
    sql("select set_config('statement_timeout', '60s', true)")
        .execute(tx.conn())
        .await?;
    let fence = store::draw(tx, 1)
        .await?
        .as_slice()
        .first()
        .copied()
        .unwrap_or(0);
    sql("insert into stock_snapshot (tenant_id, dekad, fence, taken_at) values ($1, $2, $3, $4)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Date, _>(dekad)
        .bind::<BigInt, _>(fence)
        .bind::<Timestamptz, _>(tx.now())
        .execute(tx.conn())
        .await?;
    let last = before
        .as_ref()
        .map_or_else(dawn, |b| period::dekad_end(b.dekad));
    // In the order of its key: a snapshot is then read from a few pages that lie side by side, not from one for each line.
    sql("insert into stock_snapshot_line (tenant_id, dekad, product_id, location_id, batch_id, status, qty, value)
         select $1, $2, product_id, location_id, batch_id, status, sum(qty), sum(value) from (
           select product_id, location_id, batch_id, status, qty, value from stock_snapshot_line
           where tenant_id = $1 and dekad = $3
           union all
           select product_id, location_id, batch_id, status, qty, value from movement
           where tenant_id = $1 and posting_date > $4 and posting_date <= $5
           union all
           select product_id, location_id, batch_id, status, qty, value from movement
           where tenant_id = $1 and late and seq > $6 and posting_date <= $4) m
         group by product_id, location_id, batch_id, status having sum(qty) <> 0 or sum(value) <> 0
         order by product_id, location_id, batch_id, status")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Date, _>(dekad)
        .bind::<Nullable<Date>, _>(before.as_ref().map(|b| b.dekad))
        .bind::<Date, _>(last)
        .bind::<Date, _>(period::dekad_end(dekad))
        .bind::<BigInt, _>(before.map_or(0, |b| b.fence))
        .execute(tx.conn())
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_and_a_moment_are_told_apart() {
        assert_eq!(
            "2026-10-31".parse(),
            Ok(AsOf::Day("2026-10-31".parse().unwrap()))
        );
        assert!(matches!(
            "2026-10-31T18:30:00Z".parse(),
            Ok(AsOf::Moment(_))
        ));
        for bad in ["yesterday", "2026-02-30", "2026-10-31T18:30", ""] {
            assert!(bad.parse::<AsOf>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_dekad_is_over_an_hour_after_midnight_in_india() {
        let at = |text: &str| ended(text.parse().unwrap()).to_string();
        assert_eq!(at("2026-10-31T19:29:59Z"), "2026-10-11");
        assert_eq!(at("2026-10-31T19:30:00Z"), "2026-10-21");
    }
}
