//! The transaction of a consumer's batch: it owns the positions, the inbox, the effects and their events.
//!
//! One batch may hold records of several partitions and events of several tenants; it enters each tenant in
//! turn, inside one transaction.

use std::collections::HashSet;

use bahi_types::TenantId;
use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Bytea, Integer, Text, Uuid as SqlUuid},
};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use futures::try_join;
use uuid::Uuid;

use crate::{Ctx, Db, Error, Result, Tx, sql, tx::BATCH};

/// Where a consumer stands in a partition: this, not Kafka, decides where reading goes on.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Position {
    /// Topic.
    #[diesel(sql_type = Text)]
    pub topic: String,
    /// Partition.
    #[diesel(sql_type = Integer, column_name = part)]
    pub partition: i32,
    /// The offset to read next.
    #[diesel(sql_type = BigInt, column_name = next_offset)]
    pub next: i64,
    /// The furthest `next` there ever was; below it everything has been handled once.
    #[diesel(sql_type = BigInt)]
    pub highest: i64,
}

/// How far a batch moves in a partition.
#[derive(Clone, Copy, Debug)]
pub struct Move<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// The position this batch started at.
    pub from: i64,
    /// The position after it.
    pub to: i64,
}

/// What [`Batch::claim`] found.
#[derive(Debug, Default)]
pub struct Claim {
    /// Every position was where the batch started. Otherwise another process works on one of the
    /// partitions, and the batch must be given up.
    pub owned: bool,
    /// The events that had not been handled before.
    pub fresh: HashSet<Uuid>,
    /// Known events that an operator wants handled once more.
    pub again: HashSet<Uuid>,
    /// The keys, by topic, that wait behind a rejected record.
    pub held: HashSet<(String, Vec<u8>)>,
}

#[derive(QueryableByName)]
struct EventId {
    #[diesel(sql_type = SqlUuid)]
    event_id: Uuid,
}

#[derive(QueryableByName)]
struct HeldKey {
    #[diesel(sql_type = Text)]
    topic: String,
    #[diesel(sql_type = Bytea)]
    key: Vec<u8>,
}

const MOVE: &str = "
update inbox.position p
   set next_offset = n.after, highest = greatest(p.highest, n.after), moved_at = now()
  from unnest($2, $3, $4, $5) as n(topic, part, before, after)
 where p.consumer = $1 and p.topic = n.topic and p.part = n.part and p.next_offset = n.before";

const ENTER: &str = "
insert into inbox.processed (consumer, event_id, slot)
select $1, id, inbox.slot_of(id) from unnest($2) as id order by id
on conflict do nothing returning event_id";

const AGAIN: &str = "
delete from inbox.again where consumer = $1 and event_id = any ($2) returning event_id";

const HELD: &str = "
select distinct topic, key from inbox.quarantine where consumer = $1 and topic = any ($2) and key = any ($3)";

/// An open batch.
pub struct Batch {
    tx: Tx,
}

