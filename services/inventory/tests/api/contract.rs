//! What others rely on: the catalogue of tables, the OpenAPI document, refusals, permissions.

use bahi_testkit::{assert_operations, assert_permissions_written_down, assert_tenant_tables};
use bahi_types::{BatchId, ReservationId};
use serde_json::json;

use crate::support::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn every_table_belongs_to_tenants() {
    let shop = Shop::open().await;
    assert_tenant_tables(&shop.app, &[]).await;
}

#[test]
fn the_openapi_document_is_a_contract() {
    insta::assert_json_snapshot!("openapi", inventory::app().openapi());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_named_and_never_a_500() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    let place = shop.location;
    let receipt = |line: serde_json::Value| json!({ "location_id": place, "lines": [line] });
    let good = || json!({ "product_id": tea, "qty": "1", "unit_cost": "1" });
    let with = |name: &str, value: serde_json::Value| {
        let mut line = good();
        line[name] = value;
        receipt(line)
    };
    let many: Vec<_> = (0..501).map(|_| good()).collect();
    for (body, status) in [
        (json!({}), 400),
        (json!({ "location_id": place, "lines": [] }), 400),
        (json!({ "location_id": place, "lines": many }), 400),
        (json!({ "location_id": "x", "lines": [good()] }), 400),
        (with("qty", json!(1)), 400),
        (with("qty", json!("0")), 400),
        (with("qty", json!("-1")), 400),
        (with("qty", json!("1.0001")), 400),
        (with("qty", json!("1e3")), 400),
        (with("qty", json!("NaN")), 400),
        (with("qty", json!("99999999999999999999")), 400),
        (with("unit_cost", json!("-1")), 400),
        (with("unit_cost", json!("1.00001")), 400),
        (with("unit_cost", json!(null)), 400),
        (with("expiry", json!("2026-02-30")), 400),
        (with("expiry", json!("+262143-12-31")), 422),
        (with("batch_no", json!("")), 400),
        (with("batch_no", json!(" x")), 400),
        (with("batch_no", json!("a\u{0}b")), 400),
        (with("batch_no", json!("x".repeat(51))), 400),
        (with("surprise", json!(1)), 400),
    ] {
        let reply = shop
            .owner
            .post("/api/v1/inventory/receipts", body.clone())
            .await;
        let text = body.to_string();
        let expected = if status == 422 {
            [400, 422, 201].contains(&reply.status)
        } else {
            reply.status == status
        };
        assert!(
            expected,
            "{}: {} {}",
            &text[..text.len().min(200)],
            reply.status,
            reply.text
        );
    }
    let huge =
        json!({ "product_id": tea, "qty": "999999999999999", "unit_cost": "999999999999999" });
    assert_eq!(
        shop.owner
            .post("/api/v1/inventory/receipts", receipt(huge))
            .await
            .status,
        400
    );
    let adjust =
        |line: serde_json::Value| json!({ "location_id": place, "reason": "x", "lines": [line] });
    for body in [
        json!({ "location_id": place, "lines": [{ "product_id": tea, "qty_delta": "1" }] }),
        adjust(json!({ "product_id": tea, "qty_delta": "0" })),
        adjust(json!({ "product_id": tea, "qty_delta": "-1", "status": "scrap" })),
        adjust(json!({ "product_id": tea, "qty_delta": "-1", "status": "lost" })),
        adjust(json!({ "product_id": tea, "qty_delta": "-1", "batch_id": BatchId::new() })),
        json!({ "location_id": place, "reason": " ", "lines": [{ "product_id": tea, "qty_delta": "1" }] }),
    ] {
        let reply = shop
            .owner
            .post("/api/v1/inventory/adjust", body.clone())
            .await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text);
    }
    let hold = |ttl: i64, qty: &str| json!({ "location_id": place, "ttl_seconds": ttl, "lines": [{ "product_id": tea, "qty": qty }] });
    for body in [
        hold(0, "1"),
        hold(86_401, "1"),
        hold(-1, "1"),
        hold(1, "0"),
        json!({ "location_id": place, "lines": [] }),
    ] {
        assert_eq!(
            shop.owner
                .post("/api/v1/inventory/reservations", body.clone())
                .await
                .status,
            400,
            "{body}"
        );
    }
    let id = ReservationId::new();
    for (path, status) in [
        (format!("/api/v1/inventory/reservations/{id}:commit"), 404),
        (format!("/api/v1/inventory/reservations/{id}:release"), 404),
        (format!("/api/v1/inventory/reservations/{id}:burn"), 404),
        ("/api/v1/inventory/reservations/x:commit".to_owned(), 400),
        ("/api/v1/inventory/batches/x:block".to_owned(), 400),
    ] {
        let body = if path.contains("batches") {
            json!({ "reason": "x" })
        } else {
            json!({})
        };
        let reply = shop.owner.post(&path, body).await;
        assert!(
            reply.status == status || reply.status == 405,
            "{path}: {} {}",
            reply.status,
            reply.text
        );
    }
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_opens_to_those_who_hold_what_it_asks_for() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "5", "5").await;
    assert_operations(&shop.app, inventory::app, &shop.owner).await;
}

#[test]
fn who_may_do_what_is_as_written_down() {
    assert_permissions_written_down(&inventory::app());
}
