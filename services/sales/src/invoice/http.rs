//! Invoices over HTTP.

use actix_web::{HttpResponse, get, post, web};
use async_graphql::{InputObject, SimpleObject};
use bahi_db::Done;
use bahi_events::{BatchAllocation, InvoicePromotion, LinePromotion, Tax};
use bahi_http::{
    Caller, Empty, Fault, Post, Problem, Timed, Versioned, created, ok, page, paged_by_time,
    validate,
};
use bahi_types::{
    BranchId, CouponId, CustomerGroupId, CustomerId, InvoiceId, LocationId, Money, Page, PageQuery,
    PosSessionId, Price, PriceEntryId, PriceListId, ProductId, PromotionId, Quantity, Rate,
    RegistrationId, TillId, UserId,
};
use chrono::{DateTime, NaiveDate, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    commands::{self, Draft, Outlet},
    model::{
        Buyer, Discounted, Header, Invoice, Line, MOST_COUPONS, MOST_LINES, NewLine, NewTender,
        Tender, basket_lines, batches_of, bounded, line_pricing_of, of_order, pricing_of,
        serials_of, short_text, sound_state,
    },
    store,
};
use crate::{State, error::Error, held::HeldBillId};

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(sell_at_till)
        .service(sell_from_office)
        .service(abandon)
        .service(list)
        .service(get_one);
}

/// A sale at a till.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct PosInvoice {
    /// A UUIDv7 of the client's making. Without it an `Idempotency-Key` is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(custom(validate::optional(client_made)))]
    invoice_id: Option<InvoiceId>,
    session_id: PosSessionId,
    /// The held bill that it sells, which this till has taken up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    held_bill_id: Option<HeldBillId>,
    #[garde(length(min = 1, max = MOST_LINES), dive, custom(basket_lines))]
    lines: Vec<NewLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(custom(bounded))]
    bill_discount: Option<Discounted>,
    #[serde(default)]
    #[garde(length(max = 20), dive)]
    tenders: Vec<NewTender>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    buyer: Option<Buyer>,
    /// Of a customer that is known here: where there is no `buyer`, it is taken from what is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customer_id: Option<CustomerId>,
    /// Why it may go beyond the customer's credit limit; needs a permission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(short_text)))]
    credit_override: Option<String>,
    /// The group of customers whose prices it has; the customer's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customer_group_id: Option<CustomerGroupId>,
    /// Codes of coupons; each must take something off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[garde(length(max = MOST_COUPONS), inner(length(chars, min = 1, max = 100)))]
    coupons: Vec<String>,
    /// The cashier when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salesperson_id: Option<UserId>,
    /// What somebody with more rights has lent for this invoice (`POST /api/v1/auth/approvals`). No part of what is sold:
    /// the same request with another approval is the same request.
    #[serde(default, skip_serializing)]
    #[garde(length(min = 1, max = 4096))]
    approval: Option<String>,
    /// Number of an outside document that this sale mirrors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(short_text)))]
    external_reference: Option<String>,
    /// Date of that document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    external_date: Option<DateTime<Utc>>,
}

/// A sale from the office: B2B or B2C, goods sent from a location.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct SalesInvoice {
    /// A UUIDv7 of the client's making. Without it an `Idempotency-Key` is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(custom(validate::optional(client_made)))]
    invoice_id: Option<InvoiceId>,
    /// Where the goods come from; its branch and registration sell.
    location_id: LocationId,
    /// A series opened for the registration; its newest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(length(min = 1, max = 5))]
    series: Option<String>,
    #[garde(length(min = 1, max = MOST_LINES), dive, custom(basket_lines))]
    lines: Vec<NewLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(custom(bounded))]
    bill_discount: Option<Discounted>,
    /// The whole on credit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(length(max = 20), dive)]
    tenders: Option<Vec<NewTender>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    buyer: Option<Buyer>,
    /// State of the delivery address, where it is another than the buyer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(sound_state)))]
    delivery_state: Option<String>,
    /// Payable in whole rupees; yes when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    round_to_rupee: Option<bool>,
    /// Of a customer that is known here: where there is no `buyer`, it is taken from what is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customer_id: Option<CustomerId>,
    /// Why it may go beyond the customer's credit limit; needs a permission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(short_text)))]
    credit_override: Option<String>,
    /// The group of customers whose prices it has; the customer's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customer_group_id: Option<CustomerGroupId>,
    /// Codes of coupons; each must take something off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[garde(length(max = MOST_COUPONS), inner(length(chars, min = 1, max = 100)))]
    coupons: Vec<String>,
    /// The caller when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salesperson_id: Option<UserId>,
    /// What somebody with more rights has lent for this invoice (`POST /api/v1/auth/approvals`). No part of what is sold:
    /// the same request with another approval is the same request.
    #[serde(default, skip_serializing)]
    #[garde(length(min = 1, max = 4096))]
    approval: Option<String>,
    /// Number of an outside document that this sale mirrors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(short_text)))]
    external_reference: Option<String>,
    /// Date of that document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    external_date: Option<DateTime<Utc>>,
}

