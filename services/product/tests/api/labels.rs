//! Pictures of barcodes, label sheets, and codes of a company prefix.

use lopdf::{Document, Object};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    support::*,
    units::{CARTON, unit},
};

const PRINT: &str = "/api/v1/barcodes/print";

async fn bytes(shop: &Shop, method: Method, path: &str, body: Option<Value>) -> (String, Vec<u8>) {
    let request = shop.owner.request(method, path);
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    let response = request.send().await.unwrap();
    let kind = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap().to_vec();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&bytes));
    (kind, bytes)
}

fn a4() -> Value {
    json!({ "columns": 3, "rows": 8, "margin_x": "5", "margin_y": "10.5", "gap_x": "2.5",
        "fields": ["name", "price", "mrp", "barcode"] })
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_come_as_svg_and_png() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let (kind, svg) = bytes(
        &shop,
        Method::GET,
        &format!("/api/v1/barcodes/{EAN}.svg"),
        None,
    )
    .await;
    let svg = String::from_utf8(svg).unwrap();
    assert_eq!(kind, "image/svg+xml");
    assert!(
        svg.starts_with("<svg") && svg.contains(&format!(">{EAN}</text>")),
        "{svg}"
    );
    let path = "/api/v1/barcodes/upi%3A%2F%2Fpay%3Fpa%3Dx%40y.png?symbology=qr&scale=2";
    let (kind, png) = bytes(&shop, Method::GET, path, None).await;
    assert_eq!(
        (kind.as_str(), &png[..8]),
        ("image/png", &b"\x89PNG\r\n\x1a\n"[..])
    );
    for (path, field) in [
        ("4006381333932.svg", "code"),
        ("4006381333931.png?symbology=ean8", "code"),
        ("%E0%A4%9A.svg", "code"),
        ("A.svg?scale=0", "scale"),
        ("A.png?scale=11", "scale"),
        ("A.svg?height=1000000", "height"),
    ] {
        let refused = shop.owner.get(&format!("/api/v1/barcodes/{path}")).await;
        // A GTIN with a wrong digit is still a text that Code 128 carries, unless an EAN is asked for.
        let refused = if path.starts_with("4006381333932") {
            refused.expect(200);
            shop.owner
                .get("/api/v1/barcodes/4006381333932.svg?symbology=ean13")
                .await
        } else {
            refused
        };
        assert_eq!(
            refused.expect(400).body["errors"][0]["field"],
            field,
            "{path}"
        );
    }
    shop.owner
        .get("/api/v1/barcodes/A.svg?symbology=runes")
        .await
        .expect(400);
    let long = format!("/api/v1/barcodes/{}.png?symbology=qr", "9".repeat(600));
    shop.owner.get(&long).await.expect(400);
}

