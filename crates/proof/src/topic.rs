//! What a topic holds, and what is put there from outside.

use std::{collections::BTreeMap, time::Duration};

use bahi_testkit::test_env;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::OwnedMessage,
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(10);

/// A reader, the beginning of every partition of a topic, and how many records there are.
fn open(topic: &str) -> (BaseConsumer, TopicPartitionList, i64) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", test_env("BAHI_TEST_KAFKA"))
        .set("group.id", "proof-reader")
        .set("enable.auto.commit", "false")
        .create()
        .expect("consumer");
    let metadata = consumer
        .fetch_metadata(Some(topic), PATIENCE)
        .expect("metadata");
    let mut places = TopicPartitionList::new();
    let mut there = 0;
    for partition in metadata.topics()[0].partitions() {
        let (begin, end) = consumer
            .fetch_watermarks(topic, partition.id(), PATIENCE)
            .expect("watermarks");
        there += end - begin;
        places
            .add_partition_offset(topic, partition.id(), Offset::Beginning)
            .expect("offset");
    }
    (consumer, places, there)
}

/// How many records a topic has.
///
/// # Panics
/// When Kafka does not say.
pub async fn length(topic: &str) -> i64 {
    let topic = topic.to_owned();
    let opened = tokio::task::spawn_blocking(move || open(&topic).2);
    opened.await.expect("reader")
}

/// Every record of a topic, those of a partition in their order.
async fn records(topic: &str) -> Vec<OwnedMessage> {
    let topic = topic.to_owned();
    tokio::task::spawn_blocking(move || {
        let (consumer, places, there) = open(&topic);
        consumer.assign(&places).expect("assign");
        let records = (0..there).map(|_| {
            let Some(record) = consumer.poll(PATIENCE) else {
                panic!("{topic} cannot be read")
            };
            record.expect("record").detach()
        });
        records.collect()
    })
    .await
    .expect("reader")
}

/// Every event of a topic as it came, copies included, those of a key in their order.
///
/// # Panics
/// When the topic cannot be read.
pub async fn events(topic: &str) -> Vec<Value> {
    let records = records(topic).await;
    let events = records.iter().map(|r| {
        let value = r.payload().unwrap_or_default();
        serde_json::from_slice(value).expect("event")
    });
    events.collect()
}

/// Payloads of a type's events in a topic, by event id.
///
/// # Panics
/// When the topic cannot be read.
pub async fn payloads(topic: &str, event_type: &str) -> BTreeMap<String, Value> {
    let events = events(topic).await.into_iter();
    let events = events.filter(|event| event["event_type"] == *event_type);
    events
        .map(|mut event| {
            let id = event["event_id"].as_str().unwrap_or_default().to_owned();
            (id, event["payload"].take())
        })
        .collect()
}

fn producer() -> BaseProducer {
    ClientConfig::new()
        .set("bootstrap.servers", test_env("BAHI_TEST_KAFKA"))
        .set("enable.idempotence", "true")
        .create()
        .expect("a producer")
}

/// Sends records of one key.
///
/// # Panics
/// When they are not taken.
pub fn send(topic: &str, key: &str, values: &[&str]) {
    let producer = producer();
    for value in values {
        let record = BaseRecord::to(topic).key(key).payload(*value);
        producer.send(record).expect("queued");
    }
    producer.flush(PATIENCE).expect("sent");
}

/// Delivers again what a topic holds, each record as it was.
///
/// # Panics
/// When it cannot be read, or the records are not taken.
pub async fn repeat(topic: &str) {
    let producer = producer();
    for record in records(topic).await {
        let mut copy = BaseRecord::<[u8], [u8]>::to(topic)
            .partition(record.partition())
            .key(record.key().unwrap_or_default())
            .payload(record.payload().unwrap_or_default());
        if let Some(headers) = record.headers() {
            copy = copy.headers(headers.clone());
        }
        producer.send(copy).map_err(|(e, _)| e).expect("queued");
    }
    producer.flush(PATIENCE).expect("sent");
}
