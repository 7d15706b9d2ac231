//! The worked scenarios 1, 2 and 5 to the paisa, through the gateway of the whole fleet, with the tokens that users have.
//!
//! Of scenario 5f, the crash, here is what somebody at the gateway sees: sales, the consumer and the relay die while tills
//! sell. `crash` and `crash_orders` kill sales and inventory at every other step, and ask the services themselves.
//! Ledger, returns to the tax office, accounts in CRM and loyalty belong to services to come; what these will hear is
//! looked at. How fast it is, the benchmarks measure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bahi_demo::{
    client::{Client as Owner, Refusal, text},
    setup,
};
use bahi_events::{CUSTOMER_CREATED, Customer, CustomerAddress};
use bahi_proof::{Fleet, Gate, How, Process, check_fleet, events, length, payloads, repeat};
use bahi_testkit::{Client, eventually};
use bahi_types::{CustomerId, FiscalYear, Money, business_date};
use chrono::Utc;
use futures::{SinkExt, StreamExt, future::join_all};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};
use uuid::Uuid;

const SALE: &str = "/api/v1/pos/invoice";

/// What was made, or why not.
type Outcome = Result<Value, Refusal>;

/// A business, and the fleet it has for itself.
struct Town {
    processes: BTreeMap<&'static str, Process>,
    fleet: Fleet,
    /// Its owner, who waits for what is not known yet.
    owner: Owner,
    /// The same, who sees every answer as it comes.
    till: Client,
    location: String,
    /// Of each till, with 2,000.00 in its drawer.
    sessions: Vec<String>,
    tills: Vec<String>,
}

fn key() -> String {
    Uuid::now_v7().to_string()
}

/// A number of this year's series.
fn number(prefix: &str, running: usize) -> String {
    let year = FiscalYear::of(business_date(Utc::now()));
    format!("{prefix}/{year}/{running:04}")
}

impl Town {
    async fn open(tills: usize) -> Self {
        let (fleet, processes) = Fleet::whole().await;
        let gateway = fleet.url("api-gateway");
        let (email, password) = ("owner@bahi.example", "a long enough password");
        let owner = Owner::open(&gateway, email, password, "Scenarios")
            .await
            .expect("registered");
        let (location, tills) = setup::organisation(&owner, tills)
            .await
            .expect("organisation");
        setup::masters(&owner).await.expect("units");
        let sessions = setup::open_tills(&owner, &tills).await.expect("tills");
        let me = owner.get("/api/v1/auth/me").await.expect("me");
        let tenant = text(&me, "tenant_id").expect("tenant").parse().expect("id");
        let door = Client::of(gateway, tenant, &[]);
        let who = json!({ "email": email, "password": password });
        let signed = door.post("/api/v1/auth/login", who).await.expect(200);
        Self {
            processes,
            fleet,
            till: door.with_token(&signed.text_at("access_token")),
            owner,
            location,
            sessions,
            tills,
        }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.owner.post(path, &key(), &body).await;
        answer.unwrap_or_else(|e| panic!("{path}: {e:#}"))
    }

    async fn get(&self, path: &str) -> Value {
        self.till.get(path).await.expect(200).body
    }

    /// Goods of a tax of their own: (name, HSN), price, whether tax is in it, (category, rate).
    async fn product(
        &self,
        (name, hsn): (&str, &str),
        price: &str,
        inclusive: bool,
        (category, rate): (&str, &str),
    ) -> String {
        let rates = json!([{ "valid_from": "2025-09-22", "rate": rate }]);
        let profile = json!({ "name": hsn, "hsn": hsn, "category": category, "rates": rates });
        let find = async |path, field, value: &str, make| {
            let row = self.owner.find_or_post(path, field, value, make).await;
            row.expect(path)["id"].clone()
        };
        let profile = find("/api/v1/tax-profiles", "name", hsn, profile).await;
        let unit = find("/api/v1/units", "code", "PCS", Value::Null).await;
        let product = json!({
            "sku": name, "name": name, "status": "active", "unit_id": unit, "tax_profile_id": profile,
            "price": price, "price_includes_tax": inclusive,
        });
        let made = self.post("/api/v1/products", product).await;
        text(&made, "id").expect("id").to_owned()
    }

    /// Goods at 10.00 with 5 % inside, that came at 6.00.
    async fn goods(&self, name: &str, qty: &str) -> String {
        let product = self
            .product((name, "190531"), "10", true, ("taxable", "5"))
            .await;
        self.receive(&product, qty, "6").await;
        product
    }

    async fn receive(&self, product: &str, qty: &str, cost: &str) {
        let lines = json!([{ "product_id": product, "qty": qty, "unit_cost": cost }]);
        let body = json!({ "location_id": self.location, "lines": lines });
        self.post("/api/v1/inventory/receipts", body).await;
        // Sales has heard of it as well.
        let lines = json!([{ "product_id": product, "qty": "1" }]);
        let buyer = json!({ "name": "Jain Stores", "phone": "9820098200" });
        let body = json!({ "location_id": self.location, "lines": lines, "buyer": buyer });
        self.post("/api/v1/sales/quotations", body).await;
    }

