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
    step::{Refusals, Step, closed, heading, open},
    usage,
};

/// Tills of the bench; each has a number series of its own.
const TILLS: usize = 32;
const PRODUCTS: usize = 500;
/// Parts of a hundred that the memory of a service may grow by in the second half of a long load.
const MOST_GROWN: f64 = 10.0;

/// What a sale has in it.
#[derive(Clone, Copy)]
enum What {
    /// Five lines of random products.
    Basket,
    /// A piece of what everybody sells.
    HotItem,
}

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
    async fn sell(&self, till: usize, what: What) {
        let (sold, amount) = match what {
            What::Basket => (basket(&self.products), "595.00"),
            What::HotItem => (vec![self.products[0]], "119.00"),
        };
        let lines: Vec<_> = sold
            .iter()
            .map(|p| json!({ "product_id": p, "qty": "1" }))
            .collect();
        let body = json!({
            "session_id": self.sessions[till % self.sessions.len()], "lines": lines,
            "tenders": [{ "method": "cash", "amount": amount }],
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

/// Something measured, and what it is to be.
struct Aim {
    what: &'static str,
    found: f64,
    aim: f64,
    /// More is worse.
    at_most: bool,
}

impl Aim {
    fn least(what: &'static str, found: f64, aim: f64) -> Self {
        Self {
            what,
            found,
            aim,
            at_most: false,
        }
    }

    fn most(what: &'static str, found: f64, aim: f64) -> Self {
        Self {
            at_most: true,
            ..Self::least(what, found, aim)
        }
    }

    /// How far it is from the aim: 1 and more is there.
    #[allow(clippy::float_arithmetic)] // a ratio, not money
    fn reached(&self) -> f64 {
        if self.at_most {
            self.aim / self.found
        } else {
            self.found / self.aim
        }
    }

    /// # Errors
    /// When half of the aim, or twice of what it may be at most, is missed.
    fn verdict(aims: &[Self]) -> anyhow::Result<()> {
        println!("\n{:36} {:>10} {:>10}", "", "found", "aim");
        for aim in aims {
            let verdict = match aim.reached() {
                reached if reached >= 1.0 => "",
                reached if reached >= 0.5 => "missed",
                _ => "missed by more than half",
            };
            println!(
                "{:36} {:>10.2} {:>10.2} {verdict}",
                aim.what, aim.found, aim.aim
            );
        }
        let failed: Vec<_> = aims.iter().filter(|a| a.reached() < 0.5).collect();
        anyhow::ensure!(
            failed.is_empty(),
            "missed by more than half: {}",
            failed.iter().map(|a| a.what).collect::<Vec<_>>().join(", ")
        );
        Ok(())
    }
}

/// Sells at 200 a second for `time` and gives by how many parts of a hundred each service's memory grew in the second half.
#[allow(clippy::float_arithmetic)] // memory, not money
async fn soak<F, Fut>(
    postmaster: u32,
    time: Duration,
    sell: &F,
) -> anyhow::Result<(Step, Vec<(String, f64)>)>
where
    F: Fn(usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let first = open(200, time / 2, sell).await?;
    let then = usage::sample(postmaster);
    let mut step = open(200, time / 2, sell).await?;
    let now = usage::sample(postmaster);
    step.latency.add(&first.latency)?;
    let grown = now.iter().filter_map(|(name, now)| {
        let then = then.get(name)?.rss as f64;
        Some((name.clone(), (now.rss as f64 - then) * 100.0 / then))
    });
    // PostgreSQL's counts its shared buffers once for each of its processes, and fills them.
    let services = grown.filter(|(name, _)| !matches!(name.as_str(), "postgres" | "bahi-bench"));
    Ok((step, services.collect()))
}

#[allow(clippy::float_arithmetic)] // times and ratios, not money
/// All steps, and the verdict. `soaking` is how long it sells at 200 a second at the end.
///
/// # Errors
/// When a sale failed, or an aim is missed by more than half.
pub async fn run(
    url: &str,
    postgres: &str,
    time: Duration,
    soaking: Duration,
) -> anyhow::Result<()> {
    let postmaster = usage::postmaster(postgres).await?;
    println!("preparing a tenant with {PRODUCTS} products and {TILLS} tills");
    let load = Arc::new(prepare(url).await?);
    let floor = Floor::create(postgres).await?;
    let sell = |what: What| {
        let seller = load.clone();
        move |till: usize| {
            let load = seller.clone();
            async move { load.sell(till, what).await }
        }
    };
    let basket = sell(What::Basket);
    // The broker's JVM and the plans of the statements are cold after a start.
    closed(8, time, &basket).await.context("warming up")?;

    heading("five-line sales", "sales/s");
    let before = usage::sample(postmaster);
    let (mut most, mut most_at_floor, began) = (0f64, 0f64, Instant::now());
    let mut loaded = Duration::ZERO;
    for connections in [1, 8, 32] {
        let at_floor = floor.run(Work::Sale, connections, time / 2).await?;
        let step = closed(connections, time, &basket).await?;
        loaded += time;
        let ratio = step.rate / at_floor;
        most = most.max(step.rate);
        most_at_floor = most_at_floor.max(at_floor);
        step.print(
            &format!("closed loop, c={connections}"),
            Some((at_floor, ratio)),
        );
    }
    let hot = closed(32, time, &sell(What::HotItem)).await?;
    hot.print("one item at every till, c=32", None);
    // Twice as often would only measure a queue where the fleet does not sell so much.
    let often = if most >= 500.0 { 500 } else { 250 };
    let mut tail = 0.0;
    for rate in [100, often] {
        let step = open(rate, time, &basket).await?;
        step.print(&format!("open loop, {rate}/s"), None);
        tail = step.millis(0.95);
    }
    loaded += time * 3;
    let after = usage::sample(postmaster);
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
    floor.drop().await?;

    let back = away::measure(&load.client, &load.sessions[0], load.products[0]).await?;
    let (taken, bytes) = away::bundle(url).await?;
    let told = live::measure(url).await.context("the tills that listen")?;
    told.print();
    if !soaking.is_zero() {
        heading("at 200 a second", "sales/s");
        let (step, grown) = soak(postmaster, soaking, &basket).await?;
        step.print(&format!("{} s", soaking.as_secs()), None);
        for (name, percent) in &grown {
            println!("{name:24} {percent:>+6.1} % memory from its middle to its end");
        }
        // The broker's JVM takes its heap, whose size it was given, when it comes to it.
        let services = grown.iter().filter(|(name, _)| name != "java");
        let fat: Vec<_> = services.filter(|(_, by)| *by > MOST_GROWN).collect();
        anyhow::ensure!(
            fat.is_empty(),
            "memory grew by more than {MOST_GROWN} %: {fat:?}"
        );
    }

    load.refusals.verdict()?;
    told.verdict()?;
    Aim::verdict(&[
        Aim::least("five-line sales a second", most, 800.0),
        Aim::least("of the floor", most / most_at_floor, 0.4),
        Aim::least("sales of one item a second", hot.rate, 500.0),
        Aim::least("a second, open loop", f64::from(often), 500.0),
        Aim::most("p95 of that, ms", tail, 10.0),
        Aim::most(
            "500 sales made away, ms",
            back.as_secs_f64() * 1000.0,
            1000.0,
        ),
        Aim::most(
            "catalogue of 20,000, ms",
            taken.as_secs_f64() * 1000.0,
            200.0,
        ),
        Aim::most("catalogue of 20,000, KiB", bytes as f64 / 1024.0, 1024.0),
    ])
}
