//! Prints: what is on paper, what is logged of it, and what lies in the store.

use bahi_events::PRODUCT_UPDATED;
use bahi_testkit::TestStore;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{CUSTOMER, Shop, feed, product, tax_profile};

/// A shop whose sales can print, and store what they print at `endpoint`, or at the tests' store.
async fn open(endpoint: Option<&str>) -> Shop {
    let store = TestStore::of_env();
    let fonts = std::env::var("BAHI_TEST_FONTS").expect("BAHI_TEST_FONTS: scripts/infra test env");
    let mut settings = store.settings_of("invoices").to_vec();
    settings.push(("BAHI_FONTS", &fonts));
    settings.extend(endpoint.map(|at| ("BAHI_S3_ENDPOINT", at)));
    Shop::without_stock_with(&settings).await
}

async fn fetch(shop: &Shop, path: &str) -> (u16, String, Vec<u8>) {
    let response = shop.owner.request(Method::GET, path).send().await.unwrap();
    let header = |name: &str| {
        response
            .headers()
            .get(name)
            .map(|v| v.to_str().unwrap().to_owned())
    };
    let kind = header("content-type").unwrap_or_default();
    if response.status() == 200 {
        assert_eq!(header("cache-control").as_deref(), Some("no-store"));
    }
    let status = response.status().as_u16();
    (status, kind, response.bytes().await.unwrap().to_vec())
}

async fn print(shop: &Shop, path: &str) -> Vec<u8> {
    let (status, _, bytes) = fetch(shop, path).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&bytes));
    bytes
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

/// A service sold at the till: 118.00.
async fn sold(shop: &Shop) -> Value {
    let session = shop.session().await;
    let service = shop.service().await;
    let basket = shop.basket(&session, &[(service, "1")], "118");
    shop.sell(basket).await.expect(201).body
}

fn receipt(invoice: &Value, query: &str) -> String {
    let id = invoice["invoice_id"].as_str().unwrap();
    format!("/api/v1/pos/invoices/{id}/receipt?{query}")
}

fn a4(invoice: &Value, copy: &str) -> String {
    let id = invoice["invoice_id"].as_str().unwrap();
    format!("/api/v1/sales/invoices/{id}/pdf?copy={copy}")
}

async fn files(shop: &Shop) -> Vec<(String, String)> {
    let rows = shop.sales.admin().await;
    let rows = rows
        .query(
            "select copy, sha256 from print_file where tenant_id = $1 order by copy",
            &[&shop.tenant().uuid()],
        )
        .await
        .unwrap();
    rows.into_iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect()
}

async fn tasks(shop: &Shop) -> i64 {
    let rows = shop.sales.admin().await;
    let row = rows
        .query_one("select count(*) from print_task", &[])
        .await
        .unwrap();
    row.get(0)
}

