//! Writers that do what makes relays fail: few aggregates, transactions that are long before they take their
//! lock, rollbacks, savepoints, commits in two phases.

use std::sync::Arc;

use bahi_testkit::{Entry, Outcome};
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::index::sample};
use tokio::task::JoinSet;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::world::World;

/// When a writer draws the number of its event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Emit {
    /// Under the aggregate's lock, as the rule is.
    AfterLock,
    /// Before it takes the lock: a service that breaks the rule.
    BeforeLock,
}

#[derive(Clone)]
pub struct Load {
    pub topic: String,
    pub writers: usize,
    pub transactions: usize,
    pub aggregates: usize,
    pub emit: Emit,
    pub seed: u64,
}

impl Load {
    pub fn hot(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            writers: 16,
            transactions: 150,
            aggregates: 20,
            emit: Emit::AfterLock,
            seed: 1,
        }
    }

    /// Writes until every writer is through, and returns what they did.
    pub async fn run(self, world: &World) -> Vec<Entry> {
        let admin = world.admin().await;
        let create = "insert into aggregate (id) select 'a' || n from generate_series(1, $1::int4) n on conflict do nothing";
        admin
            .execute(create, &[&(self.aggregates as i32)])
            .await
            .unwrap();
        let ledger = Arc::new(Mutex::new(Vec::new()));
        let mut writers = JoinSet::new();
        for number in 0..self.writers {
            let (load, client, ledger) = (self.clone(), world.app().await, ledger.clone());
            writers.spawn(async move {
                let mut rng = StdRng::seed_from_u64(load.seed * 1000 + number as u64);
                for _ in 0..load.transactions {
                    let entries = load.transaction(&client, &mut rng).await;
                    ledger.lock().extend(entries);
                }
            });
        }
        writers.join_all().await;
        Arc::into_inner(ledger).unwrap().into_inner()
    }

    async fn transaction(&self, client: &Client, rng: &mut StdRng) -> Vec<Entry> {
        let mut entries = Vec::new();
        let before = self.emit == Emit::BeforeLock;
        client.batch_execute("begin").await.unwrap();
        if rng.random_bool(0.5) {
            // An early transaction id, long before the lock.
            let pause = rng.random_range(0..4);
            client
                .batch_execute(&format!(
                    "insert into noise values (1); select pg_sleep({pause} / 1000.0)"
                ))
                .await
                .unwrap();
        }
        let mut keys = sample(rng, self.aggregates, 2).into_vec();
        keys.truncate(rng.random_range(1..3));
        // Locks in order, as everywhere.
        keys.sort_unstable();
        for key in keys {
            let key = format!("a{}", key + 1);
            let early = if before {
                Some(draw(client).await)
            } else {
                None
            };
            if early.is_some() && rng.random_bool(0.3) {
                client
                    .batch_execute("select pg_sleep(0.002)")
                    .await
                    .unwrap();
            }
            if rng.random_bool(0.15) {
                client.batch_execute("savepoint s").await.unwrap();
                let mut entry = self.emit(client, &key, None, rng).await;
                client
                    .batch_execute("rollback to savepoint s")
                    .await
                    .unwrap();
                entry.outcome = Outcome::RolledBack;
                entries.push(entry);
            }
            for _ in 0..rng.random_range(1..3) {
                let nested = rng.random_bool(0.2);
                if nested {
                    client.batch_execute("savepoint n").await.unwrap();
                }
                entries.push(self.emit(client, &key, early, rng).await);
                if nested {
                    client.batch_execute("release savepoint n").await.unwrap();
                }
                if before {
                    break;
                }
            }
        }
        if rng.random_bool(0.3) {
            client
                .batch_execute("select pg_sleep(0.001)")
                .await
                .unwrap();
        }
        let outcome = if rng.random_bool(0.15) {
            client.batch_execute("rollback").await.unwrap();
            Outcome::RolledBack
        } else if rng.random_bool(0.05) {
            // In two phases: between them no session runs it, and it holds its locks.
            let name = Uuid::now_v7();
            client
                .batch_execute(&format!("prepare transaction '{name}'"))
                .await
                .unwrap();
            client
                .batch_execute("select pg_sleep(0.002)")
                .await
                .unwrap();
            client
                .batch_execute(&format!("commit prepared '{name}'"))
                .await
                .unwrap();
            Outcome::Committed
        } else {
            match client.batch_execute("commit").await {
                Ok(()) => Outcome::Committed,
                Err(_) => Outcome::Unknown,
            }
        };
        for entry in entries
            .iter_mut()
            .filter(|entry| entry.outcome == Outcome::Committed)
        {
            entry.outcome = outcome;
        }
        entries
    }

    async fn emit(&self, client: &Client, key: &str, seq: Option<i64>, rng: &mut StdRng) -> Entry {
        let lock = "update aggregate set version = version + 1 where id = $1 returning version";
        let version: i64 = client.query_one(lock, &[&key]).await.unwrap().get(0);
        let event_id = Uuid::now_v7();
        let payload = format!(
            "{{ \"version\":{version} , \"pad\":\"{}\"}}",
            "é\\n".repeat(rng.random_range(0..40))
        );
        let insert = "insert into outbox.event (seq, event_id, topic, key, event_type, aggregate_type, aggregate_id, aggregate_version, tenant_id, payload) \
                      values (coalesce($1, nextval('outbox.event_seq')), $2, $3, $4, 'thing.changed', 'thing', $4, $5, $2, $6::text::json)";
        client
            .execute(
                insert,
                &[&seq, &event_id, &self.topic, &key, &version, &payload],
            )
            .await
            .unwrap();
        Entry::committed(event_id, key, version, &payload)
    }
}

async fn draw(client: &Client) -> i64 {
    client
        .query_one("select nextval('outbox.event_seq')", &[])
        .await
        .unwrap()
        .get(0)
}

pub fn committed(ledger: &[Entry]) -> Vec<Uuid> {
    ledger
        .iter()
        .filter(|entry| entry.outcome == Outcome::Committed)
        .map(|entry| entry.event_id)
        .collect()
}
