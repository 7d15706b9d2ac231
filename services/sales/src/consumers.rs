//! What sales hears: identity's organisation and product's catalogue, kept as copies.

use bahi_events::{
    BRANCH_CREATED, BRANCH_UPDATED, CATEGORY_CREATED, CATEGORY_DELETED, CATEGORY_UPDATED,
    COUPON_CREATED, COUPON_DELETED, COUPON_UPDATED, LOCATION_CREATED, LOCATION_UPDATED,
    PRICE_LIST_CREATED, PRICE_LIST_DELETED, PRICE_LIST_PRICES_CHANGED, PRICE_LIST_UPDATED,
    PRODUCT_CREATED, PRODUCT_DELETED, PRODUCT_UPDATED, PROMOTION_CREATED, PROMOTION_DELETED,
    PROMOTION_UPDATED, REGISTRATION_CREATED, REGISTRATION_UPDATED, TAX_RATE_CHANGED, TILL_CREATED,
    TILL_UPDATED,
};
use bahi_kafka::Consumer;

use crate::{State, catalogue, organisation, price_list, promotion};

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
            .on(TAX_RATE_CHANGED, catalogue::tax_profiles)
            .on(CATEGORY_CREATED, catalogue::categories)
            .on(CATEGORY_UPDATED, catalogue::categories)
            .on(CATEGORY_DELETED, catalogue::categories_deleted)
            .on(PRICE_LIST_CREATED, price_list::lists)
            .on(PRICE_LIST_UPDATED, price_list::lists)
            .on(PRICE_LIST_DELETED, price_list::deleted)
            .on(PRICE_LIST_PRICES_CHANGED, price_list::prices)
            .on(PROMOTION_CREATED, promotion::promotions)
            .on(PROMOTION_UPDATED, promotion::promotions)
            .on(PROMOTION_DELETED, promotion::deleted)
            .on(COUPON_CREATED, promotion::coupons)
            .on(COUPON_UPDATED, promotion::coupons)
            .on(COUPON_DELETED, promotion::coupons_deleted),
    ]
}
