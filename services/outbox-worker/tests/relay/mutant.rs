//! Readers that are wrong, each in a way that is in use somewhere, and the right one beside them: all see the
//! same writers, and the same oracle judges them.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bahi_testkit::Seen;
use outbox_worker::{
    lease::Shard,
    reader::{self, Reader, Tail},
    row::Event,
    snapshot::Snapshot,
};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Row};

use crate::world::World;

const COLUMNS: &str = "event_id, key, aggregate_version, payload::text, seq, txid::text";

fn seen(row: &Row) -> Seen {
    Seen::new(row.get(0), row.get(1), row.get(2), row.get(3))
}

/// A reader that looks again and again.
pub trait Algorithm: Send + 'static {
    fn look(&mut self) -> impl Future<Output = Vec<Seen>> + Send;
}

/// An algorithm at work.
pub struct Looking {
    done: Arc<AtomicBool>,
    task: JoinHandle<Vec<Seen>>,
}

impl Looking {
    pub fn start(mut algorithm: impl Algorithm) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let over = done.clone();
        let task = tokio::spawn(async move {
            let mut all = Vec::new();
            loop {
                // Asked first: the look that finds nothing must begin after the end.
                let last = over.load(Ordering::Acquire);
                let found = algorithm.look().await;
                if last && found.is_empty() {
                    return all;
                }
                all.extend(found);
            }
        });
        Self { done, task }
    }

    /// Everything is written: what it has seen when it finds no more.
    pub async fn finish(self) -> Vec<Seen> {
        self.done.store(true, Ordering::Release);
        self.task.await.unwrap()
    }
}

/// The worker's own: windows between snapshots, ordered by number.
pub struct SnapshotWindows {
    reader: Reader,
    previous: Snapshot,
}

impl SnapshotWindows {
    pub async fn new(world: &World) -> Self {
        Self {
            reader: Reader::new(world.relay_client().await, Shard::WHOLE)
                .await
                .unwrap(),
            previous: Snapshot::origin(),
        }
    }

    /// A window that is too big for one statement, in chunks of a few rows.
    async fn chunks(&self, current: &Snapshot) -> Vec<Seen> {
        let (mut all, mut after) = (Vec::new(), self.reader.start(&self.previous).await.unwrap());
        loop {
            let mut chunk = self
                .reader
                .chunk(&self.previous, current, after, 7)
                .await
                .unwrap();
            let before = all.len();
            while let Some(message) = chunk.next().await.unwrap() {
                let mut rows = reader::rows(&message).unwrap();
                while let Some(mut fields) = rows.next_row().unwrap() {
                    let event = Event::decode(&mut fields).unwrap();
                    after = event.seq;
                    all.push(own(&event));
                }
            }
            if all.len() < before + 7 {
                return all;
            }
        }
    }
}

fn own(event: &Event<'_>) -> Seen {
    Seen::new(
        event.event_id,
        event.key,
        event.aggregate_version,
        event.payload,
    )
}

impl Algorithm for SnapshotWindows {
    async fn look(&mut self) -> Vec<Seen> {
        let (current, events) = match self.reader.tail(&self.previous).await.unwrap() {
            Tail::Window(current, rows) => (
                current,
                rows.iter().map(|row| own(&row.event().unwrap())).collect(),
            ),
            Tail::Backlog(current) => {
                let events = self.chunks(&current).await;
                (current, events)
            }
        };
        self.previous = current;
        events
    }
}

/// As [`SnapshotWindows`], but every window by COPY.
pub struct ChunkedWindows(pub SnapshotWindows);

impl Algorithm for ChunkedWindows {
    async fn look(&mut self) -> Vec<Seen> {
        let current = self
            .0
            .reader
            .client()
            .query_one("select pg_current_snapshot()::text", &[])
            .await
            .unwrap();
        let current: Snapshot = current.get::<_, &str>(0).parse().unwrap();
        let events = self.0.chunks(&current).await;
        self.0.previous = current;
        events
    }
}

/// `where seq > last`: passes over whatever commits late.
pub struct NumberCursor {
    client: Client,
    last: i64,
}

impl NumberCursor {
    pub async fn new(world: &World) -> Self {
        Self {
            client: world.relay_client().await,
            last: 0,
        }
    }
}

impl Algorithm for NumberCursor {
    async fn look(&mut self) -> Vec<Seen> {
        let query = format!("select {COLUMNS} from outbox.event where seq > $1 order by seq");
        let rows = self.client.query(&query, &[&self.last]).await.unwrap();
        self.last = rows.last().map_or(self.last, |row| row.get(4));
        rows.iter().map(seen).collect()
    }
}

/// The right windows in the wrong order: by transaction id, which is given before the lock is.
pub struct TransactionOrder {
    client: Client,
    previous: String,
}

impl TransactionOrder {
    pub async fn new(world: &World) -> Self {
        Self {
            client: world.relay_client().await,
            previous: Snapshot::origin().to_string(),
        }
    }
}

impl Algorithm for TransactionOrder {
    async fn look(&mut self) -> Vec<Seen> {
        let query = format!(
            "with s as materialized (select pg_current_snapshot() as snap) \
             select {COLUMNS}, s.snap::text from s left join outbox.event e \
                 on e.txid >= pg_snapshot_xmin($1::text::pg_snapshot) and not pg_visible_in_snapshot(e.txid, $1::text::pg_snapshot) \
             order by e.txid, e.seq"
        );
        let rows = self.client.query(&query, &[&self.previous]).await.unwrap();
        self.previous = rows[0].get(6);
        rows.iter()
            .filter(|row| row.get::<_, Option<i64>>(4).is_some())
            .map(seen)
            .collect()
    }
}

/// Nothing at or after the oldest running transaction: one long transaction stops everything.
pub struct OldestRunning {
    client: Client,
    from: String,
}

impl OldestRunning {
    pub async fn new(world: &World) -> Self {
        Self {
            client: world.relay_client().await,
            from: "3".into(),
        }
    }
}

impl Algorithm for OldestRunning {
    async fn look(&mut self) -> Vec<Seen> {
        let query = format!(
            "with s as materialized (select pg_snapshot_xmin(pg_current_snapshot()) as fence) \
             select {COLUMNS}, s.fence::text from s left join outbox.event e on e.txid >= $1::text::xid8 and e.txid < s.fence \
             order by e.txid, e.seq"
        );
        let rows = self.client.query(&query, &[&self.from]).await.unwrap();
        self.from = rows[0].get(6);
        rows.iter()
            .filter(|row| row.get::<_, Option<i64>>(4).is_some())
            .map(seen)
            .collect()
    }
}
