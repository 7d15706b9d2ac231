//! A backlog that was committed before the relay started: in transactions of one row and of a hundred.

use std::time::{Duration, Instant};

use super::{
    Shape,
    book::Book,
    contender::{Contender, Relay},
    report::{Better, Report},
    site::Site,
    topic::{Record, Topic},
    usage,
};

/// How long a relay may go without one more record.
const PATIENCE: Duration = Duration::from_secs(120);

/// As the table calls a backlog of transactions of `batch` rows.
fn name_of(batch: u32) -> String {
    format!("{batch}-row tx")
}

/// All runs, interleaved.
pub async fn run(site: &Site, shape: &Shape, report: &mut Report) -> anyhow::Result<()> {
    for run in 0..shape.runs {
        for &batch in &shape.batches {
            let name = name_of(batch);
            let mut turn = Contender::in_turn(run, shape.with_debezium);
            // Debezium's profiles read the same backlog, each by its own copy of the slot.
            let mut plain = None;
            if shape.with_debezium {
                eprintln!(
                    "drain: run {}, {name}: committing {} rows for Debezium",
                    run + 1,
                    shape.rows
                );
                let book = Book::create(site, Contender::Tuned).await?;
                book.fill("", shape.rows, batch).await?;
                plain = Some(book);
            }
            for contender in turn.drain(..) {
                let topic = Topic::create(
                    &site.kafka,
                    &format!("bench.{}.{run}.{batch}", contender.word()),
                )
                .await?;
                match (&plain, contender) {
                    (Some(book), Contender::Tuned | Contender::Default) => {
                        one(site, shape, report, &name, book, contender, &topic).await?;
                    }
                    _ => {
                        eprintln!(
                            "drain: run {}, {name}: committing {} rows for Bahi",
                            run + 1,
                            shape.rows
                        );
                        let book = Book::create(site, Contender::Bahi).await?;
                        book.fill(&topic.name, shape.rows, batch).await?;
                        one(site, shape, report, &name, &book, contender, &topic).await?;
                        book.drop().await?;
                    }
                }
                topic.delete().await?;
            }
            if let Some(book) = plain {
                book.drop().await?;
            }
        }
    }
    Ok(())
}

/// One relay, from its start to the last record.
#[allow(clippy::float_arithmetic)] // figures, not money
async fn one(
    site: &Site,
    shape: &Shape,
    report: &mut Report,
    name: &str,
    book: &Book<'_>,
    contender: Contender,
    topic: &Topic,
) -> anyhow::Result<()> {
    eprintln!("drain: {} reads {name}", contender.name());
    // The checkpoint of the filling is over, what it left in memory is the same for all.
    book.client.batch_execute("checkpoint").await?;
    let before = usage::read(site, &[]);
    let mut relay = book.start(contender, &topic.name).await?;
    let drained = until_drained(topic, &mut relay, u64::from(shape.rows)).await;
    let used = before.until(&usage::read(site, &[relay.pid()]));
    let peak = relay.peak();
    relay.kill();
    if let Err(error) = drained {
        report.fault(format!("drain, {name}, {}: {error:#}", contender.name()));
    }
    let records = topic.read(contender)?;
    let ledger = book.ledger().await?;
    let pace = Pace::of(&records, relay.started_at);
    let seen: Vec<_> = records.into_iter().map(|record| record.seen).collect();
    let verdict = bahi_testkit::judge(&ledger, &seen);
    if !verdict.is_clean() {
        report.fault(format!("drain, {name}, {}: {verdict:?}", contender.name()));
    }
    let who = contender.name();
    let million = f64::from(shape.rows) / 1e6;
    let mut note =
        |metric: &str, value: f64| report.note("drain", &format!("{name}: {metric}"), who, value);
    note("events/s from the start", pace.from_start);
    note("events/s first to last record", pace.whole);
    note("events/s second half", pace.second_half);
    note("start to first record, s", pace.to_first);
    note("CPU s/M events: relay", used.relay / million);
    note("CPU s/M events: its backends", used.backends / million);
    note(
        "CPU s/M events: relay and backends",
        (used.relay + used.backends) / million,
    );
    note("CPU s/M events: broker", used.broker / million);
    note("CPU s/M events: whole server", used.server / million);
    note(usage::OTHERS, used.others);
    note("RSS at most, MiB", peak);
    note("lost", verdict.lost as f64);
    note("out of order", verdict.disorders as f64);
    note("duplicates", verdict.duplicates as f64);
    eprintln!(
        "drain: {who}, {name}: {:.0}/s from the start, {:.0}/s first to last, {:.0}/s second half",
        pace.from_start, pace.whole, pace.second_half
    );
    Ok(())
}

