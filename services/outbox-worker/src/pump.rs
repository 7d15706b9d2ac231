//! The loop of a session that owns its database: reads windows, sends them, and moves the cursor after what
//! Kafka has acknowledged.

mod orders;
mod read;
mod send;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use rdkafka::types::RDKafkaErrorCode;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    checkpoint::{Checkpoint, Checkpoints},
    flight::now_micros,
    lease,
    order::Order,
    orders::{Orders, Pauses},
    park::Parked,
    producer::Generation,
    reader::{Reader, TAIL_ROWS},
    relay::{RETRY, Relay},
    session::{PATIENCE, SessionError, within},
    side::Hints,
    snapshot::Snapshot,
    topic::Topics,
    window::{Cursor, Windows},
};

/// Between two looks, however many hints come: it lets windows grow into batches.
const GAP: Duration = Duration::from_millis(1);
/// Without a hint, after a look that found something (at most: sooner where events come faster), and after one, two, three
/// that did not.
const PACE: [Duration; 4] = [
    Duration::from_millis(4),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
];
/// The last of them where hints are heard: what an idle database costs. Only the event of a service that died between its
/// commit and its hint waits so long.
const HEARD: Duration = Duration::from_millis(200);
/// How long published events may be without a checkpoint, and how many.
const CHECKPOINT: (Duration, i64) = (Duration::from_millis(100), 50_000);
/// How old the checkpoint of an idle database may be: it bounds what the ring keeps.
const IDLE_CHECKPOINT: Duration = Duration::from_secs(60);
/// A session that has nothing to read says something this often, or the server would end it.
const TOUCH: Duration = Duration::from_secs(1);
/// Between looks at what operators ask for and who else is there, unless told.
const ROUND: Duration = Duration::from_secs(1);
/// How long events in flight are waited for when the worker stops.
const DRAIN: Duration = Duration::from_secs(10);

/// A window that is read in chunks.
struct Backlog {
    previous: Snapshot,
    current: Snapshot,
    after: i64,
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
    /// The shard is another's; stay away for so long.
    HandedOver(Duration),
}

/// How a session ended in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The worker stops.
    Stopped,
    /// Another worker takes over; stay away for so long.
    HandedOver(Duration),
}

/// A session at work.
pub struct Pump<'a> {
    relay: &'a Relay,
    reader: Reader,
    checkpoints: Checkpoints,
    orders: Orders,
    hints: Arc<Hints>,
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
    pauses: Pauses,
    /// Parked keys may have become free.
    release_due: bool,
    /// The key whose parked events are in flight, alone.
    releasing: Option<orders::Release>,
    /// Keys of which a whole batch of parked events was refused.
    singly: HashSet<(String, String)>,
    replay: Option<orders::Replay>,
    /// Rounds in a row that found a worker whose turn it rather is.
    outranked: u32,
    order: Order,
    value: Vec<u8>,
    scratch: Vec<u8>,
    /// Bytes of a row, on the average of late.
    row_bytes: usize,
    idle: usize,
    /// Between two events, on the average of late.
    interval: Duration,
    last_found: Instant,
    last_look: Instant,
    next_look: Instant,
    last_checkpoint: Instant,
    last_touch: Instant,
    last_round: Instant,
}

impl<'a> Pump<'a> {
    /// A pump that goes on at `checkpoint`.
    pub fn new(
        relay: &'a Relay,
        reader: Reader,
        checkpoints: Checkpoints,
        checkpoint: Checkpoint,
        parked: Parked,
        orders: Orders,
        hints: Arc<Hints>,
    ) -> Self {
        let now = Instant::now();
        let cursor = checkpoint.cursor;
        Self {
            relay,
            reader,
            checkpoints,
            orders,
            hints,
            generation: relay.producer.current(),
            saved: cursor.clone(),
            windows: Windows::new(cursor),
            backlog: None,
            topics: Topics::new(checkpoint.reached),
            parked,
            suspects: HashSet::new(),
            condemned: HashMap::new(),
            alone: None,
            errand: None,
            pauses: Pauses::default(),
            release_due: true,
            releasing: None,
            singly: HashSet::new(),
            replay: None,
            outranked: 0,
            order: Order::default(),
            value: Vec::new(),
            scratch: Vec::new(),
            row_bytes: 1024,
            idle: 0,
            interval: PACE[0],
            last_found: now,
            last_look: now,
            next_look: now,
            last_checkpoint: now,
            last_touch: now,
            // Pauses are known before anything is read.
            last_round: now - ROUND,
        }
    }

