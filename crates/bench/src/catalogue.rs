//! A catalogue of 100,000 products: its import, and then lookups by barcode and searches through the gateway.

use std::{fs, iter, sync::Arc, time::Duration};

use anyhow::Context;
use bahi_demo::{
    client::{Client, text},
    setup,
};
use rand::Rng;
use rust_xlsxwriter::Workbook;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    shop,
    step::{Refusals, closed, heading, open},
    usage,
};

/// What to load.
#[derive(clap::Args)]
pub struct Args {
    /// The gateway.
    #[arg(long, env = "BAHI_URL")]
    url: String,
    /// The process of the service.
    #[arg(long, env = "BAHI_BENCH_PRODUCT")]
    product: u32,
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
/// The same of a search through every service.
const EVERYTHING: f64 = 100.0;
/// Seconds that an import of 100,000 rows may take.
const IMPORT: f64 = 60.0;
/// MiB that the service may take for an import or an export.
const MEMORY: u64 = 100;
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

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

const COLUMNS: &str = "sku,name,kind,unit,tax_profile,price,price_includes_tax,status,barcodes";

fn row(n: u32) -> String {
    let (kind, maker) = (
        KINDS[n as usize % KINDS.len()],
        MAKERS[n as usize / 7 % MAKERS.len()],
    );
    format!(
        "B-{n:06},{maker} {kind} {}g no {n},goods,PCS,Gifts and festive articles,{}.50,true,active,{}",
        (n % 9 + 1) * 50,
        n % 900 + 10,
        ean(n)
    )
}

fn csv(products: u32) -> Vec<u8> {
    let rows: Vec<String> = iter::once(COLUMNS.to_owned())
        .chain((0..products).map(row))
        .collect();
    rows.join("\n").into_bytes()
}

fn xlsx(products: u32) -> anyhow::Result<Vec<u8>> {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet_with_constant_memory()?;
    for (at, line) in (0..).zip(iter::once(COLUMNS.to_owned()).chain((0..products).map(row))) {
        for (column, cell) in (0..).zip(line.split(',')) {
            sheet.write_string(at, column, cell)?;
        }
    }
    Ok(book.save_to_buffer()?)
}

/// The most memory that a process has had since it was last asked to forget it, in MiB.
struct Peak(u32);

impl Peak {
    fn forget(&self) -> std::io::Result<()> {
        fs::write(format!("/proc/{}/clear_refs", self.0), "5")
    }

    fn mib(&self) -> anyhow::Result<u64> {
        Ok(usage::kib(self.0, "VmHWM:").context("VmHWM")? / 1024)
    }
}

/// Imports a file and waits for the end; seconds.
async fn import(client: &Client, kind: &str, file: Vec<u8>) -> anyhow::Result<f64> {
    let started = Instant::now();
    let job = client
        .post_file(
            "/api/v1/products/bulk-import",
            "bench-catalogue",
            kind,
            file,
        )
        .await?;
    let id = text(&job, "id")?.to_owned();
    loop {
        let job = client.get(&format!("/api/v1/import-jobs/{id}")).await?;
        match text(&job, "status")? {
            "completed" => return Ok(started.elapsed().as_secs_f64()),
            "uploaded" | "validating" | "ready" | "applying" => {
                tokio::time::sleep(Duration::from_millis(100)).await
            }
            _ => anyhow::bail!("the import ended as {job}"),
        }
    }
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
            .get(&format!("/api/v1/products/search?{query}&limit=20"))
            .await;
        self.refusals.note(found);
    }

    async fn everything(&self, texts: &[&str]) {
        let question = json!({ "q": texts[rand::rng().random_range(0..texts.len())] });
        let key = format!("{:032x}", rand::rng().random::<u128>());
        let found = self.client.post("/api/v1/search", &key, &question).await;
        // An answer with a part missing is as quick as its deadline, and no answer.
        let whole = |body: &Value| body["partial"].as_array().is_some_and(Vec::is_empty);
        let found = found.and_then(|body| {
            anyhow::ensure!(whole(&body), "a part is missing: {body}");
            Ok(body)
        });
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
    let (peak, most) = (
        Peak(args.product),
        IMPORT * f64::from(args.products) / 100_000.0,
    );
    let mut good = true;
    let mut measure = async |name: &str, kind: &str, file: Vec<u8>| -> anyhow::Result<Client> {
        let client = shop::newcomer(&args.url).await?;
        setup::masters(&client).await?;
        peak.forget()?;
        let megabytes = file.len() as f64 / 1e6;
        let took = import(&client, kind, file).await?;
        let mib = peak.mib()?;
        good &= took <= most && mib <= MEMORY;
        println!(
            "import of {} rows from {name} ({megabytes:.1} MB): {took:.1} s (at most {most:.0}), {:.0} rows/s, the service at {mib} MiB at most ({MEMORY})",
            args.products,
            f64::from(args.products) / took,
        );
        Ok(client)
    };
    measure("XLSX", XLSX, xlsx(args.products)?).await?;
    let client = measure("CSV", "text/csv", csv(args.products)).await?;
    peak.forget()?;
    let started = Instant::now();
    let bytes = client
        .download("/api/v1/products/export?format=csv")
        .await?;
    let (took, mib) = (started.elapsed().as_secs_f64(), peak.mib()?);
    good &= mib <= MEMORY;
    println!(
        "export of {} rows as CSV ({:.1} MB): {took:.1} s, the service at {mib} MiB at most ({MEMORY})",
        args.products,
        bytes as f64 / 1e6,
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
    let word: &[&str] = &["q=lantern", "q=turmeric", "q=basmati", "q=malabar"];
    let two: &[&str] = &["q=himalaya%20soap", "q=konkan%20tea", "q=deccan%20cable"];
    let prefix: &[&str] = &["q=deterg", "q=bisc", "q=note", "q=B-0421"];
    let wrong: &[&str] = &["q=bisciuts", "q=tumeric", "q=shampo", "q=godavri"];
    let none: &[&str] = &["q=zzyzx", "q=qqqqqq"];
    let wide: &[&str] = &["q=no&sort=price", "q=g&sort=price:desc", "q=no&sort=name"];
    let only: &[&str] = &["price_from=100&price_to=200", "status=active&sort=sku"];
    for (name, queries) in [
        ("one word", word),
        ("two words", two),
        ("a prefix", prefix),
        ("a typing error", wrong),
        ("no match", none),
        ("in every name, by price", wide),
        ("a filter and no word", only),
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
    let codes: &[&str] = &["B-000042", "B-031337", "B-099999"];
    let names: &[&str] = &["lantern", "himalaya soap", "deterg", "+91 98200 98200"];
    let rare: &[&str] = &["bisciuts", "zzyzx"];
    for (name, texts) in [
        ("a code", codes),
        ("words", names),
        ("misspelt or none", rare),
    ] {
        let seeker = load.clone();
        let search = move |_: usize| {
            let load = seeker.clone();
            async move { load.everything(texts).await }
        };
        let step = closed(1, time / 2, &search).await?;
        step.print(&format!("through every service, {name}"), None);
        good &= step.millis(0.95) <= EVERYTHING;
    }
    load.refusals.verdict()?;
    println!(
        "{}",
        json!({ "lookup_p99_ms_at_most": LOOKUP, "search_p95_ms_at_most": SEARCH,
                "search_of_everything_p95_ms_at_most": EVERYTHING, "reached": good })
    );
    Ok(good)
}
