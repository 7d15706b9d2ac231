//! What inventory says: products that have moved are frozen in part, and stay.

use bahi_events::{
    CountedLine, INVENTORY_ADJUSTED, INVENTORY_TRANSFERRED, InventoryAdjusted,
    InventoryTransferred, Outgoing, Premises, RevaluedLine, STOCK_COUNT_POSTED, STOCK_ISSUED,
    STOCK_RECEIVED, STOCK_RETURNED, STOCK_REVALUED, STOCK_STATUS_CHANGED, StatusChangedLine,
    StockCountPosted, StockIssued, StockLine, StockReceived, StockReturned, StockRevalued,
    StockSource, StockStatusChanged, TransferredLine,
};
use bahi_types::{LocationId, MovementId, ProductId, Quantity, RegistrationId};
use serde_json::json;
use uuid::Uuid;

use crate::support::*;

pub fn source(kind: &str) -> StockSource {
    StockSource {
        kind: kind.into(),
        id: Uuid::now_v7(),
        line: None,
    }
}

pub fn lines(product: &str) -> Vec<StockLine> {
    let (qty, cost_value) = (5.into(), 50.into());
    let product_id = product.parse().unwrap();
    vec![StockLine {
        line: 1,
        product_id,
        batch_id: None,
        status: "saleable".into(),
        qty,
        cost_value,
        variance: None,
        uom: None,
    }]
}

pub fn received(product: &str) -> Outgoing {
    let (source, location_id, lines) = (source("receipt"), LocationId::new(), lines(product));
    STOCK_RECEIVED.of(
        source.id,
        1,
        &StockReceived {
            source: source.clone(),
            location_id,
            lines,
            premises: Premises::default(),
        },
    )
}

pub fn issued(product: &str) -> Outgoing {
    let (source, location_id, lines) = (source("invoice"), LocationId::new(), lines(product));
    STOCK_ISSUED.of(
        source.id,
        1,
        &StockIssued {
            source: source.clone(),
            invoice_id: source.id,
            location_id,
            lines,
            premises: Premises::default(),
        },
    )
}

pub fn returned(product: &str) -> Outgoing {
    let (source, location_id, lines) = (source("return"), LocationId::new(), lines(product));
    STOCK_RETURNED.of(
        source.id,
        1,
        &StockReturned {
            source: source.clone(),
            invoice_id: None,
            location_id,
            lines,
            premises: Premises::default(),
        },
    )
}

pub fn adjusted(product: &str) -> Outgoing {
    let product_id: ProductId = product.parse().unwrap();
    let adjustment = InventoryAdjusted {
        movement_id: MovementId::new(),
        product_id,
        location_id: LocationId::new(),
        batch_id: None,
        status: "saleable".into(),
        qty_delta: 1.into(),
        unit_cost: 10.into(),
        value_delta: 10.into(),
        reason: "found".into(),
        reason_code: None,
        source: source("adjustment"),
        on_hand_after: 1.into(),
        uom: None,
        premises: Premises::default(),
    };
    INVENTORY_ADJUSTED.of(product_id.uuid(), 1, &adjustment)
}

fn counted(product: &str, book: i64) -> Outgoing {
    let (count_id, counted, book) = (Uuid::now_v7(), Quantity::from(5), Quantity::from(book));
    let line = CountedLine {
        line: 1,
        product_id: product.parse().unwrap(),
        batch_id: None,
        status: "sellable".into(),
        counted,
        book,
        variance: counted - book,
        qty_delta: counted - book,
        value_delta: 0.into(),
        uom: None,
    };
    let posted = StockCountPosted {
        count_id,
        location_id: LocationId::new(),
        value_delta: 0.into(),
        lines: vec![line],
        premises: Premises::default(),
    };
    STOCK_COUNT_POSTED.of(count_id, 1, &posted)
}

pub fn found(product: &str) -> Outgoing {
    counted(product, 3)
}

pub fn missing(product: &str) -> Outgoing {
    counted(product, 7)
}

