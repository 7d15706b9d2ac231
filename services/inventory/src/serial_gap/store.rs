//! Every SQL statement about pieces that could not be named.

use bahi_db::{Error, Result, Tx, sql};
use bahi_types::{BatchId, InvoiceId, LocationId, PageQuery, ProductId, Quantity};
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{
        Array, BigInt, Integer, Nullable, Numeric, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use uuid::Uuid;

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    total: i64,
}

/// Pieces without a number, or numbers without a piece.
#[derive(Clone, Debug, QueryableByName, Serialize, utoipa::ToSchema)]
#[schema(as = SerialDiscrepancy)]
pub(super) struct GapRow {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub batch_id: Option<BatchId>,
    #[diesel(sql_type = Text)]
    pub status: String,
    /// 1: pieces lie there whose number is not known; -1: pieces left, and their numbers are still listed in stock.
    #[diesel(sql_type = SmallInt)]
    pub direction: i16,
    /// How many.
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
    /// How many are still without a number.
    #[diesel(sql_type = Numeric)]
    pub open: Quantity,
    /// The number that was said.
    #[diesel(sql_type = Nullable<Text>)]
    pub said: Option<String>,
    /// `not_named`; `unknown` (the books do not know the number), `not_here` (they have it elsewhere, or in another
    /// state), `not_sold` (it was not sold with the invoice that it comes back to); `opening`.
    #[diesel(sql_type = Text)]
    pub reason: String,
    /// Kind of the document that moved them.
    #[diesel(sql_type = Nullable<Text>)]
    pub document: Option<String>,
    /// The document.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub document_id: Option<Uuid>,
    /// Its line.
    #[diesel(sql_type = Nullable<Integer>)]
    pub document_line: Option<i32>,
    #[diesel(sql_type = Timestamptz)]
    pub opened_at: DateTime<Utc>,
    #[diesel(sql_type = SqlUuid)]
    #[serde(skip)]
    pub origin: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    #[serde(skip)]
    pub purpose: Option<String>,
    #[diesel(sql_type = Nullable<Integer>)]
    #[serde(skip)]
    pub allocation_no: Option<i32>,
}

macro_rules! gaps {
    ($rest:literal) => {
        concat!(
            "select id, product_id, location_id, nullif(batch_id, '00000000-0000-0000-0000-000000000000') as batch_id, status,
                    direction, qty, open, said, reason, source_type as document, source_id as document_id,
                    source_line as document_line, opened_at, origin, purpose, allocation_no
             from serial_gap where tenant_id = $1 ",
            $rest
        )
    };
}

