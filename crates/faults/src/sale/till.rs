//! A till: what it does is drawn from the seed, and each thing it asks it asks until it is answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bahi_testkit::{Client, Reply};
use bahi_types::{FiscalYear, business_date};
use chrono::Utc;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::{
    book::{Book, Document, Kind},
    mutants::Mutant,
    shop::{Shop, Thing},
};

/// A till waits so long for an answer before it asks again.
const PATIENCE: Duration = Duration::from_secs(6);
/// After so many tries without an answer a till sells without the network.
const TRIES: usize = 3;

/// What all tills are told.
#[derive(Clone)]
pub struct Errand {
    stop: Arc<AtomicBool>,
    /// A till is to send one sale under two ids, and note one.
    twice: Arc<AtomicBool>,
}

impl Errand {
    /// To sell until they are stopped.
    pub fn new(mutant: Option<Mutant>) -> Self {
        Self {
            stop: Arc::default(),
            twice: Arc::new((mutant == Some(Mutant::Doubled)).into()),
        }
    }

    /// Lets the tills finish what they do.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A sale for cash that may come back.
struct Sold {
    invoice: Uuid,
    /// Of its first line.
    thing: Thing,
    left: i64,
    total: String,
}

/// A request that was answered for good.
struct Answered {
    reply: Reply,
    /// An earlier try of it may still be under way.
    unsure: bool,
}

/// Where something is asked.
#[derive(Clone, Copy)]
enum At {
    Sales,
    Stock,
}

/// A till.
pub struct Till {
    number: usize,
    id: Uuid,
    rng: StdRng,
    shop: Arc<Shop>,
    book: Arc<Book>,
    errand: Errand,
    cashier: String,
    session: String,
    /// Prefixes of its own series, of invoices and of credit notes, and the last numbers given.
    series: [(String, u32); 2],
    sold: Vec<Sold>,
    /// What was made without the network and is not received yet.
    unsent: Vec<Value>,
}

/// A basket as a request names it.
fn lines_of(basket: &[(Thing, i64)]) -> Vec<Value> {
    basket
        .iter()
        .map(|(thing, qty)| json!({ "product_id": thing.id, "qty": qty.to_string() }))
        .collect()
}

/// What a basket costs.
fn worth(basket: &[(Thing, i64)]) -> String {
    rupees(basket.iter().map(|(thing, qty)| thing.times * qty).sum())
}

fn rupees(times: i64) -> String {
    format!("{}.00", times * 118)
}

fn text(body: &Value, name: &str) -> String {
    body[name].as_str().unwrap_or_default().to_owned()
}

fn id(body: &Value, name: &str) -> Uuid {
    text(body, name).parse().unwrap_or_default()
}

fn document(body: &Value, total: &str) -> Document {
    Document {
        number: text(body, "number"),
        total: body[total].as_str().map(str::to_owned),
    }
}

/// Whether asking again may give another answer.
fn passes(reply: &Reply) -> bool {
    reply.status >= 500
        || matches!(reply.status, 408 | 429)
        || reply.code() == "IDEMPOTENCY_KEY_BUSY"
}

impl Till {
    /// One of the shop's.
    pub fn new(
        number: usize,
        seed: u64,
        shop: &Arc<Shop>,
        book: &Arc<Book>,
        errand: &Errand,
    ) -> Self {
        Self {
            number,
            id: shop.tills[number],
            rng: StdRng::seed_from_u64(seed.wrapping_mul(1_000_003) ^ number as u64),
            shop: shop.clone(),
            book: book.clone(),
            errand: errand.clone(),
            cashier: shop.sales.user.to_string(),
            session: String::new(),
            series: Default::default(),
            sold: Vec::new(),
            unsent: Vec::new(),
        }
    }

    fn client(&self, at: At) -> Client {
        // A token lasts a minute.
        match at {
            At::Sales => self.shop.sales.with_permissions(&["*"]),
            At::Stock => self.shop.stock.with_permissions(&["*"]),
        }
    }

    fn chance(&mut self, one_in: u32) -> bool {
        self.rng.random_ratio(1, one_in)
    }

    async fn pause(&mut self, milliseconds: std::ops::Range<u64>) {
        let time = self.rng.random_range(milliseconds);
        sleep(Duration::from_millis(time)).await;
    }

