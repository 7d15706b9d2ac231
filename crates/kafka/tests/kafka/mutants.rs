//! Loops that are wrong, to show that the checker finds it: the scenarios above would not pass by luck.

use std::time::Duration;

use bahi_db::{Batch, Ctx, Move};
use bahi_events::Envelope;
use bahi_kafka::consumer_settings;
use bahi_types::TenantId;
use rdkafka::{
    Message,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
};
use uuid::Uuid;

use crate::support::*;

#[derive(Clone, Copy, PartialEq)]
enum Mutant {
    /// The effect is committed first, the inbox afterwards in a transaction of its own.
    InboxOutside,
    /// Kafka's offset is committed first, and reading goes on where Kafka says.
    OffsetFirst,
    /// What the crate does, in the same few lines.
    None,
}

/// Consumes until `stop_after` events in a naive loop, one by one, and "dies" at the worst moment of the event
/// after that; without `stop_after`, until nothing comes any more.
async fn naive(stage: &Stage, mutant: Mutant, stop_after: Option<usize>) {
    let settings = consumer_settings(&brokers(), &format!("{}naive", stage.prefix));
    let kafka: BaseConsumer = settings
        .clone()
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    kafka.subscribe(&[&stage.topic()]).unwrap();
    let (mut seen, mut quiet) = (0, 0);
    while quiet < 30 {
        let Some(message) = kafka.poll(Duration::from_millis(100)) else {
            quiet += usize::from(seen > 0);
            continue;
        };
        let message = message.unwrap();
        (seen, quiet) = (seen + 1, 0);
        let dies = stop_after.is_some_and(|stop| seen > stop);
        let event: Envelope<Counted> = serde_json::from_slice(message.payload().unwrap()).unwrap();
        let id = event.event_id;

        if mutant == Mutant::OffsetFirst {
            kafka.commit_message(&message, CommitMode::Sync).unwrap();
            if dies {
                return;
            }
        }
        let mut batch = Batch::begin(&stage.db, Some(event.tenant_id))
            .await
            .unwrap();
        let known = match mutant {
            Mutant::InboxOutside => is_known(stage, id).await,
            _ => !batch
                .claim("naive", &[] as &[Move<'_>], &[id], &[], &[])
                .await
                .unwrap()
                .fresh
                .contains(&id),
        };
        if !known {
            let tx = batch
                .enter(Ctx::service("naive", event.tenant_id))
                .await
                .unwrap();
            leave(tx, &[event]).await.unwrap();
        }
        batch.commit().await.unwrap();
        if dies {
            return;
        }
        if mutant == Mutant::InboxOutside {
            let mut after = Batch::begin(&stage.db, None).await.unwrap();
            after.claim("naive", &[], &[id], &[], &[]).await.unwrap();
            after.commit().await.unwrap();
        }
        if mutant != Mutant::OffsetFirst {
            kafka.commit_message(&message, CommitMode::Sync).unwrap();
        }
    }
}

async fn is_known(stage: &Stage, id: Uuid) -> bool {
    let known = "select exists (select from inbox.processed where event_id = $1)";
    stage
        .admin()
        .await
        .query_one(known, &[&id])
        .await
        .unwrap()
        .get(0)
}

async fn verdict_on(mutant: Mutant) -> Verdict {
    let stage = Stage::new().await;
    let sent = series(&[TenantId::new()], 4, 20);
    stage.send(&sent).await;
    naive(&stage, mutant, Some(10)).await;
    naive(&stage, mutant, None).await;
    verdict(&sent, &stage.effects().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_outside_the_transaction_doubles_an_effect() {
    assert_eq!(
        verdict_on(Mutant::InboxOutside).await,
        Verdict {
            duplicates: 1,
            ..FINE
        }
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offset_committed_before_the_transaction_loses_an_effect() {
    assert_eq!(
        verdict_on(Mutant::OffsetFirst).await,
        Verdict { lost: 1, ..FINE }
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_loop_with_the_inbox_inside_passes() {
    assert_eq!(verdict_on(Mutant::None).await, FINE);
}
