//! A consumer of the platform that inserts a row for each event, on a topic that is full before it starts.

use std::time::{Duration, Instant};

use anyhow::Context;
use bahi_db::{Db, DbConfig, Tx, sql};
use bahi_events::{Envelope, EventType, Topic};
use bahi_kafka::{Consumer, Failed, create_topics, producer_settings};
use bahi_types::{Clock, TenantId};
use chrono::Utc;
use diesel::sql_types::{Array, BigInt, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Shape,
    contender::Contender,
    report::{Better, Report},
    site::Site,
    topic::PARTITIONS,
    usage,
};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");
const OWNER: &str = "bahi_inventory_owner";
const APP: &str = "bahi_inventory_app";
const DATABASE: &str = "bench_consumer";
/// Whose events these are; a handler is called for one tenant at a time.
const TENANTS: u32 = 4;
const KEYS: u32 = 1000;

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Counted {
    n: i64,
    note: String,
}

const COUNTED: EventType<Counted> = EventType::new("bench.counted", Topic::Sync, "counter");

async fn insert(tx: &mut Tx, events: &[Envelope<Counted>]) -> Result<(), Failed> {
    sql("insert into effect (tenant_id, event_id, key, n) select $1, * from unnest($2, $3, $4)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.event_id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(
            events
                .iter()
                .map(|e| e.aggregate_id.as_str())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<BigInt>, _>(events.iter().map(|e| e.payload.n).collect::<Vec<_>>())
        .execute(tx.conn())
        .await
        .map_err(bahi_db::Error::from)?;
    Ok(())
}

/// All runs.
pub async fn run(site: &Site, shape: &Shape, report: &mut Report) -> anyhow::Result<()> {
    for run in 0..shape.runs {
        eprintln!("consumer: run {}, {} events", run + 1, shape.consumed);
        one(site, shape, report, run).await?;
    }
    Ok(())
}

#[allow(clippy::float_arithmetic)] // figures, not money
async fn one(site: &Site, shape: &Shape, report: &mut Report, run: usize) -> anyhow::Result<()> {
    let admin = site.create_database(DATABASE).await?;
    let own =
        format!("alter database {DATABASE} owner to {OWNER}; alter schema public owner to {OWNER}");
    admin.batch_execute(&own).await?;
    let base = site.url(DATABASE, "bahi_admin");
    bahi_db::migrate(
        &format!("{base}?options=-c%20role%3D{OWNER}"),
        APP,
        MIGRATIONS,
    )
    .await?;
    let config = DbConfig {
        url: format!("{base}?options=-c%20role%3D{APP}"),
        connections: 4,
        checkout: Duration::from_secs(5),
        topic_prefix: String::new(),
        service: "bench",
    };
    let db = Db::new(&config, Clock::System)?;
    let prefix = format!("bench.{}.{run}.", Uuid::now_v7().simple());
    let topic = format!("{prefix}{}", Topic::Sync.name());
    create_topics(&site.kafka, &[&topic], PARTITIONS).await?;
    produce(site, &topic, shape.consumed).await?;

    let consumer = Consumer::new("bench")
        .with_topic_prefix(&prefix)
        .on(COUNTED, insert);
    let (status, stop) = (consumer.status(), CancellationToken::new());
    let (kafka, token) = (site.kafka.clone(), stop.clone());
    let before = usage::read(site, &[std::process::id()]);
    let started = Instant::now();
    let task = tokio::spawn(async move { consumer.run(db, &kafka, token).await });
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        anyhow::ensure!(!task.is_finished(), "the consumer ended by itself");
        anyhow::ensure!(
            started.elapsed() < Duration::from_secs(600),
            "the consumer has not caught up after ten minutes"
        );
        // It cannot be asked before it runs.
        if matches!(status.caught_up().await, Ok(true)) {
            break;
        }
    }
    let took = started.elapsed().as_secs_f64();
    let used = before.until(&usage::read(site, &[std::process::id()]));
    stop.cancel();
    task.await.context("the consumer")??;

    let rows: i64 = admin
        .query_one("select count(*) from effect", &[])
        .await?
        .get(0);
    if rows != i64::from(shape.consumed) {
        report.fault(format!(
            "consumer: {rows} rows of {} events",
            shape.consumed
        ));
    }
    let (events, who) = (f64::from(shape.consumed), Contender::Bahi.name());
    report.note("consumer", "events/s from the start", who, events / took);
    report.note(
        "consumer",
        "CPU s/M events: consumer",
        who,
        used.relay / events * 1e6,
    );
    report.note(
        "consumer",
        "CPU s/M events: whole server",
        who,
        used.server / events * 1e6,
    );
    report.note("consumer", usage::OTHERS, who, used.others);
    eprintln!("consumer: {:.0}/s", events / took);
    site.drop_database(DATABASE).await
}

/// Fills the topic with envelopes as the worker writes them.
async fn produce(site: &Site, topic: &str, count: u32) -> anyhow::Result<()> {
    let producer: ThreadedProducer<DefaultProducerContext> =
        producer_settings(&site.kafka, "bench")
            .set("compression.type", "lz4")
            .create()?;
    let tenants: Vec<TenantId> = (0..TENANTS).map(|_| TenantId::new()).collect();
    let note = "x".repeat(250);
    for n in 0..count {
        let (key, tenant) = (format!("k{}", n % KEYS), tenants[(n % TENANTS) as usize]);
        let now = Utc::now();
        let envelope = json!({
            "event_id": Uuid::now_v7(), "event_type": COUNTED.name, "version": "v1", "timestamp": now, "trace_id": null,
            "source_service": "bench", "tenant_id": tenant, "aggregate_type": COUNTED.aggregate, "aggregate_id": key,
            "aggregate_version": n / KEYS + 1, "epoch": 1, "occurred_at": now, "causation_id": null, "correlation_id": null,
            "actor": null, "payload": { "n": n, "note": note },
        })
        .to_string();
        let headers = OwnedHeaders::new().insert(Header {
            key: "ce_type",
            value: Some(COUNTED.name),
        });
        let mut record = BaseRecord::to(topic)
            .key(&key)
            .payload(&envelope)
            .headers(headers);
        loop {
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }
    Ok(producer.flush(Duration::from_secs(60))?)
}

/// Asks for the aims.
pub fn ask(report: &mut Report) {
    let rate = report.median("consumer", "events/s from the start", Contender::Bahi);
    report.ask(
        "consumer: events/s, one insert each",
        rate,
        Better::More,
        20_000.0,
    );
}
