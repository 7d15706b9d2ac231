//! Receipts over HTTP.

use actix_web::{HttpResponse, get, post, web};
use bahi_db::Done;
use bahi_events::Allocation;
use bahi_http::{
    Caller, Fault, Post, Problem, Timed, Versioned, created, ok, page, paged_by_time, validate,
};
use bahi_types::{
    BranchId, CustomerId, InvoiceId, LocationId, Money, Page, PageQuery, PosSessionId, ReceiptId,
    RegistrationId, TillId, UserId,
};
use chrono::{DateTime, NaiveDate, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    commands::{self, Draft, GiveBack},
    model::{Allocated, MOST_ALLOCATIONS, Means, Receipt, Refund, Whole, Wish},
    store,
};
use crate::{State, error::Error, invoice::short_text};

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(receive)
        .service(allocate)
        .service(refund)
        .service(reverse)
        .service(list)
        .service(get_one);
}

/// Part of a receipt against an invoice.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAllocation {
    #[garde(skip)]
    invoice_id: InvoiceId,
    #[garde(custom(validate::positive))]
    amount: Money,
}

fn each_once(allocations: &[NewAllocation], (): &()) -> garde::Result {
    for (at, allocation) in allocations.iter().enumerate() {
        let same = |a: &NewAllocation| a.invoice_id == allocation.invoice_id;
        if allocations[..at].iter().any(same) {
            return Err(garde::Error::new("names an invoice twice"));
        }
    }
    Ok(())
}

fn chosen(allocations: Vec<NewAllocation>) -> Wish {
    let of = |a: NewAllocation| Allocation {
        invoice_id: a.invoice_id,
        amount: a.amount,
    };
    Wish::Chosen(allocations.into_iter().map(of).collect())
}

/// Which invoices are paid where none are chosen.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Allocate {
    /// The customer's oldest first.
    #[default]
    Oldest,
    /// None: it is an advance.
    None,
}

/// Money that comes in.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct NewReceipt {
    /// Whose account it is on. Without it all is allocated, to invoices of buyers without an account.
    customer_id: Option<CustomerId>,
    /// The session whose drawer takes it.
    session_id: Option<PosSessionId>,
    /// Whose branch and registration receive it, without a session.
    location_id: Option<LocationId>,
    /// `cheque` and `bank_transfer` only without a session.
    method: Means,
    #[garde(custom(validate::positive))]
    amount: Money,
    /// UPI transaction, card slip, number of the cheque.
    #[garde(inner(custom(short_text)))]
    reference: Option<String>,
    #[garde(inner(custom(short_text)))]
    note: Option<String>,
    /// What it pays; what it does not name stays an advance.
    #[garde(inner(length(max = MOST_ALLOCATIONS)), inner(custom(listed)))]
    allocations: Option<Vec<NewAllocation>>,
    /// Where no allocations are given; `oldest` when absent. At most 200 invoices are paid by one request.
    allocate: Option<Allocate>,
}

// `dive` through an option of a list.
fn listed(allocations: &[NewAllocation], ctx: &()) -> garde::Result {
    for (at, allocation) in allocations.iter().enumerate() {
        if let Err(report) = allocation.validate() {
            return Err(garde::Error::new(format!(
                "[{at}].{}",
                report.to_string().trim()
            )));
        }
    }
    each_once(allocations, ctx)
}

/// What is left of a receipt is allocated.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct MoreAllocations {
    /// The customer's oldest first when absent.
    #[garde(inner(length(min = 1, max = MOST_ALLOCATIONS)), inner(custom(listed)))]
    allocations: Option<Vec<NewAllocation>>,
}

/// An advance that is given back.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct NewRefund {
    method: Means,
    #[garde(custom(validate::positive))]
    amount: Money,
    #[garde(inner(custom(short_text)))]
    reference: Option<String>,
    /// Why.
    #[garde(custom(|text: &String, ctx| short_text(text, ctx)))]
    reason: String,
    /// The session whose drawer gives it.
    session_id: Option<PosSessionId>,
}

/// A receipt that turned out to be none.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct Reversal {
    /// Why.
    #[garde(custom(|text: &String, ctx| short_text(text, ctx)))]
    reason: String,
    /// The session whose drawer gives it back; needed for cash that a till took.
    session_id: Option<PosSessionId>,
}

/// A receipt in a list.
#[derive(Debug, Serialize, ToSchema)]
struct ReceiptSummary {
    receipt_id: ReceiptId,
    number: String,
    date: NaiveDate,
    received_at: DateTime<Utc>,
    customer_id: Option<CustomerId>,
    registration_id: RegistrationId,
    branch_id: BranchId,
    till_id: Option<TillId>,
    session_id: Option<PosSessionId>,
    cashier_id: Option<UserId>,
    method: String,
    amount: Money,
    currency: String,
    reference: Option<String>,
    note: Option<String>,
    allocated: Money,
    refunded: Money,
    /// What is left of it: an advance.
    unallocated: Money,
    /// `posted` or `reversed`.
    status: String,
    reversal_reason: Option<String>,
    reversed_at: Option<DateTime<Utc>>,
    version: i64,
}

