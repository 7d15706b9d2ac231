//! Sessions over HTTP.

use actix_web::{HttpResponse, get, post, web};
use bahi_http::{
    Caller, Fault, Post, Problem, Timed, Versioned, created, ok, page, paged_by_time, validate,
};
use bahi_types::{BranchId, LocationId, Money, Page, PageQuery, PosSessionId, TillId, UserId};
use chrono::{DateTime, NaiveDate, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    commands,
    model::{Count, Denomination, Method, Session, Supplement},
    store,
};
use crate::{
    State,
    error::{Error, Result},
};

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(open)
        .service(list)
        .service(get_one)
        .service(x_report)
        .service(z_report)
        .service(close)
        .service(move_cash);
}

/// Opens a till.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct OpenSession {
    till_id: TillId,
    /// Cash in the drawer.
    #[garde(custom(validate::non_negative))]
    opening_float: Money,
}

/// A session, without what is expected in the drawer.
#[derive(Debug, Serialize, ToSchema)]
struct SessionBody {
    session_id: PosSessionId,
    till_id: TillId,
    branch_id: BranchId,
    location_id: LocationId,
    /// `open` or `closed`.
    state: String,
    opened_by: UserId,
    opened_at: DateTime<Utc>,
    opening_float: Money,
    closed_by: Option<UserId>,
    closed_at: Option<DateTime<Utc>>,
    version: i64,
}

impl From<Session> for SessionBody {
    fn from(s: Session) -> Self {
        Self {
            session_id: s.session_id,
            till_id: s.till_id,
            branch_id: s.branch_id,
            location_id: s.location_id,
            state: s.state,
            opened_by: s.opened_by,
            opened_at: s.opened_at,
            opening_float: s.opening_float,
            closed_by: s.closed_by,
            closed_at: s.closed_at,
            version: s.version,
        }
    }
}
impl Versioned for SessionBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// A means of payment in a report.
#[derive(Debug, Serialize, ToSchema)]
struct TenderTotal {
    method: Method,
    received: Money,
    refunded: Money,
    expected: Money,
}

/// Expected and counted amount of one means of payment.
#[derive(Debug, Serialize, ToSchema)]
struct CountBody {
    method: String,
    expected: Money,
    counted: Money,
    variance: Money,
    /// How cash was counted, where it was told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    denominations: Vec<Denomination>,
}

impl From<Count> for CountBody {
    fn from(c: Count) -> Self {
        Self {
            method: c.method,
            expected: c.expected,
            counted: c.counted,
            variance: c.variance,
            denominations: c
                .denominations
                .and_then(|d| serde_json::from_value(d).ok())
                .unwrap_or_default(),
        }
    }
}

/// Cash put in or taken out.
#[derive(Debug, Serialize, ToSchema)]
struct MovementBody {
    movement_id: Uuid,
    /// `in` or `out`.
    direction: String,
    amount: Money,
    reason: String,
    moved_by: UserId,
    moved_at: DateTime<Utc>,
}

/// The totals of a session: an X report while it is open, its Z report once it is closed.
#[derive(Debug, Serialize, ToSchema)]
struct Report {
    session: SessionBody,
    sales: i64,
    sold: Money,
    sold_tax: Money,
    returns: i64,
    returned: Money,
    returned_tax: Money,
    receipts: i64,
    /// By receipts; part of what was received.
    collected: Money,
    /// Advances, receipts and notes given back; part of what was refunded.
    repaid: Money,
    /// Sales of the session that were cancelled; they are still among its sales.
    cancels: i64,
    cancelled: Money,
    cancelled_tax: Money,
    change_given: Money,
    cash_in: Money,
    cash_out: Money,
    expected_cash: Money,
    tenders: Vec<TenderTotal>,
    /// The first 500; the totals hold all.
    cash_movements: Vec<MovementBody>,
    /// Empty until the close.
    counts: Vec<CountBody>,
    retained: Option<Money>,
    deposited: Option<Money>,
    /// What came after the close from a time without network, by the day it came; the totals above are without it.
    supplements: Vec<SupplementBody>,
}

