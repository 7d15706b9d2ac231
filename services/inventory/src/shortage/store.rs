//! Every SQL statement about shortages.

use std::collections::BTreeSet;

use bahi_db::{Result, Tx, sql};
use bahi_types::{InvoiceId, LocationId, PageQuery, ProductId, Quantity};
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Integer, Nullable, Numeric, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde::Serialize;

use super::model::{Settlement, Shortage};
use crate::ledger::Place;

#[derive(Clone, Debug, QueryableByName, Serialize, utoipa::ToSchema)]
pub(crate) struct ShortageRow {
    #[diesel(sql_type = SqlUuid)]
    pub invoice_id: InvoiceId,
    #[diesel(sql_type = Integer)]
    pub line: i32,
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    /// What was short when it was sold.
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
    /// What is still owed.
    #[diesel(sql_type = Numeric)]
    pub open: Quantity,
    /// What was issued later.
    #[diesel(sql_type = Numeric)]
    pub settled: Quantity,
    /// What a return or cancellation closed.
    #[diesel(sql_type = Numeric)]
    pub cancelled: Quantity,
    #[diesel(sql_type = Timestamptz)]
    pub occurred_at: DateTime<Utc>,
}

impl From<ShortageRow> for Shortage {
    fn from(row: ShortageRow) -> Self {
        Self {
            invoice: row.invoice_id,
            line: row.line,
            place: (row.location_id, row.product_id),
            open: row.open,
            occurred_at: row.occurred_at,
        }
    }
}

