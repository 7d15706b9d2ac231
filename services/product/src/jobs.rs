//! Periodic work: imports that a crash left behind are taken up again, and what they staged is cleared away.

use std::time::Duration;

use bahi_service::Job;

use crate::{State, import_job::commands};

/// The jobs.
pub fn table(state: &State) -> Vec<Job> {
    let (waiting, finished) = (state.clone(), state.clone());
    vec![
        Job::every("resume_imports", Duration::from_secs(5), move || {
            let state = waiting.clone();
            async move { Ok(commands::resume(&state).await?) }
        }),
        Job::every("clear_imports", Duration::from_secs(60), move || {
            let state = finished.clone();
            async move { Ok(commands::clear(&state).await?) }
        }),
    ]
}