impl From<Receipt> for ReceiptSummary {
    fn from(r: Receipt) -> Self {
        Self {
            unallocated: r.unallocated(),
            receipt_id: r.receipt_id,
            number: r.number,
            date: r.date,
            received_at: r.received_at,
            customer_id: r.customer_id,
            registration_id: r.registration_id,
            branch_id: r.branch_id,
            till_id: r.till_id,
            session_id: r.session_id,
            cashier_id: r.cashier_id,
            method: r.method,
            amount: r.amount,
            currency: r.currency,
            reference: r.reference,
            note: r.note,
            allocated: r.allocated,
            refunded: r.refunded,
            status: r.status,
            reversal_reason: r.reversal_reason,
            reversed_at: r.reversed_at,
            version: r.version,
        }
    }
}

/// What a receipt paid.
#[derive(Debug, Serialize, ToSchema)]
struct AllocationBody {
    invoice_id: InvoiceId,
    /// The invoice's.
    number: String,
    amount: Money,
    date: NaiveDate,
}

impl From<Allocated> for AllocationBody {
    fn from(a: Allocated) -> Self {
        Self {
            invoice_id: a.invoice_id,
            number: a.number,
            amount: a.amount,
            date: a.date,
        }
    }
}

/// What was given back of a receipt.
#[derive(Debug, Serialize, ToSchema)]
struct RefundBody {
    refund_id: Uuid,
    method: String,
    amount: Money,
    reference: Option<String>,
    reason: String,
    date: NaiveDate,
    session_id: Option<PosSessionId>,
}

impl From<Refund> for RefundBody {
    fn from(r: Refund) -> Self {
        Self {
            refund_id: r.refund_id,
            method: r.method,
            amount: r.amount,
            reference: r.reference,
            reason: r.reason,
            date: r.date,
            session_id: r.session_id,
        }
    }
}

/// A receipt.
#[derive(Debug, Serialize, ToSchema)]
struct ReceiptBody {
    #[serde(flatten)]
    summary: ReceiptSummary,
    /// As they were made; those of a reversed receipt count no more.
    allocations: Vec<AllocationBody>,
    refunds: Vec<RefundBody>,
}
impl Versioned for ReceiptBody {
    fn version(&self) -> Option<i64> {
        Some(self.summary.version)
    }
}

impl From<Whole> for ReceiptBody {
    fn from(whole: Whole) -> Self {
        let allocations = whole.allocations.into_iter().map(AllocationBody::from);
        let refunds = whole.refunds.into_iter().map(RefundBody::from);
        Self {
            allocations: allocations.collect(),
            refunds: refunds.collect(),
            summary: whole.receipt.into(),
        }
    }
}

/// Receives money.
#[utoipa::path(tag = "receipts", security(("bearer" = ["sales.receipt.write"])), request_body = NewReceipt, responses(
    (status = 201, body = ReceiptBody),
    (status = 409, description = "SESSION_CLOSED or NOT_YET_KNOWN"),
    (status = 422, description = "EXCEEDS_OPEN, EXCEEDS_RECEIPT, OTHER_CUSTOMER, RECEIPT_NEEDS_CUSTOMER")))]
#[post("/api/v1/sales/receipts")]
async fn receive(state: web::Data<State>, req: Post<NewReceipt>) -> Result<HttpResponse, Problem> {
    let body = req.body;
    if body.session_id.is_some() && body.method.at_till().is_none() {
        return Err(Fault::field("method", "is not taken at a till").into());
    }
    if body.allocations.is_some() && body.allocate.is_some() {
        return Err(Fault::field("allocate", "goes without allocations").into());
    }
    let draft = Draft {
        customer: body.customer_id,
        session: body.session_id,
        location: body.location_id,
        means: body.method,
        amount: body.amount,
        reference: body.reference,
        note: body.note,
        wish: match (body.allocations, body.allocate.unwrap_or_default()) {
            (Some(allocations), _) => chosen(allocations),
            (None, Allocate::Oldest) => Wish::Oldest,
            (None, Allocate::None) => Wish::Nothing,
        },
    };
    let made = commands::receive(&state, &req.caller, draft).await?;
    Ok(created(&made.map(ReceiptBody::from)))
}

/// Allocates what is left of a receipt.
#[utoipa::path(tag = "receipts", security(("bearer" = ["sales.receipt.write"])), request_body = MoreAllocations, responses(
    (status = 201, body = ReceiptBody),
    (status = 404),
    (status = 409, description = "RECEIPT_REVERSED"),
    (status = 422, description = "EXCEEDS_OPEN, EXCEEDS_RECEIPT, OTHER_CUSTOMER")))]