/// One page of the open gaps, oldest first, and how many there are.
pub(super) async fn list(
    tx: &mut Tx,
    product: Option<ProductId>,
    location: Option<LocationId>,
    document: Option<Uuid>,
    after: Option<Uuid>,
    page: &PageQuery,
) -> Result<(Vec<GapRow>, i64)> {
    let count: Count = sql("select count(*) as total from serial_gap where tenant_id = $1 and open > 0
         and ($2 is null or product_id = $2) and ($3 is null or location_id = $3) and ($4 is null or source_id = $4)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(product)
    .bind::<Nullable<SqlUuid>, _>(location)
    .bind::<Nullable<SqlUuid>, _>(document)
    .get_result(tx.conn())
    .await?;
    let rows = sql(gaps!(
        "and open > 0 and ($2 is null or product_id = $2) and ($3 is null or location_id = $3)
         and ($4 is null or source_id = $4) and ($5 is null or id > $5) order by id limit $6 offset $7"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(product)
    .bind::<Nullable<SqlUuid>, _>(location)
    .bind::<Nullable<SqlUuid>, _>(document)
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(page.limit())
    .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
    .load(tx.conn())
    .await?;
    Ok((rows, count.total))
}

/// A gap.
pub(super) async fn get(tx: &mut Tx, id: Uuid) -> Result<GapRow> {
    sql(gaps!("and id = $2"))
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(id)
        .get_result(tx.conn())
        .await
        .map_err(Error::from)
}

/// Locks a gap; the gate of its place is locked.
pub(super) async fn lock(tx: &mut Tx, id: Uuid) -> Result<GapRow> {
    sql(gaps!("and id = $2 for update"))
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(id)
        .get_result(tx.conn())
        .await
        .map_err(Error::from)
}

/// Closes part of a gap.
pub(super) async fn lower(tx: &mut Tx, gap: Uuid, qty: Quantity) -> Result<()> {
    let now = tx.now();
    sql(
        "update serial_gap set open = open - $3, closed_at = case when open = $3 then $4 end
         where tenant_id = $1 and id = $2",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(gap)
    .bind::<Numeric, _>(qty)
    .bind::<Timestamptz, _>(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Closes part of a gap: pieces of it have got their numbers.
pub(super) async fn close(tx: &mut Tx, gap: &GapRow, ids: &[Uuid]) -> Result<()> {
    let now = tx.now();
    if let (Some(kind), Some(id), Some(line), Some(purpose), Some(no)) = (
        gap.document.as_deref(),
        gap.document_id,
        gap.document_line,
        gap.purpose.as_deref(),
        gap.allocation_no,
    ) {
        sql("insert into movement_serial (tenant_id, source_type, source_id, source_line, purpose, allocation_no, serial_id, recorded_at)
             select $1, $2, $3, $4, $5, $6, u.s, $8 from unnest($7) as u(s)")
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<Text, _>(kind)
            .bind::<SqlUuid, _>(id)
            .bind::<Integer, _>(line)
            .bind::<Text, _>(purpose)
            .bind::<Integer, _>(no)
            .bind::<Array<SqlUuid>, _>(ids)
            .bind::<Timestamptz, _>(now)
            .execute(tx.conn())
            .await?;
    }
    lower(tx, gap.id, Quantity::from(ids.len() as i64)).await
}

/// Kind of the movement a gap is of.
pub(super) async fn kind(tx: &mut Tx, gap: &GapRow) -> Result<Option<String>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        kind: String,
    }
    let rows: Vec<Row> = sql(
        "select kind from movement where tenant_id = $1 and source_type = $2 and source_id = $3
         and source_line = $4 and purpose = $5 and allocation_no = $6",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<Text>, _>(gap.document.as_deref())
    .bind::<Nullable<SqlUuid>, _>(gap.document_id)
    .bind::<Nullable<Integer>, _>(gap.document_line)
    .bind::<Nullable<Text>, _>(gap.purpose.as_deref())
    .bind::<Nullable<Integer>, _>(gap.allocation_no)
    .load(tx.conn())
    .await?;
    Ok(rows.into_iter().next().map(|r| r.kind))
}

/// Locks the gap of the movement next to a gap's own: what left one balance came into another with it.
pub(super) async fn lock_next(tx: &mut Tx, gap: &GapRow) -> Result<Option<GapRow>> {
    let found: Vec<GapRow> = sql(gaps!(
        "and source_type = $2 and source_id = $3 and source_line = $4 and purpose = $5 and allocation_no = $6
         and direction = -$7 and open > 0 order by id limit 1 for update"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<Text>, _>(gap.document.as_deref())
    .bind::<Nullable<SqlUuid>, _>(gap.document_id)
    .bind::<Nullable<Integer>, _>(gap.document_line)
    .bind::<Nullable<Text>, _>(gap.purpose.as_deref())
    .bind::<Nullable<Integer>, _>(gap.allocation_no.map(|n| n - i32::from(gap.direction)))
    .bind::<SmallInt, _>(gap.direction)
    .load(tx.conn())
    .await?;
    Ok(found.into_iter().next())
}

/// The invoice of a settlement, when a gap's document is one.
pub(super) async fn settled(tx: &mut Tx, settlement: Uuid) -> Result<Option<InvoiceId>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        invoice_id: InvoiceId,
    }
    let rows: Vec<Row> =
        sql("select invoice_id from shortage_settlement where tenant_id = $1 and id = $2")
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<SqlUuid, _>(settlement)
            .load(tx.conn())
            .await?;
    Ok(rows.into_iter().next().map(|r| r.invoice_id))
}
