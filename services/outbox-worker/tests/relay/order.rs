//! Complete and in order, under everything that concurrent transactions do.

use std::time::Duration;

use bahi_testkit::{Outcome, judge};
use outbox_worker::relay::Limits;

use crate::{
    load::{Emit, Load, committed},
    log::{Log, Record},
    mutant::{
        Algorithm, ChunkedWindows, Looking, NumberCursor, OldestRunning, SnapshotWindows,
        TransactionOrder,
    },
    world::{World, emit, eventually},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_writers_on_hot_aggregates_lose_nothing_and_keep_their_order() {
    let world = World::new().await;
    let log = world.topic(12, &[]).await;
    let worker = world.start();
    let windows = Looking::start(SnapshotWindows::new(&world).await);
    let chunks = Looking::start(ChunkedWindows(SnapshotWindows::new(&world).await));
    let number = Looking::start(NumberCursor::new(&world).await);
    let transaction = Looking::start(TransactionOrder::new(&world).await);

    let ledger = Load::hot(&log.name).run(&world).await;
    log.until_all(&committed(&ledger)).await;
    worker.stop().await;

    let verdict = judge(&ledger, &log.seen());
    println!(
        "{} events committed of {}; the worker: {verdict:?}",
        committed(&ledger).len(),
        ledger.len()
    );
    assert!(verdict.is_clean() && verdict.duplicates == 0, "{verdict:?}");
    for looking in [windows, chunks] {
        let verdict = judge(&ledger, &looking.finish().await);
        assert!(verdict.is_clean() && verdict.duplicates == 0, "{verdict:?}");
    }
    // The same writers, the same oracle: what is wrong is found to be wrong.
    let by_number = judge(&ledger, &number.finish().await);
    let by_transaction = judge(&ledger, &transaction.finish().await);
    println!("by number: {by_number:?}; by transaction id: {by_transaction:?}");
    assert!(by_number.lost > 0, "{by_number:?}");
    assert!(
        by_transaction.disorders > 0 && by_transaction.lost == 0,
        "{by_transaction:?}"
    );
    assert!(
        ledger
            .iter()
            .any(|entry| entry.outcome == Outcome::RolledBack)
    );
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_numbers_its_event_before_the_lock_breaks_its_own_order() {
    let world = World::new().await;
    let log = world.topic(12, &[]).await;
    let worker = world.start();
    let load = Load {
        emit: Emit::BeforeLock,
        seed: 2,
        ..Load::hot(&log.name)
    };
    let ledger = load.run(&world).await;
    log.until_all(&committed(&ledger)).await;
    worker.stop().await;
    let verdict = judge(&ledger, &log.seen());
    println!("{verdict:?}");
    // This is why the outbox insert is the last statement of a transaction.
    assert!(verdict.disorders > 0 && verdict.lost == 0, "{verdict:?}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_transaction_delays_its_own_events_only() {
    let world = World::new().await;
    let log = world.topic(3, &[]).await;
    let worker = world.start();
    let long = world.app().await;
    long.batch_execute("begin; insert into noise values (1)")
        .await
        .unwrap();
    let mut ledger = vec![emit(&long, &log.name, "long", 1, "{}").await];

    let mut fence = OldestRunning::new(&world).await;
    let app = world.app().await;
    for version in 1..=200 {
        ledger.push(emit(&app, &log.name, "short", version, "{}").await);
    }
    let others: Vec<_> = ledger[1..].iter().map(|entry| entry.event_id).collect();
    log.until_all(&others).await;
    assert_eq!(log.len(), 200, "the long transaction has not committed");
    // The relay that waits for the oldest transaction has nothing to show all the while, though it loses nothing.
    assert!(fence.look().await.is_empty());

    long.batch_execute("commit").await.unwrap();
    log.until_all(&[ledger[0].event_id]).await;
    // Other tests run transactions in the same server, so the fence may fall in several steps.
    let late = tokio::sync::Mutex::new((fence, 0));
    eventually("the fence to fall", || async {
        let (fence, seen) = &mut *late.lock().await;
        *seen += fence.look().await.len();
        (*seen >= 201).then_some(())
    })
    .await;
    assert_eq!(late.into_inner().1, 201);
    worker.stop().await;
    let verdict = judge(&ledger, &log.seen());
    assert!(verdict.is_clean() && verdict.duplicates == 0, "{verdict:?}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_any_size_is_read_in_chunks_and_resumed_in_the_middle() {
    let world = World::new().await;
    let log = world.topic(12, &[]).await;
    let app = world.app().await;
    let insert = "insert into outbox.event (event_id, topic, key, event_type, aggregate_type, aggregate_id, aggregate_version, tenant_id, payload) \
                  select gen_random_uuid(), $1, 'k' || n % 500, 'thing.changed', 'thing', 'k' || n % 500, n, gen_random_uuid(), \
                         json_build_object('n', n, 'pad', repeat('x', 200)) \
                    from generate_series($2::int4 + 1, $2::int4 + 15000) n";
    for offset in [0, 15_000] {
        app.execute(insert, &[&log.name, &offset]).await.unwrap();
    }
    // Small limits, so that one window takes many chunks; stopped in the middle of it.
    let limits = Limits {
        events: 4000,
        ..Limits::default()
    };
    let worker = world.start_with(limits);
    log.until_len(3000).await;
    worker.stop().await;
    let admin = world.admin().await;
    let cursor = admin
        .query_one(
            "select open_snap is not null from outbox.checkpoint order by id desc limit 1",
            &[],
        )
        .await
        .unwrap();
    let (stopped_inside, first) = (cursor.get::<_, bool>(0), log.len());
    let worker = world.start_with(limits);
    log.until_len(30_000).await;
    worker.stop().await;

    let rows = app_events(&world).await;
    let verdict = judge(&rows, &log.seen());
    println!("stopped after {first}, inside the window: {stopped_inside}; {verdict:?}");
    assert!(verdict.is_clean() && verdict.duplicates == 0, "{verdict:?}");
    let open: i64 = admin
        .query_one(
            "select count(*) from outbox.status where not published",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(open, 0);
    world.close().await;
}

async fn app_events(world: &World) -> Vec<bahi_testkit::Entry> {
    let rows = world
        .admin()
        .await
        .query(
            "select event_id, key, aggregate_version, payload::text from outbox.event",
            &[],
        )
        .await
        .unwrap();
    rows.iter()
        .map(|row| bahi_testkit::Entry::committed(row.get(0), row.get(1), row.get(2), row.get(3)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_is_the_row() {
    let world = World::new().await;
    let log = world.topic(1, &[]).await;
    let app = world.app().await;
    let worker = world.start();
    let insert = "insert into outbox.event (event_id, topic, key, event_type, aggregate_type, aggregate_id, aggregate_version, occurred_at, tenant_id, \
                                            trace_id, traceparent, causation_id, correlation_id, actor, headers, payload) \
                  values ('01900000-0000-7000-8000-000000000001', $1, 't|l|p', 'inventory.adjusted', 'stock', 's-1', 7, '2024-10-19 17:31:59.5Z', \
                          '00000000-0000-0000-0000-000000000007', '4bf92f35-77b3-4da6-a3ce-929d0e0e4736', \
                          '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', '00000000-0000-0000-0000-000000000008', \
                          '00000000-0000-0000-0000-000000000009', '{\"type\":\"user\",\"id\":\"u\"}', '{\"x-a\":\"b\"}', E'{ \"qty\" : \"1.50\",\\n \"note\":\"\\\\u00e9é\" }')";
    app.execute(insert, &[&log.name]).await.unwrap();
    log.until_len(1).await;
    worker.stop().await;
    let row = world.admin().await;
    let inserted: String = row
        .query_one("select to_char(\"timestamp\" at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') from outbox.event", &[])
        .await
        .unwrap()
        .get(0);
    let txid: String = row
        .query_one("select txid::text from outbox.event", &[])
        .await
        .unwrap()
        .get(0);
    let Record {
        key,
        value,
        headers,
        ..
    } = log.records().remove(0);
    assert_eq!(key, "t|l|p");
    let expected = format!(
        concat!(
            r#"{{"event_id":"01900000-0000-7000-8000-000000000001","event_type":"inventory.adjusted","version":"v1","timestamp":"{inserted}","#,
            r#""trace_id":"4bf92f35-77b3-4da6-a3ce-929d0e0e4736","source_service":"{service}","tenant_id":"00000000-0000-0000-0000-000000000007","#,
            r#""aggregate_type":"stock","aggregate_id":"s-1","aggregate_version":7,"epoch":1,"txid":{txid},"occurred_at":"2024-10-19T17:31:59.500000Z","#,
            r#""causation_id":"00000000-0000-0000-0000-000000000008","correlation_id":"00000000-0000-0000-0000-000000000009","#,
            r#""actor":{{"id": "u", "type": "user"}},"payload":{payload}}}"#
        ),
        inserted = inserted,
        service = world.service(),
        txid = txid,
        payload = "{ \"qty\" : \"1.50\",\n \"note\":\"\\u00e9é\" }"
    );
    assert_eq!(value, expected);
    assert!(
        headers.contains(&("ce_subject".into(), "stock/s-1".into()))
            && headers.contains(&("x-a".into(), "b".into())),
        "{headers:?}"
    );
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outbox_that_is_migrated_later_is_relayed_then() {
    let world = World::new().await;
    let log = world.topic(1, &[]).await;
    let admin = world.admin().await;
    admin
        .batch_execute("alter schema outbox rename to not_yet")
        .await
        .unwrap();
    let worker = world.start();
    let tried = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'outbox-worker'";
    eventually("a first attempt", || async {
        (admin.query_one(tried, &[]).await.unwrap().get::<_, i64>(0) > 0).then_some(())
    })
    .await;
    admin
        .batch_execute("alter schema not_yet rename to outbox")
        .await
        .unwrap();
    let entry = emit(&admin, &log.name, "k", 1, "{}").await;
    log.until_all(&[entry.event_id]).await;
    assert!(
        tokio::time::timeout(Duration::from_secs(15), worker.stop())
            .await
            .is_ok()
    );
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_worker_relays_many_databases_and_one_that_is_gone_does_not_hurt_the_others() {
    let (one, two) = (World::new().await, World::new().await);
    let logs = [one.topic(3, &[]).await, two.topic(3, &[]).await];
    let worker = World::start_all(&[&one, &two]);
    let load = |log: &Log, seed| Load {
        transactions: 30,
        seed,
        ..Load::hot(&log.name)
    };
    let ledgers = tokio::join!(load(&logs[0], 5).run(&one), load(&logs[1], 6).run(&two));
    for (ledger, log) in [ledgers.0, ledgers.1].iter().zip(&logs) {
        log.until_all(&committed(ledger)).await;
        let verdict = judge(ledger, &log.seen());
        assert!(verdict.is_clean() && verdict.duplicates == 0, "{verdict:?}");
    }
    worker.stop().await;
    one.close().await;
    two.close().await;
}
