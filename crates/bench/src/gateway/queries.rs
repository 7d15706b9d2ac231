//! The graph beside Hive Gateway's: the same supergraph, services and queries.

use std::{cell::Cell, rc::Rc, time::Duration};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::{
    Args,
    goals::{Aim, Goals, least, median},
    load::{self, Ask, Lane, Measured},
    process::Process,
    site::Site,
};

const LANES: usize = 16;

struct Query {
    name: &'static str,
    text: &'static str,
}

/// What is asked: a page of one service, of two, one thing through four, and a page through four.
const QUERIES: [Query; 4] = [
    Query {
        name: "20 products, one fetch",
        text: "{ products(first: 20, sort: \"sku\") { totalCount pageInfo { endCursor hasNextPage } edges { node { id sku name price category { name } } } } }",
    },
    Query {
        name: "20 products with stock, two",
        text: "{ products(first: 20) { edges { node { id sku name available } } } }",
    },
    Query {
        name: "an invoice, four",
        text: FOUR,
    },
    Query {
        name: "10 invoices, four",
        text: "{ invoices(first: 10) { edges { node { id number total branch { name } cashier { name } lines { qty total product { name sku available } } } } } }",
    },
];

/// sales, then identity, product and inventory.
const FOUR: &str = "{ invoice(id: \"1\") { id number total branch { name code } lines { line qty total product { name sku available } } } }";

/// Measures both in turns.
///
/// # Errors
/// When one does not start, refuses, or says something else than the other.
pub async fn measure(site: &Site, args: &Args, goals: &mut Goals) -> anyhow::Result<()> {
    let ours = site.gateway("graph", &[]).await?;
    let hive = match &args.hive {
        Some(package) => Some(site.hive(package).await?),
        None => None,
    };
    if hive.is_none() {
        println!("\nHive Gateway is not here: the graph is measured alone");
    }
    let both: Vec<&Process> = [Some(&ours), hive.as_ref()].into_iter().flatten().collect();
    let token = site.token()?;
    let ask = |text: &str| {
        let ask = Ask::post("/graphql", &json!({ "query": text }))?.bearing(&token)?;
        anyhow::Ok(Rc::new(ask))
    };
    for query in &QUERIES {
        let mut said = Vec::new();
        for process in &both {
            said.push(answer(process.port, &*ask(query.text)?).await?);
        }
        ensure!(
            said.windows(2).all(|two| two[0] == two[1]),
            "{}: the two say different things",
            query.name
        );
    }
    println!(
        "\nboth give the same data for all {} queries",
        QUERIES.len()
    );
    // Node compiles what it has run often.
    for (query, process) in QUERIES
        .iter()
        .flat_map(|q| both.iter().map(move |p| (q, p)))
    {
        let ask = ask(query.text)?;
        let time = args.step().max(Duration::from_secs(3));
        load::run(process.port, None, LANES, time, move || Some(ask.clone())).await?;
    }
    println!(
        "\n{:28} {:>9} {:>8} {:>8} {:>8} {:>9} {:>8} {:>8} {:>7} {:>9}",
        "c=16, medians",
        "ours/s",
        "p50 ms",
        "p99 ms",
        "CPU us",
        "Hive/s",
        "p50 ms",
        "CPU us",
        "ratio",
        "of CPU"
    );
    let mut worst = f64::INFINITY;
    let mut most: f64 = 0.0;
    for query in &QUERIES {
        let mut found: Vec<Vec<Measured>> = both.iter().map(|_| Vec::new()).collect();
        for round in 0..args.rounds {
            for turn in 0..both.len() {
                let at = (round + turn) % both.len();
                let ask = ask(query.text)?;
                let next = move || Some(ask.clone());
                let one = load::run(both[at].port, Some(both[at]), LANES, args.step(), next);
                found[at].push(one.await?);
            }
        }
        let (ratio, cpu) = print(query.name, &found);
        worst = worst.min(ratio);
        most = most.max(cpu);
    }
    let (warm, cold) = cold(args, &ours, &token).await?;
    if hive.is_some() {
        goals.note(
            "queries a second, times Hive's, the least",
            Aim::Least(3.0),
            worst,
        );
    }
    goals.note(
        "CPU us a query with a known plan, the most",
        Aim::Most(150.0),
        most,
    );
    #[allow(clippy::float_arithmetic)] // a time, not money
    let plan = (cold - warm) / 1000.0;
    println!(
        "\na plan: {plan:.2} ms (p50 of four fetches one at a time, known {warm:.0} us, new each time {cold:.0} us)"
    );
    goals.note("ms that a plan takes", Aim::Most(2.0), plan);
    ours.end().await;
    if let Some(hive) = hive {
        hive.end().await;
    }
    Ok(())
}

/// One line; the ratio of the rates and our CPU.
#[allow(clippy::float_arithmetic)] // ratios, not money
fn print(name: &str, found: &[Vec<Measured>]) -> (f64, f64) {
    let of = |at: usize, what: fn(&Measured) -> f64| {
        found
            .get(at)
            .map_or(f64::NAN, |f| median(f.iter().map(what)))
    };
    let millis = |at, quantile: fn(&Measured) -> f64| of(at, quantile) / 1000.0;
    let (ours, hive) = (of(0, |m| m.rate), of(1, |m| m.rate));
    let (cpu, theirs) = (of(0, |m| m.cpu), of(1, |m| m.cpu));
    println!(
        "{name:28} {ours:>9.0} {:>8.2} {:>8.2} {cpu:>8.0} {hive:>9.0} {:>8.2} {theirs:>8.0} {:>7.2} {:>9.2}",
        millis(0, |m| m.micros(0.5)),
        millis(0, |m| m.micros(0.99)),
        millis(1, |m| m.micros(0.5)),
        ours / hive,
        theirs / cpu
    );
    (ours / hive, cpu)
}

async fn answer(port: u16, ask: &Ask) -> anyhow::Result<Value> {
    let said = Lane::open(port).await?.ask(ask).await?;
    let mut said: Value = serde_json::from_slice(&said)?;
    ensure!(said.get("errors").is_none(), "{}", said["errors"]);
    let data = said.get_mut("data").map(Value::take);
    data.filter(|data| data.is_object()).context("no data")
}

/// p50 of a query that was planned, and of one that is new each time, in microseconds: the best of the rounds.
async fn cold(args: &Args, ours: &Process, token: &str) -> anyhow::Result<(f64, f64)> {
    let (mut warm, mut cold) = (Vec::new(), Vec::new());
    let known = Rc::new(Ask::post("/graphql", &json!({ "query": FOUR }))?.bearing(token)?);
    let count = Rc::new(Cell::new(0_u64));
    for _ in 0..args.rounds {
        let ask = known.clone();
        let next = move || Some(ask.clone());
        warm.push(load::run(ours.port, Some(ours), 1, args.step(), next).await?);
        let (count, token) = (count.clone(), token.to_owned());
        let next = move || {
            let n = count.get();
            count.set(n + 1);
            // Another name for a field makes it another operation.
            let text = FOUR.replace("number", &format!("n{n}: number"));
            let ask = Ask::post("/graphql", &json!({ "query": text })).ok()?;
            Some(Rc::new(ask.bearing(&token).ok()?))
        };
        cold.push(load::run(ours.port, Some(ours), 1, args.step(), next).await?);
    }
    let best = |of: &[Measured]| least(of.iter().map(|m| m.micros(0.5)));
    Ok((best(&warm), best(&cold)))
}
