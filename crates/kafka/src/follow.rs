//! Following topics in every process: for what processes keep in memory or pass on, not for effects, which are a consumer's.
//!
//! No group is joined and no position kept. It begins at the end of the topics: nothing that is in memory is older than
//! the process. Records may be seen twice, and those of a partition made later are seen after a restart only.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use bahi_events::{Envelope, Topic};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};
use serde::de::IgnoredAny;
use tokio_util::sync::CancellationToken;

use crate::{Reader, consumer_settings, settings::gathered};

const POLL: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_secs(1);

/// The offset of the next record, by topic and partition.
pub type Place = BTreeMap<(Topic, i32), i64>;

/// A record that was followed.
#[derive(Clone, Copy, Debug)]
pub struct Followed<'a> {
    /// Topic.
    pub topic: Topic,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Value.
    pub value: &'a [u8],
}

/// What is followed, and what is called.
pub struct Follow {
    topics: Vec<Topic>,
    prefix: String,
    gathered: bool,
    listening: Box<dyn Fn(&Place) + Send + Sync>,
    heard: Box<Heard>,
}

type Heard = dyn Fn(&Followed<'_>) + Send + Sync;

impl Follow {
    /// Follows `topic`: `listening` is called once from where on nothing is missed, then `heard` for every event,
    /// without its payload. Neither may block.
    pub fn new(
        topic: Topic,
        listening: impl Fn() + Send + Sync + 'static,
        heard: impl Fn(&Envelope<IgnoredAny>) + Send + Sync + 'static,
    ) -> Self {
        let heard = move |record: &Followed<'_>| match serde_json::from_slice(record.value) {
            Ok(event) => heard(&event),
            Err(error) => {
                tracing::warn!(topic = record.topic.name(), %error, offset = record.offset, "no event");
            }
        };
        Self::records(&[topic], move |_| listening(), heard)
    }

    /// Follows `topics`: `listening` is called once with the place from where on nothing is missed, then `heard` for
    /// every record, in the order of its partition. Neither may block.
    pub fn records(
        topics: &[Topic],
        listening: impl Fn(&Place) + Send + Sync + 'static,
        heard: impl Fn(&Followed<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            topics: topics.to_vec(),
            prefix: String::new(),
            gathered: false,
            listening: Box::new(listening),
            heard: Box::new(heard),
        }
    }

    /// Puts `prefix` before the names of the topics, so that several stacks can share a broker.
    pub fn with_topic_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// Lets records lie in the broker for up to a tenth of a second, so that those of a busy topic come together.
    pub fn gathered(mut self) -> Self {
        self.gathered = true;
        self
    }

    /// Follows until `stop` is cancelled; a broker that is away is waited for.
    ///
    /// # Errors
    /// When Kafka's client refuses its settings.
    pub async fn run(self, brokers: &str, stop: CancellationToken) -> anyhow::Result<()> {
        // Ends the thread also when this future is dropped.
        let stop = stop.child_token();
        let _ends_with_me = stop.clone().drop_guard();
        let brokers = brokers.to_owned();
        tokio::task::spawn_blocking(move || self.follow(&brokers, &stop))
            .await
            .context("following panicked")?
    }

    fn follow(&self, brokers: &str, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut settings = consumer_settings(brokers, "bahi-follow");
        settings.set("enable.auto.commit", "false");
        if self.gathered {
            gathered(&mut settings);
        }
        let kafka: BaseConsumer = settings.create()?;
        let place = loop {
            match self.assign(&kafka, brokers) {
                Ok(place) => break place,
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "cannot follow yet");
                    if stop.is_cancelled() {
                        return Ok(());
                    }
                    std::thread::sleep(PAUSE);
                }
            }
        };
        (self.listening)(&place);
        while !stop.is_cancelled() {
            let message = match kafka.poll(POLL) {
                None => continue,
                Some(Ok(message)) => message,
                Some(Err(error)) => {
                    // The client reconnects by itself and goes on where it was.
                    tracing::debug!(%error, "following goes on");
                    continue;
                }
            };
            let name = message.topic().strip_prefix(&self.prefix);
            let topic = self.topics.iter().find(|topic| Some(topic.name()) == name);
            if let Some(topic) = topic {
                (self.heard)(&Followed {
                    topic: *topic,
                    partition: message.partition(),
                    offset: message.offset(),
                    value: message.payload().unwrap_or_default(),
                });
            }
        }
        Ok(())
    }

    /// Sets out from the end of each partition as it is now: what is said from here on comes.
    fn assign(&self, kafka: &BaseConsumer, brokers: &str) -> anyhow::Result<Place> {
        let (reader, mut list) = (Reader::connect(brokers)?, TopicPartitionList::new());
        let mut place = Place::new();
        for topic in &self.topics {
            let name = format!("{}{}", self.prefix, topic.name());
            for part in reader.parts(&name)? {
                list.add_partition_offset(&name, part.partition, Offset::Offset(part.to))?;
                place.insert((*topic, part.partition), part.to);
            }
        }
        kafka.assign(&list)?;
        Ok(place)
    }
}
