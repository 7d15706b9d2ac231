//! The loop of a member of the group: which partitions belong to it, and what is due when.

mod batches;
mod chores;
mod setbacks;

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use bahi_db::Batch;
use futures::StreamExt;
use rdkafka::{Offset, TopicPartitionList, error::KafkaResult};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Status, ends,
    group::{Change, Session},
    meters,
    partition::{OUTAGE, Partition, backoff},
    status::Ask,
    worker::Worker,
};

/// Most records of a batch.
const BATCH: usize = 500;
/// How often lag is measured.
const LOOK: Duration = Duration::from_secs(5);
/// How often it looks for records that an operator released.
const RELEASE: Duration = Duration::from_secs(2);
/// How often old days of the inbox are emptied.
const CLEAN: Duration = Duration::from_secs(3600);

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// As it was told to.
    Stopped,
    /// Its client of Kafka stands still: another one goes on.
    Stood,
}

/// Topic (its place in the list) and partition.
pub(super) type At = (usize, i32);

/// A member of the group.
pub(crate) struct Member<'c> {
    pub(super) session: &'c Session,
    pub(super) worker: &'c Worker<'c>,
    pub(super) topics: &'c [String],
    pub(super) status: &'c Status,
    pub(super) stop: &'c CancellationToken,
    pub(super) partitions: BTreeMap<At, Partition<'c>>,
    /// An assignment that waits for the database.
    assigning: Option<(TopicPartitionList, u32, Instant)>,
    /// How long events may lie, and until when those that lie now.
    gather: Duration,
    /// How long the client may stand still.
    patience: Duration,
    /// Since when it did not say where topics end.
    silent: Option<Instant>,
    /// When it last said so.
    looked: Instant,
    stood: bool,
    work_at: Option<Instant>,
    look_at: Instant,
    release_at: Instant,
    clean_at: Instant,
}

impl<'c> Member<'c> {
    pub(crate) fn new(
        session: &'c Session,
        worker: &'c Worker<'c>,
        topics: &'c [String],
        status: &'c Status,
        (gather, patience): (Duration, Duration),
        stop: &'c CancellationToken,
    ) -> Self {
        let now = Instant::now();
        let partitions = BTreeMap::new();
        Self {
            session,
            worker,
            topics,
            status,
            stop,
            partitions,
            assigning: None,
            gather,
            patience,
            silent: None,
            looked: now,
            stood: false,
            work_at: None,
            look_at: now + LOOK.min(patience / 4),
            release_at: now + RELEASE,
            clean_at: now,
        }
    }

