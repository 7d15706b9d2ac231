//! Units of a product: exact factors, prices and barcodes of their own, what freezes.

use bahi_events::{Outgoing, Premises, STOCK_RECEIVED, StockLine, StockReceived, StockSource};
use bahi_types::LocationId;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::*;

pub const CARTON: &str = "14006381333938";

/// Another unit of the shop.
pub async fn unit(shop: &Shop, code: &str, uqc: &str, decimals: i16) -> String {
    let body = json!({ "code": code, "name": code, "uqc": uqc, "decimals": decimals });
    let made = shop.owner.post("/api/v1/units", body).await;
    made.expect(201).text_at("id")
}

pub fn received(product: &str) -> Outgoing {
    let source = StockSource {
        kind: "receipt".into(),
        id: Uuid::now_v7(),
        line: None,
    };
    let line = StockLine {
        line: 1,
        product_id: product.parse().unwrap(),
        batch_id: None,
        status: "saleable".into(),
        qty: 5.into(),
        cost_value: 50.into(),
        variance: None,
        uom: None,
    };
    let location_id = LocationId::new();
    let (id, lines) = (source.id, vec![line]);
    let receipt = StockReceived {
        source,
        location_id,
        lines,
        premises: Premises::default(),
    };
    STOCK_RECEIVED.of(id, 1, &receipt)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_has_units_with_factors_prices_and_barcodes() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let dozen = unit(&shop, "DOZ", "DOZ", 0).await;
    let gram = unit(&shop, "HALF", "PCS", 0).await;
    let units = json!([
        { "unit_id": dozen, "numerator": 24, "denominator": 2, "price": "1100.00", "barcodes": [CARTON] },
        { "unit_id": gram, "numerator": 1, "denominator": 2 },
    ]);
    let said = json!({ "units": units, "barcodes": [EAN], "mrp": "118" });
    let made = shop.add("A", said).await.expect(201);
    let kept = json!([
        { "unit_id": dozen, "numerator": 12, "denominator": 1, "price": "1100", "barcodes": [CARTON] },
        { "unit_id": gram, "numerator": 1, "denominator": 2, "price": null, "barcodes": [] },
    ]);
    assert_eq!(made.body["units"], kept, "in lowest terms");
    let path = format!("/api/v1/products/{}", made.text_at("id"));
    assert_eq!(shop.owner.get(&path).await.expect(200).body, made.body);
    let told = events(&app, "product.created").await;
    assert_eq!(told[0].payload["units"], kept);
    // A search finds it by the carton's code too.
    let found = shop
        .owner
        .get(&format!("/api/v1/products?q={CARTON}"))
        .await;
    assert_eq!(column(&found.expect(200), "sku"), ["A"]);
    // A change without a change is none; another factor is one, and told.
    let same = shop.product(
        "A",
        json!({ "units": kept, "barcodes": [EAN], "mrp": "118" }),
    );
    let again = shop.owner.put(&path, same, 1).await.expect(200);
    assert_eq!(again.body["version"], 1);
    let ten = json!({ "units": [{ "unit_id": dozen, "numerator": 10, "barcodes": [CARTON] }], "barcodes": [EAN] });
    let changed = shop.owner.put(&path, shop.product("A", ten), 1).await;
    assert_eq!(changed.expect(200).body["units"][0]["numerator"], 10);
    let told = events(&app, "product.updated").await;
    assert_eq!(told[0].payload["changed_fields"], json!(["units", "mrp"]));
    // The carton's code is still claimed after the factor alone has changed, and free once the unit is gone.
    let taken = shop.add("B", json!({ "barcodes": [CARTON] })).await;
    assert_eq!(taken.expect(409).code(), "BARCODE_TAKEN");
    let bare = shop.product("A", json!({ "barcodes": [EAN] }));
    shop.owner.put(&path, bare, 2).await.expect(200);
    shop.add("B", json!({ "barcodes": [CARTON] }))
        .await
        .expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_of_a_product_is_in_use() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let dozen = unit(&shop, "DOZ", "DOZ", 1).await;
    let made = shop
        .add(
            "A",
            json!({ "units": [{ "unit_id": dozen, "numerator": 12 }] }),
        )
        .await
        .expect(201);
    let path = format!("/api/v1/units/{dozen}");
    assert_eq!(
        shop.owner.delete(&path, 1).await.expect(409).code(),
        "IN_USE"
    );
    let other = json!({ "code": "DOZ", "name": "DOZ", "uqc": "PCS", "decimals": 1 });
    let fixed = shop.owner.put(&path, other, 1).await.expect(409);
    assert_eq!(fixed.code(), "FIXED_BY_USE");
    let product = format!("/api/v1/products/{}", made.text_at("id"));
    shop.owner.delete(&product, 1).await.expect(204);
    shop.owner.delete(&path, 1).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_units_are_refused_by_field() {
    let app = start().await;
    let (shop, stranger) = (Shop::open(&app).await, Shop::open(&app).await);
    let dozen = unit(&shop, "DOZ", "DOZ", 0).await;
    let theirs = unit(&stranger, "DOZ", "DOZ", 0).await;
    let one = |other: Value| {
        let mut unit = json!({ "unit_id": dozen, "numerator": 12 });
        merge(&mut unit, other);
        json!([unit])
    };
    let twice =
        json!([{ "unit_id": dozen, "numerator": 12 }, { "unit_id": dozen, "numerator": 6 }]);
    let many: Vec<Value> = (0..21)
        .map(|_| json!({ "unit_id": Uuid::now_v7(), "numerator": 2 }))
        .collect();
    for (units, field) in [
        (one(json!({ "numerator": 0 })), "units[0].numerator"),
        (one(json!({ "numerator": -12 })), "units[0].numerator"),
        (one(json!({ "numerator": 1.5 })), "units[0].numerator"),
        (
            one(json!({ "numerator": 1_000_000_001 })),
            "units[0].numerator",
        ),
        (one(json!({ "denominator": 0 })), "units[0].denominator"),
        (one(json!({ "denominator": -1 })), "units[0].denominator"),
        (one(json!({ "price": "-1" })), "units[0].price"),
        (one(json!({ "price": "1.00001" })), "units[0].price"),
        (
            one(json!({ "barcodes": ["14006381333937"] })),
            "units[0].barcodes[0]",
        ),
        (one(json!({ "barcodes": [EAN] })), "units[0].barcodes"),
        (one(json!({ "unit_id": shop.unit })), "units[0].unit_id"),
        (one(json!({ "colour": "red" })), "units[0].colour"),
        (twice, "units"),
        (json!(many), "units"),
    ] {
        let said = json!({ "units": units, "barcodes": [EAN] });
        let refused = shop.add("A", said).await.expect(400);
        assert_eq!(
            refused.body["errors"][0]["field"], field,
            "{}",
            refused.text
        );
    }
    for unit in [theirs, Uuid::now_v7().to_string()] {
        let refused = shop
            .add("A", json!({ "units": one(json!({ "unit_id": unit })) }))
            .await;
        assert_eq!(refused.expect(422).body["field"], "units.unit_id");
    }
    // The MRP of a piece bounds the price of a dozen.
    let dear = json!({ "mrp": "120", "units": one(json!({ "price": "1440.01" })) });
    assert_eq!(
        shop.add("A", dear).await.expect(422).code(),
        "PRICE_ABOVE_MRP"
    );
    let dear = json!({ "mrp": "120", "units": one(json!({ "price": "1440" })) });
    shop.add("A", dear).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn once_stock_has_moved_units_keep_their_factors() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let dozen = unit(&shop, "DOZ", "DOZ", 0).await;
    let gross = unit(&shop, "GRO", "GRS", 0).await;
    let units = |numerator: i64| json!({ "unit_id": dozen, "numerator": numerator });
    let made = shop
        .add("A", json!({ "units": [units(12)] }))
        .await
        .expect(201);
    let path = format!("/api/v1/products/{}", made.text_at("id"));
    app.feed(vec![received(&made.text_at("id"))], shop.owner.tenant)
        .await;
    for changed in [
        json!([units(10)]),
        json!([]),
        json!([{ "unit_id": gross, "numerator": 144 }]),
    ] {
        let body = shop.product("A", json!({ "units": changed }));
        let refused = shop.owner.put(&path, body, 1).await.expect(409);
        assert_eq!(
            (refused.code(), &refused.body["field"]),
            ("FIELD_FROZEN", &json!("units"))
        );
    }
    // Another unit can come, and what is no factor can change.
    let more = json!([
        { "unit_id": gross, "numerator": 144 },
        { "unit_id": dozen, "numerator": 24, "denominator": 2, "price": "99", "barcodes": [CARTON] },
    ]);
    let body = shop.product("A", json!({ "units": more }));
    shop.owner.put(&path, body, 1).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn quantities_convert_there_and_back_without_residue() {
    let app = start().await;
    let (shop, stranger) = (Shop::open(&app).await, Shop::open(&app).await);
    let dozen = unit(&shop, "DOZ", "DOZ", 0).await;
    let seven = unit(&shop, "SEVENTH", "PCS", 0).await;
    let units = json!([{ "unit_id": dozen, "numerator": 12 }, { "unit_id": seven, "numerator": 1, "denominator": 7 }]);
    let made = shop.add("A", json!({ "units": units })).await.expect(201);
    let path = format!("/api/v1/products/{}/convert", made.text_at("id"));
    let convert = async |qty: &str, from: &str, to: &str| {
        let query = format!("{path}?qty={qty}&from={from}&to={to}");
        shop.owner.get(&query).await
    };
    let pieces = convert("1", &dozen, &shop.unit).await.expect(200);
    assert_eq!(
        (&pieces.body["exact"], &pieces.body["is_exact"]),
        (&json!("12"), &json!(true))
    );
    for (from, to) in [(&shop.unit, &dozen), (&dozen, &seven), (&seven, &dozen)] {
        for qty in ["1", "0.001", "17", "2.5", "999999999999.999"] {
            let there = convert(qty, from, to).await.expect(200);
            let back = convert(&there.text_at("exact"), to, from).await.expect(200);
            assert_eq!(back.body["exact"], there.body["qty"]);
            assert_eq!(back.body["is_exact"], true);
        }
    }
    let part = convert("1", &shop.unit, &dozen).await.expect(200).body;
    let expected = json!({ "qty": "1", "from": shop.unit, "to": dozen, "exact": "1/12", "quantity": "0.083", "is_exact": false });
    assert_eq!(part, expected);
    for qty in ["", "x", "1e3", "1/0", "0.0001", "9999999999999999", "NaN"] {
        let refused = convert(qty, &dozen, &shop.unit).await.expect(400);
        assert_eq!(
            refused.body["errors"][0]["field"], "qty",
            "{}",
            refused.text
        );
    }
    let large = convert("999999999999999", &dozen, &seven).await.expect(400);
    assert_eq!(large.body["errors"][0]["field"], "qty");
    let other = unit(&shop, "GRO", "GRS", 0).await;
    assert_eq!(
        convert("1", &other, &dozen).await.expect(422).body["field"],
        "from"
    );
    assert_eq!(
        convert("1", &dozen, &other).await.expect(422).body["field"],
        "to"
    );
    let query = format!("{path}?qty=1&from={dozen}&to={}", shop.unit);
    stranger.owner.get(&query).await.expect(404);
}
