//! The till without the network.

use bahi_gst::{Discount, Document, Levy, Line, Pricing, RoundOff, TaxRate, compute};
use bahi_testkit::Reply;
use bahi_types::{InvoiceId, ProductId, TillId};
use chrono::{DateTime, Duration, Utc};
use futures::future::join_all;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::Shop;

/// A line of pieces at a price with 5 % inside, as a till computes it.
pub fn frozen(product: ProductId, qty: &str, price: &str, rate: i64) -> Value {
    let line = Line {
        qty: qty.parse().unwrap(),
        unit_price: price.parse().unwrap(),
        pricing: Pricing::Inclusive,
        discount: Discount::None,
        tax: TaxRate::taxable(rate.into(), 0.into()).unwrap(),
    };
    let computed = compute(&Document {
        lines: &[line],
        bill_discount: Discount::None,
        levy: Levy::Intra,
        round_off: RoundOff::None,
    })
    .unwrap();
    let a = &computed.lines[0].amounts;
    let money = |d: rust_decimal::Decimal| bahi_types::Money::rounded(d).to_string();
    json!({ "product_id": product, "qty": qty, "unit_price": price, "price_includes_tax": true, "tax_category": "taxable",
            "rate": rate.to_string(), "taxable": money(a.taxable), "cgst": money(a.cgst), "sgst": money(a.sgst),
            "total": money(a.total()) })
}

fn sum(lines: &[Value]) -> String {
    let amounts = lines.iter().map(|l| l["total"].as_str().unwrap());
    let total: bahi_types::Money = amounts
        .map(|a| a.parse::<bahi_types::Money>().unwrap())
        .sum();
    total.to_string()
}

impl Shop {
    /// A sale for cash, made five minutes ago.
    pub fn away(&self, session: &str, number: &str, lines: Vec<Value>) -> Value {
        let total = sum(&lines);
        json!({ "kind": "sale", "invoice_id": Uuid::now_v7(), "number": number, "session_id": session,
                "cashier_id": self.owner.user, "made_at": self.ago(5), "lines": lines,
                "tenders": [{ "method": "cash", "amount": total }], "total": total })
    }

    fn ago(&self, minutes: i64) -> DateTime<Utc> {
        self.clock.now() - Duration::minutes(minutes)
    }

    /// One piece at 10.00.
    fn one(&self, session: &str, n: u32, goods: ProductId) -> Value {
        self.away(session, &number(n), vec![frozen(goods, "1", "10", 5)])
    }

    pub async fn sync(&self, items: &[Value]) -> Reply {
        self.sync_of(self.till, items).await
    }

    pub async fn sync_of(&self, till: TillId, items: &[Value]) -> Reply {
        let body = json!({ "till_id": till, "sent_at": self.clock.now(), "items": items });
        self.owner.post("/api/v1/pos/sync", body).await
    }

    async fn z(&self, session: &str) -> Value {
        let path = format!("/api/v1/pos/sessions/{session}/z-report");
        self.owner.get(&path).await.expect(200).body
    }
}

fn number(n: u32) -> String {
    format!("P1F/26-27/{n:04}")
}

fn results(reply: &Reply) -> Vec<&str> {
    let items = reply.body["items"].as_array().unwrap();
    items
        .iter()
        .map(|i| i["result"].as_str().unwrap())
        .collect()
}

fn code(reply: &Reply, index: usize) -> &str {
    let problem = &reply.body["items"][index]["problem"];
    problem["code"].as_str().unwrap_or_default()
}

