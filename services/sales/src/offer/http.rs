//! How offers are shown.

use async_graphql::SimpleObject;
use bahi_events::Tax;
use bahi_types::{CustomerGroupId, Money, Price, PriceListId, ProductId, Quantity, Rate, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use super::Offer;
use crate::invoice::{BuyerBody, Line, NewLine, TaxBody, line_pricing_of};

/// Pieces cannot be named before they are handed over.
pub(crate) fn no_serials(lines: &[NewLine], (): &()) -> garde::Result {
    match lines.iter().position(|l| !l.serials.is_empty()) {
        None => Ok(()),
        Some(at) => Err(garde::Error::new(format!(
            "line {} names serials; they are named at delivery",
            at + 1
        ))),
    }
}

/// A line of a quotation or an order.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "OfferLine")]
pub(crate) struct OfferLineBody {
    line: i32,
    pub product_id: ProductId,
    sku: String,
    description: String,
    /// Moves stock.
    stocked: bool,
    hsn: String,
    uqc: String,
    qty: Quantity,
    unit_price: Price,
    price_includes_tax: bool,
    /// The price of the price list or catalogue, where another was given.
    list_price: Option<Price>,
    /// The price list that the price is of; the product's own when absent.
    price_list_id: Option<PriceListId>,
    gross: Money,
    /// Of promotions on goods and of the seller.
    discount: Money,
    /// Its share of the bill's discount.
    bill_discount: Money,
    /// `taxable`, `nil`, `exempt` or `non_gst`.
    tax_category: String,
    rate: Rate,
    cess_rate: Rate,
    taxable: Money,
    tax: TaxBody,
    total: Money,
}

impl From<Line> for OfferLineBody {
    fn from(l: Line) -> Self {
        let pricing = line_pricing_of(&l).unwrap_or_default();
        let tax = Tax {
            cgst: l.cgst,
            sgst: l.sgst,
            igst: l.igst,
            cess: l.cess,
        };
        Self {
            line: l.line,
            product_id: l.product_id,
            sku: l.sku,
            description: l.description,
            stocked: l.stocked,
            hsn: l.hsn,
            uqc: l.uqc,
            qty: l.qty,
            unit_price: l.unit_price,
            price_includes_tax: l.price_includes_tax,
            list_price: l.list_price,
            price_list_id: pricing.price_list_id,
            gross: l.gross,
            discount: l.discount,
            bill_discount: l.bill_discount,
            tax_category: l.tax_category,
            rate: l.rate,
            cess_rate: l.cess_rate,
            taxable: l.taxable,
            tax: tax.into(),
            total: l.total,
        }
    }
}

/// To whom, and what it comes to; the tax is today's until there is an invoice.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "Offer")]
pub(crate) struct OfferBody {
    buyer: BuyerBody,
    delivery_state: Option<String>,
    customer_group_id: Option<CustomerGroupId>,
    pub salesperson_id: Option<UserId>,
    external_reference: Option<String>,
    place_of_supply: String,
    inter_state: bool,
    gross: Money,
    /// Of lines and bill.
    discount: Money,
    taxable: Money,
    tax: TaxBody,
    round_off: Money,
    total: Money,
    currency: String,
}

impl From<Offer> for OfferBody {
    fn from(o: Offer) -> Self {
        let tax = Tax {
            cgst: o.cgst,
            sgst: o.sgst,
            igst: o.igst,
            cess: o.cess,
        };
        Self {
            buyer: BuyerBody {
                name: o.buyer.name,
                phone: o.buyer.phone,
                gstin: o.buyer.gstin,
                address: o.buyer.address,
                state_code: o.buyer.state_code,
            },
            delivery_state: o.delivery_state,
            customer_group_id: o.customer_group_id,
            salesperson_id: o.salesperson_id,
            external_reference: o.external_reference,
            place_of_supply: o.place_of_supply,
            inter_state: o.inter_state,
            gross: o.gross,
            discount: o.discount,
            taxable: o.taxable,
            tax: tax.into(),
            round_off: o.round_off,
            total: o.total,
            currency: o.currency,
        }
    }
}
