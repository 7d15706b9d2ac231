//! What inventory says: movements of stock and what they cost.

use bahi_types::{
    BatchId, BranchId, LocationId, Money, MovementId, Price, ProductId, Quantity, RegistrationId,
    ReservationId,
};
use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{EventType, Topic};

const T: Topic = Topic::Inventory;

/// Stock was corrected by hand. Key: `tenant|location|product`.
pub const INVENTORY_ADJUSTED: EventType<InventoryAdjusted> =
    EventType::new("inventory.adjusted", T, "stock_item");
/// Goods were received.
pub const STOCK_RECEIVED: EventType<StockReceived> =
    EventType::new("stock.received", T, "stock_document");
/// Goods left for a sale, with their cost. Also sent when an open shortage is settled later.
pub const STOCK_ISSUED: EventType<StockIssued> =
    EventType::new("stock.issued", T, "stock_document");
/// Goods came back, with the cost they carry.
pub const STOCK_RETURNED: EventType<StockReturned> =
    EventType::new("stock.returned", T, "stock_document");
/// Goods went back to their supplier, with what they cost us.
pub const STOCK_RETURNED_TO_SUPPLIER: EventType<StockReturnedToSupplier> =
    EventType::new("stock.returned_to_supplier", T, "stock_document");
/// Goods on hand got another value, or a cost came after its goods: what of it is stock and what is not.
pub const STOCK_REVALUED: EventType<StockRevalued> =
    EventType::new("stock.revalued", T, "stock_document");
/// A hold made through the API was granted. (Holds of tills are part of their sale and are not announced.)
pub const STOCK_RESERVED: EventType<StockHold> = EventType::new("stock.reserved", T, "reservation");
/// A hold was given back.
pub const STOCK_RELEASED: EventType<StockHold> = EventType::new("stock.released", T, "reservation");
/// A hold lapsed at its deadline.
pub const STOCK_EXPIRED: EventType<StockHold> = EventType::new("stock.expired", T, "reservation");
/// A hold became an issue.
pub const STOCK_COMMITTED: EventType<StockHold> =
    EventType::new("stock.committed", T, "reservation");
/// A hold lost goods that are no longer to be had; what it says is what was lost. The rest of it stays.
pub const STOCK_RESERVATION_BROKEN: EventType<StockHold> =
    EventType::new("stock.reservation_broken", T, "reservation");
/// What is available of a product at a location fell below its reorder point. Said when the point is crossed, and not
/// again before stock has risen above it. Key: `tenant|location|product`.
pub const INVENTORY_LOW_STOCK: EventType<InventoryLowStock> =
    EventType::new("inventory.low_stock", T, "reorder_level");
/// Goods of a product at a location have not moved for long. Said when that begins, and not again before something of
/// them has left. Key: `tenant|location|product`.
pub const INVENTORY_DEAD_STOCK: EventType<InventoryDeadStock> =
    EventType::new("inventory.dead_stock", T, "dead_stock");
/// Goods of a batch come near their last day; once for each batch, location and threshold (90, 60, 30, 7 and 0 days).
pub const BATCH_EXPIRING: EventType<BatchExpiring> = EventType::new("batch.expiring", T, "batch");
/// A batch was called back: nothing of it is sold any more, and who bought of it is to be told.
pub const BATCH_RECALLED: EventType<BatchRecalled> = EventType::new("batch.recalled", T, "batch");

/// Goods left one location for another, arrived there, or were lost on the way. Key: the transfer.
pub const INVENTORY_TRANSFERRED: EventType<InventoryTransferred> =
    EventType::new("inventory.transferred", T, "transfer");
/// Goods were found to be in another state. What is thrown away is said by `inventory.adjusted`.
pub const STOCK_STATUS_CHANGED: EventType<StockStatusChanged> =
    EventType::new("stock.status_changed", T, "stock_document");
/// A count was posted: what was counted, and by how much the books were wrong.
pub const STOCK_COUNT_POSTED: EventType<StockCountPosted> =
    EventType::new("stock.count_posted", T, "count");

/// The document a movement comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StockSource {
    /// Kind of document: `invoice`, `return`, `receipt`, `adjustment`, `reservation`, `fulfilment`,
    /// `shortage_settlement`, `status_change`, `count`, `count_correction`, `revaluation`, `landed_cost`, `disposal`,
    /// `supplier_return`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id.
    pub id: Uuid,
    /// The line, where there is one.
    pub line: Option<i32>,
}

