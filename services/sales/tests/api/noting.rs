//! Credit and debit notes on prices.

use bahi_events::ProductKind;
use bahi_testkit::Reply;
use serde_json::{Value, json};

use crate::support::Shop;

struct Sold {
    shop: Shop,
    invoice: Value,
    customer: bahi_types::CustomerId,
}

impl Sold {
    /// Ten at 118.00 with 18 % inside, on credit, to the paisa or the rupee.
    async fn ten(price: &str, round: bool) -> Self {
        let shop = Shop::without_stock().await;
        let service = shop
            .product_of_kind("S", price, true, ProductKind::Service)
            .await;
        let customer = shop.customer(Some("5000")).await;
        let body = json!({ "customer_id": customer, "round_to_rupee": round,
            "lines": [{ "product_id": service, "qty": "10" }] });
        let invoice = shop.sell_from_office(body).await.expect(201).body;
        Self {
            shop,
            invoice,
            customer,
        }
    }

    async fn note(&self, kind: &str, amount: &str, more: Value) -> Reply {
        let mut body = json!({ "original_invoice_id": self.invoice["invoice_id"], "reason": "agreed later",
            "lines": [{ "original_line": 1, "amount": amount }] });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        self.shop
            .owner
            .post(&format!("/api/v1/sales/{kind}-notes"), body)
            .await
    }

    async fn back(&self, qty: &str, credit: &str) -> Reply {
        let body = json!({ "original_invoice_id": self.invoice["invoice_id"],
            "lines": [{ "original_line": 1, "qty": qty }],
            "refund_tenders": [{ "method": "credit", "amount": credit }] });
        self.shop.owner.post("/api/v1/sales/returns", body).await
    }

    async fn dues(&self) -> String {
        self.shop.account(self.customer).await.0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credit_note_lowers_the_price_at_the_rate_of_the_invoice_and_what_is_owed() {
    let sold = Sold::ten("118", false).await;
    let note = sold.note("credit", "59", json!({})).await.expect(201).body;
    assert_eq!(
        (
            &note["number"],
            &note["taxable"],
            &note["cgst"],
            &note["total"],
            &note["lines"][0]["rate"]
        ),
        (
            &json!("PCN/26-27/0001"),
            &json!("50.00"),
            &json!("4.50"),
            &json!("59.00"),
            &json!("18")
        )
    );
    assert_eq!(sold.dues().await, "1121.00");
    let refused = sold.note("credit", "1121.01", json!({})).await.expect(422);
    assert_eq!(
        (refused.code(), refused.text_at("left").as_str()),
        ("EXCEEDS_LINE", "1121.00")
    );
    let said = sold.shop.said("invoice.credited").await.remove(0);
    assert_eq!(
        (&said["tax"]["sgst"], &said["reason"]),
        (&json!("4.50"), &json!("agreed later"))
    );
    let path = format!(
        "/api/v1/sales/credit-notes/{}",
        note["note_id"].as_str().unwrap()
    );
    assert_eq!(sold.shop.owner.get(&path).await.expect(200).body, note);
    sold.shop
        .owner
        .get(&path.replace("credit", "debit"))
        .await
        .expect(404);
    sold.shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_and_returns_give_back_exactly_the_line_when_all_is_back() {
    let sold = Sold::ten("118", false).await;
    sold.back("3", "354").await.expect(201);
    // 7 are left, 826.00; less 100.00 of it they are 103.71 each, one of them 103.74.
    sold.note("credit", "100", json!({})).await.expect(201);
    sold.back("2", "207.43").await.expect(201);
    sold.note("credit", "0.55", json!({})).await.expect(201);
    let refused = sold.back("5", "518.57").await.expect(422);
    assert_eq!(refused.text_at("total"), "518.02");
    sold.back("5", "518.02").await.expect(201);
    assert_eq!(sold.dues().await, "0.00");
    let path = format!(
        "/api/v1/sales/invoices/{}",
        sold.invoice["invoice_id"].as_str().unwrap()
    );
    let now = sold.shop.owner.get(&path).await.expect(200).body;
    assert_eq!(
        (
            &now["status"],
            &now["returned"],
            &now["credited"],
            &now["payment_status"]
        ),
        (
            &json!("credited_fully"),
            &json!("1079.45"),
            &json!("100.55"),
            &json!("paid")
        )
    );
    sold.shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rounded_invoice_is_credited_in_whole_rupees_and_in_all_to_its_total() {
    // 10 x 33.36 = 333.60, payable 334.00.
    let sold = Sold::ten("33.36", true).await;
    assert_eq!(sold.invoice["total"], "334.00");
    let note = sold
        .note("credit", "10.30", json!({}))
        .await
        .expect(201)
        .body;
    assert_eq!(
        (&note["total"], &note["round_off"]),
        (&json!("10.00"), &json!("-0.30"))
    );
    // 10.30 + 161.65 = 171.95 in all.
    sold.back("5", "162").await.expect(201);
    let note = sold
        .note("credit", "161.65", json!({}))
        .await
        .expect(201)
        .body;
    assert_eq!(note["total"], "162.00");
    assert_eq!(sold.dues().await, "0.00");
    sold.shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credit_note_is_settled_within_what_is_owed_and_what_was_paid() {
    let sold = Sold::ten("118", false).await;
    let paid = json!({ "customer_id": sold.customer, "location_id": sold.shop.location, "method": "upi", "amount": "1100" });
    sold.shop
        .owner
        .post("/api/v1/sales/receipts", paid)
        .await
        .expect(201);
    // 80.00 are owed.
    let refused = sold.note("credit", "118", json!({})).await.expect(422);
    assert_eq!(
        (refused.code(), refused.text_at("left").as_str()),
        ("REFUND_EXCEEDS_PAID", "80.00")
    );
    let session = sold.shop.session().await;
    let split = json!({ "session_id": session, "refund_tenders": [
        { "method": "credit", "amount": "80" }, { "method": "cash", "amount": "38" }] });
    sold.note("credit", "118", split).await.expect(201);
    assert_eq!(sold.dues().await, "0.00");
    let path = format!("/api/v1/pos/sessions/{session}/x-report");
    let report = sold.shop.owner.get(&path).await.expect(200).body;
    assert_eq!(
        (&report["expected_cash"], &report["repaid"]),
        (&json!("962.00"), &json!("38.00"))
    );
    sold.shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_debit_note_is_owed_within_the_credit_limit_and_comes_back_with_the_goods() {
    let sold = Sold::ten("118", false).await;
    let refused = sold.note("debit", "3820.01", json!({})).await.expect(409);
    assert_eq!(refused.code(), "CREDIT_LIMIT_EXCEEDED");
    let note = sold.note("debit", "118", json!({})).await.expect(201).body;
    assert_eq!(
        (
            &note["number"],
            &note["taxable"],
            &note["cgst"],
            &note["total"]
        ),
        (
            &json!("DBN/26-27/0001"),
            &json!("100.00"),
            &json!("9.00"),
            &json!("118.00")
        )
    );
    assert_eq!(sold.dues().await, "1298.00");
    sold.back("10", "1298").await.expect(201);
    assert_eq!(sold.dues().await, "0.00");
    assert_eq!(
        sold.note("debit", "1", json!({})).await.expect(422).code(),
        "LINE_RETURNED"
    );
    assert_eq!(sold.shop.said("invoice.debited").await.len(), 1);
    sold.shop.assert_sound().await;
}
