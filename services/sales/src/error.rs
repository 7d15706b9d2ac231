//! Everything that can be wrong with a request to sales, and what it means to a client.

use actix_web::http::StatusCode;
use bahi_db::{Error as DbError, Failure};
use bahi_http::{Fault, Refusal, Verdict};
use bahi_objects::Away;
use bahi_pricing::Why;
use bahi_prints::receipt::FontsMissing;
use bahi_types::{FiscalYear, Money, PosSessionId, ProductId, Quantity, TillId, UserId};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::customer::Exceeded;

/// The result of a command.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// A product of which there is not enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Short {
    /// The product.
    pub product_id: ProductId,
    /// Lines of the request that ask for it, from 1.
    pub lines: Vec<i32>,
    /// Sum over those lines.
    pub asked: Quantity,
    /// What could have been had.
    pub available: Quantity,
    /// Pieces that were asked for by serial number and cannot be sold here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serials: Vec<String>,
}

/// Why a request is not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Db(#[source] DbError),
    #[error(transparent)]
    Fault(#[from] Fault),

    // the protocol
    #[error("There is not enough stock of {}.", count(.0.len(), "product"))]
    InsufficientStock(Vec<Short>),
    #[error("The stock cannot be asked just now.")]
    InventoryUnavailable,
    #[error("The stock refuses this basket: {0}")]
    InventoryRefused(String),
    /// After a restore what was said in the meantime is still being read.
    #[error("Sales are being restored; try again.")]
    Restoring,
    #[error("This invoice was issued for another request.")]
    RequestReused,
    #[error("This invoice was given up; use a new id.")]
    Abandoned,
    #[error("This invoice was issued as {number}.")]
    AlreadyIssued { invoice_id: Uuid, number: String },
    #[error("Too many attempts were lost to other requests on this invoice; try again.")]
    TooManyAttempts,
    /// Internal to the protocol: the decision on this attempt is somebody else's. Never answered.
    #[error("The attempt was decided elsewhere.")]
    Decided,
    /// Internal to the protocol: midnight passed since the basket was priced. Never answered.
    #[error("The day turned during the sale.")]
    DayTurned,

    // till and session
    #[error("The session is closed.")]
    SessionClosed,
    #[error("The till has an open session.")]
    TillInUse(PosSessionId),
    #[error("{0} is not active.")]
    NotActive(&'static str),
    #[error("The drawer does not hold that much cash.")]
    DrawerShort,
    #[error("Count these means of payment too: {}.", .0.join(", "))]
    CountMissing(Vec<&'static str>),
    #[error("The drawer cannot retain more than was counted.")]
    RetainedTooMuch,

    // price and tax
    #[error("Line {line}: {sku} is not for sale.")]
    NotForSale { line: usize, sku: String },
    #[error("Line {line}: {code} names several products; send product_id.")]
    Ambiguous { line: usize, code: String },
    #[error("Line {line}: {price} with tax exceeds the maximum retail price of {mrp}.")]
    AboveMrp {
        line: usize,
        price: Money,
        mrp: Money,
    },
    #[error("Line {line}: a discount of {percent} % is more than the {cap} % that may be given.")]
    DiscountAboveCap {
        line: usize,
        percent: Decimal,
        cap: u32,
    },
    #[error(
        "Line {line}: {percent} % less than listed is more than the {cap} % that may be taken off."
    )]
    PriceAboveCap {
        line: usize,
        percent: Decimal,
        cap: u32,
    },
    #[error("Line {line}: {sku} would be sold below cost.")]
    BelowCost { line: usize, sku: String },
    #[error("Line {line}: another price needs a reason.")]
    ReasonNeeded { line: usize },
    #[error("Line {line}: {sku} has no tax rate for this date.")]
    NoTaxRate { line: usize, sku: String },
    #[error("{0}")]
    Uncomputable(String),

    // coupons
    #[error("The coupon {code} takes nothing off this bill.")]
    CouponRefused { code: String, why: Why },
    #[error("The coupon {code} has been used as often as {}.", if *.by_customer { "one customer may" } else { "it may" })]
    CouponUsedUp { code: String, by_customer: bool },
    #[error("The coupon {0} is counted by customer; name the customer.")]
    CouponNeedsCustomer(String),

    // payment
    #[error("The tenders are {missing} short.")]
    TenderShort { total: Money, missing: Money },
    #[error("Only cash is given back as change.")]
    ChangeNotCash { total: Money, excess: Money },
    #[error("A sale on credit needs a customer, or the buyer's name and phone.")]
    CreditNeedsBuyer,
    #[error("The customer's credit allows {} more.", .0.available)]
    CreditLimitExceeded(Box<Exceeded>),

    // numbers
    #[error("The series has no numbers of 16 characters left this year.")]
    SeriesUsedUp,
    #[error("The series {0} serves other documents.")]
    SeriesTaken(String),
    #[error("The registration has no series {0}.")]
    UnknownSeries(String),

    // what happens to an invoice after its issue
    #[error("The invoice is cancelled.")]
    InvoiceCancelled,
    #[error(
        "The invoice can be cancelled no more: the time for it is over. Take the goods back instead."
    )]
    CancelTooLate,
    #[error("Something came back of the invoice, or a note was issued on it.")]
    InvoiceCredited,
    #[error("The invoice has {open} to be paid.")]
    ExceedsOpen { invoice_id: Uuid, open: Money },
    #[error("The invoice is another customer's.")]
    OtherCustomer { invoice_id: Uuid },
    #[error("The receipt has {unallocated} left.")]
    ExceedsReceipt { unallocated: Money },
    #[error("Without a customer, a receipt is allocated whole.")]
    ReceiptNeedsCustomer,
    #[error("The receipt is reversed.")]
    ReceiptReversed,
    #[error("Part of the receipt was given back.")]
    ReceiptRefunded,
    #[error("Line {line}: {asked} cannot be credited, only {left} can.")]
    ExceedsLine {
        line: i32,
        asked: Money,
        left: Money,
    },
    #[error("Line {line} is all back.")]
    LineReturned { line: i32 },
    #[error("{0} is fiscal and stays as it was issued.")]
    FiscalField(String),

    // returns
    #[error("Line {line} did not sell the piece {serial}, or it has come back already.")]
    SerialNotSold { line: i32, serial: String },
    #[error("Line {line}: {asked} cannot come back, only {left} can.")]
    ExceedsSold {
        line: i32,
        asked: Quantity,
        left: Quantity,
    },
    #[error("The invoice has no line {0}.")]
    NoSuchLine(i32),
    #[error("The refund must be {total}.")]
    RefundMismatch { total: Money },
    #[error("At most {left} can be refunded this way, for that was paid this way.")]
    RefundExceedsPaid { left: Money },

    // quotations and orders
    #[error("The quotation is {0}.")]
    QuotationState(String),
    #[error("The order is {0}.")]
    OrderState(String),
    /// Something else is being done with the order, and needs the stock's answer.
    #[error("The order is being worked on; try again.")]
    OrderBusy,
    #[error("The order has no line {0}.")]
    NoOrderLine(i32),
    #[error("Line {line}: {asked} cannot be delivered, {held} is held for it.")]
    NotPromised {
        line: i32,
        asked: Quantity,
        held: Quantity,
    },
    #[error("Line {line}: {asked} is more than the {left} that are left of it.")]
    ExceedsOrdered {
        line: i32,
        asked: Quantity,
        left: Quantity,
    },
    #[error("Line {line}: {asked} cannot be billed, {left} was delivered and is not billed yet.")]
    ExceedsDelivered {
        line: i32,
        asked: Quantity,
        left: Quantity,
    },
    #[error("There is nothing to {0}.")]
    NothingTo(&'static str),
    #[error("The stock does not let it go: {message}")]
    DeliveryRefused { why: String, message: String },
    #[error("Line {line}: {delivered} was delivered and {invoiced} billed; settle that first.")]
    NotSettled {
        line: i32,
        delivered: Quantity,
        invoiced: Quantity,
    },
    // the till without the network
    #[error("It was made at {made_at}, which lies in the future.")]
    InFuture { made_at: DateTime<Utc> },
    #[error("Documents of {0} can no longer be told to the tax office.")]
    YearClosed(FiscalYear),
    #[error("{}{field} is {told} and must be {due}.", line.map(|n| format!("Line {n}: ")).unwrap_or_default())]
    DoesNotAddUp {
        line: Option<usize>,
        field: &'static str,
        told: Money,
        due: Money,
    },
    #[error("The number {number} stands for something else already.")]
    NumberRepeated {
        number: String,
        document_id: Option<Uuid>,
    },
    #[error("The id was issued as {number}, for something else.")]
    IssuedOtherwise { invoice_id: Uuid, number: String },
    // prints
    #[error("{0}")]
    FontsMissing(#[source] FontsMissing),
    #[error("Too much is being printed; try again.")]
    PrintBusy,
    #[error("The object store does not answer; try again.")]
    StoreAway(#[source] Away),

    // commission
    #[error("The plan is {0}.")]
    PlanState(String),

    // held bills
    #[error("The held bill is {0}.")]
    NotHeld(String),
    #[error("Another till has taken the bill up.")]
    BillTaken {
        till_id: Option<TillId>,
        user_id: Option<UserId>,
        since: Option<DateTime<Utc>>,
    },

    // payment by UPI
    #[error("The branch has no address for payment by UPI.")]
    NoUpiAddress,
}

fn count(n: usize, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}

impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        match error.constraint() {
            Some("pos_session_drawer_check") => Self::DrawerShort,
            Some(
                "invoice_number_check"
                | "credit_note_number_check"
                | "receipt_number_check"
                | "price_note_number_check",
            ) => Self::SeriesUsedUp,
            Some(
                "reservation_decision_pkey"
                | "reservation_decision_reservation_key"
                | "reservation_decision_final_key",
            ) => Self::Decided,
            _ => Self::Db(error),
        }
    }
}

