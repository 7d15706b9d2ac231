//! Every SQL statement about goods near their last day.

use bahi_db::{Result, Tx, sql};
use bahi_types::{BatchId, LocationId, Money, PageQuery, ProductId, Quantity, TenantId};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{
        Array, BigInt, Date, Integer, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;

/// Goods of a batch on the shelf of a location.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct AtRisk {
    #[diesel(sql_type = SqlUuid)]
    pub batch_id: BatchId,
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    #[diesel(sql_type = Text)]
    pub no: String,
    #[diesel(sql_type = Date)]
    pub expiry: NaiveDate,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
    #[diesel(sql_type = Numeric)]
    pub value: Money,
    /// When something was said last.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub raised_at: Option<DateTime<Utc>>,
}

macro_rules! at_risk {
    ($rest:literal) => {
        concat!(
            "select b.id as batch_id, b.product_id, s.location_id, b.no, b.expiry, b.version, s.on_hand as qty,
                    coalesce((select sum(c.value_left) from cost_layer c
                               where c.tenant_id = s.tenant_id and c.location_id = s.location_id
                                 and c.product_id = s.product_id and c.batch_id = s.batch_id
                                 and c.status = s.status), 0) as value,
                    (select max(a.raised_at) from expiry_alert a where a.tenant_id = b.tenant_id
                        and a.batch_id = b.id and a.location_id = s.location_id) as raised_at
             from batch b
             join stock_item s on s.tenant_id = b.tenant_id and s.batch_id = b.id and s.status = 'sellable' and s.on_hand > 0
                              and s.batch_id <> '00000000-0000-0000-0000-000000000000'
             where b.tenant_id = $1 and b.expiry <= $2 and not b.blocked ",
            $rest
        )
    };
}

/// Goods whose last day is at most `until`, after a batch and location, in their order.
pub(super) async fn walk(
    tx: &mut Tx,
    until: NaiveDate,
    after: (BatchId, LocationId),
    most: i64,
) -> Result<Vec<AtRisk>> {
    sql(at_risk!(
        "and (b.id, s.location_id) > ($3, $4) order by b.id, s.location_id limit $5"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Date, _>(until)
    .bind::<SqlUuid, _>(after.0)
    .bind::<SqlUuid, _>(after.1)
    .bind::<BigInt, _>(most)
    .load(tx.conn())
    .await
    .map_err(bahi_db::Error::from)
}

/// Something to be said: the goods, how long they have, and the threshold they have reached.
pub(super) struct Alert {
    pub goods: AtRisk,
    pub days_left: i32,
    pub threshold: i32,
}

#[derive(QueryableByName)]
struct Raised {
    #[diesel(sql_type = SqlUuid)]
    batch_id: BatchId,
    #[diesel(sql_type = SqlUuid)]
    location_id: LocationId,
}

/// Enters alerts and gives the keys of those that had not been there: only they are said.
pub(super) async fn raise(tx: &mut Tx, alerts: &[Alert]) -> Result<Vec<(BatchId, LocationId)>> {
    if alerts.is_empty() {
        return Ok(Vec::new());
    }
    let now = tx.now();
    let column = |f: fn(&Alert) -> i32| alerts.iter().map(f).collect::<Vec<_>>();
    let rows: Vec<Raised> = sql(
        "insert into expiry_alert (tenant_id, batch_id, location_id, threshold, days_left, qty, value, raised_at)
         select $1, u.b, u.l, u.t, u.d, u.q, u.v, $8 from unnest($2, $3, $4, $5, $6, $7) as u(b, l, t, d, q, v)
         order by u.b, u.l on conflict do nothing returning batch_id, location_id",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(alerts.iter().map(|a| a.goods.batch_id).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(alerts.iter().map(|a| a.goods.location_id).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(column(|a| a.threshold))
    .bind::<Array<Integer>, _>(column(|a| a.days_left))
    .bind::<Array<Numeric>, _>(alerts.iter().map(|a| a.goods.qty).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(alerts.iter().map(|a| a.goods.value).collect::<Vec<_>>())
    .bind::<Timestamptz, _>(now)
    .load(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| (r.batch_id, r.location_id))
        .collect())
}

#[derive(QueryableByName)]
struct TenantRow {
    #[diesel(sql_type = SqlUuid)]
    tenant_id: TenantId,
}

/// Tenants with batches whose last day is at most `until`.
pub(super) async fn tenants(tx: &mut Tx, until: NaiveDate) -> Result<Vec<TenantId>> {
    let rows: Vec<TenantRow> = sql("select tenant_id from expiring_tenants($1)")
        .bind::<Date, _>(until)
        .load(tx.conn())
        .await?;
    Ok(rows.into_iter().map(|r| r.tenant_id).collect())
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub until: NaiveDate,
    pub location: Option<LocationId>,
    pub product: Option<ProductId>,
}

#[derive(QueryableByName)]
struct Total {
    #[diesel(sql_type = BigInt)]
    total: i64,
    #[diesel(sql_type = Numeric)]
    value: Money,
}

/// One page of goods near their last day, the nearest first, how many there are, and what all of them cost.
pub(super) async fn list(
    tx: &mut Tx,
    filter: &Filter,
    after: Option<(NaiveDate, BatchId, LocationId)>,
    page: &PageQuery,
) -> Result<(Vec<AtRisk>, i64, Money)> {
    let total: Total = sql(
        "select count(distinct (b.id, s.location_id)) as total, coalesce(sum(c.value_left), 0) as value
         from batch b
         join stock_item s on s.tenant_id = b.tenant_id and s.batch_id = b.id and s.status = 'sellable' and s.on_hand > 0
                          and s.batch_id <> '00000000-0000-0000-0000-000000000000'
         left join cost_layer c on c.tenant_id = s.tenant_id and c.location_id = s.location_id
              and c.product_id = s.product_id and c.batch_id = s.batch_id and c.status = s.status
         where b.tenant_id = $1 and b.expiry <= $2 and not b.blocked
           and ($3 is null or s.location_id = $3) and ($4 is null or b.product_id = $4)",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Date, _>(filter.until)
    .bind::<Nullable<SqlUuid>, _>(filter.location)
    .bind::<Nullable<SqlUuid>, _>(filter.product)
    .get_result(tx.conn())
    .await?;
    let rows = sql(at_risk!(
        "and ($3 is null or s.location_id = $3) and ($4 is null or b.product_id = $4)
         and ($5 is null or (b.expiry, b.id, s.location_id) > ($5, $6, $7))
         order by b.expiry, b.id, s.location_id limit $8 offset $9"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Date, _>(filter.until)
    .bind::<Nullable<SqlUuid>, _>(filter.location)
    .bind::<Nullable<SqlUuid>, _>(filter.product)
    .bind::<Nullable<Date>, _>(after.map(|a| a.0))
    .bind::<Nullable<SqlUuid>, _>(after.map(|a| a.1))
    .bind::<Nullable<SqlUuid>, _>(after.map(|a| a.2))
    .bind::<BigInt, _>(page.limit())
    .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
    .load(tx.conn())
    .await?;
    Ok((rows, total.total, total.value))
}
