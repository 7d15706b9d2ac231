//! A process dies by SIGKILL at a step of the sale. Whatever the step, with or without a retry by the till, the fleet ends
//! with each sale whole or not there.

use bahi_proof::{Gate, Shop, check};
use bahi_testkit::{Client, Reply, eventually};
use serde_json::Value;
use tokio::task::JoinHandle;

const PATH: &str = "/api/v1/pos/invoice";

/// The till asks for the first sale and waits; nobody may answer.
fn asks(till: &Client, basket: Value) -> JoinHandle<Option<Reply>> {
    let till = till.clone();
    tokio::spawn(async move { till.try_post_with_key(PATH, basket, "sale-1").await })
}

/// Sales is killed at `point` of the first sale; the till repeats it under the same key.
async fn sales_dies_and_the_till_repeats(point: &str) {
    let shop = Shop::create().await;
    let (_inventory, _worker) = (shop.inventory("").await, shop.worker().await);
    let mut first = shop.sales(point).await;
    let till = shop.client(&first);
    let sale = asks(&till, shop.basket());
    shop.reached(&first, point).await;
    first.kill();
    assert!(
        sale.await.expect("the request ends").is_none(),
        "nobody answered"
    );
    let again = shop.sales("").await;
    let till = till.at(&again.url);
    let answer = till
        .post_with_key(PATH, shop.basket(), "sale-1")
        .await
        .expect(201);
    let repeated = till
        .post_with_key(PATH, shop.basket(), "sale-1")
        .await
        .expect(201);
    assert_eq!(answer.body, repeated.body);
    check(&shop, 1).await;
}

