//! What goes on, what stays, what is added.

use bahi_testkit::Reply;
use reqwest::Method;
use uuid::Uuid;

use crate::support::{Fleet, assert_problem, send};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_claims_and_hop_by_hop_headers_stay_at_the_edge() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(&["*"]);
    let forged = [
        ("x-user-id", "root"),
        ("x_user_id", "root"),
        ("x-tenant-id", "other"),
        ("x-internal-token", "let me in"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-host", "evil"),
        ("x-real-ip", "10.0.0.1"),
        ("forwarded", "for=10.0.0.1"),
        ("x-original-url", "/internal"),
        ("x-http-method-override", "DELETE"),
        ("proxy-authorization", "Basic eA=="),
        ("te", "trailers"),
        ("cookie", "a=b"),
        ("connection", "if-match, x-odd"),
        ("if-match", "\"3\""),
        ("x-odd", "1"),
    ];
    let passed = [
        ("idempotency-key", "k-1"),
        ("accept-language", "hi"),
        ("if-none-match", "\"4\""),
        ("user-agent", "till/2"),
    ];
    let mut request = user
        .request(Method::POST, "/api/v1/brands")
        .body("{}")
        .header("content-type", "application/json");
    for (name, value) in forged.into_iter().chain(passed) {
        request = request.header(name, value);
    }
    send(request).await.expect(201);
    let seen = fleet.only();
    for (name, value) in passed {
        assert_eq!((name, seen.header(name)), (name, value));
    }
    assert_eq!(seen.header("content-type"), "application/json");
    assert_eq!(seen.header("x-forwarded-for"), user.ip.to_string());
    let left: u64 = seen.header("x-request-timeout-ms").parse().unwrap();
    assert!((1..=10_000).contains(&left), "{left}");
    for (name, _) in forged
        .into_iter()
        .filter(|(name, _)| *name != "x-forwarded-for")
    {
        assert_eq!((name, seen.header(name)), (name, ""));
    }
    let known = [
        "accept",
        "accept-language",
        "authorization",
        "content-length",
        "content-type",
        "host",
        "idempotency-key",
        "if-none-match",
        "traceparent",
        "user-agent",
        "x-forwarded-for",
        "x-request-id",
        "x-request-timeout-ms",
    ];
    assert_eq!(seen.headers.keys().collect::<Vec<_>>(), known);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_load_balancer_of_ours_may_say_where_a_client_is() {
    let fleet = Fleet::start().await;
    let gateway = fleet
        .gateway(&[("BAHI_TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.0/8")])
        .await;
    let user = gateway.user(&["*"]);
    let said = async |value: &str| {
        send(
            user.request(Method::GET, "/api/v1/brands")
                .header("x-forwarded-for", value),
        )
        .await
        .expect(201);
        fleet
            .seen()
            .last()
            .unwrap()
            .header("x-forwarded-for")
            .to_owned()
    };
    assert_eq!(said("203.0.113.9").await, "203.0.113.9");
    // The right-most that is not ours: what stands left of it is the client's own tale.
    assert_eq!(
        said("198.51.100.1, 203.0.113.9, 10.1.1.1").await,
        "203.0.113.9"
    );
    assert_eq!(said("garbage").await, user.ip.to_string());
    // Nor does what nobody can read bring the tale to the front.
    assert_eq!(said("6.6.6.6, x, 203.0.113.9").await, "203.0.113.9");
    assert_eq!(said("6.6.6.6, x").await, user.ip.to_string());
    // Several lines are one list, and one that is no text is not as if it were not there.
    let lines = async |first: &[u8], second: &[u8]| {
        let request = user.request(Method::GET, "/api/v1/brands");
        let request = request.header("x-forwarded-for", first);
        send(request.header("x-forwarded-for", second))
            .await
            .expect(201);
        let seen = fleet.seen();
        seen.last().unwrap().header("x-forwarded-for").to_owned()
    };
    assert_eq!(
        lines(b"6.6.6.6, 203.0.113.9", b"10.1.1.1").await,
        "203.0.113.9"
    );
    assert_eq!(lines(b"6.6.6.6", b"\xe9").await, user.ip.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_is_kept_when_it_is_one_and_made_when_it_is_not() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(&["*"]);
    let given = Uuid::now_v7().to_string();
    let with = |id: &str| {
        user.request(Method::GET, "/api/v1/brands")
            .header("x-request-id", id)
    };
    let kept = send(with(&given)).await.expect(201);
    assert_eq!(kept.header("x-request-id"), Some(given.as_str()));
    assert_eq!(fleet.seen()[0].header("x-request-id"), given);
    let made = send(with("' or 1=1 --")).await.expect(201);
    let id = made.header("x-request-id").unwrap();
    assert!(Uuid::try_parse(id).is_ok(), "{id}");
    assert_eq!(fleet.seen()[1].header("x-request-id"), id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_goes_on_through_the_gateway() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(&["*"]);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    send(
        user.request(Method::GET, "/api/v1/brands")
            .header("traceparent", parent),
    )
    .await
    .expect(201);
    user.get("/api/v1/brands").await.expect(201);
    send(
        user.request(Method::GET, "/api/v1/brands")
            .header("traceparent", "00-xyz"),
    )
    .await
    .expect(201);
    let traces: Vec<String> = fleet
        .seen()
        .iter()
        .map(|s| {
            s.header("traceparent")
                .split('-')
                .nth(1)
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    assert_eq!(traces[0], trace);
    for begun in &traces[1..] {
        assert!(begun.len() == 32 && begun != trace, "{traces:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_comes_back_without_its_hop_and_with_our_protection() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let reply = gateway.user(&["*"]).get("/api/v1/brands").await.expect(201);
    assert_eq!(reply.header("etag"), Some("\"7\""));
    for (name, value) in [
        ("keep-alive", None),
        ("access-control-allow-origin", None),
        ("strict-transport-security", None),
        ("x-content-type-options", Some("nosniff")),
        ("x-frame-options", Some("DENY")),
        ("referrer-policy", Some("no-referrer")),
        ("cache-control", Some("no-store")),
    ] {
        assert_eq!((name, reply.header(name)), (name, value));
    }
    let ids: Vec<_> = reply.headers.get_all("x-request-id").iter().collect();
    assert!(ids.len() == 1 && ids[0] != "theirs", "{ids:?}");
    let vary: Vec<_> = reply.headers.get_all("vary").iter().collect();
    assert_eq!(vary, ["accept", "Origin"]);
    let secure = fleet.gateway(&[("BAHI_HSTS", "true")]).await;
    assert!(
        secure
            .stranger()
            .get("/")
            .await
            .header("strict-transport-security")
            .is_some()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_listed_origins_may_read_answers() {
    let fleet = Fleet::start().await;
    let gateway = fleet
        .gateway(&[(
            "BAHI_CORS_ORIGINS",
            "https://erp.example, https://pos.example",
        )])
        .await;
    let user = gateway.user(&["*"]);
    let preflight = async |origin: &str| {
        let request = gateway
            .stranger()
            .request(Method::OPTIONS, "/api/v1/brands");
        let request = request
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        send(request).await.expect(204)
    };
    let ask = async |origin: &str| {
        send(
            user.request(Method::GET, "/api/v1/brands")
                .header("origin", origin),
        )
        .await
    };
    let allowed = |reply: &Reply| {
        reply
            .header("access-control-allow-origin")
            .map(str::to_owned)
    };
    for origin in ["https://erp.example", "https://pos.example"] {
        let reply = preflight(origin).await;
        assert_eq!(allowed(&reply).as_deref(), Some(origin));
        assert!(
            reply
                .header("access-control-allow-methods")
                .unwrap()
                .contains("PATCH")
        );
        let headers = reply.header("access-control-allow-headers").unwrap();
        let headers: Vec<&str> = headers.split(", ").collect();
        for name in [
            "authorization",
            "idempotency-key",
            "if-match",
            "if-modified-since",
            "if-none-match",
            "if-unmodified-since",
            "prefer",
        ] {
            assert!(headers.contains(&name), "{name}");
        }
        assert_eq!(reply.header("access-control-allow-credentials"), None);
        assert_eq!(allowed(&ask(origin).await).as_deref(), Some(origin));
    }
    for origin in [
        "https://evil.example",
        "https://erp.example.evil",
        "http://erp.example",
        "null",
        "*",
    ] {
        let reply = preflight(origin).await;
        assert_eq!(allowed(&reply), None);
        assert_eq!(reply.header("access-control-allow-methods"), None);
        assert_eq!(allowed(&ask(origin).await.expect(201)), None);
    }
    // A page must be able to read a refusal too.
    let refused = gateway
        .stranger()
        .request(Method::GET, "/api/v1/brands")
        .header("origin", "https://erp.example");
    let refused = send(refused).await;
    assert_problem(&refused, 401, "UNAUTHENTICATED");
    assert_eq!(allowed(&refused).as_deref(), Some("https://erp.example"));
    assert!(fleet.seen().iter().all(|s| s.method == "GET"));
}
