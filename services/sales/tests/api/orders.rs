//! Orders: held, delivered and billed in parts, with back orders and an end.

use bahi_types::ProductId;
use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{CUSTOMER, Shop, feed};

impl Shop {
    pub fn order_of(&self, lines: &[(ProductId, &str)]) -> Value {
        let lines: Vec<_> = lines
            .iter()
            .map(|(p, q)| json!({ "product_id": p, "qty": q }))
            .collect();
        json!({ "location_id": self.location, "lines": lines, "round_to_rupee": false,
                "buyer": { "name": "Jain Stores", "phone": "9820098200", "state_code": "27" } })
    }

    /// Takes an order down; its id.
    pub async fn order(&self, lines: &[(ProductId, &str)]) -> String {
        self.order_with(self.order_of(lines)).await
    }

    pub async fn order_with(&self, body: Value) -> String {
        let made = self.owner.post("/api/v1/sales/orders", body).await;
        made.expect(201).text_at("order_id")
    }

    /// An order that takes what there is.
    pub async fn patient_order(&self, lines: &[(ProductId, &str)]) -> String {
        let mut body = self.order_of(lines);
        body["allow_back_order"] = json!(true);
        self.order_with(body).await
    }

    pub async fn act(&self, order: &str, verb: &str, body: Value) -> bahi_testkit::Reply {
        let path = format!("/api/v1/sales/orders/{order}:{verb}");
        self.owner
            .post_with_key(&path, body, &Uuid::now_v7().to_string())
            .await
    }

    pub async fn shown(&self, order: &str) -> Value {
        let path = format!("/api/v1/sales/orders/{order}");
        self.owner.get(&path).await.expect(200).body
    }

    /// Status, and of each line held, back ordered, delivered and invoiced.
    pub async fn standing(&self, order: &str) -> (String, Vec<[String; 4]>) {
        let order = self.shown(order).await;
        let lines = order["lines"].as_array().unwrap().iter().map(|l| {
            ["held", "back_ordered", "delivered", "invoiced"]
                .map(|name| l[name].as_str().unwrap().to_owned())
        });
        (
            order["status"].as_str().unwrap().to_owned(),
            lines.collect(),
        )
    }

    /// Brings what inventory has said to sales, each event twice.
    pub async fn tell(&self) {
        let told = [
            "stock.reservation_broken",
            "stock.received",
            "stock.returned",
        ];
        let events = self.stock.as_ref().unwrap().events().await.into_iter();
        let events: Vec<_> = events
            .filter(|e| told.contains(&e.event_type.as_str()))
            .collect();
        feed(sales::app(), &self.sales, &events).await;
    }

    /// The job's round.
    pub async fn tend(&self) {
        let jobs = sales::jobs::table(&self.sales.running.state);
        let job = jobs.iter().find(|j| j.name() == "tend_orders").unwrap();
        job.once().await.unwrap();
    }
}

