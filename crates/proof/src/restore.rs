//! Backups of a service's database, and the restore of one.

use std::sync::atomic::{AtomicU32, Ordering};

use bahi_testkit::{TestDb, test_env};
use tokio_postgres::{Client, NoTls};

/// A copy of a database at a moment.
pub struct Backup {
    copy: String,
    name: String,
    owner: String,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

async fn server() -> Client {
    let url = test_env("BAHI_TEST_PG");
    let (client, connection) = tokio_postgres::connect(&url, NoTls)
        .await
        .expect("PostgreSQL");
    tokio::spawn(connection);
    client
}

impl Backup {
    /// Copies a database whose processes are stopped.
    pub async fn of(database: &TestDb) -> Self {
        let server = server().await;
        let name = database.name.clone();
        let owner = "select pg_get_userbyid(datdba)::text from pg_database where datname = $1";
        let owner = server.query_one(owner, &[&name]).await.expect("owner");
        let backup = Self {
            copy: format!(
                "t_{}_backup_{}",
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            ),
            owner: owner.get(0),
            name,
        };
        copy(&server, &backup.name, &backup.copy, &backup.owner).await;
        backup
    }

    /// Puts the copy in the place of the database; `raise` raises its epoch, as an operator does at a restore.
    pub async fn put_back(&self, raise: bool) {
        let server = server().await;
        let gone = format!("drop database {} with (force)", self.name);
        server.batch_execute(&gone).await.expect(&gone);
        copy(&server, &self.copy, &self.name, &self.owner).await;
        if raise {
            let url = test_env("BAHI_TEST_PG");
            let base = url.rsplit_once('/').expect("a database").0;
            let (client, connection) =
                tokio_postgres::connect(&format!("{base}/{}", self.name), NoTls)
                    .await
                    .expect("the restored database");
            tokio::spawn(connection);
            client
                .batch_execute("update outbox.epoch set epoch = epoch + 1")
                .await
                .expect("the epoch");
        }
    }
}

/// Copies a database, to which nobody may be connected meanwhile.
async fn copy(server: &Client, from: &str, to: &str, owner: &str) {
    let close = format!("alter database {from} with allow_connections false");
    server.batch_execute(&close).await.expect(&close);
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
    server.query(cut, &[&from]).await.expect(cut);
    // It waits a few seconds for those just cut.
    let copy = format!("create database {to} template {from} owner {owner}");
    server.batch_execute(&copy).await.expect(&copy);
    for name in [from, to] {
        let open = format!("alter database {name} with allow_connections true");
        server.batch_execute(&open).await.expect(&open);
    }
}
