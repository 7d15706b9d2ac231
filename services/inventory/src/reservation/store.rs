//! Every SQL statement about holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bahi_db::{Error, Result, Tx, sql};
use bahi_types::{BatchId, InvoiceId, LocationId, ProductId, Quantity, ReservationId, TenantId};
use chrono::{DateTime, Utc};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{Array, Integer, Jsonb, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{
    model::{Answer, Demand, Hold, HoldLine, HoldState, Owner},
    order::NoDelivery,
};
use crate::{error::HoldRef, ledger::Key};

const COLUMNS: &str = "select id, owner, state, location_id, invoice_id, attempt, demand_hash, order_id, reference, deadline, answer,
       created_at, version from reservation where tenant_id = $1 and id = any ($2) order by id";
const LOCKED: &str = "select id, owner, state, location_id, invoice_id, attempt, demand_hash, order_id, reference, deadline, answer,
       created_at, version from reservation where tenant_id = $1 and id = any ($2) order by id for update";
const LINES: &str = "select reservation_id, line, allocation_no, product_id, batch_id, qty from reservation_line
       where tenant_id = $1 and reservation_id = any ($2) order by reservation_id, line, allocation_no";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: ReservationId,
    #[diesel(sql_type = Text)]
    owner: String,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    location_id: Option<LocationId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    invoice_id: Option<InvoiceId>,
    #[diesel(sql_type = Nullable<Integer>)]
    attempt: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    demand_hash: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    order_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    reference: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    deadline: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    answer: Option<serde_json::Value>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    version: i64,
}

#[derive(QueryableByName)]
struct LineRow {
    #[diesel(sql_type = SqlUuid)]
    reservation_id: ReservationId,
    #[diesel(sql_type = Integer)]
    line: i32,
    #[diesel(sql_type = Integer)]
    allocation_no: i32,
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
    #[diesel(sql_type = SqlUuid)]
    batch_id: BatchId,
    #[diesel(sql_type = Numeric)]
    qty: Quantity,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: ReservationId,
}

fn sorted(ids: &[ReservationId]) -> Vec<ReservationId> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Enters the hold of a demand as pending. False when the id is there already: somebody else's request for the
/// same attempt has come first, and this one has waited for it.
pub(crate) async fn claim(
    mut conn: &AsyncPgConnection,
    tenant: TenantId,
    now: DateTime<Utc>,
    demand: &Demand,
) -> std::result::Result<bool, diesel::result::Error> {
    let rows = sql("insert into reservation (tenant_id, id, owner, state, location_id, invoice_id, attempt, demand_hash,
                              deadline, created_at)
         values ($1, $2, 'sales', 'pending', $3, $4, $5, $6, $7, $8) on conflict do nothing")
        .bind::<SqlUuid, _>(tenant)
        .bind::<SqlUuid, _>(demand.id())
        .bind::<SqlUuid, _>(demand.location)
        .bind::<SqlUuid, _>(demand.invoice)
        .bind::<Integer, _>(attempt_column(demand.attempt))
        .bind::<Text, _>(&demand.demand_hash)
        .bind::<Nullable<Timestamptz>, _>(demand.deadline)
        .bind::<Timestamptz, _>(now)
        .execute(&mut conn)
        .await?;
    Ok(rows == 1)
}

