//! Offers: what a quotation or an order promises before anything is sold.
//!
//! * Priced by the rules of [`crate::pricing`] on the day it is made, as a sale of that moment would be, coupons aside: these
//!   are counted by the sale. Prices and discounts are kept as they were; the tax is an estimate until there is an invoice.
//! * It has a buyer who can owe: a customer, or a name and a phone.
//! * Pieces are named by number when they are delivered, not before.

mod http;
mod model;

pub(crate) use http::{OfferBody, OfferLineBody, no_serials};
pub(crate) use model::Offer;
