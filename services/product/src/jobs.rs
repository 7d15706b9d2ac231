//! Periodic work: imports that a crash left behind are taken up again, and what they staged is cleared away; so are
//! pictures that nobody sees any more.

use std::time::Duration;

use bahi_service::Job;

use crate::{State, image, import_job::commands};

/// The jobs.
pub fn table(state: &State) -> Vec<Job> {
    let (waiting, finished, pictures) = (state.clone(), state.clone(), state.clone());
    let own = [
        Job::every("resume_imports", Duration::from_secs(5), move || {
            let state = waiting.clone();
            async move { Ok(commands::resume(&state).await?) }
        }),
        Job::every("clear_imports", Duration::from_secs(60), move || {
            let state = finished.clone();
            async move { Ok(commands::clear(&state).await?) }
        }),
        Job::every("clear_images", Duration::from_secs(60), move || {
            let state = pictures.clone();
            async move { Ok(image::commands::clear(&state).await?) }
        }),
    ];
    own.into_iter().chain(state.privacy.jobs()).collect()
}
