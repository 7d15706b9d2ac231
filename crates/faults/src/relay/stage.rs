//! Where the run takes place: two databases with outboxes, one with an inbox, two topics.

use anyhow::Context;
use bahi_kafka::create_topics;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use super::consume::{LISTED, SOLD};
use crate::stage::{PARTITIONS, Stage};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");
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
/// Their topics, in the same order.
pub const TOPICS: [&str; 2] = [SOURCES[0].topic, SOURCES[1].topic];
/// The consumers' database and its roles.
pub const EFFECTS: (&str, &str, &str) = (
    "faults_effects",
    "bahi_inventory_owner",
    "bahi_inventory_app",
);

/// Makes all of it.
pub async fn build(stage: &Stage) -> anyhow::Result<()> {
    let admin = stage.admin("postgres").await?;
    for source in SOURCES {
        admin
            .batch_execute(&format!("create database {}", source.database))
            .await?;
        let database = stage.admin(source.database).await?;
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
    bahi_db::migrate(&stage.url(database, Some(owner), ""), app, MIGRATIONS).await?;
    create_topics(&stage.kafka, &TOPICS, PARTITIONS).await
}
