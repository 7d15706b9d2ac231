//! Records that are no events, or none of ours.

use bahi_kafka::create_topics;
use bahi_types::TenantId;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::FutureRecord,
};
use serde_json::{Value, json};

use crate::support::*;

fn altered(sent: &Sent, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value = serde_json::to_value(&sent.envelope).unwrap();
    change(&mut value);
    value.to_string().into_bytes()
}

/// The metric of skipped records.
fn skipped() -> u64 {
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&prometheus::gather())
        .unwrap();
    let name = "bahi_consumer_skipped_total{consumer=\"counter\"} ";
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.map_or(0, |value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_is_put_aside_and_the_rest_goes_on() {
    let stage = Stage::new().await;
    let tenant = TenantId::new();
    let event = |key: &str, n| Sent::new(COUNTED, tenant, key, n);
    let producer = &stage.producer;
    let topic = stage.topic();
    let kind = Some("test.counted");
    let raw = async |key: Option<&[u8]>, value: &[u8], kind| {
        send_raw(producer, &topic, key, value, kind)
            .await
            .unwrap()
            .unwrap();
    };
    raw(Some(b"a"), b"\xff\x00 this is no JSON", kind).await;
    raw(Some(b"b"), b"{ no JSON either", None).await;
    raw(
        Some(b"c"),
        &altered(&event("c", 1), |v| v["tenant_id"] = Value::Null),
        kind,
    )
    .await;
    raw(
        Some(b"d"),
        &altered(&event("d", 1), |v| v["payload"] = json!({ "n": "one" })),
        kind,
    )
    .await;
    raw(
        Some(b"e"),
        &altered(&event("e", 1), |v| v["epoch"] = json!("first")),
        kind,
    )
    .await;
    raw(
        Some(b"f"),
        &altered(&event("f", 1), |v| v["event_type"] = json!("test.marked")),
        kind,
    )
    .await;
    raw(Some(b"g"), b"", kind).await;
    raw(None, b"[]", kind).await;
    raw(Some(&[0xff; 5_000]), b"[]", kind).await;
    raw(
        Some(b"h"),
        &altered(&event("h", 1), |v| v["version"] = json!("v2")),
        kind,
    )
    .await;
    raw(
        Some(b"i"),
        &altered(&event("i", 1), |v| {
            v.as_object_mut().unwrap().remove("tenant_id");
        }),
        kind,
    )
    .await;
    // What follows a poisoned record of the same key waits; what has no key waits for nobody.
    raw(None, &altered(&event("none", 1), |_| {}), kind).await;
    stage.send(&[event("a", 2), event("ok", 1)]).await;

    let running = stage.start(stage.consumer());
    stage.await_caught_up(&running).await;
    let mut done: Vec<String> = stage
        .effects()
        .await
        .into_iter()
        .map(|effect| effect.key)
        .collect();
    done.sort();
    assert_eq!(done, ["none", "ok"]);
    let rows = stage.admin().await;
    let rows = rows
        .query(
            "select encode(key, 'escape'), state, reason from inbox.quarantine",
            &[],
        )
        .await
        .unwrap();
    let mut rows: Vec<(Option<String>, String, String)> = rows
        .iter()
        .map(|r| (r.get(0), r.get(1), r.get(2)))
        .collect();
    rows.sort();
    let long = "\\377".repeat(5_000);
    let row = |key: Option<&str>, state: &str, reason: &str| {
        (key.map(str::to_owned), state.to_owned(), reason.to_owned())
    };
    assert_eq!(
        rows,
        [
            row(None, "rejected", "bad_envelope"),
            row(Some(&long), "rejected", "bad_envelope"),
            row(Some("a"), "rejected", "not_json"),
            row(Some("a"), "waiting", "behind_rejected"),
            row(Some("b"), "rejected", "not_json"),
            row(Some("c"), "rejected", "no_tenant"),
            row(Some("d"), "rejected", "bad_payload"),
            row(Some("e"), "rejected", "bad_envelope"),
            row(Some("f"), "rejected", "bad_payload"),
            row(Some("g"), "rejected", "not_json"),
            row(Some("h"), "rejected", "unknown_version"),
            row(Some("i"), "rejected", "no_tenant"),
        ]
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_nobody_hears_are_passed_over() {
    let stage = Stage::new().await;
    let producer = &stage.producer;
    for n in 0..50 {
        let sent = Sent::new(COUNTED, TenantId::new(), "k", n);
        let value = altered(&sent, |v| v["event_type"] = json!("test.unheard_of"));
        // With the header and without.
        let kind = (n % 2 == 0).then_some("test.unheard_of");
        send_raw(producer, &stage.topic(), Some(b"k"), &value, kind)
            .await
            .unwrap()
            .unwrap();
    }
    let skipped = skipped();
    let running = stage.start(stage.consumer());
    // The position is written although there was nothing to do.
    stage.await_caught_up(&running).await;
    assert_eq!(
        stage
            .count("select sum(next_offset)::bigint from inbox.position")
            .await,
        50
    );
    assert!(stage.effects().await.is_empty() && stage.quarantine().await.is_empty());
    // Counted, though other tests of this process may count too.
    assert!(self::skipped() >= skipped + 50);

    let sent = series(&[TenantId::new()], 3, 9);
    stage.send(&sent).await;
    stage.await_caught_up(&running).await;
    assert_eq!(verdict(&sent, &stage.effects().await), FINE);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_900_kb_is_handled_and_as_poison_reaches_the_dead_letters() {
    let stage = Stage::new().await;
    let sent = Sent::new(COUNTED, TenantId::new(), "large", 1);
    let producer = &stage.producer;
    let value = altered(&sent, |v| {
        v["payload"]["padding"] = json!("x".repeat(900_000))
    });
    send_raw(
        producer,
        &stage.topic(),
        Some(b"large"),
        &value,
        Some("test.counted"),
    )
    .await
    .unwrap()
    .unwrap();
    let poison = altered(&sent, |v| {
        v["payload"] = json!({ "n": "x".repeat(900_000) });
        v["event_id"] = json!(uuid::Uuid::now_v7());
    });
    send_raw(
        producer,
        &stage.topic(),
        Some(b"other"),
        &poison,
        Some("test.counted"),
    )
    .await
    .unwrap()
    .unwrap();
    let running = stage.start(stage.consumer());
    stage.await_caught_up(&running).await;
    assert_eq!(verdict(&[sent], &stage.effects().await), FINE);
    assert_eq!(
        stage.quarantine().await,
        [("other".into(), "rejected".into(), "bad_payload".into())]
    );
    let unsent = "select count(*) from inbox.quarantine where sent_at is null";
    eventually(async || (stage.count(unsent).await == 0).then_some(())).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_headers_and_a_topic_that_comes_later_do_no_harm() {
    let stage = Stage::new().await;
    let sent = Sent::new(COUNTED, TenantId::new(), "k", 1);
    let value = serde_json::to_vec(&sent.envelope).unwrap();
    let headers = OwnedHeaders::new()
        .insert(Header {
            key: "",
            value: None::<&str>,
        })
        .insert(Header {
            key: "ce_type",
            value: Some(&b"\xff\xfe"[..]),
        })
        .insert(Header {
            key: "traceparent",
            value: None::<&str>,
        });
    let producer = &stage.producer;
    let topic = stage.topic();
    let record = FutureRecord::to(&topic)
        .key("k")
        .payload(&value)
        .headers(headers);
    producer
        .send_result(record)
        .unwrap()
        .await
        .unwrap()
        .unwrap();
    let running = stage.start(stage.consumer());
    stage.await_caught_up(&running).await;
    assert_eq!(verdict(&[sent], &stage.effects().await), FINE);
    running.stop().await;

    // A service may be up before the topics are.
    let mut late = stage.clone();
    late.prefix = format!("{}late.", stage.prefix);
    let running = late.start(late.consumer());
    assert!(running.status.ends().await.is_err());
    create_topics(&brokers(), &[&late.topic()], 1)
        .await
        .unwrap();
    let sent = Sent::new(COUNTED, TenantId::new(), "late", 2);
    late.send(std::slice::from_ref(&sent)).await;
    let effects = late.await_effects(2).await;
    assert_eq!(effects[1].event_id, sent.envelope.event_id);
    running.stop().await;
}
