//! The database of a contender: an outbox as the services have it, or the plain copy that Debezium is given, with the
//! same events in the same transactions.

use std::fs;

use bahi_testkit::{Entry, Outcome, digest};
use futures::TryStreamExt;
use tokio_postgres::Client;

use super::{
    contender::{Contender, Relay},
    site::{DEBEZIUM_ROLE, RELAY_ROLE, Site},
};

/// Stands for the runtime role of a service.
const APP_ROLE: &str = "bahi_sales_app";
/// The service whose database it plays.
const SERVICE: &str = "sales";
/// The slot that keeps the backlog; relays read copies of it, so that each begins where it begins.
const SLOT: &str = "bench_backlog";

/// 280 bytes of a sale, as text, from the number of the event.
const PAYLOAD: &str = r#"create function bench_payload(n bigint) returns text language sql immutable as $$
  select rpad('{"invoice_id":"' || md5(n::text) || '","number":"INV-' || lpad(n::text, 9, '0') || '","location_id":"' || md5('l' || n % 20)
         || '","lines":[{"product_id":"' || md5('p' || n % 500) || '","qty":"1","amount":"119.00"}],"total":"119.00","customer":"', 278,
         md5('c' || n)) || '"}' $$"#;

/// Keys of a backlog; each has the versions 1, 2, 3...
const KEYS: u32 = 1000;

/// The database of a contender.
pub struct Book<'a> {
    site: &'a Site,
    /// Whose it is.
    pub contender: Contender,
    /// Its name.
    pub name: String,
    /// As superuser.
    pub client: Client,
}

impl<'a> Book<'a> {
    /// Creates an empty one.
    pub async fn create(site: &'a Site, contender: Contender) -> anyhow::Result<Self> {
        let name = format!("bench_{}", contender.word());
        let client = site.create_database(&name).await?;
        client.batch_execute(PAYLOAD).await?;
        let schema = match contender {
            Contender::Bahi => bahi_db::outbox_sql(APP_ROLE),
            Contender::Tuned | Contender::Default => format!(
                "create table outbox_event (event_id uuid primary key, event_type text not null, aggregate_type text not null,
                   aggregate_id text not null, aggregate_version bigint not null, tenant_id uuid not null,
                   timestamp timestamptz not null default clock_timestamp(), payload json not null);
                 create publication bench for table outbox_event with (publish = 'insert');
                 grant select on outbox_event to {DEBEZIUM_ROLE}; grant connect on database {name} to {DEBEZIUM_ROLE}"
            ),
        };
        client.batch_execute(&schema).await?;
        let book = Self {
            site,
            contender,
            name,
            client,
        };
        if contender != Contender::Bahi {
            book.client
                .execute(
                    "select pg_create_logical_replication_slot($1, 'pgoutput')",
                    &[&SLOT],
                )
                .await?;
        }
        Ok(book)
    }

    /// The statement that inserts event `$1` with key `$2`, version `$3` and payload `$4` for topic `$5`.
    pub fn insert(&self) -> &'static str {
        match self.contender {
            Contender::Bahi => {
                "insert into outbox.event (event_id, topic, key, event_type, aggregate_type, aggregate_id, aggregate_version, tenant_id, payload)
                 values ($1, $5, $2, 'invoice.issued', 'invoice', $2, $3, $1, $4::text::json)"
            }
            Contender::Tuned | Contender::Default => {
                "insert into outbox_event (event_id, event_type, aggregate_type, aggregate_id, aggregate_version, tenant_id, payload)
                 select $1, 'invoice.issued', 'invoice', $2, $3, $1, $4::text::json where $5::text is not null"
            }
        }
    }

    /// Commits `rows` events in transactions of `batch`, and has all of them on the disk.
    pub async fn fill(&self, topic: &str, rows: u32, batch: u32) -> anyhow::Result<()> {
        let columns = "event_id, event_type, aggregate_type, aggregate_id, aggregate_version, tenant_id, payload";
        let values = format!(
            "gen_random_uuid(), 'invoice.issued', 'invoice', 'k' || n % {KEYS}, n / {KEYS} + 1, '00000000-0000-0000-0000-000000000001'::uuid, bench_payload(n)::json"
        );
        // Only the filling need not wait for the disk; the rows are as of a service that does.
        let into = match self.contender {
            Contender::Bahi => format!(
                "insert into outbox.event ({columns}, key, topic, durable) select {values}, 'k' || n % {KEYS}, '{topic}', true"
            ),
            Contender::Tuned | Contender::Default => {
                format!("insert into outbox_event ({columns}) select {values}")
            }
        };
        let statement = format!("{into} from generate_series(i, least(i + {batch}, {rows}) - 1) n");
        self.client
            .batch_execute("set synchronous_commit = off")
            .await?;
        self.client
            .batch_execute(&format!(
                "do $$ declare i bigint := 0; begin while i < {rows} loop {statement}; commit; i := i + {batch}; end loop; end $$"
            ))
            .await?;
        Ok(self
            .client
            .batch_execute("set synchronous_commit = on; checkpoint")
            .await?)
    }

    /// Starts a relay on it. Debezium reads a copy of the slot, so that another can read the same after it.
    pub async fn start(&self, contender: Contender, topic: &str) -> anyhow::Result<Relay> {
        if contender == Contender::Bahi {
            return self.start_worker("bench", &self.site.url(&self.name, RELAY_ROLE));
        }
        let slot = format!("bench_{}_{}", contender.word(), topic.replace('.', "_"));
        self.client
            .execute(
                "select pg_copy_logical_replication_slot($1, $2)",
                &[&SLOT, &slot],
            )
            .await?;
        Relay::debezium(self.site, contender, &self.name, &slot, topic)
    }

    /// Starts a worker of its own name on it.
    pub fn start_worker(&self, host: &str, url: &str) -> anyhow::Result<Relay> {
        let register = self.site.folder.join("services.toml");
        fs::write(
            &register,
            format!(
                "[topics]\npartitions = 1\nretention_days = 1\nnames = []\n[[service]]\nname = \"{SERVICE}\"\nhttp = 8003\ndatabase = \"bahi_sales\"\n"
            ),
        )?;
        Relay::worker(
            self.site,
            &register,
            host,
            &[(SERVICE.to_owned(), url.to_owned())],
        )
    }

    /// All that was committed in it.
    pub async fn ledger(&self) -> anyhow::Result<Vec<Entry>> {
        let table = match self.contender {
            Contender::Bahi => "outbox.event",
            Contender::Tuned | Contender::Default => "outbox_event",
        };
        let all =
            format!("select event_id, aggregate_id, aggregate_version, payload::text from {table}");
        let none: [&str; 0] = [];
        let rows = self.client.query_raw(&all, none).await?;
        Ok(rows
            .map_ok(|row| Entry {
                event_id: row.get(0),
                key: row.get(1),
                version: row.get(2),
                payload: digest(row.get::<_, &str>(3).as_bytes()),
                outcome: Outcome::Committed,
            })
            .try_collect()
            .await?)
    }

    /// Drops it.
    pub async fn drop(self) -> anyhow::Result<()> {
        self.site.drop_database(&self.name).await
    }
}
