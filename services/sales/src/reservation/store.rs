//! Every statement on decisions.

use std::collections::HashMap;

use bahi_db::{Result, Tx, sql};
use bahi_proto::reservation_id;
use bahi_types::{InvoiceId, LocationId, ProductId, Quantity, ReservationId};
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{
        Array, Bytea, Integer, Jsonb, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;

use super::{Standing, model::Decided};

/// How an invoice stands now.
pub(crate) async fn standing(tx: &Tx, invoice: InvoiceId) -> Result<Standing> {
    let rows: Vec<Decided> = sql(
        "select attempt, decision, request_hash from reservation_decision
                                   where tenant_id = $1 and invoice_id = $2",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(invoice)
    .load(&mut tx.shared())
    .await?;
    Ok(Standing::of(&rows))
}

/// How invoices stand now; one that is not in the answer has no decision.
pub(crate) async fn standings(
    tx: &Tx,
    invoices: &[InvoiceId],
) -> Result<HashMap<InvoiceId, Standing>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        invoice_id: InvoiceId,
        #[diesel(embed)]
        decided: Decided,
    }
    let rows: Vec<Row> = sql(
        "select invoice_id, attempt, decision, request_hash from reservation_decision
          where tenant_id = $1 and invoice_id = any($2)",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(invoices)
    .load(&mut tx.shared())
    .await?;
    let mut of: HashMap<InvoiceId, Vec<Decided>> = HashMap::new();
    for row in rows {
        of.entry(row.invoice_id).or_default().push(row.decided);
    }
    Ok(of
        .into_iter()
        .map(|(id, rows)| (id, Standing::of(&rows)))
        .collect())
}

fn number(attempt: u32) -> i32 {
    i32::try_from(attempt).unwrap_or(i32::MAX)
}

/// Writes `issued`; 0 when the attempt, or the invoice, is decided already. Waits for an undecided rival.
pub(crate) async fn issue(
    tx: &Tx,
    invoice: InvoiceId,
    attempt: u32,
    request_hash: &[u8],
) -> Result<usize> {
    Ok(sql("insert into reservation_decision (tenant_id, invoice_id, attempt, reservation_id, decision, request_hash, decided_at)
            values ($1, $2, $3, $4, 'issued', $5, $6) on conflict do nothing")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(invoice)
    .bind::<Integer, _>(number(attempt))
    .bind::<SqlUuid, _>(reservation_id(invoice, attempt))
    .bind::<Bytea, _>(request_hash)
    .bind::<Timestamptz, _>(tx.now())
    .execute(&mut tx.shared())
    .await?)
}

/// Writes `void` on attempts without a decision. Waits for requests that are just deciding.
pub(crate) async fn void(tx: &mut Tx, holds: &[(InvoiceId, u32)]) -> Result<usize> {
    // In order of the key, so that two sweeps never wait for each other.
    let mut holds = holds.to_vec();
    holds.sort_unstable();
    holds.dedup();
    Ok(sql("insert into reservation_decision (tenant_id, invoice_id, attempt, reservation_id, decision, decided_at)
            select $1, n.invoice_id, n.attempt, n.reservation_id, 'void', $5
              from unnest($2, $3, $4) as n(invoice_id, attempt, reservation_id)
            on conflict do nothing")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(holds.iter().map(|h| h.0).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(holds.iter().map(|h| number(h.1)).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(holds.iter().map(|h| reservation_id(h.0, h.1)).collect::<Vec<_>>())
    .bind::<Timestamptz, _>(tx.now())
    .execute(tx.conn())
    .await?)
}

/// Writes `closed`, which ends every attempt; nothing happens when the invoice is issued or closed already.
pub(crate) async fn close(tx: &mut Tx, invoice: InvoiceId) -> Result<usize> {
    Ok(sql("insert into reservation_decision (tenant_id, invoice_id, attempt, reservation_id, decision, decided_at)
            values ($1, $2, 0, $3, 'closed', $4) on conflict do nothing")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(invoice)
    .bind::<SqlUuid, _>(reservation_id(invoice, 0))
    .bind::<Timestamptz, _>(tx.now())
    .execute(tx.conn())
    .await?)
}

/// A decision by its hold.
#[derive(Debug, QueryableByName)]
pub(super) struct OfHold {
    #[diesel(sql_type = SqlUuid)]
    pub reservation_id: ReservationId,
    #[diesel(sql_type = Text)]
    pub decision: String,
}

/// The decisions on holds.
pub(super) async fn of_holds(tx: &Tx, holds: &[ReservationId]) -> Result<Vec<OfHold>> {
    Ok(
        sql("select reservation_id, decision from reservation_decision
             where tenant_id = $1 and reservation_id = any($2)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(holds)
        .load(&mut tx.shared())
        .await?,
    )
}

/// A stocked line of an issued invoice, with its header; an invoice of services alone has one row without a line.
#[derive(Debug, QueryableByName)]
pub(super) struct IssuedRow {
    #[diesel(sql_type = SqlUuid)]
    pub reservation_id: ReservationId,
    #[diesel(sql_type = SqlUuid)]
    pub invoice_id: InvoiceId,
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    #[diesel(sql_type = Text)]
    pub demand_hash: String,
    #[diesel(sql_type = Text)]
    pub number: String,
    #[diesel(sql_type = Timestamptz)]
    pub issued_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub line: Option<i32>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub product_id: Option<ProductId>,
    #[diesel(sql_type = Nullable<Numeric>)]
    pub qty: Option<Quantity>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub serials: Option<serde_json::Value>,
}

/// The stocked lines of the invoices issued on holds, in order.
pub(super) async fn issued_lines(tx: &Tx, holds: &[ReservationId]) -> Result<Vec<IssuedRow>> {
    Ok(sql("select d.reservation_id, i.invoice_id, i.location_id, i.demand_hash, i.number, i.issued_at, l.line, l.product_id, l.qty, l.serials
              from reservation_decision d
              join invoice i on i.tenant_id = d.tenant_id and i.invoice_id = d.invoice_id
              left join invoice_line l on l.tenant_id = i.tenant_id and l.invoice_id = i.invoice_id and l.stocked
             where d.tenant_id = $1 and d.reservation_id = any($2) and d.decision = 'issued'
             order by i.invoice_id, l.line")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(holds)
    .load(&mut tx.shared())
    .await?)
}
