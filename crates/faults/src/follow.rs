//! Reads the topics from their beginning for as long as the run lasts, as any consumer would. What reads is a process of its
//! own that tells the run line by line: a client library that breaks while everything around it does must not end the run.

use std::{
    io::{BufRead, BufReader, BufWriter, Write, stdout},
    process::{Child, Stdio},
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

use crate::{
    fleet::{MOST_ENDS, mortal},
    stage::PARTITIONS,
};

/// A record as the reading process tells of it: topic by its number, partition, offset; event, key, version and digest of
/// the payload where it is an envelope.
type Line = (usize, i32, i64, Option<(Uuid, String, i64, u64)>);

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
    /// How often what read stood still or ended by itself, and another process read on.
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

    fn take(&mut self, (topic, partition, offset, seen): Line) {
        // One that reconnects may hand out again what it has handed out.
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
        match seen {
            Some((event_id, key, version, payload)) => self.seen[topic].push(Seen {
                event_id,
                key,
                version,
                payload,
            }),
            None => self.unreadable += 1,
        }
    }
}

/// What stands still for so long while there is something to read is replaced, as the consumers replace their clients.
const PATIENCE: Duration = Duration::from_secs(20);

/// The reader.
pub struct Follower {
    topics: &'static [&'static str],
    read: Arc<Mutex<Read>>,
    stop: Arc<AtomicBool>,
    process: Arc<Mutex<Child>>,
    thread: JoinHandle<anyhow::Result<()>>,
    kafka: String,
    /// How many records there were when it was last seen to read any, and when.
    moved: Mutex<(usize, Instant)>,
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

/// What the reading process does: prints a [`Line`] for each record of the topics from these offsets on, until it is killed
/// or nobody listens.
pub fn tell(kafka: &str, topics: &[String], from: &[i64]) -> anyhow::Result<()> {
    let consumer = client(kafka)?;
    let mut assignment = TopicPartitionList::new();
    for (number, offset) in from.iter().enumerate() {
        let (topic, partition) = (number / PARTITIONS as usize, number % PARTITIONS as usize);
        let topic = topics.get(topic).context("an offset for each partition")?;
        assignment.add_partition_offset(
            topic,
            i32::try_from(partition)?,
            Offset::Offset(*offset),
        )?;
    }
    consumer.assign(&assignment)?;
    let mut out = BufWriter::new(stdout().lock());
    let mut patience = Duration::ZERO;
    loop {
        // Errors pass: the broker is one of the things that are broken.
        let Some(Ok(message)) = consumer.poll(patience) else {
            out.flush()?;
            patience = Duration::from_millis(100);
            continue;
        };
        patience = Duration::ZERO;
        let topic = topics.iter().position(|topic| topic == message.topic());
        let envelope =
            serde_json::from_slice::<Envelope<'_>>(message.payload().unwrap_or_default());
        let key = std::str::from_utf8(message.key().unwrap_or_default());
        let seen = envelope.ok().zip(key.ok()).map(|(envelope, key)| {
            let payload = digest(envelope.payload.get().as_bytes());
            (
                envelope.event_id,
                key.to_owned(),
                envelope.aggregate_version,
                payload,
            )
        });
        let line: Line = (
            topic.context("a topic of nobody's")?,
            message.partition(),
            message.offset(),
            seen,
        );
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
    }
}

/// A process that reads on where reading stands.
fn reader(kafka: &str, topics: &[&str], read: &Mutex<Read>) -> anyhow::Result<Child> {
    let mut command = mortal();
    command.arg(std::env::current_exe()?);
    command.args(["follow", "--kafka", kafka]);
    for topic in topics {
        command.args(["--topic", topic]);
    }
    for offset in read.lock().next.iter().flatten() {
        command.args(["--from", &offset.to_string()]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().context("a reader of Kafka")
}

impl Follower {
    /// Begins to read.
    pub fn start(kafka: &str, topics: &'static [&'static str]) -> anyhow::Result<Self> {
        let read = Arc::new(Mutex::new(Read::of(topics.len())));
        let stop = Arc::<AtomicBool>::default();
        let process = Arc::new(Mutex::new(reader(kafka, topics, &read)?));
        let (kept, stopped, child) = (read.clone(), stop.clone(), process.clone());
        let kafka = kafka.to_owned();
        let address = kafka.clone();
        let thread = thread::spawn(move || {
            loop {
                let out = child.lock().stdout.take().context("its output")?;
                for line in BufReader::new(out).lines() {
                    // The last one may be half.
                    if let Ok(line) = serde_json::from_str(&line?) {
                        kept.lock().take(line);
                    }
                }
                // Held until there is another one: whoever ends the reading ends the last of them.
                let mut child = child.lock();
                let status = child.wait()?;
                if stopped.load(Ordering::Relaxed) {
                    return Ok(());
                }
                println!("        the reader ended: {status}");
                let renewed = kept.lock().renewed + 1;
                anyhow::ensure!(renewed < MOST_ENDS, "the reader ends all the time");
                kept.lock().renewed = renewed;
                *child = reader(&address, topics, &kept)?;
            }
        });
        Ok(Self {
            topics,
            read,
            stop,
            process,
            thread,
            kafka,
            moved: Mutex::new((0, Instant::now())),
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
    /// with another process.
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
            self.kill()?;
        }
        Ok(all.then_some(ends))
    }

    /// Ends the process that reads, as a library that breaks would; another one reads on.
    pub fn kill(&self) -> anyhow::Result<()> {
        Ok(self.process.lock().kill()?)
    }

    /// Stops and hands out what was read.
    pub fn finish(self) -> anyhow::Result<Read> {
        self.stop.store(true, Ordering::Relaxed);
        self.kill()?;
        self.thread
            .join()
            .map_err(|_| anyhow::anyhow!("the reader panicked"))??;
        Ok(std::mem::take(&mut *self.read.lock()))
    }
}
