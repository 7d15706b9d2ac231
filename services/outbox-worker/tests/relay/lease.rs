//! One owner at a time, and a checkpoint of nobody else.

use std::sync::Arc;

use bahi_testkit::judge;
use outbox_worker::{
    checkpoint::{self, Checkpoint, Checkpoints},
    lease,
    origin::Origin,
    session::SessionError,
    topic::Reached,
    window::Cursor,
};

use crate::{
    load::{Load, committed},
    world::{World, emit, eventually},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_worker_waits_and_takes_over_when_the_first_is_gone() {
    let world = World::new().await;
    let log = world.topic(2, &[]).await;
    let (app, admin) = (world.app().await, world.admin().await);
    let first = world.start();
    let mut ledger = vec![emit(&app, &log.name, "k", 1, "{}").await];
    log.until_all(&[ledger[0].event_id]).await;
    let second = world.start();
    let holders = "select count(distinct pid) from pg_locks where locktype = 'advisory' and classid = 2831 \
                    and database = (select oid from pg_database where datname = current_database())";
    ledger.push(emit(&app, &log.name, "k", 2, "{}").await);
    log.until_all(&[ledger[1].event_id]).await;
    assert_eq!(
        admin
            .query_one(holders, &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        1
    );
    let epoch = || async {
        admin
            .query_one("select lease_epoch from outbox.shard", &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
    };
    assert_eq!(epoch().await, 1);
    first.stop().await;
    eventually("the takeover", || async {
        (epoch().await == 2).then_some(())
    })
    .await;
    ledger.push(emit(&app, &log.name, "k", 3, "{}").await);
    log.until_all(&[ledger[2].event_id]).await;
    second.stop().await;
    let verdict = judge(&ledger, &log.seen());
    assert!(verdict.is_clean() && verdict.duplicates == 0, "{verdict:?}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_was_frozen_and_wakes_up_after_the_takeover_disturbs_nothing() {
    let world = Arc::new(World::new().await);
    let log = world.topic(6, &[]).await;
    let admin = world.admin().await;
    let epoch = || async {
        admin
            .query_one("select lease_epoch from outbox.shard", &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
    };
    let zombie = world.spawn();
    eventually("the first lease", || async {
        (epoch().await == 1).then_some(())
    })
    .await;
    let load = Load {
        transactions: 100,
        seed: 7,
        ..Load::hot(&log.name)
    };
    let writing = tokio::spawn({
        let world = world.clone();
        async move { load.run(&world).await }
    });
    log.until_len(100).await;
    zombie.signal("STOP");
    let heir = world.spawn();
    // A stopped process still answers keepalives; the server ends its session for being idle.
    eventually("the takeover", || async {
        (epoch().await == 2).then_some(())
    })
    .await;
    zombie.signal("CONT");
    let ledger = writing.await.unwrap();
    log.until_all(&committed(&ledger)).await;
    heir.terminate().await;
    // The zombie, a standby now, takes over in its turn.
    eventually("the second takeover", || async {
        (epoch().await == 3).then_some(())
    })
    .await;
    let mut last = ledger.clone();
    last.push(emit(&world.app().await, &log.name, "last", 1, "{}").await);
    log.until_all(&committed(&last)).await;
    zombie.terminate().await;
    let verdict = judge(&last, &log.seen());
    println!("{verdict:?}");
    assert!(verdict.is_clean(), "{verdict:?}");
    Arc::into_inner(world).unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_of_an_owner_that_was_replaced_is_refused() {
    let world = World::new().await;
    let old = world.relay_client().await;
    let lease = lease::try_acquire(&old, 0, "old").await.unwrap().unwrap();
    let new = world.relay_client().await;
    assert_eq!(lease::try_acquire(&new, 0, "new").await.unwrap(), None);
    let origin = Origin::read(&old).await.unwrap();
    let writer = Checkpoints::new(&old, lease, origin).await.unwrap();
    let reached = Reached::from([("t".to_owned(), vec![0, 7])]);
    let cursor = Cursor {
        snap: "10:12:11".parse().unwrap(),
        open: Some(("20:20:".parse().unwrap(), 5)),
        published: 3,
    };
    writer.save(&old, &cursor, &reached).await.unwrap();
    let expected = Checkpoint {
        cursor,
        origin: Some(origin),
        reached: reached.clone(),
    };
    assert_eq!(checkpoint::load(&new, 0).await.unwrap(), expected);
    // The server believes the old session dead and gives its lock away.
    lease::release(&old, 0).await.unwrap();
    let next = lease::try_acquire(&new, 0, "new").await.unwrap().unwrap();
    assert!(next.epoch > lease.epoch);
    assert!(matches!(
        writer.save(&old, &Cursor::origin(), &reached).await,
        Err(SessionError::Fenced)
    ));
    assert_eq!(checkpoint::load(&new, 0).await.unwrap(), expected);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequence_with_a_cache_is_refused() {
    let world = World::new().await;
    world
        .admin()
        .await
        .batch_execute("alter sequence outbox.event_seq cache 10")
        .await
        .unwrap();
    let client = world.relay_client().await;
    assert!(matches!(
        lease::try_acquire(&client, 0, "me").await,
        Err(SessionError::Unsound(_))
    ));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_may_do_its_own_part_and_no_more() {
    let world = World::new().await;
    let (app, relay) = (world.app().await, world.relay_client().await);
    emit(&app, "t", "k", 1, "{}").await;
    for forbidden in [
        "select * from outbox.event",
        "update outbox.event set key = 'x'",
        "delete from outbox.event",
        "truncate outbox.event",
        "insert into outbox.checkpoint (shard, lease_epoch, snap, published) values (0, 1, '3:3:', 0)",
        "update outbox.shard set lease_epoch = 9",
        "update outbox.epoch set epoch = 2",
        "select setval('outbox.event_seq', 1)",
    ] {
        assert!(
            app.batch_execute(forbidden).await.is_err(),
            "the service may: {forbidden}"
        );
    }
    for forbidden in [
        "update outbox.event set key = 'x'",
        "delete from outbox.event",
        "insert into noise values (1)",
    ] {
        assert!(
            relay.batch_execute(forbidden).await.is_err(),
            "the worker may: {forbidden}"
        );
    }
    relay
        .batch_execute("select * from outbox.status; truncate outbox.event_0")
        .await
        .unwrap();
    world.close().await;
}
