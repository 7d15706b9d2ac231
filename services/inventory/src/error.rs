//! Everything this service refuses, and what that means to a client.

use bahi_db::Failure;
use bahi_http::{Fault, Refusal, Verdict};
use bahi_kafka::Failed;
use bahi_types::{ProductId, Quantity, ReservationId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ledger::{Excluded, Unbacked};

/// A product of which there is not enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Short {
    /// The product.
    pub product_id: ProductId,
    /// The lines that ask for it, where the caller numbers them; of a component, those of its kits too.
    #[serde(skip)]
    pub lines: Vec<i32>,
    /// Sum of all lines of it.
    pub asked: Quantity,
    /// What could be had.
    pub available: Quantity,
    /// Stock that was left out, and why.
    pub excluded: Vec<Excluded>,
    /// Pieces that were asked for by number and cannot be had here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serials: Vec<String>,
}

/// A hold of a till, with what sales needs to decide about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldRef {
    /// The hold.
    pub id: ReservationId,
    /// Its invoice.
    pub invoice: bahi_types::InvoiceId,
    /// Its attempt.
    pub attempt: u32,
}

/// A refusal or failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Db(bahi_db::Error),
    /// Refusals every service shares.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// There is not enough.
    #[error("There is not enough of {} product(s).", .0.len())]
    InsufficientStock(Vec<Short>),
    /// The id holds another basket.
    #[error("This attempt holds another basket.")]
    OtherBasket,
    /// The hold's time is over.
    #[error("The reservation has expired.")]
    ReservationExpired,
    /// The hold has ended before.
    #[error("The reservation is {0} already.")]
    ReservationEnded(String),
    /// The hold belongs to a sale.
    #[error("The reservation belongs to a sale and ends with it.")]
    HeldBySale,
    /// More than the hold has.
    #[error("Line {line} holds {held}, not {asked}.")]
    MoreThanReserved {
        /// The line.
        line: i32,
        /// What it holds.
        held: Quantity,
        /// What was asked for.
        asked: Quantity,
    },
    /// Kits are issued whole.
    #[error("Line {line} holds kits, which are issued in whole numbers.")]
    PartOfAKit {
        /// The line.
        line: i32,
    },
    /// The product is a service, a kit or a template.
    #[error("lines[{0}]: the product is not kept in stock.")]
    NotStocked(usize),
    /// The product is followed by batch.
    #[error("lines[{0}]: the product is followed by batch; name one.")]
    BatchRequired(usize),
    /// The product is followed by batch, and goods come in with the number of theirs.
    #[error("lines[{0}]: the product is followed by batch; name one.")]
    BatchNumberRequired(usize),
    /// The product is not followed by batch.
    #[error("lines[{0}]: the product is not followed by batch.")]
    NotBatchTracked(usize),
    /// The product's batches have an expiry date.
    #[error("lines[{0}]: the product's batches need an expiry date.")]
    ExpiryRequired(usize),
    /// The batch is known with another date.
    #[error("lines[{0}]: the batch is known with another expiry date.")]
    ExpiryDiffers(usize),
    /// The batch is known with another day of manufacture.
    #[error("lines[{0}]: the batch is known with another day of manufacture.")]
    MfgDiffers(usize),
    /// The batch would have been made after its last day.
    #[error("lines[{0}]: the batch cannot have been made after its expiry date.")]
    MfgAfterExpiry(usize),
    /// The batch is known with another price.
    #[error("lines[{0}]: the batch is known with another MRP.")]
    MrpDiffers(usize),
    /// The batch was thrown away.
    #[error("The batch was disposed of.")]
    BatchDisposed,
    /// The batch was called back.
    #[error("The batch was recalled; lifting that needs the permission inventory.batch.recall.")]
    BatchRecalled,
    /// The batch may still be sold.
    #[error("The batch is active: block it before it is disposed of.")]
    BatchActive,
    /// A batch was chosen against the rules, and nobody said why.
    #[error(
        "Line {0}: the batch is chosen against first expired, first out, or the minimum shelf life; state override_reason."
    )]
    OverrideRequired(i32),
    /// The order has a hold at this location.
    #[error("The order holds stock at this location already.")]
    OrderHeld,
    /// An order's hold is issued delivery by delivery.
    #[error("An order's hold is issued by delivery: state fulfilment_id.")]
    FulfilmentRequired,
    /// The delivery was told of before, and otherwise.
    #[error("This delivery was issued from another reservation, or with other lines.")]
    FulfilmentReused,
    /// The delivery was told of before, and refused.
    #[error("This delivery was refused; deliver under a new id.")]
    FulfilmentRefused,
    /// The rule is there already.
    #[error("There is a rule for this customer or group and product already.")]
    RuleTaken,
    /// The location is closed.
    #[error("The location is closed.")]
    LocationClosed,
    /// The location that this field names is closed.
    #[error("The location is closed.")]
    ClosedAt(&'static str),
    /// There is nothing to take away.
    #[error("There is nothing on hand to take away.")]
    NothingOnHand,
    /// Nothing is known of what it costs.
    #[error("lines[{0}]: the product has no cost yet; state unit_cost.")]
    UnitCostRequired(usize),
    /// Goods of a blocked or expired batch cannot be sent or sold.
    #[error("lines[{0}]: the batch is blocked or expired.")]
    BatchUnfit(usize),
    /// The transfer is not in a state for this.
    #[error("The transfer is {0}.")]
    TransferState(&'static str),
    /// More than is on its way.
    #[error("Line {line}: {in_transit} is on its way, not {asked}.")]
    OverReceipt {
        /// The line.
        line: i32,
        /// What is on its way of it.
        in_transit: Quantity,
        /// What is said to have arrived.
        asked: Quantity,
    },
    /// The count is not in a state for this.
    #[error("The count is {0}.")]
    CountState(&'static str),
    /// A line has not been counted.
    #[error("Line {0} has not been counted.")]
    CountIncomplete(i32),
    /// What happened before the looks has not all been heard.
    #[error("Sales from before the count are still on their way.")]
    CountWaiting,
    /// Whoever counted may not approve a count of this value, nor whoever wrote a transfer let it go.
    #[error("Somebody who has neither counted nor written this has to approve it.")]
    SecondPerson,
    /// The day is closed.
    #[error("{day} is closed: the books are closed through {closed}.")]
    PeriodClosed {
        /// The day asked for.
        day: chrono::NaiveDate,
        /// The last closed day.
        closed: chrono::NaiveDate,
    },
    /// The month still runs, or ended less than an hour ago.
    #[error("A period can be closed an hour after it ended, not before.")]
    PeriodNotOver,
    /// The product is valued at standard cost, which alone says what a unit is worth.
    #[error("lines[{0}]: the product is valued at standard cost; set standard_cost.")]
    StandardCosted(usize),
    /// A standard cost for a product that has none.
    #[error("lines[{0}]: standard_cost needs the method standard.")]
    NotStandardCosted(usize),
    /// Goods of the product are on their way; their value must not change under the transfer.
    #[error(
        "Goods of product {0} are on their way between locations; receive or close the transfer first."
    )]
    InTransit(ProductId),
    /// A receipt line is named twice, or is none.
    #[error("receipts[{0}]: {1}.")]
    ReceiptLine(usize, &'static str),
    /// Less is left of the goods of a receipt.
    #[error("lines[{line}]: of that line of the receipt {left} are left in this balance.")]
    ReceiptGone {
        /// Index of the line.
        line: usize,
        /// What is left.
        left: Quantity,
    },
    /// The goods of receipts have been moved about too much to follow them while sales wait.
    #[error(
        "The goods of these receipts were moved more than {0} times since; name fewer lines at a time."
    )]
    TooManyMoves(usize),
    /// There is nothing to spread a cost by.
    #[error("The receipts have no {0} to spread the amount by.")]
    NothingToSpreadBy(&'static str),
    /// Tills hold what is to be taken away, and sales has not said what became of their sales.
    #[error("Tills hold these goods; their sales are being asked for.")]
    HeldByTills(Vec<HoldRef>),
    /// Sales cannot be asked.
    #[error("Tills hold these goods, and sales cannot be asked about them now.")]
    SalesUnreachable,
    /// After a restore the events of the meantime are still being read.
    #[error("Stock is being restored; try again.")]
    Restoring,
    /// The product is not followed by number.
    #[error("lines[{0}].serials: the product is not followed by serial number.")]
    NotSerialTracked(usize),
    /// A product that is followed by number moves in whole pieces.
    #[error("lines[{0}]: the product is followed by serial number; its quantity must be whole.")]
    WholeNumbers(usize),
    /// Pieces must be named.
    #[error("lines[{0}].serials: the product is followed by serial number; name every piece.")]
    SerialsRequired(usize),
    /// As many numbers as pieces.
    #[error("lines[{0}].serials: must name as many pieces as the line moves.")]
    SerialsCount(usize),
    /// A number is named twice.
    #[error("lines[{0}].serials: {1} is named twice.")]
    SerialTwice(usize, String),
    /// The number is somebody else's.
    #[error("lines[{0}].serials: {1} is known already, {2}.")]
    SerialKnown(usize, String, String),
    /// The piece is not where it is taken from.
    #[error("lines[{0}].serials: {1} is not there; it is {2}.")]
    SerialNotHere(usize, String, String),
    /// The books do not agree with themselves.
    #[error("the cost layers do not cover the stock")]
    Unbacked(#[from] Unbacked),
}

impl From<bahi_db::Error> for Error {
    fn from(error: bahi_db::Error) -> Self {
        match error.constraint() {
            Some("reservation_order_key") => Self::OrderHeld,
            Some("shelf_life_rule_key") => Self::RuleTaken,
            _ => Self::Db(error),
        }
    }
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        bahi_db::Error::from(error).into()
    }
}