fn standing(status: &str, lines: &[[&str; 4]]) -> (String, Vec<[String; 4]>) {
    let lines = lines.iter().map(|l| l.map(str::to_owned));
    (status.to_owned(), lines.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_held_delivered_and_billed_in_parts() {
    let shop = Shop::open().await;
    let (goods, service) = (shop.goods("10").await, shop.service().await);
    let order = shop.order(&[(goods, "8"), (service, "1")]).await;
    assert_eq!(shop.shown(&order).await["number"], "ORD/26-27/0001");
    shop.assert_stock(goods, ("10", "0", "10")).await;
    let early = shop.act(&order, "fulfil", json!({})).await;
    assert_eq!((early.status, early.code()), (409, "ORDER_STATE"));
    let confirmed = shop.act(&order, "confirm", json!({})).await.expect(200);
    assert_eq!(confirmed.body["status"], "confirmed");
    shop.assert_stock(goods, ("10", "8", "2")).await;
    // Confirmed again, under another key or none, it is the same.
    let again = shop.act(&order, "confirm", json!({})).await.expect(200);
    assert_eq!(again.body, confirmed.body);
    let part = json!({ "lines": [{ "line": 1, "qty": "3" }] });
    let path = format!("/api/v1/sales/orders/{order}:fulfil");
    let first = shop
        .owner
        .post_with_key(&path, part.clone(), "f1")
        .await
        .expect(201);
    assert_eq!(first.body["number"], "DLV/26-27/0001");
    let same = shop
        .owner
        .post_with_key(&path, part, "f1")
        .await
        .expect(201);
    assert_eq!(same.body, first.body);
    assert_eq!(same.header("idempotency-hit"), Some("true"));
    let other = shop.owner.post_with_key(&path, json!({}), "f1").await;
    assert_eq!(
        (other.status, other.code()),
        (422, "IDEMPOTENCY_KEY_REUSED")
    );
    shop.assert_stock(goods, ("7", "5", "2")).await;
    assert_eq!(
        shop.standing(&order).await,
        standing(
            "partially_fulfilled",
            &[["5", "0", "3", "0"], ["0", "0", "0", "0"]]
        )
    );
    let more = json!({ "lines": [{ "line": 1, "qty": "6" }] });
    let refused = shop.act(&order, "fulfil", more.clone()).await;
    assert_eq!((refused.status, refused.code()), (422, "EXCEEDS_ORDERED"));
    let refused = shop
        .act(
            &order,
            "invoice",
            json!({ "lines": [{ "line": 1, "qty": "4" }] }),
        )
        .await;
    assert_eq!((refused.status, refused.code()), (422, "EXCEEDS_DELIVERED"));
    let bill = shop
        .act(
            &order,
            "invoice",
            json!({ "lines": [{ "line": 1, "qty": "2" }] }),
        )
        .await;
    let bill = bill.expect(201).body;
    assert_eq!(bill["total"], "20.00");
    assert_eq!(
        bill["lines"][0]["fulfilment_id"],
        first.body["fulfilment_id"]
    );
    assert_eq!(
        (
            &bill["lines"][0]["order_id"],
            &bill["lines"][0]["order_line"]
        ),
        (&json!(order), &json!(1))
    );
    let refused = shop.act(&order, "close", json!({})).await;
    assert_eq!((refused.status, refused.code()), (409, "NOT_SETTLED"));
    // The service and what is left of the goods; then one bill for all that is not billed.
    shop.act(&order, "fulfil", json!({})).await.expect(201);
    let rest = shop
        .act(&order, "invoice", json!({}))
        .await
        .expect(201)
        .body;
    assert_eq!(rest["lines"].as_array().unwrap().len(), 3, "{rest}");
    assert_eq!(rest["total"], "178.00");
    assert_eq!(
        shop.standing(&order).await,
        standing("fulfilled", &[["0", "0", "8", "8"], ["0", "0", "1", "1"]])
    );
    let nothing = shop.act(&order, "invoice", json!({})).await;
    assert_eq!((nothing.status, nothing.code()), (422, "NOTHING_LEFT"));
    // The bills move no stock.
    shop.relay().await;
    shop.assert_stock(goods, ("2", "0", "2")).await;
    shop.act(&order, "close", json!({})).await.expect(200);
    let said = shop.sales.events().await.into_iter();
    let said: Vec<_> = said
        .filter(|e| e.event_type.starts_with("order."))
        .map(|e| (e.event_type, e.aggregate_version))
        .collect();
    let types: Vec<_> = said.iter().map(|s| s.0.as_str()).collect();
    assert_eq!(
        types,
        [
            "order.created",
            "order.confirmed",
            "order.fulfilled",
            "order.fulfilled",
            "order.closed"
        ]
    );
    assert!(said.windows(2).all(|w| w[0].1 < w[1].1), "{said:?}");
    let deliveries = shop
        .owner
        .get(&format!("/api/v1/sales/orders/{order}/fulfilments"))
        .await;
    assert_eq!(deliveries.expect(200).body["total"], 2);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_back_orders_all_of_it_is_held_or_nothing() {
    let shop = Shop::open().await;
    let (plenty, few) = (shop.goods("10").await, shop.goods("3").await);
    let order = shop.order(&[(plenty, "5"), (few, "2"), (few, "2")]).await;
    let short = shop.act(&order, "confirm", json!({})).await.expect(409);
    assert_eq!(short.code(), "INSUFFICIENT_STOCK");
    assert_eq!(
        short.body["shortages"],
        json!([{ "product_id": few, "lines": [2, 3], "asked": "4", "available": "3" }])
    );
    assert_eq!(shop.shown(&order).await["status"], "draft");
    shop.assert_stock(plenty, ("10", "0", "10")).await;
    // A draft may be changed, and confirmed when the goods are there.
    shop.receive(few, "1", "6").await;
    shop.act(&order, "confirm", json!({})).await.expect(200);
    shop.assert_stock(few, ("4", "4", "0")).await;
    let late = shop
        .owner
        .put(
            &format!("/api/v1/sales/orders/{order}"),
            shop.order_of(&[(few, "1")]),
            4,
        )
        .await;
    assert!(matches!(late.status, 409 | 412), "{}", late.text);
    shop.act(&order, "cancel", json!({ "reason": "changed its mind" }))
        .await
        .expect(200);
    shop.assert_stock(few, ("4", "0", "4")).await;
    shop.act(&order, "cancel", json!({})).await.expect(200);
    assert_eq!(shop.said("order.cancelled").await.len(), 1);
    let gone = shop.act(&order, "confirm", json!({})).await;
    assert_eq!((gone.status, gone.code()), (409, "ORDER_STATE"));
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_short_is_a_back_order_and_is_served_when_goods_come() {
    let shop = Shop::open().await;
    let goods = shop.goods("3").await;
    let (first, second) = (
        shop.patient_order(&[(goods, "5")]).await,
        shop.patient_order(&[(goods, "4")]).await,
    );
    for order in [&first, &second] {
        shop.act(order, "confirm", json!({})).await.expect(200);
    }
    assert_eq!(
        shop.standing(&first).await,
        standing("confirmed", &[["3", "2", "0", "0"]])
    );
    assert_eq!(
        shop.standing(&second).await,
        standing("confirmed", &[["0", "4", "0", "0"]])
    );
    let refused = shop
        .act(
            &second,
            "fulfil",
            json!({ "lines": [{ "line": 1, "qty": "1" }] }),
        )
        .await;
    assert_eq!((refused.status, refused.code()), (409, "NOT_PROMISED"));
    shop.act(&first, "fulfil", json!({})).await.expect(201);
    let waiting = shop
        .owner
        .get("/api/v1/sales/orders?back_ordered=true")
        .await
        .expect(200);
    assert_eq!(waiting.body["total"], 2);
    shop.receive(goods, "4", "6").await;
    shop.tell().await;
    shop.tend().await;
    // Who waits longest is served first; nobody is promised what another has.
    let (one, two) = (shop.standing(&first).await, shop.standing(&second).await);
    assert_eq!(
        one,
        standing("partially_fulfilled", &[["2", "0", "3", "0"]])
    );
    assert_eq!(two, standing("confirmed", &[["2", "2", "0", "0"]]));
    shop.assert_stock(goods, ("4", "4", "0")).await;
    // By hand, without waiting for the job.
    shop.receive(goods, "1", "6").await;
    shop.act(&second, "allocate", json!({})).await.expect(200);
    assert_eq!(
        shop.standing(&second).await,
        standing("confirmed", &[["3", "1", "0", "0"]])
    );
    // Closed short: what is left is released, and the rest of the order never comes.
    shop.act(&first, "invoice", json!({})).await.expect(201);
    shop.act(
        &first,
        "close",
        json!({ "reason": "the rest is not needed" }),
    )
    .await
    .expect(200);
    assert_eq!(
        shop.standing(&first).await,
        standing("closed", &[["0", "0", "3", "3"]])
    );
    shop.assert_stock(goods, ("5", "3", "2")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_that_are_gone_put_their_line_back_on_order() {
    let shop = Shop::open().await;
    let goods = shop.goods("5").await;
    let order = shop.order(&[(goods, "5")]).await;
    shop.act(&order, "confirm", json!({})).await.expect(200);
    let loss = json!({ "location_id": shop.location, "reason": "broken",
        "lines": [{ "product_id": goods, "qty_delta": "-2" }] });
    shop.keeper()
        .post("/api/v1/inventory/adjust", loss)
        .await
        .expect(201);
    shop.tell().await;
    assert_eq!(
        shop.standing(&order).await,
        standing("confirmed", &[["3", "2", "0", "0"]])
    );
    // Told again later, it is no news.
    shop.tend().await;
    shop.receive(goods, "2", "6").await;
    shop.tell().await;
    shop.tend().await;
    assert_eq!(
        shop.standing(&order).await,
        standing("confirmed", &[["5", "0", "0", "0"]])
    );
    shop.act(&order, "fulfil", json!({})).await.expect(201);
    shop.assert_stock(goods, ("0", "0", "0")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bill_before_the_delivery_moves_nothing_and_is_that_deliverys_bill() {
    let shop = Shop::open().await;
    let goods = shop.goods("5").await;
    let order = shop.order(&[(goods, "5")]).await;
    shop.act(&order, "confirm", json!({})).await.expect(200);
    let bill = json!({ "before_delivery": true, "lines": [{ "line": 1, "qty": "4" }] });
    let bill = shop.act(&order, "invoice", bill).await.expect(201).body;
    assert_eq!(bill["lines"][0]["fulfilment_id"], Value::Null);
    shop.relay().await;
    shop.assert_stock(goods, ("5", "5", "0")).await;
    let refused = shop.act(&order, "cancel", json!({})).await;
    assert_eq!((refused.status, refused.code()), (409, "NOT_SETTLED"));
    let delivery = shop.act(&order, "fulfil", json!({})).await.expect(201);
    assert_eq!(delivery.body["lines"][0]["invoiced"], "4");
    let rest = shop
        .act(&order, "invoice", json!({}))
        .await
        .expect(201)
        .body;
    assert_eq!(rest["lines"][0]["qty"], "1");
    shop.relay().await;
    shop.assert_stock(goods, ("0", "0", "0")).await;
    shop.act(&order, "close", json!({})).await.expect(200);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cancelled_bill_took_of_an_order_is_billed_again() {
    let shop = Shop::open().await;
    let goods = shop.goods("5").await;
    let customer = shop.customer(Some("1000")).await;
    let mut wish = shop.order_of(&[(goods, "5")]);
    wish["customer_id"] = json!(customer);
    let order = shop.order_with(wish).await;
    shop.act(&order, "confirm", json!({})).await.expect(200);
    let account =
        |dues: &str, orders: &str| (dues.to_owned(), orders.to_owned(), "0.00".to_owned());
    assert_eq!(shop.account(customer).await, account("0.00", "50.00"));
    let ahead = json!({ "before_delivery": true, "lines": [{ "line": 1, "qty": "4" }] });
    let first = shop.act(&order, "invoice", ahead).await.expect(201).body;
    let part = json!({ "lines": [{ "line": 1, "qty": "3" }] });
    shop.act(&order, "fulfil", part).await.expect(201);
    shop.act(&order, "fulfil", json!({})).await.expect(201);
    let rest = shop
        .act(&order, "invoice", json!({}))
        .await
        .expect(201)
        .body;
    assert_eq!(shop.account(customer).await, account("50.00", "0.00"));
    shop.relay().await;
    for bill in [&rest, &first] {
        let path = format!(
            "/api/v1/sales/invoices/{}:cancel",
            bill["invoice_id"].as_str().unwrap()
        );
        let reason = json!({ "reason_code": "data_entry" });
        shop.owner.post(&path, reason).await.expect(200);
        shop.assert_sound().await;
    }
    assert_eq!(shop.account(customer).await, account("0.00", "50.00"));
    shop.relay().await;
    // The goods are with the customer: they left with the deliveries.
    shop.assert_stock(goods, ("0", "0", "0")).await;
    let whole = shop
        .act(&order, "invoice", json!({}))
        .await
        .expect(201)
        .body;
    assert_eq!(
        (&whole["total"], &whole["lines"].as_array().unwrap().len()),
        (&json!("50.00"), &2)
    );
    shop.act(&order, "close", json!({})).await.expect(200);
    let path = format!(
        "/api/v1/sales/invoices/{}:cancel",
        whole["invoice_id"].as_str().unwrap()
    );
    let ended = shop
        .owner
        .post(&path, json!({ "reason_code": "data_entry" }))
        .await;
    assert_eq!((ended.status, ended.code()), (409, "ORDER_STATE"));
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_comes_back_at_the_cost_it_left_with() {
    let shop = Shop::open().await;
    let goods = shop.goods("2").await;
    let order = shop.order(&[(goods, "2")]).await;
    shop.act(&order, "confirm", json!({})).await.expect(200);
    shop.act(&order, "fulfil", json!({})).await.expect(201);
    // Dearer by now: a return at the current cost would be worth 50.
    shop.receive(goods, "1", "50").await;
    let bill = shop
        .act(&order, "invoice", json!({}))
        .await
        .expect(201)
        .body;
    let back = json!({ "original_invoice_id": bill["invoice_id"],
        "lines": [{ "original_line": 1, "qty": "1" }],
        "refund_tenders": [{ "method": "credit", "amount": "10.00" }] });
    let reply = shop.owner.post("/api/v1/sales/returns", back).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    shop.relay().await;
    let events = shop.stock.as_ref().unwrap().events().await;
    let returned = events
        .iter()
        .find(|e| e.event_type == "stock.returned")
        .unwrap();
    assert_eq!(returned.payload["lines"][0]["cost_value"], "6.00");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_1_through_an_order_is_the_same_invoice_to_the_paisa() {
    let shop = Shop::open().await;
    let shampoo = shop
        .product("Shampoo 340", "199", false, "taxable", "5")
        .await;
    let charger = shop
        .product("Charger 20W", "349.50", false, "taxable", "18")
        .await;
    let cola = shop
        .product("Cola 750", "38.75", false, "taxable", "40")
        .await;
    for product in [shampoo, charger, cola] {
        shop.receive(product, "60", "20").await;
    }
    let body = json!({
        "location_id": shop.location,
        "buyer": { "name": "Jain Stores", "gstin": CUSTOMER, "phone": "9820098200", "address": "Pune", "state_code": "27" },
        "lines": [
            { "product_id": shampoo, "qty": "12", "discount": { "percent": "10" } },
            { "product_id": charger, "qty": "3", "discount": { "amount": "50.00" } },
            { "product_id": cola, "qty": "24" },
        ],
        "bill_discount": { "amount": "100.00" },
    });
    let direct = shop
        .owner
        .post_with_key("/api/v1/sales/invoices", body.clone(), "s1")
        .await
        .expect(201)
        .body;
    let quotation = shop
        .owner
        .post("/api/v1/sales/quotations", body)
        .await
        .expect(201);
    let path = format!(
        "/api/v1/sales/quotations/{}",
        quotation.text_at("quotation_id")
    );
    shop.owner
        .post(&format!("{path}:send"), json!({}))
        .await
        .expect(200);
    let order = shop
        .owner
        .post(&format!("{path}:accept"), json!({}))
        .await
        .expect(201);
    let order = order.text_at("order_id");
    shop.act(&order, "confirm", json!({})).await.expect(200);
    shop.act(&order, "fulfil", json!({})).await.expect(201);
    let bill = shop
        .act(&order, "invoice", json!({}))
        .await
        .expect(201)
        .body;
    let money = |invoice: &Value| {
        let mut kept = invoice.clone();
        let own = ["invoice_id", "number", "version", "issued_at"];
        let _ = own.map(|name| kept.as_object_mut().unwrap().remove(name));
        for line in kept["lines"].as_array_mut().unwrap() {
            let _ = ["order_id", "order_line", "fulfilment_id", "batches"]
                .map(|name| line.as_object_mut().unwrap().remove(name));
        }
        kept
    };
    assert_eq!(bill["total"], "4621.00");
    assert_eq!(money(&bill), money(&direct));
    let said = shop.said("invoice.issued").await;
    assert_eq!(said[1]["lines"][0]["discount"], "291.50");
    assert_eq!(said[1]["lines"][0]["order_id"], json!(order));
    shop.relay().await;
    shop.assert_stock(shampoo, ("36", "0", "36")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tax_is_that_of_the_bills_day_and_the_price_that_of_the_orders() {
    let shop = Shop::open().await;
    let profile = bahi_types::TaxProfileId::new();
    let product = crate::support::product("A", "100", false, profile);
    let rates = [
        ("2017-07-01", Some("2026-12-01"), "18"),
        ("2026-12-01", None, "5"),
    ];
    shop.hear([
        bahi_events::TAX_RATE_CHANGED.of(
            profile.uuid(),
            1,
            &crate::support::tax_profile(profile, "taxable", &rates),
        ),
        bahi_events::PRODUCT_CREATED.of(product.product_id.uuid(), 1, &product),
    ])
    .await;
    shop.receive(product.product_id, "2", "60").await;
    let order = shop.order(&[(product.product_id, "2")]).await;
    assert_eq!(shop.shown(&order).await["total"], "236.00");
    shop.act(&order, "confirm", json!({})).await.expect(200);
    let mut dearer = product.clone();
    dearer.price = "150".parse().unwrap();
    shop.hear([bahi_events::PRODUCT_UPDATED.of(product.product_id.uuid(), 2, &dearer)])
        .await;
    shop.act(&order, "fulfil", json!({})).await.expect(201);
    shop.later(30 * 86400);
    let bill = shop
        .act(&order, "invoice", json!({}))
        .await
        .expect(201)
        .body;
    assert_eq!(
        (&bill["taxable"], &bill["total"]),
        (&json!("200.00"), &json!("210.00"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_5g_of_ten_credit_orders_at_once_one_is_confirmed() {
    let shop = Shop::open().await;
    let service = shop.service().await;
    let customer = shop.customer(Some("50000")).await;
    let order = |price: &str| {
        let mut body = shop.order_of(&[(service, "1")]);
        body.as_object_mut().unwrap().remove("buyer");
        body["customer_id"] = json!(customer);
        let line = json!({ "product_id": service, "qty": "1", "unit_price": price, "price_includes_tax": true, "reason": "agreed" });
        body["lines"] = json!([line]);
        body
    };
    let big = shop.order_with(order("45000")).await;
    shop.act(&big, "confirm", json!({})).await.expect(200);
    let mut orders = Vec::new();
    for _ in 0..10 {
        orders.push(shop.order_with(order("4000")).await);
    }
    let replies = join_all(orders.iter().map(|o| shop.act(o, "confirm", json!({})))).await;
    let mut statuses: Vec<u16> = replies.iter().map(|r| r.status).collect();
    statuses.sort_unstable();
    let expected: Vec<u16> = [vec![200; 1], vec![409; 9]].concat();
    assert_eq!(statuses, expected);
    let refused = replies.iter().find(|r| r.status == 409).unwrap();
    assert_eq!(refused.code(), "CREDIT_LIMIT_EXCEEDED");
    assert_eq!(shop.said("order.confirmed").await.len(), 2);
    // A bill moves it from orders to dues; what is cancelled is free again.
    shop.act(&big, "fulfil", json!({})).await.expect(201);
    shop.act(&big, "invoice", json!({})).await.expect(201);
    let at = replies.iter().position(|r| r.status == 200).unwrap();
    let again = replies.iter().position(|r| r.status == 409).unwrap();
    shop.assert_sound().await;
    shop.act(&orders[again], "confirm", json!({}))
        .await
        .expect(409);
    shop.act(&orders[at], "cancel", json!({})).await.expect(200);
    shop.act(&orders[again], "confirm", json!({}))
        .await
        .expect(200);
    let reason = json!({ "credit_override": "the owner said so" });
    let another = orders
        .iter()
        .enumerate()
        .find(|(n, _)| *n != at && *n != again)
        .unwrap()
        .1;
    let clerk = shop.cashier(&["sales.order.write"]);
    let path = format!("/api/v1/sales/orders/{another}:confirm");
    clerk.post(&path, reason.clone()).await.expect(403);
    shop.owner.post(&path, reason).await.expect(200);
    shop.assert_sound().await;
}
