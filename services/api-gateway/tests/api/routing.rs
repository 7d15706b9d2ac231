//! Which request goes where, and which goes nowhere.

use reqwest::Method;
use serde_json::json;

use crate::support::{Fleet, assert_problem, send};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_reaches_the_service_of_its_route_unchanged() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(&["*"]);
    for (path, service) in [
        ("/api/v1/brands", "product"),
        ("/api/v1/brands/7?page=2&sort=name%20asc", "product"),
        ("/api/v1/inventory/stock", "inventory"),
        ("/api/v1/sales/invoices/1:void", "sales"),
        ("/api/v1/pos/sales", "sales"),
        ("/api/v1/users", "identity"),
    ] {
        let reply = user.get(path).await.expect(201);
        assert_eq!(reply.text_at("service"), service);
        assert_eq!(reply.text_at("target"), path);
        assert_eq!(reply.text_at("method"), "GET");
    }
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let request = user
            .request(method.clone(), "/api/v1/brands/7")
            .json(&json!({ "a": 1 }));
        let reply = send(request).await.expect(201);
        assert_eq!(reply.text_at("method"), method.as_str());
        assert_eq!(reply.body["length"], 7);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_prefix_wins_and_a_prefix_covers_whole_segments() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    // /auth/login is public, /auth is not; products/bulk-import has limits of its own.
    gateway
        .stranger()
        .post("/api/v1/auth/login", json!({}))
        .await
        .expect(201);
    assert_problem(
        &gateway.stranger().get("/api/v1/auth/sessions").await,
        401,
        "UNAUTHENTICATED",
    );
    assert_problem(
        &gateway
            .stranger()
            .post("/api/v1/auth/loginx", json!({}))
            .await,
        401,
        "UNAUTHENTICATED",
    );
    let user = gateway.user(&["*"]);
    let bulk = user.get("/api/v1/products/bulk-import").await.expect(201);
    let normal = user.get("/api/v1/products/1").await.expect(201);
    assert_eq!(
        (
            bulk.header("ratelimit-limit"),
            normal.header("ratelimit-limit")
        ),
        (Some("20"), Some("1000"))
    );
    // An encoded colon is one for the service, so it must be one for us: strict, and without a token.
    let verb = gateway
        .stranger()
        .post("/api/v1/auth/password-resets%3Acomplete", json!({}))
        .await
        .expect(201);
    assert_eq!(verb.header("ratelimit-limit"), Some("30"));
    assert_problem(&user.get("/api/v1/brandsx").await, 404, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_register_does_not_name_does_not_exist() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(&["*"]);
    for path in [
        "/api/v1",
        "/api/v1/nothing",
        "/api/v2/brands",
        "/internal/v1/revocations",
        "/API/V1/BRANDS",
        "/.git/config",
        "/brands",
    ] {
        assert_problem(&user.get(path).await, 404, "NOT_FOUND");
    }
    assert!(fleet.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_with_two_readings_are_refused() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let token = gateway.user(&["*"]).token.unwrap();
    for path in [
        "/api/v1/brands/../users",
        "/api/v1/brands/%2e%2e/users",
        "/api/v1/brands/%2E./users",
        "/api/v1/brands/..%2fusers",
        "/api/v1/brands%2f..%2fusers",
        "/api/v1/brands/./7",
        "/api/v1//brands",
        "//api/v1/brands",
        "/api/v1/brands\\..\\users",
        "/api/v1/brands/%5c..%5cusers",
        "/api/v1/brands/%00",
        "/api/v1/brands/%0d%0ax",
        "/api/v1/auth/%6cogin",
        "/api/v1/brands/%zz",
        "/api/v1/brands/..",
    ] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        let answer = gateway.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{path}: {answer}");
    }
    assert!(fleet.seen().is_empty(), "{:#?}", fleet.seen());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absolute_target_must_name_the_host_it_is_sent_to() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let token = gateway.user(&["*"]).token.unwrap();
    let ask = async |target: &str| {
        let rest = format!(
            "Host: bahi.example\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        gateway
            .raw(format!("GET {target} HTTP/1.1\r\n{rest}").as_bytes())
            .await
    };
    let foreign = ask("http://evil.example/api/v1/brands").await;
    assert!(
        foreign.starts_with("HTTP/1.1 400 ") && foreign.contains("MALFORMED"),
        "{foreign}"
    );
    assert!(fleet.seen().is_empty());
    let own = ask("http://bahi.example/api/v1/brands").await;
    assert!(own.starts_with("HTTP/1.1 201 "), "{own}");
    let seen = fleet.only();
    assert_eq!(seen.target, "/api/v1/brands");
    assert!(
        seen.header("host").starts_with("127.0.0.1:"),
        "{}",
        seen.header("host")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_tells_what_get_would_and_sends_no_body() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(&["product.brand.read"]);
    let got = user.get("/api/v1/brands").await.expect(201);
    let head = send(user.request(Method::HEAD, "/api/v1/brands"))
        .await
        .expect(201);
    assert_eq!(head.text, "");
    assert_eq!(head.header("content-length"), got.header("content-length"));
    assert_eq!(head.header("etag"), Some("\"7\""));
    assert!(fleet.seen().iter().all(|s| s.method == "GET"));
    // The connection is not out of step.
    assert_eq!(
        user.get("/api/v1/brands")
            .await
            .expect(201)
            .text_at("service"),
        "product"
    );
    let big = send(user.request(Method::HEAD, "/api/v1/brands?megabytes=2"))
        .await
        .expect(200);
    assert_eq!(big.text, "");
    let page = send(user.request(Method::HEAD, "/")).await.expect(200);
    assert_eq!(page.text, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_and_unknown_methods_never_reach_a_service() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(&["*"]);
    let options = send(user.request(Method::OPTIONS, "/api/v1/brands"))
        .await
        .expect(204);
    assert!(options.header("allow").unwrap().contains("PATCH"));
    for method in ["TRACE", "PROPFIND", "CONNECT"] {
        let request =
            format!("{method} /api/v1/brands HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = gateway.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 40"), "{method}: {answer}");
    }
    let odd = send(user.request(Method::from_bytes(b"PROPFIND").unwrap(), "/api/v1/brands")).await;
    assert_problem(&odd, 405, "METHOD_NOT_ALLOWED");
    assert!(odd.header("allow").unwrap().contains("DELETE"));
    let page = user.post("/health/live", json!({})).await;
    assert_problem(&page, 405, "METHOD_NOT_ALLOWED");
    assert!(fleet.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_is_needed_for_reading_and_another_for_writing() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let reader = gateway.user(&["product.brand.read"]);
    reader.get("/api/v1/brands").await.expect(201);
    send(reader.request(Method::HEAD, "/api/v1/brands"))
        .await
        .expect(201);
    let refused = reader.post("/api/v1/brands", json!({})).await;
    assert_problem(&refused, 403, "FORBIDDEN");
    assert_eq!(refused.body["permission"], "product.brand.write");
    assert_problem(&reader.get("/api/v1/units").await, 403, "FORBIDDEN");
    assert_problem(
        &reader.get("/api/v1/inventory/stock").await,
        403,
        "FORBIDDEN",
    );
    gateway
        .user(&["product.*"])
        .post("/api/v1/brands", json!({}))
        .await
        .expect(201);
    // A route without a permission takes whoever has signed in; the service asks for what the operation needs.
    gateway.user(&[]).get("/api/v1/auth/me").await.expect(201);
    let keeper = gateway.user(&["inventory.stock.adjust"]);
    for path in [
        "/api/v1/inventory/adjust",
        "/api/v1/inventory/batches/1:recall",
    ] {
        keeper.post(path, json!({})).await.expect(201);
    }
    assert_eq!(fleet.seen().len(), 6);
}
