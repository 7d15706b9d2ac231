//! What sales says of commission: the ledger of what sales persons earn, for payroll.

use bahi_types::{InvoiceId, Money, UserId};
use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{EventType, Topic};

/// A document earned commission. Aggregate: the posting.
pub const COMMISSION_ACCRUED: EventType<CommissionPosted> =
    EventType::new("commission.accrued", Topic::Billing, "commission");
/// A document took commission back. Aggregate: the posting.
pub const COMMISSION_REVERSED: EventType<CommissionPosted> =
    EventType::new("commission.reversed", Topic::Billing, "commission");

/// What one document earns one sales person by one plan, or takes back. The posting's id follows from these, so that what is
/// said again after a restore has the same id: count each once.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CommissionPosted {
    /// The posting.
    pub posting_id: Uuid,
    /// Who earns.
    pub salesperson_id: UserId,
    /// The plan.
    pub plan_id: Uuid,
    /// `invoiced`, or `collected`: earned as the sale is paid.
    pub basis: String,
    /// The sale.
    pub invoice_id: InvoiceId,
    /// Its number.
    pub invoice_number: String,
    /// What did it: `invoice`, `return`, `credit_note`, `debit_note`, `cancellation`, `allocation`, `receipt_reversal` or
    /// `edit` (another sales person).
    pub document_kind: String,
    /// Its id; of a cancellation, the invoice's.
    pub document_id: Uuid,
    /// Its date in India: the commission is of this day.
    pub date: NaiveDate,
    /// First day of the sale's period, whose sums slabs and target count.
    pub period_from: NaiveDate,
    /// Its last day.
    pub period_to: NaiveDate,
    /// Rupees of taxable value that the commission is on; negative where it is taken back.
    pub base: Money,
    /// Rupees of commission: zero or more in `commission.accrued`, zero or less in `commission.reversed`, so that the sum over both
    /// is what is owed.
    pub amount: Money,
    /// Currency of the amounts.
    pub currency: String,
    /// The entries of the ledger.
    pub entries: Vec<CommissionEntry>,
}

/// An entry of the ledger.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CommissionEntry {
    /// The entry.
    pub entry_id: Uuid,
    /// `accrual`, `reversal`, `true_up` (a slab that counts for the whole period was reached or left) or `bonus` (a target was).
    pub kind: String,
    /// Line of the invoice, where it belongs to one.
    pub line: Option<i32>,
    /// Rule of the plan, from 1; none for its slabs and its target.
    pub rule: Option<i32>,
    /// Its part of the base; zero for `true_up` and `bonus`.
    pub base: Money,
    /// Its part of the amount.
    pub amount: Money,
}
