//! What sales says: invoices, returns and POS sessions.

use bahi_types::{
    BatchId, BranchId, CouponId, CustomerGroupId, CustomerId, InvoiceId, LocationId, Money,
    PosSessionId, Price, PriceEntryId, PriceListId, ProductId, PromotionId, Quantity, Rate,
    RegistrationId, ReservationId, TillId, UserId,
};
use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{EventType, Topic};

const T: Topic = Topic::Billing;

/// An invoice was issued: the sale happened. Aggregate: the invoice.
pub const INVOICE_ISSUED: EventType<InvoiceIssued> = EventType::new("invoice.issued", T, "invoice");
/// Goods were taken back. Aggregate: the original invoice (so that it cannot overtake the issue),
/// or the return itself when there is no bill.
pub const RETURN_PROCESSED: EventType<ReturnProcessed> =
    EventType::new("return.processed", T, "invoice");
/// A till was opened.
pub const POS_SESSION_OPENED: EventType<PosSessionOpened> =
    EventType::new("pos.session_opened", T, "pos_session");
/// A basket was put aside at a till, or given back by the till that had taken it up. Aggregate: the held bill.
pub const POS_BILL_HELD: EventType<PosBill> = EventType::new("pos.bill_held", T, "held_bill");
/// A basket was taken up at a till.
pub const POS_BILL_RESUMED: EventType<PosBill> = EventType::new("pos.bill_resumed", T, "held_bill");
/// A basket was thrown away.
pub const POS_BILL_DISCARDED: EventType<PosBill> =
    EventType::new("pos.bill_discarded", T, "held_bill");
/// Its time ended a bill.
pub const POS_BILL_EXPIRED: EventType<PosBill> = EventType::new("pos.bill_expired", T, "held_bill");
/// A till was closed.
pub const POS_SESSION_CLOSED: EventType<PosSessionClosed> =
    EventType::new("pos.session_closed", T, "pos_session");

/// A number that a till printed while it was away stands on no document of its own. Aggregate: that number,
/// UUIDv5 of its registration and text.
pub const POS_NUMBER_VOIDED: EventType<PosNumberVoided> =
    EventType::new("pos.number_voided", T, "offline_number");

/// What is known of a document that a till made while it was away, and sent later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Offline {
    /// The id that the till gave it. The document's own is another where that id had been used otherwise.
    pub claimed_id: InvoiceId,
    /// When it was made, by the till's clock and as it is printed.
    pub made_at: DateTime<Utc>,
    /// How far the till's clock was ahead when it sent it, in milliseconds.
    pub skew_ms: i64,
    /// When it was received.
    pub received_at: DateTime<Utc>,
    /// Who made it.
    pub cashier_id: UserId,
    /// Who sent it.
    pub sender_id: Option<UserId>,
    /// SHA-256 of what was sent, in hexadecimal.
    pub hash: String,
    /// The version of the catalogue that the till had.
    pub catalogue: Option<String>,
    /// What the till had otherwise than the books.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<OfflineDifference>,
}

/// Something that a till had otherwise than the books when its sale arrived. The sale stands as the till made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OfflineDifference {
    /// Line, where it is of one.
    pub line: Option<i32>,
    /// What of it: `unit_price`, `discount`, `rate`, `cess_rate`, `tax_category`, `pricing`, `clock`, `session`.
    pub what: String,
    /// As the till had it.
    pub told: String,
    /// As the books have it.
    pub known: String,
    /// The books have changed since the till read its catalogue, so it could not know.
    pub since: bool,
}

/// A number of a till's offline series is explained without a document of that number.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PosNumberVoided {
    /// The till.
    pub till_id: TillId,
    /// The registration that the series belongs to.
    pub registration_id: RegistrationId,
    /// The number.
    pub number: String,
    /// Date that it would have borne.
    pub date: NaiveDate,
    /// Why.
    pub reason: String,
    /// The invoice by which the sale was issued before, where it was.
    pub invoice_id: Option<InvoiceId>,
    /// How it came.
    pub offline: Offline,
}

/// Amounts of tax of a line or document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tax {
    /// Central GST.
    pub cgst: Money,
    /// State or union-territory GST.
    pub sgst: Money,
    /// Integrated GST.
    pub igst: Money,
    /// Compensation cess.
    pub cess: Money,
}

/// Part of a line that comes from one batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BatchAllocation {
    /// Batch; absent for stock without batches.
    pub batch_id: Option<BatchId>,
    /// How much.
    pub qty: Quantity,
}

