//! What every service does alike: tenancy, tokens, validation, idempotency, versions, lists, contracts.

use bahi_testkit::{
    assert_branch_tables, assert_operations, assert_permissions_written_down, assert_tenant_tables,
};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_table_is_the_tenants() {
    assert_tenant_tables(&start().await, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_of_a_branch_is_cut_to_branches() {
    let whole = [
        ("price_list", "prices are told to everybody"),
        ("promotion", "prices are told to everybody"),
    ];
    assert_branch_tables(&start().await, &whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_see_past_the_policies_are_for_this_service_alone() {
    let app = start().await;
    let admin = app.admin().await;
    let may = async |role: &str, function: &str| -> bool {
        let text = format!("select has_function_privilege('{role}', '{function}', 'execute')");
        admin.query_one(&text, &[]).await.unwrap().get(0)
    };
    for function in [
        "search_products(text, text, text, numeric, numeric, text, int, int, int, boolean)",
        "similar_words(text[])",
        "import_jobs_waiting(timestamptz)",
        "import_jobs_to_clear(timestamptz)",
        "product_images_to_clear(timestamptz)",
    ] {
        assert!(may("bahi_product_app", function).await, "{function}");
        assert!(!may("bahi_relay", function).await, "{function}");
    }
}

const PATHS: [&str; 10] = [
    "barcode-patterns",
    "products",
    "attributes",
    "categories",
    "brands",
    "units",
    "tax-profiles",
    "import-jobs",
    "price-lists",
    "promotions",
];

#[tokio::test(flavor = "multi_thread")]
async fn only_an_internal_token_opens_anything() {
    let app = start().await;
    let owner = app.tenant();
    for path in PATHS.map(|path| format!("/api/v1/{path}")) {
        owner.get(&path).await.expect(200);
        let nobody = owner.with_token("none");
        nobody.get(&path).await.expect(401);
        let request = nobody.request(Method::GET, &path);
        let forged = request
            .header("x-user-id", owner.user.to_string())
            .header("x-tenant-id", owner.tenant.to_string());
        nobody.send(forged).await.expect(401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_finds_nothing() {
    let app = start().await;
    let (shop, stranger) = (Shop::open(&app).await, Shop::open(&app).await);
    let product = shop
        .add("A", json!({ "barcodes": [EAN] }))
        .await
        .expect(201)
        .text_at("id");
    let brand = shop
        .owner
        .post("/api/v1/brands", json!({ "name": "B" }))
        .await
        .expect(201)
        .text_at("id");
    let category = shop
        .owner
        .post("/api/v1/categories", json!({ "name": "C" }))
        .await
        .expect(201)
        .text_at("id");
    let job = shop
        .import("", "sku,name,unit,hsn,price\nZ,Z,PCS,854442,1\n")
        .await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let client = &stranger.owner;
    for path in [
        format!("products/{product}"),
        format!("products/lookup?barcode={EAN}"),
        format!("brands/{brand}"),
        format!("categories/{category}"),
        format!("units/{}", shop.unit),
        format!("tax-profiles/{}", shop.tax),
        format!("import-jobs/{job}"),
        format!("import-jobs/{job}/errors.csv"),
    ] {
        client.get(&format!("/api/v1/{path}")).await.expect(404);
    }
    for path in [
        "products",
        "products?q=product",
        "brands",
        "categories",
        "import-jobs",
    ] {
        assert_eq!(
            client
                .get(&format!("/api/v1/{path}"))
                .await
                .expect(200)
                .body["total"],
            0,
            "{path}"
        );
    }
    for path in [
        format!("products/{product}"),
        format!("brands/{brand}"),
        format!("units/{}", shop.unit),
    ] {
        client
            .delete(&format!("/api/v1/{path}"), 1)
            .await
            .expect(404);
    }
    client
        .put(
            &format!("/api/v1/products/{product}"),
            stranger.product("A", json!({})),
            1,
        )
        .await
        .expect(404);
    stranger.step(&product, "activate").await.expect(404);
    client
        .post(&format!("/api/v1/import-jobs/{job}:cancel"), json!({}))
        .await
        .expect(404);
    // What another tenant has cannot be referred to, and does not stand in the way.
    for (field, id) in [
        ("brand_id", &brand),
        ("category_id", &category),
        ("unit_id", &shop.unit),
        ("tax_profile_id", &shop.tax),
    ] {
        let refused = stranger.add("A", json!({ field: id })).await.expect(422);
        assert_eq!(
            (refused.code(), &refused.body["field"]),
            ("UNKNOWN_REFERENCE", &json!(field))
        );
    }
    stranger
        .add("A", json!({ "barcodes": [EAN] }))
        .await
        .expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_what_is_malformed_and_names_the_field() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let long = "x".repeat(201);
    let with = |base: &Value, field: &str, value: Value| {
        let mut body = base.clone();
        body[field] = value;
        body
    };
    let product = shop.product("A", json!({}));
    let unit = json!({ "code": "KG", "name": "Kilogram", "uqc": "KGS" });
    let tax = profile("T", "8544", "18");
    let rate = |rate: Value| with(&tax, "rates", json!([rate]));
    let cases = [
        ("products", with(&product, "sku", json!("")), "sku"),
        ("products", with(&product, "sku", json!(" A")), "sku"),
        (
            "products",
            with(&product, "sku", json!("x".repeat(65))),
            "sku",
        ),
        ("products", with(&product, "sku", json!("चाय")), "sku"),
        ("products", with(&product, "sku", json!(7)), "sku"),
        ("products", with(&product, "name", json!(" ")), "name"),
        ("products", with(&product, "name", json!(long)), "name"),
        ("products", with(&product, "name", json!("a\u{7}b")), "name"),
        ("products", with(&product, "kind", json!("thing")), "kind"),
        (
            "products",
            with(&product, "status", json!("sold")),
            "status",
        ),
        ("products", with(&product, "unit_id", json!("x")), "unit_id"),
        (
            "products",
            with(&product, "category_id", json!("x")),
            "category_id",
        ),
        ("products", with(&product, "price", json!(100)), "price"),
        ("products", with(&product, "price", json!("-1")), "price"),
        (
            "products",
            with(&product, "price", json!("1.00001")),
            "price",
        ),
        ("products", with(&product, "price", json!("1e3")), "price"),
        ("products", with(&product, "price", json!("NaN")), "price"),
        (
            "products",
            with(&product, "price", json!("1000000000000000")),
            "price",
        ),
        ("products", with(&product, "mrp", json!("0")), "mrp"),
        ("products", with(&product, "mrp", json!("1.001")), "mrp"),
        (
            "products",
            with(&product, "price_includes_tax", json!("yes")),
            "price_includes_tax",
        ),
        (
            "products",
            with(&product, "tracking", json!({ "colour": true })),
            "tracking.colour",
        ),
        (
            "products",
            with(&product, "barcodes", json!(["4006381333932"])),
            "barcodes[0]",
        ),
        (
            "products",
            with(&product, "barcodes", json!(["400638133393"])),
            "barcodes[0]",
        ),
        (
            "products",
            with(&product, "barcodes", json!([EAN, EAN])),
            "barcodes",
        ),
        ("products", with(&product, "colour", json!("red")), "colour"),
        (
            "products",
            with(
                &product,
                "components",
                json!([{ "product_id": Uuid::now_v7(), "qty": "0" }]),
            ),
            "components[0]",
        ),
        (
            "products",
            with(
                &product,
                "components",
                json!([{ "product_id": Uuid::now_v7() }]),
            ),
            "components[0]",
        ),
        (
            "attributes",
            json!({ "name": "Size", "values": [{ "name": " " }] }),
            "values[0].name",
        ),
        ("brands", json!({ "name": "" }), "name"),
        ("brands", json!({ "name": "A", "id": Uuid::now_v7() }), "id"),
        ("brands", json!({}), ""),
        (
            "categories",
            json!({ "name": "A ", "parent_id": null }),
            "name",
        ),
        (
            "categories",
            json!({ "name": "A", "parent_id": 1 }),
            "parent_id",
        ),
        ("units", with(&unit, "uqc", json!("KILO")), "uqc"),
        ("units", with(&unit, "decimals", json!(4)), "decimals"),
        ("units", with(&unit, "decimals", json!(-1)), "decimals"),
        ("units", with(&unit, "code", json!("x".repeat(21))), "code"),
        ("tax-profiles", with(&tax, "hsn", json!("85444")), "hsn"),
        ("tax-profiles", with(&tax, "hsn", json!("0012")), "hsn"),
        (
            "tax-profiles",
            with(&tax, "category", json!("none")),
            "category",
        ),
        ("tax-profiles", with(&tax, "rates", json!([])), "rates"),
        (
            "tax-profiles",
            rate(json!({ "valid_from": "2017-07-32", "rate": "18" })),
            "rates[0].valid_from",
        ),
        (
            "tax-profiles",
            rate(json!({ "valid_from": "2017-07-01", "rate": "101" })),
            "rates[0].rate",
        ),
        (
            "tax-profiles",
            rate(json!({ "valid_from": "2017-07-01", "rate": "18", "cess": "-1" })),
            "rates[0].cess",
        ),
        ("barcodes/generate", json!({ "count": 0 }), "count"),
        ("barcodes/generate", json!({ "count": 101 }), "count"),
    ];
    for (path, body, field) in cases {
        let refused = shop
            .owner
            .post(&format!("/api/v1/{path}"), body.clone())
            .await;
        assert_eq!(refused.status, 400, "{path} {body}: {}", refused.text);
        if !field.is_empty() {
            assert_eq!(
                refused.body["errors"][0]["field"], field,
                "{path} {body}: {}",
                refused.text
            );
        }
    }
    let nul = shop
        .add("A", json!({ "name": "a\u{0}b" }))
        .await
        .expect(400);
    assert_eq!(nul.code(), "MALFORMED");
    for path in [
        "products/1",
        "products?colour=red",
        "products?status=sold",
        "products?category=x",
        "products?sort=colour",
        "products?sort=name:sideways",
        "products?cursor=x",
        "products?q=",
        "products?page=x",
        "products/lookup",
        "products/lookup?barcode=1",
        "products/lookup?barcode=4006381333932",
        "brands?sort=id",
        "units?kind=x",
        "categories?parent=x",
        "categories/tree?root=x",
        "products?value=x",
        "products/search?q=",
        "products/search?sort=colour",
        "products/search?hsn=x",
        "products/search?price_from=x",
        "products/search?cursor=x",
        "products/1/history",
        "attributes/1",
        "tax-profiles?category=none",
        "import-jobs?status=none",
        "import-jobs/1",
    ] {
        shop.owner.get(&format!("/api/v1/{path}")).await.expect(400);
    }
    // A cursor of another order.
    let cursor = bahi_types::Cursor {
        key: "no price".into(),
        id: Uuid::now_v7(),
    }
    .encode();
    shop.owner
        .get(&format!("/api/v1/products?sort=price&cursor={cursor}"))
        .await
        .expect(400);
    shop.upload("?dry_run=perhaps", "sku\nA\n")
        .await
        .expect(400);
    shop.upload("", "").await.expect(400);
    let json = shop
        .owner
        .post("/api/v1/products/bulk-import", json!({}))
        .await
        .expect(415);
    assert_eq!(json.code(), "UNSUPPORTED_MEDIA_TYPE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_carries_one_command() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let (path, body) = (
        "/api/v1/products",
        shop.product("A", json!({ "barcodes": [EAN] })),
    );
    let replies =
        join_all((0..20).map(|_| shop.owner.post_with_key(path, body.clone(), "p1"))).await;
    assert!(
        replies
            .iter()
            .all(|r| r.status == 201 && r.body == replies[0].body),
        "{replies:#?}"
    );
    assert_eq!(
        replies
            .iter()
            .filter(|r| r.header("idempotency-hit").is_none())
            .count(),
        1
    );
    let again = shop.owner.post_with_key(path, body, "p1").await.expect(201);
    assert_eq!(
        (again.header("idempotency-hit"), &again.body),
        (Some("true"), &replies[0].body)
    );
    let other = shop
        .owner
        .post_with_key(path, shop.product("B", json!({})), "p1")
        .await
        .expect(422);
    assert_eq!(other.code(), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(events(&app, "product.created").await.len(), 1);
    assert_eq!(shop.owner.get(path).await.expect(200).body["total"], 1);
    // A refusal is not kept: the key is free for the corrected command.
    let taken = shop
        .owner
        .post_with_key(path, shop.product("a", json!({})), "p2")
        .await
        .expect(409);
    assert_eq!(taken.code(), "SKU_TAKEN");
    shop.owner
        .post_with_key(path, shop.product("B", json!({})), "p2")
        .await
        .expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_needs_the_version_it_was_made_on() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let made = shop.add("A", json!({})).await.expect(201);
    assert_eq!(made.header("etag"), Some("\"1\""));
    let path = format!("/api/v1/products/{}", made.text_at("id"));
    let blind = shop
        .owner
        .request(Method::PUT, &path)
        .json(&shop.product("A", json!({})));
    assert_eq!(
        shop.owner.send(blind).await.expect(428).code(),
        "VERSION_REQUIRED"
    );
    let replies = join_all((0..10).map(|n| {
        let body = shop.product("A", json!({ "name": format!("Name {n}") }));
        let (owner, path) = (&shop.owner, &path);
        async move { owner.put(path, body, 1).await }
    }))
    .await;
    let count = |status| replies.iter().filter(|r| r.status == status).count();
    assert_eq!((count(200), count(412)), (1, 9));
    assert_eq!(events(&app, "product.updated").await.len(), 1);
    assert_eq!(
        shop.owner.get(&path).await.expect(200).header("etag"),
        Some("\"2\"")
    );
    assert_eq!(
        shop.owner.delete(&path, 1).await.expect(412).code(),
        "STALE_VERSION"
    );
    let blind = shop.owner.request(Method::DELETE, &path);
    shop.owner.send(blind).await.expect(428);
    shop.owner.delete(&path, 2).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_walked_by_page_or_by_cursor() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    for (sku, name, price) in [
        ("E", "b", "5"),
        ("d", "a", "1"),
        ("C", "c", "3"),
        ("b", "b", "10"),
        ("A", "e", "3"),
    ] {
        shop.add(sku, json!({ "name": name, "price": price }))
            .await
            .expect(201);
    }
    let owner = &shop.owner;
    let get = async |query: &str| {
        owner
            .get(&format!("/api/v1/products?{query}"))
            .await
            .expect(200)
    };
    let first = get("limit=2&page=2&sort=sku").await;
    assert_eq!(column(&first, "sku"), ["C", "d"]);
    assert_eq!(
        (
            &first.body["total"],
            &first.body["page"],
            &first.body["limit"]
        ),
        (&json!(5), &json!(2), &json!(2))
    );
    assert_eq!(
        column(&get("sort=price").await, "price"),
        ["1", "3", "3", "5", "10"]
    );
    for (sort, by) in [
        ("sku", vec!["A", "b", "C", "d", "E"]),
        ("sku:desc", vec!["E", "d", "C", "b", "A"]),
        ("name", vec!["d", "E", "b", "C", "A"]),
        ("price:desc", vec!["b", "E", "A", "C", "d"]),
        ("created_at", vec!["E", "d", "C", "b", "A"]),
        ("updated_at:desc", vec!["A", "b", "C", "d", "E"]),
    ] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = get(&format!("limit=2&sort={sort}{cursor}")).await;
            seen.extend(column(&page, "sku"));
            let Some(next) = page.body["next_cursor"].as_str() else {
                break;
            };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, by, "{sort}");
    }
    for path in ["brands", "categories"] {
        for name in ["c", "A", "b"] {
            owner
                .post(&format!("/api/v1/{path}"), json!({ "name": name }))
                .await
                .expect(201);
        }
        let list = owner
            .get(&format!("/api/v1/{path}?limit=2&sort=created_at:desc"))
            .await
            .expect(200);
        assert_eq!(column(&list, "name"), ["b", "A"]);
        let next = list.text_at("next_cursor");
        let list = owner
            .get(&format!(
                "/api/v1/{path}?limit=2&sort=created_at:desc&cursor={next}"
            ))
            .await
            .expect(200);
        assert_eq!(column(&list, "name"), ["c"]);
        assert_eq!(
            column(&owner.get(&format!("/api/v1/{path}?name=C")).await, "name"),
            ["c"]
        );
    }
}

#[test]
fn every_operation_has_a_name_of_its_own_and_names_its_parameters() {
    let api = serde_json::to_value(product::app().openapi()).unwrap();
    let mut names = Vec::new();
    for (path, operations) in api["paths"].as_object().unwrap() {
        for operation in operations.as_object().unwrap().values() {
            names.push(operation["operationId"].as_str().unwrap().to_owned());
            let id = operation["parameters"]
                .as_array()
                .is_some_and(|all| all.iter().any(|p| p["in"] == "path"));
            assert_eq!(id, path.contains('{'), "{path}");
        }
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn the_api_is_as_written_down() {
    let api = product::app().openapi().to_pretty_json().unwrap();
    insta::assert_snapshot!("openapi", api);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_opens_to_those_who_hold_what_it_asks_for() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    shop.add("A", json!({})).await.expect(201);
    assert_operations(&app, product::app, &shop.owner).await;
}

#[test]
fn who_may_do_what_is_as_written_down() {
    assert_permissions_written_down(&product::app());
}
