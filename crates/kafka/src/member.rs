//! The loop of a member of the group: poll, handle, settle.
//!
//! A batch is whatever lies waiting, of all partitions, up to five hundred records: while one transaction runs the
//! next batch gathers, so the cost of a commit is shared by more events the more there are. When a batch of several
//! partitions fails, each is tried alone, and only the one that fails again is paused.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use bahi_db::{Batch, Move};
use futures::StreamExt;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::Consumer as _,
    error::{KafkaError, KafkaResult},
    message::BorrowedMessage,
};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    Failed, PartitionStatus, Status, ends,
    group::{Change, Session},
    meters,
    partition::{Partition, backoff},
    record::Record,
    status::Ask,
    worker::{Load, Outcome, Worker},
};

/// Most records of a batch.
const BATCH: usize = 500;
/// How often lag is measured.
const LOOK: Duration = Duration::from_secs(5);
/// How often it looks for records that an operator released.
const RELEASE: Duration = Duration::from_secs(2);
/// How often old days of the inbox are emptied.
const CLEAN: Duration = Duration::from_secs(3600);

/// Topic (its place in the list) and partition.
type At = (usize, i32);

pub(crate) struct Member<'c> {
    session: &'c Session,
    worker: &'c Worker<'c>,
    topics: &'c [String],
    status: &'c Status,
    partitions: BTreeMap<At, Partition<'c>>,
    /// An assignment that waits for the database.
    assigning: Option<(TopicPartitionList, u32, Instant)>,
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
    ) -> Self {
        let now = Instant::now();
        let partitions = BTreeMap::new();
        Self {
            session,
            worker,
            topics,
            status,
            partitions,
            assigning: None,
            look_at: now + LOOK,
            release_at: now + RELEASE,
            clean_at: now,
        }
    }

    /// Consumes until `stop` is cancelled or a handler says halt. A batch that has begun is finished.
    pub(crate) async fn serve(
        mut self,
        mut changes: UnboundedReceiver<Change>,
        asks: &mut UnboundedReceiver<Ask>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let messages = self.session.kafka.stream().ready_chunks(BATCH);
        futures::pin_mut!(messages);
        loop {
            let due = self.due();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(change) = changes.recv() => self.change(change).await,
                Some(ask) = asks.recv() => {
                    // Whoever asked may have gone.
                    ask.send(ends::of_topics(&self.session.kafka, self.topics)).ok();
                }
                () = sleep_until(due) => self.due_now().await?,
                Some(chunk) = messages.next() => {
                    self.take(chunk)?;
                    self.work().await?;
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
            .chain(chores)
            .min()
            .unwrap_or(self.look_at)
    }

    async fn due_now(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        if self.assigning.as_ref().is_some_and(|(_, _, at)| *at <= now) {
            self.assign().await;
        }
        let ats: Vec<At> = self.partitions.keys().copied().collect();
        for at in ats {
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
            self.look_at = now + LOOK;
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

    fn at(&self, topic: &str, partition: i32) -> Option<At> {
        self.topics
            .iter()
            .position(|known| known == topic)
            .map(|topic| (topic, partition))
    }

    fn list(&self, at: At, offset: Offset) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&self.topics[at.0], at.1, offset)?;
        Ok(list)
    }

    // --- Which partitions -------------------------------------------------------------------

    async fn change(&mut self, change: Change) {
        match change {
            Change::Assign(list) => {
                self.assigning = Some((list, 0, Instant::now()));
                self.assign().await;
            }
            Change::Revoked(list) => {
                for element in list.elements() {
                    tracing::debug!(
                        topic = element.topic(),
                        partition = element.partition(),
                        "revoked"
                    );
                    if let Some(at) = self.at(element.topic(), element.partition()) {
                        self.partitions.remove(&at);
                        meters::no_lag(self.worker.name, element.topic(), element.partition());
                    }
                }
            }
        }
    }

    /// Takes what Kafka assigns, at the positions of the database.
    async fn assign(&mut self) {
        let Some((mut list, failures, _)) = self.assigning.take() else {
            return;
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
                self.assigning = Some((list, failures, Instant::now() + backoff(failures)));
                return;
            }
        };
        let mut taken = KafkaResult::Ok(());
        for position in &positions {
            let offset = Offset::Offset(position.next);
            taken =
                taken.and(list.set_partition_offset(&position.topic, position.partition, offset));
        }
        if let Err(error) = taken.and_then(|()| self.session.assign(&list)) {
            tracing::error!(%error, "the assignment was not taken");
            return;
        }
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
    }

    // --- Batches ----------------------------------------------------------------------------

    fn take(&mut self, chunk: Vec<Result<BorrowedMessage<'c>, KafkaError>>) -> anyhow::Result<()> {
        for message in chunk {
            match message {
                Ok(message) => {
                    let at = self.at(message.topic(), message.partition());
                    // One that is not there any more was revoked: its new owner reads it.
                    if let Some(partition) = at.and_then(|at| self.partitions.get_mut(&at)) {
                        partition.push(message);
                    }
                }
                Err(KafkaError::MessageConsumptionFatal(code)) => {
                    return Err(KafkaError::MessageConsumptionFatal(code)).context("Kafka");
                }
                Err(error) => tracing::warn!(%error, "Kafka"),
            }
        }
        Ok(())
    }

    /// Handles what is held and not put off.
    async fn work(&mut self) -> anyhow::Result<()> {
        let ready = |(at, partition): (&At, &Partition<'_>)| {
            (!partition.held.is_empty() && partition.until.is_none()).then_some(*at)
        };
        let ready: Vec<At> = self.partitions.iter().filter_map(ready).collect();
        match ready[..] {
            [] => Ok(()),
            [at] => self.alone(at).await,
            _ => {
                match self.attempt(&ready).await {
                    Ok(outcome @ (Outcome::Done(_) | Outcome::Idle)) => {
                        self.settle(&ready, outcome)
                    }
                    Err(Failed::Halt(error)) => return Err(error),
                    // Somebody else's trouble shall not hold up the rest.
                    _ => {
                        for at in ready {
                            self.alone(at).await?;
                        }
                    }
                }
                Ok(())
            }
        }
    }

    /// Handles what one partition holds, and settles its failures.
    async fn alone(&mut self, at: At) -> anyhow::Result<()> {
        while self
            .partitions
            .get(&at)
            .is_some_and(|partition| !partition.held.is_empty())
        {
            match self.attempt(&[at]).await {
                Ok(Outcome::Lost) => {
                    self.lose(at);
                    return Ok(());
                }
                Ok(outcome) => self.settle(&[at], outcome),
                Err(Failed::Halt(error)) => return Err(error),
                Err(Failed::Retry(error) | Failed::Reject { error, .. }) => {
                    self.put_off(at, &error);
                    return Ok(());
                }
            }
        }
        self.resume(at);
        Ok(())
    }

    async fn attempt(&self, ats: &[At]) -> Result<Outcome, Failed> {
        let (mut records, mut moves) = (Vec::new(), Vec::new());
        let mut tries = 0;
        for at in ats {
            let Some(partition) = self.partitions.get(at) else {
                continue;
            };
            let portion = &partition.held[..partition.portion()];
            let Some(last) = portion.last() else { continue };
            records.extend(
                portion
                    .iter()
                    .map(|message| Record::from_kafka(message, partition.highest)),
            );
            let (topic, to) = (self.topics[at.0].as_str(), last.offset() + 1);
            moves.push(Move {
                topic,
                partition: at.1,
                from: partition.stored,
                to,
            });
            tries = tries.max(partition.tries);
        }
        let Some(first) = records.first() else {
            return Ok(Outcome::Idle);
        };
        let span = tracing::info_span!(
            "consume",
            consumer = self.worker.name,
            records = records.len(),
            topic = first.topic,
            partition = first.partition,
            offset = first.offset,
            traceparent = first.trace
        );
        let load = Load {
            records,
            moves,
            tries,
            even_if_idle: false,
        };
        self.worker.attempt(&load).instrument(span).await
    }

    /// The records that an attempt took are done with.
    fn settle(&mut self, ats: &[At], outcome: Outcome) {
        let committed = matches!(outcome, Outcome::Done(_));
        for at in ats {
            if let Some(partition) = self.partitions.get_mut(at) {
                partition.advance(partition.portion(), committed);
            }
        }
        self.tell_kafka(ats);
    }

    /// Stores offsets for tools that show the lag of groups. Nothing is lost when this is: the database decides.
    fn tell_kafka(&self, ats: &[At]) {
        let mut list = TopicPartitionList::with_capacity(ats.len());
        for at in ats {
            if let Some(partition) = self.partitions.get(at) {
                list.add_partition_offset(&self.topics[at.0], at.1, Offset::Offset(partition.next))
                    .ok();
            }
        }
        if let Err(error) = self.session.kafka.store_offsets(&list) {
            tracing::debug!(%error, "offsets were not stored in Kafka");
        }
    }

    /// Writes positions that are ahead of the database's by records that concern nobody here.
    async fn write_lead(&mut self, at: At) -> anyhow::Result<()> {
        let Some(partition) = self.partitions.get_mut(&at) else {
            return Ok(());
        };
        partition.write_at = None;
        let (from, to) = (partition.stored, partition.next);
        let moves = vec![Move {
            topic: &self.topics[at.0],
            partition: at.1,
            from,
            to,
        }];
        let load = Load {
            records: Vec::new(),
            moves,
            tries: 0,
            even_if_idle: true,
        };
        match self.worker.attempt(&load).await {
            Ok(Outcome::Lost) => self.lose(at),
            Ok(_) => partition.advance(0, true),
            Err(Failed::Halt(error)) => return Err(error),
            // Whatever comes next writes it too.
            Err(Failed::Retry(error) | Failed::Reject { error, .. }) => {
                tracing::warn!(error = format!("{error:#}"), "a position was not written");
                partition.advance(0, false);
            }
        }
        Ok(())
    }

    // --- Failures ---------------------------------------------------------------------------

    fn pause(&mut self, at: At) {
        if let Err(error) = self
            .list(at, Offset::Invalid)
            .and_then(|list| self.session.kafka.pause(&list))
        {
            tracing::warn!(%error, "a partition was not paused");
        }
    }

    fn resume(&mut self, at: At) {
        let Some(partition) = self.partitions.get_mut(&at) else {
            return;
        };
        if partition.until.take().is_none() {
            return;
        }
        if let Err(error) = self
            .list(at, Offset::Invalid)
            .and_then(|list| self.session.kafka.resume(&list))
        {
            tracing::error!(%error, "a partition was not resumed");
            self.lose(at);
        }
    }

    /// Keeps the records and tries again later. Others go on meanwhile.
    fn put_off(&mut self, at: At, error: &anyhow::Error) {
        self.pause(at);
        meters::retried(self.worker.name);
        if let Some(partition) = self.partitions.get_mut(&at) {
            let pause = partition.put_off();
            tracing::warn!(
                consumer = self.worker.name,
                topic = self.topics[at.0],
                partition = at.1,
                offset = partition.next,
                tries = partition.tries,
                ?pause,
                error = format!("{error:#}"),
                "a batch is put off"
            );
        }
    }

    /// The position is not where it was thought to be: drop the records and look again, a little later, because
    /// another process may be at it for a while.
    fn lose(&mut self, at: At) {
        self.pause(at);
        if let Some(partition) = self.partitions.get_mut(&at) {
            partition.lose();
            partition.put_off();
            tracing::warn!(
                consumer = self.worker.name,
                topic = self.topics[at.0],
                partition = at.1,
                offset = partition.next,
                "another process has moved the position"
            );
        }
    }

    /// Goes on where the database says.
    async fn reopen(&mut self, at: At) {
        if let Err(error) = self.seek(at).await {
            tracing::warn!(
                error = format!("{error:#}"),
                "a partition cannot be taken up again"
            );
            if let Some(partition) = self.partitions.get_mut(&at) {
                partition.put_off();
            }
        }
    }

    async fn seek(&mut self, at: At) -> anyhow::Result<()> {
        let place = [(self.topics[at.0].clone(), at.1)];
        let positions = Batch::positions(&self.worker.db, self.worker.name, &place).await?;
        let position = positions.first().context("the position is gone")?;
        let list = self.list(at, Offset::Offset(position.next))?;
        let kafka = &self.session.kafka;
        // Nothing read in between is seen: seeking outdates what is on its way.
        kafka.resume(&list)?;
        for element in kafka
            .seek_partitions(list, Duration::from_secs(5))?
            .elements()
        {
            element.error()?;
        }
        if let Some(partition) = self.partitions.get_mut(&at) {
            let tries = partition.tries;
            *partition = Partition {
                tries,
                ..Partition::at(position)
            };
        }
        Ok(())
    }

    // --- Chores -----------------------------------------------------------------------------

    /// Takes up records whose key is not held any more.
    async fn release(&mut self) -> anyhow::Result<()> {
        let partitions = match self.worker.released_partitions().await {
            Ok(partitions) => partitions,
            Err(error) => {
                tracing::debug!(%error, "the quarantine cannot be read");
                return Ok(());
            }
        };
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

    /// Measures the lag.
    fn look(&mut self) {
        let mut list = TopicPartitionList::with_capacity(self.partitions.len());
        for (topic, partition) in self.partitions.keys() {
            list.add_partition(&self.topics[*topic], *partition);
        }
        let ends = match ends::of_partitions(&self.session.kafka, list) {
            Ok(ends) => ends,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the lag is not known");
                return;
            }
        };
        let mut seen = Vec::with_capacity(ends.0.len());
        for end in ends.0 {
            let at = self.at(&end.topic, end.partition);
            let Some(partition) = at.and_then(|at| self.partitions.get(&at)) else {
                continue;
            };
            meters::lag(
                self.worker.name,
                &end.topic,
                end.partition,
                end.lag(partition.next),
            );
            seen.push(PartitionStatus {
                topic: end.topic,
                partition: end.partition,
                next: partition.next,
                end: end.end,
            });
        }
        self.status.saw(seen);
    }
}
