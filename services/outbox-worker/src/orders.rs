//! What operators ask of the owner of a shard, as it lies in the database: pauses, parked keys that may go on, commands.
//! The statements; what they mean is in `pump/orders.rs`.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
};

use futures::TryStreamExt;
use serde_json::Value;
use tokio_postgres::{Client, Statement, types::ToSql};

use crate::{
    lease::Lease,
    member::{self, Sight},
    reader::TailRow,
    row::COLUMNS,
    session::{LONG_PATIENCE, PATIENCE, SessionError, within},
    snapshot::Snapshot,
};

/// Keys that are taken up in one round.
const KEYS: i64 = 50;

/// What must not be published for now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    /// The whole database.
    pub all: bool,
    topics: HashSet<String>,
    keys: HashMap<String, HashSet<String>>,
}

impl Pauses {
    /// Whether events of this key are to wait.
    pub fn hold(&self, topic: &str, key: &str) -> bool {
        (!self.topics.is_empty() && self.topics.contains(topic))
            || (!self.keys.is_empty()
                && self.keys.get(topic).is_some_and(|keys| keys.contains(key)))
    }

    fn add(&mut self, topic: String, key: String) {
        match (topic.as_str(), key.as_str()) {
            ("", _) => self.all = true,
            (_, "") => {
                self.topics.insert(topic);
            }
            _ => {
                self.keys.entry(topic).or_default().insert(key);
            }
        }
    }
}

/// Something to be carried out by the owner.
#[derive(Clone, Debug)]
pub struct Command {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub cmd: String,
    /// Its arguments.
    pub args: Value,
    /// How far an owner before this one came with it.
    pub result: Option<Value>,
}

/// What a round found.
pub struct Round {
    /// Who is there.
    pub sight: Sight,
    /// What is to wait.
    pub pauses: Pauses,
    /// What is to be done.
    pub command: Option<Command>,
}

/// Events to publish once more.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Numbers after this one.
    pub after: i64,
    /// Up to this one.
    pub to: i64,
    /// Inserted from this moment on; RFC 3339.
    pub since: Option<String>,
    /// Of this topic.
    pub topic: Option<String>,
    /// Of this key.
    pub key: Option<String>,
    /// Of this type.
    pub event_type: Option<String>,
}

/// The statements of one session.
pub struct Orders {
    lease: Lease,
    round: Statement,
}

impl Orders {
    /// Prepares for `lease`.
    pub async fn new(client: &Client, lease: Lease) -> Result<Self, SessionError> {
        let round = "select array(select topic from outbox.pause order by topic, key), \
                            array(select key from outbox.pause order by topic, key), \
                            c.id, c.cmd, c.args, c.result \
                       from (select 1) one left join \
                            (select id, cmd, args, result from outbox.command where shard = $1 and done_at is null order by id limit 1) c on true";
        Ok(Self {
            lease,
            round: within(PATIENCE, client.prepare(round)).await?,
        })
    }

    /// Looks who is there and what is asked for.
    pub async fn round(&self, client: &Client) -> Result<Round, SessionError> {
        let shard = self.lease.shard.number;
        let asked: [&(dyn ToSql + Sync); 1] = [&shard];
        let (sight, row) = tokio::try_join!(
            member::look(client, shard),
            within(PATIENCE, client.query_one(&self.round, &asked))
        )?;
        let mut pauses = Pauses::default();
        let (topics, keys): (Vec<String>, Vec<String>) = (row.get(0), row.get(1));
        for (topic, key) in topics.into_iter().zip(keys) {
            pauses.add(topic, key);
        }
        let command = match (row.get(2), row.get(3), row.get(4)) {
            (Some(id), Some(cmd), Some(args)) => Some(Command {
                id,
                cmd,
                args,
                result: row.get(5),
            }),
            _ => None,
        };
        Ok(Round {
            sight,
            pauses,
            command,
        })
    }

