//! Every statement on cancelled invoices.

use bahi_db::{Result, Tx, sql};
use bahi_types::{InvoiceId, Money};
use diesel::sql_types::{BigInt, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::model::Cancellation;
use crate::invoice::{Paid, insert_tenders};

/// Cancels a locked invoice: `total` of it is given back.
pub(super) async fn cancel(
    tx: &mut Tx,
    invoice: InvoiceId,
    total: Money,
    version: i64,
    cancelled: &Cancellation,
) -> Result<()> {
    sql(
        "update invoice set status = 'cancelled', credited = $3, credited_credit = $4, version = $5
          where tenant_id = $1 and invoice_id = $2",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(invoice)
    .bind::<Numeric, _>(total)
    .bind::<Numeric, _>(cancelled.credited)
    .bind::<BigInt, _>(version)
    .execute(tx.conn())
    .await?;
    sql(
        "insert into cancellation (tenant_id, invoice_id, reason_code, note, cancelled_at, cancelled_by, session_id,
                                   credited, refunded)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(invoice)
    .bind::<Text, _>(cancelled.reason.name())
    .bind::<Nullable<Text>, _>(cancelled.note.as_deref())
    .bind::<Timestamptz, _>(cancelled.at)
    .bind::<Nullable<SqlUuid>, _>(cancelled.by)
    .bind::<Nullable<SqlUuid>, _>(cancelled.session_id)
    .bind::<Numeric, _>(cancelled.credited)
    .bind::<Numeric, _>(cancelled.refunded)
    .execute(tx.conn())
    .await?;
    let (tenders, document) = (&cancelled.tenders, invoice.uuid());
    insert_tenders(tx, Paid::Cancellation, document, tenders).await?;
    Ok(())
}
