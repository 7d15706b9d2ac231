//! Events that a handler rejects: they and their followers wait, everything else goes on.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::anyhow;
use bahi_kafka::{Consumer, Failed, consumer_settings};
use bahi_types::TenantId;
use rdkafka::{
    Message,
    consumer::{Consumer as _, StreamConsumer},
    message::{Headers, OwnedMessage},
};

use crate::support::*;

/// Rejects the event 14 (of key k2, when there are six keys) as long as `broken`.
fn fussy(stage: &Stage, broken: Arc<AtomicBool>) -> Consumer {
    stage
        .bare()
        .on(MARKED, leave)
        .on(COUNTED, async move |tx, events| {
            leave(tx, events).await?;
            if broken.load(Ordering::SeqCst) && events.iter().any(|event| event.payload.n == 14) {
                return Err(Failed::reject(
                    "no_fourteen",
                    anyhow!("cannot count to fourteen"),
                ));
            }
            Ok(())
        })
}

async fn dead_letters(stage: &Stage, count: usize) -> Vec<OwnedMessage> {
    let settings = consumer_settings(&brokers(), &format!("{}reader", stage.prefix));
    let reader: StreamConsumer = settings.create().unwrap();
    let topic = format!("{}.counter.dlq", stage.topic());
    eventually(async || {
        let found = reader
            .fetch_metadata(Some(&topic), std::time::Duration::from_secs(5))
            .unwrap();
        found
            .topics()
            .iter()
            .all(|topic| topic.error().is_none())
            .then_some(())
    })
    .await;
    reader.subscribe(&[&topic]).unwrap();
    let mut letters = Vec::new();
    while letters.len() < count {
        letters.push(reader.recv().await.unwrap().detach());
    }
    letters
}

