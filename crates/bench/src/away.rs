//! A till and its time away: what it takes with it, and its sales, in one batch, when it comes back.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bahi_demo::{
    client::{Client, Fetched, text},
    setup::{self, Item},
};
use bahi_types::Price;
use chrono::Utc;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::shop;

/// Items of the catalogue that a till takes with it.
const ITEMS: usize = 20_000;
/// Sales of a batch.
const SALES: u32 = 500;
/// Batches; the best counts, for the first one makes the plans of the statements.
const BATCHES: u32 = 3;

/// The time that the fastest of some downloads of a catalogue of 20,000 items takes, and its bytes as they are sent.
///
/// # Errors
/// When it is refused, or sales does not hear of the items.
pub async fn bundle(url: &str) -> anyhow::Result<(Duration, usize)> {
    let client = shop::newcomer(url).await?;
    let (_, tills) = setup::organisation(&client, 1).await?;
    let items: Vec<Item> = (0..ITEMS)
        .map(|n| Item {
            sku: format!("BENCH-{n:05}"),
            name: format!("Bench item {n}"),
            goods: true,
            price: Price::from(119),
        })
        .collect();
    setup::catalogue(&client, &items, |_| {}).await?;
    setup::open_tills(&client, &tills).await?;
    let path = format!("/api/v1/pos/catalogue?till_id={}", tills[0]);
    let began = Instant::now();
    loop {
        let plain = taken(&client, &path, "identity").await?;
        let last = plain.split(|b| *b == b'\n').rfind(|line| !line.is_empty());
        let last: Value = serde_json::from_slice(last.context("an empty bundle")?)?;
        let rows = last["end"].as_u64().context("a bundle without end")?;
        if rows >= ITEMS as u64 {
            break;
        }
        ensure!(
            began.elapsed() < Duration::from_secs(300),
            "sales knows {rows} rows only"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let (mut best, mut bytes) = (Duration::MAX, 0);
    for _ in 0..5 {
        let began = Instant::now();
        bytes = taken(&client, &path, "zstd").await?.len();
        best = best.min(began.elapsed());
    }
    Ok((best, bytes))
}

async fn taken(client: &Client, path: &str, coding: &str) -> anyhow::Result<Vec<u8>> {
    match client.fetch(path, coding, None).await? {
        Fetched::Document { bytes, .. } => Ok(bytes),
        Fetched::Unchanged => bail!("{path} is said not to have changed"),
    }
}

/// The time that the fastest of some batches of 500 one-line sales takes, answer included.
///
/// # Errors
/// When an item is refused.
pub async fn measure(client: &Client, session: &str, product: Uuid) -> anyhow::Result<Duration> {
    // What it costs and is taxed with is taken from a sale that was made online.
    let body = json!({ "session_id": session, "lines": [{ "product_id": product, "qty": "1" }],
                       "tenders": [{ "method": "cash", "amount": "1000.00" }] });
    let key = Uuid::now_v7().to_string();
    let online = client.post("/api/v1/pos/invoice", &key, &body).await?;
    let sold = &online["lines"][0];
    let mut line = json!({ "product_id": product, "qty": "1", "cgst": sold["tax"]["cgst"], "sgst": sold["tax"]["sgst"],
                           "igst": sold["tax"]["igst"], "cess": sold["tax"]["cess"] });
    for name in [
        "unit_price",
        "price_includes_tax",
        "tax_category",
        "rate",
        "cess_rate",
        "taxable",
        "total",
    ] {
        line[name] = sold[name].clone();
    }
    let till = text(&online, "till_id")?;
    let series = client
        .get(&format!("/api/v1/pos/offline-series?till_id={till}"))
        .await?;
    let series = series["items"].as_array().context("no series")?;
    let own = series.iter().find(|s| s["purpose"] == "invoice");
    let prefix = text(own.context("no series of invoices")?, "prefix")?;
    let year = text(&online, "number")?
        .split('/')
        .nth(1)
        .context("a number without year")?;
    let cashier = text(&online, "cashier_id")?;
    let total = sold["total"].clone();
    let mut best = Duration::MAX;
    for batch in 0..BATCHES {
        let items: Vec<Value> = (1..=SALES)
            .map(|n| {
                json!({ "kind": "sale", "invoice_id": Uuid::now_v7(), "session_id": session, "cashier_id": cashier,
                        "number": format!("{prefix}/{year}/{:04}", batch * SALES + n), "made_at": Utc::now(),
                        "lines": [line], "tenders": [{ "method": "cash", "amount": total }], "total": total })
            })
            .collect();
        let body = json!({ "till_id": till, "sent_at": Utc::now(), "items": items });
        let key = Uuid::now_v7().to_string();
        let began = Instant::now();
        let answer = client.post("/api/v1/pos/sync", &key, &body).await?;
        best = best.min(began.elapsed());
        let items = answer["items"].as_array().context("no items")?;
        let refused = items.iter().find(|i| i["result"] != "issued");
        ensure!(refused.is_none(), "refused: {refused:?}");
    }
    Ok(best)
}
