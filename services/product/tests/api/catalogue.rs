//! Categories, brands, units, tax profiles and barcodes.

use futures::future::join_all;
use serde_json::json;
use uuid::Uuid;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn categories_make_a_tree_without_cycles() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let owner = &shop.owner;
    let add = async |name: &str, parent: Option<&str>| {
        owner
            .post(
                "/api/v1/categories",
                json!({ "name": name, "parent_id": parent }),
            )
            .await
    };
    let food = add("Food", None).await.expect(201).text_at("id");
    let biscuits = add("Biscuits", Some(&food)).await.expect(201).text_at("id");
    let cream = add("Cream", Some(&biscuits))
        .await
        .expect(201)
        .text_at("id");
    let path = |id: &str| format!("/api/v1/categories/{id}");
    // Below itself, its child, its grandchild.
    for parent in [&food, &biscuits, &cream] {
        let body = json!({ "name": "Food", "parent_id": parent });
        assert_eq!(
            owner.put(&path(&food), body, 1).await.expect(422).code(),
            "CATEGORY_CYCLE"
        );
    }
    let nowhere = add("X", Some(&Uuid::now_v7().to_string()))
        .await
        .expect(422);
    assert_eq!(
        (nowhere.code(), &nowhere.body["field"]),
        ("UNKNOWN_REFERENCE", &json!("parent_id"))
    );
    // A name is unique among siblings, ignoring case and gaps.
    assert_eq!(
        add("  food ".trim(), None).await.expect(409).code(),
        "NAME_TAKEN"
    );
    assert_eq!(
        add("BISCUITS", Some(&food)).await.expect(409).code(),
        "NAME_TAKEN"
    );
    add("Food", Some(&food)).await.expect(201);
    // What has children or products stays.
    assert_eq!(
        owner.delete(&path(&biscuits), 1).await.expect(409).code(),
        "IN_USE"
    );
    shop.add("A", json!({ "category_id": cream }))
        .await
        .expect(201);
    assert_eq!(
        owner.delete(&path(&cream), 1).await.expect(409).code(),
        "IN_USE"
    );
    // A product is found through every category above it.
    for category in [&food, &biscuits, &cream] {
        assert_eq!(
            owner
                .get(&format!("/api/v1/products?category={category}"))
                .await
                .expect(200)
                .body["total"],
            1
        );
    }
    let moved = owner
        .put(&path(&cream), json!({ "name": "Creams" }), 1)
        .await
        .expect(200);
    assert_eq!(
        (&moved.body["parent_id"], &moved.body["version"]),
        (&json!(null), &json!(2))
    );
    assert_eq!(
        column(&owner.get("/api/v1/categories?top=true").await, "name"),
        ["Creams", "Food"]
    );
    assert_eq!(
        column(
            &owner
                .get(&format!("/api/v1/categories?parent={food}"))
                .await,
            "name"
        ),
        ["Biscuits", "Food"]
    );
    owner.delete(&path(&biscuits), 1).await.expect(204);
    owner.get(&path(&biscuits)).await.expect(404);
    let said: Vec<String> = app
        .events()
        .await
        .iter()
        .filter(|e| e.aggregate_type == "category")
        .map(|e| {
            format!(
                "{} {} v{}",
                e.event_type,
                e.payload["name"].as_str().unwrap(),
                e.aggregate_version
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            "category.created Food v1",
            "category.created Biscuits v1",
            "category.created Cream v1",
            "category.created Food v1",
            "category.updated Creams v2",
            "category.deleted Biscuits v2",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tree_has_eight_levels_at_most() {
    let app = start().await;
    let owner = app.tenant();
    let mut ids: Vec<String> = Vec::new();
    for level in 0..8 {
        let body = json!({ "name": format!("L{level}"), "parent_id": ids.last() });
        ids.push(
            owner
                .post("/api/v1/categories", body)
                .await
                .expect(201)
                .text_at("id"),
        );
    }
    let body = json!({ "name": "L8", "parent_id": ids[7] });
    assert_eq!(
        owner
            .post("/api/v1/categories", body)
            .await
            .expect(422)
            .code(),
        "CATEGORY_TOO_DEEP"
    );
    let top = owner
        .post("/api/v1/categories", json!({ "name": "Top" }))
        .await
        .expect(201)
        .text_at("id");
    // The whole branch of eight does not fit below another.
    let body = json!({ "name": "L0", "parent_id": top });
    let refused = owner
        .put(&format!("/api/v1/categories/{}", ids[0]), body, 1)
        .await
        .expect(422);
    assert_eq!(refused.code(), "CATEGORY_TOO_DEEP");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_moves_at_once_make_no_cycle_together() {
    let app = start().await;
    let owner = app.tenant();
    let add = async |name: String, parent: Option<&str>| {
        let body = json!({ "name": name, "parent_id": parent });
        owner
            .post("/api/v1/categories", body)
            .await
            .expect(201)
            .text_at("id")
    };
    let below = async |id: &str, name: &str, parent: &str| {
        let body = json!({ "name": name, "parent_id": parent });
        owner
            .put(&format!("/api/v1/categories/{id}"), body, 1)
            .await
            .status
    };
    for round in 0..10 {
        let (a, b) = (
            add(format!("a{round}"), None).await,
            add(format!("b{round}"), None).await,
        );
        // Each goes below a child of the other: neither move touches a row that the other one locks.
        let (a_child, b_child) = (
            add("child".into(), Some(&a)).await,
            add("child".into(), Some(&b)).await,
        );
        let (first, second) = futures::join!(below(&a, "A", &b_child), below(&b, "B", &a_child));
        let mut both = [first, second];
        both.sort_unstable();
        assert_eq!(both, [200, 422]);
        // For the next round.
        let winner = if first == 200 { &a } else { &b };
        let body = json!({ "name": format!("{round}") });
        owner
            .put(&format!("/api/v1/categories/{winner}"), body, 2)
            .await
            .expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn brands_have_one_name_each() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let owner = &shop.owner;
    let replies =
        join_all((0..10).map(|_| owner.post("/api/v1/brands", json!({ "name": "Amul" })))).await;
    assert_eq!(replies.iter().filter(|r| r.status == 201).count(), 1);
    assert!(
        replies
            .iter()
            .all(|r| r.status == 201 || r.code() == "NAME_TAKEN")
    );
    let brand = replies
        .iter()
        .find(|r| r.status == 201)
        .unwrap()
        .text_at("id");
    let path = format!("/api/v1/brands/{brand}");
    let same = owner
        .put(&path, json!({ "name": "Amul" }), 1)
        .await
        .expect(200);
    assert_eq!(same.body["version"], 1, "nothing has changed");
    assert_eq!(
        owner
            .put(&path, json!({ "name": "AMUL" }), 1)
            .await
            .expect(200)
            .body["version"],
        2
    );
    shop.add("A", json!({ "brand_id": brand }))
        .await
        .expect(201);
    assert_eq!(
        owner
            .get(&format!("/api/v1/products?brand={brand}"))
            .await
            .expect(200)
            .body["total"],
        1
    );
    assert_eq!(owner.delete(&path, 2).await.expect(409).code(), "IN_USE");
}

#[tokio::test(flavor = "multi_thread")]
async fn use_fixes_a_unit() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let (owner, path) = (&shop.owner, format!("/api/v1/units/{}", shop.unit));
    let unit = |uqc: &str, decimals: i32| json!({ "code": "PCS", "name": "Piece", "uqc": uqc, "decimals": decimals });
    owner.put(&path, unit("NOS", 2), 1).await.expect(200);
    shop.add("A", json!({})).await.expect(201);
    let refused = owner.put(&path, unit("PCS", 2), 2).await.expect(409);
    assert_eq!(
        (refused.code(), &refused.body["field"]),
        ("FIXED_BY_USE", &json!("uqc"))
    );
    let refused = owner.put(&path, unit("NOS", 1), 2).await.expect(409);
    assert_eq!(refused.body["field"], "decimals");
    owner.put(&path, unit("nos", 3), 2).await.expect(200);
    assert_eq!(owner.delete(&path, 3).await.expect(409).code(), "IN_USE");
    assert_eq!(shop.by_sku("A").await["uqc"], "NOS");
    let again = json!({ "code": "pcs", "name": "Piece", "uqc": "PCS" });
    assert_eq!(
        owner.post("/api/v1/units", again).await.expect(409).code(),
        "CODE_TAKEN"
    );
    let unused = json!({ "code": "BOX", "name": "Box", "uqc": "BOX" });
    let unused = owner
        .post("/api/v1/units", unused)
        .await
        .expect(201)
        .text_at("id");
    owner
        .delete(&format!("/api/v1/units/{unused}"), 1)
        .await
        .expect(204);
    assert_eq!(
        column(&owner.get("/api/v1/units?uqc=nos").await, "code"),
        ["PCS"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_follow_each_other_without_overlap_or_gap() {
    let app = start().await;
    let owner = app.tenant();
    let rates =
        |rates: serde_json::Value| json!({ "name": "Soap", "hsn": "340111", "rates": rates });
    let first = |to: &str| json!({ "valid_from": "2017-07-01", "valid_to": to, "rate": "18" });
    let second = json!({ "valid_from": "2025-09-22", "rate": "5" });
    for (code, body) in [
        ("RATES_OVERLAP", rates(json!([first("2025-09-23"), second]))),
        ("RATES_OVERLAP", rates(json!([second, second]))),
        ("RATES_GAP", rates(json!([first("2025-09-01"), second]))),
        ("RATES_GAP", rates(json!([first("2025-09-22")]))),
        ("RATE_PERIOD", rates(json!([first("2017-07-01"), second]))),
        (
            "UNLAWFUL_RATE",
            rates(json!([{ "valid_from": "2017-07-01", "rate": "17" }])),
        ),
        (
            "UNLAWFUL_RATE",
            rates(json!([{ "valid_from": "2017-06-30", "rate": "18" }])),
        ),
        (
            "UNLAWFUL_RATE",
            rates(json!([{ "valid_from": "2026-02-01", "rate": "40", "cess": "12" }])),
        ),
        (
            "UNLAWFUL_RATE",
            json!({ "name": "S", "hsn": "3401", "category": "nil",
            "rates": [{ "valid_from": "2017-07-01", "rate": "5" }] }),
        ),
    ] {
        let refused = owner.post("/api/v1/tax-profiles", body.clone()).await;
        assert_eq!(
            (refused.status, refused.code()),
            (422, code),
            "{body}: {}",
            refused.text
        );
    }
    let made = owner
        .post(
            "/api/v1/tax-profiles",
            rates(json!([second, first("2025-09-22")])),
        )
        .await
        .expect(201);
    assert_eq!(made.body["rates"][0]["valid_to"], "2025-09-22");
    let path = format!("/api/v1/tax-profiles/{}", made.text_at("id"));
    // Two clerks enter the same new rate: it is there once.
    let new = json!({ "valid_from": "2026-04-01", "rate": "18" });
    let new_path = format!("{path}/rates");
    let replies = join_all((0..5).map(|_| owner.post(&new_path, new.clone()))).await;
    assert_eq!(replies.iter().filter(|r| r.status == 201).count(), 1);
    assert!(
        replies
            .iter()
            .all(|r| r.status == 201 || (r.status == 409 && r.code() == "RATE_EXISTS"))
    );
    let now = owner.get(&path).await.expect(200).body;
    assert_eq!(
        now["rates"],
        json!([
            { "valid_from": "2017-07-01", "valid_to": "2025-09-22", "rate": "18", "cess": "0" },
            { "valid_from": "2025-09-22", "valid_to": "2026-04-01", "rate": "5", "cess": "0" },
            { "valid_from": "2026-04-01", "valid_to": null, "rate": "18", "cess": "0" },
        ])
    );
    let said = events(&app, "tax_rate.changed").await;
    assert_eq!(said.len(), 2);
    assert_eq!(
        (said[1].aggregate_version, &said[1].payload["rates"]),
        (2, &now["rates"])
    );
    let audits = events(&app, "audit.recorded").await;
    let actions: Vec<&str> = audits
        .iter()
        .map(|e| e.payload["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "product.tax_profile.create",
            "product.tax_profile.rate_change"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_itself_refuses_rates_that_overlap() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let admin = app.admin().await;
    let text = format!(
        "insert into tax_rate values ('{}', '{}', '2020-01-01', null, 5, 0)",
        shop.owner.tenant, shop.tax
    );
    let error = admin.batch_execute(&text).await.unwrap_err();
    assert_eq!(
        error.as_db_error().unwrap().constraint(),
        Some("tax_rate_overlap")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn use_fixes_hsn_and_category_of_a_tax_profile() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let (owner, path) = (&shop.owner, format!("/api/v1/tax-profiles/{}", shop.tax));
    owner
        .put(&path, profile("Cables", "8544", "18"), 1)
        .await
        .expect(200);
    shop.add("A", json!({})).await.expect(201);
    let refused = owner
        .put(&path, profile("Cables", "854442", "18"), 2)
        .await
        .expect(409);
    assert_eq!(
        (refused.code(), &refused.body["field"]),
        ("FIXED_BY_USE", &json!("hsn"))
    );
    let mut nil = profile("Cables", "8544", "0");
    nil["category"] = json!("nil");
    assert_eq!(
        owner.put(&path, nil, 2).await.expect(409).body["field"],
        "category"
    );
    owner
        .put(&path, profile("All cables", "8544", "28"), 2)
        .await
        .expect(200);
    assert_eq!(owner.delete(&path, 3).await.expect(409).code(), "IN_USE");
    assert_eq!(
        owner
            .get("/api/v1/products?hsn=8544")
            .await
            .expect(200)
            .body["total"],
        1
    );
    let twin = owner
        .post("/api/v1/tax-profiles", profile("all  CABLES", "8544", "18"))
        .await
        .expect(409);
    assert_eq!(twin.code(), "NAME_TAKEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_barcodes_are_made_once_each() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    // One of the range has come from the shop's former system.
    shop.add("OLD", json!({ "barcodes": ["2900000000025"] }))
        .await
        .expect(201);
    let made = shop
        .owner
        .post("/api/v1/barcodes/generate", json!({ "count": 2 }))
        .await
        .expect(201);
    assert_eq!(
        made.body["barcodes"],
        json!(["2900000000018", "2900000000032"])
    );
    let replies = join_all((0..20).map(|_| {
        shop.owner
            .post("/api/v1/barcodes/generate", json!({ "count": 5 }))
    }))
    .await;
    let mut all: Vec<String> = replies
        .into_iter()
        .flat_map(|r| {
            serde_json::from_value::<Vec<String>>(r.expect(201).body["barcodes"].clone()).unwrap()
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 100);
    shop.add("NEW", json!({ "barcodes": [all[0]] }))
        .await
        .expect(201);
    let one = shop
        .owner
        .post_with_key("/api/v1/barcodes/generate", json!({}), "g")
        .await
        .expect(201);
    let same = shop
        .owner
        .post_with_key("/api/v1/barcodes/generate", json!({}), "g")
        .await
        .expect(201);
    assert_eq!(one.body, same.body);
}
