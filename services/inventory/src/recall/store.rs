//! Every SQL statement about where goods of a batch came from and went.

use bahi_db::{Result, Tx, sql};
use bahi_types::{BatchId, CustomerId, InvoiceId, LocationId, PageQuery, ProductId, Quantity};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Date, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Who bought, as far as the invoice's event says.
#[derive(Clone, Debug)]
pub(crate) struct Buyer {
    /// The invoice.
    pub invoice: InvoiceId,
    /// Its number.
    pub number: String,
    /// Its date.
    pub date: Option<NaiveDate>,
    /// Customer.
    pub customer: Option<CustomerId>,
    /// The buyer's GSTIN.
    pub gstin: Option<String>,
}

/// Keeps who bought on invoices that took goods of batches.
pub(crate) async fn keep_buyers(tx: &mut Tx, buyers: &[&Buyer]) -> Result<()> {
    if buyers.is_empty() {
        return Ok(());
    }
    // What sales answers about a sale whose event is late says less than the event: that fills in what is missing.
    sql("insert into batch_buyer (tenant_id, invoice_id, number, date, customer_id, gstin)
         select $1, u.i, u.n, u.d, u.c, u.g from unnest($2, $3, $4, $5, $6) as u(i, n, d, c, g) order by u.i
         on conflict (tenant_id, invoice_id) do update
         set date = coalesce(batch_buyer.date, excluded.date),
             customer_id = coalesce(batch_buyer.customer_id, excluded.customer_id),
             gstin = coalesce(batch_buyer.gstin, excluded.gstin)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(buyers.iter().map(|b| b.invoice).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(buyers.iter().map(|b| b.number.as_str()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Date>>, _>(buyers.iter().map(|b| b.date).collect::<Vec<_>>())
        .bind::<Array<Nullable<SqlUuid>>, _>(buyers.iter().map(|b| b.customer).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(buyers.iter().map(|b| b.gstin.as_deref()).collect::<Vec<_>>())
        .execute(tx.conn())
        .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct InvoiceRow {
    #[diesel(sql_type = SqlUuid)]
    invoice_id: InvoiceId,
}

/// Those of `invoices` whose buyer is kept, and not yet from their event.
pub(crate) async fn half_known(tx: &mut Tx, invoices: &[InvoiceId]) -> Result<Vec<InvoiceId>> {
    let rows: Vec<InvoiceRow> = sql("select invoice_id from batch_buyer
         where tenant_id = $1 and invoice_id = any ($2) and date is null order by invoice_id")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(invoices)
    .load(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|r| r.invoice_id).collect())
}

/// Sums over everything that moved goods of a batch.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = BatchSums)]
pub(crate) struct Sums {
    /// Received from suppliers.
    #[diesel(sql_type = Numeric)]
    pub received: Quantity,
    /// Issued for sales.
    #[diesel(sql_type = Numeric)]
    pub sold: Quantity,
    /// What of that came back.
    #[diesel(sql_type = Numeric)]
    pub returned: Quantity,
    /// Moved by everything else: adjustments, counts, disposals, returns to suppliers; transfers add up to zero.
    #[diesel(sql_type = Numeric)]
    pub other: Quantity,
    /// Still with us, in whatever state.
    #[diesel(sql_type = Numeric)]
    pub on_hand: Quantity,
}

/// The sums of a batch.
pub(super) async fn sums(tx: &mut Tx, batch: BatchId) -> Result<Sums> {
    sql("select coalesce(sum(qty) filter (where kind = 'receipt'), 0) as received,
                coalesce(-sum(qty) filter (where kind = 'issue'), 0) as sold,
                coalesce(sum(qty) filter (where kind = 'return_in'), 0) as returned,
                coalesce(sum(qty) filter (where kind not in ('receipt', 'issue', 'return_in')), 0) as other,
                coalesce(sum(qty), 0) as on_hand
         from movement where tenant_id = $1 and batch_id = $2
           and batch_id <> '00000000-0000-0000-0000-000000000000'")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(batch)
    .get_result(tx.conn())
    .await
    .map_err(bahi_db::Error::from)
}

/// Goods of a batch at a location.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = BatchStock)]
pub(crate) struct Lies {
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    /// On hand in every state.
    #[diesel(sql_type = Numeric)]
    pub on_hand: Quantity,
    /// Promised of it.
    #[diesel(sql_type = Numeric)]
    pub reserved: Quantity,
}

/// Where goods of a batch lie.
pub(super) async fn lies(tx: &mut Tx, batch: BatchId) -> Result<Vec<Lies>> {
    sql("select location_id, sum(on_hand) as on_hand, sum(reserved) as reserved from stock_item
         where tenant_id = $1 and batch_id = $2 and batch_id <> '00000000-0000-0000-0000-000000000000'
         group by location_id having sum(on_hand) > 0 order by location_id")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(batch)
    .load(tx.conn())
    .await
    .map_err(bahi_db::Error::from)
}

/// A document that moved goods of a batch.
#[derive(Clone, Debug, QueryableByName, Serialize, utoipa::ToSchema)]
#[schema(as = TraceEntry)]
pub(crate) struct Step {
    /// `receipt`, `invoice`, `return`, `transfer`, `adjustment`, `disposal`, ...
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[diesel(sql_type = SqlUuid)]
    pub document_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    /// Signed: what came is positive, what left negative.
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
    /// Of an invoice: what of it came back.
    #[diesel(sql_type = Nullable<Numeric>)]
    pub returned: Option<Quantity>,
    /// Business time of the first movement.
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    /// Number of the invoice.
    #[diesel(sql_type = Nullable<Text>)]
    pub number: Option<String>,
    /// Date of the invoice.
    #[diesel(sql_type = Nullable<Date>)]
    pub date: Option<NaiveDate>,
    /// Who bought, where the invoice says so.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub customer_id: Option<CustomerId>,
    /// The buyer's GSTIN.
    #[diesel(sql_type = Nullable<Text>)]
    pub gstin: Option<String>,
    #[diesel(sql_type = BigInt)]
    #[serde(skip)]
    pub seq: i64,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    total: i64,
}

// Goods in one state or another are the same goods; what was scrapped on its way back did come back. What moves nothing
// in or out of a location (the receipt of what was on its way to it, another value) is no step.
macro_rules! moved {
    ($rest:literal) => {
        concat!(
            "with moved as (
               select case m.source_type when 'shortage_settlement' then 'invoice' else m.source_type end as kind,
                      coalesce(s.invoice_id, m.source_id) as document_id, m.location_id, sum(m.qty) as qty,
                      min(m.occurred_at) as at, min(m.seq) as seq
               from movement m
               left join shortage_settlement s on m.source_type = 'shortage_settlement' and s.tenant_id = m.tenant_id
                                              and s.id = m.source_id
               where m.tenant_id = $1 and m.batch_id = $2 and m.batch_id <> '00000000-0000-0000-0000-000000000000'
                 and m.kind <> 'status_change' and not (m.source_type = 'return' and m.kind = 'scrap')
               group by 1, 2, 3 having sum(m.qty) <> 0
             ) ",
            $rest
        )
    };
}

/// One page of the documents that moved goods of a batch, in the order they came first, and how many there are.
pub(super) async fn trace(
    tx: &mut Tx,
    batch: BatchId,
    kind: Option<&str>,
    after: Option<i64>,
    page: &PageQuery,
) -> Result<(Vec<Step>, i64)> {
    let count: Count = sql(moved!(
        "select count(*) as total from moved where ($3 is null or kind = $3)"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(batch)
    .bind::<Nullable<Text>, _>(kind)
    .get_result(tx.conn())
    .await?;
    let rows = sql(moved!(
        ", back as (
           select r.invoice_id, sum(m.qty) as qty from movement m
           join return_line r on r.tenant_id = m.tenant_id and r.credit_note_id = m.source_id and r.line = m.source_line
                             and r.product_id = m.product_id
           where m.tenant_id = $1 and m.batch_id = $2 and m.batch_id <> '00000000-0000-0000-0000-000000000000'
             and m.source_type = 'return' and m.kind = 'return_in' and r.invoice_id is not null
           group by 1
         )
         select m.kind, m.document_id, m.location_id, m.qty, m.at, m.seq, b.number, b.date, b.customer_id, b.gstin,
                case when m.kind = 'invoice' then coalesce(back.qty, 0) end as returned
         from moved m
         left join batch_buyer b on m.kind = 'invoice' and b.tenant_id = $1 and b.invoice_id = m.document_id
         left join back on m.kind = 'invoice' and back.invoice_id = m.document_id
         where ($3 is null or m.kind = $3) and ($4 is null or m.seq > $4)
         order by m.seq limit $5 offset $6"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(batch)
    .bind::<Nullable<Text>, _>(kind)
    .bind::<Nullable<BigInt>, _>(after)
    .bind::<BigInt, _>(page.limit())
    .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
    .load(tx.conn())
    .await?;
    Ok((rows, count.total))
}

#[derive(QueryableByName)]
struct ProductOf {
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
}

/// The product of a batch, read without a lock: holds are locked before batches.
pub(crate) async fn product_of(tx: &mut Tx, batch: BatchId) -> Result<ProductId> {
    let row: ProductOf = sql("select product_id from batch where tenant_id = $1 and id = $2")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(batch)
        .get_result(tx.conn())
        .await?;
    Ok(row.product_id)
}
