//! How goods are valued: three methods, and revaluations as the only way from one to another.

use bahi_testkit::Reply;
use bahi_types::{LocationId, ProductId};
use serde_json::{Value, json};

use crate::support::Shop;

const PATH: &str = "/api/v1/inventory/revaluations";

impl Shop {
    pub async fn revalue(&self, line: Value) -> Reply {
        let body = json!({ "reason": "year end", "lines": [line] });
        self.owner.post(PATH, body).await
    }

    pub async fn method(&self, product: ProductId, method: &str, standard: Option<&str>) -> Reply {
        let line = json!({ "product_id": product, "method": method, "standard_cost": standard });
        self.revalue(line).await
    }

    /// Cost of the last `stock.issued`.
    async fn last_cost(&self) -> String {
        let said = self.said("stock.issued").await;
        let line = &said.last().unwrap()["lines"][0];
        line["cost_value"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_7a_the_published_steps_come_out_by_each_method() {
    let steps = [("8", "10"), ("4", "16"), ("-10", ""), ("2", "6")];
    for (method, standard, values, cost) in [
        (
            "fifo",
            None,
            ["80.00", "144.00", "32.00", "44.00"],
            "112.00",
        ),
        (
            "average",
            None,
            ["80.00", "144.00", "24.00", "36.00"],
            "120.00",
        ),
        (
            "standard",
            Some("12"),
            ["96.00", "144.00", "24.00", "48.00"],
            "120.00",
        ),
    ] {
        let shop = Shop::open().await;
        let tea = shop.product().await;
        shop.method(tea, method, standard).await.expect(201);
        for ((qty, unit), value) in steps.into_iter().zip(values) {
            match qty.strip_prefix('-') {
                Some(qty) => {
                    shop.sell(&[(tea, qty)]).await;
                    assert_eq!(shop.last_cost().await, cost, "{method}");
                }
                None => {
                    shop.receive(tea, qty, unit).await;
                }
            }
            assert_eq!(shop.value().await, value, "{method}, after {qty}@{unit}");
            shop.assert_sound().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_beyond_the_standard_is_a_variance_and_never_stock() {
    let shop = Shop::open().await;
    let (tea, salt) = (shop.product().await, shop.product().await);
    shop.method(tea, "standard", Some("12.50"))
        .await
        .expect(201);
    let line =
        |product, unit: &str| json!({ "product_id": product, "qty": "3", "unit_cost": unit });
    let body = json!({ "location_id": shop.location,
        "lines": [line(tea, "13.3333"), line(salt, "2"), line(tea, "12")] });
    let made = shop
        .owner
        .post("/api/v1/inventory/receipts", body)
        .await
        .expect(201);
    let variances: Vec<_> = made.body["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| &l["variance"])
        .collect();
    assert_eq!(variances, ["2.50", "0.00", "-1.50"]);
    assert_eq!(made.text_at("value"), "82.00");
    assert_eq!(shop.value().await, "81.00");
    let said = shop.said("stock.received").await;
    let lines = said[0]["lines"].as_array().unwrap();
    let paid: Vec<_> = lines
        .iter()
        .map(|l| (l["cost_value"].as_str().unwrap(), l.get("variance")))
        .collect();
    assert_eq!(
        paid,
        [
            ("37.50", Some(&json!("2.50"))),
            ("6.00", None),
            ("37.50", Some(&json!("-1.50")))
        ]
    );
    // Whatever a return cost when it left, and whatever a find is said to cost, it is worth the standard.
    let invoice = shop.sell(&[(tea, "2")]).await;
    shop.method(tea, "standard", Some("10")).await.expect(201);
    shop.give_back(Some(invoice), &[(1, tea, "1", "restock")])
        .await;
    let found = json!({ "location_id": shop.location, "reason": "found",
        "lines": [{ "product_id": tea, "qty_delta": "1", "unit_cost": "99" }] });
    let found = shop
        .owner
        .post("/api/v1/inventory/adjust", found)
        .await
        .expect(201);
    assert_eq!(found.text_at("value_delta"), "10.00");
    assert_eq!(shop.value().await, "66.00");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_on_hand_is_worth_nothing_by_any_method() {
    let shop = Shop::open().await;
    for (method, standard) in [
        ("fifo", None),
        ("average", None),
        ("standard", Some("3.3333")),
    ] {
        let tea = shop.product().await;
        shop.method(tea, method, standard).await.expect(201);
        shop.receive(tea, "1", "3.3333").await;
        shop.receive(tea, "2", "3.3335").await;
        for qty in ["0.7", "1.1", "0.003", "1.197"] {
            shop.sell(&[(tea, qty)]).await;
        }
        shop.assert_stock(tea, ("0", "0", "0")).await;
        assert_eq!(shop.value().await, "0.00", "{method}");
    }
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_changes_by_a_revaluation_and_by_nothing_else() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "8", "10").await;
    shop.receive(tea, "4", "16").await;
    // To an average: nothing is worth more or less, and no movement says so.
    let made = shop.method(tea, "average", None).await.expect(201);
    assert_eq!(made.text_at("value_delta"), "0.00");
    assert_eq!(made.body["lines"][0]["method_before"], "fifo");
    // What product says of the product changes nothing.
    let news = crate::support::product(tea, bahi_events::Tracking::default());
    shop.hear(
        inventory::consumers::product,
        &[shop.envelope(tea.uuid(), 7, news)],
    )
    .await;
    shop.sell(&[(tea, "5")]).await;
    assert_eq!(shop.last_cost().await, "60.00");
    // To a standard, and to another one.
    let made = shop
        .method(tea, "standard", Some("15.005"))
        .await
        .expect(201);
    assert_eq!(
        (
            made.text_at("value_delta"),
            made.body["lines"][0]["value_after"].clone()
        ),
        ("21.04".to_owned(), json!("105.04"))
    );
    let made = shop
        .revalue(json!({ "product_id": tea, "standard_cost": "14" }))
        .await
        .expect(201);
    assert_eq!(made.text_at("value_delta"), "-7.04");
    // And back: what is there is one layer, what comes is another.
    shop.method(tea, "fifo", None).await.expect(201);
    shop.receive(tea, "1", "1").await;
    shop.sell(&[(tea, "7")]).await;
    assert_eq!(shop.last_cost().await, "98.00");
    assert_eq!(shop.value().await, "1.00");
    shop.assert_sound().await;
    let said = shop.said("stock.revalued").await;
    let changes: Vec<_> = said
        .iter()
        .flat_map(|e| e["costings"].as_array().unwrap())
        .collect();
    assert_eq!(changes.len(), 4);
    assert_eq!(
        (
            &changes[1]["method_before"],
            &changes[1]["method"],
            &changes[1]["standard_cost"]
        ),
        (&json!("average"), &json!("standard"), &json!("15.005"))
    );
    assert_eq!(said[1]["lines"][0]["value_delta"], "21.04");
    assert_eq!(said[0]["lines"], json!([]));
    let audits = shop.said("audit.recorded").await;
    assert!(
        audits
            .iter()
            .all(|a| a["action"] == "inventory.stock.revalue" && a["reason"] == "year end")
    );
    assert_eq!(audits.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revaluation_changes_what_it_names_and_no_quantity() {
    let shop = Shop::open().await;
    let branch = shop.branch().await;
    let milk = shop.batched().await;
    let b1 = shop.receive_batch(milk, "B1", None, "4", "10").await;
    shop.receive_batch(milk, "B2", None, "3", "20").await;
    branch.receive_batch(milk, "B1", None, "5", "30").await;
    shop.later(60);
    let of = |line: Value| {
        let mut line = line;
        line["product_id"] = json!(milk);
        line
    };
    let line = of(json!({ "batch_id": b1, "location_id": shop.location, "unit_cost": "7.5" }));
    let made = shop.revalue(line).await.expect(201);
    assert_eq!(made.text_at("value_delta"), "-10.00");
    let line = &made.body["lines"][0];
    assert_eq!(
        (&line["qty"], &line["value_before"], &line["value_after"]),
        (&json!("4"), &json!("40.00"), &json!("30.00"))
    );
    let made = shop
        .revalue(of(json!({ "batch_id": b1, "unit_cost": "1" })))
        .await
        .expect(201);
    assert_eq!(made.text_at("value_delta"), "-171.00");
    let made = shop
        .revalue(of(json!({ "unit_cost": "0" })))
        .await
        .expect(201);
    assert_eq!(made.text_at("value_delta"), "-69.00");
    assert_eq!(shop.value().await, "0.00");
    let ledger = shop
        .owner
        .get("/api/v1/inventory/ledger?limit=200")
        .await
        .expect(200);
    let moves = ledger.body["items"].as_array().unwrap();
    let revalued: Vec<_> = moves.iter().filter(|m| m["kind"] == "revalue").collect();
    assert_eq!(revalued.len(), 6);
    assert!(
        revalued
            .iter()
            .all(|m| m["qty"] == "0" && m["source_type"] == "revaluation")
    );
    shop.assert_sound().await;
    // What was posted can be read again.
    let id = made.text_at("id");
    let read = shop.owner.get(&format!("{PATH}/{id}")).await.expect(200);
    assert_eq!(read.body, made.body);
    let list = shop
        .owner
        .get(&format!("{PATH}?product={milk}&limit=2"))
        .await
        .expect(200);
    assert_eq!(
        (
            list.body["total"].clone(),
            list.body["items"].as_array().unwrap().len()
        ),
        (json!(3), 2)
    );
    let cursor = list.text_at("next_cursor");
    let rest = shop
        .owner
        .get(&format!("{PATH}?product={milk}&limit=2&cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(rest.body["items"][0]["id"], json!(id));
    let other = shop.next_tenant().await;
    other.owner.get(&format!("{PATH}/{id}")).await.expect(404);
    assert_eq!(other.owner.get(PATH).await.expect(200).body["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revaluation_that_makes_no_sense_is_refused_by_rule() {
    let shop = Shop::open().await;
    let (tea, salt) = (shop.product().await, shop.product().await);
    shop.receive(tea, "2", "5").await;
    shop.method(salt, "standard", Some("4")).await.expect(201);
    let of = |product: ProductId, more: Value| {
        let mut line = more;
        line["product_id"] = json!(product);
        line
    };
    for (line, status, code) in [
        (of(tea, json!({})), 400, "INVALID"),
        (
            of(tea, json!({ "unit_cost": "1", "method": "fifo" })),
            400,
            "INVALID",
        ),
        (of(tea, json!({ "unit_cost": "-1" })), 400, "INVALID"),
        (of(tea, json!({ "method": "lifo" })), 400, "INVALID"),
        (
            of(
                tea,
                json!({ "method": "fifo", "location_id": shop.location }),
            ),
            400,
            "INVALID",
        ),
        (
            of(tea, json!({ "unit_cost": "1", "status": "in_transit" })),
            400,
            "INVALID",
        ),
        (
            of(tea, json!({ "unit_cost": "999999999999999" })),
            400,
            "INVALID",
        ),
        (
            of(tea, json!({ "standard_cost": "5" })),
            422,
            "NOT_STANDARD_COSTED",
        ),
        (
            of(tea, json!({ "method": "standard" })),
            422,
            "NOT_STANDARD_COSTED",
        ),
        (
            of(salt, json!({ "unit_cost": "5" })),
            422,
            "STANDARD_COSTED",
        ),
        (
            of(tea, json!({ "unit_cost": "5", "status": "quarantine" })),
            422,
            "NOTHING_ON_HAND",
        ),
        (
            of(
                tea,
                json!({ "unit_cost": "5", "location_id": LocationId::new() }),
            ),
            409,
            "NOT_YET_KNOWN",
        ),
        (
            of(ProductId::new(), json!({ "unit_cost": "5" })),
            409,
            "NOT_YET_KNOWN",
        ),
    ] {
        let reply = shop.revalue(line.clone()).await;
        assert_eq!(
            (reply.status, reply.code()),
            (status, code),
            "{line}: {}",
            reply.text
        );
    }
    let body = json!({ "reason": "x", "lines": [of(tea, json!({ "unit_cost": "6" }))] });
    let clerk = shop
        .owner
        .with_permissions(&["inventory.stock.write", "inventory.stock.adjust"]);
    let refused = clerk.post(PATH, body.clone()).await.expect(403);
    assert_eq!(refused.body["permission"], "inventory.stock.revalue");
    // The same key: the same answer, and one document.
    let first = shop
        .owner
        .post_with_key(PATH, body.clone(), "k")
        .await
        .expect(201);
    let again = shop.owner.post_with_key(PATH, body, "k").await.expect(201);
    assert_eq!(
        (first.body, again.header("idempotency-hit")),
        (again.body.clone(), Some("true"))
    );
    assert_eq!(shop.value().await, "12.00");
    shop.assert_sound().await;
}

/// A place that a revaluation did not see would keep its goods under the method of yesterday.
#[tokio::test(flavor = "multi_thread")]
async fn goods_reach_a_new_place_before_or_after_a_revaluation_and_never_during() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "1", "1").await;
    let mut admin = shop.app.admin().await;
    let lock = "select 1 from product where product_id = $1 for update";
    let receipt = async |at: LocationId| {
        let body = json!({ "location_id": at, "lines": [{ "product_id": tea, "qty": "1", "unit_cost": "2" }] });
        shop.owner
            .post("/api/v1/inventory/receipts", body)
            .await
            .status
    };
    let (known, new, newer) = (
        shop.location,
        shop.new_location().await,
        shop.new_location().await,
    );
    let held = admin.transaction().await.unwrap();
    held.query(lock, &[&tea.uuid()]).await.unwrap();
    assert_eq!(
        receipt(known).await,
        201,
        "a place that is known is locked by its own gate"
    );
    assert_eq!(
        receipt(new).await,
        503,
        "a new one waits for the revaluation"
    );
    held.rollback().await.unwrap();
    assert_eq!(receipt(new).await, 201);
    // The mutant: nobody waits.
    admin
        .batch_execute("drop trigger gate_made on stock_item")
        .await
        .unwrap();
    let held = admin.transaction().await.unwrap();
    held.query(lock, &[&tea.uuid()]).await.unwrap();
    assert_eq!(receipt(newer).await, 201, "the mutant is not caught");
    held.rollback().await.unwrap();
}

/// Complaint 3 of other systems: concurrent writers deadlock or corrupt running balances. Here everybody takes the same
/// locks in the same order, and there is no running balance.
#[tokio::test(flavor = "multi_thread")]
async fn fault_3_concurrent_writers_neither_deadlock_nor_corrupt_the_books() {
    let shop = Shop::open().await;
    let branch = shop.branch().await;
    let mut products = Vec::new();
    for _ in 0..3 {
        products.push(shop.product().await);
    }
    let line =
        |n: usize| json!({ "product_id": products[n % 3], "qty": "9", "unit_cost": "3.3333" });
    let receipt = |at: &Shop, n: usize| {
        // Every order of the three, at two places.
        json!({ "location_id": at.location, "lines": [line(n), line(n + 1 + n % 2), line(n + 2 - n % 2)] })
    };
    let path = "/api/v1/inventory/receipts";
    let first = shop.owner.post(path, receipt(&shop, 0)).await.expect(201);
    // Whoever waits too long for a lock is told to come back, and does.
    let persist = async |path: &str, body: Value| {
        for _ in 0..100 {
            let reply = shop.owner.post(path, body.clone()).await;
            if reply.status != 503 {
                return reply.expect(201);
            }
        }
        panic!("busy for ever: {path}");
    };
    let writers = (0..48usize).map(|n| {
        let (shop, branch, products) = (&shop, &branch, &products);
        let (persist, first, receipt) = (&persist, &first, &receipt);
        async move {
            let place = if n.is_multiple_of(2) { shop } else { branch };
            match n % 6 {
                0 | 1 => drop(persist(path, receipt(place, n)).await),
                2 | 3 => {
                    let lines = [(products[n % 3], "1"), (products[(n + 1) % 3], "1.5")];
                    place.issue(bahi_types::InvoiceId::new(), 1, &lines).await;
                }
                4 => {
                    let method = ["fifo", "average"][n / 6 % 2];
                    let lines = json!([{ "product_id": products[n % 3], "method": method },
                        { "product_id": products[(n + 1) % 3], "unit_cost": "2.5" }]);
                    drop(persist(PATH, json!({ "reason": "x", "lines": lines })).await);
                }
                _ => {
                    let body = json!({ "amount": "7.77", "basis": "value", "receipts": [{ "receipt_id": first.body["id"] }] });
                    drop(persist("/api/v1/inventory/landed-costs", body).await);
                }
            }
        }
    });
    futures::future::join_all(writers).await;
    shop.assert_sound().await;
    let admin = shop.app.admin().await;
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    let deadlocks: i64 = admin.query_one(deadlocks, &[]).await.unwrap().get(0);
    assert_eq!(deadlocks, 0);
}
