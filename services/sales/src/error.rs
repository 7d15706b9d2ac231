//! Everything that can be wrong with a request to sales, and what it means to a client.

use actix_web::http::StatusCode;
use bahi_db::{Error as DbError, Failure};
use bahi_http::{Fault, Refusal, Verdict};
use bahi_pricing::Why;
use bahi_types::{Money, PosSessionId, ProductId, Quantity};
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The result of a command.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// A product of which there is not enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
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

    // numbers
    #[error("The series has no numbers of 16 characters left this year.")]
    SeriesUsedUp,
    #[error("The series {0} serves other documents.")]
    SeriesTaken(String),
    #[error("The registration has no series {0}.")]
    UnknownSeries(String),

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

    // held bills
    #[error("The held bill is {0}.")]
    NotHeld(String),
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
            Some("invoice_number_check" | "credit_note_number_check") => Self::SeriesUsedUp,
            Some(
                "reservation_decision_pkey"
                | "reservation_decision_reservation_key"
                | "reservation_decision_final_key",
            ) => Self::Decided,
            _ => Self::Db(error),
        }
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
            Self::Uncomputable(_) => Verdict::refused("UNCOMPUTABLE"),
            Self::CouponRefused { .. } => Verdict::refused("COUPON_REFUSED"),
            Self::CouponUsedUp { .. } => Verdict::conflict("COUPON_USED_UP"),
            Self::CouponNeedsCustomer(_) => Verdict::refused("COUPON_NEEDS_CUSTOMER"),
            Self::TenderShort { .. } => Verdict::refused("TENDER_SHORT"),
            Self::ChangeNotCash { .. } => Verdict::refused("CHANGE_NOT_CASH"),
            Self::CreditNeedsBuyer => Verdict::refused("CREDIT_NEEDS_BUYER"),
            Self::SeriesUsedUp => Verdict::refused("SERIES_USED_UP"),
            Self::SeriesTaken(_) => Verdict::conflict("SERIES_TAKEN"),
            Self::UnknownSeries(_) => Verdict::refused("UNKNOWN_SERIES"),
            Self::ExceedsSold { .. } => Verdict::refused("EXCEEDS_SOLD"),
            Self::NoSuchLine(_) => Verdict::refused("NO_SUCH_LINE"),
            Self::SerialNotSold { .. } => Verdict::refused("SERIAL_NOT_SOLD"),
            Self::RefundMismatch { .. } => Verdict::refused("REFUND_MISMATCH"),
            Self::RefundExceedsPaid { .. } => Verdict::refused("REFUND_EXCEEDS_PAID"),
            Self::NotHeld(_) => Verdict::conflict("NOT_HELD"),
        }
    }

    fn details(&self) -> Option<Map<String, Value>> {
        let details = match self {
            Self::Fault(fault) => return fault.details(),
            Self::Db(error) => return error.details(),
            Self::InsufficientStock(short) => json!({ "shortages": short }),
            Self::AlreadyIssued { invoice_id, number } => {
                json!({ "invoice_id": invoice_id, "number": number })
            }
            Self::TillInUse(session) => json!({ "session_id": session }),
            Self::CountMissing(methods) => json!({ "methods": methods }),
            Self::CouponRefused { code, why } => json!({ "coupon": code, "why": why }),
            Self::CouponUsedUp { code, by_customer } => {
                json!({ "coupon": code, "by_customer": by_customer })
            }
            Self::CouponNeedsCustomer(code) => json!({ "coupon": code }),
            Self::TenderShort { total, missing } => json!({ "total": total, "missing": missing }),
            Self::ChangeNotCash { total, excess } => json!({ "total": total, "excess": excess }),
            Self::AboveMrp { line, mrp, .. } => json!({ "line": line, "mrp": mrp }),
            Self::ExceedsSold { line, left, .. } => json!({ "line": line, "left": left }),
            Self::SerialNotSold { line, serial } => json!({ "line": line, "serial": serial }),
            Self::RefundMismatch { total } => json!({ "total": total }),
            Self::RefundExceedsPaid { left } => json!({ "left": left }),
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
