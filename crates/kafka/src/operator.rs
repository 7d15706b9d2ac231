//! What an operator asks of consumers that takes the broker: how far they are, and to read again.

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context, bail, ensure};
use bahi_db::{Db, Error, Operation, Place};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Consumer,
    reader::{Part, Reader, Source},
};

/// Times a command is tried while batches hold what it changes, a second each.
const TRIES: usize = 20;

/// What a consumer of this service hears.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The consumer.
    pub consumer: String,
    /// Its topics, with the installation's prefix.
    pub topics: Vec<String>,
    /// Its types of events.
    pub types: Vec<&'static str>,
}

impl Heard {
    /// Of a consumer.
    pub fn of(consumer: &Consumer, prefix: &str) -> Self {
        let topics = consumer.topics().into_iter();
        Self {
            consumer: consumer.name().to_owned(),
            topics: topics.map(|t| format!("{prefix}{}", t.name())).collect(),
            types: consumer.event_types().collect(),
        }
    }
}

/// Acts for an operator, through the service's database.
#[derive(Clone)]
pub struct Operator {
    db: Db,
    brokers: Option<String>,
    heard: Arc<Vec<Heard>>,
    who: String,
}

/// Where a consumer stands, and where the topic ends.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Of the database.
    pub place: Place,
    /// The offset the next record will get; unknown without a broker.
    pub end: Option<i64>,
    /// Records not read yet.
    pub lag: Option<i64>,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With the oldest record there is.
    Beginning,
    /// With this offset, in each partition.
    Offset(i64),
    /// With the first record at or after this time.
    Time(DateTime<Utc>),
}

/// Where to end, itself not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Before this offset, in each partition.
    Offset(i64),
    /// Before the first record at or after this time.
    Time(DateTime<Utc>),
}

/// What is to be read again.
#[derive(Clone, Debug)]
pub struct Replay {
    /// By which consumer.
    pub consumer: String,
    /// Topic, with its prefix.
    pub topic: String,
    /// Only this partition.
    pub partition: Option<i32>,
    /// Where to begin.
    pub from: From,
    /// Handle events although they were handled; the rest narrows which.
    pub again: bool,
    /// Up to where.
    pub to: Option<To>,
    /// Only events of this type.
    pub event_type: Option<String>,
    /// Only events of this key.
    pub key: Option<String>,
}

/// What is read again.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// Partition, its position before and after.
    pub moves: Vec<(i32, i64, i64)>,
    /// Events that will be handled again.
    pub again: usize,
    /// The note in `inbox.command`.
    pub note: i64,
}

impl Operator {
    /// For `who`, over consumers that hear `heard`.
    pub fn new(db: Db, brokers: Option<String>, heard: Vec<Heard>, who: String) -> Self {
        Self {
            db,
            brokers,
            heard: Arc::new(heard),
            who,
        }
    }

    /// What the consumers hear.
    pub fn heard(&self) -> &[Heard] {
        &self.heard
    }

    /// Opens the transaction of a command.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn begin(&self) -> anyhow::Result<Operation> {
        Operation::begin(&self.db).await.context("the database")
    }

    /// Who acts.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// Where every consumer stands in every partition.
    ///
    /// # Errors
    /// When the database cannot be reached; a broker that does not answer leaves the ends unknown.
    pub async fn status(&self) -> anyhow::Result<Vec<Standing>> {
        let mut operation = self.begin().await?;
        let places = operation.places().await?;
        let nothing = json!({});
        operation
            .commit(&self.who, "status", &nothing, &nothing)
            .await?;
        let mut topics: Vec<String> = places.iter().map(|place| place.topic.clone()).collect();
        topics.dedup();
        topics.sort();
        topics.dedup();
        let brokers = self.brokers.clone();
        let ends = tokio::task::spawn_blocking(move || ends(brokers.as_deref(), &topics)).await?;
        let standing = |place: Place| {
            let part = ends.get(&(place.topic.clone(), place.partition));
            Standing {
                end: part.map(|part| part.to),
                lag: part.map(|part| (part.to - place.next.max(part.from)).max(0)),
                place,
            }
        };
        Ok(places.into_iter().map(standing).collect())
    }

    /// Plans a replay, and with `confirmed` carries it out.
    ///
    /// # Errors
    /// When database or broker do not answer, or the replay would break the order of a key.
    pub async fn replay(&self, replay: &Replay, confirmed: bool) -> anyhow::Result<Replayed> {
        for attempt in 1.. {
            match self.once(replay, confirmed).await {
                Err(error)
                    if attempt < TRIES && matches!(error.downcast_ref(), Some(Error::Locked)) => {}
                result => return result,
            }
        }
        bail!("batches of the consumer hold its positions; try again")
    }

    async fn once(&self, replay: &Replay, confirmed: bool) -> anyhow::Result<Replayed> {
        let brokers = self.brokers.clone().context("BAHI_KAFKA is not set")?;
        let mut operation = self.begin().await?;
        let places: Vec<Place> = operation.places().await?;
        let places: Vec<Place> = places
            .into_iter()
            .filter(|p| p.consumer == replay.consumer && p.topic == replay.topic)
            .filter(|p| replay.partition.is_none_or(|only| only == p.partition))
            .collect();
        drop(operation);
        ensure!(
            !places.is_empty(),
            "{} has not read {} yet: there is nothing to read again",
            replay.consumer,
            replay.topic
        );
        let types = self.heard.iter().find(|h| h.consumer == replay.consumer);
        let types = types.map(|h| h.types.clone()).unwrap_or_default();
        let wanted = replay.clone();
        let plan = tokio::task::spawn_blocking(move || plan(&brokers, &wanted, &places, &types))
            .await
            .context("reading the topic")??;
        let mut operation = self.begin().await?;
        if replay.again {
            let key = replay.key.as_ref().map(String::as_bytes);
            let held = operation
                .holds(&replay.consumer, &replay.topic, key)
                .await?;
            ensure!(
                !held,
                "records of these keys are in quarantine, and events handled again would come behind them: \
                 resolve them first (dlq list)"
            );
        }
        let mut replayed = Replayed {
            again: plan.events.len(),
            ..Replayed::default()
        };
        if confirmed {
            operation.again(&replay.consumer, &plan.events).await?;
        }
        for (partition, before, to) in plan.moves {
            let before = if confirmed {
                operation
                    .set_back(&replay.consumer, &replay.topic, partition, to)
                    .await?
            } else {
                Some(before)
            };
            if let Some(before) = before {
                replayed.moves.push((partition, before, to));
            }
        }
        let moves: Vec<Value> = replayed
            .moves
            .iter()
            .map(|(partition, before, after)| json!({ "partition": partition, "before": before, "after": after }))
            .collect();
        let result = json!({ "done": confirmed, "moves": moves, "again": replayed.again });
        let args = json!({
            "consumer": replay.consumer, "topic": replay.topic, "partition": replay.partition,
            "from": format!("{:?}", replay.from), "to": replay.to.map(|to| format!("{to:?}")),
            "type": replay.event_type, "key": replay.key, "again": replay.again, "yes": confirmed,
        });
        replayed.note = operation
            .commit(&self.who, "replay", &args, &result)
            .await?;
        Ok(replayed)
    }
}

