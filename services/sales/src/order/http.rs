//! Orders over HTTP.

use actix_web::{HttpResponse, get, post, put, web};
use async_graphql::{InputObject, SimpleObject};
use bahi_db::{Done, Error as DbError};
use bahi_events::BatchAllocation;
use bahi_http::{
    Amend, Caller, Empty, Fault, Post, Problem, Timed, Versioned, created, ok, page, paged_by_time,
    validate,
};
use bahi_types::{
    BatchId, BranchId, CustomerGroupId, CustomerId, InvoiceId, LocationId, Money, Page, PageQuery,
    ProductId, Quantity, RegistrationId, UserId,
};
use chrono::{DateTime, NaiveDate, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    commands::{self, Ask, Billing, End, Terms},
    model::{Fulfilment, FulfilmentLine, Head, Order, OrderId, Part},
    store,
};
use crate::{
    State,
    error::Error,
    invoice::{
        BatchBody, Buyer, Discounted, InvoiceBody, MOST_LINES, NewLine, NewTender, Wish,
        basket_lines, bounded, client_made, hash, serial_numbers, serials_of, short_text,
        sound_state,
    },
    offer::{OfferBody, OfferLineBody, no_serials},
};

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create)
        .service(list)
        .service(get_one)
        .service(amend)
        .service(confirm)
        .service(cancel)
        .service(close)
        .service(allocate)
        .service(fulfil)
        .service(deliveries)
        .service(get_delivery)
        .service(bill);
}

/// What an order says.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(super) struct OrderInput {
    /// Where the goods come from; its branch and registration sell.
    location_id: LocationId,
    /// A series opened for the registration; its newest when absent. A draft that is changed keeps its number.
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
    /// What there is not enough of is promised when it comes; no when absent.
    #[serde(default)]
    #[graphql(default)]
    allow_back_order: bool,
    #[serde(default)]
    expected_date: Option<NaiveDate>,
    #[serde(default)]
    #[garde(length(min = 1, max = 2000))]
    note: Option<String>,
}

impl From<OrderInput> for Terms {
    fn from(body: OrderInput) -> Self {
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
            allow_back_order: body.allow_back_order,
            expected_date: body.expected_date,
            note: body.note,
        }
    }
}

/// A line of an order.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "OrderLine", complex)]
pub(super) struct OrderLineBody {
    #[serde(flatten)]
    #[graphql(flatten)]
    pub(super) offer: OfferLineBody,
    /// Promised from stock and not delivered yet.
    held: Quantity,
    /// Neither held nor delivered: promised when stock comes. Zero before the order is confirmed and after its end.
    back_ordered: Quantity,
    delivered: Quantity,
    invoiced: Quantity,
}

/// An order.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "Order", complex)]
pub(crate) struct OrderBody {
    #[graphql(name = "id")]
    pub(super) order_id: OrderId,
    number: String,
    date: NaiveDate,
    /// `draft`, `confirmed`, `partially_fulfilled`, `fulfilled`, `closed` or `cancelled`.
    status: String,
    registration_id: RegistrationId,
    pub(super) branch_id: BranchId,
    pub(super) location_id: LocationId,
    pub(super) customer_id: Option<CustomerId>,
    /// The quotation that it accepts.
    #[graphql(skip)]
    pub(super) quotation_id: Option<Uuid>,
    allow_back_order: bool,
    expected_date: Option<NaiveDate>,
    #[serde(flatten)]
    #[graphql(flatten)]
    pub(super) offer: OfferBody,
    #[graphql(skip)]
    pub(super) lines: Vec<OrderLineBody>,
    note: Option<String>,
    /// What it claims of the customer's credit.
    exposure: Money,
    /// Why it was cancelled or closed.
    reason: Option<String>,
    pub(super) created_by: Option<UserId>,
    created_at: DateTime<Utc>,
    confirmed_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    version: i64,
}

impl Versioned for OrderBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

impl TryFrom<Order> for OrderBody {
    type Error = Error;

