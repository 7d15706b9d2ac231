//! Killed at any moment and started again: nothing lost, nothing out of order.

use std::sync::Arc;

use bahi_testkit::judge;

use crate::{
    load::{Load, committed},
    world::{World, emit, eventually},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_in_the_middle_loses_nothing_and_keeps_the_order() {
    let world = Arc::new(World::new().await);
    let log = world.topic(6, &[]).await;
    let load = Load {
        transactions: 250,
        seed: 3,
        ..Load::hot(&log.name)
    };
    let writing = tokio::spawn({
        let world = world.clone();
        async move { load.run(&world).await }
    });
    let mut kills = 0;
    let mut process = world.spawn();
    while !writing.is_finished() && kills < 6 {
        let reached = log.len() + 150;
        eventually("progress, or the end", || async {
            (log.len() >= reached || writing.is_finished()).then_some(())
        })
        .await;
        process.kill();
        kills += 1;
        process = world.spawn();
    }
    let ledger = writing.await.unwrap();
    log.until_all(&committed(&ledger)).await;
    drop(process);
    let verdict = judge(&ledger, &log.seen());
    println!(
        "{kills} kills, {} events: {verdict:?}",
        committed(&ledger).len()
    );
    assert!(
        kills >= 2,
        "the writers were through too early to prove anything"
    );
    assert!(verdict.is_clean(), "{verdict:?}");
    Arc::into_inner(world).unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_asked_to_stop_repeats_nothing() {
    let world = Arc::new(World::new().await);
    let log = world.topic(6, &[]).await;
    let load = Load {
        seed: 4,
        ..Load::hot(&log.name)
    };
    let writing = tokio::spawn({
        let world = world.clone();
        async move { load.run(&world).await }
    });
    let mut process = world.spawn();
    for _ in 0..3 {
        let reached = log.len() + 150;
        eventually("progress, or the end", || async {
            (log.len() >= reached || writing.is_finished()).then_some(())
        })
        .await;
        process.terminate().await;
        process = world.spawn();
    }
    let ledger = writing.await.unwrap();
    log.until_all(&committed(&ledger)).await;
    process.terminate().await;
    let verdict = judge(&ledger, &log.seen());
    assert!(verdict.is_clean() && verdict.duplicates == 0, "{verdict:?}");
    Arc::into_inner(world).unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_session_is_terminated_takes_up_where_it_was() {
    let world = World::new().await;
    let log = world.topic(2, &[]).await;
    let (app, admin) = (world.app().await, world.admin().await);
    let worker = world.start();
    let mut ledger = Vec::new();
    let epoch = async || -> i64 {
        let text = "select lease_epoch from outbox.shard";
        admin.query_one(text, &[]).await.unwrap().get(0)
    };
    for round in 0..5 {
        for version in 1..=20 {
            ledger.push(emit(&app, &log.name, "k", round * 20 + version, "{}").await);
        }
        eventually("this session to take a lease of its own", || async {
            (epoch().await > round).then_some(())
        })
        .await;
        let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() and application_name = 'outbox-worker'";
        eventually("sessions to terminate", || async {
            (admin.query_one(end, &[]).await.unwrap().get::<_, i64>(0) > 0).then_some(())
        })
        .await;
    }
    log.until_all(&committed(&ledger)).await;
    worker.stop().await;
    let verdict = judge(&ledger, &log.seen());
    assert!(verdict.is_clean(), "{verdict:?}");
    assert!(epoch().await >= 5, "every session takes a lease of its own");
    world.close().await;
}
