//! What sales says of an invoice after its issue: payments, cancellation, notes and edits.

use bahi_types::{
    BranchId, CustomerId, InvoiceId, LocationId, Money, PosSessionId, ProductId, Quantity, Rate,
    ReceiptId, RegistrationId, TillId, UserId,
};
use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{EventType, Tax, Tender, Topic};

const T: Topic = Topic::Billing;

/// Money came in after a sale, or ahead of one. Aggregate: the receipt.
pub const PAYMENT_CAPTURED: EventType<PaymentCaptured> =
    EventType::new("payment.captured", T, "receipt");
/// What was left of a receipt was allocated to invoices. Aggregate: the receipt.
pub const PAYMENT_ALLOCATED: EventType<PaymentAllocated> =
    EventType::new("payment.allocated", T, "receipt");
/// What was left of a receipt was given back. Aggregate: the receipt.
pub const PAYMENT_REFUNDED: EventType<PaymentRefunded> =
    EventType::new("payment.refunded", T, "receipt");
/// A receipt turned out to be none: a cheque bounced. What it had paid is owed again. Aggregate: the receipt.
pub const PAYMENT_REVERSED: EventType<PaymentReversed> =
    EventType::new("payment.reversed", T, "receipt");
/// An invoice was cancelled; it keeps its number. Aggregate: the invoice.
pub const INVOICE_CANCELLED: EventType<InvoiceCancelled> =
    EventType::new("invoice.cancelled", T, "invoice");
/// Fields of an invoice that are not fiscal changed. Aggregate: the invoice.
pub const INVOICE_EDITED: EventType<InvoiceEdited> = EventType::new("invoice.edited", T, "invoice");
/// A credit note lowered prices of an invoice; no goods came back. Aggregate: the invoice.
pub const INVOICE_CREDITED: EventType<PriceNote> = EventType::new("invoice.credited", T, "invoice");
/// A debit note raised prices of an invoice. Aggregate: the invoice.
pub const INVOICE_DEBITED: EventType<PriceNote> = EventType::new("invoice.debited", T, "invoice");

/// Part of a receipt against an invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Allocation {
    /// The invoice.
    pub invoice_id: InvoiceId,
    /// Rupees.
    pub amount: Money,
}

/// Money came in.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PaymentCaptured {
    /// The receipt.
    pub receipt_id: ReceiptId,
    /// Its number.
    pub number: String,
    /// Posting date in India.
    pub date: NaiveDate,
    /// Registration that received.
    pub registration_id: RegistrationId,
    /// Branch.
    pub branch_id: BranchId,
    /// Till.
    pub till_id: Option<TillId>,
    /// POS session.
    pub session_id: Option<PosSessionId>,
    /// Customer with an account.
    pub customer_id: Option<CustomerId>,
    /// `cash`, `upi`, `card`, `wallet`, `voucher`, `cheque` or `bank_transfer`.
    pub method: String,
    /// Rupees received.
    pub amount: Money,
    /// ISO 4217.
    pub currency: String,
    /// Reference of the means (UPI transaction, number of the cheque).
    pub reference: Option<String>,
    /// What it pays.
    pub allocations: Vec<Allocation>,
    /// What is left of it: an advance.
    pub unallocated: Money,
}

/// What was left of a receipt was allocated.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PaymentAllocated {
    /// The receipt.
    pub receipt_id: ReceiptId,
    /// Posting date in India.
    pub date: NaiveDate,
    /// Customer.
    pub customer_id: Option<CustomerId>,
    /// What it pays by this.
    pub allocations: Vec<Allocation>,
    /// What is left of it.
    pub unallocated: Money,
}

/// What was left of a receipt was given back.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PaymentRefunded {
    /// The receipt.
    pub receipt_id: ReceiptId,
    /// The refund.
    pub refund_id: Uuid,
    /// Posting date in India.
    pub date: NaiveDate,
    /// Customer.
    pub customer_id: Option<CustomerId>,
    /// POS session whose drawer gave it.
    pub session_id: Option<PosSessionId>,
    /// Means, as of a receipt.
    pub method: String,
    /// Rupees given back.
    pub amount: Money,
    /// Why.
    pub reason: String,
    /// What is left of the receipt.
    pub unallocated: Money,
}