// Derived ids are version 5, so a client's can never meet one.
pub(crate) fn client_made(id: &InvoiceId, (): &()) -> garde::Result {
    if id.uuid().get_version_num() == 7 {
        Ok(())
    } else {
        Err(garde::Error::new("must be a UUIDv7"))
    }
}

/// The invoice's id: the client's, or the one its idempotency key stands for.
pub(crate) fn identity(caller: &Caller, given: Option<InvoiceId>) -> Result<InvoiceId, Fault> {
    if let Some(id) = given {
        return Ok(id);
    }
    let key = caller.ctx.idempotency.as_ref();
    let key = key
        .ok_or_else(|| Fault::field("Idempotency-Key", "is needed where there is no invoice_id"))?;
    let name = format!("{}\n{}\n{}", caller.ctx.principal(), key.route, key.key);
    Ok(InvoiceId::derived(caller.tenant().uuid(), &name))
}

/// SHA-256 of the whole request as it was understood, so that spaces and "1.0" for "1" make no other request.
pub(crate) fn hash(route: &str, body: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut hash = Sha256::new();
    hash.update(route);
    hash.update([0]);
    hash.update(serde_json::to_vec(body).map_err(bahi_db::Error::from)?);
    Ok(hash.finalize().to_vec())
}

/// The one form of each code, each once.
pub(crate) fn folded(codes: &[String]) -> Vec<String> {
    let mut folded: Vec<String> = Vec::with_capacity(codes.len());
    for code in codes {
        let code = bahi_pricing::Coupon::folded(code);
        if !folded.contains(&code) {
            folded.push(code);
        }
    }
    folded
}

/// Where the buyer is found on a document.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "Buyer")]
pub(crate) struct BuyerBody {
    pub name: Option<String>,
    pub phone: Option<String>,
    pub gstin: Option<String>,
    pub address: Option<String>,
    pub state_code: Option<String>,
}

/// Part of a line that comes from one batch.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "BatchAllocation", complex)]
pub(crate) struct BatchBody {
    #[schema(value_type = Option<Uuid>)]
    pub batch_id: Option<bahi_types::BatchId>,
    qty: Quantity,
}

impl From<BatchAllocation> for BatchBody {
    fn from(batch: BatchAllocation) -> Self {
        Self {
            batch_id: batch.batch_id,
            qty: batch.qty,
        }
    }
}

/// Taxes.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "TaxAmounts")]
pub(crate) struct TaxBody {
    cgst: Money,
    sgst: Money,
    igst: Money,
    cess: Money,
}

impl From<Tax> for TaxBody {
    fn from(tax: Tax) -> Self {
        Self {
            cgst: tax.cgst,
            sgst: tax.sgst,
            igst: tax.igst,
            cess: tax.cess,
        }
    }
}

/// What a promotion has taken off a line.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "LinePromotion")]
pub(super) struct LinePromotionBody {
    promotion_id: PromotionId,
    /// Its name at the time.
    name: String,
    amount: Money,
    /// It is the line's share of a discount on the bill.
    of_bill: bool,
}

impl From<LinePromotion> for LinePromotionBody {
    fn from(p: LinePromotion) -> Self {
        Self {
            promotion_id: p.promotion_id,
            name: p.name,
            amount: p.amount,
            of_bill: p.of_bill,
        }
    }
}

/// What a promotion has taken off an invoice.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "InvoicePromotion")]
pub(super) struct InvoicePromotionBody {
    promotion_id: PromotionId,
    /// Its name at the time.
    name: String,
    amount: Money,
    /// The coupon that opened it.
    coupon_id: Option<CouponId>,
    coupon_code: Option<String>,
}

impl From<InvoicePromotion> for InvoicePromotionBody {
    fn from(p: InvoicePromotion) -> Self {
        Self {
            promotion_id: p.promotion_id,
            name: p.name,
            amount: p.amount,
            coupon_id: p.coupon_id,
            coupon_code: p.coupon_code,
        }
    }
}

