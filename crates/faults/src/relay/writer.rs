//! Writers: some fight for few aggregates in every way that makes relays fail, some bring bulk. Each notes in the ledger
//! what it did, after COMMIT was answered or was not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bahi_testkit::{Entry, Outcome};
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::index::sample};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_postgres::Client;
use uuid::Uuid;

use super::stage::{COLD, HOT, Source};
use crate::stage::{Stage, connect};

/// Writers per database that fight.
const HOSTILE: usize = 8;
/// Writers per database that bring bulk.
const BULK: usize = 2;
/// Events of a transaction of bulk.
const PORTION: usize = 50;
/// A transaction that takes longer is given up with its connection.
const PATIENCE: Duration = Duration::from_secs(60);
/// The tenant of every event.
const TENANT: Uuid = Uuid::from_u128(0x0b41);

/// What the writers of one database did.
pub type Ledger = Arc<Mutex<Vec<Entry>>>;

/// All the writers of one database.
pub struct Writers {
    source: Source,
    url: String,
    stop: Arc<AtomicBool>,
    ledger: Ledger,
    tasks: JoinSet<()>,
}

impl Writers {
    /// Starts them; together they write about `rate` events a second.
    pub fn start(stage: &Stage, source: Source, seed: u64, rate: u32) -> Self {
        let mut writers = Self {
            source,
            url: stage.url(
                source.database,
                Some(source.role),
                "%20-c%20application_name%3Dwriter",
            ),
            stop: Arc::default(),
            ledger: Arc::default(),
            tasks: JoinSet::new(),
        };
        // The hostile ones write some 2 events every 40 ms each; the rest is bulk.
        let hostile = HOSTILE as u32 * 50;
        let portions = (rate.saturating_sub(hostile) / (BULK * PORTION) as u32).max(1);
        for number in 0..HOSTILE + BULK {
            let pace = if number < HOSTILE {
                Duration::from_millis(40)
            } else {
                Duration::from_secs(1) / portions
            };
            let writer = Writer {
                source,
                bulk: number >= HOSTILE,
                rng: StdRng::seed_from_u64(seed ^ (number as u64 + 1) << 8),
                entries: Vec::new(),
            };
            let run = writer.run(
                writers.url.clone(),
                pace,
                writers.stop.clone(),
                writers.ledger.clone(),
            );
            writers.tasks.spawn(run);
        }
        let admin = stage.url(source.database, None, "");
        writers
            .tasks
            .spawn(finish_prepared(admin, writers.stop.clone()));
        writers
    }

    /// The database.
    pub fn source(&self) -> Source {
        self.source
    }

    /// How many events were committed so far.
    pub fn written(&self) -> usize {
        self.ledger.lock().len()
    }

    /// Lets them finish and hands out the ledger. What is unknown is looked up in the database, which nothing
    /// disturbs any more: there it stands, or it was rolled back.
    pub async fn finish(self, stage: &Stage) -> anyhow::Result<Vec<Entry>> {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        let mut ledger = std::mem::take(&mut *self.ledger.lock());
        let admin = stage.admin(self.source.database).await?;
        commit_prepared(&admin, Duration::ZERO).await?;
        let unknown: Vec<Uuid> = ledger
            .iter()
            .filter(|entry| entry.outcome == Outcome::Unknown)
            .map(|entry| entry.event_id)
            .collect();
        let find = "select e.event_id from outbox.event e join unnest($1::uuid[]) u(id) on u.id = e.event_id";
        let found: std::collections::HashSet<Uuid> = admin
            .query(find, &[&unknown])
            .await?
            .iter()
            .map(|row| row.get(0))
            .collect();
        for entry in &mut ledger {
            if entry.outcome == Outcome::Unknown {
                entry.outcome = if found.contains(&entry.event_id) {
                    Outcome::Committed
                } else {
                    Outcome::RolledBack
                };
            }
        }
        Ok(ledger)
    }
}

/// Commits what was prepared and is older than `age`: its writer lost the connection between the two phases.
async fn commit_prepared(admin: &Client, age: Duration) -> anyhow::Result<()> {
    let old = "select gid from pg_prepared_xacts where database = current_database() and prepared <= clock_timestamp() - $1 * interval '1 second'";
    for row in admin.query(old, &[&age.as_secs_f64()]).await? {
        let gid: String = row.get(0);
        admin
            .batch_execute(&format!("commit prepared '{gid}'"))
            .await
            .ok();
    }
    Ok(())
}

