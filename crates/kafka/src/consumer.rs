//! A consumer: its name, and what it does about which events.

use std::time::Duration;

use anyhow::Context;
use bahi_db::{Db, Tx};
use bahi_events::{Envelope, EventType, Topic};
use rdkafka::consumer::Consumer as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Failed, Status, Tally, consumer_settings,
    dead_letters::DeadLetters,
    group::{Group, Session},
    handler::{Handler, Typed},
    member::{Member, Served},
    meters,
    record::Record,
    settings::gathered,
    status::Ask,
    worker::{Load, Outcome, Worker},
};

/// A batch that runs when the process is told to stop has this long to end. With the drain of HTTP before it, that
/// stays under the 25 s after which an orchestrator kills.
const DRAIN: Duration = Duration::from_secs(8);
/// A client of Kafka that stands still for so long is replaced.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer and longer, where that does not help: nothing comes behind the marker of a transaction either.
const MOST_PATIENCE: Duration = Duration::from_secs(3600);

/// A consumer of the fleet's events. See the crate's example.
pub struct Consumer {
    name: String,
    prefix: String,
    group: Option<String>,
    instance: Option<String>,
    gather: Duration,
    patience: Duration,
    drain: Duration,
    handlers: Vec<Box<dyn Handler>>,
    status: Status,
    asks: mpsc::UnboundedReceiver<Ask>,
    rejected: Notify,
}

impl Consumer {
    /// A consumer called `name`, which is its Kafka group and its name in the inbox.
    pub fn new(name: &str) -> Self {
        let (status, asks) = Status::new(name);
        let (name, prefix) = (name.to_owned(), String::new());
        let (group, instance) = (None, None);
        Self {
            name,
            prefix,
            group,
            instance,
            gather: Duration::ZERO,
            patience: PATIENCE,
            drain: DRAIN,
            handlers: Vec::new(),
            status,
            asks,
            rejected: Notify::new(),
        }
    }

    /// Handles events of this type with `f`: an async function or closure. Its future need not be `Send`,
    /// because a consumer runs on a thread of its own.
    ///
    /// # Panics
    /// When the type has a handler already.
    pub fn on<P, F>(mut self, event: EventType<P>, f: F) -> Self
    where
        P: DeserializeOwned + 'static,
        F: for<'a> AsyncFn(&'a mut Tx, &'a [Envelope<P>]) -> Result<(), Failed> + Send + 'static,
    {
        assert!(
            self.handlers
                .iter()
                .all(|handler| handler.event_type() != event.name),
            "{} handles {} twice",
            self.name,
            event.name
        );
        self.handlers.push(Box::new(Typed { event, f }));
        self
    }

    /// Puts `prefix` before the names of topics and of the Kafka group, so that tests that share a broker do
    /// not meet. The name in the inbox stays as it is.
    pub fn with_topic_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// Joins another Kafka group than the one called like the consumer. Which process works on a partition is
    /// up to Kafka's groups, but what has been handled is up to the inbox: two groups do the work once.
    pub fn with_group(mut self, group: &str) -> Self {
        self.group = Some(group.to_owned());
        self
    }

    /// Makes it a static member of its group: a process that comes back under the same `instance` has its
    /// partitions at once, also after a crash, where otherwise ten seconds pass. No two processes may share one.
    pub fn with_instance(mut self, instance: &str) -> Self {
        self.instance = Some(instance.to_owned());
        self
    }

    /// Lets events lie up to this long, so that those that come one by one share a commit. For effects that
    /// nobody waits for. A tenth of a second they may lie in the broker before that; a longer poll would hold up every
    /// other question on its connection.
    pub fn gather(mut self, time: Duration) -> Self {
        self.gather = time;
        self
    }

    /// Replaces Kafka's client when it was silent for so long: it did not answer, or read nothing of a partition
    /// though there was something to read. A minute unless set, and twice as long each time it does not help.
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Gives the batch that runs when the consumer is told to stop so long to end; otherwise it is rolled back and
    /// read again by the next owner of the partition. Eight seconds unless set.
    pub fn drain(mut self, time: Duration) -> Self {
        self.drain = time;
        self
    }

