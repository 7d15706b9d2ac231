//! Adjustments: facts that take goods away break promises where there is no other way.

use bahi_proto::reservation_id;
use bahi_types::InvoiceId;
use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Shop, q};

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_takes_at_most_what_is_on_hand() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "3", "5").await;
    let done = shop.adjust(tea, "-5").await.expect(201);
    let line = &done.body["lines"][0];
    assert_eq!(
        (&line["qty_asked"], &line["qty_delta"], &line["value_delta"]),
        (&json!("-5"), &json!("-3"), &json!("-15.00"))
    );
    assert_eq!(
        shop.adjust(tea, "-1").await.expect(422).code(),
        "NOTHING_ON_HAND"
    );
    let said = shop.said("inventory.adjusted").await;
    assert_eq!(said.len(), 1);
    assert_eq!(
        (
            &said[0]["qty_delta"],
            &said[0]["on_hand_after"],
            &said[0]["reason"]
        ),
        (&json!("-3"), &json!("0"), &json!("count"))
    );
    assert_eq!(
        shop.said("audit.recorded").await[0]["action"],
        "inventory.stock.adjust"
    );
    let key = format!("{}|{}|{tea}", shop.tenant(), shop.location);
    let keyed: i64 = shop
        .app
        .admin()
        .await
        .query_one("select count(*) from outbox.event where event_type = 'inventory.adjusted' and key = $1", &[&key])
        .await
        .unwrap()
        .get(0);
    assert_eq!(keyed, 1);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gain_needs_a_cost_that_is_stated_or_known() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    assert_eq!(
        shop.adjust(tea, "2").await.expect(422).code(),
        "UNIT_COST_REQUIRED"
    );
    let body = json!({ "location_id": shop.location, "reason": "opening",
        "lines": [{ "product_id": tea, "qty_delta": "2", "unit_cost": "7.25" }] });
    shop.owner
        .post("/api/v1/inventory/adjust", body)
        .await
        .expect(201);
    shop.adjust(tea, "1").await.expect(201);
    assert_eq!(shop.value().await, "21.75");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn breaks_the_newest_hold_of_the_api_first() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let old = shop
        .hold(&[(tea, "4")], 600)
        .await
        .expect(201)
        .text_at("id");
    shop.later(1);
    let young = shop
        .hold(&[(tea, "4")], 600)
        .await
        .expect(201)
        .text_at("id");
    let done = shop.adjust(tea, "-5").await.expect(201);
    assert_eq!(done.body["broken_reservations"], json!([young]));
    // Two were free: the younger one loses three of its four and keeps the last.
    shop.assert_stock(tea, ("5", "5", "0")).await;
    for id in [&old, &young] {
        assert_eq!(shop.hold_state(id.parse().unwrap()).await, "pending");
    }
    let broken = shop.said("stock.reservation_broken").await;
    assert_eq!(
        (&broken[0]["reservation_id"], &broken[0]["lines"][0]["qty"]),
        (&json!(young), &json!("3"))
    );
    // One of the API that is left with nothing ends.
    shop.adjust(tea, "-2").await.expect(201);
    assert_eq!(shop.hold_state(young.parse().unwrap()).await, "released");
    assert_eq!(shop.said("stock.released").await, [] as [Value; 0]);
    shop.assert_stock(tea, ("3", "3", "0")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tills_come_last_and_only_after_sales_has_said_void() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let (till, later_till) = (InvoiceId::new(), InvoiceId::new());
    shop.reserve(till, 1, &[(tea, "4")]).await.granted();
    shop.later(1);
    shop.reserve(later_till, 1, &[(tea, "3")]).await.granted();
    let api = shop
        .hold(&[(tea, "2")], 600)
        .await
        .expect(201)
        .text_at("id");
    // One is free; the newer till's three come free when sales says void, and the API's hold loses the one that is still
    // missing.
    let done = shop.adjust(tea, "-5").await.expect(201);
    assert_eq!(done.body["broken_reservations"], json!([api]));
    assert_eq!(
        shop.sales.ledger.lock().unwrap().asked,
        [reservation_id(later_till, 1).to_string()]
    );
    assert_eq!(
        shop.hold_state(reservation_id(later_till, 1)).await,
        "released"
    );
    shop.assert_stock(tea, ("5", "5", "0")).await;
    assert_eq!(
        shop.said("stock.reservation_broken").await[0]["lines"][0]["qty"],
        "1"
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_sales_gives_no_answer_nothing_is_taken() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    shop.reserve(InvoiceId::new(), 1, &[(tea, "8")])
        .await
        .granted();
    shop.sales.ledger.lock().unwrap().down = true;
    let refused = shop.adjust(tea, "-5").await.expect(503);
    assert_eq!(refused.code(), "SALES_UNREACHABLE");
    assert!(refused.header("retry-after").is_some());
    shop.assert_stock(tea, ("10", "8", "2")).await;
    // What no hold is in the way of needs no answer.
    shop.adjust(tea, "-2").await.expect(201);
    shop.assert_stock(tea, ("8", "8", "0")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issued_sales_hold_is_lowered_and_its_event_leaves_the_rest_owed() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let invoice = InvoiceId::new();
    shop.reserve(invoice, 1, &[(tea, "8")]).await.granted();
    shop.sales_issued_as(invoice, 1, &[(tea, "8")]);
    shop.adjust(tea, "-5").await.expect(201);
    shop.assert_stock(tea, ("5", "5", "0")).await;
    shop.assert_sound().await;
    shop.issue(invoice, 1, &[(tea, "8")]).await;
    shop.assert_stock(tea, ("0", "0", "0")).await;
    assert_eq!(shop.shortages().await[0]["open"], "3");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_one_adjustment_also_when_sales_was_asked() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    shop.reserve(InvoiceId::new(), 1, &[(tea, "8")])
        .await
        .granted();
    let body = json!({ "location_id": shop.location, "reason": "loss", "lines": [{ "product_id": tea, "qty_delta": "-5" }] });
    let first = shop
        .owner
        .post_with_key("/api/v1/inventory/adjust", body.clone(), "k")
        .await
        .expect(201);
    let again = shop
        .owner
        .post_with_key("/api/v1/inventory/adjust", body, "k")
        .await
        .expect(201);
    assert_eq!(first.body, again.body);
    assert_eq!(again.header("idempotency-hit"), Some("true"));
    shop.assert_stock(tea, ("5", "0", "5")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_in_quarantine_can_be_put_right_too() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let invoice = shop.sell(&[(tea, "2")]).await;
    shop.give_back(Some(invoice), &[(1, tea, "2", "quarantine")])
        .await;
    let body = json!({ "location_id": shop.location, "reason": "destroyed",
        "lines": [{ "product_id": tea, "qty_delta": "-2", "status": "quarantine" }] });
    shop.owner
        .post("/api/v1/inventory/adjust", body)
        .await
        .expect(201);
    let (on_hand, _, available) = shop.stock(tea).await;
    assert_eq!((on_hand, available), (q("8"), q("8")));
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn losses_and_sales_at_once_never_break_the_rule_of_the_balance() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "40", "5").await;
    let sell = async || {
        let (invoice, one) = (InvoiceId::new(), [(tea, "1")]);
        if shop.reserve(invoice, 1, &one).await.is_granted() {
            shop.sales_issued_as(invoice, 1, &one);
            shop.issue(invoice, 1, &one).await;
        }
    };
    let lose = async || {
        let reply = shop.adjust(tea, "-2").await;
        assert!([201, 422, 503].contains(&reply.status), "{}", reply.text);
    };
    let (sales, losses) = ((0..30).map(|_| sell()), (0..10).map(|_| lose()));
    futures::future::join(join_all(sales), join_all(losses)).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_takes_from_an_order_what_is_gone_and_no_more() {
    let shop = Shop::open().await;
    let (tea, milk) = (shop.product().await, shop.batched().await);
    shop.receive(tea, "6", "5").await;
    let batch = shop
        .receive_batch(milk, "B1", Some("2026-11-25"), "9", "5")
        .await;
    let body = json!({ "location_id": shop.location, "order_id": Uuid::now_v7(),
        "lines": [{ "product_id": tea, "qty": "6" }, { "product_id": milk, "qty": "8" }] });
    let made = shop
        .owner
        .post("/api/v1/inventory/reservations", body)
        .await
        .expect(201);
    let id = made.text_at("id");
    let path = format!("/api/v1/inventory/reservations/{id}");
    let held = async || {
        let hold = shop.owner.get(&path).await.expect(200).body;
        assert_eq!(hold["state"], "pending");
        let all = hold["allocations"].as_array().unwrap();
        let qtys = all.iter().map(|a| a["qty"].as_str().unwrap().to_owned());
        (qtys.collect::<Vec<_>>(), hold["version"].clone())
    };
    let done = shop.adjust(tea, "-1").await.expect(201);
    assert_eq!(done.body["broken_reservations"], json!([id]));
    assert_eq!(done.body["lines"][0]["value_delta"], "-5.00");
    assert_eq!(held().await, (vec!["5".into(), "8".into()], json!(2)));
    shop.assert_stock(tea, ("5", "5", "0")).await;
    shop.assert_stock(milk, ("9", "8", "1")).await;
    // Damage is a fact too, also of goods that expired meanwhile; a second breach is another.
    shop.later(10 * 86_400);
    for left in ["6", "4"] {
        let body = json!({ "location_id": shop.location, "reason": "broken", "lines": [
            { "product_id": milk, "batch_id": batch, "from": "sellable", "to": "damaged", "qty": if left == "6" { "3" } else { "2" } }] });
        let done = shop
            .owner
            .post("/api/v1/inventory/status-changes", body)
            .await
            .expect(201);
        assert_eq!(done.body["broken_reservations"], json!([id]));
        assert_eq!(held().await.0, ["5", left]);
    }
    shop.assert_stock(tea, ("5", "5", "0")).await;
    let broken = shop.said("stock.reservation_broken").await;
    let lost: Vec<_> = broken
        .iter()
        .map(|b| (&b["lines"][0]["product_id"], &b["lines"][0]["qty"]))
        .collect();
    assert_eq!(
        lost,
        [
            (&json!(tea), &json!("1")),
            (&json!(milk), &json!("2")),
            (&json!(milk), &json!("2"))
        ]
    );
    assert!(shop.said("stock.released").await.is_empty());
    shop.assert_sound().await;
    // What is left of tea is delivered.
    let body = json!({ "fulfilment_id": Uuid::now_v7(), "lines": [{ "line": 1, "qty": "5" }] });
    shop.owner
        .post(&format!("{path}:commit"), body)
        .await
        .expect(200);
    shop.assert_stock(tea, ("0", "0", "0")).await;
    // An order keeps its hold even when nothing is left in it.
    let body = json!({ "location_id": shop.location, "reason": "gone", "lines": [
        { "product_id": milk, "batch_id": batch, "qty_delta": "-4" }] });
    shop.owner
        .post("/api/v1/inventory/adjust", body)
        .await
        .expect(201);
    assert_eq!(held().await.0, ["0", "0"]);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn losses_and_recalls_of_one_held_batch_lock_in_one_order() {
    let shop = Shop::open().await;
    let milk = shop.batched().await;
    let batch = shop.receive_batch(milk, "B1", None, "100", "1").await;
    let invoice = InvoiceId::new();
    let all = [(milk, "100")];
    shop.reserve(invoice, 1, &all).await.granted();
    // Sold, so that the hold stays through all of it.
    shop.sales_issued_as(invoice, 1, &all);
    shop.later(31);
    inventory::jobs::ask(shop.state()).await.unwrap();
    let path = format!("/api/v1/inventory/batches/{batch}:recall");
    let step = async |n: usize| {
        let (shop, path) = (&shop, &path);
        let line = |with: Value| {
            let mut line = json!({ "product_id": milk, "batch_id": batch });
            line.as_object_mut()
                .unwrap()
                .extend(with.as_object().unwrap().clone());
            json!({ "location_id": shop.location, "reason": "loss", "lines": [line] })
        };
        match n % 3 {
            0 => {
                let body = line(json!({ "qty_delta": "-1" }));
                let reply = shop.owner.post("/api/v1/inventory/adjust", body).await;
                reply.expect(201);
            }
            1 => {
                let body = line(json!({ "from": "sellable", "to": "damaged", "qty": "1" }));
                let path = "/api/v1/inventory/status-changes";
                shop.owner.post(path, body).await.expect(201);
            }
            _ => {
                let body = json!({ "reason": "sour" });
                shop.owner.post(path, body).await.expect(200);
            }
        }
    };
    for round in 0..10 {
        join_all((0..9).map(|n| step(9 * round + n))).await;
    }
    shop.assert_stock(milk, ("70", "40", "0")).await;
    let deadlocks: i64 = shop
        .app
        .admin()
        .await
        .query_one(
            "select deadlocks from pg_stat_database where datname = current_database()",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(deadlocks, 0);
    shop.assert_sound().await;
}
