//! The second connection of a database: listens for hints and keeps house. Nothing depends on it: without hints
//! the relay polls, and a house that is not kept for a while only grows.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream::poll_fn};
use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

use crate::{
    metrics::{Metrics, Standing},
    ring,
    session::{PATIENCE, SessionError, within},
};

/// How the connection shows itself to the operator.
pub const APPLICATION: &str = "outbox-worker side";
/// How often the gauges are read.
const GAUGES: Duration = Duration::from_secs(5);
/// How often, counted in those, the ring is swept.
const SWEEP: u32 = 12;
/// Waits between attempts to connect.
const RETRY: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// Listens and keeps house until it is aborted.
pub async fn run(
    mut config: Config,
    hint: Arc<Notify>,
    metrics: Metrics,
    standing: Arc<Standing>,
    retention: Duration,
) {
    config.application_name(APPLICATION);
    let mut failures = 0;
    loop {
        let mut listening = false;
        if let Err(error) = attend(
            &config,
            &hint,
            &metrics,
            &standing,
            retention,
            &mut listening,
        )
        .await
        {
            tracing::info!(%error, "the connection that listens is lost; polling until it is back");
        }
        failures = if listening {
            0
        } else {
            RETRY.len().min(failures + 1)
        };
        tokio::time::sleep(RETRY[failures.saturating_sub(1).min(RETRY.len() - 1)]).await;
    }
}

async fn attend(
    config: &Config,
    hint: &Arc<Notify>,
    metrics: &Metrics,
    standing: &Standing,
    retention: Duration,
    listening: &mut bool,
) -> Result<(), SessionError> {
    let (mut client, mut connection) = within(PATIENCE, config.connect(NoTls)).await?;
    let (heard, hints) = (hint.clone(), metrics.hints.clone());
    let mut messages = tokio::spawn(async move {
        let mut messages = poll_fn(|cx| connection.poll_message(cx));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(_) = message {
                hints.inc();
                heard.notify_one();
            }
        }
    });
    let listen = "set statement_timeout = '30s'; set lock_timeout = '3s'; set synchronous_commit = off; set jit = off; \
                  set enable_seqscan = off; listen outbox";
    within(PATIENCE, client.batch_execute(listen)).await?;
    *listening = true;
    // Hints that came before are lost.
    hint.notify_one();
    let mut tick = tokio::time::interval(GAUGES);
    for count in 0u32.. {
        tokio::select! {
            _ = &mut messages => break,
            _ = tick.tick() => {
                gauges(&client, metrics, standing).await?;
                if count.is_multiple_of(SWEEP) {
                    metrics.truncated.inc_by(ring::sweep(&mut client, retention).await?);
                }
            }
        }
    }
    Ok(())
}

async fn gauges(
    client: &Client,
    metrics: &Metrics,
    standing: &Standing,
) -> Result<(), SessionError> {
    let drawn: i64 = within(
        PATIENCE,
        client.query_one("select last_value from outbox.event_seq", &[]),
    )
    .await?
    .get(0);
    metrics.backlog.set(standing.distance(drawn));
    let parked = "select count(*) filter (where state = 'refused'), count(*) filter (where state = 'waiting') from outbox.parked";
    let row = within(PATIENCE, client.query_one(parked, &[])).await?;
    metrics.parked_refused.set(row.get(0));
    metrics.parked_waiting.set(row.get(1));
    Ok(())
}
