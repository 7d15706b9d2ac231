//! Rules of minimum shelf life over HTTP.

use actix_web::{HttpResponse, delete, get, post, put, web};
use bahi_db::Tx;
use bahi_http::{
    Amend, Caller, Empty, Fault, Post, Problem, Versioned, created, no_content, ok, page, validate,
};
use bahi_types::{CustomerId, Page, PageQuery, ProductId};
use garde::Validate;
use serde::Deserialize;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    commands,
    store::{self, Rule},
};
use crate::{
    Error, State,
    ledger::{after_id, page_by_id},
};

/// The endpoints of this noun.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(list)
        .service(create)
        .service(change)
        .service(remove);
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct RuleRequest {
    /// For this customer,
    customer_id: Option<CustomerId>,
    /// or for this group of customers.
    #[garde(inner(custom(validate::line)))]
    customer_group: Option<String>,
    /// For this product; for all, when absent.
    product_id: Option<ProductId>,
    /// Days a batch must still keep, 0 to 3650.
    #[garde(range(max = 3650))]
    min_days: u32,
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RuleChange {
    /// Days a batch must still keep, 0 to 3650.
    #[garde(range(max = 3650))]
    min_days: u32,
}

impl Versioned for Rule {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct RuleFilter {
    customer: Option<CustomerId>,
}

fn days(days: u32) -> i32 {
    i32::try_from(days).unwrap_or(i32::MAX)
}

/// Rules of minimum shelf life, in the order they were made.
#[utoipa::path(tag = "shelf life", security(("bearer" = ["inventory.stock.read"])), params(RuleFilter, PageQuery), responses((status = 200, body = Page<Rule>)))]
#[get("/api/v1/inventory/shelf-life-rules")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<RuleFilter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let after = after_id(&query)?;
    let (customer, asked) = (filter.customer, query.clone());
    let (rows, total) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            store::list(tx, customer, after, &asked)
                .await
                .map_err(Error::from)
        })
        .await?;
    Ok(page(&page_by_id(rows, &query, total, |r: &Rule| r.id)))
}

/// Adds a rule for a customer or a group.
#[utoipa::path(tag = "shelf life", security(("bearer" = ["inventory.planning.write"])), request_body = RuleRequest, responses((status = 201, body = Rule), (status = 409, description = "RULE_TAKEN")))]
#[post("/api/v1/inventory/shelf-life-rules")]
async fn create(state: web::Data<State>, req: Post<RuleRequest>) -> Result<HttpResponse, Problem> {
    let body = req.body;
    if body.customer_id.is_some() == body.customer_group.is_some() {
        return Err(Fault::field("customer_id", "name a customer or a group, and not both").into());
    }
    let rule = Rule {
        id: Uuid::now_v7(),
        customer_id: body.customer_id,
        customer_group: body.customer_group,
        product_id: body.product_id,
        min_days: days(body.min_days),
        version: 1,
    };
    Ok(created(
        &commands::create(&state, &req.caller.ctx, rule).await?,
    ))
}

/// Gives a rule other days.
#[utoipa::path(tag = "shelf life", security(("bearer" = ["inventory.planning.write"])), request_body = RuleChange, responses((status = 200, body = Rule), (status = 412, description = "STALE_VERSION")))]
#[put("/api/v1/inventory/shelf-life-rules/{id}")]
async fn change(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Amend<RuleChange>,
) -> Result<HttpResponse, Problem> {
    let seen = (*id, req.version);
    let done = commands::change(&state, &req.caller.ctx, seen, days(req.body.min_days)).await?;
    Ok(ok(&done))
}

/// Deletes a rule.
#[utoipa::path(tag = "shelf life", security(("bearer" = ["inventory.planning.write"])), responses((status = 204), (status = 412, description = "STALE_VERSION")))]
#[delete("/api/v1/inventory/shelf-life-rules/{id}")]
async fn remove(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Amend<Empty>,
) -> Result<HttpResponse, Problem> {
    let done = commands::delete(&state, &req.caller.ctx, (*id, req.version)).await?;
    Ok(no_content(&done))
}
