//! What an operator can ask, asked through the shipped binary while a worker runs.

use bahi_testkit::{Entry, judge};
use tokio_postgres::Client;

use crate::{
    log::Log,
    world::{World, emit, eventually},
};

async fn count(admin: &Client, query: &str) -> i64 {
    admin.query_one(query, &[]).await.unwrap().get(0)
}

const PARKED: &str = "select count(*) from outbox.parked";

async fn until_parked(admin: &Client, events: i64) {
    eventually(format!("{events} parked"), || async {
        (count(admin, PARKED).await == events).then_some(())
    })
    .await;
}

async fn ok(world: &World, command: &str) -> String {
    let (code, said) = world.operate(command).await;
    assert_eq!(code, 0, "{command}: {said}");
    said
}

/// A command that refuses.
async fn not(world: &World, command: &str, expected: &str) {
    let (code, said) = world.operate(command).await;
    assert_eq!(code, 1, "{command}: {said}");
    assert!(said.contains(expected), "{command}: {said}");
}

/// A command that says what it would do.
async fn unconfirmed(world: &World, command: &str) {
    let (code, said) = world.operate(command).await;
    assert_eq!(code, 3, "{command}: {said}");
    assert!(said.contains("Repeat with --yes"), "{command}: {said}");
}

async fn arrived(log: &Log, entries: &[Entry]) -> usize {
    let ids: Vec<_> = entries.iter().map(|entry| entry.event_id).collect();
    log.until_all(&ids).await;
    let verdict = judge(entries, &log.seen());
    assert!(verdict.is_clean(), "{verdict:?}");
    verdict.duplicates
}

