//! Returns to suppliers over HTTP.

use actix_web::{HttpResponse, get, post, web};
use bahi_http::{Caller, Fault, Post, Problem, Versioned, created, validate};
use bahi_types::{BatchId, LocationId, Money, Page, PageQuery, ProductId, Quantity};
use chrono::{DateTime, NaiveDate, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::commands::{self, NewLine, NewReturn, SupplierReturn};
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

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct SupplierReturnRequest {
    location_id: LocationId,
    /// Who gets the goods.
    supplier_id: Option<Uuid>,
    /// The document that goes with them.
    #[garde(inner(custom(validate::line)))]
    reference: Option<String>,
    /// Why; it is audited.
    #[garde(custom(validate::line))]
    reason: String,
    /// The business day it counts for, in an open period; today when absent.
    posting_date: Option<NaiveDate>,
    /// 1 to 500.
    #[garde(length(min = 1, max = 500), dive)]
    lines: Vec<SupplierReturnLineRequest>,
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct SupplierReturnLineRequest {
    product_id: ProductId,
    /// Batch, for goods that lie there by batch; a blocked or expired one may go back.
    batch_id: Option<BatchId>,
    /// `sellable`, which is the default, `quarantine` or `damaged`.
    #[garde(inner(custom(at_rest)))]
    status: Option<Status>,
    #[garde(custom(validate::positive))]
    qty: Quantity,
    /// The receipt these goods came with: they go back at what they cost.
    receipt_id: Option<Uuid>,
    /// Line of the receipt, from 1; with `receipt_id`.
    receipt_line: Option<i32>,
    /// Serial numbers of the pieces, for a product followed by number: one for each, at most 1000.
    #[serde(default)]
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

impl Versioned for SupplierReturn {
    fn version(&self) -> Option<i64> {
        None
    }
}

impl Costs for SupplierReturn {
    fn hide_costs(&mut self) {
        self.cost_value = None;
        for line in &mut self.lines {
            line.cost_value = None;
        }
    }
}

fn line(n: usize, line: SupplierReturnLineRequest) -> Result<NewLine, Fault> {
    if line.receipt_id.is_some() != line.receipt_line.is_some() {
        let message = "go together: receipt_id and receipt_line";
        return Err(Fault::field(format!("lines[{n}].receipt_line"), message));
    }
    Ok(NewLine {
        product: line.product_id,
        batch: line.batch_id,
        status: line.status.unwrap_or(Status::Sellable),
        qty: line.qty,
        receipt: line.receipt_id.zip(line.receipt_line),
        serials: line.serials,
    })
}

/// Sends goods back to their supplier; all lines or none.
#[utoipa::path(tag = "supplier_returns", security(("bearer" = ["inventory.supplier_return.write"])), request_body = SupplierReturnRequest, responses((status = 201, body = SupplierReturn)))]
#[post("/api/v1/inventory/supplier-returns")]
async fn create(
    state: web::Data<State>,
    req: Post<SupplierReturnRequest>,
) -> Result<HttpResponse, Problem> {
    let body = req.body;
    let lines = body.lines.into_iter().enumerate();
    let new = NewReturn {
        id: Uuid::now_v7(),
        location: body.location_id,
        supplier: body.supplier_id,
        reference: body.reference,
        reason: body.reason,
        posting_date: body.posting_date,
        lines: lines.map(|(n, l)| line(n, l)).collect::<Result<_, _>>()?,
    };
    let done = commands::post(&state, &req.caller.ctx, new).await?;
    Ok(created(&done.map(|made| shown(&req.caller, made))))
}

/// A posted return to a supplier without its lines.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
struct SupplierReturnHead {
    /// Its id: the source of its movements.
    id: Uuid,
    /// Where the goods were.
    location_id: LocationId,
    /// Who gets them.
    supplier_id: Option<Uuid>,
    /// The document that goes with them.
    reference: Option<String>,
    /// Why.
    reason: String,
    /// The business day it counts for.
    posting_date: NaiveDate,
    /// When it was posted.
    recorded_at: DateTime<Utc>,
    /// What the goods cost; for those who may see values.
    cost_value: Option<Money>,
}

impl Costs for SupplierReturnHead {
    fn hide_costs(&mut self) {
        self.cost_value = None;
    }
}

/// Returns to suppliers, in the order they were posted.
#[utoipa::path(tag = "supplier_returns", security(("bearer" = ["inventory.stock.read"])), params(Filter, PageQuery), responses((status = 200, body = Page<SupplierReturnHead>)))]
#[get("/api/v1/inventory/supplier-returns")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<Filter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let id = |head: &SupplierReturnHead| head.id;
    document::list(
        &state,
        &caller,
        Kind::SupplierReturn,
        filter.into_inner(),
        &query,
        id,
    )
    .await
}

/// A return to a supplier.
#[utoipa::path(tag = "supplier_returns", security(("bearer" = ["inventory.stock.read"])), responses((status = 200, body = SupplierReturn)))]
#[get("/api/v1/inventory/supplier-returns/{id}")]
async fn find(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    document::find::<SupplierReturn>(&state, &caller, Kind::SupplierReturn, *id).await
}
