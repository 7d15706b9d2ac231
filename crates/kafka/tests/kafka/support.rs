//! A stage for one test: a private database, private topics, a handler that leaves a row per event, and a checker.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use bahi_db::{Db, DbConfig, Tx, sql};
use bahi_events::{Envelope, EventType, Outgoing, Topic};
use bahi_kafka::{Consumer, Failed, Status, create_topics, producer_settings};
use bahi_types::{Clock, TenantId};
use chrono::Utc;
use diesel::sql_types::{Array, BigInt, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("tests/migrations");

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Counted {
    pub n: i64,
}

/// Two types of one topic and aggregate.
pub const COUNTED: EventType<Counted> = EventType::new("test.counted", Topic::Sync, "counter");
pub const MARKED: EventType<Counted> = EventType::new("test.marked", Topic::Sync, "counter");
/// What the handler says for each event.
pub const NOTED: EventType<Counted> = EventType::new("test.noted", Topic::Ai, "note");

pub fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set (scripts/infra test env)"))
}

pub fn brokers() -> String {
    env("BAHI_TEST_KAFKA")
}

/// Asks again and again until `check` gives a value.
pub async fn eventually<T, F, Fut>(mut check: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let started = Instant::now();
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "it did not happen within a minute"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A private database and private topics.
#[derive(Clone)]
pub struct Stage {
    pub database: String,
    pub prefix: String,
    pub db: Db,
    pub producer: FutureProducer,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

fn url(database: &str, options: &str) -> String {
    let (server, _) = env("BAHI_TEST_PG")
        .rsplit_once('/')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    format!("{server}/{database}{options}")
}

const OWNER: &str = "bahi_inventory_owner";
const APP: &str = "bahi_inventory_app";

impl Stage {
    pub async fn new() -> Self {
        let id = format!(
            "{}_{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let (database, prefix) = (
            format!("tk_{id}"),
            format!("tk_{id}_{}.", Utc::now().timestamp_millis()),
        );
        admin("postgres")
            .await
            .batch_execute(&format!("drop database if exists {database}"))
            .await
            .unwrap();
        admin("postgres")
            .await
            .batch_execute(&format!("create database {database} owner {OWNER}"))
            .await
            .unwrap();
        let owner = url(&database, &format!("?options=-c%20role%3D{OWNER}"));
        bahi_db::migrate(&owner, APP, MIGRATIONS).await.unwrap();
        let stage = Self::join(&database, &prefix);
        create_topics(&brokers(), &[&stage.topic()], 3, &[])
            .await
            .unwrap();
        stage
    }

    /// The stage of another process.
    pub fn join(database: &str, prefix: &str) -> Self {
        let limits = "-c%20statement_timeout%3D2s%20-c%20lock_timeout%3D1s%20-c%20idle_in_transaction_session_timeout%3D5s";
        let url = url(database, &format!("?options=-c%20role%3D{APP}%20{limits}"));
        let db = Db::new(
            &DbConfig {
                url,
                connections: 4,
                checkout: Duration::from_millis(250),
                topic_prefix: String::new(),
                service: "counter",
            },
            Clock::System,
        )
        .unwrap();
        let producer = producer_settings(&brokers(), "test").create().unwrap();
        Self {
            database: database.to_owned(),
            prefix: prefix.to_owned(),
            db,
            producer,
        }
    }

    pub fn topic(&self) -> String {
        format!("{}{}", self.prefix, Topic::Sync.name())
    }

    pub async fn admin(&self) -> tokio_postgres::Client {
        admin(&self.database).await
    }

    /// A consumer whose handlers leave effects.
    pub fn consumer(&self) -> Consumer {
        self.bare().on(COUNTED, leave).on(MARKED, leave)
    }

    /// A consumer without handlers.
    pub fn bare(&self) -> Consumer {
        Consumer::new("counter").with_topic_prefix(&self.prefix)
    }

    pub fn start(&self, consumer: Consumer) -> Running {
        let (status, stop) = (consumer.status(), CancellationToken::new());
        let (db, token) = (self.db.clone(), stop.clone());
        let task = tokio::spawn(async move { consumer.run(db, &brokers(), token).await });
        Running { status, stop, task }
    }

    /// Sends events, in order.
    pub async fn send(&self, events: &[Sent]) {
        let topic = self.topic();
        let sending: Vec<_> = events
            .iter()
            .map(|event| event.send(&self.producer, &topic))
            .collect();
        for sent in sending {
            sent.await.unwrap().unwrap();
        }
    }

    /// The effects, in the order they happened.
    pub async fn effects(&self) -> Vec<Effect> {
        let rows = self
            .admin()
            .await
            .query(
                "select tenant_id, event_id, kind, key, n from effect order by id",
                &[],
            )
            .await;
        let effect = |row: &tokio_postgres::Row| Effect {
            tenant: TenantId::from_uuid(row.get(0)),
            event_id: row.get(1),
            kind: row.get(2),
            key: row.get(3),
            n: row.get(4),
        };
        rows.unwrap().iter().map(effect).collect()
    }

    /// Waits until so many effects are there.
    pub async fn await_effects(&self, count: usize) -> Vec<Effect> {
        await_count(&self.admin().await, count).await;
        self.effects().await
    }

    /// Sends events in small portions, a little ahead of the effects, so that a kill hits work in progress.
    pub fn feed(&self, sent: &[Sent]) -> JoinHandle<()> {
        let (stage, sent) = (self.clone(), sent.to_vec());
        tokio::spawn(async move {
            for (n, portion) in sent.chunks(10).enumerate() {
                stage.send(portion).await;
                await_count(&stage.admin().await, (n * 10).saturating_sub(40)).await;
            }
        })
    }

    /// Waits until all that is in the topics now is consumed.
    pub async fn await_caught_up(&self, running: &Running) {
        let ends = running.status.ends().await.unwrap();
        eventually(async || {
            running
                .status
                .reached(&ends)
                .await
                .unwrap_or(false)
                .then_some(())
        })
        .await;
    }

    /// (key, state, reason) of what is in quarantine, in order.
    pub async fn quarantine(&self) -> Vec<(String, String, String)> {
        let held =
            "select convert_from(key, 'utf8'), state, reason from inbox.quarantine order by id";
        let rows = self.admin().await.query(held, &[]).await.unwrap();
        rows.iter()
            .map(|row| (row.get(0), row.get(1), row.get(2)))
            .collect()
    }

    pub async fn change(&self, sql: &str) {
        self.admin().await.batch_execute(sql).await.unwrap();
    }

    pub async fn count(&self, sql: &str) -> i64 {
        self.admin().await.query_one(sql, &[]).await.unwrap().get(0)
    }
}

async fn await_count(admin: &tokio_postgres::Client, count: usize) {
    eventually(async || {
        let row = admin
            .query_one("select count(*) from effect", &[])
            .await
            .unwrap();
        (usize::try_from(row.get::<_, i64>(0)).unwrap() >= count).then_some(())
    })
    .await;
}

pub async fn admin(database: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&url(database, ""), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

/// A running consumer.
pub struct Running {
    pub status: Status,
    pub stop: CancellationToken,
    pub task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// The handler: one row per event, and one event said per event.
pub async fn leave(tx: &mut Tx, events: &[Envelope<Counted>]) -> Result<(), Failed> {
    let tenant = tx.tenant();
    assert!(
        events
            .iter()
            .all(|event| event.tenant_id == tenant && event.event_type == events[0].event_type)
    );
    sql("insert into effect (tenant_id, event_id, kind, key, n)
         select $1, e.id, $2, e.key, e.n from unnest($3, $4, $5) with ordinality as e(id, key, n, o) order by o")
        .bind::<SqlUuid, _>(tenant)
        .bind::<Text, _>(&events[0].event_type)
        .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.event_id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(events.iter().map(|e| e.aggregate_id.as_str()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(events.iter().map(|e| e.payload.n).collect::<Vec<_>>())
        .execute(tx.conn())
        .await
        .map_err(bahi_db::Error::from)?;
    for event in events {
        let said = NOTED.of(Uuid::now_v7(), 1, &event.payload);
        tx.publish(Outgoing {
            causation_id: Some(event.event_id),
            ..said
        });
    }
    Ok(())
}

/// A row of the handler.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Effect {
    pub tenant: TenantId,
    pub event_id: Uuid,
    pub kind: String,
    pub key: String,
    pub n: i64,
}

/// An event on its way into the topic.
#[derive(Clone, Debug)]
pub struct Sent {
    pub key: String,
    pub envelope: Envelope<Counted>,
}

pub type Delivery = rdkafka::producer::DeliveryFuture;

impl Sent {
    pub fn new(event: EventType<Counted>, tenant: TenantId, key: &str, n: i64) -> Self {
        let envelope = json!({
            "event_id": Uuid::now_v7(), "event_type": event.name, "version": "v1", "timestamp": Utc::now(),
            "trace_id": Uuid::from_u128(7), "source_service": "test", "tenant_id": tenant, "aggregate_type": event.aggregate,
            "aggregate_id": key, "aggregate_version": n, "epoch": 1, "occurred_at": Utc::now(),
            "causation_id": null, "correlation_id": Uuid::from_u128(9), "actor": null, "payload": { "n": n },
            "added_later": { "ignored": true },
        });
        Self {
            key: key.to_owned(),
            envelope: serde_json::from_value(envelope).unwrap(),
        }
    }

    pub fn send(&self, producer: &FutureProducer, topic: &str) -> Delivery {
        let value = serde_json::to_string(&self.envelope).unwrap();
        send_raw(
            producer,
            topic,
            Some(self.key.as_bytes()),
            value.as_bytes(),
            Some(&self.envelope.event_type),
        )
    }
}

pub const TRACEPARENT: &str = "00-00000000000000000000000000000007-0000000000000001-01";

pub fn send_raw(
    producer: &FutureProducer,
    topic: &str,
    key: Option<&[u8]>,
    value: &[u8],
    kind: Option<&str>,
) -> Delivery {
    let mut headers = OwnedHeaders::new().insert(Header {
        key: "traceparent",
        value: Some(TRACEPARENT),
    });
    if let Some(kind) = kind {
        headers = headers.insert(Header {
            key: "ce_type",
            value: Some(kind),
        });
    }
    let mut record: FutureRecord<'_, [u8], [u8]> =
        FutureRecord::to(topic).payload(value).headers(headers);
    record.key = key;
    producer.send_result(record).unwrap()
}

/// What is wrong with the effects of the events that were sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub lost: usize,
    pub doubled: usize,
    pub strange: usize,
    pub disordered: usize,
}

impl Verdict {
    pub const FINE: Self = Self {
        lost: 0,
        doubled: 0,
        strange: 0,
        disordered: 0,
    };
}

/// Compares effects with what was sent: each once, in the order of its key.
pub fn verdict(sent: &[Sent], effects: &[Effect]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut times: BTreeMap<Uuid, usize> = sent.iter().map(|s| (s.envelope.event_id, 0)).collect();
    let mut last: BTreeMap<(TenantId, &str), i64> = BTreeMap::new();
    for effect in effects {
        match times.get_mut(&effect.event_id) {
            Some(times) => *times += 1,
            None => verdict.strange += 1,
        }
        let last = last
            .entry((effect.tenant, effect.key.as_str()))
            .or_insert(i64::MIN);
        if effect.n <= *last {
            verdict.disordered += 1;
        }
        *last = effect.n;
    }
    verdict.lost = times.values().filter(|times| **times == 0).count();
    verdict.doubled = times.values().filter(|times| **times > 1).count();
    verdict
}

/// `count` events: keys in turn, types mixed, each key counting up.
pub fn series(tenants: &[TenantId], keys: i64, count: i64) -> Vec<Sent> {
    let event = |n: i64| {
        let (key, kind) = (n % keys, if n % 7 == 3 { MARKED } else { COUNTED });
        let tenant = tenants[usize::try_from(key).unwrap() % tenants.len()];
        Sent::new(kind, tenant, &format!("k{key}"), n)
    };
    (0..count).map(event).collect()
}

/// Sends what `Timeout::Never` stands for: waits for room, too.
pub async fn send_one(producer: &FutureProducer, topic: &str, sent: &Sent) {
    let value = serde_json::to_string(&sent.envelope).unwrap();
    let record = FutureRecord::to(topic).key(&sent.key).payload(&value);
    producer.send(record, Timeout::Never).await.unwrap();
}
