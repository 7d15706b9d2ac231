//! Bulk imports.

use std::{collections::HashSet, sync::Arc};

use bahi_testkit::eventually;
use futures::StreamExt;
use product::State;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::*;

const HEAD: &str = "sku,name,category,brand,unit,hsn,price,mrp,barcode,status\n";

/// `count` good rows.
fn rows(prefix: &str, count: usize) -> String {
    (0..count)
        .map(|n| {
            format!(
                "{prefix}{n},Product {n},Food > Dairy,Amul,pcs,854442,{}.50,,,\n",
                n % 1000
            )
        })
        .collect()
}

fn counts(job: &Value) -> [i64; 5] {
    ["rows", "created", "updated", "unchanged", "refused"].map(|field| job[field].as_i64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_messy_file_goes_in_as_far_as_it_is_good() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    shop.add(
        "OLD-1",
        json!({ "name": "Old", "price": "10", "barcodes": ["416000336108"] }),
    )
    .await
    .expect(201);
    shop.owner
        .post("/api/v1/tax-profiles", profile("Milk", "0401", "5"))
        .await
        .expect(201);
    let file = "\u{feff}SKU;Item Name;Category Path;Brand;UOM;HSN Code;Selling Price;MRP;EAN;Colour\r\n\
        A-1;\"Cable; 2 m\";Electric > Cables;Finolex;pcs;854442;100;120;4006381333931;red\r\n\
        A-2;Milk;Food > Dairy;AMUL;PCS;401;25.50;;;\r\n\
        ;No key;;;PCS;854442;1;;;\r\n\
        A-3;Bad price;;;PCS;854442;1,299.00;;;\r\n\
        A-4;;;;BOX;9999;-1;0;8.90E+12;\r\n\
        \r\n\
        A-5;=HYPERLINK(1);;;=1+1;854442;5;;;\r\n\
        A-6;Above MRP;;;PCS;854442;121;120;;\r\n\
        a-1;Twice;;;PCS;854442;5;;;\r\n\
        A-7;Barcode twice;;;PCS;854442;5;;4006381333931;\r\n\
        A-8;Barcode of another;;;PCS;854442;5;;0416000336108;\r\n\
        A-9;too;many;cells;PCS;854442;5;;;x;y;z\r\n\
        old-1;;;Amul;;;12;;;\r\n\
        A-10;Butter;dairy;amul;PCS;0401;55;;;";
    let job = shop.import("", file).await;
    assert_eq!(job["status"], "completed_with_errors", "{job}");
    assert_eq!(counts(&job), [13, 3, 1, 0, 9]);
    assert_eq!(
        (&job["checked"], &job["ignored_columns"]),
        (&json!(13), &json!(["Colour"]))
    );
    assert_eq!(
        shop.errors(&job).await,
        [
            r#"4,"sku","","is missing""#,
            r#"5,"price","1,299.00","is not a plain decimal like 12.50""#,
            r#"6,"barcode","8.90E+12","""8.90E+12"" is not a barcode of 8, 12, 13 or 14 digits""#,
            r#"6,"hsn","9999","is not the HSN or SAC of a tax profile""#,
            r#"6,"mrp","0","must be greater than zero""#,
            r#"6,"name","","is missing""#,
            r#"6,"price","'-1","must not be negative""#,
            r#"6,"unit","BOX","is not the code of a unit""#,
            r#"8,"unit","'=1+1","is not the code of a unit""#,
            r#"9,"price","121","The price including tax is 121.00, above the MRP of 120.00.""#,
            r#"10,"sku","a-1","stands in line 2 already""#,
            r#"11,"barcode","4006381333931","stands in line 2 already""#,
            r#"12,"barcode","0416000336108","Another product has one of these barcodes.""#,
            r#"13,"row","","has 12 cells, the header has 10""#,
        ]
    );
    let cable = shop.by_sku("A-1").await;
    assert_eq!(
        (&cable["name"], &cable["status"], &cable["mrp"]),
        (&json!("Cable; 2 m"), &json!("active"), &json!("120.00"))
    );
    let (milk, butter) = (shop.by_sku("A-2").await, shop.by_sku("A-10").await);
    assert_eq!(milk["hsn"], "0401", "a spreadsheet ate the zero");
    assert_eq!(
        (&milk["category_id"], &milk["brand_id"]),
        (&butter["category_id"], &butter["brand_id"])
    );
    let old = shop.by_sku("OLD-1").await;
    // The SKU is taken as the file writes it; what the file leaves empty stays.
    assert_eq!(
        (
            &old["sku"],
            &old["name"],
            &old["price"],
            &old["brand_id"],
            &old["barcodes"]
        ),
        (
            &json!("old-1"),
            &json!("Old"),
            &json!("12"),
            &milk["brand_id"],
            &json!(["416000336108"])
        )
    );
    assert_eq!(
        column(&shop.owner.get("/api/v1/brands").await, "name"),
        ["AMUL", "Finolex"]
    );
    assert_eq!(
        column(&shop.owner.get("/api/v1/categories").await, "name"),
        ["Cables", "Dairy", "Electric", "Food"]
    );
    let end = events(&app, "product.import_completed")
        .await
        .pop()
        .unwrap();
    assert_eq!(
        end.payload,
        json!({ "job_id": job["id"], "rows": 13, "created": 3, "updated": 1, "refused": 9 })
    );
    // What a file does is its uploader's doing.
    for event in app
        .events()
        .await
        .iter()
        .filter(|e| e.event_type.starts_with("category."))
    {
        assert_eq!(
            serde_json::to_value(&event.actor).unwrap(),
            json!({ "type": "user", "id": shop.owner.user })
        );
    }
    assert_eq!(events(&app, "product.created").await.len(), 4);
    assert_eq!(events(&app, "price.changed").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_again_changes_nothing() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let file = format!("{HEAD}{}", rows("A", 50));
    assert_eq!(
        counts(&shop.import("", file.clone()).await),
        [50, 50, 0, 0, 0]
    );
    let before = app.events().await.len();
    let job = shop.import("", file.clone()).await;
    assert_eq!(
        (counts(&job), &job["status"]),
        ([50, 0, 0, 50, 0], &json!("completed"))
    );
    // Nothing is told but the end of the import, and its audit record.
    assert_eq!(app.events().await.len(), before + 2);
    let job = shop
        .import(
            "",
            file.replace("A7,Product 7,", "A7,Other,")
                .replace("A8,", "B8,"),
        )
        .await;
    assert_eq!(counts(&job), [50, 1, 1, 48, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_would_happen_and_writes_nothing() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    shop.add("A1", json!({})).await.expect(201);
    let before = app.events().await.len();
    let file = format!("{HEAD}{}A9,Nine,,,none,854442,1,,,\n", rows("A", 3));
    let job = shop.import("?dry_run=true", file).await;
    assert_eq!(
        (counts(&job), &job["status"]),
        ([4, 2, 1, 0, 1], &json!("ready"))
    );
    assert_eq!(
        shop.errors(&job).await,
        [r#"5,"unit","none","is not the code of a unit""#]
    );
    assert_eq!(app.events().await.len(), before);
    for (path, total) in [("products", 1), ("brands", 0), ("categories", 0)] {
        assert_eq!(
            shop.owner
                .get(&format!("/api/v1/{path}"))
                .await
                .expect(200)
                .body["total"],
            total,
            "{path}"
        );
    }
    // It can be applied later, once.
    let id = job["id"].as_str().unwrap();
    let path = format!("/api/v1/import-jobs/{id}:apply");
    shop.owner.post(&path, json!({})).await.expect(202);
    let job = shop.rests(id).await;
    assert_eq!(
        (counts(&job), &job["status"]),
        ([4, 2, 1, 0, 1], &json!("completed_with_errors"))
    );
    assert_eq!(
        shop.owner.post(&path, json!({})).await.expect(409).code(),
        "INVALID_TRANSITION"
    );
    // Or be cancelled.
    let job = shop
        .import("?dry_run=true", format!("{HEAD}{}", rows("B", 3)))
        .await;
    let path = format!("/api/v1/import-jobs/{}:cancel", job["id"].as_str().unwrap());
    assert_eq!(
        shop.owner.post(&path, json!({})).await.expect(200).body["status"],
        "cancelled"
    );
    shop.owner.post(&path, json!({})).await.expect(409);
    assert_eq!(
        shop.owner.get("/api/v1/products").await.expect(200).body["total"],
        3
    );
    assert_eq!(
        shop.owner
            .get("/api/v1/import-jobs?status=cancelled")
            .await
            .expect(200)
            .body["total"],
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_is_refused_and_one_without_a_good_row_is_invalid() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    for (file, rule) in [
        ("name,price\nx,1\n", "The first line names no column sku."),
        ("{\"sku\": 1}", "The first line names no column sku."),
        ("\n\n", "The file is empty."),
        (
            "PK\u{3}\u{4}sku\n",
            "The file is a workbook or another ZIP archive, not CSV.",
        ),
    ] {
        let refused = shop.upload("", file).await.expect(422);
        assert_eq!(
            (refused.code(), refused.text_at("detail")),
            ("UNREADABLE_FILE", format!("header: {rule}"))
        );
        assert_eq!(refused.body["field"], "header");
    }
    shop.upload("", "").await.expect(400);
    let admin = app.admin().await;
    let jobs = admin.query("select 1 from import_job", &[]).await.unwrap();
    assert!(jobs.is_empty(), "nothing is written for what is no file");
    for (file, reason) in [
        ("sku,name\n", "The file has no rows."),
        ("sku,name\nA,B\nC,D\n", "Every row has an error."),
    ] {
        let job = shop.import("", file).await;
        assert_eq!(
            (&job["status"], &job["reason"]),
            (&json!("invalid"), &json!(reason))
        );
        assert_eq!(job["created"], 0);
        assert!(job["finished_at"].is_string());
    }
    assert!(events(&app, "product.created").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_encoding_that_spreadsheets_save_is_read() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let text = |sku: &str| format!("sku;name;unit;hsn;price\n{sku};चाय;pcs;854442;1.50\n");
    let units = |text: String, unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    };
    let files = [
        text("A0").into_bytes(),
        format!("\u{feff}{}", text("A1")).into_bytes(),
        units(format!("\u{feff}{}", text("A2")), u16::to_le_bytes),
        units(format!("\u{feff}{}", text("A3")), u16::to_be_bytes),
        units(text("A4"), u16::to_le_bytes),
        text("A5").replace(';', "\t").into_bytes(),
    ];
    for (n, file) in files.into_iter().enumerate() {
        let job = shop.import("", file).await;
        assert_eq!(counts(&job), [1, 1, 0, 0, 0], "{job}");
        let made = shop.by_sku(&format!("A{n}")).await;
        assert_eq!(made["name"], "चाय", "file {n}");
    }
    let broken = b"sku,name\nB1,\xff\xfe\n".to_vec();
    let job = shop.import("", broken).await;
    let errors = shop.errors(&job).await;
    assert!(
        errors[0].ends_with("is neither UTF-8 nor UTF-16\""),
        "{errors:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_a_spreadsheet_has_shortened_is_refused_by_its_row() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let job = shop
        .import("", "sku,name,unit,hsn,price,barcode\nA1,x,pcs,854442,1,0416000336108\n8.90E+12,y,pcs,854442,1,\n")
        .await;
    assert_eq!(counts(&job), [2, 1, 0, 0, 1]);
    assert_eq!(
        shop.errors(&job).await,
        [
            r#"3,"sku","8.90E+12","is a number that a spreadsheet has shortened: make the column text""#
        ]
    );
    assert_eq!(
        shop.by_sku("A1").await["barcodes"],
        json!(["0416000336108"]),
        "leading zeros stay"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_without_end_is_refused_early_or_passed_over() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    // The header never ends: nobody reads 50 MB of it.
    let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>("x".repeat(1 << 16)));
    let request = shop
        .owner
        .request(Method::POST, "/api/v1/products/bulk-import");
    let request = request
        .header("content-type", "text/csv")
        .body(reqwest::Body::wrap_stream(endless.take(700)));
    if let Ok(answer) = request.send().await {
        assert_eq!(answer.status(), 422);
    }
    // A row never ends: it is told, and what stood before it goes in.
    let file = format!("{HEAD}{}B,{}", rows("A", 3), "y".repeat(8 << 20));
    let job = shop.import("", file).await;
    assert_eq!(counts(&job), [4, 3, 0, 0, 1]);
    assert!(shop.errors(&job).await[0].contains("too long"));
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_while_it_happens() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    // The job does not begin before somebody watches.
    let turns = app.running.state.imports.clone();
    let held = turns.acquire_many(2).await.unwrap();
    let id = shop
        .upload("", format!("{HEAD}{}", rows("A", 3000)))
        .await
        .expect(202)
        .text_at("id");
    let path = format!("/api/v1/import-jobs/{id}/events");
    let stream = shop.owner.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut pieces = stream.bytes_stream();
    let mut text = String::from_utf8(pieces.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(
        text.contains("event: progress") && text.contains("\"status\":\"uploaded\""),
        "{text}"
    );
    drop(held);
    while let Some(piece) = pieces.next().await {
        text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
    }
    let told: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let percents: Vec<i64> = told
        .iter()
        .map(|job| job["progress"]["percent"].as_i64().unwrap())
        .collect();
    assert!(
        percents.is_sorted() && percents.first() == Some(&0) && percents.last() == Some(&100),
        "{percents:?}"
    );
    assert_eq!(told.last().unwrap()["status"], "completed");
    assert!(text.matches("event: end").count() == 1);
    // Somebody else's job is nobody's.
    app.tenant().get(&path).await.expect(404);
    // There are so many streams, and no more.
    let _all = app
        .running
        .state
        .watchers
        .clone()
        .acquire_many_owned(64)
        .await
        .unwrap();
    let refused = shop.owner.get(&path).await.expect(503);
    assert_eq!(refused.header("retry-after"), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_taken_once_under_its_key() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let send = async |file: String, query: &str| {
        let request = shop.owner.request(
            Method::POST,
            &format!("/api/v1/products/bulk-import{query}"),
        );
        let request = request
            .header("content-type", "text/csv")
            .header("idempotency-key", "f1");
        shop.owner.send(request.body(file)).await
    };
    let file = format!("{HEAD}{}", rows("A", 5));
    let first = send(file.clone(), "").await.expect(202);
    let again = send(file.clone(), "").await.expect(202);
    assert_eq!(
        (first.text_at("id"), again.header("idempotency-hit")),
        (again.text_at("id"), Some("true"))
    );
    assert_eq!(
        send(file.replace("A0", "B0"), "").await.expect(422).code(),
        "IDEMPOTENCY_KEY_REUSED"
    );
    assert_eq!(
        send(file, "?dry_run=true").await.expect(422).code(),
        "IDEMPOTENCY_KEY_REUSED"
    );
    shop.rests(&first.text_at("id")).await;
    assert_eq!(
        shop.owner.get("/api/v1/import-jobs").await.expect(200).body["total"],
        1
    );
    assert_eq!(events(&app, "product.created").await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_rows_go_in_small_transactions() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let head = "sku,name,category,brand,unit,hsn,price\n";
    let row = |n: usize| format!("A{n},Product {n},C{},B{},PCS,854442,{n}\n", n % 300, n % 50);
    let job = shop
        .import(
            "",
            format!("{head}{}", (0..10_000).map(row).collect::<String>()),
        )
        .await;
    assert_eq!(
        (counts(&job), &job["status"]),
        ([10_000, 10_000, 0, 0, 0], &json!("completed")),
        "{job}"
    );
    let dearer = |n: usize| format!("A{n},,,,,,{}\n", n + 1);
    let job = shop
        .import(
            "",
            format!("{head}{}", (0..2000).map(dearer).collect::<String>()),
        )
        .await;
    assert_eq!(counts(&job), [2000, 0, 2000, 0, 0]);
    let admin = app.admin().await;
    let query = "select count(*)::int8, max(n)::int8, sum(n)::int8
                 from (select txid, count(*) as n from outbox.event group by txid) t where n > 2";
    let row = admin.query_one(query, &[]).await.unwrap();
    let (transactions, largest): (i64, i64) = (row.get(0), row.get(1));
    assert!(largest <= 500, "{largest} events in one transaction");
    assert!(transactions >= 30, "{transactions} transactions");
    // Each product is told once for each change, and each change is one version.
    let told = events(&app, "product.created").await;
    assert_eq!(
        told.iter()
            .map(|e| &e.aggregate_id)
            .collect::<HashSet<_>>()
            .len(),
        10_000
    );
    assert_eq!(told.len(), 10_000);
    let changed = events(&app, "price.changed").await;
    assert_eq!(
        (
            changed.len(),
            changed.iter().all(|e| e.aggregate_version == 2)
        ),
        (2000, true)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_staged_while_the_file_is_still_on_its_way() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let row = |n: usize| format!("A{n},{},,,PCS,854442,1,,,\n", "x".repeat(100));
    let first: String = (0..20_000).map(row).collect();
    let pieces =
        futures::stream::once(async move { Ok::<_, std::io::Error>(format!("{HEAD}{first}")) });
    let pieces = pieces.chain(futures::stream::once(async move {
        wait.await.unwrap();
        Ok(row(20_000))
    }));
    let watching = async {
        let admin = app.admin().await;
        // The sender waits in the middle of the file, and all but a chunk of what it has sent is in the database.
        eventually(async || {
            let staged: i64 = admin
                .query_one("select count(*) from import_row", &[])
                .await
                .unwrap()
                .get(0);
            (staged >= 19_000).then_some(())
        })
        .await;
        // Nobody sees a job whose file is not whole.
        assert_eq!(
            shop.owner.get("/api/v1/import-jobs").await.expect(200).body["total"],
            0
        );
        go.send(()).unwrap();
    };
    let (job, ()) = futures::join!(
        shop.upload("?dry_run=true", reqwest::Body::wrap_stream(pieces)),
        watching
    );
    assert_eq!(job.expect(202).body["rows"], 20_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_megabytes_are_the_end() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let head = futures::stream::once(async { Ok::<_, std::io::Error>("sku,name\n".to_owned()) });
    let endless = head.chain(futures::stream::repeat_with(|| Ok("x".repeat(1 << 20))));
    let request = shop
        .owner
        .request(Method::POST, "/api/v1/products/bulk-import");
    let request = request
        .header("content-type", "text/csv")
        .body(reqwest::Body::wrap_stream(endless));
    // The answer comes before the end of the body; a client may see it, or only that nobody reads on.
    if let Ok(answer) = request.send().await {
        assert_eq!(answer.status(), 413);
    }
    assert_eq!(
        shop.owner.get("/api/v1/import-jobs").await.expect(200).body["total"],
        0
    );
    // What was staged does not wait for an hour to be cleared away.
    run_job(&app.running.state, "clear_imports").await;
    let admin = app.admin().await;
    assert!(
        admin
            .query("select 1 from import_job", &[])
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_left_behind_is_taken_up_again() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    // A process that dies right after the upload: it never gets its turn.
    app.running.state.imports.close();
    let id = shop
        .upload("", format!("{HEAD}{}", rows("A", 20)))
        .await
        .expect(202)
        .text_at("id");
    let mut other: State = app.running.state.clone();
    other.imports = Arc::new(Semaphore::new(1));
    // As long as the first has its lease, nobody else touches the job.
    run_job(&other, "resume_imports").await;
    let path = format!("/api/v1/import-jobs/{id}");
    assert_eq!(
        shop.owner.get(&path).await.expect(200).body["status"],
        "uploaded"
    );
    let admin = app.admin().await;
    admin
        .batch_execute("update import_job set lease_until = now() - interval '1 second'")
        .await
        .unwrap();
    run_job(&other, "resume_imports").await;
    let job = shop.rests(&id).await;
    assert_eq!(
        (counts(&job), &job["status"]),
        ([20, 20, 0, 0, 0], &json!("completed"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_work_on_one_job_do_each_row_once() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    shop.add("A700", json!({})).await.expect(201);
    // Somebody holds a product of the second chunk.
    let mut admin = app.admin().await;
    let lock = admin.transaction().await.unwrap();
    lock.execute("select 1 from product where sku = 'A700' for update", &[])
        .await
        .unwrap();
    let id = shop
        .upload("", format!("{HEAD}{}", rows("A", 1200)))
        .await
        .expect(202)
        .text_at("id");
    let path = format!("/api/v1/import-jobs/{id}");
    eventually(async || {
        let job = shop.owner.get(&path).await.expect(200).body;
        (job["status"] == "applying" && job["applied"].as_i64() > Some(0)).then_some(())
    })
    .await;
    // The lease runs out while the first still tries.
    app.admin()
        .await
        .batch_execute(
            "set lock_timeout = '10s'; update import_job set lease_until = now() - interval '1 second'",
        )
        .await
        .unwrap();
    let mut other: State = app.running.state.clone();
    other.imports = Arc::new(Semaphore::new(1));
    run_job(&other, "resume_imports").await;
    lock.rollback().await.unwrap();
    let job = shop.rests(&id).await;
    assert_eq!(
        (counts(&job), &job["status"]),
        ([1200, 1199, 1, 0, 0], &json!("completed")),
        "{job}"
    );
    let told = events(&app, "product.created").await;
    assert_eq!(
        (
            told.len(),
            told.iter()
                .map(|e| &e.aggregate_id)
                .collect::<HashSet<_>>()
                .len()
        ),
        (1200, 1200)
    );
    assert_eq!(events(&app, "product.import_completed").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_and_people_who_add_the_same_things_get_along() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let id = shop
        .upload("", format!("{HEAD}{}", rows("A", 1500)))
        .await
        .expect(202)
        .text_at("id");
    let adding = async {
        for n in (0..1500).rev().step_by(100) {
            let reply = shop
                .add(&format!("a{n}"), json!({ "name": format!("Product {n}") }))
                .await;
            assert!(matches!(reply.status, 201 | 409), "{}", reply.text);
        }
        for path in ["brands", "categories"] {
            shop.owner
                .post(&format!("/api/v1/{path}"), json!({ "name": "Amul" }))
                .await;
        }
    };
    let (job, ()) = futures::join!(shop.rests(&id), adding);
    assert_eq!(
        (&job["status"], &job["refused"]),
        (&json!("completed"), &json!(0)),
        "{job}"
    );
    assert_eq!(
        shop.owner.get("/api/v1/products").await.expect(200).body["total"],
        1500
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn staged_rows_are_cleared_when_they_are_done_with() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let state = &app.running.state;
    shop.import("", format!("{HEAD}{}A9,,,,none,,,,,\n", rows("A", 3)))
        .await;
    let dry = shop
        .import("?dry_run=true", format!("{HEAD}{}", rows("B", 3)))
        .await;
    let admin = app.admin().await;
    let count = async |table: &str| -> i64 {
        admin
            .query_one(&format!("select count(*) from {table}"), &[])
            .await
            .unwrap()
            .get(0)
    };
    assert_eq!(
        (count("import_row").await, count("import_key").await),
        (7, 6)
    );
    run_job(state, "clear_imports").await;
    assert_eq!(
        (
            count("import_row").await,
            count("import_key").await,
            count("import_error").await
        ),
        (3, 3, 4)
    );
    // A dry run that nobody wants after a week, and an upload that broke off.
    admin
        .batch_execute(
            "update import_job set updated_at = now() - interval '8 days' where status = 'ready';
             insert into import_job select (j).* from (select jsonb_populate_record(j, jsonb_build_object(
               'id', gen_random_uuid(), 'status', 'uploading', 'staged', true,
               'lease_until', now() - interval '1 second')) as j from import_job j limit 1) t",
        )
        .await
        .unwrap();
    assert_eq!(count("import_job").await, 3);
    run_job(state, "clear_imports").await;
    assert_eq!(
        (
            count("import_row").await,
            count("import_key").await,
            count("import_job").await
        ),
        (0, 0, 2)
    );
    let path = format!("/api/v1/import-jobs/{}", dry["id"].as_str().unwrap());
    assert_eq!(
        shop.owner.get(&path).await.expect(200).body["status"],
        "cancelled"
    );
}
