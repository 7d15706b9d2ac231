//! Everything this service hears: which products have moved through stock. From then on they cannot be deleted,
//! and what stock depends on is frozen. Goods that come in are counted, and open a product that was archived.

use std::time::Duration;

use bahi_db::Tx;
use bahi_events::{
    CountedLine, Envelope, INVENTORY_ADJUSTED, INVENTORY_TRANSFERRED, InventoryAdjusted,
    InventoryTransferred, STOCK_COUNT_POSTED, STOCK_ISSUED, STOCK_RECEIVED, STOCK_RETURNED,
    STOCK_REVALUED, STOCK_STATUS_CHANGED, StockCountPosted, StockIssued, StockLine, StockReceived,
    StockReturned, StockRevalued, StockStatusChanged,
};
use bahi_kafka::{Consumer, Failed};
use bahi_types::ProductId;

use crate::{
    Error, State,
    product::commands::{arrived, mark_transacted},
};

/// Topic and type to handler.
pub fn table(state: &State) -> Vec<Consumer> {
    vec![
        Consumer::new("product")
            .gather(Duration::from_millis(200))
            .on(STOCK_RECEIVED, received)
            .on(STOCK_ISSUED, issued)
            .on(STOCK_RETURNED, returned)
            .on(INVENTORY_ADJUSTED, adjusted)
            .on(STOCK_COUNT_POSTED, counted)
            .on(INVENTORY_TRANSFERRED, transferred)
            .on(STOCK_STATUS_CHANGED, status_changed)
            .on(STOCK_REVALUED, revalued),
        state.privacy.consumer(),
    ]
}

async fn received(tx: &mut Tx, events: &[Envelope<StockReceived>]) -> Result<(), Failed> {
    came_in(
        tx,
        products(events.iter().flat_map(|event| &event.payload.lines)),
    )
    .await
}

async fn issued(tx: &mut Tx, events: &[Envelope<StockIssued>]) -> Result<(), Failed> {
    let moved = products(events.iter().flat_map(|event| &event.payload.lines));
    Ok(mark_transacted(tx, moved).await?)
}

async fn returned(tx: &mut Tx, events: &[Envelope<StockReturned>]) -> Result<(), Failed> {
    came_in(
        tx,
        products(events.iter().flat_map(|event| &event.payload.lines)),
    )
    .await
}

async fn adjusted(tx: &mut Tx, events: &[Envelope<InventoryAdjusted>]) -> Result<(), Failed> {
    let of = |wanted: fn(&InventoryAdjusted) -> bool| -> Vec<ProductId> {
        let payloads = events.iter().map(|event| &event.payload);
        payloads
            .filter(|adjusted| wanted(adjusted))
            .map(|adjusted| adjusted.product_id)
            .collect()
    };
    mark_transacted(tx, of(|adjusted| !adjusted.qty_delta.is_positive())).await?;
    came_in(tx, of(|adjusted| adjusted.qty_delta.is_positive())).await
}

/// What was found comes in; what is missing, or there as the books say, has only moved.
async fn counted(tx: &mut Tx, events: &[Envelope<StockCountPosted>]) -> Result<(), Failed> {
    let lines = events.iter().flat_map(|event| &event.payload.lines);
    let (found, other): (Vec<_>, Vec<_>) = lines
        .filter(|line| !(line.counted.is_zero() && line.qty_delta.is_zero()))
        .partition(|line| line.qty_delta.is_positive());
    let of = |lines: Vec<&CountedLine>| lines.iter().map(|line| line.product_id).collect();
    mark_transacted(tx, of(other)).await?;
    came_in(tx, of(found)).await
}

/// Between two locations nothing comes in: what is on its way is ours all the time.
async fn transferred(tx: &mut Tx, events: &[Envelope<InventoryTransferred>]) -> Result<(), Failed> {
    let lines = events.iter().flat_map(|event| &event.payload.lines);
    Ok(mark_transacted(tx, lines.map(|line| line.product_id).collect()).await?)
}

async fn status_changed(
    tx: &mut Tx,
    events: &[Envelope<StockStatusChanged>],
) -> Result<(), Failed> {
    let lines = events.iter().flat_map(|event| &event.payload.lines);
    Ok(mark_transacted(tx, lines.map(|line| line.product_id).collect()).await?)
}

async fn revalued(tx: &mut Tx, events: &[Envelope<StockRevalued>]) -> Result<(), Failed> {
    let lines = events.iter().flat_map(|event| &event.payload.lines);
    Ok(mark_transacted(tx, lines.map(|line| line.product_id).collect()).await?)
}

fn products<'a>(lines: impl Iterator<Item = &'a StockLine>) -> Vec<ProductId> {
    lines.map(|line| line.product_id).collect()
}

async fn came_in(tx: &mut Tx, products: Vec<ProductId>) -> Result<(), Failed> {
    arrived(tx, products).await.map_err(|error| match error {
        Error::Db(error) => error.into(),
        other => Failed::reject("refused", other),
    })
}