impl Batch {
    /// Opens a batch, for a start as `tenant`: it saves a round trip where there is only one.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn begin(db: &Db, tenant: Option<TenantId>) -> Result<Self> {
        let ctx = Ctx::service(
            db.service(),
            tenant.unwrap_or(TenantId::from_uuid(Uuid::nil())),
        );
        Ok(Self {
            tx: Tx::begin(db, ctx, BATCH).await?,
        })
    }

    /// Where `consumer` stands in these partitions; one it has never read stands at 0.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn positions(db: &Db, consumer: &str, of: &[(String, i32)]) -> Result<Vec<Position>> {
        let mut batch = Self::begin(db, None).await?;
        let topics: Vec<&str> = of.iter().map(|(topic, _)| topic.as_str()).collect();
        let parts: Vec<i32> = of.iter().map(|(_, part)| *part).collect();
        sql("insert into inbox.position (consumer, topic, part, next_offset, highest)
             select $1, n.topic, n.part, 0, 0 from unnest($2, $3) as n(topic, part) on conflict do nothing")
        .bind::<Text, _>(consumer)
        .bind::<Array<Text>, _>(&topics)
        .bind::<Array<Integer>, _>(&parts)
        .execute(batch.tx.conn())
        .await?;
        let all: Vec<Position> = batch.standing(consumer).await?;
        batch.commit().await?;
        Ok(all
            .into_iter()
            .filter(|p| {
                of.iter()
                    .any(|(t, part)| *t == p.topic && *part == p.partition)
            })
            .collect())
    }

    /// Where `consumer` stands in every partition it has read.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn standing(&mut self, consumer: &str) -> Result<Vec<Position>> {
        sql("select topic, part, next_offset, highest from inbox.position where consumer = $1 order by topic, part")
            .bind::<Text, _>(consumer)
            .load(self.tx.conn())
            .await
            .map_err(Error::from)
    }

    /// Moves the positions, enters `ids` into the inbox, looks for `keys` that are held and, among `reread`, for
    /// events that an operator wants once more, in one round trip.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn claim(
        &mut self,
        consumer: &str,
        moves: &[Move<'_>],
        ids: &[Uuid],
        reread: &[Uuid],
        keys: &[(&str, &[u8])],
    ) -> Result<Claim> {
        let (mut first, mut second, mut third, mut fourth) = (
            self.tx.shared(),
            self.tx.shared(),
            self.tx.shared(),
            self.tx.shared(),
        );
        let moved = sql(MOVE)
            .bind::<Text, _>(consumer)
            .bind::<Array<Text>, _>(moves.iter().map(|m| m.topic).collect::<Vec<_>>())
            .bind::<Array<Integer>, _>(moves.iter().map(|m| m.partition).collect::<Vec<_>>())
            .bind::<Array<BigInt>, _>(moves.iter().map(|m| m.from).collect::<Vec<_>>())
            .bind::<Array<BigInt>, _>(moves.iter().map(|m| m.to).collect::<Vec<_>>())
            .execute(&mut first);
        let entered = sql(ENTER)
            .bind::<Text, _>(consumer)
            .bind::<Array<SqlUuid>, _>(ids)
            .load::<EventId>(&mut second);
        let mut topics: Vec<&str> = keys.iter().map(|(topic, _)| *topic).collect();
        topics.dedup();
        let held = sql(HELD)
            .bind::<Text, _>(consumer)
            .bind::<Array<Text>, _>(topics)
            .bind::<Array<Bytea>, _>(keys.iter().map(|(_, key)| *key).collect::<Vec<_>>())
            .load::<HeldKey>(&mut third);
        let again = async {
            if reread.is_empty() {
                return Ok(Vec::new());
            }
            sql(AGAIN)
                .bind::<Text, _>(consumer)
                .bind::<Array<SqlUuid>, _>(reread)
                .load::<EventId>(&mut fourth)
                .await
        };
        let (moved, entered, held, again) = try_join!(moved, entered, held, again)?;
        Ok(Claim {
            owned: moved == moves.len(),
            fresh: entered.into_iter().map(|row| row.event_id).collect(),
            again: again.into_iter().map(|row| row.event_id).collect(),
            held: held.into_iter().map(|row| (row.topic, row.key)).collect(),
        })
    }

    /// Takes `ids` out of the inbox again: they were not handled after all.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn forget(&mut self, consumer: &str, ids: &[Uuid]) -> Result<()> {
        sql("delete from inbox.processed p using unnest($2) as gone(id)
              where p.consumer = $1 and p.event_id = gone.id and p.slot = inbox.slot_of(gone.id)")
        .bind::<Text, _>(consumer)
        .bind::<Array<SqlUuid>, _>(ids)
        .execute(self.tx.conn())
        .await?;
        Ok(())
    }

    /// The transaction, gone over to the tenant and cause of `ctx`.
    ///
    /// # Errors
    /// When the database cannot be reached, or refuses the events said before.
    pub async fn enter(&mut self, ctx: Ctx) -> Result<&mut Tx> {
        // Events said so far belong to the context they were said in.
        self.tx.flush().await?;
        if self.tx.tenant() != ctx.tenant {
            self.tx.enter(ctx.tenant).await?;
        }
        self.tx.set_ctx(ctx);
        Ok(&mut self.tx)
    }

    /// The transaction as it is: of the tenant entered last.
    pub fn tx(&mut self) -> &mut Tx {
        &mut self.tx
    }

    /// Sets a savepoint. Enter the tenant before: going back undoes that too.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn savepoint(&mut self) -> Result<()> {
        self.tx.flush().await?;
        self.tx
            .conn()
            .batch_execute("SAVEPOINT slice")
            .await
            .map_err(Error::from)
    }

    /// Goes back to the savepoint: what came after it did not happen.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn undo(&mut self) -> Result<()> {
        self.tx.discard_events();
        self.tx
            .conn()
            .batch_execute("ROLLBACK TO SAVEPOINT slice; RELEASE SAVEPOINT slice")
            .await
            .map_err(Error::from)
    }

    /// Keeps what came after the savepoint, deferred constraints checked.
    ///
    /// # Errors
    /// When the database cannot be reached, or refuses the events or a deferred constraint; the savepoint
    /// is still there then.
    pub async fn keep(&mut self) -> Result<()> {
        self.tx.flush().await?;
        self.tx
            .conn()
            .batch_execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED; RELEASE SAVEPOINT slice")
            .await
            .map_err(Error::from)
    }

    /// Commits positions, inbox, effects and events together.
    ///
    /// # Errors
    /// When it did not happen, or ([`Error::CommitUnknown`]) may not have.
    pub async fn commit(self) -> Result<()> {
        self.tx.commit().await
    }

    /// Gives the batch up.
    ///
    /// # Errors
    /// When the database cannot be reached; it rolls back by itself then.
    pub async fn rollback(self) -> Result<()> {
        self.tx.rollback().await
    }
}

impl Db {
    /// Empties the part of the inbox that is older than topics keep their events. Cheap to call often.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn clean_inbox(&self) -> Result<()> {
        let mut batch = Batch::begin(self, None).await?;
        sql("select inbox.clean()").execute(batch.tx.conn()).await?;
        batch.commit().await
    }
}