    /// Consumes until `stop` is cancelled, a handler says halt or the client stands still. A batch that has begun is
    /// finished.
    pub(crate) async fn serve(
        mut self,
        mut changes: UnboundedReceiver<Change>,
        asks: &mut UnboundedReceiver<Ask>,
    ) -> anyhow::Result<Served> {
        let messages = self.session.kafka.stream().ready_chunks(BATCH);
        futures::pin_mut!(messages);
        loop {
            let due = self.due();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(Served::Stopped),
                Some(change) = changes.recv() => self.change(change).await?,
                Some(ask) = asks.recv() => {
                    // Whoever asked may have gone.
                    ask.send(ends::of_topics(&self.session.kafka, self.topics)).ok();
                }
                () = sleep_until(due) => {
                    self.due_now().await?;
                    if self.stood {
                        return Ok(Served::Stood);
                    }
                }
                Some(chunk) = messages.next() => {
                    self.take(chunk)?;
                    let many = self.partitions.values().map(|p| p.held.len()).sum::<usize>() >= BATCH;
                    if self.gather.is_zero() || many {
                        self.work_at = None;
                        self.work().await?;
                    } else if self.work_at.is_none() {
                        self.work_at = Some(Instant::now() + self.gather);
                    }
                }
            }
        }
    }

    fn due(&self) -> Instant {
        let assigning = self.assigning.as_ref().map(|(_, _, at)| *at);
        let partitions = self.partitions.values().filter_map(Partition::due);
        let chores = [self.look_at, self.release_at, self.clean_at];
        partitions
            .chain(assigning)
            .chain(self.work_at)
            .chain(chores)
            .min()
            .unwrap_or(self.look_at)
    }

    async fn due_now(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        if self.assigning.as_ref().is_some_and(|(_, _, at)| *at <= now) {
            self.assign().await?;
        }
        if self.work_at.is_some_and(|work_at| work_at <= now) {
            self.work_at = None;
            self.work().await?;
        }
        let ats: Vec<At> = self.partitions.keys().copied().collect();
        for at in ats {
            if self.stop.is_cancelled() {
                return Ok(());
            }
            let Some(partition) = self.partitions.get(&at) else {
                continue;
            };
            if partition.until.is_some_and(|until| until <= now) {
                if partition.lost {
                    self.reopen(at).await
                } else {
                    self.alone(at).await?
                }
            } else if partition.write_at.is_some_and(|write_at| write_at <= now) {
                self.write_lead(at).await?;
            }
        }
        if self.release_at <= now {
            self.release_at = now + RELEASE;
            self.release().await?;
        }
        if self.look_at <= now {
            self.look_at = now + LOOK.min(self.patience / 4);
            self.look();
        }
        if self.clean_at <= now {
            self.clean_at = now + CLEAN;
            if let Err(error) = self.worker.db.clean_inbox().await {
                tracing::warn!(%error, "the inbox was not cleaned");
            }
        }
        Ok(())
    }

    pub(super) fn at(&self, topic: &str, partition: i32) -> Option<At> {
        self.topics
            .iter()
            .position(|known| known == topic)
            .map(|topic| (topic, partition))
    }

    /// A list of one partition, for Kafka's client.
    pub(super) fn list(&self, at: At, offset: Offset) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&self.topics[at.0], at.1, offset)?;
        Ok(list)
    }

    async fn change(&mut self, change: Change) -> anyhow::Result<()> {
        match change {
            Change::Assign(list) => {
                self.assigning = Some((list, 0, Instant::now()));
                self.assign().await?;
            }
            Change::Revoked(list) => {
                for element in list.elements() {
                    tracing::debug!(
                        topic = element.topic(),
                        partition = element.partition(),
                        "revoked"
                    );
                    if let Some(at) = self.at(element.topic(), element.partition()) {
                        // The client keeps a pause beyond the assignment: should the partition come back to
                        // this member, nothing would ever be read of it.
                        self.resume(at);
                        self.partitions.remove(&at);
                        meters::no_lag(self.worker.name, element.topic(), element.partition());
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes what Kafka assigns, at the positions of the database.
    async fn assign(&mut self) -> anyhow::Result<()> {
        let Some((mut list, failures, _)) = self.assigning.take() else {
            return Ok(());
        };
        let wanted: Vec<(String, i32)> = list
            .elements()
            .iter()
            .map(|element| (element.topic().to_owned(), element.partition()))
            .collect();
        let positions = match Batch::positions(&self.worker.db, self.worker.name, &wanted).await {
            Ok(positions) => positions,
            Err(error) => {
                tracing::warn!(%error, "the positions cannot be read");
                let failures = failures.saturating_add(1);
                let pause = backoff(failures).min(OUTAGE);
                self.assigning = Some((list, failures, Instant::now() + pause));
                return Ok(());
            }
        };
        for position in &positions {
            let offset = Offset::Offset(position.next);
            list.set_partition_offset(&position.topic, position.partition, offset)?;
        }
        self.session
            .assign(&list)
            .context("the group's assignment")?;
        for position in &positions {
            tracing::debug!(
                topic = position.topic,
                partition = position.partition,
                offset = position.next,
                "assigned"
            );
            if let Some(at) = self.at(&position.topic, position.partition) {
                self.partitions.insert(at, Partition::at(position));
            }
        }
        Ok(())
    }
}
