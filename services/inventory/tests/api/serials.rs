//! Serial numbers: every piece is somewhere, once; whoever has it in hand sells it; and a fact that names it wrongly is
//! written down, not lost.

use std::collections::BTreeMap;

use bahi_events::{Envelope, InvoiceIssued, Tracking};
use bahi_testkit::Reply;
use bahi_types::{InvoiceId, LocationId, ProductId};
use futures::future::join_all;
use inventory::consumers;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};

use crate::support::{Got, Shop, product, q};

const SERIALS: &str = "/api/v1/inventory/serials";
const GAPS: &str = "/api/v1/inventory/serial-discrepancies";

impl Shop {
    async fn numbered(&self) -> ProductId {
        self.tracked(Tracking {
            batch: false,
            serial: true,
            expiry: false,
        })
        .await
    }

    async fn receipt_of(&self, product: ProductId, qty: &str, serials: &[&str]) -> Reply {
        let body = json!({ "location_id": self.location,
            "lines": [{ "product_id": product, "qty": qty, "unit_cost": "100", "serials": serials }] });
        self.owner.post("/api/v1/inventory/receipts", body).await
    }

    async fn bring(&self, product: ProductId, serials: &[&str]) {
        let qty = serials.len().to_string();
        self.receipt_of(product, &qty, serials).await.expect(201);
    }

    async fn promise(&self, invoice: InvoiceId, product: ProductId, serials: &[&str]) -> Got {
        let qty = serials.len().to_string();
        let mut demand = self.demand(invoice, 1, &[(product, &qty)]);
        demand.lines[0].serials = serials.iter().map(|s| (*s).to_owned()).collect();
        self.send(demand).await
    }

    fn sale_of(
        &self,
        invoice: InvoiceId,
        product: ProductId,
        qty: &str,
        serials: &[&str],
    ) -> Envelope<InvoiceIssued> {
        let mut event = self.invoice(invoice, 1, &[(product, qty)]);
        event.payload.lines[0].serials = serials.iter().map(|s| (*s).to_owned()).collect();
        event
    }

    async fn sold(&self, product: ProductId, qty: &str, serials: &[&str]) -> InvoiceId {
        let invoice = InvoiceId::new();
        let event = self.sale_of(invoice, product, qty, serials);
        self.hear(consumers::issued, &[event]).await;
        invoice
    }

    async fn came_back(
        &self,
        invoice: Option<InvoiceId>,
        product: ProductId,
        qty: &str,
        serials: &[&str],
        disposition: &str,
    ) {
        let mut note = self.credit_note(invoice, &[(1, product, qty, disposition)]);
        note.payload.lines[0].serials = serials.iter().map(|s| (*s).to_owned()).collect();
        self.hear(consumers::returned, &[note]).await;
    }

    /// Number: state, and where it lies.
    async fn pieces(&self, product: ProductId) -> BTreeMap<String, (String, String, String)> {
        let path = format!("{SERIALS}?product_id={product}&limit=200");
        let reply = self.owner.get(&path).await.expect(200);
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        reply.body["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                let at = (
                    text(row, "state"),
                    text(row, "location_id"),
                    text(row, "status"),
                );
                (text(row, "serial"), at)
            })
            .collect()
    }

    async fn assert_piece(&self, product: ProductId, no: &str, state: &str, status: &str) {
        let pieces = self.pieces(product).await;
        let found = pieces.get(no).map(|p| (p.0.as_str(), p.2.as_str()));
        assert_eq!(found, Some((state, status)), "{no}");
    }

    async fn gaps(&self, product: ProductId) -> Vec<Value> {
        let path = format!("{GAPS}?product_id={product}");
        let reply = self.owner.get(&path).await.expect(200);
        reply.body["items"].as_array().unwrap().clone()
    }

    async fn assign(&self, gap: &Value, serials: &[&str]) -> Reply {
        let path = format!("{GAPS}/{}:assign", gap["id"].as_str().unwrap());
        self.owner.post(&path, json!({ "serials": serials })).await
    }

    async fn correct(&self, product: ProductId, delta: &str, serials: &[&str]) -> Reply {
        let body = json!({ "location_id": self.location, "reason": "found out", "lines": [
            { "product_id": product, "qty_delta": delta, "serials": serials, "unit_cost": null }] });
        self.owner.post("/api/v1/inventory/adjust", body).await
    }

    async fn set_pieces(
        &self,
        product: ProductId,
        from: &str,
        to: &str,
        serials: &[&str],
    ) -> Reply {
        let body = json!({ "location_id": self.location, "reason": "looked at", "lines": [
            { "product_id": product, "from": from, "to": to, "qty": serials.len().to_string(), "serials": serials }] });
        self.owner
            .post("/api/v1/inventory/status-changes", body)
            .await
    }

    async fn send_pieces(&self, to: LocationId, product: ProductId, serials: &[&str]) -> Reply {
        let body = json!({ "from_location_id": self.location, "to_location_id": to, "lines": [
            { "product_id": product, "qty": serials.len().to_string(), "serials": serials }] });
        self.owner.post("/api/v1/inventory/transfer", body).await
    }

    async fn arrived(&self, transfer: &str, serials: &[&str]) -> Reply {
        let line = json!({ "line": 1, "qty": serials.len().to_string(), "serials": serials });
        self.transfer(transfer, "receive", json!({ "lines": [line] }))
            .await
    }

    /// Orders, counts, submits; gives the count.
    async fn found(&self, product: ProductId, serials: &[&str]) -> Reply {
        let body = json!({ "location_id": self.location, "lines": [
            { "product_id": product, "qty": serials.len().to_string(), "serials": serials }] });
        self.owner.post("/api/v1/inventory/reconcile", body).await
    }
}

