//! Everything this service hears.

use std::time::Duration;

use bahi_db::Tx;
use bahi_events::{
    BRANCH_CREATED, BRANCH_UPDATED, Branch, Envelope, INVOICE_CANCELLED, INVOICE_ISSUED,
    InvoiceCancelled, InvoiceIssued, LOCATION_CREATED, LOCATION_UPDATED, Location, PRODUCT_CREATED,
    PRODUCT_DELETED, PRODUCT_UPDATED, Product, ProductDeleted, REGISTRATION_CREATED,
    REGISTRATION_UPDATED, RETURN_PROCESSED, Registration, ReturnProcessed,
};
use bahi_kafka::{Consumer, Failed};
use bahi_service::pause_point;

use crate::{
    State, copy,
    sale::{self, Back, Sale},
    serial,
};

/// Event types and their handlers.
pub fn table(state: &State) -> Vec<Consumer> {
    // What is sold is held already, so nobody waits for its issue: many share one transaction.
    let consumer = Consumer::new("inventory")
        .gather(Duration::from_millis(50))
        .on(INVOICE_ISSUED, issued)
        .on(RETURN_PROCESSED, returned)
        .on(INVOICE_CANCELLED, cancelled)
        .on(PRODUCT_CREATED, product)
        .on(PRODUCT_UPDATED, product)
        .on(PRODUCT_DELETED, product_deleted)
        .on(LOCATION_CREATED, location)
        .on(LOCATION_UPDATED, location)
        .on(BRANCH_CREATED, branch)
        .on(BRANCH_UPDATED, branch)
        .on(REGISTRATION_CREATED, registration)
        .on(REGISTRATION_UPDATED, registration);
    state.restore.watch(consumer.status());
    vec![consumer, state.privacy.consumer()]
}

/// Goods leave for invoices.
///
/// # Errors
/// When the database refuses; never for want of stock.
pub async fn issued(tx: &mut Tx, events: &[Envelope<InvoiceIssued>]) -> Result<(), Failed> {
    let sales: Vec<Sale> = events.iter().map(Sale::from).collect();
    sale::issue(tx, &sales).await?;
    pause_point("inventory.issue.before_commit").await;
    Ok(())
}

/// Goods come back.
///
/// # Errors
/// When the database refuses.
pub async fn returned(tx: &mut Tx, events: &[Envelope<ReturnProcessed>]) -> Result<(), Failed> {
    let backs: Vec<Back> = events.iter().map(Back::from).collect();
    sale::take_back(tx, &backs).await?;
    Ok(())
}

/// A sale was undone: its goods come back.
///
/// # Errors
/// When the database refuses.
pub async fn cancelled(tx: &mut Tx, events: &[Envelope<InvoiceCancelled>]) -> Result<(), Failed> {
    let backs: Vec<Back> = events.iter().map(Back::from).collect();
    sale::take_back(tx, &backs).await?;
    Ok(())
}

/// A product came or changed.
///
/// # Errors
/// When the database refuses.
pub async fn product(tx: &mut Tx, events: &[Envelope<Product>]) -> Result<(), Failed> {
    let new = serial::begin(tx, events).await?;
    copy::store::apply_products(tx, events).await?;
    serial::take_up(tx, &new).await?;
    Ok(())
}

/// A product went.
///
/// # Errors
/// When the database refuses.
pub async fn product_deleted(
    tx: &mut Tx,
    events: &[Envelope<ProductDeleted>],
) -> Result<(), Failed> {
    Ok(copy::store::delete_products(tx, events).await?)
}

/// A location came or changed.
///
/// # Errors
/// When the database refuses.
pub async fn location(tx: &mut Tx, events: &[Envelope<Location>]) -> Result<(), Failed> {
    Ok(copy::store::apply_locations(tx, events).await?)
}

/// A branch came or changed.
///
/// # Errors
/// When the database refuses.
pub async fn branch(tx: &mut Tx, events: &[Envelope<Branch>]) -> Result<(), Failed> {
    Ok(copy::store::apply_branches(tx, events).await?)
}

/// A registration came or changed.
///
/// # Errors
/// When the database refuses.
pub async fn registration(tx: &mut Tx, events: &[Envelope<Registration>]) -> Result<(), Failed> {
    Ok(copy::store::apply_registrations(tx, events).await?)
}