pub fn transferred(product: &str) -> Outgoing {
    let transfer_id = Uuid::now_v7();
    let line = TransferredLine {
        line: 1,
        product_id: product.parse().unwrap(),
        batch_id: None,
        status: "sellable".into(),
        qty: 5.into(),
        value: 50.into(),
        uom: None,
    };
    let transfer = InventoryTransferred {
        transfer_id,
        phase: "received".into(),
        from_location_id: LocationId::new(),
        to_location_id: LocationId::new(),
        registration_from: RegistrationId::new(),
        registration_to: RegistrationId::new(),
        gstin_from: None,
        gstin_to: None,
        taxable: true,
        eway_bill_no: None,
        reason: None,
        lines: vec![line],
        branch_from: None,
        branch_to: None,
    };
    INVENTORY_TRANSFERRED.of(transfer_id, 1, &transfer)
}

pub fn status_changed(product: &str) -> Outgoing {
    let source = source("status_change");
    let line = StatusChangedLine {
        line: 1,
        product_id: product.parse().unwrap(),
        batch_id: None,
        from: "damaged".into(),
        to: "sellable".into(),
        qty: 5.into(),
        cost_value: 50.into(),
        uom: None,
    };
    let change = StockStatusChanged {
        source: source.clone(),
        location_id: LocationId::new(),
        reason: "mended".into(),
        lines: vec![line],
        premises: Premises::default(),
    };
    STOCK_STATUS_CHANGED.of(source.id, 1, &change)
}

