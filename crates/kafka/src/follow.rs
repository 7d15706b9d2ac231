//! Following a topic in every process: for what processes keep in memory, not for effects, which are a consumer's.
//!
//! No group is joined and no position kept. It begins at the end of the topic: nothing that is in memory is older than
//! the process. Records may be seen twice, and those of a partition made later are seen after a restart only.

use std::time::Duration;

use anyhow::Context;
use bahi_events::{Envelope, Topic};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};
use serde::de::IgnoredAny;
use tokio_util::sync::CancellationToken;

use crate::{Reader, consumer_settings};

const POLL: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_secs(1);

/// What is followed, and what is called.
pub struct Follow {
    topic: Topic,
    prefix: String,
    listening: Box<dyn Fn() + Send + Sync>,
    heard: Box<Heard>,
}

type Heard = dyn Fn(&Envelope<IgnoredAny>) + Send + Sync;

impl Follow {
    /// Follows `topic`: `listening` is called once from where on nothing is missed, then `heard` for every event,
    /// without its payload. Neither may block.
    pub fn new(
        topic: Topic,
        listening: impl Fn() + Send + Sync + 'static,
        heard: impl Fn(&Envelope<IgnoredAny>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            topic,
            prefix: String::new(),
            listening: Box::new(listening),
            heard: Box::new(heard),
        }
    }

    /// Puts `prefix` before the name of the topic, so that several stacks can share a broker.
    pub fn with_topic_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
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
        let topic = format!("{}{}", self.prefix, self.topic.name());
        let kafka: BaseConsumer = consumer_settings(brokers, "bahi-follow")
            .set("enable.auto.commit", "false")
            .create()?;
        while let Err(error) = assign(&kafka, brokers, &topic) {
            tracing::warn!(topic, error = format!("{error:#}"), "cannot follow yet");
            if stop.is_cancelled() {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        (self.listening)();
        while !stop.is_cancelled() {
            let message = match kafka.poll(POLL) {
                None => continue,
                Some(Ok(message)) => message,
                Some(Err(error)) => {
                    // The client reconnects by itself and goes on where it was.
                    tracing::debug!(topic, %error, "following goes on");
                    continue;
                }
            };
            match serde_json::from_slice(message.payload().unwrap_or_default()) {
                Ok(event) => (self.heard)(&event),
                Err(error) => {
                    tracing::warn!(topic, %error, offset = message.offset(), "no event");
                }
            }
        }
        Ok(())
    }
}

/// Sets out from the end of each partition as it is now: what is said from here on comes.
fn assign(kafka: &BaseConsumer, brokers: &str, topic: &str) -> anyhow::Result<()> {
    let mut list = TopicPartitionList::new();
    for part in Reader::connect(brokers)?.parts(topic)? {
        list.add_partition_offset(topic, part.partition, Offset::Offset(part.to))?;
    }
    Ok(kafka.assign(&list)?)
}