/// Brings what sales has said back to it, each event twice, and runs the job.
async fn follow_up(shop: &Shop) {
    let events = shop.sales.events().await;
    let own = ["invoice.issued", "return.processed"];
    let events: Vec<_> = events
        .into_iter()
        .filter(|e| own.contains(&e.event_type.as_str()))
        .collect();
    feed(sales::app(), &shop.sales, &events).await;
    let jobs = sales::jobs::table(&shop.sales.running.state);
    let job = jobs
        .iter()
        .find(|job| job.name() == "render_prints")
        .unwrap();
    job.once().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_printed_once_and_reprints_say_so_and_are_audited() {
    let shop = open(None).await;
    let invoice = sold(&shop).await;
    let number = invoice["number"].as_str().unwrap();
    let (status, kind, first) = fetch(&shop, &receipt(&invoice, "format=escpos&width=58")).await;
    assert_eq!((status, kind.as_str()), (200, "application/octet-stream"));
    assert!(has(&first, number) && has(&first, "Rs 118.00") && !has(&first, "REPRINT"));
    assert!(has(&first, "12 MG Road") && has(&first, "Phone 022 2345 6789"));
    assert!(first.ends_with(&[0x1d, b'V', 66, 3]));
    let html = print(&shop, &receipt(&invoice, "format=html&width=80")).await;
    assert!(has(&html, "DUPLICATE - REPRINT 1") && has(&html, "size:80mm auto"));
    let (_, kind, pdf) = fetch(&shop, &receipt(&invoice, "format=pdf")).await;
    assert!(pdf.starts_with(b"%PDF") && kind == "application/pdf");
    let id = invoice["invoice_id"].as_str().unwrap();
    let log = format!("/api/v1/sales/invoices/{id}/prints?limit=2");
    let page = shop.owner.get(&log).await.expect(200).body;
    let told: Vec<_> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| {
            (
                p["print_no"].clone(),
                p["format"].clone(),
                p["width"].clone(),
            )
        })
        .collect();
    let expected = |no: i32, format: &str, width: i32| (json!(no), json!(format), json!(width));
    assert_eq!(told, [expected(1, "escpos", 58), expected(2, "html", 80)]);
    assert_eq!(page["items"][0]["printed_by"], json!(shop.owner.user));
    let rest = format!("{log}&cursor={}", page["next_cursor"].as_str().unwrap());
    let rest = shop.owner.get(&rest).await.expect(200).body;
    assert_eq!(
        (&rest["items"][0]["print_no"], &rest["total"]),
        (&json!(3), &json!(3))
    );
    let audited = shop.said("audit.recorded").await;
    let reprints: Vec<_> = audited
        .iter()
        .filter(|a| a["action"] == "sales.document.reprinted")
        .collect();
    assert_eq!(reprints.len(), 2);
    assert_eq!(reprints[0]["details"]["print_no"], 2);
    let cancel = json!({ "reason_code": "data_entry", "refund_tenders": [{ "method": "cash", "amount": invoice["total"] }] });
    let path = format!("/api/v1/sales/invoices/{id}:cancel");
    shop.owner.post(&path, cancel).await.expect(200);
    let html = print(&shop, &receipt(&invoice, "format=html&width=80")).await;
    assert!(has(&html, "CANCELLED - DUPLICATE - REPRINT 3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn prints_at_the_same_time_have_one_original_between_them() {
    let shop = open(None).await;
    let invoice = sold(&shop).await;
    let path = receipt(&invoice, "format=html");
    let all = at_once(&shop, &path, 8).await;
    let unmarked = all.iter().filter(|bytes| !has(bytes, "REPRINT")).count();
    assert_eq!(unmarked, 1, "of {} prints", all.len());
    let mut numbers: Vec<i32> = (1..8)
        .filter(|n| all.iter().any(|b| has(b, &format!("REPRINT {n}<"))))
        .collect();
    numbers.dedup();
    assert_eq!(
        numbers.len(),
        all.len() - 1,
        "each reprint has its own number"
    );
}

/// Prints at the same time; those that lost too many races are left out.
async fn at_once(shop: &Shop, path: &str, count: usize) -> Vec<Vec<u8>> {
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let (shop, path) = (shop.clone(), path.to_owned());
            tokio::spawn(async move { fetch(&shop, &path).await })
        })
        .collect();
    let mut made = Vec::new();
    for task in tasks {
        let (status, _, bytes) = task.await.unwrap();
        assert!(status == 200 || status == 503, "{status}");
        if status == 200 {
            made.push(bytes);
        }
    }
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn a_businesss_invoice_is_stored_after_the_answer_and_its_first_print_is_what_was_stored() {
    let shop = open(None).await;
    let service = shop.service().await;
    let body = json!({ "location_id": shop.location, "lines": [{ "product_id": service, "qty": "1" }],
        "buyer": { "name": "Jain Stores", "gstin": CUSTOMER, "phone": "9820098200", "address": "Pune" } });
    let series =
        json!({ "registration_id": shop.registration, "purpose": "invoice", "prefix": "mh" });
    shop.owner
        .post("/api/v1/sales/series", series)
        .await
        .expect(201);
    let invoice = shop
        .owner
        .post_with_key("/api/v1/sales/invoices", body, "b")
        .await
        .expect(201)
        .body;
    assert!(
        files(&shop).await.is_empty(),
        "nothing is made on the sale's way"
    );
    follow_up(&shop).await;
    let stored = files(&shop).await;
    assert_eq!((stored.len(), tasks(&shop).await), (1, 0));
    // The name of what is stored is the hash of what is handed out.
    let first = print(&shop, &a4(&invoice, "original")).await;
    let key = format!("{}/{}.pdf", shop.tenant(), stored[0].1);
    assert_eq!(object(&key).await, first);
    let second = print(&shop, &a4(&invoice, "original")).await;
    assert_ne!(first, second, "the second is marked");
    let other = print(&shop, &a4(&invoice, "triplicate")).await;
    assert_ne!(first, other);
    let stored = files(&shop).await;
    let copies: Vec<_> = stored.iter().map(|(copy, _)| copy.as_str()).collect();
    assert_eq!(
        copies,
        ["original", "triplicate"],
        "marked ones are not stored"
    );
    // A till's sale to a consumer is made when it is asked for.
    let at_till = sold(&shop).await;
    follow_up(&shop).await;
    assert_eq!(files(&shop).await.len(), 2);
    print(&shop, &a4(&at_till, "original")).await;
    assert_eq!(files(&shop).await.len(), 3);
}

/// What lies in the store under a key.
async fn object(key: &str) -> Vec<u8> {
    let store = TestStore::of_env();
    let settings = store
        .settings_of("invoices")
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let env = bahi_service::Env::with(settings);
    let objects =
        bahi_objects::Objects::new(&bahi_objects::S3::read(&env, "invoices").unwrap().unwrap());
    match objects.get(key, 1 << 20).await.unwrap() {
        bahi_objects::Found::Object(bytes) => bytes.to_vec(),
        other => panic!("{key}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_holds_up_no_print_and_the_job_comes_back_to_it() {
    let shop = open(Some("http://127.0.0.1:9")).await;
    let service = shop.service().await;
    let session = shop.session().await;
    let mut basket = shop.basket(&session, &[(service, "1")], "118");
    basket["buyer"] = json!({ "name": "Jain Stores", "gstin": CUSTOMER });
    let invoice = shop.sell(basket).await.expect(201).body;
    assert!(
        print(&shop, &a4(&invoice, "original"))
            .await
            .starts_with(b"%PDF")
    );
    assert!(files(&shop).await.is_empty());
    let events = shop.sales.events().await;
    let events: Vec<_> = events
        .into_iter()
        .filter(|e| e.event_type == "invoice.issued")
        .collect();
    feed(sales::app(), &shop.sales, &events).await;
    let jobs = sales::jobs::table(&shop.sales.running.state);
    let job = jobs
        .iter()
        .find(|job| job.name() == "render_prints")
        .unwrap();
    assert!(job.once().await.is_err());
    assert_eq!(tasks(&shop).await, 1, "the task stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credit_note_is_printed_like_an_invoice() {
    let shop = open(None).await;
    let invoice = sold(&shop).await;
    let body = json!({ "original_invoice_id": invoice["invoice_id"], "session_id": invoice["session_id"],
        "lines": [{ "original_line": 1, "qty": "1" }], "reason": "Not done",
        "refund_tenders": [{ "method": "cash", "amount": "118.00" }] });
    let note = shop
        .owner
        .post("/api/v1/sales/returns", body)
        .await
        .expect(201);
    let id = note.text_at("credit_note_id");
    let html = print(
        &shop,
        &format!("/api/v1/pos/returns/{id}/receipt?format=html"),
    )
    .await;
    let number = invoice["number"].as_str().unwrap();
    assert!(
        has(&html, "CREDIT NOTE")
            && has(&html, &format!("Against {number}"))
            && has(&html, "REFUND")
    );
    let pdf = print(&shop, &format!("/api/v1/sales/returns/{id}/pdf")).await;
    assert!(pdf.starts_with(b"%PDF"));
    let log = shop
        .owner
        .get(&format!("/api/v1/sales/returns/{id}/prints"))
        .await
        .expect(200);
    assert_eq!(log.body["total"], 2);
    // An invoice's id is no credit note's.
    let id = invoice["invoice_id"].as_str().unwrap();
    shop.owner
        .get(&format!("/api/v1/sales/returns/{id}/pdf"))
        .await
        .expect(404);
    shop.owner
        .get(&format!("/api/v1/sales/returns/{id}/prints"))
        .await
        .expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_indian_name_is_drawn_and_without_fonts_the_refusal_is_clear() {
    let shop = open(None).await;
    // Sales of the same tenant beside it, without fonts.
    let invoice = hindi(&shop).await;
    let bytes = print(&shop, &receipt(&invoice, "width=58")).await;
    assert!(has(&bytes, "\u{1d}v0"), "it goes as dots");
    let bare = Shop::without_stock_with(&[("BAHI_FONTS", "none")]).await;
    let invoice = hindi(&bare).await;
    let refused = bare
        .owner
        .get(&receipt(&invoice, "width=58"))
        .await
        .expect(503);
    assert_eq!(refused.code(), "FONTS_MISSING");
    bare.owner.get(&a4(&invoice, "original")).await.expect(503);
    let html = print(&bare, &receipt(&invoice, "format=html")).await;
    assert!(
        has(&html, "क्षत्रिय") && !has(&html, "REPRINT"),
        "what was refused was no print"
    );
}

/// A sale of something with a Hindi name.
async fn hindi(shop: &Shop) -> Value {
    let profile = bahi_types::TaxProfileId::new();
    let mut thing = product("क्षत्रिय", "100", false, profile);
    thing.name = "क्षत्रिय".into();
    thing.kind = bahi_events::ProductKind::Service;
    let rates = tax_profile(profile, "taxable", &[("2017-07-01", None, "18")]);
    shop.hear([
        bahi_events::TAX_RATE_CHANGED.of(profile.uuid(), 1, &rates),
        PRODUCT_UPDATED.of(thing.product_id.uuid(), 1, &thing),
    ])
    .await;
    let session = shop.session().await;
    let basket = shop.basket(&session, &[(thing.product_id, "1")], "118");
    shop.sell(basket).await.expect(201).body
}

#[tokio::test(flavor = "multi_thread")]
async fn prints_are_the_tenants_own_and_need_their_permission() {
    let shop = open(None).await;
    let invoice = sold(&shop).await;
    let other = shop.next_tenant().await;
    for path in [receipt(&invoice, ""), a4(&invoice, "original")] {
        other.owner.get(&path).await.expect(404);
        shop.cashier(&[]).get(&path).await.expect(403);
    }
    shop.cashier(&["sales.pos.read"])
        .get(&a4(&invoice, "original"))
        .await
        .expect(403);
    for wrong in [
        "width=57",
        "format=docx",
        "code_page=x",
        "drawer=1",
        "colour=red",
    ] {
        shop.owner.get(&receipt(&invoice, wrong)).await.expect(400);
    }
    shop.owner.get(&a4(&invoice, "fourth")).await.expect(400);
    let nobody = Uuid::now_v7();
    shop.owner
        .get(&format!("/api/v1/sales/invoices/{nobody}/prints"))
        .await
        .expect(404);
    let none = print(&shop, &receipt(&invoice, "format=html")).await;
    assert!(!has(&none, "REPRINT"), "refusals are no prints");
}