/// Enters the hold of a demand as pending and every lower attempt that was never seen as released, all in the order
/// of their ids: two attempts at one invoice that come at once wait for each other one way round only. False when the
/// demand's own id is there already.
pub(crate) async fn claim_over(
    tx: &mut Tx,
    demand: &Demand,
    lower: &[ReservationId],
) -> Result<bool> {
    let (now, own) = (tx.now(), demand.id());
    let attempts: Vec<i32> = (1..=demand.attempt).map(attempt_column).collect();
    let ids: Vec<ReservationId> = lower.iter().copied().chain([own]).collect();
    let rows: Vec<IdRow> = sql(
        "insert into reservation (tenant_id, id, owner, state, location_id, invoice_id, order_id, attempt, demand_hash,
                                  deadline, created_at, ended_at, reference)
         select $1, u.id, $10, case when u.id = $4 then 'pending' else 'released' end,
                case when u.id = $4 then $5 end, case when $10 = 'sales' then $6 end,
                case when $10 = 'order' then $6 end, u.a, case when u.id = $4 then $7 end,
                case when u.id = $4 then $8 end, $9, case when u.id <> $4 then $9 end,
                case when u.id = $4 then $11 end
         from unnest($2, $3) as u(id, a) order by u.id on conflict do nothing returning id",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Array<Integer>, _>(attempts)
    .bind::<SqlUuid, _>(own)
    .bind::<SqlUuid, _>(demand.location)
    .bind::<SqlUuid, _>(demand.invoice)
    .bind::<Text, _>(&demand.demand_hash)
    .bind::<Nullable<Timestamptz>, _>(demand.deadline)
    .bind::<Timestamptz, _>(now)
    .bind::<Text, _>(demand.owner.name())
    .bind::<Nullable<Text>, _>(demand.reference.as_deref())
    .load(tx.conn())
    .await?;
    Ok(rows.iter().any(|row| row.id == own))
}

fn attempt_column(attempt: u32) -> i32 {
    i32::try_from(attempt).unwrap_or(i32::MAX)
}

/// Enters ids of sales that were never seen as `state`; gives those that were new.
pub(crate) async fn claim_ended(
    tx: &mut Tx,
    state: HoldState,
    ids: &[(ReservationId, InvoiceId, Option<u32>)],
) -> Result<BTreeSet<ReservationId>> {
    claim_ended_of(tx, Owner::Sales, state, ids).await
}