    fn try_from(order: Order) -> Result<Self, Error> {
        let offer = order.offer()?;
        let h = order.head;
        let waits = matches!(h.status.as_str(), "confirmed" | "partially_fulfilled");
        let lines = order.lines.into_iter().map(|l| {
            Ok(OrderLineBody {
                offer: l.priced()?.into(),
                held: l.held,
                back_ordered: if waits {
                    l.back_ordered()
                } else {
                    Quantity::ZERO
                },
                delivered: l.delivered,
                invoiced: l.invoiced,
            })
        });
        Ok(Self {
            order_id: h.order_id,
            number: h.number,
            date: h.date,
            status: h.status,
            registration_id: h.registration_id,
            branch_id: h.branch_id,
            location_id: h.location_id,
            customer_id: h.customer_id,
            quotation_id: h.quotation_id,
            allow_back_order: h.allow_back_order,
            expected_date: h.expected_date,
            lines: lines.collect::<Result<_, Error>>()?,
            offer: offer.into(),
            note: h.note,
            exposure: h.exposure,
            reason: h.reason,
            created_by: h.created_by,
            created_at: h.created_at,
            confirmed_at: h.confirmed_at,
            ended_at: h.ended_at,
            version: h.version,
        })
    }
}

impl OrderBody {
    pub(crate) fn of(done: Done<Order>) -> Result<Done<Self>, Error> {
        Ok(Done {
            value: done.value.try_into()?,
            replayed: done.replayed,
        })
    }
}

/// Takes an order down. It is a draft: nothing is promised yet.
#[utoipa::path(tag = "orders", security(("bearer" = ["sales.order.write"])), request_body = OrderInput, params(("Idempotency-Key" = Option<String>, Header)), responses(
    (status = 201, body = OrderBody),
    (status = 409, description = "NOT_ACTIVE, NOT_YET_KNOWN"),
    (status = 422, description = "NOT_FOR_SALE, ABOVE_MRP, REASON_NEEDED, CREDIT_NEEDS_BUYER, UNKNOWN_SERIES, ...")))]
#[post("/api/v1/sales/orders")]
async fn create(state: web::Data<State>, req: Post<OrderInput>) -> Result<HttpResponse, Problem> {
    let made = commands::create(&state, &req.caller, req.body.into()).await?;
    Ok(created(&OrderBody::of(made)?))
}

/// Says something else, while it is a draft. It is priced anew, and keeps its number.
#[utoipa::path(tag = "orders", security(("bearer" = ["sales.order.write"])), request_body = OrderInput, params(("If-Match" = String, Header)), responses(
    (status = 200, body = OrderBody), (status = 404), (status = 409, description = "ORDER_STATE"), (status = 412), (status = 428),
    (status = 503, description = "ORDER_BUSY")))]
#[put("/api/v1/sales/orders/{id:[^:/]+}")]
async fn amend(
    state: web::Data<State>,
    id: web::Path<OrderId>,
    req: Amend<OrderInput>,
) -> Result<HttpResponse, Problem> {
    let done = commands::amend(&state, &req.caller, *id, req.version, req.body.into()).await?;
    Ok(ok(&OrderBody::of(done)?))
}

/// How it is confirmed.
#[derive(Clone, Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(super) struct Confirmation {
    /// Why it may go beyond the customer's credit limit; needs a permission.
    #[serde(default)]
    #[garde(inner(custom(short_text)))]
    pub(super) credit_override: Option<String>,
}

/// Confirms an order: claims the customer's credit and holds the stock. Confirmed again, it is the same.
#[utoipa::path(tag = "orders", security(("bearer" = ["sales.order.write"])), request_body = Confirmation, responses(
    (status = 200, body = OrderBody), (status = 404),
    (status = 409, description = "INSUFFICIENT_STOCK (names each short product with its lines), CREDIT_LIMIT_EXCEEDED (with the figures), ORDER_STATE, NOT_ACTIVE"),
    (status = 422, description = "INVENTORY_REFUSED"),
    (status = 503, description = "INVENTORY_UNAVAILABLE: it is confirmed, or not, when the stock can be asked again; ask again. ORDER_BUSY")))]
