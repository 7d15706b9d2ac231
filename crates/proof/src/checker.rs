//! The checker: over both databases and the topic, nothing lost, doubled or stuck.

use std::{collections::BTreeMap, time::Duration};

use bahi_testkit::{eventually, test_env};
use rdkafka::{
    ClientConfig, Message, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use uuid::Uuid;

use crate::{Shop, shop::OPENING};

/// Waits until the fleet is at rest, then asserts the whole.
///
/// # Panics
/// With what is wrong.
pub async fn check(shop: &Shop, invoices: i64) {
    at_rest(shop, invoices).await;
    let sales = shop.database("sales").admin().await;
    let stock = shop.database("inventory").admin().await;

    // One invoice a sale, each decided once, the numbers without a gap.
    let row = sales
        .query_one(
            "select count(*), coalesce(max(running), 0), count(distinct running) from invoice",
            &[],
        )
        .await
        .expect("invoices");
    assert_eq!(
        (
            row.get::<_, i64>(0),
            row.get::<_, i64>(1),
            row.get::<_, i64>(2)
        ),
        (invoices, invoices, invoices),
        "numbers"
    );
    let wrong = "select count(*) from invoice i full join (select * from reservation_decision where decision = 'issued') d
                   using (tenant_id, invoice_id) where i.invoice_id is null or d.invoice_id is null";
    assert_eq!(
        sales
            .query_one(wrong, &[])
            .await
            .expect("decisions")
            .get::<_, i64>(0),
        0,
        "decisions and invoices"
    );

    // What was invoiced has left stock or is an open shortage; nothing is held any more.
    let sold = sums(
        &sales,
        "select product_id, sum(qty)::bigint from invoice_line group by 1",
    )
    .await;
    let issued = sums(
        &stock,
        "select product_id, -sum(qty)::bigint from movement where kind = 'issue' group by 1",
    )
    .await;
    let short = sums(
        &stock,
        "select product_id, sum(open)::bigint from shortage group by 1",
    )
    .await;
    let held = sums(
        &stock,
        "select product_id, sum(reserved)::bigint from stock_item group by 1",
    )
    .await;
    let on_hand = sums(
        &stock,
        "select product_id, sum(on_hand)::bigint from stock_item group by 1",
    )
    .await;
    for product in &shop.products {
        let of = |sums: &BTreeMap<Uuid, i64>| sums.get(product).copied().unwrap_or_default();
        assert_eq!(
            of(&issued) + of(&short),
            of(&sold),
            "issued and short, against invoiced"
        );
        assert_eq!(of(&on_hand), OPENING - of(&issued), "on hand");
        assert_eq!(of(&held), 0, "held");
    }

    // Inventory's own proof: ledger, balances, holds, layers and what each was made from agree.
    shop.stock().assert_books_agree().await;

    // One event an invoice in the topic.
    let announced = events(&shop.topic("billing"), "invoice.issued").await;
    assert_eq!(announced.len() as i64, invoices, "events in the topic");
}

async fn sums(client: &tokio_postgres::Client, query: &str) -> BTreeMap<Uuid, i64> {
    client
        .query(query, &[])
        .await
        .expect(query)
        .into_iter()
        .map(|r| (r.get(0), r.get(1)))
        .collect()
}

/// No hold is pending, every invoice has left stock, every event is in its topic.
async fn at_rest(shop: &Shop, invoices: i64) {
    let stock = shop.database("inventory").admin().await;
    let sales = shop.database("sales").admin().await;
    eventually(|| async {
        let pending: i64 = stock
            .query_one(
                "select count(*) from reservation where state = 'pending'",
                &[],
            )
            .await
            .ok()?
            .get(0);
        let issued: i64 = stock
            .query_one(
                "select count(*) from movement_header where source_type = 'invoice'",
                &[],
            )
            .await
            .ok()?
            .get(0);
        let unsent: i64 = sales
            .query_one(
                "select count(*) from outbox.status where not published",
                &[],
            )
            .await
            .ok()?
            .get(0);
        (pending == 0 && issued >= invoices && unsent == 0).then_some(())
    })
    .await;
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
