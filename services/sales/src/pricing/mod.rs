//! What a basket costs by the product's own prices, price lists, promotions and coupons. The rules themselves are the
//! pricing crate's, the same that product quotes by.
//!
//! * A line is sold in the stock unit of its product. Its price is that of the best price list, else the product's own,
//!   and never above the MRP: of the batch where the line names it, else the product's.
//! * Another price that the request names stands as it is, outside of lists and promotions; but its quantity counts for
//!   the breaks of the lists.
//! * What promotions take off comes before the discounts that a cashier gives, which are of what is left.
//! * A coupon that takes nothing off refuses the sale and names itself: nobody pays full price in the belief that it
//!   counted. One with a limit a customer needs the customer.

mod commands;
mod model;

pub(crate) use commands::look;
pub(crate) use model::{DealLine, Market, Wanted};