fn refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!(
        (reply.status, reply.code()),
        (status, code),
        "{}",
        reply.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_through_everything_finds_a_piece_by_its_number() {
    let shop = Shop::open().await;
    bahi_testkit::assert_searches("inventory", &shop.owner).await;
    let product = shop.numbered().await;
    shop.bring(product, &["IMEI-356938035643809"]).await;
    let path = "/internal/v1/search/serials?limit=10&q=IMEI-356938035643809";
    let found = shop.owner.get(path).await.expect(200).body;
    let hit = &found["items"][0];
    assert_eq!(
        (&hit["kind"], &hit["title"], &hit["subtitle"], &hit["score"]),
        (
            &json!("serial"),
            &json!("IMEI-356938035643809"),
            &json!("in_stock"),
            &json!(100)
        )
    );
    let listed = shop
        .owner
        .get(hit["url"].as_str().unwrap())
        .await
        .expect(200)
        .body;
    assert_eq!(listed["items"][0]["id"], hit["id"]);
    let begun = shop
        .owner
        .get("/internal/v1/search/serials?limit=10&q=IMEI")
        .await
        .expect(200);
    assert_eq!(begun.body, json!({ "items": [], "more": false }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_names_every_piece_and_each_number_once_for_ever() {
    let shop = Shop::open().await;
    let (phone, tea) = (shop.numbered().await, shop.product().await);
    for (qty, serials, code) in [
        ("2", &[][..], "SERIALS_REQUIRED"),
        ("2", &["A"], "SERIALS_COUNT"),
        ("1", &["A", "B"], "SERIALS_COUNT"),
        ("2", &["A", "A"], "SERIAL_TWICE"),
        ("1.5", &["A"], "WHOLE_NUMBERS"),
    ] {
        refused(&shop.receipt_of(phone, qty, serials).await, 422, code);
    }
    refused(
        &shop.receipt_of(tea, "1", &["A"]).await,
        422,
        "NOT_SERIAL_TRACKED",
    );
    for wrong in ["", " A", "a\u{0}b", &"x".repeat(101)] {
        shop.receipt_of(phone, "1", &[wrong]).await.expect(400);
    }
    shop.bring(phone, &["A", "B/1"]).await;
    let known = shop.receipt_of(phone, "1", &["A"]).await;
    refused(&known, 409, "SERIAL_KNOWN");
    assert!(known.text.contains("lines[0].serials"), "{}", known.text);
    // Another product may use the same number.
    let other = shop.numbered().await;
    shop.bring(other, &["A"]).await;
    shop.assert_stock(phone, ("2", "0", "2")).await;
    shop.assert_piece(phone, "A", "in_stock", "sellable").await;
    let both = shop
        .owner
        .get(&format!("{SERIALS}/A/trace"))
        .await
        .expect(200);
    assert_eq!(both.body["pieces"].as_array().unwrap().len(), 2);
    let one = shop
        .owner
        .get(&format!("{SERIALS}/B%2F1/trace?product_id={phone}"))
        .await
        .expect(200);
    assert_eq!(one.body["movements"][0]["document"], "receipt");
    // Sold, it comes back by a return and by no receipt; gone to its supplier, it may be received again.
    let invoice = shop.sold(phone, "1", &["A"]).await;
    refused(
        &shop.receipt_of(phone, "1", &["A"]).await,
        409,
        "SERIAL_KNOWN",
    );
    shop.came_back(Some(invoice), phone, "1", &["A"], "restock")
        .await;
    shop.assert_piece(phone, "A", "in_stock", "sellable").await;
    shop.correct(phone, "-1", &["A"]).await.expect(201);
    shop.bring(phone, &["A"]).await;
    shop.assert_stock(phone, ("2", "0", "2")).await;
    shop.assert_sound().await;
    // Nothing of it is another tenant's.
    let stranger = shop.next_tenant().await;
    stranger
        .owner
        .get(&format!("{SERIALS}/A/trace"))
        .await
        .expect(404);
    assert!(stranger.pieces(phone).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_receipts_of_one_number_at_once_bring_one_piece() {
    let shop = Shop::open().await;
    let phone = shop.numbered().await;
    let shops = join_all((0..8).map(|_| shop.branch())).await;
    let got = join_all(shops.iter().map(|s| s.receipt_of(phone, "1", &["A"]))).await;
    let won = got.iter().filter(|r| r.status == 201).count();
    assert_eq!(won, 1);
    for lost in got.iter().filter(|r| r.status != 201) {
        refused(lost, 409, "SERIAL_KNOWN");
    }
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_is_traced_from_its_receipt_to_the_customer_and_back() {
    let shop = Shop::open().await;
    let phone = shop.numbered().await;
    shop.bring(phone, &["A", "B"]).await;
    let invoice = InvoiceId::new();
    assert!(shop.promise(invoice, phone, &["B"]).await.is_granted());
    shop.assert_stock(phone, ("2", "1", "1")).await;
    let held = shop
        .owner
        .get(&format!("{SERIALS}?serial=B"))
        .await
        .expect(200);
    assert!(held.body["items"][0]["reservation_id"].is_string());
    let mut event = shop.sale_of(invoice, phone, "1", &["B"]);
    let customer = bahi_types::CustomerId::new();
    event.payload.customer_id = Some(customer);
    shop.hear(consumers::issued, &[event]).await;
    shop.assert_piece(phone, "A", "in_stock", "sellable").await;
    shop.assert_piece(phone, "B", "sold", "sellable").await;
    shop.came_back(Some(invoice), phone, "1", &["B"], "quarantine")
        .await;
    let trace = shop
        .owner
        .get(&format!("{SERIALS}/B/trace?product_id={phone}"))
        .await
        .expect(200);
    let steps: Vec<_> = trace.body["movements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| {
            (
                m["document"].as_str().unwrap(),
                m["direction"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(steps, [("receipt", 1), ("invoice", -1), ("return", 1)]);
    let sale = &trace.body["movements"][1];
    assert_eq!(
        (&sale["document_id"], &sale["customer_id"], &sale["number"]),
        (&json!(invoice), &json!(customer), &json!("T1/26-27/0001"))
    );
    let first = shop
        .owner
        .get(&format!("{SERIALS}/B/trace?product_id={phone}&limit=2"))
        .await
        .expect(200);
    let next = first.text_at("next_cursor");
    let rest = shop
        .owner
        .get(&format!(
            "{SERIALS}/B/trace?product_id={phone}&limit=2&cursor={next}"
        ))
        .await
        .expect(200);
    assert_eq!(rest.body["movements"][0]["document"], "return");
    assert_eq!(rest.body["next_cursor"], json!(null));
    shop.assert_piece(phone, "B", "in_stock", "quarantine")
        .await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_tills_at_once_sell_one_piece_once() {
    let shop = Shop::open().await;
    let phone = shop.numbered().await;
    let all: Vec<String> = (0..10).map(|n| format!("P{n}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    shop.bring(phone, &all).await;
    let invoices: Vec<_> = (0..100).map(|_| InvoiceId::new()).collect();
    let got = join_all(invoices.iter().map(|i| shop.promise(*i, phone, &["P3"]))).await;
    let won: Vec<_> = invoices
        .iter()
        .zip(&got)
        .filter(|(_, g)| g.is_granted())
        .map(|(i, _)| *i)
        .collect();
    assert_eq!(won.len(), 1);
    for refused in got.iter().filter(|g| !g.is_granted()) {
        let Got::Refused(short) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(
            (short[0].available.as_str(), &short[0].serials),
            ("0", &vec!["P3".to_owned()])
        );
    }
    // The wrong way: to look at the quantity alone. Nine of the others would have been promised the same piece.
    shop.assert_stock(phone, ("10", "1", "9")).await;
    let by_quantity = join_all(
        (0..99).map(|_| async { shop.reserve(InvoiceId::new(), 1, &[(phone, "1")]).await }),
    )
    .await;
    assert_eq!(by_quantity.iter().filter(|g| g.is_granted()).count(), 9);
    // Given back, the piece is the next one's; sold, it is nobody's.
    shop.release(won[0], 1).await;
    let next = InvoiceId::new();
    assert!(shop.promise(next, phone, &["P3"]).await.is_granted());
    let event = shop.sale_of(next, phone, "1", &["P3"]);
    shop.hear(consumers::issued, &[event]).await;
    assert!(
        !shop
            .promise(InvoiceId::new(), phone, &["P3"])
            .await
            .is_granted()
    );
    shop.assert_piece(phone, "P3", "sold", "sellable").await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_piece_that_lies_there_to_be_sold_is_promised() {
    let shop = Shop::open().await;
    let phone = shop.numbered().await;
    shop.bring(phone, &["A", "B", "C"]).await;
    let branch = shop.branch().await;
    branch.bring(phone, &["X"]).await;
    shop.set_pieces(phone, "sellable", "damaged", &["B"])
        .await
        .expect(201);
    for strange in ["B", "X", "nobody's"] {
        let got = shop.promise(InvoiceId::new(), phone, &["A", strange]).await;
        let Got::Refused(short) = got else {
            panic!("{got:?}")
        };
        assert_eq!(short[0].serials, [strange]);
        assert_eq!(
            (short[0].asked.as_str(), short[0].available.as_str()),
            ("2", "1")
        );
    }
    shop.assert_stock(phone, ("3", "0", "2")).await;
    for (qty, serials, code) in [
        ("1", &["A", "C"][..], "SERIALS_COUNT"),
        ("1.5", &["A"], "WHOLE_NUMBERS"),
        ("2", &["A", "A"], "SERIAL_TWICE"),
    ] {
        let mut demand = shop.demand(InvoiceId::new(), 1, &[(phone, qty)]);
        demand.lines[0].serials = serials.iter().map(|s| (*s).to_owned()).collect();
        let Got::Error(tonic::Code::FailedPrecondition, found) = shop.send(demand).await else {
            panic!("{code}")
        };
        assert_eq!(found, code);
    }
    // Of a product without numbers whatever was scanned is ignored.
    let tea = shop.product().await;
    shop.receive(tea, "1", "1").await;
    assert!(
        shop.promise(InvoiceId::new(), tea, &["scanned"])
            .await
            .is_granted()
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_is_never_refused_and_what_it_names_in_vain_is_listed_until_it_is_assigned() {
    let shop = Shop::open().await;
    let phone = shop.numbered().await;
    shop.bring(phone, &["A", "B", "C", "D"]).await;
    shop.sold(phone, "1", &["A"]).await;
    // Sold again, unknown, and not named at all.
    shop.sold(phone, "1", &["A"]).await;
    shop.sold(phone, "1", &["typo"]).await;
    let unnamed = shop.sold(phone, "1", &[]).await;
    shop.assert_stock(phone, ("0", "0", "0")).await;
    shop.assert_sound().await;
    let gaps = shop.gaps(phone).await;
    let found: Vec<_> = gaps
        .iter()
        .map(|g| {
            (
                g["reason"].as_str().unwrap(),
                g["said"].as_str(),
                g["direction"].as_i64(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("not_here", Some("A"), Some(-1)),
            ("unknown", Some("typo"), Some(-1)),
            ("not_named", None, Some(-1)),
        ]
    );
    // The books believe that three pieces are left until somebody says which were sold.
    for no in ["B", "C", "D"] {
        shop.assert_piece(phone, no, "in_stock", "sellable").await;
    }
    refused(&shop.assign(&gaps[2], &["A"]).await, 409, "SERIAL_NOT_HERE");
    refused(
        &shop.assign(&gaps[2], &["nobody's"]).await,
        409,
        "SERIAL_NOT_HERE",
    );
    shop.assign(&gaps[2], &["B", "C"]).await.expect(400);
    shop.assign(&gaps[2], &[]).await.expect(400);
    for (gap, no) in gaps.iter().zip(["B", "C", "D"]) {
        let done = shop.assign(gap, &[no]).await.expect(200);
        assert_eq!(done.body["open"], "0");
        shop.assert_piece(phone, no, "sold", "sellable").await;
        shop.assert_sound().await;
    }
    assert!(shop.gaps(phone).await.is_empty());
    let trace = shop
        .owner
        .get(&format!("{SERIALS}/D/trace"))
        .await
        .expect(200);
    assert_eq!(trace.body["movements"][1]["document_id"], json!(unnamed));
    let reader = shop.owner.with_permissions(&["inventory.stock.read"]);
    let path = format!("{GAPS}/{}:assign", gaps[0]["id"].as_str().unwrap());
    reader
        .post(&path, json!({ "serials": ["B"] }))
        .await
        .expect(403);
    let stranger = shop.next_tenant().await;
    stranger.assign(&gaps[0], &["B"]).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_was_sold_before_its_piece_came_waits_for_it() {
    let shop = Shop::open().await;
    let phone = shop.numbered().await;
    shop.bring(phone, &["A"]).await;
    let invoice = shop.sold(phone, "3", &["A", "X", "Y"]).await;
    assert_eq!(shop.shortages().await[0]["open"], "2");
    shop.assert_sound().await;
    // The first piece that comes serves the sale, and is the one it named.
    shop.bring(phone, &["X"]).await;
    shop.assert_piece(phone, "X", "sold", "sellable").await;
    let trace = shop
        .owner
        .get(&format!("{SERIALS}/X/trace"))
        .await
        .expect(200);
    assert_eq!(trace.body["movements"][1]["document_id"], json!(invoice));
    // Another piece serves it too: the customer has Y, and the books have Z still.
    shop.bring(phone, &["Z"]).await;
    shop.assert_sound().await;
    let gaps = shop.gaps(phone).await;
    assert_eq!((gaps.len(), &gaps[0]["said"]), (1, &json!("Y")));
    shop.assert_piece(phone, "Z", "in_stock", "sellable").await;
    shop.assert_stock(phone, ("0", "0", "0")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_brings_back_what_its_invoice_sold_and_nothing_else() {
    let shop = Shop::open().await;
    let phone = shop.numbered().await;
    shop.bring(phone, &["A", "B", "C", "D"]).await;
    let first = shop.sold(phone, "2", &["A", "B"]).await;
    let second = shop.sold(phone, "1", &["C"]).await;
    shop.came_back(Some(first), phone, "1", &["C"], "restock")
        .await;
    shop.assert_piece(phone, "C", "sold", "sellable").await;
    let gaps = shop.gaps(phone).await;
    assert_eq!(
        (&gaps[0]["reason"], &gaps[0]["said"], &gaps[0]["direction"]),
        (&json!("not_sold"), &json!("C"), &json!(1))
    );
    shop.assert_stock(phone, ("2", "0", "2")).await;
    shop.assert_sound().await;
    // It was A in fact; once it is named, the gap is closed. What is in stock cannot be what came.
    refused(&shop.assign(&gaps[0], &["D"]).await, 409, "SERIAL_KNOWN");
    shop.assign(&gaps[0], &["A"]).await.expect(200);
    shop.assert_piece(phone, "A", "in_stock", "sellable").await;
    // All that is left of a line comes back without a word: it is known which pieces these are.
    shop.came_back(Some(second), phone, "1", &[], "scrap").await;
    shop.assert_piece(phone, "C", "scrapped", "scrap").await;
    shop.came_back(Some(first), phone, "1", &[], "quarantine")
        .await;
    shop.assert_piece(phone, "B", "in_stock", "quarantine")
        .await;
    assert!(shop.gaps(phone).await.is_empty());
    // Without a bill any piece may come, also one nobody knew.
    shop.came_back(None, phone, "1", &["old"], "restock").await;
    shop.assert_piece(phone, "old", "in_stock", "sellable")
        .await;
    refused(
        &shop.receipt_of(phone, "1", &["C"]).await,
        409,
        "SERIAL_KNOWN",
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_sends_and_receives_pieces() {
    let shop = Shop::open().await;
    let (phone, tea) = (shop.numbered().await, shop.product().await);
    shop.bring(phone, &["A", "B", "C", "D", "E"]).await;
    shop.receive(tea, "5", "1").await;
    let branch = shop.branch().await;
    let to = branch.location;
    refused(
        &shop.send_pieces(to, phone, &["A", "X"]).await,
        409,
        "SERIAL_NOT_HERE",
    );
    let held = InvoiceId::new();
    assert!(shop.promise(held, phone, &["E"]).await.is_granted());
    refused(
        &shop.send_pieces(to, phone, &["E"]).await,
        409,
        "SERIAL_NOT_HERE",
    );
    let body = json!({ "from_location_id": shop.location, "to_location_id": to, "lines": [
        { "product_id": phone, "qty": "3" }, { "product_id": tea, "qty": "2" }] });
    let path = "/api/v1/inventory/transfers";
    let id = shop
        .owner
        .post(path, body.clone())
        .await
        .expect(201)
        .text_at("id");
    let mut early = body;
    early["lines"][0]["serials"] = json!(["A", "B", "C"]);
    shop.owner.post(path, early).await.expect(400);
    shop.transfer(&id, "approve", json!({})).await.expect(200);
    let ship =
        |line: i32, serials: &[&str]| json!({ "lines": [{ "line": line, "serials": serials }] });
    refused(
        &shop.transfer(&id, "ship", json!({})).await,
        422,
        "SERIALS_REQUIRED",
    );
    refused(
        &shop.transfer(&id, "ship", ship(1, &["A", "B"])).await,
        422,
        "SERIALS_COUNT",
    );
    refused(
        &shop.transfer(&id, "ship", ship(2, &["A", "B"])).await,
        422,
        "SERIALS_REQUIRED",
    );
    shop.transfer(&id, "ship", ship(9, &["A"]))
        .await
        .expect(400);
    shop.transfer(&id, "ship", ship(1, &["A", "B", "C"]))
        .await
        .expect(200);
    for no in ["A", "B", "C"] {
        shop.assert_piece(phone, no, "in_stock", "in_transit").await;
    }
    assert!(
        !branch
            .promise(InvoiceId::new(), phone, &["A"])
            .await
            .is_granted()
    );
    // Part of it must be named; it must be on its way with this line.
    let some = json!({ "lines": [{ "line": 1, "qty": "1" }] });
    refused(
        &shop.transfer(&id, "receive", some).await,
        422,
        "SERIALS_REQUIRED",
    );
    refused(&shop.arrived(&id, &["D"]).await, 409, "SERIAL_NOT_HERE");
    shop.arrived(&id, &["B"]).await.expect(200);
    refused(&shop.arrived(&id, &["B"]).await, 409, "SERIAL_NOT_HERE");
    assert_eq!(
        shop.pieces(phone).await["B"],
        ("in_stock".into(), to.to_string(), "sellable".into())
    );
    assert!(
        branch
            .promise(InvoiceId::new(), phone, &["B"])
            .await
            .is_granted()
    );
    shop.assert_sound().await;
    // What has not arrived is lost, and may be found again.
    let lost = json!({ "reason": "stolen" });
    shop.transfer(&id, "close-short", lost).await.expect(200);
    shop.assert_piece(phone, "A", "gone", "in_transit").await;
    branch.correct(phone, "1", &["A"]).await.expect(201);
    shop.assert_piece(phone, "A", "in_stock", "sellable").await;
    // All of a line arrives: nobody has to scan it again.
    let sent = shop
        .send_pieces(to, phone, &["D"])
        .await
        .expect(201)
        .text_at("id");
    shop.transfer(&sent, "receive", json!({})).await.expect(200);
    assert_eq!(shop.pieces(phone).await["D"].1, to.to_string());
    assert!(shop.gaps(phone).await.is_empty());
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn adjustments_and_changes_of_status_name_their_pieces() {
    let shop = Shop::open().await;
    let phone = shop.numbered().await;
    shop.bring(phone, &["A", "B", "C"]).await;
    refused(
        &shop.correct(phone, "-1", &[]).await,
        422,
        "SERIALS_REQUIRED",
    );
    refused(
        &shop.correct(phone, "-1", &["X"]).await,
        409,
        "SERIAL_NOT_HERE",
    );
    refused(&shop.correct(phone, "1", &["A"]).await, 409, "SERIAL_KNOWN");
    refused(&shop.correct(phone, "0.5", &[]).await, 422, "WHOLE_NUMBERS");
    shop.correct(phone, "-1", &["A"]).await.expect(201);
    shop.assert_piece(phone, "A", "gone", "sellable").await;
    refused(
        &shop.set_pieces(phone, "sellable", "damaged", &["A"]).await,
        409,
        "SERIAL_NOT_HERE",
    );
    shop.set_pieces(phone, "sellable", "quarantine", &["B"])
        .await
        .expect(201);
    refused(
        &shop.set_pieces(phone, "sellable", "damaged", &["B"]).await,
        409,
        "SERIAL_NOT_HERE",
    );
    shop.set_pieces(phone, "quarantine", "scrap", &["B"])
        .await
        .expect(201);
    shop.assert_piece(phone, "B", "scrapped", "scrap").await;
    refused(&shop.correct(phone, "1", &["B"]).await, 409, "SERIAL_KNOWN");
    shop.assert_stock(phone, ("1", "0", "1")).await;
    let listed = format!(
        "{SERIALS}?product_id={phone}&status=sellable&location_id={}",
        shop.location
    );
    assert_eq!(shop.owner.get(&listed).await.expect(200).body["total"], 1);
    let gone = format!("{SERIALS}?product_id={phone}&state=scrapped");
    assert_eq!(
        shop.owner.get(&gone).await.expect(200).body["items"][0]["serial"],
        "B"
    );
    shop.owner
        .get(&format!("{SERIALS}?status=lost"))
        .await
        .expect(400);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_that_go_back_to_their_supplier_are_named() {
    let shop = Shop::open().await;
    let phone = shop.numbered().await;
    let first = shop.receipt_of(phone, "2", &["A", "B"]).await.expect(201);
    shop.bring(phone, &["C"]).await;
    let of = |qty: &str, serials: &[&str]| {
        json!([{ "product_id": phone, "qty": qty, "serials": serials,
        "receipt_id": first.body["id"], "receipt_line": 1 }])
    };
    refused(&shop.send_back(of("1", &[])).await, 422, "SERIALS_REQUIRED");
    refused(
        &shop.send_back(of("1", &["X"])).await,
        409,
        "SERIAL_NOT_HERE",
    );
    shop.promise(InvoiceId::new(), phone, &["B"])
        .await
        .granted();
    refused(
        &shop.send_back(of("1", &["B"])).await,
        409,
        "SERIAL_NOT_HERE",
    );
    shop.send_back(of("1", &["A"])).await.expect(201);
    shop.assert_piece(phone, "A", "gone", "sellable").await;
    // Repaired or exchanged it may come again.
    shop.bring(phone, &["A"]).await;
    shop.assert_piece(phone, "A", "in_stock", "sellable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_names_what_is_missing_and_what_is_extra() {
    let shop = Shop::open().await;
    let phone = shop.numbered().await;
    shop.bring(phone, &["A", "B", "C"]).await;
    let none =
        json!({ "location_id": shop.location, "lines": [{ "product_id": phone, "qty": "3" }] });
    let reply = shop.owner.post("/api/v1/inventory/reconcile", none).await;
    refused(&reply, 422, "SERIALS_REQUIRED");
    // As many as the books say, and not the same.
    let count = shop.found(phone, &["A", "B", "X"]).await.expect(201);
    let line = &count.body["lines"][0];
    assert_eq!(
        (
            &line["variance"],
            &line["serials_missing"],
            &line["serials_extra"]
        ),
        (&json!("0"), &json!(["C"]), &json!(["X"]))
    );
    // Sold after the look: it is not missing.
    shop.sold(phone, "1", &["A"]).await;
    let posted = shop.approve(&count.text_at("id")).await;
    assert_eq!(posted["state"], "posted");
    shop.assert_piece(phone, "A", "sold", "sellable").await;
    shop.assert_piece(phone, "C", "gone", "sellable").await;
    shop.assert_piece(phone, "X", "in_stock", "sellable").await;
    shop.assert_stock(phone, ("2", "0", "2")).await;
    shop.assert_sound().await;
    let count = shop.found(phone, &["B"]).await.expect(201);
    shop.approve(&count.text_at("id")).await;
    shop.assert_piece(phone, "X", "gone", "sellable").await;
    shop.assert_stock(phone, ("1", "0", "1")).await;
    // A count sees a piece that the books have elsewhere: it is counted, and listed.
    let branch = shop.branch().await;
    branch.bring(phone, &["E"]).await;
    let count = shop.found(phone, &["B", "E"]).await.expect(201);
    shop.approve(&count.text_at("id")).await;
    let gaps = shop.gaps(phone).await;
    assert_eq!(
        (&gaps[0]["said"], &gaps[0]["reason"]),
        (&json!("E"), &json!("not_here"))
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_that_was_there_before_is_named_piece_by_piece() {
    let shop = Shop::open().await;
    let phone = shop.product().await;
    shop.receive(phone, "3", "100").await;
    let tracking = Tracking {
        batch: false,
        serial: true,
        expiry: false,
    };
    let event = shop.envelope(phone.uuid(), 2, product(phone, tracking));
    shop.hear(consumers::product, &[event]).await;
    let gaps = shop.gaps(phone).await;
    assert_eq!(
        (gaps.len(), &gaps[0]["reason"], &gaps[0]["open"]),
        (1, &json!("opening"), &json!("3"))
    );
    shop.assert_sound().await;
    // Sold by quantity as before; by number once it has one.
    shop.sell(&[(phone, "1")]).await;
    shop.assign(&gaps[0], &["A", "B"]).await.expect(200);
    assert!(
        shop.promise(InvoiceId::new(), phone, &["A"])
            .await
            .is_granted()
    );
    assert_eq!(shop.gaps(phone).await.len(), 2);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nameless_piece_that_left_is_taken_for_one_that_came() {
    let shop = Shop::open().await;
    let phone = shop.product().await;
    shop.receive(phone, "2", "100").await;
    let tracking = Tracking {
        batch: false,
        serial: true,
        expiry: false,
    };
    let event = shop.envelope(phone.uuid(), 2, product(phone, tracking));
    shop.hear(consumers::product, &[event]).await;
    shop.sold(phone, "1", &[]).await;
    let gaps = shop.gaps(phone).await;
    let offset = |one: &Value, other: &Value| {
        let path = format!("{GAPS}/{}:offset", one["id"].as_str().unwrap());
        let body = json!({ "against": other["id"], "reason": "sold before it was labelled" });
        let owner = shop.owner.clone();
        async move { owner.post(&path, body).await }
    };
    offset(&gaps[0], &gaps[0]).await.expect(400);
    let other = shop.branch().await;
    other.sold(phone, "0.5", &[]).await;
    let done = offset(&gaps[1], &gaps[0]).await.expect(200);
    assert_eq!(
        (&done.body["qty"], &done.body["open"]),
        (&json!("1"), &json!("0"))
    );
    assert_eq!(shop.gaps(phone).await[0]["open"], "1");
    offset(&gaps[1], &gaps[0]).await.expect(400);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reaches_for_a_piece_first_has_it() {
    let shop = Shop::open().await;
    let phone = shop.numbered().await;
    let to = shop.branch().await.location;
    for round in 0..6 {
        let no = format!("P{round}");
        let names = [no.as_str(), &format!("Q{round}"), &format!("R{round}")];
        shop.bring(phone, &names).await;
        let wins = join_all((0..30).map(|n| {
            let (shop, no) = (shop.clone(), no.clone());
            async move {
                match n % 3 {
                    0 => shop
                        .promise(InvoiceId::new(), phone, &[&no])
                        .await
                        .is_granted(),
                    1 => shop.send_pieces(to, phone, &[&no]).await.status == 201,
                    _ => {
                        shop.set_pieces(phone, "sellable", "quarantine", &[&no])
                            .await
                            .status
                            == 201
                    }
                }
            }
        }))
        .await;
        assert_eq!(wins.iter().filter(|won| **won).count(), 1, "round {round}");
        shop.assert_sound().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_tells_of_numbers_that_an_earlier_release_did_not_look_at() {
    let shop = Shop::open().await;
    let phone = shop.numbered().await;
    let admin = shop.app.admin().await;
    admin
        .batch_execute("update product set serial_tracked = false")
        .await
        .unwrap();
    shop.receive(phone, "2", "1").await;
    let tracking = Tracking {
        batch: false,
        serial: true,
        expiry: false,
    };
    let event = shop.envelope(phone.uuid(), 1, product(phone, tracking));
    shop.hear(consumers::product, &[event]).await;
    assert_eq!(shop.gaps(phone).await[0]["open"], "2");
    refused(
        &shop.receipt_of(phone, "1", &[]).await,
        422,
        "SERIALS_REQUIRED",
    );
    shop.assert_sound().await;
}

/// With batches: a piece brings its batch with it, whatever expires first.
#[tokio::test(flavor = "multi_thread")]
async fn a_piece_is_of_its_batch_and_a_batch_takes_its_pieces_with_it() {
    let shop = Shop::open().await;
    let phone = shop
        .tracked(Tracking {
            batch: true,
            serial: true,
            expiry: true,
        })
        .await;
    let body = json!({ "location_id": shop.location, "lines": [
        { "product_id": phone, "qty": "2", "unit_cost": "1", "batch_no": "old", "expiry": "2026-12-31", "serials": ["A", "B"] },
        { "product_id": phone, "qty": "3", "unit_cost": "2", "batch_no": "new", "expiry": "2027-12-31", "serials": ["C", "D", "E"] }] });
    let receipt = shop
        .owner
        .post("/api/v1/inventory/receipts", body)
        .await
        .expect(201);
    let batch = |n: usize| {
        receipt.body["lines"][n]["batch_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (old, new) = (batch(0), batch(1));
    let invoice = InvoiceId::new();
    let held = shop.promise(invoice, phone, &["D"]).await.granted();
    assert_eq!(held[0].batch_id.as_deref(), Some(new.as_str()));
    // An unnamed sale takes what expires first; the named one what it named.
    let plain = InvoiceId::new();
    shop.reserve(plain, 1, &[(phone, "1")]).await.granted();
    let event = shop.sale_of(invoice, phone, "1", &["D"]);
    shop.hear(consumers::issued, &[event]).await;
    shop.issue(plain, 1, &[(phone, "1")]).await;
    let gaps = shop.gaps(phone).await;
    assert_eq!((gaps.len(), &gaps[0]["batch_id"]), (1, &json!(old)));
    refused(&shop.assign(&gaps[0], &["C"]).await, 409, "SERIAL_NOT_HERE");
    shop.assign(&gaps[0], &["A"]).await.expect(200);
    shop.came_back(Some(invoice), phone, "1", &["D"], "restock")
        .await;
    shop.assert_sound().await;
    // Recalled while a cart holds it: what the cart loses goes to quarantine, and all of it can be thrown away.
    let cart = shop.hold(&[(phone, "1")], 900).await.expect(201);
    assert_eq!(cart.body["allocations"][0]["batch_id"], json!(old));
    shop.owner
        .post(
            &format!("/api/v1/inventory/batches/{old}:recall"),
            json!({ "reason": "burns" }),
        )
        .await
        .expect(200);
    shop.assert_piece(phone, "B", "in_stock", "quarantine")
        .await;
    shop.assert_sound().await;
    shop.owner
        .post(
            &format!("/api/v1/inventory/batches/{old}:dispose"),
            json!({ "reason": "burns" }),
        )
        .await
        .expect(201);
    shop.assert_piece(phone, "B", "scrapped", "quarantine")
        .await;
    assert!(
        !shop
            .promise(InvoiceId::new(), phone, &["B"])
            .await
            .is_granted()
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_delivered_piece_by_piece() {
    let shop = Shop::open().await;
    let (phone, tea) = (shop.numbered().await, shop.product().await);
    shop.bring(phone, &["A", "B", "C"]).await;
    shop.receive(tea, "1", "1").await;
    let body = json!({ "location_id": shop.location, "order_id": uuid::Uuid::now_v7(), "lines": [
        { "product_id": phone, "qty": "3" }, { "product_id": tea, "qty": "1" }] });
    let path = "/api/v1/inventory/reservations";
    let id = shop.owner.post(path, body).await.expect(201).text_at("id");
    let deliver = |line: i32, qty: &str, serials: &[&str]| {
        let body = json!({ "fulfilment_id": uuid::Uuid::now_v7(),
            "lines": [{ "line": line, "qty": qty, "serials": serials }] });
        let path = format!("{path}/{id}:commit");
        let owner = shop.owner.clone();
        async move { owner.post(&path, body).await }
    };
    refused(&deliver(1, "1", &["X"]).await, 409, "SERIAL_NOT_HERE");
    refused(&deliver(1, "1", &["A", "B"]).await, 409, "SERIAL_NOT_HERE");
    refused(&deliver(1, "2", &["A", "A"]).await, 409, "SERIAL_NOT_HERE");
    refused(&deliver(2, "1", &["A"]).await, 422, "NOT_SERIAL_TRACKED");
    deliver(1, "1", &["B"]).await.expect(200);
    shop.assert_piece(phone, "B", "sold", "sellable").await;
    let sold = shop
        .owner
        .get(&format!("{SERIALS}?serial=B"))
        .await
        .expect(200);
    assert_eq!(sold.body["items"][0]["sold_with"], "fulfilment");
    deliver(1, "2", &["A"]).await.expect(200);
    let gaps = shop.gaps(phone).await;
    assert_eq!((gaps.len(), &gaps[0]["open"]), (1, &json!("1")));
    shop.assign(&gaps[0], &["C"]).await.expect(200);
    shop.assert_stock(phone, ("0", "0", "0")).await;
    // It comes back with the invoice of the order, which moved nothing itself.
    shop.came_back(Some(InvoiceId::new()), phone, "1", &["B"], "restock")
        .await;
    shop.assert_piece(phone, "B", "in_stock", "sellable").await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_known_from_sales_answer_names_its_pieces_too() {
    let shop = Shop::open().await;
    let phone = shop.numbered().await;
    shop.bring(phone, &["A", "B"]).await;
    let invoice = InvoiceId::new();
    assert!(shop.promise(invoice, phone, &["B"]).await.is_granted());
    shop.sales_issued_as(invoice, 1, &[(phone, "1")]);
    let id = bahi_proto::reservation_id(invoice, 1).to_string();
    shop.sales
        .ledger
        .lock()
        .unwrap()
        .issued
        .get_mut(&id)
        .unwrap()
        .lines[0]
        .serials = vec!["B".to_owned()];
    shop.later(31);
    inventory::jobs::ask(shop.state()).await.unwrap();
    shop.later(901);
    inventory::jobs::issue_unheard(shop.state()).await.unwrap();
    shop.assert_piece(phone, "B", "sold", "sellable").await;
    let event = shop.sale_of(invoice, phone, "1", &["B"]);
    shop.hear(consumers::issued, &[event]).await;
    assert!(shop.gaps(phone).await.is_empty());
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn movements_of_pieces_are_never_changed_and_tampering_is_found() {
    let shop = Shop::open().await;
    shop.breaks_the_books();
    let phone = shop.numbered().await;
    shop.bring(phone, &["A", "B"]).await;
    shop.sold(phone, "1", &["A"]).await;
    let admin = shop.app.admin().await;
    for verb in ["update", "delete", "truncate"] {
        let right = format!(
            "select has_table_privilege('bahi_inventory_app', 'movement_serial', '{verb}')"
        );
        let may: bool = admin.query_one(&right, &[]).await.unwrap().get(0);
        assert!(!may, "{verb}");
    }
    for text in [
        "update movement_serial set tenant_id = tenant_id",
        "delete from movement_serial",
        "truncate movement_serial",
    ] {
        assert!(admin.batch_execute(text).await.is_err(), "{text}");
    }
    shop.assert_sound().await;
    for (text, rule) in [
        (
            "update serial set state = 'gone' where no = 'B'",
            "I11 serials in stock",
        ),
        (
            "update serial set state = 'in_stock', sold_id = null where no = 'A'",
            "I11 a serial is where",
        ),
    ] {
        admin.batch_execute(text).await.unwrap();
        let reply = shop
            .owner
            .get("/api/v1/inventory/integrity")
            .await
            .expect(200);
        let rules = reply.body["differences"].to_string();
        assert!(rules.contains(rule), "{text}: {rules}");
    }
}

/// What may happen to pieces of one product at two places.
#[derive(Clone, Debug)]
enum Step {
    Bring {
        at: usize,
        pieces: usize,
    },
    Sell {
        at: usize,
        pick: usize,
        said: usize,
    },
    Return {
        pick: usize,
        shelf: bool,
    },
    Send {
        from: usize,
        pick: usize,
        pieces: usize,
    },
    Arrive {
        pick: usize,
    },
    Lose {
        at: usize,
        pick: usize,
    },
    Find {
        at: usize,
    },
    Break {
        at: usize,
        pick: usize,
    },
    Count {
        at: usize,
        pick: usize,
        extra: bool,
    },
    Assign {
        pick: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (at, pick) = (0..2usize, 0..64usize);
    prop_oneof![
        3 => (at.clone(), 1..4usize).prop_map(|(at, pieces)| Step::Bring { at, pieces }),
        4 => (at.clone(), pick.clone(), 0..4usize).prop_map(|(at, pick, said)| Step::Sell { at, pick, said }),
        2 => (pick.clone(), any::<bool>()).prop_map(|(pick, shelf)| Step::Return { pick, shelf }),
        2 => (at.clone(), pick.clone(), 1..3usize).prop_map(|(from, pick, pieces)| Step::Send { from, pick, pieces }),
        2 => pick.clone().prop_map(|pick| Step::Arrive { pick }),
        1 => (at.clone(), pick.clone()).prop_map(|(at, pick)| Step::Lose { at, pick }),
        1 => at.clone().prop_map(|at| Step::Find { at }),
        1 => (at.clone(), pick.clone()).prop_map(|(at, pick)| Step::Break { at, pick }),
        1 => (at, pick.clone(), any::<bool>()).prop_map(|(at, pick, extra)| Step::Count { at, pick, extra }),
        2 => pick.prop_map(|pick| Step::Assign { pick }),
    ]
}

/// Where a piece is, as somebody with pencil and paper would write it.
#[derive(Clone, Debug, PartialEq)]
enum Spot {
    Lies(usize, &'static str),
    Way(usize, String),
    Sold(InvoiceId),
    Gone,
}

struct Paper {
    shops: [Shop; 2],
    product: ProductId,
    pieces: BTreeMap<String, Spot>,
    /// Pieces that left a place without a number.
    unnamed: [usize; 2],
    made: usize,
}

impl Paper {
    fn lying(&self, at: usize) -> Vec<String> {
        let lies = |spot: &Spot| *spot == Spot::Lies(at, "sellable");
        self.pieces
            .iter()
            .filter(|(_, s)| lies(s))
            .map(|(no, _)| no.clone())
            .collect()
    }

    fn on_hand(&self, at: usize) -> usize {
        self.lying(at).len() - self.unnamed[at]
    }

    fn new_number(&mut self) -> String {
        self.made += 1;
        format!("N{:03}", self.made)
    }

    async fn run(&mut self, step: &Step) {
        let product = self.product;
        match step {
            Step::Bring { at, pieces } => {
                let fresh: Vec<String> = (0..*pieces).map(|_| self.new_number()).collect();
                let names: Vec<&str> = fresh.iter().map(String::as_str).collect();
                self.shops[*at].bring(product, &names).await;
                for no in fresh {
                    self.pieces.insert(no, Spot::Lies(*at, "sellable"));
                }
            }
            // Most tills scan; some do not.
            Step::Sell { at, pick, said } => {
                let there = self.lying(*at);
                if self.on_hand(*at) == 0 {
                    return;
                }
                if *said == 0 {
                    self.shops[*at].sold(product, "1", &[]).await;
                    self.unnamed[*at] += 1;
                } else {
                    let no = there[pick % there.len()].clone();
                    let invoice = self.shops[*at].sold(product, "1", &[&no]).await;
                    self.pieces.insert(no, Spot::Sold(invoice));
                }
            }
            Step::Return { pick, shelf } => {
                let sold: Vec<(String, InvoiceId)> = self
                    .pieces
                    .iter()
                    .filter_map(|(no, spot)| match spot {
                        Spot::Sold(invoice) => Some((no.clone(), *invoice)),
                        _ => None,
                    })
                    .collect();
                if sold.is_empty() {
                    return;
                }
                let (no, invoice) = sold[pick % sold.len()].clone();
                let (to, spot) = if *shelf {
                    ("restock", Spot::Lies(0, "sellable"))
                } else {
                    ("quarantine", Spot::Lies(0, "quarantine"))
                };
                self.shops[0]
                    .came_back(Some(invoice), product, "1", &[&no], to)
                    .await;
                self.pieces.insert(no, spot);
            }
            Step::Send { from, pick, pieces } => {
                let mut there = self.lying(*from);
                if self.on_hand(*from) < *pieces {
                    return;
                }
                let turn = pick % there.len();
                there.rotate_left(turn);
                there.truncate(*pieces);
                let names: Vec<&str> = there.iter().map(String::as_str).collect();
                let to = self.shops[1 - *from].location;
                let sent = self.shops[*from].send_pieces(to, product, &names).await;
                let id = sent.expect(201).text_at("id");
                for no in there {
                    self.pieces.insert(no, Spot::Way(1 - *from, id.clone()));
                }
            }
            Step::Arrive { pick } => {
                let way: Vec<(String, usize, String)> = self
                    .pieces
                    .iter()
                    .filter_map(|(no, spot)| match spot {
                        Spot::Way(to, id) => Some((no.clone(), *to, id.clone())),
                        _ => None,
                    })
                    .collect();
                if way.is_empty() {
                    return;
                }
                let (no, to, id) = way[pick % way.len()].clone();
                if pick % 3 == 0 {
                    let lost = json!({ "reason": "fell off" });
                    self.shops[0]
                        .transfer(&id, "close-short", lost)
                        .await
                        .expect(200);
                    for (no, ..) in way.into_iter().filter(|w| w.2 == id) {
                        self.pieces.insert(no, Spot::Gone);
                    }
                } else {
                    self.shops[0].arrived(&id, &[&no]).await.expect(200);
                    self.pieces.insert(no, Spot::Lies(to, "sellable"));
                }
            }
            Step::Lose { at, pick } => {
                let there = self.lying(*at);
                if self.on_hand(*at) == 0 {
                    return;
                }
                let no = there[pick % there.len()].clone();
                self.shops[*at]
                    .correct(product, "-1", &[&no])
                    .await
                    .expect(201);
                self.pieces.insert(no, Spot::Gone);
            }
            Step::Find { at } => {
                let gone = self.pieces.iter().find(|(_, s)| **s == Spot::Gone);
                let Some(no) = gone.map(|(no, _)| no.clone()) else {
                    return;
                };
                self.shops[*at]
                    .correct(product, "1", &[&no])
                    .await
                    .expect(201);
                self.pieces.insert(no, Spot::Lies(*at, "sellable"));
            }
            Step::Break { at, pick } => {
                let there = self.lying(*at);
                if self.on_hand(*at) == 0 {
                    return;
                }
                let no = there[pick % there.len()].clone();
                self.shops[*at]
                    .set_pieces(product, "sellable", "damaged", &[&no])
                    .await
                    .expect(201);
                self.pieces.insert(no, Spot::Lies(*at, "damaged"));
            }
            // One is not there, perhaps another is. What was sold without a number explains as many as are missing.
            Step::Count { at, pick, extra } => {
                let mut there = self.lying(*at);
                if there.is_empty() || self.unnamed[*at] > 0 {
                    return;
                }
                let lost = there.remove(pick % there.len());
                let fresh = extra.then(|| self.new_number());
                there.extend(fresh.clone());
                let names: Vec<&str> = there.iter().map(String::as_str).collect();
                let count = self.shops[*at].found(product, &names).await.expect(201);
                let posted = self.shops[*at].approve(&count.text_at("id")).await;
                assert_eq!(posted["state"], "posted");
                self.pieces.insert(lost, Spot::Gone);
                if let Some(no) = fresh {
                    self.pieces.insert(no, Spot::Lies(*at, "sellable"));
                }
            }
            Step::Assign { pick } => {
                let gaps = self.shops[0].gaps(product).await;
                let Some(gap) = gaps.first() else { return };
                let at = usize::from(gap["location_id"] == json!(self.shops[1].location));
                let there = self.lying(at);
                let no = there[pick % there.len()].clone();
                self.shops[at].assign(gap, &[&no]).await.expect(200);
                let invoice = gap["document_id"].as_str().unwrap().parse().unwrap();
                self.unnamed[at] -= 1;
                self.pieces.insert(no, Spot::Sold(invoice));
            }
        }
    }

    async fn agrees(&self) {
        let found = self.shops[0].pieces(self.product).await;
        assert_eq!(found.len(), self.pieces.len());
        for (no, spot) in &self.pieces {
            let (state, at, status) = &found[no];
            let place = |n: usize| self.shops[n].location.to_string();
            match spot {
                Spot::Lies(n, expected) => {
                    assert_eq!(
                        (state.as_str(), at, status.as_str()),
                        ("in_stock", &place(*n), *expected),
                        "{no}"
                    );
                }
                Spot::Way(n, _) => {
                    assert_eq!(
                        (state.as_str(), at, status.as_str()),
                        ("in_stock", &place(*n), "in_transit"),
                        "{no}"
                    );
                }
                Spot::Sold(_) => assert_eq!(state, "sold", "{no}"),
                Spot::Gone => assert_eq!(state, "gone", "{no}"),
            }
        }
        for (at, shop) in self.shops.iter().enumerate() {
            let (_, _, available) = shop.stock(self.product).await;
            assert_eq!(available, q(&self.on_hand(at).to_string()), "at {at}");
        }
        self.shops[0].assert_sound().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_any_sequence_every_piece_is_where_a_plain_list_says() {
    let shop = Shop::open().await;
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, b"every piece has one place alone.");
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for case in 0..4 {
        let steps = prop::collection::vec(step(), 40)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let here = shop.next_tenant().await;
        let there = here.branch().await;
        let product = here.numbered().await;
        let mut paper = Paper {
            shops: [here, there],
            product,
            pieces: BTreeMap::new(),
            unnamed: [0, 0],
            made: 0,
        };
        for (n, step) in steps.iter().enumerate() {
            eprintln!("case {case}, step {n}: {step:?}");
            paper.run(step).await;
            paper.agrees().await;
        }
    }
}
