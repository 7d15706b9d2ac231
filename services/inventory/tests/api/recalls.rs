//! Recalls: nothing of the batch is promised any more, held carts lose it, and whoever bought is found.

use bahi_proto::reservation_id;
use bahi_types::{BatchId, CustomerId, InvoiceId};
use inventory::{consumers, jobs};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    batches::four_batches,
    support::{Got, Shop},
};

async fn recall(shop: &Shop, batch: BatchId) -> bahi_testkit::Reply {
    let path = format!("/api/v1/inventory/batches/{batch}:recall");
    shop.owner
        .post(&path, json!({ "reason": "glass in it" }))
        .await
}

async fn trace(shop: &Shop, batch: BatchId, query: &str) -> Value {
    let path = format!("/api/v1/inventory/batches/{batch}/trace{query}");
    shop.owner.get(&path).await.expect(200).body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recall_blocks_everywhere_and_held_carts_lose_it() {
    let shop = Shop::open().await;
    let (milk, [_, b2, b3, b4]) = four_batches(&shop).await;
    let mut second = shop.clone();
    second.location = shop.new_location().await;
    second
        .receive_batch(milk, "B3", Some("2027-01-31"), "6", "12")
        .await;
    // Sold: B2 x4 and B3 x1. Held: a cart (B3 x2), an order (B3 x3), a till that will say void (B3 x2), one that has sold (B3 x2).
    let bought = shop.sell(&[(milk, "5")]).await;
    let cart = shop
        .hold(&[(milk, "2")], 600)
        .await
        .expect(201)
        .text_at("id");
    let order = json!({ "location_id": shop.location, "order_id": Uuid::now_v7(),
        "lines": [{ "product_id": milk, "qty": "3" }] });
    let order = shop
        .owner
        .post("/api/v1/inventory/reservations", order)
        .await
        .expect(201)
        .text_at("id");
    let (void, sold) = (InvoiceId::new(), InvoiceId::new());
    for till in [void, sold] {
        shop.reserve(till, 1, &[(milk, "2")]).await.granted();
    }
    shop.sales_issued_as(sold, 1, &[(milk, "2")]);
    let beside = second
        .hold(&[(milk, "1")], 600)
        .await
        .expect(201)
        .text_at("id");

    let done = recall(&shop, b3).await.expect(200);
    assert_eq!(done.body["batch"]["status"], "blocked");
    assert!(done.body["batch"]["recalled_at"].is_string());
    let mut broken: Vec<_> = done.body["broken_reservations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| {
            (
                b["reservation_id"].as_str().unwrap().to_owned(),
                b["qty"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    broken.sort();
    let mut expected = vec![
        (cart.clone(), "2".to_owned()),
        (order.clone(), "3".to_owned()),
        (beside, "1".to_owned()),
    ];
    expected.sort();
    assert_eq!(broken, expected);
    assert_eq!(
        (&done.body["tills_asked"], &done.body["tills_answered"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(shop.hold_state(cart.parse().unwrap()).await, "released");
    assert_eq!(
        shop.hold_state(order.parse().unwrap()).await,
        "pending",
        "an order goes on without it"
    );
    assert_eq!(shop.hold_state(reservation_id(void, 1)).await, "released");
    assert_eq!(
        shop.hold_state(reservation_id(sold, 1)).await,
        "pending",
        "sold is sold"
    );
    assert_eq!(shop.said("stock.reservation_broken").await.len(), 3);
    // Nothing of it is allocated any more, at either place.
    let got = shop
        .reserve(InvoiceId::new(), 1, &[(milk, "3")])
        .await
        .granted();
    assert!(got.iter().all(|a| a.batch_id == Some(b4.to_string())));
    assert!(matches!(
        shop.reserve(InvoiceId::new(), 1, &[(milk, "1")]).await,
        Got::Refused(_)
    ));
    second.hold(&[(milk, "1")], 60).await.expect(409);
    // What was sold still leaves, and is in the trace beside the earlier sale.
    shop.issue(sold, 1, &[(milk, "2")]).await;
    let found = trace(&shop, b3, "?kind=invoice").await;
    let rows: Vec<_> = found["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| {
            (
                i["document_id"].clone(),
                i["qty"].clone(),
                i["number"].clone(),
            )
        })
        .collect();
    let number = || json!("T1/26-27/0001");
    assert_eq!(
        rows,
        [
            (json!(bought), json!("-1"), number()),
            (json!(sold), json!("-2"), number())
        ]
    );
    assert_eq!(found["sums"]["sold"], "3");
    let event = &shop.said("batch.recalled").await[0];
    assert_eq!(
        (
            &event["no"],
            &event["reason"],
            &event["sold_qty"],
            event["on_hand"].as_array().unwrap().len()
        ),
        (&json!("B3"), &json!("glass in it"), &json!("1"), 2)
    );
    // Again, nothing changes and nothing is said.
    recall(&shop, b3).await.expect(200);
    assert_eq!(shop.said("batch.recalled").await.len(), 1);
    // Who may block may not lift a recall.
    let lift = format!("/api/v1/inventory/batches/{b3}:unblock");
    let clerk = shop.owner.with_permissions(&["inventory.batch.write"]);
    let refused = clerk
        .post(&lift, json!({ "reason": "x" }))
        .await
        .expect(409);
    assert_eq!(refused.code(), "BATCH_RECALLED");
    clerk
        .post(
            &format!("/api/v1/inventory/batches/{b2}:recall"),
            json!({ "reason": "x" }),
        )
        .await
        .expect(403);
    shop.owner
        .post(&lift, json!({ "reason": "false alarm" }))
        .await
        .expect(200);
    shop.assert_sound().await;
    // Thrown away, all of it leaves as scrap.
    recall(&shop, b3).await.expect(200);
    let path = format!("/api/v1/inventory/batches/{b3}:dispose");
    shop.owner
        .post(&path, json!({ "reason": "destroyed" }))
        .await
        .expect(201);
    assert_eq!(trace(&shop, b3, "").await["on_hand"], json!([]));
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recall_does_not_wait_for_sales() {
    let shop = Shop::open().await;
    let (milk, [_, b2, ..]) = four_batches(&shop).await;
    let till = InvoiceId::new();
    shop.reserve(till, 1, &[(milk, "2")]).await.granted();
    shop.sales.ledger.lock().unwrap().down = true;
    let done = recall(&shop, b2).await.expect(200);
    assert_eq!(
        (&done.body["tills_asked"], &done.body["tills_answered"]),
        (&json!(1), &json!(false))
    );
    assert_eq!(shop.hold_state(reservation_id(till, 1)).await, "pending");
    shop.sales.ledger.lock().unwrap().down = false;
    shop.later(31);
    jobs::ask(shop.state()).await.unwrap();
    assert_eq!(shop.hold_state(reservation_id(till, 1)).await, "released");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_follows_goods_from_receipt_to_buyer_and_back() {
    let shop = Shop::open().await;
    let milk = shop.batched().await;
    let customer = CustomerId::new();
    let known = |invoice: InvoiceId, qty: &str| {
        let mut event = shop.invoice(invoice, 1, &[(milk, qty)]);
        event.payload.customer_id = Some(customer);
        event.payload.gstin_buyer = Some("27AAJCS5738D1Z6".into());
        event
    };
    // One is sold before there is any: the settlement is that invoice's.
    let early = InvoiceId::new();
    shop.hear(consumers::issued, &[known(early, "1")]).await;
    let batch = shop.receive_batch(milk, "B1", None, "10", "5").await;
    let later = InvoiceId::new();
    shop.hear(consumers::issued, &[known(later, "4")]).await;
    shop.give_back(Some(later), &[(1, milk, "3", "restock")])
        .await;
    shop.give_back(Some(later), &[(1, milk, "1", "scrap")])
        .await;
    let body = json!({ "location_id": shop.location, "reason": "count",
        "lines": [{ "product_id": milk, "batch_id": batch, "qty_delta": "-2" }] });
    shop.owner
        .post("/api/v1/inventory/adjust", body)
        .await
        .expect(201);
    let found = trace(&shop, batch, "").await;
    assert_eq!(
        found["sums"],
        json!({ "received": "10", "sold": "5", "returned": "4", "other": "-3", "on_hand": "6" })
    );
    let rows: Vec<_> = found["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| {
            (
                i["kind"].as_str().unwrap(),
                i["qty"].as_str().unwrap(),
                i["returned"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("receipt", "10", None),
            ("invoice", "-1", Some("0")),
            ("invoice", "-4", Some("4")),
            ("return", "3", None),
            ("return", "1", None),
            ("adjustment", "-2", None)
        ]
    );
    for n in [1, 2] {
        let row = &found["items"][n];
        assert_eq!(
            (&row["customer_id"], &row["gstin"]),
            (&json!(customer), &json!("27AAJCS5738D1Z6"))
        );
    }
    // Page by page, and by kind.
    let (mut seen, mut cursor) = (0, String::new());
    loop {
        let page = trace(&shop, batch, &format!("?limit=2{cursor}")).await;
        seen += page["items"].as_array().unwrap().len();
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, 6);
    assert_eq!(trace(&shop, batch, "?kind=return").await["total"], 2);
    let stranger = shop.next_tenant().await;
    stranger
        .owner
        .get(&format!("/api/v1/inventory/batches/{batch}/trace"))
        .await
        .expect(404);
    recall(&stranger, batch).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_event_says_who_bought_what_was_issued_from_the_answer_of_sales() {
    let shop = Shop::open().await;
    let milk = shop.batched().await;
    let batch = shop.receive_batch(milk, "B1", None, "10", "5").await;
    let (invoice, customer) = (InvoiceId::new(), CustomerId::new());
    shop.reserve(invoice, 1, &[(milk, "2")]).await.granted();
    shop.sales_issued_as(invoice, 1, &[(milk, "2")]);
    shop.later(31);
    jobs::ask(shop.state()).await.unwrap();
    shop.later(901);
    jobs::issue_unheard(shop.state()).await.unwrap();
    let row = trace(&shop, batch, "?kind=invoice").await["items"][0].clone();
    assert_eq!(
        (&row["number"], &row["customer_id"]),
        (&json!("T1/26-27/0001"), &json!(null))
    );
    let mut event = shop.invoice(invoice, 1, &[(milk, "2")]);
    event.payload.customer_id = Some(customer);
    shop.hear(consumers::issued, &[event]).await;
    let row = trace(&shop, batch, "?kind=invoice").await["items"][0].clone();
    assert_eq!(
        (&row["qty"], &row["customer_id"]),
        (&json!("-2"), &json!(customer))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_and_a_recall_at_once_leave_the_books_sound() {
    let shop = Shop::open().await;
    let (milk, [_, _, b3, _]) = four_batches(&shop).await;
    let hold = async |n: u32| {
        if n.is_multiple_of(2) {
            let reply = shop.hold(&[(milk, "1")], 600).await;
            assert!([201, 409].contains(&reply.status), "{}", reply.text);
        } else {
            shop.reserve(InvoiceId::new(), 1, &[(milk, "1")]).await;
        }
    };
    let holds = futures::future::join_all((0..16).map(hold));
    let (_, done) = futures::future::join(holds, recall(&shop, b3)).await;
    assert!([200, 503].contains(&done.status), "{}", done.text);
    recall(&shop, b3).await.expect(200);
    shop.assert_sound().await;
    let held: i64 = shop
        .app
        .admin()
        .await
        .query_one(
            "select count(*) from reservation r join reservation_line l on l.tenant_id = r.tenant_id and l.reservation_id = r.id
             where r.state = 'pending' and l.qty > 0 and l.batch_id = $1",
            &[&b3.uuid()],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(held, 0, "no hold has goods of it");
}
