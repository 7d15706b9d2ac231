//! `bahi-bench pos`: five-line sales through the gateway, closed loop at 1, 8 and 32 connections and open loop at 100 and
//! 300 a second, beside the floor that the same PostgreSQL allows in the same run. `bahi-bench relay`: the outbox worker
//! beside Debezium.

mod floor;
mod relay;
mod usage;

use std::{
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use bahi_demo::{
    client::{Client, text},
    setup::{self, Item, Opening},
};
use bahi_types::{Price, Quantity};
use clap::Parser;
use floor::{Floor, basket};
use hdrhistogram::Histogram;
use serde_json::json;
use uuid::Uuid;

/// Loads the fleet and prints ratios to the floor.
#[derive(Parser)]
enum Args {
    /// Sales at the till.
    Pos {
        /// The gateway.
        #[arg(long, env = "BAHI_URL")]
        url: String,
        /// PostgreSQL as its superuser: where the floor is measured.
        #[arg(long, env = "BAHI_PG_SALES")]
        postgres: String,
        /// Seconds of each step.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// The run fails when the fleet sells less than this part of the floor.
        #[arg(long, default_value = "0.15")]
        least: f64,
    },
    /// The outbox worker beside Debezium (scripts/bench relay).
    Relay(Box<relay::Args>),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    else {
        return ExitCode::FAILURE;
    };
    let ended = runtime.block_on(async {
        match args {
            Args::Pos {
                url,
                postgres,
                seconds,
                least,
            } => pos(&url, &postgres, Duration::from_secs(seconds), least)
                .await
                .map(|()| true),
            Args::Relay(args) => relay::run(*args).await,
        }
    });
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bahi-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Tills of the bench; each has a number series of its own.
const TILLS: usize = 32;
const PRODUCTS: usize = 500;

struct Load {
    client: Client,
    products: Vec<Uuid>,
    sessions: Vec<String>,
    errors: AtomicU64,
    first_error: Mutex<Option<String>>,
}

/// Sales made in a step, and their latencies in microseconds.
struct Step {
    rate: f64,
    latency: Histogram<u64>,
}

async fn prepare(url: &str) -> anyhow::Result<Load> {
    // A tenant of its own, so that the bench can run again and again and disturbs nobody's books.
    let email = format!("bench-{}@bahi.example", Uuid::now_v7().simple());
    let client = Client::open(url, &email, "a long bench password", "Bench").await?;
    let (location, tills) = setup::organisation(&client, TILLS).await?;
    let items: Vec<Item> = (0..PRODUCTS)
        .map(|n| Item {
            sku: format!("BENCH-{n:04}"),
            name: format!("Bench item {n}"),
            goods: true,
            price: Price::from(119),
        })
        .collect();
    setup::catalogue(&client, &items, |_| {}).await?;
    let products = setup::products(&client).await?;
    let stock: Vec<Opening> = products
        .iter()
        .map(|(_, id)| Opening {
            product: id.clone(),
            qty: Quantity::from(10_000_000),
            cost: Price::from(60),
        })
        .collect();
    setup::receive(&client, &location, &stock, |_| {}).await?;
    let sessions = setup::open_tills(&client, &tills).await?;
    let products = products
        .iter()
        .map(|(_, id)| id.parse())
        .collect::<Result<_, _>>()?;
    Ok(Load {
        client,
        products,
        sessions,
        errors: AtomicU64::new(0),
        first_error: Mutex::default(),
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
        if let Err(error) = sold {
            self.errors.fetch_add(1, Ordering::Relaxed);
            let mut first = self
                .first_error
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| format!("{error:#}"));
        }
    }

    /// As fast as `connections` of them can.
    async fn closed(self: &Arc<Self>, connections: usize, time: Duration) -> anyhow::Result<Step> {
        let end = Instant::now() + time;
        let started = Instant::now();
        let lanes = (0..connections).map(|till| {
            let load = self.clone();
            tokio::spawn(async move {
                let mut latency = microseconds()?;
                while Instant::now() < end {
                    let began = Instant::now();
                    load.sell(till).await;
                    latency.saturating_record(micros(began));
                }
                anyhow::Ok(latency)
            })
        });
        let mut latency = microseconds()?;
        for lane in futures::future::join_all(lanes).await {
            latency.add(lane??)?;
        }
        Ok(Step {
            rate: per_second(latency.len(), started.elapsed()),
            latency,
        })
    }

    /// On a schedule: a sale is due every 1/`rate` second and its time runs from when it was due, sent or not.
    async fn open(self: &Arc<Self>, rate: u32, time: Duration) -> anyhow::Result<Step> {
        let latency = Arc::new(Mutex::new(microseconds()?));
        let started = Instant::now();
        let count = rate * u32::try_from(time.as_secs())?;
        let mut sales = tokio::task::JoinSet::new();
        for n in 0..count {
            let due = started + Duration::from_secs(1) * n / rate;
            tokio::time::sleep_until(due.into()).await;
            let (load, latency) = (self.clone(), latency.clone());
            sales.spawn(async move {
                load.sell(n as usize).await;
                latency
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .saturating_record(micros(due));
            });
        }
        while sales.join_next().await.is_some() {}
        let latency = latency
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Ok(Step {
            rate: per_second(latency.len(), started.elapsed()),
            latency,
        })
    }
}

/// Up to a minute.
fn microseconds() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(60_000_000, 3)?)
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[allow(clippy::float_arithmetic)] // a rate, not money
fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

#[allow(clippy::float_arithmetic)] // times and ratios, not money
async fn pos(url: &str, postgres: &str, time: Duration, least: f64) -> anyhow::Result<()> {
    let (admin, connection) = tokio_postgres::connect(postgres, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    // The postmaster is the parent of our backend.
    let backend: i32 = admin
        .query_one("select pg_backend_pid()", &[])
        .await?
        .get(0);
    let stat = std::fs::read_to_string(format!("/proc/{backend}/stat")).unwrap_or_default();
    let postmaster = stat
        .rsplit_once(')')
        .and_then(|(_, r)| r.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0);

    println!("preparing a tenant with {PRODUCTS} products and {TILLS} tills");
    let load = Arc::new(prepare(url).await?);
    let floor = Floor::create(postgres).await?;
    // The broker's JVM and the plans of the statements are cold after a start.
    load.closed(8, time).await.context("warming up")?;

    println!(
        "\n{:24} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "five-line sales", "sales/s", "p50 ms", "p95 ms", "p99 ms", "floor/s", "ratio"
    );
    let before = usage::sample(postmaster);
    let (mut most, mut most_at_floor, began) = (0f64, 0f64, Instant::now());
    let mut loaded = Duration::ZERO;
    for connections in [1, 8, 32] {
        let at_floor = floor.run(connections, time / 2).await?;
        let step_began = Instant::now();
        let step = load.closed(connections, time).await?;
        loaded += step_began.elapsed();
        let ratio = step.rate / at_floor;
        most = most.max(step.rate);
        most_at_floor = most_at_floor.max(at_floor);
        print_step(
            &format!("closed loop, c={connections}"),
            &step,
            Some((at_floor, ratio)),
        );
    }
    for rate in [100, 300] {
        let step_began = Instant::now();
        let step = load.open(rate, time).await?;
        loaded += step_began.elapsed();
        print_step(&format!("open loop, {rate}/s"), &step, None);
    }
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

    let errors = load.errors.load(Ordering::Relaxed);
    let first = load
        .first_error
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
        .unwrap_or_default();
    anyhow::ensure!(errors == 0, "{errors} sales failed; the first: {first}");
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

#[allow(clippy::float_arithmetic)] // times, not money
fn print_step(name: &str, step: &Step, floor: Option<(f64, f64)>) {
    let ms = |q: f64| step.latency.value_at_quantile(q) as f64 / 1000.0;
    let (at_floor, ratio) = floor.map_or_else(Default::default, |(f, r)| {
        (format!("{f:.0}"), format!("{r:.3}"))
    });
    println!(
        "{name:24} {:>9.1} {:>9.2} {:>9.2} {:>9.2} {at_floor:>9} {ratio:>7}",
        step.rate,
        ms(0.5),
        ms(0.95),
        ms(0.99)
    );
}