async fn arrived_once(log: &Log, entries: &[Entry]) {
    assert_eq!(arrived(log, entries).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_paused_waits_in_order_and_the_rest_flows() {
    let world = World::new().await;
    let (one, two) = (world.topic(3, &[]).await, world.topic(3, &[]).await);
    let (app, admin) = (world.app().await, world.admin().await);
    let worker = world.start();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    first.push(emit(&app, &one.name, "a", 1, "{}").await);
    arrived_once(&one, &first).await;

    ok(&world, &format!("pause --db @ --topic {}", one.name)).await;
    ok(
        &world,
        &format!("pause --db @ --topic {} --key held", two.name),
    )
    .await;
    eventually("the pause to be seen", || async {
        let probe = emit(&app, &one.name, "probe", 1, "{}").await;
        first_parked(&admin, probe).await
    })
    .await;
    for version in 2..=40 {
        first.push(emit(&app, &one.name, "a", version, "{}").await);
        second.push(emit(&app, &two.name, "held", version, "{}").await);
        second.push(emit(&app, &two.name, "free", version, "{}").await);
    }
    let free: Vec<Entry> = second.iter().filter(|e| e.key == "free").cloned().collect();
    let ids: Vec<_> = free.iter().map(|entry| entry.event_id).collect();
    two.until_all(&ids).await;
    assert_eq!(two.len(), free.len(), "the paused key waits");
    let said = ok(&world, "status --db @").await;
    assert!(said.contains(&format!("{}/held", two.name)), "{said}");

    ok(
        &world,
        &format!("resume --db @ --topic {} --key held", two.name),
    )
    .await;
    arrived_once(&two, &second).await;
    let before = one.len();
    ok(&world, &format!("resume --db @ --topic {}", one.name)).await;
    let ids: Vec<_> = first.iter().map(|entry| entry.event_id).collect();
    one.until_all(&ids).await;
    assert!(before < first.len());
    let of_a: Vec<_> = one
        .seen()
        .into_iter()
        .filter(|seen| seen.key == "a")
        .collect();
    let verdict = judge(&first, &of_a);
    assert!(verdict.is_clean() && verdict.duplicates == 0, "{verdict:?}");
    until_parked(&admin, 0).await;

    // The whole database: nothing is read, and nothing needs to be parked.
    ok(&world, "pause --db @").await;
    let open = "select count(*) from outbox.status where not published";
    eventually("the pause to be seen", || async {
        let probe = emit(&app, &two.name, "probe", 1, "{}").await;
        let arrived = two
            .seen()
            .iter()
            .any(|seen| seen.event_id == probe.event_id);
        (!arrived && count(&admin, open).await > 3).then_some(())
    })
    .await;
    assert_eq!(count(&admin, PARKED).await, 0);
    not(&world, "drain --db @ --timeout 0", "not published").await;
    ok(&world, "resume --db @").await;
    ok(&world, "drain --db @").await;
    assert_eq!(count(&admin, open).await, 0);
    not(&world, "resume --db @", "is not paused").await;
    worker.stop().await;
    world.close().await;
}

async fn first_parked(admin: &Client, probe: Entry) -> Option<()> {
    let parked = "select count(*) from outbox.parked where event_id = $1 and reason in ('paused', 'behind_another')";
    let row = admin.query_one(parked, &[&probe.event_id]).await.unwrap();
    (row.get::<_, i64>(0) == 1).then_some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_event_is_retried_with_what_waits_behind_it_once_its_topic_is_there() {
    let world = World::new().await;
    let log = world.topic(2, &[]).await;
    let (app, admin) = (world.app().await, world.admin().await);
    let worker = world.start();
    let late = format!("{}.late", world.name);
    let mut entries = Vec::new();
    for version in 1..=700 {
        entries.push(emit(&app, &late, "k", version, "{}").await);
    }
    until_parked(&admin, 700).await;
    let said = ok(&world, "parked list --db @ --limit 3").await;
    assert!(
        said.contains("unknown_topic") && said.contains("3 shown"),
        "{said}"
    );
    let first = count(&admin, "select min(seq) from outbox.parked").await;
    let said = ok(&world, &format!("parked show --db @ --seq {first}")).await;
    assert!(said.contains("\"waiting_behind_it\": 699"), "{said}");
    // Not there yet: it is refused once more, and the others go on waiting.
    ok(&world, "parked retry --db @").await;
    let attempts = "select count(*) from outbox.parked where state = 'refused' and attempts = 2";
    eventually("the second refusal", || async {
        (count(&admin, attempts).await == 1).then_some(())
    })
    .await;
    let log_late = world.topic_named(&late, 2).await;
    ok(&world, &format!("parked retry --db @ --seq {first}")).await;
    entries.push(emit(&app, &late, "k", 701, "{}").await);
    arrived_once(&log_late, &entries).await;
    until_parked(&admin, 0).await;
    entries.push(emit(&app, &late, "k", 702, "{}").await);
    arrived_once(&log_late, &entries).await;
    assert_eq!(log.len(), 0);
    worker.stop().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_event_is_given_up_only_when_it_is_said_twice() {
    let world = World::new().await;
    let log = world.topic(1, &[("max.message.bytes", "4000")]).await;
    let (app, admin) = (world.app().await, world.admin().await);
    let worker = world.start();
    let noise: String = (0..200)
        .map(|_| format!("{:032x}", rand::random::<u128>()))
        .collect();
    let large = format!("\"{noise}\"");
    let mut entries = Vec::new();
    for key in ["skipped", "dead"] {
        emit(&app, &log.name, key, 1, &large).await;
        entries.push(emit(&app, &log.name, key, 2, "{}").await);
    }
    until_parked(&admin, 4).await;
    let seqs: Vec<i64> = admin
        .query(
            "select seq from outbox.parked where state = 'refused' order by seq",
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let (skip, dead) = (seqs[0], seqs[1]);
    unconfirmed(&world, &format!("parked skip --db @ --seq {skip}")).await;
    unconfirmed(&world, &format!("parked dead --db @ --seq {dead}")).await;
    not(
        &world,
        &format!("parked skip --db @ --seq {} --yes", skip + 1),
        "only waits",
    )
    .await;
    assert_eq!(count(&admin, PARKED).await, 4, "nothing has happened");
    ok(&world, &format!("parked skip --db @ --seq {skip} --yes")).await;
    ok(&world, &format!("parked dead --db @ --seq {dead} --yes")).await;
    // A broker's refusal costs the producer, and what was in flight with it comes twice.
    arrived(&log, &entries).await;
    until_parked(&admin, 0).await;
    let kept = admin
        .query(
            "select seq, payload::text, reason, resolved_by from outbox.dead_letter",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(kept.len(), 1);
    let row = &kept[0];
    assert_eq!(
        (row.get::<_, i64>(0), row.get::<_, String>(1)),
        (dead, large)
    );
    assert_eq!(
        (row.get::<_, &str>(2), row.get::<_, &str>(3)),
        ("too_large", "ops@test")
    );
    // Who did what is written down.
    let audit: Vec<String> = admin
        .query(
            "select cmd || ' ' || (args->>'seq') || ' ' || who from outbox.command order by id",
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(
        audit,
        [
            format!("parked skip {skip} ops@test"),
            format!("parked dead {dead} ops@test")
        ]
    );
    worker.stop().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_repeats_what_was_published_and_says_so() {
    let world = World::new().await;
    let log = world.topic(3, &[]).await;
    let app = world.app().await;
    let worker = world.start();
    let mut entries = Vec::new();
    for n in 0..2500 {
        entries.push(emit(&app, &log.name, &format!("k{}", n % 5), n / 5, "{}").await);
    }
    let ids: Vec<_> = entries.iter().map(|entry| entry.event_id).collect();
    log.until_all(&ids).await;
    ok(&world, "drain --db @").await;
    unconfirmed(&world, "replay --db @ --from-seq 1").await;
    let said = ok(&world, "replay --db @ --from-seq 1 --key k1 --yes").await;
    assert!(said.contains("500 events published once more"), "{said}");
    // New events pass between those of a long replay.
    let (replayed, new) = tokio::join!(ok(&world, "replay --db @ --from-seq 1 --yes"), async {
        let new = emit(&app, &log.name, "k1", 500, "{}").await;
        log.until_all(&[new.event_id]).await;
        new
    });
    entries.push(new);
    assert!(
        replayed.contains("events published once more"),
        "{replayed}"
    );
    log.until_len(5501).await;
    let verdict = judge(&entries, &log.seen());
    assert!(verdict.is_clean(), "{verdict:?}");
    assert!((3000..=3001).contains(&verdict.duplicates), "{verdict:?}");
    let marked = log
        .records()
        .iter()
        .filter(|r| r.headers.iter().any(|(k, _)| k == "x-replay"))
        .count();
    assert_eq!(marked, verdict.duplicates);
    let said = ok(
        &world,
        "replay --db @ --from-time 2020-01-01T00:00:00Z --to-seq 10 --type thing.changed --yes",
    )
    .await;
    assert!(said.contains("10 events published once more"), "{said}");
    ok(&world, "verify --db @").await;
    worker.stop().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_finds_what_is_missing_and_what_is_too_much() {
    let world = World::new().await;
    let log = world.topic(3, &[]).await;
    let (app, admin) = (world.app().await, world.admin().await);
    let worker = world.start();
    let mut entries = Vec::new();
    for n in 0..50 {
        entries.push(emit(&app, &log.name, &format!("k{}", n % 5), n / 5, "{}").await);
    }
    let ids: Vec<_> = entries.iter().map(|entry| entry.event_id).collect();
    log.until_all(&ids).await;
    ok(&world, "drain --db @").await;
    worker.stop().await;
    let said = ok(&world, "verify --db @").await;
    assert!(
        said.contains("50 published events") && said.contains("0 missing, 0 extra"),
        "{said}"
    );
    // A row that counts as published and never was; and one that is gone from the ring.
    admin
        .execute(
            "update outbox.event set event_id = gen_random_uuid() where seq = 17",
            &[],
        )
        .await
        .unwrap();
    let (code, said) = world.operate("verify --db @").await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("1 missing, 1 extra"), "{said}");
    assert!(
        said.contains(&format!("extra {} {}", log.name, entries[16].event_id)),
        "{said}"
    );
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_command_says_how_it_is_meant() {
    let world = World::new().await;
    for wrong in [
        "statsu",
        "pause",
        "pause --db @ --key k",
        "parked",
        "parked skip --db @",
        "replay --db @",
        "replay --db @ --from-time yesterday",
        "shards --db @ --count 9",
        "drain --db @ --timeout soon",
    ] {
        let (code, said) = world.operate(wrong).await;
        assert_eq!(code, 2, "{wrong}: {said}");
        assert!(
            said.contains("sage") || said.contains("--help"),
            "{wrong}: {said}"
        );
    }
    not(&world, "pause --db nobody", "no database of `nobody`").await;
    not(&world, "status --db @", "nobody").await;
    not(&world, "handover --db @", "nobody to hand over to").await;
    world.close().await;
}