impl Failure for Error {
    fn database(&self) -> Option<&bahi_db::Error> {
        match self {
            Self::Db(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        match error {
            Error::Db(error) => error.into(),
            other => Self::reject("refused", other),
        }
    }
}

impl Error {
    /// The field of the request that breaks the rule; none where it is the state of what is there.
    fn field(&self) -> Option<String> {
        let line = |n: &usize, field: &str| format!("lines[{n}].{field}");
        Some(match self {
            Self::NotStocked(n) => line(n, "product_id"),
            Self::BatchRequired(n) | Self::BatchUnfit(n) => line(n, "batch_id"),
            Self::BatchNumberRequired(n) | Self::NotBatchTracked(n) => line(n, "batch_no"),
            Self::ExpiryRequired(n) | Self::ExpiryDiffers(n) => line(n, "expiry"),
            Self::MfgDiffers(n) | Self::MfgAfterExpiry(n) => line(n, "mfg"),
            Self::MrpDiffers(n) => line(n, "mrp"),
            Self::UnitCostRequired(n) | Self::StandardCosted(n) => line(n, "unit_cost"),
            Self::NotStandardCosted(n) => line(n, "standard_cost"),
            Self::ReceiptGone { line: n, .. } => line(n, "qty"),
            Self::ReceiptLine(n, _) => format!("receipts[{n}]"),
            Self::TooManyMoves(_) => "receipts".to_owned(),
            Self::NothingToSpreadBy(_) => "basis".to_owned(),
            Self::OverrideRequired(_) => "override_reason".to_owned(),
            // These lines are found by their number, in whatever order they are sent.
            Self::MoreThanReserved { .. } | Self::PartOfAKit { .. } | Self::OverReceipt { .. } => {
                "lines".to_owned()
            }
            Self::CountIncomplete(_) | Self::NothingOnHand => "lines".to_owned(),
            Self::FulfilmentRequired => "fulfilment_id".to_owned(),
            Self::OrderHeld => "order_id".to_owned(),
            Self::LocationClosed => "location_id".to_owned(),
            Self::ClosedAt(field) => (*field).to_owned(),
            Self::PeriodClosed { .. } => "posting_date".to_owned(),
            _ => return None,
        })
    }

    /// What is wrong with a field: the rule it breaks, and that rule in words.
    fn wrong(&self, field: String) -> Value {
        json!({ "field": field, "rule": self.verdict().code, "message": self.to_string() })
    }
}

impl Refusal for Error {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Db(error) => error.verdict(),
            Self::Fault(fault) => fault.verdict(),
            Self::InsufficientStock(_) => Verdict::conflict("INSUFFICIENT_STOCK"),
            Self::OtherBasket => Verdict::conflict("OTHER_BASKET"),
            Self::ReservationExpired => Verdict::conflict("RESERVATION_EXPIRED"),
            Self::ReservationEnded(_) => Verdict::conflict("RESERVATION_ENDED"),
            Self::HeldBySale => Verdict::conflict("HELD_BY_SALE"),
            Self::MoreThanReserved { .. } => Verdict::refused("MORE_THAN_RESERVED"),
            Self::PartOfAKit { .. } => Verdict::refused("PART_OF_A_KIT"),
            Self::NotStocked(_) => Verdict::refused("NOT_STOCKED"),
            Self::BatchRequired(_) => Verdict::refused("BATCH_REQUIRED"),
            Self::BatchNumberRequired(_) => Verdict::refused("BATCH_REQUIRED"),
            Self::NotBatchTracked(_) => Verdict::refused("NOT_BATCH_TRACKED"),
            Self::ExpiryRequired(_) => Verdict::refused("EXPIRY_REQUIRED"),
            Self::ExpiryDiffers(_) => Verdict::refused("EXPIRY_DIFFERS"),
            Self::MfgDiffers(_) => Verdict::refused("MFG_DIFFERS"),
            Self::MfgAfterExpiry(_) => Verdict::refused("MFG_AFTER_EXPIRY"),
            Self::MrpDiffers(_) => Verdict::refused("MRP_DIFFERS"),
            Self::BatchDisposed => Verdict::conflict("BATCH_DISPOSED"),
            Self::BatchRecalled => Verdict::conflict("BATCH_RECALLED"),
            Self::BatchActive => Verdict::conflict("BATCH_ACTIVE"),
            Self::OverrideRequired(_) => Verdict::refused("OVERRIDE_REQUIRED"),
            Self::OrderHeld => Verdict::conflict("ORDER_HELD"),
            Self::FulfilmentRequired => Verdict::refused("FULFILMENT_REQUIRED"),
            Self::FulfilmentReused => Verdict::conflict("FULFILMENT_REUSED"),
            Self::FulfilmentRefused => Verdict::conflict("FULFILMENT_REFUSED"),
            Self::RuleTaken => Verdict::conflict("RULE_TAKEN"),
            Self::LocationClosed => Verdict::refused("LOCATION_CLOSED"),
            Self::ClosedAt(_) => Verdict::refused("LOCATION_CLOSED"),
            Self::NothingOnHand => Verdict::refused("NOTHING_ON_HAND"),
            Self::UnitCostRequired(_) => Verdict::refused("UNIT_COST_REQUIRED"),
            Self::BatchUnfit(_) => Verdict::refused("BATCH_UNFIT"),
            Self::TransferState(_) => Verdict::conflict("TRANSFER_STATE"),
            Self::OverReceipt { .. } => Verdict::refused("OVER_RECEIPT"),
            Self::CountState(_) => Verdict::conflict("COUNT_STATE"),
            Self::CountIncomplete(_) => Verdict::refused("COUNT_INCOMPLETE"),
            Self::CountWaiting => Verdict::unavailable("COUNT_WAITING"),
            Self::SecondPerson => Verdict::refused("SECOND_PERSON_NEEDED"),
            Self::PeriodClosed { .. } => Verdict::refused("PERIOD_CLOSED"),
            Self::PeriodNotOver => Verdict::refused("PERIOD_NOT_OVER"),
            Self::StandardCosted(_) => Verdict::refused("STANDARD_COSTED"),
            Self::NotStandardCosted(_) => Verdict::refused("NOT_STANDARD_COSTED"),
            Self::InTransit(_) => Verdict::conflict("IN_TRANSIT"),
            Self::ReceiptLine(..) => Verdict::refused("RECEIPT_LINE"),
            Self::ReceiptGone { .. } => Verdict::refused("RECEIPT_GONE"),
            Self::TooManyMoves(_) => Verdict::refused("TOO_MANY_MOVES"),
            Self::NothingToSpreadBy(_) => Verdict::refused("NOTHING_TO_SPREAD_BY"),
            Self::HeldByTills(_) => Verdict::unavailable("HELD_BY_TILLS"),
            Self::SalesUnreachable => Verdict::unavailable("SALES_UNREACHABLE"),
            Self::Restoring => Verdict::unavailable("RESTORING"),
            Self::NotSerialTracked(_) => Verdict::refused("NOT_SERIAL_TRACKED"),
            Self::WholeNumbers(_) => Verdict::refused("WHOLE_NUMBERS"),
            Self::SerialsRequired(_) => Verdict::refused("SERIALS_REQUIRED"),
            Self::SerialsCount(_) => Verdict::refused("SERIALS_COUNT"),
            Self::SerialTwice(..) => Verdict::refused("SERIAL_TWICE"),
            Self::SerialKnown(..) => Verdict::conflict("SERIAL_KNOWN"),
            Self::SerialNotHere(..) => Verdict::conflict("SERIAL_NOT_HERE"),
            Self::Unbacked(_) => Verdict::new(
                actix_web::http::StatusCode::INTERNAL_SERVER_ERROR,
                "INTERNAL",
            ),
        }
    }

    fn details(&self) -> Option<Map<String, Value>> {
        match self {
            Self::Fault(fault) => fault.details(),
            Self::InsufficientStock(lines) => Some(Map::from_iter([
                ("lines".to_owned(), json!(lines)),
                ("errors".to_owned(), json!([self.wrong("lines".to_owned())])),
            ])),
            other => {
                let wrong = other.wrong(other.field()?);
                Some(Map::from_iter([("errors".to_owned(), json!([wrong]))]))
            }
        }
    }

    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Db(error) => error.retry_after(),
            Self::Fault(fault) => fault.retry_after(),
            _ => (self.verdict().status.as_u16() == 503).then_some(1),
        }
    }
}
