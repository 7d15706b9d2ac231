//! The run of the relay: writers on two databases, two outbox workers, two consumers, a reader; one ledger judges what
//! arrived.

pub mod consume;
mod report;
mod stage;
mod writer;

use std::{fs, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::time::{Instant, sleep};

use self::{
    report::{Done, report},
    stage::{EFFECTS, SOURCES, Source, TOPICS},
    writer::Writers,
};
use crate::{
    fleet::{Fleet, Seat},
    follow::Follower,
    inject::{announce, carry_out},
    plan::{Planned, Role, Sessions},
    rig::{Rig, drained},
    stage::Stage,
};

fn sessions(whose: Sessions) -> (&'static str, Vec<&'static str>) {
    let sources = SOURCES.map(|source| source.database).to_vec();
    match whose {
        Sessions::Writers => ("writer", sources),
        Sessions::Consumers => ("fault-consumer", vec![EFFECTS.0]),
        _ => ("outbox-worker", sources),
    }
}

/// Two workers and two consumers.
fn seats(rig: &Rig) -> anyhow::Result<Vec<Seat>> {
    let services = SOURCES.map(|Source { service, http, .. }| {
        format!("[[service]]\nname = \"{service}\"\nhttp = {http}\ndatabase = \"bahi_{service}\"\n")
    });
    let register = format!(
        "[topics]\npartitions = 12\nretention_days = 1\nnames = []\n{}",
        services.concat()
    );
    let file = rig.logs.join("services.toml");
    fs::write(&file, register)?;
    let itself = std::env::current_exe()?;
    let mut seats = Vec::new();
    for which in 0..2 {
        let relayed = SOURCES.map(|source| (source.service, source.database));
        seats.push(rig.worker(which, &file, &relayed));
    }
    for which in 0..2 {
        let (stage, itself) = (rig.stage.clone(), itself.clone());
        seats.push(Seat::of(Role::Consumer, which, move |command| {
            let (database, _, role) = EFFECTS;
            command
                .arg(&itself)
                .args(["consume", "--kafka", &stage.kafka])
                .env("BAHI_FAULTS_EFFECTS", stage.service_url(database, role));
        }));
    }
    Ok(seats)
}

/// A run; whether all was well.
///
/// # Errors
/// When it could not be made or judged.
pub async fn run(seed: u64, length: Duration, rate: u32, plan: &[Planned]) -> anyhow::Result<bool> {
    let rig = Rig::of_env()?;
    let (stage, logs) = (rig.stage.clone(), rig.logs.clone());
    stage::build(&stage)
        .await
        .context("making databases and topics")?;
    let follower = Follower::start(&stage.kafka, &TOPICS)?;
    let seats = seats(&rig)?;
    let fleet = Arc::new(Fleet::start_all(&logs, rig.clock.clone(), seats)?);
    let watched = fleet.clone();
    let mut watch = tokio::spawn(async move { watched.watch().await });
    let injector = Arc::new(rig.injector(&fleet, sessions));
    announce(&*injector, plan);

    println!("\nas it happens:");
    let writers = SOURCES.map(|source| {
        let number = source.database.len() as u64;
        Writers::start(&stage, source, seed.wrapping_mul(31) ^ number, rate / 2)
    });
    let began = Instant::now();
    follower.begin();
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
    // Once in each run, so that no run depends on the life of what reads.
    let renewal = async {
        tokio::time::sleep_until(began + length / 2).await;
        match follower.kill() {
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        }
    };
    let (faults, failed) = tokio::select! {
        never = progress => never,
        error = renewal => return Err(error),
        _ = &mut watch => anyhow::bail!("processes end by themselves all the time; logs in {}", logs.display()),
        faults = async {
            let faults = carry_out(&injector, plan, began).await;
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
    let expected = ledgers
        .iter()
        .flatten()
        .filter(|entry| entry.outcome == bahi_testkit::Outcome::Committed)
        .count();
    let stuck = drained(async || ask(&stage, &follower, expected).await).await;
    println!("{:>6.1}s drained", began.elapsed().as_secs_f64());
    watch.abort();
    let done = Done {
        faults,
        failed,
        ends: fleet.ends(),
        ledgers: ledgers
            .try_into()
            .map_err(|_| anyhow::anyhow!("one ledger for each source"))?,
        rebuilds: fleet.said(Role::Worker, "the producer failed"),
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