/// The texts of a document's forms, and how often each form is placed.
fn read(pdf: &[u8]) -> (usize, Vec<(Vec<String>, usize)>) {
    let document = Document::load_mem(pdf).unwrap();
    let pages = document.get_pages();
    let mut placed: Vec<(Vec<String>, usize)> = Vec::new();
    for page in pages.values() {
        let content = lopdf::content::Content::decode(&document.get_page_content(*page)).unwrap();
        let (resources, _) = document.get_page_resources(*page).unwrap();
        let forms = resources
            .unwrap()
            .get(b"XObject")
            .unwrap()
            .as_dict()
            .unwrap();
        for operation in content.operations.iter().filter(|o| o.operator == "Do") {
            let form = forms.get(operation.operands[0].as_name().unwrap()).unwrap();
            let Object::Stream(form) = document.get_object(form.as_reference().unwrap()).unwrap()
            else {
                panic!("a form is a stream");
            };
            let drawn = lopdf::content::Content::decode(&form.content).unwrap();
            let texts = drawn.operations.iter().filter(|o| o.operator == "Tj");
            let texts: Vec<String> = texts
                .map(|o| {
                    o.operands[0]
                        .as_str()
                        .unwrap()
                        .iter()
                        .map(|b| char::from(*b))
                        .collect()
                })
                .collect();
            match placed.iter_mut().find(|(known, _)| *known == texts) {
                Some((_, count)) => *count += 1,
                None => placed.push((texts, 1)),
            }
        }
    }
    (pages.len(), placed)
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_printed_as_pdf() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let dozen = unit(&shop, "DOZ", "DOZ", 0).await;
    let units =
        json!([{ "unit_id": dozen, "numerator": 12, "price": "1100", "barcodes": [CARTON] }]);
    let tea = json!({ "name": "Café (Première) tea", "units": units, "barcodes": [EAN], "mrp": "118.50" });
    let tea = shop.add("TEA", tea).await.expect(201).text_at("id");
    let chai =
        json!({ "name": "मसाला चाय", "barcodes": ["416000336108"], "price_includes_tax": false });
    let chai = shop.add("CHAI", chai).await.expect(201).text_at("id");
    let body = json!({ "format": "pdf", "template": a4(), "labels": [
        { "product_id": tea, "count": 20 }, { "product_id": tea, "unit_id": dozen, "count": 3 },
        { "product_id": chai, "count": 27 },
    ] });
    let (kind, pdf) = bytes(&shop, Method::POST, PRINT, Some(body.clone())).await;
    assert_eq!(kind, "application/pdf");
    let (pages, placed) = read(&pdf);
    assert_eq!(pages, 3, "fifty labels on sheets of twenty-four");
    let texts = |lines: &[&str]| {
        lines
            .iter()
            .map(|line| (*line).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        placed,
        [
            (
                texts(&[
                    "Café (Première) tea",
                    "Rs 100.00",
                    "MRP Rs 118.50 incl. of all taxes",
                    EAN
                ]),
                20
            ),
            (
                texts(&[
                    "Café (Première) tea",
                    "Rs 1100.00",
                    "MRP Rs 1422.00 incl. of all taxes",
                    CARTON
                ]),
                3
            ),
            // A name that the fonts cannot set, and a price to which tax is added.
            (texts(&["CHAI", "Rs 100.00 + tax", "416000336108"]), 27),
        ]
    );
    let (_, again) = bytes(&shop, Method::POST, PRINT, Some(body)).await;
    assert_eq!(pdf, again, "the same request, the same labels");
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_printed_as_zpl_and_names_are_no_commands() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let nasty = json!({ "name": "^XZ~JA _41 चाय", "barcodes": [EAN] });
    let id = shop.add("A", nasty).await.expect(201).text_at("id");
    let body = |template: Value| json!({ "format": "zpl", "template": template, "labels": [{ "product_id": id, "count": 7 }] });
    let template = json!({ "width": "50", "height": "25", "columns": 1, "rows": 1, "fields": ["name", "barcode"] });
    let (kind, zpl) = bytes(&shop, Method::POST, PRINT, Some(body(template.clone()))).await;
    assert_eq!(kind, "text/plain; charset=utf-8");
    let zpl = String::from_utf8(zpl).unwrap();
    assert_eq!(zpl.matches("^XZ").count(), 1, "{zpl}");
    assert!(!zpl.contains("~JA"), "{zpl}");
    for part in [
        "^XA^CI28^PW400^LL200",
        "^FD_5EXZ_7EJA _5F41 चाय^FS",
        "^BEN,",
        "^FD400638133393^FS",
        "^PQ7^XZ",
    ] {
        assert!(zpl.contains(part), "{part}: {zpl}");
    }
    let mut narrow = template.clone();
    merge(&mut narrow, json!({ "width": "26" }));
    let refused = shop.owner.post(PRINT, body(narrow)).await.expect(422);
    assert_eq!(refused.code(), "LABEL_TOO_SMALL");
    let mut sheet = template;
    merge(&mut sheet, json!({ "columns": 2 }));
    let refused = shop.owner.post(PRINT, body(sheet)).await.expect(400);
    assert_eq!(refused.body["errors"][0]["field"], "template.columns");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_printed_is_refused_by_field_and_rule() {
    let app = start().await;
    let (shop, stranger) = (Shop::open(&app).await, Shop::open(&app).await);
    let id = shop
        .add("A", json!({ "barcodes": [EAN] }))
        .await
        .expect(201)
        .text_at("id");
    let bare = shop.add("B", json!({})).await.expect(201).text_at("id");
    let theirs = stranger
        .add("A", json!({ "barcodes": [EAN] }))
        .await
        .expect(201)
        .text_at("id");
    let label = |id: &str, count: i64| json!({ "product_id": id, "count": count });
    let body = |labels: Value, other: Value| {
        let mut template = a4();
        merge(&mut template, other);
        json!({ "format": "pdf", "labels": labels, "template": template })
    };
    let one = || json!([label(&id, 1)]);
    let many: Vec<Value> = (0..501).map(|_| label(&id, 1)).collect();
    for (labels, other, field) in [
        (json!([label(&id, 10_000)]), json!({}), "labels[0].count"),
        (json!([label(&id, 0)]), json!({}), "labels[0].count"),
        (
            json!([label(&id, 5_000), label(&id, 5_000)]),
            json!({}),
            "labels",
        ),
        (json!(many), json!({}), "labels"),
        (json!([]), json!({}), "labels"),
        (one(), json!({ "columns": 0 }), "template.columns"),
        (one(), json!({ "columns": 21 }), "template.columns"),
        (one(), json!({ "rows": 51 }), "template.rows"),
        (
            one(),
            json!({ "columns": 20, "gap_x": "20" }),
            "template.columns",
        ),
        (one(), json!({ "margin_x": "-1" }), "template.margin_x"),
        (one(), json!({ "width": "5" }), "template.width"),
        (one(), json!({ "height": "99999" }), "template.height"),
        (one(), json!({ "fields": [] }), "template.fields"),
        (
            one(),
            json!({ "fields": ["name", "name"] }),
            "template.fields[1]",
        ),
        (one(), json!({ "fields": ["colour"] }), "template.fields[0]"),
        (one(), json!({ "dots_per_mm": 9 }), "template.dots_per_mm"),
        (one(), json!({ "width": 210 }), "template.width"),
    ] {
        let refused = shop
            .owner
            .post(PRINT, body(labels, other))
            .await
            .expect(400);
        assert_eq!(
            refused.body["errors"][0]["field"], field,
            "{}",
            refused.text
        );
    }
    for (labels, other, code) in [
        (json!([label(&theirs, 1)]), json!({}), "UNKNOWN_REFERENCE"),
        (
            json!([{ "product_id": id, "unit_id": Uuid::now_v7(), "count": 1 }]),
            json!({}),
            "UNKNOWN_REFERENCE",
        ),
        (json!([label(&bare, 1)]), json!({}), "LABEL_WITHOUT_BARCODE"),
        (
            one(),
            json!({ "columns": 12, "gap_x": "0" }),
            "LABEL_TOO_SMALL",
        ),
        (one(), json!({ "rows": 30 }), "LABEL_TOO_SMALL"),
    ] {
        let refused = shop
            .owner
            .post(PRINT, body(labels, other))
            .await
            .expect(422);
        assert_eq!(refused.code(), code, "{}", refused.text);
    }
    shop.owner
        .post(PRINT, body(json!([label(&id, 5_000)]), json!({})))
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_of_a_company_prefix_are_made_once_each() {
    let app = start().await;
    let (shop, stranger) = (Shop::open(&app).await, Shop::open(&app).await);
    let generate =
        async |shop: &Shop, body: Value| shop.owner.post("/api/v1/barcodes/generate", body).await;
    let codes = |reply: bahi_testkit::Reply| -> Vec<String> {
        serde_json::from_value(reply.expect(201).body["barcodes"].clone()).unwrap()
    };
    let made = codes(generate(&shop, json!({ "count": 3, "prefix": "8901234" })).await);
    assert!(
        made.iter()
            .all(|code| code.starts_with("8901234") && code.len() == 13),
        "{made:?}"
    );
    let more = codes(generate(&shop, json!({ "prefix": "8901234" })).await);
    assert!(!made.contains(&more[0]));
    assert_eq!(
        codes(generate(&stranger, json!({ "count": 3, "prefix": "8901234" })).await)[0],
        made[0]
    );
    // Ten references fit a prefix of eleven digits.
    let all = codes(generate(&shop, json!({ "count": 10, "prefix": "89012345678" })).await);
    assert_eq!(all.len(), 10);
    let last = generate(&shop, json!({ "prefix": "89012345678" }))
        .await
        .expect(409);
    assert_eq!(last.code(), "RANGE_EXHAUSTED");
    for prefix in [
        "20",
        "2012345",
        "2912345",
        "0212345",
        "890",
        "890123456789",
        "89O1234",
        "",
    ] {
        let refused = generate(&shop, json!({ "prefix": prefix }))
            .await
            .expect(400);
        assert_eq!(
            refused.body["errors"][0]["field"], "prefix",
            "{}",
            refused.text
        );
    }
}
