//! What sales hears: identity's organisation and product's catalogue, kept as copies.

use bahi_events::{
    BRANCH_CREATED, BRANCH_UPDATED, LOCATION_CREATED, LOCATION_UPDATED, PRODUCT_CREATED,
    PRODUCT_DELETED, PRODUCT_UPDATED, REGISTRATION_CREATED, REGISTRATION_UPDATED, TAX_RATE_CHANGED,
    TILL_CREATED, TILL_UPDATED,
};
use bahi_kafka::Consumer;

use crate::{State, catalogue, organisation};

/// The consumers.
pub(crate) fn table(_: &State) -> Vec<Consumer> {
    vec![
        Consumer::new("sales")
            .on(REGISTRATION_CREATED, organisation::registrations)
            .on(REGISTRATION_UPDATED, organisation::registrations)
            .on(BRANCH_CREATED, organisation::branches)
            .on(BRANCH_UPDATED, organisation::branches)
            .on(LOCATION_CREATED, organisation::locations)
            .on(LOCATION_UPDATED, organisation::locations)
            .on(TILL_CREATED, organisation::tills)
            .on(TILL_UPDATED, organisation::tills)
            .on(PRODUCT_CREATED, catalogue::products)
            .on(PRODUCT_UPDATED, catalogue::products)
            .on(PRODUCT_DELETED, catalogue::deleted)
            .on(TAX_RATE_CHANGED, catalogue::tax_profiles),
    ]
}
