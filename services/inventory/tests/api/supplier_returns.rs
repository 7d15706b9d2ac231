//! Goods go back to their supplier: out of what nobody was promised, at what they cost.

use bahi_db::{Batch, Ctx};
use bahi_events::Tracking;
use bahi_testkit::Reply;
use bahi_types::{BatchId, ProductId};
use futures::future::join_all;
use inventory::{
    ledger::Status,
    supplier_return::{self, NewLine, NewReturn, SupplierReturn},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Shop, q};

const PATH: &str = "/api/v1/inventory/supplier-returns";

impl Shop {
    pub async fn send_back(&self, lines: Value) -> Reply {
        let body = json!({ "location_id": self.location, "reference": "DN 7", "reason": "broken seal", "lines": lines });
        self.owner.post(PATH, body).await
    }

    async fn send_within(&self, new: &NewReturn) -> SupplierReturn {
        let mut batch = Batch::begin(&self.app.db, None).await.unwrap();
        let tx = batch
            .enter(Ctx::service("inventory", self.tenant()))
            .await
            .unwrap();
        let posted = supplier_return::send(tx, new).await.unwrap();
        batch.commit().await.unwrap();
        posted
    }
}

fn of(product: ProductId, qty: &str, receipt: &Reply) -> Value {
    json!({ "product_id": product, "qty": qty, "receipt_id": receipt.body["id"], "receipt_line": 1 })
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_go_back_at_what_their_receipt_cost_and_the_others_keep_theirs() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    let first = shop.receive(tea, "10", "1").await;
    let second = shop.receive(tea, "10", "2").await;
    shop.receive(tea, "10", "4").await;
    // First in, first out they would have cost 4.00.
    let made = shop
        .send_back(json!([of(tea, "4", &second)]))
        .await
        .expect(201);
    assert_eq!(made.text_at("cost_value"), "8.00");
    assert_eq!(shop.value().await, "62.00");
    shop.assert_stock(tea, ("26", "0", "26")).await;
    let said = shop.said("stock.returned_to_supplier").await.pop().unwrap();
    assert_eq!(said["source"]["id"], made.body["id"]);
    assert_eq!(
        (
            &said["lines"][0]["cost_value"],
            &said["lines"][0]["receipt_id"]
        ),
        (&json!("8.00"), &second.body["id"])
    );
    let ledger = shop.owner.get("/api/v1/inventory/ledger").await.expect(200);
    let last = ledger.body["items"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["kind"], &last["value"], &last["reason"]),
        (&json!("return_out"), &json!("-8.00"), &json!("broken seal"))
    );
    shop.assert_sound().await;
    // Six are left of it, and not one more goes back.
    let refused = shop
        .send_back(json!([of(tea, "7", &second)]))
        .await
        .expect(422);
    assert_eq!(refused.code(), "RECEIPT_GONE");
    assert_eq!(
        (
            &refused.body["errors"][0]["field"],
            &refused.body["errors"][0]["rule"]
        ),
        (&json!("lines[0].qty"), &json!("RECEIPT_GONE"))
    );
    // A cost that comes late finds the goods that are left of each, and no others.
    let land = json!({ "amount": "20", "basis": "quantity",
        "receipts": [{ "receipt_id": first.body["id"] }, { "receipt_id": second.body["id"] }] });
    let landed = shop
        .owner
        .post("/api/v1/inventory/landed-costs", land)
        .await
        .expect(201);
    let on_hand: Vec<_> = (0..2)
        .map(|n| landed.body["lines"][n]["on_hand"].clone())
        .collect();
    assert_eq!(on_hand, [json!("10"), json!("6")]);
    shop.assert_sound().await;
    // In one document: of two receipts, and one that leaves in its order.
    let made = shop
        .send_back(json!([
            { "product_id": tea, "qty": "1" },
            of(tea, "6", &second),
            of(tea, "3", &first),
        ]))
        .await
        .expect(201);
    let costs: Vec<_> = (0..3)
        .map(|n| made.body["lines"][n]["cost_value"].clone())
        .collect();
    assert_eq!(costs, [json!("2.00"), json!("18.00"), json!("6.00")]);
    shop.assert_sound().await;
    shop.sell(&[(tea, "6")]).await;
    let cost = shop.said("stock.issued").await.pop().unwrap();
    assert_eq!(cost["lines"][0]["cost_value"], "12.00");
    assert_eq!(shop.value().await, "40.00");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_of_a_receipt_go_back_from_where_they_lie_by_now() {
    let shop = Shop::open().await;
    let branch = shop.branch().await;
    let tea = shop.product().await;
    shop.receive(tea, "5", "1").await;
    let receipt = shop.receive(tea, "10", "2").await;
    branch.receive(tea, "3", "9").await;
    // The five old ones and four of ours; two of them are found broken there.
    let id = shop.ship(branch.location, tea, "9").await;
    shop.transfer(&id, "receive", json!({})).await.expect(200);
    branch.receive(tea, "2", "7").await;
    branch.sell(&[(tea, "8")]).await;
    branch
        .restate((tea, None), "2", ("sellable", "damaged"))
        .await
        .expect(201);
    let mut broken = of(tea, "2", &receipt);
    broken["status"] = json!("damaged");
    let made = branch
        .send_back(json!([of(tea, "2", &receipt), broken]))
        .await
        .expect(201);
    assert_eq!(made.text_at("cost_value"), "8.00");
    // All of the four are gone; the six at the first place are not at this one.
    let refused = branch.send_back(json!([of(tea, "1", &receipt)])).await;
    assert_eq!(refused.expect(422).code(), "RECEIPT_GONE");
    let made = shop.send_back(json!([of(tea, "6", &receipt)])).await;
    assert_eq!(made.expect(201).text_at("cost_value"), "12.00");
    assert_eq!(shop.value().await, "14.00");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_cost_what_they_say_whatever_receipt_is_named() {
    let shop = Shop::open().await;
    let (tea, salt) = (shop.product().await, shop.product().await);
    shop.method(tea, "average", None).await.expect(201);
    shop.method(salt, "standard", Some("2.5")).await.expect(201);
    shop.receive(tea, "10", "1").await;
    let dear = shop.receive(tea, "10", "3").await;
    shop.receive(salt, "10", "1").await;
    let other = shop.receive(salt, "10", "3").await;
    let made = shop
        .send_back(json!([of(tea, "5", &dear), of(salt, "4", &other)]))
        .await
        .expect(201);
    let costs: Vec<_> = (0..2)
        .map(|n| made.body["lines"][n]["cost_value"].clone())
        .collect();
    assert_eq!(costs, [json!("10.00"), json!("10.00")]);
    assert_eq!(shop.value().await, "70.00");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_sold_goes_back_and_what_was_promised_does_not() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "5", "1").await;
    let hold = shop.hold(&[(tea, "3")], 600).await.expect(201);
    let back =
        |qty: &str, status: &str| json!([{ "product_id": tea, "qty": qty, "status": status }]);
    let refused = shop.send_back(back("3", "sellable")).await.expect(409);
    assert_eq!(refused.code(), "INSUFFICIENT_STOCK");
    assert_eq!(refused.body["lines"][0]["available"], "2");
    // Not by two lines either.
    let two = json!([{ "product_id": tea, "qty": "1" }, { "product_id": tea, "qty": "2" }]);
    shop.send_back(two).await.expect(409);
    shop.send_back(back("1", "sellable")).await.expect(201);
    let id = hold.text_at("id").parse().unwrap();
    assert_eq!(shop.hold_state(id).await, "pending");
    shop.assert_stock(tea, ("4", "3", "1")).await;
    shop.restate((tea, None), "1", ("sellable", "quarantine"))
        .await
        .expect(201);
    shop.send_back(back("2", "quarantine")).await.expect(409);
    shop.send_back(back("1", "quarantine")).await.expect(201);
    shop.send_back(back("1", "in_transit")).await.expect(400);
    // Of a batch that is expired, and of one that is blocked.
    let soap = shop
        .tracked(Tracking {
            batch: true,
            serial: false,
            expiry: true,
        })
        .await;
    let old = shop
        .receive_batch(soap, "X", Some("2026-11-01"), "4", "3")
        .await;
    let blocked = shop
        .receive_batch(soap, "B", Some("2027-11-01"), "6", "2")
        .await;
    let block = format!("/api/v1/inventory/batches/{blocked}:block");
    shop.owner
        .post(&block, json!({ "reason": "recall" }))
        .await
        .expect(200);
    let of =
        |batch: BatchId, qty: &str| json!({ "product_id": soap, "batch_id": batch, "qty": qty });
    let made = shop
        .send_back(json!([of(old, "4"), of(blocked, "1")]))
        .await
        .expect(201);
    assert_eq!(made.text_at("cost_value"), "14.00");
    let without = shop
        .send_back(json!([{ "product_id": soap, "qty": "1" }]))
        .await;
    assert_eq!(without.expect(409).code(), "INSUFFICIENT_STOCK");
    shop.assert_stock(soap, ("5", "0", "0")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_is_refused_by_field_and_rule() {
    let shop = Shop::open().await;
    let (tea, salt) = (shop.product().await, shop.product().await);
    let receipt = shop.receive(tea, "5", "1").await;
    let other = shop.next_tenant().await;
    let foreign = {
        let theirs = other.product().await;
        other.receive(theirs, "5", "1").await
    };
    let closed = shop.close_location().await;
    let id = receipt.text_at("id");
    let line = |rest: Value| {
        let mut line = json!({ "product_id": tea, "qty": "1" });
        line.as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        json!([line])
    };
    for (lines, status, field) in [
        (json!([]), 400, "lines"),
        (line(json!({ "qty": "0" })), 400, "lines[0].qty"),
        (
            line(json!({ "batch_id": BatchId::new() })),
            400,
            "lines[0].batch_id",
        ),
        (
            line(json!({ "receipt_id": id })),
            400,
            "lines[0].receipt_line",
        ),
        (
            line(json!({ "receipt_id": id, "receipt_line": 2 })),
            400,
            "lines[0].receipt_line",
        ),
        (
            line(json!({ "receipt_id": foreign.body["id"], "receipt_line": 1 })),
            400,
            "lines[0].receipt_id",
        ),
        (
            line(json!({ "product_id": salt, "receipt_id": id, "receipt_line": 1 })),
            400,
            "lines[0].receipt_line",
        ),
        (
            json!([of(tea, "1", &receipt), of(tea, "1", &receipt)]),
            400,
            "lines[1].receipt_line",
        ),
    ] {
        let reply = shop.send_back(lines.clone()).await.expect(status);
        assert_eq!(reply.body["errors"][0]["field"], field, "{lines}");
    }
    let elsewhere = shop.at_location(closed).send_back(line(json!({}))).await;
    let elsewhere = elsewhere.expect(422);
    assert_eq!(
        (elsewhere.code(), &elsewhere.body["errors"][0]["field"]),
        ("LOCATION_CLOSED", &json!("location_id"))
    );
    let unknown = shop
        .send_back(line(json!({ "product_id": ProductId::new() })))
        .await;
    assert_eq!(unknown.expect(409).code(), "NOT_YET_KNOWN");
    let month = "/api/v1/inventory/periods/2026-10";
    let version = shop.owner.get(month).await.expect(200).body["version"].as_i64();
    let close = json!({ "status": "closed" });
    shop.owner
        .put(month, close, version.unwrap())
        .await
        .expect(200);
    let dated = json!({ "location_id": shop.location, "reason": "x", "posting_date": "2026-10-31",
        "lines": [{ "product_id": tea, "qty": "1" }] });
    let refused = shop.owner.post(PATH, dated.clone()).await.expect(422);
    assert_eq!(
        (refused.code(), &refused.body["errors"][0]["field"]),
        ("PERIOD_CLOSED", &json!("posting_date"))
    );
    let clerk = shop
        .owner
        .with_permissions(&["inventory.stock.write", "inventory.stock.adjust"]);
    let refused = clerk.post(PATH, dated.clone()).await.expect(403);
    assert_eq!(
        refused.body["permission"],
        "inventory.supplier_return.write"
    );
    shop.assert_stock(tea, ("5", "0", "5")).await;
    let today = json!({ "location_id": shop.location, "reason": "x",
        "lines": [{ "product_id": tea, "qty": "1" }] });
    let first = shop
        .owner
        .post_with_key(PATH, today.clone(), "note 9")
        .await
        .expect(201);
    let again = shop.owner.post_with_key(PATH, today, "note 9").await;
    assert_eq!(again.expect(201).body, first.body);
    shop.assert_stock(tea, ("4", "0", "4")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_that_another_document_tells_of_moves_goods_once() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    let receipt = shop.receive(tea, "5", "3").await;
    let new = NewReturn {
        id: Uuid::now_v7(),
        location: shop.location,
        supplier: Some(Uuid::now_v7()),
        reference: None,
        reason: "told".into(),
        posting_date: None,
        lines: vec![NewLine {
            product: tea,
            batch: None,
            status: Status::Sellable,
            qty: q("2"),
            receipt: Some((receipt.text_at("id").parse().unwrap(), 1)),
            serials: Vec::new(),
        }],
    };
    let first = shop.send_within(&new).await;
    let again = shop.send_within(&new).await;
    assert_eq!(json!(first), json!(again));
    shop.assert_stock(tea, ("3", "0", "3")).await;
    assert_eq!(shop.said("stock.returned_to_supplier").await.len(), 1);
    let read = shop
        .owner
        .get(&format!("{PATH}/{}", new.id))
        .await
        .expect(200);
    assert_eq!(read.body["supplier_id"], json!(new.supplier));
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn returns_sales_and_receipts_at_once_take_no_more_than_there_is() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    let receipt = shop.receive(tea, "10", "1").await;
    let (shop, receipt) = (&shop, &receipt);
    let all = join_all((0..40).map(async |n| {
        match n % 4 {
            0 => shop.send_back(json!([of(tea, "1", receipt)])).await.status == 201,
            1 => {
                shop.send_back(json!([{ "product_id": tea, "qty": "1" }]))
                    .await
                    .status
                    == 201
            }
            2 => {
                let invoice = bahi_types::InvoiceId::new();
                let granted = shop.reserve(invoice, 1, &[(tea, "1")]).await.is_granted();
                if granted {
                    shop.issue(invoice, 1, &[(tea, "1")]).await;
                }
                granted
            }
            _ => {
                shop.receive(tea, "1", "2").await;
                false
            }
        }
    }))
    .await;
    let gone = all.iter().filter(|done| **done).count();
    let left = shop.stock(tea).await.0;
    assert_eq!(left.to_string(), (20 - gone).to_string());
    shop.assert_sound().await;
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
}