/// Waits until the topic holds as many records as were committed. Asking costs the broker one request.
async fn until_drained(topic: &Topic, relay: &mut Relay, rows: u64) -> anyhow::Result<()> {
    let (mut count, mut since) = (0, Instant::now());
    while count < rows {
        tokio::time::sleep(Duration::from_millis(100)).await;
        relay.check()?;
        let now = topic.count()?;
        if now > count {
            (count, since) = (now, Instant::now());
        }
        anyhow::ensure!(
            since.elapsed() < PATIENCE,
            "{count} of {rows} records came, and none for {} s",
            PATIENCE.as_secs()
        );
    }
    Ok(())
}

/// How fast the records came, by the broker's clock.
struct Pace {
    to_first: f64,
    from_start: f64,
    whole: f64,
    second_half: f64,
}

impl Pace {
    #[allow(clippy::float_arithmetic)] // figures, not money
    fn of(records: &[Record], started_at: i64) -> Self {
        let mut times: Vec<i64> = records.iter().map(|record| record.appended).collect();
        times.sort_unstable();
        let (first, last) = (
            times.first().copied().unwrap_or(started_at),
            times.last().copied().unwrap_or(started_at),
        );
        let middle = times.get(times.len() / 2).copied().unwrap_or(last);
        let seconds = |from: i64, to: i64| (to - from).max(1) as f64 / 1000.0;
        let count = times.len() as f64;
        Self {
            to_first: seconds(started_at, first),
            from_start: count / seconds(started_at, last),
            whole: count / seconds(first, last),
            second_half: (times.len() - times.len() / 2) as f64 / seconds(middle, last),
        }
    }
}

/// Asks for the aims.
#[allow(clippy::float_arithmetic)] // ratios, not money
pub fn ask(report: &mut Report, shape: &Shape) {
    for &batch in &shape.batches {
        let name = name_of(batch);
        let of = |report: &Report, metric: &str, who| {
            report.median("drain", &format!("{name}: {metric}"), who)
        };
        let bahi = of(report, "events/s from the start", Contender::Bahi);
        report.ask(
            &format!("drain, {name}: events/s from the start"),
            bahi,
            Better::More,
            200_000.0,
        );
        let whole = of(report, "events/s first to last record", Contender::Bahi);
        let ratio = |other: Option<f64>| Some(whole? / other?);
        let tuned = of(report, "events/s first to last record", Contender::Tuned);
        report.ask(
            &format!("drain, {name}: times Debezium tuned, whole run"),
            ratio(tuned),
            Better::More,
            5.0,
        );
        let warm = of(report, "events/s second half", Contender::Tuned);
        report.ask(
            &format!("drain, {name}: times Debezium tuned, its warm second half"),
            ratio(warm),
            Better::More,
            3.0,
        );
        let peak = of(report, "RSS at most, MiB", Contender::Bahi);
        report.ask(
            &format!("drain, {name}: RSS at most, MiB"),
            peak,
            Better::Less,
            60.0,
        );
    }
}

#[cfg(test)]
mod tests {
    use bahi_testkit::Seen;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_second_half_is_paced_by_itself() {
        // Ten records in the first second, ten in the last tenth of the second one.
        let at = |n: i64| {
            if n < 10 {
                1000 + n * 100
            } else {
                1910 + (n - 10) * 10
            }
        };
        let records: Vec<Record> = (0..20)
            .map(|n| Record {
                seen: Seen::new(Uuid::nil(), "k", n, "{}"),
                appended: at(n),
            })
            .collect();
        let pace = Pace::of(&records, 0);
        assert!((pace.to_first - 1.0).abs() < 1e-9);
        assert!((pace.from_start - 10.0).abs() < 1e-9);
        assert!((pace.whole - 20.0).abs() < 1e-9);
        assert!((pace.second_half - 10.0 / 0.09).abs() < 1e-6);
    }
}
