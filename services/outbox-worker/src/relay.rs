//! The relay of one database: lease, read, send, checkpoint; from the beginning after any failure.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use rdkafka::types::RDKafkaErrorCode;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};
use tokio_postgres::{Client, Config};
use tokio_util::sync::CancellationToken;

use crate::{
    checkpoint::{self, Checkpoints},
    envelope,
    flight::{Flight, Sent, now_micros},
    lease::{self, Lease},
    metrics::{Metrics, Standing},
    park::Parked,
    producer::{Generation, Producer, Record, Rejected},
    reader::{self, Reader, TAIL_ROWS, Tail, TailRow},
    row::Event,
    session::{self, PATIENCE, SessionError, within},
    side,
    snapshot::Snapshot,
    topic::{Topic, Topics},
    window::{Cursor, Windows},
};

/// Between attempts to get the lease that another holds.
const LEASE_RETRY: Duration = Duration::from_millis(200);
/// Between attempts after a failure, doubled from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// After a look that found something, and after one, two, three that did not. The first lets windows grow into
/// batches; the last is what an idle database costs.
const PACE: [Duration; 4] =
    [Duration::from_millis(1), Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(50)];
/// How long published events may be without a checkpoint, and how many.
const CHECKPOINT: (Duration, i64) = (Duration::from_millis(100), 50_000);
/// How old the checkpoint of an idle database may be: it bounds what the ring keeps.
const IDLE_CHECKPOINT: Duration = Duration::from_secs(60);
/// A session that has nothing to read says something this often, or the server would end it.
const TOUCH: Duration = Duration::from_secs(1);
/// How long events in flight are waited for when the worker stops.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a topic that the cluster does not know may take to appear before its events are parked.
const TOPIC_GRACE: Duration = Duration::from_secs(3);

/// What one database may have in flight.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Events, acknowledged behind a gap or not.
    pub events: usize,
    /// Bytes not acknowledged.
    pub bytes: usize,
    /// Windows.
    pub windows: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { events: 20_000, bytes: 16 << 20, windows: 16 }
    }
}

/// The relay of one database.
pub struct Relay {
    /// The service whose database it is: `source_service` of its events.
    pub service: String,
    /// The database's number: that of its flight in the producer.
    pub source: u16,
    /// Its connection.
    pub config: Config,
    /// This process, as `outbox.shard` shows it.
    pub owner: String,
    /// What may be in flight.
    pub limits: Limits,
    /// How long published rows are kept.
    pub retention: Duration,
    /// The producer of the process.
    pub producer: Arc<Producer>,
    /// What is in flight.
    pub flight: Arc<Flight>,
    /// Metrics.
    pub metrics: Metrics,
    /// Where it stands.
    pub standing: Arc<Standing>,
    /// Cancelled when the process stops.
    pub stop: CancellationToken,
}

impl Relay {
    /// Relays until it is stopped. No failure ends it.
    pub async fn run(self) {
        let mut wait = RETRY.0;
        let mut waiting_for_migration = false;
        while !self.stop.is_cancelled() {
            let before = self.standing.position();
            let outcome = self.session().await;
            self.metrics.lease_owned.set(0);
            self.standing.caught_up(false);
            let Err(error) = outcome else { continue };
            match &error {
                SessionError::Fenced => self.metrics.fenced.inc(),
                error if error.is_not_migrated() => {
                    if !std::mem::replace(&mut waiting_for_migration, true) {
                        tracing::info!(db = self.service, %error, "the outbox is not there yet; waiting for its owner");
                    }
                    wait = RETRY.1;
                }
                error => tracing::warn!(db = self.service, %error, "the session ended; a new one follows"),
            }
            if self.standing.position() != before {
                wait = RETRY.0;
            }
            tokio::select! {
                () = sleep(wait) => wait = RETRY.1.min(wait * 2),
                () = self.stop.cancelled() => {}
            }
        }
    }