/// Locks the open shortages of `places`, oldest sale first; the gates of the places are locked.
pub(crate) async fn lock_open(tx: &mut Tx, places: &BTreeSet<Place>) -> Result<Vec<Shortage>> {
    let (locations, products): (Vec<LocationId>, Vec<ProductId>) = places.iter().copied().unzip();
    let rows: Vec<ShortageRow> =
        sql("select s.invoice_id, s.line, s.location_id, s.product_id, s.qty, s.open, s.settled, s.cancelled, s.occurred_at
         from unnest($2, $3) as u(l, p)
         join shortage s on s.tenant_id = $1 and s.location_id = u.l and s.product_id = u.p and s.open > 0
         order by s.occurred_at, s.invoice_id, s.line, s.product_id for update of s")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(locations)
        .bind::<Array<SqlUuid>, _>(products)
        .load(tx.conn())
        .await?;
    Ok(rows.into_iter().map(Shortage::from).collect())
}

/// The open shortages of invoices.
pub(crate) async fn of_invoices(tx: &mut Tx, invoices: &[InvoiceId]) -> Result<Vec<Shortage>> {
    let rows: Vec<ShortageRow> =
        sql("select invoice_id, line, location_id, product_id, qty, open, settled, cancelled, occurred_at
         from shortage where tenant_id = $1 and invoice_id = any ($2) and open > 0 order by invoice_id, line, product_id")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(invoices)
        .load(tx.conn())
        .await?;
    Ok(rows.into_iter().map(Shortage::from).collect())
}

/// Opens shortages.
pub(crate) async fn insert(tx: &mut Tx, shortages: &[Shortage]) -> Result<()> {
    if shortages.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    sql("insert into shortage (tenant_id, invoice_id, line, location_id, product_id, qty, open, occurred_at, created_at)
         select $1, u.i, u.n, u.l, u.p, u.q, u.q, u.o, $8 from unnest($2, $3, $4, $5, $6, $7) as u(i, n, l, p, q, o)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(shortages.iter().map(|s| s.invoice).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(shortages.iter().map(|s| s.line).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(shortages.iter().map(|s| s.place.0).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(shortages.iter().map(|s| s.place.1).collect::<Vec<_>>())
        .bind::<Array<Numeric>, _>(shortages.iter().map(|s| s.open).collect::<Vec<_>>())
        .bind::<Array<Timestamptz>, _>(shortages.iter().map(|s| s.occurred_at).collect::<Vec<_>>())
        .bind::<Timestamptz, _>(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Writes settlements and lowers their shortages.
pub(crate) async fn save_settlements(tx: &mut Tx, settled: &[Settlement]) -> Result<()> {
    if settled.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    let invoices: Vec<_> = settled.iter().map(|s| s.invoice).collect();
    let lines: Vec<_> = settled.iter().map(|s| s.line).collect();
    let products: Vec<_> = settled.iter().map(|s| s.place.1).collect();
    let qtys: Vec<_> = settled.iter().map(|s| s.qty).collect();
    sql(
        "insert into shortage_settlement (tenant_id, id, invoice_id, line, product_id, qty, settled_at)
         select $1, u.id, u.i, u.n, u.p, u.q, $7 from unnest($2, $3, $4, $5, $6) as u(id, i, n, p, q)",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(settled.iter().map(|s| s.id).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(&invoices)
    .bind::<Array<Integer>, _>(&lines)
    .bind::<Array<SqlUuid>, _>(&products)
    .bind::<Array<Numeric>, _>(&qtys)
    .bind::<Timestamptz, _>(now)
    .execute(tx.conn())
    .await?;
    sql(
        "update shortage s set open = s.open - u.q, settled = s.settled + u.q
         from unnest($2, $3, $4, $5) as u(i, n, p, q)
         where s.tenant_id = $1 and s.invoice_id = u.i and s.line = u.n and s.product_id = u.p",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(&invoices)
    .bind::<Array<Integer>, _>(&lines)
    .bind::<Array<SqlUuid>, _>(&products)
    .bind::<Array<Numeric>, _>(&qtys)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Closes part of shortages because the goods are no longer wanted; one entry a line and product.
pub(crate) async fn cancel(
    tx: &mut Tx,
    closed: &[(InvoiceId, i32, ProductId, Quantity)],
) -> Result<()> {
    if closed.is_empty() {
        return Ok(());
    }
    sql(
        "update shortage s set open = s.open - u.q, cancelled = s.cancelled + u.q
         from unnest($2, $3, $4, $5) as u(i, n, p, q)
         where s.tenant_id = $1 and s.invoice_id = u.i and s.line = u.n and s.product_id = u.p",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(closed.iter().map(|c| c.0).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(closed.iter().map(|c| c.1).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(closed.iter().map(|c| c.2).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(closed.iter().map(|c| c.3).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    total: i64,
}

/// One page of the open shortages, oldest sale first, and how many there are.
pub(crate) async fn list(
    tx: &mut Tx,
    product: Option<ProductId>,
    location: Option<LocationId>,
    after: Option<(DateTime<Utc>, InvoiceId, i32, ProductId)>,
    page: &PageQuery,
) -> Result<(Vec<ShortageRow>, i64)> {
    let count: Count = sql(
        "select count(*) as total from shortage where tenant_id = $1 and open > 0
         and ($2 is null or product_id = $2) and ($3 is null or location_id = $3)",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(product)
    .bind::<Nullable<SqlUuid>, _>(location)
    .get_result(tx.conn())
    .await?;
    let rows = sql("select invoice_id, line, location_id, product_id, qty, open, settled, cancelled, occurred_at
         from shortage where tenant_id = $1 and open > 0
         and ($2 is null or product_id = $2) and ($3 is null or location_id = $3)
         and ($4 is null or (occurred_at, invoice_id, line, product_id) > ($4, $5, $6, $7))
         order by occurred_at, invoice_id, line, product_id limit $8 offset $9")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<SqlUuid>, _>(product)
        .bind::<Nullable<SqlUuid>, _>(location)
        .bind::<Nullable<Timestamptz>, _>(after.map(|a| a.0))
        .bind::<Nullable<SqlUuid>, _>(after.map(|a| a.1))
        .bind::<Nullable<Integer>, _>(after.map(|a| a.2))
        .bind::<Nullable<SqlUuid>, _>(after.map(|a| a.3))
        .bind::<BigInt, _>(page.limit())
        .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
        .load(tx.conn())
        .await?;
    Ok((rows, count.total))
}