    /// Asks until there is an answer that stays, or so many tries are over.
    async fn ask_for(
        &mut self,
        tries: usize,
        what: &'static str,
        client: &Client,
        path: &str,
        body: &Value,
    ) -> Option<Answered> {
        let key = Uuid::now_v7().to_string();
        self.book.waits(self.number, Some(format!("{what} {path}")));
        let mut unsure = false;
        let mut answered = None;
        for _ in 0..tries {
            // Now and then the line is cut while the answer is on its way.
            let cut = self.chance(12);
            let patience = if cut {
                Duration::from_millis(self.rng.random_range(1..60))
            } else {
                PATIENCE
            };
            let client = client.with_permissions(&["*"]);
            let asked = client.try_post_with_key(path, body.clone(), &key);
            let Ok(Some(reply)) = timeout(patience, asked).await else {
                unsure = true;
                let how = if cut { "cut" } else { "no answer" };
                self.book.answered(what, how.to_owned());
                self.pause(50..400).await;
                continue;
            };
            let told = format!("{} {}", reply.status, reply.code());
            self.book.answered(what, told.trim().to_owned());
            if passes(&reply) {
                unsure = true;
                self.pause(100..500).await;
                continue;
            }
            answered = Some(Answered { reply, unsure });
            break;
        }
        self.book.waits(self.number, None);
        // A good answer is had again, whatever happened.
        if let Some(first) = answered.as_ref().filter(|a| a.reply.status < 300)
            && what != "sync"
            && self.chance(15)
        {
            let client = client.with_permissions(&["*"]);
            let again = client.try_post_with_key(path, body.clone(), &key);
            if let Ok(Some(again)) = timeout(PATIENCE, again).await
                && !passes(&again)
            {
                self.book.answered(what, format!("{} again", again.status));
                let same = ["number", "invoice_id", "total", "order_id", "fulfilment_id"]
                    .iter()
                    .all(|name| first.reply.body[name] == again.body[name]);
                if !same {
                    let wrong = format!(
                        "ANSWERED OTHERWISE: {path} {} then {}",
                        first.reply.text, again.text
                    );
                    self.book.wrong(wrong);
                }
            }
        }
        answered
    }

    async fn ask(&mut self, what: &'static str, at: At, path: &str, body: &Value) -> Answered {
        let client = self.client(at);
        loop {
            if let Some(answered) = self.ask_for(usize::MAX, what, &client, path, body).await {
                return answered;
            }
        }
    }

    /// What was asked of sales and granted; none when it was refused.
    async fn done(&mut self, what: &'static str, path: &str, body: &Value) -> Option<Value> {
        let answered = self.ask(what, At::Sales, path, body).await;
        if answered.reply.status < 300 {
            return Some(answered.reply.body);
        }
        let made = match what {
            "return" => Some(Kind::Return),
            "cancel" => Some(Kind::Cancellation),
            "order" => Some(Kind::Order),
            "deliver" => Some(Kind::Delivery),
            "bill" => Some(Kind::Invoice),
            "receipt" => Some(Kind::Receipt),
            // The others make no document.
            _ => None,
        };
        if let Some(kind) = made.filter(|_| answered.unsure) {
            let amount = body["amount"].as_str().map(str::to_owned);
            self.book.unsure(kind, amount);
        }
        None
    }

    /// Sells until it is stopped, and brings everything to its end.
    pub async fn run(mut self) {
        self.open().await;
        while !self.errand.over() {
            self.pause(100..500).await;
            match self.rng.random_range(0..100) {
                0..44 => self.sale().await,
                44..54 => self.scarce_sale().await,
                54..62 => self.take_back().await,
                62..67 => self.cancel().await,
                67..75 => self.order().await,
                75..81 => self.credit().await,
                81..85 => self.hold().await,
                85..88 => self.give_up().await,
                88..97 => self.away().await,
                97..99 => self.change_session().await,
                _ => self.count().await,
            }
        }
        self.sync().await;
    }

    async fn open(&mut self) {
        let body = json!({ "till_id": self.id, "opening_float": "100000" });
        loop {
            let opened = self.done("open", "/api/v1/pos/sessions:open", &body).await;
            if let Some(opened) = opened {
                self.session = text(&opened, "session_id");
                break;
            }
            // Until sales knows the till.
            self.pause(200..400).await;
        }
        if self.series[0].0.is_empty() {
            let path = format!("/api/v1/pos/offline-series?till_id={}", self.id);
            loop {
                let request = self.client(At::Sales).request(reqwest::Method::GET, &path);
                let answer = async { request.send().await?.json::<Value>().await };
                if let Ok(Ok(body)) = timeout(PATIENCE, answer).await
                    && let Some(items) = body["items"].as_array()
                {
                    for (slot, purpose) in ["invoice", "credit_note"].into_iter().enumerate() {
                        let own = items.iter().find(|i| i["purpose"] == purpose);
                        self.series[slot].0 =
                            own.map(|own| text(own, "prefix")).unwrap_or_default();
                    }
                    break;
                }
                self.pause(200..400).await;
            }
        }
    }

