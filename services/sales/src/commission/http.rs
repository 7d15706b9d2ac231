//! The ledger of commission over HTTP. `sales.commission.read` shows a caller what is its own; what others earn takes
//! `sales.commission.read_all`.

use actix_web::{HttpResponse, get, http::header, web};
use bahi_http::{Caller, Fault, Problem, Timed, page, paged_by_time};
use bahi_types::{Cursor, InvoiceId, Money, Page, PageQuery, UserId};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::store::{self, Filter, Listed};
use crate::{
    State,
    commission_plan::{Period, PlanId},
    due::field,
    error::Error,
};

/// Rows that an export reads at a time.
const CHUNK: i64 = 1000;
/// Most rows of an export.
const MOST_EXPORTED: usize = 50_000;

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(list).service(summary).service(export);
}

/// An entry of the ledger.
#[derive(Debug, Serialize, ToSchema)]
struct EntryBody {
    entry_id: Uuid,
    /// The event that told it.
    posting_id: Uuid,
    salesperson_id: UserId,
    plan_id: PlanId,
    /// Its name.
    plan: String,
    /// `accrual`, `reversal`, `true_up` or `bonus`.
    kind: String,
    invoice_id: InvoiceId,
    invoice_number: String,
    /// `invoice`, `return`, `credit_note`, `debit_note`, `cancellation`, `allocation`, `receipt_reversal` or `edit`.
    document_kind: String,
    document_id: Uuid,
    /// Line of the invoice.
    line: Option<i32>,
    /// Rule of the plan, from 1; none for slabs and target.
    rule: Option<i32>,
    /// Taxable value; negative where it is taken back.
    base: Money,
    /// Negative where it is taken back.
    amount: Money,
    currency: String,
    /// Of the document.
    date: NaiveDate,
    /// First day of the sale's period.
    period_from: NaiveDate,
    /// Its last day.
    period_to: NaiveDate,
    booked_at: DateTime<Utc>,
}

impl From<Listed> for EntryBody {
    fn from(e: Listed) -> Self {
        Self {
            entry_id: e.entry_id,
            posting_id: e.posting_id,
            salesperson_id: e.salesperson_id,
            plan_id: e.plan_id,
            plan: e.plan,
            kind: e.kind,
            invoice_id: e.invoice_id,
            invoice_number: e.number,
            document_kind: e.document_kind,
            document_id: e.document_id,
            line: (e.line > 0).then_some(e.line),
            rule: (e.rule > 0).then_some(e.rule),
            base: e.base,
            amount: e.amount,
            currency: e.currency,
            date: e.date,
            period_from: e.period_from,
            period_to: e.period_to,
            booked_at: e.booked_at,
        }
    }
}

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EntryFilter {
    /// The caller's own when absent and others' may not be seen.
    salesperson_id: Option<UserId>,
    plan_id: Option<PlanId>,
    invoice_id: Option<InvoiceId>,
    /// Invoice, return, note, allocation or receipt.
    document_id: Option<Uuid>,
    /// `accrual`, `reversal`, `true_up` or `bonus`.
    kind: Option<String>,
    /// First day, of the documents.
    from: Option<NaiveDate>,
    /// Last day.
    to: Option<NaiveDate>,
}

/// Whose entries a caller sees, of those asked for.
fn whose(caller: &Caller, asked: Option<UserId>) -> Result<Option<UserId>, Fault> {
    caller.require("sales.commission.read")?;
    let all = "sales.commission.read_all";
    if caller.grants.allow(all) {
        return Ok(asked);
    }
    let own = caller.user()?;
    match asked {
        Some(other) if other != own => Err(Fault::Forbidden(all.into())),
        _ => Ok(Some(own)),
    }
}

fn wanted(caller: &Caller, asked: &EntryFilter) -> Result<Filter, Fault> {
    Ok(Filter {
        salesperson_id: whose(caller, asked.salesperson_id)?,
        plan_id: asked.plan_id,
        invoice_id: asked.invoice_id,
        document_id: asked.document_id,
        kind: asked.kind.clone(),
        from: asked.from,
        to: asked.to,
        ..Filter::default()
    })
}

/// Entries of the ledger, newest first unless sorted by `booked_at:asc`.
#[utoipa::path(tag = "commissions", security(("bearer" = ["sales.commission.read"])), params(PageQuery, EntryFilter), responses(
    (status = 200, body = Page<EntryBody>), (status = 403, description = "Another's, without sales.commission.read_all")))]
#[get("/api/v1/sales/commissions")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    asked: web::Query<EntryFilter>,
) -> Result<HttpResponse, Problem> {
    let walk = Timed::read(&query, "booked_at")?;
    let filter = Filter {
        walk,
        ..wanted(&caller, &asked)?
    };
    let (rows, total) = state
        .db
        .read(&caller.ctx, async |tx| -> Result<_, Error> {
            Ok((
                store::list(tx, &filter).await?,
                store::count(tx, &filter).await?,
            ))
        })
        .await?;
    let entries = paged_by_time(rows, &query, total, |e| (e.booked_at, e.entry_id));
    Ok(page(&entries.map(EntryBody::from)))
}

