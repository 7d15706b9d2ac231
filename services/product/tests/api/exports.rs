//! The catalogue as a file, and back.

use calamine::{Data, Reader, Xlsx};
use serde_json::{Value, json};

use crate::support::*;

/// Products with everything that is awkward in a file.
async fn stocked(app: &App) -> Shop {
    let shop = Shop::open(app).await;
    let category = async |name: &str, parent: Value| -> String {
        let body = json!({ "name": name, "parent_id": parent });
        let path = "/api/v1/categories";
        shop.owner.post(path, body).await.expect(201).text_at("id")
    };
    let food = category("Food", Value::Null).await;
    let dairy = category(r"Dairy > \cold", json!(food)).await;
    // The name of a category at the top, below another.
    category("Food", json!(dairy)).await;
    let brand = json!({ "name": "@home" });
    let brand = shop
        .owner
        .post("/api/v1/brands", brand)
        .await
        .expect(201)
        .text_at("id");
    let milk = shop
        .owner
        .post("/api/v1/tax-profiles", profile("-5 %", "0401", "5"))
        .await
        .expect(201)
        .text_at("id");
    for (sku, other) in [
        (
            "=1+1",
            json!({ "name": "=cmd|' /C calc'!A0", "category_id": food, "brand_id": brand }),
        ),
        (
            "-2",
            json!({ "name": "'=quoted", "category_id": dairy, "price": "123456789012345.6789" }),
        ),
        (
            "+3",
            json!({ "name": "say \"hi\", you; \\ | चाय", "barcodes": ["0416000336108", EAN] }),
        ),
        (
            "0004",
            json!({ "name": "@four", "tax_profile_id": milk, "price": "19.99", "mrp": "30" }),
        ),
        (
            "5",
            json!({ "name": "''", "tracking": { "batch": true, "expiry": true }, "price_includes_tax": false }),
        ),
    ] {
        shop.add(sku, other).await.expect(201);
    }
    shop
}

