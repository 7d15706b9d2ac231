//! Reading a part of a topic once, without a group: for operators' commands, and for what a service looks up at start.
//! Everything here blocks.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::BorrowedMessage,
};

use crate::{
    consumer_settings,
    record::{Source as Headers, named},
};

const PATIENCE: Duration = Duration::from_secs(5);
/// A broker that sends nothing for so long is taken for away.
const SILENCE: Duration = Duration::from_secs(30);

/// A partition, and from where to where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Partition.
    pub partition: i32,
    /// The first offset.
    pub from: i64,
    /// The offset after the last.
    pub to: i64,
}

/// A record.
pub struct Source<'a>(&'a BorrowedMessage<'a>);

impl Source<'_> {
    /// Partition.
    pub fn partition(&self) -> i32 {
        self.0.partition()
    }

    /// Offset.
    pub fn offset(&self) -> i64 {
        self.0.offset()
    }

    /// Key.
    pub fn key(&self) -> Option<&[u8]> {
        self.0.key()
    }

    /// Value.
    pub fn value(&self) -> Option<&[u8]> {
        self.0.payload()
    }

    /// The last header of this name, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        named(Headers::of(self.0), name)
    }
}

/// Reads parts of topics.
pub struct Reader {
    kafka: BaseConsumer,
}

impl Reader {
    /// A client of its own.
    ///
    /// # Errors
    /// When its settings are refused.
    pub fn connect(brokers: &str) -> anyhow::Result<Self> {
        // Assigning needs a group's name; none is joined and nothing is committed.
        let kafka = consumer_settings(brokers, "bahi-reader")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()?;
        Ok(Self { kafka })
    }

    /// The partitions of a topic, each from its oldest record to its end.
    ///
    /// # Errors
    /// When the broker does not answer, or has no such topic.
    pub fn parts(&self, topic: &str) -> anyhow::Result<Vec<Part>> {
        let metadata = self
            .kafka
            .fetch_metadata(Some(topic), PATIENCE)
            .with_context(|| format!("metadata of {topic}"))?;
        let mut found = metadata.topics().iter();
        let found = found
            .find(|t| t.name() == topic && t.error().is_none())
            .with_context(|| format!("there is no topic {topic}"))?;
        let mut parts = Vec::with_capacity(found.partitions().len());
        for partition in found.partitions() {
            let (from, to) = self
                .kafka
                .fetch_watermarks(topic, partition.id(), PATIENCE)
                .with_context(|| format!("where {topic} [{}] ends", partition.id()))?;
            parts.push(Part {
                partition: partition.id(),
                from,
                to,
            });
        }
        parts.sort_by_key(|part| part.partition);
        Ok(parts)
    }

    /// The same parts, each from its first record at or after `time`.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn since(
        &self,
        topic: &str,
        parts: &[Part],
        time: DateTime<Utc>,
    ) -> anyhow::Result<Vec<Part>> {
        let mut list = TopicPartitionList::with_capacity(parts.len());
        for part in parts {
            let at = Offset::Offset(time.timestamp_millis());
            list.add_partition_offset(topic, part.partition, at)?;
        }
        let found = self.kafka.offsets_for_times(list, PATIENCE)?;
        let from = |part: &Part| match found.find_partition(topic, part.partition)?.offset() {
            Offset::Offset(at) => Some(at.clamp(part.from, part.to)),
            // Everything is older.
            _ => Some(part.to),
        };
        Ok(parts
            .iter()
            .map(|part| Part {
                from: from(part).unwrap_or(part.to),
                ..part.clone()
            })
            .collect())
    }

    /// Reads these parts to their ends, in the order of each partition.
    ///
    /// # Errors
    /// When the broker stays silent, or `f` says so.
    pub fn read(
        &self,
        topic: &str,
        parts: &[Part],
        mut f: impl FnMut(&Source<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut list = TopicPartitionList::new();
        let mut open = HashMap::new();
        for part in parts.iter().filter(|part| part.from < part.to) {
            list.add_partition_offset(topic, part.partition, Offset::Offset(part.from))?;
            open.insert(part.partition, part.to);
        }
        self.kafka.assign(&list)?;
        while !open.is_empty() {
            let Some(polled) = self.kafka.poll(SILENCE) else {
                bail!("{topic}: the broker sends nothing");
            };
            match polled {
                Ok(message) => {
                    let at = message.partition();
                    let Some(to) = open.get(&at).copied() else {
                        continue;
                    };
                    if message.offset() < to {
                        f(&Source(&message))?;
                    }
                    if message.offset() + 1 >= to {
                        open.remove(&at);
                    }
                }
                Err(KafkaError::PartitionEOF(at)) => {
                    open.remove(&at);
                }
                // The client reconnects by itself; silence ends it.
                Err(error) if matches!(error, KafkaError::MessageConsumption(_)) => {
                    tracing::debug!(%error, topic, "reading goes on");
                }
                Err(error) => return Err(error).context(topic.to_owned()),
            }
        }
        self.kafka.unassign()?;
        Ok(())
    }
}
