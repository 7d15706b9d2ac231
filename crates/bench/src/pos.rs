//! Five-line sales through the gateway, closed loop at 1, 8 and 32 connections and open loop at 100 and 300 a second,
//! beside the floor that the same PostgreSQL allows in the same run; then what tills do when they were away, and what they
//! are told of each other's sales.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use bahi_demo::{
    client::{Client, text},
    setup,
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    away,
    floor::{Floor, Work, basket},
    live, shop,
    step::{Refusals, closed, heading, open},
    usage,
};

/// Tills of the bench; each has a number series of its own.
const TILLS: usize = 32;
const PRODUCTS: usize = 500;

struct Load {
    client: Client,
    products: Vec<Uuid>,
    sessions: Vec<String>,
    refusals: Refusals,
}

async fn prepare(url: &str) -> anyhow::Result<Load> {
    let client = shop::newcomer(url).await?;
    let (location, tills) = setup::organisation(&client, TILLS).await?;
    let products = shop::stock(&client, &location, PRODUCTS).await?;
    let sessions = setup::open_tills(&client, &tills).await?;
    let products = products
        .iter()
        .map(|id| id.parse())
        .collect::<Result<_, _>>()?;
    Ok(Load {
        client,
        products,
        sessions,
        refusals: Refusals::default(),
    })
}

impl Load {
    async fn sell(&self, till: usize) {
        let lines: Vec<_> = basket(&self.products)
            .iter()
            .map(|p| json!({ "product_id": p, "qty": "1" }))
            .collect();
        let body = json!({
            "session_id": self.sessions[till % self.sessions.len()], "lines": lines,
            "tenders": [{ "method": "cash", "amount": "595.00" }],
        });
        let key = Uuid::now_v7().to_string();
        let sold = self
            .client
            .post("/api/v1/pos/invoice", &key, &body)
            .await
            .and_then(|i| text(&i, "number").map(str::to_owned));
        self.refusals.note(sold);
    }
}

#[allow(clippy::float_arithmetic)] // times and ratios, not money
/// All steps, and the verdict.
///
/// # Errors
/// When a sale failed or the ratio is too low.
pub async fn run(url: &str, postgres: &str, time: Duration, least: f64) -> anyhow::Result<()> {
    let postmaster = usage::postmaster(postgres).await?;
    println!("preparing a tenant with {PRODUCTS} products and {TILLS} tills");
    let load = Arc::new(prepare(url).await?);
    let floor = Floor::create(postgres).await?;
    let seller = load.clone();
    let sell = move |till: usize| {
        let load = seller.clone();
        async move { load.sell(till).await }
    };
    // The broker's JVM and the plans of the statements are cold after a start.
    closed(8, time, &sell).await.context("warming up")?;

    heading("five-line sales", "sales/s");
    let before = usage::sample(postmaster);
    let (mut most, mut most_at_floor, began) = (0f64, 0f64, Instant::now());
    let mut loaded = Duration::ZERO;
    for connections in [1, 8, 32] {
        let at_floor = floor.run(Work::Sale, connections, time / 2).await?;
        let step_began = Instant::now();
        let step = closed(connections, time, &sell).await?;
        loaded += step_began.elapsed();
        let ratio = step.rate / at_floor;
        most = most.max(step.rate);
        most_at_floor = most_at_floor.max(at_floor);
        step.print(
            &format!("closed loop, c={connections}"),
            Some((at_floor, ratio)),
        );
    }
    for rate in [100, 300] {
        let step_began = Instant::now();
        let step = open(rate, time, &sell).await?;
        loaded += step_began.elapsed();
        step.print(&format!("open loop, {rate}/s"), None);
    }
    let back = away::measure(&load.client, &load.sessions[0], load.products[0]).await?;
    println!(
        "{:24} {:>9.0} ms",
        "500 sales made away",
        back.as_secs_f64() * 1000.0
    );
    let (taken, bytes) = away::bundle(url).await?;
    println!(
        "{:24} {:>9.0} ms, {} KiB",
        "catalogue of 20,000",
        taken.as_secs_f64() * 1000.0,
        bytes / 1024
    );
    let told = live::measure(url).await.context("the tills that listen")?;
    told.print();
    let after = usage::sample(postmaster);
    floor.drop().await?;

    println!("\n{:24} {:>12} {:>10}", "process", "CPU s", "RSS MiB");
    for (name, now) in &after {
        let then = before.get(name).copied().unwrap_or_default();
        println!(
            "{name:24} {:>12.1} {:>10}",
            now.ticks.saturating_sub(then.ticks) as f64 / 100.0,
            now.rss / 1024
        );
    }
    println!(
        "(over {:.0} s, of which {:.0} s loaded the fleet; postgres includes the floor's share)",
        began.elapsed().as_secs_f64(),
        loaded.as_secs_f64()
    );

    load.refusals.verdict()?;
    // Half of what is aimed at.
    anyhow::ensure!(
        back < Duration::from_secs(2),
        "500 sales made away take {back:?}, more than 2 s"
    );
    anyhow::ensure!(
        taken < Duration::from_millis(400) && bytes < 2_000_000,
        "a catalogue of 20,000 takes {taken:?} and {bytes} bytes, more than 400 ms or 2 MB"
    );
    told.verdict()?;
    let ratio = most / most_at_floor;
    anyhow::ensure!(
        ratio >= least,
        "at most the fleet sells {most:.0}/s, {ratio:.3} of the floor's {most_at_floor:.0}/s, less than {least}"
    );
    println!(
        "\nno errors; at most {most:.0}/s, {ratio:.2} of the floor's {most_at_floor:.0}/s (at least {least} is asked)"
    );
    Ok(())
}
