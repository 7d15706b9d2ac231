//! Periodic work: holds past their deadline, sales whose event does not come, approved counts, the snapshots of months,
//! goods near their last day, levels to be planned anew, and goods that do not sell.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use bahi_db::{Ctx, Tx};
use bahi_service::{Failures, Job, pause_point};
use bahi_types::TenantId;
use prometheus::{IntCounter, register_int_counter};
use uuid::Uuid;

use crate::{
    Error, State, count,
    error::HoldRef,
    expiry, reorder_level, report,
    reservation::{self, Owner},
    sale::{self, Sale},
    sales,
};

/// Most holds of one sweep; the next one goes on.
const MOST: i32 = sales::MOST as i32;

#[allow(clippy::unwrap_used)] // Constant names; a clash shows at once.
static ASKED: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!(
        "inventory_holds_asked_total",
        "Tills' holds past their deadline that sales was asked about"
    )
    .unwrap()
});
#[allow(clippy::unwrap_used)]
static UNANSWERED: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!(
        "inventory_holds_unanswered_total",
        "Times sales gave no answer about overdue holds"
    )
    .unwrap()
});
#[allow(clippy::unwrap_used)]
static UNHEARD: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!(
        "inventory_sales_unheard_total",
        "Sales issued from the answer of sales because their event did not come; alert on any"
    )
    .unwrap()
});

/// The jobs and how often they run.
pub fn table(state: &State) -> Vec<Job> {
    let job = |name, every, state: &State, work: fn(State) -> Work| {
        let state = state.clone();
        Job::every(name, every, move || work(state.clone()))
    };
    let own = [
        job("lapse_holds", Duration::from_millis(500), state, |s| {
            Box::pin(async move { lapse(&s).await })
        }),
        job("ask_sales", Duration::from_secs(1), state, |s| {
            Box::pin(async move { ask(&s).await })
        }),
        job("post_counts", Duration::from_secs(1), state, |s| {
            Box::pin(async move { count::post_approved(&s).await })
        }),
        job("issue_unheard", Duration::from_secs(15), state, |s| {
            Box::pin(async move { issue_unheard(&s).await })
        }),
        job("take_snapshots", Duration::from_secs(900), state, |s| {
            Box::pin(async move { take_snapshots(&s).await })
        }),
        job("warn_expiring", Duration::from_secs(900), state, |s| {
            Box::pin(async move { warn_expiring(&s).await })
        }),
        job("replan_levels", Duration::from_secs(900), state, |s| {
            Box::pin(async move { replan_levels(&s).await })
        }),
        job("find_dead_stock", Duration::from_secs(900), state, |s| {
            Box::pin(async move { find_dead_stock(&s).await })
        }),
    ];
    own.into_iter().chain(state.privacy.jobs()).collect()
}

pub use crate::ledger::take_snapshots;

type Work = futures::future::BoxFuture<'static, anyhow::Result<()>>;

fn nobody(state: &State) -> Ctx {
    Ctx::service(state.db.service(), TenantId::from_uuid(Uuid::nil()))
}

async fn due(state: &State, owner: Owner) -> Result<BTreeMap<TenantId, Vec<HoldRef>>, Error> {
    let rows = state
        .db
        .read(&nobody(state), async move |tx: &mut Tx| {
            reservation::store::due(tx, owner, MOST)
                .await
                .map_err(Error::from)
        })
        .await?;
    let mut by_tenant: BTreeMap<TenantId, Vec<HoldRef>> = BTreeMap::new();
    for (tenant, hold) in rows {
        by_tenant.entry(tenant).or_default().push(hold);
    }
    Ok(by_tenant)
}

/// Ends holds of the API whose time is over. One that cannot be ended waits behind the others.
///
/// # Errors
/// The database's, when all others have had their turn.
pub async fn lapse(state: &State) -> anyhow::Result<()> {
    let mut failures = Failures::none();
    for (tenant, holds) in due(state, Owner::Api).await? {
        let ctx = Ctx::service(state.db.service(), tenant);
        let ids: Vec<_> = holds.into_iter().map(|h| h.id).collect();
        if reservation::lapse(state, &ctx, ids.clone()).await.is_ok() {
            continue;
        }
        for id in ids {
            let ended = reservation::lapse(state, &ctx, vec![id]).await;
            if failures.pass(ended).is_none() {
                failures.pass(reservation::put_off(state, &ctx, vec![id]).await);
            }
        }
    }
    Ok(failures.end()?)
}

/// Asks sales about tills' holds past their deadline. Without an answer they stay, and wait behind the others.
///
/// # Errors
/// The database's, when all others have had their turn.
pub async fn ask(state: &State) -> anyhow::Result<()> {
    let mut failures = Failures::none();
    for (tenant, holds) in due(state, Owner::Sales).await? {
        let ctx = Ctx::service(state.db.service(), tenant);
        match reservation::ask(state, &ctx, &holds).await {
            Ok(answers) => ASKED.inc_by(answers as u64),
            Err(Error::SalesUnreachable) => UNANSWERED.inc(),
            Err(error) => _ = failures.pass(Err::<(), _>(error)),
        }
        let ids = holds.into_iter().map(|h| h.id).collect();
        failures.pass(reservation::put_off(state, &ctx, ids).await);
    }
    Ok(failures.end()?)
}

/// Issues the goods of sales that were issued long ago and whose event has not come, from what sales answered. What cannot
/// be issued waits behind the others.
///
/// # Errors
/// The database's, when all others have had their turn.
pub async fn issue_unheard(state: &State) -> anyhow::Result<()> {
    let mut failures = Failures::none();
    let before = state.db.clock().now() - state.config.unheard;
    let rows = state
        .db
        .read(&nobody(state), async move |tx: &mut Tx| {
            reservation::store::unheard(tx, before, MOST)
                .await
                .map_err(Error::from)
        })
        .await?;
    for (tenant, hold, answer) in rows {
        tracing::error!(
            %tenant, invoice = %answer.invoice_id, number = answer.number,
            "the event of an issued invoice has not come; its goods are issued from what sales answered"
        );
        let sale = Sale::from_answer(hold, answer);
        let ctx = Ctx::service(state.db.service(), tenant);
        let issue = async move |tx: &mut Tx| -> Result<(), Error> {
            sale::issue(tx, std::slice::from_ref(&sale)).await?;
            pause_point("inventory.issue.before_commit").await;
            Ok(())
        };
        if failures.pass(state.db.write(&ctx, issue).await).is_none() {
            failures.pass(reservation::put_off(state, &ctx, vec![hold]).await);
            continue;
        }
        pause_point("inventory.issue.after_commit").await;
        UNHEARD.inc();
    }
    Ok(failures.end()?)
}

/// Says what comes near its last day and has not been said of yet.
///
/// # Errors
/// The database's.
pub async fn warn_expiring(state: &State) -> anyhow::Result<()> {
    expiry::warn(state, &nobody(state)).await?;
    Ok(())
}

/// Works out anew, once a day, the levels whose demand is the ledger's.
///
/// # Errors
/// The database's.
pub async fn replan_levels(state: &State) -> anyhow::Result<()> {
    reorder_level::replan(state, &nobody(state)).await?;
    Ok(())
}

/// Says, once a day, what has stopped selling.
///
/// # Errors
/// The database's.
pub async fn find_dead_stock(state: &State) -> anyhow::Result<()> {
    report::find_dead(state, &nobody(state)).await?;
    Ok(())
}