fn headers(message: &OwnedMessage) -> BTreeMap<String, String> {
    let headers = message.headers().unwrap();
    headers
        .iter()
        .map(|h| {
            (
                h.key.to_owned(),
                String::from_utf8_lossy(h.value.unwrap_or_default()).into_owned(),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_event_holds_its_key_until_an_operator_decides() {
    let stage = Stage::new().await;
    let broken = Arc::new(AtomicBool::new(true));
    let sent = series(&[TenantId::new(), TenantId::new()], 6, 60);
    stage.send(&sent).await;
    let running = stage.start(fussy(&stage, broken.clone()));
    stage.await_caught_up(&running).await;

    // Everything else is done; k2 stopped before 14, and nothing of 14 stayed.
    let effects = stage.effects().await;
    let of = |key: &str| {
        effects
            .iter()
            .filter(|e| e.key == key)
            .map(|e| e.n)
            .collect::<Vec<_>>()
    };
    assert_eq!(of("k2"), [2, 8]);
    assert_eq!(effects.len(), 52);
    let held = stage.quarantine().await;
    assert_eq!(held.len(), 8);
    assert_eq!(
        held[0],
        ("k2".into(), "rejected".into(), "no_fourteen".into())
    );
    assert!(
        held[1..]
            .iter()
            .all(|row| *row == ("k2".into(), "waiting".into(), "behind_rejected".into()))
    );

    // The dead letter: the record as it was, and why.
    let letter = dead_letters(&stage, 1).await.remove(0);
    assert_eq!(letter.key(), Some(&b"k2"[..]));
    assert_eq!(
        letter.payload().unwrap(),
        serde_json::to_vec(&sent[14].envelope).unwrap()
    );
    let found = headers(&letter);
    for (name, value) in [
        ("ce_type", "test.counted"),
        ("traceparent", TRACEPARENT),
        ("dlq-reason", "no_fourteen"),
        ("dlq-error", "cannot count to fourteen"),
        ("dlq-attempts", "1"),
        ("orig-topic", &stage.topic()),
        ("consumer", "counter"),
    ] {
        assert_eq!(found[name], value, "{name}");
    }
    for name in [
        "dlq-first-at",
        "orig-partition",
        "orig-offset",
        "orig-timestamp",
    ] {
        assert!(!found[name].is_empty(), "{name}");
    }

    // Later ones wait too, also those that come again; the others go on.
    let more: Vec<Sent> = [2, 3]
        .map(|key| {
            Sent::new(
                COUNTED,
                sent[key].envelope.tenant_id,
                &format!("k{key}"),
                100,
            )
        })
        .into();
    stage.send(&more).await;
    stage.send(&sent[20..21]).await;
    stage.await_caught_up(&running).await;
    assert_eq!(
        (stage.effects().await.len(), stage.quarantine().await.len()),
        (53, 10)
    );

    // Tried again while it is broken still, it is rejected again.
    stage
        .change("update inbox.quarantine set state = 'waiting' where state = 'rejected'")
        .await;
    let again = "select count(*) from inbox.quarantine where state = 'rejected' and attempts = 2";
    eventually(async || (stage.count(again).await == 1).then_some(())).await;
    assert_eq!(
        headers(&dead_letters(&stage, 2).await[1])["dlq-attempts"],
        "2"
    );

    // Mended, it goes through and takes its followers along, in order and each once.
    broken.store(false, Ordering::SeqCst);
    stage
        .change("update inbox.quarantine set state = 'waiting' where state = 'rejected'")
        .await;
    eventually(async || stage.quarantine().await.is_empty().then_some(())).await;
    let all: Vec<Sent> = sent.into_iter().chain(more).collect();
    assert_eq!(verdict(&all, &stage.effects().await), FINE);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_event_that_is_given_up_lets_its_followers_through() {
    let stage = Stage::new().await;
    let sent = series(&[TenantId::new()], 6, 60);
    stage.send(&sent).await;
    let running = stage.start(fussy(&stage, Arc::new(AtomicBool::new(true))));
    stage.await_caught_up(&running).await;
    stage
        .change("delete from inbox.quarantine where state = 'rejected'")
        .await;
    eventually(async || stage.quarantine().await.is_empty().then_some(())).await;
    assert_eq!(
        verdict(&sent, &stage.effects().await),
        Verdict { lost: 1, ..FINE }
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_the_database_refuses_is_undone_alone() {
    let stage = Stage::new().await;
    stage.change("alter table effect add check (n <> 14)").await;
    let sent = series(&[TenantId::new()], 6, 60);
    stage.send(&sent).await;
    let running = stage.start(stage.consumer());
    stage.await_caught_up(&running).await;
    assert_eq!(stage.effects().await.len(), 52);
    assert_eq!(
        stage.quarantine().await[0],
        ("k2".into(), "rejected".into(), "check".into())
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_constraint_checked_at_commit_finds_its_culprit_too() {
    let stage = Stage::new().await;
    stage
        .change(
            "create table allowed (n bigint primary key);
         insert into allowed select n from generate_series(0, 59) as n where n <> 14;
         grant select on allowed to bahi_inventory_app;
         alter table effect add foreign key (n) references allowed deferrable initially deferred",
        )
        .await;
    let sent = series(&[TenantId::new()], 6, 60);
    stage.send(&sent).await;
    let running = stage.start(stage.consumer());
    stage.await_caught_up(&running).await;
    assert_eq!(stage.effects().await.len(), 52);
    assert_eq!(
        stage.quarantine().await[0],
        ("k2".into(), "rejected".into(), "foreign_key".into())
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_a_rejection() {
    let stage = Stage::new().await;
    let sent = series(&[TenantId::new()], 6, 60);
    stage.send(&sent).await;
    let running = stage.start(
        stage
            .bare()
            .on(MARKED, leave)
            .on(COUNTED, async |tx, events| {
                leave(tx, events).await?;
                assert!(
                    events.iter().all(|event| event.payload.n != 14),
                    "fourteen!"
                );
                Ok(())
            }),
    );
    stage.await_caught_up(&running).await;
    assert_eq!(stage.effects().await.len(), 52);
    assert_eq!(
        stage.quarantine().await[0],
        ("k2".into(), "rejected".into(), "panic".into())
    );
    let error = "select count(*) from inbox.quarantine where error like '%fourteen!%'";
    assert_eq!(stage.count(error).await, 1);
    running.stop().await;
}