/// A line of an invoice.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "InvoiceLine", complex)]
pub(super) struct LineBody {
    line: i32,
    pub(super) product_id: ProductId,
    sku: String,
    description: String,
    hsn: String,
    uqc: String,
    qty: Quantity,
    unit_price: Price,
    price_includes_tax: bool,
    /// The price of the price list or catalogue, where another was charged.
    list_price: Option<Price>,
    /// The price list that the price is of; the product's own when absent.
    price_list_id: Option<PriceListId>,
    /// The price in that list.
    price_entry_id: Option<PriceEntryId>,
    /// The maximum retail price of the batch, as the request named it.
    batch_mrp: Option<Money>,
    gross: Money,
    /// Of promotions on goods and of the cashier.
    discount: Money,
    /// Its share of the bill's discount.
    bill_discount: Money,
    /// What promotions have taken off it, in the order in which they did; part of both discounts.
    promotions: Vec<LinePromotionBody>,
    /// `taxable`, `nil`, `exempt` or `non_gst`.
    tax_category: String,
    rate: Rate,
    cess_rate: Rate,
    taxable: Money,
    tax: TaxBody,
    total: Money,
    batches: Vec<BatchBody>,
    /// Serial numbers of its pieces, as far as they were named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    serials: Vec<String>,
    returned_qty: Quantity,
    /// The order that it bills.
    #[graphql(skip)]
    pub(super) order_id: Option<Uuid>,
    /// Line of that order.
    order_line: Option<i32>,
    /// The delivery with which the goods left, where they have.
    #[graphql(skip)]
    pub(super) fulfilment_id: Option<Uuid>,
}

/// A payment.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "Tender")]
pub(crate) struct TenderBody {
    pub method: String,
    pub amount: Money,
    pub reference: Option<String>,
}

impl From<Tender> for TenderBody {
    fn from(t: Tender) -> Self {
        Self {
            method: t.method,
            amount: t.amount,
            reference: t.reference,
        }
    }
}

/// What a cashier should know of a line.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "InvoiceWarning")]
pub(super) struct WarningBody {
    /// `BELOW_COST`: sold for less than it cost.
    code: &'static str,
    line: i32,
}

/// An invoice.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "Invoice", complex)]
pub(crate) struct InvoiceBody {
    #[graphql(name = "id")]
    pub(super) invoice_id: InvoiceId,
    number: String,
    date: NaiveDate,
    issued_at: DateTime<Utc>,
    /// `B2B` or `B2C`.
    #[serde(rename = "type")]
    #[graphql(name = "type")]
    kind: String,
    /// `issued`, `credited_partially`, `credited_fully` or `cancelled`.
    status: String,
    /// `unpaid`, `partially_paid`, `paid` or `cancelled`; it follows from the amounts.
    payment_status: String,
    registration_id: RegistrationId,
    gstin_supplier: Option<String>,
    pub(super) branch_id: BranchId,
    pub(super) location_id: LocationId,
    pub(super) till_id: Option<TillId>,
    session_id: Option<PosSessionId>,
    pub(super) customer_id: Option<CustomerId>,
    buyer: BuyerBody,
    pub(super) cashier_id: Option<UserId>,
    pub(super) salesperson_id: Option<UserId>,
    place_of_supply: String,
    inter_state: bool,
    reverse_charge: bool,
    #[graphql(skip)]
    pub(super) lines: Vec<LineBody>,
    gross: Money,
    /// Of lines and bill.
    discount: Money,
    /// The group of customers whose prices it has.
    customer_group_id: Option<CustomerGroupId>,
    /// Promotions that have taken something off, in the order in which they did; part of the discount.
    promotions: Vec<InvoicePromotionBody>,
    taxable: Money,
    tax: TaxBody,
    round_off: Money,
    total: Money,
    currency: String,
    #[graphql(skip)]
    pub(super) tenders: Vec<TenderBody>,
    change: Money,
    returned: Money,
    /// Given back by notes on prices, or by its cancellation.
    credited: Money,
    /// Charged by notes on prices.
    debited: Money,
    /// By receipts.
    paid: Money,
    /// What is still to be paid.
    open: Money,
    /// What was sold although it gave cause to ask.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[graphql(skip)]
    pub(super) warnings: Vec<WarningBody>,
    /// The buyer's reference.
    reference: Option<String>,
    note: Option<String>,
    delivery_contact: Option<String>,
    external_reference: Option<String>,
    external_date: Option<DateTime<Utc>>,
    version: i64,
}

