//! Failures that may pass, and failures that end it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::anyhow;
use bahi_kafka::Failed;
use bahi_types::TenantId;

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_keeps_the_order_and_holds_up_no_other_partition() {
    let stage = Stage::new().await;
    let sent = series(&[TenantId::new()], 12, 240);
    let refusals = Arc::new(AtomicUsize::new(0));
    let seen = refusals.clone();
    // k0 fails until everything of the other partitions is there.
    let open = Arc::new(tokio::sync::Semaphore::new(0));
    let gate = open.clone();
    let consumer = stage
        .bare()
        .on(MARKED, leave)
        .on(COUNTED, async move |tx, events| {
            if events.iter().any(|event| event.aggregate_id == "k0")
                && gate.available_permits() == 0
            {
                seen.fetch_add(1, Ordering::SeqCst);
                // It fails after its statements: they must not stay.
                leave(tx, events).await?;
                return Err(Failed::retry(anyhow!("not now")));
            }
            leave(tx, events).await
        });
    let running = stage.start(consumer);
    stage.send(&sent).await;
    let mine = format!(
        "select count(*) from inbox.position where topic = '{}' and next_offset > 0",
        stage.topic()
    );
    // The two other partitions go on, and it has been tried several times.
    eventually(async || {
        (stage.count(&mine).await == 2 && refusals.load(Ordering::SeqCst) > 3).then_some(())
    })
    .await;
    let effects = stage.effects().await;
    assert!(!effects.is_empty() && effects.iter().all(|effect| effect.key != "k0"));
    open.add_permits(1);
    stage.await_caught_up(&running).await;
    assert_eq!(verdict(&sent, &stage.effects().await), FINE);
    assert!(stage.quarantine().await.is_empty());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_too_large_for_the_time_limit_goes_through_in_parts() {
    let stage = Stage::new().await;
    let sent = series(&[TenantId::new()], 1, 200);
    stage.send(&sent).await;
    let consumer = stage
        .bare()
        .on(MARKED, leave)
        .on(COUNTED, async |tx, events| {
            if events.len() > 30 {
                return Err(Failed::from(bahi_db::Error::Timeout));
            }
            leave(tx, events).await
        });
    let running = stage.start(consumer);
    stage.await_caught_up(&running).await;
    assert_eq!(verdict(&sent, &stage.effects().await), FINE);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn halt_ends_the_consumer_and_leaves_no_trace_of_the_batch() {
    let stage = Stage::new().await;
    let sent = series(&[TenantId::new()], 1, 3);
    let running = stage.start(stage.bare().on(COUNTED, async |tx, events| {
        leave(tx, events).await?;
        Err(Failed::halt(anyhow!("the end")))
    }));
    stage.send(&sent).await;
    let error = running.task.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the end");
    assert!(stage.effects().await.is_empty());
    assert_eq!(
        stage
            .count("select sum(next_offset)::bigint from inbox.position")
            .await,
        0
    );

    let running = stage.start(stage.consumer());
    stage.await_caught_up(&running).await;
    assert_eq!(verdict(&sent, &stage.effects().await), FINE);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_batch_that_runs_when_it_is_told_to_stop_is_finished() {
    let stage = Stage::new().await;
    let sent = series(&[TenantId::new()], 1, 1);
    let begun = Arc::new(tokio::sync::Semaphore::new(0));
    let go_on = Arc::new(tokio::sync::Semaphore::new(0));
    let (tell, wait) = (begun.clone(), go_on.clone());
    let running = stage.start(stage.bare().on(COUNTED, async move |tx, events| {
        tell.add_permits(1);
        wait.acquire().await.map_err(Failed::halt)?.forget();
        leave(tx, events).await
    }));
    stage.send(&sent).await;
    begun.acquire().await.unwrap().forget();
    running.stop.cancel();
    go_on.add_permits(1);
    running.task.await.unwrap().unwrap();
    assert_eq!(verdict(&sent, &stage.effects().await), FINE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_does_not_end_in_time_is_given_up_and_handled_by_the_next() {
    let stage = Stage::new().await;
    let sent = series(&[TenantId::new()], 1, 3);
    let begun = Arc::new(tokio::sync::Semaphore::new(0));
    let tell = begun.clone();
    let slow =
        stage
            .bare()
            .drain(Duration::from_millis(100))
            .on(COUNTED, async move |tx, events| {
                leave(tx, events).await?;
                tell.add_permits(1);
                std::future::pending::<()>().await;
                Ok(())
            });
    let running = stage.start(slow);
    stage.send(&sent).await;
    begun.acquire().await.unwrap().forget();
    let asked = Instant::now();
    running.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(5), "it did not drain");
    assert!(stage.effects().await.is_empty());

    let running = stage.start(stage.consumer());
    stage.await_caught_up(&running).await;
    assert_eq!(verdict(&sent, &stage.effects().await), FINE);
    running.stop().await;
}