    fn basket(&mut self) -> Vec<(Thing, i64)> {
        let mut goods: Vec<Thing> = self.shop.things.clone();
        goods.push(self.shop.counted);
        let lines = self.rng.random_range(1..4);
        let picked: Vec<Thing> = goods
            .choose_multiple(&mut self.rng, lines)
            .copied()
            .collect();
        picked
            .into_iter()
            .map(|thing| (thing, self.rng.random_range(1..4)))
            .collect()
    }

    async fn sale(&mut self) {
        let basket = self.basket();
        self.sell(&basket).await;
    }

    async fn scarce_sale(&mut self) {
        let basket = [(self.shop.scarce, self.rng.random_range(1..3))];
        self.sell(&basket).await;
    }

    /// A sale for cash or by UPI, by an id of the till's or by the key alone.
    async fn sell(&mut self, basket: &[(Thing, i64)]) {
        let total = worth(basket);
        let lines = lines_of(basket);
        let method = if self.chance(5) { "upi" } else { "cash" };
        let mut body = json!({ "session_id": self.session, "lines": lines,
                               "tenders": [{ "method": method, "amount": total }] });
        let own = (!self.chance(5)).then(Uuid::now_v7);
        if let Some(own) = own {
            body["invoice_id"] = json!(own);
        }
        let path = "/api/v1/pos/invoice";
        let client = self.client(At::Sales);
        let tries = if own.is_some() && method == "cash" {
            TRIES
        } else {
            usize::MAX
        };
        let Some(answered) = self.ask_for(tries, "sale", &client, path, &body).await else {
            // The network is away: the till keeps the id and sells by itself.
            if let Some(own) = own {
                self.sell_away(own, basket);
                self.away().await;
            }
            return;
        };
        let reply = &answered.reply;
        if reply.status == 201 {
            let invoice = id(&reply.body, "invoice_id");
            if text(&reply.body, "total") != total || own.is_some_and(|own| own != invoice) {
                let wrong = format!("ANSWERED OTHERWISE: {body} is {}", reply.text);
                self.book.wrong(wrong);
            }
            self.book
                .told(Kind::Invoice, invoice, document(&reply.body, "total"));
            if method == "cash" {
                self.keep(invoice, basket, &total);
            }
            if own.is_some() && self.errand.twice.swap(false, Ordering::Relaxed) {
                body["invoice_id"] = json!(Uuid::now_v7());
                self.ask_for(usize::MAX, "sale", &client, path, &body).await;
            }
            return;
        }
        match own {
            // No refusal is the last word while another request on the id may be under way.
            Some(own) if answered.unsure => self.abandon(own, &total).await,
            Some(own) => self.book.refused(own),
            None if answered.unsure => self.book.unsure(Kind::Invoice, Some(total)),
            None => {}
        }
    }

    fn keep(&mut self, invoice: Uuid, basket: &[(Thing, i64)], total: &str) {
        let (thing, qty) = basket[0];
        self.sold.push(Sold {
            invoice,
            thing,
            left: qty,
            total: total.to_owned(),
        });
        if self.sold.len() > 40 {
            self.sold.remove(0);
        }
    }

    /// Gives an id up, or learns that it was sold.
    async fn abandon(&mut self, invoice: Uuid, total: &str) {
        let path = format!("/api/v1/pos/invoices/{invoice}:abandon");
        let answered = self.ask("abandon", At::Sales, &path, &json!({})).await;
        let reply = answered.reply;
        if reply.status < 300 {
            self.book.refused(invoice);
        } else if reply.code() == "ALREADY_ISSUED" {
            let told = Document {
                number: text(&reply.body, "number"),
                total: Some(total.to_owned()),
            };
            self.book.told(Kind::Invoice, invoice, told);
        } else {
            let wrong = format!("STRANGE: {path} {}", reply.text);
            self.book.wrong(wrong);
        }
    }