#[post("/api/v1/sales/orders/{id:[^:/]+}:confirm")]
async fn confirm(
    state: web::Data<State>,
    id: web::Path<OrderId>,
    req: Post<Confirmation>,
) -> Result<HttpResponse, Problem> {
    if req.body.credit_override.is_some() {
        req.caller.require("sales.credit.override")?;
    }
    let done = commands::confirm(&state, &req.caller, *id, req.body.credit_override).await?;
    Ok(ok(&OrderBody::of(done)?))
}

/// Why it ends.
#[derive(Clone, Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(super) struct Ending {
    #[serde(default)]
    #[garde(inner(custom(short_text)))]
    pub(super) reason: Option<String>,
}

/// Cancels an order of which nothing was delivered or billed, and gives back what is held for it.
#[utoipa::path(tag = "orders", security(("bearer" = ["sales.order.write"])), request_body = Ending, responses(
    (status = 200, body = OrderBody), (status = 404), (status = 409, description = "ORDER_STATE, NOT_SETTLED"),
    (status = 503, description = "ORDER_BUSY, INVENTORY_UNAVAILABLE: while its confirmation is unanswered")))]
#[post("/api/v1/sales/orders/{id:[^:/]+}:cancel")]
async fn cancel(
    state: web::Data<State>,
    id: web::Path<OrderId>,
    req: Post<Ending>,
) -> Result<HttpResponse, Problem> {
    let reason = req.body.reason;
    let done = commands::end(&state, &req.caller, *id, End::Cancelled, reason).await?;
    Ok(ok(&OrderBody::of(done)?))
}

/// Closes an order of which something was delivered, and gives back the rest. What was delivered must be billed, and what
/// was billed delivered.
#[utoipa::path(tag = "orders", security(("bearer" = ["sales.order.write"])), request_body = Ending, responses(
    (status = 200, body = OrderBody), (status = 404), (status = 409, description = "ORDER_STATE, NOT_SETTLED (names the line)"),
    (status = 503, description = "ORDER_BUSY, INVENTORY_UNAVAILABLE: while a delivery is unanswered")))]
#[post("/api/v1/sales/orders/{id:[^:/]+}:close")]
async fn close(
    state: web::Data<State>,
    id: web::Path<OrderId>,
    req: Post<Ending>,
) -> Result<HttpResponse, Problem> {
    let reason = req.body.reason;
    let done = commands::end(&state, &req.caller, *id, End::Closed, reason).await?;
    Ok(ok(&OrderBody::of(done)?))
}

/// Looks at once for stock for what is back ordered; a job does so when stock comes, and every quarter of an hour.
#[utoipa::path(tag = "orders", security(("bearer" = ["sales.order.write"])), request_body = Empty, responses(
    (status = 200, body = OrderBody), (status = 404), (status = 409, description = "ORDER_STATE"),
    (status = 503, description = "INVENTORY_UNAVAILABLE")))]
#[post("/api/v1/sales/orders/{id:[^:/]+}:allocate")]
async fn allocate(
    state: web::Data<State>,
    id: web::Path<OrderId>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    let done = commands::allocate(&state, &req.caller, *id).await?;
    Ok(ok(&OrderBody::of(done)?))
}

/// Part of a line that is handed over.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct DeliveryPart {
    /// Line of the order. Several parts of a line add up.
    line: i32,
    #[garde(custom(validate::positive))]
    qty: Quantity,
    /// Of this batch, of those that are held. Of all parts of a line, or of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch_id: Option<BatchId>,
    /// Serial numbers of the pieces, at most as many as `qty`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[garde(custom(serial_numbers))]
    serials: Vec<String>,
}

/// What is delivered.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct Delivery {
    /// Everything that is held, and services, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(length(min = 1, max = 1000), dive, custom(delivery_parts))]
    lines: Option<Vec<DeliveryPart>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(length(min = 1, max = 2000))]
    note: Option<String>,
}

fn delivery_parts(parts: &Option<Vec<DeliveryPart>>, (): &()) -> garde::Result {
    for part in parts.iter().flatten() {
        if Quantity::from(part.serials.len() as i64) > part.qty {
            let line = part.line;
            return Err(garde::Error::new(format!(
                "line {line} names more serials than its quantity"
            )));
        }
    }
    Ok(())
}

