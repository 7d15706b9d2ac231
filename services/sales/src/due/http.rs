//! Dues over HTTP.

use actix_web::{HttpResponse, get, http::header, web};
use bahi_db::Tx;
use bahi_http::{Caller, Fault, Problem, page};
use bahi_types::{Cursor, CustomerId, InvoiceId, Money, Page, PageQuery, business_date};
use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    model::{Bucket, OpenItem, Party},
    store,
};
use crate::{State, customer, error::Error};

/// Rows that an export reads at a time.
const CHUNK: i64 = 1000;
/// Most rows of an export.
const MOST_EXPORTED: usize = 50_000;

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(dues).service(export).service(items);
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct DueFilter {
    /// At the end of this day; today when absent.
    as_of: Option<NaiveDate>,
    /// Those that owe something of that age.
    #[param(inline)]
    bucket: Option<Bucket>,
    customer_id: Option<CustomerId>,
}

/// Dues by days since the due date.
#[derive(Debug, Serialize, ToSchema)]
struct AgesBody {
    not_due: Money,
    #[serde(rename = "0-30")]
    to_30: Money,
    #[serde(rename = "31-60")]
    to_60: Money,
    #[serde(rename = "61-90")]
    to_90: Money,
    #[serde(rename = "90+")]
    over_90: Money,
}

/// What is owed.
#[derive(Debug, Serialize, ToSchema)]
struct OwedBody {
    dues: Money,
    ages: AgesBody,
    /// Of the dues, what is past its due date.
    overdue: Money,
    /// Received and not allocated.
    advances: Money,
}

/// What one party owes.
#[derive(Debug, Serialize, ToSchema)]
struct PartyBody {
    /// None for a buyer without an account.
    customer_id: Option<CustomerId>,
    name: Option<String>,
    phone: Option<String>,
    #[serde(flatten)]
    owed: OwedBody,
    /// Something is past its due date.
    is_overdue: bool,
}

impl From<&Party> for OwedBody {
    fn from(p: &Party) -> Self {
        Self {
            dues: p.dues,
            ages: AgesBody {
                not_due: p.not_due,
                to_30: p.to_30,
                to_60: p.to_60,
                to_90: p.to_90,
                over_90: p.over_90,
            },
            overdue: p.overdue,
            advances: p.advances,
        }
    }
}

impl From<Party> for PartyBody {
    fn from(p: Party) -> Self {
        Self {
            owed: OwedBody::from(&p),
            is_overdue: p.overdue.is_positive(),
            customer_id: p.customer_id,
            name: p.name,
            phone: p.phone,
        }
    }
}

/// Dues of a page of parties, and of all of them.
#[derive(Debug, Serialize, ToSchema)]
struct DuesBody {
    as_of: NaiveDate,
    /// Of the whole list.
    totals: OwedBody,
    #[serde(flatten)]
    page: Page<PartyBody>,
}

fn day(tx: &Tx, asked: Option<NaiveDate>) -> Result<NaiveDate, Fault> {
    match asked {
        Some(day) if !(1900..=9999).contains(&day.year()) => {
            Err(Fault::field("as_of", "must be a year of four digits"))
        }
        Some(day) => Ok(day),
        None => Ok(business_date(tx.now())),
    }
}