/// A line of an invoice, its tax frozen.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InvoiceLine {
    /// Line number, from 1.
    pub line: i32,
    /// Product.
    pub product_id: ProductId,
    /// Moves stock.
    pub stocked: bool,
    /// Description as printed.
    pub description: String,
    /// HSN or SAC.
    pub hsn: String,
    /// Unit Quantity Code.
    pub uqc: String,
    /// Quantity.
    pub qty: Quantity,
    /// Price of one unit as charged.
    pub unit_price: Price,
    /// The price includes tax.
    pub price_includes_tax: bool,
    /// Discount of the line and its share of the bill's discount.
    pub discount: Money,
    /// Taxable value.
    pub taxable: Money,
    /// GST in per cent.
    pub rate: Rate,
    /// Cess in per cent.
    pub cess_rate: Rate,
    /// `taxable`, `nil`, `exempt` or `non_gst`.
    pub tax_category: String,
    /// Tax.
    pub tax: Tax,
    /// Line total with tax.
    pub total: Money,
    /// Batches it was promised from.
    pub batch_allocations: Vec<BatchAllocation>,
    /// The delivery with which the goods left; this invoice moves no stock.
    pub fulfilment_id: Option<Uuid>,
    /// The order that it bills. Its goods leave with the order's deliveries, whether or not they have left by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<Uuid>,
    /// Line of that order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_line: Option<i32>,
    /// How it got its price, where that is more than the product's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pricing: Option<LinePricing>,
    /// Serial numbers of the pieces, as far as the till named them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serials: Vec<String>,
}

/// How a line got its price.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinePricing {
    /// The price list that its price is of.
    pub price_list_id: Option<PriceListId>,
    /// The price in that list.
    pub price_entry_id: Option<PriceEntryId>,
    /// The maximum retail price printed on its batch, where it was named.
    pub batch_mrp: Option<Money>,
    /// What promotions have taken off it, in the order in which they did; part of its discount.
    pub promotions: Vec<LinePromotion>,
    /// It was sold for less than it cost, as far as the till knew, by somebody who may.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub below_cost: bool,
}

/// What a promotion has taken off a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinePromotion {
    /// The promotion.
    pub promotion_id: PromotionId,
    /// Its name at the time.
    pub name: String,
    /// Rupees off, with tax where the price includes it.
    pub amount: Money,
    /// It is the line's share of a discount on the bill.
    pub of_bill: bool,
}

/// How an invoice got its prices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InvoicePricing {
    /// The group of customers whose prices it has.
    pub customer_group_id: Option<CustomerGroupId>,
    /// Promotions that have taken something off, in the order in which they did.
    pub promotions: Vec<InvoicePromotion>,
}

/// What a promotion has taken off an invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InvoicePromotion {
    /// The promotion.
    pub promotion_id: PromotionId,
    /// Its name at the time.
    pub name: String,
    /// Rupees off in all lines together.
    pub amount: Money,
    /// The coupon that opened it; one use of it is counted.
    pub coupon_id: Option<CouponId>,
    /// Its code.
    pub coupon_code: Option<String>,
}

/// One means of payment.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Tender {
    /// `cash`, `upi`, `card`, `wallet`, `credit`, `voucher`, or `exchange`: goods that came back in the same go.
    pub method: String,
    /// Amount handed over.
    pub amount: Money,
    /// Reference of the means (UPI transaction, card slip).
    pub reference: Option<String>,
}

