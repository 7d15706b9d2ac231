//! Judges what arrived, and says so.

use std::time::Duration;

use bahi_testkit::{Entry, Outcome, Seen, Verdict, judge};

use super::stage::{EFFECTS, SOURCES};
use crate::{follow::Read, plan::Kind, rig, stage::Stage};

/// What one database may have in flight, published and without a checkpoint when its session ends.
const IN_FLIGHT: usize = 12_000;

/// What the run did.
pub struct Done {
    /// Faults, as they were done.
    pub faults: Vec<Kind>,
    /// Faults that could not be done, or not undone: then the run is not what its seed says.
    pub failed: Vec<String>,
    /// Processes that ended without having been killed.
    pub ends: Vec<String>,
    /// The ledger of each source.
    pub ledgers: [Vec<Entry>; SOURCES.len()],
    /// What the topics held.
    pub read: Read,
    /// The longest time without a record while there were writers.
    pub silence: Duration,
    /// Producers of the workers that failed.
    pub rebuilds: usize,
    /// Why waiting for the rest was given up, if it was.
    pub stuck: Option<String>,
}

/// Prints the judgement; whether all is well.
pub async fn report(stage: &Stage, done: &Done) -> anyhow::Result<bool> {
    rig::tell_faults(&done.faults);
    let mut well = done.stuck.is_none() && done.read.unreadable == 0 && done.failed.is_empty();
    for failed in &done.failed {
        println!("NOT DONE, or not undone: {failed}");
    }
    if let Some(stuck) = &done.stuck {
        println!("NOT DRAINED: {stuck}");
    }
    if done.read.unreadable > 0 {
        println!("UNREADABLE records: {}", done.read.unreadable);
    }
    for end in &done.ends {
        println!("ended by itself: {end}");
    }
    println!(
        "\n{:<28} {:>9} {:>6} {:>9} {:>10} {:>8} {:>11} {:>11}",
        "", "events", "lost", "phantoms", "disorders", "altered", "duplicates", "bound"
    );
    let (mut total, mut line) = (
        Verdict::default(),
        |name: &str, events, verdict: &Verdict, bound: usize| {
            println!(
                "{name:<28} {events:>9} {:>6} {:>9} {:>10} {:>8} {:>11} {bound:>11}",
                verdict.lost,
                verdict.phantoms,
                verdict.disorders,
                verdict.altered,
                verdict.duplicates
            );
            well &= verdict.is_clean() && verdict.duplicates <= bound;
        },
    );
    let (mut events, mut sessions_of_all) = (0, 0);
    for (number, source) in SOURCES.iter().enumerate() {
        let admin = stage.admin(source.database).await?;
        let epoch = "select lease_epoch from outbox.shard where shard = 0";
        let sessions: i64 = admin.query_one(epoch, &[]).await?.get(0);
        // Every session but the last ended badly, every failed producer made its session begin again at its cursor:
        // each repeats at most what was in flight and what a checkpoint interval had published.
        let breaks = usize::try_from(sessions - 1).unwrap_or(0) + done.rebuilds;
        let bound = breaks * (IN_FLIGHT + done.read.peak / 10);
        let ledger = &done.ledgers[number];
        let committed = committed(ledger);
        let verdict = judge(ledger, &done.read.seen[number]);
        line(
            &format!("topic {}", source.topic),
            committed,
            &verdict,
            bound,
        );
        events += committed;
        sessions_of_all += breaks;
        total.duplicates += verdict.duplicates;

        let parked: i64 = admin
            .query_one("select count(*) from outbox.parked", &[])
            .await?
            .get(0);
        if parked > 0 {
            println!("PARKED in {}: {parked}", source.database);
        }
        total.lost += usize::try_from(parked).unwrap_or(0);
    }
    for (number, source) in SOURCES.iter().enumerate() {
        let effects = effects(stage, source.topic).await?;
        let verdict = judge(&done.ledgers[number], &effects);
        let name = format!("effects of {}", source.topic.trim_end_matches(".events.v1"));
        line(&name, committed(&done.ledgers[number]), &verdict, 0);
    }
    let quarantined: i64 = stage
        .admin(EFFECTS.0)
        .await?
        .query_one("select count(*) from inbox.quarantine", &[])
        .await?
        .get(0);
    if quarantined > 0 {
        println!("QUARANTINED: {quarantined}");
    }
    well &= quarantined == 0 && total.lost == 0;
    println!(
        "\n{events} events, {} faults; {} records read again after {sessions_of_all} broken sessions and producers ({:.0} each); longest silence {:.1} s; most in a second {}",
        done.faults.len(),
        total.duplicates,
        total.duplicates as f64 / (sessions_of_all.max(1)) as f64,
        done.silence.as_secs_f64(),
        done.read.peak
    );
    if done.read.renewed > 0 {
        println!(
            "what read all this stood still or ended {} times, and another process read on",
            done.read.renewed
        );
    }
    Ok(well)
}

fn committed(ledger: &[Entry]) -> usize {
    ledger
        .iter()
        .filter(|entry| entry.outcome == Outcome::Committed)
        .count()
}

/// What the consumers did about a topic, in the order they did it.
async fn effects(stage: &Stage, topic: &str) -> anyhow::Result<Vec<Seen>> {
    let admin = stage.admin(EFFECTS.0).await?;
    let select = "select event_id, key, version, payload from effect where topic = $1 order by id";
    let rows = admin.query(select, &[&topic]).await?;
    let seen = |row: &tokio_postgres::Row| Seen {
        event_id: row.get(0),
        key: row.get(1),
        version: row.get(2),
        payload: u64::from_ne_bytes(row.get::<_, i64>(3).to_ne_bytes()),
    };
    Ok(rows.iter().map(seen).collect())
}