/// What came for a session after its close, on one day.
#[derive(Debug, Serialize, ToSchema)]
struct SupplementBody {
    date: NaiveDate,
    sales: i64,
    sold: Money,
    sold_tax: Money,
    returns: i64,
    returned: Money,
    returned_tax: Money,
    cancels: i64,
    cancelled: Money,
    cancelled_tax: Money,
    change_given: Money,
    /// What it adds to the cash that should have been counted.
    cash: Money,
    /// Received and refunded by means of payment; those that did not move are left out.
    tenders: Vec<SupplementTender>,
}

/// A means of payment in a supplement.
#[derive(Debug, Serialize, ToSchema)]
struct SupplementTender {
    method: Method,
    received: Money,
    refunded: Money,
}

impl From<Supplement> for SupplementBody {
    fn from(s: Supplement) -> Self {
        let moved = [
            (Method::Cash, s.received_cash, s.refunded_cash),
            (Method::Upi, s.received_upi, s.refunded_upi),
            (Method::Card, s.received_card, s.refunded_card),
            (Method::Wallet, s.received_wallet, s.refunded_wallet),
            (Method::Credit, s.received_credit, s.refunded_credit),
            (Method::Voucher, s.received_voucher, s.refunded_voucher),
        ];
        let moved = moved
            .into_iter()
            .filter(|(_, received, refunded)| !received.is_zero() || !refunded.is_zero());
        Self {
            date: s.date,
            sales: s.sales,
            sold: s.sold,
            sold_tax: s.sold_tax,
            returns: s.returns,
            returned: s.returned,
            returned_tax: s.returned_tax,
            cancels: s.cancels,
            cancelled: s.cancelled,
            cancelled_tax: s.cancelled_tax,
            change_given: s.change_given,
            cash: s.cash,
            tenders: moved
                .map(|(method, received, refunded)| SupplementTender {
                    method,
                    received,
                    refunded,
                })
                .collect(),
        }
    }
}

impl Versioned for Report {
    fn version(&self) -> Option<i64> {
        None
    }
}

fn report(found: Found) -> Report {
    let Found {
        session: s,
        movements,
        counts,
        supplements,
    } = found;
    let tenders = Method::ALL.into_iter().map(|method| TenderTotal {
        method,
        received: s.received(method),
        refunded: s.refunded(method),
        expected: s.expected(method),
    });
    Report {
        sales: s.sales,
        sold: s.sold,
        sold_tax: s.sold_tax,
        returns: s.returns,
        returned: s.returned,
        returned_tax: s.returned_tax,
        receipts: s.receipts,
        collected: s.collected,
        repaid: s.repaid,
        cancels: s.cancels,
        cancelled: s.cancelled,
        cancelled_tax: s.cancelled_tax,
        change_given: s.change_given,
        cash_in: s.cash_in,
        cash_out: s.cash_out,
        expected_cash: s.expected_cash,
        tenders: tenders.collect(),
        cash_movements: movements
            .into_iter()
            .map(|m| MovementBody {
                movement_id: m.movement_id,
                direction: m.direction,
                amount: m.amount,
                reason: m.reason,
                moved_by: m.moved_by,
                moved_at: m.moved_at,
            })
            .collect(),
        counts: counts.into_iter().map(CountBody::from).collect(),
        retained: s.retained,
        deposited: s.deposited,
        supplements: supplements.into_iter().map(SupplementBody::from).collect(),
        session: s.into(),
    }
}

/// Opens a session on a till.
#[utoipa::path(tag = "sessions", security(("bearer" = ["sales.pos.use", "person"])), request_body = OpenSession, responses(
    (status = 201, body = SessionBody),
    (status = 409, description = "TILL_IN_USE, NOT_YET_KNOWN or NOT_ACTIVE")))]
