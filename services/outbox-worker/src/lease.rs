//! The right to relay a shard of a database: an advisory lock on the reading session, and a number that grows with
//! every owner.

use tokio_postgres::Client;

use crate::session::{PATIENCE, SessionError, within};

/// The class of the outbox's advisory locks in each database; the object is the shard.
pub(crate) const LOCK_CLASS: i32 = 0x0B0F;
/// Shards that a database can have at most.
pub const MOST_SHARDS: i16 = 8;

/// A part of a database's keys, relayed in order by one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    /// Its number, from 0.
    pub number: i16,
    /// How many there are.
    pub of: i16,
}

impl Shard {
    /// The only shard of a database.
    pub const WHOLE: Self = Self { number: 0, of: 1 };

    /// The condition that an event belongs to it, to follow others; nothing for a whole database.
    pub fn condition(self) -> String {
        match self.of {
            1 => String::new(),
            of => format!(" and outbox.shard_of(key, {of}) = {}", self.number),
        }
    }
}

/// Ownership of a shard. It lives as long as the session on which it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What is owned.
    pub shard: Shard,
    /// Greater than that of every owner before; a checkpoint under a lower one is refused.
    pub epoch: i64,
}

/// Takes the lease if nobody has it. Never waits: a session that waits for a lock holds back vacuum.
pub async fn try_acquire(
    client: &Client,
    shard: i16,
    owner: &str,
) -> Result<Option<Lease>, SessionError> {
    let lock = "select pg_try_advisory_lock($1, $2)";
    if !within(
        PATIENCE,
        client.query_one(lock, &[&LOCK_CLASS, &i32::from(shard)]),
    )
    .await?
    .get::<_, bool>(0)
    {
        return Ok(None);
    }
    let take = "update outbox.shard set lease_epoch = lease_epoch + 1, owner = $2, acquired_at = clock_timestamp() \
                 where shard = $1 returning lease_epoch, (select count(*)::int2 from outbox.shard)";
    let row = within(PATIENCE, client.query_opt(take, &[&shard, &owner])).await?;
    let row = row.ok_or(SessionError::Unsound(
        "outbox.shard has no row for the shard",
    ))?;
    verify(client).await?;
    Ok(Some(Lease {
        shard: Shard {
            number: shard,
            of: row.get(1),
        },
        epoch: row.get(0),
    }))
}

/// Gives the lease back, so that the next owner need not wait for the end of the session.
pub async fn release(client: &Client, shard: i16) -> Result<(), SessionError> {
    within(
        PATIENCE,
        client.execute(
            "select pg_advisory_unlock($1, $2)",
            &[&LOCK_CLASS, &i32::from(shard)],
        ),
    )
    .await?;
    Ok(())
}

/// With a cache every session draws numbers from a block of its own, and they say nothing about order.
async fn verify(client: &Client) -> Result<(), SessionError> {
    let cache = "select cache_size from pg_catalog.pg_sequences where schemaname = 'outbox' and sequencename = 'event_seq'";
    let row = within(PATIENCE, client.query_opt(cache, &[])).await?;
    match row.and_then(|row| row.get::<_, Option<i64>>(0)) {
        Some(1) => Ok(()),
        _ => Err(SessionError::Unsound(
            "outbox.event_seq must have CACHE 1: with a cache its numbers are not in order",
        )),
    }
}
