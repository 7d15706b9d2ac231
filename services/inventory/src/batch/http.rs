//! Batches over HTTP.

use actix_web::{HttpResponse, get, post, web};
use async_graphql::{InputObject, SimpleObject};
use bahi_db::Tx;
use bahi_http::{Caller, Fault, Post, Problem, Versioned, ok, page};
use bahi_types::{BatchId, Money, Page, PageQuery, ProductId, business_date};
use chrono::{DateTime, NaiveDate, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands,
    model::{Batch, BatchStatus},
    store,
};
use crate::{
    Error, State,
    ledger::{after_id, page_by_id},
};

/// The endpoints of this noun.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(list).service(block).service(unblock);
}

/// A batch as it is answered.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema, SimpleObject)]
#[schema(as = Batch)]
#[graphql(name = "Batch", complex)]
pub(crate) struct BatchBody {
    pub(super) id: BatchId,
    pub(super) product_id: ProductId,
    no: String,
    /// Day on which it was made.
    mfg: Option<NaiveDate>,
    /// Last day on which it may be sold.
    expiry: Option<NaiveDate>,
    /// Maximum retail price printed on it.
    mrp: Option<Money>,
    /// `active`, `blocked`, `expired` or `disposed`.
    status: BatchStatus,
    block_reason: Option<String>,
    /// When it was called back.
    recalled_at: Option<DateTime<Utc>>,
    /// When its goods were thrown away.
    disposed_at: Option<DateTime<Utc>>,
    version: i64,
}

impl BatchBody {
    /// As it is on a day.
    pub fn new(batch: Batch, today: NaiveDate) -> Self {
        Self {
            id: batch.id,
            product_id: batch.product_id,
            status: batch.status(today),
            no: batch.no,
            mfg: batch.mfg,
            expiry: batch.expiry,
            mrp: batch.mrp,
            block_reason: batch.block_reason,
            recalled_at: batch.recalled_at,
            disposed_at: batch.disposed_at,
            version: batch.version,
        }
    }
}

impl Versioned for BatchBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams, InputObject)]
#[into_params(parameter_in = Query)]
pub(crate) struct BatchFilter {
    product: Option<ProductId>,
    /// Its number.
    no: Option<String>,
    blocked: Option<bool>,
    /// Called back.
    recalled: Option<bool>,
    /// Only batches whose last day is before this one.
    expiring_before: Option<NaiveDate>,
}

/// Batches, in the order they came first.
#[utoipa::path(tag = "batches", security(("bearer" = ["inventory.stock.read"])), params(BatchFilter, PageQuery), responses((status = 200, body = Page<BatchBody>)))]
#[get("/api/v1/inventory/batches")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<BatchFilter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    Ok(page(
        &listed(&state, &caller, filter.into_inner(), &query).await?,
    ))
}

impl From<BatchFilter> for store::Filter {
    fn from(filter: BatchFilter) -> Self {
        Self {
            product: filter.product,
            blocked: filter.blocked,
            recalled: filter.recalled,
            expiring_before: filter.expiring_before,
            no: filter.no,
        }
    }
}

/// A part of the list.
pub(super) async fn listed(
    state: &State,
    caller: &Caller,
    filter: BatchFilter,
    query: &PageQuery,
) -> Result<Page<BatchBody>, Error> {
    caller.require("inventory.stock.read")?;
    let after = after_id(query)?.map(BatchId::from_uuid);
    if filter.no.as_deref().is_some_and(|no| no.contains('\0')) {
        return Err(Fault::field("no", "must not contain NUL").into());
    }
    let filter = store::Filter::from(filter);
    let asked = query.clone();
    let (rows, total) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            store::list(tx, &filter, after, &asked)
                .await
                .map_err(Error::from)
        })
        .await?;
    let today = business_date(state.db.clock().now());
    let found = page_by_id(rows, query, total, |b| b.id.uuid());
    Ok(found.map(|b| BatchBody::new(b, today)))
}

/// Why something is done to a batch.
#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    /// Why; it is audited.
    #[garde(custom(bahi_http::validate::line))]
    pub reason: String,
}

/// Blocks a batch at every location: nothing of it is promised any more.
#[utoipa::path(tag = "batches", security(("bearer" = ["inventory.batch.write"])), request_body = Reason, responses((status = 200, body = BatchBody)))]
#[post("/api/v1/inventory/batches/{id:[^:/]+}:block")]
async fn block(
    state: web::Data<State>,
    id: web::Path<BatchId>,
    req: Post<Reason>,
) -> Result<HttpResponse, Problem> {
    set(&state, *id, req, true).await
}

/// Lifts the block. What is owed of the product is served at once. A recall is lifted only with the permission
/// `inventory.batch.recall`.
#[utoipa::path(tag = "batches", security(("bearer" = ["inventory.batch.write"])), request_body = Reason, responses((status = 200, body = BatchBody)))]
#[post("/api/v1/inventory/batches/{id:[^:/]+}:unblock")]
async fn unblock(
    state: web::Data<State>,
    id: web::Path<BatchId>,
    req: Post<Reason>,
) -> Result<HttpResponse, Problem> {
    set(&state, *id, req, false).await
}

async fn set(
    state: &State,
    id: BatchId,
    req: Post<Reason>,
    blocked: bool,
) -> Result<HttpResponse, Problem> {
    req.caller.require("inventory.batch.write")?;
    let may_lift = req.caller.grants.allow("inventory.batch.recall");
    let done = commands::set_blocked(
        state,
        &req.caller.ctx,
        id,
        blocked,
        req.body.reason,
        may_lift,
    )
    .await?;
    let today = business_date(state.db.clock().now());
    Ok(ok(&done.map(|b| BatchBody::new(b, today))))
}
