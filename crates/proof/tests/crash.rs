//! A process dies by SIGKILL at a step of the sale. Whatever the step, with or without a retry by the till, the fleet ends
//! with each sale whole or not there.

use bahi_proof::{Fleet, check};
use bahi_testkit::eventually;
use serde_json::Value;

const PATH: &str = "/api/v1/pos/invoice";

/// Sales is killed at `point` of the first sale; the till repeats it under the same key.
async fn sales_dies_and_the_till_repeats(point: &str) {
    let fleet = Fleet::create().await;
    let (_inventory, _worker) = (fleet.inventory("").await, fleet.worker().await);
    let mut first = fleet.sales(point).await;
    let till = fleet.client(&first);
    let basket = fleet.basket();
    let sale = tokio::spawn(async move { till.try_post_with_key(PATH, basket, "sale-1").await });
    fleet.reached(&first, point).await;
    first.kill();
    assert!(
        sale.await.expect("the request ends").is_none(),
        "nobody answered"
    );
    let again = fleet.sales("").await;
    let till = fleet.client(&again);
    let answer = till
        .post_with_key(PATH, fleet.basket(), "sale-1")
        .await
        .expect(201);
    let repeated = till
        .post_with_key(PATH, fleet.basket(), "sale-1")
        .await
        .expect(201);
    assert_eq!(answer.body, repeated.body);
    check(&fleet, 1).await;
}

/// Sales is killed at `point` and the till never comes back; `issued` says whether the sale had happened.
async fn sales_dies_and_nobody_repeats(point: &str, issued: i64) {
    let fleet = Fleet::create().await;
    let (_inventory, _worker) = (fleet.inventory("").await, fleet.worker().await);
    let mut first = fleet.sales(point).await;
    let till = fleet.client(&first);
    let basket = fleet.basket();
    let sale = tokio::spawn(async move { till.try_post_with_key(PATH, basket, "sale-1").await });
    fleet.reached(&first, point).await;
    first.kill();
    sale.await.expect("the request ends");
    let _again = fleet.sales("").await;
    check(&fleet, issued).await;
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

/// Inventory is killed at `point` of `Reserve`; the till repeats.
async fn inventory_dies_while_it_promises(point: &str) {
    let fleet = Fleet::create().await;
    let mut first = fleet.inventory(point).await;
    let (sales, _worker) = (fleet.sales("").await, fleet.worker().await);
    let till = fleet.client(&sales);
    let (patient, basket) = (till.clone(), fleet.basket());
    let sale = tokio::spawn(async move { patient.try_post_with_key(PATH, basket, "sale-1").await });
    fleet.reached(&first, point).await;
    first.kill();
    let answer = sale
        .await
        .expect("the request ends")
        .expect("sales itself lives");
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(answer.header("retry-after").is_some());
    let _again = fleet.inventory("").await;
    till_sells(&till, fleet.basket(), "sale-1").await;
    check(&fleet, 1).await;
}

/// The till's patience: what answers 503 is sent again under the same key.
async fn till_sells(till: &bahi_testkit::Client, basket: Value, key: &str) -> bahi_testkit::Reply {
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
    let fleet = Fleet::create().await;
    let mut first = fleet.inventory(point).await;
    let (sales, _worker) = (fleet.sales("").await, fleet.worker().await);
    till_sells(&fleet.client(&sales), fleet.basket(), "sale-1").await;
    fleet.reached(&first, point).await;
    first.kill();
    let _again = fleet.inventory("").await;
    check(&fleet, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_killed_again_and_again_loses_nothing() {
    let fleet = Fleet::create().await;
    let (_inventory, sales) = (fleet.inventory("").await, fleet.sales("").await);
    let till = fleet.client(&sales);
    for round in 0..4 {
        let mut worker = fleet.worker().await;
        let sold = (0..5).map(|n| {
            let (till, basket) = (till.clone(), fleet.basket());
            async move { till_sells(&till, basket, &format!("sale-{round}-{n}")).await }
        });
        let sold = sold.map(tokio::spawn).collect::<Vec<_>>();
        for sale in sold {
            sale.await.expect("sold");
        }
        worker.kill();
    }
    let _worker = fleet.worker().await;
    check(&fleet, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_on_one_key_make_one_sale() {
    let point = "sales.after_reserve";
    let fleet = Fleet::create().await;
    let (_inventory, _worker) = (fleet.inventory("").await, fleet.worker().await);
    let quick = fleet.sales("").await;
    let slow = fleet.sales_replica(point).await;
    let till = fleet.client(&slow);
    let user = till.clone();
    let (patient, basket) = (till.clone(), fleet.basket());
    let sale = tokio::spawn(async move { patient.try_post_with_key(PATH, basket, "sale-1").await });
    fleet.reached(&slow, point).await;
    let answer = user
        .at(&quick.url)
        .post_with_key(PATH, fleet.basket(), "sale-1")
        .await
        .expect(201);
    fleet.go_on(&slow, point);
    let late = sale
        .await
        .expect("the request ends")
        .expect("an answer")
        .expect(201);
    assert_eq!(answer.text_at("number"), late.text_at("number"));
    check(&fleet, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_up_sale_cannot_be_issued_by_its_slow_request() {
    let point = "sales.after_reserve";
    let fleet = Fleet::create().await;
    let (_inventory, _worker) = (fleet.inventory("").await, fleet.worker().await);
    let quick = fleet.sales("").await;
    let slow = fleet.sales_replica(point).await;
    let till = fleet.client(&slow);
    let id = uuid::Uuid::now_v7();
    let mut basket = fleet.basket();
    basket["invoice_id"] = serde_json::json!(id);
    let patient = till.clone();
    let sale = tokio::spawn(async move { patient.try_post_with_key(PATH, basket, "sale-1").await });
    fleet.reached(&slow, point).await;
    let given_up = till
        .at(&quick.url)
        .post(
            &format!("/api/v1/pos/invoices/{id}:abandon"),
            serde_json::json!({}),
        )
        .await;
    assert!(given_up.status < 300, "{}", given_up.text);
    fleet.go_on(&slow, point);
    let late = sale.await.expect("the request ends").expect("an answer");
    assert_eq!(
        (late.status, late.code()),
        (409, "ABANDONED"),
        "{}",
        late.text
    );
    check(&fleet, 0).await;
}
