//! The audit trail.

use bahi_events::Envelope;
use serde_json::{Value, json};

use crate::support::*;

/// Brings what the outbox holds back in, as Kafka would.
async fn deliver(app: &App, events: &[Envelope<Value>]) {
    for consumer in (identity::app().hears())(&app.running.state) {
        consumer.feed(&app.db, events).await.unwrap();
    }
}

async fn of_audit(app: &App) -> Vec<Envelope<Value>> {
    app.events()
        .await
        .into_iter()
        .filter(|e| e.event_type == "audit.recorded")
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_is_kept_once_and_cannot_be_changed() {
    let app = start().await;
    let (shop, other) = (Shop::open(&app).await, Shop::open(&app).await);
    let hired = shop.hire(&app, "cashier").await;
    shop.owner
        .post(
            &format!("{}:disable", hired.path()),
            json!({ "reason": "left" }),
        )
        .await
        .expect(200);
    let events = of_audit(&app).await;
    deliver(&app, &events).await;
    deliver(&app, &events).await;
    // Even under a new event id the record is the same record.
    let again: Vec<_> = events
        .iter()
        .cloned()
        .map(|e| Envelope {
            event_id: uuid::Uuid::now_v7(),
            ..e
        })
        .collect();
    deliver(&app, &again).await;

    let trail = shop.owner.get("/api/v1/audit").await.expect(200);
    let actions: Vec<_> = trail.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "identity.user.disable",
            "identity.user.join",
            "identity.user.invite",
            "identity.tenant.register"
        ]
    );
    let newest = &trail.body["items"][0];
    assert_eq!(
        (&newest["reason"], &newest["actor_type"]),
        (&json!("left"), &json!("user"))
    );
    assert_eq!(
        (&newest["actor_id"], &newest["object_id"]),
        (&json!(shop.owner.user), &json!(hired.id))
    );
    assert_eq!(
        other.owner.get("/api/v1/audit").await.expect(200).body["total"],
        1,
        "each tenant has its own"
    );

    let admin = app.admin().await;
    for statement in [
        "update audit set reason = 'x'",
        "delete from audit",
        "truncate audit",
    ] {
        let refused = admin.batch_execute(statement).await.unwrap_err();
        assert!(
            refused
                .as_db_error()
                .unwrap()
                .message()
                .contains("only ever added to"),
            "{statement}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_searched_and_walked() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    for _ in 0..4 {
        shop.invite("cashier").await;
    }
    deliver(&app, &of_audit(&app).await).await;
    let total = async |query: &str| {
        shop.owner
            .get(&format!("/api/v1/audit?{query}"))
            .await
            .expect(200)
            .body["total"]
            .clone()
    };
    assert_eq!(total("").await, 5);
    assert_eq!(total("action=identity.user.invite").await, 4);
    assert_eq!(total("object_type=tenant").await, 1);
    assert_eq!(total(&format!("object_id={}", shop.owner.tenant)).await, 1);
    assert_eq!(total(&format!("actor={}", shop.owner.user)).await, 5);
    assert_eq!(total("actor=nobody").await, 0);
    assert_eq!(total("to=2020-01-01T00:00:00Z").await, 0);
    assert_eq!(total("from=2020-01-01T00:00:00Z").await, 5);
    shop.owner
        .get("/api/v1/audit?from=yesterday")
        .await
        .expect(400);

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = shop
            .owner
            .get(&format!("/api/v1/audit?limit=2{cursor}"))
            .await
            .expect(200);
        seen.extend(
            page.body["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|a| a["at"].as_str().unwrap().to_owned()),
        );
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by(|a, b| a >= b), "the newest first");
    let clerk = shop.owner.with_permissions(&["identity.user.read"]);
    clerk.get("/api/v1/audit").await.expect(403);
}