/// The branch a location belongs to and the registration it does business under, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Premises {
    /// Branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_id: Option<BranchId>,
    /// Registration of the branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_id: Option<RegistrationId>,
    /// GSTIN of the registration, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gstin: Option<String>,
}

/// Stock was corrected.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InventoryAdjusted {
    /// The movement.
    pub movement_id: MovementId,
    /// Product.
    pub product_id: ProductId,
    /// Where.
    pub location_id: LocationId,
    /// Batch.
    pub batch_id: Option<BatchId>,
    /// Status of the stock.
    pub status: String,
    /// Change; negative takes away.
    pub qty_delta: Quantity,
    /// Cost of one unit.
    pub unit_cost: Price,
    /// Change of value.
    pub value_delta: Money,
    /// Why.
    pub reason: String,
    /// Which of the tenant's reasons that is, for an adjustment by hand.
    #[serde(default)]
    pub reason_code: Option<String>,
    /// The document.
    pub source: StockSource,
    /// On hand after it.
    pub on_hand_after: Quantity,
    /// Unit quantity code of its quantities (`NOS`, `KGS`), where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uom: Option<String>,
    /// Whose books it is in.
    #[serde(flatten)]
    pub premises: Premises,
}

/// One line of goods with cost.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StockLine {
    /// Line of the source document.
    pub line: i32,
    /// Product.
    pub product_id: ProductId,
    /// Batch.
    pub batch_id: Option<BatchId>,
    /// Status of the stock it went to or came from.
    pub status: String,
    /// How much, positive.
    pub qty: Quantity,
    /// What it cost us, positive.
    pub cost_value: Money,
    /// Received at a standard cost: what was paid less `cost_value`; absent for the other methods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variance: Option<Money>,
    /// Unit quantity code of its quantities (`NOS`, `KGS`), where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uom: Option<String>,
}

/// Goods received.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StockReceived {
    /// The document.
    pub source: StockSource,
    /// Where.
    pub location_id: LocationId,
    /// Lines.
    pub lines: Vec<StockLine>,
    /// Whose books it is in.
    #[serde(flatten)]
    pub premises: Premises,
}

/// Goods issued for a sale.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StockIssued {
    /// The invoice, or the settlement of a shortage.
    pub source: StockSource,
    /// The invoice it is for.
    pub invoice_id: Uuid,
    /// Where.
    pub location_id: LocationId,
    /// Lines.
    pub lines: Vec<StockLine>,
    /// Whose books it is in.
    #[serde(flatten)]
    pub premises: Premises,
}

/// Goods that came back.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StockReturned {
    /// The return.
    pub source: StockSource,
    /// The invoice they were sold on, for a return with bill.
    pub invoice_id: Option<Uuid>,
    /// Where.
    pub location_id: LocationId,
    /// Lines.
    pub lines: Vec<StockLine>,
    /// Whose books it is in.
    #[serde(flatten)]
    pub premises: Premises,
}

/// Goods that went back to their supplier.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StockReturnedToSupplier {
    /// The return.
    pub source: StockSource,
    /// Who gets them, where it is known.
    pub supplier_id: Option<Uuid>,
    /// The document that goes with them.
    pub reference: Option<String>,
    /// Why.
    pub reason: String,
    /// The business day it counts for.
    pub posting_date: NaiveDate,
    /// Where they were.
    pub location_id: LocationId,
    /// Lines.
    pub lines: Vec<SupplierReturnLine>,
    /// Whose books it is in.
    #[serde(flatten)]
    pub premises: Premises,
}

/// Goods of one line that went back.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SupplierReturnLine {
    /// Line of the return.
    pub line: i32,
    /// Product.
    pub product_id: ProductId,
    /// Batch.
    pub batch_id: Option<BatchId>,
    /// Status of the stock they came from.
    pub status: String,
    /// How much, positive.
    pub qty: Quantity,
    /// What they cost us, positive.
    pub cost_value: Money,
    /// The receipt they came with, where the return names it.
    pub receipt_id: Option<Uuid>,
    /// Line of the receipt.
    pub receipt_line: Option<i32>,
    /// Unit quantity code of its quantities (`NOS`, `KGS`), where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uom: Option<String>,
}

/// A balance with another value.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RevaluedLine {
    /// Line of the source document.
    pub line: i32,
    /// Product.
    pub product_id: ProductId,
    /// Where.
    pub location_id: LocationId,
    /// Batch.
    pub batch_id: Option<BatchId>,
    /// Status of the stock.
    pub status: String,
    /// How much of it is on hand (for a landed cost: of the goods it belongs to).
    pub qty: Quantity,
    /// Change of value.
    pub value_delta: Money,
    /// Unit quantity code of its quantities (`NOS`, `KGS`), where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uom: Option<String>,
    /// Whose books it is in.
    #[serde(flatten)]
    pub premises: Premises,
}

