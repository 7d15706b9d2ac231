//! Pieces that could not be named, over HTTP.

use actix_web::{HttpResponse, get, post, web};
use bahi_db::Tx;
use bahi_http::{Caller, Post, Problem, Versioned, ok, page, validate};
use bahi_types::{LocationId, Page, PageQuery, ProductId};
use garde::Validate;
use serde::Deserialize;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    commands::{self, Assigned, Offset},
    store::{self, GapRow},
};
use crate::{
    Error, State,
    ledger::{after_id, page_by_id},
    serial::numbers,
};

/// The endpoints of this noun.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(list).service(assign).service(offset);
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    product_id: Option<ProductId>,
    location_id: Option<LocationId>,
    /// Only those of this document: an invoice, a return, a count.
    document_id: Option<Uuid>,
}

/// Pieces that moved without a number, or with one that was not there; oldest first.
#[utoipa::path(tag = "serials", security(("bearer" = ["inventory.stock.read"])), operation_id = "list_serial_discrepancies", params(Filter, PageQuery), responses((status = 200, body = Page<GapRow>)))]
#[get("/api/v1/inventory/serial-discrepancies")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<Filter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let after = after_id(&query)?;
    let (filter, asked) = (filter.into_inner(), query.clone());
    let (rows, total) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            let (product, location) = (filter.product_id, filter.location_id);
            store::list(tx, product, location, filter.document_id, after, &asked)
                .await
                .map_err(Error::from)
        })
        .await?;
    let found = page_by_id(rows, &query, total, |g| g.id);
    Ok(page(&found))
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct AssignRequest {
    /// Numbers of the pieces, at most as many as are open.
    #[garde(length(min = 1), custom(numbers))]
    serials: Vec<String>,
}

impl Versioned for Assigned {
    fn version(&self) -> Option<i64> {
        None
    }
}

/// Names pieces that a document moved without their numbers: the piece that was sold, or the one that came in.
#[utoipa::path(tag = "serials", security(("bearer" = ["inventory.stock.adjust"])), operation_id = "assign_serials", request_body = AssignRequest, responses((status = 200, body = Assigned)))]
#[post("/api/v1/inventory/serial-discrepancies/{id:[^:/]+}:assign")]
async fn assign(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Post<AssignRequest>,
) -> Result<HttpResponse, Problem> {
    let done = commands::assign(&state, &req.caller.ctx, *id, req.body.serials).await?;
    Ok(ok(&done))
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct OffsetRequest {
    /// A discrepancy of the same balance that goes the other way.
    against: Uuid,
    /// Why; it is audited.
    #[garde(custom(validate::line))]
    reason: String,
}

impl Versioned for Offset {
    fn version(&self) -> Option<i64> {
        None
    }
}

/// Takes pieces that left without a number for those that came without one: nobody will ever know which they were.
#[utoipa::path(tag = "serials", security(("bearer" = ["inventory.stock.adjust"])), operation_id = "offset_serials", request_body = OffsetRequest, responses((status = 200, body = Offset)))]
#[post("/api/v1/inventory/serial-discrepancies/{id:[^:/]+}:offset")]
async fn offset(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Post<OffsetRequest>,
) -> Result<HttpResponse, Problem> {
    let pair = (*id, req.body.against);
    let done = commands::offset(&state, &req.caller.ctx, pair, req.body.reason).await?;
    Ok(ok(&done))
}