impl Versioned for InvoiceBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

impl From<Line> for LineBody {
    fn from(l: Line) -> Self {
        let pricing = line_pricing_of(&l).unwrap_or_default();
        let promotions = pricing.promotions.into_iter();
        let order = of_order(&l);
        Self {
            order_id: order.map(|o| o.order_id),
            order_line: order.map(|o| o.line),
            fulfilment_id: order.and_then(|o| o.fulfilment_id),
            price_list_id: pricing.price_list_id,
            price_entry_id: pricing.price_entry_id,
            batch_mrp: pricing.batch_mrp,
            promotions: promotions.map(LinePromotionBody::from).collect(),
            batches: batches_of(&l).into_iter().map(BatchBody::from).collect(),
            serials: serials_of(&l.serials),
            line: l.line,
            product_id: l.product_id,
            sku: l.sku,
            description: l.description,
            hsn: l.hsn,
            uqc: l.uqc,
            qty: l.qty,
            unit_price: l.unit_price,
            price_includes_tax: l.price_includes_tax,
            list_price: l.list_price,
            gross: l.gross,
            discount: l.discount,
            bill_discount: l.bill_discount,
            tax_category: l.tax_category,
            rate: l.rate,
            cess_rate: l.cess_rate,
            taxable: l.taxable,
            tax: Tax {
                cgst: l.cgst,
                sgst: l.sgst,
                igst: l.igst,
                cess: l.cess,
            }
            .into(),
            total: l.total,
            returned_qty: l.returned_qty,
        }
    }
}

impl From<Invoice> for InvoiceBody {
    fn from(invoice: Invoice) -> Self {
        let h = invoice.header;
        let pricing = pricing_of(&h).unwrap_or_default();
        let promotions = pricing.promotions.into_iter();
        let tenders = invoice.tenders.into_iter().map(TenderBody::from);
        let below_cost = |l: &&Line| line_pricing_of(l).is_some_and(|p| p.below_cost);
        let warnings = invoice.lines.iter().filter(below_cost);
        let warnings = warnings.map(|l| WarningBody {
            code: "BELOW_COST",
            line: l.line,
        });
        Self {
            warnings: warnings.collect(),
            payment_status: h.payment_status().to_owned(),
            invoice_id: h.invoice_id,
            number: h.number,
            date: h.date,
            issued_at: h.issued_at,
            kind: h.kind,
            status: h.status,
            registration_id: h.registration_id,
            gstin_supplier: h.gstin_supplier,
            branch_id: h.branch_id,
            location_id: h.location_id,
            till_id: h.till_id,
            session_id: h.session_id,
            customer_id: h.customer_id,
            buyer: BuyerBody {
                name: h.buyer_name,
                phone: h.buyer_phone,
                gstin: h.gstin_buyer,
                address: h.buyer_address,
                state_code: h.buyer_state,
            },
            cashier_id: h.cashier_id,
            salesperson_id: h.salesperson_id,
            place_of_supply: h.place_of_supply,
            inter_state: h.inter_state,
            reverse_charge: h.reverse_charge,
            lines: invoice.lines.into_iter().map(LineBody::from).collect(),
            gross: h.gross,
            discount: h.discount,
            customer_group_id: pricing.customer_group_id,
            promotions: promotions.map(InvoicePromotionBody::from).collect(),
            taxable: h.taxable,
            tax: Tax {
                cgst: h.cgst,
                sgst: h.sgst,
                igst: h.igst,
                cess: h.cess,
            }
            .into(),
            round_off: h.round_off,
            total: h.total,
            currency: h.currency,
            tenders: tenders.collect(),
            change: h.change,
            returned: h.returned,
            credited: h.credited,
            debited: h.debited,
            paid: h.paid,
            open: h.open,
            reference: h.reference,
            note: h.note,
            delivery_contact: h.delivery_contact,
            external_reference: h.external_reference,
            external_date: h.external_date,
            version: h.version,
        }
    }
}

