//! Reads windows: what became visible between one snapshot and the next, in the order of `seq`.
//!
//! The tail, where a window is small, is one statement that takes the new snapshot and the window together. A
//! window too big for that is a backlog and read in chunks by COPY, each its own short statement, so that a
//! backlog of any size holds back neither vacuum nor memory.

use std::{fmt::Write, pin::Pin};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use tokio_postgres::{
    Client, Row, Statement,
    types::{PgLsn, ToSql},
};

use crate::{
    lease::Shard,
    row::{COLUMNS, CopyRows, Event, Malformed, RowFields},
    session::{LONG_PATIENCE, PATIENCE, SessionError, durable, within},
    snapshot::Snapshot,
};

/// More rows than this are a backlog.
pub const TAIL_ROWS: i64 = 1000;
/// As are rows of more bytes than this.
const TAIL_BYTES: usize = 4 << 20;
/// Columns before those of the event.
const TAIL_HEAD: usize = 3;

/// What a look at the tail found.
pub enum Tail {
    /// The whole window up to the snapshot; durable, and possibly empty.
    Window(Snapshot, Vec<TailRow>),
    /// A window up to the snapshot, to be read in chunks.
    Backlog(Snapshot),
}

/// A row of the tail.
pub struct TailRow {
    row: Row,
    head: usize,
}

impl TailRow {
    /// The event, borrowed from the row.
    pub fn event(&self) -> Result<Event<'_>, Malformed> {
        Event::decode(&mut RowFields::new(&self.row, self.head))
    }

    /// A row of the event's columns alone.
    pub fn bare(row: Row) -> Self {
        Self { row, head: 0 }
    }
}

/// Reads the outbox on the session of the lease.
pub struct Reader {
    client: Client,
    shard: Shard,
    tail: Statement,
}

impl Reader {
    /// Prepares the statements.
    pub async fn new(client: Client, shard: Shard) -> Result<Self, SessionError> {
        let own = shard.condition();
        // A transaction was invisible to the previous snapshot if it started later or was then in progress: no
        // third way. All rows are visible to the new one, because it is the one of this very statement.
        let tail = format!(
            "with s as materialized (select pg_current_snapshot() as snap, pg_current_wal_insert_lsn() as inserted, \
                                            pg_current_wal_flush_lsn() as flushed) \
             select s.snap::text, s.inserted, s.flushed >= s.inserted, e.* from s left join lateral ( \
               select * from (select {COLUMNS} from outbox.event where txid >= $1::text::xid8{own} \
                              union all \
                              select {COLUMNS} from outbox.event where txid = any($2::text[]::xid8[]) and txid < $1::text::xid8{own}) w \
               limit $3) e on true \
             order by e.seq"
        );
        let tail = within(PATIENCE, client.prepare(&tail)).await?;
        Ok(Self {
            client,
            shard,
            tail,
        })
    }

    /// The session.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The window after `previous` up to now.
    pub async fn tail(&self, previous: &Snapshot) -> Result<Tail, SessionError> {
        let xmax = previous.xmax().to_string();
        let in_progress: Vec<String> = previous.in_progress().iter().map(u64::to_string).collect();
        let limit = TAIL_ROWS + 1;
        let parameters: [&(dyn ToSql + Sync); 3] = [&xmax, &in_progress, &limit];
        let read = async {
            let stream = self.client.query_raw(&self.tail, parameters).await?;
            futures::pin_mut!(stream);
            let (mut rows, mut bytes) = (Vec::new(), 0);
            while let Some(row) = stream.try_next().await? {
                bytes += row.raw_size_bytes();
                rows.push(TailRow {
                    row,
                    head: TAIL_HEAD,
                });
                if rows.len() > TAIL_ROWS as usize || bytes > TAIL_BYTES {
                    break;
                }
            }
            Ok::<_, SessionError>((rows, bytes))
        };
        let (rows, bytes) = within(PATIENCE, read).await?;
        let Some(TailRow { row: first, .. }) = rows.first() else {
            return Err(Malformed("not even a snapshot").into());
        };
        let snap: Snapshot = first.try_get::<_, &str>(0)?.parse()?;
        if first.try_get::<_, Option<i64>>(TAIL_HEAD)?.is_none() {
            return Ok(Tail::Window(snap, Vec::new()));
        }
        let (inserted, flushed): (PgLsn, bool) = (first.try_get(1)?, first.try_get(2)?);
        if rows.len() > TAIL_ROWS as usize || bytes > TAIL_BYTES {
            durable(&self.client, inserted).await?;
            return Ok(Tail::Backlog(snap));
        }
        if !flushed
            && !rows
                .iter()
                .map(TailRow::event)
                .collect::<Result<Vec<_>, _>>()?
                .iter()
                .all(|event| event.durable)
        {
            durable(&self.client, inserted).await?;
        }
        Ok(Tail::Window(snap, rows))
    }

    /// Where in the sequence the window after `previous` begins: all its numbers are greater.
    pub async fn start(&self, previous: &Snapshot) -> Result<i64, SessionError> {
        if previous.is_origin() {
            return Ok(0);
        }
        // `offset 0` keeps the planner from walking the whole ring by number in search of the first match.
        let start = format!(
            "select min(seq) from (select seq from outbox.event where {} offset 0) w",
            invisible(previous)
        );
        let row = within(LONG_PATIENCE, self.client.query_one(&start, &[])).await?;
        Ok(row.get::<_, Option<i64>>(0).map_or(0, |first| first - 1))
    }

    /// At most `limit` rows of the window between the snapshots, after the number `after`.
    pub async fn chunk(
        &self,
        previous: &Snapshot,
        current: &Snapshot,
        after: i64,
        limit: usize,
    ) -> Result<Chunk, SessionError> {
        let copy = format!(
            "copy (select {COLUMNS} from outbox.event where seq > {after} and {} \
                    and pg_visible_in_snapshot(txid, '{current}'){} order by seq limit {limit}) to stdout (format binary)",
            invisible(previous),
            self.shard.condition()
        );
        let stream = within(LONG_PATIENCE, self.client.copy_out(&copy)).await?;
        Ok(Chunk {
            stream: Box::pin(stream),
            first: true,
        })
    }
}

/// The condition of being invisible to a snapshot, in a form that indexes can serve.
fn invisible(previous: &Snapshot) -> String {
    let mut condition = format!("(txid >= '{}'::xid8", previous.xmax());
    if !previous.in_progress().is_empty() {
        condition.push_str(" or txid = any('{");
        for (i, xid) in previous.in_progress().iter().enumerate() {
            // Writing to a String does not fail.
            let _ = write!(condition, "{}{xid}", if i == 0 { "" } else { "," });
        }
        condition.push_str("}'::xid8[])");
    }
    condition.push(')');
    condition
}

/// Messages of a copy. Dropping it early is fine: the rest is read and thrown away.
pub struct Chunk {
    stream: Pin<Box<dyn Stream<Item = Result<Bytes, tokio_postgres::Error>> + Send>>,
    first: bool,
}

impl Chunk {
    /// The next message, and whether it is the first; None at the end.
    pub async fn next(&mut self) -> Result<Option<(Bytes, bool)>, SessionError> {
        let next = async { self.stream.next().await.transpose() };
        let message = within(LONG_PATIENCE, next).await?;
        Ok(message.map(|bytes| (bytes, std::mem::take(&mut self.first))))
    }
}

/// The rows of a message of [`Chunk::next`].
pub fn rows(message: &(Bytes, bool)) -> Result<CopyRows<'_>, Malformed> {
    CopyRows::new(&message.0, message.1)
}