    async fn session(&self) -> Result<(), SessionError> {
        let client = session::connect(&self.config).await?;
        let Some(lease) = self.lease(&client).await? else { return Ok(()) };
        tracing::info!(db = self.service, epoch = lease.epoch, "relaying");
        self.metrics.lease_owned.set(1);
        self.metrics.lease_epoch.set(lease.epoch);
        let cursor = checkpoint::load(&client).await?;
        let parked = Parked::load(&client).await?;
        let checkpoints = Checkpoints::new(&client, lease).await?;
        let hint = Arc::new(Notify::new());
        let side = side::run(self.config.clone(), hint.clone(), self.metrics.clone(), self.standing.clone(), self.retention);
        let _side = AbortOnDrop(tokio::spawn(side));
        let pump = Pump {
            reader: Reader::new(client).await?,
            checkpoints,
            hint,
            saved: cursor.clone(),
            windows: Windows::new(cursor),
            backlog: None,
            generation: self.producer.current(),
            topics: Topics::default(),
            parked,
            suspects: HashSet::new(),
            condemned: HashMap::new(),
            alone: None,
            errand: None,
            value: Vec::new(),
            scratch: Vec::new(),
            row_bytes: 1024,
            idle: 0,
            last_look: Instant::now(),
            next_look: Instant::now(),
            last_checkpoint: Instant::now(),
            last_touch: Instant::now(),
            relay: self,
        };
        let outcome = pump.run().await;
        // Acknowledgements of what this session sent mean nothing to the next.
        self.flight.abandon();
        outcome
    }

    async fn lease(&self, client: &Client) -> Result<Option<Lease>, SessionError> {
        while !self.stop.is_cancelled() {
            if let Some(lease) = lease::try_acquire(client, &self.owner).await? {
                return Ok(Some(lease));
            }
            tokio::select! {
                () = sleep(LEASE_RETRY) => {}
                () = self.stop.cancelled() => {}
            }
        }
        Ok(None)
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A window that is read in chunks.
struct Backlog {
    previous: Snapshot,
    current: Snapshot,
    after: i64,
}

/// What became of an event that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offer {
    /// It is on its way.
    Sent,
    /// It is parked.
    Parked,
    /// No room, or no producer: read it again later.
    Full,
    /// Something has to be done first, which needs the session; then read it again.
    Errand,
}

impl Offer {
    /// Whether the event is dealt with, so that the next can be offered.
    fn goes_on(self) -> bool {
        matches!(self, Self::Sent | Self::Parked)
    }
}

/// What has to be done before an event can be sent, between two reads.
enum Errand {
    /// Ask the cluster for a topic.
    Learn(String),
    /// Empty the flight for a suspect.
    Clear(i64),
}

/// An event that is sent with nothing else in flight, so that the answer is certainly its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alone {
    Due(i64),
    Sent(i64),
}

/// Why the loop ended in order.
enum End {
    Stopped,
    ProducerFailed,
}

/// A session at work.
struct Pump<'a> {
    relay: &'a Relay,
    reader: Reader,
    checkpoints: Checkpoints,
    hint: Arc<Notify>,
    generation: Arc<Generation>,
    windows: Windows,
    saved: Cursor,
    backlog: Option<Backlog>,
    topics: Topics,
    parked: Parked,
    /// Events of which a whole batch was refused: sent one at a time, to find out which it is.
    suspects: HashSet<i64>,
    /// Events that were refused alone.
    condemned: HashMap<i64, RDKafkaErrorCode>,
    /// The suspect whose turn it is.
    alone: Option<Alone>,
    errand: Option<Errand>,
    value: Vec<u8>,
    scratch: Vec<u8>,
    /// Bytes of a row, on the average of late.
    row_bytes: usize,
    idle: usize,
    last_look: Instant,
    next_look: Instant,
    last_checkpoint: Instant,
    last_touch: Instant,
}

