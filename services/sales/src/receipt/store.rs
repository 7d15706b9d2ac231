//! Every statement on receipts.

use bahi_db::{Result, Tx, sql};
use bahi_events::Allocation;
use bahi_http::Timed;
use bahi_types::{CustomerId, InvoiceId, Money, ReceiptId};
use chrono::NaiveDate;
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{
        Array, BigInt, Date, Integer, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::{Allocated, Payable, Receipt, Refund, Whole};
use crate::number::Counter;

macro_rules! columns {
    () => {
        "receipt_id, registration_id, fiscal_year, series, number, date, received_at, customer_id, branch_id, till_id,
         session_id, cashier_id, method, amount, reference, note, currency, allocated, refunded, status, reversal_reason,
         reversed_at, version"
    };
}

/// Takes the next number of the counter and writes the receipt with it; `None` when the prefix numbers other documents.
pub(super) async fn insert(
    tx: &mut Tx,
    receipt: &Receipt,
    counter: &Counter,
) -> Result<Option<String>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        number: String,
    }
    let row: Option<Row> = sql("
        with n as (
          insert into number_counter as c (tenant_id, registration_id, prefix, fiscal_year, purpose, next)
          values ($1, $3, $5, $4, 'receipt', 2)
          on conflict (tenant_id, registration_id, prefix, fiscal_year)
          do update set next = c.next + 1 where c.purpose = excluded.purpose
          returning next - 1 as running)
        insert into receipt (tenant_id, receipt_id, registration_id, fiscal_year, series, date, received_at, customer_id,
               branch_id, till_id, session_id, cashier_id, method, amount, reference, note, allocated, running, number)
        select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, n.running,
               $18 || lpad(n.running::text, greatest(4, length(n.running::text)), '0')
          from n
        returning number")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(receipt.receipt_id)
    .bind::<SqlUuid, _>(receipt.registration_id)
    .bind::<Integer, _>(receipt.fiscal_year)
    .bind::<Text, _>(receipt.series.as_str())
    .bind::<Date, _>(receipt.date)
    .bind::<Timestamptz, _>(receipt.received_at)
    .bind::<Nullable<SqlUuid>, _>(receipt.customer_id)
    .bind::<SqlUuid, _>(receipt.branch_id)
    .bind::<Nullable<SqlUuid>, _>(receipt.till_id)
    .bind::<Nullable<SqlUuid>, _>(receipt.session_id)
    .bind::<Nullable<SqlUuid>, _>(receipt.cashier_id)
    .bind::<Text, _>(receipt.method.as_str())
    .bind::<Numeric, _>(receipt.amount)
    .bind::<Nullable<Text>, _>(receipt.reference.as_deref())
    .bind::<Nullable<Text>, _>(receipt.note.as_deref())
    .bind::<Numeric, _>(receipt.allocated)
    .bind::<Text, _>(counter.stem())
    .get_result(tx.conn())
    .await
    .optional()?;
    Ok(row.map(|r| r.number))
}

