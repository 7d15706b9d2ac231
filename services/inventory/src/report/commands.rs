//! Saying what has stopped selling.

use bahi_db::{Ctx, Tx};
use bahi_events::InventoryDeadStock;
use bahi_types::business_date;
use chrono::Duration;

use super::{model::DEAD_DAYS, store};
use crate::{Error, State, copy, events};

/// Most goods of one transaction.
const MOST: i64 = 1_000;
/// Most tenants of one run.
const A_RUN: i32 = 1_000;

/// Says of every tenant's goods, once a day, what has stopped selling. One tenant's trouble does not keep the others
/// waiting.
///
/// # Errors
/// The first that the database gave.
pub async fn find_dead(state: &State, nobody: &Ctx) -> Result<usize, Error> {
    let today = business_date(state.db.clock().now());
    let tenants = state
        .db
        .read(nobody, async move |tx: &mut Tx| {
            store::unlooked(tx, today, A_RUN).await.map_err(Error::from)
        })
        .await?;
    let (mut said, mut failed) = (0, None);
    for tenant in tenants {
        let ctx = Ctx::service(state.db.service(), tenant);
        match look(state, &ctx).await {
            Ok(found) => said += found,
            Err(error) => {
                tracing::warn!(%tenant, %error, "what does not sell is looked for again");
                failed = failed.or(Some(error));
            }
        }
    }
    failed.map_or(Ok(said), Err)
}

async fn look(state: &State, ctx: &Ctx) -> Result<usize, Error> {
    let mut said = 0;
    loop {
        let found = state
            .db
            .write(ctx, async move |tx: &mut Tx| page(tx).await)
            .await?
            .value;
        said += found;
        if (found as i64) < MOST {
            return Ok(said);
        }
    }
}

async fn page(tx: &mut Tx) -> Result<usize, Error> {
    let since = tx.now() - Duration::days(DEAD_DAYS.into());
    store::wake(tx, since).await?;
    let died = store::died(tx, since, MOST).await?;
    if (died.len() as i64) < MOST {
        store::looked(tx, business_date(tx.now())).await?;
    }
    let facts = copy::facts(tx, died.iter().map(|d| (d.location_id, d.product_id))).await?;
    for goods in &died {
        let payload = InventoryDeadStock {
            product_id: goods.product_id,
            location_id: goods.location_id,
            qty: goods.qty,
            value: goods.value,
            days: DEAD_DAYS,
            oldest_at: goods.oldest_at,
            last_sale_at: goods.last_sale_at,
            uom: facts.uom(goods.product_id),
            premises: facts.premises(goods.location_id),
        };
        tx.publish(events::dead_stock(tx.tenant(), goods.times, &payload));
    }
    Ok(died.len())
}
