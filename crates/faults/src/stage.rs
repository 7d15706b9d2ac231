//! Where the run takes place: two databases with outboxes, one with an inbox, two topics.

use std::time::Duration;

use anyhow::Context;
use bahi_kafka::create_topics;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use tokio_postgres::{Client, NoTls};

use crate::consume::{LISTED, SOLD};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");
/// Partitions of each topic.
pub const PARTITIONS: i32 = 12;
/// Aggregates that every hostile writer fights for.
pub const HOT: usize = 20;
/// Aggregates of the writers of bulk.
pub const COLD: usize = 2_000;

/// A database that says something.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Its service, as the register of the run calls it.
    pub service: &'static str,
    /// A port that the register wants and nobody opens.
    pub http: u16,
    /// Its name.
    pub database: &'static str,
    /// The role of its writers.
    pub role: &'static str,
    /// Its topic.
    pub topic: &'static str,
    /// The type of its events.
    pub event_type: &'static str,
}

/// Both of them.
pub const SOURCES: [Source; 2] = [
    Source {
        service: "sales",
        http: 8003,
        database: "faults_sales",
        role: "bahi_sales_app",
        topic: SOLD.topic.name(),
        event_type: SOLD.name,
    },
    Source {
        service: "product",
        http: 8001,
        database: "faults_product",
        role: "bahi_product_app",
        topic: LISTED.topic.name(),
        event_type: LISTED.name,
    },
];
/// The consumers' database and its roles.
pub const EFFECTS: (&str, &str, &str) = (
    "faults_effects",
    "bahi_inventory_owner",
    "bahi_inventory_app",
);

/// The servers' addresses.
#[derive(Clone, Debug)]
pub struct Stage {
    /// PostgreSQL, as its administrator.
    pub postgres: String,
    /// Kafka's bootstrap servers.
    pub kafka: String,
}

impl Stage {
    /// The URL of a database with a role and settings (`-c` options).
    pub fn url(&self, database: &str, role: Option<&str>, settings: &str) -> String {
        let server = self
            .postgres
            .rsplit_once('/')
            .map_or("", |(server, _)| server);
        let role = role.map_or(String::new(), |role| format!("-c%20role%3D{role}"));
        format!("{server}/{database}?options={role}{settings}")
    }

    /// The URL that the workers connect with.
    pub fn relay_url(&self, source: Source) -> String {
        self.url(source.database, Some("bahi_relay"), "")
    }

    /// The URL that the consumers connect with: with the limits that a service has.
    pub fn effects_url(&self) -> String {
        let limits = "%20-c%20statement_timeout%3D2s%20-c%20lock_timeout%3D1s%20-c%20idle_in_transaction_session_timeout%3D5s";
        self.url(EFFECTS.0, Some(EFFECTS.2), limits)
    }

    /// A session of the administrator.
    pub async fn admin(&self, database: &str) -> anyhow::Result<Client> {
        connect(&self.url(database, None, "")).await
    }

    /// Makes all of it.
    pub async fn build(&self) -> anyhow::Result<()> {
        let admin = self.admin("postgres").await?;
        for source in SOURCES {
            admin
                .batch_execute(&format!("create database {}", source.database))
                .await?;
            let database = self.admin(source.database).await?;
            database
                .batch_execute(&bahi_db::outbox_sql(source.role))
                .await
                .context("outbox.sql")?;
            let tables = format!(
                "create table aggregate (id text primary key, version bigint not null default 0) with (fillfactor = 40);
                 create table noise (n bigint);
                 grant select, update on aggregate to {role}; grant insert on noise to {role};
                 insert into aggregate (id) select 'a' || n from generate_series(0, {HOT} - 1) n;
                 insert into aggregate (id) select 'b' || n from generate_series(0, {COLD} - 1) n",
                role = source.role
            );
            database.batch_execute(&tables).await?;
        }
        let (database, owner, app) = EFFECTS;
        admin
            .batch_execute(&format!("create database {database} owner {owner}"))
            .await?;
        bahi_db::migrate(&self.url(database, Some(owner), ""), app, MIGRATIONS).await?;
        create_topics(&self.kafka, &SOURCES.map(|source| source.topic), PARTITIONS).await
    }
}

/// Connects, or says within five seconds that it cannot.
pub async fn connect(url: &str) -> anyhow::Result<Client> {
    let connecting = tokio_postgres::connect(url, NoTls);
    let (client, connection) = tokio::time::timeout(Duration::from_secs(5), connecting).await??;
    tokio::spawn(connection);
    Ok(client)
}
