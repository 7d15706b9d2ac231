//! Commit to consumer at a fixed rate, open loop, beside the floor that the broker alone allows.

use std::time::{Duration, Instant};

use bahi_testkit::Entry;
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
    types::RDKafkaErrorCode,
};
use uuid::Uuid;

use super::{
    Shape,
    book::Book,
    contender::Contender,
    load::{self, Schedule, Sent, first_arrivals, micros, millis, waits},
    report::{Better, Report},
    site::Site,
    topic::Topic,
    usage,
};

/// How long after the last event its arrival is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// Times a backlog, for the broker to become warm.
const FLOOD: u32 = 6;
const FLOOR: &str = "no relay";

/// All runs, interleaved.
pub async fn run(site: &Site, shape: &Shape, report: &mut Report) -> anyhow::Result<()> {
    for run in 0..shape.runs {
        let topic = Topic::create(&site.kafka, &format!("bench.floor.{run}")).await?;
        eprintln!("latency: run {}, producer to consumer alone", run + 1);
        floor(site, shape, report, &topic).await?;
        topic.delete().await?;
        for contender in Contender::in_turn(run, shape.with_debezium) {
            let topic = Topic::create(
                &site.kafka,
                &format!("bench.rate.{}.{run}", contender.word()),
            )
            .await?;
            let book = Book::create(site, contender).await?;
            eprintln!(
                "latency: run {}, {} at {}/s",
                run + 1,
                contender.name(),
                shape.rate
            );
            one(site, shape, report, &book, &topic).await?;
            book.drop().await?;
            topic.delete().await?;
        }
    }
    Ok(())
}

/// One contender: a first window just after it has started, and a second one when it is warm.
#[allow(clippy::float_arithmetic)] // figures, not money
async fn one(
    site: &Site,
    shape: &Shape,
    report: &mut Report,
    book: &Book<'_>,
    topic: &Topic,
) -> anyhow::Result<()> {
    let contender = book.contender;
    let follower = topic.follow(contender.id_header())?;
    let mut relay = book.start(contender, &topic.name).await?;
    // What it takes to start is drain's to measure.
    let one = Schedule {
        rate: 1,
        time: Duration::from_secs(1),
    };
    let mut sent = load::run(site, book, &topic.name, "first", one).await?;
    follower.until(1, Duration::from_secs(60)).await;
    let mut seen_so_far = follower.len();
    for window in ["first minute", "warm"] {
        let schedule = Schedule {
            rate: shape.rate,
            time: shape.window,
        };
        let before = usage::read(site, &[relay.pid()]);
        let now = load::run(site, book, &topic.name, &window[..4], schedule).await?;
        let used = before.until(&usage::read(site, &[relay.pid()]));
        relay.check()?;
        follower.until(seen_so_far + now.len(), PATIENCE).await;
        let first = first_arrivals(&follower.since(0));
        seen_so_far = follower.len();
        let (from_commit, missing) = waits(&now, &first)?;
        let (mut from_due, mut to_broker) = (load::histogram()?, load::histogram()?);
        for event in &now {
            if let Some(first) = first.get(&event.entry.event_id) {
                from_due.saturating_record(micros(event.due, first.at));
                to_broker.saturating_record(micros(event.committed, first.appended));
            }
        }
        if missing > 0 {
            report.fault(format!(
                "latency, {window}, {}: {missing} events did not arrive",
                contender.name()
            ));
        }
        let who = contender.name();
        let seconds = shape.window.as_secs_f64();
        let mut note = |metric: &str, value: f64| {
            report.note("latency", &format!("{window}: {metric}"), who, value)
        };
        note("commit to consumer p50, ms", millis(&from_commit, 0.5));
        note("commit to consumer p90, ms", millis(&from_commit, 0.9));
        note("commit to consumer p99, ms", millis(&from_commit, 0.99));
        note("commit to consumer p99.9, ms", millis(&from_commit, 0.999));
        note("commit to consumer max, ms", millis(&from_commit, 1.0));
        note("due to consumer p99, ms", millis(&from_due, 0.99));
        // To a millisecond: the broker's timestamps are no finer.
        note("commit to broker p50, ms", millis(&to_broker, 0.5));
        note("commit to broker p99, ms", millis(&to_broker, 0.99));
        note("relay, % of a core", used.relay / seconds * 100.0);
        note("its backends, % of a core", used.backends / seconds * 100.0);
        note("whole server, % of a core", used.server / seconds * 100.0);
        note("broker, % of a core", used.broker / seconds * 100.0);
        note(usage::OTHERS, used.others);
        eprintln!(
            "latency: {who}, {window}: p50 {:.2} ms, p99 {:.2} ms",
            millis(&from_commit, 0.5),
            millis(&from_commit, 0.99)
        );
        sent.extend(now);
    }
    report.note(
        "latency",
        "RSS at most, MiB",
        contender.name(),
        relay.peak(),
    );
    relay.kill();
    judge(report, contender, topic, &sent)
}

