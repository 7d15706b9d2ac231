//! What inventory says: movements of stock and what they cost.

use bahi_types::{
    BatchId, LocationId, Money, MovementId, Price, ProductId, Quantity, ReservationId,
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
/// Goods of a batch come near their last day; once for each batch, location and threshold (90, 60, 30, 7 and 0 days).
pub const BATCH_EXPIRING: EventType<BatchExpiring> = EventType::new("batch.expiring", T, "batch");
/// A batch was called back: nothing of it is sold any more, and who bought of it is to be told.
pub const BATCH_RECALLED: EventType<BatchRecalled> = EventType::new("batch.recalled", T, "batch");

/// The document a movement comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StockSource {
    /// Kind of document: `invoice`, `return`, `receipt`, `adjustment`, `reservation`, `fulfilment`,
    /// `shortage_settlement`, `disposal`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id.
    pub id: Uuid,
    /// The line, where there is one.
    pub line: Option<i32>,
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
    /// The document.
    pub source: StockSource,
    /// On hand after it.
    pub on_hand_after: Quantity,
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
