//! Attributes, the matrix of variants, and what variants inherit.

use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::*;

/// The cells of an answer as `SKU outcome`.
fn cells(body: &Value) -> Vec<String> {
    let cells = body["variants"].as_array().unwrap().iter();
    cells
        .map(|c| {
            format!(
                "{} {}",
                c["sku"].as_str().unwrap(),
                c["outcome"].as_str().unwrap()
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_have_values_in_order() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let owner = &shop.owner;
    let values = json!([{ "name": "Small", "code": "s" }, { "name": "Large" }]);
    let made = owner
        .post(
            "/api/v1/attributes",
            json!({ "name": "Size", "values": values }),
        )
        .await
        .expect(201);
    let path = format!("/api/v1/attributes/{}", made.text_at("id"));
    let (small, large) = (&made.body["values"][0], &made.body["values"][1]);
    assert_eq!(
        (&small["code"], &large["code"]),
        (&json!("S"), &json!("LARGE"))
    );
    // Two values change places and names at once, and one comes between them.
    let values = json!([
        { "id": large["id"], "name": "Small" }, { "name": "Medium" }, { "id": small["id"], "name": "Large" }]);
    let changed = owner
        .put(&path, json!({ "name": "Size", "values": values }), 1)
        .await
        .expect(200);
    let seen: Vec<(&Value, &Value)> = changed.body["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| (&v["name"], &v["code"]))
        .collect();
    assert_eq!(
        seen,
        [
            (&json!("Small"), &json!("LARGE")),
            (&json!("Medium"), &json!("MEDIUM")),
            (&json!("Large"), &json!("S"))
        ]
    );
    assert_eq!(owner.get(&path).await.expect(200).body, changed.body);
    // A value in use stays; others go.
    let template = shop.add("SHIRT", json!({})).await.expect(201).text_at("id");
    let one =
        json!({ "attributes": [{ "attribute_id": made.body["id"], "value_ids": [small["id"]] }] });
    shop.generate(&template, one, false).await.expect(200);
    let without = json!({ "name": "Size", "values": [{ "id": large["id"], "name": "Small" }] });
    assert_eq!(
        owner.put(&path, without, 2).await.expect(409).code(),
        "IN_USE"
    );
    let with = json!({ "name": "Size", "values": [{ "id": small["id"], "name": "Large" }] });
    assert_eq!(
        owner.put(&path, with, 2).await.expect(200).body["values"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(owner.delete(&path, 3).await.expect(409).code(), "IN_USE");
    assert_eq!(
        owner
            .post("/api/v1/attributes", json!({ "name": " size ".trim() }))
            .await
            .expect(409)
            .code(),
        "NAME_TAKEN"
    );
    for (field, value) in [
        ("values[1].name", json!({ "name": "LARGE" })),
        ("values[1].code", json!({ "name": "Grande", "code": "S" })),
        ("values[1].code", json!({ "name": "बड़ा" })),
        ("values[1].id", json!({ "name": "X", "id": Uuid::now_v7() })),
    ] {
        let body =
            json!({ "name": "Size", "values": [{ "id": small["id"], "name": "Large" }, value] });
        let refused = owner.put(&path, body, 3).await.expect(422);
        assert_eq!(
            (refused.code(), &refused.body["field"]),
            ("ATTRIBUTE_VALUE", &json!(field)),
            "{}",
            refused.text
        );
    }
    let (unused, _) = shop.attribute("Colour", &["Red"]).await;
    assert_eq!(
        column(&owner.get("/api/v1/attributes?name=colour").await, "name"),
        ["Colour"]
    );
    assert_eq!(
        column(&owner.get("/api/v1/attributes").await, "name"),
        ["Colour", "Size"]
    );
    owner
        .delete(&format!("/api/v1/attributes/{unused}"), 1)
        .await
        .expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_matrix_is_shown_made_and_completed() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let (size, sizes) = shop.attribute("Size", &["S", "M"]).await;
    let (colour, colours) = shop.attribute("Colour", &["Red", "Blue"]).await;
    let category = shop
        .owner
        .post("/api/v1/categories", json!({ "name": "Shirts" }))
        .await
        .expect(201)
        .text_at("id");
    let template = shop
        .add("SHIRT", json!({ "name": "Shirt", "price": "499", "mrp": "599", "category_id": category, "barcodes": [EAN] }))
        .await
        .expect(201)
        .text_at("id");
    let plan = |colours: &[String]| {
        json!({ "attributes": [{ "attribute_id": size }, { "attribute_id": colour, "value_ids": colours }],
            "sku_pattern": "{sku}-{colour}-{SIZE}" })
    };
    // A dry run says what would be made, and makes nothing.
    let before = app.events().await.len();
    let shown = shop
        .generate(&template, plan(&colours[..1]), true)
        .await
        .expect(200)
        .body;
    assert_eq!(cells(&shown), ["SHIRT-RED-S new", "SHIRT-RED-M new"]);
    assert_eq!(
        (
            &shown["new"],
            &shown["dry_run"],
            &shown["variants"][0]["name"]
        ),
        (&json!(2), &json!(true), &json!("Shirt S / Red"))
    );
    assert_eq!(
        (
            app.events().await.len(),
            shop.get(&template).await["version"].as_i64()
        ),
        (before, Some(1))
    );
    let made = shop
        .generate(&template, plan(&colours[..1]), false)
        .await
        .expect(200)
        .body;
    assert_eq!((cells(&made), &made["new"]), (cells(&shown), &json!(2)));
    let template_now = shop.get(&template).await;
    assert_eq!(
        (&template_now["template"], &template_now["version"]),
        (&json!(true), &json!(2))
    );
    let variant = shop.by_sku("SHIRT-RED-S").await;
    for field in [
        "price",
        "mrp",
        "category_id",
        "unit_id",
        "tax_profile_id",
        "hsn",
        "kind",
        "tracking",
    ] {
        assert_eq!(variant[field], template_now[field], "{field}");
    }
    assert_eq!(
        (
            &variant["variant_of"],
            &variant["status"],
            &variant["barcodes"]
        ),
        (&json!(template), &json!("draft"), &json!([]))
    );
    let told = events(&app, "product.created").await;
    let told: Vec<(&Value, &Value, &Value)> = told
        .iter()
        .map(|e| {
            (
                &e.payload["sku"],
                &e.payload["variant_of"],
                &e.payload["template"],
            )
        })
        .collect();
    assert_eq!(
        told[1..],
        [
            (&json!("SHIRT-RED-S"), &json!(template), &json!(false)),
            (&json!("SHIRT-RED-M"), &json!(template), &json!(false))
        ]
    );
    assert_eq!(
        events(&app, "product.updated").await[0].payload["template"],
        true
    );
    // Again: nothing. More values: what is missing. Whatever the variants are called by now.
    let before = app.events().await.len();
    let again = shop
        .generate(&template, plan(&colours[..1]), false)
        .await
        .expect(200)
        .body;
    assert_eq!((&again["new"], &again["existing"]), (&json!(0), &json!(2)));
    assert_eq!(app.events().await.len(), before);
    let id = variant["id"].as_str().unwrap();
    let path = format!("/api/v1/products/{id}");
    shop.owner
        .patch(&path, json!({ "sku": "RS", "status": "active" }), 1)
        .await
        .expect(200);
    let more = shop
        .generate(&template, plan(&colours), false)
        .await
        .expect(200)
        .body;
    assert_eq!(
        cells(&more),
        [
            "RS exists",
            "SHIRT-BLUE-S new",
            "SHIRT-RED-M exists",
            "SHIRT-BLUE-M new"
        ]
    );
    // The list, and products by the values they have.
    let path = format!("/api/v1/products/{template}/variants");
    assert_eq!(
        column(&shop.owner.get(&path).await, "sku"),
        ["RS", "SHIRT-BLUE-M", "SHIRT-BLUE-S", "SHIRT-RED-M"]
    );
    let of = async |query: String| {
        column(
            &shop
                .owner
                .get(&format!("{query}&sort=sku"))
                .await
                .expect(200),
            "sku",
        )
    };
    assert_eq!(
        of(format!("{path}?value={}", colours[1])).await,
        ["SHIRT-BLUE-M", "SHIRT-BLUE-S"]
    );
    assert_eq!(of(format!("{path}?status=active")).await, ["RS"]);
    let all = "/api/v1/products?value=";
    assert_eq!(
        of(format!("{all}{},{}", colours[1], sizes[0])).await,
        ["SHIRT-BLUE-S"]
    );
    assert_eq!(
        of(format!("{all}{},{}", colours[1], colours[0]))
            .await
            .len(),
        4
    );
    assert!(of(format!("{all}{}", Uuid::now_v7())).await.is_empty());
    assert_eq!(
        of(format!("/api/v1/products?variant_of={template}"))
            .await
            .len(),
        4
    );
    // The template's barcode is still its own.
    assert_eq!(shop.get(&template).await["barcodes"], json!([EAN]));
    let (other, _) = shop.attribute("Fit", &["Slim"]).await;
    let odd = json!({ "attributes": [{ "attribute_id": size }, { "attribute_id": other }] });
    assert_eq!(
        shop.generate(&template, odd, false)
            .await
            .expect(409)
            .code(),
        "OTHER_ATTRIBUTES"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_make_one_matrix_at_once_each_variant_is_made_once() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let (size, _) = shop.attribute("Size", &["S", "M", "L"]).await;
    let template = shop.add("SHIRT", json!({})).await.expect(201).text_at("id");
    let plan = json!({ "attributes": [{ "attribute_id": size }] });
    let replies = join_all((0..8).map(|_| shop.generate(&template, plan.clone(), false))).await;
    let made: i64 = replies
        .iter()
        .map(|r| {
            r.body["new"]
                .as_i64()
                .unwrap_or_else(|| panic!("{}", r.text))
        })
        .sum();
    assert_eq!(made, 3);
    assert_eq!(
        shop.owner
            .get(&format!("/api/v1/products/{template}/variants"))
            .await
            .body["total"],
        3
    );
    assert_eq!(events(&app, "product.created").await.len(), 4);
    // What the lock is there for: without it the database itself refuses a second variant of the same values.
    let admin = app.admin().await;
    let twin = "insert into product select (jsonb_populate_record(p, jsonb_build_object('id', gen_random_uuid(),
                  'sku', 'TWIN', 'sku_key', 'twin'))).* from product p where p.sku = 'SHIRT-S'";
    let refused = admin.batch_execute(twin).await.unwrap_err();
    assert_eq!(
        refused.as_db_error().unwrap().constraint(),
        Some("product_variant_key")
    );
    // One key, one matrix.
    let path = format!("/api/v1/products/{template}/variants:generate");
    let first = shop
        .owner
        .post_with_key(&path, plan.clone(), "g1")
        .await
        .expect(200);
    let second = shop
        .owner
        .post_with_key(&path, plan, "g1")
        .await
        .expect(200);
    assert_eq!(
        (second.header("idempotency-hit"), second.body.clone()),
        (Some("true"), first.body)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn skus_that_are_taken_refuse_the_call_and_are_shown() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let (size, sizes) = shop.attribute("Size", &["S", "M", "L"]).await;
    let template = shop.add("SHIRT", json!({})).await.expect(201).text_at("id");
    shop.add("shirt-m", json!({})).await.expect(201);
    let plan = json!({ "attributes": [{ "attribute_id": size }] });
    let shown = shop
        .generate(&template, plan.clone(), true)
        .await
        .expect(200)
        .body;
    assert_eq!(
        cells(&shown),
        ["SHIRT-S new", "SHIRT-M clash", "SHIRT-L new"]
    );
    let refused = shop.generate(&template, plan, false).await.expect(409);
    assert_eq!(
        (refused.code(), &refused.body["skus"]),
        ("SKU_TAKEN", &json!(["SHIRT-M"]))
    );
    assert_eq!(
        shop.get(&template).await["template"],
        false,
        "nothing was done"
    );
    let with =
        |pattern: &str| json!({ "attributes": [{ "attribute_id": size }], "sku_pattern": pattern });
    shop.generate(&template, with("{sku}/{size}"), false)
        .await
        .expect(200);
    for pattern in [
        "{sku}",
        "{sku}-{colour}",
        "{sku-{size}",
        &format!("{}{{size}}", "x".repeat(64)),
    ] {
        let refused = shop
            .generate(&template, with(pattern), true)
            .await
            .expect(400);
        assert_eq!(
            refused.body["errors"][0]["field"], "sku_pattern",
            "{pattern}"
        );
    }
    for (field, attributes) in [
        ("attributes", json!([])),
        (
            "attributes[0].value_ids",
            json!([{ "attribute_id": size, "value_ids": [] }]),
        ),
        (
            "attributes[0].value_ids",
            json!([{ "attribute_id": size, "value_ids": [Uuid::now_v7()] }]),
        ),
        (
            "attributes[1].attribute_id",
            json!([{ "attribute_id": size }, { "attribute_id": size, "value_ids": [sizes[0]] }]),
        ),
    ] {
        let refused = shop
            .generate(&template, json!({ "attributes": attributes }), false)
            .await
            .expect(400);
        assert_eq!(
            refused.body["errors"][0]["field"], field,
            "{}",
            refused.text
        );
    }
    let strange = json!({ "attributes": [{ "attribute_id": Uuid::now_v7() }] });
    assert_eq!(
        shop.generate(&template, strange, false)
            .await
            .expect(422)
            .code(),
        "UNKNOWN_REFERENCE"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_variants_are_the_most() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let names: Vec<String> = (0..100).map(|n| format!("V{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (one, ones) = shop.attribute("One", &names).await;
    let (two, twos) = shop.attribute("Two", &names).await;
    let template = shop.add("T", json!({})).await.expect(201).text_at("id");
    let plan = |a: usize, b: usize| json!({ "attributes": [{ "attribute_id": one, "value_ids": ones[..a] }, { "attribute_id": two, "value_ids": twos[..b] }] });
    let refused = shop
        .generate(&template, plan(100, 100), true)
        .await
        .expect(422);
    assert_eq!(
        (
            refused.code(),
            &refused.body["count"],
            &refused.body["most"]
        ),
        ("TOO_MANY_VARIANTS", &json!(10_000), &json!(1000))
    );
    shop.generate(&template, plan(10, 100), false)
        .await
        .expect(200);
    let refused = shop
        .generate(&template, plan(11, 2), false)
        .await
        .expect(422);
    assert_eq!(
        (refused.code(), &refused.body["count"]),
        ("TOO_MANY_VARIANTS", &json!(1002))
    );
    assert_eq!(
        shop.owner
            .get(&format!("/api/v1/products/{template}/variants"))
            .await
            .body["total"],
        1000
    );
    // All of them follow one change of the template.
    shop.owner
        .patch(
            &format!("/api/v1/products/{template}"),
            json!({ "price": "7" }),
            2,
        )
        .await
        .expect(200);
    assert_eq!(
        shop.owner
            .get("/api/v1/products/search?price_to=7")
            .await
            .expect(200)
            .body["total"],
        1001
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_inherit_what_they_do_not_say_themselves() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let (size, _) = shop.attribute("Size", &["S", "M", "L"]).await;
    let template = shop
        .add(
            "SHIRT",
            json!({ "name": "Shirt", "price": "100", "mrp": "150" }),
        )
        .await
        .expect(201)
        .text_at("id");
    shop.generate(
        &template,
        json!({ "attributes": [{ "attribute_id": size }] }),
        false,
    )
    .await
    .expect(200);
    let id = async |sku: &str| shop.by_sku(sku).await["id"].as_str().unwrap().to_owned();
    let path = |id: &str| format!("/api/v1/products/{id}");
    let (s, m) = (id("SHIRT-S").await, id("SHIRT-M").await);
    let own = shop
        .owner
        .patch(&path(&s), json!({ "price": "90", "barcodes": [EAN] }), 1)
        .await
        .expect(200)
        .body;
    assert_eq!(own["overrides"], json!(["price"]));
    shop.owner
        .patch(
            &path(&m),
            json!({ "name": "Medium shirt", "status": "active" }),
            1,
        )
        .await
        .expect(200);
    // The template changes: name, price and MRP reach whoever does not say them.
    let before = app.events().await.len();
    let change = json!({ "name": "Linen shirt", "price": "120", "mrp": "160" });
    shop.owner
        .patch(&path(&template), change, 2)
        .await
        .expect(200);
    let shown = async |sku: &str| {
        let p = shop.by_sku(sku).await;
        ["name", "price", "mrp", "version"].map(|f| {
            p[f].as_str()
                .map_or_else(|| p[f].to_string(), str::to_owned)
        })
    };
    assert_eq!(
        shown("SHIRT-S").await,
        ["Linen shirt S", "90", "160.00", "3"]
    );
    assert_eq!(
        shown("SHIRT-M").await,
        ["Medium shirt", "120", "160.00", "3"]
    );
    assert_eq!(
        shown("SHIRT-L").await,
        ["Linen shirt L", "120", "160.00", "2"]
    );
    let said: Vec<String> = app.events().await[before..]
        .iter()
        .map(|e| e.event_type.clone())
        .collect();
    assert_eq!(said.iter().filter(|t| *t == "product.updated").count(), 4);
    assert_eq!(said.iter().filter(|t| *t == "price.changed").count(), 3);
    // What a variant cannot follow, the template cannot do.
    let dear = shop
        .owner
        .patch(&path(&template), json!({ "mrp": "110", "price": "110" }), 3)
        .await
        .expect(200);
    assert_eq!(dear.body["version"], 4);
    shop.owner
        .patch(&path(&m), json!({ "price": "105" }), 4)
        .await
        .expect(200);
    let refused = shop
        .owner
        .patch(&path(&template), json!({ "mrp": "100", "price": "100" }), 4)
        .await
        .expect(422);
    assert_eq!(
        (refused.code(), &refused.body["sku"]),
        ("PRICE_ABOVE_MRP", &json!("SHIRT-M"))
    );
    assert_eq!(
        shop.get(&template).await["price"],
        "110",
        "nothing was done"
    );
    // To inherit again.
    let inherit = async |id: &str, fields: &[&str]| {
        shop.owner
            .post(
                &format!("{}:inherit", path(id)),
                json!({ "fields": fields }),
            )
            .await
    };
    let back = inherit(&m, &["name", "price"]).await.expect(200).body;
    assert_eq!(
        (&back["name"], &back["price"], &back["overrides"]),
        (&json!("Linen shirt M"), &json!("110"), &json!([]))
    );
    assert_eq!(
        inherit(&m, &["price"]).await.expect(200).body,
        back,
        "it does already"
    );
    assert_eq!(
        inherit(&template, &["price"]).await.expect(409).code(),
        "NO_VARIANT"
    );
    inherit(&m, &["sku"]).await.expect(400);
    // By import, too.
    let file = "sku,price,mrp\nSHIRT,99,99\nSHIRT-L,98,\n";
    let job = shop.import("", file).await;
    assert_eq!(
        (&job["status"], &job["updated"]),
        (&json!("completed"), &json!(2)),
        "{job}"
    );
    assert_eq!(shown("SHIRT-M").await[1..3], ["99", "99.00"]);
    assert_eq!(shown("SHIRT-L").await[1..3], ["98", "99.00"]);
    assert_eq!(shop.by_sku("SHIRT-L").await["overrides"], json!(["price"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_neither_sold_nor_stocked_nor_a_variant() {
    let (app, _inventory) = start_with_inventory().await;
    let shop = Shop::open(&app).await;
    let (size, _) = shop.attribute("Size", &["S"]).await;
    let plan = || json!({ "attributes": [{ "attribute_id": size }] });
    let template = shop.add("SHIRT", json!({})).await.expect(201).text_at("id");
    shop.generate(&template, plan(), false).await.expect(200);
    let variant = shop.by_sku("SHIRT-S").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/api/v1/products/{template}");
    assert_eq!(
        shop.step(&template, "activate").await.expect(409).code(),
        "TEMPLATE_NOT_SOLD"
    );
    let sold = shop
        .owner
        .patch(&path, json!({ "status": "active" }), 2)
        .await
        .expect(409);
    assert_eq!(sold.code(), "TEMPLATE_NOT_SOLD");
    let job = shop.import("", "sku,status\nSHIRT,active\n").await;
    assert_eq!(job["refused"], 1, "{job}");
    assert_eq!(
        shop.owner.delete(&path, 2).await.expect(409).code(),
        "IN_USE"
    );
    assert_eq!(
        shop.generate(&variant, plan(), false)
            .await
            .expect(409)
            .code(),
        "NO_TEMPLATE"
    );
    shop.step(&variant, "activate").await.expect(200);
    // What is sold, has been in stock, or is a kit or in one, has no variants.
    let sold = shop
        .add("SOLD", json!({ "status": "active" }))
        .await
        .expect(201)
        .text_at("id");
    assert_eq!(
        shop.generate(&sold, plan(), false).await.expect(409).code(),
        "NO_TEMPLATE"
    );
    let stocked = shop
        .add("STOCKED", json!({}))
        .await
        .expect(201)
        .text_at("id");
    app.feed(vec![crate::stock::received(&stocked)], shop.owner.tenant)
        .await;
    assert_eq!(
        shop.generate(&stocked, plan(), false)
            .await
            .expect(409)
            .code(),
        "PRODUCT_TRANSACTED"
    );
    let soap = shop.add("SOAP", json!({})).await.expect(201).text_at("id");
    let kit = json!({ "kind": "kit", "components": [{ "product_id": soap, "qty": "1" }] });
    let kit = shop.add("KIT", kit).await.expect(201).text_at("id");
    assert_eq!(
        shop.generate(&kit, plan(), false).await.expect(422).code(),
        "KIT_IN_FAMILY"
    );
    assert_eq!(
        shop.generate(&soap, plan(), false).await.expect(409).code(),
        "COMPONENT_OF_KIT"
    );
    // The database knows it, too: nobody is his own parent.
    let admin = app.admin().await;
    let own = admin.batch_execute(&format!("update product set variant_of = id, template = false, options = '[1]' where id = '{template}'")).await;
    assert_eq!(
        own.unwrap_err().as_db_error().unwrap().constraint(),
        Some("product_variant_check")
    );
    // Without its variant it can go.
    shop.owner
        .delete(&format!("/api/v1/products/{variant}"), 2)
        .await
        .expect(204);
    shop.owner.delete(&path, 2).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_neither_sees_nor_uses_attributes_and_variants() {
    let app = start().await;
    let (shop, stranger) = (Shop::open(&app).await, Shop::open(&app).await);
    let (size, sizes) = shop.attribute("Size", &["S"]).await;
    let template = shop.add("SHIRT", json!({})).await.expect(201).text_at("id");
    let plan = json!({ "attributes": [{ "attribute_id": size }] });
    shop.generate(&template, plan.clone(), false)
        .await
        .expect(200);
    let theirs = stranger
        .add("SHIRT", json!({}))
        .await
        .expect(201)
        .text_at("id");
    for path in [
        format!("attributes/{size}"),
        format!("products/{template}/variants"),
        format!("products/{template}/history"),
    ] {
        stranger
            .owner
            .get(&format!("/api/v1/{path}"))
            .await
            .expect(404);
    }
    for dry_run in [true, false] {
        stranger
            .generate(&template, plan.clone(), dry_run)
            .await
            .expect(404);
        assert_eq!(
            stranger
                .generate(&theirs, plan.clone(), dry_run)
                .await
                .expect(422)
                .code(),
            "UNKNOWN_REFERENCE"
        );
    }
    let of = |tenant: &Shop| tenant.owner.clone();
    assert_eq!(
        of(&stranger)
            .get(&format!("/api/v1/products?value={}", sizes[0]))
            .await
            .expect(200)
            .body["total"],
        0
    );
    assert_eq!(
        of(&shop)
            .get(&format!("/api/v1/products?value={}", sizes[0]))
            .await
            .expect(200)
            .body["total"],
        1
    );
    assert_eq!(
        of(&stranger)
            .get("/api/v1/attributes")
            .await
            .expect(200)
            .body["total"],
        0
    );
}
