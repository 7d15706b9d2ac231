//! Costs that come after the goods: what of them is stock, and what was sold before.

use bahi_testkit::Reply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::Shop;

const PATH: &str = "/api/v1/inventory/landed-costs";

impl Shop {
    async fn land(&self, amount: &str, basis: &str, receipts: Value) -> Reply {
        let body =
            json!({ "reference": "LR 77", "amount": amount, "basis": basis, "receipts": receipts });
        self.owner.post(PATH, body).await
    }
}

fn all(receipts: &[&Reply]) -> Value {
    receipts
        .iter()
        .map(|r| json!({ "receipt_id": r.body["id"] }))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_4_a_higher_bill_and_freight_are_split_between_stock_and_goods_sold() {
    let shop = Shop::open().await;
    let rice = shop.product().await;
    let first = shop.receive(rice, "60", "50").await;
    let second = shop.receive(rice, "43", "50").await;
    shop.sell(&[(rice, "40")]).await;
    assert_eq!(
        shop.said("stock.issued").await[0]["lines"][0]["cost_value"],
        "2000.00"
    );
    let before = shop
        .owner
        .get("/api/v1/inventory/ledger")
        .await
        .expect(200)
        .body["items"]
        .clone();
    // The bill: 103 at 51.00 instead of 50.00. Then freight of 2.00 a unit.
    for (amount, stock, sold) in [("103", "63.00", "40.00"), ("206", "126.00", "80.00")] {
        let made = shop
            .land(amount, "quantity", all(&[&first, &second]))
            .await
            .expect(201);
        assert_eq!(made.text_at("stock_value"), stock);
        let said = shop.said("stock.revalued").await.pop().unwrap();
        let expensed = &said["expensed"][0];
        assert_eq!(
            (&expensed["value"], &expensed["kind"]),
            (&json!(sold), &json!("cost_of_goods_sold"))
        );
        assert_eq!(expensed["qty"], "40");
        assert_eq!(said["source"]["type"], "landed_cost");
        shop.assert_sound().await;
    }
    // 63 on hand at 53.00; 40 sold at 2,000 + 40 + 80 = 40 × 53.
    assert_eq!(shop.value().await, "3339.00");
    shop.sell(&[(rice, "20")]).await;
    let cost = shop.said("stock.issued").await.pop().unwrap();
    assert_eq!(cost["lines"][0]["cost_value"], "1060.00");
    // Not one movement before was touched.
    let after = shop
        .owner
        .get("/api/v1/inventory/ledger")
        .await
        .expect(200)
        .body["items"]
        .clone();
    let (before, after) = (before.as_array().unwrap(), after.as_array().unwrap());
    assert_eq!(before[..], after[..before.len()]);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amount_is_spread_to_the_paisa_by_value_quantity_or_weight() {
    let shop = Shop::open().await;
    let (a, b, c) = (
        shop.product().await,
        shop.product().await,
        shop.product().await,
    );
    let line = |product, qty: &str, unit: &str| json!({ "product_id": product, "qty": qty, "unit_cost": unit });
    let body = json!({ "location_id": shop.location,
        "lines": [line(a, "1", "10"), line(b, "1", "20"), line(c, "1", "70")] });
    let receipt = shop
        .owner
        .post("/api/v1/inventory/receipts", body)
        .await
        .expect(201);
    let amounts = |made: &Reply| -> Vec<String> {
        let lines = made.body["lines"].as_array().unwrap().iter();
        lines
            .map(|l| l["amount"].as_str().unwrap().to_owned())
            .collect()
    };
    let made = shop
        .land("0.05", "value", all(&[&receipt]))
        .await
        .expect(201);
    assert_eq!(amounts(&made), ["0.01", "0.01", "0.03"]);
    let made = shop
        .land("100", "quantity", all(&[&receipt]))
        .await
        .expect(201);
    assert_eq!(amounts(&made), ["33.34", "33.33", "33.33"]);
    let weighed = |weights: [&str; 3]| {
        let lines: Vec<_> = (1..)
            .zip(weights)
            .map(|(n, w)| json!({ "line": n, "weight": w }))
            .collect();
        json!([{ "receipt_id": receipt.body["id"], "lines": lines }])
    };
    let made = shop
        .land("10", "weight", weighed(["0.5", "0", "1.5"]))
        .await
        .expect(201);
    assert_eq!(amounts(&made), ["2.50", "0.00", "7.50"]);
    assert_eq!(shop.value().await, "210.05");
    shop.assert_sound().await;
    let refused = shop
        .land("10", "weight", weighed(["0", "0", "0"]))
        .await
        .expect(422);
    assert_eq!(refused.code(), "NOTHING_TO_SPREAD_BY");
    let read = shop
        .owner
        .get(&format!("{PATH}/{}", made.text_at("id")))
        .await
        .expect(200);
    assert_eq!(read.body, made.body);
    let of = format!("{PATH}?receipt={}", receipt.text_at("id"));
    assert_eq!(shop.owner.get(&of).await.expect(200).body["total"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_goods_of_a_receipt_are_found_wherever_they_lie_by_now() {
    let shop = Shop::open().await;
    let branch = shop.branch().await;
    let tea = shop.product().await;
    let old = shop.receive(tea, "5", "1").await;
    let receipt = shop.receive(tea, "10", "2").await;
    shop.receive(tea, "4", "3").await;
    // Eight leave: the five old ones and three of ours, to the branch. One of ours breaks here.
    let body = json!({ "from_location_id": shop.location, "to_location_id": branch.location,
        "lines": [{ "product_id": tea, "qty": "8" }] });
    let transfer = shop
        .owner
        .post("/api/v1/inventory/transfer", body)
        .await
        .expect(201);
    let refused = shop
        .land("10", "quantity", all(&[&receipt]))
        .await
        .expect(409);
    assert_eq!(refused.code(), "IN_TRANSIT");
    let arrive = format!(
        "/api/v1/inventory/transfers/{}:receive",
        transfer.text_at("id")
    );
    shop.owner.post(&arrive, json!({})).await.expect(200);
    shop.adjust(tea, "-1").await.expect(201);
    // Six of the branch's eight are sold: the old five and one of ours.
    branch.sell(&[(tea, "6")]).await;
    let made = shop
        .land("10", "quantity", all(&[&receipt]))
        .await
        .expect(201);
    let line = &made.body["lines"][0];
    assert_eq!(
        (&line["on_hand"], &line["stock_value"], &line["sold_value"]),
        (&json!("8"), &json!("8.00"), &json!("2.00"))
    );
    let said = shop.said("stock.revalued").await.pop().unwrap();
    let mut raised: Vec<_> = said["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| {
            (
                l["location_id"] == json!(branch.location),
                l["qty"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    raised.sort();
    assert_eq!(raised, [(false, "6".to_owned()), (true, "2".to_owned())]);
    shop.assert_sound().await;
    // Of the old receipt nothing is left: all of it was sold too early.
    let made = shop.land("5", "value", all(&[&old])).await.expect(201);
    assert_eq!(made.text_at("stock_value"), "0.00");
    branch.sell(&[(tea, "2")]).await;
    let cost = shop.said("stock.issued").await.pop().unwrap();
    assert_eq!(cost["lines"][0]["cost_value"], "6.00");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_average_rises_as_a_whole_and_a_standard_not_at_all() {
    let shop = Shop::open().await;
    let (tea, salt) = (shop.product().await, shop.product().await);
    shop.method(tea, "average", None).await.expect(201);
    shop.method(salt, "standard", Some("2")).await.expect(201);
    let receipts = [
        shop.receive(tea, "4", "10").await,
        shop.receive(salt, "4", "2").await,
    ];
    shop.receive(tea, "4", "20").await;
    shop.sell(&[(tea, "2"), (salt, "1")]).await;
    let made = shop
        .land("8", "quantity", all(&[&receipts[0], &receipts[1]]))
        .await
        .expect(201);
    let of = |n: usize, name: &str| made.body["lines"][n][name].as_str().unwrap().to_owned();
    assert_eq!(
        (of(0, "stock_value"), of(0, "sold_value"), of(0, "variance")),
        ("2.00".into(), "2.00".into(), "0.00".into())
    );
    assert_eq!(
        (of(1, "stock_value"), of(1, "sold_value"), of(1, "variance")),
        ("0.00".into(), "1.00".into(), "3.00".into())
    );
    let said = shop.said("stock.revalued").await.pop().unwrap();
    let kinds: Vec<_> = said["expensed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["cost_of_goods_sold", "cost_of_goods_sold", "variance"]
    );
    // 6 at 15.00 and 2.00 more; 3 at 2.00.
    assert_eq!(shop.value().await, "98.00");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_landed_is_refused_and_the_rest_is_landed_once() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    let receipt = shop.receive(tea, "4", "10").await;
    let id = &receipt.body["id"];
    let other = shop.next_tenant().await;
    other
        .land("1", "value", json!([{ "receipt_id": id }]))
        .await
        .expect(404);
    for (amount, basis, receipts, status) in [
        ("1", "value", json!([{ "receipt_id": Uuid::now_v7() }]), 404),
        ("0", "value", json!([{ "receipt_id": id }]), 400),
        ("-1", "value", json!([{ "receipt_id": id }]), 400),
        ("1", "volume", json!([{ "receipt_id": id }]), 400),
        ("1", "value", json!([]), 400),
        (
            "1",
            "value",
            json!([{ "receipt_id": id, "lines": [] }]),
            400,
        ),
        (
            "1",
            "value",
            json!([{ "receipt_id": id, "lines": [{ "line": 2 }] }]),
            422,
        ),
        (
            "1",
            "value",
            json!([{ "receipt_id": id }, { "receipt_id": id }]),
            422,
        ),
        (
            "1",
            "value",
            json!([{ "receipt_id": id, "lines": [{ "line": 1, "weight": "1" }] }]),
            422,
        ),
        ("1", "weight", json!([{ "receipt_id": id }]), 422),
    ] {
        let reply = shop.land(amount, basis, receipts.clone()).await;
        assert_eq!(
            reply.status, status,
            "{amount} {basis} {receipts}: {}",
            reply.text
        );
    }
    let body = json!({ "amount": "4", "basis": "value", "receipts": [{ "receipt_id": id }] });
    let clerk = shop.owner.with_permissions(&["inventory.stock.write"]);
    clerk.post(PATH, body.clone()).await.expect(403);
    for _ in 0..2 {
        shop.owner
            .post_with_key(PATH, body.clone(), "bill 9")
            .await
            .expect(201);
    }
    assert_eq!(shop.value().await, "44.00");
    assert_eq!(shop.said("stock.revalued").await.len(), 1);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_names_at_most_five_hundred_lines_by_name_or_not() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    let line = json!({ "product_id": tea, "qty": "1", "unit_cost": "1" });
    let body = json!({ "location_id": shop.location, "lines": vec![line; 251] });
    let mut receipts = Vec::new();
    for _ in 0..2 {
        let made = shop
            .owner
            .post("/api/v1/inventory/receipts", body.clone())
            .await
            .expect(201);
        receipts.push(made);
    }
    let refused = shop
        .land("10", "value", all(&[&receipts[0], &receipts[1]]))
        .await
        .expect(400);
    assert_eq!(refused.body["errors"][0]["field"], "receipts");
    let landed = shop
        .land("10", "value", all(&[&receipts[0]]))
        .await
        .expect(201);
    assert_eq!(landed.text_at("stock_value"), "10.00");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_that_were_moved_too_often_to_follow_are_not_guessed_at() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    let receipt = shop.receive(tea, "5000", "1").await;
    let pieces = |n: usize| {
        let line = json!({ "product_id": tea, "from": "sellable", "to": "quarantine", "qty": "1" });
        json!({ "location_id": shop.location, "reason": "one by one", "lines": vec![line; n] })
    };
    let path = "/api/v1/inventory/status-changes";
    for _ in 0..2 {
        shop.owner.post(path, pieces(500)).await.expect(201);
    }
    // A thousand moves are followed: all the goods are there.
    let landed = shop.land("50", "value", all(&[&receipt])).await.expect(201);
    assert_eq!(landed.text_at("stock_value"), "50.00");
    shop.owner.post(path, pieces(1)).await.expect(201);
    let refused = shop.land("50", "value", all(&[&receipt])).await.expect(422);
    assert_eq!(
        (refused.code(), &refused.body["errors"][0]["field"]),
        ("TOO_MANY_MOVES", &json!("receipts"))
    );
    assert_eq!(shop.value().await, "5050.00");
    shop.assert_sound().await;
}
