//! Dead letters: rejected records, told to `<topic>.<consumer>.dlq`.
//!
//! The row in quarantine is the truth; it is written in the batch's transaction. What stands here only tells others,
//! after the commit and as often as it takes, so a dead letter can appear twice.

use std::{collections::HashSet, convert::Infallible, time::Duration};

use anyhow::Context;
use bahi_db::{Batch, Db, Held};
use futures::future::try_join_all;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};
use tokio::sync::Notify;

use crate::{
    admin::create_topics_with, partition::backoff, producer_settings, record::header_bytes,
};

/// Looks for unsent rows this often even when nobody says there are some: another process may have died before
/// it sent them.
const LOOK: Duration = Duration::from_secs(30);
const BATCH: i64 = 100;

pub(crate) struct DeadLetters {
    db: Db,
    consumer: String,
    brokers: String,
    producer: Option<FutureProducer>,
    known: HashSet<String>,
}

impl DeadLetters {
    pub(crate) fn new(db: Db, consumer: &str, brokers: &str) -> Self {
        let (consumer, brokers) = (consumer.to_owned(), brokers.to_owned());
        Self {
            db,
            consumer,
            brokers,
            producer: None,
            known: HashSet::new(),
        }
    }

    /// Sends what is rejected, for ever.
    pub(crate) async fn run(mut self, wake: &Notify) -> Infallible {
        let mut failures = 0;
        loop {
            let pause = match self.sweep().await {
                Ok(()) => {
                    failures = 0;
                    LOOK
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(
                        consumer = self.consumer,
                        error = format!("{error:#}"),
                        "dead letters were not sent"
                    );
                    backoff(failures)
                }
            };
            tokio::select! {
                () = wake.notified(), if failures == 0 => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn sweep(&mut self) -> anyhow::Result<()> {
        loop {
            let mut batch = Batch::begin(&self.db, None).await?;
            let rows = batch.unsent(&self.consumer, BATCH).await?;
            batch.rollback().await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in &rows {
                self.know(&row.topic).await?;
            }
            let producer = self.producer()?;
            try_join_all(rows.iter().map(|row| self.send(&producer, row))).await?;
            let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
            let mut batch = Batch::begin(&self.db, None).await?;
            batch.sent(&ids).await?;
            batch.commit().await?;
        }
    }

    fn topic(&self, topic: &str) -> String {
        format!("{topic}.{}.dlq", self.consumer)
    }

    /// Creates the dead-letter topic of `topic` when it is first needed.
    async fn know(&mut self, topic: &str) -> anyhow::Result<()> {
        let name = self.topic(topic);
        if !self.known.contains(&name) {
            // Room for the largest record and what is added to it.
            create_topics_with(
                &self.brokers,
                &[&name],
                1,
                &[("max.message.bytes", "2097152")],
            )
            .await?;
            self.known.insert(name);
        }
        Ok(())
    }

    fn producer(&mut self) -> anyhow::Result<FutureProducer> {
        if let Some(producer) = &self.producer {
            return Ok(producer.clone());
        }
        let producer: FutureProducer =
            producer_settings(&self.brokers, &format!("{}.dlq", self.consumer))
                .set("message.max.bytes", "2000000")
                // The rows are kept: rather report a failure than wait for ever.
                .set("message.timeout.ms", "30000")
                .create()?;
        Ok(self.producer.insert(producer).clone())
    }

    async fn send(&self, producer: &FutureProducer, row: &Held) -> anyhow::Result<()> {
        let topic = self.topic(&row.topic);
        let mut record: FutureRecord<'_, [u8], [u8]> =
            FutureRecord::to(&topic).headers(self.headers(row));
        record.key = row.key.as_deref();
        record.payload = row.value.as_deref();
        record.timestamp = row.recorded_at.map(|at| at.timestamp_millis());
        let sent = producer.send(record, Timeout::Never).await;
        sent.map_err(|(error, _)| error)
            .with_context(|| format!("{topic}, quarantine row {}", row.id))?;
        Ok(())
    }

    /// The record's own headers, then why it is here.
    fn headers(&self, row: &Held) -> OwnedHeaders {
        let mut headers = OwnedHeaders::new();
        for pair in row.headers.as_array().into_iter().flatten() {
            let (name, value) = (pair[0].as_str().unwrap_or_default(), header_bytes(&pair[1]));
            headers = headers.insert(Header {
                key: name,
                value: value.as_ref(),
            });
        }
        let timestamp = row.recorded_at.map(|at| at.timestamp_millis().to_string());
        let ours = [
            ("dlq-reason", row.reason.clone()),
            ("dlq-error", row.error.clone()),
            ("dlq-attempts", row.attempts.to_string()),
            (
                "dlq-first-at",
                row.first_at
                    .to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
            ),
            ("orig-topic", row.topic.clone()),
            ("orig-partition", row.partition.to_string()),
            ("orig-offset", row.offset.to_string()),
            ("orig-timestamp", timestamp.unwrap_or_default()),
            ("consumer", self.consumer.clone()),
        ];
        ours.iter().fold(headers, |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(value),
            })
        })
    }
}
