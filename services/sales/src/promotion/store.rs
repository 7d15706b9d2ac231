//! Every statement on the copies of promotions and coupons, and on the uses of coupons.

use bahi_db::{Result, Tx, sql};
use bahi_events::{Coupon, Envelope, Promotion};
use bahi_kafka::Failed;
use bahi_pricing::Period;
use bahi_types::{CouponId, CustomerId, InvoiceId, PromotionId};
use chrono::NaiveDate;
use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Bool, Date, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::model::{Use, rule_of};
use crate::{catalogue::newest, price_list::Asked};

/// The customer that stands for all of them in the counters.
const EVERYBODY: Uuid = Uuid::nil();

/// The promotions that may concern a sale, with their names: those that hold for whom and when it is made, and those of
/// the coupons it names, which are to be told why they do not hold.
pub(crate) async fn active(
    tx: &Tx,
    codes: &[String],
    asked: &Asked,
) -> Result<Vec<(bahi_pricing::Promotion, String)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Jsonb)]
        terms: Value,
    }
    let rows: Vec<Row> = sql("
        select p.terms from promotion p
         where p.tenant_id = $1 and p.status = 'active'
           and case when p.needs_coupon
                 then p.promotion_id in (select c.promotion_id from coupon c
                                          where c.tenant_id = $1 and c.code = any($2) and not c.deleted)
                 else (p.branch_id is null or p.branch_id = coalesce(
                        (select branch_id from pos_session where tenant_id = $1 and session_id = $3),
                        (select branch_id from location where tenant_id = $1 and location_id = $4)))
                  and (p.customer_group_id is null or p.customer_group_id = $5)
                  and daterange(p.valid_from, p.valid_to) @> $6 end")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<Text>, _>(codes)
    .bind::<Nullable<SqlUuid>, _>(asked.session)
    .bind::<Nullable<SqlUuid>, _>(asked.location)
    .bind::<Nullable<SqlUuid>, _>(asked.customer_group)
    .bind::<Date, _>(asked.date)
    .load(&mut tx.shared())
    .await?;
    rows.into_iter()
        .map(|row| {
            let promotion: Promotion = serde_json::from_value(row.terms)?;
            Ok((rule_of(&promotion), promotion.name))
        })
        .collect()
}

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = SqlUuid)]
    coupon_id: CouponId,
    #[diesel(sql_type = SqlUuid)]
    promotion_id: PromotionId,
    #[diesel(sql_type = Text)]
    code: String,
    #[diesel(sql_type = Bool)]
    enabled: bool,
    #[diesel(sql_type = Nullable<BigInt>)]
    use_limit: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    limit_per_customer: Option<i64>,
    #[diesel(sql_type = Nullable<Date>)]
    valid_from: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Date>)]
    valid_to: Option<NaiveDate>,
    #[diesel(sql_type = BigInt)]
    used: i64,
    #[diesel(sql_type = BigInt)]
    used_by_customer: i64,
}

