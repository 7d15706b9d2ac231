//! The topic of a run: created for it, counted by its ends while it is timed, read afterwards for the oracle.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use bahi_testkit::{Entry, Seen, Verdict, judge};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::{BorrowedMessage, Headers},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::contender::Contender;

/// Partitions of every topic of the fleet.
pub const PARTITIONS: i32 = 12;
const PATIENCE: Duration = Duration::from_secs(10);

/// A topic, deleted by [`Topic::delete`].
pub struct Topic {
    kafka: String,
    /// Its name.
    pub name: String,
    counter: BaseConsumer,
}

/// A record as it lies in the topic.
pub struct Record {
    /// What the oracle judges.
    pub seen: Seen,
    /// When the broker appended it, in milliseconds since 1970.
    pub appended: i64,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    event_id: Uuid,
    aggregate_version: i64,
    #[serde(borrow)]
    payload: &'a RawValue,
}

fn admin(kafka: &str) -> anyhow::Result<AdminClient<DefaultClientContext>> {
    Ok(ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .create()?)
}

fn consumer(kafka: &str, wait: &str) -> anyhow::Result<BaseConsumer> {
    Ok(ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("group.id", "none")
        .set("enable.auto.commit", "false")
        .set("fetch.min.bytes", "1")
        .set("fetch.wait.max.ms", wait)
        .create()?)
}

impl Topic {
    /// Creates it. The broker stamps its records with its own clock, so that what is timed is timed by one.
    pub async fn create(kafka: &str, name: &str) -> anyhow::Result<Self> {
        let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1))
            .set("message.timestamp.type", "LogAppendTime");
        for created in admin(kafka)?
            .create_topics([&topic], &AdminOptions::new())
            .await?
        {
            created.map_err(|(name, code)| anyhow::anyhow!("creating topic {name}: {code}"))?;
        }
        // A client that asked too early holds the topic for unknown for a while: each attempt has a client of its own.
        for attempt in 0u32.. {
            let topic = Self {
                kafka: kafka.to_owned(),
                name: name.to_owned(),
                counter: consumer(kafka, "5")?,
            };
            match topic.ready().and_then(|()| topic.count()) {
                Ok(_) => return Ok(topic),
                Err(error) if attempt == 100 => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        anyhow::bail!("topic {name} does not come up")
    }

    fn ready(&self) -> anyhow::Result<()> {
        let metadata = self.counter.fetch_metadata(Some(&self.name), PATIENCE)?;
        let led = metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions())
            .filter(|partition| partition.leader() >= 0)
            .count();
        anyhow::ensure!(led == PARTITIONS as usize, "{led} partitions have a leader");
        Ok(())
    }

    fn list(&self, offset: Offset) -> anyhow::Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset(&self.name, partition, offset)?;
        }
        Ok(list)
    }

    /// How many records it has: one request to the broker.
    pub fn count(&self) -> anyhow::Result<u64> {
        // "End" in the place of a time asks for the end.
        let ends = self
            .counter
            .offsets_for_times(self.list(Offset::End)?, PATIENCE)?;
        let mut count = 0;
        for end in ends.elements() {
            end.error()?;
            let Offset::Offset(offset) = end.offset() else {
                anyhow::bail!("the broker does not say where {} ends", self.name)
            };
            count += u64::try_from(offset)?;
        }
        Ok(count)
    }

    /// Everything in it, in order per partition.
    pub fn read(&self, contender: Contender) -> anyhow::Result<Vec<Record>> {
        let count = usize::try_from(self.count()?)?;
        let consumer = consumer(&self.kafka, "100")?;
        consumer.assign(&self.list(Offset::Beginning)?)?;
        let mut records = Vec::with_capacity(count);
        let mut last = Instant::now();
        while records.len() < count {
            anyhow::ensure!(
                last.elapsed() < PATIENCE * 3,
                "{} of {count} records of {} could be read",
                records.len(),
                self.name
            );
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                records.push(parse(contender, &message)?);
                last = Instant::now();
            }
        }
        Ok(records)
    }

    /// Judges what is in it.
    pub fn judge(&self, contender: Contender, ledger: &[Entry]) -> anyhow::Result<Verdict> {
        let seen: Vec<Seen> = self
            .read(contender)?
            .into_iter()
            .map(|record| record.seen)
            .collect();
        Ok(judge(ledger, &seen))
    }

    /// Follows it from its beginning.
    pub fn follow(&self, id_header: &'static str) -> anyhow::Result<Follower> {
        let consumer = consumer(&self.kafka, "5")?;
        consumer.assign(&self.list(Offset::Beginning)?)?;
        let (arrivals, stop) = (Arc::<Mutex<Vec<Arrival>>>::default(), Arc::default());
        let (kept, stopped) = (Arc::clone(&arrivals), Arc::<AtomicBool>::clone(&stop));
        thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
                    let at = Instant::now();
                    if let Some(event_id) = header(&message, id_header)
                        .and_then(|text| Uuid::try_parse_ascii(text).ok())
                    {
                        kept.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(Arrival {
                                event_id,
                                at,
                                appended: at.checked_sub(age(&message)).unwrap_or(at),
                            });
                    }
                }
            }
        });
        Ok(Follower { arrivals, stop })
    }

    /// Deletes it.
    pub async fn delete(self) -> anyhow::Result<()> {
        admin(&self.kafka)?
            .delete_topics(&[&self.name], &AdminOptions::new())
            .await?;
        Ok(())
    }
}