    /// Keys of which everything that is parked may go: nothing of them is refused or paused.
    pub async fn releasable(&self, client: &Client) -> Result<Vec<(String, String)>, SessionError> {
        let query = "select distinct p.topic, p.key from outbox.parked p \
                      where outbox.shard_of(p.key, $1) = $2 and p.state = 'waiting' \
                        and not exists (select from outbox.parked r where r.topic = p.topic and r.key = p.key and r.state = 'refused') \
                        and not exists (select from outbox.pause z where z.topic = '' \
                                                                     or z.topic = p.topic and z.key in ('', p.key)) \
                      limit $3";
        let shard = self.lease.shard;
        let rows = within(
            LONG_PATIENCE,
            client.query(query, &[&i32::from(shard.of), &shard.number, &KEYS]),
        )
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.get(0), row.get(1)))
            .collect())
    }

    /// The first parked events of a key.
    pub async fn parked(
        &self,
        client: &Client,
        topic: &str,
        key: &str,
        limit: i64,
    ) -> Result<Vec<TailRow>, SessionError> {
        let query = format!(
            "select {COLUMNS} from outbox.event where (seq, slot) in \
               (select seq, slot from outbox.parked where topic = $1 and key = $2 order by seq limit $3) order by seq"
        );
        rows(client, &query, [&topic, &key, &limit]).await
    }

    /// Events that are parked no longer: they are published.
    pub async fn published(&self, client: &Client, seqs: &[i64]) -> Result<(), SessionError> {
        let delete = "delete from outbox.parked where seq = any($1) \
                       and exists (select from outbox.shard where shard = $2 and lease_epoch = $3)";
        let shard = self.lease.shard.number;
        within(
            PATIENCE,
            client.execute(delete, &[&seqs, &shard, &self.lease.epoch]),
        )
        .await?;
        Ok(())
    }

    /// An event was refused once more.
    pub async fn refused(
        &self,
        client: &Client,
        seq: i64,
        reason: &str,
        error: &str,
    ) -> Result<(), SessionError> {
        let update = "update outbox.parked set state = 'refused', reason = $2, error = $3, attempts = attempts + 1 where seq = $1";
        within(PATIENCE, client.execute(update, &[&seq, &reason, &error])).await?;
        Ok(())
    }

    /// The next events of `selection` that `published` sees, and that are not parked.
    pub async fn again(
        &self,
        client: &Client,
        selection: &Selection,
        published: &Snapshot,
        limit: i64,
    ) -> Result<Vec<TailRow>, SessionError> {
        let query = format!(
            "select {COLUMNS} from outbox.event e where seq > $1 and seq <= $2{} \
                and pg_visible_in_snapshot(txid, $3::text::pg_snapshot) \
                and ($4::text is null or \"timestamp\" >= $4::text::timestamptz) and ($5::text is null or topic = $5) \
                and ($6::text is null or key = $6) and ($7::text is null or event_type = $7) \
                and not exists (select from outbox.parked p where p.seq = e.seq) \
              order by seq limit $8",
            self.lease.shard.condition()
        );
        let published = published.to_string();
        rows(
            client,
            &query,
            [
                &selection.after,
                &selection.to,
                &published,
                &selection.since,
                &selection.topic,
                &selection.key,
                &selection.event_type,
                &limit,
            ],
        )
        .await
    }

    /// A command goes on, or is done.
    pub async fn report(
        &self,
        client: &Client,
        command: i64,
        result: &Value,
        done: bool,
    ) -> Result<(), SessionError> {
        let update = "update outbox.command set result = $2, done_at = case when $3 then clock_timestamp() end \
                       where id = $1 and done_at is null";
        within(PATIENCE, client.execute(update, &[&command, result, &done])).await?;
        Ok(())
    }
}

async fn rows<const N: usize>(
    client: &Client,
    query: &str,
    parameters: [&(dyn ToSql + Sync); N],
) -> Result<Vec<TailRow>, SessionError> {
    let read = async {
        let mut stream = pin!(client.query_raw(query, parameters).await?);
        let mut rows = Vec::new();
        while let Some(row) = stream.try_next().await? {
            rows.push(TailRow::bare(row));
        }
        Ok::<_, SessionError>(rows)
    };
    within(LONG_PATIENCE, read).await
}
