//! Periodic work.

use std::time::Duration;

use bahi_service::Job;

use crate::{State, held};

const EXPIRE_EVERY: Duration = Duration::from_secs(60);

/// The jobs.
pub fn table(state: &State) -> Vec<Job> {
    let db = state.db.clone();
    vec![Job::every("expire_held_bills", EXPIRE_EVERY, move || {
        let db = db.clone();
        async move {
            let expired = held::expire(&db).await?;
            if expired > 0 {
                tracing::info!(expired, "held bills expired");
            }
            Ok(())
        }
    })]
}
