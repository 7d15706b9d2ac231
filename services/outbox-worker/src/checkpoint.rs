//! The cursor on disk: rows that are only ever inserted, each under the lease of its writer.

use tokio_postgres::{Client, Statement, types::ToSql};

use crate::{
    lease::{Lease, SHARD},
    session::{PATIENCE, SessionError, within},
    window::Cursor,
};

/// Writes checkpoints of one lease.
pub struct Checkpoints {
    lease: Lease,
    insert: Statement,
}

impl Checkpoints {
    /// Prepares for `lease`.
    pub async fn new(client: &Client, lease: Lease) -> Result<Self, SessionError> {
        // The share lock waits for a takeover in progress, and after it finds no row of this lease.
        let insert = "insert into outbox.checkpoint (shard, lease_epoch, snap, open_snap, open_seq, published) \
                      select s.shard, s.lease_epoch, $3::text::pg_snapshot, $4::text::pg_snapshot, $5, $6 \
                        from (select * from outbox.shard where shard = $1 and lease_epoch = $2 for share) s";
        Ok(Self {
            lease,
            insert: within(PATIENCE, client.prepare(insert)).await?,
        })
    }

    /// Writes `cursor`, or finds that another owner took over.
    pub async fn save(&self, client: &Client, cursor: &Cursor) -> Result<(), SessionError> {
        let snap = cursor.snap.to_string();
        let (open_snap, open_seq) = match &cursor.open {
            Some((snap, seq)) => (Some(snap.to_string()), Some(*seq)),
            None => (None, None),
        };
        let row: [&(dyn ToSql + Sync); 6] = [
            &SHARD,
            &self.lease.epoch,
            &snap,
            &open_snap,
            &open_seq,
            &cursor.published,
        ];
        match within(PATIENCE, client.execute(&self.insert, &row)).await? {
            0 => Err(SessionError::Fenced),
            _ => Ok(()),
        }
    }
}

/// The last cursor of the latest owner; the origin where nothing was ever published.
pub async fn load(client: &Client) -> Result<Cursor, SessionError> {
    let latest = "select snap::text, open_snap::text, open_seq, published from outbox.checkpoint \
                   where shard = $1 order by lease_epoch desc, id desc limit 1";
    let Some(row) = within(PATIENCE, client.query_opt(latest, &[&SHARD])).await? else {
        return Ok(Cursor::origin());
    };
    let open = match (row.get::<_, Option<&str>>(1), row.get::<_, Option<i64>>(2)) {
        (Some(snap), Some(seq)) => Some((snap.parse()?, seq)),
        _ => None,
    };
    Ok(Cursor {
        snap: row.get::<_, &str>(0).parse()?,
        open,
        published: row.get(3),
    })
}