    /// Pumps until the worker stops or hands the shard over.
    ///
    /// # Errors
    /// What ends the session.
    pub async fn run(mut self) -> Result<Left, SessionError> {
        let mut wait = RETRY.0;
        loop {
            let before = self.windows.cursor().published;
            match self.pump().await? {
                End::Stopped => return Ok(Left::Stopped),
                End::HandedOver(away) => return Ok(Left::HandedOver(away)),
                End::ProducerFailed => self.rewind().await?,
            }
            if self.relay.stop.is_cancelled() {
                return Ok(Left::Stopped);
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
        self.relay
            .metrics
            .repeated
            .inc_by(self.relay.flight.len() as u64);
        let mut refused = self.relay.flight.abandon();
        if let Some(release) = self.releasing.take() {
            self.release_failed(release, &refused).await?;
            refused.clear();
        }
        self.replay_failed();
        self.order = Order::default();
        for (seq, code) in refused {
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
        if let Cursor {
            snap,
            open: Some((current, seq)),
            ..
        } = self.windows.cursor().clone()
        {
            self.windows.open(current.clone(), self.relay.flight.end());
            self.backlog = Some(Backlog {
                previous: snap,
                current,
                after: seq,
            });
        }
        loop {
            self.land();
            if self.relay.stop.is_cancelled() {
                return self.drain(End::Stopped).await;
            }
            if self.generation.is_broken() {
                return Ok(End::ProducerFailed);
            }
            self.checkpoint_if_due().await?;
            if self.last_round.elapsed() >= ROUND
                && let Some(end) = self.round().await?
            {
                return self.drain(end).await;
            }
            if self.release_due && !self.pauses.all {
                self.release().await?;
                continue;
            }
            if let Some(errand) = self.errand.take() {
                self.run_errand(errand).await?;
                continue;
            }
            let room = self.room();
            if room > 0 && self.replay.is_some() {
                self.replay().await?;
            }
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
        let full = self.pauses.all
            || matches!(self.alone, Some(Alone::Sent(_)))
            || bytes >= limits.bytes
            || (self.backlog.is_none() && self.windows.len() >= limits.windows);
        // Below a quarter a statement is not worth its cost, and the tail may bring its whole number at once.
        if full || free < (limits.events / 4).max(TAIL_ROWS as usize) {
            0
        } else {
            free
        }
    }

    async fn wait(&mut self, room: bool) -> Result<(), SessionError> {
        let now = Instant::now();
        let mut until = (self.last_touch + TOUCH).min(self.last_round + ROUND);
        if self.is_dirty() || !self.relay.flight.is_empty() {
            until = until.min((self.last_checkpoint + CHECKPOINT.0).max(now + GAP));
        }
        if room && self.backlog.is_some() {
            // The producer's queue is full of other databases' events.
            until = until.min(now + PACE[1]);
        } else if room {
            until = until.min(self.next_look);
        }
        tokio::select! {
            () = sleep_until(until) => {}
            () = self.hints.look.notified(), if room => self.next_look = now.max(self.last_look + GAP),
            () = self.hints.asked.notified() => self.last_round = now - ROUND,
            () = self.relay.flight.changed(), if !room || self.replay.is_some() => {}
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
        if self.last_touch.elapsed() >= TOUCH {
            self.touch().await
        } else {
            Ok(())
        }
    }

    async fn touch(&mut self) -> Result<(), SessionError> {
        within(PATIENCE, self.reader.client().batch_execute("select 1")).await?;
        self.last_touch = Instant::now();
        Ok(())
    }

    /// Moves the cursor over what is acknowledged.
    fn land(&mut self) {
        let (mut count, topics, relay) = (0, &mut self.topics, self.relay);
        let landed = relay.flight.land(|sent, ack| {
            count += i64::from(sent.moves);
            if let Some((topic, records)) = topics.landed(sent.topic, ack) {
                relay.regressed(topic, records);
            }
        });
        if let Some(seq) = landed.last_seq {
            self.relay.standing.at(seq);
        }
        self.windows.landed(&landed, count);
        if count > 0 && self.relay.standing.unsaved() == 0 {
            self.relay.standing.unsaved_since(now_micros());
        }
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
        self.checkpoints
            .save(self.reader.client(), &cursor, &self.topics.reached())
            .await?;
        self.saved = cursor;
        self.relay.standing.unsaved_since(0);
        self.relay.standing.hold(self.parked.keys());
        self.last_checkpoint = Instant::now();
        self.last_touch = self.last_checkpoint;
        Ok(())
    }

    /// Ends in order: what is in flight lands, the cursor is saved, the lease given back.
    async fn drain(&mut self, end: End) -> Result<End, SessionError> {
        let deadline = Instant::now() + DRAIN;
        while !self.relay.flight.is_empty()
            && !self.generation.is_broken()
            && Instant::now() < deadline
        {
            self.changed().await?;
            self.land();
        }
        self.land();
        if self.windows.cursor() != &self.saved {
            self.checkpoint().await?;
        }
        lease::release(self.reader.client(), self.checkpoints.lease().shard.number).await?;
        tracing::info!(
            db = self.relay.service,
            left = self.relay.flight.len(),
            "stopped"
        );
        Ok(end)
    }
}