/// An invoice was issued.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InvoiceIssued {
    /// The invoice.
    pub invoice_id: InvoiceId,
    /// Its statutory number.
    pub number: String,
    /// Posting date in India.
    pub date: NaiveDate,
    /// `B2B`, `B2C`, `EXPORT` or `SEZ`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Registration that sold.
    pub registration_id: RegistrationId,
    /// Its GSTIN.
    pub gstin_supplier: Option<String>,
    /// Buyer's GSTIN.
    pub gstin_buyer: Option<String>,
    /// Place of supply: GST state code.
    pub pos: String,
    /// Tax is payable by the buyer.
    pub reverse_charge: bool,
    /// Branch.
    pub branch_id: BranchId,
    /// Where the stock comes from.
    pub location_id: LocationId,
    /// Till, for a POS sale.
    pub till_id: Option<TillId>,
    /// POS session.
    pub session_id: Option<PosSessionId>,
    /// Customer.
    pub customer_id: Option<CustomerId>,
    /// Cashier.
    pub salesperson_id: Option<UserId>,
    /// The hold that promised the stock.
    pub reservation_id: Option<ReservationId>,
    /// Hash of the basket's stock demand.
    pub demand_hash: String,
    /// Lines.
    pub lines: Vec<InvoiceLine>,
    /// Sum of taxable values.
    pub taxable: Money,
    /// Sum of taxes.
    pub tax: Tax,
    /// Round-off to the rupee.
    pub round_off: Money,
    /// Payable.
    pub total: Money,
    /// ISO 4217.
    pub currency: String,
    /// How it was paid.
    pub tenders: Vec<Tender>,
    /// Cash given back.
    pub change: Money,
    /// Number of an outside document this sale mirrors.
    pub external_reference: Option<String>,
    /// Date of that document.
    pub external_date: Option<DateTime<Utc>>,
    /// How it got its prices, where a group of customers or a promotion had a part in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pricing: Option<InvoicePricing>,
    /// Set for a document that a till made while it was away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<Offline>,
}

/// A line that came back.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReturnLine {
    /// Line number of the credit note, from 1.
    pub line: i32,
    /// Line of the original invoice.
    pub original_line: Option<i32>,
    /// Product.
    pub product_id: ProductId,
    /// Moves stock.
    pub stocked: bool,
    /// Quantity that came back, positive.
    pub qty: Quantity,
    /// Taxable value given back, positive.
    pub taxable: Money,
    /// GST in per cent: the original invoice's.
    pub rate: Rate,
    /// Tax given back.
    pub tax: Tax,
    /// Total given back.
    pub total: Money,
    /// `restock`, `quarantine` or `scrap`.
    pub disposition: String,
    /// Serial numbers of the pieces that came back, as far as they were named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serials: Vec<String>,
}

/// Goods were taken back and a credit note issued.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReturnProcessed {
    /// The credit note.
    pub credit_note_id: InvoiceId,
    /// Its number.
    pub number: String,
    /// Posting date in India.
    pub date: NaiveDate,
    /// The invoice it corrects; absent for a return without bill.
    pub original_invoice_id: Option<InvoiceId>,
    /// Branch.
    pub branch_id: BranchId,
    /// Where the goods went.
    pub location_id: LocationId,
    /// Till.
    pub till_id: Option<TillId>,
    /// POS session.
    pub session_id: Option<PosSessionId>,
    /// Lines.
    pub lines: Vec<ReturnLine>,
    /// Sum of taxable values given back.
    pub taxable: Money,
    /// Sum of taxes given back.
    pub tax: Tax,
    /// Round-off.
    pub round_off: Money,
    /// Refund.
    pub total: Money,
    /// How it was refunded.
    pub refund_tenders: Vec<Tender>,
    /// Why.
    pub reason: Option<String>,
    /// Number of an outside document this return mirrors.
    pub external_reference: Option<String>,
    /// Set for a document that a till made while it was away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<Offline>,
}

/// A till was opened.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PosSessionOpened {
    /// The session.
    pub session_id: PosSessionId,
    /// The till.
    pub till_id: TillId,
    /// Cashier.
    pub opened_by: UserId,
    /// Cash in the drawer.
    pub opening_float: Money,
}

/// A basket that was put aside.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PosBill {
    /// The held bill.
    pub held_bill_id: Uuid,
    /// The branch, at any till of which it may be taken up.
    pub branch_id: BranchId,
    /// Where it was put aside.
    pub till_id: TillId,
    /// What the cashier calls it.
    pub label: Option<String>,
    /// Who did this with it; where time ended it, who had put it aside.
    pub by: UserId,
    /// When its time ends it.
    pub expires_at: DateTime<Utc>,
}

/// Expected and counted amount of one means of payment.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TenderCount {
    /// Means.
    pub method: String,
    /// What the books say.
    pub expected: Money,
    /// What was counted.
    pub counted: Money,
    /// counted − expected.
    pub variance: Money,
}

/// A till was closed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PosSessionClosed {
    /// The session.
    pub session_id: PosSessionId,
    /// The till.
    pub till_id: TillId,
    /// By means of payment; cash is there always.
    pub tenders: Vec<TenderCount>,
    /// Cash left in the drawer.
    pub retained: Money,
    /// Cash taken to the bank.
    pub deposited: Money,
}
