//! Holds over HTTP.

use bahi_proto::reservation_id;
use bahi_types::InvoiceId;
use serde_json::json;
use uuid::Uuid;

use crate::support::Shop;

fn path(id: &str, verb: &str) -> String {
    format!("/api/v1/inventory/reservations/{id}:{verb}")
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_part_and_releases_the_rest() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let id = shop.hold(&[(tea, "4")], 60).await.expect(201).text_at("id");
    let too_much = json!({ "lines": [{ "line": 1, "qty": "5" }] });
    assert_eq!(
        shop.owner
            .post(&path(&id, "commit"), too_much)
            .await
            .expect(422)
            .code(),
        "MORE_THAN_RESERVED"
    );
    let done = shop
        .owner
        .post(
            &path(&id, "commit"),
            json!({ "lines": [{ "line": 1, "qty": "3" }] }),
        )
        .await
        .expect(200);
    assert_eq!(done.text_at("state"), "committed");
    shop.assert_stock(tea, ("7", "0", "7")).await;
    let again = shop
        .owner
        .post(&path(&id, "commit"), json!({}))
        .await
        .expect(409);
    assert_eq!(again.code(), "RESERVATION_ENDED");
    assert_eq!(
        shop.owner
            .post(&path(&id, "release"), json!({}))
            .await
            .expect(409)
            .code(),
        "RESERVATION_ENDED"
    );
    let committed = shop.said("stock.committed").await;
    assert_eq!(committed[0]["lines"][0]["qty"], "3");
    let issued = shop.said("stock.issued").await;
    assert_eq!(
        (
            &issued[0]["source"]["type"],
            &issued[0]["lines"][0]["cost_value"]
        ),
        (&json!("reservation"), &json!("15.00"))
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn is_granted_whole_or_not_at_all_and_says_what_is_short() {
    let shop = Shop::open().await;
    let (tea, milk) = (shop.product().await, shop.batched().await);
    shop.receive(tea, "10", "5").await;
    let old = shop
        .receive_batch(milk, "B1", Some("2026-11-01"), "5", "5")
        .await;
    let refused = shop.hold(&[(tea, "1"), (milk, "2")], 60).await.expect(409);
    assert_eq!(refused.code(), "INSUFFICIENT_STOCK");
    assert_eq!(
        refused.body["lines"],
        json!([{ "product_id": milk, "asked": "2", "available": "0",
                 "excluded": [{ "batch_id": old, "qty": "5", "reason": "expired" }] }])
    );
    shop.assert_stock(tea, ("10", "0", "10")).await;
    assert!(shop.said("stock.reserved").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_hold_gives_its_stock_back() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let made = shop.hold(&[(tea, "4")], 60).await.expect(201);
    assert_eq!(made.header("etag"), Some("\"1\""));
    let id = made.text_at("id");
    assert_eq!(
        shop.owner
            .post(&path(&id, "release"), json!({}))
            .await
            .expect(200)
            .text_at("state"),
        "released"
    );
    shop.assert_stock(tea, ("10", "0", "10")).await;
    assert_eq!(shop.said("stock.reserved").await.len(), 1);
    assert_eq!(shop.said("stock.released").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sales_hold_is_not_to_be_decided_over_http() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let invoice = InvoiceId::new();
    shop.reserve(invoice, 1, &[(tea, "4")]).await.granted();
    let id = reservation_id(invoice, 1).to_string();
    for verb in ["commit", "release"] {
        assert_eq!(
            shop.owner
                .post(&path(&id, verb), json!({}))
                .await
                .expect(409)
                .code(),
            "HELD_BY_SALE"
        );
    }
    shop.assert_stock(tea, ("10", "4", "6")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_for_nobody_and_keeps_the_shelf_life_asked_for() {
    let shop = Shop::open().await;
    let milk = shop.batched().await;
    shop.receive_batch(milk, "B2", Some("2026-12-05"), "4", "11")
        .await;
    let late = shop
        .receive_batch(milk, "B3", Some("2027-01-31"), "10", "12")
        .await;
    let body = json!({ "location_id": shop.location, "min_shelf_life_days": 30, "reference": "order 7",
        "lines": [{ "product_id": milk, "qty": "3" }] });
    let made = shop
        .owner
        .post("/api/v1/inventory/reservations", body)
        .await
        .expect(201);
    assert_eq!(made.body["allocations"][0]["batch_id"], late.to_string());
    assert_eq!(made.text_at("reference"), "order 7");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orders_hold_keeps_the_rest_until_the_order_closes() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let order = Uuid::now_v7();
    let body = json!({ "location_id": shop.location, "order_id": order, "lines": [{ "product_id": tea, "qty": "6" }] });
    let made = shop
        .owner
        .post("/api/v1/inventory/reservations", body)
        .await
        .expect(201);
    let id = made.text_at("id");
    assert_eq!(
        (&made.body["owner"], &made.body["deadline"]),
        (&json!("order"), &json!(null))
    );
    let more = json!({ "location_id": shop.location, "order_id": order, "lines": [{ "product_id": tea, "qty": "1" }] });
    let twice = shop
        .owner
        .post("/api/v1/inventory/reservations", more)
        .await
        .expect(409);
    assert_eq!(twice.code(), "ORDER_HELD");
    // The clock does not end it.
    shop.later(40 * 86_400);
    inventory::jobs::lapse(shop.state()).await.unwrap();
    inventory::jobs::ask(shop.state()).await.unwrap();
    shop.assert_stock(tea, ("10", "6", "4")).await;
    let deliver = async |fulfilment: Uuid, qty: &str| {
        let body = json!({ "fulfilment_id": fulfilment, "lines": [{ "line": 1, "qty": qty }] });
        shop.owner.post(&path(&id, "commit"), body).await
    };
    let bare = shop
        .owner
        .post(&path(&id, "commit"), json!({}))
        .await
        .expect(422);
    assert_eq!(bare.code(), "FULFILMENT_REQUIRED");
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    assert_eq!(
        deliver(one, "2").await.expect(200).text_at("state"),
        "pending"
    );
    // Told twice, it counts once; two parts of one line are two deliveries.
    deliver(one, "2").await.expect(200);
    shop.assert_stock(tea, ("8", "4", "4")).await;
    assert_eq!(
        deliver(two, "5").await.expect(422).code(),
        "MORE_THAN_RESERVED"
    );
    deliver(two, "3").await.expect(200);
    shop.assert_stock(tea, ("5", "1", "4")).await;
    let issued = shop.said("stock.issued").await;
    let said: Vec<_> = issued
        .iter()
        .map(|e| {
            (
                e["source"]["type"].clone(),
                e["source"]["id"].clone(),
                e["lines"][0]["cost_value"].clone(),
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            (json!("fulfilment"), json!(one), json!("10.00")),
            (json!("fulfilment"), json!(two), json!("15.00"))
        ]
    );
    shop.assert_sound().await;
    // The order closes short: only now is the rest free.
    assert_eq!(
        shop.owner
            .post(&path(&id, "release"), json!({}))
            .await
            .expect(200)
            .text_at("state"),
        "released"
    );
    shop.assert_stock(tea, ("5", "0", "5")).await;
    assert_eq!(
        deliver(Uuid::now_v7(), "1").await.expect(409).code(),
        "RESERVATION_ENDED"
    );
    // Delivered whole, it is committed.
    let body = json!({ "location_id": shop.location, "order_id": order, "lines": [{ "product_id": tea, "qty": "5" }] });
    let id = shop
        .owner
        .post("/api/v1/inventory/reservations", body)
        .await
        .expect(201)
        .text_at("id");
    let all = json!({ "fulfilment_id": Uuid::now_v7() });
    assert_eq!(
        shop.owner
            .post(&path(&id, "commit"), all)
            .await
            .expect(200)
            .text_at("state"),
        "committed"
    );
    let body = json!({ "location_id": shop.location, "order_id": order, "ttl_seconds": 5, "lines": [{ "product_id": tea, "qty": "1" }] });
    shop.owner
        .post("/api/v1/inventory/reservations", body)
        .await
        .expect(400);
    shop.receive(tea, "1", "5").await;
    let cart = shop.hold(&[(tea, "1")], 60).await.expect(201).text_at("id");
    let delivery = json!({ "fulfilment_id": Uuid::now_v7() });
    shop.owner
        .post(&path(&cart, "commit"), delivery)
        .await
        .expect(400);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_of_one_hold_and_is_told_again_as_it_was() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    let branch = shop.branch().await;
    shop.receive(tea, "10", "5").await;
    branch.receive(tea, "10", "5").await;
    let order = Uuid::now_v7();
    let hold = async |shop: &Shop| {
        let lines = json!([{ "product_id": tea, "qty": "4" }, { "product_id": tea, "qty": "2" }]);
        let body = json!({ "location_id": shop.location, "order_id": order, "lines": lines });
        let made = shop
            .owner
            .post("/api/v1/inventory/reservations", body)
            .await;
        made.expect(201).text_at("id")
    };
    let (here, there) = (hold(&shop).await, hold(&branch).await);
    let delivery = Uuid::now_v7();
    let deliver = async |id: &str, lines: serde_json::Value| {
        let body = json!({ "fulfilment_id": delivery, "lines": lines });
        shop.owner.post(&path(id, "commit"), body).await
    };
    let two = json!([{ "line": 1, "qty": "2" }]);
    deliver(&here, two.clone()).await.expect(200);
    deliver(&here, json!([{ "line": 1, "qty": "2.0" }]))
        .await
        .expect(200);
    // What is another delivery under this id leaves nothing unsaid.
    for (id, lines) in [
        (&there, two),
        (&here, json!([{ "line": 1, "qty": "1" }])),
        (&here, json!([{ "line": 2, "qty": "2" }])),
        (&here, json!(null)),
    ] {
        let refused = deliver(id, lines).await.expect(409);
        assert_eq!(refused.code(), "FULFILMENT_REUSED");
    }
    shop.assert_stock(tea, ("8", "4", "4")).await;
    branch.assert_stock(tea, ("10", "6", "4")).await;
    assert_eq!(shop.said("stock.issued").await.len(), 1);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_i6_what_was_blocked_or_expired_since_is_not_delivered() {
    let shop = Shop::open().await;
    let milk = shop.batched().await;
    let batch = shop
        .receive_batch(milk, "B1", Some("2026-11-24"), "10", "5")
        .await;
    let hold = async |order: Option<Uuid>| {
        let lines = json!([{ "product_id": milk, "qty": "3" }]);
        let body = json!({ "location_id": shop.location, "order_id": order, "lines": lines });
        let made = shop
            .owner
            .post("/api/v1/inventory/reservations", body)
            .await;
        made.expect(201).text_at("id")
    };
    let (order, cart) = (hold(Some(Uuid::now_v7())).await, hold(None).await);
    let deliver = async |id: &str| {
        let fulfilment = (id == order).then(Uuid::now_v7);
        let lines = json!([{ "line": 1, "qty": "1" }]);
        let body = json!({ "fulfilment_id": fulfilment, "lines": lines });
        shop.owner.post(&path(id, "commit"), body).await
    };
    let set = async |verb: &str| {
        let at = format!("/api/v1/inventory/batches/{batch}:{verb}");
        let body = json!({ "reason": "smells" });
        shop.owner.post(&at, body).await.expect(200);
    };
    set("block").await;
    for id in [&order, &cart] {
        let refused = deliver(id).await.expect(422);
        assert_eq!(
            (refused.code(), &refused.body["errors"][0]["field"]),
            ("BATCH_UNFIT", &json!("lines[0].batch_id"))
        );
    }
    set("unblock").await;
    deliver(&order).await.expect(200);
    deliver(&cart).await.expect(200);
    // The last day itself is good, the next is not.
    shop.later(3 * 86_400);
    deliver(&order).await.expect(200);
    shop.later(86_400);
    assert_eq!(deliver(&order).await.code(), "BATCH_UNFIT");
    shop.owner
        .post(&path(&order, "release"), json!({}))
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_no_commit() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let id = shop.hold(&[(tea, "4")], 60).await.expect(201).text_at("id");
    let refused = shop
        .owner
        .post(&path(&id, "commit"), json!({ "lines": [] }))
        .await
        .expect(400);
    assert_eq!(refused.body["errors"][0]["field"], "lines");
    assert_eq!(shop.hold_state(id.parse().unwrap()).await, "pending");
    shop.assert_stock(tea, ("10", "4", "6")).await;
}
