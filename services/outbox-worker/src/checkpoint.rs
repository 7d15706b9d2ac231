//! The cursor on disk: rows that are only ever inserted, each under the lease of its writer.

use tokio_postgres::{
    Client, Statement,
    types::{Json, ToSql},
};

use crate::{
    lease::Lease,
    origin::Origin,
    session::{PATIENCE, SessionError, within},
    topic::Reached,
    window::Cursor,
};

/// A checkpoint as it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// How far the topic is.
    pub cursor: Cursor,
    /// Where it was written; None before the first.
    pub origin: Option<Origin>,
    /// How far the topics' partitions were.
    pub reached: Reached,
}

/// Writes checkpoints of one lease.
pub struct Checkpoints {
    lease: Lease,
    origin: Origin,
    insert: Statement,
}

impl Checkpoints {
    /// Prepares for `lease`.
    pub async fn new(client: &Client, lease: Lease, origin: Origin) -> Result<Self, SessionError> {
        // The share lock waits for a takeover in progress, and after it finds no row of this lease.
        let insert = "insert into outbox.checkpoint (shard, lease_epoch, snap, open_snap, open_seq, published, \
                                                     system_identifier, timeline, reached) \
                      select s.shard, s.lease_epoch, $3::text::pg_snapshot, $4::text::pg_snapshot, $5, $6, $7, $8, $9 \
                        from (select * from outbox.shard where shard = $1 and lease_epoch = $2 for share) s";
        Ok(Self {
            lease,
            origin,
            insert: within(PATIENCE, client.prepare(insert)).await?,
        })
    }

    /// The lease under which they are written.
    pub fn lease(&self) -> Lease {
        self.lease
    }

    /// Writes `cursor`, or finds that another owner took over.
    pub async fn save(
        &self,
        client: &Client,
        cursor: &Cursor,
        reached: &Reached,
    ) -> Result<(), SessionError> {
        let snap = cursor.snap.to_string();
        let (open_snap, open_seq) = match &cursor.open {
            Some((snap, seq)) => (Some(snap.to_string()), Some(*seq)),
            None => (None, None),
        };
        let row: [&(dyn ToSql + Sync); 9] = [
            &self.lease.shard.number,
            &self.lease.epoch,
            &snap,
            &open_snap,
            &open_seq,
            &cursor.published,
            &self.origin.system,
            &self.origin.timeline,
            &Json(reached),
        ];
        match within(PATIENCE, client.execute(&self.insert, &row)).await? {
            0 => Err(SessionError::Fenced),
            _ => Ok(()),
        }
    }
}

/// The last checkpoint of the latest owner of a shard; the origin where nothing was ever published.
pub async fn load(client: &Client, shard: i16) -> Result<Checkpoint, SessionError> {
    let latest = "select snap::text, open_snap::text, open_seq, published, system_identifier, timeline, reached \
                    from outbox.checkpoint where shard = $1 order by lease_epoch desc, id desc limit 1";
    let Some(row) = within(PATIENCE, client.query_opt(latest, &[&shard])).await? else {
        return Ok(Checkpoint {
            cursor: Cursor::origin(),
            origin: None,
            reached: Reached::default(),
        });
    };
    let open = match (row.get::<_, Option<&str>>(1), row.get::<_, Option<i64>>(2)) {
        (Some(snap), Some(seq)) => Some((snap.parse()?, seq)),
        _ => None,
    };
    let origin = match (row.get(4), row.get(5)) {
        (Some(system), Some(timeline)) => Some(Origin { system, timeline }),
        _ => None,
    };
    let reached: Option<Json<Reached>> = row.get(6);
    Ok(Checkpoint {
        cursor: Cursor {
            snap: row.get::<_, &str>(0).parse()?,
            open,
            published: row.get(3),
        },
        origin,
        reached: reached.map_or_else(Reached::default, |Json(reached)| reached),
    })
}
