//! The servers under a run, and the ways to them.

use std::time::Duration;

use tokio_postgres::{Client, NoTls};

/// Partitions of each topic.
pub const PARTITIONS: i32 = 12;

/// The servers' addresses.
#[derive(Clone, Debug)]
pub struct Stage {
    /// PostgreSQL, as its administrator.
    pub postgres: String,
    /// Kafka's bootstrap servers.
    pub kafka: String,
}

/// The limits that a service's sessions have.
const LIMITS: &str = "%20-c%20statement_timeout%3D2s%20-c%20lock_timeout%3D1s%20-c%20idle_in_transaction_session_timeout%3D5s";

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

    /// The URL that a worker reads an outbox with.
    pub fn relay_url(&self, database: &str) -> String {
        self.url(database, Some("bahi_relay"), "")
    }

    /// The URL of a runtime role, with the limits that a service has.
    pub fn service_url(&self, database: &str, role: &str) -> String {
        self.url(database, Some(role), LIMITS)
    }

    /// A session of the administrator.
    pub async fn admin(&self, database: &str) -> anyhow::Result<Client> {
        connect(&self.url(database, None, "")).await
    }
}

/// Connects, or says within five seconds that it cannot.
pub async fn connect(url: &str) -> anyhow::Result<Client> {
    let connecting = tokio_postgres::connect(url, NoTls);
    let (client, connection) = tokio::time::timeout(Duration::from_secs(5), connecting).await??;
    tokio::spawn(connection);
    Ok(client)
}