async fn catalogue(shop: &Shop) -> Value {
    shop.owner
        .get("/api/v1/products?sort=sku:asc&limit=200")
        .await
        .expect(200)
        .body["items"]
        .clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_and_imported_again_changes_nothing() {
    let app = start().await;
    let shop = stocked(&app).await;
    let before = catalogue(&shop).await;
    let csv = shop.owner.get("/api/v1/products/export").await.expect(200);
    assert!(csv.header("content-type").unwrap().starts_with("text/csv"));
    let job = shop.import("", csv.text.clone()).await;
    assert_eq!(
        (
            &job["status"],
            &job["rows"],
            &job["unchanged"],
            &job["ignored_columns"]
        ),
        (&json!("completed"), &json!(5), &json!(5), &json!([])),
        "{job} {:?}",
        shop.errors(&job).await
    );
    let file = xlsx(&shop, "").await;
    let id = shop
        .upload_as(XLSX, "", file)
        .await
        .expect(202)
        .text_at("id");
    let job = shop.rests(&id).await;
    assert_eq!(
        (&job["status"], &job["rows"], &job["unchanged"]),
        (&json!("completed"), &json!(5), &json!(5)),
        "{job} {:?}",
        shop.errors(&job).await
    );
    assert_eq!(catalogue(&shop).await, before);
    // A change in the file is the change that is made, and no other.
    let job = shop
        .import(
            "",
            csv.text
                .replace("\"@four\"", "@4")
                .replace("\"'@four\"", "'@4"),
        )
        .await;
    assert_eq!((&job["updated"], &job["unchanged"]), (&json!(1), &json!(4)));
    assert_eq!(shop.by_sku("0004").await["name"], "@4");
}

async fn xlsx(shop: &Shop, query: &str) -> Vec<u8> {
    let request = shop.owner.request(
        reqwest::Method::GET,
        &format!("/api/v1/products/export?format=xlsx{query}"),
    );
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], XLSX);
    answer.bytes().await.unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_cell_is_a_formula_and_numbers_are_numbers() {
    let app = start().await;
    let shop = stocked(&app).await;
    let csv = shop
        .owner
        .get("/api/v1/products/export")
        .await
        .expect(200)
        .text;
    let dangerous = |cell: &str| cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    for line in csv.lines().skip(1) {
        // No cell of these holds a quote and a comma both.
        for cell in line.split(",\"").map(|cell| cell.trim_start_matches('"')) {
            assert!(!dangerous(cell), "{line}");
        }
    }
    let mut workbook = Xlsx::new(std::io::Cursor::new(xlsx(&shop, "").await)).unwrap();
    let sheet = workbook.worksheet_range_at(0).unwrap().unwrap();
    let column = |name: &str| {
        let at = sheet
            .rows()
            .next()
            .unwrap()
            .iter()
            .position(|cell| *cell == Data::String(name.into()));
        at.unwrap_or_else(|| panic!("no column {name}"))
    };
    let by_sku = |sku: &str| {
        let row = sheet
            .rows()
            .find(|row| row[column("sku")] == Data::String(sku.into()));
        row.unwrap_or_else(|| panic!("no row {sku}"))
    };
    let four = by_sku("0004");
    assert_eq!(four[column("price")], Data::Float(19.99));
    assert_eq!(four[column("mrp")], Data::Float(30.0));
    assert_eq!(four[column("hsn")], Data::String("0401".into()));
    assert_eq!(
        by_sku("'+3")[column("barcode")],
        Data::String(format!("0416000336108|{EAN}"))
    );
    // More digits than a number of a spreadsheet has.
    assert_eq!(
        by_sku("'-2")[column("price")],
        Data::String("123456789012345.6789".into())
    );
    for cell in sheet.rows().skip(1).flatten() {
        if let Data::String(text) = cell {
            assert!(!dangerous(text), "{text}");
        }
    }
    let formulas = workbook.worksheet_formula("Products").unwrap();
    assert!(formulas.is_empty(), "{formulas:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_takes_the_filters_of_the_list() {
    let app = start().await;
    let shop = stocked(&app).await;
    shop.step(shop.by_sku("5").await["id"].as_str().unwrap(), "activate")
        .await
        .expect(200);
    let food = shop.by_sku("=1%2B1").await["category_id"]
        .as_str()
        .unwrap()
        .to_owned();
    for (query, rows) in [
        ("status=active", 1),
        ("status=archived", 0),
        (&format!("category={food}"), 2),
        ("hsn=0401", 1),
        ("kind=service", 0),
        ("q=four", 1),
        ("sku=0004", 1),
    ] {
        let path = format!("/api/v1/products/export?{query}");
        let csv = shop.owner.get(&path).await.expect(200).text;
        assert_eq!(csv.lines().count(), rows + 1, "{query}: {csv}");
    }
    for wrong in ["format=pdf", "status=sold", "q=", "limit=5"] {
        let path = format!("/api/v1/products/export?{wrong}");
        shop.owner.get(&path).await.expect(400);
    }
    let stranger = app
        .tenant()
        .get("/api/v1/products/export")
        .await
        .expect(200);
    assert_eq!(stranger.text.lines().count(), 1, "only the header");
    let blind = shop.owner.with_permissions(&["product.brand.read"]);
    blind.get("/api/v1/products/export").await.expect(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_catalogue_is_walked_in_pages() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let rows: String = (0..1203)
        .map(|n| format!("A{n},Product {n},Deep > Deeper,pcs,854442,{n}\n"))
        .collect();
    shop.import("", format!("sku,name,category,unit,hsn,price\n{rows}"))
        .await;
    let csv = shop
        .owner
        .get("/api/v1/products/export")
        .await
        .expect(200)
        .text;
    let mut skus: Vec<&str> = csv
        .lines()
        .skip(1)
        .map(|line| line.split('"').nth(1).unwrap())
        .collect();
    skus.sort_unstable();
    skus.dedup();
    assert_eq!(skus.len(), 1203);
    let mut workbook = Xlsx::new(std::io::Cursor::new(xlsx(&shop, "").await)).unwrap();
    assert_eq!(
        workbook.worksheet_range_at(0).unwrap().unwrap().height(),
        1204
    );
    // Every writer's turn is taken.
    let _all = app
        .running
        .state
        .exports
        .clone()
        .acquire_many_owned(2)
        .await
        .unwrap();
    let refused = shop
        .owner
        .get("/api/v1/products/export?format=xlsx")
        .await
        .expect(503);
    assert!(refused.header("retry-after").is_some());
    shop.owner
        .get("/api/v1/products/export?format=csv")
        .await
        .expect(200);
}
