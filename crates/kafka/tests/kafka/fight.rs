//! Several processes at the same partitions.

use bahi_types::TenantId;

use crate::support::*;

/// Two groups: Kafka gives all partitions to each, as to a member that missed its dismissal.
async fn fight(stage: &Stage) {
    let sent = series(&[TenantId::new(), TenantId::new()], 20, 2_000);
    let running = [
        stage.start(stage.consumer().with_group("left")),
        stage.start(stage.consumer().with_group("right")),
    ];
    for chunk in sent.chunks(20) {
        stage.send(chunk).await;
    }
    for one in &running {
        stage.await_caught_up(one).await;
    }
    assert_eq!(verdict(&sent, &stage.effects().await), FINE);
    assert_eq!(
        stage
            .count("select sum(next_offset)::bigint from inbox.position")
            .await,
        2_000
    );
    for one in running {
        one.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_both_believe_to_own_every_partition_handle_each_event_once() {
    fight(&Stage::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_position_alone_keeps_them_apart() {
    let stage = Stage::new().await;
    // An inbox that has never seen anything.
    stage
        .change("alter table inbox.processed drop constraint processed_pkey")
        .await;
    fight(&stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_come_and_go_share_the_work_and_handle_each_event_once() {
    let stage = Stage::new().await;
    let sent = series(&[TenantId::new(), TenantId::new()], 20, 2_000);
    let first = stage.start(stage.consumer());
    let (a, b) = sent.split_at(700);
    let (b, c) = b.split_at(600);
    stage.send(a).await;
    stage.await_effects(100).await;
    let second = stage.start(stage.consumer());
    for chunk in b.chunks(10) {
        stage.send(chunk).await;
    }
    stage.await_caught_up(&second).await;
    // One of them leaves in the middle of it.
    stage.send(c).await;
    first.stop().await;
    stage.await_caught_up(&second).await;
    assert_eq!(verdict(&sent, &stage.effects().await), FINE);
    second.stop().await;
}