/// Sales is killed at `point` and the till never comes back; `issued` says whether the sale had happened.
async fn sales_dies_and_nobody_repeats(point: &str, issued: i64) {
    let shop = Shop::create().await;
    let (_inventory, _worker) = (shop.inventory("").await, shop.worker().await);
    let mut first = shop.sales(point).await;
    let till = shop.client(&first);
    let sale = asks(&till, shop.basket());
    shop.reached(&first, point).await;
    first.kill();
    sale.await.expect("the request ends");
    let _again = shop.sales("").await;
    check(&shop, issued).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_killed_before_it_reserves() {
    sales_dies_and_the_till_repeats("sales.before_reserve").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_killed_between_the_two_commits() {
    sales_dies_and_the_till_repeats("sales.after_reserve").await;
    sales_dies_and_nobody_repeats("sales.after_reserve", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_killed_before_commit() {
    sales_dies_and_the_till_repeats("sales.before_commit").await;
    sales_dies_and_nobody_repeats("sales.before_commit", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_killed_after_commit_and_before_the_answer() {
    sales_dies_and_the_till_repeats("sales.after_commit").await;
    sales_dies_and_nobody_repeats("sales.after_commit", 1).await;
}

/// Sales is killed when PostgreSQL has committed its sale and the answer is still on the wire.
async fn sales_dies_with_the_answer_to_commit_on_the_wire(repeats: bool) {
    let shop = Shop::create().await;
    let (_inventory, _worker) = (shop.inventory("").await, shop.worker().await);
    let gate = Gate::to(&shop.database("sales").url(), "insert into invoice_line").await;
    let mut first = shop.behind(&gate, "sales").await;
    let till = shop.client(&first);
    let sale = asks(&till, shop.basket());
    let sales = shop.database("sales").admin().await;
    gate.committed(async || count(&sales, "select count(*) from invoice").await == 1)
        .await;
    first.kill();
    let answer = sale.await.expect("the request ends");
    assert!(answer.is_none(), "nobody answered");
    let again = shop.sales("").await;
    if repeats {
        let till = till.at(&again.url);
        till.post_with_key(PATH, shop.basket(), "sale-1")
            .await
            .expect(201);
    }
    check(&shop, 1).await;
}

async fn count(client: &tokio_postgres::Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.expect(query).get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_killed_between_commit_sent_and_answered() {
    sales_dies_with_the_answer_to_commit_on_the_wire(true).await;
    sales_dies_with_the_answer_to_commit_on_the_wire(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_killed_after_it_voided_a_hold_past_its_deadline() {
    let shop = Shop::create().await;
    let (_inventory, _worker) = (shop.inventory("").await, shop.worker().await);
    let mut first = shop.sales("sales.after_reserve,sales.after_void").await;
    let till = shop.client(&first);
    let sale = asks(&till, shop.basket());
    shop.reached(&first, "sales.after_reserve").await;
    shop.reached(&first, "sales.after_void").await;
    first.kill();
    sale.await.expect("the request ends");
    let again = shop.sales("").await;
    till_sells(&till.at(&again.url), shop.basket(), "sale-1").await;
    check(&shop, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_killed_between_void_and_release() {
    let shop = Shop::create().await;
    let (_inventory, _worker) = (shop.inventory("").await, shop.worker().await);
    let mut first = shop.sales("sales.after_reserve,sales.before_release").await;
    let till = shop.client(&first);
    let sale = asks(&till, shop.basket());
    shop.reached(&first, "sales.after_reserve").await;
    // The session is closed under the sale: it is refused after its grant.
    let close = "update pos_session set state = 'closed', closed_at = now(), closed_by = opened_by, retained = 0, deposited = 0";
    let sales = shop.database("sales").admin().await;
    sales.batch_execute(close).await.expect("closed");
    shop.go_on(&first, "sales.after_reserve");
    shop.reached(&first, "sales.before_release").await;
    first.kill();
    sale.await.expect("the request ends");
    let _again = shop.sales("").await;
    check(&shop, 0).await;
}

/// Inventory is killed at `point` of `Reserve`; the till repeats.
async fn inventory_dies_while_it_promises(point: &str) {
    let shop = Shop::create().await;
    let mut first = shop.inventory(point).await;
    let (sales, _worker) = (shop.sales("").await, shop.worker().await);
    let till = shop.client(&sales);
    let sale = asks(&till, shop.basket());
    shop.reached(&first, point).await;
    first.kill();
    let answer = sale
        .await
        .expect("the request ends")
        .expect("sales itself lives");
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(answer.header("retry-after").is_some());
    let _again = shop.inventory("").await;
    till_sells(&till, shop.basket(), "sale-1").await;
    check(&shop, 1).await;
}

/// The till's patience: what answers 503 is sent again under the same key.
async fn till_sells(till: &Client, basket: Value, key: &str) -> Reply {
    eventually(|| async {
        let reply = till.post_with_key(PATH, basket.clone(), key).await;
        (reply.status != 503).then_some(reply)
    })
    .await
    .expect(201)
}

#[tokio::test(flavor = "multi_thread")]
async fn inventory_killed_before_the_promise_is_kept() {
    inventory_dies_while_it_promises("inventory.reserve.before_commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inventory_killed_after_the_promise_is_kept() {
    inventory_dies_while_it_promises("inventory.reserve.after_commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inventory_killed_while_it_issues() {
    let point = "inventory.issue.before_commit";
    let shop = Shop::create().await;
    let mut first = shop.inventory(point).await;
    let (sales, _worker) = (shop.sales("").await, shop.worker().await);
    till_sells(&shop.client(&sales), shop.basket(), "sale-1").await;
    shop.reached(&first, point).await;
    first.kill();
    let _again = shop.inventory("").await;
    check(&shop, 1).await;
}

/// Inventory is killed when PostgreSQL has committed a promise and the answer is still on the wire.
#[tokio::test(flavor = "multi_thread")]
async fn inventory_killed_between_commit_of_the_promise_and_its_answer() {
    let shop = Shop::create().await;
    let gate = Gate::to(
        &shop.database("inventory").url(),
        "insert into reservation_line",
    )
    .await;
    let mut first = shop.behind(&gate, "inventory").await;
    let (sales, _worker) = (shop.sales("").await, shop.worker().await);
    let till = shop.client(&sales);
    let sale = asks(&till, shop.basket());
    let stock = shop.database("inventory").admin().await;
    gate.committed(async || count(&stock, "select count(*) from reservation").await == 1)
        .await;
    first.kill();
    sale.await.expect("the request ends");
    let _again = shop.inventory("").await;
    till_sells(&till, shop.basket(), "sale-1").await;
    check(&shop, 1).await;
}

/// Inventory is killed when PostgreSQL has committed the goods out and the consumer has not heard it.
#[tokio::test(flavor = "multi_thread")]
async fn inventory_killed_between_commit_of_the_goods_out_and_its_answer() {
    let shop = Shop::create().await;
    let gate = Gate::to(
        &shop.database("inventory").url(),
        "insert into movement_header",
    )
    .await;
    let mut first = shop.behind(&gate, "inventory").await;
    let (sales, _worker) = (shop.sales("").await, shop.worker().await);
    till_sells(&shop.client(&sales), shop.basket(), "sale-1").await;
    let stock = shop.database("inventory").admin().await;
    let issued = "select count(*) from movement_header where source_type = 'invoice'";
    gate.committed(async || count(&stock, issued).await == 1)
        .await;
    first.kill();
    let _again = shop.inventory("").await;
    check(&shop, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_killed_again_and_again_loses_nothing() {
    let shop = Shop::create().await;
    let (_inventory, sales) = (shop.inventory("").await, shop.sales("").await);
    let till = shop.client(&sales);
    for round in 0..4 {
        let mut worker = shop.worker().await;
        let sold = (0..5).map(|n| {
            let (till, basket) = (till.clone(), shop.basket());
            async move { till_sells(&till, basket, &format!("sale-{round}-{n}")).await }
        });
        let sold = sold.map(tokio::spawn).collect::<Vec<_>>();
        for sale in sold {
            sale.await.expect("sold");
        }
        worker.kill();
    }
    let _worker = shop.worker().await;
    check(&shop, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_on_one_key_make_one_sale() {
    let point = "sales.after_reserve";
    let shop = Shop::create().await;
    let (_inventory, _worker) = (shop.inventory("").await, shop.worker().await);
    let quick = shop.sales("").await;
    let slow = shop.sales_replica(point).await;
    let till = shop.client(&slow);
    let sale = asks(&till, shop.basket());
    shop.reached(&slow, point).await;
    let answer = till
        .at(&quick.url)
        .post_with_key(PATH, shop.basket(), "sale-1")
        .await
        .expect(201);
    shop.go_on(&slow, point);
    let late = sale
        .await
        .expect("the request ends")
        .expect("an answer")
        .expect(201);
    assert_eq!(answer.text_at("number"), late.text_at("number"));
    check(&shop, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_up_sale_cannot_be_issued_by_its_slow_request() {
    let point = "sales.after_reserve";
    let shop = Shop::create().await;
    let (_inventory, _worker) = (shop.inventory("").await, shop.worker().await);
    let quick = shop.sales("").await;
    let slow = shop.sales_replica(point).await;
    let till = shop.client(&slow);
    let id = uuid::Uuid::now_v7();
    let mut basket = shop.basket();
    basket["invoice_id"] = serde_json::json!(id);
    let sale = asks(&till, basket);
    shop.reached(&slow, point).await;
    let given_up = till
        .at(&quick.url)
        .post(
            &format!("/api/v1/pos/invoices/{id}:abandon"),
            serde_json::json!({}),
        )
        .await;
    assert!(given_up.status < 300, "{}", given_up.text);
    shop.go_on(&slow, point);
    let late = sale.await.expect("the request ends").expect("an answer");
    assert_eq!(
        (late.status, late.code()),
        (409, "ABANDONED"),
        "{}",
        late.text
    );
    check(&shop, 0).await;
}
