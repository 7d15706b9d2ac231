//! A slot of the ring is emptied when everything in it is published, and never before.

use std::time::Duration;

use outbox_worker::ring;
use tokio_postgres::Client;

use crate::world::{World, emit, eventually};

/// Makes the rows of the test old, and puts them in a slot that is neither written now nor next.
const AGE: &str = "alter table outbox.event alter slot set default (((extract(epoch from now())::int8 / 10800) + 4) % 8)::int2, \
                                            alter \"timestamp\" set default now() - interval '2 days'";

async fn rows(admin: &Client) -> i64 {
    admin
        .query_one("select count(*) from outbox.event", &[])
        .await
        .unwrap()
        .get(0)
}

async fn sweep(client: &mut Client) -> u64 {
    ring::sweep(client, Duration::from_secs(15 * 3600))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_old_and_published_is_truncated() {
    let world = World::new().await;
    let log = world.topic(1, &[]).await;
    let (app, admin, mut relay) = (
        world.app().await,
        world.admin().await,
        world.relay_client().await,
    );
    let fresh = emit(&app, &log.name, "k", 1, "{}").await;
    admin.batch_execute(AGE).await.unwrap();
    let old = emit(&app, &log.name, "k", 2, "{}").await;
    // Nothing was ever published.
    assert_eq!(sweep(&mut relay).await, 0);
    let worker = world.start();
    log.until_all(&[fresh.event_id, old.event_id]).await;
    worker.stop().await;
    // A transaction that is not over: of its row no snapshot can say that it is published.
    let writer = world.app().await;
    writer.batch_execute("begin").await.unwrap();
    let late = emit(&writer, &log.name, "k", 3, "{}").await;
    assert_eq!(sweep(&mut relay).await, 0);
    writer.batch_execute("commit").await.unwrap();
    // Committed, and not published.
    assert_eq!((sweep(&mut relay).await, rows(&admin).await), (0, 3));
    let worker = world.start();
    log.until_all(&[late.event_id]).await;
    worker.stop().await;
    // All of the old slot is published; the fresh row is in the slot of now.
    assert_eq!((sweep(&mut relay).await, rows(&admin).await), (1, 1));
    assert_eq!(sweep(&mut relay).await, 0);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_event_keeps_its_slot() {
    let world = World::new().await;
    let (app, admin, mut relay) = (
        world.app().await,
        world.admin().await,
        world.relay_client().await,
    );
    admin.batch_execute(AGE).await.unwrap();
    emit(&app, "no.such.topic", "k", 1, "{}").await;
    let worker = world.start();
    let parked = || async {
        admin
            .query_one("select count(*) from outbox.parked", &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
    };
    eventually("the event to be parked", || async {
        (parked().await == 1).then_some(())
    })
    .await;
    worker.stop().await;
    assert_eq!((sweep(&mut relay).await, rows(&admin).await), (0, 1));
    admin
        .batch_execute("delete from outbox.parked")
        .await
        .unwrap();
    assert_eq!((sweep(&mut relay).await, rows(&admin).await), (1, 0));
    world.close().await;
}
