//! Where topics end now, asked of the broker.

use std::time::Duration;

use anyhow::Context;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{Consumer as _, StreamConsumer},
};

use crate::group::Group;

const TIMEOUT: Duration = Duration::from_secs(2);

/// The ends of the partitions of a consumer's topics at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends(pub(crate) Vec<End>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub topic: String,
    pub partition: i32,
    /// The oldest offset that is still there.
    pub begin: i64,
    /// The offset the next record will get.
    pub end: i64,
}

impl End {
    /// How many records a reader at `position` has before it.
    pub(crate) fn lag(&self, position: i64) -> i64 {
        (self.end - position.max(self.begin)).max(0)
    }
}

/// The ends of every partition of `topics`. Blocks.
pub(crate) fn of_topics(kafka: &StreamConsumer<Group>, topics: &[String]) -> anyhow::Result<Ends> {
    let mut list = TopicPartitionList::new();
    for topic in topics {
        let metadata = kafka
            .fetch_metadata(Some(topic), TIMEOUT)
            .with_context(|| format!("metadata of {topic}"))?;
        let found = metadata
            .topics()
            .iter()
            .find(|found| found.name() == topic && found.error().is_none());
        for partition in found
            .with_context(|| format!("there is no topic {topic}"))?
            .partitions()
        {
            list.add_partition(topic, partition.id());
        }
    }
    of_partitions(kafka, list)
}

/// The ends of these partitions. Blocks.
pub(crate) fn of_partitions(
    kafka: &StreamConsumer<Group>,
    mut list: TopicPartitionList,
) -> anyhow::Result<Ends> {
    if list.count() == 0 {
        return Ok(Ends::default());
    }
    // Among timestamps, the protocol reads these two as "the oldest record" and "after the latest record".
    list.set_all_offsets(Offset::Beginning)?;
    let begins = kafka.offsets_for_times(list.clone(), TIMEOUT)?;
    list.set_all_offsets(Offset::End)?;
    let ends = kafka.offsets_for_times(list, TIMEOUT)?;
    let mut found = Vec::with_capacity(ends.count());
    for end in ends.elements() {
        let begin = begins
            .find_partition(end.topic(), end.partition())
            .context("a partition has no beginning")?;
        let (topic, partition) = (end.topic().to_owned(), end.partition());
        let (Offset::Offset(begin), Offset::Offset(end)) = (begin.offset(), end.offset()) else {
            anyhow::bail!("the broker did not say where {topic} [{partition}] ends");
        };
        found.push(End {
            topic,
            partition,
            begin,
            end,
        });
    }
    Ok(Ends(found))
}
