//! The checker: over both databases and the topic, nothing lost, doubled or stuck.

use std::time::{Duration, Instant};

use bahi_testkit::{Client as Caller, eventually, wrong_in_goods, wrong_in_sales};
use tokio_postgres::Client;

use crate::{Fleet, Shop, payloads};

/// How long inventory may take to hear of what was sold.
const PATIENCE: Duration = Duration::from_secs(30);

/// [`check_fleet`] of a shop's own.
///
/// # Panics
/// With what is wrong.
pub async fn check(shop: &Shop, invoices: i64) {
    check_fleet(shop, &shop.stock(), invoices).await;
}

/// Waits until the fleet is at rest, then asserts the whole: so many invoices, the books of sales sound, the goods where
/// sales says they are, and each invoice announced once. `keeper` asks inventory for the proof of its books.
///
/// # Panics
/// With what is wrong.
pub async fn check_fleet(fleet: &Fleet, keeper: &Caller, invoices: i64) {
    let sales = fleet.database("sales").admin().await;
    let stock = fleet.database("inventory").admin().await;
    at_rest(&sales, &stock).await;
    let count = |query: &'static str| {
        let sales = &sales;
        async move {
            let row = sales.query_one(query, &[]).await.expect(query);
            row.get::<_, i64>(0)
        }
    };
    assert_eq!(count("select count(*) from invoice").await, invoices);
    let mut wrong = wrong_in_sales(&sales).await;
    if count("select epoch from outbox.epoch").await > 1 {
        // What a restore has brought back was said by the database that is lost.
        wrong.retain(|what| !what.starts_with("events of"));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    // Inventory's own proof: ledger, balances, holds, layers and what each was made from agree.
    keeper.assert_books_agree().await;

    // One event an invoice in the topic.
    let announced = payloads(&fleet.topic("billing"), "invoice.issued").await;
    assert_eq!(announced.len() as i64, invoices, "events in the topic");
}

/// No sale holds anything, no order waits for an answer, every event is in its topic and has had its effect.
async fn at_rest(sales: &Client, stock: &Client) {
    let waits = [
        (
            stock,
            "select count(*) from reservation where state = 'pending' and owner = 'sales'",
        ),
        (
            sales,
            "select count(*) from sales_order where step is not null",
        ),
        (
            sales,
            "select count(*) from outbox.status where not published",
        ),
    ];
    for (database, query) in waits {
        eventually(|| async {
            let waiting: i64 = database.query_one(query, &[]).await.ok()?.get(0);
            (waiting == 0).then_some(())
        })
        .await;
    }
    let began = Instant::now();
    loop {
        let wrong = wrong_in_goods(sales, stock).await;
        if wrong.is_empty() {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{wrong:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
