//! The second connection of a database: listens for hints and keeps house. Nothing depends on it: without hints
//! the relay polls, and a house that is not kept for a while only grows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

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

/// What is heard.
#[derive(Default)]
pub struct Hints {
    /// There may be something to read.
    pub look: Notify,
    /// An operator has done something.
    pub asked: Notify,
    told: AtomicBool,
    listening: AtomicBool,
}

impl Hints {
    /// Whether hints come through now.
    pub fn are_heard(&self) -> bool {
        self.listening.load(Ordering::Acquire)
    }

    /// Whether an operator has done something since this was last asked.
    pub fn take_orders(&self) -> bool {
        self.told.swap(false, Ordering::AcqRel)
    }

    fn hear(&self, payload: &str) {
        if payload == ASKED {
            self.told.store(true, Ordering::Release);
            self.asked.notify_one();
        } else {
            self.look.notify_one();
        }
    }
}

/// The payload of the notification that an operator has done something.
pub const ASKED: &str = "asked";

/// Listens and keeps house until it is aborted.
pub async fn run(
    mut config: Config,
    hints: Arc<Hints>,
    metrics: Metrics,
    standing: Arc<Standing>,
    retention: Option<Duration>,
) {
    config.application_name(APPLICATION);
    let mut failures = 0;
    loop {
        let mut listening = false;
        if let Err(error) = attend(
            &config,
            &hints,
            &metrics,
            &standing,
            retention,
            &mut listening,
        )
        .await
        {
            tracing::info!(%error, "the connection that listens is lost; polling until it is back");
        }
        hints.listening.store(false, Ordering::Release);
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
    hints: &Arc<Hints>,
    metrics: &Metrics,
    standing: &Standing,
    retention: Option<Duration>,
    listening: &mut bool,
) -> Result<(), SessionError> {
    let (mut client, mut connection) = within(PATIENCE, config.connect(NoTls)).await?;
    let (heard, count) = (hints.clone(), metrics.hints.clone());
    let mut messages = tokio::spawn(async move {
        let mut messages = poll_fn(|cx| connection.poll_message(cx));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(hint) = message {
                count.inc();
                heard.hear(hint.payload());
            }
        }
    });
    let listen = "set statement_timeout = '30s'; set lock_timeout = '3s'; set synchronous_commit = off; set jit = off; \
                  set enable_seqscan = off; listen outbox";
    within(PATIENCE, client.batch_execute(listen)).await?;
    *listening = true;
    hints.listening.store(true, Ordering::Release);
    // Hints that came before are lost.
    hints.look.notify_one();
    hints.hear(ASKED);
    let mut tick = tokio::time::interval(GAUGES);
    for count in 0u32.. {
        tokio::select! {
            _ = &mut messages => break,
            _ = tick.tick() => {
                let drawn: i64 = within(PATIENCE, client.query_one("select last_value from outbox.event_seq", &[])).await?.get(0);
                metrics.backlog.set(standing.distance(drawn));
                // The rest is the same for every shard.
                if let Some(retention) = retention {
                    gauges(&client, metrics).await?;
                    if count.is_multiple_of(SWEEP) {
                        metrics.truncated.inc_by(ring::sweep(&mut client, retention).await?);
                        metrics.overdue.set(ring::overdue(&client, retention).await?);
                    }
                }
            }
        }
    }
    Ok(())
}

async fn gauges(client: &Client, metrics: &Metrics) -> Result<(), SessionError> {
    let gauges = "select (select count(*) from outbox.parked where state = 'refused'), \
                         (select count(*) from outbox.parked where state = 'waiting'), \
                         (select count(*) from (select distinct topic, key from outbox.parked) held), \
                         (select coalesce(max(extract(epoch from clock_timestamp() - xact_start)), 0)::float8 \
                            from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()), \
                         array(select pg_total_relation_size(format('outbox.event_%s', slot)::regclass) \
                                 from generate_series(0, 7) slot order by slot)";
    let row = within(PATIENCE, client.query_one(gauges, &[])).await?;
    metrics.parked_refused.set(row.get(0));
    metrics.parked_waiting.set(row.get(1));
    metrics.quarantined.set(row.get(2));
    metrics.oldest_xact.set(row.get(3));
    for (slot, bytes) in (0i16..).zip(row.get::<_, Vec<i64>>(4)) {
        metrics.ring_bytes(slot).set(bytes);
    }
    Ok(())
}
