//! Coupons: codes that open a promotion.
//!
//! * A code is 3 to 40 capital letters, digits and hyphens, unique in the tenant whatever the case it is typed in.
//! * A coupon belongs to a promotion that needs one, holds for a period or for ever, and may be limited in all and per
//!   customer. How often it has been used is counted by sales, in the transaction of the sale.
//! * A code that customers may have seen is never given to another coupon: once the promotion is active a coupon is
//!   disabled, not deleted. Coupons of an ended promotion stay as they are.
//! * Every change is one version, told with the whole coupon and audited.

pub mod commands;
mod http;
pub mod model;
pub mod store;

pub use http::routes;
