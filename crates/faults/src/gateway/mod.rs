//! The run of the gateway: clients at two gateways that share a Redis, in front of endpoints that write down what they see and
//! misbehave. At the end the record must be what the gateways' README promises.

mod book;
mod client;
mod hands;
mod judge;
mod mutants;
mod place;

use std::{fs, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use bahi_http::{Keys, Signer};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

pub use self::mutants::Mutant;
use self::{
    book::{Book, LIMITS, Record},
    client::{CLIENTS, Gateways},
    hands::{Breaker, Configuration},
    judge::{Verdict, judge},
    place::{Ground, Place},
};
use crate::{
    fleet::{Fleet, Seat},
    inject::{announce, carry_out},
    plan::{BEHIND, ENDPOINTS, Planned, Role},
    rig::{self, Rig},
};

/// Between two checks of an endpoint's health.
const INTERVAL: Duration = Duration::from_millis(1_500);
/// Failures in a row after which an endpoint is left out.
const CONSECUTIVE: u32 = 5;
/// For how long the first time.
const EJECT: Duration = Duration::from_secs(3);
/// Never for longer.
const LONGEST: Duration = Duration::from_secs(6);
/// How long a gateway waits for Redis.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an answer may take.
const TIME: Duration = Duration::from_secs(4);
/// How long a gateway that is told to stop goes on taking requests.
const DRAIN: Duration = Duration::from_secs(2);
/// How long clients may take to finish when all is healed.
const LAST: Duration = Duration::from_secs(60);

/// Where everything listens: below the kernel's ephemeral range, so that what is down is not replaced by somebody's connection.
struct Addresses {
    gateways: [SocketAddr; 2],
    /// Of the gateways, for those who run them.
    admins: [SocketAddr; 2],
    endpoints: Vec<SocketAddr>,
    /// A service that nobody asks.
    other: SocketAddr,
}

impl Addresses {
    fn of_env() -> anyhow::Result<Self> {
        let first: u16 = rig::var("BAHI_FAULTS_SERVICES")?.parse()?;
        let mut ports = (first..).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut next = || ports.next().context("a port");
        Ok(Self {
            gateways: [next()?, next()?],
            endpoints: (0..ENDPOINTS).map(|_| next()).collect::<Result<_, _>>()?,
            other: next()?,
            admins: [next()?, next()?],
        })
    }

    /// The endpoints of each service, as a gateway is told of them.
    fn upstreams(&self) -> Vec<(String, String)> {
        let mut endpoints = self.endpoints.iter().map(|a| format!("http://{a}"));
        let mut all: Vec<(String, String)> = BEHIND
            .iter()
            .map(|(service, count)| {
                let own: Vec<String> = endpoints.by_ref().take(*count).collect();
                let name = format!("BAHI_UPSTREAM_{}", service.to_uppercase());
                (name, own.join(","))
            })
            .collect();
        let other = format!("http://{}", self.other);
        all.push(("BAHI_UPSTREAM_INVENTORY".to_owned(), other));
        all
    }
}

fn seats(
    rig: &Rig,
    addresses: &Addresses,
    configuration: &Configuration,
) -> anyhow::Result<Vec<Seat>> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    // Copies: what is changed meanwhile in the sources is not for this run.
    let register = rig.logs.join("services.toml");
    fs::copy(format!("{root}/deploy/services.toml"), &register)?;
    let redis = match configuration.mutant {
        Some(Mutant::Alone) => String::new(),
        _ => rig::var("BAHI_FAULTS_REDIS")?,
    };
    let millis = |time: Duration| time.as_millis().to_string();
    let settings: Vec<(String, String)> = [
        ("BAHI_REGISTER", register.display().to_string()),
        ("BAHI_CONFIG_FILE", configuration.file.display().to_string()),
        ("BAHI_TRUST_DIR", format!("{}/public", rig.keys.display())),
        (
            "BAHI_KEY_FILE",
            format!("{}/private/api-gateway.pem", rig.keys.display()),
        ),
        ("BAHI_REDIS", redis),
        ("BAHI_REDIS_PATIENCE_MS", millis(PATIENCE)),
        ("BAHI_TIME_NORMAL_MS", millis(TIME)),
        ("BAHI_TIME_POS_MS", millis(TIME)),
        ("BAHI_TIME_STRICT_MS", millis(TIME)),
        (
            "BAHI_LIMIT_STRICT",
            format!("{}/{}", LIMITS[1].rate, LIMITS[1].burst),
        ),
        ("BAHI_DRAIN_MS", millis(DRAIN)),
        ("BAHI_HTTP_WORKERS", "2".to_owned()),
        (
            "BAHI_GRAPHQL_DOCUMENTS",
            format!("{root}/proto/graphql/documents"),
        ),
        ("BAHI_LOG", "info".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .chain(addresses.upstreams())
    .collect();
    let seat = |which: usize| {
        let (binary, settings) = (rig.bin.join("api-gateway"), settings.clone());
        let listen = addresses.gateways[which].to_string();
        let admin = addresses.admins[which].to_string();
        Seat::of(Role::Gateway, which, move |command| {
            command
                .arg(&binary)
                .env("BAHI_LISTEN", &listen)
                .env("BAHI_ADMIN_LISTEN", &admin)
                .envs(settings.clone());
        })
    };
    Ok(vec![seat(0), seat(1)])
}

/// A run; whether all was well.
///
/// # Errors
/// When it could not be made or judged.
pub async fn run(
    seed: u64,
    length: Duration,
    mutant: Option<Mutant>,
    plan: &[Planned],
) -> anyhow::Result<bool> {
    let rig = Rig::of_env()?;
    let addresses = Addresses::of_env()?;
    let signer = Signer::from_file(&rig.keys.join("private/identity.pem"))?;
    let keys = Keys::from_folder(&rig.keys.join("public"))?;
    let book = Arc::new(Book::begin());
    let ground = Arc::new(Ground::new(book.clone(), keys, mutant));
    let places: Vec<Arc<Place>> = addresses
        .endpoints
        .iter()
        .chain([&addresses.other])
        .enumerate()
        .map(|(number, address)| Place::start(number, *address, &ground))
        .collect();
    for place in &places {
        let up = timeout(Duration::from_secs(30), place.listens(true)).await;
        up.with_context(|| format!("the port of endpoint {} is taken", place.number))?;
    }
    let configuration = Configuration {
        file: rig.logs.join("gateway.toml"),
        mutant,
    };
    configuration.write(99)?;
    let seats = seats(&rig, &addresses, &configuration)?;
    let fleet = Arc::new(Fleet::start_all(&rig.logs, None, seats)?);
    let gateways = Arc::new(Gateways::new(addresses.gateways, addresses.admins));
    // They end with the run.
    let mut beside = JoinSet::new();
    for gateway in 0..2 {
        beside.spawn(gateways.clone().balance(gateway));
    }
    for gateway in 0..2 {
        gateways.come_up(gateway).await?;
    }
    let watched = fleet.clone();
    let mut watch = tokio::spawn(async move { watched.watch().await });
    let hands = Arc::new(Breaker::new(
        &fleet,
        &gateways,
        places,
        &book,
        rig.control.clone(),
        rig.cut,
        configuration,
    ));
    announce(&*hands, plan);

    println!("\nas it happens:");
    beside.spawn(client::watch_the_clock(book.clone()));
    let mut clients = client::start(seed, &gateways, &book, &signer)?;
    let began = Instant::now();
    let progress = async {
        loop {
            sleep(Duration::from_secs(15)).await;
            let (all, good) = book.counts();
            let at = began.elapsed().as_secs_f64();
            println!("{at:>6.1}s   {all} requests, {good} of them answered well");
        }
    };
    let (faults, failed) = tokio::select! {
        never = progress => never,
        _ = &mut watch => anyhow::bail!("gateways end by themselves all the time; logs in {}", rig.logs.display()),
        faults = async {
            let faults = carry_out(&hands, plan, began).await;
            sleep_until(began + length).await;
            faults
        } => faults,
    };
    let at = began.elapsed().as_secs_f64();
    println!("{at:>6.1}s all is healed");
    hands.heal().await?;
    // What is well again has to show it.
    sleep(LONGEST + INTERVAL * 4).await;
    gateways
        .over
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let mut wrong: Vec<String> = Vec::new();
    let finished = async {
        while let Some(client) = clients.join_next().await {
            client.context("a client panicked")?;
        }
        anyhow::Ok(())
    };
    match timeout(LAST, finished).await {
        Ok(finished) => finished?,
        Err(_) => wrong.push("UNANSWERED: clients still wait for answers".to_owned()),
    }
    watch.abort();
    rig::tell_faults(&faults);
    wrong.extend(
        failed
            .iter()
            .map(|f| format!("NOT DONE, or not undone: {f}")),
    );
    wrong.extend(
        fleet
            .ends()
            .into_iter()
            .map(|end| format!("ENDED BY ITSELF: {end}")),
    );
    let record = book.close();
    let verdict = judge(&record);
    tell(&record, &verdict);
    wrong.extend(verdict.wrong);
    let missed = mutants::missed(&record);
    let all = mutants::WRONGS.len();
    println!(
        "{} of {all} things put wrong on purpose were seen",
        all - missed.len()
    );
    for missed in missed {
        wrong.push(format!("MISSED: the judge does not see {missed}"));
    }
    Ok(rig.tell(seed, &wrong))
}

fn tell(record: &Record, verdict: &Verdict) {
    let changes = record.tries.iter().filter(|t| t.post).count();
    println!(
        "\n{} reads and {changes} changes of {CLIENTS} clients, {} requests seen by {ENDPOINTS} endpoints; {} reads repeated",
        record.tries.len() - changes,
        record.seen.len(),
        verdict.repeated
    );
    let mut excused: Vec<_> = verdict.excused.iter().collect();
    excused.sort_unstable();
    println!(
        "{:>6} reads failed as the rules allow",
        excused.iter().map(|(_, n)| **n).sum::<usize>()
    );
    for (why, count) in excused {
        println!("{count:>12}  {why}");
    }
    for unlucky in &verdict.unlucky {
        println!("              {unlucky}");
    }
    println!(
        "{:>6} changes failed, each within a fault that explains it",
        verdict.changes
    );
    println!(
        "{:>6} requests at most were given to an endpoint that failed them, {} may be",
        verdict.noticed.0, verdict.noticed.1
    );
    println!(
        "{:>6} goodbyes of {} ends of WebSockets and streams",
        verdict.goodbyes,
        record.ends.len()
    );
    for (limit, passed) in LIMITS.iter().zip(&verdict.passed) {
        println!("{passed:>6} of {} passed", limit.name);
    }
    println!("{:>6} requests were refused by a limit", record.refused);
    println!(
        "the last request that failed began {:.1} s after its fault was healed; the run itself stood still for {:.2} s at most",
        verdict.recovery.as_secs_f64(),
        record.lag.as_secs_f64()
    );
}
