//! What stays open for long: a transaction that writes, and a snapshot. Neither may be felt by the others' events, nor
//! make the outbox grow beyond its rows.

use std::time::{Duration, Instant};

use tokio_postgres::Client;
use uuid::Uuid;

use super::{
    Shape,
    book::Book,
    contender::Contender,
    load::{self, Schedule, Sent, first_arrivals, millis, waits},
    report::{Better, Report},
    site::Site,
    topic::{Follower, Topic},
};

const PATIENCE: Duration = Duration::from_secs(20);
const WHO: Contender = Contender::Bahi;

/// All of it.
pub async fn run(site: &Site, shape: &Shape, report: &mut Report) -> anyhow::Result<()> {
    let topic = Topic::create(&site.kafka, "bench.hold").await?;
    let book = Book::create(site, WHO).await?;
    let follower = topic.follow(WHO.id_header())?;
    let mut relay = book.start(WHO, &topic.name).await?;
    let mut stage = Stage {
        site,
        book: &book,
        topic: &topic,
        follower: &follower,
        rate: shape.rate,
        sent: Vec::new(),
    };
    stage.load("warm", shape.window / 4).await?;

    for run in 0..shape.runs {
        eprintln!("hold: run {}, a transaction that writes", run + 1);
        let free = stage.load(&format!("free{run}"), shape.transaction).await?;
        note(report, "no transaction held: p99, ms", &free, &follower)?;
        let holder = site.connect(&book.name).await?;
        let late = write_and_stay(&holder, &topic.name, run).await?;
        let held = stage.load(&format!("held{run}"), shape.transaction).await?;
        note(report, "a transaction held: p99, ms", &held, &follower)?;
        holder.batch_execute("commit").await?;
        stage.sent.push(late);
        follower.until(stage.sent.len(), PATIENCE).await;
    }

    eprintln!("hold: a snapshot for {} s", shape.snapshot.as_secs());
    let holder = site.connect(&book.name).await?;
    holder
        .batch_execute("begin isolation level repeatable read; select from outbox.event limit 1")
        .await?;
    let minute = (shape.snapshot / 2).min(Duration::from_secs(60));
    let at_first = Size::of(&book.client).await?;
    let started = Instant::now();
    let held = stage.load("snapshot", shape.snapshot).await?;
    let at_last = Size::of(&book.client).await?;
    holder.batch_execute("commit").await?;
    relay.check()?;
    let (begin, end) = (
        started + minute,
        started + shape.snapshot.saturating_sub(minute),
    );
    note(
        report,
        "a snapshot held: p99 of the first minute, ms",
        held.iter().filter(|event| event.due < begin),
        &follower,
    )?;
    note(
        report,
        "a snapshot held: p99 of the last minute, ms",
        held.iter().filter(|event| event.due >= end),
        &follower,
    )?;
    at_first.note(report, "at the beginning");
    at_last.note(report, "at the end");
    relay.kill();

    let ledger: Vec<_> = stage.sent.iter().map(|event| event.entry.clone()).collect();
    let verdict = topic.judge(WHO, &ledger)?;
    if !verdict.is_clean() {
        report.fault(format!("hold: {verdict:?}"));
    }
    drop(follower);
    book.drop().await?;
    topic.delete().await
}

struct Stage<'a> {
    site: &'a Site,
    book: &'a Book<'a>,
    topic: &'a Topic,
    follower: &'a Follower,
    rate: u32,
    sent: Vec<Sent>,
}

impl Stage<'_> {
    async fn load(&mut self, name: &str, time: Duration) -> anyhow::Result<Vec<Sent>> {
        let schedule = Schedule {
            rate: self.rate,
            time,
        };
        let now = load::run(self.site, self.book, &self.topic.name, name, schedule).await?;
        self.sent.extend(now.iter().cloned());
        self.follower.until(self.sent.len(), PATIENCE).await;
        Ok(now)
    }
}