/// Sells at a till. The goods are promised before the answer; the same request again gets the same invoice, for ever.
#[utoipa::path(tag = "invoices", security(("bearer" = ["sales.pos.use"])), request_body = PosInvoice, params(("Idempotency-Key" = Option<String>, Header)), responses(
    (status = 201, body = InvoiceBody),
    (status = 409, description = "INSUFFICIENT_STOCK (names each short product with its lines), SESSION_CLOSED, ABANDONED, NOT_YET_KNOWN, COUPON_USED_UP, CREDIT_LIMIT_EXCEEDED (with the figures)"),
    (status = 422, description = "IDEMPOTENCY_KEY_REUSED, TENDER_SHORT, CHANGE_NOT_CASH, ABOVE_MRP, DISCOUNT_ABOVE_CAP, PRICE_ABOVE_CAP, BELOW_COST (each names the permission that an approval would have to lend), REASON_NEEDED, COUPON_REFUSED (says why), COUPON_NEEDS_CUSTOMER, ..."),
    (status = 503, description = "INVENTORY_UNAVAILABLE, SALE_CONTENDED")))]
#[post("/api/v1/pos/invoice")]
async fn sell_at_till(
    state: web::Data<State>,
    req: Post<PosInvoice>,
) -> Result<HttpResponse, Problem> {
    let body = req.body;
    let draft = Draft {
        invoice_id: identity(&req.caller, body.invoice_id)?,
        request_hash: hash("pos", &body)?,
        outlet: Outlet::Till(body.session_id),
        lines: body.lines,
        bill_discount: body.bill_discount,
        tenders: Some(body.tenders),
        buyer: body.buyer.unwrap_or_default(),
        customer_id: body.customer_id,
        credit_override: body.credit_override,
        customer_group: body.customer_group_id,
        coupons: folded(&body.coupons),
        salesperson_id: body.salesperson_id,
        external_reference: body.external_reference,
        external_date: body.external_date,
        approval: body.approval,
        held_bill: body.held_bill_id,
        back: None,
    };
    let sold = commands::sell(&state, &req.caller, draft).await?;
    Ok(created(&sold.map(InvoiceBody::from)))
}

/// Sells from the office, by the same protocol as a till.
#[utoipa::path(tag = "invoices", security(("bearer" = ["sales.invoice.write"])), request_body = SalesInvoice, params(("Idempotency-Key" = Option<String>, Header)), responses(
    (status = 201, body = InvoiceBody),
    (status = 409, description = "INSUFFICIENT_STOCK, ABANDONED, NOT_ACTIVE, NOT_YET_KNOWN, COUPON_USED_UP, CREDIT_LIMIT_EXCEEDED (with the figures)"),
    (status = 422, description = "IDEMPOTENCY_KEY_REUSED, UNKNOWN_SERIES, CREDIT_NEEDS_BUYER, COUPON_REFUSED (says why), COUPON_NEEDS_CUSTOMER, ..."),
    (status = 503, description = "INVENTORY_UNAVAILABLE, SALE_CONTENDED")))]
#[post("/api/v1/sales/invoices")]
async fn sell_from_office(
    state: web::Data<State>,
    req: Post<SalesInvoice>,
) -> Result<HttpResponse, Problem> {
    let body = req.body;
    let draft = Draft {
        invoice_id: identity(&req.caller, body.invoice_id)?,
        request_hash: hash("office", &body)?,
        outlet: Outlet::Office {
            location: body.location_id,
            series: body.series,
            round_to_rupee: body.round_to_rupee.unwrap_or(true),
            delivery: body.delivery_state,
        },
        lines: body.lines,
        bill_discount: body.bill_discount,
        tenders: body.tenders,
        buyer: body.buyer.unwrap_or_default(),
        customer_id: body.customer_id,
        credit_override: body.credit_override,
        customer_group: body.customer_group_id,
        coupons: folded(&body.coupons),
        salesperson_id: body.salesperson_id,
        external_reference: body.external_reference,
        external_date: body.external_date,
        approval: body.approval,
        held_bill: None,
        back: None,
    };
    let sold = commands::sell(&state, &req.caller, draft).await?;
    Ok(created(&sold.map(InvoiceBody::from)))
}

/// An id that was given up.
#[derive(Debug, Serialize, ToSchema)]
struct AbandonedBody {
    invoice_id: InvoiceId,
    /// Always `closed`.
    decision: &'static str,
}
impl Versioned for AbandonedBody {
    fn version(&self) -> Option<i64> {
        None
    }
}

/// Gives an invoice id up: no request on it, however slow, will issue it any more.
#[utoipa::path(tag = "invoices", security(("bearer" = ["sales.pos.use"])), request_body = Empty, responses(
    (status = 200, body = AbandonedBody),
    (status = 409, description = "ALREADY_ISSUED: it was sold, with its number")))]
