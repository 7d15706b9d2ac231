//! What sales hears: identity's organisation, product's catalogue and CRM's customers, kept as copies; what becomes of the
//! stock that orders wait for and what it costs; and its own documents, for what is made of them after the answer.

use std::time::Duration;

use bahi_db::Tx;
use bahi_events::{
    BRANCH_CREATED, BRANCH_UPDATED, CATEGORY_CREATED, CATEGORY_DELETED, CATEGORY_UPDATED,
    COUPON_CREATED, COUPON_DELETED, COUPON_UPDATED, CUSTOMER_CREATED, CUSTOMER_DELETED,
    CUSTOMER_UPDATED, Envelope, INVENTORY_ADJUSTED, INVENTORY_TRANSFERRED, INVOICE_ISSUED,
    LOCATION_CREATED, LOCATION_UPDATED, PRICE_LIST_CREATED, PRICE_LIST_DELETED,
    PRICE_LIST_PRICES_CHANGED, PRICE_LIST_UPDATED, PRODUCT_CREATED, PRODUCT_DELETED,
    PRODUCT_UPDATED, PROMOTION_CREATED, PROMOTION_DELETED, PROMOTION_UPDATED, REGISTRATION_CREATED,
    REGISTRATION_UPDATED, RETURN_PROCESSED, STOCK_RECEIVED, STOCK_RESERVATION_BROKEN,
    STOCK_RETURNED, STOCK_REVALUED, StockReceived, TAX_RATE_CHANGED, TILL_CREATED, TILL_UPDATED,
};
use bahi_kafka::{Consumer, Failed};

use crate::{State, catalogue, cost, customer, order, organisation, price_list, print, promotion};

/// The consumers.
pub(crate) fn table(state: &State) -> Vec<Consumer> {
    vec![
        Consumer::new("sales")
            .gather(Duration::from_millis(100))
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
            .on(COUPON_DELETED, promotion::coupons_deleted)
            .on(CUSTOMER_CREATED, customer::customers)
            .on(CUSTOMER_UPDATED, customer::customers)
            .on(CUSTOMER_DELETED, customer::deleted)
            .on(STOCK_RESERVATION_BROKEN, order::broken)
            .on(STOCK_RECEIVED, received)
            .on(INVENTORY_TRANSFERRED, cost::transferred)
            .on(INVENTORY_ADJUSTED, cost::adjusted)
            .on(STOCK_REVALUED, cost::revalued)
            .on(STOCK_RETURNED, order::returned),
        Consumer::new("sales-documents")
            .gather(Duration::from_millis(200))
            .on(INVOICE_ISSUED, print::due_invoices)
            .on(RETURN_PROCESSED, print::due_notes),
        state.privacy.consumer(),
    ]
}

/// Orders wait for what came in, and its cost is kept.
async fn received(tx: &mut Tx, events: &[Envelope<StockReceived>]) -> Result<(), Failed> {
    order::received(tx, events).await?;
    cost::received(tx, events).await
}
