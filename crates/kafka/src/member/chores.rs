//! Chores between batches: released records, and the lag.

use std::time::Duration;

use bahi_db::Position;
use rdkafka::TopicPartitionList;
use tokio::time::Instant;

use super::{At, Member};
use crate::{Ends, Failed, PartitionStatus, ends, meters};

impl Member<'_> {
    /// Takes up records whose key is not held any more.
    pub(super) async fn release(&mut self) -> anyhow::Result<()> {
        let (partitions, positions) = match self.worker.released_partitions().await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "the quarantine cannot be read");
                return Ok(());
            }
        };
        self.notice(&positions);
        for (topic, partition) in partitions {
            let Some(at) = self.at(&topic, partition) else {
                continue;
            };
            let Some(mine) = self.partitions.get(&at).filter(|mine| !mine.lost) else {
                continue;
            };
            match self.worker.release(&topic, partition, mine.stored).await {
                Ok(released) => {
                    tracing::info!(topic, partition, released, "took records out of quarantine")
                }
                Err(Failed::Halt(error)) => return Err(error),
                Err(Failed::Retry(error) | Failed::Reject { error, .. }) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        topic,
                        partition,
                        "quarantined records stay a little longer"
                    );
                }
            }
        }
        Ok(())
    }

    /// A position that an operator set back is read anew, also where no event comes that would meet it.
    fn notice(&mut self, positions: &[Position]) {
        let moved = positions.iter().filter_map(|position| {
            let at = self.at(&position.topic, position.partition)?;
            let mine = self.partitions.get(&at)?;
            (!mine.lost && mine.stored != position.next).then_some(at)
        });
        let moved: Vec<At> = moved.collect();
        for at in moved {
            self.lose(at);
        }
    }

    /// Measures the lag, and whether the client still does its work. One that lost all its brokers, or stopped to ask
    /// for a partition, says nothing about it: both are known of librdkafka after brokers came and went.
    pub(super) fn look(&mut self) {
        let mut list = TopicPartitionList::with_capacity(self.partitions.len());
        for (topic, partition) in self.partitions.keys() {
            list.add_partition(&self.topics[*topic], *partition);
        }
        let ends = if self.partitions.is_empty() {
            // Nothing to measure, but is there anybody to answer?
            ends::of_topics(&self.session.kafka, self.topics).map(|_| Ends::default())
        } else {
            ends::of_partitions(&self.session.kafka, list)
        };
        let ends = match ends {
            Ok(ends) => ends,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the lag is not known");
                let since = *self.silent.get_or_insert_with(Instant::now);
                self.stood = since.elapsed() >= self.patience;
                return;
            }
        };
        self.silent = None;
        let (now, mut longest) = (Instant::now(), Duration::ZERO);
        // After an outage, or a batch that took its time, nobody had the chance to read: time counts from here.
        let afresh = now - self.looked > self.patience / 2;
        self.looked = now;
        let mut seen = Vec::with_capacity(ends.0.len());
        for end in ends.0 {
            let at = self.at(&end.topic, end.partition);
            let Some(partition) = at.and_then(|at| self.partitions.get_mut(&at)) else {
                continue;
            };
            let lag = end.lag(partition.next);
            longest = longest.max(partition.stands(if afresh { 0 } else { lag }, now));
            meters::lag(self.worker.name, &end.topic, end.partition, lag);
            seen.push(PartitionStatus {
                topic: end.topic,
                partition: end.partition,
                next: partition.next,
                end: end.end,
            });
        }
        self.stood = longest >= self.patience;
        self.status.saw(seen);
    }
}