fn judge(
    report: &mut Report,
    contender: Contender,
    topic: &Topic,
    sent: &[Sent],
) -> anyhow::Result<()> {
    let ledger: Vec<Entry> = sent.iter().map(|event| event.entry.clone()).collect();
    let verdict = topic.judge(contender, &ledger)?;
    if !verdict.is_clean() {
        report.fault(format!("latency, {}: {verdict:?}", contender.name()));
    }
    Ok(())
}

/// A producer with the relays' guarantees.
fn producer(site: &Site) -> anyhow::Result<ThreadedProducer<DefaultProducerContext>> {
    Ok(ClientConfig::new()
        .set("bootstrap.servers", &site.kafka)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "0.5")
        .set("compression.type", "lz4")
        .create()?)
}

/// Sends on a schedule; gives each event's moment of sending.
async fn produce(
    site: &Site,
    topic: &Topic,
    schedule: Schedule,
) -> anyhow::Result<Vec<(Uuid, Instant)>> {
    let producer = producer(site)?;
    let start = Instant::now() + Duration::from_millis(100);
    let mut sent = Vec::new();
    for n in 0..schedule.count() {
        tokio::time::sleep_until(schedule.due(start, n).into()).await;
        let event_id = Uuid::now_v7();
        let (key, payload) = (format!("k{}", n % 1000), load::payload(event_id, n));
        let id = event_id.to_string();
        let headers = OwnedHeaders::new().insert(Header {
            key: "id",
            value: Some(&id),
        });
        let record = BaseRecord::to(&topic.name)
            .key(&key)
            .payload(&payload)
            .headers(headers);
        let at = Instant::now();
        producer.send(record).map_err(|(error, _)| error)?;
        sent.push((event_id, at));
    }
    producer.flush(PATIENCE)?;
    Ok(sent)
}

/// Sends as fast as the broker takes it.
async fn flood(site: &Site, topic: &Topic, rows: u32) -> anyhow::Result<()> {
    let producer = producer(site)?;
    for n in 0..rows {
        let (key, payload) = (format!("k{}", n % 1000), load::payload(Uuid::now_v7(), n));
        let mut record = BaseRecord::to(&topic.name).key(&key).payload(&payload);
        while let Err((error, again)) = producer.send(record) {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            anyhow::ensure!(full, "{error}");
            tokio::time::sleep(Duration::from_millis(1)).await;
            record = again;
        }
    }
    Ok(producer.flush(PATIENCE)?)
}

/// Producer to consumer, without database and relay: what nobody can be faster than.
async fn floor(
    site: &Site,
    shape: &Shape,
    report: &mut Report,
    topic: &Topic,
) -> anyhow::Result<()> {
    let follower = topic.follow("id")?;
    let schedule = Schedule {
        rate: shape.rate,
        time: shape.window,
    };
    let sent = produce(site, topic, schedule).await?;
    follower.until(sent.len(), PATIENCE).await;
    let first = first_arrivals(&follower.since(0));
    let mut times = load::histogram()?;
    for (event_id, at) in &sent {
        if let Some(arrived) = first.get(event_id) {
            times.saturating_record(micros(*at, arrived.at));
        }
    }
    for (metric, quantile) in [
        ("p50", 0.5),
        ("p90", 0.9),
        ("p99", 0.99),
        ("p99.9", 0.999),
        ("max", 1.0),
    ] {
        report.note(
            "latency",
            &format!("produce to consumer {metric}, ms"),
            FLOOR,
            millis(&times, quantile),
        );
    }
    Ok(())
}

/// A broker that has just started is a cold JVM. A backlog goes other ways through it than a trickle, and until it has
/// seen a few millions its compilers take a core from whoever comes first.
pub async fn warm_broker(site: &Site, shape: &Shape) -> anyhow::Result<()> {
    let topic = Topic::create(&site.kafka, "bench.flood").await?;
    flood(site, &topic, shape.rows * FLOOD).await?;
    topic.delete().await?;
    let topic = Topic::create(&site.kafka, "bench.warm").await?;
    let follower = topic.follow("id")?;
    let schedule = Schedule {
        rate: shape.rate.max(1000),
        time: shape.window,
    };
    let sent = produce(site, &topic, schedule).await?;
    follower.until(sent.len(), PATIENCE).await;
    drop(follower);
    topic.delete().await
}

/// Asks for the aims: of the first minute, which is the harder one.
#[allow(clippy::float_arithmetic)] // figures, not money
pub fn ask(report: &mut Report) {
    let of = |report: &Report, metric: &str| {
        report.median(
            "latency",
            &format!("first minute: {metric}"),
            Contender::Bahi,
        )
    };
    let p50 = of(report, "commit to consumer p50, ms");
    report.ask(
        "latency: commit to consumer p50, ms",
        p50,
        Better::Less,
        2.5,
    );
    let p99 = of(report, "commit to consumer p99, ms");
    report.ask(
        "latency: commit to consumer p99, ms",
        p99,
        Better::Less,
        6.0,
    );
    let relay = of(report, "relay, % of a core");
    report.ask(
        "latency: the worker, % of a core",
        relay,
        Better::Less,
        10.0,
    );
}
