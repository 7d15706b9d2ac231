//! Hints make the relay fast and nothing else.

use outbox_worker::{metrics::Metrics, side::APPLICATION};

use crate::world::{World, emit, eventually};

const LISTENERS: &str =
    "from pg_stat_activity where datname = current_database() and application_name = $1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_arrive_with_hints_without_them_and_after_the_listener_is_back() {
    let world = World::new().await;
    let log = world.topic(1, &[]).await;
    let (app, admin) = (world.app().await, world.admin().await);
    let worker = world.start();
    let hints = Metrics::of(&world.service(), 0).hints;
    let listener = || async {
        let found = admin
            .query_opt(&format!("select pid {LISTENERS} limit 1"), &[&APPLICATION])
            .await
            .unwrap();
        found.map(|row| row.get::<_, i32>(0))
    };
    let first = eventually("the listener", listener).await;
    eventually("a hint that is heard", || async {
        admin
            .batch_execute("select pg_notify('outbox', '')")
            .await
            .unwrap();
        (hints.get() > 0).then_some(())
    })
    .await;
    admin
        .execute("select pg_terminate_backend($1)", &[&first])
        .await
        .unwrap();
    let entry = emit(&app, &log.name, "k", 1, "{}").await;
    log.until_all(&[entry.event_id]).await;
    let before = hints.get();
    eventually("a hint that is heard again", || async {
        admin
            .batch_execute("select pg_notify('outbox', '')")
            .await
            .unwrap();
        (hints.get() > before).then_some(())
    })
    .await;
    assert_ne!(eventually("the listener", listener).await, first);
    worker.stop().await;
    world.close().await;
}
