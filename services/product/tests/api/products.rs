//! Products: their life, prices, barcodes, search.

use bahi_testkit::TestApp;
use bahi_types::Clock;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_told_as_it_was_said() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let tracking = json!({ "batch": true, "serial": false, "expiry": true });
    let made = shop
        .add(
            "TEA-250",
            json!({ "name": "Tea 250 g", "tracking": tracking, "barcodes": [EAN, "416000336108"],
            "price": "84.7457", "price_includes_tax": false, "mrp": "100.00" }),
        )
        .await
        .expect(201);
    assert_eq!(made.body["status"], "draft");
    assert_eq!(
        (&made.body["price"], &made.body["mrp"]),
        (&json!("84.7457"), &json!("100.00"))
    );
    let id = made.text_at("id");
    let path = format!("/api/v1/products/{id}");
    assert_eq!(shop.owner.get(&path).await.expect(200).body, made.body);
    let said = events(&app, "product.created").await;
    assert_eq!(
        (said.len(), said[0].aggregate_version, &said[0].aggregate_id),
        (1, 1, &id)
    );
    assert_eq!(
        said[0].payload,
        json!({
            "product_id": id, "sku": "TEA-250", "name": "Tea 250 g", "variant_of": null, "kind": "goods",
            "category_id": null, "brand_id": null, "hsn": "854442", "tax_profile_id": shop.tax,
            "stock_unit_id": shop.unit, "uqc": "PCS", "units": [], "tracking": tracking, "barcodes": [EAN, "416000336108"],
            "price": "84.7457", "price_includes_tax": false, "mrp": "100.00", "status": "draft",
            "changed_fields": [],
        })
    );
    // A change says which fields differ, and a price that changes is told and audited apart.
    let change = json!({ "name": "Tea", "tracking": tracking, "barcodes": [EAN], "price": "90", "mrp": "100" });
    let changed = shop
        .owner
        .put(&path, shop.product("TEA-250", change), 1)
        .await
        .expect(200);
    assert_eq!(changed.body["version"], 2);
    let all = app.events().await;
    let last: Vec<(&str, i64)> = all
        .iter()
        .rev()
        .take(3)
        .map(|e| (e.event_type.as_str(), e.aggregate_version))
        .collect();
    assert_eq!(
        last,
        [
            ("audit.recorded", 1),
            ("price.changed", 2),
            ("product.updated", 2)
        ]
    );
    let updated = &all[all.len() - 3].payload;
    assert_eq!(
        updated["changed_fields"],
        json!(["name", "barcodes", "price", "price_includes_tax"])
    );
    let price = &all[all.len() - 2].payload;
    assert_eq!(
        (&price["old"], &price["new"], &price["price_includes_tax"]),
        (&json!("84.7457"), &json!("90"), &json!(true))
    );
    let audit = &all[all.len() - 1].payload;
    assert_eq!(
        (&audit["action"], &audit["object_id"]),
        (&json!("product.product.price_change"), &json!(id))
    );
    // The same again is no change.
    let body = shop.owner.get(&path).await.expect(200).body;
    let mut same = shop.product("TEA-250", json!({ "name": "Tea", "tracking": tracking, "barcodes": [EAN], "price": "90.00", "mrp": "100" }));
    same["status"] = body["status"].clone();
    assert_eq!(shop.owner.put(&path, same, 2).await.expect(200).body, body);
    assert_eq!(app.events().await.len(), all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_who_add_one_sku_one_succeeds() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let replies = join_all((0..20).map(|n| {
        let sku = if n % 2 == 0 { "Cable-1" } else { "CABLE-1" };
        shop.add(sku, json!({}))
    }))
    .await;
    assert_eq!(replies.iter().filter(|r| r.status == 201).count(), 1);
    assert_eq!(
        replies
            .iter()
            .filter(|r| r.status == 409 && r.code() == "SKU_TAKEN")
            .count(),
        19
    );
    assert_eq!(events(&app, "product.created").await.len(), 1);
    let other = shop.add("CABLE-2", json!({})).await.expect(201);
    let path = format!("/api/v1/products/{}", other.text_at("id"));
    let renamed = shop
        .owner
        .put(&path, shop.product("cable-1", json!({})), 1)
        .await;
    assert_eq!(renamed.expect(409).code(), "SKU_TAKEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_lives_from_draft_to_archive_and_back() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let id = shop.add("A", json!({})).await.expect(201).text_at("id");
    for verb in ["discontinue", "archive"] {
        let refused = shop.step(&id, verb).await.expect(409);
        assert_eq!(
            (refused.code(), &refused.body["from"]),
            ("INVALID_TRANSITION", &json!("draft"))
        );
    }
    for (verb, status) in [
        ("activate", "active"),
        ("discontinue", "discontinued"),
        ("archive", "archived"),
        ("activate", "active"),
    ] {
        assert_eq!(
            shop.step(&id, verb).await.expect(200).body["status"],
            status
        );
    }
    shop.step(&id, "activate").await.expect(409);
    // The same steps, and no others, are open to a change.
    let path = format!("/api/v1/products/{id}");
    let put = async |status: &str, version| {
        shop.owner
            .put(
                &path,
                shop.product("A", json!({ "status": status })),
                version,
            )
            .await
    };
    assert_eq!(
        put("draft", 5).await.expect(409).code(),
        "INVALID_TRANSITION"
    );
    assert_eq!(put("archived", 5).await.expect(200).body["version"], 6);
    let states: Vec<String> = events(&app, "product.updated")
        .await
        .iter()
        .map(|e| e.payload["status"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        states,
        ["active", "discontinued", "archived", "active", "archived"]
    );
    shop.add("B", json!({ "status": "active" }))
        .await
        .expect(201);
    assert_eq!(
        shop.add("C", json!({ "status": "archived" }))
            .await
            .expect(409)
            .code(),
        "INVALID_TRANSITION"
    );
    assert_eq!(
        column(
            &shop.owner.get("/api/v1/products?status=active").await,
            "sku"
        ),
        ["B"]
    );
    // Of two who do the same step, one does it.
    let id = shop.add("D", json!({})).await.expect(201).text_at("id");
    let replies = join_all((0..5).map(|_| shop.step(&id, "activate"))).await;
    assert_eq!(replies.iter().filter(|r| r.status == 200).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_price_with_tax_stays_within_the_mrp() {
    let at = "2026-06-01T06:30:00Z".parse().unwrap();
    let app = TestApp::start_with(product::app(), &[], Clock::fixed(at)).await;
    let shop = Shop::open(&app).await;
    let over = shop
        .add("A", json!({ "price": "100.01", "mrp": "100" }))
        .await
        .expect(422);
    assert_eq!(over.code(), "PRICE_ABOVE_MRP");
    // 84.75 and 18 % are 100.01 (100.005, half away from zero).
    let without =
        |price: &str| json!({ "price": price, "price_includes_tax": false, "mrp": "100" });
    assert_eq!(
        shop.add("A", without("84.75")).await.expect(422).code(),
        "PRICE_ABOVE_MRP"
    );
    let id = shop
        .add("A", without("84.7457"))
        .await
        .expect(201)
        .text_at("id");
    // The rate of the day counts, not one to come.
    let rate = json!({ "valid_from": "2026-07-01", "rate": "40" });
    shop.owner
        .post(&format!("/api/v1/tax-profiles/{}/rates", shop.tax), rate)
        .await
        .expect(201);
    shop.add("B", without("84.7457")).await.expect(201);
    app.clock.advance(chrono::Duration::days(30));
    assert_eq!(
        shop.add("C", without("84.7457")).await.expect(422).code(),
        "PRICE_ABOVE_MRP"
    );
    // A rise of the tax does not stand in the way of another name.
    let mut renamed = shop.product("A", without("84.7457"));
    renamed["name"] = json!("Renamed");
    shop.owner
        .put(&format!("/api/v1/products/{id}"), renamed, 1)
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_and_services_keep_to_their_codes() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let sac = shop
        .owner
        .post("/api/v1/tax-profiles", profile("Freight", "996511", "18"))
        .await
        .expect(201)
        .text_at("id");
    let service = json!({ "kind": "service", "tax_profile_id": sac });
    shop.add("FREIGHT", service.clone()).await.expect(201);
    for (code, other) in [
        ("WRONG_KIND_OF_CODE", json!({ "kind": "service" })),
        ("WRONG_KIND_OF_CODE", json!({ "tax_profile_id": sac })),
        ("TRACKED_SERVICE", {
            let mut tracked = service.clone();
            tracked["tracking"] = json!({ "serial": true });
            tracked
        }),
        (
            "EXPIRY_WITHOUT_BATCH",
            json!({ "tracking": { "expiry": true } }),
        ),
    ] {
        assert_eq!(shop.add("X", other).await.expect(422).code(), code);
    }
    assert_eq!(
        column(
            &shop.owner.get("/api/v1/products?kind=service").await,
            "sku"
        ),
        ["FREIGHT"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_barcode_stands_for_one_product_that_is_not_archived() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let lookup = async |code: &str| {
        shop.owner
            .get(&format!("/api/v1/products/lookup?barcode={code}"))
            .await
    };
    let first = shop
        .add(
            "A",
            json!({ "status": "active", "barcodes": ["416000336108"] }),
        )
        .await
        .expect(201)
        .text_at("id");
    // A UPC-A and the EAN-13 with a zero in front are one code, whichever is scanned.
    for code in ["416000336108", "0416000336108", "00416000336108"] {
        assert_eq!(lookup(code).await.expect(200).body["sku"], "A");
    }
    lookup(EAN).await.expect(404);
    let twin = shop
        .add("B", json!({ "barcodes": ["0416000336108"] }))
        .await
        .expect(409);
    assert_eq!(twin.code(), "BARCODE_TAKEN");
    shop.step(&first, "discontinue").await.expect(200);
    assert_eq!(
        lookup("416000336108").await.expect(200).body["status"],
        "discontinued"
    );
    shop.step(&first, "archive").await.expect(200);
    lookup("416000336108").await.expect(404);
    let second = shop
        .add("B", json!({ "barcodes": ["0416000336108"] }))
        .await
        .expect(201)
        .text_at("id");
    assert_eq!(
        shop.step(&first, "activate").await.expect(409).code(),
        "BARCODE_TAKEN"
    );
    shop.owner
        .delete(&format!("/api/v1/products/{second}"), 1)
        .await
        .expect(204);
    shop.step(&first, "activate").await.expect(200);
    assert_eq!(lookup("416000336108").await.expect(200).body["sku"], "A");
    // Of those who claim one code at once, one has it.
    let replies = join_all((0..10).map(|n| {
        let shop = &shop;
        async move {
            shop.add(&format!("R{n}"), json!({ "barcodes": [EAN] }))
                .await
        }
    }))
    .await;
    assert_eq!(replies.iter().filter(|r| r.status == 201).count(), 1);
    assert!(
        replies
            .iter()
            .all(|r| r.status == 201 || r.code() == "BARCODE_TAKEN")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn search_finds_typing_errors_codes_and_parts() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    for (sku, name, barcodes) in [
        ("PRL-G-200", "Parle-G Gluco Biscuits 200 g", json!([EAN])),
        ("BRT-MG-100", "Britannia Marie Gold Biscuit", json!([])),
        ("AML-BTR-500", "Amul Butter 500 g", json!([])),
        ("DTL-SOAP-75", "Dettol Soap Original", json!([])),
        ("CBL-2M", "USB Cable 2 m", json!([])),
    ] {
        shop.add(sku, json!({ "name": name, "barcodes": barcodes }))
            .await
            .expect(201);
    }
    let search = async |query: &str| {
        column(
            &shop
                .owner
                .get(&format!("/api/v1/products?{query}"))
                .await
                .expect(200),
            "sku",
        )
    };
    assert_eq!(search("q=amul").await, ["AML-BTR-500"]);
    assert_eq!(
        search("q=buter").await,
        ["AML-BTR-500"],
        "a letter is missing"
    );
    assert_eq!(
        search("q=detol%20sope").await,
        ["DTL-SOAP-75"],
        "both words are wrong"
    );
    assert_eq!(
        search("q=parel").await,
        ["PRL-G-200"],
        "letters are swapped"
    );
    let mut both = search("q=bisciut").await;
    both.sort_unstable();
    assert_eq!(both, ["BRT-MG-100", "PRL-G-200"]);
    assert_eq!(
        search("q=marie%20gold%20bisc").await[0],
        "BRT-MG-100",
        "the best comes first"
    );
    assert_eq!(search("q=cbl-2m").await, ["CBL-2M"]);
    assert_eq!(search(&format!("q={EAN}")).await, ["PRL-G-200"]);
    assert!(search("q=zzzzqq").await.is_empty());
    assert_eq!(
        search("q=biscuit&sort=sku").await,
        ["BRT-MG-100", "PRL-G-200"]
    );
    assert_eq!(search("q=biscuit&sku=prl-g-200").await, ["PRL-G-200"]);
    let page = shop
        .owner
        .get("/api/v1/products?q=biscuit&limit=1&page=2")
        .await
        .expect(200);
    assert_eq!(
        (
            &page.body["total"],
            page.body["items"].as_array().map(Vec::len)
        ),
        (&json!(2), Some(1))
    );
    // A search follows a change of the name, and letters of every script.
    let soap = shop.by_sku("DTL-SOAP-75").await;
    let path = format!("/api/v1/products/{}", soap["id"].as_str().unwrap());
    shop.owner
        .put(
            &path,
            shop.product("DTL-SOAP-75", json!({ "name": "साबुन" })),
            1,
        )
        .await
        .expect(200);
    assert_eq!(search("q=साबुन").await, ["DTL-SOAP-75"]);
    assert!(search("q=dettol").await.is_empty());
    for odd in ["q=%25", "q=_", "q='", "q=%5C", "q=a%22%26b"] {
        search(odd).await;
    }
}

/// Under a policy the trigram operators may not be pushed into the index; the function exists to get around that.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_reads_the_index_and_not_the_table() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    shop.add("A", json!({})).await.expect(201);
    let admin = app.admin().await;
    // With so few rows every way is cheap; leave the planner the one that is in question.
    admin
        .batch_execute("alter table product_text drop constraint product_text_pkey")
        .await
        .unwrap();
    let plan = async |role: &str| -> String {
        let text = format!(
            "begin; set local role {role}; set local enable_seqscan = off; set local app.tenant_id = '{}';
             explain select product_id from product_text where tenant_id = '{}' and 'bisciut' <% text; rollback",
            shop.owner.tenant, shop.owner.tenant
        );
        let rows = admin.simple_query(&text).await.unwrap();
        let line = |row: &tokio_postgres::SimpleQueryMessage| match row {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        rows.iter().filter_map(line).collect::<Vec<_>>().join("\n")
    };
    let owner = plan("bahi_product_owner").await;
    assert!(
        owner.contains("product_text_trigram") && owner.contains("text %> 'bisciut'"),
        "{owner}"
    );
    let app_role = plan("bahi_product_app").await;
    assert!(!app_role.contains("text %> 'bisciut'"), "{app_role}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_never_moved_can_be_deleted() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let id = shop
        .add("A", json!({ "status": "active", "barcodes": [EAN] }))
        .await
        .expect(201)
        .text_at("id");
    let path = format!("/api/v1/products/{id}");
    shop.owner.delete(&path, 1).await.expect(204);
    shop.owner.get(&path).await.expect(404);
    shop.owner.delete(&path, 1).await.expect(404);
    assert_eq!(
        shop.owner
            .get("/api/v1/products?q=product")
            .await
            .expect(200)
            .body["total"],
        0
    );
    let said = events(&app, "product.deleted").await;
    assert_eq!(
        (
            said.len(),
            said[0].aggregate_version,
            &said[0].payload["sku"]
        ),
        (1, 2, &json!("A"))
    );
    let audit = events(&app, "audit.recorded").await.pop().unwrap().payload;
    assert_eq!(
        (&audit["action"], &audit["details"]["old"]["sku"]),
        (&json!("product.product.delete"), &json!("A"))
    );
    // The SKU and the barcode are free.
    shop.add("A", json!({ "barcodes": [EAN] }))
        .await
        .expect(201);
    let value: Value = shop.by_sku("A").await;
    assert_ne!(value["id"], json!(id));
}
