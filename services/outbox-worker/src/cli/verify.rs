//! Does the topic hold what the ring says is published, and nothing else?

use std::{
    collections::{BTreeMap, HashSet},
    io::Write,
    time::Duration,
};

use anyhow::Context;
use chrono::{DateTime, Utc};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::Headers,
};
use uuid::Uuid;

use super::{
    Exit,
    place::{Place, Places},
};

/// For one answer of the broker.
const PATIENCE: Duration = Duration::from_secs(10);
/// Ids that are printed of each kind.
const PRINTED: usize = 100;
/// The record's time is the row's: this covers rounding.
const MARGIN: i64 = 1_000;

/// What the ring holds.
struct Ring {
    /// Published, by topic.
    published: BTreeMap<String, HashSet<Uuid>>,
    /// Every id, also of what is not published yet or parked.
    all: HashSet<Uuid>,
    first: i64,
    oldest: DateTime<Utc>,
}

/// Well when nothing is missing and nothing is too much.
pub async fn verify(
    places: &Places,
    db: &str,
    from: i64,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let place = places.connect(db).await?;
    let Some(ring) = read_ring(&place, from).await? else {
        writeln!(out, "{db}: the ring holds nothing from {from} on")?;
        return Ok(Exit::Done);
    };
    let source = format!("/services/{db}");
    let (mut missing, mut extra, mut events) = (Vec::new(), Vec::new(), 0);
    for (topic, published) in &ring.published {
        let found = read_topic(places.kafka(), topic, &source, &ring)
            .with_context(|| format!("topic {topic}"))?;
        events += published.len();
        missing.extend(published.difference(&found).map(|id| (topic, *id)));
        extra.extend(found.difference(&ring.all).map(|id| (topic, *id)));
    }
    for (kind, ids) in [("missing", &mut missing), ("extra", &mut extra)] {
        ids.sort_unstable();
        for (topic, id) in ids.iter().take(PRINTED) {
            writeln!(out, "{kind} {topic} {id}")?;
        }
        if ids.len() > PRINTED {
            writeln!(out, "{kind}: {} more", ids.len() - PRINTED)?;
        }
    }
    writeln!(
        out,
        "{db}: {events} published events from {} on in {} topics; {} missing, {} extra",
        ring.first,
        ring.published.len(),
        missing.len(),
        extra.len()
    )?;
    Ok(Exit::when(missing.is_empty() && extra.is_empty()))
}

async fn read_ring(place: &Place, from: i64) -> anyhow::Result<Option<Ring>> {
    let rows = place
        .client
        .query(
            "select seq, event_id, topic, published, \"timestamp\" from outbox.status where seq >= $1",
            &[&from],
        )
        .await?;
    let mut ring: Option<Ring> = None;
    for row in rows {
        let (seq, id, time): (i64, Uuid, DateTime<Utc>) = (row.get(0), row.get(1), row.get(4));
        let ring = ring.get_or_insert_with(|| Ring {
            published: BTreeMap::new(),
            all: HashSet::new(),
            first: seq,
            oldest: time,
        });
        ring.first = ring.first.min(seq);
        ring.oldest = ring.oldest.min(time);
        ring.all.insert(id);
        if row.get(3) {
            ring.published.entry(row.get(2)).or_default().insert(id);
        }
    }
    Ok(ring)
}

/// The ids of this service's events in a topic, as far back as the ring reaches.
fn read_topic(
    kafka: &str,
    topic: &str,
    source: &str,
    ring: &Ring,
) -> anyhow::Result<HashSet<Uuid>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("group.id", "outbox-worker verify")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("enable.metrics.push", "false")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let partitions = metadata
        .topics()
        .first()
        .map_or(0, |topic| topic.partitions().len());
    anyhow::ensure!(partitions > 0, "the cluster does not have it");
    let mut list = TopicPartitionList::new();
    for partition in 0..i32::try_from(partitions)? {
        let since = Offset::Offset(ring.oldest.timestamp_millis() - MARGIN);
        list.add_partition_offset(topic, partition, since)?;
    }
    // Where there is nothing as young as that, the end.
    let list = consumer.offsets_for_times(list, PATIENCE)?;
    consumer.assign(&list)?;
    let (mut found, mut ended) = (HashSet::new(), HashSet::new());
    while ended.len() < partitions {
        match consumer.poll(PATIENCE) {
            None => anyhow::bail!("the broker sends nothing"),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
            }
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(record)) => {
                let Some(headers) = record.headers() else {
                    continue;
                };
                let text = |name: &str| {
                    let header = headers.iter().find(|header| header.key == name)?;
                    std::str::from_utf8(header.value?).ok()
                };
                let seq = text("x-outbox-seq").and_then(|seq| seq.parse::<i64>().ok());
                if text("ce_source") == Some(source)
                    && seq.is_some_and(|seq| seq >= ring.first)
                    && let Some(Ok(id)) = text("ce_id").map(str::parse)
                {
                    found.insert(id);
                }
            }
        }
    }
    Ok(found)
}
