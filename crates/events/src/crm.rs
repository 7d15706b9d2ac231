//! What CRM says: customers.

use bahi_types::{CustomerGroupId, CustomerId, Money};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{EventType, Topic};

const T: Topic = Topic::Crm;

/// A customer was added.
pub const CUSTOMER_CREATED: EventType<Customer> = EventType::new("customer.created", T, "customer");
/// A customer changed.
pub const CUSTOMER_UPDATED: EventType<Customer> = EventType::new("customer.updated", T, "customer");
/// A customer was deleted. What it owes stays owed.
pub const CUSTOMER_DELETED: EventType<CustomerDeleted> =
    EventType::new("customer.deleted", T, "customer");

/// An address of a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CustomerAddress {
    /// `billing` or `delivery`.
    pub kind: String,
    /// House, street, place, pincode.
    pub text: String,
    /// GST state code, like `27`.
    pub state_code: String,
}

/// A customer: all that a sale to it needs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Customer {
    /// The customer.
    pub customer_id: CustomerId,
    /// Name.
    pub name: String,
    /// E.164, like `+919820098200`.
    pub phone: Option<String>,
    /// E-mail.
    pub email: Option<String>,
    /// GSTIN.
    pub gstin: Option<String>,
    /// Addresses; the first of a kind is the usual one.
    pub addresses: Vec<CustomerAddress>,
    /// The group whose prices it has.
    pub customer_group_id: Option<CustomerGroupId>,
    /// Rupees that it may owe; none means no credit.
    pub credit_limit: Option<Money>,
    /// Days from the invoice's date to the day on which it is due.
    pub credit_days: u32,
    /// `lead`, `active`, `credit_hold`, `inactive` or `merged`.
    pub status: String,
}

/// A customer was deleted.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CustomerDeleted {
    /// The customer.
    pub customer_id: CustomerId,
}