async fn finish_prepared(url: String, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        if let Ok(admin) = connect(&url).await {
            while !stop.load(Ordering::Relaxed)
                && commit_prepared(&admin, Duration::from_secs(3))
                    .await
                    .is_ok()
            {
                sleep(Duration::from_secs(1)).await;
            }
        }
        sleep(Duration::from_millis(500)).await;
    }
}

struct Writer {
    source: Source,
    bulk: bool,
    rng: StdRng,
    /// Of the transaction that runs.
    entries: Vec<Entry>,
}

impl Writer {
    async fn run(mut self, url: String, pace: Duration, stop: Arc<AtomicBool>, ledger: Ledger) {
        let mut due = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let Ok(client) = connect(&url).await else {
                sleep(Duration::from_millis(200)).await;
                continue;
            };
            while !stop.load(Ordering::Relaxed) {
                // What an outage kept from being written is not written afterwards: the load stays the load.
                due = (due + pace).max(Instant::now());
                sleep_until(due).await;
                self.entries.clear();
                let work = async {
                    if self.bulk {
                        self.portion(&client).await
                    } else {
                        self.fight(&client).await
                    }
                };
                // Until COMMIT is sent nothing is committed; from then on it may be, whatever is answered or not.
                let outcome = timeout(PATIENCE, work).await;
                let broken = !matches!(outcome, Ok(Ok(())));
                ledger.lock().append(&mut self.entries);
                if broken {
                    break;
                }
            }
        }
    }

    /// Sends COMMIT. From then until it is answered it is not known whether the transaction is committed.
    async fn commit(&mut self, client: &Client, lazy: bool) -> Result<(), tokio_postgres::Error> {
        self.is(Outcome::Unknown);
        client.batch_execute("commit").await?;
        // A crash of the server may take back what did not wait for the disk: then it must not be in the topic.
        if !lazy {
            self.is(Outcome::Committed);
        }
        Ok(())
    }

    fn is(&mut self, outcome: Outcome) {
        for entry in &mut self.entries {
            entry.outcome = outcome;
        }
    }

    async fn begin(&mut self, client: &Client) -> Result<bool, tokio_postgres::Error> {
        let lazy = self.rng.random_bool(0.1);
        let begin = if lazy {
            "begin; set local synchronous_commit = off"
        } else {
            "begin"
        };
        client.batch_execute(begin).await?;
        Ok(lazy)
    }

    /// Many aggregates, each once.
    async fn portion(&mut self, client: &Client) -> Result<(), tokio_postgres::Error> {
        let lazy = self.begin(client).await?;
        let keys: Vec<String> = sample(&mut self.rng, COLD, PORTION)
            .iter()
            .map(|n| format!("b{n}"))
            .collect();
        let lock = "select from aggregate where id = any($1) order by id for update";
        client.execute(lock, &[&keys]).await?;
        let change =
            "update aggregate set version = version + 1 where id = any($1) returning id, version";
        let rows = client.query(change, &[&keys]).await?;
        let (mut ids, mut keys, mut versions, mut payloads) = (vec![], vec![], vec![], vec![]);
        for row in rows {
            let (key, version): (String, i64) = (row.get(0), row.get(1));
            let payload = payload(&mut self.rng, version);
            let id = Uuid::now_v7();
            self.note(id, &key, version, &payload);
            ids.push(id);
            keys.push(key);
            versions.push(version);
            payloads.push(payload);
        }
        let insert = "insert into outbox.event (event_id, topic, key, event_type, aggregate_type, aggregate_id, aggregate_version, tenant_id, payload) \
                      select id, $1, key, $2, 'thing', key, version, $3, payload::json from unnest($4::uuid[], $5::text[], $6::int8[], $7::text[]) u(id, key, version, payload)";
        let (topic, event_type) = (self.source.topic, self.source.event_type);
        client
            .execute(
                insert,
                &[
                    &topic,
                    &event_type,
                    &TENANT,
                    &ids,
                    &keys,
                    &versions,
                    &payloads,
                ],
            )
            .await?;
        self.commit(client, lazy).await
    }

    /// Until a COMMIT says otherwise it is rolled back.
    fn note(&mut self, id: Uuid, key: &str, version: i64, payload: &str) {
        self.entries.push(Entry {
            outcome: Outcome::RolledBack,
            ..Entry::committed(id, key, version, payload)
        });
    }

    /// Few aggregates: early transaction ids, pauses, savepoints, rollbacks, commits in two phases.
    async fn fight(&mut self, client: &Client) -> Result<(), tokio_postgres::Error> {
        let lazy = self.begin(client).await?;
        if self.rng.random_bool(0.5) {
            // An early transaction id, long before the lock.
            let pause = self.rng.random_range(0..4);
            let early = format!("insert into noise values (1); select pg_sleep({pause} / 1000.0)");
            client.batch_execute(&early).await?;
        }
        let mut keys = sample(&mut self.rng, HOT, 2).into_vec();
        keys.truncate(self.rng.random_range(1..3));
        // Locks in order, as everywhere.
        keys.sort_unstable();
        let mut kept = Vec::new();
        for key in keys {
            let key = format!("a{key}");
            if self.rng.random_bool(0.15) {
                client.batch_execute("savepoint s").await?;
                self.emit(client, &key).await?;
                client.batch_execute("rollback to savepoint s").await?;
            }
            for _ in 0..self.rng.random_range(1..3) {
                let nested = self.rng.random_bool(0.2);
                if nested {
                    client.batch_execute("savepoint n").await?;
                }
                self.emit(client, &key).await?;
                kept.push(self.entries.len() - 1);
                if nested {
                    client.batch_execute("release savepoint n").await?;
                }
            }
        }
        if self.rng.random_bool(0.3) {
            client.batch_execute("select pg_sleep(0.001)").await?;
        }
        if self.rng.random_bool(0.15) {
            return client.batch_execute("rollback").await;
        }
        let (mut all, mut n) = (std::mem::take(&mut self.entries), 0);
        // What a savepoint took back stays as it is; the rest is what COMMIT is about.
        let (about, back): (Vec<Entry>, Vec<Entry>) = all.drain(..).partition(|_| {
            n += 1;
            kept.contains(&(n - 1))
        });
        self.entries = about;
        let outcome = if self.rng.random_bool(0.05) {
            self.two_phases(client).await
        } else {
            self.commit(client, lazy).await
        };
        self.entries.extend(back);
        outcome
    }

    /// Between the phases no session runs it, and it holds its locks.
    async fn two_phases(&mut self, client: &Client) -> Result<(), tokio_postgres::Error> {
        let gid = Uuid::now_v7();
        self.is(Outcome::Unknown);
        client
            .batch_execute(&format!("prepare transaction '{gid}'"))
            .await?;
        client.batch_execute("select pg_sleep(0.002)").await?;
        client
            .batch_execute(&format!("commit prepared '{gid}'"))
            .await?;
        self.is(Outcome::Committed);
        Ok(())
    }

    async fn emit(&mut self, client: &Client, key: &str) -> Result<(), tokio_postgres::Error> {
        let change = "update aggregate set version = version + 1 where id = $1 returning version";
        let version: i64 = client.query_one(change, &[&key]).await?.get(0);
        let (id, payload) = (Uuid::now_v7(), payload(&mut self.rng, version));
        self.note(id, key, version, &payload);
        let insert = "insert into outbox.event (event_id, topic, key, event_type, aggregate_type, aggregate_id, aggregate_version, tenant_id, payload) \
                      values ($1, $2, $3, $4, 'thing', $3, $5, $6, $7::text::json)";
        let (topic, event_type) = (self.source.topic, self.source.event_type);
        client
            .execute(
                insert,
                &[&id, &topic, &key, &event_type, &version, &TENANT, &payload],
            )
            .await?;
        Ok(())
    }
}

/// JSON whose bytes a careless relay would change: white space, an escape, a letter of two bytes.
fn payload(rng: &mut StdRng, version: i64) -> String {
    let pad = "é\\n".repeat(rng.random_range(0..40));
    format!("{{ \"version\":{version} , \"pad\":\"{pad}\"}}")
}
