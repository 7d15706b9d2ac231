//! The fault run: writers on two databases, two outbox workers, two consumers, a reader; what they stand on is broken by
//! a schedule drawn from a seed; one ledger judges what arrived. Started by `scripts/faults`; docs/faults.md.

#![allow(clippy::cast_precision_loss, clippy::cast_sign_loss)]

mod consume;
mod fleet;
mod follow;
mod inject;
mod plan;
mod report;
mod stage;
mod writer;

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio::time::{Instant, sleep};

use crate::{
    fleet::Fleet,
    follow::Follower,
    inject::Injector,
    report::{Done, report},
    stage::{EFFECTS, SOURCES, Stage},
    writer::Writers,
};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// A run.
    Relay {
        /// How long the writers write.
        #[arg(long, default_value_t = 3)]
        minutes: u64,
        /// What the schedule is drawn from; by the clock when it is not given.
        #[arg(long)]
        seed: Option<u64>,
        /// Events a second, of both databases together.
        #[arg(long, default_value_t = 2000)]
        rate: u32,
        /// Only print the schedule.
        #[arg(long)]
        plan: bool,
    },
    /// A consumer, to be killed by a run.
    #[command(hide = true)]
    Consume {
        #[arg(long)]
        kafka: String,
    },
}

fn var(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set: scripts/faults starts this"))
}

