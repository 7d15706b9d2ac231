//! What Kafka will not take stops its own key and nothing else.

use bahi_testkit::{Entry, judge};

use crate::world::{World, emit, eventually};

/// JSON that does not compress.
fn noise(bytes: usize) -> String {
    let text: String = (0..bytes.div_ceil(32))
        .map(|_| format!("{:032x}", rand::random::<u128>()))
        .collect();
    format!("\"{}\"", &text[..bytes])
}

async fn parked(world: &World) -> Vec<(String, i64, String, String)> {
    let query = "select p.key, e.aggregate_version, p.state, p.reason from outbox.parked p join outbox.event e using (seq) order by p.seq";
    let rows = world.admin().await.query(query, &[]).await.unwrap();
    rows.iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
        .collect()
}

fn row(key: &str, version: i64, state: &str, reason: &str) -> (String, i64, String, String) {
    (key.into(), version, state.into(), reason.into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_the_broker_refuses_is_parked_with_its_followers_and_the_others_flow() {
    let world = World::new().await;
    let log = world.topic(3, &[("max.message.bytes", "20000")]).await;
    let app = world.app().await;
    let mut good: Vec<Entry> = Vec::new();
    // Everything in one transaction: the poison travels in a batch with innocents.
    app.batch_execute("begin").await.unwrap();
    for version in 1..=20 {
        for key in ["a", "b", "c"] {
            good.push(emit(&app, &log.name, key, version, "{}").await);
        }
        match version {
            10 => {
                emit(&app, &log.name, "bad", 2, &noise(60_000)).await;
            }
            1 => good.push(emit(&app, &log.name, "bad", 1, "{}").await),
            11 | 20 => {
                emit(&app, &log.name, "bad", version, "{}").await;
            }
            _ => {}
        }
    }
    app.batch_execute("commit").await.unwrap();
    let worker = world.start();
    let ids: Vec<_> = good.iter().map(|entry| entry.event_id).collect();
    log.until_all(&ids).await;
    // Later events of the held key wait as well, in another window and after a restart.
    emit(&app, &log.name, "bad", 21, "{}").await;
    eventually("four parked", || async {
        (parked(&world).await.len() == 4).then_some(())
    })
    .await;
    worker.stop().await;
    let worker = world.start();
    emit(&app, &log.name, "bad", 22, "{}").await;
    good.push(emit(&app, &log.name, "a", 21, "{}").await);
    log.until_all(&[good.last().unwrap().event_id]).await;
    eventually("five parked", || async {
        (parked(&world).await.len() == 5).then_some(())
    })
    .await;
    worker.stop().await;

    let mut expected = vec![row("bad", 2, "refused", "too_large")];
    expected
        .extend([11, 20, 21, 22].map(|version| row("bad", version, "waiting", "behind_another")));
    assert_eq!(parked(&world).await, expected);
    let verdict = judge(&good, &log.seen());
    println!("{verdict:?}");
    assert!(verdict.is_clean(), "{verdict:?}");
    let open: i64 = world
        .admin()
        .await
        .query_one(
            "select count(*) from outbox.status where not published and not parked",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(open, 0);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_event_that_the_table_takes_is_one_that_kafka_takes() {
    let world = World::new().await;
    let log = world.topic(1, &[]).await;
    let app = world.app().await;
    let worker = world.start();
    let insert = "insert into outbox.event (event_id, topic, key, event_type, aggregate_type, aggregate_id, aggregate_version, tenant_id, \
                                            headers, actor, payload) \
                  values (gen_random_uuid(), $1, repeat('k', 1024), repeat('t', 128), repeat('a', 64), repeat('i', 1024), 1, gen_random_uuid(), \
                          json_build_object('h', repeat('h', 8180))::jsonb, json_build_object('a', repeat('a', 4080))::jsonb, $2::text::json)";
    app.execute(insert, &[&log.name, &noise(899_998)])
        .await
        .unwrap();
    assert!(
        app.execute(insert, &[&log.name, &noise(899_999)])
            .await
            .is_err(),
        "the table takes no payload above its limit"
    );
    log.until_len(1).await;
    assert!(log.records()[0].value.len() > 900_000);
    worker.stop().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_for_a_topic_that_does_not_exist_are_parked_and_the_others_flow() {
    let world = World::new().await;
    let log = world.topic(2, &[]).await;
    let app = world.app().await;
    let worker = world.start();
    let mut good = vec![emit(&app, &log.name, "k", 1, "{}").await];
    for version in 1..=3 {
        emit(&app, "no.such.topic", "k", version, "{}").await;
    }
    emit(&app, "not a topic!", "k", 1, "{}").await;
    good.push(emit(&app, &log.name, "k", 2, "{}").await);
    log.until_all(&[good[0].event_id, good[1].event_id]).await;
    eventually("four parked", || async {
        (parked(&world).await.len() == 4).then_some(())
    })
    .await;
    worker.stop().await;
    let expected = [
        row("k", 1, "refused", "unknown_topic"),
        row("k", 2, "waiting", "behind_another"),
        row("k", 3, "waiting", "behind_another"),
        row("k", 1, "refused", "unknown_topic"),
    ];
    assert_eq!(parked(&world).await, expected);
    assert!(judge(&good, &log.seen()).is_clean());
    world.close().await;
}
