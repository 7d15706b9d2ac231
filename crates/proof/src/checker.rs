//! The checker: over both databases and the topic, nothing lost, doubled or stuck.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bahi_testkit::{eventually, test_env, wrong_in_goods, wrong_in_sales};
use rdkafka::{
    ClientConfig, Message, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use tokio_postgres::Client;

use crate::Shop;

/// How long inventory may take to hear of what was sold.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the fleet is at rest, then asserts the whole: so many invoices, the books of sales sound, the goods where
/// sales says they are, and each invoice announced once.
///
/// # Panics
/// With what is wrong.
pub async fn check(shop: &Shop, invoices: i64) {
    let sales = shop.database("sales").admin().await;
    let stock = shop.database("inventory").admin().await;
    at_rest(&sales, &stock).await;
    let count = |query: &'static str| {
        let sales = &sales;
        async move {
            let row = sales.query_one(query, &[]).await.expect(query);
            row.get::<_, i64>(0)
        }
    };
    assert_eq!(count("select count(*) from invoice").await, invoices);
    let mut wrong = wrong_in_sales(&sales).await;
    if count("select epoch from outbox.epoch").await > 1 {
        // What a restore has brought back was said by the database that is lost.
        wrong.retain(|what| !what.starts_with("events of"));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    // Inventory's own proof: ledger, balances, holds, layers and what each was made from agree.
    shop.stock().assert_books_agree().await;

    // One event an invoice in the topic.
    let announced = events(&shop.topic("billing"), "invoice.issued").await;
    assert_eq!(announced.len() as i64, invoices, "events in the topic");
}

/// No sale holds anything, no order waits for an answer, every event is in its topic and has had its effect.
async fn at_rest(sales: &Client, stock: &Client) {
    let waits = [
        (
            stock,
            "select count(*) from reservation where state = 'pending' and owner = 'sales'",
        ),
        (
            sales,
            "select count(*) from sales_order where step is not null",
        ),
        (
            sales,
            "select count(*) from outbox.status where not published",
        ),
    ];
    for (database, query) in waits {
        eventually(|| async {
            let waiting: i64 = database.query_one(query, &[]).await.ok()?.get(0);
            (waiting == 0).then_some(())
        })
        .await;
    }
    let began = Instant::now();
    loop {
        let wrong = wrong_in_goods(sales, stock).await;
        if wrong.is_empty() {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{wrong:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Event ids of a type in a topic, copies counted once.
async fn events(topic: &str, event_type: &str) -> Vec<String> {
    let found = payloads(topic, event_type).await;
    found.into_keys().collect()
}

/// Payloads of a type's events in a topic, by event id.
///
/// # Panics
/// When the topic cannot be read.
pub async fn payloads(topic: &str, event_type: &str) -> BTreeMap<String, serde_json::Value> {
    let (topic, event_type) = (topic.to_owned(), event_type.to_owned());
    tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", test_env("BAHI_TEST_KAFKA"))
            .set("group.id", "proof-reader")
            .set("enable.auto.commit", "false")
            .create()
            .expect("consumer");
        let patience = Duration::from_secs(10);
        let metadata = consumer
            .fetch_metadata(Some(&topic), patience)
            .expect("metadata");
        let mut places = TopicPartitionList::new();
        let mut left = 0;
        for partition in metadata.topics()[0].partitions() {
            let (begin, end) = consumer
                .fetch_watermarks(&topic, partition.id(), patience)
                .expect("watermarks");
            left += end - begin;
            places
                .add_partition_offset(&topic, partition.id(), rdkafka::Offset::Beginning)
                .expect("offset");
        }
        consumer.assign(&places).expect("assign");
        let mut found = BTreeMap::new();
        while left > 0 {
            let Some(message) = consumer.poll(patience) else {
                panic!("{topic} cannot be read")
            };
            let message = message.expect("record");
            left -= 1;
            let event: serde_json::Value =
                serde_json::from_slice(message.payload().unwrap_or_default()).expect("event");
            if event["event_type"] == *event_type {
                let id = event["event_id"].as_str().unwrap_or_default().to_owned();
                found.insert(id, event["payload"].clone());
            }
        }
        found
    })
    .await
    .expect("reader")
}
