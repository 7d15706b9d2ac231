//! Quotations over HTTP.

use actix_web::{HttpResponse, get, post, put, web};
use bahi_db::Done;
use bahi_http::{
    Amend, Caller, Empty, Fault, Post, Problem, Timed, Versioned, created, ok, page, paged_by_time,
};
use bahi_types::{
    BranchId, CustomerGroupId, CustomerId, LocationId, Money, Page, PageQuery, RegistrationId,
    UserId,
};
use chrono::{DateTime, NaiveDate, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands::{self, Terms},
    model::{Quotation, QuotationId},
    store,
};
use crate::{
    State,
    error::Error,
    invoice::{
        Buyer, Discounted, MOST_LINES, NewLine, Wish, basket_lines, bounded, short_text,
        sound_state, today,
    },
    offer::{OfferBody, OfferLineBody, no_serials},
    order::{OrderBody, OrderId},
};

/// The routes; those of `/api/v1/quotations` are the same.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create)
        .service(create_here)
        .service(list)
        .service(list_here)
        .service(get_one)
        .service(get_one_here)
        .service(revise)
        .service(send)
        .service(accept)
        .service(decline);
}

/// What a quotation says.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct QuotationInput {
    /// Where the goods would come from; its branch and registration sell.
    location_id: LocationId,
    /// A series opened for the registration; its newest when absent. A revision keeps the number.
    #[serde(default)]
    #[garde(length(min = 1, max = 5))]
    series: Option<String>,
    #[garde(length(min = 1, max = MOST_LINES), dive, custom(basket_lines), custom(no_serials))]
    lines: Vec<NewLine>,
    #[serde(default)]
    #[garde(custom(bounded))]
    bill_discount: Option<Discounted>,
    #[serde(default)]
    #[garde(dive)]
    buyer: Option<Buyer>,
    /// Of a customer that is known here: where there is no `buyer`, it is taken from what is known.
    #[serde(default)]
    customer_id: Option<CustomerId>,
    /// The group of customers whose prices it has; the customer's when absent.
    #[serde(default)]
    customer_group_id: Option<CustomerGroupId>,
    /// State of the delivery address, where it is another than the buyer's.
    #[serde(default)]
    #[garde(inner(custom(sound_state)))]
    delivery_state: Option<String>,
    /// Payable in whole rupees; yes when absent.
    #[serde(default)]
    round_to_rupee: Option<bool>,
    /// The caller when absent.
    #[serde(default)]
    salesperson_id: Option<UserId>,
    /// The buyer's own number for it.
    #[serde(default)]
    #[garde(inner(custom(short_text)))]
    external_reference: Option<String>,
    /// Its last day; 30 days from today when absent.
    #[serde(default)]
    valid_until: Option<NaiveDate>,
    #[serde(default)]
    #[garde(length(min = 1, max = 2000))]
    note: Option<String>,
}

impl From<QuotationInput> for Terms {
    fn from(body: QuotationInput) -> Self {
        Self {
            wish: Wish {
                location: body.location_id,
                lines: body.lines,
                bill_discount: body.bill_discount,
                buyer: body.buyer.unwrap_or_default(),
                customer_id: body.customer_id,
                customer_group: body.customer_group_id,
                delivery: body.delivery_state,
                round_to_rupee: body.round_to_rupee.unwrap_or(true),
                salesperson_id: body.salesperson_id,
                external_reference: body.external_reference,
            },
            series: body.series,
            valid_until: body.valid_until,
            note: body.note,
        }
    }
}

/// A quotation.
#[derive(Debug, Serialize, ToSchema)]
struct QuotationBody {
    quotation_id: QuotationId,
    number: String,
    date: NaiveDate,
    /// Its last day.
    valid_until: NaiveDate,
    /// `draft`, `sent`, `accepted`, `declined` or `expired`.
    status: String,
    registration_id: RegistrationId,
    branch_id: BranchId,
    location_id: LocationId,
    customer_id: Option<CustomerId>,
    #[serde(flatten)]
    offer: OfferBody,
    lines: Vec<OfferLineBody>,
    note: Option<String>,
    /// The order that it was accepted with.
    order_id: Option<OrderId>,
    /// Why it was declined.
    reason: Option<String>,
    created_by: Option<UserId>,
    created_at: DateTime<Utc>,
    sent_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    version: i64,
}

impl Versioned for QuotationBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

impl QuotationBody {
    fn on(today: NaiveDate, q: Quotation) -> Result<Self, Error> {
        let status = q.status_on(today).to_owned();
        let mut offer = q.offer()?;
        let lines = std::mem::take(&mut offer.lines).into_iter();
        Ok(Self {
            quotation_id: q.quotation_id,
            number: q.number,
            date: q.date,
            valid_until: q.valid_until,
            status,
            registration_id: q.registration_id,
            branch_id: q.branch_id,
            location_id: q.location_id,
            customer_id: q.customer_id,
            lines: lines.map(OfferLineBody::from).collect(),
            offer: offer.into(),
            note: q.note,
            order_id: q.order_id,
            reason: q.reason,
            created_by: q.created_by,
            created_at: q.created_at,
            sent_at: q.sent_at,
            ended_at: q.ended_at,
            version: q.version,
        })
    }
}