fn narrow(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl From<Known> for bahi_pricing::Coupon {
    fn from(row: Known) -> Self {
        Self {
            id: row.coupon_id,
            promotion: row.promotion_id,
            code: row.code,
            enabled: row.enabled,
            period: Period {
                from: row.valid_from,
                to: row.valid_to,
            },
            limit: row.use_limit.map(narrow),
            limit_per_customer: row.limit_per_customer.map(narrow),
            used: narrow(row.used),
            used_by_customer: narrow(row.used_by_customer),
        }
    }
}

/// The coupons with these codes, and how often they have been used.
pub(crate) async fn coupons_by_code(
    tx: &Tx,
    codes: &[String],
    customer: Option<CustomerId>,
) -> Result<Vec<bahi_pricing::Coupon>> {
    if codes.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<Known> = sql("
        select c.coupon_id, c.promotion_id, c.code, c.enabled, c.use_limit, c.limit_per_customer, c.valid_from, c.valid_to,
               coalesce(a.used, 0) as used, coalesce(m.used, 0) as used_by_customer
          from coupon c
          left join promotion p on p.tenant_id = c.tenant_id and p.promotion_id = c.promotion_id
          left join coupon_counter a on a.tenant_id = c.tenant_id and a.coupon_id = c.coupon_id and a.customer_id = $3
          left join coupon_counter m on m.tenant_id = c.tenant_id and m.coupon_id = c.coupon_id and m.customer_id = $4
         where c.tenant_id = $1 and c.code = any($2) and not c.deleted and p.status is distinct from 'deleted'")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<Text>, _>(codes)
    .bind::<SqlUuid, _>(EVERYBODY)
    .bind::<Nullable<SqlUuid>, _>(customer)
    .load(&mut tx.shared())
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// A counter that a use has raised.
#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = SqlUuid)]
    coupon_id: CouponId,
    #[diesel(sql_type = SqlUuid)]
    customer_id: Uuid,
}

/// Counts the uses of an invoice, all in one statement. Answers with the first whose limit is reached, if one is, and
/// whether it is the customer's; the transaction must then not be committed.
pub(crate) async fn count<'a>(
    tx: &Tx,
    invoice: InvoiceId,
    uses: &'a [Use],
) -> Result<Option<(&'a Use, bool)>> {
    if uses.is_empty() {
        return Ok(None);
    }
    let counters: Vec<(&Use, Uuid, Option<i64>)> = uses
        .iter()
        .flat_map(|used| {
            let all = (used, EVERYBODY, used.limit.map(i64::from));
            let own = used
                .customer
                .map(|id| (used, id.uuid(), used.limit_per_customer.map(i64::from)));
            [Some(all), own].into_iter().flatten()
        })
        .collect();
    let counted: Vec<Counted> = sql("
        with noted as (
          insert into coupon_use (tenant_id, coupon_id, invoice_id, customer_id, used_at)
          select $1, n.*, $5, $6, $7 from unnest($8) as n)
        insert into coupon_counter as c (tenant_id, coupon_id, customer_id, used, most)
        select $1, n.coupon_id, n.customer_id, 1, n.most
          from unnest($2, $3, $4) as n(coupon_id, customer_id, most)
         order by n.coupon_id, n.customer_id
        on conflict (tenant_id, coupon_id, customer_id) do update set used = c.used + 1, most = excluded.most
        where excluded.most is null or c.used < excluded.most
        returning c.coupon_id, c.customer_id")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(counters.iter().map(|c| c.0.coupon_id).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(counters.iter().map(|c| c.1).collect::<Vec<_>>())
    .bind::<Array<Nullable<BigInt>>, _>(counters.iter().map(|c| c.2).collect::<Vec<_>>())
    .bind::<SqlUuid, _>(invoice)
    .bind::<Nullable<SqlUuid>, _>(uses.iter().find_map(|u| u.customer))
    .bind::<Timestamptz, _>(tx.now())
    .bind::<Array<SqlUuid>, _>(uses.iter().map(|u| u.coupon_id).collect::<Vec<_>>())
    .load(&mut tx.shared())
    .await?;
    let raised = |used: &Use, who: Uuid| {
        let mut those = counted.iter();
        those.any(|c| c.coupon_id == used.coupon_id && c.customer_id == who)
    };
    let refused = counters.iter().find(|(used, who, _)| !raised(used, *who));
    Ok(refused.map(|(used, who, _)| (*used, *who != EVERYBODY)))
}

/// Gives the uses of a cancelled invoice back. Their rows stay, as history.
pub(crate) async fn uncount(tx: &mut Tx, invoice: InvoiceId) -> Result<()> {
    #[derive(QueryableByName)]
    struct Counter {
        #[diesel(sql_type = SqlUuid)]
        coupon_id: Uuid,
        #[diesel(sql_type = SqlUuid)]
        customer_id: Uuid,
    }
    let counters: Vec<Counter> = sql(
        "select c.coupon_id, c.customer_id from coupon_counter c
           join coupon_use u on u.tenant_id = c.tenant_id and u.coupon_id = c.coupon_id
          where c.tenant_id = $1 and u.invoice_id = $2 and (c.customer_id = $3 or c.customer_id = u.customer_id)
          order by c.tenant_id, c.coupon_id, c.customer_id for update of c",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(invoice)
    .bind::<SqlUuid, _>(EVERYBODY)
    .load(tx.conn())
    .await?;
    if counters.is_empty() {
        return Ok(());
    }
    // A counter is there while something is counted.
    for text in [
        "delete from coupon_counter c using unnest($2, $3) as n(coupon_id, customer_id)
          where c.tenant_id = $1 and c.coupon_id = n.coupon_id and c.customer_id = n.customer_id and c.used = 1",
        "update coupon_counter c set used = c.used - 1 from unnest($2, $3) as n(coupon_id, customer_id)
          where c.tenant_id = $1 and c.coupon_id = n.coupon_id and c.customer_id = n.customer_id",
    ] {
        sql(text)
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<Array<SqlUuid>, _>(counters.iter().map(|c| c.coupon_id).collect::<Vec<_>>())
            .bind::<Array<SqlUuid>, _>(counters.iter().map(|c| c.customer_id).collect::<Vec<_>>())
            .execute(tx.conn())
            .await?;
    }
    Ok(())
}

async fn put_promotions(tx: &mut Tx, events: &[Envelope<Promotion>], deleted: bool) -> Result<()> {
    let events = newest(events, |p| p.promotion_id.uuid());
    let status = |p: &Promotion| {
        if deleted {
            "deleted".to_owned()
        } else {
            p.status.clone()
        }
    };
    let terms = events
        .iter()
        .map(|e| serde_json::to_value(&e.payload))
        .collect::<std::result::Result<Vec<Value>, _>>()?;
    sql("insert into promotion as p (tenant_id, promotion_id, status, needs_coupon, branch_id, customer_group_id, valid_from,
                                     valid_to, terms, epoch, version)
         select $1, n.* from unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11) as n
         on conflict (tenant_id, promotion_id) do update set
           status = excluded.status, needs_coupon = excluded.needs_coupon, branch_id = excluded.branch_id,
           customer_group_id = excluded.customer_group_id, valid_from = excluded.valid_from, valid_to = excluded.valid_to,
           terms = excluded.terms, epoch = excluded.epoch, version = excluded.version
         where (excluded.epoch, excluded.version) > (p.epoch, p.version)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.promotion_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(events.iter().map(|e| status(&e.payload)).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(events.iter().map(|e| e.payload.needs_coupon).collect::<Vec<_>>())
    .bind::<Array<Nullable<SqlUuid>>, _>(events.iter().map(|e| e.payload.branch_id).collect::<Vec<_>>())
    .bind::<Array<Nullable<SqlUuid>>, _>(events.iter().map(|e| e.payload.customer_group_id).collect::<Vec<_>>())
    .bind::<Array<Nullable<Date>>, _>(events.iter().map(|e| e.payload.valid_from).collect::<Vec<_>>())
    .bind::<Array<Nullable<Date>>, _>(events.iter().map(|e| e.payload.valid_to).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(terms)
    .bind::<Array<BigInt>, _>(events.iter().map(|e| e.epoch).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(events.iter().map(|e| e.aggregate_version).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Applies `promotion.created` and `promotion.updated`.
pub(crate) async fn promotions(
    tx: &mut Tx,
    events: &[Envelope<Promotion>],
) -> std::result::Result<(), Failed> {
    Ok(put_promotions(tx, events, false).await?)
}

/// Applies `promotion.deleted`.
pub(crate) async fn deleted(
    tx: &mut Tx,
    events: &[Envelope<Promotion>],
) -> std::result::Result<(), Failed> {
    Ok(put_promotions(tx, events, true).await?)
}

async fn put_coupons(tx: &mut Tx, events: &[Envelope<Coupon>], deleted: bool) -> Result<()> {
    let events = newest(events, |c| c.coupon_id.uuid());
    sql("insert into coupon as c (tenant_id, coupon_id, promotion_id, code, enabled, use_limit, limit_per_customer,
                                  valid_from, valid_to, epoch, version, deleted)
         select $1, n.*, $12 from unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11) as n
         on conflict (tenant_id, coupon_id) do update set
           promotion_id = excluded.promotion_id, code = excluded.code, enabled = excluded.enabled,
           use_limit = excluded.use_limit, limit_per_customer = excluded.limit_per_customer,
           valid_from = excluded.valid_from, valid_to = excluded.valid_to, deleted = excluded.deleted,
           epoch = excluded.epoch, version = excluded.version
         where (excluded.epoch, excluded.version) > (c.epoch, c.version)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.coupon_id).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.promotion_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(events.iter().map(|e| e.payload.code.as_str()).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(events.iter().map(|e| e.payload.enabled).collect::<Vec<_>>())
    .bind::<Array<Nullable<BigInt>>, _>(events.iter().map(|e| e.payload.limit.map(i64::from)).collect::<Vec<_>>())
    .bind::<Array<Nullable<BigInt>>, _>(
        events.iter().map(|e| e.payload.limit_per_customer.map(i64::from)).collect::<Vec<_>>(),
    )
    .bind::<Array<Nullable<Date>>, _>(events.iter().map(|e| e.payload.valid_from).collect::<Vec<_>>())
    .bind::<Array<Nullable<Date>>, _>(events.iter().map(|e| e.payload.valid_to).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(events.iter().map(|e| e.epoch).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(events.iter().map(|e| e.aggregate_version).collect::<Vec<_>>())
    .bind::<Bool, _>(deleted)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Applies `coupon.created` and `coupon.updated`.
pub(crate) async fn coupons(
    tx: &mut Tx,
    events: &[Envelope<Coupon>],
) -> std::result::Result<(), Failed> {
    Ok(put_coupons(tx, events, false).await?)
}

/// Applies `coupon.deleted`.
pub(crate) async fn coupons_deleted(
    tx: &mut Tx,
    events: &[Envelope<Coupon>],
) -> std::result::Result<(), Failed> {
    Ok(put_coupons(tx, events, true).await?)
}