#[post("/api/v1/sales/receipts/{id:[^:/]+}/allocations")]
async fn allocate(
    state: web::Data<State>,
    id: web::Path<ReceiptId>,
    req: Post<MoreAllocations>,
) -> Result<HttpResponse, Problem> {
    let wish = req.body.allocations.map_or(Wish::Oldest, chosen);
    let made = commands::allocate(&state, &req.caller, *id, wish).await?;
    Ok(created(&made.map(ReceiptBody::from)))
}

/// Gives what is left of a receipt back, in part or whole.
#[utoipa::path(tag = "receipts", security(("bearer" = ["sales.receipt.refund"])), request_body = NewRefund, responses(
    (status = 200, body = ReceiptBody),
    (status = 404),
    (status = 409, description = "RECEIPT_REVERSED or SESSION_CLOSED"),
    (status = 422, description = "EXCEEDS_RECEIPT or DRAWER_SHORT")))]
#[post("/api/v1/sales/receipts/{id:[^:/]+}:refund")]
async fn refund(
    state: web::Data<State>,
    id: web::Path<ReceiptId>,
    req: Post<NewRefund>,
) -> Result<HttpResponse, Problem> {
    let back = GiveBack {
        means: req.body.method,
        amount: req.body.amount,
        reference: req.body.reference,
        reason: req.body.reason,
        session: req.body.session_id,
    };
    let done = commands::refund(&state, &req.caller, *id, back).await?;
    Ok(ok(&done.map(ReceiptBody::from)))
}

/// Undoes a receipt that turned out to be none, such as a cheque that bounced. What it paid is owed again.
#[utoipa::path(tag = "receipts", security(("bearer" = ["sales.receipt.reverse"])), request_body = Reversal, responses(
    (status = 200, body = ReceiptBody),
    (status = 404),
    (status = 409, description = "RECEIPT_REVERSED, RECEIPT_REFUNDED or SESSION_CLOSED"),
    (status = 422, description = "DRAWER_SHORT")))]
#[post("/api/v1/sales/receipts/{id:[^:/]+}:reverse")]
async fn reverse(
    state: web::Data<State>,
    id: web::Path<ReceiptId>,
    req: Post<Reversal>,
) -> Result<HttpResponse, Problem> {
    let (reason, drawer) = (req.body.reason, req.body.session_id);
    let done = commands::reverse(&state, &req.caller, *id, reason, drawer).await?;
    Ok(ok(&done.map(ReceiptBody::from)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ReceiptFilter {
    /// Exactly this number, in any case.
    number: Option<String>,
    customer_id: Option<CustomerId>,
    session_id: Option<PosSessionId>,
    /// First posting date.
    date_from: Option<NaiveDate>,
    /// Last posting date.
    date_to: Option<NaiveDate>,
    /// `posted` or `reversed`.
    status: Option<String>,
}

/// Receipts, newest first unless sorted by `received_at:asc`.
#[utoipa::path(tag = "receipts", security(("bearer" = ["sales.receipt.read"])), params(PageQuery, ReceiptFilter), responses((status = 200, body = Page<ReceiptSummary>)))]
#[get("/api/v1/sales/receipts")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<ReceiptFilter>,
) -> Result<HttpResponse, Problem> {
    let walk = Timed::read(&query, "received_at")?;
    let wanted = store::Filter {
        number: filter.number.as_deref().map(str::to_ascii_uppercase),
        customer_id: filter.customer_id.map(CustomerId::uuid),
        session_id: filter.session_id.map(PosSessionId::uuid),
        date_from: filter.date_from,
        date_to: filter.date_to,
        status: filter.status.clone(),
        walk,
    };
    let (rows, total) = state
        .db
        .read(&caller.ctx, async |tx| {
            store::list(tx, &wanted).await.map_err(Error::from)
        })
        .await?;
    let receipts = paged_by_time(rows, &query, total, |r| {
        (r.received_at, r.receipt_id.uuid())
    });
    Ok(page(&receipts.map(ReceiptSummary::from)))
}

/// One receipt.
#[utoipa::path(tag = "receipts", security(("bearer" = ["sales.receipt.read"])), responses((status = 200, body = ReceiptBody), (status = 404)))]
#[get("/api/v1/sales/receipts/{id:[^:/]+}")]
async fn get_one(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<ReceiptId>,
) -> Result<HttpResponse, Problem> {
    let found = state
        .db
        .read(&caller.ctx, async |tx| {
            store::get(tx, *id)
                .await?
                .ok_or_else(|| Error::from(Fault::NotFound))
        })
        .await?;
    Ok(ok(&Done::first(ReceiptBody::from(found))))
}
