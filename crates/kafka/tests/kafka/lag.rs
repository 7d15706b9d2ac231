//! How far a consumer is, and how fast.

use std::time::{Duration, Instant};

use bahi_types::TenantId;
use tokio::sync::mpsc;

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_tells_what_is_left() {
    let stage = Stage::new().await;
    let running = stage.start(stage.consumer());
    assert!(running.status.caught_up().await.unwrap_or(true));
    let idle = running.status.ends().await.unwrap();
    let sent = series(&[TenantId::new()], 10, 100);
    stage.send(&sent).await;
    let ends = running.status.ends().await.unwrap();
    assert_ne!(idle, ends);
    assert!(running.status.reached(&idle).await.unwrap());
    stage.await_caught_up(&running).await;
    assert_eq!(stage.effects().await.len(), 100);
    // The look of every five seconds, for the metrics.
    let seen = eventually(async || {
        let seen = running.status.partitions();
        (seen.len() == 3).then_some(seen)
    })
    .await;
    assert_eq!(
        (
            seen.iter().map(|p| p.next).sum::<i64>(),
            seen.iter().map(|p| p.end).sum::<i64>()
        ),
        (100, 100)
    );
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&prometheus::gather())
        .unwrap();
    let lag = format!(
        "bahi_consumer_lag{{consumer=\"counter\",partition=\"0\",topic=\"{}\"}} 0",
        stage.topic()
    );
    assert!(text.contains(&lag), "{text}");
    for name in [
        "handled_total",
        "skipped_total",
        "batch_seconds",
        "duplicates_total",
    ] {
        let name = format!("bahi_consumer_{name}");
        assert!(
            text.contains(&name) || name.contains("skipped") || name.contains("duplicates"),
            "{name}"
        );
    }
    running.stop().await;
    // Asking a consumer that has ended is an error, not a wait.
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: cargo test -p bahi-kafka --release -- --ignored measures --nocapture"]
async fn measures_latency_and_throughput() {
    let stage = Stage::new().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let running = stage.start(stage.bare().on(MARKED, leave).on(
        COUNTED,
        async move |tx, events| {
            tell.send(Instant::now()).unwrap();
            leave(tx, events).await
        },
    ));
    let producer = &stage.producer;
    let tenant = TenantId::new();
    let mut times = Vec::new();
    for n in 0..500 {
        let sent = Sent::new(COUNTED, tenant, &format!("k{}", n % 7), n);
        send_one(producer, &stage.topic(), &sent).await;
        let acknowledged = Instant::now();
        let begun = told.recv().await.unwrap();
        times.push(begun.saturating_duration_since(acknowledged));
    }
    times.sort();
    println!(
        "acknowledged -> handler: p50 {:?}, p99 {:?}, max {:?}",
        times[250], times[495], times[499]
    );
    let sent = series(&[tenant], 100, 20_000);
    running.stop().await;
    stage.send(&sent).await;
    let started = Instant::now();
    let running = stage.start(stage.consumer());
    stage.await_effects(20_500).await;
    let took = started.elapsed();
    println!("20,000 waiting events in {took:?}");
    assert!(took < Duration::from_secs(60));
    running.stop().await;
}
