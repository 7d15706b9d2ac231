//! Processes that are killed. The victim is this test binary again, run with another test's name.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use bahi_kafka::consumer_settings;
use bahi_testkit::signal;
use bahi_types::TenantId;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};

use crate::support::*;

/// The victim; killed at the latest when the test ends, however it ends.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        self.0.kill().ok(); // SIGKILL, which a stopped process obeys too
        self.0.wait().ok();
    }
}

fn spawn(stage: &Stage) -> Victim {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::victim", "--ignored", "--nocapture"])
        .env(
            "BAHI_TEST_STAGE",
            format!("{},{}", stage.database, stage.prefix),
        )
        .stdout(Stdio::null())
        .spawn();
    Victim(child.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process that the others kill"]
async fn victim() {
    let (database, prefix) = env("BAHI_TEST_STAGE")
        .split_once(',')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let stage = Stage::join(&database, &prefix);
    // A static member: the next process of this name need not wait until Kafka misses this one.
    stage
        .start(stage.consumer().with_instance("one"))
        .task
        .await
        .unwrap()
        .unwrap();
}

/// What Kafka believes this group has read.
fn committed(stage: &Stage) -> i64 {
    let settings = consumer_settings(&brokers(), &format!("{}counter", stage.prefix));
    let kafka: BaseConsumer = settings.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_range(&stage.topic(), 0, 2);
    let found = kafka
        .committed_offsets(list, Duration::from_secs(10))
        .unwrap();
    let offset = |offset| {
        if let Offset::Offset(offset) = offset {
            offset
        } else {
            0
        }
    };
    found
        .elements()
        .iter()
        .map(|element| offset(element.offset()))
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_the_database_s_commit_and_kafka_s_a_consumer_repeats_nothing() {
    let stage = Stage::new().await;
    let mut sent = series(&[TenantId::new()], 5, 40);
    let victim = spawn(&stage);
    stage.send(&sent).await;
    // Kafka is told every second; the effects are there within milliseconds.
    stage.await_effects(40).await;
    drop(victim);
    let stands = stage
        .count("select sum(next_offset)::bigint from inbox.position")
        .await;
    assert_eq!(stands, 40);
    assert!(
        committed(&stage) < stands,
        "killed too late to prove anything"
    );

    let more = series(&[TenantId::new()], 5, 40);
    stage.send(&more).await;
    sent.extend(more);
    let running = stage.start(stage.consumer().with_instance("one"));
    stage.await_caught_up(&running).await;
    assert_eq!(verdict(&sent, &stage.effects().await), FINE);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_a_consumer_loses_and_repeats_nothing() {
    let stage = Stage::new().await;
    let sent = series(&[TenantId::new(), TenantId::new()], 20, 3_000);
    let feeding = stage.feed(&sent);
    for goal in [1, 400, 900, 1_500, 2_200] {
        let victim = spawn(&stage);
        stage.await_effects(goal).await;
        drop(victim);
    }
    let running = stage.start(stage.consumer().with_instance("one"));
    feeding.await.unwrap();
    stage.await_caught_up(&running).await;
    assert_eq!(verdict(&sent, &stage.effects().await), FINE);
    assert_eq!(
        stage.count("select count(*) from outbox.event").await,
        3_000
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_whose_database_connections_are_cut_loses_and_repeats_nothing() {
    let stage = Stage::new().await;
    let sent = series(&[TenantId::new()], 20, 1_500);
    let running = stage.start(stage.consumer());
    let feeding = stage.feed(&sent);
    for goal in [100, 500, 900] {
        stage.await_effects(goal).await;
        let cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and application_name = 'counter'";
        admin("postgres")
            .await
            .execute(cut, &[&stage.database])
            .await
            .unwrap();
    }
    feeding.await.unwrap();
    stage.await_caught_up(&running).await;
    assert_eq!(verdict(&sent, &stage.effects().await), FINE);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_frozen_past_its_session_changes_nothing_when_it_wakes() {
    let stage = Stage::new().await;
    let sent = series(&[TenantId::new(), TenantId::new()], 20, 2_000);
    let zombie = spawn(&stage);
    let feeding = stage.feed(&sent);
    stage.await_effects(200).await;
    assert!(signal(zombie.0.id(), "STOP"));
    // Kafka misses it after ten seconds and gives its partitions away.
    let running = stage.start(stage.consumer());
    feeding.await.unwrap();
    stage.await_caught_up(&running).await;
    // It wakes with whatever it held, while there is more to do.
    let more = series(&[TenantId::new()], 20, 1_000);
    let feeding = stage.feed_after(&more, sent.len());
    assert!(signal(zombie.0.id(), "CONT"));
    feeding.await.unwrap();
    stage.await_caught_up(&running).await;
    let all: Vec<Sent> = sent.into_iter().chain(more).collect();
    assert_eq!(verdict(&all, &stage.effects().await), FINE);
    assert_eq!(
        stage
            .count("select sum(next_offset)::bigint from inbox.position")
            .await,
        3_000
    );
    running.stop().await;
    drop(zombie);
}
