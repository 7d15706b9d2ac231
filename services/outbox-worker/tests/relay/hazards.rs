//! Hazards that have no other place: docs/relay.md says for each which test answers it.

use std::{collections::BTreeSet, fs, path::Path};

use bahi_testkit::judge;
use tokio_postgres::Client;

use crate::{
    load::committed,
    world::{World, emit, eventually},
};

async fn number(client: &Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h06_a_held_snapshot_leaves_no_dead_rows_in_the_outbox() {
    let world = World::new().await;
    let log = world.topic(3, &[]).await;
    let (app, admin, holder) = (world.app().await, world.admin().await, world.admin().await);
    let hold = "begin isolation level repeatable read; select count(*) from outbox.event";
    holder.batch_execute(hold).await.unwrap();
    let worker = world.start();
    let mut ledger = Vec::new();
    for version in 1..=600 {
        ledger.push(emit(&app, &log.name, "k", version, "{}").await);
    }
    log.until_all(&committed(&ledger)).await;
    worker.stop().await;
    // Nothing was updated or deleted, so there is nothing that vacuum could not take away.
    let inserted = "select sum(n_tup_ins)::int8 from pg_stat_user_tables where schemaname = 'outbox' and relname like 'event\\_%'";
    eventually("the statistics", || async {
        (number(&admin, inserted).await == 600).then_some(())
    })
    .await;
    let dead = "select sum(n_tup_upd + n_tup_del)::int8 from pg_stat_user_tables where schemaname = 'outbox' \
                 and (relname like 'event\\_%' or relname = 'checkpoint')";
    assert_eq!(number(&admin, dead).await, 0);
    let leases = "select (n_tup_upd + n_tup_del)::int8 from pg_stat_user_tables where schemaname = 'outbox' and relname = 'shard'";
    assert_eq!(number(&admin, leases).await, 1, "one lease, one update");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h14_a_worker_that_stands_by_waits_for_no_lock() {
    let world = World::new().await;
    let admin = world.admin().await;
    let (one, two) = (world.start(), world.start());
    let present = "select count(distinct objid) from pg_locks where locktype = 'advisory' and classid = 2832 \
                    and database = (select oid from pg_database where datname = current_database())";
    eventually("two that are present", || async {
        (number(&admin, present).await == 2).then_some(())
    })
    .await;
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and application_name like 'outbox-worker%' \
                    and (wait_event_type = 'Lock' or state like 'idle%' and backend_xmin is not null)";
    for _ in 0..200 {
        assert_eq!(number(&admin, waiting).await, 0);
    }
    one.stop().await;
    two.stop().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h15_a_session_that_is_gone_frees_its_lease_within_seconds() {
    let world = World::new().await;
    let client = world.relay_client().await;
    for (setting, most) in [
        ("tcp_keepalives_idle", 5),
        ("tcp_keepalives_interval", 2),
        ("tcp_keepalives_count", 3),
        ("tcp_user_timeout", 10_000),
        ("idle_session_timeout", 10_000),
        ("idle_in_transaction_session_timeout", 10_000),
    ] {
        let query = "select setting::int from pg_settings where name = $1";
        let value: i32 = client.query_one(query, &[&setting]).await.unwrap().get(0);
        assert!((1..=most).contains(&value), "{setting} = {value}");
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h21_full_partitions_without_statistics_are_read_by_their_indexes() {
    let world = World::new().await;
    let (admin, relay) = (world.admin().await, world.relay_client().await);
    // Plans that are made while the slots are empty, and kept.
    let tail = "prepare tail(xid8) as select seq, payload from outbox.event where txid >= $1; explain execute tail('99999999')";
    relay.batch_execute(tail).await.unwrap();
    let other = format!("set plan_cache_mode = force_generic_plan; {tail}");
    admin.batch_execute(&other).await.unwrap();
    let fill = "insert into outbox.event (event_id, topic, key, event_type, aggregate_type, aggregate_id, aggregate_version, tenant_id, payload) \
                select gen_random_uuid(), 't', 'k', 'thing.changed', 'thing', 'k', n, gen_random_uuid(), '{}' from generate_series(1, 30000) n";
    world.app().await.batch_execute(fill).await.unwrap();
    let plan = |client: Client| async move {
        let plan = client
            .simple_query("explain execute tail('99999999')")
            .await
            .unwrap();
        format!("{plan:?}")
    };
    let ours = plan(relay).await;
    assert!(
        ours.contains("Index") && !ours.contains("Seq Scan"),
        "{ours}"
    );
    // Left to itself the planner reads empty slots whole, and goes on so when they are full.
    let other = plan(admin).await;
    assert!(other.contains("Seq Scan"), "{other}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h24_keys_go_to_the_partitions_where_java_s_clients_put_them() {
    let world = World::new().await;
    let log = world.topic(12, &[]).await;
    let app = world.app().await;
    let worker = world.start();
    // org.apache.kafka.common.utils.UtilsTest, testMurmur2.
    let golden: [(&str, i32); 6] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        (
            "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
            -58_897_971,
        ),
        ("abc", 479_470_107),
    ];
    for (key, _) in golden {
        emit(&app, &log.name, key, 1, "{}").await;
    }
    log.until_len(golden.len()).await;
    for record in log.records() {
        let (_, hash) = golden.iter().find(|(key, _)| *key == record.key).unwrap();
        assert_eq!(
            record.partition,
            (hash & 0x7fff_ffff) % 12,
            "{}",
            record.key
        );
    }
    worker.stop().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h30_wall_clocks_say_nothing_about_order() {
    let world = World::new().await;
    let log = world.topic(3, &[]).await;
    let (app, admin) = (world.app().await, world.admin().await);
    let jumping = "alter table outbox.event alter \"timestamp\" set default clock_timestamp() + (random() * 2 - 1) * interval '1 hour'";
    admin.batch_execute(jumping).await.unwrap();
    let worker = world.start();
    let mut ledger = Vec::new();
    for version in 1..=200 {
        ledger.push(emit(&app, &log.name, "k", version, "{}").await);
    }
    log.until_all(&committed(&ledger)).await;
    worker.stop().await;
    let verdict = judge(&ledger, &log.seen());
    assert!(verdict.is_clean() && verdict.duplicates == 0, "{verdict:?}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h33_a_backlog_in_one_database_does_not_hold_up_another() {
    let (full, quick) = (World::new().await, World::new().await);
    let (backlog, log) = (full.topic(6, &[]).await, quick.topic(1, &[]).await);
    let fill = "insert into outbox.event (event_id, topic, key, event_type, aggregate_type, aggregate_id, aggregate_version, tenant_id, payload) \
                select gen_random_uuid(), $1, 'k' || n % 500, 'thing.changed', 'thing', 'k' || n % 500, n, gen_random_uuid(), \
                       json_build_object('pad', repeat('x', 250)) from generate_series(1, $2::int4) n";
    let count = 150_000;
    full.app()
        .await
        .execute(fill, &[&backlog.name, &count])
        .await
        .unwrap();
    let worker = World::start_all(&[&full, &quick]);
    backlog.until_len(5_000).await;
    let app = quick.app().await;
    let mut behind = 0;
    for version in 1..=20 {
        let entry = emit(&app, &log.name, "k", version, "{}").await;
        log.until_all(&[entry.event_id]).await;
        behind += i32::from(backlog.len() < count as usize);
    }
    // However long the backlog takes here, the other's events passed while it was there.
    assert!(
        behind > 0,
        "the backlog was gone too early to show anything"
    );
    worker.stop().await;
    full.close().await;
    quick.close().await;
}

/// Whoever is called finds what to do under the name of the alert.
#[test]
fn every_alert_has_a_runbook() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let rules = fs::read_to_string(root.join("infra/prometheus/rules.yml")).unwrap();
    let pages = ["services/outbox-worker/README.md", "docs/consumers.md"]
        .map(|page| fs::read_to_string(root.join(page)).unwrap());
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .filter(|alert| alert.starts_with("Outbox") || alert.starts_with("Consumer"))
        .collect();
    assert!(alerts.len() > 8, "{alerts:?}");
    for alert in alerts {
        assert!(pages.iter().any(|page| page.contains(alert)), "{alert}");
    }
}

/// docs/relay.md names each hazard once, with tests that exist or with a reason why none is needed.
#[test]
fn every_hazard_is_answered() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/relay.md")).unwrap();
    let mut sources = String::new();
    for folder in [
        "services/outbox-worker/tests/relay",
        "services/outbox-worker/src",
        "crates/kafka/tests/kafka",
        "crates/kafka/src",
        "crates/proof/tests/proof",
        "crates/events/tests",
        "crates/events/src",
        "crates/register/src",
        "crates/testkit/tests/platform",
        "crates/testkit/src",
    ] {
        for file in fs::read_dir(root.join(folder)).into_iter().flatten() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut seen = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("| H")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let number: u32 = cells[1].trim_start_matches('H').parse().unwrap();
        assert!(seen.insert(number), "H{number} twice");
        let answer = cells[4];
        if answer.starts_with("Cannot occur") {
            continue;
        }
        let tests: Vec<&str> = answer.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "H{number}: {answer}");
        for test in tests {
            assert!(
                sources.contains(&format!("fn {test}(")),
                "H{number}: no test {test}"
            );
        }
    }
    assert_eq!(seen, (1..=38).collect());
}
