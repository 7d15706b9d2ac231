//! Copies of catalogue and organisation.

use bahi_events::{
    PRODUCT_CREATED, PRODUCT_DELETED, PRODUCT_UPDATED, ProductDeleted, TAX_RATE_CHANGED,
    TaxRateAbove,
};
use bahi_types::{ProductId, TaxProfileId};
use serde_json::{Value, json};

use crate::support::{Shop, product, tax_profile};

async fn sell_one(shop: &Shop, session: &str, line: Value) -> bahi_testkit::Reply {
    let body = json!({ "session_id": session, "lines": [line], "tenders": [{ "method": "cash", "amount": "500" }] });
    shop.sell(body).await
}

/// A shop that sells services, so that stock plays no part.
async fn counter() -> (Shop, String, bahi_events::Product) {
    let shop = Shop::without_stock().await;
    let session = shop.session().await;
    let profile = TaxProfileId::new();
    let mut service = product("CUT", "100", true, profile);
    service.kind = bahi_events::ProductKind::Service;
    shop.hear([
        TAX_RATE_CHANGED.of(
            profile.uuid(),
            1,
            &tax_profile(profile, "taxable", &[("2017-07-01", None, "18")]),
        ),
        PRODUCT_CREATED.of(service.product_id.uuid(), 1, &service),
    ])
    .await;
    (shop, session, service)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_never_resets_a_price() {
    let (shop, session, mut service) = counter().await;
    let old = PRODUCT_CREATED.of(service.product_id.uuid(), 1, &service);
    service.price = "120".parse().unwrap();
    shop.hear([PRODUCT_UPDATED.of(service.product_id.uuid(), 2, &service)])
        .await;
    shop.hear([old]).await;
    let price = async |line| {
        sell_one(&shop, &session, line)
            .await
            .expect(201)
            .text_at("total")
    };
    let line = json!({ "product_id": service.product_id, "qty": "1" });
    assert_eq!(price(line.clone()).await, "120.00");
    // A restored product service starts over at a lower version, in a higher epoch.
    service.price = "90".parse().unwrap();
    let mut restored = shop.envelope(PRODUCT_UPDATED.of(service.product_id.uuid(), 1, &service));
    restored.epoch = 2;
    shop.hear_enveloped(&[restored]).await;
    assert_eq!(price(line).await, "90.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_of_a_slice_wins_whatever_its_order() {
    let (shop, session, mut service) = counter().await;
    let mut of = |price: &str, version| {
        service.price = price.parse().unwrap();
        PRODUCT_UPDATED.of(service.product_id.uuid(), version, &service)
    };
    let events = [of("130", 3), of("140", 4), of("120", 2)];
    shop.hear(events).await;
    let line = json!({ "product_id": service.product_id, "qty": "1" });
    assert_eq!(
        sell_one(&shop, &session, line)
            .await
            .expect(201)
            .text_at("total"),
        "140.00"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_product_is_not_brought_back_by_a_late_update() {
    let (shop, session, service) = counter().await;
    let gone = ProductDeleted {
        product_id: service.product_id,
        sku: service.sku.clone(),
    };
    shop.hear([PRODUCT_DELETED.of(service.product_id.uuid(), 3, &gone)])
        .await;
    shop.hear([PRODUCT_UPDATED.of(service.product_id.uuid(), 2, &service)])
        .await;
    let line = json!({ "product_id": service.product_id, "qty": "1" });
    assert_eq!(
        sell_one(&shop, &session, line).await.expect(422).code(),
        "NOT_FOR_SALE"
    );
    // One that was never heard of before is known to be gone, too.
    let other = ProductDeleted {
        product_id: ProductId::new(),
        sku: "X".into(),
    };
    shop.hear([PRODUCT_DELETED.of(other.product_id.uuid(), 1, &other)])
        .await;
    let line = json!({ "product_id": other.product_id, "qty": "1" });
    assert_eq!(
        sell_one(&shop, &session, line).await.expect(422).code(),
        "NOT_FOR_SALE"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn products_are_found_by_barcode_and_sku() {
    let (shop, session, mut service) = counter().await;
    service.barcodes = vec!["4006381333931".into(), "200".into()];
    shop.hear([PRODUCT_UPDATED.of(service.product_id.uuid(), 2, &service)])
        .await;
    sell_one(
        &shop,
        &session,
        json!({ "barcode": "4006381333931", "qty": "1" }),
    )
    .await
    .expect(201);
    sell_one(&shop, &session, json!({ "sku": "cut", "qty": "1" }))
        .await
        .expect(201);
    assert_eq!(
        sell_one(&shop, &session, json!({ "barcode": "999", "qty": "1" }))
            .await
            .expect(409)
            .code(),
        "NOT_YET_KNOWN"
    );
    // A code that is taken away names nothing any more.
    service.barcodes = vec!["4006381333931".into()];
    shop.hear([PRODUCT_UPDATED.of(service.product_id.uuid(), 3, &service)])
        .await;
    assert_eq!(
        sell_one(&shop, &session, json!({ "barcode": "200", "qty": "1" }))
            .await
            .expect(409)
            .code(),
        "NOT_YET_KNOWN"
    );
    let mut twin = product("TWIN", "5", true, service.tax_profile_id);
    twin.barcodes = service.barcodes.clone();
    shop.hear([PRODUCT_CREATED.of(twin.product_id.uuid(), 1, &twin)])
        .await;
    let both = sell_one(
        &shop,
        &session,
        json!({ "barcode": "4006381333931", "qty": "1" }),
    )
    .await
    .expect(409);
    assert_eq!(both.code(), "AMBIGUOUS_CODE");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_is_that_of_the_posting_date() {
    let (shop, session, service) = counter().await;
    let change = tax_profile(
        service.tax_profile_id,
        "taxable",
        &[
            ("2017-07-01", Some("2026-11-06"), "18"),
            ("2026-11-06", None, "5"),
        ],
    );
    shop.hear([TAX_RATE_CHANGED.of(service.tax_profile_id.uuid(), 2, &change)])
        .await;
    let rate = async || {
        let line = json!({ "product_id": service.product_id, "qty": "1" });
        sell_one(&shop, &session, line).await.expect(201).body["lines"][0]["rate"].clone()
    };
    assert_eq!(rate().await, "18");
    // Midnight in India is 18:30 UTC.
    shop.later(12 * 3600 + 1800);
    assert_eq!(rate().await, "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_unit_decides_where_the_rate_depends_on_the_price() {
    let (shop, session, service) = counter().await;
    let mut change = tax_profile(
        service.tax_profile_id,
        "taxable",
        &[("2025-09-22", None, "5")],
    );
    change.rates[0].above = Some(TaxRateAbove {
        price: "90".parse().unwrap(),
        rate: "18".parse().unwrap(),
        cess: "0".parse().unwrap(),
    });
    shop.hear([TAX_RATE_CHANGED.of(service.tax_profile_id.uuid(), 2, &change)])
        .await;
    let rate = async |off: &str| {
        let discount = json!({ "amount": off });
        let line = json!({ "product_id": service.product_id, "qty": "1", "discount": discount });
        sell_one(&shop, &session, line).await.expect(201).body["lines"][0]["rate"].clone()
    };
    // 100 with tax is 95.24 at 5 %, and 90 is 85.71.
    assert_eq!(rate("0").await, "18");
    assert_eq!(rate("10").await, "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_without_its_tax_is_not_sold() {
    let shop = Shop::without_stock().await;
    let session = shop.session().await;
    let orphan = product("ORPHAN", "10", true, TaxProfileId::new());
    shop.hear([PRODUCT_CREATED.of(orphan.product_id.uuid(), 1, &orphan)])
        .await;
    let line = json!({ "product_id": orphan.product_id, "qty": "1" });
    assert_eq!(
        sell_one(&shop, &session, line.clone())
            .await
            .expect(409)
            .code(),
        "NOT_YET_KNOWN"
    );
    let past = tax_profile(
        orphan.tax_profile_id,
        "taxable",
        &[("2017-07-01", Some("2020-01-01"), "18")],
    );
    shop.hear([TAX_RATE_CHANGED.of(orphan.tax_profile_id.uuid(), 1, &past)])
        .await;
    assert_eq!(
        sell_one(&shop, &session, line).await.expect(422).code(),
        "NO_TAX_RATE"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_price_needs_permission_and_reason_is_audited_once_and_stays_under_the_mrp() {
    let (shop, session, mut service) = counter().await;
    service.mrp = Some("110".parse().unwrap());
    shop.hear([PRODUCT_UPDATED.of(service.product_id.uuid(), 2, &service)])
        .await;
    let line = |price: &str, reason: Option<&str>| json!({ "product_id": service.product_id, "qty": "1", "unit_price": price, "reason": reason });
    let body = |lines: Vec<Value>| json!({ "session_id": session, "lines": lines, "tenders": [{ "method": "cash", "amount": "500" }] });
    let cashier = shop.cashier(&["sales.pos.use"]);
    let refused = cashier
        .post_with_key(
            "/api/v1/pos/invoice",
            body(vec![line("80", Some("friend"))]),
            "a",
        )
        .await
        .expect(403);
    assert_eq!(refused.text_at("permission"), "sales.price.override");
    assert_eq!(
        shop.sell(body(vec![line("80", None)]))
            .await
            .expect(422)
            .code(),
        "REASON_NEEDED"
    );
    let dear = shop
        .sell(body(vec![line("110.01", Some("rare"))]))
        .await
        .expect(422);
    assert_eq!(
        (dear.code(), &dear.body["mrp"]),
        ("ABOVE_MRP", &json!("110.00"))
    );
    let sold = shop
        .sell(body(vec![
            line("80", Some("torn")),
            line("90", Some("old")),
        ]))
        .await
        .expect(201);
    assert_eq!(
        (sold.text_at("total"), &sold.body["lines"][0]["list_price"]),
        ("170.00".into(), &json!("100"))
    );
    let audited = shop.said("audit.recorded").await;
    assert_eq!(audited.len(), 1);
    assert_eq!(
        (&audited[0]["action"], &audited[0]["reason"]),
        (&json!("sales.price.override"), &json!("torn"))
    );
    assert_eq!(audited[0]["details"]["lines"].as_array().unwrap().len(), 2);
}
