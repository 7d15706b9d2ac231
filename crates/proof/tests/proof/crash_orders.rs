//! The same for what is not a sale at a till: orders held, delivered, billed and cancelled; returns and cancels; what a till
//! sold while it was away. Whoever dies where, asked again it is done once.

use bahi_proof::{Gate, Process, Shop, check};
use bahi_testkit::{Client, Reply, eventually};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Asks in the background; nobody may answer.
fn asks(client: &Client, path: &str, body: Value, key: &'static str) -> JoinHandle<Option<Reply>> {
    let (client, path) = (client.clone(), path.to_owned());
    tokio::spawn(async move { client.try_post_with_key(&path, body, key).await })
}

/// Asks until it is not "try again".
async fn done(client: &Client, path: &str, body: Value, key: &str) -> Reply {
    let reply = eventually(|| async {
        let reply = client.post_with_key(path, body.clone(), key).await;
        let passes = reply.status == 503 || reply.code() == "IDEMPOTENCY_KEY_BUSY";
        (!passes).then_some(reply)
    })
    .await;
    assert!(reply.status < 300, "{path}: {}", reply.text);
    reply
}

async fn count(client: &tokio_postgres::Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.expect(query).get(0)
}

/// What is asked of an order, one after another, with the key of each.
const WAY: [(&str, &str); 3] = [("confirm", "c-1"), ("fulfil", "f-1"), ("invoice", "i-1")];

/// The key under which it is asked.
fn key(verb: &str) -> &'static str {
    let way = WAY.iter().find(|(known, _)| *known == verb);
    way.map_or("x-1", |(_, key)| key)
}

/// An order on its way.
struct Ordered {
    shop: Shop,
    order: String,
    /// One who asks, wherever sales answers.
    client: Client,
    inventory: Option<Process>,
    _worker: Process,
}

impl Ordered {
    /// All that comes before `verb` is done.
    async fn before(verb: &str) -> Self {
        let shop = Shop::create().await;
        let inventory = Some(shop.inventory("").await);
        let worker = shop.worker().await;
        let sales = shop.sales("").await;
        let client = shop.client(&sales);
        let made = client
            .post_with_key("/api/v1/sales/orders", shop.order(), "o-1")
            .await;
        let ordered = Self {
            order: made.expect(201).text_at("order_id"),
            client: client.clone(),
            inventory,
            _worker: worker,
            shop,
        };
        for (before, key) in WAY {
            if before == verb || verb == "cancel" && before == "fulfil" {
                break;
            }
            done(&client, &ordered.path(before), json!({}), key).await;
        }
        ordered
    }

    fn at(&self, sales: &Process) -> Client {
        self.client.at(&sales.url)
    }

    fn path(&self, verb: &str) -> String {
        format!("/api/v1/sales/orders/{}:{verb}", self.order)
    }

    /// Sales was killed in `verb`: it is asked again, all that follows is done, and the order ends once.
    async fn go_on(&self, sales: &Process, verb: &str) {
        let client = &self.at(sales);
        let first = done(client, &self.path(verb), json!({}), key(verb)).await;
        let again = done(client, &self.path(verb), json!({}), key(verb)).await;
        for name in ["number", "status", "fulfilment_id", "invoice_id"] {
            assert_eq!(first.body[name], again.body[name], "{name} of {verb}");
        }
        if verb == "cancel" {
            return check(&self.shop, 0).await;
        }
        let place = WAY.iter().position(|w| w.0 == verb).expect("a verb");
        for (next, key) in &WAY[place + 1..] {
            done(client, &self.path(next), json!({}), key).await;
        }
        check(&self.shop, 1).await;
        let books = self.shop.database("sales").admin().await;
        let delivered = "select count(*) from fulfilment where state = 'delivered'";
        assert_eq!(count(&books, delivered).await, 1);
    }
}

/// Sales is killed at `point` while it does `verb`.
async fn sales_dies_in(verb: &str, point: &str) {
    let ordered = Ordered::before(verb).await;
    let shop = &ordered.shop;
    let mut first = shop.sales(point).await;
    let asked = asks(
        &ordered.at(&first),
        &ordered.path(verb),
        json!({}),
        key(verb),
    );
    shop.reached(&first, point).await;
    first.kill();
    asked.await.ok();
    let again = shop.sales("").await;
    ordered.go_on(&again, verb).await;
}

/// Sales is killed at `point` of a confirmation, and nobody asks again: it finds the order by itself.
async fn sales_dies_in_a_confirmation_and_nobody_repeats(point: &str) {
    let ordered = Ordered::before("confirm").await;
    let shop = &ordered.shop;
    let mut first = shop.sales(point).await;
    let path = ordered.path("confirm");
    let asked = asks(&ordered.at(&first), &path, json!({}), "c-1");
    shop.reached(&first, point).await;
    first.kill();
    asked.await.expect("the request ends");
    let _again = shop.sales("").await;
    let books = shop.database("sales").admin().await;
    let confirmed = "select count(*) from sales_order where status = 'confirmed' and step is null";
    eventually(|| async { (count(&books, confirmed).await == 1).then_some(()) }).await;
    check(shop, 0).await;
}

