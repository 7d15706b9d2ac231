//! Saying what comes near its last day.

use std::collections::{BTreeSet, HashSet};

use bahi_db::{Ctx, Tx};
use bahi_service::Failures;
use bahi_types::{BatchId, LocationId, business_date};
use chrono::{Days, NaiveDate};
use uuid::Uuid;

use super::{
    model::{THRESHOLDS, days_left, threshold},
    store::{self, Alert},
};
use crate::{Error, State, copy, events, reorder_level};

/// Most goods of one transaction.
const MOST: i64 = 500;

/// The last day that the widest threshold looks at.
pub(super) fn horizon(today: NaiveDate) -> NaiveDate {
    let widest = THRESHOLDS.iter().copied().max().unwrap_or_default();
    today
        .checked_add_days(Days::new(widest.unsigned_abs().into()))
        .unwrap_or(today)
}

/// Says of every tenant's goods what has not been said of them yet.
///
/// # Errors
/// The database's.
pub async fn warn(state: &State, nobody: &Ctx) -> Result<usize, Error> {
    let until = horizon(business_date(state.db.clock().now()));
    let tenants = state
        .db
        .read(nobody, async move |tx: &mut Tx| {
            store::tenants(tx, until).await.map_err(Error::from)
        })
        .await?;
    let (mut said, mut failures) = (0, Failures::none());
    for tenant in tenants {
        let ctx = Ctx::service(state.db.service(), tenant);
        let mut after = Some((
            BatchId::from_uuid(Uuid::nil()),
            LocationId::from_uuid(Uuid::nil()),
        ));
        while let Some(from) = after {
            let page = state
                .db
                .write(&ctx, async move |tx: &mut Tx| page(tx, from).await)
                .await;
            let (fresh, next) = failures.pass(page).map_or((0, None), |page| page.value);
            said += fresh;
            after = next;
        }
    }
    failures.end().map(|()| said)
}

type Place = (BatchId, LocationId);

/// One page of a tenant's goods: how many were new, and where the walk goes on.
async fn page(tx: &mut Tx, after: Place) -> Result<(usize, Option<Place>), Error> {
    let today = business_date(tx.now());
    let goods = store::walk(tx, horizon(today), after, MOST).await?;
    let expired: BTreeSet<_> = goods
        .iter()
        .filter(|g| g.expiry < today)
        .map(|g| (g.location_id, g.product_id))
        .collect();
    let full = goods.len() as i64 == MOST;
    let next = goods
        .last()
        .filter(|_| full)
        .map(|g| (g.batch_id, g.location_id));
    let alerts: Vec<Alert> = goods
        .into_iter()
        .filter_map(|goods| {
            let days_left = days_left(goods.expiry, today);
            Some(Alert {
                threshold: threshold(days_left)?,
                days_left,
                goods,
            })
        })
        .collect();
    // The rows are the guard: of two that come at once, one waits and finds them there.
    let fresh: HashSet<Place> = store::raise(tx, &alerts).await?.into_iter().collect();
    let places = alerts
        .iter()
        .map(|a| (a.goods.location_id, a.goods.product_id));
    let facts = copy::facts(tx, places).await?;
    for alert in &alerts {
        if fresh.contains(&(alert.goods.batch_id, alert.goods.location_id)) {
            let goods = &alert.goods;
            let payload = bahi_events::BatchExpiring {
                batch_id: goods.batch_id,
                no: goods.no.clone(),
                product_id: goods.product_id,
                location_id: goods.location_id,
                expiry: goods.expiry,
                days_left: alert.days_left,
                threshold: alert.threshold,
                qty: goods.qty,
                value: goods.value,
                uom: facts.uom(goods.product_id),
                premises: facts.premises(goods.location_id),
            };
            tx.publish(events::expiring(goods.version, &payload));
        }
    }
    reorder_level::look(tx, &expired).await?;
    Ok((fresh.len(), next))
}