/// Writes allocations.
pub(super) async fn insert_allocations(
    tx: &mut Tx,
    receipt: ReceiptId,
    date: NaiveDate,
    allocations: &[Allocation],
) -> Result<usize> {
    if allocations.is_empty() {
        return Ok(0);
    }
    Ok(sql("
        insert into receipt_allocation (tenant_id, receipt_id, date, allocated_at, allocation_id, invoice_id, amount)
        select $1, $2, $3, $4, n.* from unnest($5, $6, $7) as n")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(receipt)
    .bind::<Date, _>(date)
    .bind::<Timestamptz, _>(tx.now())
    .bind::<Array<SqlUuid>, _>(allocations.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(allocations.iter().map(|a| a.invoice_id).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(allocations.iter().map(|a| a.amount).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?)
}

/// Writes a refund.
pub(super) async fn insert_refund(
    tx: &mut Tx,
    receipt: ReceiptId,
    refund: &Refund,
) -> Result<usize> {
    Ok(sql(
        "insert into receipt_refund (tenant_id, refund_id, receipt_id, method, amount, reference, reason, date, refunded_at,
                                     session_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(refund.refund_id)
    .bind::<SqlUuid, _>(receipt)
    .bind::<Text, _>(refund.method.as_str())
    .bind::<Numeric, _>(refund.amount)
    .bind::<Nullable<Text>, _>(refund.reference.as_deref())
    .bind::<Text, _>(refund.reason.as_str())
    .bind::<Date, _>(refund.date)
    .bind::<Timestamptz, _>(tx.now())
    .bind::<Nullable<SqlUuid>, _>(refund.session_id)
    .execute(tx.conn())
    .await?)
}

/// Saves what moves on of a locked receipt.
pub(super) async fn save(tx: &mut Tx, receipt: &Receipt) -> Result<usize> {
    Ok(sql(
        "update receipt set allocated = $3, refunded = $4, status = $5, reversal_reason = $6, reversed_at = $7, version = $8
          where tenant_id = $1 and receipt_id = $2",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(receipt.receipt_id)
    .bind::<Numeric, _>(receipt.allocated)
    .bind::<Numeric, _>(receipt.refunded)
    .bind::<Text, _>(receipt.status.as_str())
    .bind::<Nullable<Text>, _>(receipt.reversal_reason.as_deref())
    .bind::<Nullable<Timestamptz>, _>(receipt.reversed_at)
    .bind::<BigInt, _>(receipt.version)
    .execute(tx.conn())
    .await?)
}

/// A receipt.
pub(super) async fn find(tx: &mut Tx, receipt: ReceiptId) -> Result<Option<Receipt>> {
    Ok(sql(concat!(
        "select ",
        columns!(),
        " from receipt where tenant_id = $1 and receipt_id = $2"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(receipt)
    .get_result(tx.conn())
    .await
    .optional()?)
}

/// A receipt, locked.
pub(super) async fn lock(tx: &mut Tx, receipt: ReceiptId) -> Result<Option<Receipt>> {
    Ok(sql(concat!(
        "select ",
        columns!(),
        " from receipt where tenant_id = $1 and receipt_id = $2 for update"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(receipt)
    .get_result(tx.conn())
    .await
    .optional()?)
}

/// What a receipt was allocated to, as far as the caller sees the invoices, oldest first.
async fn allocations(tx: &mut Tx, receipt: ReceiptId) -> Result<Vec<Allocated>> {
    Ok(sql(
        "select a.invoice_id, i.number, a.amount, a.date from receipt_allocation a
           join invoice i on i.tenant_id = a.tenant_id and i.invoice_id = a.invoice_id
          where a.tenant_id = $1 and a.receipt_id = $2 order by a.allocation_id",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(receipt)
    .load(tx.conn())
    .await?)
}

/// What a receipt has paid of each invoice, in the order of their keys; of those too that the caller does not see.
pub(super) async fn paid(tx: &mut Tx, receipt: ReceiptId) -> Result<Vec<Allocation>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        invoice_id: InvoiceId,
        #[diesel(sql_type = Numeric)]
        amount: Money,
    }
    let rows: Vec<Row> = sql(
        "select invoice_id, sum(amount) as amount from receipt_allocation
          where tenant_id = $1 and receipt_id = $2 group by invoice_id order by invoice_id",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(receipt)
    .load(tx.conn())
    .await?;
    let allocation = |row: Row| Allocation {
        invoice_id: row.invoice_id,
        amount: row.amount,
    };
    Ok(rows.into_iter().map(allocation).collect())
}

/// A receipt with its allocations and refunds.
pub(super) async fn get(tx: &mut Tx, receipt: ReceiptId) -> Result<Option<Whole>> {
    let Some(found) = find(tx, receipt).await? else {
        return Ok(None);
    };
    let refunds = sql(
        "select refund_id, method, amount, reference, reason, date, session_id from receipt_refund
          where tenant_id = $1 and receipt_id = $2 order by refund_id",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(receipt)
    .load(tx.conn())
    .await?;
    Ok(Some(Whole {
        receipt: found,
        allocations: allocations(tx, receipt).await?,
        refunds,
    }))
}

/// The invoices of these ids, locked in the order of their keys.
pub(super) async fn lock_invoices(tx: &mut Tx, invoices: &[InvoiceId]) -> Result<Vec<Payable>> {
    Ok(sql(
        "select invoice_id, customer_id, open from invoice where tenant_id = $1 and invoice_id = any($2)
          order by tenant_id, invoice_id for update",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(invoices)
    .load(tx.conn())
    .await?)
}

/// The oldest invoices of a customer that are not paid. Its account is locked, so they stay as they are.
pub(super) async fn oldest(tx: &mut Tx, customer: CustomerId, most: usize) -> Result<Vec<Payable>> {
    Ok(sql(
        "select invoice_id, customer_id, open from invoice where tenant_id = $1 and customer_id = $2 and open > 0
          order by date, issued_at, invoice_id limit $3",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(customer)
    .bind::<BigInt, _>(i64::try_from(most).unwrap_or(i64::MAX))
    .load(tx.conn())
    .await?)
}

/// Pays locked invoices.
pub(super) async fn pay(tx: &mut Tx, allocations: &[Allocation]) -> Result<usize> {
    Ok(sql(
        "update invoice i set paid = paid + n.amount, version = version + 1
           from unnest($2, $3) as n(invoice_id, amount)
          where i.tenant_id = $1 and i.invoice_id = n.invoice_id",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(allocations.iter().map(|a| a.invoice_id).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(allocations.iter().map(|a| a.amount).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?)
}

/// Takes payments of locked invoices back: they are owed again. Each invoice is named once.
pub(super) async fn bounce(tx: &mut Tx, allocations: &[Allocation]) -> Result<usize> {
    Ok(sql(
        "update invoice i set paid = paid - n.amount, bounced = bounced + n.amount, version = version + 1
           from unnest($2, $3) as n(invoice_id, amount)
          where i.tenant_id = $1 and i.invoice_id = n.invoice_id",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(allocations.iter().map(|a| a.invoice_id).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(allocations.iter().map(|a| a.amount).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?)
}

/// When each of these invoices is due.
pub(super) async fn due_dates(
    tx: &mut Tx,
    invoices: &[InvoiceId],
) -> Result<Vec<(InvoiceId, NaiveDate)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        invoice_id: InvoiceId,
        #[diesel(sql_type = Date)]
        due_date: NaiveDate,
    }
    let rows: Vec<Row> = sql(
        "select invoice_id, min(due_date) as due_date from account_entry
          where tenant_id = $1 and invoice_id = any($2) and due_date is not null group by invoice_id",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(invoices)
    .load(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| (r.invoice_id, r.due_date))
        .collect())
}

/// Which receipts a list shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub number: Option<String>,
    pub customer_id: Option<Uuid>,
    pub session_id: Option<Uuid>,
    pub date_from: Option<NaiveDate>,
    pub date_to: Option<NaiveDate>,
    pub status: Option<String>,
    pub walk: Timed,
}

macro_rules! filters {
    () => {
        " where tenant_id = $1 and ($2 is null or number = $2) and ($3 is null or customer_id = $3)
            and ($4 is null or session_id = $4) and ($5 is null or date >= $5) and ($6 is null or date <= $6)
            and ($7 is null or status = $7)"
    };
}
macro_rules! listing {
    ($than:literal, $direction:literal) => {
        concat!(
            "select ",
            columns!(),
            " from receipt",
            filters!(),
            " and ($8 is null or (received_at, receipt_id) ",
            $than,
            " ($8, $9))
              order by received_at ",
            $direction,
            ", receipt_id ",
            $direction,
            " limit $10 offset $11"
        )
    };
}

/// A page of receipts, and how many there are.
pub(super) async fn list(tx: &Tx, filter: &Filter) -> Result<(Vec<Receipt>, i64)> {
    #[derive(QueryableByName)]
    struct Total {
        #[diesel(sql_type = BigInt)]
        total: i64,
    }
    let text = if filter.walk.descending {
        listing!("<", "desc")
    } else {
        listing!(">", "asc")
    };
    let (mut reader, mut counter) = (tx.shared(), tx.shared());
    let rows = sql(text)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<Text>, _>(filter.number.as_deref())
        .bind::<Nullable<SqlUuid>, _>(filter.customer_id)
        .bind::<Nullable<SqlUuid>, _>(filter.session_id)
        .bind::<Nullable<Date>, _>(filter.date_from)
        .bind::<Nullable<Date>, _>(filter.date_to)
        .bind::<Nullable<Text>, _>(filter.status.as_deref())
        .bind::<Nullable<Timestamptz>, _>(filter.walk.after.map(|a| a.0))
        .bind::<Nullable<SqlUuid>, _>(filter.walk.after.map(|a| a.1))
        .bind::<BigInt, _>(filter.walk.limit)
        .bind::<BigInt, _>(filter.walk.offset)
        .load(&mut reader);
    let total = sql(concat!("select count(*) as total from receipt", filters!()))
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<Text>, _>(filter.number.as_deref())
        .bind::<Nullable<SqlUuid>, _>(filter.customer_id)
        .bind::<Nullable<SqlUuid>, _>(filter.session_id)
        .bind::<Nullable<Date>, _>(filter.date_from)
        .bind::<Nullable<Date>, _>(filter.date_to)
        .bind::<Nullable<Text>, _>(filter.status.as_deref())
        .get_result::<Total>(&mut counter);
    let (rows, total) = futures::try_join!(rows, total)?;
    Ok((rows, total.total))
}