fn shown(state: &State, done: Done<Quotation>) -> Result<Done<QuotationBody>, Error> {
    let today = bahi_types::business_date(state.db.clock().now());
    Ok(Done {
        value: QuotationBody::on(today, done.value)?,
        replayed: done.replayed,
    })
}

async fn make(state: &State, req: Post<QuotationInput>) -> Result<HttpResponse, Problem> {
    req.caller.require("sales.quotation.write")?;
    let made = commands::create(state, &req.caller, req.body.into()).await?;
    Ok(created(&shown(state, made)?))
}

/// Makes a quotation.
#[utoipa::path(tag = "quotations", security(("bearer" = ["sales.quotation.write"])), request_body = QuotationInput, params(("Idempotency-Key" = Option<String>, Header)), responses(
    (status = 201, body = QuotationBody),
    (status = 409, description = "NOT_ACTIVE, NOT_YET_KNOWN"),
    (status = 422, description = "NOT_FOR_SALE, ABOVE_MRP, REASON_NEEDED, CREDIT_NEEDS_BUYER, UNKNOWN_SERIES, ...")))]
#[post("/api/v1/sales/quotations")]
async fn create(
    state: web::Data<State>,
    req: Post<QuotationInput>,
) -> Result<HttpResponse, Problem> {
    make(&state, req).await
}

/// Makes a quotation.
#[utoipa::path(tag = "quotations", security(("bearer" = ["sales.quotation.write"])), request_body = QuotationInput, params(("Idempotency-Key" = Option<String>, Header)), responses(
    (status = 201, body = QuotationBody)))]
#[post("/api/v1/quotations")]
async fn create_here(
    state: web::Data<State>,
    req: Post<QuotationInput>,
) -> Result<HttpResponse, Problem> {
    make(&state, req).await
}

/// Says something else, while nobody has answered. It is a draft then, and keeps its number.
#[utoipa::path(tag = "quotations", security(("bearer" = ["sales.quotation.write"])), request_body = QuotationInput, params(("If-Match" = String, Header)), responses(
    (status = 200, body = QuotationBody), (status = 404),
    (status = 409, description = "QUOTATION_STATE"), (status = 412), (status = 428)))]
#[put("/api/v1/sales/quotations/{id:[^:/]+}")]
async fn revise(
    state: web::Data<State>,
    id: web::Path<QuotationId>,
    req: Amend<QuotationInput>,
) -> Result<HttpResponse, Problem> {
    let done = commands::revise(&state, &req.caller, *id, req.version, req.body.into()).await?;
    Ok(ok(&shown(&state, done)?))
}

/// It went to the buyer.
#[utoipa::path(tag = "quotations", security(("bearer" = ["sales.quotation.write"])), request_body = Empty, responses(
    (status = 200, body = QuotationBody), (status = 404), (status = 409, description = "QUOTATION_STATE")))]
#[post("/api/v1/sales/quotations/{id:[^:/]+}:send")]
async fn send(
    state: web::Data<State>,
    id: web::Path<QuotationId>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    let done = commands::send(&state, &req.caller, *id).await?;
    Ok(ok(&shown(&state, done)?))
}

/// How it is accepted.
#[derive(Clone, Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct Acceptance {
    /// What there is not enough of is promised when it comes; no when absent.
    #[serde(default)]
    allow_back_order: bool,
    #[serde(default)]
    expected_date: Option<NaiveDate>,
    /// The buyer's own number for the order.
    #[serde(default)]
    #[garde(inner(custom(short_text)))]
    external_reference: Option<String>,
}

/// The buyer says yes: an order, a draft still, of its lines at its prices. Once: again it is the same order.
#[utoipa::path(tag = "quotations", security(("bearer" = ["sales.quotation.write"])), request_body = Acceptance, responses(
    (status = 201, body = OrderBody), (status = 404),
    (status = 409, description = "QUOTATION_STATE: not sent, expired, or answered otherwise")))]
#[post("/api/v1/sales/quotations/{id:[^:/]+}:accept")]
async fn accept(
    state: web::Data<State>,
    id: web::Path<QuotationId>,
    req: Post<Acceptance>,
) -> Result<HttpResponse, Problem> {
    req.caller.require("sales.order.write")?;
    let body = req.body;
    let done = commands::accept(
        &state,
        &req.caller,
        *id,
        body.allow_back_order,
        body.expected_date,
        body.external_reference,
    )
    .await?;
    Ok(created(&OrderBody::of(done)?))
}

