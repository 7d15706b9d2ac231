//! Revaluations over HTTP.

use actix_web::{HttpResponse, get, post, web};
use bahi_db::{Done, Tx};
use bahi_http::{Caller, Fault, Post, Problem, Versioned, created, ok, page, validate};
use bahi_types::{BatchId, LocationId, Page, PageQuery, Price, ProductId};
use chrono::NaiveDate;
use garde::Validate;
use serde::Deserialize;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    commands::{self, NewRevaluation, Revaluation},
    model::NewLine,
    store::{self, Head},
};
use crate::{
    Error, State,
    ledger::{Method, Status, after_id, page_by_id},
};

/// The endpoints of this noun.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create).service(list).service(find);
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct RevaluationRequest {
    /// Why; it is audited.
    #[garde(custom(validate::line))]
    reason: String,
    /// The business day it counts for, in an open period; today when absent.
    posting_date: Option<NaiveDate>,
    /// 1 to 200.
    #[garde(length(min = 1, max = 200), dive)]
    lines: Vec<RevaluationLineRequest>,
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct RevaluationLineRequest {
    product_id: ProductId,
    /// Only what lies there; with `unit_cost`.
    location_id: Option<LocationId>,
    /// Only of this batch; with `unit_cost`.
    batch_id: Option<BatchId>,
    /// Only in this state; with `unit_cost`.
    status: Option<Status>,
    /// What one unit on hand is worth from now on. Either this, or `method` and `standard_cost`.
    #[garde(inner(custom(validate::non_negative)))]
    unit_cost: Option<Price>,
    /// How the product is valued from now on.
    method: Option<Method>,
    /// What one unit of a product valued at standard cost is worth from now on.
    #[garde(inner(custom(validate::non_negative)))]
    standard_cost: Option<Price>,
}

impl Versioned for Revaluation {
    fn version(&self) -> Option<i64> {
        None
    }
}

fn line(n: usize, line: RevaluationLineRequest) -> Result<NewLine, Fault> {
    let wrong =
        |field: &str, message: &str| Err(Fault::field(format!("lines[{n}]{field}"), message));
    let whole = line.method.is_some() || line.standard_cost.is_some();
    if line.unit_cost.is_some() == whole {
        return wrong("", "must have either unit_cost, or method or standard_cost");
    }
    let filtered = line.location_id.is_some() || line.batch_id.is_some() || line.status.is_some();
    if whole && filtered {
        return wrong(
            "",
            "is about the whole product: without location_id, batch_id and status",
        );
    }
    if line.status.is_some_and(|s| !s.at_rest()) {
        return wrong(".status", "must be a state in which goods rest");
    }
    Ok(NewLine {
        product: line.product_id,
        location: line.location_id,
        batch: line.batch_id,
        status: line.status,
        unit_cost: line.unit_cost,
        method: line.method,
        standard_cost: line.standard_cost,
    })
}

/// Changes what goods on hand are worth, or how a product is valued.
#[utoipa::path(tag = "revaluations", security(("bearer" = ["inventory.stock.revalue"])), request_body = RevaluationRequest, responses((status = 201, body = Revaluation)))]
#[post("/api/v1/inventory/revaluations")]
async fn create(
    state: web::Data<State>,
    req: Post<RevaluationRequest>,
) -> Result<HttpResponse, Problem> {
    let lines = req.body.lines.into_iter().enumerate();
    let new = NewRevaluation {
        reason: req.body.reason,
        posting_date: req.body.posting_date,
        lines: lines.map(|(n, l)| line(n, l)).collect::<Result<_, _>>()?,
    };
    Ok(created(
        &commands::post(&state, &req.caller.ctx, new).await?,
    ))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    product: Option<ProductId>,
}

/// Revaluations, in the order they were posted.
#[utoipa::path(tag = "revaluations", security(("bearer" = ["inventory.valuation.read"])), params(Filter, PageQuery), responses((status = 200, body = Page<Head>)))]
#[get("/api/v1/inventory/revaluations")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<Filter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let after = after_id(&query)?;
    let (product, asked) = (filter.product, query.clone());
    let (rows, total) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            store::list(tx, product, after, &asked)
                .await
                .map_err(Error::from)
        })
        .await?;
    Ok(page(&page_by_id(rows, &query, total, |head| head.id)))
}

/// A revaluation.
#[utoipa::path(tag = "revaluations", security(("bearer" = ["inventory.valuation.read"])), responses((status = 200, body = Revaluation)))]
#[get("/api/v1/inventory/revaluations/{id}")]
async fn find(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let (head, lines) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            store::get(tx, *id).await.map_err(Error::from)
        })
        .await?;
    Ok(ok(&Done::first(Revaluation { head, lines })))
}
