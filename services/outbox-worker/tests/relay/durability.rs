//! Nothing is published that a crash of the server could still make untrue.

use outbox_worker::{
    lease::Shard,
    reader::{Reader, Tail},
    snapshot::Snapshot,
};
use tokio_postgres::{Client, types::PgLsn};

use crate::world::{World, emit};

async fn flushed(client: &Client) -> PgLsn {
    client
        .query_one("select pg_current_wal_flush_lsn()", &[])
        .await
        .unwrap()
        .get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_of_an_asynchronous_commit_is_shown_only_when_it_is_on_disk() {
    let world = World::new().await;
    let (app, admin) = (world.app().await, world.admin().await);
    let reader = Reader::new(world.relay_client().await, Shard::WHOLE)
        .await
        .unwrap();
    app.batch_execute("set synchronous_commit = off")
        .await
        .unwrap();
    let (mut previous, mut early) = (Snapshot::origin(), 0);
    for version in 1..=50 {
        emit(&app, "t", "k", version, "{}").await;
        let written: PgLsn = app
            .query_one("select pg_current_wal_insert_lsn()", &[])
            .await
            .unwrap()
            .get(0);
        // What a reader without the fence would publish now: visible, and possibly gone after a crash.
        let visible: i64 = admin
            .query_one("select count(*) from outbox.event", &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(visible, version);
        early += i32::from(flushed(&admin).await < written);
        match reader.tail(&previous).await.unwrap() {
            Tail::Window(snapshot, rows) => {
                assert_eq!(rows.len(), 1);
                previous = snapshot;
            }
            Tail::Backlog(_) => panic!("one row is no backlog"),
        }
        assert!(
            flushed(&admin).await >= written,
            "shown before it was on disk"
        );
    }
    assert!(
        early > 0,
        "the server was always faster: the test shows nothing"
    );
    println!("visible before durable: {early} of 50");
    world.close().await;
}
