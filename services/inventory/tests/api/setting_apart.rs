//! Changes of status: what is damaged breaks promises, what is set apart respects them.

use bahi_proto::reservation_id;
use bahi_testkit::Reply;
use bahi_types::{BatchId, InvoiceId, ProductId};
use serde_json::json;

use crate::support::{Shop, q};

impl Shop {
    pub async fn restate(
        &self,
        (product, batch): (ProductId, Option<BatchId>),
        qty: &str,
        (from, to): (&str, &str),
    ) -> Reply {
        let body = json!({ "location_id": self.location, "reason": "found so", "lines": [
            { "product_id": product, "batch_id": batch, "from": from, "to": to, "qty": qty }] });
        self.owner
            .post("/api/v1/inventory/status-changes", body)
            .await
    }

    pub async fn in_status(&self, product: ProductId, status: &str) -> String {
        let path = format!(
            "/api/v1/inventory/stock?product={product}&location={}&status={status}",
            self.location
        );
        let rows = self.owner.get(&path).await.expect(200);
        let sum: bahi_types::Quantity = rows.body["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| q(row["on_hand"].as_str().unwrap()))
            .sum();
        sum.to_string()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_change_their_status_with_their_cost_layer_by_layer() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "3", "10").await;
    shop.receive(tea, "2", "20").await;
    let done = shop
        .restate((tea, None), "4", ("sellable", "damaged"))
        .await
        .expect(201);
    assert_eq!(done.body["lines"][0]["cost_value"], "50.00");
    shop.assert_stock(tea, ("5", "0", "1")).await;
    assert_eq!(shop.in_status(tea, "damaged").await, "4");
    // Three of ten first, as they came in; not four at the average of 12.50.
    let done = shop
        .restate((tea, None), "3", ("damaged", "scrap"))
        .await
        .expect(201);
    assert_eq!(done.body["lines"][0]["cost_value"], "30.00");
    shop.restate((tea, None), "1", ("damaged", "sellable"))
        .await
        .expect(201);
    shop.assert_stock(tea, ("2", "0", "2")).await;
    assert_eq!(shop.value().await, "40.00");
    let changed = shop.said("stock.status_changed").await;
    assert_eq!(changed.len(), 2);
    assert_eq!(
        (
            &changed[0]["lines"][0]["from"],
            &changed[0]["lines"][0]["to"]
        ),
        (&json!("sellable"), &json!("damaged"))
    );
    let thrown = shop.said("inventory.adjusted").await;
    assert_eq!(
        (&thrown[0]["qty_delta"], &thrown[0]["value_delta"]),
        (&json!("-3"), &json!("-30.00"))
    );
    assert_eq!(shop.said("audit.recorded").await.len(), 3);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_breaks_promises_and_setting_apart_does_not() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let hold = shop
        .hold(&[(tea, "4")], 600)
        .await
        .expect(201)
        .text_at("id");
    let till = InvoiceId::new();
    shop.reserve(till, 1, &[(tea, "4")]).await.granted();
    let refused = shop
        .restate((tea, None), "3", ("sellable", "quarantine"))
        .await
        .expect(409);
    assert_eq!(refused.code(), "INSUFFICIENT_STOCK");
    assert_eq!(refused.body["lines"][0]["available"], "2");
    shop.restate((tea, None), "2", ("sellable", "quarantine"))
        .await
        .expect(201);
    // The API's hold goes before the till's, and the till's is not needed.
    let done = shop
        .restate((tea, None), "3", ("sellable", "damaged"))
        .await
        .expect(201);
    assert_eq!(done.body["broken_reservations"], json!([hold]));
    assert_eq!(shop.hold_state(reservation_id(till, 1)).await, "pending");
    shop.sales.ledger.lock().unwrap().down = true;
    let refused = shop
        .restate((tea, None), "2", ("sellable", "damaged"))
        .await;
    assert_eq!(refused.expect(503).code(), "SALES_UNREACHABLE");
    let refused = shop
        .restate((tea, None), "9", ("sellable", "damaged"))
        .await;
    assert_eq!(refused.expect(409).code(), "INSUFFICIENT_STOCK");
    // The API's keeps the one piece of four that is still there.
    shop.assert_stock(tea, ("10", "5", "0")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn back_on_the_shelf_it_serves_who_waits_and_a_blocked_batch_stays_off_it() {
    let shop = Shop::open().await;
    let soap = shop.batched().await;
    let batch = shop.receive_batch(soap, "B1", None, "5", "2").await;
    shop.restate((soap, Some(batch)), "5", ("sellable", "quarantine"))
        .await
        .expect(201);
    shop.issue(InvoiceId::new(), 1, &[(soap, "2")]).await;
    assert_eq!(shop.shortages().await[0]["open"], "2");
    let block = format!("/api/v1/inventory/batches/{batch}:block");
    shop.owner
        .post(&block, json!({ "reason": "x" }))
        .await
        .expect(200);
    let refused = shop
        .restate((soap, Some(batch)), "5", ("quarantine", "sellable"))
        .await;
    assert_eq!(refused.expect(422).code(), "BATCH_UNFIT");
    let unblock = format!("/api/v1/inventory/batches/{batch}:unblock");
    shop.owner
        .post(&unblock, json!({ "reason": "x" }))
        .await
        .expect(200);
    shop.restate((soap, Some(batch)), "5", ("quarantine", "sellable"))
        .await
        .expect(201);
    assert!(shop.shortages().await.is_empty());
    shop.assert_stock(soap, ("3", "0", "3")).await;
    for wrong in [
        ("sellable", "in_transit"),
        ("in_transit", "sellable"),
        ("scrap", "sellable"),
        ("sellable", "sellable"),
    ] {
        shop.restate((soap, Some(batch)), "1", wrong)
            .await
            .expect(400);
    }
    shop.assert_sound().await;
}
