//! How often one may ask.

use std::time::Instant;

use bahi_testkit::Reply;
use serde_json::json;

use crate::support::{Fleet, Person, assert_problem};

pub fn number(reply: &Reply, name: &str) -> u32 {
    reply
        .header(name)
        .unwrap_or_else(|| panic!("no {name}"))
        .parse()
        .unwrap()
}

/// Signs in until it is refused.
pub async fn until_refused(person: &Person) -> (usize, Reply) {
    for passed in 0..200 {
        let reply = person.post("/api/v1/auth/login", json!({})).await;
        if reply.status == 429 {
            return (passed, reply);
        }
        reply.expect(201);
    }
    panic!("never refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_told_what_is_left_and_then_refused_while_others_go_on() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[("BAHI_LIMIT_NORMAL", "1/5")]).await;
    let user = gateway.user(&["*"]);
    let first = user.get("/api/v1/brands").await.expect(201);
    assert_eq!(
        (
            number(&first, "ratelimit-limit"),
            number(&first, "ratelimit-remaining")
        ),
        (5, 4)
    );
    assert_eq!(number(&first, "ratelimit-reset"), 0);
    let mut passed = 1;
    let refused = loop {
        let reply = user.get("/api/v1/brands").await;
        if reply.status == 429 {
            break reply;
        }
        passed += 1;
        assert!(passed < 100);
    };
    assert_problem(&refused, 429, "TOO_MANY_REQUESTS");
    assert_eq!(number(&refused, "ratelimit-remaining"), 0);
    assert!(number(&refused, "retry-after") >= 1);
    assert_eq!(
        refused.header("retry-after"),
        refused.header("ratelimit-reset")
    );
    assert_eq!(fleet.seen().len(), passed);
    // Another user of the same address, and the same user in another class.
    gateway.user(&["*"]).get("/api/v1/brands").await.expect(201);
    user.get("/api/v1/pos/sales").await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_in_is_counted_by_address_and_route() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[("BAHI_LIMIT_STRICT", "1/3")]).await;
    let person = gateway.stranger();
    let (passed, refused) = until_refused(&person).await;
    assert!(passed >= 3);
    assert_problem(&refused, 429, "TOO_MANY_REQUESTS");
    assert!(number(&refused, "retry-after") >= 1);
    assert_eq!(number(&refused, "ratelimit-limit"), 3);
    person
        .post("/api/v1/auth/refresh", json!({}))
        .await
        .expect(201);
    gateway
        .stranger()
        .post("/api/v1/auth/login", json!({}))
        .await
        .expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_share_the_strict_limit() {
    let fleet = Fleet::start().await;
    let settings = [("BAHI_LIMIT_STRICT", "1/10")];
    let (one, other) = (
        fleet.gateway(&settings).await,
        fleet.gateway(&settings).await,
    );
    let here = one.stranger();
    let there = here.at(&other);
    let since = Instant::now();
    let mut passed = 0;
    for _ in 0..15 {
        for person in [&here, &there] {
            passed += u64::from(person.post("/api/v1/auth/login", json!({})).await.status == 201);
        }
    }
    let refilled = since.elapsed().as_secs() + 1;
    assert!(
        (10..=10 + refilled).contains(&passed),
        "{passed} passed, {refilled} refilled"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_the_strict_limit_still_holds() {
    let fleet = Fleet::start().await;
    for redis in ["redis://127.0.0.1:1/0", ""] {
        let gateway = fleet
            .gateway(&[("BAHI_LIMIT_STRICT", "1/3"), ("BAHI_REDIS", redis)])
            .await;
        let (passed, refused) = until_refused(&gateway.stranger()).await;
        assert!(passed >= 3);
        assert_problem(&refused, 429, "TOO_MANY_REQUESTS");
        let metrics = gateway.operator().get("/metrics").await.text;
        assert!(
            redis.is_empty() || metrics.contains("gateway_limit_fallback_total"),
            "{metrics}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_at_a_public_route_are_counted_by_address() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[("BAHI_LIMIT_NORMAL", "1/2")]).await;
    let person = gateway.stranger();
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(person.get("/.well-known/jwks.json").await.status);
    }
    assert!(
        statuses.starts_with(&[200, 200]) && statuses.contains(&429),
        "{statuses:?}"
    );
    gateway
        .stranger()
        .get("/.well-known/jwks.json")
        .await
        .expect(200);
}