/// The part of a cost that came too late to be stock.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExpensedLine {
    /// Line of the source document.
    pub line: i32,
    /// Product.
    pub product_id: ProductId,
    /// Where the goods were received.
    pub location_id: LocationId,
    /// How much it is for.
    pub qty: Quantity,
    /// How much it is.
    pub value: Money,
    /// `cost_of_goods_sold`, or `variance` for goods on hand at standard cost.
    pub kind: String,
    /// Unit quantity code of its quantities (`NOS`, `KGS`), where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uom: Option<String>,
}

/// A product is valued in another way.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CostingChange {
    /// Line of the source document.
    pub line: i32,
    /// Product.
    pub product_id: ProductId,
    /// `fifo`, `average` or `standard`, until now.
    pub method_before: String,
    /// The same from now on.
    pub method: String,
    /// Standard cost of one unit from now on.
    pub standard_cost: Option<Price>,
}

/// Stock with another value.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StockRevalued {
    /// The revaluation, or the landed cost.
    pub source: StockSource,
    /// Why, or the sender's document.
    pub reason: Option<String>,
    /// The business day it counts for.
    pub posting_date: NaiveDate,
    /// Balances whose value changed.
    pub lines: Vec<RevaluedLine>,
    /// What did not become stock.
    pub expensed: Vec<ExpensedLine>,
    /// Products that are valued in another way.
    pub costings: Vec<CostingChange>,
}

/// One line of a hold.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HoldLine {
    /// Product.
    pub product_id: ProductId,
    /// Batch.
    pub batch_id: Option<BatchId>,
    /// How much.
    pub qty: Quantity,
}

/// A hold on stock.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StockHold {
    /// The hold.
    pub reservation_id: ReservationId,
    /// What it is for, in the holder's words.
    pub reference: Option<String>,
    /// Where.
    pub location_id: LocationId,
    /// Lines.
    pub lines: Vec<HoldLine>,
    /// The order, for an order's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<Uuid>,
    /// What it comes to by line of the order, for an order's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order_lines: Vec<HoldOrderLine>,
}

/// A line of an order, as far as a hold is concerned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HoldOrderLine {
    /// Line of the order.
    pub line: i32,
    /// How much, in the line's own product: of a line of kits, how many kits.
    pub qty: Quantity,
}

/// Goods between two locations.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InventoryTransferred {
    /// The transfer.
    pub transfer_id: Uuid,
    /// `shipped`, `received` or `short` (lost on the way).
    pub phase: String,
    /// Where they came from.
    pub from_location_id: LocationId,
    /// Where they go.
    pub to_location_id: LocationId,
    /// Registration of the sender.
    pub registration_from: RegistrationId,
    /// Registration of the receiver.
    pub registration_to: RegistrationId,
    /// GSTIN of the sender, where it has one.
    pub gstin_from: Option<String>,
    /// GSTIN of the receiver, where it has one.
    pub gstin_to: Option<String>,
    /// Between two registrations: a supply that needs a tax invoice, not a delivery challan.
    pub taxable: bool,
    /// Number of the e-way bill.
    pub eway_bill_no: Option<String>,
    /// Why they are short.
    pub reason: Option<String>,
    /// What this phase moved.
    pub lines: Vec<TransferredLine>,
    /// Branch of the sender, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_from: Option<BranchId>,
    /// Branch of the receiver, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_to: Option<BranchId>,
}

/// Goods of a transfer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TransferredLine {
    /// Line of the transfer.
    pub line: i32,
    /// Product.
    pub product_id: ProductId,
    /// Batch.
    pub batch_id: Option<BatchId>,
    /// Status of the stock that was sent.
    pub status: String,
    /// How much, positive.
    pub qty: Quantity,
    /// What it cost us, positive.
    pub value: Money,
    /// Unit quantity code of its quantities (`NOS`, `KGS`), where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uom: Option<String>,
}

/// Goods in another state.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StockStatusChanged {
    /// The document.
    pub source: StockSource,
    /// Where.
    pub location_id: LocationId,
    /// Why.
    pub reason: String,
    /// Lines.
    pub lines: Vec<StatusChangedLine>,
    /// Whose books it is in.
    #[serde(flatten)]
    pub premises: Premises,
}

