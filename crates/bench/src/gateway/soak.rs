//! Constant load of every kind for as long as is wished: memory must stay flat.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use serde_json::json;

use super::{
    Args,
    goals::{Aim, Goals, median},
    load::{Ask, Lane},
    site::Site,
    sockets::{self, CAPS},
};
use crate::step::Refusals;

/// Requests a second, and queries.
const REQUESTS: u32 = 400;
const QUERIES: u32 = 50;
/// Connections that they come on: one that waits does not hold up the others.
const LANES: u32 = 8;
/// WebSockets that stay, and those that are opened and closed each second.
const IDLE: usize = 200;
const COMING: usize = 5;
/// Of queries this many are new to the gateway's plans.
const NEW: u64 = 10;

/// Queries that are planned before it begins: more than are kept, so that what is kept is all that there ever will be.
const PLANNED: u64 = 8_000;

/// Loads, and compares the memory of the second quarter with that of the last.
///
/// # Errors
/// When one request is refused.
pub async fn measure(site: &Site, args: &Args, goals: &mut Goals) -> anyhow::Result<()> {
    let time = Duration::from_secs(args.soak * 60);
    let gateway = site.gateway("soak", &CAPS).await?;
    let (token, port) = (site.token()?, gateway.port);
    let idle = sockets::open(port, &token, IDLE).await?;
    let mut lane = Lane::open(port).await?;
    for n in 1..=PLANNED {
        lane.ask(&query(n, &token)?).await?;
    }
    let end = Instant::now() + time;
    let refusals = Rc::new(Refusals::default());
    let local = tokio::task::LocalSet::new();
    let plain = Ask::get(super::rest::PATH)?.bearing(&token)?;
    let asked = pace(port, REQUESTS, end, refusals.clone(), move |_| {
        Ok(plain.clone())
    });
    let asked = local.spawn_local(asked);
    let bearer = token.clone();
    let queried = pace(port, QUERIES, end, refusals.clone(), move |n| {
        let name = if n % NEW == 0 { PLANNED + n } else { 0 };
        query(name, &bearer)
    });
    let queried = local.spawn_local(queried);
    let turned = refusals.clone();
    local.spawn_local(async move {
        while Instant::now() < end {
            turned.note(sockets::open(port, &token, COMING).await);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let mut sizes = Vec::new();
    let sampled = local.run_until(async {
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_secs(1)).await;
            sizes.push(gateway.resident());
        }
        anyhow::Ok((asked.await??, queried.await??))
    });
    let (asked, queried) = sampled.await?;
    drop(idle);
    refusals.verdict()?;
    let quarter = sizes.len() / 4;
    #[allow(clippy::float_arithmetic)] // memory, not money
    let of = |part: &[u64]| median(part.iter().map(|kib| *kib as f64 / 1024.0));
    let (before, after) = (of(&sizes[quarter..2 * quarter]), of(&sizes[3 * quarter..]));
    #[allow(clippy::float_arithmetic)]
    let grown = (after / before - 1.0) * 100.0;
    println!(
        "\n{} minutes: {asked} requests, {queried} queries, {IDLE} WebSockets and {COMING} more each second; {before:.1} MiB in the second quarter, \
         {after:.1} in the last ({grown:+.1} %)",
        args.soak
    );
    goals.note(
        "% that memory has grown by under load",
        Aim::Most(5.0),
        grown,
    );
    gateway.end().await;
    Ok(())
}

/// A query that no other number makes.
fn query(n: u64, bearer: &str) -> anyhow::Result<Ask> {
    let text =
        format!("{{ products(first: 20) {{ edges {{ node {{ id n{n}: name available }} }} }} }}");
    Ask::post("/graphql", &json!({ "query": text }))?.bearing(bearer)
}

/// At a pace; those that are late follow at once. How many there were.
async fn pace(
    port: u16,
    rate: u32,
    end: Instant,
    refusals: Rc<Refusals>,
    make: impl Fn(u64) -> anyhow::Result<Ask> + 'static,
) -> anyhow::Result<u64> {
    let (count, make, refusals) = (Cell::new(0), &make, &refusals);
    let lanes = (0..LANES).map(|_| async {
        let mut lane = Lane::open(port).await?;
        let mut pace = tokio::time::interval(Duration::from_secs(1) * LANES / rate);
        while Instant::now() < end {
            pace.tick().await;
            refusals.note(lane.ask(&make(count.replace(count.get() + 1))?).await);
        }
        anyhow::Ok(())
    });
    try_join_all(lanes).await?;
    Ok(count.get())
}
