//! Stating levels, planning them anew, and saying that stock is low.

use std::collections::BTreeSet;

use bahi_db::{Ctx, Done, Tx};
use bahi_events::{InventoryLowStock, Outgoing};
use bahi_service::Failures;
use bahi_types::{Quantity, TenantId, business_date};
use chrono::{Days, NaiveDate};

use super::{
    model::{Demand, Level, Policy, observed},
    store,
};
use crate::{
    Error, State,
    copy::{self, Facts},
    events,
    ledger::{self, Place},
};

/// Most levels of one look for work.
const MOST: i32 = 200;

/// What a person states.
#[derive(Clone, Debug)]
pub(super) struct Stated {
    pub place: Place,
    pub policy: Policy,
    /// The demand; the ledger's, when absent.
    pub demand: Option<Demand>,
}

/// A level as a command answers it: enough to read it again.
pub(super) type Saved = (bahi_types::LocationId, bahi_types::ProductId);

/// The news that stock is low.
pub(crate) fn low_stock(
    tenant: TenantId,
    facts: &Facts,
    level: &Level,
    available: Quantity,
) -> Outgoing {
    let payload = InventoryLowStock {
        product_id: level.place.1,
        location_id: level.place.0,
        available,
        reorder_point: level.reorder_point,
        suggested_qty: level.suggest(available).suggested_qty,
        uom: facts.uom(level.place.1),
        premises: facts.premises(level.place.0),
    };
    events::low_stock(tenant, level.version, &payload)
}

/// Says of places where goods have expired, which no movement tells, that stock has become low.
///
/// # Errors
/// The database's.
pub(crate) async fn look(tx: &mut Tx, places: &BTreeSet<Place>) -> Result<(), Error> {
    if places.is_empty() {
        return Ok(());
    }
    let places = store::not_low(tx, places).await?;
    let books = ledger::store::lock(tx, &places, &BTreeSet::new()).await?;
    let available = places.iter().map(|p| (*p, books.available(*p))).collect();
    let low = store::cross(tx.shared(), tx.tenant().uuid(), &available).await?;
    let facts = copy::facts(tx, low.iter().map(|(level, _)| level.place)).await?;
    for (level, available) in &low {
        tx.publish(low_stock(tx.tenant(), &facts, level, *available));
    }
    Ok(())
}

/// The days of the ledger that tell the demand: whole ones, up to yesterday.
fn window(today: NaiveDate, days: i32) -> Option<(NaiveDate, NaiveDate)> {
    let back = |n: u64| today.checked_sub_days(Days::new(n));
    Some((back(u64::from(days.unsigned_abs()))?, back(1)?))
}

async fn ledgers(tx: &mut Tx, place: Place, window_days: i32) -> Result<Demand, Error> {
    let today = business_date(tx.now());
    let Some((from, to)) = window(today, window_days) else {
        return Ok(Demand::default());
    };
    Ok(observed(&store::days(tx, place, from, to).await?))
}

/// Writes a level on the side on which it stands; says so when it has fallen below its point with this.
async fn settle(tx: &mut Tx, mut level: Level, before: Option<&Level>) -> Result<(), Error> {
    let places = BTreeSet::from([level.place]);
    let books = ledger::store::lock(tx, &places, &BTreeSet::new()).await?;
    let available = books.available(level.place);
    level.low = available < level.reorder_point;
    level.version = before.map_or(1, |b| b.version + 1);
    store::save(tx, &level).await?;
    if level.low && !before.is_some_and(|b| b.low) {
        let facts = copy::facts(tx, places).await?;
        tx.publish(low_stock(tx.tenant(), &facts, &level, available));
    }
    Ok(())
}

/// States the level of a place. `seen` is 0 for one that is not there yet.
///
/// # Errors
/// When it has changed since it was seen; when product or location are not known here yet.
pub(super) async fn put(
    state: &State,
    ctx: &Ctx,
    seen: i64,
    stated: Stated,
) -> Result<Done<Saved>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Saved, Error> {
            let place = stated.place;
            copy::open_location(tx, place.0).await?;
            copy::products(tx, &BTreeSet::from([place.1])).await?;
            // The gate first: whoever moves stock here writes the side of the level under it.
            ledger::store::lock(tx, &BTreeSet::from([place]), &BTreeSet::new()).await?;
            let before = store::lock(tx, place).await?;
            let current = before.as_ref().map_or(0, |b| b.version);
            if current != seen {
                return Err(bahi_db::Error::Stale { current }.into());
            }
            let demand = match stated.demand {
                Some(demand) => demand,
                None => ledgers(tx, place, stated.policy.window_days).await?,
            };
            let level = Level::plan(
                place,
                stated.policy,
                demand,
                stated.demand.is_some(),
                business_date(tx.now()),
            );
            settle(tx, level, before.as_ref()).await?;
            Ok(place)
        })
        .await
}

/// Plans levels anew whose demand is the ledger's and that were not planned today.
///
/// # Errors
/// The database's.
pub async fn replan(state: &State, nobody: &Ctx) -> Result<usize, Error> {
    let today = business_date(state.db.clock().now());
    let (mut planned, mut failures) = (0, Failures::none());
    // Levels of a tenant with one that cannot be planned have their turn with the next run.
    let mut failed: Vec<TenantId> = Vec::new();
    loop {
        let besides = failed.clone();
        let work = state
            .db
            .read(nobody, async move |tx: &mut Tx| {
                let work = store::stale(tx, today, MOST, &besides).await;
                work.map_err(Error::from)
            })
            .await?;
        if work.is_empty() {
            return failures.end().map(|()| planned);
        }
        for (tenant, place) in work {
            let ctx = Ctx::service(state.db.service(), tenant);
            let done = state
                .db
                .write(&ctx, async move |tx: &mut Tx| -> Result<(), Error> {
                    ledger::store::lock(tx, &BTreeSet::from([place]), &BTreeSet::new()).await?;
                    let Some(before) = store::lock(tx, place).await? else {
                        return Ok(());
                    };
                    if before.demand_stated || before.planned_on >= today {
                        return Ok(());
                    }
                    let demand = ledgers(tx, place, before.policy.window_days).await?;
                    let level = Level::plan(place, before.policy.clone(), demand, false, today);
                    settle(tx, level, Some(&before)).await
                })
                .await;
            match failures.pass(done) {
                Some(_) => planned += 1,
                None => failed.push(tenant),
            }
        }
    }
}
