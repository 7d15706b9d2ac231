//! Every SQL statement about transfers.

use std::collections::HashMap;

use bahi_db::{Error, Result, Tx, sql};
use bahi_types::{BatchId, LocationId, Money, PageQuery, ProductId, Quantity, RegistrationId};
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Integer, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::{Moved, Transfer, TransferLine, TransferPart, TransferState};
use crate::ledger::{NO_BATCH, Status, named};

const ONE: &str = "select id, state, from_location, to_location, reference, registration_from, registration_to, gstin_from, gstin_to,
       eway_bill_no, reason, created_by, approved_by, created_at, approved_at, shipped_at, ended_at, version
     from transfer where tenant_id = $1 and id = $2";
const LOCKED: &str = "select id, state, from_location, to_location, reference, registration_from, registration_to, gstin_from, gstin_to,
       eway_bill_no, reason, created_by, approved_by, created_at, approved_at, shipped_at, ended_at, version
     from transfer where tenant_id = $1 and id = $2 for update";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = SqlUuid)]
    from_location: LocationId,
    #[diesel(sql_type = SqlUuid)]
    to_location: LocationId,
    #[diesel(sql_type = Nullable<Text>)]
    reference: Option<String>,
    #[diesel(sql_type = SqlUuid)]
    registration_from: RegistrationId,
    #[diesel(sql_type = SqlUuid)]
    registration_to: RegistrationId,
    #[diesel(sql_type = Nullable<Text>)]
    gstin_from: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    gstin_to: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    eway_bill_no: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
    #[diesel(sql_type = Text)]
    created_by: String,
    #[diesel(sql_type = Nullable<Text>)]
    approved_by: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    approved_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    shipped_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    ended_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    version: i64,
}

#[derive(QueryableByName)]
struct LineRow {
    #[diesel(sql_type = SqlUuid)]
    transfer_id: Uuid,
    #[diesel(sql_type = Integer)]
    line: i32,
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
    #[diesel(sql_type = SqlUuid)]
    batch_id: BatchId,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Numeric)]
    qty: Quantity,
    #[diesel(sql_type = SqlUuid)]
    origin: Uuid,
}

#[derive(QueryableByName)]
struct PartRow {
    #[diesel(sql_type = SqlUuid)]
    transfer_id: Uuid,
    #[diesel(sql_type = Integer)]
    line: i32,
    #[diesel(sql_type = SqlUuid)]
    batch_id: BatchId,
    #[diesel(sql_type = Numeric)]
    shipped: Quantity,
    #[diesel(sql_type = Numeric)]
    shipped_value: Money,
    #[diesel(sql_type = Numeric)]
    received: Quantity,
    #[diesel(sql_type = Numeric)]
    received_value: Money,
    #[diesel(sql_type = Numeric)]
    short: Quantity,
    #[diesel(sql_type = Numeric)]
    short_value: Money,
}

impl From<PartRow> for TransferPart {
    fn from(row: PartRow) -> Self {
        Self {
            batch_id: named(row.batch_id),
            shipped: row.shipped,
            shipped_value: Some(row.shipped_value),
            received: row.received,
            received_value: Some(row.received_value),
            short: row.short,
            short_value: Some(row.short_value),
            in_transit: row.shipped - row.received - row.short,
            in_transit_value: Some(row.shipped_value - row.received_value - row.short_value),
        }
    }
}

