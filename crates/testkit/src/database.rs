//! Private databases.

use std::{
    collections::HashMap,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use bahi_db::EmbeddedMigrations;
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls};

use crate::test_env;

/// A database of one test.
#[derive(Clone, Debug)]
pub struct TestDb {
    /// Its name.
    pub name: String,
    service: String,
}

static TEMPLATES: LazyLock<Mutex<HashMap<String, String>>> = LazyLock::new(Mutex::default);
static COUNT: AtomicU32 = AtomicU32::new(0);

impl TestDb {
    /// A fresh database with the service's migrations.
    pub async fn create(service: &str, migrations: Option<EmbeddedMigrations>) -> Self {
        let template = template(service, migrations).await;
        let name = format!(
            "t_{}_{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let admin = connect(&test_env("BAHI_TEST_PG")).await;
        admin
            .batch_execute(&format!(
                "create database {name} template {template} owner {}",
                owner(service)
            ))
            .await
            .expect("create database");
        Self {
            name,
            service: service.to_owned(),
        }
    }

    /// URL of the runtime role: no owner, under row-level security, with the limits it has in production.
    pub fn url(&self) -> String {
        let limits = "-c%20statement_timeout%3D2s%20-c%20lock_timeout%3D1s%20-c%20idle_in_transaction_session_timeout%3D5s";
        format!(
            "{}?options=-c%20role%3D{}%20{limits}",
            base(&self.name),
            app(&self.service)
        )
    }

    /// URL of the owner.
    pub fn owner_url(&self) -> String {
        owner_url(&self.name, &self.service)
    }

    /// URL of the operator, whom row-level security does not bind.
    pub fn admin_url(&self) -> String {
        base(&self.name)
    }

    /// A connection as the operator.
    pub async fn admin(&self) -> Client {
        connect(&self.admin_url()).await
    }
}

fn role(service: &str) -> String {
    format!("bahi_{}", service.replace('-', "_"))
}
fn owner(service: &str) -> String {
    format!("{}_owner", role(service))
}
fn app(service: &str) -> String {
    format!("{}_app", role(service))
}

fn base(database: &str) -> String {
    let url = test_env("BAHI_TEST_PG");
    let (server, _) = url
        .rsplit_once('/')
        .expect("BAHI_TEST_PG ends in /database");
    format!("{server}/{database}")
}

fn owner_url(database: &str, service: &str) -> String {
    format!("{}?options=-c%20role%3D{}", base(database), owner(service))
}

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("PostgreSQL of the tests");
    tokio::spawn(connection);
    client
}

/// The template of this process; the first call also removes what dead test processes left behind.
async fn template(service: &str, migrations: Option<EmbeddedMigrations>) -> String {
    let mut templates = TEMPLATES.lock().await;
    if let Some(name) = templates.get(service) {
        return name.clone();
    }
    let admin = connect(&test_env("BAHI_TEST_PG")).await;
    if templates.is_empty() {
        sweep(&admin).await;
    }
    let name = format!("t_{}_tpl_{}", std::process::id(), service.replace('-', "_"));
    admin
        .batch_execute(&format!("create database {name} owner {}", owner(service)))
        .await
        .expect("create template");
    if let Some(migrations) = migrations {
        let (url, role) = (owner_url(&name, service), app(service));
        tokio::spawn(async move { bahi_db::migrate(&url, &role, migrations).await })
            .await
            .expect("migrations")
            .expect("migrations");
    }
    templates.insert(service.to_owned(), name.clone());
    name
}

async fn sweep(admin: &Client) {
    let rows = admin
        .query(
            "select datname from pg_database where datname like 't\\_%'",
            &[],
        )
        .await
        .expect("databases");
    for row in rows {
        let name: String = row.get(0);
        let pid = name.split('_').nth(1).and_then(|p| p.parse::<u32>().ok());
        if pid.is_some_and(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()) {
            // Another process may be sweeping too.
            admin
                .batch_execute(&format!("drop database if exists {name} with (force)"))
                .await
                .ok();
        }
    }
}