/// The same for any owner: an order stands in the place of the invoice.
pub(crate) async fn claim_ended_of(
    tx: &mut Tx,
    owner: Owner,
    state: HoldState,
    ids: &[(ReservationId, InvoiceId, Option<u32>)],
) -> Result<BTreeSet<ReservationId>> {
    let now = tx.now();
    let mut ids = ids.to_vec();
    ids.sort_unstable_by_key(|i| i.0);
    ids.dedup_by_key(|i| i.0);
    let rows: Vec<IdRow> = sql("insert into reservation (tenant_id, id, owner, state, invoice_id, order_id, attempt, created_at, ended_at)
         select $1, u.id, $7, $2, case when $7 = 'sales' then u.i end, case when $7 = 'order' then u.i end, u.a, $6, $6
           from unnest($3, $4, $5) as u(id, i, a) order by u.id
         on conflict do nothing returning id")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Text, _>(state.name())
        .bind::<Array<SqlUuid>, _>(ids.iter().map(|i| i.0).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(ids.iter().map(|i| i.1).collect::<Vec<_>>())
        .bind::<Array<Nullable<Integer>>, _>(ids.iter().map(|i| i.2.map(attempt_column)).collect::<Vec<_>>())
        .bind::<Timestamptz, _>(now)
        .bind::<Text, _>(owner.name())
        .load(tx.conn())
        .await?;
    Ok(rows.into_iter().map(|r| r.id).collect())
}

/// Forgets a claim that was not granted.
pub(crate) async fn unclaim(tx: &mut Tx, id: ReservationId) -> Result<()> {
    sql("delete from reservation where tenant_id = $1 and id = $2")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(id)
        .execute(tx.conn())
        .await?;
    Ok(())
}

async fn load(tx: &mut Tx, text: &'static str, ids: Vec<ReservationId>) -> Result<Vec<Hold>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let tenant = tx.tenant();
    let (mut one, mut two) = (tx.shared(), tx.shared());
    let rows = sql(text)
        .bind::<SqlUuid, _>(tenant)
        .bind::<Array<SqlUuid>, _>(ids.clone())
        .load::<Row>(&mut one);
    let lines = sql(LINES)
        .bind::<SqlUuid, _>(tenant)
        .bind::<Array<SqlUuid>, _>(ids)
        .load::<LineRow>(&mut two);
    let (rows, lines) = futures::try_join!(rows, lines)?;
    let mut by_hold: HashMap<ReservationId, Vec<HoldLine>> = HashMap::new();
    for row in lines {
        by_hold
            .entry(row.reservation_id)
            .or_default()
            .push(HoldLine {
                line: row.line,
                allocation_no: row.allocation_no,
                product: row.product_id,
                batch: row.batch_id,
                qty: row.qty,
            });
    }
    rows.into_iter()
        .map(|row| {
            let answer: Option<Answer> = row.answer.map(serde_json::from_value).transpose()?;
            Ok(Hold {
                id: row.id,
                owner: Owner::named(&row.owner),
                state: HoldState::named(&row.state),
                location: row
                    .location_id
                    .unwrap_or(LocationId::from_uuid(Uuid::nil())),
                invoice: row.invoice_id,
                attempt: row.attempt.and_then(|a| u32::try_from(a).ok()),
                demand_hash: row.demand_hash,
                order: row.order_id,
                reference: row.reference,
                deadline: row.deadline,
                answer,
                created_at: row.created_at,
                version: row.version,
                lines: by_hold.remove(&row.id).unwrap_or_default(),
            })
        })
        .collect()
}

/// Locks holds in the order of their ids.
pub(crate) async fn lock(tx: &mut Tx, ids: &[ReservationId]) -> Result<Vec<Hold>> {
    load(tx, LOCKED, sorted(ids)).await
}

/// A hold.
pub(crate) async fn get(tx: &mut Tx, id: ReservationId) -> Result<Hold> {
    load(tx, COLUMNS, vec![id])
        .await?
        .pop()
        .ok_or(Error::NotFound)
}

/// Locks one hold.
pub(crate) async fn lock_one(tx: &mut Tx, id: ReservationId) -> Result<Hold> {
    lock(tx, &[id]).await?.pop().ok_or(Error::NotFound)
}

/// Writes the lines of a fresh hold.
pub(crate) async fn insert_lines(
    mut conn: &AsyncPgConnection,
    tenant: TenantId,
    id: ReservationId,
    lines: &[HoldLine],
) -> std::result::Result<(), diesel::result::Error> {
    if lines.is_empty() {
        return Ok(());
    }
    sql("insert into reservation_line (tenant_id, reservation_id, line, allocation_no, product_id, batch_id, qty)
         select $1, $2, u.n, u.a, u.p, u.b, u.q from unnest($3, $4, $5, $6, $7) as u(n, a, p, b, q)")
        .bind::<SqlUuid, _>(tenant)
        .bind::<SqlUuid, _>(id)
        .bind::<Array<Integer>, _>(lines.iter().map(|l| l.line).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(lines.iter().map(|l| l.allocation_no).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(lines.iter().map(|l| l.product).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(lines.iter().map(|l| l.batch).collect::<Vec<_>>())
        .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.qty).collect::<Vec<_>>())
        .execute(&mut conn)
        .await?;
    Ok(())
}

/// Writes a hold made through the API.
pub(crate) async fn insert(tx: &mut Tx, hold: &Hold) -> Result<()> {
    sql("insert into reservation (tenant_id, id, owner, state, location_id, reference, deadline, created_at, order_id)
         values ($1, $2, $3, 'pending', $4, $5, $6, $7, $8)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(hold.id)
        .bind::<Text, _>(hold.owner.name())
        .bind::<SqlUuid, _>(hold.location)
        .bind::<Nullable<Text>, _>(&hold.reference)
        .bind::<Nullable<Timestamptz>, _>(hold.deadline)
        .bind::<Timestamptz, _>(hold.created_at)
        .bind::<Nullable<SqlUuid>, _>(hold.order)
        .execute(tx.conn())
        .await?;
    insert_lines(tx.shared(), tx.tenant(), hold.id, &hold.lines).await?;
    Ok(())
}

/// Ends holds, whatever state they are in.
pub(crate) async fn end(tx: &mut Tx, state: HoldState, ids: &[ReservationId]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    sql("update reservation set state = $3, ended_at = coalesce(ended_at, $4), version = version + 1
         where tenant_id = $1 and id = any ($2)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(ids)
        .bind::<Text, _>(state.name())
        .bind::<Timestamptz, _>(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Lowers one line of a hold.
pub(crate) async fn lower(
    tx: &mut Tx,
    hold: ReservationId,
    line: &HoldLine,
    qty: Quantity,
) -> Result<()> {
    sql("update reservation_line set qty = qty - $5
         where tenant_id = $1 and reservation_id = $2 and line = $3 and allocation_no = $4")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(hold)
    .bind::<Integer, _>(line.line)
    .bind::<Integer, _>(line.allocation_no)
    .bind::<Numeric, _>(qty)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Counts the version of a hold up that has changed and goes on.
pub(crate) async fn touch(tx: &mut Tx, id: ReservationId) -> Result<()> {
    sql("update reservation set version = version + 1 where tenant_id = $1 and id = $2")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(id)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Remembers what sales answered about a pending hold.
pub(crate) async fn remember(tx: &mut Tx, id: ReservationId, answer: &Answer) -> Result<()> {
    let now = tx.now();
    sql(
        "update reservation set answer = $3, answered_at = $4, version = version + 1
         where tenant_id = $1 and id = $2 and state = 'pending' and answer is null",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .bind::<Jsonb, _>(serde_json::to_value(answer)?)
    .bind::<Timestamptz, _>(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A delivery as it was told first.
pub(crate) struct Delivery {
    /// From which hold.
    pub hold: ReservationId,
    /// What was asked for by line; everything, where nothing was.
    pub wanted: Option<BTreeMap<i32, Quantity>>,
    /// Why nothing left, where it was refused.
    pub refused: Option<NoDelivery>,
}

/// The delivery of an id that was told of.
pub(crate) async fn delivery(tx: &mut Tx, fulfilment: Uuid) -> Result<Option<Delivery>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        reservation_id: ReservationId,
        #[diesel(sql_type = Nullable<Jsonb>)]
        lines: Option<serde_json::Value>,
        #[diesel(sql_type = Nullable<Jsonb>)]
        refused: Option<serde_json::Value>,
    }
    let row: Option<Row> = sql(
        "select reservation_id, lines, refused from delivery where tenant_id = $1 and fulfilment_id = $2",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(fulfilment)
    .get_result(tx.conn())
    .await
    .optional()?;
    row.map(|row| {
        Ok(Delivery {
            hold: row.reservation_id,
            wanted: row.lines.map(serde_json::from_value).transpose()?,
            refused: row.refused.map(serde_json::from_value).transpose()?,
        })
    })
    .transpose()
}

/// Keeps what was asked for with a delivery, and why nothing left. False when the id was told of already; whoever tells it
/// at the same time has been waited for.
pub(crate) async fn keep_delivery(
    tx: &mut Tx,
    fulfilment: Uuid,
    id: ReservationId,
    wanted: Option<&BTreeMap<i32, Quantity>>,
    refused: Option<&NoDelivery>,
) -> Result<bool> {
    let lines = wanted.map(serde_json::to_value).transpose()?;
    let refused = refused.map(serde_json::to_value).transpose()?;
    let rows = sql(
        "insert into delivery (tenant_id, fulfilment_id, reservation_id, lines, refused)
         values ($1, $2, $3, $4, $5) on conflict do nothing",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(fulfilment)
    .bind::<SqlUuid, _>(id)
    .bind::<Nullable<Jsonb>, _>(lines)
    .bind::<Nullable<Jsonb>, _>(refused)
    .execute(tx.conn())
    .await?;
    Ok(rows == 1)
}

/// What left with a delivery, by line, product and batch.
pub(crate) async fn delivered(
    tx: &mut Tx,
    fulfilment: Uuid,
) -> Result<Vec<(i32, ProductId, BatchId, Quantity)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Integer)]
        line: i32,
        #[diesel(sql_type = SqlUuid)]
        product_id: ProductId,
        #[diesel(sql_type = SqlUuid)]
        batch_id: BatchId,
        #[diesel(sql_type = Numeric)]
        qty: Quantity,
    }
    let rows: Vec<Row> = sql(
        "select source_line as line, product_id, batch_id, -sum(qty) as qty from movement
          where tenant_id = $1 and source_type = 'fulfilment' and source_id = $2 and purpose = 'issue'
          group by source_line, product_id, batch_id order by source_line, product_id, batch_id",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(fulfilment)
    .load(tx.conn())
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|r| (r.line, r.product_id, r.batch_id, r.qty))
        .collect())
}

/// The pending holds that hold any of `keys`.
pub(crate) async fn holding(tx: &mut Tx, keys: &[Key]) -> Result<Vec<ReservationId>> {
    let rows: Vec<IdRow> = sql("select distinct r.id from reservation r
         join reservation_line l on l.tenant_id = r.tenant_id and l.reservation_id = r.id and l.qty > 0
         join unnest($2, $3, $4) as u(l, p, b) on r.location_id = u.l and l.product_id = u.p and l.batch_id = u.b
         where r.tenant_id = $1 and r.state = 'pending' order by r.id")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(keys.iter().map(|k| k.location).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(keys.iter().map(|k| k.product).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(keys.iter().map(|k| k.batch).collect::<Vec<_>>())
        .load(tx.conn())
        .await?;
    Ok(rows.into_iter().map(|r| r.id).collect())
}

/// Remembers that a job looked at pending holds now and came to no end with them.
pub(crate) async fn put_off(tx: &mut Tx, ids: &[ReservationId]) -> Result<()> {
    let now = tx.now();
    sql("update reservation r set tried_at = $3
         from (select id from reservation where tenant_id = $1 and id = any ($2) and state = 'pending'
               order by id for update) p
         where r.tenant_id = $1 and r.id = p.id")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Timestamptz, _>(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct DueRow {
    #[diesel(sql_type = SqlUuid)]
    tenant_id: TenantId,
    #[diesel(sql_type = SqlUuid)]
    id: ReservationId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    invoice_id: Option<InvoiceId>,
    #[diesel(sql_type = Nullable<Integer>)]
    attempt: Option<i32>,
}

/// Holds of every tenant past their deadline.
pub(crate) async fn due(tx: &mut Tx, owner: Owner, most: i32) -> Result<Vec<(TenantId, HoldRef)>> {
    let now = tx.now();
    let rows: Vec<DueRow> =
        sql("select tenant_id, id, invoice_id, attempt from due_holds(array[$1], $2, $3)")
            .bind::<Text, _>(owner.name())
            .bind::<Timestamptz, _>(now)
            .bind::<Integer, _>(most)
            .load(tx.conn())
            .await?;
    Ok(rows
        .into_iter()
        .map(|r| {
            let hold = HoldRef {
                id: r.id,
                invoice: r.invoice_id.unwrap_or(InvoiceId::from_uuid(Uuid::nil())),
                attempt: r
                    .attempt
                    .and_then(|a| u32::try_from(a).ok())
                    .unwrap_or_default(),
            };
            (r.tenant_id, hold)
        })
        .collect())
}

#[derive(QueryableByName)]
struct UnheardRow {
    #[diesel(sql_type = SqlUuid)]
    tenant_id: TenantId,
    #[diesel(sql_type = SqlUuid)]
    id: ReservationId,
    #[diesel(sql_type = Jsonb)]
    answer: serde_json::Value,
}

/// Sales of every tenant that were issued, as sales said at `before` or earlier, and whose event has not come.
pub(crate) async fn unheard(
    tx: &mut Tx,
    before: DateTime<Utc>,
    most: i32,
) -> Result<Vec<(TenantId, ReservationId, Answer)>> {
    let rows: Vec<UnheardRow> = sql("select tenant_id, id, answer from unheard_sales($1, $2)")
        .bind::<Timestamptz, _>(before)
        .bind::<Integer, _>(most)
        .load(tx.conn())
        .await?;
    rows.into_iter()
        .map(|r| Ok((r.tenant_id, r.id, serde_json::from_value(r.answer)?)))
        .collect()
}
