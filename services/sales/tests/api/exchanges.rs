//! Exchanges: a return and a sale in one.

use bahi_types::{ProductId, TillId};
use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::Shop;

struct Counter {
    shop: Shop,
    /// 10.00 with 5 % inside.
    old: ProductId,
    new: ProductId,
    session: String,
    bill: String,
}

impl Counter {
    /// Four pieces are sold for cash, and of another ten are there.
    async fn open() -> Self {
        let shop = Shop::open().await;
        let (old, new) = (shop.goods("4").await, shop.goods("10").await);
        let session = shop.session().await;
        let sold = shop.sell(shop.basket(&session, &[(old, "4")], "40")).await;
        let bill = sold.expect(201).text_at("invoice_id");
        Self {
            shop,
            old,
            new,
            session,
            bill,
        }
    }

    fn body(&self, back: &str, out: &str, paid: Value, refunded: Value) -> Value {
        json!({
            "invoice_id": Uuid::now_v7(), "session_id": self.session,
            "return": { "original_invoice_id": self.bill, "reason": "wrong size",
                        "lines": [{ "original_line": 1, "qty": back }], "refund_tenders": refunded },
            "lines": [{ "product_id": self.new, "qty": out }], "tenders": paid,
        })
    }

    async fn exchange(&self, body: &Value) -> bahi_testkit::Reply {
        self.shop
            .owner
            .post("/api/v1/pos/exchanges", body.clone())
            .await
    }

    /// Rows of invoices, credit notes and exchanges.
    async fn written(&self) -> [i64; 3] {
        let count = "select (select count(*) from invoice), (select count(*) from credit_note), (select count(*) from exchange)";
        let row = self
            .shop
            .sales
            .admin()
            .await
            .query_one(count, &[])
            .await
            .unwrap();
        [row.get(0), row.get(1), row.get(2)]
    }

    async fn x(&self) -> Value {
        let path = format!("/api/v1/pos/sessions/{}/x-report", self.session);
        self.shop.owner.get(&path).await.expect(200).body
    }
}

