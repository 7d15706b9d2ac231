//! `bahi-demo`: a shop's year in a minute. Creates the tenant, loads the catalogue, receives stock, replays the file at eight
//! tills, of which half are away for a while and come back, and checks the whole against the file.

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::Context;
use bahi_demo::{
    branches,
    check::{self, Subject, Totals},
    client::{Client, text},
    file::{self, Book, Kind},
    replay::{self, Outcome},
    setup::{self, Item, Opening, Shop},
    spells::{SEED, Schedule},
};
use bahi_types::{Price, round_to};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use rust_decimal::Decimal;

/// Tills of the shop; half of them are away for a while.
const TILLS: usize = 8;

/// Replays a real retailer's file through the fleet and checks the result.
#[derive(Parser)]
struct Args {
    /// The gateway.
    #[arg(long, env = "BAHI_URL")]
    url: String,
    /// The Kafka broker, for the final checks.
    #[arg(long, env = "BAHI_KAFKA")]
    kafka: String,
    /// Owner of the demo tenant.
    #[arg(long, env = "BAHI_EMAIL")]
    email: String,
    /// His password.
    #[arg(long, env = "BAHI_PASSWORD")]
    password: String,
    /// Draws when tills are away, and what gets lost on the way meanwhile.
    #[arg(long, default_value_t = SEED)]
    seed: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bahi-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bar(length: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) =
        ProgressStyle::with_template("{msg:28} {bar:32} {pos}/{len} {per_sec:>12} {elapsed:>4}")
    {
        bar.set_style(style);
    }
    bar.set_message(what);
    // Without a terminal there is no bar; the line at least says what goes on.
    if bar.is_hidden() {
        println!("{what} ({length})");
    }
    bar
}

async fn run(args: Args) -> anyhow::Result<()> {
    let book = file::read(file::FILE)?;
    let client = Client::open(&args.url, &args.email, &args.password, "Online Retail Demo").await?;
    let me = client.get("/api/v1/auth/me").await?;
    let tenant = text(&me, "tenant_id")?.to_owned();
    if let Some(last) = last_sale(&book) {
        let found = client
            .get(&format!("/api/v1/sales/invoices?external_reference={last}"))
            .await?;
        if found["total"].as_i64().unwrap_or_default() > 0 {
            println!(
                "The file is there already: its last sale {last} is invoice {}.",
                found["items"][0]["number"]
            );
            return Ok(());
        }
    }
    println!(
        "{} rows, {} documents; {} codes fold to {} products when letter case is ignored",
        book.rows,
        book.documents.len(),
        book.codes,
        book.products.len()
    );
    let (shop, products) = prepare(&client, &book, text(&me, "user_id")?).await?;
    let progress = bar(book.documents.len() as u64, "documents of the file");
    let schedule = Schedule::draw(args.seed, TILLS, book.documents.len());
    let chance = (&schedule, args.seed);
    let outcome = replay::run(&client, &shop, &book, &products, chance, || progress.inc(1)).await?;
    progress.finish();
    let subject = Subject {
        client: &client,
        book: &book,
        outcome: &outcome,
        products: &products,
        tenant: &tenant,
        shop: &shop,
        brokers: &args.kafka,
    };
    let (mut findings, totals) = subject.all(|what| println!("checking {what}")).await?;
    let location = &shop.location;
    findings.extend(branches::run(&client, location, |what| println!("{what}")).await?);
    report(&book, &outcome, &totals, &findings);
    check::verdict(&findings)?;
    anyhow::ensure!(
        outcome.refused.is_empty(),
        "{} documents were refused",
        outcome.refused.len()
    );
    Ok(())
}

fn last_sale(book: &Book) -> Option<&str> {
    book.documents
        .iter()
        .rev()
        .find(|d| d.kind == Kind::Sale)
        .map(|d| d.number.as_str())
}

