//! Everything this service hears: which products have moved through stock. From then on they cannot be deleted,
//! and what stock depends on is frozen.

use std::time::Duration;

use bahi_db::Tx;
use bahi_events::{
    Envelope, INVENTORY_ADJUSTED, InventoryAdjusted, STOCK_ISSUED, STOCK_RECEIVED, STOCK_RETURNED,
    StockIssued, StockLine, StockReceived, StockReturned,
};
use bahi_kafka::{Consumer, Failed};

use crate::{State, product::commands::mark_transacted};

/// Topic and type to handler.
pub fn table(_: &State) -> Vec<Consumer> {
    vec![
        Consumer::new("product")
            .gather(Duration::from_millis(200))
            .on(STOCK_RECEIVED, received)
            .on(STOCK_ISSUED, issued)
            .on(STOCK_RETURNED, returned)
            .on(INVENTORY_ADJUSTED, adjusted),
    ]
}

async fn received(tx: &mut Tx, events: &[Envelope<StockReceived>]) -> Result<(), Failed> {
    moved(tx, events.iter().flat_map(|event| &event.payload.lines)).await
}

async fn issued(tx: &mut Tx, events: &[Envelope<StockIssued>]) -> Result<(), Failed> {
    moved(tx, events.iter().flat_map(|event| &event.payload.lines)).await
}

async fn returned(tx: &mut Tx, events: &[Envelope<StockReturned>]) -> Result<(), Failed> {
    moved(tx, events.iter().flat_map(|event| &event.payload.lines)).await
}

async fn adjusted(tx: &mut Tx, events: &[Envelope<InventoryAdjusted>]) -> Result<(), Failed> {
    Ok(mark_transacted(
        tx,
        events
            .iter()
            .map(|event| event.payload.product_id)
            .collect(),
    )
    .await?)
}

async fn moved(tx: &mut Tx, lines: impl Iterator<Item = &StockLine>) -> Result<(), Failed> {
    Ok(mark_transacted(tx, lines.map(|line| line.product_id).collect()).await?)
}
