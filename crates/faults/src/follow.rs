//! Reads the topics from their beginning for as long as the run lasts, as any consumer would.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Context;
use bahi_testkit::{Seen, digest};
use parking_lot::Mutex;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::stage::PARTITIONS;

#[derive(Deserialize)]
struct Envelope<'a> {
    event_id: Uuid,
    aggregate_version: i64,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// What the topics held, in order per partition.
#[derive(Default)]
pub struct Read {
    /// By topic.
    pub seen: Vec<Vec<Seen>>,
    /// Records that are not envelopes.
    pub unreadable: usize,
    /// Where reading goes on, by topic and partition.
    pub next: Vec<[i64; PARTITIONS as usize]>,
    /// The longest time without a record.
    pub silence: Duration,
    /// The most records in any second.
    pub peak: usize,
    /// How often its client stood still and was replaced.
    pub renewed: usize,
    last: Option<Instant>,
    second: Option<(Instant, usize)>,
}

impl Read {
    fn of(topics: usize) -> Self {
        Self {
            seen: vec![Vec::new(); topics],
            next: vec![[0; PARTITIONS as usize]; topics],
            ..Self::default()
        }
    }

    fn take(&mut self, topic: usize, partition: i32, offset: i64, key: &[u8], value: &[u8]) {
        // A client that reconnects may hand out again what it has handed out.
        let next = &mut self.next[topic][partition as usize];
        if offset < *next {
            return;
        }
        *next = offset + 1;
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            self.silence = self.silence.max(now - last);
        }
        let (since, count) = self.second.get_or_insert((now, 0));
        *count += 1;
        self.peak = self.peak.max(*count);
        if now - *since >= Duration::from_secs(1) {
            self.second = None;
        }
        match (
            serde_json::from_slice::<Envelope<'_>>(value),
            std::str::from_utf8(key),
        ) {
            (Ok(envelope), Ok(key)) => self.seen[topic].push(Seen {
                event_id: envelope.event_id,
                key: key.to_owned(),
                version: envelope.aggregate_version,
                payload: digest(envelope.payload.get().as_bytes()),
            }),
            _ => self.unreadable += 1,
        }
    }
}

/// A client that stands still for so long while there is something to read is replaced, as the consumers replace theirs.
const PATIENCE: Duration = Duration::from_secs(20);

/// The reader.
pub struct Follower {
    topics: &'static [&'static str],
    read: Arc<Mutex<Read>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
    kafka: String,
    /// How many records there were when it was last seen to read any, and when.
    moved: Mutex<(usize, Instant)>,
    renew: Arc<AtomicBool>,
}

fn client(kafka: &str) -> anyhow::Result<BaseConsumer> {
    ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("group.id", "none")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .set("enable.metrics.push", "false")
        .create()
        .context("a reader of Kafka")
}

/// A client that goes on where reading stands.
fn reader(kafka: &str, topics: &[&str], read: &Mutex<Read>) -> anyhow::Result<BaseConsumer> {
    let consumer = client(kafka)?;
    let mut assignment = TopicPartitionList::new();
    let next = read.lock().next.clone();
    for (topic, next) in topics.iter().zip(next) {
        for (partition, next) in (0..).zip(next) {
            assignment.add_partition_offset(topic, partition, Offset::Offset(next))?;
        }
    }
    consumer.assign(&assignment)?;
    Ok(consumer)
}

impl Follower {
    /// Begins to read.
    pub fn start(kafka: &str, topics: &'static [&'static str]) -> anyhow::Result<Self> {
        let [stop, renew] = [(); 2].map(|()| Arc::<AtomicBool>::default());
        let read = Arc::new(Mutex::new(Read::of(topics.len())));
        let mut consumer = reader(kafka, topics, &read)?;
        let (kept, stopped, renewed) = (read.clone(), stop.clone(), renew.clone());
        let address = kafka.to_owned();
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if renewed.swap(false, Ordering::Relaxed) {
                    consumer = reader(&address, topics, &kept)?;
                    kept.lock().renewed += 1;
                }
                // Errors pass: the broker is one of the things that are broken.
                let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else {
                    continue;
                };
                let topic = topics.iter().position(|topic| *topic == message.topic());
                if let Some(topic) = topic {
                    kept.lock().take(
                        topic,
                        message.partition(),
                        message.offset(),
                        message.key().unwrap_or_default(),
                        message.payload().unwrap_or_default(),
                    );
                }
            }
            Ok(())
        });
        Ok(Self {
            topics,
            read,
            stop,
            thread,
            kafka: kafka.to_owned(),
            moved: Mutex::new((0, Instant::now())),
            renew,
        })
    }

    /// How many records were read.
    pub fn len(&self) -> usize {
        self.read.lock().seen.iter().map(Vec::len).sum()
    }

    /// From here on silence counts anew.
    pub fn begin(&self) {
        let mut read = self.read.lock();
        (read.last, read.silence) = (Some(Instant::now()), Duration::ZERO);
    }

    /// The longest silence so far.
    pub fn silence(&self) -> Duration {
        let read = self.read.lock();
        // Also one that lasts.
        let lasting = read.last.map(|last| last.elapsed()).unwrap_or_default();
        read.silence.max(lasting)
    }

    /// Whether the end of every partition is read; the ends. Where it is not and nothing is read for long, reading goes on
    /// with another client.
    pub fn at_end(&self) -> anyhow::Result<Option<Vec<(usize, i32, i64)>>> {
        let consumer = client(&self.kafka)?;
        let mut ends = Vec::new();
        for (number, topic) in self.topics.iter().enumerate() {
            for partition in 0..PARTITIONS {
                let (_, end) =
                    consumer.fetch_watermarks(topic, partition, Duration::from_secs(5))?;
                ends.push((number, partition, end));
            }
        }
        let count = self.len();
        let mut moved = self.moved.lock();
        if moved.0 != count {
            *moved = (count, Instant::now());
        }
        let next = self.read.lock().next.clone();
        let all = ends
            .iter()
            .all(|(topic, partition, end)| next[*topic][*partition as usize] == *end);
        if !all && moved.1.elapsed() > PATIENCE {
            moved.1 = Instant::now();
            self.renew.store(true, Ordering::Relaxed);
        }
        Ok(all.then_some(ends))
    }

    /// Stops and hands out what was read.
    pub fn finish(self) -> anyhow::Result<Read> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| anyhow::anyhow!("the reader panicked"))??;
        Ok(std::mem::take(&mut *self.read.lock()))
    }
}