pub fn revalued(product: &str) -> Outgoing {
    let source = source("revaluation");
    let line = RevaluedLine {
        line: 1,
        product_id: product.parse().unwrap(),
        location_id: LocationId::new(),
        batch_id: None,
        status: "sellable".into(),
        qty: 5.into(),
        value_delta: 10.into(),
        uom: None,
        premises: Premises::default(),
    };
    let revaluation = StockRevalued {
        source: source.clone(),
        reason: None,
        posting_date: chrono::NaiveDate::default(),
        lines: vec![line],
        expensed: Vec::new(),
        costings: Vec::new(),
    };
    STOCK_REVALUED.of(source.id, 1, &revaluation)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_movement_of_stock_marks_its_products() {
    let app = start().await;
    let (shop, other) = (Shop::open(&app).await, Shop::open(&app).await);
    let mut ids = Vec::new();
    for sku in [
        "RECEIVED", "ISSUED", "RETURNED", "ADJUSTED", "FOUND", "MISSING", "SENT", "CHANGED",
        "REVALUED", "STILL",
    ] {
        ids.push(shop.add(sku, json!({})).await.expect(201).text_at("id"));
    }
    let theirs = other
        .add("STILL", json!({}))
        .await
        .expect(201)
        .text_at("id");
    let before = app.events().await.len();
    let stray = Uuid::now_v7().to_string();
    let movements = vec![
        received(&ids[0]),
        issued(&ids[1]),
        returned(&ids[2]),
        adjusted(&ids[3]),
        found(&ids[4]),
        missing(&ids[5]),
        transferred(&ids[6]),
        status_changed(&ids[7]),
        revalued(&ids[8]),
        // Of a product that is gone, and of one that is another tenant's.
        received(&stray),
        received(&theirs),
    ];
    app.feed(movements, shop.owner.tenant).await;
    for (n, id) in ids.iter().enumerate() {
        let transacted = n < 9;
        let product = shop
            .owner
            .get(&format!("/api/v1/products/{id}"))
            .await
            .expect(200)
            .body;
        assert_eq!(
            (&product["transacted"], &product["version"]),
            (&json!(transacted), &json!(1)),
            "{product}"
        );
    }
    let theirs = other
        .owner
        .get(&format!("/api/v1/products/{theirs}"))
        .await
        .expect(200)
        .body;
    assert_eq!(theirs["transacted"], false);
    assert_eq!(app.events().await.len(), before, "nobody needs to be told");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_moved_is_frozen_in_part_and_cannot_be_deleted() {
    let (app, _inventory) = start_with_inventory().await;
    let shop = Shop::open(&app).await;
    let owner = &shop.owner;
    let made = shop
        .add(
            "A",
            json!({ "status": "active", "tracking": { "batch": true } }),
        )
        .await
        .expect(201);
    let path = format!("/api/v1/products/{}", made.text_at("id"));
    app.feed(vec![received(&made.text_at("id"))], owner.tenant)
        .await;
    let refused = owner.delete(&path, 1).await.expect(409);
    assert_eq!(refused.code(), "PRODUCT_TRANSACTED");
    let sac = owner
        .post("/api/v1/tax-profiles", profile("Freight", "9965", "18"))
        .await
        .expect(201)
        .text_at("id");
    let boxes = json!({ "code": "BOX", "name": "Box", "uqc": "BOX" });
    let boxes = owner
        .post("/api/v1/units", boxes)
        .await
        .expect(201)
        .text_at("id");
    for (field, other) in [
        (
            "kind",
            json!({ "kind": "service", "tax_profile_id": sac, "tracking": { "batch": true } }),
        ),
        ("tracking", json!({ "tracking": { "batch": false } })),
        (
            "tracking",
            json!({ "tracking": { "batch": true, "expiry": true } }),
        ),
        (
            "stock_unit_id",
            json!({ "unit_id": boxes, "tracking": { "batch": true } }),
        ),
    ] {
        let refused = owner
            .put(&path, shop.product("A", other), 1)
            .await
            .expect(409);
        assert_eq!(
            (refused.code(), &refused.body["field"]),
            ("FIELD_FROZEN", &json!(field)),
            "{}",
            refused.text
        );
    }
    let dearer = shop.product(
        "A",
        json!({ "price": "120", "tracking": { "batch": true } }),
    );
    let changed = owner.put(&path, dearer, 1).await.expect(200);
    assert_eq!(
        (&changed.body["transacted"], &changed.body["version"]),
        (&json!(true), &json!(2))
    );
    shop.step(&made.text_at("id"), "archive").await.expect(200);
    owner.delete(&path, 3).await.expect(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_and_a_first_movement_at_once_agree() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    for round in 0..10 {
        let id = shop
            .add(&format!("A{round}"), json!({}))
            .await
            .expect(201)
            .text_at("id");
        let path = format!("/api/v1/products/{id}");
        let hearing = app.feed(vec![received(&id)], shop.owner.tenant);
        let (deleted, ()) = futures::join!(shop.owner.delete(&path, 1), hearing);
        let left = shop.owner.get(&path).await;
        match deleted.status {
            204 => assert_eq!(left.status, 404),
            409 => assert_eq!(left.expect(200).body["transacted"], true),
            other => panic!("{other}: {}", deleted.text),
        }
    }
}

/// The events of a movement may be late; inventory itself is asked.
#[tokio::test(flavor = "multi_thread")]
async fn what_inventory_knows_is_not_deleted_though_nothing_was_heard() {
    let (app, inventory) = start_with_inventory().await;
    let shop = Shop::open(&app).await;
    let id = shop.add("A", json!({})).await.expect(201).text_at("id");
    let path = format!("/api/v1/products/{id}");
    let delete = || shop.owner.delete(&path, 1);
    let known = |moved, open| {
        inventory
            .known
            .lock()
            .unwrap()
            .insert(id.clone(), (moved, open))
    };
    known(true, false);
    assert_eq!(delete().await.expect(409).code(), "PRODUCT_TRANSACTED");
    known(true, true);
    assert_eq!(delete().await.expect(409).code(), "OPEN_DOCUMENTS");
    known(false, true);
    assert_eq!(delete().await.expect(409).code(), "OPEN_DOCUMENTS");
    inventory
        .there
        .lock()
        .unwrap()
        .insert(id.clone(), ["1", "0", "0"]);
    assert_eq!(delete().await.expect(409).code(), "STOCK_EXISTS");
    inventory.there.lock().unwrap().clear();
    *inventory.down.lock().unwrap() = true;
    assert_eq!(delete().await.expect(503).code(), "INVENTORY_UNREACHABLE");
    *inventory.down.lock().unwrap() = false;
    known(false, false);
    delete().await.expect(204);
    shop.owner.get(&path).await.expect(404);
}
