//! The one Kafka producer of the process, its acknowledgements, and its replacement after a failure.
//!
//! Idempotent and without gaps: what Kafka refuses stops the producer before anything later can overtake it,
//! and no message is ever dropped for its age. A producer that failed is replaced by a new one and every
//! database resumes at its own cursor: events in flight may be published twice, never out of order or not at all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use prometheus::IntCounter;
use rdkafka::{
    ClientConfig, ClientContext, Message as _, Statistics,
    config::FromClientConfigAndContext,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::OwnedHeaders,
    producer::{
        BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig,
    },
};

use crate::{
    flight::{Ack, Flight},
    metrics,
};

/// Where one database's positions end and the number of the database begins in a message's opaque value.
const POSITION_BITS: u32 = 48;
/// How long one request for metadata may take.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the polling thread waits before it looks whether it is still needed. The library counts the rest of it in whole
/// milliseconds and spins through the last one, so many short waits would cost more than the relay.
const POLL: Duration = Duration::from_millis(250);
/// While answers come, they gather for so long: to be woken for each of them costs more than the answer, and nobody waits
/// for one, as long as there is room for more to be sent.
const GATHER: Duration = Duration::from_millis(2);
/// How often in a row nothing may have gathered before the thread waits to be woken.
const QUIET: u32 = 8;
/// How long a failed producer may take to hand out its last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// A record to send; everything is copied by the call.
pub struct Record<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Kafka key; the partition is murmur2 of it, as in Java.
    pub key: &'a str,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The composed envelope.
    pub value: &'a [u8],
    /// Headers.
    pub headers: OwnedHeaders,
}

/// Why a record was not taken.
#[derive(Debug)]
pub enum Rejected {
    /// The queue is full; try again when something was acknowledged.
    Full,
    /// Kafka will never take it as it is.
    Refused(RDKafkaErrorCode),
    /// The producer is of no use any more.
    Broken,
}

/// Where the partitions of a topic end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ends {
    /// The offset of each partition's next record.
    Known(Vec<i64>),
    /// The cluster does not have the topic.
    NoTopic,
}

/// The flights of the process, by the number under which a message names its own. It only grows.
#[derive(Clone, Default)]
pub struct Flights(Arc<RwLock<Vec<Arc<Flight>>>>);

impl Flights {
    /// Adds a flight and returns its number; None when there are as many as a message can name.
    pub fn add(&self, flight: Arc<Flight>) -> Option<u16> {
        let mut all = self.0.write();
        let number = u16::try_from(all.len()).ok()?;
        all.push(flight);
        Some(number)
    }

    fn get(&self, number: usize) -> Option<Arc<Flight>> {
        self.0.read().get(number).cloned()
    }

    fn wake(&self) {
        self.0.read().iter().for_each(|flight| flight.wake());
    }
}

/// One producer from its creation to its failure.
pub struct Generation {
    producer: BaseProducer<Context>,
    /// Held for reading by every send, so that none slips in behind the purge.
    gate: RwLock<()>,
    ended: AtomicBool,
}

