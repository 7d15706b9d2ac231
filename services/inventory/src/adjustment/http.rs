//! Adjustments over HTTP.

use actix_web::{HttpResponse, get, post, web};
use async_graphql::InputObject;
use bahi_http::{Caller, Post, Problem, Versioned, created, validate};
use bahi_types::{
    BatchId, LocationId, Money, Page, PageQuery, Price, ProductId, Quantity, ReservationId,
};
use chrono::{DateTime, NaiveDate, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::commands::{self, Adjustment, NewAdjustment};
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
#[graphql(name = "StockAdjustmentInput")]
pub(super) struct AdjustmentRequest {
    location_id: LocationId,
    /// Why; it is audited.
    #[garde(custom(validate::line))]
    reason: String,
    /// Which of the tenant's reasons that is; `other` when absent.
    #[garde(inner(length(chars, min = 1, max = 40)))]
    reason_code: Option<String>,
    /// The business day it counts for, in an open period; today when absent.
    posting_date: Option<NaiveDate>,
    /// 1 to 500.
    #[garde(length(min = 1, max = 500), dive)]
    lines: Vec<AdjustmentLineRequest>,
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
#[graphql(name = "StockAdjustmentLineInput")]
struct AdjustmentLineRequest {
    product_id: ProductId,
    /// Batch, for a product followed by batch.
    batch_id: Option<BatchId>,
    /// `sellable`, which is the default, `quarantine` or `damaged`.
    #[garde(inner(custom(kept)))]
    status: Option<Status>,
    /// Change; a negative one takes away, at most what is on hand.
    #[garde(custom(not_zero))]
    qty_delta: Quantity,
    /// Cost of one unit of a gain; what the product costs now, when absent.
    #[garde(inner(custom(validate::non_negative)))]
    unit_cost: Option<Price>,
    /// Serial numbers of the pieces, for a product followed by number: one for each, at most 1000.
    #[serde(default)]
    #[graphql(default)]
    #[garde(custom(serial::numbers))]
    serials: Vec<String>,
}

fn not_zero(value: &Quantity, (): &()) -> garde::Result {
    if value.is_zero() {
        Err(garde::Error::new("must not be zero"))
    } else {
        Ok(())
    }
}

fn kept(value: &Status, (): &()) -> garde::Result {
    if value.at_rest() {
        Ok(())
    } else {
        Err(garde::Error::new("must be sellable, quarantine or damaged"))
    }
}

impl AdjustmentRequest {
    /// What is to be posted for a caller.
    pub(super) fn by(self, caller: &Caller) -> NewAdjustment {
        let lines = self.lines.into_iter().map(|l| commands::NewLine {
            product: l.product_id,
            batch: l.batch_id,
            status: l.status.unwrap_or(Status::Sellable),
            delta: l.qty_delta,
            unit_cost: l.unit_cost,
            serials: l.serials,
        });
        NewAdjustment {
            location: self.location_id,
            reason: self.reason,
            reason_code: self.reason_code,
            any: caller.grants.allow("inventory.stock.adjust_any"),
            posting_date: self.posting_date,
            lines: lines.collect(),
        }
    }
}

impl Versioned for Adjustment {
    fn version(&self) -> Option<i64> {
        None
    }
}

impl Costs for Adjustment {
    fn hide_costs(&mut self) {
        self.value_delta = None;
        for line in &mut self.lines {
            line.value_delta = None;
        }
    }
}

/// Corrects stock by hand.
#[utoipa::path(tag = "adjustments", security(("bearer" = ["inventory.stock.adjust"])), request_body = AdjustmentRequest, responses((status = 201, body = Adjustment)))]
#[post("/api/v1/inventory/adjust")]
async fn create(
    state: web::Data<State>,
    req: Post<AdjustmentRequest>,
) -> Result<HttpResponse, Problem> {
    let new = req.body.by(&req.caller);
    let done = commands::post(&state, &req.caller.ctx, new).await?;
    Ok(created(&done.map(|made| shown(&req.caller, made))))
}

/// A posted adjustment without its lines.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
struct AdjustmentHead {
    /// Its id: the source of its movements.
    id: Uuid,
    /// Where.
    location_id: LocationId,
    /// Why.
    reason: String,
    /// Which of the tenant's reasons that is.
    reason_code: String,
    /// The business day it counts for.
    posting_date: NaiveDate,
    /// When it was posted.
    recorded_at: DateTime<Utc>,
    /// Change of the stock's value; for those who may see values.
    value_delta: Option<Money>,
    /// Holds that had to end because their goods are gone.
    broken_reservations: Vec<ReservationId>,
}

impl Costs for AdjustmentHead {
    fn hide_costs(&mut self) {
        self.value_delta = None;
    }
}

/// Adjustments, in the order they were posted.
#[utoipa::path(tag = "adjustments", security(("bearer" = ["inventory.stock.read"])), params(Filter, PageQuery), responses((status = 200, body = Page<AdjustmentHead>)))]
#[get("/api/v1/inventory/adjustments")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<Filter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let (filter, id) = (filter.into_inner(), |head: &AdjustmentHead| head.id);
    document::list(&state, &caller, Kind::Adjustment, filter, &query, id).await
}

/// A posted adjustment.
#[utoipa::path(tag = "adjustments", security(("bearer" = ["inventory.stock.read"])), responses((status = 200, body = Adjustment)))]
#[get("/api/v1/inventory/adjustments/{id}")]
async fn find(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    document::find::<Adjustment>(&state, &caller, Kind::Adjustment, *id).await
}
