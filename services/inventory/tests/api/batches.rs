//! Batches: first expired, first out; what their labels say; their end.

use bahi_proto::inventory::v1::{AvailabilityRequest, SummaryRequest};
use bahi_types::{BatchId, InvoiceId, ProductId};
use inventory::jobs;
use serde_json::{Value, json};
use tonic::Code;
use uuid::Uuid;

use crate::support::{Got, Shop};

/// B1 to B4 of the worked scenario.
pub async fn four_batches(shop: &Shop) -> (ProductId, [BatchId; 4]) {
    let milk = shop.batched().await;
    let one = async |no, expiry, qty, cost| shop.receive_batch(milk, no, expiry, qty, cost).await;
    let ids = [
        one("B1", Some("2026-11-10"), "5", "9.00").await,
        one("B2", Some("2026-12-05"), "4", "11.00").await,
        one("B3", Some("2027-01-31"), "10", "12.00").await,
        one("B4", None, "3", "12.50").await,
    ];
    (milk, ids)
}

fn parts(reply: &Value) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    reply["allocations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (text(&a["batch_id"]), text(&a["qty"])))
        .collect()
}

fn is(batch: BatchId, qty: &str) -> (String, String) {
    (batch.to_string(), qty.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_6_first_expired_first_out_splits_over_batches_and_names_the_shortfall() {
    let shop = Shop::open().await;
    let (milk, [b1, b2, b3, b4]) = four_batches(&shop).await;
    let preview = async |qty: &str, days: u32| {
        let body = json!({ "location_id": shop.location, "product_id": milk, "qty": qty, "min_shelf_life_days": days });
        shop.owner
            .post("/api/v1/inventory/allocations:preview", body)
            .await
    };
    let hold = async |qty: &str, days: u32| {
        let body = json!({ "location_id": shop.location, "min_shelf_life_days": days,
            "lines": [{ "product_id": milk, "qty": qty }] });
        shop.owner
            .post("/api/v1/inventory/reservations", body)
            .await
    };
    // A customer who needs thirty days: B2 has fourteen.
    let got = preview("12", 30).await.expect(200);
    assert_eq!(parts(&got.body), [is(b3, "10"), is(b4, "2")]);
    // Nothing covers twelve alone: who picks one batch refuses a sale that can be served.
    for qty in [4, 10, 3] {
        assert!(qty < 12);
    }
    let short = hold("25", 7).await.expect(409);
    assert_eq!(short.code(), "INSUFFICIENT_STOCK");
    assert_eq!(
        short.body["lines"],
        json!([{ "product_id": milk, "asked": "25", "available": "17",
                 "excluded": [{ "batch_id": b1, "qty": "5", "reason": "expired" }] }])
    );
    assert_eq!(
        preview("25", 7).await.expect(409).body["lines"],
        short.body["lines"]
    );
    // Sold, with a minimum of seven days.
    assert_eq!(
        preview("12", 7).await.expect(200).text_at("cost_value"),
        "140.00"
    );
    let made = hold("12", 7).await.expect(201);
    assert_eq!(parts(&made.body), [is(b2, "4"), is(b3, "8")]);
    let commit = format!(
        "/api/v1/inventory/reservations/{}:commit",
        made.text_at("id")
    );
    shop.owner.post(&commit, json!({})).await.expect(200);
    let issued = shop.said("stock.issued").await;
    let costs: Vec<_> = issued[0]["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["cost_value"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(costs, ["44.00", "96.00"]);
    let left = shop
        .owner
        .get(&format!("/api/v1/inventory/stock?batch={b3}"))
        .await
        .expect(200);
    assert_eq!(left.body["items"][0]["on_hand"], "2");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_6_the_minimum_binds_tills_as_well() {
    let shop = Shop::open().await;
    let (milk, [_, _, b3, b4]) = four_batches(&shop).await;
    let mut ask = shop.demand(InvoiceId::new(), 1, &[(milk, "12")]);
    ask.min_shelf_life_days = 30;
    let got = shop.send(ask).await.granted();
    let got: Vec<_> = got
        .iter()
        .map(|a| (a.batch_id.clone().unwrap(), a.qty.clone()))
        .collect();
    assert_eq!(got, [is(b3, "10"), is(b4, "2")]);
    let mut ask = shop.demand(InvoiceId::new(), 1, &[(milk, "1")]);
    ask.min_shelf_life_days = 3651;
    assert!(matches!(
        shop.send(ask).await,
        Got::Error(Code::InvalidArgument, _)
    ));
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_says_mrp_and_dates_once_and_the_till_can_choose_by_it() {
    let shop = Shop::open().await;
    let milk = shop.batched().await;
    let receive = async |no: &str, mut more: Value| {
        more["product_id"] = json!(milk);
        more["qty"] = json!("5");
        more["unit_cost"] = json!("9");
        more["batch_no"] = json!(no);
        let body = json!({ "location_id": shop.location, "lines": [more] });
        shop.owner.post("/api/v1/inventory/receipts", body).await
    };
    let label = |mrp: &str| json!({ "mfg": "2026-10-01", "expiry": "2027-03-31", "mrp": mrp });
    receive("N", label("50.00")).await.expect(201);
    receive("D", label("55.00")).await.expect(201);
    // Said less, it is the same batch; said otherwise, it is refused.
    receive("N", json!({})).await.expect(201);
    for (more, code) in [
        (json!({ "mrp": "55.00" }), "MRP_DIFFERS"),
        (json!({ "mfg": "2026-10-02" }), "MFG_DIFFERS"),
        (json!({ "expiry": "2027-04-01" }), "EXPIRY_DIFFERS"),
    ] {
        assert_eq!(receive("N", more).await.expect(422).code(), code);
    }
    let backwards = json!({ "mfg": "2027-10-01", "expiry": "2027-03-31" });
    assert_eq!(
        receive("X", backwards).await.expect(422).code(),
        "MFG_AFTER_EXPIRY"
    );
    receive("X", json!({ "mrp": "0" })).await.expect(400);
    // What was not known is added.
    receive("L", json!({ "expiry": "2027-01-31" }))
        .await
        .expect(201);
    receive("L", json!({ "mrp": "48" })).await.expect(201);
    let batches = shop
        .owner
        .get(&format!("/api/v1/inventory/batches?product={milk}"))
        .await
        .expect(200);
    let said: Vec<_> = batches.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| (b["no"].clone(), b["mrp"].clone(), b["mfg"].clone()))
        .collect();
    assert_eq!(
        said,
        [
            (json!("N"), json!("50.00"), json!("2026-10-01")),
            (json!("D"), json!("55.00"), json!("2026-10-01")),
            (json!("L"), json!("48.00"), json!(null))
        ]
    );
    let path = format!(
        "/api/v1/inventory/availability?items={milk}&location={}",
        shop.location
    );
    let plain = shop.owner.get(&path).await.expect(200);
    assert!(plain.body["items"][0].get("batches").is_none());
    let named = shop
        .owner
        .get(&format!("{path}&batches=true"))
        .await
        .expect(200);
    let lots = named.body["items"][0]["batches"].as_array().unwrap();
    let lots: Vec<_> = lots
        .iter()
        .map(|b| (&b["no"], &b["mrp"], &b["available"]))
        .collect();
    assert_eq!(
        lots,
        [
            (&json!("L"), &json!("48.00"), &json!("10")),
            (&json!("N"), &json!("50.00"), &json!("10")),
            (&json!("D"), &json!("55.00"), &json!("5"))
        ]
    );
    let ask = AvailabilityRequest {
        location_id: shop.location.to_string(),
        product_ids: vec![milk.to_string()],
        with_batches: true,
    };
    let answer = shop.grpc().availability(shop.signed(ask)).await.unwrap();
    let item = answer.into_inner().items.remove(0);
    assert_eq!(item.available, "25");
    let lots: Vec<_> = item
        .batches
        .iter()
        .map(|b| (b.no.as_str(), b.mrp.as_deref(), b.expiry.as_deref()))
        .collect();
    assert_eq!(
        lots,
        [
            ("L", Some("48.00"), Some("2027-01-31")),
            ("N", Some("50.00"), Some("2027-03-31")),
            ("D", Some("55.00"), Some("2027-03-31"))
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_chosen_against_the_rules_needs_a_reason_and_a_permission_and_is_recorded() {
    let shop = Shop::open().await;
    let (milk, [b1, b2, b3, _]) = four_batches(&shop).await;
    let choose = async |client: &bahi_testkit::Client, batch: BatchId, days: u32, reason: Value| {
        let body = json!({ "location_id": shop.location, "min_shelf_life_days": days, "override_reason": reason,
            "lines": [{ "product_id": milk, "qty": "1", "batch_id": batch }] });
        client.post("/api/v1/inventory/reservations", body).await
    };
    // First in turn: nobody's leave is needed.
    choose(&shop.owner, b2, 0, json!(null)).await.expect(201);
    assert!(shop.said("audit.recorded").await.is_empty());
    // Out of turn, or with too short a life.
    for (batch, days) in [(b3, 0), (b2, 30)] {
        let refused = choose(&shop.owner, batch, days, json!(null))
            .await
            .expect(422);
        assert_eq!(refused.code(), "OVERRIDE_REQUIRED");
        let cashier = shop
            .owner
            .with_permissions(&["inventory.reservation.write"]);
        let refused = choose(&cashier, batch, days, json!("asked for it"))
            .await
            .expect(403);
        assert_eq!(refused.body["permission"], "inventory.batch.override");
        let made = choose(&shop.owner, batch, days, json!("asked for it"))
            .await
            .expect(201);
        assert_eq!(made.body["allocations"][0]["batch_id"], batch.to_string());
    }
    let audits = shop.said("audit.recorded").await;
    assert_eq!(audits.len(), 2);
    assert_eq!(
        (
            &audits[1]["action"],
            &audits[1]["reason"],
            &audits[1]["details"]["lines"][0]["batch_id"]
        ),
        (
            &json!("inventory.batch.override"),
            &json!("asked for it"),
            &json!(b2)
        )
    );
    // An expired or blocked one is never sold, whatever the reason.
    shop.owner
        .post(
            &format!("/api/v1/inventory/batches/{b3}:block"),
            json!({ "reason": "smell" }),
        )
        .await
        .expect(200);
    for batch in [b1, b3] {
        let refused = choose(&shop.owner, batch, 0, json!("I insist"))
            .await
            .expect(409);
        assert_eq!(refused.code(), "INSUFFICIENT_STOCK");
    }
    // Nor a batch of another product.
    let (_, others) = four_batches(&shop).await;
    choose(&shop.owner, others[2], 0, json!("x"))
        .await
        .expect(409);
    // The same over gRPC.
    let mut ask = shop.demand(InvoiceId::new(), 1, &[(milk, "1")]);
    ask.lines[0].batch_id = Some(b2.to_string());
    ask.min_shelf_life_days = 30;
    assert_eq!(
        shop.send(ask.clone()).await,
        Got::Error(Code::FailedPrecondition, "OVERRIDE_REQUIRED".into())
    );
    ask.override_reason = "manager's word".into();
    ask.override_by = "user 7".into();
    let first = shop.send(ask.clone()).await.granted();
    assert_eq!(first[0].batch_id, Some(b2.to_string()));
    assert_eq!(
        shop.send(ask).await.granted(),
        first,
        "the same request, the same grant"
    );
    assert_eq!(
        shop.said("audit.recorded").await.last().unwrap()["details"]["by"],
        "user 7"
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_shelf_life_that_a_rule_asks_for_counts() {
    let shop = Shop::open().await;
    let (milk, [_, b2, b3, _]) = four_batches(&shop).await;
    let (picky, anybody) = (Uuid::now_v7(), Uuid::now_v7());
    let path = "/api/v1/inventory/shelf-life-rules";
    let rule = async |body: Value| shop.owner.post(path, body).await;
    rule(json!({ "customer_group": "hospitals", "min_days": 10 }))
        .await
        .expect(201);
    let made = rule(json!({ "customer_id": picky, "product_id": milk, "min_days": 30 }))
        .await
        .expect(201);
    assert_eq!(
        rule(json!({ "customer_id": picky, "product_id": milk, "min_days": 9 }))
            .await
            .expect(409)
            .code(),
        "RULE_TAKEN"
    );
    for bad in [
        json!({ "min_days": 3 }),
        json!({ "customer_id": picky, "customer_group": "x", "min_days": 3 }),
        json!({ "customer_id": picky, "min_days": 3651 }),
    ] {
        rule(bad).await.expect(400);
    }
    let first = async |more: Value| {
        let mut body = json!({ "location_id": shop.location, "product_id": milk, "qty": "1" });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let reply = shop
            .owner
            .post("/api/v1/inventory/allocations:preview", body)
            .await;
        reply.expect(200).body["allocations"][0]["batch_id"].clone()
    };
    assert_eq!(first(json!({})).await, json!(b2));
    assert_eq!(first(json!({ "customer_id": anybody })).await, json!(b2));
    assert_eq!(
        first(json!({ "customer_group": "hospitals" })).await,
        json!(b2),
        "fourteen days are enough"
    );
    assert_eq!(
        first(json!({ "customer_group": "hospitals", "min_shelf_life_days": 15 })).await,
        json!(b3)
    );
    assert_eq!(
        first(json!({ "customer_id": picky, "customer_group": "hospitals" })).await,
        json!(b3)
    );
    let mut ask = shop.demand(InvoiceId::new(), 1, &[(milk, "1")]);
    ask.customer_id = picky.to_string();
    assert_eq!(
        shop.send(ask).await.granted()[0].batch_id,
        Some(b3.to_string())
    );
    // Changed under the version seen, and gone.
    let one = format!("{path}/{}", made.text_at("id"));
    shop.owner
        .put(&one, json!({ "min_days": 14 }), 2)
        .await
        .expect(412);
    shop.owner
        .put(&one, json!({ "min_days": 14 }), 1)
        .await
        .expect(200);
    assert_eq!(first(json!({ "customer_id": picky })).await, json!(b2));
    let stranger = shop.next_tenant().await;
    stranger
        .owner
        .put(&one, json!({ "min_days": 1 }), 2)
        .await
        .expect(404);
    assert_eq!(stranger.owner.get(path).await.expect(200).body["total"], 0);
    assert_eq!(
        shop.owner
            .get(&format!("{path}?customer={picky}"))
            .await
            .expect(200)
            .body["total"],
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_batch_is_disposed_of_as_scrap_with_its_value() {
    let shop = Shop::open().await;
    let (milk, [b1, b2, ..]) = four_batches(&shop).await;
    let dispose = async |batch: BatchId| {
        let path = format!("/api/v1/inventory/batches/{batch}:dispose");
        shop.owner
            .post(&path, json!({ "reason": "past its day" }))
            .await
    };
    assert_eq!(dispose(b2).await.expect(409).code(), "BATCH_ACTIVE");
    let before = shop.value().await;
    let done = dispose(b1).await.expect(201);
    assert_eq!(
        (done.text_at("qty"), done.text_at("value")),
        ("5".into(), "45.00".into())
    );
    assert_eq!(
        (before.as_str(), shop.value().await.as_str()),
        ("246.50", "201.50")
    );
    let said = shop.said("inventory.adjusted").await;
    assert_eq!(
        (
            &said[0]["source"]["type"],
            &said[0]["qty_delta"],
            &said[0]["value_delta"],
            &said[0]["on_hand_after"]
        ),
        (
            &json!("disposal"),
            &json!("-5"),
            &json!("-45.00"),
            &json!("0")
        )
    );
    assert_eq!(
        shop.said("audit.recorded").await[0]["action"],
        "inventory.batch.dispose"
    );
    let listed = shop
        .owner
        .get(&format!("/api/v1/inventory/batches?product={milk}&no=B1"))
        .await
        .expect(200);
    assert_eq!(listed.body["items"][0]["status"], "disposed");
    assert_eq!(dispose(b1).await.expect(422).code(), "NOTHING_ON_HAND");
    let unblock = format!("/api/v1/inventory/batches/{b1}:unblock");
    let refused = shop
        .owner
        .post(&unblock, json!({ "reason": "x" }))
        .await
        .expect(409);
    assert_eq!(refused.code(), "BATCH_DISPOSED");
    let again = json!({ "location_id": shop.location, "lines": [
        { "product_id": milk, "qty": "1", "unit_cost": "9", "batch_no": "B1" }] });
    let refused = shop
        .owner
        .post("/api/v1/inventory/receipts", again)
        .await
        .expect(409);
    assert_eq!(refused.code(), "BATCH_DISPOSED");
    // By the clock: B2 is active until its day is past.
    shop.later(15 * 86_400);
    let done = dispose(b2).await.expect(201);
    assert_eq!(done.text_at("value"), "44.00");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_batch_is_disposed_of_but_for_what_tills_have_sold() {
    let shop = Shop::open().await;
    let (milk, [_, b2, ..]) = four_batches(&shop).await;
    let till = InvoiceId::new();
    shop.reserve(till, 1, &[(milk, "1")]).await.granted();
    let cart = shop
        .hold(&[(milk, "2")], 600)
        .await
        .expect(201)
        .text_at("id");
    let act = async |verb: &str, body: Value| {
        let path = format!("/api/v1/inventory/batches/{b2}:{verb}");
        shop.owner.post(&path, body).await
    };
    act("block", json!({ "reason": "smell" })).await.expect(200);
    let elsewhere = json!({ "reason": "smell", "location_id": Uuid::now_v7() });
    assert_eq!(
        act("dispose", elsewhere).await.expect(422).code(),
        "NOTHING_ON_HAND"
    );
    let done = act("dispose", json!({ "reason": "smell" }))
        .await
        .expect(201);
    assert_eq!(
        (
            done.text_at("qty"),
            done.text_at("kept_for_sales"),
            done.text_at("value")
        ),
        ("3".into(), "1".into(), "33.00".into())
    );
    let broken = shop.said("stock.reservation_broken").await;
    assert_eq!(
        (&broken[0]["reservation_id"], &broken[0]["lines"][0]["qty"]),
        (&json!(cart), &json!("2"))
    );
    shop.assert_sound().await;
    shop.issue(till, 1, &[(milk, "1")]).await;
    shop.assert_sound().await;
}

fn day(seconds: &str) -> i64 {
    seconds.parse::<i64>().unwrap() * 86_400
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_near_its_last_day_is_said_once_at_each_threshold() {
    let shop = Shop::open().await;
    let (milk, [b1, b2, b3, _]) = four_batches(&shop).await;
    let warn = async || jobs::warn_expiring(shop.state()).await.unwrap();
    let said = async || {
        let events = shop.said("batch.expiring").await.into_iter();
        events
            .map(|e| {
                let id: BatchId = e["batch_id"].as_str().unwrap().parse().unwrap();
                (
                    id,
                    e["threshold"].as_i64().unwrap(),
                    e["days_left"].as_i64().unwrap(),
                )
            })
            .collect::<Vec<_>>()
    };
    warn().await;
    warn().await;
    // B1 is expired; B2 has 14 days and skips 90 and 60; B3 has 71.
    let mut expected = vec![(b1, 0, -11), (b2, 30, 14), (b3, 90, 71)];
    assert_eq!(said().await, expected);
    let first = &shop.said("batch.expiring").await[1];
    assert_eq!(
        (
            &first["qty"],
            &first["value"],
            &first["product_id"],
            &first["no"]
        ),
        (&json!("4"), &json!("44.00"), &json!(milk), &json!("B2"))
    );
    // The list says the same, the nearest first; values only to those who may see them.
    let list = shop
        .owner
        .get("/api/v1/inventory/expiry-alerts?days=60")
        .await
        .expect(200);
    assert_eq!(
        (&list.body["total"], &list.body["total_value"]),
        (&json!(2), &json!("89.00"))
    );
    let items: Vec<_> = list.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| {
            (
                i["batch_id"].clone(),
                i["threshold"].clone(),
                i["expired"].clone(),
                i["value"].clone(),
            )
        })
        .collect();
    assert_eq!(
        items,
        [
            (json!(b1), json!(0), json!(true), json!("45.00")),
            (json!(b2), json!(30), json!(false), json!("44.00"))
        ]
    );
    let reader = shop.owner.with_permissions(&["inventory.stock.read"]);
    let list = reader
        .get("/api/v1/inventory/expiry-alerts")
        .await
        .expect(200);
    assert_eq!(
        (&list.body["total"], &list.body["items"][0]["value"]),
        (&json!(3), &json!(null))
    );
    let walk = reader
        .get("/api/v1/inventory/expiry-alerts?limit=1")
        .await
        .expect(200);
    let next = format!(
        "/api/v1/inventory/expiry-alerts?limit=1&cursor={}",
        walk.text_at("next_cursor")
    );
    assert_eq!(
        reader.get(&next).await.expect(200).body["items"][0]["batch_id"],
        json!(b2)
    );
    for bad in ["days=3651", "cursor=zzz", "sort=value"] {
        reader
            .get(&format!("/api/v1/inventory/expiry-alerts?{bad}"))
            .await
            .expect(400);
    }
    // The clock goes on: 21 Nov + 7 days, then the last day itself, then after it.
    shop.later(day("7"));
    warn().await;
    expected.push((b2, 7, 7));
    assert_eq!(said().await, expected);
    shop.later(day("7"));
    warn().await;
    expected.extend([(b2, 0, 0), (b3, 60, 57)]);
    assert_eq!(said().await, expected);
    shop.later(day("1"));
    warn().await;
    assert_eq!(said().await, expected, "what is past was said");
    // Sold out, thrown away or blocked, nothing more is said.
    let block = format!("/api/v1/inventory/batches/{b3}:block");
    shop.owner
        .post(&block, json!({ "reason": "x" }))
        .await
        .expect(200);
    shop.later(day("40"));
    warn().await;
    assert_eq!(said().await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_warn_at_once_say_it_once() {
    let shop = Shop::open().await;
    four_batches(&shop).await;
    let stranger = shop.next_tenant().await;
    four_batches(&stranger).await;
    let warn = || jobs::warn_expiring(shop.state());
    futures::future::try_join_all((0..8).map(|_| warn()))
        .await
        .unwrap();
    assert_eq!(shop.said("batch.expiring").await.len(), 3);
    assert_eq!(
        stranger.said("batch.expiring").await.len(),
        3,
        "every tenant's goods"
    );
    // Without the key of the alerts, which is the guard, the second run says all of it again.
    shop.app
        .admin()
        .await
        .batch_execute("alter table expiry_alert drop constraint expiry_alert_pkey")
        .await
        .unwrap();
    warn().await.unwrap();
    assert_eq!(shop.said("batch.expiring").await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn product_asks_whether_history_refers_to_a_product_and_nobody_else_may() {
    let shop = Shop::open().await;
    let (milk, _) = four_batches(&shop).await;
    let (fresh, owed) = (shop.product().await, shop.product().await);
    shop.issue(InvoiceId::new(), 1, &[(owed, "2")]).await;
    let ask = async |service: &str, products: Vec<String>| {
        let mut request = tonic::Request::new(SummaryRequest {
            product_ids: products,
        });
        let token = shop.app.service_token(service, shop.tenant());
        request
            .metadata_mut()
            .insert("authorization", format!("Bearer {token}").parse().unwrap());
        shop.grpc()
            .summary(request)
            .await
            .map(|a| a.into_inner().items)
    };
    let ids = vec![owed.to_string(), fresh.to_string(), milk.to_string()];
    let items = ask("product", ids.clone()).await.unwrap();
    let got: Vec<_> = items
        .iter()
        .map(|s| {
            (
                s.on_hand.as_str(),
                s.available.as_str(),
                s.owed.as_str(),
                s.moved,
                s.open_documents,
            )
        })
        .collect();
    assert_eq!(
        got,
        [
            ("0", "0", "2", true, false),
            ("0", "0", "0", false, false),
            ("22", "17", "0", true, false)
        ]
    );
    // What a draft of a transfer names is not forgotten either.
    let there = shop.branch().await;
    let draft = json!({
        "from_location_id": shop.location, "to_location_id": there.location,
        "lines": [{ "product_id": fresh, "qty": "1" }],
    });
    let draft = shop.owner.post("/api/v1/inventory/transfers", draft).await;
    let draft = draft.expect(201).text_at("id");
    let documents = async || ask("product", ids.clone()).await.unwrap()[1].open_documents;
    assert!(documents().await);
    let cancel = format!("/api/v1/inventory/transfers/{draft}:cancel");
    shop.owner
        .post(&cancel, json!({ "reason": "no" }))
        .await
        .expect(200);
    assert!(!documents().await);
    assert_eq!(
        ask("sales", ids.clone()).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    let many = vec![milk.to_string(); 501];
    assert_eq!(
        ask("product", many).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    assert_eq!(
        ask("product", vec!["x".into()]).await.unwrap_err().code(),
        Code::InvalidArgument
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_its_way_is_disposed_of_when_it_is_there() {
    let shop = Shop::open().await;
    let branch = shop.branch().await;
    let milk = shop.batched().await;
    let batch = shop
        .receive_batch(milk, "B1", Some("2026-12-31"), "10", "5")
        .await;
    let sent = shop.ship(branch.location, milk, "4").await;
    let act = async |verb: &str| {
        let path = format!("/api/v1/inventory/batches/{batch}:{verb}");
        shop.owner.post(&path, json!({ "reason": "smell" })).await
    };
    let recalled = act("recall").await.expect(200);
    assert_eq!(recalled.body["sums"]["on_hand"], "10");
    let done = act("dispose").await.expect(201);
    assert_eq!(done.text_at("qty"), "6");
    assert_eq!(act("dispose").await.expect(422).code(), "NOTHING_ON_HAND");
    shop.assert_sound().await;
    shop.transfer(&sent, "receive", json!({})).await.expect(200);
    assert_eq!(branch.in_status(milk, "quarantine").await, "4");
    let done = act("dispose").await.expect(201);
    assert_eq!(
        (done.text_at("qty"), done.text_at("value")),
        ("4".into(), "20.00".into())
    );
    shop.assert_sound().await;
    // One step for each document and place that goods came to or left.
    let path = format!("/api/v1/inventory/batches/{batch}/trace");
    let trace = shop.owner.get(&path).await.expect(200).body;
    let steps: Vec<_> = trace["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| (i["kind"].as_str().unwrap(), i["qty"].as_str().unwrap()))
        .collect();
    assert_eq!(
        steps,
        [
            ("receipt", "10"),
            ("transfer", "-4"),
            ("transfer", "4"),
            ("disposal", "-6"),
            ("disposal", "-4")
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenants_goods_that_cannot_be_warned_of_stop_nobody_elses() {
    let shop = Shop::open().await;
    let stranger = shop.next_tenant().await;
    let (first, last) = if shop.tenant() < stranger.tenant() {
        (shop, stranger)
    } else {
        (stranger, shop)
    };
    four_batches(&first).await;
    four_batches(&last).await;
    // Tenants have their turn in the order of their ids.
    let spoil = format!(
        "create function spoil() returns trigger language plpgsql as $$ begin
           if new.tenant_id = '{}' then raise exception 'spoilt'; end if; return new; end $$;
         create trigger spoil before insert on expiry_alert for each row execute function spoil();
         create trigger spoil before insert on stock_snapshot for each row execute function spoil()",
        first.tenant()
    );
    let admin = first.app.admin().await;
    admin.batch_execute(&spoil).await.unwrap();
    assert!(jobs::warn_expiring(first.state()).await.is_err());
    assert_eq!(first.said("batch.expiring").await, [] as [Value; 0]);
    assert_eq!(last.said("batch.expiring").await.len(), 3);
    first.later(40 * 86_400);
    assert!(jobs::take_snapshots(first.state()).await.is_err());
    let taken = "select distinct tenant_id from stock_snapshot";
    let taken: Vec<uuid::Uuid> = admin
        .query(taken, &[])
        .await
        .unwrap()
        .iter()
        .map(|r| r.get(0))
        .collect();
    assert_eq!(taken, [last.tenant().uuid()]);
}
