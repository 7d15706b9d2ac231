//! A kilobyte through each proxy: what it adds to the time of one request at a time, and how many a core can take.

use std::{cell::RefCell, rc::Rc};

use super::{
    Args,
    goals::{Aim, Goals, least, median},
    load::{self, Ask, Measured},
    process::Process,
    site::Site,
};

/// What is read.
pub const PATH: &str = "/api/v1/products/0198f3c2-5d7e-7cc3-98c4-dc0c0c07398f";
/// The same from a route whose requests are counted in Redis, one by one.
const STRICT: &str = "/api/v1/auth/oidc/providers";
/// Connections when it is about how many.
const LANES: usize = 32;
/// Tokens that are signed beforehand for a second; more are not used up.
const TOKENS: u64 = 5_000;

/// Who is measured, and what was found: one at a time, and on many connections.
struct Contender {
    name: &'static str,
    port: u16,
    process: Option<usize>,
    what: What,
    single: Vec<Measured>,
    many: Vec<Measured>,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Plain,
    FirstSeen,
    Strict,
}

const DIRECT: usize = 0;
const NGINX: usize = 1;
const OURS: usize = 3;

/// Measures all of them in turns.
///
/// # Errors
/// When one does not start, or refuses.
pub async fn measure(site: &Site, args: &Args, goals: &mut Goals) -> anyhow::Result<()> {
    let processes = [
        site.nginx().await?,
        site.haproxy().await?,
        site.gateway("gateway", &[]).await?,
    ];
    let all = [
        ("direct", None, What::Plain),
        ("nginx", Some(0), What::Plain),
        ("haproxy", Some(1), What::Plain),
        ("api-gateway", Some(2), What::Plain),
        ("api-gateway, token never seen", Some(2), What::FirstSeen),
        ("api-gateway, counted in Redis", Some(2), What::Strict),
    ];
    let mut all = all.map(|(name, process, what)| Contender {
        name,
        port: process.map_or(site.service("product"), |at| processes[at].port),
        process,
        what,
        single: Vec::new(),
        many: Vec::new(),
    });
    let plain = Rc::new(Ask::get(PATH)?.bearing(&site.token()?)?);
    let strict = Rc::new(Ask::get(STRICT)?);
    // Nobody is measured cold.
    for one in all.iter().filter(|one| one.what == What::Plain) {
        let ask = plain.clone();
        let next = move || Some(ask.clone());
        load::run(one.port, None, LANES, args.step() / 2, next).await?;
    }
    for round in 0..args.rounds {
        for turn in 0..all.len() {
            // Another one begins each round.
            let at = (round + turn) % all.len();
            let one = &mut all[at];
            let between = one.process.map(|at| &processes[at]);
            let single = match one.what {
                What::FirstSeen => first_seen(site, args, one.port, between).await?,
                what => {
                    let ask = if what == What::Strict {
                        &strict
                    } else {
                        &plain
                    }
                    .clone();
                    let next = move || Some(ask.clone());
                    load::run(one.port, between, 1, args.step(), next).await?
                }
            };
            one.single.push(single);
            if one.what == What::Plain {
                let ask = plain.clone();
                let next = move || Some(ask.clone());
                let many = load::run(one.port, between, LANES, args.step(), next).await?;
                one.many.push(many);
            }
        }
    }
    print(&all);
    judge(&all, goals);
    for process in processes {
        process.end().await;
    }
    Ok(())
}

/// Each request with a token of its own.
async fn first_seen(
    site: &Site,
    args: &Args,
    port: u16,
    between: Option<&Process>,
) -> anyhow::Result<Measured> {
    let mut asks = Vec::new();
    for _ in 0..args.seconds * TOKENS {
        asks.push(Rc::new(Ask::get(PATH)?.bearing(&site.token()?)?));
    }
    let asks = RefCell::new(asks);
    let next = move || asks.borrow_mut().pop();
    load::run(port, between, 1, args.step(), next).await
}

impl Contender {
    /// The best of the rounds, in microseconds: what others did at the time is in the worse ones.
    fn best(&self, quantile: f64) -> f64 {
        least(self.single.iter().map(|m| m.micros(quantile)))
    }

    /// Microseconds of processor a request, at many connections.
    fn cpu(&self) -> f64 {
        median(self.many.iter().map(|m| m.cpu))
    }

    fn rate(&self) -> f64 {
        median(self.many.iter().map(|m| m.rate))
    }
}

#[allow(clippy::float_arithmetic)] // times, not money
fn added(all: &[Contender], at: usize, quantile: f64) -> f64 {
    all[at].best(quantile) - all[DIRECT].best(quantile)
}

#[allow(clippy::float_arithmetic)] // times and ratios, not money
fn print(all: &[Contender]) {
    println!(
        "\n{:32} {:>8} {:>8} {:>8} {:>9} {:>10} {:>8} {:>9} {:>9}",
        "1 kB, best of the rounds",
        "p50 us",
        "p99 us",
        "added",
        "of nginx",
        "c=32 req/s",
        "CPU us",
        "a core/s",
        "of nginx"
    );
    let nginx = added(all, NGINX, 0.5);
    for (at, one) in all.iter().enumerate() {
        let (p50, p99, more) = (one.best(0.5), one.best(0.99), added(all, at, 0.5));
        print!(
            "{:32} {p50:>8.1} {p99:>8.1} {more:>8.1} {:>9.2}",
            one.name,
            more / nginx
        );
        if one.many.is_empty() {
            println!();
            continue;
        }
        print!(" {:>10.0}", one.rate());
        match one.process {
            None => println!(),
            Some(_) => println!(
                " {:>8.1} {:>9.0} {:>9.2}",
                one.cpu(),
                1e6 / one.cpu(),
                all[NGINX].cpu() / one.cpu()
            ),
        }
    }
}

#[allow(clippy::float_arithmetic)] // ratios, not money
fn judge(all: &[Contender], goals: &mut Goals) {
    let nginx = added(all, NGINX, 0.5);
    let times = |at| added(all, at, 0.5) / nginx;
    goals.note(
        "p50 added to a request, times nginx'",
        Aim::Most(1.5),
        times(OURS),
    );
    let tail = added(all, OURS, 0.99) / added(all, NGINX, 0.99);
    goals.note("p99 added, times nginx'", Aim::Most(2.0), tail);
    goals.note(
        "the same with a token never seen",
        Aim::Most(3.75),
        times(OURS + 1),
    );
    goals.note("the same counted in Redis", Aim::Most(5.2), times(OURS + 2));
    let core = all[NGINX].cpu() / all[OURS].cpu();
    goals.note("requests a core takes, of nginx'", Aim::Least(0.7), core);
}
