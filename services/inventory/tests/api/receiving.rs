//! Receipts and what can be read of stock.

use bahi_events::Tracking;
use bahi_types::{BatchId, LocationId, ProductId};
use futures::future::join_all;
use inventory::consumers;
use serde_json::{Value, json};

use crate::support::{Shop, product, q};

#[tokio::test(flavor = "multi_thread")]
async fn receives_five_hundred_products_at_once() {
    let shop = Shop::open().await;
    let ids: Vec<_> = (0..500).map(|_| ProductId::new()).collect();
    let events: Vec<_> = ids
        .iter()
        .map(|id| shop.envelope(id.uuid(), 1, product(*id, Tracking::default())))
        .collect();
    shop.hear(consumers::product, &events).await;
    let lines: Vec<_> = ids
        .iter()
        .map(|id| json!({ "product_id": id, "qty": "10", "unit_cost": "1.25" }))
        .collect();
    let body = json!({ "location_id": shop.location, "reference": "GRN 1", "lines": lines });
    let made = shop
        .owner
        .post("/api/v1/inventory/receipts", body)
        .await
        .expect(201);
    assert_eq!(made.text_at("value"), "6250.00");
    assert_eq!(
        shop.said("stock.received").await[0]["lines"]
            .as_array()
            .unwrap()
            .len(),
        500
    );
    // A walk by cursor meets every one of them once.
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = shop
            .owner
            .get(&format!("/api/v1/inventory/stock?limit=200{cursor}"))
            .await
            .expect(200);
        seen.extend(
            page.body["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|i| i["product_id"].as_str().unwrap().to_owned()),
        );
        assert_eq!(page.body["total"], 500);
        let Some(next) = page.body["next_cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    let mut all: Vec<_> = ids.iter().map(ToString::to_string).collect();
    all.sort();
    assert_eq!(seen, all);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_yet_is_asked_to_come_back() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    let receipt = |location: LocationId, product: ProductId| {
        json!({ "location_id": location,
        "lines": [{ "product_id": product, "qty": "1", "unit_cost": "1" }] })
    };
    for body in [
        receipt(LocationId::new(), tea),
        receipt(shop.location, ProductId::new()),
    ] {
        let refused = shop
            .owner
            .post("/api/v1/inventory/receipts", body)
            .await
            .expect(409);
        assert_eq!(
            (refused.code(), refused.header("retry-after")),
            ("NOT_YET_KNOWN", Some("1"))
        );
    }
    // Another tenant's product is not known either.
    let other = shop.next_tenant().await;
    other
        .owner
        .post("/api/v1/inventory/receipts", receipt(other.location, tea))
        .await
        .expect(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_take_only_what_is_newer() {
    let shop = Shop::open().await;
    let id = ProductId::new();
    let batched = Tracking {
        batch: true,
        ..Tracking::default()
    };
    let newer = shop.envelope(id.uuid(), 3, product(id, batched));
    let older = shop.envelope(id.uuid(), 2, product(id, Tracking::default()));
    shop.hear(consumers::product, &[newer.clone(), older.clone()])
        .await;
    shop.hear(consumers::product, std::slice::from_ref(&older))
        .await;
    let body = json!({ "location_id": shop.location, "lines": [{ "product_id": id, "qty": "1", "unit_cost": "1" }] });
    let refused = shop
        .owner
        .post("/api/v1/inventory/receipts", body.clone())
        .await
        .expect(422);
    assert_eq!(refused.code(), "BATCH_REQUIRED");
    // After a restore of product, its epoch outranks every version.
    let mut restored = older;
    restored.epoch = 2;
    shop.hear(consumers::product, &[restored]).await;
    shop.owner
        .post("/api/v1/inventory/receipts", body.clone())
        .await
        .expect(201);
    let gone = bahi_events::ProductDeleted {
        product_id: id,
        sku: "x".into(),
    };
    let mut gone = shop.envelope(id.uuid(), 4, gone);
    gone.epoch = 2;
    shop.hear(consumers::product_deleted, &[gone]).await;
    shop.owner
        .post("/api/v1/inventory/receipts", body)
        .await
        .expect(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_followed_by_batch_needs_a_number_and_a_date_that_agree() {
    let shop = Shop::open().await;
    let (plain, milk) = (
        shop.product().await,
        shop.tracked(Tracking {
            batch: true,
            serial: false,
            expiry: true,
        })
        .await,
    );
    let post = async |product: ProductId, no: Value, expiry: Value| {
        let line = json!({ "product_id": product, "qty": "1", "unit_cost": "1", "batch_no": no, "expiry": expiry });
        let body = json!({ "location_id": shop.location, "lines": [line] });
        let reply = shop.owner.post("/api/v1/inventory/receipts", body).await;
        (reply.status, reply.code().to_owned())
    };
    let is = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(
        post(milk, json!(null), json!(null)).await,
        is(422, "BATCH_REQUIRED")
    );
    assert_eq!(
        post(milk, json!("B1"), json!(null)).await,
        is(422, "EXPIRY_REQUIRED")
    );
    assert_eq!(
        post(milk, json!("B1"), json!("2027-01-01")).await,
        is(201, "")
    );
    assert_eq!(post(milk, json!("B1"), json!(null)).await, is(201, ""));
    assert_eq!(
        post(milk, json!("B1"), json!("2027-01-02")).await,
        is(422, "EXPIRY_DIFFERS")
    );
    assert_eq!(
        post(plain, json!("B1"), json!(null)).await,
        is(422, "NOT_BATCH_TRACKED")
    );
    shop.assert_stock(milk, ("2", "0", "2")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_location_and_a_service_receive_nothing() {
    let shop = Shop::open().await;
    let service = ProductId::new();
    let mut payload = product(service, Tracking::default());
    payload.kind = bahi_events::ProductKind::Service;
    shop.hear(
        consumers::product,
        &[shop.envelope(service.uuid(), 1, payload)],
    )
    .await;
    let body = json!({ "location_id": shop.location, "lines": [{ "product_id": service, "qty": "1", "unit_cost": "1" }] });
    assert_eq!(
        shop.owner
            .post("/api/v1/inventory/receipts", body.clone())
            .await
            .expect(422)
            .code(),
        "NOT_STOCKED"
    );
    let closed = bahi_events::Location {
        location_id: shop.location,
        branch_id: bahi_types::BranchId::new(),
        code: "S".into(),
        name: "Shop".into(),
        active: false,
    };
    shop.hear(
        consumers::location,
        &[shop.envelope(shop.location.uuid(), 2, closed)],
    )
    .await;
    assert_eq!(
        shop.owner
            .post("/api/v1/inventory/receipts", body)
            .await
            .expect(422)
            .code(),
        "LOCATION_CLOSED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_one_receipt() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    let body = json!({ "location_id": shop.location, "lines": [{ "product_id": tea, "qty": "10", "unit_cost": "1" }] });
    let posts = (0..20).map(|_| {
        shop.owner
            .post_with_key("/api/v1/inventory/receipts", body.clone(), "k")
    });
    let replies = join_all(posts).await;
    assert!(
        replies
            .iter()
            .all(|r| r.status == 201 && r.body == replies[0].body)
    );
    let other = json!({ "location_id": shop.location, "lines": [{ "product_id": tea, "qty": "11", "unit_cost": "1" }] });
    let refused = shop
        .owner
        .post_with_key("/api/v1/inventory/receipts", other, "k")
        .await
        .expect(422);
    assert_eq!(refused.code(), "IDEMPOTENCY_KEY_REUSED");
    shop.assert_stock(tea, ("10", "0", "10")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_and_sales_at_once_never_leave_a_shortage_beside_stock() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    let receive = async || {
        shop.receive(tea, "3", "5").await;
    };
    let sell = async || {
        shop.issue(bahi_types::InvoiceId::new(), 1, &[(tea, "4")])
            .await
    };
    let (receipts, sales) = ((0..10).map(|_| receive()), (0..10).map(|_| sell()));
    futures::future::join(join_all(receipts), join_all(sales)).await;
    let (on_hand, _, available) = shop.stock(tea).await;
    let owed: bahi_types::Quantity = shop
        .shortages()
        .await
        .iter()
        .map(|s| q(s["open"].as_str().unwrap()))
        .sum();
    assert_eq!((on_hand, available, owed), (q("0"), q("0"), q("10")));
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_filter_and_page() {
    let shop = Shop::open().await;
    let (tea, milk) = (shop.product().await, shop.batched().await);
    shop.receive(tea, "2", "5").await;
    let batch = shop
        .receive_batch(milk, "B1", Some("2026-12-05"), "20", "5")
        .await;
    let list = async |path: &str| {
        let reply = shop
            .owner
            .get(&format!("/api/v1/inventory/{path}"))
            .await
            .expect(200);
        reply.body["items"].as_array().unwrap().len()
    };
    assert_eq!(
        list("stock").await,
        2,
        "the gate of a product followed by batch is not shown"
    );
    assert_eq!(list("stock?below=10").await, 1);
    assert_eq!(list(&format!("stock?product={tea}")).await, 1);
    assert_eq!(
        list(&format!("stock?location={}", LocationId::new())).await,
        0
    );
    assert_eq!(list(&format!("stock?batch={batch}")).await, 1);
    assert_eq!(list("stock?status=quarantine").await, 0);
    assert_eq!(list("batches?expiring_before=2026-12-31").await, 1);
    assert_eq!(list("batches?blocked=true").await, 0);
    assert_eq!(list(&format!("batches?product={milk}&no=B1")).await, 1);
    assert_eq!(
        list(&format!(
            "ledger?product={milk}&from=2026-11-21T00:00:00Z&to=2026-11-22T00:00:00Z"
        ))
        .await,
        1
    );
    assert_eq!(list("ledger?to=2026-11-01T00:00:00Z").await, 0);
    let (mut seen, mut cursor) = (0, String::new());
    loop {
        let page = shop
            .owner
            .get(&format!("/api/v1/inventory/ledger?limit=1{cursor}"))
            .await
            .expect(200);
        seen += page.body["items"].as_array().unwrap().len();
        let Some(next) = page.body["next_cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, 2);
    for bad in [
        "stock?cursor=zzz",
        "stock?sort=cost",
        "ledger?from=yesterday",
        "ledger?from=-5000-01-01T00:00:00Z",
        "batches?blocked=maybe",
        "stock?below=x",
        "availability?items=&location=00000000-0000-0000-0000-000000000000",
        "shortages?cursor=AAAA",
    ] {
        assert_eq!(
            shop.owner
                .get(&format!("/api/v1/inventory/{bad}"))
                .await
                .status,
            400,
            "{bad}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_things_are_not_found() {
    let shop = Shop::open().await;
    let (tea, milk) = (shop.product().await, shop.batched().await);
    shop.receive(tea, "2", "5").await;
    let batch = shop.receive_batch(milk, "B1", None, "20", "5").await;
    let hold = shop.hold(&[(tea, "1")], 60).await.expect(201).text_at("id");
    let other = shop.next_tenant().await;
    let reason = || json!({ "reason": "x" });
    other
        .owner
        .get(&format!("/api/v1/inventory/reservations/{hold}"))
        .await
        .expect(404);
    other
        .owner
        .post(
            &format!("/api/v1/inventory/reservations/{hold}:release"),
            json!({}),
        )
        .await
        .expect(404);
    other
        .owner
        .post(
            &format!("/api/v1/inventory/batches/{batch}:block"),
            reason(),
        )
        .await
        .expect(404);
    shop.owner
        .post(
            &format!("/api/v1/inventory/batches/{}:block", BatchId::new()),
            reason(),
        )
        .await
        .expect(404);
    assert_eq!(
        other
            .owner
            .get("/api/v1/inventory/stock")
            .await
            .expect(200)
            .body["total"],
        0
    );
    assert_eq!(
        other
            .owner
            .get("/api/v1/inventory/ledger")
            .await
            .expect(200)
            .body["total"],
        0
    );
}
