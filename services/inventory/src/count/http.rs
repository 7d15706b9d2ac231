//! Counts over HTTP.

use actix_web::{HttpResponse, get, post, web};
use bahi_db::{Done, Tx};
use bahi_http::{Caller, Empty, Post, Problem, Versioned, created, ok, page, validate};
use bahi_types::{BatchId, LocationId, Page, PageQuery, Price, ProductId, Quantity};
use garde::Validate;
use serde::Deserialize;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    commands::{self, Counted, NewCount},
    model::{Count, CountState, Key},
    store,
};
use crate::{
    Error, State,
    costs::{Costs, shown},
    ledger::{NO_BATCH, Status, after_id, page_by_id},
    serial,
};

/// The endpoints of this noun.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create)
        .service(reconcile)
        .service(list)
        .service(find)
        .service(count)
        .service(submit)
        .service(approve)
        .service(recount)
        .service(cancel);
}

impl Versioned for Count {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

impl Costs for Count {
    fn hide_costs(&mut self) {
        self.value_delta = None;
        for line in &mut self.lines {
            line.value_delta = None;
        }
    }
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct CountRequest {
    location_id: LocationId,
    /// In your words.
    #[garde(inner(custom(validate::line)))]
    reference: Option<String>,
    /// What is to be counted, at most 500 at once; more may be added while counting.
    #[serde(default)]
    #[garde(length(max = 500), dive)]
    lines: Vec<CountKeyRequest>,
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct CountKeyRequest {
    product_id: ProductId,
    /// Batch, for goods that lie there by batch.
    batch_id: Option<BatchId>,
    /// `sellable`, which is the default, `quarantine` or `damaged`.
    #[garde(inner(custom(at_rest)))]
    status: Option<Status>,
}

fn at_rest(value: &Status, (): &()) -> garde::Result {
    if value.at_rest() {
        Ok(())
    } else {
        Err(garde::Error::new("must be sellable, quarantine or damaged"))
    }
}

fn key(product: ProductId, batch: Option<BatchId>, status: Option<Status>) -> Key {
    Key {
        product,
        batch: batch.unwrap_or(NO_BATCH),
        status: status.unwrap_or(Status::Sellable),
    }
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CountedRequest {
    /// 1 to 500.
    #[garde(length(min = 1, max = 500), dive)]
    lines: Vec<CountedLineRequest>,
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct CountedLineRequest {
    product_id: ProductId,
    /// Batch, for goods that lie there by batch.
    batch_id: Option<BatchId>,
    /// `sellable`, which is the default, `quarantine` or `damaged`.
    #[garde(inner(custom(at_rest)))]
    status: Option<Status>,
    /// What lies there; zero for nothing.
    #[garde(custom(validate::non_negative))]
    qty: Quantity,
    /// Cost of one unit should there be more than the books say; what the product costs now, when absent.
    #[garde(inner(custom(validate::non_negative)))]
    unit_cost: Option<Price>,
    /// Serial numbers of what lies there, for a product followed by number: as many as `qty`, at most 1000.
    #[serde(default)]
    #[garde(custom(serial::numbers))]
    serials: Vec<String>,
}

fn counted(lines: Vec<CountedLineRequest>) -> Vec<Counted> {
    let line = |l: CountedLineRequest| Counted {
        key: key(l.product_id, l.batch_id, l.status),
        qty: l.qty,
        unit_cost: l.unit_cost,
        serials: l.serials,
    };
    lines.into_iter().map(line).collect()
}

/// Orders a count.
#[utoipa::path(tag = "counts", security(("bearer" = ["inventory.count.write"])), request_body = CountRequest, responses((status = 201, body = Count)))]
#[post("/api/v1/inventory/counts")]
async fn create(state: web::Data<State>, req: Post<CountRequest>) -> Result<HttpResponse, Problem> {
    let keys = req.body.lines.iter();
    let new = NewCount {
        location: req.body.location_id,
        reference: req.body.reference.clone(),
        keys: keys
            .map(|l| key(l.product_id, l.batch_id, l.status))
            .collect(),
        counted: Vec::new(),
    };
    Ok(created(
        &commands::create(&state, &req.caller.ctx, new).await?,
    ))
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct ReconcileRequest {
    location_id: LocationId,
    /// In your words.
    #[garde(inner(custom(validate::line)))]
    reference: Option<String>,
    /// What was counted just now, 1 to 500.
    #[garde(length(min = 1, max = 500), dive)]
    lines: Vec<CountedLineRequest>,
}

/// Orders, counts and submits in one go; somebody approves it as any other count.
#[utoipa::path(tag = "counts", security(("bearer" = ["inventory.count.write"])), request_body = ReconcileRequest, responses((status = 201, body = Count)))]
#[post("/api/v1/inventory/reconcile")]
async fn reconcile(
    state: web::Data<State>,
    req: Post<ReconcileRequest>,
) -> Result<HttpResponse, Problem> {
    let counted = counted(req.body.lines);
    let new = NewCount {
        location: req.body.location_id,
        reference: req.body.reference,
        keys: counted.iter().map(|c| c.key).collect(),
        counted,
    };
    let done = commands::reconcile(&state, &req.caller.ctx, new).await?;
    Ok(created(&done.map(|c| shown(&req.caller, c))))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    state: Option<CountState>,
    location: Option<LocationId>,
}

/// Counts, in the order they were ordered.
#[utoipa::path(tag = "counts", security(("bearer" = ["inventory.stock.read"])), params(Filter, PageQuery), responses((status = 200, body = Page<Count>)))]
#[get("/api/v1/inventory/counts")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<Filter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let after = after_id(&query)?;
    let filter = store::Filter {
        state: filter.state,
        location: filter.location,
    };
    let asked = query.clone();
    let (rows, total) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            store::list(tx, &filter, after, &asked)
                .await
                .map_err(Error::from)
        })
        .await?;
    let found = page_by_id(rows, &query, total, |c| c.id);
    Ok(page(&found.map(|c| shown(&caller, c.blind()))))
}

/// A count. What the books say is shown once it is submitted.
#[utoipa::path(tag = "counts", security(("bearer" = ["inventory.stock.read"])), responses((status = 200, body = Count)))]
#[get("/api/v1/inventory/counts/{id}")]
async fn find(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let found = commands::find(&state, &caller.ctx, *id).await?;
    Ok(ok(&Done::first(shown(&caller, found))))
}

/// Enters what somebody has counted just now. Counting a key again replaces what was counted before.
#[utoipa::path(tag = "counts", security(("bearer" = ["inventory.count.write"])), request_body = CountedRequest, responses((status = 200, body = Count)))]
#[post("/api/v1/inventory/counts/{id}/lines")]
async fn count(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Post<CountedRequest>,
) -> Result<HttpResponse, Problem> {
    let counted = counted(req.body.lines);
    let done = commands::count(&state, &req.caller.ctx, *id, counted).await?;
    Ok(ok(&done.map(Count::blind)))
}

/// Hands the count in; every line must have been counted.
#[utoipa::path(tag = "counts", security(("bearer" = ["inventory.count.write"])), request_body = Empty, responses((status = 200, body = Count)))]
#[post("/api/v1/inventory/counts/{id:[^:/]+}:submit")]
async fn submit(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    Ok(ok(&commands::submit(&state, &req.caller.ctx, *id).await?))
}

/// Approves the count. It is posted as soon as everything that happened before it has been heard, often at once.
#[utoipa::path(tag = "counts", security(("bearer" = ["inventory.count.approve"])), request_body = Empty, responses((status = 200, body = Count)))]
#[post("/api/v1/inventory/counts/{id:[^:/]+}:approve")]
async fn approve(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    let any = req.caller.grants.allow("inventory.count.approve_any");
    let done = commands::approve(&state, &req.caller.ctx, *id, any).await?;
    Ok(ok(&done.map(|c| shown(&req.caller, c))))
}

#[derive(Clone, Debug, Default, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RecountRequest {
    /// Lines to be looked at again, at most 2000; all of them when absent.
    #[garde(inner(length(max = 2000)))]
    lines: Option<Vec<i32>>,
}

/// Has lines counted again.
#[utoipa::path(tag = "counts", security(("bearer" = ["inventory.count.approve"])), request_body = RecountRequest, responses((status = 200, body = Count)))]
#[post("/api/v1/inventory/counts/{id:[^:/]+}:recount")]
async fn recount(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Post<RecountRequest>,
) -> Result<HttpResponse, Problem> {
    let done = commands::recount(&state, &req.caller.ctx, *id, req.body.lines).await?;
    Ok(ok(&done.map(Count::blind)))
}

/// Calls off a count that has not been submitted.
#[utoipa::path(tag = "counts", security(("bearer" = ["inventory.count.write"])), request_body = Empty, responses((status = 200, body = Count)))]
#[post("/api/v1/inventory/counts/{id:[^:/]+}:cancel")]
async fn cancel(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    Ok(ok(&commands::cancel(&state, &req.caller.ctx, *id).await?))
}