impl Generation {
    /// Sends `record` of database `source`, which has the given position in flight.
    pub fn send(&self, source: u16, position: u64, record: Record<'_>) -> Result<(), Rejected> {
        let _open = self.gate.read();
        if self.is_broken() {
            return Err(Rejected::Broken);
        }
        let opaque = (usize::from(source) << POSITION_BITS)
            | (position as usize & ((1 << POSITION_BITS) - 1));
        let record = BaseRecord::with_opaque_to(record.topic, opaque)
            .key(record.key)
            .payload(record.value)
            .timestamp(record.timestamp)
            .headers(record.headers);
        match self.producer.send(record) {
            Ok(()) => Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                Err(Rejected::Full)
            }
            Err((KafkaError::MessageProduction(code), _)) if is_refusal(code) => {
                Err(Rejected::Refused(code))
            }
            Err((error, _)) => {
                self.producer.context().fail(&error);
                Err(Rejected::Broken)
            }
        }
    }

    /// Whether it failed: resume at the cursor with the next generation, once this one has ended.
    pub fn is_broken(&self) -> bool {
        self.producer.context().broken.load(Ordering::Acquire)
    }

    /// Whether it failed and all it had to answer is answered: it sends nothing any more.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn end(&self) {
        drop(self.gate.write());
        self.producer
            .purge(PurgeConfig::default().queue().inflight());
        if let Err(error) = self.producer.flush(LAST_ANSWERS) {
            tracing::warn!(%error, "the failed producer did not answer for everything");
        }
        self.ended.store(true, Ordering::Release);
        self.producer.context().wake();
    }

    fn ends(&self, topic: &str, partitions: usize) -> KafkaResult<Ends> {
        if !self.knows(topic)? {
            return Ok(Ends::NoTopic);
        }
        let client = self.producer.client();
        let end = |partition| {
            let (_, end) = client.fetch_watermarks(topic, partition, METADATA_TIMEOUT)?;
            Ok(end)
        };
        (0i32..)
            .take(partitions)
            .map(end)
            .collect::<KafkaResult<_>>()
            .map(Ends::Known)
    }

    /// Whether the cluster has `topic`. Blocks; an error says nothing about the topic.
    fn knows(&self, topic: &str) -> KafkaResult<bool> {
        let metadata = self
            .producer
            .client()
            .fetch_metadata(Some(topic), METADATA_TIMEOUT)?;
        let Some(topic) = metadata.topics().first() else {
            return Ok(false);
        };
        match topic.error().map(RDKafkaErrorCode::from) {
            None => Ok(!topic.partitions().is_empty()),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::InvalidTopic) => {
                Ok(false)
            }
            Some(code) => Err(KafkaError::MetadataFetch(code)),
        }
    }
}

/// The current generation, and the way to the next.
pub struct Producer {
    config: ClientConfig,
    flights: Flights,
    current: Mutex<Arc<Generation>>,
    rebuilds: IntCounter,
}

impl Producer {
    /// A producer for the relays of which `flights` are the flights.
    pub fn new(bootstrap: &str, flights: Flights, rebuilds: IntCounter) -> KafkaResult<Self> {
        let config = config(bootstrap);
        let current = Mutex::new(generation(&config, &flights)?);
        Ok(Self {
            config,
            flights,
            current,
            rebuilds,
        })
    }

    /// The producer in use.
    pub fn current(&self) -> Arc<Generation> {
        self.current.lock().clone()
    }

    /// Replaces `failed`, unless another database did so already.
    pub fn renew(&self, failed: &Arc<Generation>) -> KafkaResult<Arc<Generation>> {
        let mut current = self.current.lock();
        if Arc::ptr_eq(&current, failed) {
            *current = generation(&self.config, &self.flights)?;
            self.rebuilds.inc();
        }
        Ok(current.clone())
    }

    /// The cluster's first addresses.
    pub fn bootstrap(&self) -> &str {
        self.config.get("bootstrap.servers").unwrap_or_default()
    }

    /// Where the first `partitions` partitions of `topic` end.
    ///
    /// # Errors
    /// When the cluster does not answer; that says nothing about the topic.
    pub async fn ends(&self, topic: &str, partitions: usize) -> KafkaResult<Ends> {
        let (generation, topic) = (self.current(), topic.to_owned());
        tokio::task::spawn_blocking(move || generation.ends(&topic, partitions))
            .await
            .unwrap_or(Err(KafkaError::Canceled))
    }