async fn prepare(
    client: &Client,
    book: &Book,
    cashier: &str,
) -> anyhow::Result<(Shop, BTreeMap<String, String>)> {
    let (location, tills) = setup::organisation(client, TILLS).await?;
    let one = Price::from(1);
    let items: Vec<Item> = book
        .products
        .iter()
        .map(|(sku, p)| Item {
            sku: sku.clone(),
            name: p.name.clone(),
            goods: p.goods,
            price: if p.price.is_zero() { one } else { p.price },
        })
        .collect();
    let progress = bar(items.len() as u64, "catalogue");
    let refused = setup::catalogue(client, &items, |n| progress.set_position(n)).await?;
    progress.finish();
    anyhow::ensure!(
        refused.is_empty(),
        "rows of the catalogue were refused: {refused:?}"
    );
    let products: BTreeMap<String, String> = setup::products(client)
        .await?
        .into_iter()
        .map(|(sku, id)| (sku.to_uppercase(), id))
        .collect();
    let mut stock = Vec::new();
    for (sku, product) in book
        .products
        .iter()
        .filter(|(_, p)| p.opening().is_positive())
    {
        let price = if product.price.is_zero() {
            one
        } else {
            product.price
        };
        // Bought at three fifths of the shelf price.
        let cost = Price::rounded(round_to(price.decimal() * Decimal::new(6, 1), 2));
        let id = products
            .get(sku)
            .with_context(|| format!("{sku} was not imported"))?;
        stock.push(Opening {
            product: id.clone(),
            qty: product.opening(),
            cost,
        });
    }
    let progress = bar(stock.len() as u64, "opening stock");
    setup::receive(client, &location, &stock, |n| progress.set_position(n)).await?;
    progress.finish();
    let sessions = setup::open_tills(client, &tills).await?;
    let shop = Shop {
        location,
        tills,
        sessions,
        cashier: cashier.to_owned(),
    };
    Ok((shop, products))
}

fn report(book: &Book, outcome: &Outcome, totals: &Totals, findings: &[check::Finding]) {
    let ms = |q: f64| {
        outcome
            .latency
            .as_ref()
            .map_or(0, |l| l.value_at_quantile(q))
    };
    let tenths = |t: u64| format!("{}.{} ms", t / 10, t % 10);
    let away = &outcome.away;
    let rows: [(&str, String); 13] = [
        (
            "sales",
            format!("{} of {}", outcome.sales.len(), book.count(Kind::Sale).0),
        ),
        ("lines", totals.lines.to_string()),
        ("amount", format!("INR {}", totals.amount)),
        ("of it tax", format!("INR {}", totals.tax)),
        (
            "returns",
            format!(
                "{} with bill, {} without",
                outcome.returns.0, outcome.returns.1
            ),
        ),
        (
            "stock corrections",
            format!(
                "{} down, {} up",
                outcome.corrections.1, outcome.corrections.0
            ),
        ),
        ("refused", outcome.refused.len().to_string()),
        (
            "made while away",
            format!(
                "{} sales, {} returns with bill, {} without, in {} spells; {} returns put off till back",
                away.sales, away.returns.0, away.returns.1, away.spells, away.put_off
            ),
        ),
        (
            "taken along",
            format!(
                "{} whole catalogues, {} changes, {} times as known",
                away.bundles.0, away.bundles.1, away.bundles.2
            ),
        ),
        (
            "batches",
            format!("{}, {} of them sent twice", away.batches.0, away.batches.1),
        ),
        (
            "numbers void",
            format!(
                "{} issued on line ({} answers lost, {} calls hung up on), {} spoilt; {} sales under an id of their own",
                away.became("issued_online"),
                away.tried.0,
                away.tried.1,
                away.became("void"),
                away.became("replaced")
            ),
        ),
        (
            "documents a second",
            format!("{:.0}", rate(book.documents.len(), outcome.seconds)),
        ),
        (
            "sale p50 / p95",
            format!("{} / {}", tenths(ms(0.5)), tenths(ms(0.95))),
        ),
    ];
    println!();
    for (name, value) in rows {
        println!("{name:20} {value}");
    }
    for (topic, records) in &totals.topics {
        println!("{topic:20} {records} events");
    }
    for (number, reason) in &outcome.refused {
        println!("refused {number}: {reason}");
    }
    println!();
    for finding in findings {
        let mark = if finding.wrong.is_empty() {
            "passed"
        } else {
            "FAILED"
        };
        println!("{mark} {:28} {}", finding.name, finding.counted);
        for wrong in finding.wrong.iter().take(10) {
            println!("         {wrong}");
        }
    }
}

#[allow(clippy::float_arithmetic)] // a rate, not money
fn rate(count: usize, seconds: f64) -> f64 {
    count as f64 / seconds.max(0.001)
}