    fn basket(&self, till: usize, lines: &[(&str, &str)], paid: &str) -> Value {
        let lines = lines
            .iter()
            .map(|(p, qty)| json!({ "product_id": p, "qty": qty }));
        json!({ "session_id": self.sessions[till], "lines": lines.collect::<Vec<_>>(),
                "tenders": [{ "method": "cash", "amount": paid }] })
    }

    async fn ask(&self, path: &str, body: Value) -> Outcome {
        self.ask_as(&key(), path, body).await
    }

    /// Asks under a key. What is to be asked again, because the machine is slow, is; no other failure is passed over.
    async fn ask_as(&self, key: &str, path: &str, body: Value) -> Outcome {
        let reply = self.till.post_with_key(path, body.clone(), key).await;
        let again = reply.header("retry-after").is_some();
        match reply.status {
            200 | 201 => Ok(reply.body),
            409 | 503 if again => {
                let answer = self.owner.post(path, key, &body).await;
                answer.map_err(|e| e.downcast().expect("an answer"))
            }
            status => Err(Refusal {
                status,
                code: reply.code().to_owned(),
                problem: reply.body,
            }),
        }
    }

    /// On hand, reserved, available.
    async fn stock(&self, product: &str) -> [String; 3] {
        let at = format!("items={product}&location={}", self.location);
        let path = format!("/api/v1/inventory/availability?{at}");
        let item = self.get(&path).await["items"][0].clone();
        ["on_hand", "reserved", "available"]
            .map(|name| text(&item, name).expect("a level").to_owned())
    }

    /// How much there is, and what it is worth.
    async fn worth(&self, product: &str) -> (Value, Value) {
        let path = format!("/api/v1/inventory/valuation?product={product}");
        let row = self.get(&path).await["items"][0].clone();
        (row["qty"].clone(), row["value"].clone())
    }

    /// The movements of a product but its receipts.
    async fn movements(&self, product: &str) -> Vec<Value> {
        let path = format!("/api/v1/inventory/ledger?product={product}");
        let rows = self.owner.walk(&path).await.expect("the ledger");
        let moved = rows.into_iter().filter(|row| row["kind"] != "receipt");
        moved.collect()
    }

    /// Nothing is lost, doubled or stuck, and there are so many invoices.
    async fn check(&self, invoices: i64) {
        check_fleet(&self.fleet, &self.till, invoices).await;
    }

    /// The one event of this type in the topic of a domain.
    async fn said(&self, domain: &str, event_type: &str) -> Value {
        let said = payloads(&self.fleet.topic(domain), event_type).await;
        let mut said = said.into_values();
        let one = said.next().expect(event_type);
        assert!(said.next().is_none(), "{event_type} twice");
        one
    }

    /// Starts a service anew; the process that was there is killed.
    async fn restart(&mut self, service: &'static str, how: How<'_>) {
        drop(self.processes.remove(service));
        let process = self.fleet.start(service, how).await;
        self.processes.insert(service, process);
    }

    /// Waits until inventory has read billing to its end.
    async fn heard_all(&self) {
        let topic = self.fleet.topic("billing");
        let end = length(&topic).await;
        let books = self.fleet.database("inventory").admin().await;
        let read =
            "select coalesce(sum(next_offset), 0)::bigint from inbox.position where topic = $1";
        eventually(|| async {
            let row = books.query_one(read, &[&topic]).await.ok()?;
            (row.get::<_, i64>(0) >= end).then_some(())
        })
        .await;
    }
}

/// Asserts that `value` is as `expected`; members that `expected` does not name may be anything.
#[track_caller]
fn assert_has(value: &Value, expected: &Value) {
    match (value, expected) {
        (Value::Object(_), Value::Object(members)) => {
            for (name, expected) in members {
                assert!(value.get(name).is_some(), "no {name} in {value}");
                assert_has(&value[name], expected);
            }
        }
        (Value::Array(items), Value::Array(expected)) if items.len() == expected.len() => {
            for (item, expected) in items.iter().zip(expected) {
                assert_has(item, expected);
            }
        }
        _ => assert_eq!(value, expected),
    }
}

/// A line within the state: product, HSN, quantity, rate, taxable value, each half of the tax, total.
fn line(product: &str, hsn: &str, [qty, rate, taxable, half, total]: [&str; 5]) -> Value {
    json!({ "product_id": product, "hsn": hsn, "qty": qty, "rate": rate, "taxable": taxable,
            "tax": { "cgst": half, "sgst": half, "igst": "0.00", "cess": "0.00" }, "total": total })
}

