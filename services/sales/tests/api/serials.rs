//! Pieces with serial numbers, from the till to the stock and back.

use bahi_events::{PRODUCT_CREATED, TAX_RATE_CHANGED, Tracking};
use bahi_types::{ProductId, TaxProfileId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Shop, product, tax_profile};

impl Shop {
    /// Goods at 10.00 with tax inside that are followed by serial number, with these pieces.
    async fn numbered(&self, serials: &[&str]) -> ProductId {
        let profile = TaxProfileId::new();
        let mut goods = product(&Uuid::now_v7().to_string(), "10", true, profile);
        goods.tracking = Tracking {
            batch: false,
            serial: true,
            expiry: false,
        };
        self.hear([
            TAX_RATE_CHANGED.of(
                profile.uuid(),
                1,
                &tax_profile(profile, "taxable", &[("2017-07-01", None, "18")]),
            ),
            PRODUCT_CREATED.of(goods.product_id.uuid(), 1, &goods),
        ])
        .await;
        let line = json!({ "product_id": goods.product_id, "qty": serials.len().to_string(), "unit_cost": "6",
            "serials": serials });
        self.keeper()
            .post(
                "/api/v1/inventory/receipts",
                json!({ "location_id": self.location, "lines": [line] }),
            )
            .await
            .expect(201);
        goods.product_id
    }

    fn named(
        &self,
        session: &str,
        goods: ProductId,
        qty: &str,
        serials: Value,
        cash: &str,
    ) -> Value {
        let mut basket = self.basket(session, &[(goods, qty)], cash);
        basket["lines"][0]["serials"] = serials;
        basket
    }

    async fn piece(&self, no: &str) -> (String, Value) {
        let path = format!("/api/v1/inventory/serials?serial={no}");
        let reply = self.keeper().get(&path).await.expect(200);
        let piece = &reply.body["items"][0];
        (
            piece["state"].as_str().unwrap().to_owned(),
            piece["sold_with_id"].clone(),
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_sells_the_piece_it_scans_and_takes_that_piece_back() {
    let shop = Shop::open().await;
    let phone = shop.numbered(&["A", "B", "C"]).await;
    let session = shop.session().await;
    for (serials, status) in [
        (json!(["A", "B"]), 400),
        (json!(["A", "A"]), 400),
        (json!([""]), 400),
        (json!(["x".repeat(101)]), 400),
        (json!("A"), 400),
    ] {
        let body = shop.named(&session, phone, "1", serials, "10");
        shop.sell(body).await.expect(status);
    }
    let sold = shop
        .sell(shop.named(&session, phone, "2", json!(["A", "B"]), "20"))
        .await
        .expect(201);
    assert_eq!(sold.body["lines"][0]["serials"], json!(["A", "B"]));
    // Before the event is heard the piece is promised already; afterwards it is sold.
    for relayed in [false, true] {
        if relayed {
            shop.relay().await;
        }
        let again = shop
            .sell(shop.named(&session, phone, "1", json!(["A"]), "10"))
            .await
            .expect(409);
        assert_eq!(again.code(), "INSUFFICIENT_STOCK");
        assert_eq!(again.body["shortages"][0]["serials"], json!(["A"]));
    }
    assert_eq!(
        shop.piece("A").await,
        ("sold".to_owned(), sold.body["invoice_id"].clone())
    );
    assert_eq!(shop.piece("C").await.0, "in_stock");
    assert_eq!(
        shop.said("invoice.issued").await[0]["lines"][0]["serials"],
        json!(["A", "B"])
    );
    let back = |serials: Value, qty: &str, cash: &str| {
        let body = json!({ "original_invoice_id": sold.body["invoice_id"], "session_id": session,
            "lines": [{ "original_line": 1, "qty": qty, "serials": serials }],
            "refund_tenders": [{ "method": "cash", "amount": cash }] });
        shop.owner.post("/api/v1/sales/returns", body)
    };
    back(json!(["A", "B"]), "1", "10.00").await.expect(400);
    let strange = back(json!(["C"]), "1", "10.00").await.expect(422);
    assert_eq!(strange.code(), "SERIAL_NOT_SOLD");
    let came = back(json!(["B"]), "1", "10.00").await.expect(201);
    assert_eq!(came.body["lines"][0]["serials"], json!(["B"]));
    let twice = back(json!(["B"]), "1", "10.00").await.expect(422);
    assert_eq!(twice.code(), "SERIAL_NOT_SOLD");
    shop.relay().await;
    assert_eq!(shop.piece("B").await.0, "in_stock");
    assert_eq!(shop.piece("A").await.0, "sold");
    let gaps = shop
        .keeper()
        .get("/api/v1/inventory/serial-discrepancies")
        .await
        .expect(200);
    assert_eq!(gaps.body["total"], 0);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_that_scans_no_numbers_sells_and_the_invoice_line_is_listed() {
    let shop = Shop::open().await;
    let phone = shop.numbered(&["A", "B"]).await;
    let session = shop.session().await;
    let sold = shop
        .sell(shop.basket(&session, &[(phone, "1")], "10"))
        .await
        .expect(201);
    shop.relay().await;
    let gaps = shop
        .keeper()
        .get("/api/v1/inventory/serial-discrepancies")
        .await
        .expect(200);
    let gap = &gaps.body["items"][0];
    assert_eq!(
        (&gap["document_id"], &gap["reason"]),
        (&sold.body["invoice_id"], &json!("not_named"))
    );
    shop.keeper()
        .post(
            &format!(
                "/api/v1/inventory/serial-discrepancies/{}:assign",
                gap["id"].as_str().unwrap()
            ),
            json!({ "serials": ["B"] }),
        )
        .await
        .expect(200);
    assert_eq!(
        shop.piece("B").await,
        ("sold".to_owned(), sold.body["invoice_id"].clone())
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_sale_brings_its_pieces_back_by_number() {
    let shop = Shop::open().await;
    let phone = shop.numbered(&["A", "B", "C"]).await;
    let session = shop.session().await;
    let sale = || shop.named(&session, phone, "2", json!(["A", "B"]), "20");
    let sold = shop.sell(sale()).await.expect(201);
    shop.relay().await;
    let path = format!(
        "/api/v1/sales/invoices/{}:cancel",
        sold.text_at("invoice_id")
    );
    let body = json!({ "reason_code": "duplicate", "refund_tenders": [{ "method": "cash", "amount": "20" }] });
    shop.owner.post(&path, body).await.expect(200);
    shop.relay().await;
    for no in ["A", "B"] {
        assert_eq!(shop.piece(no).await, ("in_stock".to_owned(), Value::Null));
    }
    shop.sell(sale()).await.expect(201);
    shop.relay().await;
    assert_eq!(shop.piece("A").await.0, "sold");
    shop.assert_sound().await;
}
