//! Follows a topic from its beginning.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use bahi_testkit::Seen;
use parking_lot::Mutex;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::Headers,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::world::eventually;

/// A record as it lies in the topic.
#[derive(Clone)]
pub struct Record {
    pub key: String,
    pub value: String,
    pub headers: Vec<(String, String)>,
    pub partition: i32,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    event_id: Uuid,
    aggregate_version: i64,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl Record {
    pub fn seen(&self) -> Seen {
        let envelope: Envelope<'_> =
            serde_json::from_str(&self.value).expect("the value is an envelope");
        Seen::new(
            envelope.event_id,
            &self.key,
            envelope.aggregate_version,
            envelope.payload.get(),
        )
    }
}

/// What a topic holds so far, in order per partition.
pub struct Log {
    pub name: String,
    records: Arc<Mutex<Vec<Record>>>,
    stop: Arc<AtomicBool>,
}

impl Log {
    pub fn follow(bootstrap: &str, name: String, partitions: i32) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "none")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "5")
            .create()
            .expect("consumer");
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            assignment
                .add_partition_offset(&name, partition, Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&assignment).unwrap();
        let (records, stop) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let (kept, stopped) = (records.clone(), stop.clone());
        thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // Errors pass: the topic was created a moment ago.
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
                    let text = |bytes: Option<&[u8]>| {
                        String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap()
                    };
                    let headers = message.headers().map_or_else(Vec::new, |headers| {
                        headers
                            .iter()
                            .map(|header| (header.key.to_owned(), text(header.value)))
                            .collect()
                    });
                    kept.lock().push(Record {
                        key: text(message.key()),
                        value: text(message.payload()),
                        headers,
                        partition: message.partition(),
                    });
                }
            }
        });
        Self {
            name,
            records,
            stop,
        }
    }

    pub fn len(&self) -> usize {
        self.records.lock().len()
    }

    pub fn records(&self) -> Vec<Record> {
        self.records.lock().clone()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.records.lock().iter().map(Record::seen).collect()
    }

    /// Waits until every one of these events has arrived.
    pub async fn until_all(&self, ids: &[Uuid]) {
        let missing = Mutex::new((
            0,
            ids.iter()
                .copied()
                .collect::<std::collections::HashSet<Uuid>>(),
        ));
        eventually(format!("{} events in {}", ids.len(), self.name), || {
            let mut missing = missing.lock();
            let records = self.records.lock();
            for record in &records[missing.0..] {
                missing.1.remove(&record.seen().event_id);
            }
            missing.0 = records.len();
            let done = missing.1.is_empty();
            async move { done.then_some(()) }
        })
        .await;
    }

    pub async fn until_len(&self, count: usize) {
        eventually(format!("{count} records in {}", self.name), || async {
            (self.len() >= count).then_some(())
        })
        .await;
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
