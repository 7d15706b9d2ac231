//! Is this the database, and is this the broker, that the last owner left? A restore, a failover or an emptied broker
//! must be noticed before anything is sent: the cursor alone cannot tell.
//!
//! - Another server (system identifier): its transaction numbers mean nothing to the cursor. Nothing is relayed until an
//!   operator has run `rebase`.
//! - The same server with less than the topics hold: an old copy was put back. The same.
//! - Another timeline: a standby was promoted, or a restore to a point in time. Cursor and rows are of one piece, so the
//!   relay goes on; but what the topics hold beyond is no longer true, so the epoch is raised.
//! - Topics with less than was written: they were emptied. The relay goes on and says what is missing; `replay` brings
//!   back what the ring still has.

use std::time::{Duration, Instant};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::Headers,
};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{
    checkpoint::Checkpoint,
    producer::{Ends, Producer},
    session::{LONG_PATIENCE, PATIENCE, SessionError, within},
};

/// Records beyond the checkpoint that are looked at, at most: a crash leaves those of a tenth of a second.
const LOOK_AT: usize = 5_000;
/// And for how long.
const LOOK_FOR: Duration = Duration::from_secs(2);

/// A server and its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// PostgreSQL's system identifier: another one is another cluster.
    pub system: i64,
    /// Its timeline: another one is another history of the same cluster.
    pub timeline: i32,
}

impl Origin {
    /// That of the server at the other end.
    pub async fn read(client: &Client) -> Result<Self, SessionError> {
        let query = "select system_identifier, \
                            ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int \
                       from pg_control_system()";
        let row = within(PATIENCE, client.query_one(query, &[])).await?;
        Ok(Self {
            system: row.get(0),
            timeline: row.get(1),
        })
    }
}

/// What was found besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The timelines, where they differ.
    pub timelines: Option<(i32, i32)>,
    /// Topics and the number of records that they lack.
    pub missing: Vec<(String, i64)>,
    /// Events in the topics that the database does not know, of its current epoch.
    pub phantoms: i64,
}

/// Compares what is there with what `checkpoint` says.
///
/// # Errors
/// [`SessionError::Restored`] where nothing may be relayed; any other where it could not be found out.
pub async fn examine(
    client: &Client,
    producer: &Producer,
    service: &str,
    checkpoint: &Checkpoint,
) -> Result<(Origin, Findings), SessionError> {
    let now = Origin::read(client).await?;
    let mut findings = Findings::default();
    if let Some(before) = checkpoint.origin {
        if before.system != now.system {
            return Err(SessionError::Restored(format!(
                "the database of {service} was restored into another server (system {} instead of {}): \
                 nothing is relayed until `outbox-worker rebase --db {service} --yes`",
                now.system, before.system
            )));
        }
        if before.timeline != now.timeline {
            findings.timelines = Some((before.timeline, now.timeline));
        }
    }
    let mut beyond = TopicPartitionList::new();
    for (topic, next) in &checkpoint.reached {
        let ends = producer.ends(topic, next.len()).await?;
        let missing = missing(next, &ends);
        if missing > 0 {
            findings.missing.push((topic.clone(), missing));
        }
        if let Ends::Known(ends) = ends {
            for (partition, (next, end)) in (0i32..).zip(next.iter().zip(ends)) {
                if end > *next {
                    beyond.add_partition_offset(topic, partition, Offset::Offset(*next))?;
                }
            }
        }
    }
    if beyond.count() > 0 {
        let (bootstrap, source) = (
            producer.bootstrap().to_owned(),
            format!("/services/{service}"),
        );
        let read = tokio::task::spawn_blocking(move || read(&bootstrap, &beyond, &source));
        let told = read.await.unwrap_or_else(|_| Ok(Told::default()))?;
        findings.phantoms = unknown(client, &told).await?;
        if findings.phantoms > 0 && findings.timelines.is_none() {
            return Err(SessionError::Restored(format!(
                "the topics hold {} events that the database of {service} does not know: an older copy was put back; \
                 nothing is relayed until `outbox-worker rebase --db {service} --yes`",
                findings.phantoms
            )));
        }
    }
    if findings.timelines.is_some() {
        within(
            LONG_PATIENCE,
            client.execute("select outbox.raise_epoch()", &[]),
        )
        .await?;
    }
    Ok((now, findings))
}

fn missing(next: &[i64], ends: &Ends) -> i64 {
    match ends {
        Ends::Known(ends) => next
            .iter()
            .zip(ends)
            .map(|(next, end)| (next - end).max(0))
            .sum(),
        Ends::NoTopic => next.iter().sum(),
    }
}

/// What records say of the events in them.
#[derive(Default)]
struct Told {
    seqs: Vec<i64>,
    ids: Vec<Uuid>,
    epochs: Vec<i64>,
}

/// Reads what lies beyond the given offsets now. Blocks.
fn read(
    bootstrap: &str,
    from: &TopicPartitionList,
    source: &str,
) -> Result<Told, rdkafka::error::KafkaError> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "outbox-worker")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "10")
        .set("enable.metrics.push", "false")
        .create()?;
    consumer.assign(from)?;
    let (mut told, mut looked, mut ended) = (Told::default(), 0, 0);
    let deadline = Instant::now() + LOOK_FOR;
    while looked < LOOK_AT && ended < from.count() && Instant::now() < deadline {
        match consumer.poll(Duration::from_millis(50)) {
            Some(Ok(record)) => {
                looked += 1;
                let Some(headers) = record.headers() else {
                    continue;
                };
                let text = |name: &str| {
                    let header = headers.iter().find(|header| header.key == name)?;
                    std::str::from_utf8(header.value?).ok()
                };
                if text("ce_source") == Some(source)
                    && let (Some(seq), Some(id), Some(epoch)) =
                        (text("x-outbox-seq"), text("ce_id"), text("x-outbox-epoch"))
                    && let (Ok(seq), Ok(id), Ok(epoch)) = (seq.parse(), id.parse(), epoch.parse())
                {
                    told.seqs.push(seq);
                    told.ids.push(id);
                    told.epochs.push(epoch);
                }
            }
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => return Err(error),
            None => {}
        }
    }
    Ok(told)
}

/// How many of the current epoch's events the database cannot have said: their number is not drawn yet, or another
/// event has it, or none though its slot is still there. A slot that was emptied says nothing.
async fn unknown(client: &Client, told: &Told) -> Result<i64, SessionError> {
    let query = "select count(*) from unnest($1::int8[], $2::uuid[], $3::int8[]) t(seq, id, epoch) \
                  where t.epoch >= outbox.current_epoch() \
                    and (t.seq > (select last_value from outbox.event_seq) \
                         or t.seq > (select min(seq) from outbox.event) \
                            and not exists (select from outbox.event e where e.seq = t.seq and e.event_id = t.id))";
    let row = within(
        LONG_PATIENCE,
        client.query_one(query, &[&told.seqs, &told.ids, &told.epochs]),
    )
    .await?;
    Ok(row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_a_topic_lacks_and_not_what_others_wrote() {
        assert_eq!(missing(&[5, 0, 7], &Ends::Known(vec![5, 3, 9])), 0);
        assert_eq!(missing(&[5, 0, 7], &Ends::Known(vec![2, 3, 6])), 4);
        assert_eq!(missing(&[5, 0, 7], &Ends::NoTopic), 12);
    }
}
