//! Held bills over HTTP.

use actix_web::{HttpResponse, get, post, web};
use bahi_http::{Caller, Empty, Fault, Post, Problem, Versioned, created, ok, page};
use bahi_types::{BranchId, Cursor, Page, PageQuery, PosSessionId, TillId, UserId};
use chrono::{DateTime, Duration, SecondsFormat, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands,
    model::{HeldBill, HeldBillId},
    store,
};
use crate::{
    State,
    error::Error,
    invoice::{Basket, short_text},
    session::time_cursor,
};

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(hold)
        .service(list)
        .service(resume)
        .service(discard);
}

/// How long a bill is held when nothing is said, in minutes: a day.
const KEEP: i64 = 24 * 60;

/// Puts a basket aside.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct Hold {
    session_id: PosSessionId,
    /// Whose it is: a name, a table.
    #[garde(inner(custom(short_text)))]
    label: Option<String>,
    #[garde(dive)]
    basket: Basket,
    /// Minutes until it expires, at most 30 days; a day when absent.
    #[garde(range(min = 1, max = 43_200))]
    expires_in_minutes: Option<i64>,
}

/// A held bill.
#[derive(Debug, Serialize, ToSchema)]
struct HeldBillBody {
    held_bill_id: HeldBillId,
    branch_id: BranchId,
    till_id: TillId,
    session_id: PosSessionId,
    label: Option<String>,
    /// `held`, `resumed`, `expired` or `discarded`.
    state: String,
    /// As it was put aside.
    #[schema(value_type = Basket)]
    basket: serde_json::Value,
    held_by: UserId,
    held_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    ended_by: Option<UserId>,
    ended_till: Option<TillId>,
    ended_at: Option<DateTime<Utc>>,
    version: i64,
}
impl Versioned for HeldBillBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

impl HeldBillBody {
    fn at(now: DateTime<Utc>, bill: HeldBill) -> Self {
        Self {
            state: bill.state_at(now).to_owned(),
            held_bill_id: bill.held_bill_id,
            branch_id: bill.branch_id,
            till_id: bill.till_id,
            session_id: bill.session_id,
            label: bill.label,
            basket: bill.basket,
            held_by: bill.held_by,
            held_at: bill.held_at,
            expires_at: bill.expires_at,
            ended_by: bill.ended_by,
            ended_till: bill.ended_till,
            ended_at: bill.ended_at,
            version: bill.version,
        }
    }
}

/// Puts a basket aside.
#[utoipa::path(tag = "held bills", request_body = Hold, responses(
    (status = 201, body = HeldBillBody), (status = 409, description = "SESSION_CLOSED")))]
#[post("/api/v1/pos/hold")]
async fn hold(state: web::Data<State>, req: Post<Hold>) -> Result<HttpResponse, Problem> {
    req.caller.require("sales.pos.use")?;
    let body = req.body;
    let basket = serde_json::to_value(&body.basket).map_err(bahi_db::Error::from)?;
    let keep = Duration::minutes(body.expires_in_minutes.unwrap_or(KEEP));
    let made = commands::hold(
        &state,
        &req.caller,
        body.session_id,
        body.label,
        basket,
        keep,
    )
    .await?;
    let now = state.db.clock().now();
    Ok(created(&made.map(|b| HeldBillBody::at(now, b))))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct HeldFilter {
    branch_id: Option<BranchId>,
    till_id: Option<TillId>,
    session_id: Option<PosSessionId>,
    /// `held` when absent.
    state: Option<String>,
}

/// Held bills, newest first unless sorted by `held_at:asc`.
#[utoipa::path(tag = "held bills", params(PageQuery, HeldFilter), responses((status = 200, body = Page<HeldBillBody>)))]
#[get("/api/v1/pos/held-bills")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<HeldFilter>,
) -> Result<HttpResponse, Problem> {
    caller.require("sales.pos.read")?;
    let sort = query
        .sort(&["held_at"])
        .map_err(|s| Fault::field("sort", format!("{s} is not a sort order")))?;
    let after = query.cursor.as_deref().map(time_cursor).transpose()?;
    let wanted = store::Filter {
        branch_id: filter.branch_id,
        till_id: filter.till_id,
        session_id: filter.session_id,
        state: filter.state.clone().unwrap_or_else(|| "held".to_owned()),
        after,
        limit: query.limit(),
        offset: if after.is_some() { 0 } else { query.offset() },
        descending: sort.descending || query.sort.is_none(),
    };
    let (rows, total) = state
        .db
        .read(&caller.ctx, async |tx| {
            store::list(tx, &wanted).await.map_err(Error::from)
        })
        .await?;
    let now = state.db.clock().now();
    let bills = Page::new(rows, &query, total, |b| Cursor {
        key: b.held_at.to_rfc3339_opts(SecondsFormat::Micros, true),
        id: b.held_bill_id.uuid(),
    });
    Ok(page(&bills.map(|b| HeldBillBody::at(now, b))))
}

/// Where it is taken up.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct Resume {
    session_id: PosSessionId,
}

/// Takes a held bill up; only one till gets it.
#[utoipa::path(tag = "held bills", request_body = Resume, responses(
    (status = 200, body = HeldBillBody), (status = 409, description = "NOT_HELD: somebody else has it, or it is over")))]
#[post("/api/v1/pos/held-bills/{id:[^:/]+}:resume")]
async fn resume(
    state: web::Data<State>,
    id: web::Path<HeldBillId>,
    req: Post<Resume>,
) -> Result<HttpResponse, Problem> {
    req.caller.require("sales.pos.use")?;
    let done = commands::resume(&state, &req.caller, *id, req.body.session_id).await?;
    let now = state.db.clock().now();
    Ok(ok(&done.map(|b| HeldBillBody::at(now, b))))
}

/// Throws a held bill away.
#[utoipa::path(tag = "held bills", request_body = Empty, responses(
    (status = 200, body = HeldBillBody), (status = 409, description = "NOT_HELD")))]
#[post("/api/v1/pos/held-bills/{id:[^:/]+}:discard")]
async fn discard(
    state: web::Data<State>,
    id: web::Path<HeldBillId>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    req.caller.require("sales.pos.use")?;
    let done = commands::discard(&state, &req.caller, *id).await?;
    let now = state.db.clock().now();
    Ok(ok(&done.map(|b| HeldBillBody::at(now, b))))
}
