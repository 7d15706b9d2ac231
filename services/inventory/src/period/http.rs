//! Periods over HTTP.

use actix_web::{HttpResponse, get, put, web};
use bahi_db::{Done, Tx};
use bahi_http::{Amend, Caller, Fault, Problem, Versioned, ok, page, validate};
use bahi_types::{Page, PageQuery, business_date};
use chrono::{Months, NaiveDate};
use garde::Validate;
use serde::Deserialize;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands::{self, Period, PeriodStatus},
    model::{first_of, month_named},
    store,
};
use crate::{Error, State};

/// The endpoints of this noun.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(list).service(find).service(set);
}

impl Versioned for Period {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

fn month(text: &str) -> Result<NaiveDate, Fault> {
    month_named(text).ok_or_else(|| Fault::field("period", "must be a month such as 2026-10"))
}

/// The months of the books, the current one first, back to the first movement.
#[utoipa::path(tag = "periods", security(("bearer" = ["inventory.stock.read"])), params(PageQuery), responses((status = 200, body = Page<Period>)))]
#[get("/api/v1/inventory/periods")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    if query.cursor.is_some() {
        return Err(Fault::field("cursor", "this list is walked by page").into());
    }
    query
        .sort(&["period"])
        .map_err(|text| Fault::field("sort", format!("cannot sort by {text}")))?;
    let (calendar, first, today) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| -> Result<_, Error> {
            let calendar = store::find(tx).await?;
            let today = business_date(tx.now());
            Ok((
                calendar,
                store::first_day(tx).await?.unwrap_or(today),
                today,
            ))
        })
        .await?;
    let (from, first) = (first_of(today), first_of(first));
    let months: Vec<NaiveDate> = (0..)
        .map_while(|n| from.checked_sub_months(Months::new(n)))
        .take_while(|m| *m >= first)
        .collect();
    let items = months
        .iter()
        .skip(usize::try_from(query.offset()).unwrap_or(usize::MAX))
        .take(usize::try_from(query.limit()).unwrap_or(20))
        .map(|m| Period::of(*m, calendar))
        .collect();
    Ok(page(&Page {
        items,
        page: query.page(),
        limit: query.limit(),
        total: months.len() as i64,
        next_cursor: None,
        cursors: Vec::new(),
    }))
}

/// A month of the books.
#[utoipa::path(tag = "periods", security(("bearer" = ["inventory.stock.read"])), responses((status = 200, body = Period)))]
#[get("/api/v1/inventory/periods/{period}")]
async fn find(
    state: web::Data<State>,
    caller: Caller,
    period: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let month = month(&period)?;
    let calendar = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            store::find(tx).await.map_err(Error::from)
        })
        .await?;
    Ok(ok(&Done::first(Period::of(month, calendar))))
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct PeriodRequest {
    status: PeriodStatus,
    /// Why; it is audited.
    #[garde(inner(custom(validate::line)))]
    reason: Option<String>,
}

/// Closes a month with every earlier one, or opens it with every later one.
#[utoipa::path(tag = "periods", security(("bearer" = ["inventory.period.write"])), request_body = PeriodRequest, responses((status = 200, body = Period)))]
#[put("/api/v1/inventory/periods/{period}")]
async fn set(
    state: web::Data<State>,
    period: web::Path<String>,
    req: Amend<PeriodRequest>,
) -> Result<HttpResponse, Problem> {
    let at = (month(&period)?, req.version);
    let done = commands::set(
        &state,
        &req.caller.ctx,
        at,
        req.body.status,
        req.body.reason,
    )
    .await?;
    Ok(ok(&done))
}