    /// Whether the cluster has `topic`.
    pub async fn knows(&self, topic: &str) -> KafkaResult<bool> {
        let (generation, topic) = (self.current(), topic.to_owned());
        tokio::task::spawn_blocking(move || generation.knows(&topic))
            .await
            .unwrap_or(Err(KafkaError::Canceled))
    }
}

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (key, value) in [
        ("bootstrap.servers", bootstrap),
        ("client.id", "outbox-worker"),
        ("enable.idempotence", "true"),
        // A refusal is fatal to the producer instead of a gap that later messages would pass through.
        ("enable.gapless.guarantee", "true"),
        ("acks", "all"),
        // A broker serves one request of a connection at a time. More than the next one only waits there, where it cannot
        // grow; what waits here becomes a batch, without a linger that every event would pay for.
        ("max.in.flight", "2"),
        ("message.timeout.ms", "0"),
        ("linger.ms", "0"),
        ("compression.type", "lz4"),
        ("batch.size", "900000"),
        ("batch.num.messages", "10000"),
        ("message.max.bytes", "1000000"),
        ("queue.buffering.max.messages", "200000"),
        ("queue.buffering.max.kbytes", "65536"),
        // Java's, so that streams of other producers and readers are partitioned alike.
        ("partitioner", "murmur2_random"),
        ("allow.auto.create.topics", "false"),
        ("topic.metadata.propagation.max.ms", "10000"),
        ("socket.keepalive.enable", "true"),
        ("socket.nagle.disable", "true"),
        ("request.timeout.ms", "10000"),
        ("reconnect.backoff.max.ms", "1000"),
        ("retry.backoff.ms", "20"),
        ("enable.metrics.push", "false"),
        ("statistics.interval.ms", "5000"),
    ] {
        config.set(key, value);
    }
    config
}

fn generation(config: &ClientConfig, flights: &Flights) -> KafkaResult<Arc<Generation>> {
    let context = Context {
        flights: flights.clone(),
        broken: AtomicBool::new(false),
        answered: AtomicBool::new(false),
    };
    let producer = BaseProducer::from_config_and_context(config, context)?;
    let generation = Arc::new(Generation {
        producer,
        gate: RwLock::new(()),
        ended: AtomicBool::new(false),
    });
    let polled = Arc::downgrade(&generation);
    // Ends with the generation, or with its failure.
    let poll = move || {
        let mut quiet = QUIET;
        while let Some(generation) = polled.upgrade() {
            let wait = if quiet < QUIET { Duration::ZERO } else { POLL };
            generation.producer.poll(wait);
            if generation.is_broken() {
                generation.end();
                break;
            }
            if generation
                .producer
                .context()
                .answered
                .swap(false, Ordering::Relaxed)
            {
                quiet = 0;
            } else if quiet < QUIET {
                quiet += 1;
                drop(generation);
                thread::sleep(GATHER);
            }
        }
    };
    thread::Builder::new()
        .name("producer-poll".into())
        .spawn(poll)
        .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
    Ok(generation)
}

struct Context {
    flights: Flights,
    broken: AtomicBool,
    /// Since it was last looked at.
    answered: AtomicBool,
}

impl Context {
    fn fail(&self, error: &KafkaError) {
        if !self.broken.swap(true, Ordering::AcqRel) {
            tracing::warn!(%error, "the producer failed; every database resumes at its cursor with a new one");
        }
        self.wake();
    }

    fn wake(&self) {
        self.flights.wake();
    }
}

impl ClientContext for Context {
    fn stats(&self, statistics: Statistics) {
        metrics::kafka(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::GaplessGuarantee) => self.fail(&error),
            _ => tracing::warn!(%error, reason, "kafka"),
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        self.answered.store(true, Ordering::Relaxed);
        let (source, position) = (
            opaque >> POSITION_BITS,
            (opaque & ((1 << POSITION_BITS) - 1)) as u64,
        );
        let Some(flight) = self.flights.get(source) else {
            return;
        };
        match result {
            Ok(message) => flight.acknowledge(
                position,
                Ack {
                    partition: message.partition(),
                    offset: message.offset(),
                },
            ),
            Err((error, _)) => {
                if let Some(code) = error.rdkafka_error_code().filter(|code| is_refusal(*code)) {
                    flight.refuse(position, code);
                }
                self.fail(error);
            }
        }
    }
}

/// Answers that concern the message itself: the same message will be answered alike tomorrow. Everything else
/// (no leader, no rights, out of order, purged) concerns the cluster or the producer.
fn is_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::MessageSizeTooLarge
            | Code::InvalidMessage
            | Code::InvalidMessageSize
            | Code::MessageBatchTooLarge
            | Code::InvalidTimestamp
            | Code::InvalidRecord
            | Code::PolicyViolation
            | Code::InvalidTopic
            | Code::UnknownTopic
            | Code::UnknownTopicOrPartition
    )
}
