//! Which topics the cluster has, as one relay has learnt it, and how far it has written their partitions.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use prometheus::IntCounter;

use crate::flight::Ack;

/// How long a missing topic counts as missing before the cluster is asked again.
const MISSING: Duration = Duration::from_secs(30);

/// By topic, the offset after the last record of this relay in each partition; 0 where there is none.
pub type Reached = BTreeMap<String, Vec<i64>>;

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
    known: Vec<Known>,
    reached: Reached,
}

struct Known {
    name: String,
    published: IntCounter,
    next: Vec<i64>,
}

impl Topics {
    /// The topics of a relay that had written so far.
    pub fn new(reached: Reached) -> Self {
        Self {
            reached,
            ..Self::default()
        }
    }

    /// What is known of `name`; None asks the cluster.
    pub fn find(&self, name: &str) -> Option<Topic> {
        match self.by_name.get(name)? {
            (Topic::Missing, since) if since.elapsed() > MISSING => None,
            (topic, _) => Some(*topic),
        }
    }

    /// The cluster has it.
    pub fn learn(&mut self, name: &str, published: IntCounter) {
        let number = u16::try_from(self.known.len()).unwrap_or(u16::MAX);
        self.known.push(Known {
            name: name.to_owned(),
            published,
            next: self.reached.get(name).cloned().unwrap_or_default(),
        });
        self.by_name
            .insert(name.to_owned(), (Topic::Known(number), Instant::now()));
    }

    /// The cluster does not have it.
    pub fn miss(&mut self, name: &str) {
        self.by_name
            .insert(name.to_owned(), (Topic::Missing, Instant::now()));
    }

    /// An operator may have created what was missing: the cluster is asked anew.
    pub fn ask_again(&mut self) {
        for (topic, since) in self.by_name.values_mut() {
            if *topic == Topic::Missing
                && let Some(before) = since.checked_sub(MISSING * 2)
            {
                *since = before;
            }
        }
    }

    /// Whether it was missing when the cluster was last asked.
    pub fn was_missing(&self, name: &str) -> bool {
        matches!(self.by_name.get(name), Some((Topic::Missing, _)))
    }

    /// Forgets what was known: it may be why the producer failed. What was missing still counts as missing.
    pub fn doubt(&mut self) {
        self.reached = self.reached();
        self.by_name
            .retain(|_, (topic, _)| *topic == Topic::Missing);
        self.known.clear();
    }

    /// An event was published. Where Kafka gave it an offset that it had given before, the topic was emptied or made
    /// anew behind our back: its name, and how many records that took.
    pub fn landed(&mut self, number: u16, ack: Ack) -> Option<(&str, i64)> {
        let topic = self.known.get_mut(usize::from(number))?;
        topic.published.inc();
        // librdkafka reports no offset where the answer to a repetition was "known already".
        let (Ok(partition), true) = (usize::try_from(ack.partition), ack.offset >= 0) else {
            return None;
        };
        if topic.next.len() <= partition {
            topic.next.resize(partition + 1, 0);
        }
        let before = std::mem::replace(&mut topic.next[partition], ack.offset + 1);
        (ack.offset < before).then_some((topic.name.as_str(), before - ack.offset))
    }

    /// How far the partitions are.
    pub fn reached(&self) -> Reached {
        let mut reached = self.reached.clone();
        for known in &self.known {
            reached.insert(known.name.clone(), known.next.clone());
        }
        reached
    }
}
