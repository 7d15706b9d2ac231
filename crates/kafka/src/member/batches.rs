//! Batches: what is held is handled, and settled.
//!
//! A batch is whatever lies waiting, of all partitions, up to five hundred records: while one transaction
//! runs the next batch gathers, so the more events there are, the more of them share a commit. When a batch
//! of several partitions fails, each is tried alone, and only the one that fails again is put off.

use anyhow::Context;
use bahi_db::Move;
use rdkafka::{
    Message, Offset, TopicPartitionList, consumer::Consumer as _, error::KafkaError,
    message::BorrowedMessage,
};
use tracing::Instrument;

use super::{At, Member, setbacks::is_outage};
use crate::{
    Failed,
    partition::Partition,
    record::Record,
    trace,
    worker::{Load, Outcome},
};

impl<'c> Member<'c> {
    /// Takes over what was polled.
    pub(super) fn take(
        &mut self,
        chunk: Vec<Result<BorrowedMessage<'c>, KafkaError>>,
    ) -> anyhow::Result<()> {
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

    /// Handles what is held and not put off, to the end.
    pub(super) async fn work(&mut self) -> anyhow::Result<()> {
        while !self.stop.is_cancelled() {
            let ready = |(at, partition): (&At, &Partition<'_>)| {
                (!partition.held.is_empty() && partition.until.is_none()).then_some(*at)
            };
            let ready: Vec<At> = self.partitions.iter().filter_map(ready).collect();
            match ready[..] {
                [] => break,
                [at] => self.alone(at).await?,
                _ => self.together(&ready).await?,
            }
        }
        Ok(())
    }

    async fn together(&mut self, ready: &[At]) -> anyhow::Result<()> {
        match self.attempt(ready).await {
            Ok(outcome @ (Outcome::Done(_) | Outcome::Idle)) => self.settle(ready, outcome),
            Err(Failed::Halt(error)) => return Err(error),
            Err(Failed::Retry(error)) if is_outage(&error) => {
                for at in ready {
                    self.put_off(*at, &error);
                }
            }
            // One partition's trouble shall not hold up the rest.
            _ => {
                for at in ready {
                    self.alone(*at).await?;
                }
            }
        }
        Ok(())
    }

    /// Handles what one partition holds, and settles its failures.
    pub(super) async fn alone(&mut self, at: At) -> anyhow::Result<()> {
        while self
            .partitions
            .get(&at)
            .is_some_and(|partition| !partition.held.is_empty())
        {
            if self.stop.is_cancelled() {
                return Ok(());
            }
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
        let span = trace::span(self.worker.name, first, &records);
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
    pub(super) async fn write_lead(&mut self, at: At) -> anyhow::Result<()> {
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
}