/// A line of a delivery.
#[derive(Debug, Serialize, ToSchema)]
struct FulfilmentLineBody {
    /// Line of the order.
    line: i32,
    product_id: ProductId,
    stocked: bool,
    qty: Quantity,
    /// What of it is billed.
    invoiced: Quantity,
    /// Batches it was taken from; of a kit none.
    batches: Vec<BatchBody>,
    serials: Vec<String>,
}

/// A delivery.
#[derive(Debug, Serialize, ToSchema)]
struct FulfilmentBody {
    fulfilment_id: Uuid,
    order_id: OrderId,
    number: Option<String>,
    delivered_at: Option<DateTime<Utc>>,
    lines: Vec<FulfilmentLineBody>,
    note: Option<String>,
    created_by: Option<UserId>,
}

impl Versioned for FulfilmentBody {
    fn version(&self) -> Option<i64> {
        None
    }
}

impl From<(Fulfilment, Vec<FulfilmentLine>)> for FulfilmentBody {
    fn from((head, lines): (Fulfilment, Vec<FulfilmentLine>)) -> Self {
        let lines = lines.into_iter().map(|l| {
            let batches: Vec<BatchAllocation> =
                serde_json::from_value(l.batches).unwrap_or_default();
            FulfilmentLineBody {
                line: l.line,
                product_id: l.product_id,
                stocked: l.stocked,
                qty: l.qty,
                invoiced: l.invoiced,
                batches: batches.into_iter().map(BatchBody::from).collect(),
                serials: serials_of(&l.serials),
            }
        });
        Self {
            fulfilment_id: head.fulfilment_id,
            order_id: head.order_id,
            number: head.number,
            delivered_at: head.delivered_at,
            lines: lines.collect(),
            note: head.note,
            created_by: head.created_by,
        }
    }
}

/// Delivers what is held, or part of it. The goods have left stock when this is answered.
#[utoipa::path(tag = "orders", security(("bearer" = ["sales.order.write"])), request_body = Delivery, params(("Idempotency-Key" = Option<String>, Header)), responses(
    (status = 201, body = FulfilmentBody), (status = 404),
    (status = 409, description = "NOT_PROMISED (it is back ordered), DELIVERY_REFUSED (says why: a batch is blocked or expired, a piece is not there), ORDER_STATE"),
    (status = 422, description = "EXCEEDS_ORDERED, NO_SUCH_LINE, NOTHING_LEFT, IDEMPOTENCY_KEY_REUSED"),
    (status = 503, description = "INVENTORY_UNAVAILABLE: it is delivered, or not, when the stock can be asked again; ask again. ORDER_BUSY")))]
#[post("/api/v1/sales/orders/{id:[^:/]+}:fulfil")]
async fn fulfil(
    state: web::Data<State>,
    id: web::Path<OrderId>,
    req: Post<Delivery>,
) -> Result<HttpResponse, Problem> {
    let request_id = req.caller.ctx.idempotency.as_ref().map(|key| {
        let name = format!("{}\n{}\n{}", req.caller.ctx.principal(), key.route, key.key);
        InvoiceId::derived(req.caller.tenant().uuid(), &name).uuid()
    });
    let request_hash = hash(&format!("fulfil {}", *id), &req.body)?;
    let parts = req.body.lines.map(|lines| {
        let parts = lines.into_iter().map(|l| Part {
            line: l.line,
            qty: l.qty,
            batch_id: l.batch_id,
            serials: l.serials,
        });
        parts.collect()
    });
    let ask = Ask {
        request_id,
        request_hash,
        parts,
        note: req.body.note,
    };
    let done = commands::fulfil(&state, &req.caller, *id, ask).await?;
    Ok(created(&done.map(FulfilmentBody::from)))
}

/// A line that is billed.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct BillLine {
    /// Line of the order.
    line: i32,
    #[garde(custom(validate::positive))]
    qty: Quantity,
}

