//! What is said carries the unit of its quantities and whose books it is in; what is on hand after a correction is what
//! is on hand.

use bahi_types::{InvoiceId, RegistrationId};
use serde_json::{Value, json};

use crate::support::Shop;

const GSTIN: &str = "29AAACB0472C1Z9";

fn lines(event: &Value) -> Vec<&Value> {
    event["lines"].as_array().unwrap().iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_stock_carry_unit_branch_and_registration() {
    let shop = Shop::open().await;
    let registration = RegistrationId::new();
    let shop = shop.at_location(shop.location_under(registration, GSTIN).await);
    let branch = shop.branch().await;
    let tea = shop.product().await;
    let level = json!({ "location_id": shop.location, "product_id": tea, "min_qty": "20", "max_qty": "30",
        "lead_days": "1", "lead_sigma": "0", "service_z": "0", "moq": "0", "pack": "1",
        "demand_mean": "1", "demand_sigma": "0" });
    shop.owner
        .put("/api/v1/inventory/reorder-levels", level, 0)
        .await
        .expect(200);
    let receipt = shop.receive(tea, "30", "5").await;
    let invoice = shop.sell(&[(tea, "15")]).await;
    shop.give_back(Some(invoice), &[(1, tea, "1", "restock")])
        .await;
    shop.adjust(tea, "-1").await.expect(201);
    shop.restate((tea, None), "2", ("sellable", "damaged"))
        .await
        .expect(201);
    shop.send_back(json!([{ "product_id": tea, "qty": "1", "status": "damaged" }]))
        .await
        .expect(201);
    let id = shop.submitted(tea, "11").await;
    shop.approve(&id).await;
    shop.revalue(json!({ "product_id": tea, "unit_cost": "6" }))
        .await
        .expect(201);
    let land = json!({ "amount": "3", "basis": "value", "receipts": [{ "receipt_id": receipt.body["id"] }] });
    shop.owner
        .post("/api/v1/inventory/landed-costs", land)
        .await
        .expect(201);
    let id = shop.ship(branch.location, tea, "2").await;
    shop.transfer(&id, "receive", json!({})).await.expect(200);
    // A shortage, and what settles it.
    shop.issue(InvoiceId::new(), 1, &[(tea, "500")]).await;
    shop.receive(tea, "1", "5").await;
    let premises = |event: &Value, what: &str| {
        assert_eq!(
            (&event["gstin"], &event["registration_id"]),
            (&json!(GSTIN), &json!(registration)),
            "{what}: {event}"
        );
        assert!(event["branch_id"].is_string(), "{what}: {event}");
    };
    for what in [
        "stock.received",
        "stock.issued",
        "stock.returned",
        "stock.returned_to_supplier",
        "stock.status_changed",
        "stock.count_posted",
    ] {
        let said = shop.said(what).await;
        assert!(!said.is_empty(), "{what}");
        for event in &said {
            premises(event, what);
            for line in lines(event) {
                assert_eq!(line["uom"], "NOS", "{what}: {event}");
            }
        }
    }
    for what in ["inventory.adjusted", "inventory.low_stock"] {
        let said = shop.said(what).await;
        assert!(!said.is_empty(), "{what}");
        for event in &said {
            premises(event, what);
            assert_eq!(event["uom"], "NOS", "{what}: {event}");
        }
    }
    for event in shop.said("stock.revalued").await {
        for line in lines(&event) {
            premises(line, "stock.revalued");
            assert_eq!(line["uom"], "NOS");
        }
        for line in event["expensed"].as_array().unwrap() {
            assert_eq!(line["uom"], "NOS");
        }
    }
    let said = shop.said("inventory.transferred").await;
    assert_eq!(said.len(), 2);
    for event in &said {
        assert!(event["branch_from"].is_string() && event["branch_to"].is_string());
        assert_ne!(event["branch_from"], event["branch_to"]);
        assert_eq!(lines(event)[0]["uom"], "NOS");
    }
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_hand_after_a_gain_is_what_is_left_when_those_who_waited_are_served() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.issue(InvoiceId::new(), 1, &[(tea, "3")]).await;
    let body = json!({ "location_id": shop.location, "reason": "found", "lines": [
        { "product_id": tea, "qty_delta": "1", "unit_cost": "2" },
        { "product_id": tea, "qty_delta": "4", "unit_cost": "2" }] });
    let made = shop
        .owner
        .post("/api/v1/inventory/adjust", body)
        .await
        .expect(201);
    let said = shop.said("inventory.adjusted").await;
    assert_eq!(said.last().unwrap()["on_hand_after"], "2");
    assert_eq!(made.body["lines"][1]["on_hand_after"], "2");
    shop.assert_stock(tea, ("2", "0", "2")).await;
    shop.assert_sound().await;
}
