//! Periodic work.

use std::time::Duration;

use bahi_service::Job;

use crate::{State, commission, held, order, print};

const LOOK_EVERY: Duration = Duration::from_secs(2);
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
const PRINT_EVERY: Duration = Duration::from_secs(2);

/// The jobs.
pub fn table(state: &State) -> Vec<Job> {
    let db = state.db.clone();
    let expire = Job::every("expire_held_bills", EXPIRE_EVERY, move || {
        let db = db.clone();
        async move {
            let expired = held::expire(&db).await?;
            if expired > 0 {
                tracing::info!(expired, "held bills expired");
            }
            Ok(())
        }
    });
    let restore = state.restore.clone();
    // Begins without waiting for the first till to ask, and notices a failover while tills sell.
    let reconcile = Job::every("restore", LOOK_EVERY, move || {
        let restore = restore.clone();
        async move { restore.watch().await }
    });
    let tended = state.clone();
    let orders = Job::every("tend_orders", LOOK_EVERY, move || {
        let state = tended.clone();
        async move { order::tend(&state).await }
    });
    let printing = state.clone();
    let prints = Job::every("render_prints", PRINT_EVERY, move || {
        let state = printing.clone();
        async move { Ok(print::render_due(&state).await?) }
    });
    let earning = state.clone();
    let commissions = Job::every("accrue_commissions", LOOK_EVERY, move || {
        let state = earning.clone();
        async move { commission::accrue(&state).await }
    });
    let own = [expire, reconcile, orders, prints, commissions];
    own.into_iter().chain(state.privacy.jobs()).collect()
}
