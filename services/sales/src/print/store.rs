//! Every statement on prints.

use bahi_db::{Ctx, Db, Result, Tx, sql};
use bahi_events::{Envelope, InvoiceIssued, ReturnProcessed};
use bahi_http::Timed;
use bahi_kafka::Failed;
use bahi_types::{InvoiceId, TenantId};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::{Form, Logged, Subject};

/// An A4 in the object store.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct File {
    /// In hexadecimal digits.
    #[diesel(sql_type = Text)]
    pub sha256: String,
    #[diesel(sql_type = Integer)]
    pub bytes: i32,
}

/// How often a form and copy of a document were printed.
pub(super) async fn printed(tx: &Tx, subject: Subject, form: Form) -> Result<u32> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Integer)]
        printed: i32,
    }
    let row: Row = sql("
        select coalesce(max(print_no), 0) as printed from print_log
         where tenant_id = $1 and document_id = $2 and form = $3 and copy = $4")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(subject.id())
    .bind::<Text, _>(form.name())
    .bind::<Text, _>(form.copy())
    .get_result(&mut tx.shared())
    .await?;
    Ok(u32::try_from(row.printed).unwrap_or_default())
}

/// Logs a print.
pub(super) async fn log(tx: &mut Tx, subject: Subject, form: Form, print: &Logged) -> Result<()> {
    sql("insert into print_log (tenant_id, document_id, document_type, form, copy, print_no, print_id, format, width, printed_by,
                                printed_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(subject.id())
    .bind::<Text, _>(subject.name())
    .bind::<Text, _>(form.name())
    .bind::<Text, _>(form.copy())
    .bind::<Integer, _>(print.print_no)
    .bind::<SqlUuid, _>(print.print_id)
    .bind::<Text, _>(form.format())
    .bind::<Nullable<Integer>, _>(form.width())
    .bind::<Nullable<SqlUuid>, _>(print.printed_by)
    .bind::<Timestamptz, _>(print.printed_at)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Which prints a list shows, the oldest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filter {
    pub subject: Subject,
    pub walk: Timed,
}

/// A page of prints, and how many there are.
pub(super) async fn list(tx: &Tx, filter: &Filter) -> Result<(Vec<Logged>, i64)> {
    #[derive(QueryableByName)]
    struct Total {
        #[diesel(sql_type = BigInt)]
        total: i64,
    }
    let (mut reader, mut counter) = (tx.shared(), tx.shared());
    let rows = sql("
        select print_id, form, copy, print_no, format, width, printed_by, printed_at from print_log
         where tenant_id = $1 and document_id = $2 and document_type = $3
           and ($4 is null or (printed_at, print_id) > ($4, $5))
         order by printed_at, print_id limit $6 offset $7")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(filter.subject.id())
    .bind::<Text, _>(filter.subject.name())
    .bind::<Nullable<Timestamptz>, _>(filter.walk.after.map(|a| a.0))
    .bind::<Nullable<SqlUuid>, _>(filter.walk.after.map(|a| a.1))
    .bind::<BigInt, _>(filter.walk.limit)
    .bind::<BigInt, _>(filter.walk.offset)
    .load(&mut reader);
    let total = sql("
        select count(*) as total from print_log where tenant_id = $1 and document_id = $2 and document_type = $3")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(filter.subject.id())
    .bind::<Text, _>(filter.subject.name())
    .get_result::<Total>(&mut counter);
    let (rows, total) = futures::try_join!(rows, total)?;
    Ok((rows, total.total))
}

/// The stored A4 of a copy.
pub(super) async fn file(tx: &Tx, subject: Subject, copy: &str) -> Result<Option<File>> {
    Ok(sql("select sha256, bytes from print_file where tenant_id = $1 and document_id = $2 and copy = $3")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(subject.id())
        .bind::<Text, _>(copy)
        .get_result(&mut tx.shared())
        .await
        .optional()?)
}

/// Notes a stored A4, once, and that there is no more to do for its original.
pub(super) async fn keep(tx: &mut Tx, subject: Subject, copy: &str, file: &File) -> Result<()> {
    let now = tx.now();
    sql("insert into print_file (tenant_id, document_id, copy, document_type, sha256, bytes, stored_at)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(subject.id())
    .bind::<Text, _>(copy)
    .bind::<Text, _>(subject.name())
    .bind::<Text, _>(file.sha256.as_str())
    .bind::<Integer, _>(file.bytes)
    .bind::<Timestamptz, _>(now)
    .execute(tx.conn())
    .await?;
    if copy == "original" {
        done(tx, subject).await?;
    }
    Ok(())
}

/// Forgets the task of a document.
pub(super) async fn done(tx: &mut Tx, subject: Subject) -> Result<()> {
    sql("delete from print_task where tenant_id = $1 and document_id = $2")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(subject.id())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// A document of some tenant whose original is to be made.
#[derive(Clone, Debug, QueryableByName, serde::Serialize, serde::Deserialize)]
pub(super) struct Task {
    #[diesel(sql_type = SqlUuid)]
    pub tenant_id: TenantId,
    #[diesel(sql_type = SqlUuid)]
    pub document_id: InvoiceId,
    #[diesel(sql_type = Text)]
    pub document_type: String,
}

/// Takes tasks of every tenant for a minute or more.
pub(super) async fn claim(db: &Db, most: i32) -> Result<Vec<Task>> {
    let ctx = Ctx::service(db.service(), TenantId::from_uuid(Uuid::nil()));
    let done = db
        .write(&ctx, async move |tx: &mut Tx| {
            let now = tx.now();
            let tasks: Vec<Task> =
                sql("select tenant_id, document_id, document_type from claim_print_tasks($1, $2)")
                    .bind::<Timestamptz, _>(now)
                    .bind::<Integer, _>(most)
                    .load(tx.conn())
                    .await?;
            Ok::<_, bahi_db::Error>(tasks)
        })
        .await?;
    Ok(done.value)
}

/// Applies `invoice.issued`: an invoice of the office or to a business has its original made.
pub(crate) async fn due_invoices(
    tx: &mut Tx,
    events: &[Envelope<InvoiceIssued>],
) -> std::result::Result<(), Failed> {
    let payloads = events.iter().map(|event| &event.payload);
    let wanted = payloads.filter(|p| p.till_id.is_none() || p.gstin_buyer.is_some());
    let ids = wanted.map(|p| p.invoice_id).collect();
    due(tx, "invoice", ids).await
}

/// Applies `return.processed`: likewise for a credit note of the office.
pub(crate) async fn due_notes(
    tx: &mut Tx,
    events: &[Envelope<ReturnProcessed>],
) -> std::result::Result<(), Failed> {
    let payloads = events.iter().map(|event| &event.payload);
    let wanted = payloads.filter(|p| p.till_id.is_none());
    let ids = wanted.map(|p| p.credit_note_id).collect();
    due(tx, "credit_note", ids).await
}

async fn due(
    tx: &mut Tx,
    document_type: &str,
    ids: Vec<InvoiceId>,
) -> std::result::Result<(), Failed> {
    if ids.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    sql(
        "insert into print_task (tenant_id, document_id, document_type, due)
         select $1, n.id, $3, $4 from unnest($2) as n(id) on conflict do nothing",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Text, _>(document_type)
    .bind::<Timestamptz, _>(now)
    .execute(tx.conn())
    .await
    .map_err(bahi_db::Error::from)?;
    Ok(())
}
