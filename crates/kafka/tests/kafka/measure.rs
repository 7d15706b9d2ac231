//! How fast a consumer is that does one insert an event.

use std::time::{Duration, Instant};

use bahi_types::TenantId;

use crate::support::*;

const EVENTS: i64 = 200_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "cargo test --release -p bahi-kafka --test kafka -- --ignored --nocapture measure"]
async fn measure_one_insert_per_event() {
    let stage = Stage::new().await;
    let tenant = TenantId::new();
    // All of it waits in the topic: nothing is measured but the consumer.
    for from in (0..EVENTS).step_by(10_000) {
        let sent: Vec<Sent> = (from..from + 10_000)
            .map(|n| Sent::new(COUNTED, tenant, &format!("k{}", n % 5_000), n))
            .collect();
        stage.send(&sent).await;
    }
    for run in 1..=3 {
        stage
            .change("truncate effect, inbox.processed, inbox.position")
            .await;
        let started = Instant::now();
        let running = stage.start(stage.bare().on(COUNTED, insert));
        // The first batch shows that it has joined its group, which is not what is asked.
        stage.await_effects_from(1).await;
        let (joined, before) = (
            Instant::now(),
            stage.count("select count(*) from effect").await,
        );
        stage.await_effects_from(EVENTS).await;
        let took = joined.elapsed();
        let per_second = u128::try_from(EVENTS - before).unwrap() * 1_000 / took.as_millis().max(1);
        println!(
            "run {run}: {EVENTS} events, joined after {:?}, then {per_second} events/s",
            joined - started
        );
        assert!(took < Duration::from_secs(120));
        running.stop().await;
        let committed = "select count(*) from effect";
        assert_eq!(stage.count(committed).await, EVENTS);
    }
}