/// Goods of one line in another state.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StatusChangedLine {
    /// Line of the document.
    pub line: i32,
    /// Product.
    pub product_id: ProductId,
    /// Batch.
    pub batch_id: Option<BatchId>,
    /// Status before.
    pub from: String,
    /// Status after.
    pub to: String,
    /// How much.
    pub qty: Quantity,
    /// What it cost us.
    pub cost_value: Money,
    /// Unit quantity code of its quantities (`NOS`, `KGS`), where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uom: Option<String>,
}

/// A posted count.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StockCountPosted {
    /// The count.
    pub count_id: Uuid,
    /// Where.
    pub location_id: LocationId,
    /// Change of the stock's value.
    pub value_delta: Money,
    /// Every key that was counted.
    pub lines: Vec<CountedLine>,
    /// Whose books it is in.
    #[serde(flatten)]
    pub premises: Premises,
}

/// A key that was counted.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CountedLine {
    /// Line of the count.
    pub line: i32,
    /// Product.
    pub product_id: ProductId,
    /// Batch.
    pub batch_id: Option<BatchId>,
    /// Status of the stock.
    pub status: String,
    /// What was counted.
    pub counted: Quantity,
    /// What the books said for that moment.
    pub book: Quantity,
    /// Counted less book.
    pub variance: Quantity,
    /// What was posted: a loss takes at most what is on hand.
    pub qty_delta: Quantity,
    /// Change of value.
    pub value_delta: Money,
    /// Unit quantity code of its quantities (`NOS`, `KGS`), where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uom: Option<String>,
}

/// Stock fell below its reorder point.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InventoryLowStock {
    /// Product.
    pub product_id: ProductId,
    /// Where.
    pub location_id: LocationId,
    /// On hand and not promised.
    pub available: Quantity,
    /// The point that was crossed.
    pub reorder_point: Quantity,
    /// What to buy: whole packs, at least the minimum order; zero when enough is on order.
    pub suggested_qty: Quantity,
    /// Unit quantity code of its quantities (`NOS`, `KGS`), where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uom: Option<String>,
    /// Whose books it is in.
    #[serde(flatten)]
    pub premises: Premises,
}

/// Goods that do not move.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InventoryDeadStock {
    /// Product.
    pub product_id: ProductId,
    /// Where.
    pub location_id: LocationId,
    /// What lies there.
    pub qty: Quantity,
    /// What it cost us.
    pub value: Money,
    /// Days in which nothing has left.
    pub days: i32,
    /// When the oldest of it came.
    pub oldest_at: DateTime<Utc>,
    /// When one was last sold from there, where that ever was.
    pub last_sale_at: Option<DateTime<Utc>>,
    /// Unit quantity code of its quantities (`NOS`, `KGS`), where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uom: Option<String>,
    /// Whose books it is in.
    #[serde(flatten)]
    pub premises: Premises,
}

/// Goods come near their last day.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BatchExpiring {
    /// The batch.
    pub batch_id: BatchId,
    /// Its number.
    pub no: String,
    /// Its product.
    pub product_id: ProductId,
    /// Where the goods lie.
    pub location_id: LocationId,
    /// Last day on which they may be sold.
    pub expiry: NaiveDate,
    /// Days until then; negative when it is past.
    pub days_left: i32,
    /// The threshold that was reached: 90, 60, 30, 7 or 0 days.
    pub threshold: i32,
    /// What lies there.
    pub qty: Quantity,
    /// What it cost us.
    pub value: Money,
    /// Unit quantity code of its quantities (`NOS`, `KGS`), where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uom: Option<String>,
    /// Whose books it is in.
    #[serde(flatten)]
    pub premises: Premises,
}

/// Goods of a recalled batch at a location.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RecalledStock {
    /// Where.
    pub location_id: LocationId,
    /// What lies there.
    pub qty: Quantity,
}

/// A batch was called back.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BatchRecalled {
    /// The batch.
    pub batch_id: BatchId,
    /// Its number.
    pub no: String,
    /// Its product.
    pub product_id: ProductId,
    /// Last day on which it might have been sold.
    pub expiry: Option<NaiveDate>,
    /// Why.
    pub reason: String,
    /// When.
    pub recalled_at: DateTime<Utc>,
    /// What is still with us, by location.
    pub on_hand: Vec<RecalledStock>,
    /// What was sold of it so far.
    pub sold_qty: Quantity,
    /// What of that came back.
    pub returned_qty: Quantity,
}
