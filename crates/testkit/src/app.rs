//! The real service on a private database.

use bahi_db::Db;
use bahi_events::{Envelope, Outgoing};
use bahi_kafka::Consumer;
use bahi_service::{App, Env, Running};
use bahi_types::{Clock, TenantId};
use serde_json::Value;

use crate::{Client, TestDb, client, envelope, test_env};

/// A running service. It stops when the test's runtime ends.
pub struct TestApp<S> {
    /// Its database.
    pub db: Db,
    /// The private database.
    pub database: TestDb,
    /// The running service.
    pub running: Running<S>,
    /// Its clock.
    pub clock: Clock,
    env: Env,
    hears: fn(&S) -> Vec<Consumer>,
}

impl<S: Clone + Send + Sync + 'static> TestApp<S> {
    /// Starts the service with a system clock and without Kafka; jobs are off.
    pub async fn start(app: App<S>) -> Self {
        Self::start_with(app, &[], Clock::System).await
    }

    /// Starts the service with more settings and a clock. `BAHI_KAFKA` makes it hear real topics.
    pub async fn start_with(mut app: App<S>, settings: &[(&str, &str)], clock: Clock) -> Self {
        let (name, hears) = (app.name(), app.hears());
        let migrations = app.embedded_migrations();
        let has_database = migrations.is_some();
        assert!(has_database, "TestApp is for services with a database");
        let database = TestDb::create(name, migrations).await;
        let keys = test_env("BAHI_TEST_KEYS");
        let defaults = [
            ("BAHI_DATABASE_URL", database.url()),
            ("BAHI_TRUST_DIR", format!("{keys}/public")),
            ("BAHI_KEY_FILE", format!("{keys}/private/{name}.pem")),
            ("BAHI_REDIS", test_env("BAHI_TEST_REDIS")),
            ("BAHI_JOBS", "off".to_owned()),
            // Tests share two cores with the compiler; a slow machine is not what they are after.
            ("BAHI_DB_CHECKOUT_MS", "10000".to_owned()),
            ("BAHI_MIGRATE_URL", String::new()),
            ("BAHI_KAFKA", String::new()),
            ("BAHI_LISTEN", String::new()),
            ("BAHI_GRPC_LISTEN", String::new()),
            (
                "BAHI_REGISTER",
                concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/services.toml").to_owned(),
            ),
        ];
        let settings = settings.iter().map(|(n, v)| (*n, (*v).to_owned()));
        let env = Env::with(
            defaults
                .into_iter()
                .chain(settings)
                .map(|(n, v)| (n.to_owned(), v)),
        );
        let running = bahi_service::start(app, env.clone(), clock.clone())
            .await
            .expect("the service starts");
        let db = running.db.clone().expect("a database");
        Self {
            db,
            database,
            running,
            clock,
            env,
            hears,
        }
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.running.http)
    }

    /// `http://127.0.0.1:port` of gRPC.
    pub fn grpc_url(&self) -> String {
        format!("http://{}", self.running.grpc.expect("a gRPC service"))
    }

    /// A client of a fresh tenant with every permission.
    pub fn tenant(&self) -> Client {
        Client::new(self.url(), TenantId::new(), &["*"])
    }

    /// A client of a tenant with these permissions.
    pub fn client(&self, tenant: TenantId, permissions: &[&str]) -> Client {
        Client::new(self.url(), tenant, permissions)
    }

    /// A token as another service would sign it.
    pub fn service_token(&self, service: &str, tenant: TenantId) -> String {
        client::service_token(service, tenant)
    }

    /// A connection as the operator, whom row-level security does not bind.
    pub async fn admin(&self) -> tokio_postgres::Client {
        self.database.admin().await
    }

    /// What the outbox holds, in order.
    pub async fn events(&self) -> Vec<Envelope<Value>> {
        let rows = self
            .admin()
            .await
            .query(
                "select json_build_object('event_id', event_id, 'event_type', event_type, 'version', version,
                   'timestamp', \"timestamp\", 'trace_id', trace_id, 'source_service', 'test', 'tenant_id', tenant_id,
                   'aggregate_type', aggregate_type, 'aggregate_id', aggregate_id, 'aggregate_version', aggregate_version,
                   'epoch', epoch, 'txid', txid::text::bigint, 'occurred_at', occurred_at, 'causation_id', causation_id,
                   'correlation_id', correlation_id, 'actor', actor, 'payload', payload)
                 from outbox.event order by seq",
                &[],
            )
            .await
            .expect("outbox");
        rows.into_iter()
            .map(|r| serde_json::from_value(r.get(0)).expect("envelope"))
            .collect()
    }

    /// Delivers events of a tenant to the service's consumers, in order and then all of them once more, as Kafka may:
    /// the second time must change nothing. Panics when a handler rejects one.
    pub async fn feed(&self, events: Vec<Outgoing>, tenant: TenantId) {
        let now = self.clock.now();
        let envelopes: Vec<Envelope<Value>> = events
            .into_iter()
            .map(|event| envelope(event, tenant, now))
            .collect();
        for _ in 0..2 {
            for consumer in (self.hears)(&self.running.state) {
                let tally = consumer
                    .feed(&self.db, &envelopes)
                    .await
                    .expect("the handlers take the events");
                assert_eq!((tally.rejected, tally.waiting), (0, 0), "rejected events");
            }
        }
    }

    /// The settings it runs with.
    pub fn env(&self) -> &Env {
        &self.env
    }
}