#[post("/api/v1/pos/sessions:open")]
async fn open(
    state: web::Data<State>,
    req: Post<OpenSession>,
) -> std::result::Result<HttpResponse, Problem> {
    let made = commands::open(
        &state,
        &req.caller,
        req.body.till_id,
        req.body.opening_float,
    )
    .await?;
    Ok(created(&made.map(SessionBody::from)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SessionFilter {
    /// Of one till.
    till_id: Option<TillId>,
    /// `open` or `closed`.
    state: Option<String>,
}

/// Sessions, newest first unless sorted by `opened_at:asc`.
#[utoipa::path(tag = "sessions", security(("bearer" = ["sales.pos.read"])), params(PageQuery, SessionFilter), responses((status = 200, body = Page<SessionBody>)))]
#[get("/api/v1/pos/sessions")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<SessionFilter>,
) -> std::result::Result<HttpResponse, Problem> {
    let walk = Timed::read(&query, "opened_at")?;
    let filter = store::Filter {
        till_id: filter.till_id.map(TillId::uuid),
        state: filter.state.clone(),
        walk,
    };
    let (rows, total) = state
        .db
        .read(&caller.ctx, async |tx| {
            store::list(tx, &filter).await.map_err(Error::from)
        })
        .await?;
    let sessions = paged_by_time(rows, &query, total, |s| (s.opened_at, s.session_id.uuid()));
    Ok(page(&sessions.map(SessionBody::from)))
}

/// One session.
#[utoipa::path(tag = "sessions", security(("bearer" = ["sales.pos.read"])), responses((status = 200, body = SessionBody), (status = 404)))]
#[get("/api/v1/pos/sessions/{id:[^:/]+}")]
async fn get_one(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<PosSessionId>,
) -> std::result::Result<HttpResponse, Problem> {
    let found = find(&state, &caller, *id).await?;
    Ok(ok(&bahi_db::Done::first(SessionBody::from(found.session))))
}

/// A session with what its reports show.
struct Found {
    session: Session,
    movements: Vec<store::CashMovement>,
    counts: Vec<Count>,
    supplements: Vec<Supplement>,
}

async fn find(state: &State, caller: &Caller, id: PosSessionId) -> Result<Found> {
    state
        .db
        .read(&caller.ctx, async |tx| {
            let session = store::find(tx, id).await?.ok_or(Fault::NotFound)?;
            let movements = store::movements(tx, id, 500).await?;
            let counts = store::counts(tx, id).await?;
            Ok(Found {
                session,
                movements,
                counts,
                supplements: store::supplements(tx, id).await?,
            })
        })
        .await
}

/// The totals so far, at any time.
#[utoipa::path(tag = "sessions", security(("bearer" = ["sales.pos.report"])), responses((status = 200, body = Report), (status = 404)))]
#[get("/api/v1/pos/sessions/{id:[^:/]+}/x-report")]
async fn x_report(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<PosSessionId>,
) -> std::result::Result<HttpResponse, Problem> {
    let found = find(&state, &caller, *id).await?;
    Ok(ok(&bahi_db::Done::first(report(found))))
}

/// The totals of a closed session.
#[utoipa::path(tag = "sessions", security(("bearer" = ["sales.pos.report"])), responses((status = 200, body = Report), (status = 404), (status = 409, description = "TILL_IN_USE: still open")))]
#[get("/api/v1/pos/sessions/{id:[^:/]+}/z-report")]
async fn z_report(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<PosSessionId>,
) -> std::result::Result<HttpResponse, Problem> {
    let found = find(&state, &caller, *id).await?;
    if found.session.state == "open" {
        return Err(Error::TillInUse(found.session.session_id).into());
    }
    Ok(ok(&bahi_db::Done::first(report(found))))
}

/// What was counted of one means of payment.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct CountedTender {
    method: Method,
    #[garde(custom(validate::non_negative))]
    amount: Money,
    /// Notes and coins, each value once; of cash alone, and together the amount.
    #[serde(default)]
    #[garde(length(max = 30))]
    denominations: Vec<Denomination>,
}

impl CountedTender {
    fn adds_up(&self, index: usize) -> Result<()> {
        let wrong = |message: String| {
            let field = format!("counted[{index}].denominations");
            Err(Fault::field(field, message).into())
        };
        if self.denominations.is_empty() {
            return Ok(());
        }
        if self.method != Method::Cash {
            return wrong("are of cash alone".into());
        }
        let mut values: Vec<Money> = self.denominations.iter().map(|d| d.value).collect();
        values.sort_unstable();
        values.dedup();
        if values.len() != self.denominations.len() || values.iter().any(|v| !v.is_positive()) {
            return wrong("must have each value once, and above zero".into());
        }
        let sum = Denomination::sum(&self.denominations);
        if sum != self.amount {
            return wrong(format!("make {sum} and not {}", self.amount));
        }
        Ok(())
    }
}

/// Closes a session.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct CloseSession {
    /// Cash always, and every other means that was used but credit.
    #[garde(length(min = 1, max = 6), dive, custom(each_once))]
    counted: Vec<CountedTender>,
    /// Cash that stays in the drawer; the rest is deposited.
    #[garde(custom(validate::non_negative))]
    retained: Money,
}

