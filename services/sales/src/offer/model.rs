//! What is promised, and to whom.

use bahi_types::{CustomerGroupId, CustomerId, LocationId, Money, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::invoice::{Buyer, Header, Line, Wish};

/// What is promised, as it is kept. What is added later is optional.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Offer {
    pub buyer: Buyer,
    /// State of the delivery address.
    pub delivery_state: Option<String>,
    pub customer_group_id: Option<CustomerGroupId>,
    pub salesperson_id: Option<UserId>,
    pub external_reference: Option<String>,
    pub round_to_rupee: bool,
    pub place_of_supply: String,
    pub inter_state: bool,
    pub gross: Money,
    /// Of lines and bill.
    pub discount: Money,
    pub taxable: Money,
    pub cgst: Money,
    pub sgst: Money,
    pub igst: Money,
    pub cess: Money,
    pub round_off: Money,
    pub total: Money,
    pub currency: String,
    /// As [`bahi_events::InvoicePricing`].
    pub pricing: Option<Value>,
    /// As lines of an invoice. An order keeps them beside it.
    #[serde(default)]
    pub lines: Vec<Line>,
}

impl Offer {
    /// As it was priced.
    pub(crate) fn new(wish: &Wish, header: Header, lines: Vec<Line>) -> Self {
        Self {
            buyer: Buyer {
                name: header.buyer_name,
                phone: header.buyer_phone,
                gstin: header.gstin_buyer,
                address: header.buyer_address,
                state_code: header.buyer_state,
            },
            delivery_state: wish.delivery.clone(),
            customer_group_id: wish.customer_group,
            salesperson_id: header.salesperson_id,
            external_reference: header.external_reference,
            round_to_rupee: header.round_to_rupee,
            place_of_supply: header.place_of_supply,
            inter_state: header.inter_state,
            gross: header.gross,
            discount: header.discount,
            taxable: header.taxable,
            cgst: header.cgst,
            sgst: header.sgst,
            igst: header.igst,
            cess: header.cess,
            round_off: header.round_off,
            total: header.total,
            currency: header.currency,
            pricing: header.pricing,
            lines,
        }
    }

    /// Who buys and from where, for a bill of it.
    pub(crate) fn wish(&self, location: LocationId, customer_id: Option<CustomerId>) -> Wish {
        Wish {
            location,
            lines: Vec::new(),
            bill_discount: None,
            buyer: self.buyer.clone(),
            customer_id,
            customer_group: self.customer_group_id,
            delivery: self.delivery_state.clone(),
            round_to_rupee: self.round_to_rupee,
            salesperson_id: self.salesperson_id,
            external_reference: self.external_reference.clone(),
        }
    }
}