/// What somebody earned in a period.
#[derive(Debug, Serialize, ToSchema)]
struct EarnedBody {
    salesperson_id: UserId,
    period_from: NaiveDate,
    period_to: NaiveDate,
    base: Money,
    accrued: Money,
    /// Zero or less.
    reversed: Money,
    true_ups: Money,
    bonuses: Money,
    /// Sum of these four.
    amount: Money,
}

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Summed {
    /// `month` when absent.
    #[param(inline)]
    period: Option<Period>,
    /// The caller's own when absent and others' may not be seen.
    salesperson_id: Option<UserId>,
    plan_id: Option<PlanId>,
    /// First day, of the documents.
    from: Option<NaiveDate>,
    /// Last day.
    to: Option<NaiveDate>,
}

fn date_cursor(text: &str) -> Result<(NaiveDate, Uuid), Fault> {
    let wrong = || Fault::field("cursor", "is not one of this list");
    let cursor = Cursor::decode(text).map_err(|_| wrong())?;
    let day = cursor.key.parse().map_err(|_| wrong())?;
    Ok((day, cursor.id))
}

/// Commission by sales person and period of the documents, the latest first.
#[utoipa::path(tag = "commissions", security(("bearer" = ["sales.commission.read"])), params(PageQuery, Summed), responses(
    (status = 200, body = Page<EarnedBody>), (status = 403, description = "Another's, without sales.commission.read_all")))]
#[get("/api/v1/sales/commissions/summary")]
async fn summary(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    asked: web::Query<Summed>,
) -> Result<HttpResponse, Problem> {
    let after = query.cursor.as_deref().map(date_cursor).transpose()?;
    let filter = Filter {
        salesperson_id: whose(&caller, asked.salesperson_id)?,
        plan_id: asked.plan_id,
        from: asked.from,
        to: asked.to,
        walk: Timed {
            limit: query.limit(),
            offset: if after.is_some() { 0 } else { query.offset() },
            ..Timed::default()
        },
        ..Filter::default()
    };
    let period = asked.period.unwrap_or(Period::Month);
    let (rows, total) = state
        .db
        .read(&caller.ctx, async |tx| -> Result<_, Error> {
            Ok(store::summary(tx, &filter, period, after).await?)
        })
        .await?;
    let earned = Page::new(rows, &query, total, |e| Cursor {
        key: e.period_from.to_string(),
        id: e.salesperson_id.uuid(),
    });
    Ok(page(&earned.map(|e| EarnedBody {
        salesperson_id: e.salesperson_id,
        period_from: e.period_from,
        period_to: period.until(e.period_from),
        base: e.base,
        accrued: e.accrued,
        reversed: e.reversed,
        true_ups: e.true_ups,
        bonuses: e.bonuses,
        amount: e.amount,
    })))
}

fn row(e: &EntryBody) -> String {
    let or_none = |n: Option<i32>| n.map(|n| n.to_string()).unwrap_or_default();
    format!(
        "{},{},{},{},{},{},{},{},{},{},{},{},{}\r\n",
        e.date,
        e.salesperson_id,
        field(&e.plan),
        e.kind,
        field(&e.invoice_number),
        e.document_kind,
        e.document_id,
        or_none(e.line),
        or_none(e.rule),
        e.base,
        e.amount,
        e.currency,
        e.entry_id,
    )
}

/// The same entries as a CSV file, oldest first.
#[utoipa::path(tag = "commissions", security(("bearer" = ["sales.commission.read"])), params(EntryFilter), responses(
    (status = 200, content_type = "text/csv", body = String),
    (status = 400, description = "More than 50,000 rows"),
    (status = 403, description = "Another's, without sales.commission.read_all")))]
#[get("/api/v1/sales/commissions/entries.csv")]
async fn export(
    state: web::Data<State>,
    caller: Caller,
    asked: web::Query<EntryFilter>,
) -> Result<HttpResponse, Problem> {
    let filter = wanted(&caller, &asked)?;
    let text = state
        .db
        .read_snapshot(&caller.ctx, async |tx| -> Result<_, Error> {
            let mut text =
                "date,salesperson_id,plan,kind,invoice,document_kind,document_id,line,rule,base,amount,currency,entry_id\r\n"
                    .to_owned();
            let (mut after, mut rows) = (None, 0);
            loop {
                let chunk = Filter {
                    walk: Timed {
                        after,
                        limit: CHUNK,
                        ..Timed::default()
                    },
                    ..filter.clone()
                };
                let chunk = store::list(tx, &chunk).await?;
                rows += chunk.len();
                if rows > MOST_EXPORTED {
                    return Err(Fault::field("from", "has more than 50,000 entries until to").into());
                }
                let more = chunk.len() as i64 == CHUNK;
                for entry in chunk {
                    after = Some((entry.booked_at, entry.entry_id));
                    text += &row(&entry.into());
                }
                if !more {
                    return Ok(text);
                }
            }
        })
        .await?;
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header((
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"commissions.csv\"",
        ))
        .body(text))
}
