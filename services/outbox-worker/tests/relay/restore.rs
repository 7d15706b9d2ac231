//! Another server, an older copy, another timeline, an emptied broker: noticed before anything is sent.

use bahi_testkit::judge;
use outbox_worker::metrics::Metrics;
use tokio_postgres::Client;

use crate::{
    load::committed,
    world::{World, emit, eventually},
};

async fn run(admin: &Client, statement: &str) {
    admin.batch_execute(statement).await.unwrap();
}

async fn number(admin: &Client, query: &str) -> i64 {
    admin.query_one(query, &[]).await.unwrap().get(0)
}

const EPOCH: &str = "select outbox.current_epoch()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outbox_restored_into_another_server_is_relayed_only_after_a_rebase() {
    let world = World::new().await;
    let log = world.topic(2, &[]).await;
    let (app, admin) = (world.app().await, world.admin().await);
    let worker = world.start();
    let mut ledger = Vec::new();
    for version in 1..=20 {
        ledger.push(emit(&app, &log.name, "k", version, "{}").await);
    }
    log.until_all(&committed(&ledger)).await;
    worker.stop().await;
    for version in 21..=25 {
        ledger.push(emit(&app, &log.name, "k", version, "{}").await);
    }
    // As pg_dump and pg_restore leave it: the numbers of another server's transactions, far ahead of this one's.
    run(
        &admin,
        "update outbox.event set txid = (txid::text::int8 + 1000000000)::text::xid8; \
         update outbox.checkpoint set system_identifier = 1, open_snap = null, open_seq = null, \
                snap = format('%s:%s:', pg_snapshot_xmin(snap)::text::int8 + 1000000000, pg_snapshot_xmin(snap)::text::int8 + 1000000000)::pg_snapshot",
    )
    .await;
    // What a relay that goes by its cursor alone would find, now and for the next thousand million transactions.
    let blind = "select count(*) from outbox.event where pg_visible_in_snapshot(txid, pg_current_snapshot())";
    assert_eq!(number(&admin, blind).await, 0);

    let worker = world.start();
    let restored = Metrics::of(&world.service(), 0).restored;
    eventually("the refusal", || async {
        (restored.get() == 1).then_some(())
    })
    .await;
    assert_eq!(log.len(), 20, "nothing is relayed");
    let (code, said) = world.operate("rebase --db @").await;
    assert!(
        code == 3 && said.contains("20 events of the ring count as published, 5 would be"),
        "{said}"
    );
    let (code, said) = world.operate("rebase --db @ --yes").await;
    assert!(code == 0 && said.contains("the epoch is 2"), "{said}");
    log.until_all(&committed(&ledger)).await;
    ledger.push(emit(&app, &log.name, "k", 26, "{}").await);
    log.until_all(&committed(&ledger)).await;
    worker.stop().await;
    let verdict = judge(&ledger, &log.seen());
    assert!(verdict.is_clean() && verdict.duplicates == 0, "{verdict:?}");
    assert_eq!(restored.get(), 0);
    // What consumers had not heard yet comes with the new epoch: it is the restored truth.
    assert!(
        log.records()[20..]
            .iter()
            .all(|record| record.value.contains("\"epoch\":2"))
    );
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_that_was_put_back_is_noticed_by_what_the_topic_holds() {
    let world = World::new().await;
    let log = world.topic(2, &[]).await;
    let mut ledger = Vec::new();
    let worker = world.start();
    {
        let app = world.app().await;
        for version in 1..=10 {
            ledger.push(emit(&app, &log.name, "k", version, "{}").await);
        }
    }
    log.until_all(&committed(&ledger)).await;
    worker.stop().await;
    world.keep_copy().await;
    let worker = world.start();
    let mut lost = Vec::new();
    {
        let app = world.app().await;
        for version in 11..=15 {
            lost.push(
                emit(
                    &app,
                    &log.name,
                    "k",
                    version,
                    "{\"of\":\"a life that was\"}",
                )
                .await,
            );
        }
    }
    log.until_all(&committed(&lost)).await;
    worker.stop().await;
    world.put_copy_back().await;

    let worker = world.start();
    let restored = Metrics::of(&world.service(), 0).restored;
    eventually("the refusal", || async {
        (restored.get() == 1).then_some(())
    })
    .await;
    let (app, admin) = (world.app().await, world.admin().await);
    // The service goes on meanwhile; the versions that it gives have been heard already with other contents.
    for version in 11..=12 {
        ledger.push(emit(&app, &log.name, "k", version, "{}").await);
    }
    assert_eq!(log.len(), 15);
    assert_eq!(number(&admin, EPOCH).await, 1);
    let (code, said) = world.operate("rebase --db @ --yes").await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(number(&admin, EPOCH).await, 2);
    log.until_all(&committed(&ledger)).await;
    worker.stop().await;
    // A consumer that applies only a greater (epoch, version) ends with the truth of the database that there is.
    let mut held = (0, 0);
    let mut last = String::new();
    for record in log.records() {
        let value: serde_json::Value = serde_json::from_str(&record.value).unwrap();
        let place = (
            value["epoch"].as_i64().unwrap(),
            value["aggregate_version"].as_i64().unwrap(),
        );
        if place > held {
            (held, last) = (place, value["payload"].to_string());
        }
    }
    assert_eq!((held, last.as_str()), ((2, 12), "{}"));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_standby_is_relayed_with_a_new_epoch() {
    let world = World::new().await;
    let log = world.topic(2, &[]).await;
    let (app, admin) = (world.app().await, world.admin().await);
    let worker = world.start();
    let mut ledger = vec![emit(&app, &log.name, "k", 1, "{}").await];
    log.until_all(&committed(&ledger)).await;
    worker.stop().await;
    run(
        &admin,
        "update outbox.checkpoint set timeline = timeline - 1",
    )
    .await;
    ledger.push(emit(&app, &log.name, "k", 2, "{}").await);
    let worker = world.start();
    log.until_all(&committed(&ledger)).await;
    assert_eq!(number(&admin, EPOCH).await, 2);
    assert_eq!(Metrics::of(&world.service(), 0).failovers.get(), 1);
    worker.stop().await;
    assert!(log.records()[1].value.contains("\"epoch\":2"));
    let verdict = judge(&ledger, &log.seen());
    assert!(verdict.is_clean() && verdict.duplicates == 0, "{verdict:?}");
    // Once is enough.
    let worker = world.start();
    ledger.push(emit(&app, &log.name, "k", 3, "{}").await);
    log.until_all(&committed(&ledger)).await;
    worker.stop().await;
    assert_eq!(number(&admin, EPOCH).await, 2);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_emptied_is_noticed_and_filled_again_from_the_ring() {
    let world = World::new().await;
    let log = world.topic(2, &[]).await;
    let app = world.app().await;
    let missing = || Metrics::of(&world.service(), 0).missing(&log.name).get();
    let mut ledger = Vec::new();
    let worker = world.start();
    for version in 1..=30 {
        ledger.push(emit(&app, &log.name, "k", version, "{}").await);
    }
    log.until_all(&committed(&ledger)).await;
    // While the worker runs: what it hears of offsets tells.
    world.empty_topic(&log.name, 2).await;
    eventually("an offset that was given before", || async {
        ledger_probe(&app, &log.name).await;
        (missing() > 0).then_some(())
    })
    .await;
    worker.stop().await;
    // While it does not: the checkpoint tells.
    Metrics::of(&world.service(), 0).missing(&log.name).set(0);
    world.empty_topic(&log.name, 2).await;
    let worker = world.start();
    eventually("what is missing", || async {
        (missing() > 0).then_some(())
    })
    .await;
    let (code, said) = world.operate("verify --db @").await;
    assert!(code == 1 && said.contains("missing"), "{said}");
    let (code, said) = world.operate("replay --db @ --from-seq 1 --yes").await;
    assert_eq!(code, 0, "{said}");
    let (code, said) = world.operate("verify --db @").await;
    assert_eq!(code, 0, "{said}");
    worker.stop().await;
    world.close().await;
}

async fn ledger_probe(app: &Client, topic: &str) {
    emit(app, topic, "k", 31, "{}").await;
}
