//! Plans over HTTP.

use actix_web::{HttpResponse, delete, get, post, put, web};
use bahi_db::Done;
use bahi_http::{
    Amend, Caller, Empty, Fault, Post, Problem, Timed, Versioned, created, no_content, ok, page,
    paged_by_time,
};
use bahi_types::{Page, PageQuery, UserId, business_date};
use chrono::{DateTime, NaiveDate, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands,
    model::{Plan, PlanId, Terms},
    store,
};
use crate::{State, error::Error};

const READ: &str = "sales.commission_plan.read";
const WRITE: &str = "sales.commission_plan.write";

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(draft)
        .service(list)
        .service(get_one)
        .service(revise)
        .service(discard)
        .service(activate)
        .service(end);
}

/// A plan.
#[derive(Debug, Serialize, ToSchema)]
struct PlanBody {
    plan_id: PlanId,
    /// `draft`, `active` or `ended`.
    status: String,
    #[serde(flatten)]
    terms: Terms,
    created_by: Option<UserId>,
    created_at: DateTime<Utc>,
    version: i64,
}

impl Versioned for PlanBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

impl PlanBody {
    fn on(today: NaiveDate, plan: Plan) -> Self {
        Self {
            plan_id: plan.plan_id,
            status: plan.status_on(today).to_owned(),
            terms: plan.terms,
            created_by: plan.created_by,
            created_at: plan.created_at,
            version: plan.version,
        }
    }
}

fn today(state: &State) -> NaiveDate {
    business_date(state.db.clock().now())
}

fn shown(state: &State, done: Done<Plan>) -> Done<PlanBody> {
    done.map(|plan| PlanBody::on(today(state), plan))
}

/// Drafts a plan of commission.
#[utoipa::path(tag = "commissions", security(("bearer" = [WRITE])), request_body = Terms, params(("Idempotency-Key" = Option<String>, Header)), responses(
    (status = 201, body = PlanBody),
    (status = 409, description = "NOT_YET_KNOWN: a product or category that has not arrived")))]
#[post("/api/v1/sales/commission-plans")]
async fn draft(state: web::Data<State>, req: Post<Terms>) -> Result<HttpResponse, Problem> {
    let done = commands::draft(&state, &req.caller, req.body).await?;
    Ok(created(&shown(&state, done)))
}

/// Lets a draft say something else.
#[utoipa::path(tag = "commissions", security(("bearer" = [WRITE])), request_body = Terms, params(("If-Match" = String, Header)), responses(
    (status = 200, body = PlanBody), (status = 404), (status = 409, description = "PLAN_STATE, NOT_YET_KNOWN"),
    (status = 412, description = "STALE_VERSION")))]
#[put("/api/v1/sales/commission-plans/{id:[^:/]+}")]
async fn revise(
    state: web::Data<State>,
    id: web::Path<PlanId>,
    req: Amend<Terms>,
) -> Result<HttpResponse, Problem> {
    let done = commands::revise(&state, &req.caller, *id, req.version, req.body).await?;
    Ok(ok(&shown(&state, done)))
}

/// Takes a draft away.
#[utoipa::path(tag = "commissions", security(("bearer" = [WRITE])), params(("If-Match" = String, Header)), responses(
    (status = 204), (status = 404), (status = 409, description = "PLAN_STATE"), (status = 412, description = "STALE_VERSION")))]
#[delete("/api/v1/sales/commission-plans/{id:[^:/]+}")]
async fn discard(
    state: web::Data<State>,
    id: web::Path<PlanId>,
    req: Amend<Empty>,
) -> Result<HttpResponse, Problem> {
    let done = commands::discard(&state, &req.caller, *id, req.version).await?;
    Ok(no_content(&done))
}

/// Lets a draft pay, also the sales since its first day.
#[utoipa::path(tag = "commissions", security(("bearer" = [WRITE])), request_body = Empty, responses(
    (status = 200, body = PlanBody), (status = 404), (status = 409, description = "PLAN_STATE")))]
#[post("/api/v1/sales/commission-plans/{id:[^:/]+}:activate")]
async fn activate(
    state: web::Data<State>,
    id: web::Path<PlanId>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    let done = commands::activate(&state, &req.caller, *id).await?;
    Ok(ok(&shown(&state, done)))
}

/// When it ends.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Ending {
    /// Last day of sales that it pays: today when absent.
    #[serde(default)]
    #[garde(skip)]
    valid_to: Option<NaiveDate>,
}

/// Ends an active plan. What it paid for stays in its care: a return takes back what its sale earned.
#[utoipa::path(tag = "commissions", security(("bearer" = [WRITE])), request_body = Ending, responses(
    (status = 200, body = PlanBody), (status = 404), (status = 409, description = "PLAN_STATE")))]
#[post("/api/v1/sales/commission-plans/{id:[^:/]+}:end")]
async fn end(
    state: web::Data<State>,
    id: web::Path<PlanId>,
    req: Post<Ending>,
) -> Result<HttpResponse, Problem> {
    let done = commands::end(&state, &req.caller, *id, req.body.valid_to).await?;
    Ok(ok(&shown(&state, done)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PlanFilter {
    /// `draft`, `active` or `ended`.
    status: Option<String>,
    /// Those that pay this sales person.
    salesperson_id: Option<UserId>,
}

/// Plans, newest first unless sorted by `created_at:asc`.
#[utoipa::path(tag = "commissions", security(("bearer" = [READ])), params(PageQuery, PlanFilter), responses((status = 200, body = Page<PlanBody>)))]
#[get("/api/v1/sales/commission-plans")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<PlanFilter>,
) -> Result<HttpResponse, Problem> {
    let walk = Timed::read(&query, "created_at")?;
    let wanted = store::Filter {
        status: filter.status.clone(),
        salesperson_id: filter.salesperson_id,
        today: today(&state),
        walk,
    };
    let (rows, total) = state
        .db
        .read(&caller.ctx, async |tx| {
            store::list(tx, &wanted).await.map_err(Error::from)
        })
        .await?;
    let plans = paged_by_time(rows, &query, total, |p| (p.created_at, p.plan_id.uuid()));
    Ok(page(&plans.map(|p| PlanBody::on(wanted.today, p))))
}

/// One plan.
#[utoipa::path(tag = "commissions", security(("bearer" = [READ])), responses((status = 200, body = PlanBody), (status = 404)))]
#[get("/api/v1/sales/commission-plans/{id:[^:/]+}")]
async fn get_one(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<PlanId>,
) -> Result<HttpResponse, Problem> {
    let plan = state
        .db
        .read(&caller.ctx, async |tx| {
            Ok::<_, Error>(store::find(tx, *id).await?.ok_or(Fault::NotFound)?)
        })
        .await?;
    Ok(ok(&Done::first(PlanBody::on(today(&state), plan))))
}
