//! `bahi-bench relay`: the outbox worker beside Debezium on Kafka Connect, on the same server and broker, with the same
//! events, one at a time and in turn; judged by the same oracle as every test of the way of an event.

mod book;
mod consumer;
mod contender;
mod drain;
mod hold;
mod idle;
mod latency;
mod load;
mod report;
mod site;
mod takeover;
mod topic;
mod usage;

use std::time::Duration;

use clap::ValueEnum;

use self::{report::Report, site::Site};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// A backlog.
    Drain,
    /// Commit to consumer at a fixed rate.
    Latency,
    /// Every database of the register and nothing to do.
    Idle,
    /// The owner dies, or its host disappears.
    Takeover,
    /// A transaction and a snapshot that stay open.
    Hold,
    /// A consumer that inserts a row for each event.
    Consumer,
}

/// The relay beside Debezium.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    site: Site,
    /// Small sizes and one run: to see that it works, not how fast.
    #[arg(long)]
    quick: bool,
    /// Runs of each contender, in turn.
    #[arg(long)]
    runs: Option<usize>,
    /// Rows of a backlog.
    #[arg(long)]
    rows: Option<u32>,
    /// Rows of a transaction of the backlog; 1 and 100 unless given.
    #[arg(long)]
    batch: Vec<u32>,
    /// Events a second of the open loops.
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// Seconds of an open loop, after as many to warm up.
    #[arg(long)]
    seconds: Option<u64>,
    /// How long a snapshot is held.
    #[arg(long)]
    hold_minutes: Option<u64>,
    /// This alone.
    #[arg(long, value_enum)]
    only: Option<Scenario>,
    /// The worker alone.
    #[arg(long)]
    without_debezium: bool,
}

/// The sizes of everything.
struct Shape {
    runs: usize,
    rows: u32,
    batches: Vec<u32>,
    rate: u32,
    window: Duration,
    idle: Duration,
    deaths: u32,
    disappearances: u32,
    transaction: Duration,
    snapshot: Duration,
    consumed: u32,
    with_debezium: bool,
}

impl Shape {
    fn of(args: &Args) -> Self {
        let pick = |quick: u64, full: u64| if args.quick { quick } else { full };
        let seconds = |quick, full| Duration::from_secs(pick(quick, full));
        Self {
            runs: args.runs.unwrap_or(if args.quick { 1 } else { 3 }).max(1),
            rows: args
                .rows
                .unwrap_or(if args.quick { 100_000 } else { 1_000_000 })
                .max(1),
            batches: match args.batch.as_slice() {
                [] => vec![1, 100],
                given => given.iter().map(|batch| (*batch).max(1)).collect(),
            },
            rate: args.rate.max(1),
            window: args
                .seconds
                .map_or_else(|| seconds(15, 60), Duration::from_secs),
            idle: seconds(10, 30),
            deaths: if args.quick { 2 } else { 5 },
            disappearances: if args.quick { 1 } else { 3 },
            transaction: seconds(15, 60),
            snapshot: args.hold_minutes.map_or_else(
                || seconds(30, 600),
                |minutes| Duration::from_secs(minutes * 60),
            ),
            consumed: if args.quick { 50_000 } else { 200_000 },
            with_debezium: !args.without_debezium,
        }
    }
}

/// Measures and prints; false when a floor was not kept.
pub async fn run(args: Args) -> anyhow::Result<bool> {
    let (site, shape) = (&args.site, Shape::of(&args));
    let asked = |scenario| args.only.is_none_or(|only| only == scenario);
    std::fs::create_dir_all(&site.folder)?;
    println!("{}", site.versions());
    println!(
        "{} runs, {} rows of 280 B, {} partitions, {}/s",
        shape.runs,
        shape.rows,
        topic::PARTITIONS,
        shape.rate
    );
    contender::create_debezium_role(site).await?;
    let mut report = Report::default();
    if asked(Scenario::Drain) || asked(Scenario::Latency) {
        eprintln!("warming the broker");
        latency::warm_broker(site, &shape).await?;
    }
    if asked(Scenario::Drain) {
        drain::run(site, &shape, &mut report).await?;
        report.print("drain");
        drain::ask(&mut report, &shape);
    }
    if asked(Scenario::Latency) {
        latency::run(site, &shape, &mut report).await?;
        report.print("latency");
        latency::ask(&mut report);
    }
    if asked(Scenario::Idle) {
        idle::run(site, &shape, &mut report).await?;
        report.print("idle");
        idle::ask(&mut report);
    }
    if asked(Scenario::Takeover) {
        takeover::run(site, &shape, &mut report).await?;
        report.print("takeover");
        takeover::ask(&mut report);
    }
    if asked(Scenario::Hold) {
        hold::run(site, &shape, &mut report).await?;
        report.print("hold");
        hold::ask(&mut report);
    }
    if asked(Scenario::Consumer) {
        consumer::run(site, &shape, &mut report).await?;
        report.print("consumer");
        consumer::ask(&mut report);
    }
    Ok(report.print_gates())
}