/// What is billed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct OrderBill {
    /// A UUIDv7 of the client's making.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(custom(validate::optional(client_made)))]
    invoice_id: Option<InvoiceId>,
    /// Each line once; everything delivered and not billed when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(length(min = 1, max = MOST_LINES), dive, custom(each_once))]
    lines: Option<Vec<BillLine>>,
    /// Only what left with this delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fulfilment_id: Option<Uuid>,
    /// What is not delivered yet may be billed too; no when absent.
    #[serde(default)]
    before_delivery: bool,
    /// A series opened for the registration; its newest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(length(min = 1, max = 5))]
    series: Option<String>,
    /// The whole on credit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(length(max = 20), dive)]
    tenders: Option<Vec<NewTender>>,
    /// Why it may go beyond the customer's credit limit; needs a permission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(short_text)))]
    credit_override: Option<String>,
}

fn each_once(lines: &Option<Vec<BillLine>>, (): &()) -> garde::Result {
    let mut seen: Vec<i32> = lines.iter().flatten().map(|l| l.line).collect();
    seen.sort_unstable();
    match seen.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(garde::Error::new(format!("names line {} twice", pair[0]))),
    }
}

/// Bills an order or a part of it, at the prices agreed on and the tax of today. It moves no stock: goods leave with
/// deliveries, before or after.
#[utoipa::path(tag = "orders", security(("bearer" = ["sales.invoice.write"])), request_body = OrderBill, params(("Idempotency-Key" = Option<String>, Header)), responses(
    (status = 201, body = InvoiceBody), (status = 404),
    (status = 409, description = "ORDER_STATE, CREDIT_LIMIT_EXCEEDED, NOT_ACTIVE, NOT_YET_KNOWN"),
    (status = 422, description = "EXCEEDS_DELIVERED, EXCEEDS_ORDERED, NO_SUCH_LINE, NOTHING_LEFT, IDEMPOTENCY_KEY_REUSED, UNKNOWN_SERIES, TENDER_SHORT, ...")))]
#[post("/api/v1/sales/orders/{id:[^:/]+}:invoice")]
async fn bill(
    state: web::Data<State>,
    id: web::Path<OrderId>,
    req: Post<OrderBill>,
) -> Result<HttpResponse, Problem> {
    let body = req.body;
    if body.credit_override.is_some() {
        req.caller.require("sales.credit.override")?;
    }
    let request_hash = hash(&format!("order {}", *id), &body)?;
    let lines = body
        .lines
        .map(|lines| lines.into_iter().map(|l| (l.line, l.qty)).collect());
    let billing = Billing {
        invoice_id: body.invoice_id,
        request_hash,
        lines,
        fulfilment_id: body.fulfilment_id,
        before_delivery: body.before_delivery,
        series: body.series,
        tenders: body.tenders,
        credit_override: body.credit_override,
    };
    let done = commands::bill(&state, &req.caller, *id, billing).await?;
    Ok(created(&done.map(InvoiceBody::from)))
}

/// An order in a list.
#[derive(Debug, Serialize, ToSchema)]
struct OrderSummary {
    order_id: OrderId,
    number: String,
    date: NaiveDate,
    status: String,
    branch_id: BranchId,
    location_id: LocationId,
    customer_id: Option<CustomerId>,
    quotation_id: Option<Uuid>,
    expected_date: Option<NaiveDate>,
    total: Money,
    created_at: DateTime<Utc>,
    version: i64,
}

impl From<Head> for OrderSummary {
    fn from(h: Head) -> Self {
        Self {
            order_id: h.order_id,
            number: h.number,
            date: h.date,
            status: h.status,
            branch_id: h.branch_id,
            location_id: h.location_id,
            customer_id: h.customer_id,
            quotation_id: h.quotation_id,
            expected_date: h.expected_date,
            total: h.total,
            created_at: h.created_at,
            version: h.version,
        }
    }
}

#[derive(Debug, Default, Deserialize, IntoParams, InputObject)]
#[into_params(parameter_in = Query)]
pub(super) struct OrderFilter {
    /// Exactly this number, in any case.
    number: Option<String>,
    /// `draft`, `confirmed`, `partially_fulfilled`, `fulfilled`, `closed` or `cancelled`.
    status: Option<String>,
    customer_id: Option<CustomerId>,
    location_id: Option<LocationId>,
    /// Only those that wait for stock.
    back_ordered: Option<bool>,
}

