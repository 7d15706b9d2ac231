//! Reads for whose answer nobody waits any more.

use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_read_ends_with_the_time_that_its_answer_is_waited_for_and_a_change_does_not() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let ask = async |method, path: &str, left: &str| {
        let request = shop.owner.request(method, path);
        let request = request.header("x-request-timeout-ms", left);
        let key = Uuid::new_v4().to_string();
        let request = request.header("idempotency-key", key);
        shop.owner
            .send(request.json(&json!({ "name": "Kept" })))
            .await
    };
    let graph = async |query: &str, left: &str| {
        let request = shop.owner.request(Method::POST, "/graphql");
        let request = request.header("x-request-timeout-ms", left);
        shop.owner
            .send(request.json(&json!({ "query": query })))
            .await
    };
    let products = "/api/v1/products";
    let mut locker = app.admin().await;
    let lock = locker.transaction().await.unwrap();
    lock.batch_execute("lock table product in access exclusive mode")
        .await
        .unwrap();
    // Who says nothing of his patience waits as long as a statement waits for a lock.
    shop.owner.get(products).await.expect(503);
    for left in ["0", "100"] {
        let late = ask(Method::GET, products, left).await.expect(504);
        assert_eq!(late.code(), "TIMEOUT");
        assert_eq!(late.header("retry-after"), Some("2"));
        let late = graph("{ products { totalCount } }", left).await;
        assert_eq!(late.expect(504).code(), "TIMEOUT");
    }
    ask(Method::POST, "/api/v1/brands", "0").await.expect(201);
    let made = graph(
        r#"mutation { createBrand(input: { name: "Kept too" }) { name } }"#,
        "0",
    );
    let made = made.await.expect(200).body;
    assert_eq!(made["data"]["createBrand"]["name"], "Kept too", "{made}");
    lock.rollback().await.unwrap();
    for in_time in ["30000", "soon", "-1"] {
        ask(Method::GET, products, in_time).await.expect(200);
        let found = graph("{ products { totalCount } }", in_time).await;
        assert_eq!(found.expect(200).body["data"]["products"]["totalCount"], 0);
    }
}
