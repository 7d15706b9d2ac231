//! Periodic work.

use std::time::Duration;

use bahi_service::Job;

use crate::{State, held};

const LOOK_EVERY: Duration = Duration::from_secs(2);
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

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
    vec![expire, reconcile]
}