fn each_once(counted: &[CountedTender], (): &()) -> garde::Result {
    let mut methods: Vec<Method> = counted.iter().map(|c| c.method).collect();
    methods.sort_unstable();
    methods.dedup();
    if methods.len() == counted.len() {
        Ok(())
    } else {
        Err(garde::Error::new("names a means of payment twice"))
    }
}

/// Counts the drawer and closes the session.
#[utoipa::path(tag = "sessions", security(("bearer" = ["sales.pos.use", "person"])), request_body = CloseSession, responses(
    (status = 200, body = Report),
    (status = 409, description = "SESSION_CLOSED"),
    (status = 422, description = "COUNT_MISSING or RETAINED_TOO_MUCH")))]
#[post("/api/v1/pos/sessions/{id:[^:/]+}:close")]
async fn close(
    state: web::Data<State>,
    id: web::Path<PosSessionId>,
    req: Post<CloseSession>,
) -> std::result::Result<HttpResponse, Problem> {
    for (index, counted) in req.body.counted.iter().enumerate() {
        counted.adds_up(index)?;
    }
    let cash = req.body.counted.iter().find(|c| c.method == Method::Cash);
    let denominations = cash.map(|c| c.denominations.clone()).unwrap_or_default();
    let counted = req
        .body
        .counted
        .iter()
        .map(|c| (c.method, c.amount))
        .collect();
    let count = (counted, denominations);
    let closed = commands::close(&state, &req.caller, *id, count, req.body.retained).await?;
    let found = find(&state, &req.caller, *id).await?;
    Ok(ok(&closed.map(|()| report(found))))
}

/// Which way cash goes.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Direction {
    In,
    Out,
}

/// Cash put in or taken out.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct MoveCash {
    session_id: PosSessionId,
    direction: Direction,
    #[garde(custom(validate::positive))]
    amount: Money,
    #[garde(custom(|text: &String, ctx| validate::line(text, ctx)))]
    reason: String,
}

/// A movement that was entered.
#[derive(Debug, Serialize, ToSchema)]
struct Moved {
    movement_id: Uuid,
}
impl Versioned for Moved {
    fn version(&self) -> Option<i64> {
        None
    }
}

/// Puts cash into the drawer or takes it out.
#[utoipa::path(tag = "sessions", security(("bearer" = ["sales.pos.use", "person"])), request_body = MoveCash, responses(
    (status = 201, body = Moved),
    (status = 409, description = "SESSION_CLOSED"),
    (status = 422, description = "DRAWER_SHORT")))]
#[post("/api/v1/pos/cash-movements")]
async fn move_cash(
    state: web::Data<State>,
    req: Post<MoveCash>,
) -> std::result::Result<HttpResponse, Problem> {
    let body = req.body;
    let direction = match body.direction {
        Direction::In => "in",
        Direction::Out => "out",
    };
    let moved = commands::move_cash(
        &state,
        &req.caller,
        body.session_id,
        direction,
        body.amount,
        body.reason,
    )
    .await?;
    Ok(created(&moved.map(|m| Moved {
        movement_id: m.movement_id,
    })))
}