/// Rows with their lines and parts.
async fn whole(tx: &mut Tx, rows: Vec<Row>) -> Result<Vec<Transfer>> {
    let ids: Vec<Uuid> = rows.iter().map(|r| r.id).collect();
    let lines: Vec<LineRow> = sql(
        "select transfer_id, line, product_id, batch_id, status, qty, origin from transfer_line
         where tenant_id = $1 and transfer_id = any ($2) order by transfer_id, line",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(&ids)
    .load(tx.conn())
    .await?;
    let parts: Vec<PartRow> = sql("select transfer_id, line, batch_id, shipped, shipped_value, received, received_value, short,
           short_value from transfer_part where tenant_id = $1 and transfer_id = any ($2) order by transfer_id, line, batch_id")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(&ids)
        .load(tx.conn())
        .await?;
    let mut by_line: HashMap<(Uuid, i32), Vec<TransferPart>> = HashMap::new();
    for part in parts {
        by_line
            .entry((part.transfer_id, part.line))
            .or_default()
            .push(part.into());
    }
    let mut by_transfer: HashMap<Uuid, Vec<TransferLine>> = HashMap::new();
    for row in lines {
        by_transfer
            .entry(row.transfer_id)
            .or_default()
            .push(TransferLine {
                line: row.line,
                product_id: row.product_id,
                batch_id: named(row.batch_id),
                status: Status::named(&row.status).ok_or(Error::NotFound)?,
                qty: row.qty,
                origin: row.origin,
                parts: by_line
                    .remove(&(row.transfer_id, row.line))
                    .unwrap_or_default(),
            });
    }
    rows.into_iter()
        .map(|row| {
            let lines = by_transfer.remove(&row.id).unwrap_or_default();
            let parts = lines.iter().flat_map(|l| &l.parts);
            Ok(Transfer {
                id: row.id,
                state: TransferState::named(&row.state).ok_or(Error::NotFound)?,
                from_location_id: row.from_location,
                to_location_id: row.to_location,
                reference: row.reference,
                registration_from: row.registration_from,
                registration_to: row.registration_to,
                gstin_from: row.gstin_from,
                gstin_to: row.gstin_to,
                taxable: row.registration_from != row.registration_to,
                eway_bill_no: row.eway_bill_no,
                reason: row.reason,
                created_by: row.created_by,
                approved_by: row.approved_by,
                created_at: row.created_at,
                approved_at: row.approved_at,
                shipped_at: row.shipped_at,
                ended_at: row.ended_at,
                value_in_transit: parts.map(|p| p.in_transit_value).sum(),
                lines,
                version: row.version,
            })
        })
        .collect()
}

async fn one(tx: &mut Tx, text: &'static str, id: Uuid) -> Result<Transfer> {
    let rows: Vec<Row> = sql(text)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(id)
        .load(tx.conn())
        .await?;
    whole(tx, rows).await?.pop().ok_or(Error::NotFound)
}

/// A transfer.
pub(super) async fn get(tx: &mut Tx, id: Uuid) -> Result<Transfer> {
    one(tx, ONE, id).await
}

/// Transfers by id.
pub(super) async fn by_ids(tx: &mut Tx, ids: &[Uuid]) -> Result<Vec<Transfer>> {
    let rows: Vec<Row> = sql("select id, state, from_location, to_location, reference, registration_from, registration_to, gstin_from,
           gstin_to, eway_bill_no, reason, created_by, approved_by, created_at, approved_at, shipped_at, ended_at, version
         from transfer where tenant_id = $1 and id = any ($2)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(ids)
        .load(tx.conn())
        .await?;
    whole(tx, rows).await
}

/// Locks a transfer.
pub(super) async fn lock(tx: &mut Tx, id: Uuid) -> Result<Transfer> {
    one(tx, LOCKED, id).await
}

/// Writes a new transfer with its lines.
pub(super) async fn insert(tx: &mut Tx, transfer: &Transfer) -> Result<()> {
    sql("insert into transfer (tenant_id, id, state, from_location, to_location, reference, registration_from,
                               registration_to, gstin_from, gstin_to, created_by, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(transfer.id)
    .bind::<Text, _>(transfer.state.name())
    .bind::<SqlUuid, _>(transfer.from_location_id)
    .bind::<SqlUuid, _>(transfer.to_location_id)
    .bind::<Nullable<Text>, _>(&transfer.reference)
    .bind::<SqlUuid, _>(transfer.registration_from)
    .bind::<SqlUuid, _>(transfer.registration_to)
    .bind::<Nullable<Text>, _>(&transfer.gstin_from)
    .bind::<Nullable<Text>, _>(&transfer.gstin_to)
    .bind::<Text, _>(&transfer.created_by)
    .bind::<Timestamptz, _>(transfer.created_at)
    .execute(tx.conn())
    .await?;
    let lines = &transfer.lines;
    sql("insert into transfer_line (tenant_id, transfer_id, line, product_id, batch_id, status, qty, origin)
         select $1, $2, u.n, u.p, u.b, u.s, u.q, u.o from unnest($3, $4, $5, $6, $7, $8) as u(n, p, b, s, q, o)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(transfer.id)
    .bind::<Array<Integer>, _>(lines.iter().map(|l| l.line).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(lines.iter().map(|l| l.product_id).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(lines.iter().map(|l| l.batch_id.unwrap_or(NO_BATCH)).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(lines.iter().map(|l| l.status.name()).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.qty).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(lines.iter().map(|l| l.origin).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes the header of a locked transfer.
pub(super) async fn save(tx: &mut Tx, transfer: &Transfer) -> Result<()> {
    sql("update transfer set state = $3, registration_from = $4, registration_to = $5, gstin_from = $6, gstin_to = $7,
           eway_bill_no = $8, reason = $9, approved_by = $10, approved_at = $11, shipped_at = $12, ended_at = $13,
           version = $14
         where tenant_id = $1 and id = $2")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(transfer.id)
    .bind::<Text, _>(transfer.state.name())
    .bind::<SqlUuid, _>(transfer.registration_from)
    .bind::<SqlUuid, _>(transfer.registration_to)
    .bind::<Nullable<Text>, _>(&transfer.gstin_from)
    .bind::<Nullable<Text>, _>(&transfer.gstin_to)
    .bind::<Nullable<Text>, _>(&transfer.eway_bill_no)
    .bind::<Nullable<Text>, _>(&transfer.reason)
    .bind::<Nullable<Text>, _>(&transfer.approved_by)
    .bind::<Nullable<Timestamptz>, _>(transfer.approved_at)
    .bind::<Nullable<Timestamptz>, _>(transfer.shipped_at)
    .bind::<Nullable<Timestamptz>, _>(transfer.ended_at)
    .bind::<BigInt, _>(transfer.version)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes what was shipped, by line and batch.
pub(super) async fn insert_parts(tx: &mut Tx, id: Uuid, moved: &[Moved]) -> Result<()> {
    sql(
        "insert into transfer_part (tenant_id, transfer_id, line, batch_id, shipped, shipped_value)
         select $1, $2, u.n, u.b, u.q, u.v from unnest($3, $4, $5, $6) as u(n, b, q, v)",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .bind::<Array<Integer>, _>(moved.iter().map(|m| m.line).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(moved.iter().map(|m| m.batch).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(moved.iter().map(|m| m.qty).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(moved.iter().map(|m| m.value).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

const RECEIVED: &str = "update transfer_part p set received = p.received + u.q, received_value = p.received_value + u.v
   from unnest($3, $4, $5, $6) as u(n, b, q, v)
   where p.tenant_id = $1 and p.transfer_id = $2 and p.line = u.n and p.batch_id = u.b";
const SHORT: &str =
    "update transfer_part p set short = p.short + u.q, short_value = p.short_value + u.v
   from unnest($3, $4, $5, $6) as u(n, b, q, v)
   where p.tenant_id = $1 and p.transfer_id = $2 and p.line = u.n and p.batch_id = u.b";

/// Adds what arrived or was lost; one entry a line and batch.
pub(super) async fn add(tx: &mut Tx, id: Uuid, moved: &[Moved], lost: bool) -> Result<()> {
    sql(if lost { SHORT } else { RECEIVED })
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(id)
        .bind::<Array<Integer>, _>(moved.iter().map(|m| m.line).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(moved.iter().map(|m| m.batch).collect::<Vec<_>>())
        .bind::<Array<Numeric>, _>(moved.iter().map(|m| m.qty).collect::<Vec<_>>())
        .bind::<Array<Numeric>, _>(moved.iter().map(|m| m.value).collect::<Vec<_>>())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub state: Option<TransferState>,
    pub from: Option<LocationId>,
    pub to: Option<LocationId>,
    pub product: Option<ProductId>,
}

#[derive(QueryableByName)]
struct Total {
    #[diesel(sql_type = BigInt)]
    rows: i64,
    #[diesel(sql_type = Numeric)]
    value: rust_decimal::Decimal,
}

/// One page of transfers, oldest first, how many there are, and what all of them have on its way.
pub(super) async fn list(
    tx: &mut Tx,
    filter: &Filter,
    after: Option<Uuid>,
    page: &PageQuery,
) -> Result<(Vec<Transfer>, i64, Money)> {
    let state = filter.state.map(TransferState::name);
    let total: Total = sql("select count(*) as rows, coalesce(sum((
             select sum(p.shipped_value - p.received_value - p.short_value) from transfer_part p
             where p.tenant_id = t.tenant_id and p.transfer_id = t.id and t.ended_at is null)), 0) as value
         from transfer t where t.tenant_id = $1 and ($2 is null or t.state = $2) and ($3 is null or t.from_location = $3)
           and ($4 is null or t.to_location = $4)
           and ($5 is null or exists (select from transfer_line l where l.tenant_id = t.tenant_id and l.transfer_id = t.id
                                        and l.product_id = $5))")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<Text>, _>(state)
    .bind::<Nullable<SqlUuid>, _>(filter.from)
    .bind::<Nullable<SqlUuid>, _>(filter.to)
    .bind::<Nullable<SqlUuid>, _>(filter.product)
    .get_result(tx.conn())
    .await?;
    let rows: Vec<Row> = sql("select id, state, from_location, to_location, reference, registration_from, registration_to, gstin_from,
           gstin_to, eway_bill_no, reason, created_by, approved_by, created_at, approved_at, shipped_at, ended_at, version
         from transfer t where t.tenant_id = $1 and ($2 is null or t.state = $2) and ($3 is null or t.from_location = $3)
           and ($4 is null or t.to_location = $4)
           and ($5 is null or exists (select from transfer_line l where l.tenant_id = t.tenant_id and l.transfer_id = t.id
                                        and l.product_id = $5))
           and ($6 is null or t.id > $6) order by t.id limit $7 offset $8")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<Text>, _>(state)
    .bind::<Nullable<SqlUuid>, _>(filter.from)
    .bind::<Nullable<SqlUuid>, _>(filter.to)
    .bind::<Nullable<SqlUuid>, _>(filter.product)
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(page.limit())
    .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
    .load(tx.conn())
    .await?;
    let transfers = whole(tx, rows).await?;
    Ok((transfers, total.rows, Money::rounded(total.value)))
}