    /// A customer who leaves during a slow sale.
    async fn give_up(&mut self) {
        let basket = self.basket();
        let total = worth(&basket);
        let lines = lines_of(&basket);
        let own = Uuid::now_v7();
        let body = json!({ "invoice_id": own, "session_id": self.session, "lines": lines,
                           "tenders": [{ "method": "cash", "amount": total }] });
        let (client, key) = (self.client(At::Sales), own.to_string());
        let asked = client.try_post_with_key("/api/v1/pos/invoice", body, &key);
        let patience = Duration::from_millis(self.rng.random_range(0..25));
        timeout(patience, asked).await.ok();
        self.book.answered("sale", "left".to_owned());
        self.abandon(own, &total).await;
    }

    async fn take_back(&mut self) {
        let Some(place) = self.sold.iter().position(|sold| sold.left > 0) else {
            return;
        };
        let sold = &mut self.sold[place];
        sold.left -= 1;
        let (invoice, amount) = (sold.invoice, rupees(sold.thing.times));
        let body = json!({
            "original_invoice_id": invoice, "session_id": self.session, "reason": "too small",
            "lines": [{ "original_line": 1, "qty": "1" }],
            "refund_tenders": [{ "method": "cash", "amount": amount }],
        });
        let done = self.done("return", "/api/v1/sales/returns", &body).await;
        if let Some(made) = done {
            self.book.told(
                Kind::Return,
                id(&made, "credit_note_id"),
                document(&made, "total"),
            );
        }
    }

    async fn cancel(&mut self) {
        let Some(sold) = self.sold.pop() else {
            return;
        };
        let tenders = json!([{ "method": "cash", "amount": sold.total }]);
        self.cancel_invoice(sold.invoice, &tenders).await;
    }

    async fn cancel_invoice(&mut self, invoice: Uuid, refund: &Value) {
        let path = format!("/api/v1/sales/invoices/{invoice}:cancel");
        let body = json!({ "reason_code": "data_entry", "refund_tenders": refund });
        if let Some(now) = self.done("cancel", &path, &body).await {
            let told = Document {
                number: text(&now, "number"),
                total: None,
            };
            self.book.told(Kind::Cancellation, invoice, told);
        }
    }

    async fn order(&mut self) {
        let basket = self.basket();
        let lines = lines_of(&basket);
        let customer = *self
            .shop
            .customers
            .choose(&mut self.rng)
            .unwrap_or(&self.id);
        let body = json!({ "location_id": self.shop.location, "lines": lines,
                           "round_to_rupee": false, "customer_id": customer });
        let Some(order) = self.done("order", "/api/v1/sales/orders", &body).await else {
            return;
        };
        let told = Document {
            number: text(&order, "number"),
            total: None,
        };
        let order = id(&order, "order_id");
        self.book.told(Kind::Order, order, told);
        let act = |verb: &str| format!("/api/v1/sales/orders/{order}:{verb}");
        if self
            .done("confirm", &act("confirm"), &json!({}))
            .await
            .is_none()
        {
            return;
        }
        if self.chance(3) {
            self.done("end order", &act("cancel"), &json!({})).await;
            return;
        }
        // A part first, now and then.
        let part = if self.chance(2) {
            json!({ "lines": [{ "line": 1, "qty": "1" }] })
        } else {
            json!({})
        };
        let Some(left) = self.done("deliver", &act("fulfil"), &part).await else {
            return;
        };
        let told = Document {
            number: text(&left, "number"),
            total: None,
        };
        self.book
            .told(Kind::Delivery, id(&left, "fulfilment_id"), told);
        let Some(bill) = self.done("bill", &act("invoice"), &json!({})).await else {
            return;
        };
        let invoice = id(&bill, "invoice_id");
        self.book
            .told(Kind::Invoice, invoice, document(&bill, "total"));
        if self.chance(4) {
            self.cancel_invoice(invoice, &json!([])).await;
        }
    }