#[post("/api/v1/pos/invoices/{id:[^:/]+}:abandon")]
async fn abandon(
    state: web::Data<State>,
    id: web::Path<InvoiceId>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    let done = commands::abandon(&state, &req.caller, *id).await?;
    Ok(ok(&done.map(|a| AbandonedBody {
        invoice_id: a.invoice_id,
        decision: "closed",
    })))
}

/// An invoice in a list.
#[derive(Debug, Serialize, ToSchema)]
struct InvoiceSummary {
    invoice_id: InvoiceId,
    number: String,
    date: NaiveDate,
    issued_at: DateTime<Utc>,
    #[serde(rename = "type")]
    kind: String,
    status: String,
    payment_status: String,
    branch_id: BranchId,
    till_id: Option<TillId>,
    session_id: Option<PosSessionId>,
    customer_id: Option<CustomerId>,
    buyer_name: Option<String>,
    gstin_buyer: Option<String>,
    taxable: Money,
    total: Money,
    currency: String,
    returned: Money,
    /// What is still to be paid.
    open: Money,
    external_reference: Option<String>,
    version: i64,
}

impl From<Header> for InvoiceSummary {
    fn from(h: Header) -> Self {
        Self {
            payment_status: h.payment_status().to_owned(),
            invoice_id: h.invoice_id,
            number: h.number,
            date: h.date,
            issued_at: h.issued_at,
            kind: h.kind,
            status: h.status,
            branch_id: h.branch_id,
            till_id: h.till_id,
            session_id: h.session_id,
            customer_id: h.customer_id,
            buyer_name: h.buyer_name,
            gstin_buyer: h.gstin_buyer,
            taxable: h.taxable,
            total: h.total,
            currency: h.currency,
            returned: h.returned,
            open: h.open,
            external_reference: h.external_reference,
            version: h.version,
        }
    }
}

#[derive(Debug, Default, Deserialize, IntoParams, InputObject)]
#[into_params(parameter_in = Query)]
pub(super) struct InvoiceFilter {
    /// Exactly this number, in any case.
    number: Option<String>,
    /// Posting date.
    date: Option<NaiveDate>,
    /// First posting date.
    date_from: Option<NaiveDate>,
    /// Last posting date.
    date_to: Option<NaiveDate>,
    branch_id: Option<BranchId>,
    session_id: Option<PosSessionId>,
    external_reference: Option<String>,
}

/// Invoices, newest first unless sorted by `issued_at:asc`.
#[utoipa::path(tag = "invoices", security(("bearer" = ["sales.invoice.read"])), params(PageQuery, InvoiceFilter), responses((status = 200, body = Page<InvoiceSummary>)))]
#[get("/api/v1/sales/invoices")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<InvoiceFilter>,
) -> Result<HttpResponse, Problem> {
    let invoices = listed(&state, &caller, &filter, &query).await?;
    Ok(page(&invoices.map(InvoiceSummary::from)))
}

/// A part of the list.
pub(super) async fn listed(
    state: &State,
    caller: &Caller,
    filter: &InvoiceFilter,
    query: &PageQuery,
) -> Result<Page<Header>, Error> {
    caller.require("sales.invoice.read")?;
    let walk = Timed::read(query, "issued_at")?;
    let wanted = store::Filter {
        number: filter.number.as_deref().map(str::to_ascii_uppercase),
        date_from: filter.date.or(filter.date_from),
        date_to: filter.date.or(filter.date_to),
        branch_id: filter.branch_id.map(BranchId::uuid),
        session_id: filter.session_id.map(PosSessionId::uuid),
        external_reference: filter.external_reference.clone(),
        walk,
    };
    let (rows, total) = state
        .db
        .read(&caller.ctx, async |tx| {
            store::list(tx, &wanted).await.map_err(Error::from)
        })
        .await?;
    Ok(paged_by_time(rows, query, total, |h| {
        (h.issued_at, h.invoice_id.uuid())
    }))
}

/// One invoice.
#[utoipa::path(tag = "invoices", security(("bearer" = ["sales.invoice.read"])), responses((status = 200, body = InvoiceBody), (status = 404)))]
#[get("/api/v1/sales/invoices/{id:[^:/]+}")]
async fn get_one(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<InvoiceId>,
) -> Result<HttpResponse, Problem> {
    let found = state
        .db
        .read(&caller.ctx, async |tx| {
            store::get(tx, *id)
                .await?
                .ok_or_else(|| Error::from(Fault::NotFound))
        })
        .await?;
    Ok(ok(&Done::first(InvoiceBody::from(found))))
}