/// A receipt turned out to be none.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PaymentReversed {
    /// The receipt.
    pub receipt_id: ReceiptId,
    /// Its number.
    pub number: String,
    /// Posting date of the reversal in India.
    pub date: NaiveDate,
    /// Customer.
    pub customer_id: Option<CustomerId>,
    /// POS session whose drawer gave it back.
    pub session_id: Option<PosSessionId>,
    /// Its means.
    pub method: String,
    /// Its whole amount.
    pub amount: Money,
    /// Why.
    pub reason: String,
    /// What is owed again.
    pub allocations: Vec<Allocation>,
}

/// A line of a cancelled invoice.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CancelledLine {
    /// Line of the invoice.
    pub line: i32,
    /// Product.
    pub product_id: ProductId,
    /// Its goods had left by the invoice and come back.
    pub stocked: bool,
    /// Quantity.
    pub qty: Quantity,
    /// Serial numbers of the pieces, as far as they were named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serials: Vec<String>,
}

/// An invoice was cancelled.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InvoiceCancelled {
    /// The invoice.
    pub invoice_id: InvoiceId,
    /// Its number, which stays its own.
    pub number: String,
    /// Its posting date.
    pub date: NaiveDate,
    /// When it was cancelled.
    pub at: DateTime<Utc>,
    /// `data_entry`, `duplicate`, `order_cancelled` or `other`.
    pub reason_code: String,
    /// Why, in words.
    pub note: Option<String>,
    /// Registration that sold.
    pub registration_id: RegistrationId,
    /// Branch.
    pub branch_id: BranchId,
    /// Where the goods go back to: where they came from.
    pub location_id: LocationId,
    /// Till.
    pub till_id: Option<TillId>,
    /// POS session that refunded.
    pub session_id: Option<PosSessionId>,
    /// Customer.
    pub customer_id: Option<CustomerId>,
    /// Lines.
    pub lines: Vec<CancelledLine>,
    /// Its taxable value.
    pub taxable: Money,
    /// Its tax.
    pub tax: Tax,
    /// Its round-off.
    pub round_off: Money,
    /// Its total.
    pub total: Money,
    /// What was no longer to be paid.
    pub credited: Money,
    /// How the rest was refunded.
    pub refund_tenders: Vec<Tender>,
}

/// Fields of an invoice that are not fiscal, as they are now.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InvoiceEdited {
    /// The invoice.
    pub invoice_id: InvoiceId,
    /// Its number.
    pub number: String,
    /// The buyer's reference, such as the number of its order.
    pub reference: Option<String>,
    /// Who sold.
    pub salesperson_id: Option<UserId>,
    /// Remark.
    pub note: Option<String>,
    /// Whom to call about the delivery.
    pub delivery_contact: Option<String>,
    /// What changed.
    pub changed_fields: Vec<String>,
}

/// A line of a note on prices.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PriceNoteLine {
    /// Line number of the note, from 1.
    pub line: i32,
    /// Line of the invoice.
    pub original_line: i32,
    /// Product.
    pub product_id: ProductId,
    /// HSN or SAC.
    pub hsn: String,
    /// GST in per cent: the invoice's.
    pub rate: Rate,
    /// Cess in per cent: the invoice's.
    pub cess_rate: Rate,
    /// Taxable value, positive.
    pub taxable: Money,
    /// Tax, positive.
    pub tax: Tax,
    /// With tax.
    pub total: Money,
}

/// A credit or debit note that changes prices, not goods. Amounts are positive.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PriceNote {
    /// The note.
    pub note_id: InvoiceId,
    /// Its number.
    pub number: String,
    /// Posting date in India.
    pub date: NaiveDate,
    /// The invoice it is on.
    pub original_invoice_id: InvoiceId,
    /// Registration that sold.
    pub registration_id: RegistrationId,
    /// Branch.
    pub branch_id: BranchId,
    /// POS session that refunded.
    pub session_id: Option<PosSessionId>,
    /// Customer.
    pub customer_id: Option<CustomerId>,
    /// Lines.
    pub lines: Vec<PriceNoteLine>,
    /// Sum of taxable values.
    pub taxable: Money,
    /// Sum of taxes.
    pub tax: Tax,
    /// Round-off.
    pub round_off: Money,
    /// With tax.
    pub total: Money,
    /// How a credit note was settled: `credit` lowers what is owed. A debit note is owed whole.
    pub refund_tenders: Vec<Tender>,
    /// Why.
    pub reason: String,
}