    /// The types of events it handles.
    pub fn event_types(&self) -> impl Iterator<Item = &'static str> {
        self.handlers.iter().map(|handler| handler.event_type())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The topics it reads, each once.
    pub fn topics(&self) -> Vec<Topic> {
        let mut topics: Vec<Topic> = self
            .handlers
            .iter()
            .map(|handler| handler.topic())
            .collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// A handle that tells how far it is. Take it before [`Consumer::run`].
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Consumes until `stop` is cancelled; the batch that is running then is finished.
    ///
    /// # Errors
    /// When a handler says [`Failed::Halt`], or Kafka's client cannot go on. The process is expected to end.
    pub async fn run(self, db: Db, brokers: &str, stop: CancellationToken) -> anyhow::Result<()> {
        // Ends the thread also when this future is dropped.
        let stop = stop.child_token();
        let _ends_with_me = stop.clone().drop_guard();
        self.status.running_on(&db);
        let letters = DeadLetters::new(db.clone(), &self.name, brokers);
        let (brokers, runtime, thread) = (
            brokers.to_owned(),
            Handle::current(),
            format!("consume-{}", self.name),
        );
        let (done, result) = oneshot::channel();
        std::thread::Builder::new()
            .name(thread)
            .spawn(move || {
                let result = runtime.block_on(self.consume(db, letters, &brokers, &stop));
                // Nobody waits when the future was dropped.
                done.send(result).ok();
            })
            .context("the consumer's thread")?;
        result.await.context("the consumer panicked")?
    }

    async fn consume(
        mut self,
        db: Db,
        letters: DeadLetters,
        brokers: &str,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let topics: Vec<String> = self
            .topics()
            .into_iter()
            .map(|topic| format!("{}{}", self.prefix, topic.name()))
            .collect();
        if topics.is_empty() {
            stop.cancelled().await;
            return Ok(());
        }
        let group = format!(
            "{}{}",
            self.prefix,
            self.group.as_deref().unwrap_or(&self.name)
        );
        let mut settings = consumer_settings(brokers, &group);
        if let Some(instance) = &self.instance {
            settings.set("group.instance.id", instance);
        }
        if !self.gather.is_zero() {
            gathered(&mut settings);
        }
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let worker = Worker {
            name: &self.name,
            prefix: &self.prefix,
            handlers: &self.handlers,
            rejected: &self.rejected,
            db,
            stop: stop.clone(),
            drain: self.drain,
        };
        let serve = async {
            let mut patience = self.patience;
            loop {
                let (changes, changed) = mpsc::unbounded_channel();
                let kafka = settings.create_with_context(Group::new(changes))?;
                let session = Session { kafka };
                session.kafka.subscribe(&names)?;
                let times = (self.gather, patience);
                let member = Member::new(&session, &worker, &topics, &self.status, times, stop);
                let began = Instant::now();
                match member.serve(changed, &mut self.asks).await? {
                    Served::Stopped => return Ok(()),
                    Served::Stood => {
                        tracing::warn!(
                            consumer = self.name,
                            "Kafka's client stood still: another one goes on"
                        );
                        meters::renewed(&self.name);
                        // A client that did well for long is no sign that replacing it does not help.
                        let helped = began.elapsed() > patience * 8;
                        patience = if helped {
                            self.patience
                        } else {
                            (patience * 2).min(MOST_PATIENCE)
                        };
                    }
                }
            }
        };
        tokio::select! {
            result = serve => result,
            never = letters.run(&self.rejected) => match never {},
        }
    }

    /// Handles `events` in one batch as if they had come from Kafka, keyed by their aggregate; for tests that
    /// have no broker. The handlers may run more than once, as they may with one.
    ///
    /// # Errors
    /// [`Failed::Retry`] or [`Failed::Halt`] of a handler; nothing is kept then.
    pub async fn feed(&self, db: &Db, events: &[Envelope<Value>]) -> Result<Tally, Failed> {
        let mut fed = Vec::with_capacity(events.len());
        for event in events {
            let handler = self
                .handlers
                .iter()
                .find(|handler| handler.event_type() == event.event_type);
            let topic = handler.map_or("", |handler| handler.topic().name());
            let value = serde_json::to_vec(event).map_err(Failed::retry)?;
            fed.push((
                format!("{}{topic}", self.prefix),
                event.aggregate_id.as_str(),
                value,
            ));
        }
        let records = (0..)
            .zip(&fed)
            .map(|(offset, (topic, key, value))| Record::bare(topic, key, offset, value));
        let load = Load {
            records: records.collect(),
            moves: Vec::new(),
            tries: 0,
            even_if_idle: false,
        };
        let worker = Worker {
            name: &self.name,
            prefix: &self.prefix,
            handlers: &self.handlers,
            rejected: &self.rejected,
            db: db.clone(),
            stop: CancellationToken::new(),
            drain: self.drain,
        };
        match worker.attempt(&load).await? {
            Outcome::Done(tally) => Ok(tally),
            Outcome::Idle | Outcome::Lost => Ok(Tally {
                skipped: events.len(),
                ..Tally::default()
            }),
        }
    }
}