    /// A sale on credit, and later some money.
    async fn credit(&mut self) {
        let customer = *self
            .shop
            .customers
            .choose(&mut self.rng)
            .unwrap_or(&self.id);
        let basket = self.basket();
        let total = worth(&basket);
        let lines = lines_of(&basket);
        let own = Uuid::now_v7();
        let body = json!({ "invoice_id": own, "session_id": self.session, "lines": lines,
                           "customer_id": customer, "tenders": [{ "method": "credit", "amount": total }] });
        let answered = self
            .ask("credit", At::Sales, "/api/v1/pos/invoice", &body)
            .await;
        if answered.reply.status == 201 {
            let told = document(&answered.reply.body, "total");
            self.book.told(Kind::Invoice, own, told);
        } else if answered.unsure {
            self.abandon(own, &total).await;
        } else {
            self.book.refused(own);
        }
        let body = json!({ "customer_id": customer, "session_id": self.session, "method": "cash",
                           "amount": rupees(self.rng.random_range(1..4)) });
        if let Some(made) = self.done("receipt", "/api/v1/sales/receipts", &body).await {
            self.book.told(
                Kind::Receipt,
                id(&made, "receipt_id"),
                document(&made, "amount"),
            );
        }
    }

    async fn hold(&mut self) {
        let lines = json!([{ "product_id": self.shop.counted.id, "qty": "1" }]);
        let body =
            json!({ "session_id": self.session, "label": "waits", "basket": { "lines": lines } });
        let Some(held) = self.done("hold", "/api/v1/pos/hold", &body).await else {
            return;
        };
        let bill = text(&held, "held_bill_id");
        let path = |verb: &str| format!("/api/v1/pos/held-bills/{bill}:{verb}");
        if self.chance(2) {
            self.done("hold", &path("discard"), &json!({})).await;
        } else {
            let body = json!({ "session_id": self.session });
            self.done("hold", &path("resume"), &body).await;
        }
    }

    /// The drawer is counted blindly and another session opened; what was made in the old one comes later.
    async fn change_session(&mut self) {
        let away = self.chance(2);
        if away {
            let basket = self.basket();
            self.sell_away(Uuid::now_v7(), &basket);
        }
        let path = format!("/api/v1/pos/sessions/{}:close", self.session);
        let counted =
            json!([{ "method": "cash", "amount": "100000" }, { "method": "upi", "amount": "0" }]);
        let body = json!({ "counted": counted, "retained": "0" });
        self.done("close", &path, &body).await;
        self.open().await;
        if away {
            self.sync().await;
        }
    }

    async fn count(&mut self) {
        let path = "/api/v1/inventory/counts";
        let lines = json!([{ "product_id": self.shop.counted.id }]);
        let body = json!({ "location_id": self.shop.location, "lines": lines });
        let made = self.ask("count", At::Stock, path, &body).await.reply;
        if made.status >= 300 {
            return;
        }
        let of = |verb: &str| format!("{path}/{}{verb}", text(&made.body, "id"));
        let qty = 900_000 + self.rng.random_range(0..100_000);
        let counted =
            json!({ "lines": [{ "product_id": self.shop.counted.id, "qty": qty.to_string() }] });
        let looked = self.ask("count", At::Stock, &of("/lines"), &counted).await;
        if looked.reply.status >= 300 {
            return;
        }
        self.ask("count", At::Stock, &of(":submit"), &json!({}))
            .await;
        let colleague = Client::of(self.shop.stock_url.clone(), self.shop.stock.tenant, &["*"]);
        self.ask_for(usize::MAX, "count", &colleague, &of(":approve"), &json!({}))
            .await;
    }

    // ---- without the network

    fn printed(&mut self, slot: usize) -> String {
        let year = FiscalYear::of(business_date(Utc::now()));
        let (prefix, last) = &mut self.series[slot];
        *last += 1;
        format!("{prefix}/{year}/{last:04}")
    }

    /// A sale for cash that the till makes by itself.
    fn sell_away(&mut self, invoice: Uuid, basket: &[(Thing, i64)]) {
        let total = worth(basket);
        let lines: Vec<Value> = basket
            .iter()
            .map(|(thing, qty)| {
                let times = thing.times * qty;
                json!({
                    "product_id": thing.id, "qty": qty.to_string(), "unit_price": (thing.times * 118).to_string(),
                    "price_includes_tax": true, "tax_category": "taxable", "rate": "18",
                    "taxable": format!("{}.00", times * 100), "cgst": format!("{}.00", times * 9),
                    "sgst": format!("{}.00", times * 9), "total": rupees(times),
                })
            })
            .collect();
        let number = self.printed(0);
        self.unsent.push(json!({
            "kind": "sale", "invoice_id": invoice, "number": number, "session_id": self.session,
            "cashier_id": self.cashier, "made_at": Utc::now(), "lines": lines, "total": total,
            "tenders": [{ "method": "cash", "amount": total }],
        }));
        self.keep(invoice, basket, &total);
    }

