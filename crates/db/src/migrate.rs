//! Migrations: the platform's (tenancy, outbox, inbox), then the service's own.

use anyhow::Context;
use diesel_async::{
    AsyncConnection, AsyncMigrationHarness, AsyncPgConnection, SimpleAsyncConnection,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use tokio_postgres::NoTls;

/// What every service's database has, in order. A version that has run is never changed; add one.
const PLATFORM: [(&str, &str); 8] = [
    ("0001_tenancy", include_str!("../sql/tenancy.sql")),
    ("0002_outbox", include_str!("../sql/outbox.sql")),
    ("0003_inbox", include_str!("../sql/inbox.sql")),
    ("0004_relay", include_str!("../sql/relay.sql")),
    (
        "0005_inbox_command",
        include_str!("../sql/inbox_command.sql"),
    ),
    ("0006_privacy", include_str!("../sql/privacy.sql")),
    ("0007_scope", include_str!("../sql/scope.sql")),
    ("0008_purge", include_str!("../sql/purge.sql")),
];

/// Brings a database up to date as its owner. Several processes may try at once: an advisory lock lets one work.
/// Needs a multi-threaded Tokio runtime.
///
/// # Errors
/// When the database cannot be reached or a migration fails; what ran before it stays.
pub async fn migrate(
    owner_url: &str,
    app_role: &str,
    own: EmbeddedMigrations,
) -> anyhow::Result<()> {
    let (mut client, connection) = tokio_postgres::connect(owner_url, NoTls)
        .await
        .context("connecting as owner")?;
    tokio::spawn(connection);
    client
        .batch_execute("select pg_advisory_lock(hashtext('bahi.migrate'))")
        .await?;
    client
        .batch_execute(
            "create schema if not exists platform;
             create table if not exists platform.migration (version text primary key, run_at timestamptz not null default now())",
        )
        .await?;
    for (version, text) in PLATFORM {
        let step = client.transaction().await?;
        let new = step
            .execute(
                "insert into platform.migration (version) values ($1) on conflict do nothing",
                &[&version],
            )
            .await?;
        if new == 1 {
            step.batch_execute(&text.replace("{app}", app_role))
                .await
                .with_context(|| version.to_owned())?;
        }
        step.commit().await?;
    }
    let conn = AsyncPgConnection::establish(owner_url)
        .await
        .context("connecting as owner")?;
    let mut harness = AsyncMigrationHarness::new(conn);
    for version in harness
        .run_pending_migrations(own)
        .map_err(|error| anyhow::anyhow!("{error}"))?
    {
        tracing::info!(%version, "migrated");
    }
    // Fresh tables have no statistics, and a plan made without them can be a hundred times slower.
    harness.into_inner().batch_execute("analyze").await?;
    Ok(())
}

/// The text of the outbox and of what operates its relay, for tests of the relay alone.
pub fn outbox_sql(app_role: &str) -> String {
    PLATFORM
        .iter()
        .filter(|(version, _)| version.ends_with("outbox") || version.ends_with("relay"))
        .map(|(_, text)| text.replace("{app}", app_role))
        .collect()
}