/// Who owes what, at the end of a day.
#[utoipa::path(tag = "dues", security(("bearer" = ["sales.due.read"])), params(PageQuery, DueFilter), responses((status = 200, body = DuesBody)))]
#[get("/api/v1/sales/dues")]
async fn dues(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<DueFilter>,
) -> Result<HttpResponse, Problem> {
    let after = query.cursor.as_deref().map(Cursor::decode).transpose();
    let after = after.map_err(|e| Fault::field("cursor", e.to_string()))?;
    let (as_of, (rows, total, sums)) = state
        .db
        .read_snapshot(&caller.ctx, async |tx| {
            let as_of = day(tx, filter.as_of)?;
            let wanted = store::Filter {
                as_of,
                customer: filter.customer_id,
                bucket: filter.bucket,
                offset: if after.is_some() { 0 } else { query.offset() },
                after: after.map(|c| c.key),
                limit: query.limit(),
            };
            Ok::<_, Error>((as_of, store::list(tx, &wanted).await?))
        })
        .await?;
    let parties = Page::new(rows, &query, total, |p| Cursor {
        key: p.key.clone(),
        id: Uuid::nil(),
    });
    Ok(HttpResponse::Ok().json(DuesBody {
        as_of,
        totals: OwedBody::from(&sums),
        page: parties.map(PartyBody::from),
    }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AsOf {
    /// At the end of this day; today when absent.
    as_of: Option<NaiveDate>,
}

/// An invoice that is not paid.
#[derive(Debug, Serialize, ToSchema)]
struct OpenItemBody {
    invoice_id: InvoiceId,
    number: String,
    date: NaiveDate,
    due_date: NaiveDate,
    #[schema(inline)]
    bucket: Bucket,
    is_overdue: bool,
    /// Days since the due date; negative before it.
    days: i64,
    reference: Option<String>,
    total: Money,
    /// What is still to be paid of it.
    open: Money,
}

fn item(as_of: NaiveDate, item: OpenItem) -> OpenItemBody {
    let days = (as_of - item.due_date).num_days();
    OpenItemBody {
        bucket: Bucket::of(item.due_date, as_of),
        is_overdue: days > 0,
        days,
        invoice_id: item.invoice_id,
        number: item.number,
        date: item.date,
        due_date: item.due_date,
        reference: item.reference,
        total: item.total,
        open: item.open,
    }
}

/// Invoices of a customer that are not paid at the end of a day, by due date.
#[utoipa::path(tag = "dues", security(("bearer" = ["sales.due.read"])), params(PageQuery, AsOf), responses((status = 200, body = Page<OpenItemBody>), (status = 404)))]
#[get("/api/v1/sales/customers/{id:[^:/]+}/open-items")]
async fn items(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<CustomerId>,
    query: web::Query<PageQuery>,
    asked: web::Query<AsOf>,
) -> Result<HttpResponse, Problem> {
    let wrong = || Fault::field("cursor", "is not one of this list");
    let after = match &query.cursor {
        None => None,
        Some(text) => {
            let cursor = Cursor::decode(text).map_err(|_| wrong())?;
            Some((cursor.key.parse().map_err(|_| wrong())?, cursor.id))
        }
    };
    let offset = if after.is_some() { 0 } else { query.offset() };
    let (as_of, (rows, total)) = state
        .db
        .read(&caller.ctx, async |tx| {
            customer::find(tx, *id).await?.ok_or(Fault::NotFound)?;
            let as_of = day(tx, asked.as_of)?;
            let found = store::items(tx, *id, as_of, after, query.limit(), offset).await?;
            Ok::<_, Error>((as_of, found))
        })
        .await?;
    let items = Page::new(rows, &query, total, |i| Cursor {
        key: i.due_date.to_string(),
        id: i.invoice_id.uuid(),
    });
    Ok(page(&items.map(|row| item(as_of, row))))
}

/// A field of a CSV file (RFC 4180); a text that a spreadsheet would take for a formula is quoted away.
pub(crate) fn field(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// The same as a CSV file.
#[utoipa::path(tag = "dues", security(("bearer" = ["sales.due.read"])), params(AsOf), responses(
    (status = 200, content_type = "text/csv", body = String),
    (status = 400, description = "More than 50,000 rows"),
    (status = 404)))]
#[get("/api/v1/sales/customers/{id:[^:/]+}/open-items.csv")]
async fn export(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<CustomerId>,
    asked: web::Query<AsOf>,
) -> Result<HttpResponse, Problem> {
    let text = state
        .db
        .read_snapshot(&caller.ctx, async |tx| {
            customer::find(tx, *id).await?.ok_or(Fault::NotFound)?;
            let as_of = day(tx, asked.as_of)?;
            let mut text = "number,date,due_date,days,overdue,reference,total,open\r\n".to_owned();
            let (mut after, mut rows) = (None, 0);
            loop {
                let (chunk, _) = store::items(tx, *id, as_of, after, CHUNK, 0).await?;
                let more = chunk.len() as i64 == CHUNK;
                rows += chunk.len();
                if rows > MOST_EXPORTED {
                    let fault = Fault::field("as_of", "has more than 50,000 open items");
                    return Err(Error::from(fault));
                }
                for row in chunk {
                    after = Some((row.due_date, row.invoice_id.uuid()));
                    let row = item(as_of, row);
                    let reference = field(row.reference.as_deref().unwrap_or_default());
                    text += &format!(
                        "{},{},{},{},{},{reference},{},{}\r\n",
                        field(&row.number),
                        row.date,
                        row.due_date,
                        row.days,
                        row.is_overdue,
                        row.total,
                        row.open
                    );
                }
                if !more {
                    return Ok(text);
                }
            }
        })
        .await?;
    let name = format!("attachment; filename=\"open-items-{}.csv\"", *id);
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header((header::CONTENT_DISPOSITION, name))
        .body(text))
}
