//! What happened to an invoice, in order: issued, edited, returned, noted, paid, paid no more, cancelled.

use actix_web::{HttpResponse, get, web};
use bahi_db::{Result as DbResult, Tx, sql};
use bahi_http::{Caller, Fault, Problem, Timed, page, paged_by_time};
use bahi_types::{InvoiceId, Money, Page, PageQuery, UserId};
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Jsonb, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::{State, error::Error, invoice};

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(timeline);
}

/// Something that happened to an invoice.
#[derive(Clone, Debug, QueryableByName, Serialize, ToSchema)]
struct Happened {
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    /// `issued`, `edited`, `returned`, `credit_noted`, `debit_noted`, `paid`, `payment_reversed` or `cancelled`.
    #[diesel(sql_type = Text)]
    what: String,
    /// The document that did it: return, note, receipt, or the invoice itself.
    #[diesel(sql_type = SqlUuid)]
    document_id: Uuid,
    /// Its number.
    #[diesel(sql_type = Nullable<Text>)]
    number: Option<String>,
    /// Its total, or what of it concerns this invoice.
    #[diesel(sql_type = Nullable<Numeric>)]
    amount: Option<Money>,
    /// Who did it.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    by: Option<UserId>,
    /// A reason, or what was changed.
    #[diesel(sql_type = Nullable<Jsonb>)]
    details: Option<Value>,
    /// Orders what happened at one moment.
    #[diesel(sql_type = SqlUuid)]
    #[serde(skip)]
    id: Uuid,
}

// Another kind of document adds its own line here.
macro_rules! happened {
    () => {
        "with happened as (
           select issued_at as at, 'issued' as what, invoice_id as document_id, number, total as amount, cashier_id as by,
                  null::jsonb as details, '00000000-0000-0000-0000-000000000000'::uuid as id
             from invoice where tenant_id = $1 and invoice_id = $2
           union all
           select edited_at, 'edited', invoice_id, null, null, edited_by, changes,
                  lpad(to_hex(version), 32, '0')::uuid
             from invoice_edit where tenant_id = $1 and invoice_id = $2
           union all
           select issued_at, 'returned', credit_note_id, number, total, cashier_id,
                  jsonb_build_object('reason', reason), credit_note_id
             from credit_note where tenant_id = $1 and original_invoice_id = $2
           union all
           select issued_at, kind || '_noted', note_id, number, total, issued_by, jsonb_build_object('reason', reason), note_id
             from price_note where tenant_id = $1 and original_invoice_id = $2
           union all
           select a.allocated_at, 'paid', a.receipt_id, r.number, a.amount, r.cashier_id,
                  jsonb_build_object('method', r.method), a.allocation_id
             from receipt_allocation a join receipt r on r.tenant_id = a.tenant_id and r.receipt_id = a.receipt_id
            where a.tenant_id = $1 and a.invoice_id = $2
           union all
           select r.reversed_at, 'payment_reversed', r.receipt_id, r.number, sum(a.amount), null,
                  jsonb_build_object('reason', r.reversal_reason), r.receipt_id
             from receipt_allocation a join receipt r on r.tenant_id = a.tenant_id and r.receipt_id = a.receipt_id
            where a.tenant_id = $1 and a.invoice_id = $2 and r.status = 'reversed'
            group by r.tenant_id, r.receipt_id
           union all
           select c.cancelled_at, 'cancelled', c.invoice_id, null, c.credited + c.refunded, c.cancelled_by,
                  jsonb_build_object('reason_code', c.reason_code, 'note', c.note),
                  'ffffffff-ffff-ffff-ffff-ffffffffffff'
             from cancellation c where c.tenant_id = $1 and c.invoice_id = $2)"
    };
}

async fn find(tx: &Tx, invoice: InvoiceId, walk: Timed) -> DbResult<(Vec<Happened>, i64)> {
    #[derive(QueryableByName)]
    struct Total {
        #[diesel(sql_type = BigInt)]
        total: i64,
    }
    let (mut reader, mut counter) = (tx.shared(), tx.shared());
    let rows = sql(concat!(
        happened!(),
        " select * from happened where $3 is null or (at, id) > ($3, $4) order by at, id limit $5 offset $6"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(invoice)
    .bind::<Nullable<Timestamptz>, _>(walk.after.map(|a| a.0))
    .bind::<Nullable<SqlUuid>, _>(walk.after.map(|a| a.1))
    .bind::<BigInt, _>(walk.limit)
    .bind::<BigInt, _>(walk.offset)
    .load(&mut reader);
    let total = sql(concat!(
        happened!(),
        " select count(*) as total from happened"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(invoice)
    .get_result::<Total>(&mut counter);
    let (rows, total) = futures::try_join!(rows, total)?;
    Ok((rows, total.total))
}

/// What happened to an invoice, oldest first.
#[utoipa::path(tag = "invoices", security(("bearer" = ["sales.invoice.read"])), params(PageQuery), responses((status = 200, body = Page<Happened>), (status = 404)))]
#[get("/api/v1/sales/invoices/{id:[^:/]+}/timeline")]
async fn timeline(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<InvoiceId>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let walk = Timed::oldest_first(&query)?;
    let (rows, total) = state
        .db
        .read(&caller.ctx, async |tx| {
            invoice::get(tx, *id).await?.ok_or(Fault::NotFound)?;
            let found = find(tx, *id, walk).await?;
            Ok::<_, Error>(found)
        })
        .await?;
    Ok(page(&paged_by_time(rows, &query, total, |h| (h.at, h.id))))
}