async fn three() -> (Shop, ProductId, String, Vec<Value>) {
    let shop = Shop::open().await;
    let goods = shop.goods("10").await;
    let session = shop.session().await;
    let items = (1..=3).map(|n| shop.one(&session, n, goods)).collect();
    (shop, goods, session, items)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_issued_under_its_own_numbers_and_again_gets_the_same_invoices() {
    let (shop, goods, session, mut items) = three().await;
    items[0]["external_reference"] = json!("WEB-1");
    items[0]["external_date"] = json!("2026-10-01T10:00:00Z");
    let first = shop.sync(&items).await.expect(200);
    assert_eq!(results(&first), ["issued"; 3], "{}", first.text);
    assert_eq!(first.body["missing"], json!([]));
    shop.assert_stock(goods, ("10", "3", "7")).await;
    let again = shop.sync(&items).await.expect(200);
    for (a, b) in [&first, &again].map(|r| r.body["items"].as_array().unwrap().clone())[0]
        .iter()
        .zip(again.body["items"].as_array().unwrap())
    {
        assert_eq!(
            (&a["document_id"], &a["document_number"]),
            (&b["document_id"], &b["document_number"])
        );
        assert_eq!(
            (&a["replayed"], &b["replayed"]),
            (&json!(false), &json!(true))
        );
    }
    // Shuffled, in parts, and all at once.
    let mut shuffled = items.clone();
    shuffled.reverse();
    let parts = [&shuffled[..], &items[..2], &items[1..], &items[..]];
    for reply in join_all(parts.map(|part| shop.sync(part))).await {
        assert!(results(&reply.expect(200)).iter().all(|r| *r == "issued"));
    }
    let path = format!(
        "/api/v1/sales/invoices/{}",
        items[0]["invoice_id"].as_str().unwrap()
    );
    let invoice = shop.owner.get(&path).await.expect(200).body;
    assert_eq!(
        (&invoice["number"], &invoice["total"]),
        (&json!("P1F/26-27/0001"), &json!("10.00"))
    );
    assert_eq!(invoice["cashier_id"], json!(shop.owner.user));
    assert_eq!(
        (&invoice["external_reference"], &invoice["external_date"]),
        (&json!("WEB-1"), &json!("2026-10-01T10:00:00Z"))
    );
    let said = shop.said("invoice.issued").await;
    assert_eq!(said.len(), 3);
    assert_eq!(said[0]["offline"]["sender_id"], json!(shop.owner.user));
    shop.relay().await;
    shop.assert_stock(goods, ("7", "0", "7")).await;
    let report = shop
        .owner
        .get(&format!("/api/v1/pos/sessions/{session}/x-report"))
        .await
        .expect(200)
        .body;
    assert_eq!(
        (&report["sales"], &report["expected_cash"]),
        (&json!(3), &json!("1030.00"))
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sent_at_the_same_time_by_two_lines_each_sale_is_issued_once() {
    let (shop, goods, _, items) = three().await;
    let replies = join_all((0..4).map(|_| shop.sync(&items))).await;
    for reply in replies {
        assert_eq!(results(&reply.expect(200)), ["issued"; 3]);
    }
    shop.relay().await;
    shop.assert_stock(goods, ("7", "0", "7")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_cut_in_the_middle_is_sent_again_and_gaps_are_told_until_they_are_filled() {
    let (shop, _, _, items) = three().await;
    // The first part got lost on the way.
    let rest = shop.sync(&items[2..]).await.expect(200);
    assert_eq!(
        rest.body["missing"],
        json!([{ "prefix": "P1F", "fiscal_year": "26-27", "first": 1, "last": 2 }])
    );
    let second = json!({ "kind": "void", "number": number(2), "cashier_id": shop.owner.user,
                         "made_at": shop.ago(4), "reason": "paper jam" });
    let filled = shop
        .sync(&[items[0].clone(), second.clone()])
        .await
        .expect(200);
    assert_eq!(results(&filled), ["issued", "void"], "{}", filled.text);
    assert_eq!(filled.body["missing"], json!([]));
    // A void number is printed: no sale has it any more, and the void is answered again.
    let late = shop.sync(&[items[1].clone(), second]).await.expect(200);
    assert_eq!(
        (results(&late), code(&late, 0)),
        (vec!["refused", "void"], "NUMBER_REPEATED")
    );
    let path = format!("/api/v1/pos/offline-series?till_id={}", shop.till);
    let series = shop.owner.get(&path).await.expect(200).body;
    assert_eq!(
        (
            &series["items"][0]["prefix"],
            &series["items"][0]["years"][0]["last"]
        ),
        (&json!("P1F"), &json!(3))
    );
    let numbers = shop
        .owner
        .get("/api/v1/pos/offline-numbers")
        .await
        .expect(200)
        .body;
    assert_eq!(numbers["total"], 3);
    let voided = numbers["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|n| n["outcome"] == "void");
    assert_eq!(voided.unwrap()["reason"], "paper jam");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_item_writes_nothing_and_the_others_everything() {
    let (shop, goods, session, items) = three().await;
    let with = |n: u32, f: &dyn Fn(&mut Value)| {
        let mut item = shop.one(&session, n, goods);
        f(&mut item);
        item
    };
    let far = shop.clock.now() + Duration::minutes(11);
    let many: Vec<Value> = (0..10_000).map(|_| json!({})).collect();
    let other_session = Uuid::now_v7();
    let bad: Vec<(Value, &str)> = vec![
        (
            with(2, &|i| i["invoice_id"] = json!(Uuid::now_v7())),
            "NUMBER_REPEATED",
        ),
        (with(10, &|i| i["made_at"] = json!(far)), "IN_FUTURE"),
        (
            with(11, &|i| i["number"] = json!("P1F/24-25/0001")),
            "INVALID",
        ),
        (
            with(12, &|i| {
                i["number"] = json!("P1F/24-25/0012");
                i["made_at"] = json!("2025-03-01T06:00:00Z")
            }),
            "YEAR_CLOSED",
        ),
        (
            with(13, &|i| i["number"] = json!("P1/26-27/0013")),
            "UNKNOWN_SERIES",
        ),
        (
            with(14, &|i| i["lines"][0]["cgst"] = json!("0.23")),
            "DOES_NOT_ADD_UP",
        ),
        (
            with(15, &|i| i["lines"][0]["rate"] = json!("12")),
            "DOES_NOT_ADD_UP",
        ),
        (
            with(16, &|i| i["total"] = json!("11.00")),
            "DOES_NOT_ADD_UP",
        ),
        (
            with(17, &|i| i["tenders"][0]["amount"] = json!("9.00")),
            "DOES_NOT_ADD_UP",
        ),
        (
            with(18, &|i| i["change"] = json!("1.00")),
            "DOES_NOT_ADD_UP",
        ),
        (with(19, &|i| i["lines"][0]["qty"] = json!("0")), "INVALID"),
        (
            with(20, &|i| i["lines"][0]["qty"] = json!("1000000000000000")),
            "INVALID",
        ),
        (with(21, &|i| i["lines"] = json!([])), "INVALID"),
        (with(22, &|i| i["lines"] = json!(many)), "INVALID"),
        (
            with(23, &|i| i["lines"][0]["product_id"] = json!(Uuid::now_v7())),
            "NOT_YET_KNOWN",
        ),
        (
            with(24, &|i| i["session_id"] = json!(other_session)),
            "INVALID",
        ),
        (
            with(25, &|i| i["invoice_id"] = json!(Uuid::new_v4())),
            "INVALID",
        ),
        (with(26, &|i| i["surprise"] = json!(1)), "INVALID"),
        (
            with(27, &|i| i["lines"][0]["discount"] = json!("10.01")),
            "UNCOMPUTABLE",
        ),
        (
            with(28, &|i| {
                i["tenders"] = json!([{ "method": "upi", "amount": "12.00" }]);
                i["change"] = json!("2.00")
            }),
            "CHANGE_NOT_CASH",
        ),
        (json!({ "kind": "gift" }), "INVALID"),
        (json!("nonsense"), "INVALID"),
        (
            json!({ "kind": "void", "number": number(29), "cashier_id": shop.owner.user, "made_at": shop.ago(1), "reason": "a\u{7}b" }),
            "INVALID",
        ),
    ];
    assert_eq!(results(&shop.sync(&items).await.expect(200)), ["issued"; 3]);
    let mut batch: Vec<Value> = bad.iter().map(|(item, _)| item.clone()).collect();
    batch.push(shop.one(&session, 4, goods));
    let reply = shop.sync(&batch).await.expect(200);
    for (n, (item, expected)) in bad.iter().enumerate() {
        let found = &reply.body["items"][n];
        assert_eq!(code(&reply, n), *expected, "{item:.300}: {found}");
        assert_eq!(found["result"], "refused");
    }
    assert_eq!(results(&reply)[bad.len()], "issued");
    shop.relay().await;
    shop.assert_stock(goods, ("6", "0", "6")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_names_its_field_when_it_cannot_be_read_as_a_whole() {
    let (shop, _, _, items) = three().await;
    let send = |body: Value| shop.owner.post("/api/v1/pos/sync", body);
    let body = |items: &[Value]| json!({ "till_id": shop.till, "sent_at": shop.clock.now(), "items": items });
    let too_many = vec![items[0].clone(); 501];
    assert_eq!(
        send(body(&too_many)).await.expect(400).body["errors"][0]["field"],
        "items"
    );
    assert_eq!(send(body(&[])).await.expect(400).code(), "INVALID");
    let mut off = body(&items);
    off["sent_at"] = json!("2028-11-05T06:00:00Z");
    assert_eq!(
        send(off).await.expect(400).body["errors"][0]["field"],
        "sent_at"
    );
    let mut huge = body(&items);
    huge["items"][0]["number"] = json!("x".repeat(5 * 1024 * 1024));
    assert_eq!(send(huge).await.expect(413).code(), "TOO_LARGE");
    let none = json!({ "till_id": TillId::new(), "sent_at": shop.clock.now(), "items": items });
    assert_eq!(send(none).await.expect(404).code(), "NOT_FOUND");
    let weak = shop.cashier(&["sales.pos.use"]);
    weak.post("/api/v1/pos/sync", body(&items))
        .await
        .expect(403);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_till_session_and_invoice_are_unknown() {
    let (shop, goods, session, items) = three().await;
    shop.sync(&items).await.expect(200);
    let other = shop.next_tenant().await;
    let theirs = other.goods("5").await;
    let own = other.session().await;
    assert_eq!(
        other.sync_of(shop.till, &items).await.expect(404).code(),
        "NOT_FOUND"
    );
    let mine = |session: &str, product| other.one(session, 1, product);
    let foreign = [mine(&session, theirs), mine(&own, goods)];
    let reply = other.sync(&foreign).await.expect(200);
    assert_eq!(
        [code(&reply, 0), code(&reply, 1)],
        ["INVALID", "NOT_YET_KNOWN"]
    );
    let mut stolen = other.one(&own, 1, theirs);
    stolen["invoice_id"] = items[0]["invoice_id"].clone();
    // The same number and id in another business are its own.
    assert_eq!(
        results(&other.sync(&[stolen]).await.expect(200)),
        ["issued"]
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_inventory_down_a_batch_is_written_unreserved_and_fast() {
    let shop = Shop::without_stock().await;
    let goods = shop.product("A", "10", true, "taxable", "5").await;
    let session = shop.session().await;
    let items: Vec<_> = (1..=40).map(|n| shop.one(&session, n, goods)).collect();
    let began = std::time::Instant::now();
    let reply = shop.sync(&items).await.expect(200);
    assert_eq!(results(&reply), vec!["issued"; 40], "{}", reply.text);
    assert!(
        began.elapsed().as_secs() < 20,
        "each waits for inventory: {:?}",
        began.elapsed()
    );
    let said = shop.said("invoice.issued").await;
    assert!(
        said.iter()
            .all(|i| i["reservation_id"].is_string() && i["demand_hash"].is_string())
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_short_is_sold_all_the_same_and_owed() {
    let (shop, goods, session, _) = three().await;
    let items = [
        shop.away(&session, &number(1), vec![frozen(goods, "8", "10", 5)]),
        shop.away(&session, &number(2), vec![frozen(goods, "5", "10", 5)]),
    ];
    assert_eq!(results(&shop.sync(&items).await.expect(200)), ["issued"; 2]);
    shop.relay().await;
    shop.assert_stock(goods, ("0", "0", "0")).await;
    shop.receive(goods, "5", "6").await;
    shop.assert_stock(goods, ("2", "0", "2")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_session_gets_a_dated_supplement_and_its_z_report_stays() {
    let (shop, goods, session, items) = three().await;
    shop.sync(&items[..1]).await.expect(200);
    let close =
        json!({ "counted": [{ "method": "cash", "amount": "1010.00" }], "retained": "1000.00" });
    let path = format!("/api/v1/pos/sessions/{session}:close");
    shop.owner.post(&path, close).await.expect(200);
    let before = shop.z(&session).await;
    let note = json!({ "kind": "return", "credit_note_id": Uuid::now_v7(), "number": "P1R/26-27/0001", "session_id": session,
        "cashier_id": shop.owner.user, "made_at": shop.ago(1), "original_invoice_id": items[1]["invoice_id"],
        "lines": [{ "original_line": 1, "qty": "1" }], "refund_tenders": [{ "method": "cash", "amount": "10.00" }],
        "total": "10.00" });
    let mut batch = items[1..].to_vec();
    batch.push(note);
    let reply = shop.sync(&batch).await.expect(200);
    assert_eq!(results(&reply), ["issued"; 3], "{}", reply.text);
    let after = shop.z(&session).await;
    for name in [
        "sales",
        "sold",
        "returns",
        "returned",
        "expected_cash",
        "counts",
        "deposited",
    ] {
        assert_eq!(before[name], after[name], "{name}");
    }
    let supplement = &after["supplements"][0];
    assert_eq!(
        ["date", "sales", "sold", "returns", "returned", "cash"].map(|n| supplement[n].clone()),
        [
            json!("2026-11-05"),
            json!(2),
            json!("20.00"),
            json!(1),
            json!("10.00"),
            json!("10.00")
        ]
    );
    // The next day's arrivals stand apart.
    shop.later(86_400);
    let mut late = shop.one(&session, 4, goods);
    late["made_at"] = json!(shop.ago(24 * 60 + 2));
    shop.sync(&[late]).await.expect(200);
    assert_eq!(
        shop.z(&session).await["supplements"][1]["date"],
        "2026-11-06"
    );
    shop.relay().await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_changed_in_between_is_kept_and_told() {
    let (shop, _, session, _) = three().await;
    let goods = shop.goods("10").await;
    let path = format!("/api/v1/pos/catalogue?till_id={}", shop.till);
    let bundle = shop.owner.get(&path).await.expect(200);
    let head: Value = serde_json::from_str(bundle.text.lines().next().unwrap()).unwrap();
    let sync = async |items: &[Value]| {
        let body = json!({ "till_id": shop.till, "sent_at": shop.clock.now(), "items": items, "catalogue": head["version"] });
        shop.owner.post("/api/v1/pos/sync", body).await.expect(200)
    };
    // A till that charges another price than the one it has read.
    let wrong = shop.away(&session, &number(1), vec![frozen(goods, "1", "9", 5)]);
    let reply = sync(&[wrong]).await;
    let told = |reply: &Reply| reply.body["items"][0]["differences"].clone();
    assert_eq!(
        told(&reply),
        json!([{ "line": 1, "what": "unit_price", "told": "9", "known": "10", "since": false }])
    );
    // A price that changed after it had read.
    shop.sales
        .admin()
        .await
        .execute(
            "update product set price = 12 where product_id = $1",
            &[&goods.uuid()],
        )
        .await
        .unwrap();
    let reply = sync(&[shop.one(&session, 2, goods)]).await;
    assert_eq!(told(&reply)[0]["since"], true, "{}", reply.text);
    let invoice = shop.said("invoice.issued").await.pop().unwrap();
    assert_eq!(
        (
            &invoice["total"],
            &invoice["offline"]["differences"][0]["known"]
        ),
        (&json!("10.00"), &json!("12"))
    );
    let differing = shop
        .owner
        .get("/api/v1/pos/offline-numbers?differing=true")
        .await
        .expect(200);
    assert_eq!(differing.body["total"], 2);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_that_had_been_issued_online_is_answered_with_it_and_its_number_is_void() {
    let (shop, goods, session, items) = three().await;
    let mut online = shop.basket(&session, &[(goods, "1")], "10.00");
    online["invoice_id"] = items[0]["invoice_id"].clone();
    // The answer got lost; the till prints a number of its own.
    let sold = shop
        .owner
        .post("/api/v1/pos/invoice", online.clone())
        .await
        .expect(201);
    for replayed in [false, true] {
        let reply = shop.sync(&items[..1]).await.expect(200);
        let item = &reply.body["items"][0];
        assert_eq!(
            (&item["result"], &item["document_number"], &item["replayed"]),
            (
                &json!("issued_online"),
                &json!(sold.text_at("number")),
                &json!(replayed)
            ),
            "{}",
            reply.text
        );
        assert_eq!(reply.body["missing"], json!([]));
    }
    // Other goods, or other money, under an id that was issued online.
    let mut other = shop.one(&session, 2, goods);
    other["invoice_id"] = items[0]["invoice_id"].clone();
    other["lines"] = json!([frozen(goods, "2", "10", 5)]);
    other["total"] = json!("20.00");
    other["tenders"][0]["amount"] = json!("20.00");
    // That is cancelled on the way, the till's sale issued under an id of its own, and once.
    let id: InvoiceId = items[0]["invoice_id"].as_str().unwrap().parse().unwrap();
    for _ in 0..2 {
        let reply = shop.sync(&[other.clone()]).await.expect(200);
        let item = &reply.body["items"][0];
        assert_eq!(
            item["document_id"],
            json!(InvoiceId::derived(id.uuid(), &number(2))),
            "{}",
            reply.text
        );
        assert_eq!(item["result"], "replaced");
    }
    assert_eq!(shop.said("pos.number_voided").await.len(), 1);
    let cancelled = shop.said("invoice.cancelled").await;
    assert_eq!(cancelled.len(), 1);
    assert_eq!(
        cancelled[0]["refund_tenders"],
        json!([{ "method": "cash", "amount": "10.00", "reference": null }])
    );
    // The first number is answered as it was, whatever became of its invoice since.
    assert_eq!(
        results(&shop.sync(&items[..1]).await.expect(200)),
        ["issued_online"]
    );
    shop.relay().await;
    shop.assert_stock(goods, ("8", "0", "8")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_issued_online_otherwise_is_cancelled_only_where_it_may_be() {
    let (shop, goods, session, items) = three().await;
    let issue = async |n: usize| {
        let mut online = shop.basket(&session, &[(goods, "1")], "10.00");
        online["invoice_id"] = items[n]["invoice_id"].clone();
        shop.owner
            .post("/api/v1/pos/invoice", online)
            .await
            .expect(201);
        let mut other = items[n].clone();
        other["lines"] = json!([frozen(goods, "2", "10", 5)]);
        other["total"] = json!("20.00");
        other["tenders"][0]["amount"] = json!("20.00");
        other
    };
    let (touched, closed, late) = (issue(0).await, issue(1).await, issue(2).await);
    // Something of it came back: a person looks at it, and takes the rest back.
    let undo = json!({ "original_invoice_id": touched["invoice_id"], "session_id": session,
                       "lines": [{ "original_line": 1, "qty": "0.5" }], "refund_tenders": [{ "method": "cash", "amount": "5.00" }] });
    shop.owner
        .post("/api/v1/sales/returns", undo.clone())
        .await
        .expect(201);
    let reply = shop.sync(std::slice::from_ref(&touched)).await.expect(200);
    assert_eq!(code(&reply, 0), "ISSUED_OTHERWISE");
    shop.owner
        .post("/api/v1/sales/returns", undo)
        .await
        .expect(201);
    assert_eq!(
        results(&shop.sync(&[touched]).await.expect(200)),
        ["replaced"]
    );
    // The session is closed: its Z report stays, and a supplement tells.
    let close =
        json!({ "counted": [{ "method": "cash", "amount": "1000.00" }], "retained": "1000.00" });
    let path = format!("/api/v1/pos/sessions/{session}:close");
    shop.owner.post(&path, close).await.expect(200);
    assert_eq!(
        results(&shop.sync(&[closed]).await.expect(200)),
        ["replaced"]
    );
    let report = shop
        .owner
        .get(&format!("/api/v1/pos/sessions/{session}/z-report"))
        .await
        .expect(200);
    let supplement = &report.body["supplements"][0];
    assert_eq!(
        (
            &supplement["sales"],
            &supplement["cancels"],
            &supplement["cancelled"],
            &supplement["cash"]
        ),
        (&json!(1), &json!(1), &json!("10.00"), &json!("10.00")),
        "{}",
        report.text
    );
    // Its business day is over.
    shop.clock.advance(chrono::Duration::hours(24));
    let reply = shop.sync(&[late]).await.expect(200);
    assert_eq!(code(&reply, 0), "ISSUED_OTHERWISE");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_given_up_online_and_made_all_the_same_has_an_id_of_its_own() {
    let (shop, goods, session, items) = three().await;
    let id: InvoiceId = items[0]["invoice_id"].as_str().unwrap().parse().unwrap();
    shop.abandon(id).await.expect(200);
    let derived = InvoiceId::derived(id.uuid(), &number(1));
    for _ in 0..2 {
        let reply = shop.sync(&items[..1]).await.expect(200);
        let item = &reply.body["items"][0];
        assert_eq!(
            (&item["result"], &item["document_id"]),
            (&json!("replaced"), &json!(derived)),
            "{}",
            reply.text
        );
    }
    // The slow first request finds the id closed, and the till's return finds the sale by the id it knows.
    let mut online = shop.basket(&session, &[(goods, "1")], "10.00");
    online["invoice_id"] = json!(id);
    let late = shop
        .owner
        .post("/api/v1/pos/invoice", online)
        .await
        .expect(409);
    assert_eq!(late.code(), "ABANDONED");
    let note = json!({ "kind": "return", "credit_note_id": Uuid::now_v7(), "number": "P1R/26-27/0001", "session_id": session,
        "cashier_id": shop.owner.user, "made_at": shop.ago(1), "original_invoice_id": id,
        "lines": [{ "original_line": 1, "qty": "1" }], "refund_tenders": [{ "method": "cash", "amount": "10.00" }],
        "total": "10.00" });
    assert_eq!(results(&shop.sync(&[note]).await.expect(200)), ["issued"]);
    shop.relay().await;
    shop.assert_stock(goods, ("10", "0", "10")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn returns_stand_in_their_order_with_and_without_bill() {
    let (shop, goods, session, mut items) = three().await;
    let back = |n: u32, body: Value| {
        let mut item = json!({ "kind": "return", "credit_note_id": Uuid::now_v7(), "number": format!("P1R/26-27/{n:04}"),
            "session_id": session, "cashier_id": shop.owner.user, "made_at": shop.ago(1),
            "refund_tenders": [{ "method": "cash", "amount": "10.00" }], "total": "10.00" });
        item.as_object_mut()
            .unwrap()
            .extend(body.as_object().unwrap().clone());
        item
    };
    let line = json!([{ "original_line": 1, "qty": "1" }]);
    // Sold and taken back in one batch; once more is too much; without a bill; by another refund than is due.
    items.push(back(
        1,
        json!({ "original_invoice_id": items[2]["invoice_id"], "lines": line }),
    ));
    items.push(back(
        2,
        json!({ "original_invoice_id": items[2]["invoice_id"], "lines": line }),
    ));
    items.push(back(3, json!({ "goods": [frozen(goods, "1", "10", 5)] })));
    items.push(back(
        4,
        json!({ "original_invoice_id": items[1]["invoice_id"], "lines": line, "total": "9.00",
        "refund_tenders": [{ "method": "cash", "amount": "9.00" }] }),
    ));
    items.push(back(
        5,
        json!({ "original_invoice_id": items[1]["invoice_id"] }),
    ));
    let reply = shop.sync(&items).await.expect(200);
    assert_eq!(
        results(&reply),
        [
            "issued", "issued", "issued", "issued", "refused", "issued", "refused", "refused"
        ],
        "{}",
        reply.text
    );
    assert_eq!(
        [4, 6, 7].map(|n| code(&reply, n)),
        ["EXCEEDS_SOLD", "REFUND_MISMATCH", "INVALID"]
    );
    let again = shop.sync(&items).await.expect(200);
    assert_eq!(results(&again), results(&reply));
    assert_eq!(
        reply.body["missing"],
        json!([{ "prefix": "P1R", "fiscal_year": "26-27", "first": 2, "last": 2 }])
    );
    let weak = shop.cashier(&["sales.pos.sync"]);
    let body = json!({ "till_id": shop.till, "sent_at": shop.clock.now(),
                       "items": [back(6, json!({ "original_invoice_id": items[1]["invoice_id"], "lines": line }))] });
    let refused = weak.post("/api/v1/pos/sync", body).await.expect(200);
    assert_eq!(code(&refused, 0), "FORBIDDEN");
    shop.relay().await;
    shop.assert_stock(goods, ("9", "0", "9")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_till_online_takes_a_number_of_an_offline_series() {
    let (shop, goods, _, items) = three().await;
    shop.sync(&items).await.expect(200);
    let thief = TillId::new();
    shop.add_till(thief, "P1F", false).await;
    let session = shop.open_till(thief, "0").await;
    let refused = shop
        .sell(shop.basket(&session, &[(goods, "1")], "10"))
        .await
        .expect(409);
    assert_eq!(refused.code(), "SERIES_TAKEN");
    let open = |prefix: &str| {
        let body =
            json!({ "registration_id": shop.registration, "purpose": "invoice", "prefix": prefix });
        shop.owner.post("/api/v1/sales/series", body)
    };
    assert_eq!(open("p1r").await.expect(409).code(), "SERIES_TAKEN");
    // One may be chosen before the first session; a till has one of each kind.
    let till = TillId::new();
    shop.add_till(till, "Q7", false).await;
    let choose = |prefix: &str| {
        let body = json!({ "till_id": till, "purpose": "invoice", "prefix": prefix });
        shop.owner.post("/api/v1/pos/offline-series", body)
    };
    assert_eq!(choose("P1F").await.expect(409).code(), "SERIES_TAKEN");
    assert_eq!(choose("away").await.expect(201).text_at("prefix"), "AWAY");
    assert_eq!(choose("MORE").await.expect(409).code(), "ALREADY_EXISTS");
    shop.open_till(till, "0").await;
    let series = shop
        .owner
        .get(&format!("/api/v1/pos/offline-series?till_id={till}"))
        .await
        .expect(200)
        .body;
    let prefixes: Vec<_> = series["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["prefix"].clone())
        .collect();
    assert_eq!(prefixes, [json!("AWAY"), json!("Q7R")]);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_fast_keeps_its_printed_time_and_the_moment_is_ours() {
    let (shop, goods, session, _) = three().await;
    // An hour fast: it shows 07:00 and sold at its 06:30.
    let mut item = shop.one(&session, 1, goods);
    item["made_at"] = json!(shop.clock.now() + Duration::minutes(30));
    let body = json!({ "till_id": shop.till, "sent_at": shop.clock.now() + Duration::hours(1), "items": [item] });
    let reply = shop.owner.post("/api/v1/pos/sync", body).await.expect(200);
    assert_eq!(
        (results(&reply), &reply.body["skew_ms"]),
        (vec!["issued"], &json!(3_600_000)),
        "{}",
        reply.text
    );
    assert_eq!(reply.body["items"][0]["differences"][0]["what"], "clock");
    let event = shop
        .sales
        .events()
        .await
        .into_iter()
        .find(|e| e.event_type == "invoice.issued")
        .unwrap();
    assert_eq!(event.occurred_at, shop.ago(30));
    assert_eq!(event.payload["offline"]["skew_ms"], 3_600_000);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_sales_are_taken_in() {
    let shop = Shop::open().await;
    let goods = shop.goods("1000").await;
    let session = shop.session().await;
    let items: Vec<_> = (1..=500).map(|n| shop.one(&session, n, goods)).collect();
    let began = std::time::Instant::now();
    let reply = shop.sync(&items).await.expect(200);
    println!("500 sales in {:?}", began.elapsed());
    assert_eq!(results(&reply), vec!["issued"; 500]);
    let began = std::time::Instant::now();
    let again = shop.sync(&items).await.expect(200);
    println!("500 again in {:?}", began.elapsed());
    assert!(
        again.body["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|i| i["replayed"] == json!(true))
    );
    shop.relay().await;
    shop.assert_stock(goods, ("500", "0", "500")).await;
    shop.assert_sound().await;
}

/// Two tills, each with a queue of sales that are tried online and offline in any mix, sent in any order and any number
/// of times: each sale is there once, every number is explained, and money and stock are exact.
#[tokio::test(flavor = "multi_thread")]
async fn any_mix_of_online_and_offline_gives_each_sale_exactly_once() {
    let plan = (
        // By till: pieces of each sale, and whether it was also tried online, before or after.
        prop::collection::vec(prop::collection::vec((1u8..4, 0u8..3), 1..6), 2),
        // Which batches are sent: till, from, to, backwards.
        prop::collection::vec((0usize..2, 0usize..6, 1usize..7, any::<bool>()), 1..8),
    );
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(8)
    });
    let mut plans = Vec::new();
    for _ in 0..8 {
        plans.push(plan.new_tree(&mut runner).unwrap().current());
    }
    let first = Shop::open().await;
    for (queues, batches) in plans {
        let shop = first.next_tenant().await;
        let goods = shop.goods("7").await;
        let other = TillId::new();
        shop.add_till(other, "P2", false).await;
        let tills = [shop.till, other];
        let sessions = [shop.session().await, shop.open_till(other, "0").await];
        let mut items: Vec<Vec<Value>> = Vec::new();
        let mut tries = Vec::new();
        for (till, queue) in queues.iter().enumerate() {
            let mut own = Vec::new();
            for (n, (pieces, online)) in (1..).zip(queue) {
                let text = format!("P{}F/26-27/{n:04}", till + 1);
                let pieces = pieces.to_string();
                let item = shop.away(
                    &sessions[till],
                    &text,
                    vec![frozen(goods, &pieces, "10", 5)],
                );
                let mut basket = shop.basket(
                    &sessions[till],
                    &[(goods, &pieces)],
                    item["total"].as_str().unwrap(),
                );
                basket["invoice_id"] = item["invoice_id"].clone();
                tries.push((*online, basket));
                own.push(item);
            }
            items.push(own);
        }
        let online = async |when: u8| {
            let tried = tries.iter().filter(|(at, _)| *at == when);
            join_all(
                tried.map(|(_, basket)| shop.owner.post("/api/v1/pos/invoice", basket.clone())),
            )
            .await
        };
        // Some were tried before the network went, some while it comes back.
        online(1).await;
        let sends = batches.iter().map(|(till, from, to, backwards)| {
            let own = &items[*till];
            let (from, to) = ((*from).min(own.len()), (*to).min(own.len()));
            let mut part = own[from.min(to)..to].to_vec();
            if *backwards {
                part.reverse();
            }
            (tills[*till], part)
        });
        let sends: Vec<_> = sends.filter(|(_, part)| !part.is_empty()).collect();
        let together = join_all(sends.iter().map(|(till, part)| shop.sync_of(*till, part)));
        let (replies, _) = futures::join!(together, online(2));
        for reply in replies {
            let reply = reply.expect(200);
            assert!(!results(&reply).contains(&"refused"), "{}", reply.text);
        }
        for (till, own) in tills.iter().zip(&items) {
            let reply = shop.sync_of(*till, own).await.expect(200);
            assert!(!results(&reply).contains(&"refused"), "{}", reply.text);
            assert_eq!(reply.body["missing"], json!([]));
        }
        let sales: usize = items.iter().map(Vec::len).sum();
        let said = shop.said("invoice.issued").await;
        assert_eq!(said.len(), sales, "each sale once");
        let sold: u32 = queues
            .iter()
            .flatten()
            .map(|(pieces, _)| u32::from(*pieces))
            .sum();
        first.relay().await;
        let (on_hand, reserved, _) = shop.stock(goods).await;
        let left = 7u32.saturating_sub(sold).to_string();
        assert_eq!((on_hand, reserved), (left, "0".to_owned()));
        shop.assert_sound().await;
    }
}