/// Why not.
#[derive(Clone, Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct Refusal {
    #[serde(default)]
    #[garde(inner(custom(short_text)))]
    reason: Option<String>,
}

/// The buyer says no.
#[utoipa::path(tag = "quotations", security(("bearer" = ["sales.quotation.write"])), request_body = Refusal, responses(
    (status = 200, body = QuotationBody), (status = 404), (status = 409, description = "QUOTATION_STATE")))]
#[post("/api/v1/sales/quotations/{id:[^:/]+}:decline")]
async fn decline(
    state: web::Data<State>,
    id: web::Path<QuotationId>,
    req: Post<Refusal>,
) -> Result<HttpResponse, Problem> {
    let done = commands::decline(&state, &req.caller, *id, req.body.reason).await?;
    Ok(ok(&shown(&state, done)?))
}

/// A quotation in a list.
#[derive(Debug, Serialize, ToSchema)]
struct QuotationSummary {
    quotation_id: QuotationId,
    number: String,
    date: NaiveDate,
    valid_until: NaiveDate,
    status: String,
    branch_id: BranchId,
    customer_id: Option<CustomerId>,
    total: Money,
    order_id: Option<OrderId>,
    created_at: DateTime<Utc>,
    version: i64,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct QuotationFilter {
    /// Exactly this number, in any case.
    number: Option<String>,
    /// `draft`, `sent`, `accepted`, `declined` or `expired`.
    status: Option<String>,
    customer_id: Option<CustomerId>,
}

async fn page_of(
    state: &State,
    caller: &Caller,
    query: &PageQuery,
    filter: &QuotationFilter,
) -> Result<HttpResponse, Problem> {
    caller.require("sales.quotation.read")?;
    let walk = Timed::read(query, "created_at")?;
    let wanted = store::Filter {
        number: filter.number.as_deref().map(str::to_ascii_uppercase),
        status: filter.status.clone(),
        customer_id: filter.customer_id,
        today: bahi_types::business_date(state.db.clock().now()),
        walk,
    };
    let (rows, total) = state
        .db
        .read(&caller.ctx, async |tx| {
            store::list(tx, &wanted).await.map_err(Error::from)
        })
        .await?;
    let quotations = paged_by_time(rows, query, total, |q| {
        (q.created_at, q.quotation_id.uuid())
    });
    Ok(page(&quotations.map(|q| QuotationSummary {
        status: q.status_on(wanted.today).to_owned(),
        quotation_id: q.quotation_id,
        number: q.number,
        date: q.date,
        valid_until: q.valid_until,
        branch_id: q.branch_id,
        customer_id: q.customer_id,
        total: q.total,
        order_id: q.order_id,
        created_at: q.created_at,
        version: q.version,
    })))
}

/// Quotations, newest first unless sorted by `created_at:asc`.
#[utoipa::path(tag = "quotations", security(("bearer" = ["sales.quotation.read"])), params(PageQuery, QuotationFilter), responses((status = 200, body = Page<QuotationSummary>)))]
#[get("/api/v1/sales/quotations")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<QuotationFilter>,
) -> Result<HttpResponse, Problem> {
    page_of(&state, &caller, &query, &filter).await
}

/// Quotations, newest first unless sorted by `created_at:asc`.
#[utoipa::path(tag = "quotations", security(("bearer" = ["sales.quotation.read"])), params(PageQuery, QuotationFilter), responses((status = 200, body = Page<QuotationSummary>)))]
#[get("/api/v1/quotations")]
async fn list_here(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<QuotationFilter>,
) -> Result<HttpResponse, Problem> {
    page_of(&state, &caller, &query, &filter).await
}

async fn one(state: &State, caller: &Caller, id: QuotationId) -> Result<HttpResponse, Problem> {
    caller.require("sales.quotation.read")?;
    let body = state
        .db
        .read(&caller.ctx, async |tx| {
            let found = store::find(tx, id).await?.ok_or(Fault::NotFound)?;
            QuotationBody::on(today(tx), found)
        })
        .await?;
    Ok(ok(&Done::first(body)))
}

/// One quotation.
#[utoipa::path(tag = "quotations", security(("bearer" = ["sales.quotation.read"])), responses((status = 200, body = QuotationBody), (status = 404)))]
#[get("/api/v1/sales/quotations/{id:[^:/]+}")]
async fn get_one(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<QuotationId>,
) -> Result<HttpResponse, Problem> {
    one(&state, &caller, *id).await
}

/// One quotation.
#[utoipa::path(tag = "quotations", security(("bearer" = ["sales.quotation.read"])), responses((status = 200, body = QuotationBody), (status = 404)))]
#[get("/api/v1/quotations/{id:[^:/]+}")]
async fn get_one_here(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<QuotationId>,
) -> Result<HttpResponse, Problem> {
    one(&state, &caller, *id).await
}
