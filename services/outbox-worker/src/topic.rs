//! Which topics the cluster has, as one relay has learnt it.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use prometheus::IntCounter;

/// How long a missing topic counts as missing before the cluster is asked again.
const MISSING: Duration = Duration::from_secs(30);

/// What is known of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// The cluster has it; the relay's own number for it.
    Known(u16),
    /// The cluster does not have it.
    Missing,
}

/// The topics of one relay.
#[derive(Default)]
pub struct Topics {
    by_name: HashMap<String, (Topic, Instant)>,
    published: Vec<IntCounter>,
}

impl Topics {
    /// What is known of `name`; None asks the cluster.
    pub fn find(&self, name: &str) -> Option<Topic> {
        match self.by_name.get(name)? {
            (Topic::Missing, since) if since.elapsed() > MISSING => None,
            (topic, _) => Some(*topic),
        }
    }

    /// The cluster has it.
    pub fn learn(&mut self, name: &str, published: IntCounter) {
        let number = u16::try_from(self.published.len()).unwrap_or(u16::MAX);
        self.published.push(published);
        self.by_name
            .insert(name.to_owned(), (Topic::Known(number), Instant::now()));
    }

    /// The cluster does not have it.
    pub fn miss(&mut self, name: &str) {
        self.by_name
            .insert(name.to_owned(), (Topic::Missing, Instant::now()));
    }

    /// Whether it was missing when the cluster was last asked.
    pub fn was_missing(&self, name: &str) -> bool {
        matches!(self.by_name.get(name), Some((Topic::Missing, _)))
    }

    /// Forgets what was known: it may be why the producer failed. What was missing still counts as missing.
    pub fn doubt(&mut self) {
        self.by_name
            .retain(|_, (topic, _)| *topic == Topic::Missing);
        self.published.clear();
    }

    /// An event of the topic was published.
    pub fn count(&self, number: u16) {
        if let Some(published) = self.published.get(usize::from(number)) {
            published.inc();
        }
    }
}
