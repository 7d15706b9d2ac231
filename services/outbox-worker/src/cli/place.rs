//! Where commands are carried out, and by whom.

use anyhow::{Context, bail};
use bahi_service::Env;
use serde_json::Value;
use tokio_postgres::{Client, NoTls, Transaction};

use crate::{
    config::{Config, Database},
    session,
    side::ASKED,
};

/// The databases that this environment knows.
pub struct Places {
    config: Config,
    who: String,
}

impl Places {
    /// As the worker knows them.
    ///
    /// # Errors
    /// When a setting is missing.
    pub fn from_env() -> anyhow::Result<Self> {
        let env = Env::default();
        let config = Config::from_env(&env)?;
        let user = || {
            let user = env.optional("USER").unwrap_or_else(|| "operator".into());
            let host = env.optional("HOSTNAME").or_else(|| {
                let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
                Some(name.trim().to_owned())
            });
            format!("{user}@{}", host.unwrap_or_else(|| "localhost".into()))
        };
        Ok(Self {
            who: env.optional("BAHI_OPERATOR").unwrap_or_else(user),
            config,
        })
    }

    /// Kafka's bootstrap servers.
    pub fn kafka(&self) -> &str {
        &self.config.kafka
    }

    /// The databases of these services; all, where none is named.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn select(&self, names: &[String]) -> anyhow::Result<Vec<&Database>> {
        if names.is_empty() {
            return Ok(self.config.databases.iter().collect());
        }
        names.iter().map(|name| self.find(name)).collect()
    }

    fn find(&self, name: &str) -> anyhow::Result<&Database> {
        let found = self.config.databases.iter().find(|d| d.service == name);
        found.with_context(|| {
            let all: Vec<&str> = self
                .config
                .databases
                .iter()
                .map(|d| d.service.as_str())
                .collect();
            format!("no database of `{name}`; there are: {}", all.join(", "))
        })
    }

    /// Connects to the database of a service.
    ///
    /// # Errors
    /// When it cannot be reached, or its outbox is not migrated.
    pub async fn connect(&self, name: &str) -> anyhow::Result<Place> {
        let database = self.find(name)?;
        let mut config = session::configure(&database.url)
            .with_context(|| format!("the URL of the database of {name}"))?;
        config.application_name("outbox-worker command");
        let (client, connection) = config
            .connect(NoTls)
            .await
            .with_context(|| format!("the database of {name}"))?;
        // An error of the connection reaches whoever waits for a statement.
        tokio::spawn(async move { connection.await.ok() });
        client
            .batch_execute(
                "set statement_timeout = '60s'; set lock_timeout = '10s'; set timezone = 'UTC'",
            )
            .await?;
        let there = client
            .query_one("select to_regclass('outbox.command') is not null", &[])
            .await?;
        if !there.get::<_, bool>(0) {
            bail!("the outbox of {name} is not migrated: `{name} migrate`");
        }
        Ok(Place {
            service: name.to_owned(),
            who: self.who.clone(),
            client,
        })
    }
}

/// The database of a service.
pub struct Place {
    /// The service.
    pub service: String,
    /// Who asks.
    pub who: String,
    /// The connection.
    pub client: Client,
}

impl Place {
    /// A transaction whose commands are heard when it commits.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn begin(&mut self) -> anyhow::Result<Audited<'_>> {
        let tx = self.client.transaction().await?;
        Ok(Audited { who: &self.who, tx })
    }
}

/// A transaction that says who did what.
pub struct Audited<'a> {
    who: &'a str,
    /// For the statements of the command.
    pub tx: Transaction<'a>,
}

impl Audited<'_> {
    /// Who does it.
    pub fn who(&self) -> &str {
        self.who
    }

    /// Writes down what was done, and tells the owners.
    ///
    /// # Errors
    /// When nothing of it happened.
    pub async fn done(self, cmd: &str, args: &Value, result: &Value) -> anyhow::Result<()> {
        let insert = "insert into outbox.command (who, cmd, args, done_at, result) values ($1, $2, $3, clock_timestamp(), $4)";
        self.tx
            .execute(insert, &[&self.who, &cmd, args, result])
            .await?;
        self.commit().await
    }

    /// Leaves a command for the owner of a shard; its number.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn ask(&self, cmd: &str, args: &Value, shard: i16) -> anyhow::Result<i64> {
        let insert = "insert into outbox.command (who, cmd, args, shard) values ($1, $2, $3, $4) returning id";
        let row = self
            .tx
            .query_one(insert, &[&self.who, &cmd, args, &shard])
            .await?;
        Ok(row.get(0))
    }

    /// Commits, and tells the owners that there is something.
    ///
    /// # Errors
    /// When nothing of it happened.
    pub async fn commit(self) -> anyhow::Result<()> {
        self.tx
            .execute("select pg_notify('outbox', $1)", &[&ASKED])
            .await?;
        self.tx.commit().await?;
        Ok(())
    }
}
