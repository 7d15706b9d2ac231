//! Returns.

use bahi_types::{InvoiceId, ProductId};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::Shop;

struct Sold {
    shop: Shop,
    goods: ProductId,
    session: String,
    invoice: Value,
}

impl Sold {
    /// Ten pieces at 10.00, sold for cash.
    async fn ten() -> Self {
        let shop = Shop::open().await;
        let goods = shop.goods("10").await;
        let session = shop.session().await;
        let invoice = shop
            .sell(shop.basket(&session, &[(goods, "10")], "100"))
            .await
            .expect(201)
            .body;
        Self {
            shop,
            goods,
            session,
            invoice,
        }
    }

    async fn back(&self, qty: &str, refund: Value) -> bahi_testkit::Reply {
        let body = json!({
            "original_invoice_id": self.invoice["invoice_id"], "session_id": self.session,
            "lines": [{ "original_line": 1, "qty": qty }], "refund_tenders": refund,
        });
        self.shop.owner.post("/api/v1/sales/returns", body).await
    }
}

fn cash(amount: &str) -> Value {
    json!([{ "method": "cash", "amount": amount }])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_comes_back_than_was_sold_however_many_try() {
    let sold = Sold::ten().await;
    let replies = join_all((0..10).map(|_| sold.back("3", cash("30.00")))).await;
    assert_eq!(replies.iter().filter(|r| r.status == 201).count(), 3);
    for refused in replies.iter().filter(|r| r.status != 201) {
        assert_eq!((refused.status, refused.code()), (422, "EXCEEDS_SOLD"));
    }
    let refused = sold.back("2", cash("20.00")).await.expect(422);
    assert_eq!(
        (&refused.body["line"], &refused.body["left"]),
        (&json!(1), &json!("1"))
    );
    sold.back("1", cash("10.00")).await.expect(201);
    let path = format!(
        "/api/v1/sales/invoices/{}",
        sold.invoice["invoice_id"].as_str().unwrap()
    );
    let now = sold.shop.owner.get(&path).await.expect(200).body;
    assert_eq!(
        (&now["status"], &now["version"], &now["returned"]),
        (&json!("credited_fully"), &json!(5), &json!("100.00"))
    );
    sold.shop.relay().await;
    sold.shop.assert_stock(sold.goods, ("10", "0", "10")).await;
    sold.shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_is_the_invoices_event_and_cannot_overtake_it() {
    let sold = Sold::ten().await;
    sold.back("4", cash("40.00")).await.expect(201);
    let events = sold.shop.sales.events().await;
    let of_invoice: Vec<_> = events
        .iter()
        .filter(|e| sold.invoice["invoice_id"] == e.aggregate_id.as_str())
        .map(|e| (e.event_type.as_str(), e.aggregate_version))
        .collect();
    assert_eq!(of_invoice, [("invoice.issued", 1), ("return.processed", 2)]);
    sold.shop.relay().await;
    sold.shop.assert_stock(sold.goods, ("4", "0", "4")).await;
    let report = sold
        .shop
        .owner
        .get(&format!("/api/v1/pos/sessions/{}/x-report", sold.session))
        .await
        .expect(200)
        .body;
    // 1,000 float + 100 sold - 40 refunded.
    assert_eq!(
        (&report["expected_cash"], &report["returns"]),
        (&json!("1060.00"), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refund_is_exactly_what_is_due_and_of_what_was_paid() {
    let sold = Sold::ten().await;
    let refused = sold.back("1", cash("9.99")).await.expect(422);
    assert_eq!(
        (refused.code(), &refused.body["total"]),
        ("REFUND_MISMATCH", &json!("10.00"))
    );
    let credit = json!([{ "method": "credit", "amount": "10" }]);
    assert_eq!(
        sold.back("1", credit).await.expect(422).code(),
        "REFUND_EXCEEDS_PAID"
    );
    let line = json!([{ "original_line": 2, "qty": "1" }]);
    let body = json!({ "original_invoice_id": sold.invoice["invoice_id"], "lines": line, "refund_tenders": cash("1") });
    assert_eq!(
        sold.shop
            .owner
            .post("/api/v1/sales/returns", body)
            .await
            .expect(422)
            .code(),
        "NO_SUCH_LINE"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rounded_bill_is_refunded_to_the_rupee_and_in_all_to_its_total() {
    let shop = Shop::without_stock().await;
    let till = bahi_types::TillId::new();
    shop.add_till(till, "R1", true).await;
    let session = shop.open_till(till, "0").await;
    let service = shop
        .product_of_kind("WASH", "33.40", true, bahi_events::ProductKind::Service)
        .await;
    let sold = shop
        .sell(shop.basket(&session, &[(service, "3")], "100"))
        .await
        .expect(201)
        .body;
    assert_eq!(
        (&sold["round_off"], &sold["total"]),
        (&json!("-0.20"), &json!("100.00"))
    );
    let mut refunds = Vec::new();
    for due in ["33.00", "34.00", "33.00"] {
        let body = json!({ "original_invoice_id": sold["invoice_id"], "session_id": session,
            "lines": [{ "original_line": 1, "qty": "1" }], "refund_tenders": cash(due) });
        let note = shop
            .owner
            .post("/api/v1/sales/returns", body)
            .await
            .expect(201)
            .body;
        refunds.push(note["round_off"].as_str().unwrap().to_owned());
    }
    assert_eq!(refunds, ["-0.40", "0.60", "-0.40"]);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_is_made_once_under_one_key() {
    let sold = Sold::ten().await;
    let body = json!({ "original_invoice_id": sold.invoice["invoice_id"], "session_id": sold.session,
        "lines": [{ "original_line": 1, "qty": "2" }], "refund_tenders": cash("20") });
    let post = || {
        sold.shop
            .owner
            .post_with_key("/api/v1/sales/returns", body.clone(), "k")
    };
    let replies = join_all((0..20).map(|_| post())).await;
    assert!(
        replies
            .iter()
            .all(|r| r.status == 201 && r.body == replies[0].body),
        "{:?}",
        replies[0]
    );
    let mut other = body.clone();
    other["reason"] = json!("another");
    let refused = sold
        .shop
        .owner
        .post_with_key("/api/v1/sales/returns", other, "k")
        .await
        .expect(422);
    assert_eq!(refused.code(), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(sold.shop.said("return.processed").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_bill_it_takes_a_permission_and_its_own_series() {
    let shop = Shop::open().await;
    let goods = shop.goods("0").await;
    let session = shop.session().await;
    let body = |disposition: &str, refund: &str| {
        json!({ "session_id": session, "reason": "no bill",
            "lines": [{ "product_id": goods, "qty": "2", "disposition": disposition }], "refund_tenders": cash(refund) })
    };
    let clerk = shop.cashier(&["sales.return.write"]);
    let refused = clerk
        .post("/api/v1/sales/returns", body("restock", "20"))
        .await
        .expect(403);
    assert_eq!(refused.text_at("permission"), "sales.return.unbilled");
    assert_eq!(
        shop.owner
            .post("/api/v1/sales/returns", body("restock", "19"))
            .await
            .expect(422)
            .code(),
        "REFUND_MISMATCH"
    );
    let note = shop
        .owner
        .post("/api/v1/sales/returns", body("restock", "20"))
        .await
        .expect(201)
        .body;
    assert_eq!(
        (&note["number"], &note["original_invoice_id"]),
        (&json!("RTN/26-27/0001"), &Value::Null)
    );
    shop.owner
        .post("/api/v1/sales/returns", body("scrap", "20"))
        .await
        .expect(201);
    assert_eq!(
        shop.said("audit.recorded").await[0]["action"],
        "sales.return.unbilled"
    );
    shop.relay().await;
    shop.assert_stock(goods, ("2", "0", "2")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cash_refund_needs_the_cash() {
    let shop = Shop::without_stock().await;
    let service = shop.service().await;
    let session = shop.open_till(shop.till, "0").await;
    let body = json!({ "session_id": session, "lines": [{ "product_id": service, "qty": "1" }],
        "tenders": [{ "method": "upi", "amount": "118" }] });
    let sold = shop.sell(body).await.expect(201).body;
    let back = json!({ "original_invoice_id": sold["invoice_id"], "session_id": session,
        "lines": [{ "original_line": 1, "qty": "1" }], "refund_tenders": cash("118") });
    assert_eq!(
        shop.owner
            .post("/api/v1/sales/returns", back)
            .await
            .expect(422)
            .code(),
        "DRAWER_SHORT"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn returns_are_found_by_their_invoice() {
    let sold = Sold::ten().await;
    let note = sold.back("1", cash("10")).await.expect(201).body;
    let id = note["credit_note_id"].as_str().unwrap();
    let found = sold
        .shop
        .owner
        .get(&format!("/api/v1/sales/returns/{id}"))
        .await
        .expect(200)
        .body;
    assert_eq!(found, note);
    let list = async |query: String| {
        sold.shop
            .owner
            .get(&format!("/api/v1/sales/returns?{query}"))
            .await
    };
    let of_invoice = list(format!(
        "original_invoice_id={}",
        sold.invoice["invoice_id"].as_str().unwrap()
    ))
    .await
    .body;
    assert_eq!(
        (&of_invoice["total"], &of_invoice["items"][0]["number"]),
        (&json!(1), &json!("CRN/26-27/0001"))
    );
    assert_eq!(
        list(format!("original_invoice_id={}", InvoiceId::new()))
            .await
            .body["total"],
        0
    );
    assert_eq!(list("number=crn/26-27/0001".into()).await.body["total"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_issued_cannot_be_changed_in_the_database_either() {
    let sold = Sold::ten().await;
    sold.back("1", cash("10")).await.expect(201);
    let admin = sold.shop.sales.admin().await;
    for mutant in [
        "update invoice set total = total + 1, round_off = round_off + 1, version = version + 1",
        "update invoice set gstin_buyer = '27AAJCS5738D1Z6', kind = 'B2B', version = version + 1",
        "update invoice set returned = 0, version = version + 1",
        "update invoice_line set rate = 18",
        "update invoice_line set returned_qty = 0",
        "update invoice_line set returned_qty = qty",
        "update invoice_line set returned_qty = qty + 1",
        "delete from invoice_line",
        "delete from invoice",
        "update invoice_tender set amount = amount + 1",
        "update credit_note set total = 0",
        "update reservation_decision set decision = 'void', request_hash = null",
        "delete from reservation_decision",
    ] {
        assert!(admin.batch_execute(mutant).await.is_err(), "{mutant}");
    }
}
