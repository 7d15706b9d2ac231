//! Copies of product's price lists: what a product costs whom, where, when and from which quantity.
//!
//! * A list and the prices that it has for a product are versioned apart, as their events are; each moves forward only.
//! * A deleted list loses its prices and stays, so that nothing late brings it back.
//! * Prices of a list that has not arrived yet hold for nobody.

mod store;

pub(crate) use store::{Asked, deleted, lists, offers, prices};
