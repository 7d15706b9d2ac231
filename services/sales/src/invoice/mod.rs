//! Invoices: what was sold, to whom, at which price and tax, and how it was paid.
//!
//! * Priced from sales' own copies, by the rules of [`crate::pricing`]. Another price needs `sales.price.override` and a
//!   reason, is audited (one record an invoice) and, with tax, never exceeds the maximum retail price. A discount that is
//!   no promotion's needs `sales.discount.give`.
//! * How far a discount or a price may go is the caller's right ([`crate::right`]), or is lent for this invoice by an
//!   approval, which is verified offline and audited. A line below cost is refused, or warned of to those who may.
//! * Tax is computed once, by the rate of the posting date in India, and frozen on the line (S5: a trigger refuses
//!   every change of a fiscal field).
//! * S1, S2, S3 and S7 are CHECKs: the lines' taxes and the round-off make the total; tenders less change make the
//!   total; change comes from cash alone; no more comes back than was sold and paid. S4 is two unique indexes.
//! * A sale is idempotent by its invoice id for ever: the client's UUIDv7, else UUIDv5 of (tenant, principal, route,
//!   Idempotency-Key). The decision row that `issued` it holds the hash of the whole request and stands in for the
//!   generic row of idempotency keys, which a sale does not use: a second row would say the same thing for seven days.
//! * What an order agreed on is billed by its prices and the tax of the day ([`order`]). Its goods leave with the order's
//!   deliveries, so such an invoice asks nothing of the stock and is one transaction.
//! * Every path through the protocol is in [`commands`]; what a decision means is in [`crate::reservation`].

mod commands;
pub(crate) mod graphql;
mod http;
mod model;
mod order;
mod store;

pub(crate) use commands::{
    Draft, Moment, Outlet, Site, Swap, assemble, known, named, one_attempt, sell, today,
};
pub(crate) use http::{
    BatchBody, BuyerBody, InvoiceBody, TaxBody, TenderBody, client_made, folded, hash, identity,
    routes,
};
pub(crate) use model::{
    Agreed, Basket, Buyer, Discounted, Header, Invoice, Line, MOST_COUPONS, MOST_LINES, NewLine,
    NewTender, OfOrder, Priced, Tender, Terms, basket_lines, batches_of, bounded, levy_of,
    line_pricing_of, of_order, price, pricing_of, serial_numbers, serials_of, short_text,
    sound_state, supply,
};
pub(crate) use order::{Bill, Wish, bill, offer, priced_now};
pub(crate) use store::{Paid, ReturnedLine, credit_back, get, insert_tenders, lock, return_lines};
