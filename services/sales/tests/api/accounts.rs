//! Customers' accounts: credit, receipts, dues.

use bahi_events::{CUSTOMER_DELETED, CUSTOMER_UPDATED, CustomerDeleted, ProductKind};
use bahi_types::{CustomerId, ProductId};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{Shop, customer};

/// A service at 1,000.00 with 18 % inside.
async fn service(shop: &Shop) -> ProductId {
    let sku = uuid::Uuid::now_v7().to_string();
    shop.product_of_kind(&sku, "1000", true, ProductKind::Service)
        .await
}

fn on_credit(customer: CustomerId, service: ProductId, qty: &str) -> Value {
    json!({ "customer_id": customer, "lines": [{ "product_id": service, "qty": qty }] })
}

async fn owing(shop: &Shop, customer: CustomerId, service: ProductId, qty: &str) -> String {
    shop.sell_from_office(on_credit(customer, service, qty))
        .await
        .expect(201)
        .text_at("invoice_id")
}

async fn invoice(shop: &Shop, id: &str) -> Value {
    let path = format!("/api/v1/sales/invoices/{id}");
    shop.owner.get(&path).await.expect(200).body
}

fn receipt(shop: &Shop, customer: CustomerId, amount: &str) -> Value {
    json!({ "customer_id": customer, "location_id": shop.location, "method": "upi", "amount": amount })
}

