//! Every statement on costs.

use std::collections::BTreeMap;

use bahi_db::{Result, Tx, sql};
use bahi_events::{
    Envelope, InventoryAdjusted, InventoryTransferred, StockReceived, StockRevalued,
};
use bahi_kafka::Failed;
use bahi_types::{LocationId, Price, ProductId};
use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Numeric, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use rust_decimal::Decimal;

/// When an event was said: the order in which costs replace each other.
type Said = (i64, DateTime<Utc>);
/// Value and quantity by product and location.
type Sums = BTreeMap<(ProductId, LocationId), (Decimal, Decimal)>;
/// The newest of each, in order of the key, so that rows are locked in it.
type Newest = BTreeMap<(ProductId, LocationId), (Said, Price)>;

fn said<P>(event: &Envelope<P>) -> Said {
    (event.epoch, event.timestamp)
}

/// Takes the cost of one unit of each from what an event brought.
fn take(newest: &mut Newest, said: Said, sums: Sums) {
    for (key, (value, qty)) in sums {
        if qty <= Decimal::ZERO || value < Decimal::ZERO {
            continue;
        }
        let cost = Price::rounded(value / qty);
        let known = newest.entry(key).or_insert((said, cost));
        if said > known.0 {
            *known = (said, cost);
        }
    }
}

fn add(sums: &mut Sums, key: (ProductId, LocationId), value: Decimal, qty: Decimal) {
    let sum = sums.entry(key).or_default();
    (sum.0, sum.1) = (sum.0 + value, sum.1 + qty);
}

async fn put(tx: &mut Tx, newest: Newest) -> Result<()> {
    if newest.is_empty() {
        return Ok(());
    }
    sql("
        insert into product_cost as c (tenant_id, product_id, location_id, cost, epoch, told_at)
        select $1, n.* from unnest($2, $3, $4, $5, $6) as n
        on conflict (tenant_id, product_id, location_id) do update set
          cost = excluded.cost, epoch = excluded.epoch, told_at = excluded.told_at
        where (excluded.epoch, excluded.told_at) > (c.epoch, c.told_at)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(newest.keys().map(|k| k.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(newest.keys().map(|k| k.1).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(newest.values().map(|v| v.1).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(newest.values().map(|v| v.0.0).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(newest.values().map(|v| v.0.1).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Applies `stock.received`.
pub(crate) async fn received(
    tx: &mut Tx,
    events: &[Envelope<StockReceived>],
) -> std::result::Result<(), Failed> {
    let mut newest = Newest::new();
    for event in events {
        let mut sums = Sums::new();
        for line in &event.payload.lines {
            let key = (line.product_id, event.payload.location_id);
            add(
                &mut sums,
                key,
                line.cost_value.decimal(),
                line.qty.decimal(),
            );
        }
        take(&mut newest, said(event), sums);
    }
    Ok(put(tx, newest).await?)
}

/// Applies `inventory.transferred`: what arrived costs there what it cost before.
pub(crate) async fn transferred(
    tx: &mut Tx,
    events: &[Envelope<InventoryTransferred>],
) -> std::result::Result<(), Failed> {
    let mut newest = Newest::new();
    for event in events.iter().filter(|e| e.payload.phase == "received") {
        let mut sums = Sums::new();
        for line in &event.payload.lines {
            let key = (line.product_id, event.payload.to_location_id);
            add(&mut sums, key, line.value.decimal(), line.qty.decimal());
        }
        take(&mut newest, said(event), sums);
    }
    Ok(put(tx, newest).await?)
}

/// Applies `inventory.adjusted` where it adds goods.
pub(crate) async fn adjusted(
    tx: &mut Tx,
    events: &[Envelope<InventoryAdjusted>],
) -> std::result::Result<(), Failed> {
    let mut newest = Newest::new();
    for event in events.iter().filter(|e| e.payload.qty_delta.is_positive()) {
        let mut sums = Sums::new();
        let found = &event.payload;
        let key = (found.product_id, found.location_id);
        add(&mut sums, key, found.unit_cost.decimal(), Decimal::ONE);
        take(&mut newest, said(event), sums);
    }
    Ok(put(tx, newest).await?)
}

/// Applies `stock.revalued`: another value of what is there, or another standard cost everywhere.
pub(crate) async fn revalued(
    tx: &mut Tx,
    events: &[Envelope<StockRevalued>],
) -> std::result::Result<(), Failed> {
    for event in events {
        let (epoch, at) = said(event);
        let mut sums = Sums::new();
        for line in &event.payload.lines {
            let key = (line.product_id, line.location_id);
            add(
                &mut sums,
                key,
                line.value_delta.decimal(),
                line.qty.decimal(),
            );
        }
        sums.retain(|_, (_, qty)| *qty > Decimal::ZERO);
        let deltas = sums
            .values()
            .map(|(value, qty)| Price::rounded(value / qty));
        sql("update product_cost c set cost = greatest(c.cost + n.delta, 0), epoch = $5, told_at = $6
               from unnest($2, $3, $4) as n(product_id, location_id, delta)
              where c.tenant_id = $1 and c.product_id = n.product_id and c.location_id = n.location_id
                and ($5, $6) > (c.epoch, c.told_at)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(sums.keys().map(|k| k.0).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(sums.keys().map(|k| k.1).collect::<Vec<_>>())
        .bind::<Array<Numeric>, _>(deltas.collect::<Vec<_>>())
        .bind::<BigInt, _>(epoch)
        .bind::<Timestamptz, _>(at)
        .execute(tx.conn())
        .await
        .map_err(bahi_db::Error::from)?;
        let standards = event.payload.costings.iter();
        let standards: Vec<_> = standards
            .filter_map(|c| Some((c.product_id, c.standard_cost?)))
            .collect();
        if standards.is_empty() {
            continue;
        }
        sql("update product_cost c set cost = n.cost, epoch = $4, told_at = $5
               from unnest($2, $3) as n(product_id, cost)
              where c.tenant_id = $1 and c.product_id = n.product_id and ($4, $5) >= (c.epoch, c.told_at)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(standards.iter().map(|s| s.0).collect::<Vec<_>>())
        .bind::<Array<Numeric>, _>(standards.iter().map(|s| s.1).collect::<Vec<_>>())
        .bind::<BigInt, _>(epoch)
        .bind::<Timestamptz, _>(at)
        .execute(tx.conn())
        .await
        .map_err(bahi_db::Error::from)?;
    }
    Ok(())
}