/// When an event reached the consumer.
#[derive(Clone, Copy)]
pub struct Arrival {
    /// The event.
    pub event_id: Uuid,
    /// When the consumer had it.
    pub at: Instant,
    /// When the broker appended it, to a millisecond.
    pub appended: Instant,
}

/// Time since the broker appended a record; its clock is this machine's.
fn age(message: &BorrowedMessage<'_>) -> Duration {
    let appended = message.timestamp().to_millis().unwrap_or_default();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    now.saturating_sub(Duration::from_millis(
        u64::try_from(appended).unwrap_or_default(),
    ))
}

/// A consumer that notes what comes and when.
pub struct Follower {
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    stop: Arc<AtomicBool>,
}

impl Follower {
    /// How many came.
    pub fn len(&self) -> usize {
        self.arrivals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// All that came from the `from`-th on.
    pub fn since(&self, from: usize) -> Vec<Arrival> {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.get(from..).unwrap_or_default().to_vec()
    }

    /// Waits until `count` came; fewer after `patience` without one more.
    pub async fn until(&self, count: usize, patience: Duration) {
        let (mut last, mut since) = (self.len(), Instant::now());
        while last < count && since.elapsed() < patience {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if self.len() > last {
                (last, since) = (self.len(), Instant::now());
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn header<'m>(message: &'m BorrowedMessage<'_>, key: &str) -> Option<&'m [u8]> {
    let headers = message.headers()?;
    headers
        .iter()
        .find(|header| header.key == key)
        .and_then(|header| header.value)
}

fn parse(contender: Contender, message: &BorrowedMessage<'_>) -> anyhow::Result<Record> {
    let key = std::str::from_utf8(message.key().unwrap_or_default())?;
    let value = std::str::from_utf8(message.payload().unwrap_or_default())?;
    let seen = match contender {
        Contender::Bahi => {
            let envelope: Envelope<'_> =
                serde_json::from_str(value).context("the value is no envelope")?;
            Seen::new(
                envelope.event_id,
                key,
                envelope.aggregate_version,
                envelope.payload.get(),
            )
        }
        Contender::Tuned | Contender::Default => {
            let text = |name: &str| -> anyhow::Result<&str> {
                let bytes = header(message, name).with_context(|| format!("no header {name}"))?;
                Ok(std::str::from_utf8(bytes)?)
            };
            Seen::new(
                text(contender.id_header())?.parse()?,
                key,
                text("x-aggregate-version")?.parse()?,
                value,
            )
        }
    };
    Ok(Record {
        seen,
        appended: message.timestamp().to_millis().unwrap_or(0),
    })
}
