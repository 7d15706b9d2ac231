//! What every service does alike: validation, permissions, tenants, tokens, lists, the schema, the contract.

use bahi_http::{Claims, Signer, token};
use bahi_testkit::{
    assert_operations, assert_permissions_written_down, assert_tenant_tables, test_env,
};
use bahi_types::{InvoiceId, PosSessionId, ProductId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn every_table_belongs_to_tenants() {
    let shop = Shop::without_stock().await;
    assert_tenant_tables(&shop.sales, &[]).await;
}

#[test]
fn the_contract_is_this() {
    insta::assert_json_snapshot!(sales::app().openapi());
}

fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap();
    match name.parse::<usize>() {
        Ok(index) => parent[index] = value,
        Err(_) => parent[name] = value,
    }
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_400_and_names_its_field() {
    let shop = Shop::without_stock().await;
    let product = ProductId::new();
    let good = json!({
        "session_id": PosSessionId::new(), "lines": [{ "product_id": product, "qty": "1" }],
        "tenders": [{ "method": "cash", "amount": "10" }], "buyer": { "name": "A" },
    });
    let table = [
        ("/session_id", json!("x"), "session_id"),
        ("/session_id", Value::Null, "session_id"),
        ("/lines", json!([]), "lines"),
        ("/lines", json!("x"), "lines"),
        ("/lines/0/qty", json!("0"), "lines[0].qty"),
        ("/lines/0/qty", json!("-1"), "lines[0].qty"),
        ("/lines/0/qty", json!(1), "lines[0].qty"),
        ("/lines/0/qty", json!("1.0001"), "lines[0].qty"),
        ("/lines/0/qty", json!("1e3"), "lines[0].qty"),
        ("/lines/0/qty", json!("NaN"), "lines[0].qty"),
        ("/lines/0/qty", json!("1000000000000000"), "lines[0].qty"),
        ("/lines/0/unit_price", json!("-1"), "lines[0].unit_price"),
        (
            "/lines/0/unit_price",
            json!("1.00001"),
            "lines[0].unit_price",
        ),
        ("/lines/0/sku", json!("A"), "lines"),
        ("/lines/0/product_id", Value::Null, "lines"),
        ("/lines/0/price_includes_tax", json!(true), "lines"),
        (
            "/lines/0/discount",
            json!({ "percent": "100.01" }),
            "lines[0].discount",
        ),
        (
            "/lines/0/discount",
            json!({ "percent": "-1" }),
            "lines[0].discount",
        ),
        (
            "/lines/0/discount",
            json!({ "amount": "-1" }),
            "lines[0].discount",
        ),
        (
            "/lines/0/discount",
            json!({ "both": "1" }),
            "lines[0].discount",
        ),
        ("/lines/0/reason", json!(" x"), "lines[0].reason"),
        ("/lines/0/surprise", json!(1), "lines[0].surprise"),
        (
            "/bill_discount",
            json!({ "percent": "101" }),
            "bill_discount",
        ),
        ("/tenders/0/method", json!("gold"), "tenders[0].method"),
        ("/tenders/0/amount", json!("0"), "tenders[0].amount"),
        ("/tenders/0/amount", json!("0.001"), "tenders[0].amount"),
        ("/tenders/0/reference", json!(""), "tenders[0].reference"),
        ("/buyer/gstin", json!("27AAPFU0939F1ZO"), "buyer.gstin"),
        ("/buyer/phone", json!("call me"), "buyer.phone"),
        ("/buyer/state_code", json!("00"), "buyer.state_code"),
        ("/buyer/name", json!(""), "buyer.name"),
        ("/invoice_id", json!(Uuid::new_v4()), "invoice_id"),
        ("/external_date", json!("yesterday"), "external_date"),
        ("/surprise", json!(1), "surprise"),
        ("/customer_group_id", json!("x"), "customer_group_id"),
        ("/coupons", json!([""]), "coupons[0]"),
        ("/coupons", json!(vec!["A"; 21]), "coupons"),
        ("/lines/0/batch_mrp", json!("0"), "lines[0].batch_mrp"),
    ];
    for (pointer, value, field) in table {
        let reply = shop.sell(with(good.clone(), pointer, value.clone())).await;
        assert_eq!(
            (reply.status, reply.code()),
            (400, "INVALID"),
            "{pointer} {value}: {}",
            reply.text
        );
        let fields: Vec<_> = reply.body["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["field"].clone())
            .collect();
        assert!(
            fields.iter().any(|f| f == field || field == "session_id"),
            "{pointer} {value}: {fields:?}"
        );
    }
    let missing = shop
        .owner
        .post("/api/v1/pos/invoice", good)
        .await
        .expect(400);
    assert_eq!(missing.body["errors"][0]["field"], "Idempotency-Key");
    for (method, path) in [
        ("POST", "/api/v1/pos/sessions:open"),
        ("POST", "/api/v1/pos/cash-movements"),
        ("POST", "/api/v1/pos/hold"),
        ("POST", "/api/v1/sales/invoices"),
        ("POST", "/api/v1/sales/returns"),
        ("POST", "/api/v1/sales/series"),
    ] {
        let request = shop
            .owner
            .request(method.parse().unwrap(), path)
            .header("content-type", "application/json");
        for body in ["", "[", "[]", "null", "{\"a\":\"\\u0000\"}"] {
            let reply = shop
                .owner
                .send(request.try_clone().unwrap().body(body))
                .await;
            assert_eq!(reply.status, 400, "{path} {body}: {}", reply.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_numbers_are_refused_and_never_fail() {
    let shop = Shop::without_stock().await;
    let service = shop.service().await;
    let session = shop.session().await;
    for (qty, price) in [
        ("999999999999999", "999999999999999"),
        ("999999999999999.999", "1"),
        ("0.001", "999999999999999.9999"),
    ] {
        let body = json!({ "session_id": session,
            "lines": [{ "product_id": service, "qty": qty, "unit_price": price, "reason": "big" }],
            "tenders": [{ "method": "cash", "amount": "1" }] });
        let reply = shop.sell(body).await;
        assert_eq!(reply.status, 422, "{qty} x {price}: {}", reply.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_things_are_not_found() {
    let shop = Shop::without_stock().await;
    let service = shop.service().await;
    let session = shop.session().await;
    let sold = shop
        .sell(shop.basket(&session, &[(service, "1")], "118"))
        .await
        .expect(201)
        .body;
    let invoice = sold["invoice_id"].as_str().unwrap();
    let stranger = shop.next_tenant().await.owner;
    stranger
        .get(&format!("/api/v1/sales/invoices/{invoice}"))
        .await
        .expect(404);
    stranger
        .get(&format!("/api/v1/pos/sessions/{session}"))
        .await
        .expect(404);
    stranger
        .get(&format!("/api/v1/pos/sessions/{session}/x-report"))
        .await
        .expect(404);
    let body = shop.basket(&session, &[(service, "1")], "118");
    stranger
        .post_with_key("/api/v1/pos/invoice", body, "k")
        .await
        .expect(404);
    let back =
        json!({ "original_invoice_id": invoice, "lines": [{ "original_line": 1, "qty": "1" }] });
    stranger
        .post("/api/v1/sales/returns", back)
        .await
        .expect(404);
    let close = json!({ "counted": [{ "method": "cash", "amount": "0" }], "retained": "0" });
    stranger
        .post(&format!("/api/v1/pos/sessions/{session}:close"), close)
        .await
        .expect(404);
    assert_eq!(
        stranger
            .get("/api/v1/sales/invoices")
            .await
            .expect(200)
            .body["total"],
        0
    );
    // The same client-made id is another invoice there.
    stranger
        .post(
            &format!("/api/v1/pos/invoices/{invoice}:abandon"),
            json!({}),
        )
        .await
        .expect(200);
    let again = shop
        .owner
        .get(&format!("/api/v1/sales/invoices/{invoice}"))
        .await
        .expect(200);
    assert_eq!(again.body, sold);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_internal_tokens_are_believed() {
    let shop = Shop::without_stock().await;
    let path = "/api/v1/sales/invoices";
    shop.owner
        .with_token("nonsense")
        .get(path)
        .await
        .expect(401);
    let forger = shop.owner.with_token("x");
    let forged = forger
        .request("GET".parse().unwrap(), path)
        .header("X-User-Id", Uuid::now_v7().to_string());
    forger
        .send(forged.header("X-Tenant-Id", shop.tenant().to_string()))
        .await
        .expect(401);
    // What a client carries is not what services carry.
    let file = format!("{}/private/identity.pem", test_env("BAHI_TEST_KEYS"));
    let signer = Signer::from_file(file.as_ref()).unwrap();
    let iat = chrono::Utc::now().timestamp();
    let claims = Claims {
        iss: "identity".into(),
        aud: token::AUDIENCE_API.into(),
        sub: shop.owner.user.to_string(),
        tid: shop.tenant(),
        sid: None,
        perms: vec!["*".into()],
        branches: bahi_types::Scope::default(),
        name: None,
        rate: None,
        amr: Vec::new(),
        txn: None,
        sxp: None,
        iat,
        exp: iat + 60,
    };
    let access = signer.sign(token::ACCESS, &claims).unwrap();
    shop.owner.with_token(&access).get(path).await.expect(401);
    shop.owner.get(path).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn invoices_are_listed_filtered_and_walked() {
    let shop = Shop::without_stock().await;
    let service = shop.service().await;
    let session = shop.session().await;
    let mut numbers = Vec::new();
    for n in 1..=5 {
        let mut body = shop.basket(&session, &[(service, "1")], "118");
        body["external_reference"] = json!(format!("WEB-{n}"));
        numbers.push(shop.sell(body).await.expect(201).text_at("number"));
        shop.later(60);
    }
    let list = async |query: &str| {
        shop.owner
            .get(&format!("/api/v1/sales/invoices?{query}"))
            .await
            .expect(200)
            .body
    };
    let seen = |page: &Value| -> Vec<String> {
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| i["number"].as_str().unwrap().to_owned())
            .collect()
    };
    let newest: Vec<String> = numbers.iter().rev().cloned().collect();
    assert_eq!(seen(&list("").await), newest);
    assert_eq!(seen(&list("sort=issued_at:asc").await), numbers);
    assert_eq!(seen(&list("page=2&limit=2").await), newest[2..4]);
    let mut walked = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = list(&format!("limit=2{cursor}")).await;
        assert_eq!(page["total"], 5);
        walked.extend(seen(&page));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(walked, newest);
    assert_eq!(
        seen(&list("number=p1/26-27/0003").await),
        [numbers[2].clone()]
    );
    assert_eq!(
        seen(&list("external_reference=WEB-4").await),
        [numbers[3].clone()]
    );
    assert_eq!(list(&format!("session_id={session}")).await["total"], 5);
    assert_eq!(
        list(&format!("session_id={}", Uuid::now_v7())).await["total"],
        0
    );
    assert_eq!(
        list(&format!("branch_id={}", shop.branch)).await["total"],
        5
    );
    assert_eq!(list("date=2026-11-05").await["total"], 5);
    assert_eq!(list("date_from=2026-11-06").await["total"], 0);
    assert_eq!(list("date_to=2026-11-04").await["total"], 0);
    for bad in ["sort=total", "cursor=%3F", "date=soon", "page=x"] {
        let reply = shop
            .owner
            .get(&format!("/api/v1/sales/invoices?{bad}"))
            .await;
        assert_eq!(reply.status, 400, "{bad}");
    }
    shop.owner
        .get(&format!("/api/v1/sales/invoices/{}", InvoiceId::new()))
        .await
        .expect(404);
    shop.owner.get("/api/v1/sales/invoices/x").await.expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_opens_to_those_who_hold_what_it_asks_for() {
    let shop = Shop::open().await;
    assert_operations(&shop.sales, sales::app, &shop.owner).await;
}

#[test]
fn who_may_do_what_is_as_written_down() {
    assert_permissions_written_down(&sales::app());
}
