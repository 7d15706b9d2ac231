//! Held bills over HTTP.

use actix_web::{HttpResponse, get, post, web};
use bahi_http::{
    Caller, Empty, Post, Problem, Refusal, Timed, Versioned, created, ok, page, paged_by_time,
};
use bahi_types::{
    BranchId, InvoiceId, Money, Page, PageQuery, PosSessionId, Price, ProductId, Quantity, TillId,
    UserId,
};
use chrono::{DateTime, Duration, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands::{self, Check},
    model::{HeldBill, HeldBillId},
    store,
};
use crate::{
    State,
    error::Error,
    invoice::{Basket, short_text},
};

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(hold)
        .service(list)
        .service(resume)
        .service(release)
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
    /// `held`, `resumed`, `sold`, `expired` or `discarded`.
    state: String,
    /// As it was put aside.
    #[schema(value_type = Basket)]
    basket: serde_json::Value,
    held_by: UserId,
    held_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// Who has taken it up, or thrown it away.
    ended_by: Option<UserId>,
    ended_till: Option<TillId>,
    ended_at: Option<DateTime<Utc>>,
    /// The sale that it became.
    invoice_id: Option<InvoiceId>,
    /// What it came to when it was put aside, where it could be priced then.
    held_total: Option<Money>,
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
            invoice_id: bill.invoice_id,
            held_total: bill.held_total,
            version: bill.version,
        }
    }
}

/// Puts a basket aside.
#[utoipa::path(tag = "held bills", security(("bearer" = ["sales.pos.use", "person"])), request_body = Hold, responses(
    (status = 201, body = HeldBillBody), (status = 409, description = "SESSION_CLOSED")))]
#[post("/api/v1/pos/hold")]
async fn hold(state: web::Data<State>, req: Post<Hold>) -> Result<HttpResponse, Problem> {
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
#[utoipa::path(tag = "held bills", security(("bearer" = ["sales.pos.read"])), params(PageQuery, HeldFilter), responses((status = 200, body = Page<HeldBillBody>)))]
#[get("/api/v1/pos/held-bills")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<HeldFilter>,
) -> Result<HttpResponse, Problem> {
    let walk = Timed::read(&query, "held_at")?;
    let wanted = store::Filter {
        branch_id: filter.branch_id,
        till_id: filter.till_id,
        session_id: filter.session_id,
        state: filter.state.clone().unwrap_or_else(|| "held".to_owned()),
        walk,
    };
    let (rows, total) = state
        .db
        .read(&caller.ctx, async |tx| {
            store::list(tx, &wanted).await.map_err(Error::from)
        })
        .await?;
    let now = state.db.clock().now();
    let bills = paged_by_time(rows, &query, total, |b| (b.held_at, b.held_bill_id.uuid()));
    Ok(page(&bills.map(|b| HeldBillBody::at(now, b))))
}

/// Where it is taken up.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct Resume {
    session_id: PosSessionId,
    /// Take it away from the till that has it; needs a permission.
    #[serde(default)]
    take_over: bool,
}

/// A line as it would be sold now.
#[derive(Debug, Serialize, ToSchema)]
struct LineNow {
    line: i32,
    product_id: ProductId,
    unit_price: Price,
    total: Money,
    /// What of the product may be promised to all lines together; absent while the stock cannot be asked.
    available: Option<Quantity>,
}

/// Why it would not be sold now.
#[derive(Debug, Serialize, ToSchema)]
struct ProblemNow {
    code: String,
    detail: String,
}

/// What a bill comes to by now, and what of it is there.
#[derive(Debug, Serialize, ToSchema)]
struct Now {
    /// Absent where it would not be sold.
    total: Option<Money>,
    lines: Vec<LineNow>,
    problem: Option<ProblemNow>,
}

impl From<Check> for Now {
    fn from(check: Check) -> Self {
        let (header, lines) = match check.priced {
            Ok(priced) => priced,
            Err(error) => {
                return Self {
                    total: None,
                    lines: Vec::new(),
                    problem: Some(ProblemNow {
                        code: error.verdict().code.to_owned(),
                        detail: error.to_string(),
                    }),
                };
            }
        };
        let available = check.available.unwrap_or_default();
        let of = |product: ProductId| available.iter().find(|(id, _)| *id == product);
        Self {
            total: Some(header.total),
            lines: lines
                .into_iter()
                .map(|l| LineNow {
                    line: l.line,
                    product_id: l.product_id,
                    unit_price: l.unit_price,
                    total: l.total,
                    available: of(l.product_id).map(|(_, qty)| *qty).filter(|_| l.stocked),
                })
                .collect(),
            problem: None,
        }
    }
}

/// A bill that was taken up.
#[derive(Debug, Serialize, ToSchema)]
struct ResumedBody {
    #[serde(flatten)]
    bill: HeldBillBody,
    now: Now,
}
impl Versioned for ResumedBody {
    fn version(&self) -> Option<i64> {
        self.bill.version()
    }
}

/// Takes a held bill up, and says what it comes to by now. One till has it until it is sold or given back.
#[utoipa::path(tag = "held bills", security(("bearer" = ["sales.pos.use", "person"])), request_body = Resume, responses(
    (status = 200, body = ResumedBody),
    (status = 409, description = "BILL_TAKEN: another till has it, and which; NOT_HELD: it is over")))]
#[post("/api/v1/pos/held-bills/{id:[^:/]+}:resume")]
async fn resume(
    state: web::Data<State>,
    id: web::Path<HeldBillId>,
    req: Post<Resume>,
) -> Result<HttpResponse, Problem> {
    let (session, take_over) = (req.body.session_id, req.body.take_over);
    let done = commands::resume(&state, &req.caller, *id, session, take_over).await?;
    let check = commands::check(&state, &req.caller, session, &done.value).await?;
    let now = state.db.clock().now();
    Ok(ok(&done.map(|b| ResumedBody {
        bill: HeldBillBody::at(now, b),
        now: check.into(),
    })))
}

/// Gives a bill back that was taken up.
#[utoipa::path(tag = "held bills", security(("bearer" = ["sales.pos.use", "person"])), request_body = Empty, responses(
    (status = 200, body = HeldBillBody), (status = 409, description = "NOT_HELD, BILL_TAKEN")))]
#[post("/api/v1/pos/held-bills/{id:[^:/]+}:release")]
async fn release(
    state: web::Data<State>,
    id: web::Path<HeldBillId>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    let done = commands::release(&state, &req.caller, *id).await?;
    let now = state.db.clock().now();
    Ok(ok(&done.map(|b| HeldBillBody::at(now, b))))
}

/// Throws a held bill away.
#[utoipa::path(tag = "held bills", security(("bearer" = ["sales.pos.use", "person"])), request_body = Empty, responses(
    (status = 200, body = HeldBillBody), (status = 409, description = "NOT_HELD")))]
#[post("/api/v1/pos/held-bills/{id:[^:/]+}:discard")]
async fn discard(
    state: web::Data<State>,
    id: web::Path<HeldBillId>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    let done = commands::discard(&state, &req.caller, *id).await?;
    let now = state.db.clock().now();
    Ok(ok(&done.map(|b| HeldBillBody::at(now, b))))
}
