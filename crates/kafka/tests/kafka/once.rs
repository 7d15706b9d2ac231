//! Each event has its effect once, however often it is delivered and however the position is set.

use bahi_types::TenantId;
use uuid::Uuid;

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_delivered_twice_and_replayed_have_their_effect_once() {
    let stage = Stage::new().await;
    let sent = series(&[TenantId::new(), TenantId::new()], 10, 300);
    stage.send(&sent).await;
    stage.send(&sent[100..200]).await;

    let running = stage.start(stage.consumer());
    stage.await_caught_up(&running).await;
    assert_eq!(verdict(&sent, &stage.effects().await), FINE);
    stage.send(&sent).await;
    stage.await_caught_up(&running).await;
    running.stop().await;

    // An operator, or a restored backup, sets the position back.
    stage
        .change("update inbox.position set next_offset = 0")
        .await;
    let running = stage.start(stage.consumer());
    stage.await_caught_up(&running).await;
    assert_eq!(verdict(&sent, &stage.effects().await), FINE);
    running.stop().await;

    // What the handlers said is said once too, and names its cause.
    let said = stage
        .count(
            "select count(distinct causation_id) from outbox.event where event_type = 'test.noted'",
        )
        .await;
    assert_eq!(
        (said, stage.count("select count(*) from outbox.event").await),
        (300, 300)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_event_gives_its_flow_and_trace_to_what_follows_from_it() {
    let stage = Stage::new().await;
    let sent = series(&[TenantId::new()], 1, 1);
    let running = stage.start(stage.consumer());
    stage.send(&sent).await;
    stage.await_effects(1).await;
    let said = stage.admin().await;
    let row = said
        .query_one(
            "select causation_id, correlation_id, trace_id, traceparent, actor from outbox.event",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, Uuid>(0), sent[0].envelope.event_id);
    assert_eq!(row.get::<_, Uuid>(1), Uuid::from_u128(9));
    assert_eq!(row.get::<_, Uuid>(2), Uuid::from_u128(7));
    assert_eq!(row.get::<_, String>(3), TRACEPARENT);
    assert_eq!(
        row.get::<_, serde_json::Value>(4),
        serde_json::json!({ "type": "service", "id": "counter" })
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_event_that_the_inbox_has_forgotten_is_not_handled_again() {
    let stage = Stage::new().await;
    let mut sent = series(&[TenantId::new()], 3, 30);
    let long_ago = uuid::Timestamp::from_unix(
        uuid::NoContext,
        (chrono::Utc::now().timestamp() - 20 * 86_400)
            .try_into()
            .unwrap(),
        0,
    );
    for event in &mut sent {
        event.envelope.event_id = Uuid::new_v7(long_ago);
    }
    stage.send(&sent).await;
    let running = stage.start(stage.consumer());
    // They were never handled: that they are old does not matter.
    stage.await_effects(30).await;
    running.stop().await;

    stage
        .change("delete from inbox.processed; update inbox.position set next_offset = 0")
        .await;
    let running = stage.start(stage.consumer());
    stage.await_caught_up(&running).await;
    assert_eq!(verdict(&sent, &stage.effects().await), FINE);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_inbox_forgets_days_beyond_the_topics_and_no_others() {
    let stage = Stage::new().await;
    // One event for each of the last 17 days and the two to come, by the id's own time.
    stage.change(
        "insert into inbox.processed (consumer, event_id, slot)
         select 'counter', id, inbox.slot_of(id) from generate_series(-2, 17) as d(age),
           lateral (select (lpad(to_hex(((extract(epoch from now()) - age * 86400) * 1000)::bigint), 12, '0')
                            || '70008000000000000000')::uuid as id) i
         where age <> -2",
    ).await;
    let age = "(extract(epoch from now())::bigint / 86400
                - (('x' || substr(replace(event_id::text, '-', ''), 1, 12))::bit(48)::bigint / 86400000))";
    stage.db.clean_inbox().await.unwrap();
    let left = format!("select array_agg({age} order by {age}) from inbox.processed");
    let left: Vec<i64> = stage
        .admin()
        .await
        .query_one(&left, &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(left, (-1..=15).chain([17]).collect::<Vec<i64>>());
    // The 17th day was due yesterday. Doing it again changes nothing.
    stage.db.clean_inbox().await.unwrap();
    assert_eq!(
        stage.count("select count(*) from inbox.processed").await,
        18
    );
}
