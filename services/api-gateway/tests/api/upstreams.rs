//! Services that are away, slow, or hang up.

use std::net::TcpListener;

use bahi_testkit::eventually;
use reqwest::Method;
use serde_json::json;

use crate::support::{Fleet, Manner, Rough, assert_problem, send};

const BRANDS: &str = "/api/v1/brands";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_away_is_a_503_until_it_is_back_and_others_go_on() {
    let fleet = Fleet::start().await;
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let gateway = fleet
        .gateway(&[("BAHI_UPSTREAM_PRODUCT", &format!("http://{address}"))])
        .await;
    let user = gateway.user(&["*"]);
    for _ in 0..4 {
        for reply in [user.get(BRANDS).await, user.post(BRANDS, json!({})).await] {
            assert_problem(&reply, 503, "SERVICE_UNAVAILABLE");
            assert!(reply.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
        }
    }
    user.get("/api/v1/sales/invoices").await.expect(201);
    let health = eventually(|| async {
        let reply = gateway.stranger().get("/health/ready").await;
        (reply.body["services"]["product"] == "down").then_some(reply)
    })
    .await;
    assert_eq!(
        (health.status, health.body["services"]["sales"].as_str()),
        (503, Some("up"))
    );
    gateway.stranger().get("/readyz").await.expect(200);
    let back = Rough::start(&address, Manner::Answers).await;
    eventually(|| async { (user.get(BRANDS).await.status == 200).then_some(()) }).await;
    assert!(back.begun() >= 1);
    gateway.stranger().get("/health/ready").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_slow_is_a_504_and_is_asked_once() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[("BAHI_TIME_NORMAL_MS", "300")]).await;
    let user = gateway.user(&["*"]);
    assert_problem(
        &user.post(&format!("{BRANDS}?slow"), json!({})).await,
        504,
        "TIMEOUT",
    );
    assert_eq!(fleet.only().method, "POST");
    assert_problem(&user.get(&format!("{BRANDS}?slow")).await, 504, "TIMEOUT");
    assert_eq!(fleet.seen().len(), 2);
    // It is slow, not away.
    user.get(BRANDS).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_never_sent_twice() {
    let fleet = Fleet::start().await;
    for manner in [Manner::HangsUp, Manner::Stammers, Manner::BreaksOff] {
        let service = Rough::start("127.0.0.1:0", manner).await;
        let gateway = fleet
            .gateway(&[(
                "BAHI_UPSTREAM_PRODUCT",
                &format!("http://{}", service.address),
            )])
            .await;
        let user = gateway.user(&["*"]);
        let mut sent = 0;
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let reply = send(user.request(method, BRANDS).json(&json!({}))).await;
            assert_problem(&reply, 502, "CONNECTION_BROKEN");
            sent += 1;
            assert_eq!(service.begun(), sent);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_on_a_connection_that_dies_is_not_sent_again() {
    let fleet = Fleet::start().await;
    let service = Rough::start("127.0.0.1:0", Manner::HangsUpOnSecond).await;
    let gateway = fleet
        .gateway(&[
            (
                "BAHI_UPSTREAM_PRODUCT",
                &format!("http://{}", service.address),
            ),
            ("BAHI_HTTP_WORKERS", "1"),
        ])
        .await;
    let user = gateway.user(&["*"]);
    let mut broken = 0;
    for sent in 1..=10 {
        let reply = user.post(BRANDS, json!({})).await;
        assert!([200, 502].contains(&reply.status), "{}", reply.text);
        broken += usize::from(reply.status == 502);
        assert_eq!(service.begun(), sent);
    }
    assert!(broken > 0, "connections are used again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_on_a_connection_that_dies_is_asked_again_once() {
    let fleet = Fleet::start().await;
    let service = Rough::start("127.0.0.1:0", Manner::HangsUpOnSecond).await;
    let gateway = fleet
        .gateway(&[
            (
                "BAHI_UPSTREAM_PRODUCT",
                &format!("http://{}", service.address),
            ),
            ("BAHI_HTTP_WORKERS", "1"),
        ])
        .await;
    let user = gateway.user(&["*"]);
    for _ in 0..10 {
        user.get(BRANDS).await.expect(200);
    }
    let dead = Rough::start("127.0.0.1:0", Manner::HangsUp).await;
    let gateway = fleet
        .gateway(&[("BAHI_UPSTREAM_PRODUCT", &format!("http://{}", dead.address))])
        .await;
    assert_problem(
        &gateway.user(&["*"]).get(BRANDS).await,
        502,
        "CONNECTION_BROKEN",
    );
    assert_eq!(dead.begun(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_is_not_passed_for_a_whole_one() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let reply = gateway.user(&["*"]).get(&format!("{BRANDS}?short")).await;
    assert_problem(&reply, 502, "CONNECTION_BROKEN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_whose_answer_breaks_off_is_asked_elsewhere_and_the_endpoint_left_out() {
    let fleet = Fleet::start().await;
    let well = Rough::start("127.0.0.1:0", Manner::Answers).await;
    let breaks = Rough::start("127.0.0.1:0", Manner::BreaksOff).await;
    let urls = format!("http://{}, http://{}", well.address, breaks.address);
    let gateway = fleet.gateway(&[("BAHI_UPSTREAM_PRODUCT", &urls)]).await;
    let user = gateway.user(&["*"]);
    for _ in 0..100 {
        user.get(BRANDS).await.expect(200);
    }
    // Five in a row: then it is left out for ten seconds, and again.
    let begun = breaks.begun();
    assert!((1..=50).contains(&begun), "{begun}");
    assert_eq!(well.begun(), 100, "each is answered once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_is_served_over_connections_that_are_used_again() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(&["*"]);
    let asked = (0..200).map(|n| {
        let user = user.clone();
        async move {
            user.get(&format!("{BRANDS}/{n}"))
                .await
                .expect(201)
                .text_at("target")
        }
    });
    let answers = futures::future::join_all(asked).await;
    for (n, target) in answers.into_iter().enumerate() {
        assert_eq!(target, format!("{BRANDS}/{n}"), "answers are not mixed up");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_of_two_endpoints_goes_on_while_one_of_them_is_away() {
    let fleet = Fleet::start().await;
    let one = Rough::start("127.0.0.1:0", Manner::Answers).await;
    // A port that was free a moment ago.
    let two = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let urls = format!("http://{}, http://{two}", one.address);
    let gateway = fleet.gateway(&[("BAHI_UPSTREAM_PRODUCT", &urls)]).await;
    let user = gateway.user(&["*"]);
    let mut sent = 0;
    for _ in 0..20 {
        user.get(BRANDS).await.expect(200);
        user.post(BRANDS, json!({})).await.expect(200);
        sent += 2;
        assert_eq!(one.begun(), sent, "each is carried out once");
    }
    let standings = |reply: &bahi_testkit::Reply| {
        let all = reply.body["endpoints"]["product"].clone();
        let mut all: Vec<String> = serde_json::from_value(all).unwrap();
        all.sort();
        all
    };
    let health = eventually(|| async {
        let reply = gateway.stranger().get("/health/ready").await;
        (standings(&reply) == ["down", "up"]).then_some(reply)
    })
    .await;
    assert_eq!(health.body["services"]["product"], "up");
    Rough::start(&two.to_string(), Manner::Answers).await;
    eventually(|| async {
        let reply = gateway.stranger().get("/health/ready").await;
        (standings(&reply) == ["up", "up"]).then_some(())
    })
    .await;
    let metrics = gateway.operator().get("/metrics").await.text;
    for name in ["attempts_total", "retries_total", "endpoints", "inflight"] {
        let line = format!("gateway_upstream_{name}{{");
        assert!(metrics.contains(&line), "{name} is not measured");
    }
}
