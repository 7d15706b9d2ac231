//! A change of the law, for many tax profiles at once, and rates that depend on the price.

use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::*;

const CHANGE: &str = "/api/v1/tax-profiles:rate-change";

/// A profile by id.
async fn made(shop: &Shop, body: Value) -> String {
    let path = "/api/v1/tax-profiles";
    shop.owner.post(path, body).await.expect(201).text_at("id")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_changes_for_every_profile_of_a_code_on_one_day() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let owner = &shop.owner;
    let soap = made(&shop, profile("Soap", "340111", "18")).await;
    let bars = made(&shop, profile("Bars", "34012000", "18")).await;
    let wax = made(&shop, profile("Wax", "340400", "18")).await;
    let mut exempt = profile("Exempt soap", "340130", "0");
    exempt["category"] = json!("exempt");
    made(&shop, exempt).await;
    let already = json!({ "name": "Already", "hsn": "3401", "rates": [
        { "valid_from": "2017-07-01", "rate": "18" }, { "valid_from": "2025-09-22", "rate": "5" }] });
    made(&shop, already).await;
    for sku in ["S1", "S2", "S3"] {
        shop.add(sku, json!({ "tax_profile_id": soap, "price": "100", "mrp": "104", "price_includes_tax": true }))
            .await
            .expect(201);
    }
    shop.add("B1", json!({ "tax_profile_id": bars, "price": "100", "mrp": "118", "price_includes_tax": false }))
        .await
        .expect(201);
    let change = |dry_run: bool| json!({ "hsn": ["3401"], "rate": "5", "valid_from": "2025-09-22", "dry_run": dry_run });
    let before = app.events().await.len();
    let said = owner
        .post(&format!("{CHANGE}?limit=3"), change(true))
        .await
        .expect(200);
    assert_eq!(
        app.events().await.len(),
        before,
        "a dry run changes nothing"
    );
    let outcomes = |body: &Value| -> Vec<String> {
        let profiles = body["profiles"].as_array().unwrap();
        let mut all: Vec<String> = profiles
            .iter()
            .map(|p| {
                format!(
                    "{} {} {}",
                    p["name"].as_str().unwrap(),
                    p["outcome"].as_str().unwrap(),
                    p["products"]
                )
            })
            .collect();
        all.sort();
        all
    };
    let expected = [
        "Already unchanged 0",
        "Bars changed 1",
        "Exempt soap not_taxable 0",
        "Soap changed 3",
    ];
    assert_eq!(outcomes(&said.body), expected);
    assert_eq!(said.body["products_total"], 4);
    let skus: Vec<&str> = said.body["products"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["sku"].as_str().unwrap())
        .collect();
    assert_eq!(skus, ["B1", "S1", "S2"]);
    let done = owner.post(CHANGE, change(false)).await.expect(200);
    assert_eq!(outcomes(&done.body), expected);
    let rates = async |id: &str| {
        owner
            .get(&format!("/api/v1/tax-profiles/{id}"))
            .await
            .expect(200)
            .body["rates"]
            .clone()
    };
    for id in [&soap, &bars] {
        let rates = rates(id).await;
        assert_eq!(rates[0]["valid_to"], "2025-09-22");
        assert_eq!(
            (&rates[1]["rate"], &rates[1]["valid_from"]),
            (&json!("5"), &json!("2025-09-22"))
        );
    }
    assert_eq!(rates(&wax).await.as_array().unwrap().len(), 1);
    let told: Vec<String> = events(&app, "tax_rate.changed")
        .await
        .iter()
        .filter(|e| e.aggregate_version == 2)
        .map(|e| e.payload["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told.len(), 2, "one for each profile that changed: {told:?}");
    // The same again is no change.
    let again = owner.post(CHANGE, change(false)).await.expect(200);
    assert!(
        again.body["profiles"]
            .as_array()
            .unwrap()
            .iter()
            .all(|p| p["outcome"] != "changed")
    );
    assert_eq!(
        events(&app, "tax_rate.changed")
            .await
            .iter()
            .filter(|e| e.aggregate_version > 1)
            .count(),
        2
    );
    // A rise shows what would sell above its MRP.
    let rise =
        json!({ "profile_ids": [bars], "rate": "28", "valid_from": "2026-12-01", "dry_run": true });
    let rise = owner.post(CHANGE, rise).await.expect(200);
    assert_eq!(rise.body["products"][0]["price_with_tax"], "128.00");
    assert_eq!(rise.body["products"][0]["above_mrp"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rates_change_or_none() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let owner = &shop.owner;
    let one = made(&shop, profile("One", "340111", "18")).await;
    let clash = json!({ "name": "Clash", "hsn": "340119", "rates": [
        { "valid_from": "2017-07-01", "rate": "18" }, { "valid_from": "2025-09-22", "rate": "12" }] });
    let clash = made(&shop, clash).await;
    let absent = Uuid::now_v7();
    let change = |other: Value| {
        let mut body = json!({ "hsn": ["3401"], "rate": "5", "valid_from": "2025-09-22" });
        merge(&mut body, other);
        body
    };
    let refused = owner.post(CHANGE, change(json!({}))).await.expect(409);
    assert_eq!(
        (refused.code(), &refused.body["tax_profile_id"]),
        ("RATE_EXISTS", &json!(clash))
    );
    for (status, code, field, body) in [
        (422, "UNLAWFUL_RATE", None, change(json!({ "rate": "17" }))),
        (
            422,
            "UNLAWFUL_RATE",
            None,
            change(json!({ "rate": "40", "valid_from": "2025-09-21" })),
        ),
        (
            422,
            "UNKNOWN_REFERENCE",
            Some("profile_ids[1]"),
            change(json!({ "hsn": [], "profile_ids": [one, absent] })),
        ),
        (400, "INVALID", Some("hsn"), change(json!({ "hsn": [] }))),
        (
            400,
            "INVALID",
            Some("hsn"),
            change(json!({ "profile_ids": [one] })),
        ),
        (
            400,
            "INVALID",
            Some("hsn[0]"),
            change(json!({ "hsn": ["34%"] })),
        ),
        (
            400,
            "INVALID",
            Some("rate"),
            change(json!({ "rate": "-5" })),
        ),
        (
            400,
            "INVALID",
            Some("cess"),
            change(json!({ "cess": "-5" })),
        ),
        (
            400,
            "INVALID",
            Some("above.price"),
            change(json!({ "above": { "price": "0", "rate": "18" } })),
        ),
    ] {
        let refused = owner.post(CHANGE, body.clone()).await;
        assert_eq!(
            (refused.status, refused.code()),
            (status, code),
            "{body}: {}",
            refused.text
        );
        if let Some(field) = field {
            let named = refused
                .body
                .get("field")
                .unwrap_or(&refused.body["errors"][0]["field"]);
            assert_eq!(named, field);
        }
    }
    let path = format!("/api/v1/tax-profiles/{one}");
    assert_eq!(owner.get(&path).await.expect(200).body["version"], 1);
    // Another tenant's profile is nobody's here, and its own codes are not touched.
    let stranger = Shop::open(&app).await;
    let body = change(json!({ "hsn": [], "profile_ids": [one] }));
    stranger.owner.post(CHANGE, body).await.expect(422);
    let nothing = stranger
        .owner
        .post(CHANGE, change(json!({})))
        .await
        .expect(200);
    assert_eq!(nothing.body["profiles"], json!([]));
    // Clerks who send the same change at once make one of it.
    let body = change(json!({ "hsn": [], "profile_ids": [one] }));
    let replies = join_all((0..5).map(|_| owner.post(CHANGE, body.clone()))).await;
    assert!(replies.iter().all(|r| r.status == 200));
    let changed = replies
        .iter()
        .filter(|r| r.body["profiles"][0]["outcome"] == "changed")
        .count();
    assert_eq!(changed, 1);
    assert_eq!(owner.get(&path).await.expect(200).body["version"], 2);
    // A key is answered once; the first answer comes again.
    let body = json!({ "profile_ids": [one], "rate": "18", "valid_from": "2026-12-01" });
    let first = owner
        .post_with_key(CHANGE, body.clone(), "k")
        .await
        .expect(200);
    let second = owner.post_with_key(CHANGE, body, "k").await.expect(200);
    assert_eq!(second.header("idempotency-hit"), Some("true"));
    assert_eq!(first.body, second.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_of_footwear_depends_on_its_price() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let owner = &shop.owner;
    let shoes = made(&shop, profile("Footwear", "640399", "18")).await;
    let change = json!({ "hsn": ["64"], "rate": "5", "above": { "price": "2500", "rate": "18" }, "valid_from": "2025-09-22" });
    owner.post(CHANGE, change).await.expect(200);
    let path = format!("/api/v1/tax-profiles/{shoes}");
    let rates = owner.get(&path).await.expect(200).body["rates"].clone();
    assert_eq!(
        rates[1]["above"],
        json!({ "price": "2500", "rate": "18", "cess": "0" })
    );
    assert!(rates[0].get("above").is_none());
    let told = events(&app, "tax_rate.changed").await;
    assert_eq!(told.last().unwrap().payload["rates"], rates);
    let pair = async |sku: &str, price: &str, includes_tax: bool| {
        let other = json!({ "status": "active", "tax_profile_id": shoes, "price": price, "price_includes_tax": includes_tax });
        shop.add(sku, other).await.expect(201);
    };
    pair("PLAIN", "2500", false).await;
    pair("DEAR", "2501", false).await;
    pair("SHELF", "2700", true).await;
    let rate = async |sku: &str| {
        let body = json!({ "date": "2026-11-21", "lines": [{ "sku": sku, "qty": "2" }] });
        let told = owner.post("/api/v1/price-quotes", body).await.expect(200);
        told.body["lines"][0]["tax"]["rate"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        (rate("PLAIN").await, rate("DEAR").await, rate("SHELF").await),
        ("5".into(), "18".into(), "18".into())
    );
    // What is left after a discount decides.
    let promotion = json!({ "name": "Sale", "rule": { "kind": "percent", "percent": "10" } });
    let promotion = owner
        .post("/api/v1/promotions", promotion)
        .await
        .expect(201)
        .text_at("id");
    owner
        .post(
            &format!("/api/v1/promotions/{promotion}:activate"),
            json!({}),
        )
        .await
        .expect(200);
    assert_eq!(
        (rate("DEAR").await, rate("SHELF").await),
        ("5".into(), "5".into())
    );
    // The MRP is checked with the rate of the price.
    let dear = json!({ "tax_profile_id": shoes, "price": "3000", "price_includes_tax": false, "mrp": "3500" });
    assert_eq!(
        shop.add("OVER", dear).await.expect(422).code(),
        "PRICE_ABOVE_MRP"
    );
    let unlawful = json!({ "valid_from": "2027-01-01", "rate": "5", "above": { "price": "2500", "rate": "17" } });
    let refused = owner
        .post(&format!("{path}/rates"), unlawful)
        .await
        .expect(422);
    assert_eq!(refused.code(), "UNLAWFUL_RATE");
}