fn sums(dues: &str, orders: &str, advances: &str) -> (String, String, String) {
    (dues.into(), orders.into(), advances.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_5g_ten_credit_sales_at_once_do_not_exceed_the_limit() {
    let shop = Shop::without_stock().await;
    let service = service(&shop).await;
    let customer = shop.customer(Some("50000")).await;
    owing(&shop, customer, service, "45").await;
    let sales = (0..10).map(|_| async {
        shop.sell_from_office(on_credit(customer, service, "4"))
            .await
    });
    let replies = join_all(sales).await;
    let sold = replies.iter().filter(|r| r.status == 201).count();
    assert_eq!(sold, 1);
    for refused in replies.iter().filter(|r| r.status != 201) {
        assert_eq!(
            (refused.status, refused.code()),
            (409, "CREDIT_LIMIT_EXCEEDED")
        );
        let body = &refused.body;
        assert_eq!(
            (
                &body["credit_limit"],
                &body["exposure"],
                &body["asked"],
                &body["available"]
            ),
            (
                &json!("50000.00"),
                &json!("49000.00"),
                &json!("4000.00"),
                &json!("1000.00")
            )
        );
    }
    assert_eq!(
        shop.account(customer).await,
        sums("49000.00", "0.00", "0.00")
    );
    shop.assert_sound().await;

    // The mutant that looks before it locks: each of ten sees the same account, and all are granted.
    let admin = shop.sales.admin().await;
    let look = "select dues + orders - advances + 1000 <= 50000 from customer_account where customer_id = $1";
    let id = customer.uuid();
    let mut granted = Vec::new();
    for _ in 0..10 {
        granted.push(
            admin
                .query_one(look, &[&id])
                .await
                .unwrap()
                .get::<_, bool>(0),
        );
    }
    for _ in granted.iter().filter(|granted| **granted) {
        let raise = "update customer_account set dues = dues + 1000 where customer_id = $1";
        admin.execute(raise, &[&id]).await.unwrap();
    }
    assert_eq!(shop.account(customer).await.0, "59000.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limit_it_takes_a_permission_and_a_reason_and_is_audited() {
    let shop = Shop::without_stock().await;
    let service = service(&shop).await;
    let customer = shop.customer(None).await;
    let mut body = on_credit(customer, service, "1");
    let refused = shop.sell_from_office(body.clone()).await.expect(409);
    assert_eq!(
        (refused.code(), &refused.body["credit_limit"]),
        ("CREDIT_LIMIT_EXCEEDED", &Value::Null)
    );
    body["credit_override"] = json!("the owner's brother");
    body["location_id"] = json!(shop.location);
    let clerk = shop.cashier(&["sales.invoice.write"]);
    let refused = clerk
        .post_with_key("/api/v1/sales/invoices", body.clone(), "k")
        .await
        .expect(403);
    assert_eq!(refused.text_at("permission"), "sales.credit.override");
    shop.sell_from_office(body).await.expect(201);
    let audited = shop.said("audit.recorded").await;
    assert_eq!(
        (
            &audited[0]["action"],
            &audited[0]["reason"],
            &audited[0]["details"]["asked"]
        ),
        (
            &json!("sales.credit.override"),
            &json!("the owner's brother"),
            &json!("1000.00")
        )
    );
    // Paid at once, nothing is asked of the credit.
    let mut paid = on_credit(customer, service, "1");
    paid["tenders"] = json!([{ "method": "upi", "amount": "1000" }]);
    shop.sell_from_office(paid).await.expect(201);
    assert_eq!(
        shop.account(customer).await,
        sums("1000.00", "0.00", "0.00")
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_a_copy_that_only_moves_forward_and_buys_by_its_id() {
    let shop = Shop::without_stock().await;
    let service = service(&shop).await;
    let mut told = customer(Some("5000"));
    told.gstin = Some(crate::support::CUSTOMER.into());
    let id = told.customer_id;
    let unknown = shop
        .sell_from_office(on_credit(id, service, "1"))
        .await
        .expect(409);
    assert_eq!(unknown.code(), "NOT_YET_KNOWN");
    shop.hear([CUSTOMER_UPDATED.of(id.uuid(), 2, &told)]).await;
    let older = bahi_events::Customer {
        name: "Before".into(),
        credit_limit: None,
        ..told.clone()
    };
    shop.hear([bahi_events::CUSTOMER_CREATED.of(id.uuid(), 1, &older)])
        .await;
    let found = shop
        .owner
        .get("/api/v1/sales/customers?phone=%2B919820098200&name=jain")
        .await
        .expect(200)
        .body;
    assert_eq!(
        (
            &found["total"],
            &found["items"][0]["name"],
            &found["items"][0]["credit_limit"]
        ),
        (&json!(1), &json!("Jain Stores"), &json!("5000.00"))
    );
    let sold = shop
        .sell_from_office(on_credit(id, service, "1"))
        .await
        .expect(201)
        .body;
    assert_eq!(
        (
            &sold["type"],
            &sold["buyer"]["gstin"],
            &sold["buyer"]["address"]
        ),
        (
            &json!("B2B"),
            &json!(crate::support::CUSTOMER),
            &json!("Pune")
        )
    );
    let held = bahi_events::Customer {
        status: "credit_hold".into(),
        ..told.clone()
    };
    shop.hear([CUSTOMER_UPDATED.of(id.uuid(), 3, &held)]).await;
    let refused = shop
        .sell_from_office(on_credit(id, service, "1"))
        .await
        .expect(409);
    assert_eq!(refused.body["on_hold"], true);
    shop.hear([
        CUSTOMER_DELETED.of(id.uuid(), 4, &CustomerDeleted { customer_id: id }),
        CUSTOMER_UPDATED.of(id.uuid(), 3, &told),
    ])
    .await;
    let refused = shop
        .sell_from_office(on_credit(id, service, "1"))
        .await
        .expect(409);
    assert_eq!(refused.code(), "NOT_ACTIVE");
    assert_eq!(shop.account(id).await.0, "1000.00");
    let other = shop.next_tenant().await;
    let path = format!("/api/v1/sales/customers/{id}/account");
    other.owner.get(&path).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_pays_the_oldest_first_and_the_rest_is_an_advance() {
    let shop = Shop::without_stock().await;
    let service = service(&shop).await;
    let customer = shop.customer(Some("50000")).await;
    let first = owing(&shop, customer, service, "2").await;
    shop.later(1);
    let second = owing(&shop, customer, service, "3").await;
    let paid = shop
        .owner
        .post("/api/v1/sales/receipts", receipt(&shop, customer, "2500"))
        .await
        .expect(201)
        .body;
    assert_eq!(
        (&paid["number"], &paid["allocated"], &paid["unallocated"]),
        (&json!("RCT/26-27/0001"), &json!("2500.00"), &json!("0.00"))
    );
    assert_eq!(
        (
            &paid["allocations"][0]["invoice_id"],
            &paid["allocations"][1]["amount"]
        ),
        (&json!(first), &json!("500.00"))
    );
    let (one, two) = (invoice(&shop, &first).await, invoice(&shop, &second).await);
    assert_eq!(
        (
            &one["payment_status"],
            &one["open"],
            &one["status"],
            &one["total"]
        ),
        (
            &json!("paid"),
            &json!("0.00"),
            &json!("issued"),
            &json!("2000.00")
        )
    );
    assert_eq!(
        (&two["payment_status"], &two["open"]),
        (&json!("partially_paid"), &json!("2500.00"))
    );
    let more = shop
        .owner
        .post("/api/v1/sales/receipts", receipt(&shop, customer, "3000"))
        .await
        .expect(201)
        .body;
    assert_eq!(more["unallocated"], "500.00");
    assert_eq!(shop.account(customer).await, sums("0.00", "0.00", "500.00"));
    // The advance is used by the next invoice, and what is left of it is given back.
    let third = owing(&shop, customer, service, "1").await;
    let path = format!(
        "/api/v1/sales/receipts/{}",
        more["receipt_id"].as_str().unwrap()
    );
    let chosen = json!({ "allocations": [{ "invoice_id": third, "amount": "400" }] });
    shop.owner
        .post(&format!("{path}/allocations"), chosen)
        .await
        .expect(201);
    let back = json!({ "method": "upi", "amount": "100.01", "reason": "asked for it" });
    let refused = shop
        .owner
        .post(&format!("{path}:refund"), back)
        .await
        .expect(422);
    assert_eq!(
        (refused.code(), refused.text_at("unallocated").as_str()),
        ("EXCEEDS_RECEIPT", "100.00")
    );
    let back = json!({ "method": "upi", "amount": "100", "reason": "asked for it" });
    let now = shop
        .owner
        .post(&format!("{path}:refund"), back)
        .await
        .expect(200)
        .body;
    assert_eq!(
        (&now["unallocated"], &now["version"]),
        (&json!("0.00"), &json!(3))
    );
    assert_eq!(shop.account(customer).await, sums("600.00", "0.00", "0.00"));
    let said = shop.said("payment.captured").await;
    assert_eq!(
        (
            &said[1]["amount"],
            &said[1]["allocations"][0]["amount"],
            &said[1]["unallocated"]
        ),
        (&json!("3000.00"), &json!("2500.00"), &json!("500.00"))
    );
    assert_eq!(shop.said("payment.refunded").await[0]["amount"], "100.00");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_allocated_than_is_left_however_many_try() {
    let shop = Shop::without_stock().await;
    let service = service(&shop).await;
    let customer = shop.customer(Some("50000")).await;
    let invoice_id = owing(&shop, customer, service, "5").await;
    let mut advance = receipt(&shop, customer, "1000");
    advance["allocate"] = json!("none");
    let made = shop
        .owner
        .post("/api/v1/sales/receipts", advance)
        .await
        .expect(201);
    let path = format!(
        "/api/v1/sales/receipts/{}/allocations",
        made.text_at("receipt_id")
    );
    let part = json!({ "allocations": [{ "invoice_id": invoice_id, "amount": "300" }] });
    let replies = join_all((0..10).map(|_| shop.owner.post(&path, part.clone()))).await;
    assert_eq!(replies.iter().filter(|r| r.status == 201).count(), 3);
    assert!(
        replies
            .iter()
            .filter(|r| r.status != 201)
            .all(|r| r.code() == "EXCEEDS_RECEIPT")
    );
    // And receipts for the whole at once pay it once.
    let whole = |_| async {
        let mut body = receipt(&shop, customer, "4100");
        body["allocations"] = json!([{ "invoice_id": invoice_id, "amount": "4100" }]);
        shop.owner.post("/api/v1/sales/receipts", body).await
    };
    let replies = join_all((0..5).map(whole)).await;
    assert_eq!(replies.iter().filter(|r| r.status == 201).count(), 1);
    assert!(
        replies
            .iter()
            .filter(|r| r.status != 201)
            .all(|r| r.code() == "EXCEEDS_OPEN")
    );
    // The table refuses it too.
    let admin = shop.sales.admin().await;
    for mutant in [
        "update invoice set paid = paid + 0.01, version = version + 1",
        "update receipt set allocated = amount + 0.01, version = version + 1",
        "update receipt set amount = amount + 1, version = version + 1",
        "delete from receipt",
        "update receipt_allocation set amount = amount + 1",
        "update account_entry set dues = dues + 1",
        "delete from account_entry",
    ] {
        assert!(admin.batch_execute(mutant).await.is_err(), "{mutant}");
    }
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounced_cheque_is_owed_again_and_cash_goes_through_the_drawer() {
    let shop = Shop::without_stock().await;
    let service = service(&shop).await;
    let customer = shop.customer(Some("3000")).await;
    let id = owing(&shop, customer, service, "3").await;
    let mut cheque = receipt(&shop, customer, "3000");
    cheque["method"] = json!("cheque");
    let paid = shop
        .owner
        .post("/api/v1/sales/receipts", cheque)
        .await
        .expect(201);
    // The credit is used anew in the meantime; the bounce exceeds the limit, for it is a fact.
    owing(&shop, customer, service, "1").await;
    let path = format!(
        "/api/v1/sales/receipts/{}:reverse",
        paid.text_at("receipt_id")
    );
    let reversal = json!({ "reason": "bounced" });
    let clerk = shop.cashier(&["sales.receipt.write"]);
    clerk.post(&path, reversal.clone()).await.expect(403);
    let now = shop
        .owner
        .post(&path, reversal.clone())
        .await
        .expect(200)
        .body;
    assert_eq!(
        (&now["status"], &now["unallocated"]),
        (&json!("reversed"), &json!("0.00"))
    );
    let refused = shop.owner.post(&path, reversal).await.expect(409);
    assert_eq!(refused.code(), "RECEIPT_REVERSED");
    assert_eq!(
        shop.account(customer).await,
        sums("4000.00", "0.00", "0.00")
    );
    let seen = invoice(&shop, &id).await;
    assert_eq!(
        (&seen["payment_status"], &seen["open"]),
        (&json!("unpaid"), &json!("3000.00"))
    );
    assert_eq!(
        shop.said("payment.reversed").await[0]["allocations"][0]["amount"],
        "3000.00"
    );

    let session = shop.session().await;
    let till = json!({ "customer_id": customer, "session_id": session, "method": "cash", "amount": "500" });
    let taken = shop
        .owner
        .post("/api/v1/sales/receipts", till.clone())
        .await
        .expect(201);
    let mut with_cheque = till;
    with_cheque["method"] = json!("cheque");
    shop.owner
        .post("/api/v1/sales/receipts", with_cheque)
        .await
        .expect(400);
    let report = async || {
        let path = format!("/api/v1/pos/sessions/{session}/x-report");
        shop.owner.get(&path).await.expect(200).body
    };
    let open = report().await;
    assert_eq!(
        (
            &open["expected_cash"],
            &open["receipts"],
            &open["collected"],
            &open["sales"]
        ),
        (&json!("1500.00"), &json!(1), &json!("500.00"), &json!(0))
    );
    let path = format!(
        "/api/v1/sales/receipts/{}:reverse",
        taken.text_at("receipt_id")
    );
    shop.owner
        .post(&path, json!({ "reason": "mistyped" }))
        .await
        .expect(400);
    let from_drawer = json!({ "reason": "mistyped", "session_id": session });
    shop.owner.post(&path, from_drawer).await.expect(200);
    let open = report().await;
    assert_eq!(
        (&open["expected_cash"], &open["repaid"]),
        (&json!("1000.00"), &json!("500.00"))
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_without_an_account_pays_his_invoice_whole_and_nobody_elses() {
    let shop = Shop::without_stock().await;
    let service = service(&shop).await;
    let customer = shop.customer(Some("5000")).await;
    let theirs = owing(&shop, customer, service, "1").await;
    let body = json!({ "buyer": { "name": "Anil", "phone": "9820098201" },
        "lines": [{ "product_id": service, "qty": "1" }] });
    let his = shop
        .sell_from_office(body)
        .await
        .expect(201)
        .text_at("invoice_id");
    let pay = |invoice: &str, amount: &str, allocated: &str| {
        json!({ "location_id": shop.location, "method": "upi", "amount": amount,
            "allocations": [{ "invoice_id": invoice, "amount": allocated }] })
    };
    let post = |body: Value| async { shop.owner.post("/api/v1/sales/receipts", body).await };
    assert_eq!(
        post(pay(&his, "1001", "1000")).await.expect(422).code(),
        "RECEIPT_NEEDS_CUSTOMER"
    );
    assert_eq!(
        post(pay(&theirs, "1000", "1000")).await.expect(422).code(),
        "OTHER_CUSTOMER"
    );
    let nobody = uuid::Uuid::now_v7().to_string();
    post(pay(&nobody, "1000", "1000")).await.expect(404);
    let owed = shop.owner.get("/api/v1/sales/dues").await.expect(200).body;
    assert_eq!(
        (&owed["total"], &owed["totals"]["dues"]),
        (&json!(2), &json!("2000.00"))
    );
    post(pay(&his, "1000", "1000")).await.expect(201);
    assert_eq!(invoice(&shop, &his).await["payment_status"], "paid");
    let other = shop.next_tenant().await;
    let body = json!({ "location_id": other.location, "method": "upi", "amount": "1000",
        "allocations": [{ "invoice_id": theirs, "amount": "1000" }] });
    other
        .owner
        .post("/api/v1/sales/receipts", body)
        .await
        .expect(404);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dues_age_by_due_date_and_the_past_stays_as_it_was() {
    let shop = Shop::without_stock().await;
    let service = service(&shop).await;
    let customer = shop.customer(Some("90000")).await;
    // Sold on 5 November, due on 5 December.
    let first = owing(&shop, customer, service, "2").await;
    let day = 86_400;
    shop.later(40 * day); // 15 December
    owing(&shop, customer, service, "3").await;
    let dues = async |query: &str| {
        let path = format!("/api/v1/sales/dues?{query}");
        shop.owner.get(&path).await.expect(200).body
    };
    let ages = |body: &Value| body["items"][0]["ages"].clone();
    let then = dues("as_of=2026-12-15").await;
    assert_eq!(
        ages(&then),
        json!({ "not_due": "3000.00", "0-30": "2000.00", "31-60": "0.00", "61-90": "0.00", "90+": "0.00" })
    );
    assert_eq!(
        (&then["items"][0]["is_overdue"], &then["totals"]["overdue"]),
        (&json!(true), &json!("2000.00"))
    );
    shop.later(100 * day); // 25 March
    let mut body = receipt(&shop, customer, "1500");
    body["allocations"] = json!([{ "invoice_id": first, "amount": "1500" }]);
    shop.owner
        .post("/api/v1/sales/receipts", body)
        .await
        .expect(201);
    let now = dues("").await;
    assert_eq!(
        ages(&now),
        json!({ "not_due": "0.00", "0-30": "0.00", "31-60": "0.00", "61-90": "3000.00", "90+": "500.00" })
    );
    assert_eq!(dues("as_of=2026-12-15").await, then);
    assert_eq!(dues("as_of=2026-11-04").await["total"], 0);
    assert_eq!(dues("bucket=90%2B").await["total"], 1);
    assert_eq!(dues("bucket=0-30").await["total"], 0);
    shop.owner
        .get("/api/v1/sales/dues?bucket=old")
        .await
        .expect(400);
    let path = format!("/api/v1/sales/customers/{customer}/open-items");
    let items = shop
        .owner
        .get(&format!("{path}?limit=1"))
        .await
        .expect(200)
        .body;
    assert_eq!(
        (
            &items["total"],
            &items["items"][0]["open"],
            &items["items"][0]["due_date"],
            &items["items"][0]["bucket"]
        ),
        (
            &json!(2),
            &json!("500.00"),
            &json!("2026-12-05"),
            &json!("90+")
        )
    );
    let cursor = items["next_cursor"].as_str().unwrap();
    let next = shop
        .owner
        .get(&format!("{path}?cursor={cursor}"))
        .await
        .expect(200)
        .body;
    assert_eq!(next["items"][0]["open"], "3000.00");
    let csv = shop
        .owner
        .get(&format!("{path}.csv?as_of=2026-12-15"))
        .await
        .expect(200)
        .text;
    assert_eq!(
        csv,
        "number,date,due_date,days,overdue,reference,total,open\r\n\
         INV/26-27/0001,2026-11-05,2026-12-05,10,true,,2000.00,2000.00\r\n\
         INV/26-27/0002,2026-12-15,2027-01-14,-30,false,,3000.00,3000.00\r\n"
    );
    shop.next_tenant().await.owner.get(&path).await.expect(404);
}
