//! Kits at the till: sold as one line, and what leaves and comes back is their components.

use bahi_events::{KitComponent, PRODUCT_CREATED, PRODUCT_UPDATED, TAX_RATE_CHANGED, Tracking};
use bahi_types::{ProductId, TaxProfileId};
use serde_json::json;

use crate::support::{Shop, product, tax_profile};

/// A product at 100.00 with 18 % inside, as `form` makes it.
async fn made(shop: &Shop, form: impl FnOnce(&mut bahi_events::Product)) -> bahi_events::Product {
    let profile = TaxProfileId::new();
    let mut made = product(&uuid::Uuid::now_v7().to_string(), "100", true, profile);
    form(&mut made);
    let rates = tax_profile(profile, "taxable", &[("2017-07-01", None, "18")]);
    shop.hear([
        TAX_RATE_CHANGED.of(profile.uuid(), 1, &rates),
        PRODUCT_CREATED.of(made.product_id.uuid(), 1, &made),
    ])
    .await;
    made
}

async fn hamper(shop: &Shop, of: &[(ProductId, &str)]) -> ProductId {
    let components = of.iter().map(|(id, qty)| KitComponent {
        product_id: *id,
        qty: qty.parse().unwrap(),
    });
    let components = components.collect();
    made(shop, |p| p.components = components).await.product_id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kit_is_sold_at_the_till_and_its_components_leave_and_come_back() {
    let shop = Shop::open().await;
    let soap = shop.goods("10").await;
    let milk = made(&shop, |p| {
        p.tracking = Tracking {
            batch: true,
            ..Tracking::default()
        };
    })
    .await
    .product_id;
    let body = json!({ "location_id": shop.location, "lines": [
        { "product_id": milk, "qty": "5", "unit_cost": "20", "batch_no": "B1" }] });
    shop.keeper()
        .post("/api/v1/inventory/receipts", body)
        .await
        .expect(201);
    let kit = hamper(&shop, &[(soap, "3"), (milk, "1")]).await;
    let session = shop.session().await;
    // Ten soaps make three kits, beside nothing else.
    let short = shop
        .sell(shop.basket(&session, &[(soap, "2"), (kit, "3")], "320"))
        .await
        .expect(409);
    assert_eq!(short.code(), "INSUFFICIENT_STOCK");
    assert_eq!(
        short.body["shortages"],
        json!([{ "product_id": soap, "lines": [1, 2], "asked": "11", "available": "10" }])
    );
    let half = shop
        .sell(shop.basket(&session, &[(kit, "0.5")], "50"))
        .await
        .expect(422);
    assert_eq!(half.code(), "INVENTORY_REFUSED");

    let invoice = shop
        .sell(shop.basket(&session, &[(soap, "1"), (kit, "2")], "210"))
        .await
        .expect(201)
        .body;
    assert_eq!(
        (&invoice["lines"][1]["qty"], &invoice["lines"][1]["total"]),
        (&json!("2"), &json!("200.00"))
    );
    assert_eq!(
        invoice["lines"][1]["batches"],
        json!([]),
        "what its components came from is no batch of the kit"
    );
    shop.assert_stock(soap, ("10", "7", "3")).await;
    shop.relay().await;
    shop.assert_stock(soap, ("3", "0", "3")).await;
    shop.assert_stock(milk, ("3", "0", "3")).await;
    shop.assert_sound().await;

    let back = json!({
        "original_invoice_id": invoice["invoice_id"], "session_id": session,
        "lines": [{ "original_line": 2, "qty": "1" }],
        "refund_tenders": [{ "method": "cash", "amount": "100.00" }],
    });
    shop.owner
        .post("/api/v1/sales/returns", back)
        .await
        .expect(201);
    shop.relay().await;
    shop.assert_stock(soap, ("6", "0", "6")).await;
    shop.assert_stock(milk, ("4", "0", "4")).await;
    let shortages = shop
        .keeper()
        .get("/api/v1/inventory/shortages")
        .await
        .expect(200);
    assert_eq!(shortages.body["items"], json!([]));
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_not_for_sale_its_variants_are() {
    let shop = Shop::without_stock().await;
    let mut shirt = made(&shop, |p| p.template = true).await;
    let session = shop.session().await;
    let refused = shop
        .sell(shop.basket(&session, &[(shirt.product_id, "1")], "100"))
        .await
        .expect(422);
    assert_eq!(refused.code(), "NOT_FOR_SALE");
    // No template any more, it is asked for at the stock, which is away here.
    shirt.template = false;
    shop.hear([PRODUCT_UPDATED.of(shirt.product_id.uuid(), 2, &shirt)])
        .await;
    let asked = shop
        .sell(shop.basket(&session, &[(shirt.product_id, "1")], "100"))
        .await
        .expect(503);
    assert_eq!(asked.code(), "INVENTORY_UNAVAILABLE");
}
