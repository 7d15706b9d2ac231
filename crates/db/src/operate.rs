//! What an operator sees of consumers and does about them. Each command is one transaction, and its record in
//! `inbox.command` is part of it.

use chrono::{DateTime, Utc};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{
        Array, BigInt, Bool, Bytea, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use bahi_types::TenantId;

use crate::{Ctx, Db, Error, Result, Tx, sql, tx::WRITE};

/// Where a consumer stands in a partition, and what is in quarantine of it.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Place {
    /// The consumer.
    #[diesel(sql_type = Text)]
    pub consumer: String,
    /// Topic.
    #[diesel(sql_type = Text)]
    pub topic: String,
    /// Partition.
    #[diesel(sql_type = Integer, column_name = part)]
    pub partition: i32,
    /// The offset to read next.
    #[diesel(sql_type = BigInt, column_name = next_offset)]
    pub next: i64,
    /// The furthest `next` there ever was.
    #[diesel(sql_type = BigInt)]
    pub highest: i64,
    /// When it moved last.
    #[diesel(sql_type = Timestamptz)]
    pub moved_at: DateTime<Utc>,
    /// Culprits in quarantine.
    #[diesel(sql_type = BigInt)]
    pub rejected: i64,
    /// Records that wait behind them, or to be taken up.
    #[diesel(sql_type = BigInt)]
    pub waiting: i64,
}

/// A record in quarantine, as an operator sees it.
#[derive(Clone, Debug, QueryableByName)]
pub struct Letter {
    /// Its place in the order of its key.
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    /// The consumer.
    #[diesel(sql_type = Text)]
    pub consumer: String,
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
    /// Value; lists leave it out.
    #[diesel(sql_type = Nullable<Bytea>)]
    pub value: Option<Vec<u8>>,
    /// Headers: `[[name, value], ..]`.
    #[diesel(sql_type = Jsonb)]
    pub headers: Value,
    /// The record's timestamp.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub recorded_at: Option<DateTime<Utc>>,
    /// The event's id, where it can be read.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub event_id: Option<Uuid>,
    /// `rejected` or `waiting`.
    #[diesel(sql_type = Text)]
    pub state: String,
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
    /// When the dead-letter topic got it.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub sent_at: Option<DateTime<Utc>>,
    /// Records of its topic and key that wait behind it.
    #[diesel(sql_type = BigInt)]
    pub followers: i64,
}

/// Which records of the quarantine; what is absent does not narrow.
#[derive(Clone, Debug, Default)]
pub struct Which {
    /// By id.
    pub id: Option<i64>,
    /// By consumer.
    pub consumer: Option<String>,
    /// By topic.
    pub topic: Option<String>,
    /// By key.
    pub key: Option<Vec<u8>>,
}

macro_rules! which {
    () => {
        " where ($1 is null or w.id = $1) and ($2 is null or w.consumer = $2)
            and ($3 is null or w.topic = $3) and ($4 is null or w.key = $4)"
    };
}
macro_rules! letter {
    ($value:literal) => {
        concat!(
            "select w.id, w.consumer, w.topic, w.part, w.\"offset\", w.key, ",
            $value,
            " as value, w.headers, w.recorded_at, w.event_id, w.state, w.reason, w.error, w.attempts, w.first_at, w.sent_at,
             (select count(*) from inbox.quarantine f where f.consumer = w.consumer and f.topic = w.topic and f.key = w.key
                and f.id > w.id) as followers
               from inbox.quarantine w"
        )
    };
}

const PLACES: &str = "
select p.consumer, p.topic, p.part, p.next_offset, p.highest, p.moved_at,
       coalesce(q.rejected, 0) as rejected, coalesce(q.waiting, 0) as waiting
  from inbox.position p
  left join (select consumer, topic, part, count(*) filter (where state = 'rejected') as rejected,
                    count(*) filter (where state = 'waiting') as waiting
               from inbox.quarantine group by 1, 2, 3) q using (consumer, topic, part)
 order by p.consumer, p.topic, p.part";

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Bool)]
    found: bool,
}

#[derive(QueryableByName)]
struct Next {
    #[diesel(sql_type = BigInt)]
    next_offset: i64,
}

/// The transaction of an operator's command. What is not committed did not happen.
pub struct Operation {
    tx: Tx,
}

