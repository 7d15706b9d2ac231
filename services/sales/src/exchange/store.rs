//! Every statement on exchanges.

use bahi_db::{Result, Tx, sql};
use bahi_types::{InvoiceId, Money};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{Numeric, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

/// Which credit note pays an invoice.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub(super) struct Exchange {
    #[diesel(sql_type = SqlUuid)]
    pub credit_note_id: InvoiceId,
    #[diesel(sql_type = Numeric)]
    pub amount: Money,
}

/// Records that a credit note pays an invoice.
pub(crate) async fn record(
    tx: &Tx,
    invoice: InvoiceId,
    note: InvoiceId,
    amount: Money,
) -> Result<()> {
    sql("insert into exchange (tenant_id, invoice_id, credit_note_id, amount) values ($1, $2, $3, $4)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(invoice)
        .bind::<SqlUuid, _>(note)
        .bind::<Numeric, _>(amount)
        .execute(&mut tx.shared())
        .await?;
    Ok(())
}

/// The exchange of an invoice.
pub(super) async fn find(tx: &Tx, invoice: InvoiceId) -> Result<Option<Exchange>> {
    Ok(
        sql("select credit_note_id, amount from exchange where tenant_id = $1 and invoice_id = $2")
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<SqlUuid, _>(invoice)
            .get_result(&mut tx.shared())
            .await
            .optional()?,
    )
}