impl Pump<'_> {
    async fn run(mut self) -> Result<(), SessionError> {
        let mut wait = RETRY.0;
        loop {
            let before = self.windows.cursor().published;
            match self.pump().await? {
                End::Stopped => return Ok(()),
                End::ProducerFailed => self.rewind().await?,
            }
            if self.relay.stop.is_cancelled() {
                return Ok(());
            }
            if self.windows.cursor().published > before || !self.condemned.is_empty() {
                wait = RETRY.0;
            }
            tokio::select! {
                () = sleep(wait) => wait = RETRY.1.min(wait * 2),
                () = self.relay.stop.cancelled() => {}
            }
            self.touch().await?;
        }
    }

    /// Goes back to the cursor with a new producer.
    async fn rewind(&mut self) -> Result<(), SessionError> {
        while !self.generation.has_ended() {
            self.changed().await?;
        }
        self.land();
        for (seq, code) in self.relay.flight.abandon() {
            if self.alone == Some(Alone::Sent(seq)) {
                self.condemned.insert(seq, code);
                self.suspects.remove(&seq);
            } else {
                self.suspects.insert(seq);
            }
        }
        self.alone = None;
        self.errand = None;
        self.backlog = None;
        self.parked.rewind();
        self.topics.doubt();
        self.windows = Windows::new(self.windows.cursor().clone());
        self.generation = self.relay.producer.renew(&self.generation)?;
        Ok(())
    }

    async fn pump(&mut self) -> Result<End, SessionError> {
        if let Cursor { snap, open: Some((current, seq)), .. } = self.windows.cursor().clone() {
            self.windows.open(current.clone(), self.relay.flight.end());
            self.backlog = Some(Backlog { previous: snap, current, after: seq });
        }
        loop {
            self.land();
            if self.relay.stop.is_cancelled() {
                return self.drain().await;
            }
            if self.generation.is_broken() {
                return Ok(End::ProducerFailed);
            }
            self.checkpoint_if_due().await?;
            if let Some(errand) = self.errand.take() {
                self.run_errand(errand).await?;
                continue;
            }
            let room = self.room();
            if room > 0 {
                match self.backlog.take() {
                    Some(backlog) => {
                        self.read_chunk(backlog, room).await?;
                        continue;
                    }
                    None if Instant::now() >= self.next_look => self.look().await?,
                    None => {}
                }
            }
            self.wait(room > 0).await?;
        }
    }

    /// How many events may be read now.
    fn room(&self) -> usize {
        let (held, (_, bytes)) = (self.relay.flight.len(), self.relay.flight.load());
        let limits = self.relay.limits;
        let free = limits.events.saturating_sub(held);
        let full = matches!(self.alone, Some(Alone::Sent(_))) || bytes >= limits.bytes || (self.backlog.is_none() && self.windows.len() >= limits.windows);
        // Below a quarter a statement is not worth its cost, and the tail may bring its whole number at once.
        if full || free < (limits.events / 4).max(TAIL_ROWS as usize) { 0 } else { free }
    }

    async fn wait(&mut self, room: bool) -> Result<(), SessionError> {
        let now = Instant::now();
        let mut until = self.last_touch + TOUCH;
        if self.is_dirty() || !self.relay.flight.is_empty() {
            until = until.min((self.last_checkpoint + CHECKPOINT.0).max(now + PACE[0]));
        }
        if room && self.backlog.is_some() {
            // The producer's queue is full of other databases' events.
            until = until.min(now + PACE[1]);
        } else if room {
            until = until.min(self.next_look);
        }
        tokio::select! {
            () = sleep_until(until) => {}
            () = self.hint.notified(), if room => self.next_look = now.max(self.last_look + PACE[0]),
            () = self.relay.flight.changed(), if !room => {}
            () = self.relay.stop.cancelled() => {}
        }
        self.touch_if_due().await
    }

    /// Waits until something in flight changed, for a moment at most.
    async fn changed(&mut self) -> Result<(), SessionError> {
        tokio::select! {
            () = sleep(PACE[3]) => {}
            () = self.relay.flight.changed() => {}
        }
        self.touch_if_due().await
    }

    async fn touch_if_due(&mut self) -> Result<(), SessionError> {
        if self.last_touch.elapsed() >= TOUCH { self.touch().await } else { Ok(()) }
    }

    async fn touch(&mut self) -> Result<(), SessionError> {
        within(PATIENCE, self.reader.client().batch_execute("select 1")).await?;
        self.last_touch = Instant::now();
        Ok(())
    }

    /// One look at the tail.
    async fn look(&mut self) -> Result<(), SessionError> {
        self.last_look = Instant::now();
        let tail = self.reader.tail(self.windows.read()).await?;
        self.last_touch = Instant::now();
        self.relay.metrics.poll.observe(self.last_look.elapsed().as_secs_f64());
        match tail {
            Tail::Window(snap, rows) if rows.is_empty() => {
                self.windows.stretch(snap);
                self.idle = (self.idle + 1).min(PACE.len() - 1);
                self.relay.standing.looked(now_micros());
                self.relay.standing.caught_up(self.windows.is_empty());
            }
            Tail::Window(snap, rows) => {
                self.idle = 0;
                self.relay.standing.looked(now_micros());
                self.relay.standing.caught_up(false);
                self.relay.metrics.window_rows.observe(rows.len() as f64);
                self.send_window(snap, &rows).await?;
            }
            Tail::Backlog(current) => {
                self.idle = 0;
                let previous = self.windows.read().clone();
                let after = self.reader.start(&previous).await?;
                self.relay.standing.caught_up(false);
                self.relay.standing.at(after);
                self.windows.open(current.clone(), self.relay.flight.end());
                self.backlog = Some(Backlog { previous, current, after });
            }
        }
        self.next_look = self.last_look + PACE[self.idle];
        Ok(())
    }

    async fn send_window(&mut self, current: Snapshot, rows: &[TailRow]) -> Result<(), SessionError> {
        let previous = self.windows.read().clone();
        self.windows.open(current.clone(), self.relay.flight.end());
        for row in rows {
            let event = row.event()?;
            if !self.offer(&event).goes_on() {
                self.backlog = Some(Backlog { previous, current, after: event.seq - 1 });
                break;
            }
        }
        self.read_up_to_here().await
    }

    /// Reads the next chunk of a backlog.
    async fn read_chunk(&mut self, mut backlog: Backlog, room: usize) -> Result<(), SessionError> {
        let (_, bytes) = self.relay.flight.load();
        let fitting = self.relay.limits.bytes.saturating_sub(bytes) / self.row_bytes.max(1);
        let limit = if self.alone.is_some() { 1 } else { room.min(fitting.max(64)) };
        let mut chunk = self.reader.chunk(&backlog.previous, &backlog.current, backlog.after, limit).await?;
        let (mut count, mut total, mut offer) = (0, 0, Offer::Sent);
        // Nothing in this loop may use the session: its answers come behind the rows of the chunk.
        'chunk: while let Some(message) = chunk.next().await? {
            total += message.0.len();
            let mut rows = reader::rows(&message)?;
            while let Some(mut fields) = rows.next_row()? {
                let event = Event::decode(&mut fields)?;
                offer = self.offer(&event);
                if !offer.goes_on() {
                    break 'chunk;
                }
                backlog.after = event.seq;
                count += 1;
                // Rows larger than those before them: enough for now.
                if self.relay.flight.load().1 >= self.relay.limits.bytes * 2 || self.parked.is_full() {
                    offer = Offer::Full;
                    break 'chunk;
                }
            }
        }
        drop(chunk);
        self.last_touch = Instant::now();
        if let Some(average) = total.checked_div(count) {
            self.row_bytes = (self.row_bytes + average).div_ceil(2);
        }
        if !offer.goes_on() || count == limit {
            self.backlog = Some(backlog);
        }
        self.read_up_to_here().await?;
        if offer == Offer::Full && count == 0 && !self.generation.is_broken() {
            // The producer's queue is full, though this database has room: it is full of others'.
            self.wait(true).await?;
        }
        Ok(())
    }

    /// Everything read so far is on its way or parked: tells the newest window.
    async fn read_up_to_here(&mut self) -> Result<(), SessionError> {
        self.parked.save(self.reader.client()).await?;
        self.windows.extend(self.relay.flight.end());
        if self.backlog.is_none() {
            self.windows.close();
        }
        Ok(())
    }

    /// The hot path: one event, no await, no allocation of its own but the producer's.
    fn offer(&mut self, event: &Event<'_>) -> Offer {
        if self.parked.holds(event.topic, event.key) {
            self.parked.queue(event);
            return self.parked(event);
        }
        if let Some(code) = self.condemned.remove(&event.seq) {
            return self.refuse(event, code);
        }
        if !self.suspects.is_empty() && self.suspects.contains(&event.seq) && self.alone != Some(Alone::Due(event.seq)) {
            self.errand = Some(Errand::Clear(event.seq));
            return Offer::Errand;
        }
        let topic = match self.topics.find(event.topic) {
            None => {
                self.errand = Some(Errand::Learn(event.topic.to_owned()));
                return Offer::Errand;
            }
            Some(Topic::Missing) => return self.refuse(event, RDKafkaErrorCode::UnknownTopic),
            Some(Topic::Known(number)) => number,
        };
        envelope::compose(event, &self.relay.service, &mut self.value);
        let headers = envelope::headers(event, &self.relay.service, &mut self.scratch);
        let bytes = u32::try_from(self.value.len() + event.key.len()).unwrap_or(u32::MAX);
        let position = self.relay.flight.push(Sent { seq: event.seq, inserted: event.timestamp, bytes, topic });
        // The record's time is that of the insert: by business time, which may lie anywhere, the broker would
        // refuse the future and delete the past.
        let record = Record {
            topic: event.topic,
            key: event.key,
            timestamp: event.timestamp / 1000,
            value: &self.value,
            headers,
        };
        match self.generation.send(self.relay.source, position, record) {
            Ok(()) => {
                if self.alone.is_some() {
                    self.alone = Some(Alone::Sent(event.seq));
                }
                Offer::Sent
            }
            Err(rejected) => {
                self.relay.flight.unpush();
                match rejected {
                    Rejected::Full | Rejected::Broken => Offer::Full,
                    Rejected::Refused(code) => self.refuse(event, code),
                }
            }
        }
    }

    fn refuse(&mut self, event: &Event<'_>, code: RDKafkaErrorCode) -> Offer {
        tracing::error!(
            db = self.relay.service, seq = event.seq, event_id = %event.event_id, topic = event.topic, key = event.key,
            error = %code, "kafka refuses the event; it is parked and later events of its key wait"
        );
        self.parked.refuse(event, reason(code), code.to_string());
        self.parked(event)
    }

    fn parked(&mut self, event: &Event<'_>) -> Offer {
        if self.alone == Some(Alone::Due(event.seq)) {
            self.alone = None;
        }
        self.suspects.remove(&event.seq);
        Offer::Parked
    }

    async fn run_errand(&mut self, errand: Errand) -> Result<(), SessionError> {
        match errand {
            Errand::Learn(topic) => self.learn(&topic).await,
            Errand::Clear(seq) => {
                while !self.relay.flight.is_empty() {
                    if self.generation.is_broken() || self.relay.stop.is_cancelled() {
                        return Ok(());
                    }
                    self.changed().await?;
                    self.land();
                }
                self.alone = Some(Alone::Due(seq));
                Ok(())
            }
        }
    }

    /// Finds out whether the cluster has the topic. One that was just created takes a moment to be known.
    async fn learn(&mut self, name: &str) -> Result<(), SessionError> {
        let mut since = Instant::now();
        let grace = if self.topics.was_missing(name) { Duration::ZERO } else { TOPIC_GRACE };
        loop {
            match self.relay.producer.knows(name).await {
                Ok(true) => {
                    self.topics.learn(name, self.relay.metrics.published(name));
                    return Ok(());
                }
                Ok(false) if since.elapsed() >= grace => {
                    self.topics.miss(name);
                    return Ok(());
                }
                Ok(false) => {}
                Err(error) => {
                    // That says nothing about the topic.
                    tracing::warn!(db = self.relay.service, topic = name, %error, "kafka does not answer");
                    since = Instant::now();
                }
            }
            if self.generation.is_broken() || self.relay.stop.is_cancelled() {
                return Ok(());
            }
            self.changed().await?;
        }
    }

    /// Moves the cursor over what is acknowledged.
    fn land(&mut self) {
        let (mut count, topics) = (0, &self.topics);
        let landed = self.relay.flight.land(|sent| {
            count += 1;
            topics.count(sent.topic);
        });
        if let Some(seq) = landed.last_seq {
            self.relay.standing.at(seq);
        }
        self.windows.landed(&landed, count);
        if let Some(Alone::Sent(seq)) = self.alone
            && self.relay.flight.is_empty()
        {
            self.suspects.remove(&seq);
            self.alone = None;
        }
    }

    fn is_dirty(&self) -> bool {
        self.windows.cursor().published != self.saved.published
    }

    async fn checkpoint_if_due(&mut self) -> Result<(), SessionError> {
        let age = self.last_checkpoint.elapsed();
        let fresh = self.windows.cursor().published - self.saved.published;
        let due = fresh >= CHECKPOINT.1
            || (fresh > 0 && age >= CHECKPOINT.0)
            || (age >= IDLE_CHECKPOINT && self.windows.cursor() != &self.saved);
        if due { self.checkpoint().await } else { Ok(()) }
    }

    async fn checkpoint(&mut self) -> Result<(), SessionError> {
        let cursor = self.windows.cursor().clone();
        self.checkpoints.save(self.reader.client(), &cursor).await?;
        self.saved = cursor;
        self.last_checkpoint = Instant::now();
        self.last_touch = self.last_checkpoint;
        Ok(())
    }

    /// Stops in order: what is in flight lands, the cursor is saved, the lease given back.
    async fn drain(&mut self) -> Result<End, SessionError> {
        let deadline = Instant::now() + DRAIN;
        while !self.relay.flight.is_empty() && !self.generation.is_broken() && Instant::now() < deadline {
            self.changed().await?;
            self.land();
        }
        self.land();
        if self.windows.cursor() != &self.saved {
            self.checkpoint().await?;
        }
        lease::release(self.reader.client()).await?;
        tracing::info!(db = self.relay.service, left = self.relay.flight.len(), "stopped");
        Ok(End::Stopped)
    }
}

/// The code of a refusal in `outbox.parked`.
fn reason(code: RDKafkaErrorCode) -> &'static str {
    use RDKafkaErrorCode as Code;
    match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition => "unknown_topic",
        Code::InvalidTopic => "invalid_topic",
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => "too_large",
        Code::InvalidTimestamp => "invalid_time",
        Code::PolicyViolation => "policy",
        _ => "invalid",
    }
}
