//! A catalogue of 100,000 products: its import, and then lookups by barcode and searches through the gateway.

use std::{fmt::Write, sync::Arc, time::Duration};

use bahi_demo::{
    client::{Client, text},
    setup,
};
use rand::Rng;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use crate::step::{Refusals, closed, heading, open, per_second};

/// What to load.
#[derive(clap::Args)]
pub struct Args {
    /// The gateway.
    #[arg(long, env = "BAHI_URL")]
    url: String,
    /// Products.
    #[arg(long, default_value_t = 100_000)]
    products: u32,
    /// Seconds of each step.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

/// Milliseconds that the 99th percentile of a lookup, and the 95th of a search, may take.
const LOOKUP: f64 = 10.0;
const SEARCH: f64 = 50.0;
/// Seconds that an import of 100,000 rows may take.
const IMPORT: f64 = 60.0;

const KINDS: [&str; 20] = [
    "Basmati rice",
    "Toor dal",
    "Mustard oil",
    "Assam tea",
    "Filter coffee",
    "Jaggery",
    "Turmeric",
    "Biscuits",
    "Shampoo",
    "Soap",
    "Toothpaste",
    "Detergent",
    "Notebook",
    "Pencil",
    "Lantern",
    "Bulb",
    "Charger",
    "Cable",
    "Bucket",
    "Broom",
];
const MAKERS: [&str; 12] = [
    "Himalaya", "Deccan", "Malabar", "Konkan", "Ganga", "Vindhya", "Nilgiri", "Sahyadri",
    "Aravalli", "Kaveri", "Chambal", "Godavari",
];

/// The check digit behind `digits` (GS1 General Specifications, 7.9).
fn ean(number: u32) -> String {
    let digits = format!("890{number:09}");
    let sum: u32 = digits
        .bytes()
        .rev()
        .zip([3, 1].into_iter().cycle())
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

fn file(products: u32) -> Result<String, std::fmt::Error> {
    let mut file =
        String::from("sku,name,kind,unit,tax_profile,price,price_includes_tax,status,barcodes\n");
    for n in 0..products {
        let (kind, maker) = (
            KINDS[n as usize % KINDS.len()],
            MAKERS[n as usize / 7 % MAKERS.len()],
        );
        writeln!(
            file,
            "B-{n:06},{maker} {kind} {}g no {n},goods,PCS,Gifts and festive articles,{}.50,true,active,{}",
            (n % 9 + 1) * 50,
            n % 900 + 10,
            ean(n)
        )?;
    }
    Ok(file)
}

struct Load {
    client: Client,
    products: u32,
    refusals: Refusals,
}

impl Load {
    async fn lookup(&self) {
        let code = ean(rand::rng().random_range(0..self.products));
        let found = self
            .client
            .get(&format!("/api/v1/products/lookup?barcode={code}"))
            .await;
        self.refusals.note(found);
    }

    async fn search(&self, queries: &[&str]) {
        let query = queries[rand::rng().random_range(0..queries.len())];
        let found = self
            .client
            .get(&format!("/api/v1/products/search?q={query}&limit=20"))
            .await;
        self.refusals.note(found);
    }
}

/// Import, lookups, searches; false above a limit.
///
/// # Errors
/// When anything was refused.
#[allow(clippy::float_arithmetic)] // times, not money
pub async fn run(args: Args) -> anyhow::Result<bool> {
    let time = Duration::from_secs(args.seconds);
    let email = format!("bench-{}@bahi.example", Uuid::now_v7().simple());
    let client = Client::open(&args.url, &email, "a long bench password", "Bench").await?;
    setup::catalogue(&client, &[], |_| {}).await?;
    let mut good = true;

    let text_of_file = file(args.products)?;
    let megabytes = text_of_file.len() as f64 / 1e6;
    let started = Instant::now();
    let job = client
        .post_csv(
            "/api/v1/products/bulk-import",
            "bench-catalogue",
            text_of_file,
        )
        .await?;
    let id = text(&job, "id")?.to_owned();
    let job = loop {
        let job = client.get(&format!("/api/v1/import-jobs/{id}")).await?;
        match text(&job, "status")? {
            "completed" => break job,
            "uploaded" | "validating" | "ready" | "applying" => {
                tokio::time::sleep(Duration::from_millis(100)).await
            }
            _ => anyhow::bail!("the import ended as {job}"),
        }
    };
    let took = started.elapsed();
    let most = IMPORT * f64::from(args.products) / 100_000.0;
    good &= took.as_secs_f64() <= most;
    println!(
        "import of {} rows ({megabytes:.1} MB of CSV): {:.1} s, {:.0} rows/s (at most {most:.0} s)",
        job["created"],
        took.as_secs_f64(),
        per_second(u64::from(args.products), took)
    );

    let load = Arc::new(Load {
        client,
        products: args.products,
        refusals: Refusals::default(),
    });
    let seeker = load.clone();
    let lookup = move |_: usize| {
        let load = seeker.clone();
        async move { load.lookup().await }
    };
    closed(4, time / 2, &lookup).await?;
    heading("through the gateway", "per s");
    for lanes in [1, 8] {
        let step = closed(lanes, time, &lookup).await?;
        step.print(&format!("lookup by barcode, c={lanes}"), None);
    }
    let step = open(200, time, &lookup).await?;
    step.print("lookup by barcode, 200/s", None);
    good &= step.millis(0.99) <= LOOKUP;
    let word: &[&str] = &["lantern", "turmeric", "basmati", "malabar"];
    let two: &[&str] = &["himalaya%20soap", "konkan%20tea", "deccan%20cable"];
    let prefix: &[&str] = &["deterg", "bisc", "note", "B-0421"];
    let wrong: &[&str] = &["bisciuts", "tumeric", "shampo", "godavri"];
    let none: &[&str] = &["zzyzx", "qqqqqq"];
    for (name, queries) in [
        ("one word", word),
        ("two words", two),
        ("a prefix", prefix),
        ("a typing error", wrong),
        ("no match", none),
    ] {
        let seeker = load.clone();
        let search = move |_: usize| {
            let load = seeker.clone();
            async move { load.search(queries).await }
        };
        let step = closed(1, time / 2, &search).await?;
        step.print(&format!("search, {name}"), None);
        good &= step.millis(0.95) <= SEARCH;
    }
    load.refusals.verdict()?;
    println!(
        "{}",
        json!({ "lookup_p99_ms_at_most": LOOKUP, "search_p95_ms_at_most": SEARCH, "reached": good })
    );
    Ok(good)
}
