//! A business of its own for each run, so that a bench can run again and again and disturbs nobody's books.

use bahi_demo::{
    client::Client,
    setup::{self, Item, Opening},
};
use bahi_types::{Price, Quantity};
use uuid::Uuid;

/// How many of each product there are: more than any load sells.
pub const PLENTY: i64 = 10_000_000;

/// A business without anything.
///
/// # Errors
/// When it is refused.
pub async fn newcomer(url: &str) -> anyhow::Result<Client> {
    let email = format!("bench-{}@bahi.example", Uuid::now_v7().simple());
    Client::open(url, &email, "a long bench password", "Bench").await
}

/// So many products, with plenty of each at the location; their ids.
///
/// # Errors
/// When something is refused.
pub async fn stock(
    client: &Client,
    location: &str,
    products: usize,
) -> anyhow::Result<Vec<String>> {
    let items: Vec<Item> = (0..products)
        .map(|n| Item {
            sku: format!("BENCH-{n:04}"),
            name: format!("Bench item {n}"),
            goods: true,
            price: Price::from(119),
        })
        .collect();
    setup::catalogue(client, &items, |_| {}).await?;
    let products = setup::products(client).await?;
    let stock: Vec<Opening> = products
        .iter()
        .map(|(_, id)| Opening {
            product: id.clone(),
            qty: Quantity::from(PLENTY),
            cost: Price::from(60),
        })
        .collect();
    setup::receive(client, location, &stock, |_| {}).await?;
    Ok(products.into_iter().map(|(_, id)| id).collect())
}
