//! Several workers, several shards: each part has one owner, and parts move without a loss.

use std::{collections::HashMap, sync::Arc};

use bahi_testkit::judge;
use tokio_postgres::Client;

use crate::{
    load::{Load, committed},
    world::{World, emit, eventually},
};

/// Who owns which shard now.
const OWNERS: &str = "select s.shard, s.owner from outbox.shard s \
                       where exists (select from pg_locks where locktype = 'advisory' and granted and classid = 2831 and objid::int8 = s.shard \
                                        and database = (select oid from pg_database where datname = current_database())) \
                       order by 1";

async fn owners(admin: &Client) -> HashMap<i16, String> {
    let rows = admin.query(OWNERS, &[]).await.unwrap();
    // A lease is taken a moment before its owner is written down.
    rows.iter()
        .filter_map(|row| Some((row.get(0), row.get::<_, Option<String>>(1)?)))
        .collect()
}

/// Each owner has as many as the others.
async fn until_owned(admin: &Client, shards: usize, owner_count: usize) -> HashMap<i16, String> {
    eventually(
        format!("{shards} shards of {owner_count} owners, evenly"),
        || async {
            let owners = owners(admin).await;
            let mut parts: HashMap<&String, usize> = HashMap::new();
            for owner in owners.values() {
                *parts.entry(owner).or_default() += 1;
            }
            let even = parts.values().all(|part| *part == shards / owner_count);
            (owners.len() == shards && parts.len() == owner_count && even).then(|| owners.clone())
        },
    )
    .await
}

async fn operate(world: &World, command: &str) -> String {
    let (code, said) = world.operate(command).await;
    assert_eq!(code, 0, "{command}: {said}");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_is_divided_and_united_under_load_without_a_loss() {
    let world = Arc::new(World::new().await);
    let log = world.topic(6, &[]).await;
    let admin = world.admin().await;
    let worker = world.start();
    until_owned(&admin, 1, 1).await;
    let load = Load {
        transactions: 220,
        seed: 11,
        ..Load::hot(&log.name)
    };
    let writing = tokio::spawn({
        let world = world.clone();
        async move { load.run(&world).await }
    });
    log.until_len(200).await;
    let (code, said) = world.operate("shards --db @ --count 4").await;
    assert!(code == 3 && said.contains("Repeat with --yes"), "{said}");
    operate(&world, "shards --db @ --count 4 --yes").await;
    until_owned(&admin, 4, 1).await;
    let reached = log.len();
    log.until_len(reached + 200).await;
    operate(&world, "shards --db @ --count 2 --yes").await;
    until_owned(&admin, 2, 1).await;
    let ledger = writing.await.unwrap();
    log.until_all(&committed(&ledger)).await;
    operate(&world, "drain --db @").await;
    worker.stop().await;
    let verdict = judge(&ledger, &log.seen());
    println!("{verdict:?}");
    assert!(verdict.is_clean(), "{verdict:?}");
    operate(&world, "verify --db @").await;
    Arc::into_inner(world).unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_share_the_shards_and_one_that_dies_leaves_its_own_to_the_other() {
    let world = Arc::new(World::new().await);
    let log = world.topic(6, &[]).await;
    let admin = world.admin().await;
    operate(&world, "shards --db @ --count 8 --yes").await;
    let first = world.spawn();
    until_owned(&admin, 8, 1).await;
    let load = Load {
        transactions: 250,
        seed: 12,
        ..Load::hot(&log.name)
    };
    let writing = tokio::spawn({
        let world = world.clone();
        async move { load.run(&world).await }
    });
    log.until_len(200).await;
    // One that comes gets its share, handed over in order.
    let second = world.spawn();
    let shared = until_owned(&admin, 8, 2).await;
    println!("shared: {shared:?}");
    let reached = log.len();
    eventually("progress, or the end", || async {
        (log.len() >= reached + 200 || writing.is_finished()).then_some(())
    })
    .await;
    first.kill();
    until_owned(&admin, 8, 1).await;
    let ledger = writing.await.unwrap();
    log.until_all(&committed(&ledger)).await;
    second.terminate().await;
    let verdict = judge(&ledger, &log.seen());
    println!("{verdict:?}");
    assert!(verdict.is_clean(), "{verdict:?}");
    Arc::into_inner(world).unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_hands_over_when_it_is_asked_and_repeats_nothing() {
    let world = Arc::new(World::new().await);
    let log = world.topic(6, &[]).await;
    let admin = world.admin().await;
    let (one, two) = (world.start(), world.start());
    let load = Load {
        transactions: 150,
        seed: 13,
        ..Load::hot(&log.name)
    };
    let writing = tokio::spawn({
        let world = world.clone();
        async move { load.run(&world).await }
    });
    log.until_len(200).await;
    until_owned(&admin, 1, 1).await;
    let said = operate(&world, "handover --db @").await;
    let (_, old) = said.trim().rsplit_once("given up by ").unwrap();
    eventually("another owner", || async {
        owners(&admin)
            .await
            .get(&0)
            .is_some_and(|owner| owner != old)
            .then_some(())
    })
    .await;
    let ledger = writing.await.unwrap();
    log.until_all(&committed(&ledger)).await;
    one.stop().await;
    two.stop().await;
    let verdict = judge(&ledger, &log.seen());
    assert!(verdict.is_clean() && verdict.duplicates == 0, "{verdict:?}");
    Arc::into_inner(world).unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_new_in_the_register_is_relayed_without_a_restart() {
    let (one, two) = (World::new().await, World::new().await);
    let logs = [one.topic(2, &[]).await, two.topic(2, &[]).await];
    let apps = [one.app().await, two.app().await];
    let worker = one.start();
    let mut first = vec![emit(&apps[0], &logs[0].name, "k", 1, "{}").await];
    let mut second = vec![emit(&apps[1], &logs[1].name, "k", 1, "{}").await];
    logs[0].until_all(&[first[0].event_id]).await;
    assert_eq!(logs[1].len(), 0);
    worker.add(&two);
    logs[1].until_all(&[second[0].event_id]).await;
    // The first did not notice: its lease is the one that it had.
    let epoch = "select lease_epoch from outbox.shard";
    let admin = one.admin().await;
    assert_eq!(
        admin.query_one(epoch, &[]).await.unwrap().get::<_, i64>(0),
        1
    );
    worker.remove(&two);
    let gone = two.admin().await;
    eventually("the second database to be left", || async {
        owners(&gone).await.is_empty().then_some(())
    })
    .await;
    second.push(emit(&apps[1], &logs[1].name, "k", 2, "{}").await);
    first.push(emit(&apps[0], &logs[0].name, "k", 2, "{}").await);
    logs[0].until_all(&committed(&first)).await;
    assert_eq!(logs[1].len(), 1);
    worker.add(&two);
    logs[1].until_all(&committed(&second)).await;
    worker.stop().await;
    for (ledger, log) in [first, second].iter().zip(&logs) {
        let verdict = judge(ledger, &log.seen());
        assert!(verdict.is_clean() && verdict.duplicates == 0, "{verdict:?}");
    }
    one.close().await;
    two.close().await;
}
