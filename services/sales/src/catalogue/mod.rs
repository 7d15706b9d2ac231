//! Copies of product's catalogue: what a till may sell, at which price and tax.
//!
//! * A change is applied only when its (epoch, version) is greater than the copy's, so a replay resets nothing.
//! * A deleted product keeps its row, so that a late update does not bring it back.
//! * Categories are kept for what is said of a category and all below it; what lies above is looked up when that matters.
//! * A template is not sold, its variants are. A kit is sold as what it is; that its components leave stock is inventory's.
//! * A product not yet here is `NOT_YET_KNOWN`, never a guess.

mod model;
mod store;

pub(crate) use model::{Goods, NoTax};
pub(crate) use store::{
    categories, categories_deleted, deleted, find, products, resolve, stranger, tax_profiles,
    with_all_above,
};

use std::collections::BTreeMap;

use bahi_events::Envelope;
use uuid::Uuid;

/// The newest event of each aggregate in a slice, in order of id: one statement cannot touch a row twice, and rows
/// are locked in the order of their keys.
pub(crate) fn newest<P>(events: &[Envelope<P>], id: impl Fn(&P) -> Uuid) -> Vec<&Envelope<P>> {
    let mut newest: BTreeMap<Uuid, &Envelope<P>> = BTreeMap::new();
    for event in events {
        let entry = newest.entry(id(&event.payload)).or_insert(event);
        if (event.epoch, event.aggregate_version) > (entry.epoch, entry.aggregate_version) {
            *entry = event;
        }
    }
    newest.into_values().collect()
}
