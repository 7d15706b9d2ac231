//! What sales says of orders.

use bahi_types::{
    BranchId, CustomerId, LocationId, Money, Price, ProductId, Quantity, RegistrationId, UserId,
};
use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{BatchAllocation, EventType, Tax, Topic};

const T: Topic = Topic::Orders;

/// An order was taken down. It promises nothing yet. Aggregate of all of these: the order.
pub const ORDER_CREATED: EventType<SalesOrder> = EventType::new("order.created", T, "order");
/// An order was confirmed: its goods are held, as far as there are any.
pub const ORDER_CONFIRMED: EventType<SalesOrder> = EventType::new("order.confirmed", T, "order");
/// Goods of an order were delivered.
pub const ORDER_FULFILLED: EventType<OrderFulfilled> =
    EventType::new("order.fulfilled", T, "order");
/// An order is over; what was not delivered of it never will be.
pub const ORDER_CLOSED: EventType<SalesOrder> = EventType::new("order.closed", T, "order");
/// An order was cancelled before anything of it was delivered.
pub const ORDER_CANCELLED: EventType<SalesOrder> = EventType::new("order.cancelled", T, "order");

/// A line of an order, its price frozen. Its tax is an estimate: the invoice's is that of the invoice's day.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OrderLine {
    /// Line number, from 1.
    pub line: i32,
    /// Product.
    pub product_id: ProductId,
    /// Moves stock.
    pub stocked: bool,
    /// Description.
    pub description: String,
    /// Ordered.
    pub qty: Quantity,
    /// Unit Quantity Code.
    pub uom: String,
    /// Price of one unit.
    pub unit_price: Price,
    /// The price includes tax.
    pub price_includes_tax: bool,
    /// Discount of the line and its share of the order's.
    pub discount: Money,
    /// Taxable value.
    pub taxable: Money,
    /// Tax.
    pub tax: Tax,
    /// Line total with tax.
    pub total: Money,
    /// Promised from stock and not yet delivered.
    pub held: Quantity,
    /// Delivered.
    pub delivered: Quantity,
    /// Billed.
    pub invoiced: Quantity,
}

/// An order.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SalesOrder {
    /// The order.
    pub order_id: Uuid,
    /// Its number.
    pub number: String,
    /// Day it was taken down, in India.
    pub date: NaiveDate,
    /// `draft`, `confirmed`, `partially_fulfilled`, `fulfilled`, `closed` or `cancelled`.
    pub status: String,
    /// The quotation that it accepts.
    pub quotation_id: Option<Uuid>,
    /// Registration that sells.
    pub registration_id: RegistrationId,
    /// Branch.
    pub branch_id: BranchId,
    /// Where the goods come from.
    pub location_id: LocationId,
    /// Customer.
    pub customer_id: Option<CustomerId>,
    /// Buyer's GSTIN.
    pub gstin_buyer: Option<String>,
    /// Who sold.
    pub salesperson_id: Option<UserId>,
    /// Lines.
    pub lines: Vec<OrderLine>,
    /// Sum of taxable values.
    pub taxable: Money,
    /// Sum of taxes.
    pub tax: Tax,
    /// Round-off to the rupee.
    pub round_off: Money,
    /// Payable, if billed at the order's taxes at once.
    pub total: Money,
    /// ISO 4217.
    pub currency: String,
    /// The customer's own number for it.
    pub external_reference: Option<String>,
}

/// A line of a delivery.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FulfilmentLine {
    /// Line of the order.
    pub line: i32,
    /// Product.
    pub product_id: ProductId,
    /// Moves stock.
    pub stocked: bool,
    /// Delivered.
    pub qty: Quantity,
    /// Batches it was taken from; of a kit none.
    pub batch_allocations: Vec<BatchAllocation>,
    /// Serial numbers of the pieces, as far as they were named.
    pub serials: Vec<String>,
}

/// Goods of an order were delivered. They have left stock by now.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OrderFulfilled {
    /// The delivery.
    pub fulfilment_id: Uuid,
    /// Its number.
    pub fulfilment_number: String,
    /// When.
    pub delivered_at: DateTime<Utc>,
    /// What was delivered.
    pub delivered: Vec<FulfilmentLine>,
    /// The order as it is now.
    pub order: SalesOrder,
}
