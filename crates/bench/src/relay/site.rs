//! What the benchmark stands on: the infrastructure that `scripts/bench relay` started for it, and the folders.

use std::{path::PathBuf, process::Command};

use anyhow::Context;
use bahi_register::Register;
use clap::Args;
use tokio_postgres::{Client, NoTls};

/// Given by `scripts/bench`; a password never stands on a command line.
#[derive(Args, Clone, Debug)]
pub struct Site {
    /// PostgreSQL as its superuser.
    #[arg(long, env = "BAHI_BENCH_PG", hide = true, hide_env_values = true)]
    postgres: String,
    /// The password of `bahi_relay`.
    #[arg(
        long,
        env = "BAHI_BENCH_RELAY_PASSWORD",
        hide = true,
        hide_env_values = true
    )]
    relay_password: String,
    /// The pid of the postmaster.
    #[arg(long, env = "BAHI_BENCH_POSTMASTER", hide = true)]
    pub postmaster: u32,
    /// The pid of the broker.
    #[arg(long, env = "BAHI_BENCH_BROKER", hide = true)]
    pub broker: u32,
    /// Kafka's bootstrap servers.
    #[arg(long, env = "BAHI_KAFKA", hide = true)]
    pub kafka: String,
    /// The worker's binary.
    #[arg(long, env = "BAHI_BENCH_WORKER", hide = true)]
    pub worker: PathBuf,
    /// Where logs and the relays' own files go.
    #[arg(long, env = "BAHI_BENCH_FOLDER", hide = true)]
    pub folder: PathBuf,
    /// The services' keys.
    #[arg(long, env = "BAHI_KEYS", hide = true)]
    pub keys: PathBuf,
    /// The register of services.
    #[arg(long, env = "BAHI_REGISTER", hide = true)]
    register: PathBuf,
    /// Debezium's settings.
    #[arg(long, env = "BAHI_BENCH_DEBEZIUM", hide = true)]
    pub debezium: PathBuf,
    /// The jars of Kafka Connect and Debezium.
    #[arg(long, env = "BAHI_BENCH_DEBEZIUM_JARS", hide = true)]
    pub debezium_jars: PathBuf,
}

/// Debezium's role; a role of its own, so that its backends can be told from all others.
pub const DEBEZIUM_ROLE: &str = "bench_debezium";
/// The worker's role.
pub const RELAY_ROLE: &str = "bahi_relay";
/// An address of this machine that can be cut off without cutting off anything else.
pub const FAR: &str = "127.77.0.1";

impl Site {
    /// Connects as superuser.
    pub async fn connect(&self, database: &str) -> anyhow::Result<Client> {
        let (client, connection) =
            tokio_postgres::connect(&self.url(database, "bahi_admin"), NoTls)
                .await
                .with_context(|| format!("connecting to {database}"))?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// A database under one of the roles.
    pub fn url(&self, database: &str, role: &str) -> String {
        let (server, _) = self.postgres.rsplit_once('/').unwrap_or_default();
        match server.rsplit_once('@') {
            Some((_, host)) if role == RELAY_ROLE => {
                format!(
                    "postgres://{RELAY_ROLE}:{}@{host}/{database}",
                    self.relay_password
                )
            }
            _ => format!("{server}/{database}"),
        }
    }

    /// As [`Site::url`] for the worker, over the address that can be cut off.
    pub fn far_url(&self, database: &str) -> String {
        self.url(database, RELAY_ROLE)
            .replace("@127.0.0.1:", &format!("@{FAR}:"))
    }

    /// PostgreSQL's port.
    pub fn postgres_port(&self) -> &str {
        let server = self.postgres.rsplit_once('/').unwrap_or_default().0;
        server.rsplit_once(':').unwrap_or_default().1
    }

    /// The services of the register that have a database.
    pub fn services(&self) -> anyhow::Result<Vec<String>> {
        let register = Register::load(&self.register)?;
        Ok(register
            .databases()
            .map(|(service, _)| service.name.clone())
            .collect())
    }

    /// The file of the register.
    pub fn register(&self) -> &PathBuf {
        &self.register
    }

    /// A new empty database.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<Client> {
        self.drop_database(name).await?;
        let admin = self.connect("postgres").await?;
        admin
            .batch_execute(&format!("create database {name}"))
            .await?;
        self.connect(name).await
    }

    /// Drops a database with all its replication slots, whoever uses them.
    pub async fn drop_database(&self, name: &str) -> anyhow::Result<()> {
        let admin = self.connect("postgres").await?;
        let slots =
            "select slot_name::text, active_pid from pg_replication_slots where database = $1";
        for attempt in 0u32.. {
            let left = admin.query(slots, &[&name]).await?;
            if left.is_empty() {
                break;
            }
            anyhow::ensure!(attempt < 100, "the replication slots of {name} stay in use");
            for row in &left {
                let (slot, holder): (String, Option<i32>) = (row.get(0), row.get(1));
                // Held until the walsender has noticed that its client is gone.
                let statement = match holder {
                    Some(_) => {
                        "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1"
                    }
                    None => "select pg_drop_replication_slot($1)",
                };
                admin.query(statement, &[&slot]).await.ok();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Ok(admin
            .batch_execute(&format!("drop database if exists {name} with (force)"))
            .await?)
    }

    /// Names the machine's software for the head of the report.
    pub fn versions(&self) -> String {
        let jar = |prefix: &str| {
            let names = std::fs::read_dir(&self.debezium_jars).ok()?.flatten();
            names
                .filter_map(|file| file.file_name().into_string().ok())
                .find_map(|name| Some(name.strip_prefix(prefix)?.strip_suffix(".jar")?.to_owned()))
        };
        let java = Command::new("java").arg("-version").output().ok();
        let java = java
            .map(|out| String::from_utf8_lossy(&out.stderr).into_owned())
            .and_then(|text| text.lines().next().map(str::to_owned));
        format!(
            "Kafka Connect {}, Debezium {}, {}",
            jar("connect-runtime-").unwrap_or_else(|| "?".into()),
            jar("debezium-connector-postgres-").unwrap_or_else(|| "?".into()),
            java.unwrap_or_else(|| "no java".into())
        )
    }
}