fn ends(brokers: Option<&str>, topics: &[String]) -> HashMap<(String, i32), Part> {
    let mut ends = HashMap::new();
    let Some(reader) = brokers.and_then(|brokers| Reader::connect(brokers).ok()) else {
        return ends;
    };
    for topic in topics {
        match reader.parts(topic) {
            Ok(parts) => {
                ends.extend(
                    parts
                        .into_iter()
                        .map(|part| ((topic.clone(), part.partition), part)),
                );
            }
            Err(error) => tracing::warn!(error = format!("{error:#}"), "the ends are not known"),
        }
    }
    ends
}

/// Partition, position and where it goes back to; and the events to handle again.
#[derive(Default)]
struct Plan {
    moves: Vec<(i32, i64, i64)>,
    events: Vec<Uuid>,
}

fn plan(
    brokers: &str,
    replay: &Replay,
    places: &[Place],
    types: &[&'static str],
) -> anyhow::Result<Plan> {
    let reader = Reader::connect(brokers)?;
    let all = reader.parts(&replay.topic)?;
    let from = match replay.from {
        From::Beginning => all.clone(),
        From::Offset(at) => all
            .iter()
            .map(|part| Part {
                from: at.clamp(part.from, part.to),
                ..part.clone()
            })
            .collect(),
        From::Time(time) => reader.since(&replay.topic, &all, time)?,
    };
    let until: HashMap<i32, i64> = match replay.to {
        Some(To::Time(time)) => reader
            .since(&replay.topic, &all, time)?
            .into_iter()
            .map(|part| (part.partition, part.from))
            .collect(),
        Some(To::Offset(at)) => all.iter().map(|part| (part.partition, at)).collect(),
        None => HashMap::new(),
    };
    let mut ranges = Vec::new();
    for place in places {
        let Some(part) = from.iter().find(|part| part.partition == place.partition) else {
            continue;
        };
        let until = until.get(&place.partition).copied().unwrap_or(i64::MAX);
        // What lies beyond the position is read anyway.
        let range = Part {
            to: place.next.min(until).min(part.to),
            ..part.clone()
        };
        if range.from < place.next {
            ranges.push((place.next, range));
        }
    }
    if !replay.again {
        let moves = ranges
            .into_iter()
            .map(|(next, range)| (range.partition, next, range.from));
        return Ok(Plan {
            moves: moves.collect(),
            events: Vec::new(),
        });
    }
    let parts: Vec<Part> = ranges.iter().map(|(_, range)| range.clone()).collect();
    let (mut first, mut events) = (HashMap::<i32, i64>::new(), Vec::new());
    reader.read(&replay.topic, &parts, |record| {
        if let Some(id) = wanted(replay, record, types) {
            first.entry(record.partition()).or_insert(record.offset());
            events.push(id);
        }
        Ok(())
    })?;
    // No further back than to the first event that matters.
    let moves = ranges
        .into_iter()
        .filter_map(|(next, range)| Some((range.partition, next, *first.get(&range.partition)?)));
    Ok(Plan {
        moves: moves.collect(),
        events,
    })
}

/// The event's id, if it is one of those to be handled again.
fn wanted(replay: &Replay, record: &Source<'_>, types: &[&'static str]) -> Option<Uuid> {
    #[derive(Deserialize)]
    struct Peek {
        event_id: Uuid,
        event_type: String,
    }
    let key = replay.key.as_ref().map(String::as_bytes);
    if key.is_some() && key != record.key() {
        return None;
    }
    let peek: Peek = serde_json::from_slice(record.value()?).ok()?;
    let fits = types.contains(&peek.event_type.as_str())
        && replay
            .event_type
            .as_ref()
            .is_none_or(|only| *only == peek.event_type);
    fits.then_some(peek.event_id)
}
