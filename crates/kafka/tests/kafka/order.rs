//! Order within a key, across types and batches.

use std::time::Duration;

use bahi_types::TenantId;

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_a_key_is_kept_across_types_and_batches() {
    let stage = Stage::new().await;
    let tenants = [TenantId::new(), TenantId::new(), TenantId::new()];
    // Types alternate within every key, so that no slice can take a key's events at once.
    let event = |n: i64| {
        let kind = if (n / 6) % 2 == 0 { COUNTED } else { MARKED };
        Sent::new(
            kind,
            tenants[usize::try_from(n % 3).unwrap()],
            &format!("k{}", n % 6),
            n,
        )
    };
    let sent: Vec<Sent> = (0..1_800).map(event).collect();
    stage.send(&sent).await;
    let running = stage.start(stage.consumer());
    stage.await_caught_up(&running).await;
    assert_eq!(verdict(&sent, &stage.effects().await), FINE);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_without_a_broker_can_feed_events() {
    let stage = Stage::new().await;
    let sent = series(&[TenantId::new()], 3, 12);
    let events: Vec<_> = sent
        .iter()
        .map(|sent| {
            let payload = serde_json::to_value(&sent.envelope.payload).unwrap();
            sent.envelope.clone().with_payload(payload)
        })
        .collect();
    let consumer = stage.consumer();
    let tally = consumer.feed(&stage.db, &events).await.unwrap();
    assert_eq!((tally.handled, tally.duplicates), (12, 0));
    let tally = consumer.feed(&stage.db, &events).await.unwrap();
    assert_eq!((tally.handled, tally.duplicates), (0, 12));
    assert_eq!(verdict(&sent, &stage.effects().await), FINE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_one_by_one_is_gathered_into_few_commits() {
    let stage = Stage::new().await;
    let running = stage.start(stage.consumer().gather(Duration::from_secs(2)));
    let sent = series(&[TenantId::new()], 3, 30);
    for one in &sent {
        stage.send(std::slice::from_ref(one)).await;
    }
    stage.await_caught_up(&running).await;
    assert_eq!(verdict(&sent, &stage.effects().await), FINE);
    let commits = "select count(distinct xmin::text) from effect";
    assert!(stage.count(commits).await <= 3);
    running.stop().await;
}