    fn spoil(&self, number: &Value) -> Value {
        json!({ "kind": "void", "number": number, "cashier_id": self.cashier,
                "made_at": Utc::now(), "reason": "paper jam" })
    }

    /// Some time without the network, and back.
    async fn away(&mut self) {
        for _ in 0..self.rng.random_range(1..7) {
            match self.rng.random_range(0..10) {
                0 => {
                    let number = json!(self.printed(0));
                    let void = self.spoil(&number);
                    self.unsent.push(void);
                }
                1 => self.take_back_away(),
                2 | 3 => {
                    let basket = [(self.shop.scarce, self.rng.random_range(1..4))];
                    self.sell_away(Uuid::now_v7(), &basket);
                }
                _ => {
                    let basket = self.basket();
                    self.sell_away(Uuid::now_v7(), &basket);
                }
            }
            self.pause(50..300).await;
        }
        self.sync().await;
    }

    fn take_back_away(&mut self) {
        let Some(place) = self.sold.iter().position(|sold| sold.left > 0) else {
            return;
        };
        self.sold[place].left -= 1;
        let (invoice, amount) = (
            self.sold[place].invoice,
            rupees(self.sold[place].thing.times),
        );
        let number = self.printed(1);
        self.unsent.push(json!({
            "kind": "return", "credit_note_id": Uuid::now_v7(), "number": number,
            "session_id": self.session, "cashier_id": self.cashier, "made_at": Utc::now(),
            "original_invoice_id": invoice, "lines": [{ "original_line": 1, "qty": "1" }],
            "refund_tenders": [{ "method": "cash", "amount": amount }], "total": amount,
        }));
    }

    /// Sends what was made without the network until all of it is received; a batch may be sent again.
    async fn sync(&mut self) {
        while !self.unsent.is_empty() {
            let items = self.unsent.clone();
            let again = self.chance(3);
            let left = self.send(&items).await;
            self.unsent = left;
            // What was refused may be granted the second time, and then its number is not spoilt.
            if again && self.unsent.is_empty() {
                self.send(&items).await;
            }
            if !self.unsent.is_empty() {
                self.pause(200..800).await;
            }
        }
    }

    /// One batch; what of it is to be sent again.
    async fn send(&mut self, items: &[Value]) -> Vec<Value> {
        let body = json!({ "till_id": self.id, "sent_at": Utc::now(), "items": items });
        let answered = self.ask("sync", At::Sales, "/api/v1/pos/sync", &body).await;
        let reply = answered.reply;
        let Some(results) = reply.body["items"].as_array() else {
            self.book.wrong(format!("STRANGE: sync {}", reply.text));
            return Vec::new();
        };
        let mut left = Vec::new();
        for (item, result) in items.iter().zip(results) {
            let what = result["result"].as_str().unwrap_or_default();
            let kind = match item["kind"].as_str() {
                Some("sale") => Kind::Invoice,
                Some("return") => Kind::Return,
                _ => {
                    if what != "void" && !self.again(result) {
                        self.book.wrong(format!("REFUSED: {item} {result}"));
                    } else if what != "void" {
                        left.push(item.clone());
                    }
                    continue;
                }
            };
            self.book.answered("sync item", what.to_owned());
            match what {
                "issued" | "replaced" | "issued_online" => {
                    let told = Document {
                        number: text(result, "document_number"),
                        total: item["total"].as_str().map(str::to_owned),
                    };
                    if what != "issued_online" && told.number != text(item, "number") {
                        self.book
                            .wrong(format!("ANSWERED OTHERWISE: {item} {result}"));
                    }
                    self.book.told(kind, id(result, "document_id"), told);
                }
                _ if self.again(result) => left.push(item.clone()),
                // What came back of a cancelled bill: the number is spoilt.
                _ if kind == Kind::Return => {
                    let code = text(&result["problem"], "code");
                    self.book.answered("sync return", code);
                    left.push(self.spoil(&item["number"]));
                }
                _ => self.book.wrong(format!("REFUSED: {item} {result}")),
            }
        }
        left
    }

    fn again(&self, result: &Value) -> bool {
        let problem = &result["problem"];
        problem["status"].as_u64().unwrap_or(0) >= 500
            || ["IDEMPOTENCY_KEY_BUSY", "NOT_YET_KNOWN"].contains(&text(problem, "code").as_str())
    }
}
