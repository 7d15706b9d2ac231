//! A stage for one test: a private database and private topics.

use std::{
    future::Future,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use bahi_db::{Db, DbConfig};
use bahi_events::Topic;
use bahi_kafka::{Consumer, Status, create_topics, producer_settings};
use bahi_types::{Clock, TenantId};
use chrono::Utc;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use rdkafka::producer::FutureProducer;
use tokio::task::JoinHandle;
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;

pub use crate::events::*;

pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("tests/migrations");

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
        create_topics(&brokers(), &[&stage.topic()], 3)
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
        self.feed_after(sent, 0)
    }

    /// The same when so many effects are there already.
    pub fn feed_after(&self, sent: &[Sent], before: usize) -> JoinHandle<()> {
        let (stage, sent) = (self.clone(), sent.to_vec());
        tokio::spawn(async move {
            for (n, portion) in sent.chunks(10).enumerate() {
                stage.send(portion).await;
                await_count(&stage.admin().await, (before + n * 10).saturating_sub(40)).await;
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
