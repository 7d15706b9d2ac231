//! Records that a consumer could not handle, and those that wait behind them.

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{
        Array, BigInt, Bool, Bytea, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use crate::{Batch, Error, Result, sql};

/// A record on its way into quarantine.
#[derive(Clone, Debug)]
pub struct Quarantined {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Key, as in the record.
    pub key: Option<Vec<u8>>,
    /// Value, as in the record.
    pub value: Option<Vec<u8>>,
    /// Headers in order: `[[name, value], ..]`, a value being text, null or `{"base64": ..}`.
    pub headers: Value,
    /// The record's timestamp.
    pub recorded_at: Option<DateTime<Utc>>,
    /// The event's id, where it can be read.
    pub event_id: Option<Uuid>,
    /// True for the culprit, false for a later record of its key, which waits.
    pub rejected: bool,
    /// Why, as a code.
    pub reason: String,
    /// Why, in words.
    pub error: String,
    /// How often it was tried.
    pub attempts: i32,
}

/// A record in quarantine.
#[derive(Clone, Debug, QueryableByName)]
pub struct Held {
    /// Its place in the order of its key.
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    /// Topic.
    #[diesel(sql_type = Text)]
    pub topic: String,
    /// Partition.
    #[diesel(sql_type = Integer, column_name = part)]
    pub partition: i32,
    /// Offset.
    #[diesel(sql_type = BigInt)]
    pub offset: i64,
    /// Key.
    #[diesel(sql_type = Nullable<Bytea>)]
    pub key: Option<Vec<u8>>,
    /// Value.
    #[diesel(sql_type = Nullable<Bytea>)]
    pub value: Option<Vec<u8>>,
    /// Headers, see [`Quarantined::headers`].
    #[diesel(sql_type = Jsonb)]
    pub headers: Value,
    /// The record's timestamp.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub recorded_at: Option<DateTime<Utc>>,
    /// Why, as a code.
    #[diesel(sql_type = Text)]
    pub reason: String,
    /// Why, in words.
    #[diesel(sql_type = Text)]
    pub error: String,
    /// How often it was tried.
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    /// When it came here.
    #[diesel(sql_type = Timestamptz)]
    pub first_at: DateTime<Utc>,
}

// A partition read again from an earlier offset brings the same records again: one row is enough.
const INSERT: &str = "
insert into inbox.quarantine (consumer, topic, part, \"offset\", key, value, headers, recorded_at, event_id,
                              state, reason, error, attempts)
select $1, q.topic, q.part, q.off, q.key, q.value, q.headers, q.recorded_at, q.event_id,
       case when q.rejected then 'rejected' else 'waiting' end, q.reason, q.error, q.attempts
  from unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    with ordinality as q(topic, part, off, key, value, headers, recorded_at, event_id, rejected, reason, error,
                         attempts, n)
 where not exists (select from inbox.quarantine o
                    where o.consumer = $1 and o.topic = q.topic and o.part = q.part and o.\"offset\" = q.off
                      and o.key is not distinct from q.key and o.value is not distinct from q.value)
 order by q.n";

impl Batch {
    /// Puts records into quarantine, in this order.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn quarantine(&mut self, consumer: &str, records: &[Quarantined]) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        fn all<'a, T>(records: &'a [Quarantined], f: impl Fn(&'a Quarantined) -> T) -> Vec<T> {
            records.iter().map(f).collect()
        }
        sql(INSERT)
            .bind::<Text, _>(consumer)
            .bind::<Array<Text>, _>(all(records, |r| r.topic.as_str()))
            .bind::<Array<Integer>, _>(all(records, |r| r.partition))
            .bind::<Array<BigInt>, _>(all(records, |r| r.offset))
            .bind::<Array<Nullable<Bytea>>, _>(all(records, |r| r.key.as_deref()))
            .bind::<Array<Nullable<Bytea>>, _>(all(records, |r| r.value.as_deref()))
            .bind::<Array<Jsonb>, _>(all(records, |r| &r.headers))
            .bind::<Array<Nullable<Timestamptz>>, _>(all(records, |r| r.recorded_at))
            .bind::<Array<Nullable<SqlUuid>>, _>(all(records, |r| r.event_id))
            .bind::<Array<Bool>, _>(all(records, |r| r.rejected))
            .bind::<Array<Text>, _>(all(records, |r| r.reason.as_str()))
            .bind::<Array<Text>, _>(all(records, |r| r.error.as_str()))
            .bind::<Array<Integer>, _>(all(records, |r| r.attempts))
            .execute(self.tx().conn())
            .await?;
        Ok(())
    }

    /// Rejected records that the dead-letter topic has not got yet, oldest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn unsent(&mut self, consumer: &str, limit: i64) -> Result<Vec<Held>> {
        sql("select * from inbox.quarantine
             where consumer = $1 and state = 'rejected' and sent_at is null order by id limit $2")
        .bind::<Text, _>(consumer)
        .bind::<BigInt, _>(limit)
        .load(self.tx().conn())
        .await
        .map_err(Error::from)
    }

    /// Remembers that the dead-letter topic has got these records.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn sent(&mut self, ids: &[i64]) -> Result<()> {
        sql("update inbox.quarantine set sent_at = now() where id = any ($1)")
            .bind::<Array<BigInt>, _>(ids)
            .execute(self.tx().conn())
            .await?;
        Ok(())
    }

    /// The partitions in which something waits behind nothing any more.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn released_partitions(&mut self, consumer: &str) -> Result<Vec<(String, i32)>> {
        let rows: Vec<Partition> = sql("select distinct topic, part from inbox.quarantine w
             where consumer = $1 and state = 'waiting'
               and not exists (select from inbox.quarantine r where r.consumer = w.consumer
                                  and r.topic = w.topic and r.key = w.key and r.state = 'rejected')")
        .bind::<Text, _>(consumer)
        .load(self.tx().conn())
        .await?;
        Ok(rows.into_iter().map(|row| (row.topic, row.part)).collect())
    }

    /// Locks the partition's position, which must be `at`, and gives what waits there behind nothing any more,
    /// in order. `None` when another process has moved the position.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn released(
        &mut self,
        consumer: &str,
        topic: &str,
        partition: i32,
        at: i64,
        limit: i64,
    ) -> Result<Option<Vec<Held>>> {
        // The lock keeps the partition's batches, of whichever process, from adding to these keys meanwhile.
        let owned = sql("select from inbox.position
                         where consumer = $1 and topic = $2 and part = $3 and next_offset = $4 for update")
        .bind::<Text, _>(consumer)
        .bind::<Text, _>(topic)
        .bind::<Integer, _>(partition)
        .bind::<BigInt, _>(at)
        .execute(self.tx().conn())
        .await?;
        if owned == 0 {
            return Ok(None);
        }
        let rows = sql("select * from inbox.quarantine w
             where consumer = $1 and topic = $2 and part = $3 and state = 'waiting'
               and not exists (select from inbox.quarantine r where r.consumer = w.consumer
                                  and r.topic = w.topic and r.key = w.key and r.state = 'rejected')
             order by id limit $4")
        .bind::<Text, _>(consumer)
        .bind::<Text, _>(topic)
        .bind::<Integer, _>(partition)
        .bind::<BigInt, _>(limit)
        .load(self.tx().conn())
        .await?;
        Ok(Some(rows))
    }

    /// Takes records out of quarantine: they have been handled.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn release(&mut self, ids: &[i64]) -> Result<()> {
        sql("delete from inbox.quarantine where id = any ($1)")
            .bind::<Array<BigInt>, _>(ids)
            .execute(self.tx().conn())
            .await?;
        Ok(())
    }

    /// Holds a waiting record as the culprit of its key: it was tried and refused (again).
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn refuse(&mut self, id: i64, reason: &str, error: &str) -> Result<()> {
        sql("update inbox.quarantine set state = 'rejected', reason = $2, error = $3, attempts = attempts + 1,
                    sent_at = null where id = $1")
        .bind::<BigInt, _>(id)
        .bind::<Text, _>(reason)
        .bind::<Text, _>(error)
        .execute(self.tx().conn())
        .await?;
        Ok(())
    }

    /// How many records of `consumer` are rejected, and how many wait.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn quarantined(&mut self, consumer: &str) -> Result<(i64, i64)> {
        let count: Count = sql(
            "select count(*) filter (where state = 'rejected') as rejected,
                                       count(*) filter (where state = 'waiting') as waiting
                                  from inbox.quarantine where consumer = $1",
        )
        .bind::<Text, _>(consumer)
        .get_result(self.tx().conn())
        .await?;
        Ok((count.rejected, count.waiting))
    }
}

#[derive(QueryableByName)]
struct Partition {
    #[diesel(sql_type = Text)]
    topic: String,
    #[diesel(sql_type = Integer)]
    part: i32,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    rejected: i64,
    #[diesel(sql_type = BigInt)]
    waiting: i64,
}
