//! Changes of status over HTTP.

use actix_web::{HttpResponse, get, post, web};
use async_graphql::InputObject;
use bahi_http::{Caller, Post, Problem, Versioned, created, validate};
use bahi_types::{BatchId, LocationId, Page, PageQuery, ProductId, Quantity, ReservationId};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::commands::{self, NewChange, StatusChange};
use crate::{
    State,
    costs::{Costs, shown},
    document::{self, Filter, Kind},
    ledger::Status,
    serial,
};

/// The endpoints of this noun.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create).service(list).service(find);
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
#[graphql(name = "StockStatusChangeInput")]
pub(super) struct StatusChangeRequest {
    location_id: LocationId,
    /// Why; it is audited.
    #[garde(custom(validate::line))]
    reason: String,
    /// 1 to 500.
    #[garde(length(min = 1, max = 500), dive)]
    lines: Vec<StatusChangeLineRequest>,
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
#[graphql(name = "StockStatusChangeLineInput")]
struct StatusChangeLineRequest {
    product_id: ProductId,
    /// Batch, for goods that lie there by batch.
    batch_id: Option<BatchId>,
    /// `sellable`, `quarantine` or `damaged`.
    #[garde(custom(at_rest))]
    from: Status,
    /// `sellable`, `quarantine`, `damaged`, or `scrap`: thrown away.
    #[garde(custom(reachable))]
    to: Status,
    #[garde(custom(validate::positive))]
    qty: Quantity,
    /// Serial numbers of the pieces, for a product followed by number: one for each, at most 1000.
    #[serde(default)]
    #[graphql(default)]
    #[garde(custom(serial::numbers))]
    serials: Vec<String>,
}

fn at_rest(value: &Status, (): &()) -> garde::Result {
    if value.at_rest() {
        Ok(())
    } else {
        Err(garde::Error::new("must be sellable, quarantine or damaged"))
    }
}

fn reachable(value: &Status, (): &()) -> garde::Result {
    if value.at_rest() || *value == Status::Scrap {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must be sellable, quarantine, damaged or scrap",
        ))
    }
}

impl From<StatusChangeRequest> for NewChange {
    fn from(body: StatusChangeRequest) -> Self {
        let lines = body.lines.into_iter().map(|l| commands::NewLine {
            product: l.product_id,
            batch: l.batch_id,
            from: l.from,
            to: l.to,
            qty: l.qty,
            serials: l.serials,
        });
        Self {
            location: body.location_id,
            reason: body.reason,
            lines: lines.collect(),
        }
    }
}

impl Versioned for StatusChange {
    fn version(&self) -> Option<i64> {
        None
    }
}

impl Costs for StatusChange {
    fn hide_costs(&mut self) {
        for line in &mut self.lines {
            line.cost_value = None;
        }
    }
}

/// Moves goods to another status; all lines or none.
#[utoipa::path(tag = "status-changes", security(("bearer" = ["inventory.stock.adjust"])), request_body = StatusChangeRequest, responses((status = 201, body = StatusChange)))]
#[post("/api/v1/inventory/status-changes")]
async fn create(
    state: web::Data<State>,
    req: Post<StatusChangeRequest>,
) -> Result<HttpResponse, Problem> {
    let done = commands::post(&state, &req.caller.ctx, req.body.into()).await?;
    Ok(created(&done.map(|made| shown(&req.caller, made))))
}

/// A posted change of status without its lines.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
struct StatusChangeHead {
    /// Its id: the source of its movements.
    id: Uuid,
    /// Where.
    location_id: LocationId,
    /// Why.
    reason: String,
    /// When it was posted.
    recorded_at: DateTime<Utc>,
    /// Holds that had to end because their goods are gone.
    broken_reservations: Vec<ReservationId>,
}

impl Costs for StatusChangeHead {
    /// Only its lines tell any.
    fn hide_costs(&mut self) {}
}

/// Changes of status, in the order they were posted.
#[utoipa::path(tag = "status-changes", security(("bearer" = ["inventory.stock.read"])), params(Filter, PageQuery), responses((status = 200, body = Page<StatusChangeHead>)))]
#[get("/api/v1/inventory/status-changes")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<Filter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let (filter, id) = (filter.into_inner(), |head: &StatusChangeHead| head.id);
    document::list(&state, &caller, Kind::StatusChange, filter, &query, id).await
}

/// A posted change of status.
#[utoipa::path(tag = "status-changes", security(("bearer" = ["inventory.stock.read"])), responses((status = 200, body = StatusChange)))]
#[get("/api/v1/inventory/status-changes/{id}")]
async fn find(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    document::find::<StatusChange>(&state, &caller, Kind::StatusChange, *id).await
}
