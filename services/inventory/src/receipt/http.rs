//! Receipts over HTTP.

use actix_web::{HttpResponse, get, post, web};
use async_graphql::InputObject;
use bahi_http::{Caller, Post, Problem, Versioned, created, validate};
use bahi_types::{LocationId, Money, Page, PageQuery, Price, ProductId, Quantity};
use chrono::{DateTime, NaiveDate, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::commands::{self, NewReceipt, Receipt};
use crate::{
    State, batch,
    costs::{Costs, shown},
    document::{self, Filter, Kind},
    serial,
};

/// The endpoints of this noun.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create).service(list).service(find);
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
#[graphql(name = "StockReceiptInput")]
pub(super) struct ReceiptRequest {
    location_id: LocationId,
    /// The sender's document.
    #[garde(inner(custom(validate::line)))]
    reference: Option<String>,
    /// The business day it counts for, in an open period; today when absent.
    posting_date: Option<NaiveDate>,
    /// 1 to 500.
    #[garde(length(min = 1, max = 500), dive)]
    lines: Vec<ReceiptLineRequest>,
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
#[graphql(name = "StockReceiptLineInput")]
struct ReceiptLineRequest {
    product_id: ProductId,
    #[garde(custom(validate::positive))]
    qty: Quantity,
    /// What one unit costs us, without recoverable tax.
    #[garde(custom(validate::non_negative))]
    unit_cost: Price,
    /// Number of the batch, for a product followed by batch.
    #[garde(inner(length(chars, min = 1, max = 50)), inner(custom(validate::line)))]
    batch_no: Option<String>,
    /// Last day on which the batch may be sold.
    expiry: Option<NaiveDate>,
    /// Day on which the batch was made.
    mfg: Option<NaiveDate>,
    /// Maximum retail price printed on the batch.
    #[garde(inner(custom(validate::positive)))]
    mrp: Option<Money>,
    /// Serial numbers of the pieces, for a product followed by number: one for each, at most 1000.
    #[serde(default)]
    #[graphql(default)]
    #[garde(custom(serial::numbers))]
    serials: Vec<String>,
}

impl From<ReceiptRequest> for NewReceipt {
    fn from(body: ReceiptRequest) -> Self {
        let lines = body.lines.into_iter().map(|l| commands::NewLine {
            product: l.product_id,
            qty: l.qty,
            unit_cost: l.unit_cost,
            batch_no: l.batch_no,
            label: batch::Label {
                mfg: l.mfg,
                expiry: l.expiry,
                mrp: l.mrp,
            },
            serials: l.serials,
        });
        Self {
            location: body.location_id,
            reference: body.reference,
            posting_date: body.posting_date,
            lines: lines.collect(),
        }
    }
}

impl Versioned for Receipt {
    fn version(&self) -> Option<i64> {
        None
    }
}

impl Costs for Receipt {
    fn hide_costs(&mut self) {
        self.value = None;
        for line in &mut self.lines {
            (line.unit_cost, line.value, line.variance) = (None, None, None);
        }
    }
}

/// Receives goods.
#[utoipa::path(tag = "receipts", security(("bearer" = ["inventory.stock.write"])), request_body = ReceiptRequest, responses((status = 201, body = Receipt)))]
#[post("/api/v1/inventory/receipts")]
async fn create(
    state: web::Data<State>,
    req: Post<ReceiptRequest>,
) -> Result<HttpResponse, Problem> {
    let done = commands::post(&state, &req.caller.ctx, req.body.into()).await?;
    Ok(created(&done.map(|made| shown(&req.caller, made))))
}

/// A posted receipt without its lines.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
struct ReceiptHead {
    /// Its id: the source of its movements.
    id: Uuid,
    /// Where the goods went.
    location_id: LocationId,
    /// The sender's document.
    reference: Option<String>,
    /// The business day it counts for.
    posting_date: NaiveDate,
    /// When it was posted.
    recorded_at: DateTime<Utc>,
    /// Sum of the lines' values; for those who may see values.
    value: Option<Money>,
}

impl Costs for ReceiptHead {
    fn hide_costs(&mut self) {
        self.value = None;
    }
}

/// Receipts, in the order they were posted.
#[utoipa::path(tag = "receipts", security(("bearer" = ["inventory.stock.read"])), params(Filter, PageQuery), responses((status = 200, body = Page<ReceiptHead>)))]
#[get("/api/v1/inventory/receipts")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<Filter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let (filter, id) = (filter.into_inner(), |head: &ReceiptHead| head.id);
    document::list(&state, &caller, Kind::Receipt, filter, &query, id).await
}

/// A posted receipt.
#[utoipa::path(tag = "receipts", security(("bearer" = ["inventory.stock.read"])), responses((status = 200, body = Receipt)))]
#[get("/api/v1/inventory/receipts/{id}")]
async fn find(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    document::find::<Receipt>(&state, &caller, Kind::Receipt, *id).await
}
