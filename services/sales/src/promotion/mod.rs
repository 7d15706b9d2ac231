//! Copies of product's promotions and coupons, and the count of the coupons' uses.
//!
//! * A change is applied only when its (epoch, version) is greater than the copy's. What is deleted stays as deleted, so
//!   that nothing late brings it back; the coupons of a deleted promotion are gone with it.
//! * A use is counted in the transaction of its sale, for everybody and for the customer: a sale that is not issued uses
//!   nothing, one that is repeated uses once. Counters are locked in the order of their keys, before session and number.
//!   The counter alone decides; what was read of it before only spares a hold that would be refused.
//! * The limit is that of the copy when the sale was priced. A use is final: goods that come back bring no coupon back.

mod model;
mod store;

pub(crate) use model::Use;
pub(crate) use store::{
    active, count, coupons, coupons_by_code, coupons_deleted, deleted, promotions, uncount,
};
