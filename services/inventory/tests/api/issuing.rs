//! Step 5: goods leave when an invoice was issued; a sale that happened is never refused.

use bahi_events::{INVOICE_ISSUED, LOCATION_CREATED, PRODUCT_CREATED, RETURN_PROCESSED, Tracking};
use bahi_proto::{inventory::v1::HoldState, reservation_id};
use bahi_types::{BranchId, InvoiceId, LocationId, ProductId};
use inventory::consumers;
use serde_json::json;

use crate::support::{Got, Shop, invoice_of, product, q};

#[tokio::test(flavor = "multi_thread")]
async fn an_issued_sale_moves_its_goods_once_however_often_it_is_told() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let invoice = shop.sell(&[(tea, "4")]).await;
    // A producer's mistake: the same fact under another event id.
    shop.issue(invoice, 1, &[(tea, "4")]).await;
    // And twice in one slice.
    let again = [
        shop.invoice(invoice, 1, &[(tea, "4")]),
        shop.invoice(invoice, 1, &[(tea, "4")]),
    ];
    shop.hear(consumers::issued, &again).await;
    shop.assert_stock(tea, ("6", "0", "6")).await;
    let said = shop.said("stock.issued").await;
    assert_eq!(said.len(), 1);
    assert_eq!(said[0]["lines"][0]["cost_value"], "20.00");
    assert_eq!(
        shop.hold_state(reservation_id(invoice, 1)).await,
        "committed"
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_the_key_of_the_movement_still_refuses_a_second_issue() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let invoice = shop.sell(&[(tea, "4")]).await;
    shop.app
        .admin()
        .await
        .batch_execute("delete from movement_header")
        .await
        .unwrap();
    let told = [shop.invoice(invoice, 1, &[(tea, "4")])];
    assert!(shop.hear_once(consumers::issued, &told).await.is_err());
    shop.assert_stock(tea, ("6", "0", "6")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_consumer_hears_what_others_say_under_its_name() {
    let mut shop = Shop::open().await;
    let (tea, place) = (ProductId::new(), LocationId::new());
    shop.location = place;
    let location = bahi_events::Location {
        location_id: place,
        branch_id: BranchId::new(),
        code: "S".into(),
        name: "Shop".into(),
        active: true,
    };
    let invoice = InvoiceId::new();
    let events = vec![
        LOCATION_CREATED.of(place.uuid(), 1, &location),
        PRODUCT_CREATED.of(tea.uuid(), 1, &product(tea, Tracking::default())),
        INVOICE_ISSUED.of(
            invoice.uuid(),
            1,
            &invoice_of(&shop, invoice, None, &[(tea, "2")]),
        ),
    ];
    shop.app.feed(events, shop.tenant()).await;
    assert_eq!(shop.shortages().await[0]["open"], "2");
    shop.receive(tea, "5", "5").await;
    let note = shop
        .credit_note(Some(invoice), &[(1, tea, "1", "restock")])
        .payload;
    shop.app
        .feed(
            vec![RETURN_PROCESSED.of(invoice.uuid(), 2, &note)],
            shop.tenant(),
        )
        .await;
    shop.assert_stock(tea, ("4", "0", "4")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_of_many_invoices_is_one_transaction_with_one_event_each() {
    let shop = Shop::open().await;
    let products = [
        shop.product().await,
        shop.product().await,
        shop.product().await,
    ];
    for product in products {
        shop.receive(product, "100", "2.50").await;
    }
    let mut events = Vec::new();
    for n in 0..40 {
        let lines: Vec<(ProductId, &str)> = products
            .iter()
            .map(|p| (*p, if n % 2 == 0 { "1" } else { "0.5" }))
            .collect();
        let invoice = InvoiceId::new();
        shop.reserve(invoice, 1, &lines).await.granted();
        events.push(shop.invoice(invoice, 1, &lines));
    }
    shop.hear(consumers::issued, &events).await;
    for product in products {
        shop.assert_stock(product, ("70", "0", "70")).await;
    }
    let said = shop.said("stock.issued").await;
    assert_eq!(said.len(), 40);
    assert!(
        said.iter()
            .all(|e| e["lines"].as_array().unwrap().len() == 3)
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_without_a_hold_takes_what_is_available_and_the_rest_is_owed() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    // Seven are promised to somebody else: they are not available.
    shop.reserve(InvoiceId::new(), 1, &[(tea, "7")])
        .await
        .granted();
    let offline = InvoiceId::new();
    shop.issue(offline, 1, &[(tea, "2"), (tea, "2")]).await;
    shop.assert_stock(tea, ("7", "7", "0")).await;
    let owed = shop.shortages().await;
    assert_eq!(owed.len(), 1);
    assert_eq!(
        (&owed[0]["line"], &owed[0]["open"]),
        (&json!(2), &json!("1"))
    );
    // The id ends committed, so a late request for it is not granted.
    let late = shop.reserve(offline, 1, &[(tea, "4")]).await;
    assert_eq!(late, Got::Terminal(HoldState::Committed.into()));
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_with_nothing_on_hand_is_never_refused() {
    let shop = Shop::open().await;
    let ghost = ProductId::new();
    let told = [shop.invoice(InvoiceId::new(), 1, &[(ghost, "3")])];
    assert!(
        shop.hear_once(consumers::issued, &told).await.is_ok(),
        "an event is a fact"
    );
    assert_eq!(shop.shortages().await.len(), 1);
    assert!(shop.said("stock.issued").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hold_of_another_basket_is_freed_and_counts_for_nothing() {
    let shop = Shop::open().await;
    let (tea, milk) = (shop.product().await, shop.product().await);
    shop.receive(tea, "5", "5").await;
    shop.receive(milk, "5", "5").await;
    let invoice = InvoiceId::new();
    shop.reserve(invoice, 1, &[(tea, "5")]).await.granted();
    shop.issue(invoice, 1, &[(milk, "2"), (tea, "1")]).await;
    shop.assert_stock(tea, ("4", "0", "4")).await;
    shop.assert_stock(milk, ("3", "0", "3")).await;
    assert_eq!(
        shop.hold_state(reservation_id(invoice, 1)).await,
        "committed"
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_batches_of_another_baskets_hold_are_not_this_sales() {
    let shop = Shop::open().await;
    let milk = shop.batched().await;
    let promised = shop
        .receive_batch(milk, "B1", Some("2026-12-05"), "2", "9")
        .await;
    let free = shop
        .receive_batch(milk, "B2", Some("2027-12-05"), "3", "10")
        .await;
    let invoice = InvoiceId::new();
    shop.reserve(invoice, 1, &[(milk, "2")]).await.granted();
    let block = format!("/api/v1/inventory/batches/{promised}:block");
    shop.owner
        .post(&block, json!({ "reason": "recall" }))
        .await
        .expect(200);
    shop.issue(invoice, 1, &[(milk, "1")]).await;
    let said = shop.said("stock.issued").await;
    assert_eq!(said[0]["lines"][0]["batch_id"], free.to_string());
    shop.assert_stock(milk, ("4", "0", "2")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_baskets_hold_frees_serves_whoever_waits() {
    let shop = Shop::open().await;
    let (tea, milk) = (shop.product().await, shop.product().await);
    shop.receive(tea, "5", "5").await;
    let invoice = InvoiceId::new();
    shop.reserve(invoice, 1, &[(tea, "5")]).await.granted();
    shop.issue(InvoiceId::new(), 1, &[(tea, "3")]).await;
    shop.issue(invoice, 1, &[(milk, "1")]).await;
    shop.assert_stock(tea, ("2", "0", "2")).await;
    let owed = shop.shortages().await;
    assert_eq!(owed.len(), 1);
    assert_eq!(owed[0]["product_id"], milk.to_string());
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lapsed_hold_is_no_hold_but_its_sale_is_still_issued() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "5", "5").await;
    let invoice = InvoiceId::new();
    shop.reserve(invoice, 1, &[(tea, "4")]).await.granted();
    shop.release(invoice, 1).await;
    shop.reserve(InvoiceId::new(), 1, &[(tea, "3")])
        .await
        .granted();
    shop.issue(invoice, 1, &[(tea, "4")]).await;
    shop.assert_stock(tea, ("3", "3", "0")).await;
    assert_eq!(shop.shortages().await[0]["open"], "2");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promised_batches_are_issued_whatever_has_become_of_them() {
    let shop = Shop::open().await;
    let milk = shop.batched().await;
    let first = shop
        .receive_batch(milk, "B1", Some("2026-11-22"), "3", "9")
        .await;
    shop.receive_batch(milk, "B2", Some("2027-11-22"), "3", "10")
        .await;
    let invoice = InvoiceId::new();
    shop.reserve(invoice, 1, &[(milk, "2")]).await.granted();
    let block = format!("/api/v1/inventory/batches/{first}:block");
    shop.owner
        .post(&block, json!({ "reason": "recall" }))
        .await
        .expect(200);
    shop.later(3 * 86_400);
    shop.issue(invoice, 1, &[(milk, "2")]).await;
    let said = shop.said("stock.issued").await;
    assert_eq!(said[0]["lines"][0]["batch_id"], first.to_string());
    assert_eq!(said[0]["lines"][0]["cost_value"], "18.00");
    shop.assert_stock(milk, ("4", "0", "3")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_line_may_take_several_batches() {
    let shop = Shop::open().await;
    let milk = shop.batched().await;
    shop.receive_batch(milk, "B2", Some("2026-12-05"), "4", "11")
        .await;
    shop.receive_batch(milk, "B3", Some("2027-01-31"), "10", "12")
        .await;
    shop.sell(&[(milk, "12")]).await;
    let said = shop.said("stock.issued").await;
    let lines = said[0]["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["cost_value"], &lines[1]["cost_value"]),
        (&json!("44.00"), &json!("96.00"))
    );
    assert!(lines.iter().all(|l| l["line"] == 1));
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_that_left_with_a_delivery_and_services_move_nothing() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "5", "5").await;
    let invoice = InvoiceId::new();
    let mut payload = invoice_of(&shop, invoice, None, &[(tea, "1"), (tea, "1"), (tea, "1")]);
    payload.lines[0].fulfilment_id = Some(invoice.uuid());
    payload.lines[1].stocked = false;
    shop.hear(
        consumers::issued,
        &[shop.envelope(invoice.uuid(), 1, payload)],
    )
    .await;
    shop.assert_stock(tea, ("4", "0", "4")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shortages_are_settled_oldest_sale_first_whenever_more_becomes_available() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    let (first, second) = (InvoiceId::new(), InvoiceId::new());
    // The younger sale is heard of first.
    let mut young = shop.invoice(second, 1, &[(tea, "3")]);
    young.occurred_at = shop.now() + chrono::Duration::seconds(60);
    shop.hear(consumers::issued, &[young]).await;
    shop.issue(first, 1, &[(tea, "3")]).await;
    shop.receive(tea, "4", "5").await;
    let owed = shop.shortages().await;
    assert_eq!(owed.len(), 1);
    assert_eq!(
        (&owed[0]["invoice_id"], &owed[0]["open"]),
        (&json!(second.to_string()), &json!("2"))
    );
    // What comes by a release, and by finding more, is used as well.
    shop.adjust(tea, "1").await.expect(201);
    assert_eq!(shop.shortages().await[0]["open"], "1");
    shop.receive(tea, "5", "5").await;
    shop.assert_stock(tea, ("4", "0", "4")).await;
    assert!(shop.shortages().await.is_empty());
    let said = shop.said("stock.issued").await;
    let total: bahi_types::Quantity = said
        .iter()
        .flat_map(|e| e["lines"].as_array().unwrap())
        .map(|l| q(l["qty"].as_str().unwrap()))
        .sum();
    assert_eq!(total, q("6"));
    assert!(
        said.iter()
            .all(|e| e["source"]["type"] == "shortage_settlement")
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unblocking_a_batch_settles_what_is_owed() {
    let shop = Shop::open().await;
    let milk = shop.batched().await;
    let batch = shop.receive_batch(milk, "B1", None, "5", "9").await;
    let set = async |verb: &str| {
        let path = format!("/api/v1/inventory/batches/{batch}:{verb}");
        shop.owner
            .post(&path, json!({ "reason": "test" }))
            .await
            .expect(200)
    };
    assert_eq!(set("block").await.text_at("status"), "blocked");
    shop.issue(InvoiceId::new(), 1, &[(milk, "2")]).await;
    shop.assert_stock(milk, ("5", "0", "0")).await;
    assert_eq!(shop.shortages().await.len(), 1);
    assert_eq!(set("unblock").await.text_at("status"), "active");
    shop.assert_stock(milk, ("3", "0", "3")).await;
    assert!(shop.shortages().await.is_empty());
    let audited = shop.said("audit.recorded").await;
    assert_eq!(
        audited
            .iter()
            .map(|a| a["action"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["inventory.batch.block", "inventory.batch.unblock"]
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_given_back_of_a_blocked_batch_goes_to_quarantine() {
    let shop = Shop::open().await;
    let milk = shop.batched().await;
    let batch = shop.receive_batch(milk, "B1", None, "5", "9").await;
    let invoice = InvoiceId::new();
    shop.reserve(invoice, 1, &[(milk, "2")]).await.granted();
    let block = format!("/api/v1/inventory/batches/{batch}:block");
    shop.owner
        .post(&block, json!({ "reason": "recall" }))
        .await
        .expect(200);
    shop.release(invoice, 1).await;
    let stock = shop
        .owner
        .get(&format!(
            "/api/v1/inventory/stock?batch={batch}&status=quarantine"
        ))
        .await
        .expect(200);
    assert_eq!(stock.body["items"][0]["on_hand"], "2");
    shop.assert_stock(milk, ("5", "0", "0")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn movements_can_be_neither_changed_nor_deleted() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let admin = shop.app.admin().await;
    for statement in [
        "update movement set qty = 11",
        "delete from movement",
        "truncate movement",
    ] {
        assert!(admin.batch_execute(statement).await.is_err(), "{statement}");
    }
    let (runtime, connection) =
        tokio_postgres::connect(&shop.app.database.url(), tokio_postgres::NoTls)
            .await
            .unwrap();
    tokio::spawn(connection);
    let tenant = format!("set app.tenant_id = '{}'", shop.tenant());
    runtime.batch_execute(&tenant).await.unwrap();
    let refused = runtime
        .batch_execute("delete from movement")
        .await
        .unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "42501");
}
