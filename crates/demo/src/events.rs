//! What Kafka holds, read from the beginning by a consumer that belongs to no group.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Event {
    event_id: String,
    event_type: String,
    tenant_id: String,
    aggregate_id: String,
}

/// The events of one tenant in one topic.
#[derive(Debug, Default)]
pub struct Topic {
    /// Records by event type, copies included.
    pub records: BTreeMap<String, u64>,
    /// Aggregates by event type, one entry an event (by event id).
    pub aggregates: BTreeMap<String, Vec<String>>,
    /// Records beyond the first of an event id.
    pub copies: u64,
}

fn consumer(brokers: &str, group: &str) -> anyhow::Result<BaseConsumer> {
    Ok(ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "false")
        .create()?)
}

const PATIENCE: Duration = Duration::from_secs(10);

fn ends(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<Vec<(i32, i64)>> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let topic_metadata = metadata.topics().first().context("no such topic")?;
    let partitions = topic_metadata.partitions().iter();
    partitions
        .map(|p| {
            Ok((
                p.id(),
                consumer.fetch_watermarks(topic, p.id(), PATIENCE)?.1,
            ))
        })
        .collect()
}

/// Reads `topic` to its present end and keeps what belongs to `tenant`. Blocks.
///
/// # Errors
/// When the broker does not answer.
pub fn read(brokers: &str, topic: &str, tenant: &str) -> anyhow::Result<Topic> {
    let consumer = consumer(brokers, "bahi-demo-reader")?;
    let ends = ends(&consumer, topic)?;
    let mut places = TopicPartitionList::new();
    let mut open: BTreeMap<i32, i64> = BTreeMap::new();
    for (partition, end) in ends {
        let begin = consumer.fetch_watermarks(topic, partition, PATIENCE)?.0;
        if end > begin {
            places.add_partition_offset(topic, partition, Offset::Beginning)?;
            open.insert(partition, end);
        }
    }
    consumer.assign(&places)?;
    let (mut found, mut seen, mut last) = (Topic::default(), BTreeSet::new(), Instant::now());
    while !open.is_empty() {
        match consumer.poll(Duration::from_millis(200)) {
            Some(message) => {
                let message = message?;
                last = Instant::now();
                take(
                    &mut found,
                    &mut seen,
                    message.payload().unwrap_or_default(),
                    tenant,
                )?;
                if open
                    .get(&message.partition())
                    .is_some_and(|end| message.offset() + 1 >= *end)
                {
                    open.remove(&message.partition());
                }
            }
            None if last.elapsed() > PATIENCE * 3 => bail!("{topic} cannot be read to its end"),
            None => {}
        }
    }
    Ok(found)
}

fn take(
    found: &mut Topic,
    seen: &mut BTreeSet<String>,
    value: &[u8],
    tenant: &str,
) -> anyhow::Result<()> {
    let event: Event = serde_json::from_slice(value).context("a record that is no event")?;
    if event.tenant_id != tenant {
        return Ok(());
    }
    *found.records.entry(event.event_type.clone()).or_default() += 1;
    if seen.insert(event.event_id) {
        found
            .aggregates
            .entry(event.event_type)
            .or_default()
            .push(event.aggregate_id);
    } else {
        found.copies += 1;
    }
    Ok(())
}

/// Events of `topic` that the consumer group `group` has yet to handle. Blocks.
///
/// # Errors
/// When the broker does not answer.
pub fn lag(brokers: &str, group: &str, topic: &str) -> anyhow::Result<i64> {
    let consumer = consumer(brokers, group)?;
    let ends = ends(&consumer, topic)?;
    let mut places = TopicPartitionList::new();
    for (partition, _) in &ends {
        places.add_partition(topic, *partition);
    }
    let committed = consumer.committed_offsets(places, PATIENCE)?;
    let mut lag = 0;
    for (partition, end) in ends {
        let begin = consumer.fetch_watermarks(topic, partition, PATIENCE)?.0;
        let at = match committed
            .find_partition(topic, partition)
            .map(|p| p.offset())
        {
            Some(Offset::Offset(at)) => at,
            _ => begin,
        };
        lag += end - at;
    }
    Ok(lag)
}
