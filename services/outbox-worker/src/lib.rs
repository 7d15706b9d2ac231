//! The outbox worker: carries every event that a service has committed to Kafka, each at least once, in the order
//! of its aggregate, within milliseconds. See README.md for what it promises and how.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod envelope;
pub mod flight;
pub mod lease;
pub mod member;
pub mod metrics;
pub mod order;
pub mod orders;
pub mod origin;
pub mod park;
pub mod producer;
pub mod pump;
pub mod reader;
pub mod relay;
pub mod ring;
pub mod row;
pub mod session;
pub mod side;
pub mod snapshot;
pub mod topic;
pub mod window;
pub mod worker;

use std::{sync::Arc, thread, time::Duration};

use anyhow::Context;
use bahi_service::{App, Env, Job, Parts};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, oneshot},
};
use tokio_util::sync::CancellationToken;

use crate::{config::Config, relay::Limits};

/// What the process runs with.
#[derive(Clone)]
pub struct State {
    env: Env,
    stop: CancellationToken,
}

/// The service: nothing but the relays, which run for as long as the process does.
pub fn app() -> App<State> {
    let state = |parts: Parts| {
        // A wrong setting ends the start, not the first run of the job.
        Config::from_env(&parts.env)?;
        Ok(State {
            env: parts.env,
            stop: parts.stop,
        })
    };
    App::new("outbox-worker", state).jobs(|state| {
        let state = state.clone();
        vec![Job::every("relay", Duration::from_secs(1), move || {
            let state = state.clone();
            async move {
                let (ended, end) = oneshot::channel();
                // One thread of its own for all that the relays wait for: a look is a few messages between tasks, and to wake
                // another thread for each would take longer than the look.
                thread::Builder::new()
                    .name("relay".into())
                    .spawn(move || ended.send(relay(&state)))?;
                end.await.context("the relay's thread panicked")?
            }
        })]
    })
}

fn relay(state: &State) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let load = || Config::from_env(&state.env);
        let reload = Arc::new(Notify::new());
        let relays = worker::run(load, Limits::default(), reload.clone(), state.stop.clone());
        tokio::select! {
            ended = relays => ended,
            // The register may have a new service.
            ended = hangups(&reload) => ended,
        }
    })
}

async fn hangups(reload: &Notify) -> anyhow::Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    while hangups.recv().await.is_some() {
        reload.notify_one();
    }
    Ok(())
}