/// Inventory is killed at `point` while it answers for `verb`.
async fn inventory_dies_in(verb: &str, point: &str) {
    let mut ordered = Ordered::before(verb).await;
    drop(ordered.inventory.take());
    let mut first = ordered.shop.inventory(point).await;
    let sales = ordered.shop.sales("").await;
    let client = ordered.at(&sales);
    let asked = asks(&client, &ordered.path(verb), json!({}), key(verb));
    ordered.shop.reached(&first, point).await;
    first.kill();
    let reply = asked.await.expect("the request ends").expect("sales lives");
    assert_eq!(reply.status, 503, "{}", reply.text);
    ordered.inventory = Some(ordered.shop.inventory("").await);
    ordered.go_on(&sales, verb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_killed_while_it_confirms_an_order() {
    for point in [
        "sales.order.before_ask",
        "sales.order.after_ask",
        "sales.order.before_commit",
    ] {
        sales_dies_in("confirm", point).await;
    }
    sales_dies_in_a_confirmation_and_nobody_repeats("sales.order.after_ask").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_killed_while_it_delivers() {
    for point in [
        "sales.order.before_ask",
        "sales.order.after_ask",
        "sales.order.before_commit",
    ] {
        sales_dies_in("fulfil", point).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_killed_while_it_cancels_an_order() {
    for point in ["sales.order.before_ask", "sales.order.after_ask"] {
        sales_dies_in("cancel", point).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inventory_killed_while_it_holds_and_hands_out_for_an_order() {
    inventory_dies_in("confirm", "inventory.hold_for_order.after_commit").await;
    inventory_dies_in("fulfil", "inventory.deliver.after_commit").await;
}

/// A sale is issued; sales is killed when PostgreSQL has committed what is done to it and the answer is on the wire. Asked
/// again, it is done once.
async fn dies_when_it_has_written(
    marker: &'static str,
    table: &str,
    what: impl Fn(&Value) -> (String, Value),
) {
    let shop = Shop::create().await;
    let (_inventory, _worker) = (shop.inventory("").await, shop.worker().await);
    let mut quiet = shop.sales("").await;
    let sold = done(
        &shop.client(&quiet),
        "/api/v1/pos/invoice",
        shop.basket(),
        "s-1",
    )
    .await;
    quiet.kill();
    let gate = Gate::to(&shop.database("sales").url(), marker).await;
    let mut first = shop.behind(&gate, "sales").await;
    let client = shop.client(&first);
    let (path, body) = what(&sold.body);
    let asked = asks(&client, &path, body.clone(), "u-1");
    let books = shop.database("sales").admin().await;
    let written = format!("select count(*) from {table}");
    gate.committed(async || count(&books, &written).await == 1)
        .await;
    first.kill();
    let answer = asked.await.expect("the request ends");
    assert!(answer.is_none(), "nobody answered");
    let again = shop.sales("").await;
    // The same client: its key is its own.
    let client = client.at(&again.url);
    let answer = done(&client, &path, body.clone(), "u-1").await;
    let repeated = done(&client, &path, body, "u-1").await;
    assert_eq!(answer.body, repeated.body);
    assert_eq!(count(&books, &written).await, 1);
    check(&shop, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_killed_between_commit_of_a_return_and_its_answer() {
    dies_when_it_has_written("insert into credit_note_line", "credit_note", |sold| {
        let body = json!({
            "original_invoice_id": sold["invoice_id"], "session_id": sold["session_id"],
            "lines": [{ "original_line": 1, "qty": "1" }], "refund_tenders": [{ "method": "cash", "amount": "118.00" }],
        });
        ("/api/v1/sales/returns".to_owned(), body)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_killed_between_commit_of_a_cancel_and_its_answer() {
    dies_when_it_has_written("insert into cancellation", "cancellation", |sold| {
        let id = sold["invoice_id"].as_str().expect("an id");
        let body = json!({ "reason_code": "data_entry", "refund_tenders": [{ "method": "cash", "amount": "708.00" }] });
        (format!("/api/v1/sales/invoices/{id}:cancel"), body)
    })
    .await;
}

/// Sales is killed at `point` of what a till had sold while it was away; the till sends all of it again.
async fn dies_while_a_till_sends(point: &str) {
    let shop = Shop::create().await;
    let (_inventory, _worker) = (shop.inventory("").await, shop.worker().await);
    let mut quiet = shop.sales("").await;
    let till = shop.client(&quiet);
    shop.lend_series(&till).await;
    quiet.kill();
    let mut first = shop.sales(point).await;
    let path = "/api/v1/pos/sync";
    let items = [shop.away(&till, 1), shop.away(&till, 2)];
    let batch = shop.batch(&items);
    let asked = asks(&till.at(&first.url), path, batch.clone(), "b-1");
    shop.reached(&first, point).await;
    first.kill();
    let answer = asked.await.expect("the request ends");
    assert!(answer.is_none(), "nobody answered");
    let again = shop.sales("").await;
    let till = till.at(&again.url);
    for (n, key) in ["b-2", "b-3"].into_iter().enumerate() {
        let reply = done(&till, path, batch.clone(), key).await;
        for (item, result) in items
            .iter()
            .zip(reply.body["items"].as_array().expect("items"))
        {
            assert_eq!(result["result"], "issued", "{result}");
            assert_eq!(result["document_number"], item["number"]);
            assert!(n == 0 || result["replayed"] == true, "{result}");
        }
        assert_eq!(reply.body["missing"], json!([]));
    }
    check(&shop, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_killed_while_a_till_sends_what_it_sold_away() {
    for point in [
        "sales.before_reserve",
        "sales.after_reserve",
        "sales.before_commit",
        "sales.after_commit",
    ] {
        dies_while_a_till_sends(point).await;
    }
}