fn given(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().what {
        What::Relay {
            minutes,
            seed,
            rate,
            plan,
        } => {
            let seed = seed.unwrap_or_else(|| rand::random_range(1..1_000_000));
            println!("seed {seed}, {minutes} minutes, {rate} events a second");
            let faults = plan::draw(seed, Duration::from_secs(minutes * 60));
            if plan {
                for planned in &faults {
                    println!("{:>6.1}s {planned}", planned.at.as_secs_f64());
                }
                return ExitCode::SUCCESS;
            }
            run(minutes, seed, rate, &faults).await
        }
        What::Consume { kafka } => {
            tracing_subscriber::fmt().json().init();
            let url = var("BAHI_FAULTS_EFFECTS");
            match url {
                Ok(url) => consume::run(url, &kafka).await.map(|()| true),
                Err(error) => Err(error),
            }
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(minutes: u64, seed: u64, rate: u32, plan: &[plan::Planned]) -> anyhow::Result<bool> {
    let stage = Stage {
        postgres: var("BAHI_FAULTS_PG")?,
        kafka: var("BAHI_FAULTS_KAFKA")?,
    };
    let logs = PathBuf::from(var("BAHI_FAULTS_LOGS")?);
    let clock = given("BAHI_FAULTS_CLOCK").map(PathBuf::from);
    stage.build().await.context("making databases and topics")?;
    let follower = Follower::start(&stage.kafka)?;
    let fleet = Arc::new(Fleet::new(
        &stage,
        &PathBuf::from(var("BAHI_FAULTS_WORKER")?),
        &PathBuf::from(var("BAHI_FAULTS_KEYS")?),
        &logs,
        clock.clone(),
    )?);
    let watched = fleet.clone();
    let mut watch = tokio::spawn(async move { watched.watch().await });
    let injector = Arc::new(Injector {
        stage: stage.clone(),
        fleet: fleet.clone(),
        control: PathBuf::from(var("BAHI_FAULTS_CONTROL")?),
        disks: given("BAHI_FAULTS_DISKS").is_some(),
        cut: given("BAHI_FAULTS_CUT").is_some(),
        clock: clock.is_some(),
        kafka: Default::default(),
        postgres: Default::default(),
    });
    let possible = plan.iter().filter(|p| injector.can(p.kind)).count();
    println!(
        "{} faults planned, {possible} of them possible here:",
        plan.len()
    );
    for planned in plan {
        let not = if injector.can(planned.kind) {
            ""
        } else {
            " (not here)"
        };
        println!("{:>6.1}s {planned}{not}", planned.at.as_secs_f64());
    }

    println!("\nas it happens:");
    let writers = SOURCES.map(|source| {
        let number = source.database.len() as u64;
        Writers::start(&stage, source, seed.wrapping_mul(31) ^ number, rate / 2)
    });
    let began = Instant::now();
    follower.begin();
    let length = Duration::from_secs(minutes * 60);
    let progress = async {
        loop {
            sleep(Duration::from_secs(15)).await;
            let written: usize = writers.iter().map(Writers::written).sum();
            let read = follower.len();
            println!(
                "{:>6.1}s   {written} written, {read} published",
                began.elapsed().as_secs_f64()
            );
        }
    };
    let (faults, failed) = tokio::select! {
        never = progress => never,
        _ = &mut watch => anyhow::bail!("processes end by themselves all the time; logs in {}", logs.display()),
        faults = async {
            let faults = injector.run(plan, began).await;
            tokio::time::sleep_until(began + length).await;
            faults
        } => faults,
    };
    let silence = follower.silence();
    println!(
        "{:>6.1}s all is healed, writers stop",
        began.elapsed().as_secs_f64()
    );
    injector.heal().await?;
    let mut ledgers = Vec::new();
    for writers in writers {
        let name = writers.source().database;
        ledgers.push(writers.finish(&stage).await.context(name)?);
    }
    let stuck = drained(&stage, &follower, &ledgers).await;
    println!("{:>6.1}s drained", began.elapsed().as_secs_f64());
    watch.abort();
    let done = Done {
        faults,
        failed,
        ends: fleet.ends(),
        ledgers: ledgers
            .try_into()
            .map_err(|_| anyhow::anyhow!("one ledger for each source"))?,
        rebuilds: fleet.said("the producer failed"),
        read: follower.finish()?,
        silence,
        stuck,
    };
    let well = report(&stage, &done).await?;
    println!(
        "{}; seed {seed}; logs in {}",
        if well { "ALL WELL" } else { "BROKEN" },
        logs.display()
    );
    Ok(well)
}

/// Waits until everything committed is published, read and handled; says what is missing when nothing moves for a minute.
async fn drained(
    stage: &Stage,
    follower: &Follower,
    ledgers: &[Vec<bahi_testkit::Entry>],
) -> Option<String> {
    let (mut last, mut moved) = (String::new(), Instant::now());
    let expected: usize = ledgers
        .iter()
        .flatten()
        .filter(|entry| entry.outcome == bahi_testkit::Outcome::Committed)
        .count();
    loop {
        let state = match ask(stage, follower, expected).await {
            Ok(None) => return None,
            Ok(Some(state)) => state,
            Err(error) => format!("{error:#}"),
        };
        if state != last {
            (last, moved) = (state, Instant::now());
        } else if moved.elapsed() > Duration::from_secs(60) {
            return Some(last);
        }
        sleep(Duration::from_millis(250)).await;
    }
}

async fn ask(
    stage: &Stage,
    follower: &Follower,
    expected: usize,
) -> anyhow::Result<Option<String>> {
    for source in SOURCES {
        let open = "select pg_current_xact_id()::text, (select count(*) from outbox.status where not published and not parked)";
        let unpublished: i64 = stage
            .admin(source.database)
            .await?
            .query_one(open, &[])
            .await?
            .get(1);
        if unpublished > 0 {
            return Ok(Some(format!(
                "{unpublished} events of {} are not published",
                source.database
            )));
        }
    }
    let read = follower.len();
    let Some(ends) = follower.at_end()? else {
        return Ok(Some(format!("the reader stands at {read} records")));
    };
    let end: i64 = ends.iter().map(|(_, _, end)| end).sum();
    let position = "select coalesce(sum(next_offset), 0)::int8 from inbox.position";
    let handled: i64 = stage
        .admin(EFFECTS.0)
        .await?
        .query_one(position, &[])
        .await?
        .get(0);
    if handled < end {
        return Ok(Some(format!(
            "the consumers have handled {handled} of {end} records ({expected} events)"
        )));
    }
    Ok(None)
}