/// Opens a transaction that has an event to say, and leaves it open.
async fn write_and_stay(holder: &Client, topic: &str, run: usize) -> anyhow::Result<Sent> {
    holder.batch_execute("begin").await?;
    let (event_id, key, payload) = (Uuid::now_v7(), format!("late{run}"), "{}");
    let insert = "insert into outbox.event (event_id, topic, key, event_type, aggregate_type, aggregate_id, aggregate_version, tenant_id, payload)
                  values ($1, $2, $3, 'invoice.issued', 'invoice', $3, 1, $1, '{}')";
    holder.execute(insert, &[&event_id, &topic, &key]).await?;
    let now = Instant::now();
    Ok(Sent {
        entry: bahi_testkit::Entry::committed(event_id, &key, 1, payload),
        due: now,
        committed: now,
    })
}

fn note<'s>(
    report: &mut Report,
    metric: &str,
    sent: impl IntoIterator<Item = &'s Sent>,
    follower: &Follower,
) -> anyhow::Result<()> {
    let (waits, missing) = waits(sent, &first_arrivals(&follower.since(0)))?;
    if missing > 0 {
        report.fault(format!("hold: {missing} events did not arrive ({metric})"));
    }
    eprintln!("hold: {metric} {:.2}", millis(&waits, 0.99));
    report.note("hold", metric, WHO.name(), millis(&waits, 0.99));
    Ok(())
}

/// How large the outbox is.
struct Size {
    events: i64,
    ring: i64,
    rest: i64,
    dead: i64,
}

impl Size {
    async fn of(client: &Client) -> anyhow::Result<Self> {
        let sizes = "select (select count(*) from outbox.event),
                            coalesce(sum(pg_total_relation_size(c.oid)) filter (where c.relname like 'event\\_%'), 0)::bigint,
                            coalesce(sum(pg_total_relation_size(c.oid)) filter (where c.relname not like 'event\\_%'), 0)::bigint,
                            coalesce(sum(pg_stat_get_dead_tuples(c.oid)), 0)::bigint
                       from pg_class c where c.relnamespace = 'outbox'::regnamespace and c.relkind = 'r'";
        let row = client.query_one(sizes, &[]).await?;
        Ok(Self {
            events: row.get(0),
            ring: row.get(1),
            rest: row.get(2),
            dead: row.get(3),
        })
    }

    #[allow(clippy::float_arithmetic)] // sizes, not money
    fn note(&self, report: &mut Report, when: &str) {
        let mut note = |metric: &str, value: f64| {
            report.note(
                "hold",
                &format!("a snapshot held: {metric} {when}"),
                WHO.name(),
                value,
            );
        };
        note(
            "bytes per event",
            self.ring as f64 / self.events.max(1) as f64,
        );
        note("beside the ring, MiB,", self.rest as f64 / 1_048_576.0);
        note("dead rows", self.dead as f64);
    }
}

/// Asks for the aims.
#[allow(clippy::float_arithmetic)] // ratios, not money
pub fn ask(report: &mut Report) {
    let of = |report: &Report, metric: &str| report.median("hold", metric, WHO);
    for metric in [
        "a transaction held: p99, ms",
        "a snapshot held: p99 of the last minute, ms",
    ] {
        let value = of(report, metric);
        report.ask(&format!("hold, {metric}"), value, Better::Less, 6.0);
    }
    let bytes = |when: &str| of(report, &format!("a snapshot held: bytes per event {when}"));
    let growth = bytes("at the end").and_then(|end| Some(end / bytes("at the beginning")?));
    report.ask(
        "hold, a snapshot held: growth of the bytes per event",
        growth,
        Better::Less,
        1.1,
    );
    let rest = of(report, "a snapshot held: beside the ring, MiB, at the end");
    report.ask(
        "hold, a snapshot held: beside the ring, MiB",
        rest,
        Better::Less,
        8.0,
    );
}
