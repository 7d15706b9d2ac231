//! Quotations: revised, sent, accepted once, and over after their last day.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::Shop;

fn asked(shop: &Shop, product: impl serde::Serialize, qty: &str) -> Value {
    json!({ "location_id": shop.location, "buyer": { "name": "Jain Stores", "phone": "9820098200", "state_code": "27" },
            "lines": [{ "product_id": product, "qty": qty }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quotation_is_revised_sent_and_accepted_once() {
    let shop = Shop::without_stock().await;
    let goods = shop.product("A", "100", false, "taxable", "18").await;
    let made = shop
        .owner
        .post_with_key("/api/v1/quotations", asked(&shop, goods, "2"), "q")
        .await
        .expect(201);
    assert_eq!(made.body["number"], "QTN/26-27/0001");
    assert_eq!(
        (
            &made.body["status"],
            &made.body["total"],
            &made.body["valid_until"]
        ),
        (&json!("draft"), &json!("236.00"), &json!("2026-12-05"))
    );
    let again = shop
        .owner
        .post_with_key("/api/v1/quotations", asked(&shop, goods, "2"), "q")
        .await
        .expect(201);
    assert_eq!(again.body, made.body);
    let id = made.text_at("quotation_id");
    let path = format!("/api/v1/sales/quotations/{id}");
    let early = shop.owner.post(&format!("{path}:accept"), json!({})).await;
    assert_eq!((early.status, early.code()), (409, "QUOTATION_STATE"));
    shop.owner
        .post(&format!("{path}:send"), json!({}))
        .await
        .expect(200);
    let revised = shop
        .owner
        .put(&path, asked(&shop, goods, "3"), 2)
        .await
        .expect(200);
    assert_eq!(
        (
            &revised.body["status"],
            &revised.body["total"],
            &revised.body["number"]
        ),
        (&json!("draft"), &json!("354.00"), &json!("QTN/26-27/0001"))
    );
    shop.owner
        .put(&path, asked(&shop, goods, "3"), 2)
        .await
        .expect(412);
    shop.owner
        .post(&format!("{path}:send"), json!({}))
        .await
        .expect(200);
    let accept = format!("{path}:accept");
    let accepted = join_all((0..8).map(|_| shop.owner.post(&accept, json!({})))).await;
    for reply in &accepted {
        assert_eq!(reply.status, 201, "{}", reply.text);
        assert_eq!(reply.body, accepted[0].body);
    }
    assert_eq!(accepted[0].body["number"], "ORD/26-27/0001");
    assert_eq!(accepted[0].body["quotation_id"], json!(id));
    assert_eq!(accepted[0].body["total"], "354.00");
    assert_eq!(shop.said("order.created").await.len(), 1);
    let declined = shop.owner.post(&format!("{path}:decline"), json!({})).await;
    assert_eq!((declined.status, declined.code()), (409, "QUOTATION_STATE"));
    let shown = shop
        .owner
        .get(&format!("/api/v1/quotations/{id}"))
        .await
        .expect(200);
    assert_eq!(shown.body["order_id"], accepted[0].body["order_id"]);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quotation_is_over_after_its_last_day_and_keeps_its_price_until_then() {
    let shop = Shop::without_stock().await;
    let goods = shop.product("A", "100", false, "taxable", "18").await;
    let mut body = asked(&shop, goods, "1");
    body["valid_until"] = json!("2026-11-06");
    let made = shop
        .owner
        .post("/api/v1/sales/quotations", body.clone())
        .await
        .expect(201);
    let path = format!("/api/v1/sales/quotations/{}", made.text_at("quotation_id"));
    shop.owner
        .post(&format!("{path}:send"), json!({}))
        .await
        .expect(200);
    // Half past eleven in the evening of the sixth, in India.
    shop.later(36 * 3600);
    assert_eq!(shop.owner.get(&path).await.body["status"], "sent");
    shop.later(3600);
    assert_eq!(shop.owner.get(&path).await.body["status"], "expired");
    let late = shop.owner.post(&format!("{path}:accept"), json!({})).await;
    assert_eq!(
        (late.status, &late.body["state"]),
        (409, &json!("expired")),
        "{}",
        late.text
    );
    let listed = shop
        .owner
        .get("/api/v1/quotations?status=expired")
        .await
        .expect(200);
    assert_eq!(listed.body["total"], 1);
    let over = shop.owner.put(&path, body, 2).await.expect(400);
    assert_eq!(over.body["errors"][0]["field"], "valid_until");
    let longer = shop
        .owner
        .put(&path, asked(&shop, goods, "1"), 2)
        .await
        .expect(200);
    assert_eq!(longer.body["status"], "draft");
}

#[tokio::test(flavor = "multi_thread")]
async fn quotations_and_orders_of_another_tenant_are_not_there() {
    let shop = Shop::without_stock().await;
    let goods = shop.product("A", "100", false, "taxable", "18").await;
    let q = shop
        .owner
        .post("/api/v1/sales/quotations", asked(&shop, goods, "1"))
        .await
        .expect(201)
        .text_at("quotation_id");
    let o = shop
        .owner
        .post("/api/v1/sales/orders", asked(&shop, goods, "1"))
        .await
        .expect(201)
        .text_at("order_id");
    let other = shop.next_tenant().await;
    for path in [
        format!("/api/v1/sales/quotations/{q}"),
        format!("/api/v1/quotations/{q}"),
        format!("/api/v1/sales/orders/{o}"),
        format!("/api/v1/sales/orders/{o}/fulfilments"),
    ] {
        other.owner.get(&path).await.expect(404);
        shop.cashier(&["sales.pos.use"])
            .get(&path)
            .await
            .expect(403);
    }
    for verb in ["send", "accept", "decline"] {
        let path = format!("/api/v1/sales/quotations/{q}:{verb}");
        other.owner.post(&path, json!({})).await.expect(404);
        shop.cashier(&["sales.quotation.read"])
            .post(&path, json!({}))
            .await
            .expect(403);
    }
    for verb in [
        "confirm", "cancel", "close", "fulfil", "invoice", "allocate",
    ] {
        let path = format!("/api/v1/sales/orders/{o}:{verb}");
        other.owner.post(&path, json!({})).await.expect(404);
        shop.cashier(&["sales.order.read"])
            .post(&path, json!({}))
            .await
            .expect(403);
    }
    let mut pieces = asked(&shop, goods, "1");
    pieces["lines"][0]["serials"] = json!(["A1"]);
    let refused = shop
        .owner
        .post("/api/v1/sales/orders", pieces)
        .await
        .expect(400);
    assert_eq!(refused.body["errors"][0]["field"], "lines");
}