/// Orders, newest first unless sorted by `created_at:asc`.
#[utoipa::path(tag = "orders", security(("bearer" = ["sales.order.read"])), params(PageQuery, OrderFilter), responses((status = 200, body = Page<OrderSummary>)))]
#[get("/api/v1/sales/orders")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<OrderFilter>,
) -> Result<HttpResponse, Problem> {
    let orders = listed(&state, &caller, &filter, &query).await?;
    Ok(page(&orders.map(OrderSummary::from)))
}

/// A part of the list.
pub(super) async fn listed(
    state: &State,
    caller: &Caller,
    filter: &OrderFilter,
    query: &PageQuery,
) -> Result<Page<Head>, Error> {
    caller.require("sales.order.read")?;
    let walk = Timed::read(query, "created_at")?;
    let wanted = store::Filter {
        number: filter.number.as_deref().map(str::to_ascii_uppercase),
        status: filter.status.clone(),
        customer_id: filter.customer_id,
        location_id: filter.location_id,
        back_ordered: filter.back_ordered.unwrap_or(false),
        walk,
    };
    let (rows, total) = state
        .db
        .read(&caller.ctx, async |tx| {
            store::list(tx, &wanted).await.map_err(Error::from)
        })
        .await?;
    Ok(paged_by_time(rows, query, total, |h| {
        (h.created_at, h.order_id.uuid())
    }))
}

/// One order.
#[utoipa::path(tag = "orders", security(("bearer" = ["sales.order.read"])), responses((status = 200, body = OrderBody), (status = 404)))]
#[get("/api/v1/sales/orders/{id:[^:/]+}")]
async fn get_one(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<OrderId>,
) -> Result<HttpResponse, Problem> {
    let found = state
        .db
        .read(&caller.ctx, async |tx| {
            store::get(tx, *id)
                .await?
                .ok_or_else(|| Error::from(Fault::NotFound))
        })
        .await?;
    Ok(ok(&OrderBody::of(Done::first(found))?))
}

/// A delivery in a list.
#[derive(Debug, Serialize, ToSchema)]
struct FulfilmentSummary {
    fulfilment_id: Uuid,
    number: Option<String>,
    delivered_at: Option<DateTime<Utc>>,
    note: Option<String>,
    created_by: Option<UserId>,
}

/// Deliveries of an order, oldest first.
#[utoipa::path(tag = "orders", security(("bearer" = ["sales.order.read"])), params(PageQuery), responses((status = 200, body = Page<FulfilmentSummary>), (status = 404)))]
#[get("/api/v1/sales/orders/{id:[^:/]+}/fulfilments")]
async fn deliveries(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<OrderId>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let walk = Timed::oldest_first(&query)?;
    let (rows, total) = state
        .db
        .read(&caller.ctx, async |tx| {
            if store::get(tx, *id).await?.is_none() {
                return Err(Error::from(Fault::NotFound));
            }
            Ok(store::deliveries(tx, *id, walk).await?)
        })
        .await?;
    let deliveries = paged_by_time(rows, &query, total, |f| {
        (f.delivered_at.unwrap_or(f.created_at), f.fulfilment_id)
    });
    Ok(page(&deliveries.map(|f| FulfilmentSummary {
        fulfilment_id: f.fulfilment_id,
        number: f.number,
        delivered_at: f.delivered_at,
        note: f.note,
        created_by: f.created_by,
    })))
}

/// One delivery of an order.
#[utoipa::path(tag = "orders", security(("bearer" = ["sales.order.read"])), responses((status = 200, body = FulfilmentBody), (status = 404)))]
#[get("/api/v1/sales/orders/{id:[^:/]+}/fulfilments/{fulfilment:[^:/]+}")]
async fn get_delivery(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<(OrderId, Uuid)>,
) -> Result<HttpResponse, Problem> {
    let (order, fulfilment) = path.into_inner();
    let found = state
        .db
        .read(&caller.ctx, async |tx| {
            let found = store::delivery(tx, fulfilment).await?;
            let found = found.filter(|(f, _)| f.order_id == order && f.state == "delivered");
            found.ok_or(Error::Db(DbError::NotFound))
        })
        .await?;
    Ok(ok(&Done::first(FulfilmentBody::from(found))))
}