fn cash(amount: &str) -> Value {
    json!([{ "method": "cash", "amount": amount }])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_pays_what_goes_out_and_the_difference_is_paid_or_refunded() {
    let counter = Counter::open().await;
    // Two back, three out: ten are paid, of a note of fifty.
    let body = counter.body("2", "3", cash("50"), json!([]));
    let made = counter.exchange(&body).await.expect(201);
    let (invoice, note) = (&made.body["invoice"], &made.body["credit_note"]);
    assert_eq!(made.text_at("exchanged"), "20.00");
    assert_eq!(
        (
            &invoice["total"],
            &invoice["change"],
            &invoice["payment_status"]
        ),
        (&json!("30.00"), &json!("40.00"), &json!("paid"))
    );
    assert_eq!(
        invoice["tenders"],
        json!([
            { "method": "exchange", "amount": "20.00", "reference": note["number"] },
            { "method": "cash", "amount": "50.00", "reference": null },
        ])
    );
    assert_eq!(
        (&note["total"], &note["reason"]),
        (&json!("20.00"), &json!("wrong size"))
    );
    assert_eq!(note["refund_tenders"][0]["method"], "exchange");
    // The same request again, and the exchange by its invoice.
    let again = counter.exchange(&body).await.expect(201);
    assert_eq!(
        (&again.body, again.header("idempotency-hit")),
        (&made.body, Some("true"))
    );
    let path = format!(
        "/api/v1/pos/exchanges/{}",
        invoice["invoice_id"].as_str().unwrap()
    );
    assert_eq!(
        counter.shop.owner.get(&path).await.expect(200).body,
        made.body
    );
    // Two back, one out: ten are refunded.
    let body = counter.body("2", "1", json!([]), cash("10"));
    let made = counter.exchange(&body).await.expect(201);
    assert_eq!(made.body["credit_note"]["total"], "20.00");
    assert_eq!(counter.written().await, [3, 2, 2]);
    // S8: 1000 + 40 + 10 - 10.
    let x = counter.x().await;
    assert_eq!(
        (&x["expected_cash"], &x["sold"], &x["returned"]),
        (&json!("1040.00"), &json!("80.00"), &json!("40.00"))
    );
    let by_exchange = x["tenders"]
        .as_array()
        .unwrap()
        .iter()
        .find(|t| t["method"] == "exchange");
    assert_eq!(
        *by_exchange.unwrap(),
        json!({ "method": "exchange", "received": "30.00", "refunded": "30.00", "expected": "0.00" })
    );
    // It is not in the drawer, so it is not counted.
    let close = json!({ "counted": [{ "method": "cash", "amount": "1040" }], "retained": "0" });
    let path = format!("/api/v1/pos/sessions/{}:close", counter.session);
    counter.shop.owner.post(&path, close).await.expect(200);
    counter.shop.relay().await;
    counter
        .shop
        .assert_stock(counter.old, ("4", "0", "4"))
        .await;
    counter
        .shop
        .assert_stock(counter.new, ("6", "0", "6"))
        .await;
    counter.shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_is_whole_or_not_at_all() {
    let counter = Counter::open().await;
    let refused = async |body: Value, status: u16, code: &str| {
        let reply = counter.exchange(&body).await;
        assert_eq!(
            (reply.status, reply.code()),
            (status, code),
            "{body} {}",
            reply.text
        );
    };
    let body = |back: &str, out: &str, paid: Value, refunded: Value| {
        counter.body(back, out, paid, refunded)
    };
    refused(body("5", "5", json!([]), json!([])), 422, "EXCEEDS_SOLD").await;
    refused(body("2", "3", json!([]), json!([])), 422, "TENDER_SHORT").await;
    refused(body("2", "3", cash("9.99"), json!([])), 422, "TENDER_SHORT").await;
    let upi = json!([{ "method": "upi", "amount": "11" }]);
    refused(body("2", "3", upi, json!([])), 422, "CHANGE_NOT_CASH").await;
    refused(body("2", "1", json!([]), json!([])), 422, "REFUND_MISMATCH").await;
    refused(
        body("2", "1", json!([]), cash("10.01")),
        422,
        "REFUND_MISMATCH",
    )
    .await;
    refused(
        body("4", "11", cash("70"), json!([])),
        409,
        "INSUFFICIENT_STOCK",
    )
    .await;
    let mut other = body("2", "2", json!([]), json!([]));
    other["return"]["lines"][0]["original_line"] = json!(2);
    refused(other, 422, "NO_SUCH_LINE").await;
    let claimed = json!([{ "method": "exchange", "amount": "10" }]);
    refused(body("2", "3", claimed.clone(), json!([])), 400, "INVALID").await;
    let mut plain = counter
        .shop
        .basket(&counter.session, &[(counter.new, "1")], "10");
    plain["tenders"] = claimed;
    assert_eq!(counter.shop.sell(plain).await.expect(400).code(), "INVALID");
    let stranger = counter.shop.next_tenant().await;
    let session = stranger.session().await;
    let mut theirs = body("2", "2", json!([]), json!([]));
    theirs["session_id"] = json!(session);
    let foreign = stranger.owner.post("/api/v1/pos/exchanges", theirs).await;
    foreign.expect(404);
    let clerk = counter.shop.cashier(&["sales.pos.use"]);
    let missing = clerk
        .post(
            "/api/v1/pos/exchanges",
            body("2", "2", json!([]), json!([])),
        )
        .await;
    assert_eq!(
        missing.expect(403).text_at("permission"),
        "sales.return.write"
    );
    assert_eq!(counter.written().await, [1, 0, 0]);
    counter
        .shop
        .assert_stock(counter.new, ("10", "0", "10"))
        .await;
    counter.shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credit_is_spent_once_however_many_try() {
    let counter = Counter::open().await;
    // Enough for all of them: the stock refuses none.
    counter.shop.receive(counter.new, "10", "6").await;
    let bodies: Vec<_> = (0..10)
        .map(|_| counter.body("2", "2", json!([]), json!([])))
        .collect();
    let replies = join_all(bodies.iter().map(|body| counter.exchange(body))).await;
    assert_eq!(replies.iter().filter(|r| r.status == 201).count(), 2);
    for refused in replies.iter().filter(|r| r.status != 201) {
        assert_eq!(
            (refused.status, refused.code()),
            (422, "EXCEEDS_SOLD"),
            "{}",
            refused.text
        );
    }
    assert_eq!(counter.written().await, [3, 2, 2]);
    counter.shop.relay().await;
    counter
        .shop
        .assert_stock(counter.new, ("16", "0", "16"))
        .await;
    counter.shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_exchange_sent_ten_times_at_once_is_one() {
    let counter = Counter::open().await;
    let body = counter.body("4", "3", json!([]), cash("10"));
    let replies = join_all((0..10).map(|_| counter.exchange(&body))).await;
    for reply in &replies {
        assert_eq!(
            (reply.status, &reply.body),
            (201, &replies[0].body),
            "{}",
            reply.text
        );
    }
    assert_eq!(counter.written().await, [2, 1, 1]);
    counter.shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_exchanged_comes_back_like_anything_that_was_paid() {
    let counter = Counter::open().await;
    let made = counter
        .exchange(&counter.body("2", "2", json!([]), json!([])))
        .await
        .expect(201);
    let other = TillId::new();
    counter.shop.add_till(other, "P2", false).await;
    let there = counter.shop.open_till(other, "100").await;
    let back = json!({
        "original_invoice_id": made.body["invoice"]["invoice_id"], "session_id": there,
        "lines": [{ "original_line": 1, "qty": "2" }], "refund_tenders": cash("20"),
    });
    let back = counter.shop.owner.post("/api/v1/sales/returns", back).await;
    assert_eq!(back.expect(201).text_at("total"), "20.00");
    counter.shop.assert_sound().await;
}
