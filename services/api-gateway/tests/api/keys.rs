//! Programs that call with an API key.

use std::sync::atomic::Ordering::SeqCst;

use bahi_http::token;
use bahi_testkit::eventually;
use bahi_types::TenantId;
use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Fleet, Gateway, Person, assert_problem, claims, keys, sign};

const BRANDS: &str = "/api/v1/brands";

fn text(secret: &str) -> String {
    format!("bahi_abcdefgh_{secret:x<43}")
}

/// What identity says of a key.
fn said(permissions: &[&str], rate: u32) -> Value {
    let now = chrono::Utc::now().timestamp();
    json!({
        "sub": format!("key:{}", Uuid::now_v7()), "tenant_id": TenantId::new(), "name": "Web shop",
        "permissions": permissions, "branches": [Uuid::now_v7()], "requests_per_minute": rate, "issued_at": now, "expires_at": now + 3600,
    })
}

/// A program with a key that identity knows.
fn program(fleet: &Fleet, gateway: &Gateway, key: &str, said: Value) -> Person {
    fleet.desk.keys.lock().insert(text(key), said);
    gateway.stranger().with_token(text(key))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_gets_a_token_for_the_key_and_identity_is_asked_once() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let known = said(&["product.brand.read"], 600);
    let program = program(&fleet, &gateway, "one", known.clone());
    let replies = join_all((0..20).map(|_| program.get(BRANDS))).await;
    assert!(replies.iter().all(|reply| reply.status == 201));
    assert_eq!(fleet.desk.asked.load(SeqCst), 1, "the others have waited");
    let seen = fleet.seen();
    assert!(seen[0].headers.values().all(|v| !v.contains(&text("one"))));
    let internal = seen[0]
        .header("authorization")
        .strip_prefix("Bearer ")
        .unwrap();
    let claims = keys()
        .verify(internal, token::INTERNAL, token::AUDIENCE_INTERNAL)
        .expect("a valid internal token");
    assert_eq!(
        (
            json!(claims.sub),
            json!(claims.tid),
            json!(claims.perms),
            claims.sid
        ),
        (
            known["sub"].clone(),
            known["tenant_id"].clone(),
            known["permissions"].clone(),
            None
        )
    );
    assert_eq!(json!(claims.branches), known["branches"]);
    assert!(claims.exp - claims.iat <= 60);
    assert_problem(&program.get("/api/v1/categories").await, 403, "FORBIDDEN");
    // It was the gateway who asked.
    let asked_by = fleet.desk.asked_by.lock().clone().unwrap();
    let asked_by = keys().verify(
        asked_by.strip_prefix("Bearer ").unwrap(),
        token::INTERNAL,
        token::AUDIENCE_INTERNAL,
    );
    assert_eq!(asked_by.unwrap().sub, "api-gateway");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_key_is_refused_without_a_reason_and_asked_about_once() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let unknown = gateway.stranger().with_token(text("unknown"));
    let none = gateway.stranger().get(BRANDS).await;
    let replies = join_all((0..10).map(|_| unknown.get(BRANDS))).await;
    for reply in &replies {
        assert_problem(reply, 401, "UNAUTHENTICATED");
        assert_eq!(reply.body["detail"], none.body["detail"]);
    }
    assert_eq!(fleet.desk.asked.load(SeqCst), 1);
    // What cannot be one is not asked about.
    for wrong in [
        "bahi_",
        "bahi_abcdefgh_short",
        &format!("{}x", text("long")),
    ] {
        let reply = unknown.with_token(wrong.to_owned()).get(BRANDS).await;
        assert_problem(&reply, 401, "UNAUTHENTICATED");
    }
    assert_eq!(fleet.desk.asked.load(SeqCst), 1);
    assert!(fleet.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_makes_keys_up_is_stopped_and_nobody_else() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[("BAHI_LIMIT_STRICT", "1/10")]).await;
    let forger = gateway.stranger();
    let mut refused = 0;
    for n in 0..30 {
        let reply = forger
            .with_token(text(&format!("forged{n}")))
            .get(BRANDS)
            .await;
        refused += usize::from(reply.status == 429);
    }
    let asked = fleet.desk.asked.load(SeqCst);
    assert!(refused >= 10 && asked + refused == 30, "{asked} {refused}");
    let program = program(&fleet, &gateway, "good", said(&["*"], 600));
    program.get(BRANDS).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_refused_within_two_seconds_and_a_changed_one_is_asked_about_again() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let (first, second) = (said(&["product.*"], 600), said(&["product.*"], 600));
    let revoked = program(&fleet, &gateway, "revoked", first.clone());
    let changed = program(&fleet, &gateway, "changed", second.clone());
    for program in [&revoked, &changed] {
        program.get(BRANDS).await.expect(201);
    }
    let not_before = second["issued_at"].as_i64().unwrap() + 1;
    let void = |said: &Value| {
        let id = said["sub"]
            .as_str()
            .unwrap()
            .strip_prefix("key:")
            .unwrap()
            .to_owned();
        json!({ "user_id": id, "not_before": not_before })
    };
    let mut less = second.clone();
    less["permissions"] = json!(["sales.*"]);
    less["issued_at"] = json!(not_before);
    fleet.desk.keys.lock().remove(&text("revoked"));
    fleet.desk.keys.lock().insert(text("changed"), less);
    *fleet.desk.revocations.lock() =
        json!({ "sessions": [], "users": [void(&first), void(&second)] });
    let since = std::time::Instant::now();
    eventually(|| async { (revoked.get(BRANDS).await.status == 401).then_some(()) }).await;
    eventually(|| async { (changed.get(BRANDS).await.status == 403).then_some(()) }).await;
    assert!(
        since.elapsed() < std::time::Duration::from_secs(2),
        "{:?}",
        since.elapsed()
    );
    // A key made anew is another text, and known at once.
    program(&fleet, &gateway, "anew", said(&["*"], 600))
        .get(BRANDS)
        .await
        .expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_has_its_own_limit_and_a_token_for_it_shares_that() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let known = said(&["*"], 5);
    let slow = program(&fleet, &gateway, "slow", known.clone());
    let other = program(&fleet, &gateway, "other", said(&["*"], 5));
    let first = slow.get(BRANDS).await.expect(201);
    assert_eq!(first.header("ratelimit-limit"), Some("5"));
    // The five-minute token of a client that has shown the same key.
    let of_key = bahi_http::Claims {
        sub: known["sub"].as_str().unwrap().to_owned(),
        tid: serde_json::from_value(known["tenant_id"].clone()).unwrap(),
        sid: None,
        rate: Some(5),
        ..claims(&["*"])
    };
    let token = slow.with_token(sign("identity", token::ACCESS, &of_key));
    for n in 0..4 {
        let who = if n % 2 == 0 { &slow } else { &token };
        who.get(BRANDS).await.expect(201);
    }
    for who in [&slow, &token] {
        assert_problem(&who.get(BRANDS).await, 429, "TOO_MANY_REQUESTS");
    }
    other.get(BRANDS).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_identity_is_away_known_keys_go_on_and_others_are_told_to_come_back() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let known = program(&fleet, &gateway, "known", said(&["*"], 600));
    known.get(BRANDS).await.expect(201);
    // Null makes the stand-in fail.
    fleet.desk.keys.lock().insert(text("known"), Value::Null);
    let new = program(&fleet, &gateway, "new", Value::Null);
    known.get(BRANDS).await.expect(201);
    assert_problem(&new.get(BRANDS).await, 503, "SERVICE_UNAVAILABLE");
    fleet
        .desk
        .keys
        .lock()
        .insert(text("new"), said(&["*"], 600));
    new.get(BRANDS).await.expect(201);
}