impl From<Away> for Error {
    fn from(away: Away) -> Self {
        Self::StoreAway(away)
    }
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        Self::from(DbError::from(error))
    }
}

impl Failure for Error {
    fn database(&self) -> Option<&DbError> {
        match self {
            Self::Db(error) => Some(error),
            _ => None,
        }
    }
}

impl Refusal for Error {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Db(error) => error.verdict(),
            Self::Fault(fault) => fault.verdict(),
            Self::InsufficientStock(_) => Verdict::conflict("INSUFFICIENT_STOCK"),
            Self::InventoryUnavailable => Verdict::unavailable("INVENTORY_UNAVAILABLE"),
            Self::InventoryRefused(_) => Verdict::refused("INVENTORY_REFUSED"),
            Self::Restoring => Verdict::unavailable("RESTORING"),
            Self::RequestReused => Verdict::refused("IDEMPOTENCY_KEY_REUSED"),
            Self::Abandoned => Verdict::conflict("ABANDONED"),
            Self::AlreadyIssued { .. } => Verdict::conflict("ALREADY_ISSUED"),
            Self::TooManyAttempts => Verdict::unavailable("SALE_CONTENDED"),
            Self::Decided | Self::DayTurned => {
                Verdict::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL")
            }
            Self::SessionClosed => Verdict::conflict("SESSION_CLOSED"),
            Self::TillInUse(_) => Verdict::conflict("TILL_IN_USE"),
            Self::NotActive(_) => Verdict::conflict("NOT_ACTIVE"),
            Self::DrawerShort => Verdict::refused("DRAWER_SHORT"),
            Self::CountMissing(_) => Verdict::refused("COUNT_MISSING"),
            Self::RetainedTooMuch => Verdict::refused("RETAINED_TOO_MUCH"),
            Self::NotForSale { .. } => Verdict::refused("NOT_FOR_SALE"),
            Self::Ambiguous { .. } => Verdict::conflict("AMBIGUOUS_CODE"),
            Self::AboveMrp { .. } => Verdict::refused("ABOVE_MRP"),
            Self::ReasonNeeded { .. } => Verdict::refused("REASON_NEEDED"),
            Self::NoTaxRate { .. } => Verdict::refused("NO_TAX_RATE"),
            Self::InvoiceCancelled => Verdict::conflict("INVOICE_CANCELLED"),
            Self::CancelTooLate => Verdict::conflict("CANCEL_TOO_LATE"),
            Self::InvoiceCredited => Verdict::conflict("INVOICE_CREDITED"),
            Self::ExceedsOpen { .. } => Verdict::refused("EXCEEDS_OPEN"),
            Self::OtherCustomer { .. } => Verdict::refused("OTHER_CUSTOMER"),
            Self::ExceedsReceipt { .. } => Verdict::refused("EXCEEDS_RECEIPT"),
            Self::ReceiptNeedsCustomer => Verdict::refused("RECEIPT_NEEDS_CUSTOMER"),
            Self::ReceiptReversed => Verdict::conflict("RECEIPT_REVERSED"),
            Self::ReceiptRefunded => Verdict::conflict("RECEIPT_REFUNDED"),
            Self::ExceedsLine { .. } => Verdict::refused("EXCEEDS_LINE"),
            Self::LineReturned { .. } => Verdict::refused("LINE_RETURNED"),
            Self::FiscalField(_) => Verdict::refused("FISCAL_FIELD"),
            Self::Uncomputable(_) => Verdict::refused("UNCOMPUTABLE"),
            Self::CouponRefused { .. } => Verdict::refused("COUPON_REFUSED"),
            Self::CouponUsedUp { .. } => Verdict::conflict("COUPON_USED_UP"),
            Self::CouponNeedsCustomer(_) => Verdict::refused("COUPON_NEEDS_CUSTOMER"),
            Self::TenderShort { .. } => Verdict::refused("TENDER_SHORT"),
            Self::ChangeNotCash { .. } => Verdict::refused("CHANGE_NOT_CASH"),
            Self::CreditNeedsBuyer => Verdict::refused("CREDIT_NEEDS_BUYER"),
            Self::CreditLimitExceeded(_) => Verdict::conflict("CREDIT_LIMIT_EXCEEDED"),
            Self::SeriesUsedUp => Verdict::refused("SERIES_USED_UP"),
            Self::SeriesTaken(_) => Verdict::conflict("SERIES_TAKEN"),
            Self::UnknownSeries(_) => Verdict::refused("UNKNOWN_SERIES"),
            Self::ExceedsSold { .. } => Verdict::refused("EXCEEDS_SOLD"),
            Self::NoSuchLine(_) => Verdict::refused("NO_SUCH_LINE"),
            Self::SerialNotSold { .. } => Verdict::refused("SERIAL_NOT_SOLD"),
            Self::RefundMismatch { .. } => Verdict::refused("REFUND_MISMATCH"),
            Self::RefundExceedsPaid { .. } => Verdict::refused("REFUND_EXCEEDS_PAID"),
            Self::InFuture { .. } => Verdict::refused("IN_FUTURE"),
            Self::YearClosed(_) => Verdict::refused("YEAR_CLOSED"),
            Self::DoesNotAddUp { .. } => Verdict::refused("DOES_NOT_ADD_UP"),
            Self::NumberRepeated { .. } => Verdict::conflict("NUMBER_REPEATED"),
            Self::IssuedOtherwise { .. } => Verdict::conflict("ISSUED_OTHERWISE"),
            Self::FontsMissing(_) => Verdict::unavailable("FONTS_MISSING"),
            Self::PrintBusy => Verdict::unavailable("PRINT_BUSY"),
            Self::StoreAway(_) => Verdict::unavailable("STORE_UNAVAILABLE"),
            Self::NotHeld(_) => Verdict::conflict("NOT_HELD"),
            Self::PlanState(_) => Verdict::conflict("PLAN_STATE"),
            Self::BillTaken { .. } => Verdict::conflict("BILL_TAKEN"),
            Self::NoUpiAddress => Verdict::refused("NO_UPI_ADDRESS"),
            Self::DiscountAboveCap { .. } => Verdict::refused("DISCOUNT_ABOVE_CAP"),
            Self::PriceAboveCap { .. } => Verdict::refused("PRICE_ABOVE_CAP"),
            Self::BelowCost { .. } => Verdict::refused("BELOW_COST"),
            Self::QuotationState(_) => Verdict::conflict("QUOTATION_STATE"),
            Self::OrderState(_) => Verdict::conflict("ORDER_STATE"),
            Self::OrderBusy => Verdict::unavailable("ORDER_BUSY"),
            Self::NoOrderLine(_) => Verdict::refused("NO_SUCH_LINE"),
            Self::NotPromised { .. } => Verdict::conflict("NOT_PROMISED"),
            Self::ExceedsOrdered { .. } => Verdict::refused("EXCEEDS_ORDERED"),
            Self::ExceedsDelivered { .. } => Verdict::refused("EXCEEDS_DELIVERED"),
            Self::NothingTo(_) => Verdict::refused("NOTHING_LEFT"),
            Self::DeliveryRefused { .. } => Verdict::conflict("DELIVERY_REFUSED"),
            Self::NotSettled { .. } => Verdict::conflict("NOT_SETTLED"),
        }
    }

    fn details(&self) -> Option<Map<String, Value>> {
        let details = match self {
            Self::Fault(fault) => return fault.details(),
            Self::Db(error) => return error.details(),
            Self::InsufficientStock(short) => json!({ "shortages": short }),
            Self::DoesNotAddUp {
                line,
                field,
                told,
                due,
            } => json!({ "line": line, "field": field, "told": told, "due": due }),
            Self::NumberRepeated {
                number,
                document_id,
            } => json!({ "number": number, "document_id": document_id }),
            Self::InFuture { made_at } => json!({ "field": "made_at", "made_at": made_at }),
            Self::YearClosed(year) => {
                json!({ "field": "made_at", "fiscal_year": year.to_string() })
            }
            Self::AlreadyIssued { invoice_id, number }
            | Self::IssuedOtherwise { invoice_id, number } => {
                json!({ "invoice_id": invoice_id, "number": number })
            }
            Self::TillInUse(session) => json!({ "session_id": session }),
            Self::CountMissing(methods) => json!({ "methods": methods }),
            Self::CouponRefused { code, why } => json!({ "coupon": code, "why": why }),
            Self::CouponUsedUp { code, by_customer } => {
                json!({ "coupon": code, "by_customer": by_customer })
            }
            Self::CouponNeedsCustomer(code) => json!({ "coupon": code }),
            Self::CreditLimitExceeded(exceeded) => json!(exceeded),
            Self::TenderShort { total, missing } => json!({ "total": total, "missing": missing }),
            Self::ChangeNotCash { total, excess } => json!({ "total": total, "excess": excess }),
            // The permission is what an approval would have to lend.
            Self::DiscountAboveCap { line, percent, cap } => {
                let needed = format!("sales.discount.up_to_{}", percent.ceil());
                json!({ "line": line, "field": "discount", "percent": percent, "cap": cap, "permission": needed })
            }
            Self::PriceAboveCap { line, percent, cap } => {
                let needed = format!("sales.price.up_to_{}", percent.ceil());
                json!({ "line": line, "field": "unit_price", "percent": percent, "cap": cap, "permission": needed })
            }
            Self::BelowCost { line, .. } => {
                json!({ "line": line, "field": "unit_price", "permission": crate::right::BELOW_COST })
            }
            Self::BillTaken {
                till_id,
                user_id,
                since,
            } => json!({ "till_id": till_id, "user_id": user_id, "since": since }),
            Self::AboveMrp { line, mrp, .. } => json!({ "line": line, "mrp": mrp }),
            Self::ExceedsSold { line, left, .. } => json!({ "line": line, "left": left }),
            Self::SerialNotSold { line, serial } => json!({ "line": line, "serial": serial }),
            Self::ExceedsOpen { invoice_id, open } => {
                json!({ "invoice_id": invoice_id, "open": open })
            }
            Self::OtherCustomer { invoice_id } => json!({ "invoice_id": invoice_id }),
            Self::ExceedsReceipt { unallocated } => json!({ "unallocated": unallocated }),
            Self::ExceedsLine { line, left, .. } => json!({ "line": line, "left": left }),
            Self::LineReturned { line } => json!({ "line": line }),
            Self::FiscalField(field) => json!({ "field": field }),
            Self::RefundMismatch { total } => json!({ "total": total }),
            Self::RefundExceedsPaid { left } => json!({ "left": left }),
            Self::QuotationState(status) | Self::OrderState(status) | Self::PlanState(status) => {
                json!({ "state": status })
            }
            Self::NotPromised { line, held, .. } => json!({ "line": line, "held": held }),
            Self::ExceedsOrdered { line, left, .. } | Self::ExceedsDelivered { line, left, .. } => {
                json!({ "line": line, "left": left })
            }
            Self::DeliveryRefused { why, .. } => json!({ "why": why }),
            Self::NotSettled { line, .. } | Self::NoOrderLine(line) => json!({ "line": line }),
            Self::NotForSale { line, .. }
            | Self::Ambiguous { line, .. }
            | Self::ReasonNeeded { line }
            | Self::NoTaxRate { line, .. } => json!({ "line": line }),
            _ => return None,
        };
        details.as_object().cloned()
    }

    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Db(error) => error.retry_after(),
            Self::Fault(fault) => fault.retry_after(),
            Self::InventoryUnavailable => Some(2),
            Self::Restoring => Some(5),
            other => (other.verdict().status == StatusCode::SERVICE_UNAVAILABLE).then_some(1),
        }
    }
}
