//! What an operator does about a consumer that runs.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::anyhow;
use bahi_db::Which;
use bahi_kafka::{Consumer, Failed, From, Heard, Operator, Replay, To};
use bahi_types::TenantId;
use serde_json::json;
use uuid::Uuid;

use crate::support::*;

fn operator(stage: &Stage) -> Operator {
    let heard = Heard::of(&stage.consumer(), &stage.prefix);
    Operator::new(
        stage.db.clone(),
        Some(brokers()),
        vec![heard],
        "tester".into(),
    )
}

fn replay(stage: &Stage) -> Replay {
    Replay {
        consumer: "counter".into(),
        topic: stage.topic(),
        partition: None,
        from: From::Beginning,
        again: false,
        to: None,
        event_type: None,
        key: None,
    }
}

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

async fn notes(stage: &Stage) -> Vec<(String, String)> {
    let all = "select who, cmd from inbox.command order by id";
    let rows = stage.admin().await.query(all, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_consumer_notices_a_replay_and_passes_over_what_it_handled() {
    let stage = Stage::new().await;
    let sent = series(&[TenantId::new()], 6, 60);
    stage.send(&sent).await;
    // It does not hear one of the two types yet.
    let running = stage.start(stage.bare().on(COUNTED, leave));
    stage.await_caught_up(&running).await;
    running.stop().await;
    let marked = sent
        .iter()
        .filter(|s| s.envelope.event_type == MARKED.name)
        .count();
    assert_eq!(stage.effects().await.len(), 60 - marked);

    let running = stage.start(stage.consumer());
    stage.await_caught_up(&running).await;
    let operator = operator(&stage);
    // Asked without being confirmed, nothing moves.
    let plan = operator.replay(&replay(&stage), false).await.unwrap();
    assert_eq!(plan.moves.len(), 3);
    assert_eq!(
        stage
            .count("select sum(next_offset)::bigint from inbox.position")
            .await,
        60
    );
    let done = operator.replay(&replay(&stage), true).await.unwrap();
    assert_eq!((done.moves, done.again), (plan.moves, 0));
    // Nothing comes that would meet the position; still it is seen, and only what is new is handled.
    stage.await_effects(60).await;
    stage.await_caught_up(&running).await;
    let mut effects = stage.effects().await;
    effects.sort_by_key(|effect| effect.n);
    assert_eq!(verdict(&sent, &effects), FINE);
    assert_eq!(
        notes(&stage).await,
        vec![("tester".to_owned(), "replay".to_owned()); 2]
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wanted_again_is_handled_again_and_nothing_else() {
    let stage = Stage::new().await;
    let sent = series(&[TenantId::new()], 6, 60);
    stage.send(&sent).await;
    let running = stage.start(stage.consumer());
    stage.await_caught_up(&running).await;
    let wanted = Replay {
        again: true,
        key: Some("k1".into()),
        event_type: Some(COUNTED.name.into()),
        ..replay(&stage)
    };
    let of_k1 = sent
        .iter()
        .filter(|s| s.key == "k1" && s.envelope.event_type == COUNTED.name)
        .count();
    let operator = operator(&stage);
    let done = operator.replay(&wanted, true).await.unwrap();
    assert_eq!((done.moves.len(), done.again), (1, of_k1));
    let effects = stage.await_effects(60 + of_k1).await;
    stage.await_caught_up(&running).await;
    assert!(
        effects[60..]
            .iter()
            .all(|e| e.key == "k1" && e.kind == COUNTED.name)
    );
    let doubled = verdict(&sent, &stage.effects().await);
    assert_eq!(
        doubled,
        Verdict {
            duplicates: of_k1,
            ..FINE
        }
    );
    assert_eq!(stage.count("select count(*) from inbox.again").await, 0);

    // Up to an offset, and also what the inbox has forgotten.
    running.stop().await;
    stage
        .change("delete from effect; delete from inbox.processed")
        .await;
    let running = stage.start(stage.consumer());
    let early = Replay {
        again: true,
        to: Some(To::Offset(1)),
        ..replay(&stage)
    };
    let done = operator.replay(&early, true).await.unwrap();
    // One event of each partition that has any.
    assert_eq!(done.again, done.moves.len());
    stage.await_caught_up(&running).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_older_than_the_inbox_is_handled_again_only_when_wanted() {
    let stage = Stage::new().await;
    let mut sent = series(&[TenantId::new()], 3, 30);
    let days_ago = (chrono::Utc::now().timestamp() - 20 * 86_400)
        .try_into()
        .unwrap();
    for event in &mut sent {
        event.envelope.event_id =
            Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, days_ago, 0));
    }
    stage.send(&sent).await;
    let running = stage.start(stage.consumer());
    stage.await_effects(30).await;
    stage.await_caught_up(&running).await;
    stage.change("delete from inbox.processed").await;
    let operator = operator(&stage);
    operator.replay(&replay(&stage), true).await.unwrap();
    eventually(async || {
        let back = stage.count("select count(*) from inbox.processed").await;
        (back == 30).then_some(())
    })
    .await;
    assert_eq!(stage.effects().await.len(), 30);
    let wanted = Replay {
        again: true,
        ..replay(&stage)
    };
    operator.replay(&wanted, true).await.unwrap();
    assert_eq!(stage.await_effects(60).await.len(), 60);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_record_is_retried_and_given_up_by_command() {
    let stage = Stage::new().await;
    let broken = Arc::new(AtomicBool::new(true));
    let sent = series(&[TenantId::new()], 6, 60);
    stage.send(&sent).await;
    let running = stage.start(fussy(&stage, broken.clone()));
    stage.await_caught_up(&running).await;
    let operator = operator(&stage);
    let places = operator.status().await.unwrap();
    let (rejected, waiting): (i64, i64) = places.iter().fold((0, 0), |(r, w), s| {
        (r + s.place.rejected, w + s.place.waiting)
    });
    assert_eq!((rejected, waiting), (1, 7));
    assert!(places.iter().all(|s| s.lag == Some(0)));

    let mut operation = operator.begin().await.unwrap();
    let letters = operation.letters(&Which::default(), 100).await.unwrap();
    assert_eq!((letters.len(), letters[0].followers), (8, 7));
    let id = letters[0].id;
    assert_eq!(
        operation.letter(id).await.unwrap().unwrap().reason,
        "no_fourteen"
    );
    // What waits is not given up before what it waits for.
    assert!(!operation.drop_letter(letters[1].id).await.unwrap());
    drop(operation);

    // Handled again, earlier events of the key would come behind those that wait: refused.
    let again = Replay {
        again: true,
        key: Some("k2".into()),
        ..replay(&stage)
    };
    let refused = operator.replay(&again, true).await.unwrap_err();
    assert!(refused.to_string().contains("quarantine"), "{refused}");
    assert_eq!(stage.count("select count(*) from inbox.again").await, 0);

    // Without its commit, a command has not happened.
    let mut operation = operator.begin().await.unwrap();
    assert_eq!(operation.retry(&Which::default()).await.unwrap(), [id]);
    drop(operation);
    let tries = "select attempts::bigint from inbox.quarantine where state = 'rejected'";
    assert_eq!(stage.count(tries).await, 1);
    let mut operation = operator.begin().await.unwrap();
    let which = Which {
        topic: Some(stage.topic()),
        key: Some(b"k2".to_vec()),
        ..Which::default()
    };
    assert_eq!(operation.retry(&which).await.unwrap(), [id]);
    operation
        .commit("tester", "dlq retry", &json!({}), &json!({}))
        .await
        .unwrap();
    let tried = "select count(*) from inbox.quarantine where state = 'rejected' and attempts = 2";
    eventually(async || (stage.count(tried).await == 1).then_some(())).await;

    let mut operation = operator.begin().await.unwrap();
    assert!(operation.drop_letter(id).await.unwrap());
    operation
        .commit("tester", "dlq drop", &json!({}), &json!({}))
        .await
        .unwrap();
    eventually(async || stage.quarantine().await.is_empty().then_some(())).await;
    let lost = Verdict { lost: 1, ..FINE };
    assert_eq!(verdict(&sent, &stage.effects().await), lost);

    // Given up is given up: read again, it stays away.
    broken.store(false, Ordering::SeqCst);
    let done = operator.replay(&replay(&stage), true).await.unwrap();
    assert!(!done.moves.is_empty());
    let read = "select count(*) from inbox.position where next_offset < highest";
    eventually(async || (stage.count(read).await == 0).then_some(())).await;
    assert_eq!(verdict(&sent, &stage.effects().await), lost);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_of_commands_cannot_be_changed_by_the_service() {
    let stage = Stage::new().await;
    let operator = operator(&stage);
    operator.status().await.unwrap();
    let as_app = stage.admin().await;
    as_app
        .batch_execute("set role bahi_inventory_app")
        .await
        .unwrap();
    for sql in [
        "update inbox.command set who = 'me'",
        "delete from inbox.command",
        "truncate inbox.command",
    ] {
        let error = as_app.batch_execute(sql).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42501", "{sql}");
    }
}
