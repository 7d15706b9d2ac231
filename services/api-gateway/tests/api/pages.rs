//! The gateway's own pages.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::Value;

use crate::support::{Fleet, assert_problem};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documents_of_all_services_are_one() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let reply = gateway
        .stranger()
        .get("/api/openapi.json")
        .await
        .expect(200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let document = reply.body;
    assert_eq!(document["openapi"], "3.1.0");
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        [
            "/api/v1/auth/ws-ticket",
            "/api/v1/brands/{id}",
            "/api/v1/sales/invoices",
            "/api/v1/search",
            "/api/v1/users"
        ],
        "what is not routed is not told"
    );
    assert_eq!(
        document["paths"]["/api/v1/brands/{id}"]["get"]["x"]["$ref"],
        "#/components/schemas/product.Thing"
    );
    for service in ["product", "sales", "identity", "inventory"] {
        assert_eq!(
            document["components"]["schemas"][format!("{service}.Thing")]["title"],
            service
        );
    }
    assert_eq!(
        document["components"]["securitySchemes"]["bearer"]["scheme"],
        "bearer"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_away_is_missing_from_the_document_only_until_it_is_back() {
    let fleet = Fleet::start().await;
    let gateway = fleet
        .gateway(&[("BAHI_UPSTREAM_SALES", "http://127.0.0.1:1")])
        .await;
    let document = gateway
        .stranger()
        .get("/api/openapi.json")
        .await
        .expect(200)
        .body;
    assert!(document["paths"]["/api/v1/brands/{id}"].is_object());
    assert_eq!(document["paths"]["/api/v1/sales/invoices"], Value::Null);
    // Meanwhile the others are not asked by everybody who looks.
    let asked = fleet.desk.documents.load(SeqCst);
    for _ in 0..3 {
        let again = gateway.stranger().get("/api/openapi.json").await;
        assert_eq!(again.expect(200).body, document);
    }
    assert_eq!(fleet.desk.documents.load(SeqCst), asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documentation_is_served_from_here_alone() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let person = gateway.stranger();
    assert_eq!(
        person.get("/docs").await.expect(303).header("location"),
        Some("/docs/")
    );
    let page = person.get("/docs/").await.expect(200);
    assert!(
        page.header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    assert!(page.text.contains("swagger-ui"));
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .contains("script-src 'self'")
    );
    let setup = person.get("/docs/swagger-initializer.js").await.expect(200);
    assert!(setup.text.contains("/api/openapi.json"), "{}", setup.text);
    for asset in ["swagger-ui.css", "swagger-ui-bundle.js"] {
        assert!(
            person
                .get(&format!("/docs/{asset}"))
                .await
                .expect(200)
                .text
                .len()
                > 10_000
        );
    }
    assert_problem(&person.get("/docs/nothing.js").await, 404, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_front_page_names_every_service() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let page = gateway.stranger().get("/").await.expect(200);
    assert!(
        page.header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    for word in ["identity", "product", "inventory", "sales", "/docs/", "up"] {
        assert!(page.text.contains(word), "no {word} in {}", page.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_metrics_and_the_own_document_are_there() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let person = gateway.stranger();
    assert_eq!(
        person.get("/health/live").await.expect(200).body["status"],
        "ok"
    );
    let ready = person.get("/health/ready").await.expect(200);
    assert_eq!(
        (
            ready.body["status"].as_str(),
            ready.body["services"]["sales"].as_str()
        ),
        (Some("ok"), Some("up"))
    );
    person.get("/livez").await.expect(200);
    person.get("/readyz").await.expect(200);
    person.get("/openapi.json").await.expect(200);
    gateway
        .user(&["*"])
        .get("/api/v1/brands/123456")
        .await
        .expect(201);
    person.get("/api/v1/nowhere/123456").await.expect(404);
    let metrics = gateway.operator().get("/metrics").await.expect(200).text;
    assert!(
        metrics
            .contains(r#"http_requests_total{method="GET",route="/api/v1/brands",status="201"}"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"gateway_upstream_seconds_count{service="product"}"#),
        "{metrics}"
    );
    assert!(!metrics.contains("123456"), "paths are no labels");
}