/// The lines of a receipt that say what is taxed at a rate.
fn taxed([rate, taxable, cgst, sgst]: [&str; 4]) -> String {
    format!("<span>{rate}</span><span>{taxable}</span><span>{cgst}</span><span>{sgst}</span>")
}

fn today() -> String {
    business_date(Utc::now()).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_1_a_b2b_invoice_with_discounts_and_round_off_and_what_it_cost() {
    let town = Town::open(1).await;
    let taxed_at = |rate| ("taxable", rate);
    let shampoo = town
        .product(("Shampoo 340", "330510"), "199", false, taxed_at("5"))
        .await;
    let charger = town
        .product(("Charger 20W", "850440"), "349.50", false, taxed_at("18"))
        .await;
    let cola = town
        .product(("Cola 750", "220210"), "38.75", false, taxed_at("40"))
        .await;
    for (product, qty, cost) in [
        (&shampoo, "10", "120"),
        (&shampoo, "20", "125"),
        (&charger, "1", "210"),
        (&charger, "5", "205.50"),
        (&cola, "24", "24.60"),
        (&cola, "24", "25"),
    ] {
        town.receive(product, qty, cost).await;
    }
    let registration = town.get("/api/v1/registrations").await["items"][0]["id"].clone();
    let series = json!({ "registration_id": registration, "purpose": "invoice", "prefix": "MH" });
    town.post("/api/v1/sales/series", series).await;
    let plan = json!({ "name": "One per cent", "basis": "invoiced", "valid_from": today(),
                       "rules": [{ "gives": { "percent": "1" } }] });
    let plan = town.post("/api/v1/sales/commission-plans", plan).await;
    let activate = format!(
        "/api/v1/sales/commission-plans/{}:activate",
        text(&plan, "plan_id").expect("plan")
    );
    town.post(&activate, json!({})).await;

    let sale = json!({
        "location_id": town.location,
        "buyer": { "name": "Jain Stores", "gstin": "27AAJCS5738D1Z6", "phone": "9820098200", "address": "Pune", "state_code": "27" },
        "lines": [
            { "product_id": shampoo, "qty": "12", "discount": { "percent": "10" } },
            { "product_id": charger, "qty": "3", "discount": { "amount": "50.00" } },
            { "product_id": cola, "qty": "24" },
        ],
        "bill_discount": { "amount": "100.00" },
    });
    let invoice = town.post("/api/v1/sales/invoices", sale).await;
    // The answer and the event that ledger, GSTR-1 and e-invoice are made from say the same.
    let figures = json!({
        "number": number("MH", 1), "date": today(), "type": "B2B", "gstin_supplier": "27AAPFU0939F1ZV", "reverse_charge": false,
        "lines": [
            line(&shampoo, "330510", ["12", "5", "2096.50", "52.41", "2201.32"]),
            line(&charger, "850440", ["3", "18", "974.01", "87.66", "1149.33"]),
            line(&cola, "220210", ["24", "40", "907.19", "181.44", "1270.07"]),
        ],
        "taxable": "3977.70", "tax": { "cgst": "321.51", "sgst": "321.51", "igst": "0.00", "cess": "0.00" },
        "round_off": "0.28", "total": "4621.00", "currency": "INR",
        "tenders": [{ "method": "credit", "amount": "4621.00" }], "change": "0.00",
    });
    assert_has(&invoice, &figures);
    let shown = json!({
        "place_of_supply": "27", "inter_state": false, "gross": "4366.50", "discount": "388.80",
        "payment_status": "unpaid", "open": "4621.00", "buyer": { "gstin": "27AAJCS5738D1Z6" },
        "lines": [
            { "gross": "2388.00", "discount": "238.80", "bill_discount": "52.70" },
            { "gross": "1048.50", "discount": "50.00", "bill_discount": "24.49" },
            { "gross": "930.00", "discount": "0.00", "bill_discount": "22.81" },
        ],
    });
    assert_has(&invoice, &shown);
    let path = format!(
        "/api/v1/sales/invoices/{}",
        text(&invoice, "invoice_id").expect("id")
    );
    assert_eq!(town.get(&path).await, invoice);

    town.check(1).await;
    let said = town.said("billing", "invoice.issued").await;
    assert_has(&said, &figures);
    // As the e-invoice wants it: one discount a line.
    let discounts = ["291.50", "74.49", "22.81"].map(|d| json!({ "discount": d }));
    assert_has(
        &said,
        &json!({ "gstin_buyer": "27AAJCS5738D1Z6", "pos": "27", "lines": discounts }),
    );

    // First in, first out: what left cost 10 x 120 + 2 x 125, 210 + 2 x 205.50, 24 x 24.60, and the later layers are there.
    // So it is when the event comes three times.
    for time in 1..=3 {
        let issued = town.said("inventory", "stock.issued").await;
        let cost = |(line, qty, cost): (i32, &str, &str)| json!({ "line": line, "qty": qty, "cost_value": cost });
        let lines = [
            (1, "12", "1450.00"),
            (2, "3", "621.00"),
            (3, "24", "590.40"),
        ];
        assert_has(
            &issued,
            &json!({ "invoice_id": invoice["invoice_id"], "lines": lines.map(cost) }),
        );
        let day = today();
        let sold = format!("/api/v1/inventory/abc?from={day}&to={day}");
        assert_eq!(town.get(&sold).await["total_value"], "2661.40");
        for (product, qty, value) in [
            (&shampoo, "18", "2250.00"),
            (&charger, "3", "616.50"),
            (&cola, "24", "600.00"),
        ] {
            assert_eq!(town.stock(product).await, [qty, "0", qty], "time {time}");
            assert_eq!(town.worth(product).await, (json!(qty), json!(value)));
        }
        repeat(&town.fleet.topic("billing")).await;
        town.heard_all().await;
    }
    town.check(1).await;

    let summary = eventually(|| async {
        let summary = town.get("/api/v1/sales/commissions/summary").await;
        (summary["total"] == 1).then_some(summary)
    })
    .await;
    assert_has(
        &summary["items"],
        &json!([{ "base": "3977.70", "accrued": "39.78", "amount": "39.78" }]),
    );
}

/// Another till, which is told what changes.
struct Ear(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Ear {
    async fn at(town: &Town) -> Self {
        let url = format!("{}/ws/pos", town.fleet.url("api-gateway"));
        let url = url.replacen("http", "ws", 1);
        let mut request = url.into_client_request().expect("a URL");
        let token = format!("Bearer {}", town.till.token());
        let token = token.parse().expect("a header");
        request.headers_mut().insert("authorization", token);
        let (mut socket, _) = connect_async(request).await.expect("a WebSocket");
        let subscribe = json!({ "type": "subscribe" }).to_string();
        socket
            .send(Message::text(subscribe))
            .await
            .expect("subscribed");
        let mut ear = Self(socket);
        assert_eq!(ear.frame().await["type"], "ready");
        ear
    }

    async fn frame(&mut self) -> Value {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(30), self.0.next());
            let next = next.await.expect("in time").expect("open");
            if let Message::Text(text) = next.expect("a frame") {
                return serde_json::from_str(&text).expect("JSON");
            }
        }
    }

    /// Waits until it is told that so much is available.
    async fn told(&mut self, product: &str, available: &str) {
        loop {
            let frame = self.frame().await;
            let mut events = frame["events"].as_array().into_iter().flatten();
            if events.any(|e| e["product_id"] == product && e["available"] == available) {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_2_a_pos_sale_of_mixed_rates_with_split_tender_close_and_return() {
    let town = Town::open(2).await;
    let biscuit = town
        .product(("Biscuit", "190531"), "30", true, ("taxable", "5"))
        .await;
    let cable = town
        .product(("Cable", "854442"), "299", true, ("taxable", "18"))
        .await;
    let milk = town
        .product(("UHT milk", "040120"), "72", true, ("nil", "0"))
        .await;
    for (product, cost) in [(&biscuit, "22"), (&cable, "150"), (&milk, "60")] {
        town.receive(product, "10", cost).await;
    }
    let mut other = Ear::at(&town).await;
    let mut sale = town.basket(0, &[(&biscuit, "2"), (&cable, "1"), (&milk, "1")], "300");
    let upi = json!({ "method": "upi", "amount": "200", "reference": "4711" });
    sale["tenders"].as_array_mut().expect("tenders").push(upi);
    let invoice = town.ask(SALE, sale).await.expect("sold");
    // Lower before the answer, whether or not the goods have been booked out by now.
    assert_eq!(town.stock(&biscuit).await[2], "8");
    other.told(&biscuit, "8").await;

    let figures = json!({
        "number": number("P1", 1), "date": today(), "type": "B2C",
        "lines": [
            line(&biscuit, "190531", ["2", "5", "57.14", "1.43", "60.00"]),
            line(&cable, "854442", ["1", "18", "253.38", "22.81", "299.00"]),
            line(&milk, "040120", ["1", "0", "72.00", "0.00", "72.00"]),
        ],
        "taxable": "382.52", "tax": { "cgst": "24.24", "sgst": "24.24", "igst": "0.00", "cess": "0.00" },
        "round_off": "0.00", "total": "431.00", "change": "69.00",
    });
    assert_has(&invoice, &figures);
    assert_has(
        &invoice,
        &json!({ "payment_status": "paid", "open": "0.00" }),
    );
    let id = text(&invoice, "invoice_id").expect("id").to_owned();
    let receipt = format!("/api/v1/pos/invoices/{id}/receipt?format=html");
    let receipt = town.till.get(&receipt).await.expect(200).text;
    for part in [
        text(&invoice, "number").expect("number").to_owned(),
        "431.00".into(),
        taxed(["5%", "57.14", "1.43", "1.43"]),
        taxed(["18%", "253.38", "22.81", "22.81"]),
        taxed(["0%", "72.00", "0.00", "0.00"]),
    ] {
        assert!(receipt.contains(&part), "{part} in {receipt}");
    }

    let session = &town.sessions[0];
    let petty =
        json!({ "session_id": session, "direction": "out", "amount": "100", "reason": "tea" });
    town.post("/api/v1/pos/cash-movements", petty).await;
    let totals = json!({
        "sales": 1, "sold": "431.00", "sold_tax": "48.48", "change_given": "69.00", "cash_out": "100.00", "expected_cash": "2131.00",
    });
    let at = format!("/api/v1/pos/sessions/{session}");
    assert_has(&town.get(&format!("{at}/x-report")).await, &totals);
    let close = json!({ "retained": "2000", "counted": [{ "method": "cash", "amount": "2130" }, { "method": "upi", "amount": "200" }] });
    let report = town.post(&format!("{at}:close"), close).await;
    assert_has(&report, &totals);
    let counts = json!([
        { "method": "cash", "expected": "2131.00", "counted": "2130.00", "variance": "-1.00" },
        { "method": "upi", "expected": "200.00", "counted": "200.00", "variance": "0.00" },
    ]);
    let closed = json!({ "counts": counts, "retained": "2000.00", "deposited": "130.00" });
    assert_has(&report, &closed);
    assert_eq!(town.get(&format!("{at}/z-report")).await, report);

    town.check(1).await;
    let said = town.said("billing", "invoice.issued").await;
    assert_has(&said, &figures);
    let paid: BTreeMap<_, _> = said["tenders"]
        .as_array()
        .expect("tenders")
        .iter()
        .map(|t| (text(t, "method").expect("method"), t["amount"].clone()))
        .collect();
    assert_eq!(
        paid,
        BTreeMap::from([("cash", json!("300.00")), ("upi", json!("200.00"))])
    );
    let said = town.said("billing", "pos.session_closed").await;
    assert_has(
        &said,
        &json!({ "tenders": counts, "retained": "2000.00", "deposited": "130.00" }),
    );
    let costs = ["44.00", "150.00", "60.00"].map(|cost| json!({ "cost_value": cost }));
    let said = town.said("inventory", "stock.issued").await;
    assert_has(&said, &json!({ "lines": costs }));
    for (product, qty, value) in [
        (&biscuit, "8", "176.00"),
        (&cable, "9", "1350.00"),
        (&milk, "9", "540.00"),
    ] {
        assert_eq!(town.worth(product).await, (json!(qty), json!(value)));
    }

    // The cable comes back to the next session.
    let next = json!({ "till_id": town.tills[0], "opening_float": "2000" });
    let next = town.post("/api/v1/pos/sessions:open", next).await;
    let back = json!({
        "original_invoice_id": id, "session_id": next["session_id"], "lines": [{ "original_line": 2, "qty": "1" }],
        "refund_tenders": [{ "method": "cash", "amount": "299.00" }], "reason": "too short",
    });
    let note = town.post("/api/v1/sales/returns", back).await;
    assert_has(
        &note,
        &json!({ "total": "299.00", "taxable": "253.38", "cgst": "22.81", "sgst": "22.81" }),
    );
    town.check(1).await;
    let said = town.said("billing", "return.processed").await;
    assert_has(
        &said,
        &json!({ "total": "299.00", "taxable": "253.38", "tax": { "cgst": "22.81", "sgst": "22.81" } }),
    );
    let said = town.said("inventory", "stock.returned").await;
    assert_has(&said, &json!({ "lines": [{ "cost_value": "150.00" }] }));
    assert_eq!(town.stock(&cable).await, ["10", "0", "10"]);
    assert_eq!(town.worth(&cable).await, (json!("10"), json!("1500.00")));
}

/// How many were done, by `""`, and how many refused, by code.
fn outcomes(answers: &[Outcome]) -> BTreeMap<&str, usize> {
    let mut outcomes = BTreeMap::new();
    for answer in answers {
        let code = answer.as_ref().err().map_or("", |r| r.code.as_str());
        *outcomes.entry(code).or_default() += 1;
    }
    outcomes
}

/// a, i: the last pieces, and the numbers of those who got them.
async fn the_last_ten_pieces_are_sold_once(town: &Town) {
    let goods = town.goods("a", "10").await;
    let sales = (0..100).map(|_| town.ask(SALE, town.basket(0, &[(&goods, "1")], "10")));
    let answers = join_all(sales).await;
    let expected = [("", 10), ("INSUFFICIENT_STOCK", 90)];
    assert_eq!(outcomes(&answers), expected.into());
    assert_eq!(town.stock(&goods).await[2], "0", "at once");
    let sold = answers.iter().flatten();
    let mut numbers: Vec<_> = sold
        .map(|sale| text(sale, "number").expect("number"))
        .collect();
    numbers.sort_unstable();
    let consecutive: Vec<_> = (1..=10).map(|n| number("P1", n)).collect();
    assert_eq!(numbers, consecutive);
    town.check(10).await;
    assert_eq!(town.stock(&goods).await, ["0", "0", "0"]);
    let moved = town.movements(&goods).await;
    assert_eq!(moved.len(), 10);
    assert!(moved.iter().all(|m| m["qty"] == "-1"), "{moved:?}");
}

/// b.
async fn two_lines_of_one_product_are_refused_together(town: &Town) {
    let goods = town.goods("b", "10").await;
    let both = town.basket(0, &[(&goods, "6"), (&goods, "6")], "120");
    let refused = town.ask(SALE, both).await.expect_err("12 of 10");
    assert_eq!(refused.code, "INSUFFICIENT_STOCK");
    let short = json!([{ "product_id": goods, "lines": [1, 2], "asked": "12", "available": "10" }]);
    assert_eq!(refused.problem["shortages"], short);
    assert_eq!(town.stock(&goods).await, ["10", "0", "10"]);
    town.check(10).await;
    assert!(town.movements(&goods).await.is_empty());
}

/// c.
async fn baskets_in_opposite_order_add_up(town: &Town) {
    let (a, b) = (town.goods("c1", "300").await, town.goods("c2", "300").await);
    let sales = (0..200).map(|n| {
        let lines = if n % 2 == 0 { [&a, &b] } else { [&b, &a] };
        let lines = lines.map(|product| (product.as_str(), "1"));
        town.ask(SALE, town.basket(n % 3, &lines, "20"))
    });
    let answers = join_all(sales).await;
    assert_eq!(outcomes(&answers), [("", 200)].into());
    town.check(210).await;
    for product in [&a, &b] {
        assert_eq!(town.stock(product).await, ["100", "0", "100"]);
        assert_eq!(town.worth(product).await, (json!("100"), json!("600.00")));
        assert_eq!(town.movements(product).await.len(), 200);
    }
    let mut sold = Vec::new();
    for session in &town.sessions {
        let report = town
            .get(&format!("/api/v1/pos/sessions/{session}/x-report"))
            .await;
        sold.push((report["sales"].clone(), report["sold"].clone()));
    }
    let expected = [(77, "1440.00"), (67, "1340.00"), (66, "1320.00")];
    assert_eq!(sold, expected.map(|(n, sum)| (json!(n), json!(sum))));
}

/// d.
async fn a_hold_lapses_or_is_issued_in_part(town: &Town) {
    const HOLDS: &str = "/api/v1/inventory/reservations";
    let goods = town.goods("d", "10").await;
    let lines = json!([{ "product_id": goods, "qty": "4" }]);
    let wish = json!({ "location_id": town.location, "ttl_seconds": 1, "lines": lines });
    let made = town.ask(HOLDS, wish).await.expect("held");
    assert_eq!(made["allocations"][0]["qty"], "4");
    let until = made["deadline"].clone();
    // The second may be over when the answer is here.
    let [_, _, available] = town.stock(&goods).await;
    let over = until
        .as_str()
        .is_some_and(|at| at.parse::<chrono::DateTime<Utc>>().expect("a time") <= Utc::now());
    assert!(available == "6" || over, "{available} until {until}");
    eventually(|| async { (town.stock(&goods).await == ["10", "0", "10"]).then_some(()) }).await;
    let commit = |made: &Value| format!("{HOLDS}/{}:commit", text(made, "id").expect("id"));
    let late = town.ask(&commit(&made), json!({})).await;
    let late = late.expect_err("too late");
    assert_eq!((late.status, &*late.code), (409, "RESERVATION_EXPIRED"));

    let wish = json!({ "location_id": town.location, "ttl_seconds": 600, "lines": lines });
    let made = town.ask(HOLDS, wish).await.expect("held");
    assert_eq!(town.stock(&goods).await, ["10", "4", "6"]);
    let part = json!({ "lines": [{ "line": 1, "qty": "3" }] });
    let issued = town.ask(&commit(&made), part).await.expect("issued");
    assert_eq!(issued["state"], "committed");
    assert_eq!(town.stock(&goods).await, ["7", "0", "7"]);
    let moved = town.movements(&goods).await;
    assert_has(&json!(moved), &json!([{ "qty": "-3", "value": "-18.00" }]));
}

/// e.
async fn twenty_requests_under_one_key_are_one_sale(town: &Town) {
    let goods = town.goods("e", "10").await;
    let basket = town.basket(0, &[(&goods, "2")], "20");
    let same = (0..20).map(|_| town.ask_as("twenty", SALE, basket.clone()));
    let answers = join_all(same).await;
    assert_eq!(outcomes(&answers), [("", 20)].into());
    let mut sales = answers.iter().flatten();
    let first = sales.next().expect("sold");
    assert!(sales.all(|sale| sale == first));
    assert_eq!(first["number"], number("P1", 78));
    let other = town.basket(0, &[(&goods, "3")], "30");
    let other = town.ask_as("twenty", SALE, other).await;
    let other = other.expect_err("another basket");
    assert_eq!(
        (other.status, &*other.code),
        (422, "IDEMPOTENCY_KEY_REUSED")
    );
    town.check(211).await;
    assert_eq!(town.stock(&goods).await, ["8", "0", "8"]);
}

/// g. CRM is to come: the test says of the customer what it will say.
async fn ten_credit_orders_do_not_exceed_the_limit(town: &Town) {
    let goods = town
        .product(("g", "850440"), "1000", true, ("taxable", "18"))
        .await;
    town.receive(&goods, "100", "600").await;
    let customer = CustomerId::new();
    let told = Customer {
        customer_id: customer,
        name: "Jain Stores".into(),
        phone: Some("+919820098200".into()),
        email: None,
        gstin: None,
        addresses: vec![CustomerAddress {
            kind: "billing".into(),
            text: "Pune".into(),
            state_code: "27".into(),
        }],
        customer_group_id: None,
        credit_limit: Some(Money::from(50_000)),
        credit_days: 30,
        status: "active".into(),
    };
    let (fleet, tenant) = (&town.fleet, town.till.tenant);
    fleet.say(CUSTOMER_CREATED.of(customer.uuid(), 1, &told), tenant);
    let account = format!("/api/v1/sales/customers/{customer}/account");
    eventually(|| async { (town.till.get(&account).await.status == 200).then_some(()) }).await;
    let order = async |qty: &str| {
        let lines = json!([{ "product_id": goods, "qty": qty }]);
        let order =
            json!({ "location_id": town.location, "customer_id": customer, "lines": lines });
        let made = town.post("/api/v1/sales/orders", order).await;
        let id = text(&made, "order_id").expect("order");
        format!("/api/v1/sales/orders/{id}:confirm")
    };
    let first = order("45").await;
    town.ask(&first, json!({})).await.expect("confirmed");
    assert_has(
        &town.get(&account).await,
        &json!({ "dues": "0.00", "orders": "45000.00", "advances": "0.00" }),
    );
    let mut orders = Vec::new();
    for _ in 0..10 {
        orders.push(order("4").await);
    }
    let answers = join_all(orders.iter().map(|path| town.ask(path, json!({})))).await;
    let expected = [("", 1), ("CREDIT_LIMIT_EXCEEDED", 9)];
    assert_eq!(outcomes(&answers), expected.into());
    let figures = json!({ "credit_limit": "50000.00", "exposure": "49000.00", "asked": "4000.00", "available": "1000.00" });
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_has(&refused.problem, &figures);
    }
    assert_has(
        &town.get(&account).await,
        &json!({ "dues": "0.00", "orders": "49000.00", "advances": "0.00" }),
    );
    // The refused hold nothing.
    eventually(|| async { (town.stock(&goods).await == ["100", "49", "51"]).then_some(()) }).await;
}

/// h.
async fn the_last_use_of_a_coupon_goes_to_one(town: &Town) {
    let goods = town.goods("h", "60").await;
    let promotion = json!({ "name": "Tenth", "needs_coupon": true, "rule": { "kind": "percent", "percent": "10" } });
    let promotion = town.post("/api/v1/promotions", promotion).await;
    let at = format!(
        "/api/v1/promotions/{}",
        text(&promotion, "id").expect("promotion")
    );
    town.post(&format!("{at}:activate"), json!({})).await;
    let coupon = json!({ "code": "TENTH", "limit": 2 });
    town.post(&format!("{at}/coupons"), coupon).await;
    let mut basket = town.basket(0, &[(&goods, "1")], "9");
    basket["coupons"] = json!(["TENTH"]);
    // As soon as sales has heard of it, the first use; one is left.
    let first = eventually(|| async {
        let answer = town.ask(SALE, basket.clone()).await;
        let unknown = answer.as_ref().is_err_and(|r| r.code == "COUPON_REFUSED");
        (!unknown).then_some(answer)
    });
    assert_eq!(first.await.expect("sold")["total"], "9.00");
    let answers = join_all((0..50).map(|_| town.ask(SALE, basket.clone()))).await;
    let expected = [("", 1), ("COUPON_USED_UP", 49)];
    assert_eq!(outcomes(&answers), expected.into());
    town.check(213).await;
    assert_eq!(town.stock(&goods).await, ["58", "0", "58"]);
}

/// How many deadlocks PostgreSQL has counted in a database that nobody uses any more: what a service heals by trying
/// again is seen here too.
async fn deadlocks(fleet: &Fleet, service: &str) -> i64 {
    let books = fleet.database(service).admin().await;
    let others = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    eventually(|| async {
        let row = books.query_one(others, &[]).await.ok()?;
        (row.get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    let counted = "select deadlocks from pg_stat_database where datname = current_database()";
    let row = books.query_one(counted, &[]).await.expect(counted);
    row.get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_5_however_many_at_once_each_piece_key_limit_and_coupon_is_used_once() {
    let mut town = Town::open(3).await;
    the_last_ten_pieces_are_sold_once(&town).await;
    two_lines_of_one_product_are_refused_together(&town).await;
    baskets_in_opposite_order_add_up(&town).await;
    a_hold_lapses_or_is_issued_in_part(&town).await;
    twenty_requests_under_one_key_are_one_sale(&town).await;
    ten_credit_orders_do_not_exceed_the_limit(&town).await;
    the_last_use_of_a_coupon_goes_to_one(&town).await;
    town.processes.clear();
    for service in ["sales", "inventory"] {
        assert_eq!(deadlocks(&town.fleet, service).await, 0, "{service}");
    }
}

/// What of `events` came before something older of the same aggregate; copies count where they are first.
fn overtaken(events: &[Value]) -> Vec<&Value> {
    let (mut seen, mut last) = (BTreeSet::new(), BTreeMap::new());
    let mut overtaken = Vec::new();
    for event in events {
        if !seen.insert(event["event_id"].to_string()) {
            continue;
        }
        let version = event["aggregate_version"].as_i64().expect("a version");
        let before = last.insert(event["aggregate_id"].to_string(), version);
        if before.is_some_and(|before| before > version) {
            overtaken.push(event);
        }
    }
    overtaken
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_5f_sales_consumer_and_relay_killed_behind_the_gateway_lose_and_double_nothing() {
    let mut town = Town::open(1).await;
    let goods = town.goods("f", "1000").await;
    let basket = town.basket(0, &[(&goods, "2")], "20");

    // Sales, after it has made the sale and before it has said so: the till repeats it, and gets that one.
    let point = "sales.after_commit";
    let how = How {
        pause: point,
        ..How::default()
    };
    town.restart("sales", how).await;
    let (owner, body) = (town.owner.clone(), basket.clone());
    let asked = tokio::spawn(async move { owner.post(SALE, "repeated", &body).await });
    town.fleet.reached(&town.processes["sales"], point).await;
    town.restart("sales", How::default()).await;
    let sold = asked.await.expect("a till").expect("sold");
    assert_eq!(sold["number"], number("P1", 1));
    town.check(1).await;

    // The consumer, after the database has committed the goods out and before it knows.
    let books = town.fleet.database("inventory");
    let gate = Gate::to(&books.url(), "insert into movement_header").await;
    let how = How {
        database: Some(gate.url()),
        ..How::default()
    };
    let books = books.admin().await;
    town.restart("inventory", how).await;
    town.post(SALE, basket.clone()).await;
    let out = "select count(*) from movement_header where source_type = 'invoice'";
    gate.committed(async || books.query_one(out, &[]).await.expect(out).get::<_, i64>(0) == 2)
        .await;
    town.restart("inventory", How::default()).await;
    town.check(2).await;

    // The relay, with records in the topic of which its own books do not know yet, while the tills go on.
    let topic = town.fleet.topic("billing");
    let books = town.fleet.database("sales").admin().await;
    let mut invoices = 2;
    for _ in 0..2 {
        let worker = town.processes.remove("outbox-worker");
        let there = length(&topic).await;
        let hold = "begin; lock table outbox.checkpoint in share mode";
        books.batch_execute(hold).await.expect(hold);
        let sold = (0..10).map(|_| async {
            let invoice = town.post(SALE, basket.clone()).await;
            let back = json!({
                "original_invoice_id": invoice["invoice_id"], "session_id": town.sessions[0], "lines": [{ "original_line": 1, "qty": "1" }],
                "refund_tenders": [{ "method": "cash", "amount": "10.00" }],
            });
            town.post("/api/v1/sales/returns", back).await;
        });
        let dies = async {
            eventually(|| async { (length(&topic).await > there).then_some(()) }).await;
            drop(worker);
        };
        invoices += futures::join!(join_all(sold), dies).0.len();
        // What it had asked of the database dies with it.
        let gone = "select pg_terminate_backend(pid, 5000) from pg_locks where relation = 'outbox.checkpoint'::regclass and not granted";
        books.batch_execute(gone).await.expect(gone);
        books.batch_execute("rollback").await.expect("rollback");
        town.restart("outbox-worker", How::default()).await;
        town.check(invoices as i64).await;
    }
    let said = events(&topic).await;
    assert_eq!(overtaken(&said), Vec::<&Value>::new());
    let ids: BTreeSet<_> = said.iter().map(|e| e["event_id"].to_string()).collect();
    assert!(ids.len() < said.len(), "nothing came twice");
    let returned = payloads(&topic, "return.processed").await;
    assert_eq!(returned.len(), invoices - 2);
    let left = 1000 - 2 * 2 - (invoices - 2);
    assert_eq!(town.stock(&goods).await[0], left.to_string());
}