impl Operation {
    /// Opens it.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn begin(db: &Db) -> Result<Self> {
        let ctx = Ctx::service(db.service(), TenantId::from_uuid(Uuid::nil()));
        Ok(Self {
            tx: Tx::begin(db, ctx, WRITE).await?,
        })
    }

    /// Where the consumers of this database stand.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn places(&mut self) -> Result<Vec<Place>> {
        sql(PLACES).load(self.tx.conn()).await.map_err(Error::from)
    }

    /// The first records in quarantine, without their values, in the order in which they came.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn letters(&mut self, which: &Which, limit: i64) -> Result<Vec<Letter>> {
        sql(concat!(
            letter!("null::bytea"),
            which!(),
            " order by w.id limit $5"
        ))
        .bind::<Nullable<BigInt>, _>(which.id)
        .bind::<Nullable<Text>, _>(which.consumer.as_deref())
        .bind::<Nullable<Text>, _>(which.topic.as_deref())
        .bind::<Nullable<Bytea>, _>(which.key.as_deref())
        .bind::<BigInt, _>(limit)
        .load(self.tx.conn())
        .await
        .map_err(Error::from)
    }

    /// A record in quarantine, with its value.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn letter(&mut self, id: i64) -> Result<Option<Letter>> {
        Ok(sql(concat!(letter!("w.value"), " where w.id = $1"))
            .bind::<BigInt, _>(id)
            .get_result(self.tx.conn())
            .await
            .optional()?)
    }

    /// Lets the consumer try rejected records again, each followed by what waits behind it; their ids.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn retry(&mut self, which: &Which) -> Result<Vec<i64>> {
        let rows: Vec<Id> = sql(concat!(
            "update inbox.quarantine w set state = 'waiting'",
            which!(),
            " and w.state = 'rejected' returning w.id"
        ))
        .bind::<Nullable<BigInt>, _>(which.id)
        .bind::<Nullable<Text>, _>(which.consumer.as_deref())
        .bind::<Nullable<Text>, _>(which.topic.as_deref())
        .bind::<Nullable<Bytea>, _>(which.key.as_deref())
        .load(self.tx.conn())
        .await?;
        let mut ids: Vec<i64> = rows.into_iter().map(|row| row.id).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Gives a rejected record up: it leaves quarantine, and counts as handled should it be read again. False when
    /// there is no such record, or it is not (any more) rejected.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn drop_letter(&mut self, id: i64) -> Result<bool> {
        let gone = sql("
            with gone as (delete from inbox.quarantine where id = $1 and state = 'rejected' returning id, consumer, event_id),
                 known as (insert into inbox.processed (consumer, event_id, slot)
                           select consumer, event_id, inbox.slot_of(event_id) from gone where event_id is not null
                           on conflict do nothing)
            select id from gone")
        .bind::<BigInt, _>(id)
        .load::<Id>(self.tx.conn())
        .await?;
        Ok(gone.iter().any(|row| row.id == id))
    }

    /// Whether anything of this topic (and key) is in quarantine.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn holds(&mut self, consumer: &str, topic: &str, key: Option<&[u8]>) -> Result<bool> {
        let row: Found = sql("select exists (select from inbox.quarantine
                               where consumer = $1 and topic = $2 and ($3 is null or key = $3)) as found")
        .bind::<Text, _>(consumer)
        .bind::<Text, _>(topic)
        .bind::<Nullable<Bytea>, _>(key)
        .get_result(self.tx.conn())
        .await?;
        Ok(row.found)
    }

    /// Sets a position back to `to`; the running consumer sees that within seconds. The position it had, or `None`
    /// when it has none or stands at or before `to` already: a position is never moved on, that would skip events.
    ///
    /// # Errors
    /// When the database cannot be reached; [`Error::Locked`] while a batch of the partition is being handled.
    pub async fn set_back(
        &mut self,
        consumer: &str,
        topic: &str,
        partition: i32,
        to: i64,
    ) -> Result<Option<i64>> {
        let before: Option<Next> = sql("select next_offset from inbox.position
                                         where consumer = $1 and topic = $2 and part = $3 and next_offset > $4 for update")
            .bind::<Text, _>(consumer)
            .bind::<Text, _>(topic)
            .bind::<Integer, _>(partition)
            .bind::<BigInt, _>(to)
            .get_result(self.tx.conn())
            .await
            .optional()?;
        let Some(before) = before else {
            return Ok(None);
        };
        sql(
            "update inbox.position set next_offset = $4, moved_at = now()
              where consumer = $1 and topic = $2 and part = $3",
        )
        .bind::<Text, _>(consumer)
        .bind::<Text, _>(topic)
        .bind::<Integer, _>(partition)
        .bind::<BigInt, _>(to)
        .execute(self.tx.conn())
        .await?;
        Ok(Some(before.next_offset))
    }

    /// Wants these events handled once more when they are read again.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn again(&mut self, consumer: &str, events: &[Uuid]) -> Result<()> {
        for portion in events.chunks(5_000) {
            sql("insert into inbox.again (consumer, event_id)
                 select $1, id from unnest($2) as id on conflict do nothing")
            .bind::<Text, _>(consumer)
            .bind::<Array<SqlUuid>, _>(portion)
            .execute(self.tx.conn())
            .await?;
        }
        Ok(())
    }

    /// Notes the command and what became of it, and commits both; the number of the note.
    ///
    /// # Errors
    /// When it did not happen, or ([`Error::CommitUnknown`]) may not have.
    pub async fn commit(
        mut self,
        who: &str,
        cmd: &str,
        args: &Value,
        result: &Value,
    ) -> Result<i64> {
        let row: Id = sql("insert into inbox.command (who, cmd, args, result) values ($1, $2, $3, $4) returning id")
            .bind::<Text, _>(who)
            .bind::<Text, _>(cmd)
            .bind::<Jsonb, _>(args)
            .bind::<Jsonb, _>(result)
            .get_result(self.tx.conn())
            .await?;
        self.tx.commit().await?;
        Ok(row.id)
    }
}
