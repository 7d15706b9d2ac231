//! Cancelled and edited invoices, and what is told of them.

use bahi_events::ProductKind;
use bahi_testkit::Reply;
use bahi_types::ProductId;
use serde_json::{Value, json};

use crate::support::{Shop, feed};

async fn cancel(shop: &Shop, invoice: &Value, body: Value) -> Reply {
    let id = invoice["invoice_id"].as_str().unwrap();
    let path = format!("/api/v1/sales/invoices/{id}:cancel");
    shop.owner.post(&path, body).await
}

fn refund(amount: &str) -> Value {
    json!({ "reason_code": "data_entry", "refund_tenders": [{ "method": "cash", "amount": amount }] })
}

async fn sold(shop: &Shop, session: &str, goods: ProductId, qty: &str) -> Value {
    let cash = (qty.parse::<i64>().unwrap() * 10).to_string();
    shop.sell(shop.basket(session, &[(goods, qty)], &cash))
        .await
        .expect(201)
        .body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_sale_gives_goods_and_money_back_and_keeps_its_number() {
    let shop = Shop::open().await;
    let goods = shop.goods("10").await;
    let session = shop.session().await;
    let kept = sold(&shop, &session, goods, "3").await;
    let gone = sold(&shop, &session, goods, "4").await;
    let refused = cancel(&shop, &gone, refund("39")).await.expect(422);
    assert_eq!(
        (refused.code(), refused.text_at("total").as_str()),
        ("REFUND_MISMATCH", "40.00")
    );
    let mut noted = refund("40");
    noted["note"] = json!("Asha Rao, 98200 98200, wants it on paper");
    let now = cancel(&shop, &gone, noted).await.expect(200).body;
    assert_eq!(
        (
            &now["status"],
            &now["payment_status"],
            &now["number"],
            &now["version"],
            &now["total"]
        ),
        (
            &json!("cancelled"),
            &json!("cancelled"),
            &gone["number"],
            &json!(2),
            &json!("40.00")
        )
    );
    let twice = cancel(&shop, &gone, refund("40")).await.expect(409);
    assert_eq!(twice.code(), "INVOICE_CANCELLED");
    let back = json!({ "original_invoice_id": gone["invoice_id"], "session_id": session,
        "lines": [{ "original_line": 1, "qty": "1" }], "refund_tenders": [{ "method": "cash", "amount": "10" }] });
    let refused = shop
        .owner
        .post("/api/v1/sales/returns", back)
        .await
        .expect(409);
    assert_eq!(refused.code(), "INVOICE_CANCELLED");
    shop.relay().await;
    shop.assert_stock(goods, ("7", "0", "7")).await;
    let path = format!("/api/v1/pos/sessions/{session}/x-report");
    let report = shop.owner.get(&path).await.expect(200).body;
    assert_eq!(
        (
            &report["expected_cash"],
            &report["sales"],
            &report["cancels"],
            &report["cancelled"],
            &report["repaid"]
        ),
        (
            &json!("1030.00"),
            &json!(2),
            &json!(1),
            &json!("40.00"),
            &json!("0.00")
        )
    );
    let said = shop.said("invoice.cancelled").await.remove(0);
    assert_eq!(
        (&said["reason_code"], &said["at"], &said["lines"][0]["qty"]),
        (
            &json!("data_entry"),
            &json!("2026-11-05T06:00:00Z"),
            &json!("4")
        )
    );
    let audited = shop.said("audit.recorded").await;
    assert_eq!(audited[0]["action"], "sales.invoice.cancel");
    assert_eq!(audited[0]["reason"], "data_entry");
    assert!(!audited[0].to_string().contains("Asha"), "{}", audited[0]);
    let next = sold(&shop, &session, goods, "1").await;
    assert_eq!(
        [&kept["number"], &gone["number"], &next["number"]],
        [
            &json!("P1/26-27/0001"),
            &json!("P1/26-27/0002"),
            &json!("P1/26-27/0003")
        ]
    );
    shop.relay().await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_closes_its_own_open_shortage_and_only_the_rest_comes_back() {
    let shop = Shop::open().await;
    let goods = shop.goods("10").await;
    let session = shop.session().await;
    let invoice = sold(&shop, &session, goods, "8").await;
    // Most of the goods are lost before the sale reaches the stock: it opens a shortage of 5.
    let loss = json!({ "location_id": shop.location, "reason": "damage",
        "lines": [{ "product_id": goods, "qty_delta": "-7" }] });
    shop.keeper()
        .post("/api/v1/inventory/adjust", loss)
        .await
        .expect(201);
    shop.relay().await;
    shop.assert_stock(goods, ("0", "0", "0")).await;
    cancel(&shop, &invoice, refund("80")).await.expect(200);
    shop.relay().await;
    // 3 had left and come back; the 5 that were owed are owed no more.
    shop.assert_stock(goods, ("3", "0", "3")).await;
    shop.receive(goods, "5", "6").await;
    shop.assert_stock(goods, ("8", "0", "8")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_comes_in_one_batch_with_its_issue_or_again_moves_stock_once() {
    let shop = Shop::open().await;
    let goods = shop.goods("10").await;
    let session = shop.session().await;
    let invoice = sold(&shop, &session, goods, "4").await;
    cancel(&shop, &invoice, refund("40")).await.expect(200);
    // The relay of the test feeds each slice twice.
    shop.relay().await;
    let again: Vec<_> = shop.sales.events().await;
    let again: Vec<_> = again
        .into_iter()
        .filter(|e| e.event_type == "invoice.cancelled")
        .map(|e| bahi_events::Envelope {
            event_id: uuid::Uuid::now_v7(),
            ..e
        })
        .collect();
    feed(inventory::app(), shop.stock.as_ref().unwrap(), &again).await;
    shop.assert_stock(goods, ("10", "0", "10")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_cancelled_in_time_with_its_session_open_and_nothing_back() {
    let shop = Shop::open().await;
    let goods = shop.goods("10").await;
    let session = shop.session().await;
    let [late, returned, closed] = [
        sold(&shop, &session, goods, "1").await,
        sold(&shop, &session, goods, "2").await,
        sold(&shop, &session, goods, "1").await,
    ];
    let back = json!({ "original_invoice_id": returned["invoice_id"], "session_id": session,
        "lines": [{ "original_line": 1, "qty": "1" }], "refund_tenders": [{ "method": "cash", "amount": "10" }] });
    shop.owner
        .post("/api/v1/sales/returns", back)
        .await
        .expect(201);
    let refused = cancel(&shop, &returned, refund("10")).await.expect(409);
    assert_eq!(refused.code(), "INVOICE_CREDITED");
    let credit = json!({ "reason_code": "other", "note": "x", "refund_tenders": [{ "method": "credit", "amount": "10" }] });
    cancel(&shop, &closed, credit).await.expect(400);
    cancel(&shop, &closed, json!({ "reason_code": "other" }))
        .await
        .expect(400);
    let clerk = shop.cashier(&["sales.invoice.write"]);
    let path = format!(
        "/api/v1/sales/invoices/{}:cancel",
        closed["invoice_id"].as_str().unwrap()
    );
    clerk.post(&path, refund("10")).await.expect(403);
    shop.next_tenant()
        .await
        .owner
        .post(&path, refund("10"))
        .await
        .expect(404);
    let close = json!({ "counted": [{ "method": "cash", "amount": "1030" }], "retained": "1000" });
    let path = format!("/api/v1/pos/sessions/{session}:close");
    shop.owner.post(&path, close).await.expect(200);
    let refused = cancel(&shop, &closed, refund("10")).await.expect(409);
    assert_eq!(refused.code(), "SESSION_CLOSED");
    shop.later(86_400);
    let refused = cancel(&shop, &late, refund("10")).await.expect(409);
    assert_eq!(refused.code(), "CANCEL_TOO_LATE");
    shop.relay().await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_receipts_paid_is_refunded_in_the_same_call_and_the_rest_is_owed_no_more() {
    let shop = Shop::without_stock().await;
    let service = shop
        .product_of_kind("S", "100", true, ProductKind::Service)
        .await;
    let customer = shop.customer(Some("1000")).await;
    let body = json!({ "customer_id": customer, "lines": [{ "product_id": service, "qty": "5" }],
        "tenders": [{ "method": "upi", "amount": "100" }, { "method": "credit", "amount": "400" }] });
    let invoice = shop.sell_from_office(body).await.expect(201).body;
    let paid = json!({ "customer_id": customer, "location_id": shop.location, "method": "upi", "amount": "150" });
    shop.owner
        .post("/api/v1/sales/receipts", paid)
        .await
        .expect(201);
    let upi = |amount: &str| json!({ "reason_code": "order_cancelled", "refund_tenders": [{ "method": "upi", "amount": amount }] });
    let refused = cancel(&shop, &invoice, upi("100")).await.expect(422);
    assert_eq!(refused.text_at("total"), "250.00");
    cancel(&shop, &invoice, upi("250")).await.expect(200);
    assert_eq!(shop.account(customer).await.0, "0.00");
    assert_eq!(
        shop.said("invoice.cancelled").await[0]["credited"],
        "250.00"
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_not_fiscal_is_edited_and_the_timeline_tells_all() {
    let shop = Shop::without_stock().await;
    let service = shop
        .product_of_kind("S", "100", true, ProductKind::Service)
        .await;
    let customer = shop.customer(Some("1000")).await;
    let body = json!({ "customer_id": customer, "lines": [{ "product_id": service, "qty": "5" }] });
    let invoice = shop.sell_from_office(body).await.expect(201).body;
    let path = format!(
        "/api/v1/sales/invoices/{}",
        invoice["invoice_id"].as_str().unwrap()
    );
    let refused = shop
        .owner
        .patch(&path, json!({ "note": "x", "total": "1" }), 1)
        .await
        .expect(422);
    assert_eq!(
        (refused.code(), refused.text_at("field").as_str()),
        ("FISCAL_FIELD", "total")
    );
    shop.owner
        .patch(&path, json!({ "colour": "red" }), 1)
        .await
        .expect(400);
    shop.later(1);
    let edit = json!({ "reference": "PO 7", "delivery_contact": "Anil, 98200" });
    let edited = shop
        .owner
        .patch(&path, edit.clone(), 1)
        .await
        .expect(200)
        .body;
    assert_eq!(
        (&edited["reference"], &edited["version"]),
        (&json!("PO 7"), &json!(2))
    );
    shop.owner.patch(&path, edit.clone(), 1).await.expect(412);
    shop.owner.patch(&path, edit, 2).await.expect(200);
    let said = shop.said("invoice.edited").await;
    assert_eq!(said.len(), 1);
    assert_eq!(
        said[0]["changed_fields"],
        json!(["delivery_contact", "reference"])
    );
    shop.later(1);
    let paid = json!({ "customer_id": customer, "location_id": shop.location, "method": "upi", "amount": "150" });
    let receipt = shop
        .owner
        .post("/api/v1/sales/receipts", paid)
        .await
        .expect(201);
    shop.later(1);
    let back = json!({ "original_invoice_id": invoice["invoice_id"], "lines": [{ "original_line": 1, "qty": "1" }],
        "refund_tenders": [{ "method": "credit", "amount": "100" }] });
    shop.owner
        .post("/api/v1/sales/returns", back)
        .await
        .expect(201);
    shop.later(1);
    let note = json!({ "original_invoice_id": invoice["invoice_id"], "reason": "late",
        "lines": [{ "original_line": 1, "amount": "10" }] });
    shop.owner
        .post("/api/v1/sales/credit-notes", note.clone())
        .await
        .expect(201);
    shop.later(1);
    shop.owner
        .post("/api/v1/sales/debit-notes", note)
        .await
        .expect(201);
    shop.later(1);
    let reverse = format!(
        "/api/v1/sales/receipts/{}:reverse",
        receipt.text_at("receipt_id")
    );
    shop.owner
        .post(&reverse, json!({ "reason": "bounced" }))
        .await
        .expect(200);
    let timeline = shop
        .owner
        .get(&format!("{path}/timeline"))
        .await
        .expect(200)
        .body;
    let of = |name: &str| -> Vec<String> {
        let items = timeline["items"].as_array().unwrap();
        items
            .iter()
            .map(|i| i[name].as_str().unwrap_or("-").to_owned())
            .collect()
    };
    assert_eq!(
        of("what"),
        [
            "issued",
            "edited",
            "paid",
            "returned",
            "credit_noted",
            "debit_noted",
            "payment_reversed"
        ]
    );
    assert_eq!(
        of("amount"),
        [
            "500.00", "-", "150.00", "100.00", "10.00", "10.00", "150.00"
        ]
    );
    let first = shop
        .owner
        .get(&format!("{path}/timeline?limit=2"))
        .await
        .expect(200)
        .body;
    let cursor = first["next_cursor"].as_str().unwrap();
    let next = shop
        .owner
        .get(&format!("{path}/timeline?cursor={cursor}"))
        .await
        .expect(200)
        .body;
    assert_eq!(
        (&next["items"][0]["what"], &next["total"]),
        (&json!("paid"), &json!(7))
    );
    shop.next_tenant()
        .await
        .owner
        .get(&format!("{path}/timeline"))
        .await
        .expect(404);
    shop.assert_sound().await;
}
