//! What changes how a database is relayed.

use std::{io::Write, time::Duration};

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::{
    Exit, Scope, Wait,
    place::{Place, Places},
};
use crate::{snapshot::Snapshot, window::Cursor};

/// Between looks at a command that the owner carries out.
const PACE: Duration = Duration::from_millis(100);
/// An owner that has not begun after this is not there.
const BEGIN: Duration = Duration::from_secs(30);

pub async fn pause(
    places: &Places,
    scope: &Scope,
    on: bool,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let mut place = places.connect(&scope.db).await?;
    let (topic, key) = (
        scope.topic.clone().unwrap_or_default(),
        scope.key.clone().unwrap_or_default(),
    );
    let what = match (topic.as_str(), key.as_str()) {
        ("", _) => "everything".to_owned(),
        (topic, "") => topic.to_owned(),
        (topic, key) => format!("{topic} / {key}"),
    };
    let audited = place.begin().await?;
    let changed = if on {
        let insert =
            "insert into outbox.pause (topic, key, who) values ($1, $2, $3) on conflict do nothing";
        audited
            .tx
            .execute(insert, &[&topic, &key, &audited.who()])
            .await?
    } else {
        let delete = "delete from outbox.pause where topic = $1 and key = $2";
        audited.tx.execute(delete, &[&topic, &key]).await?
    };
    if changed == 0 {
        let state = if on {
            "is paused already"
        } else {
            "is not paused"
        };
        writeln!(out, "{}: {what} {state}", scope.db)?;
        return Ok(Exit::when(on));
    }
    let cmd = if on { "pause" } else { "resume" };
    audited
        .done(cmd, &json!({ "topic": topic, "key": key }), &Value::Null)
        .await?;
    let state = if on { "is paused" } else { "goes on" };
    writeln!(out, "{}: {what} {state}", scope.db)?;
    Ok(Exit::Done)
}

/// Publish events once more.
#[derive(Args)]
pub struct Replay {
    /// The service whose database it is.
    #[arg(long)]
    db: String,
    /// From this number in the outbox on.
    #[arg(long, required_unless_present = "from_time")]
    from_seq: Option<i64>,
    /// Inserted from this moment on (RFC 3339).
    #[arg(long)]
    from_time: Option<chrono::DateTime<chrono::Utc>>,
    /// Up to this number.
    #[arg(long)]
    to_seq: Option<i64>,
    /// Only this topic.
    #[arg(long)]
    topic: Option<String>,
    /// Only this key.
    #[arg(long)]
    key: Option<String>,
    /// Only this event type.
    #[arg(long = "type")]
    event_type: Option<String>,
    /// Do it.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    wait: Wait,
}

impl Replay {
    pub async fn run(self, places: &Places, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut place = places.connect(&self.db).await?;
        let since = self.from_time.map(|time| time.to_rfc3339());
        let (from, to) = (self.from_seq.unwrap_or(0), self.to_seq.unwrap_or(i64::MAX));
        let count = "select count(*), coalesce(max(seq), 0) from outbox.status where published and seq between $1 and $2 \
                      and ($3::text is null or \"timestamp\" >= $3::text::timestamptz) and ($4::text is null or topic = $4) \
                      and ($5::text is null or key = $5) and ($6::text is null or event_type = $6)";
        let row = place
            .client
            .query_one(
                count,
                &[&from, &to, &since, &self.topic, &self.key, &self.event_type],
            )
            .await?;
        let (events, last): (i64, i64) = (row.get(0), row.get(1));
        if !self.yes {
            writeln!(
                out,
                "{}: {events} events would be published once more, with the same ids. Repeat with --yes.",
                self.db
            )?;
            return Ok(Exit::Unconfirmed);
        }
        if events == 0 {
            writeln!(out, "{}: nothing published fits", self.db)?;
            return Ok(Exit::Done);
        }
        // Not beyond what there is now, or it would run after itself.
        let args = json!({
            "after": from - 1, "to": to.min(last), "since": since,
            "topic": self.topic, "key": self.key, "type": self.event_type,
        });
        let shards = shards(&place).await?;
        let asked = ask(&mut place, "replay", &args, &shards).await?;
        if self.wait.no_wait {
            writeln!(out, "{}: asked for {events} events", self.db)?;
            return Ok(Exit::Done);
        }
        let results = results(&place, &asked).await?;
        let published: i64 = results
            .iter()
            .filter_map(|result| result["published"].as_i64())
            .sum();
        for error in results.iter().filter_map(|result| result["error"].as_str()) {
            writeln!(out, "{}: {error}", self.db)?;
        }
        writeln!(out, "{}: {published} events published once more", self.db)?;
        Ok(Exit::when(published == events))
    }
}

pub async fn handover(
    places: &Places,
    db: &str,
    shard: Option<i16>,
    no_wait: bool,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let mut place = places.connect(db).await?;
    let all = shards(&place).await?;
    let wanted: Vec<i16> = all
        .iter()
        .copied()
        .filter(|number| shard.is_none_or(|shard| shard == *number))
        .collect();
    if wanted.is_empty() {
        bail!("{db} has no shard {}", shard.unwrap_or_default());
    }
    for number in &wanted {
        let present = crate::member::look(&place.client, *number).await?.members;
        if present.len() < 2 {
            bail!(
                "{db}, shard {number}: {} worker present, nobody to hand over to",
                present.len()
            );
        }
    }
    let asked = ask(&mut place, "handover", &json!({}), &wanted).await?;
    if no_wait {
        writeln!(out, "{db}: asked for {} shards", wanted.len())?;
        return Ok(Exit::Done);
    }
    for (number, result) in wanted.iter().zip(results(&place, &asked).await?) {
        writeln!(
            out,
            "{db}: shard {number} given up by {}",
            result["by"].as_str().unwrap_or("its owner")
        )?;
    }
    Ok(Exit::Done)
}

pub async fn rebase(
    places: &Places,
    db: &str,
    yes: bool,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let mut place = places.connect(db).await?;
    let facts = "select (select system_identifier::text from pg_control_system()), \
                        (select k.system_identifier::text from outbox.checkpoint k order by k.lease_epoch desc, k.id desc limit 1), \
                        (select count(*) filter (where published) from outbox.status), \
                        (select count(*) filter (where not published and not parked) from outbox.status), outbox.current_epoch()";
    let row = place.client.query_one(facts, &[]).await?;
    let (here, there): (String, Option<String>) = (row.get(0), row.get(1));
    let (published, unpublished, epoch): (i64, i64, i64) = (row.get(2), row.get(3), row.get(4));
    if !yes {
        writeln!(
            out,
            "{db}: relayed last in server {}, now in {here}. {published} events of the ring count as published, {unpublished} would be \
             published now, and the epoch would be raised from {epoch} to {}. Only after a restore. Repeat with --yes.",
            there.as_deref().unwrap_or("none"),
            epoch + 1
        )?;
        return Ok(Exit::Unconfirmed);
    }
    let audited = place.begin().await?;
    let row = audited
        .tx
        .query_one("select published, unpublished from outbox.rebase()", &[])
        .await?;
    let (published, unpublished): (i64, i64) = (row.get(0), row.get(1));
    let result =
        json!({ "published": published, "unpublished": unpublished, "from": there, "to": here });
    audited.done("rebase", &json!({}), &result).await?;
    writeln!(
        out,
        "{db}: {published} events count as published, {unpublished} are published now, the epoch is {}",
        epoch + 1
    )?;
    Ok(Exit::Done)
}

/// Divides a database anew. Every shard goes on where all of the old ones were at least; what some of them had published
/// beyond that is repeated.
pub async fn reshard(
    places: &Places,
    db: &str,
    count: i16,
    yes: bool,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let mut place = places.connect(db).await?;
    let old = shards(&place).await?.len();
    if old == usize::try_from(count)? {
        writeln!(out, "{db}: has {old} already")?;
        return Ok(Exit::Done);
    }
    if !yes {
        writeln!(
            out,
            "{db}: would be relayed in {count} shards instead of {old}; what is published at that moment may be repeated. Repeat with --yes."
        )?;
        return Ok(Exit::Unconfirmed);
    }
    let audited = place.begin().await?;
    // No checkpoint of an old owner after this, and no new owner before the end.
    audited
        .tx
        .batch_execute("lock table outbox.shard in exclusive mode")
        .await?;
    let mut common: Option<Snapshot> = None;
    let cursors = "select (select k.snap::text from outbox.checkpoint k where k.shard = s.shard order by k.lease_epoch desc, k.id desc limit 1), \
                          coalesce((select max(k.published) from outbox.checkpoint k where k.shard = s.shard), 0), s.lease_epoch \
                     from outbox.shard s";
    let (mut published, mut epoch) = (0i64, 0i64);
    for row in audited.tx.query(cursors, &[]).await? {
        let snap: Snapshot = match row.get::<_, Option<&str>>(0) {
            Some(snap) => snap.parse()?,
            None => Cursor::origin().snap,
        };
        common = Some(common.map_or(snap.clone(), |common| common.intersection(&snap)));
        published += row.get::<_, i64>(1);
        epoch = epoch.max(row.get(2));
    }
    let snap = common.unwrap_or_else(Snapshot::origin).to_string();
    // Of a shard that is no more, checkpoints and commands mean nothing.
    let divide = "with gone as (delete from outbox.checkpoint where shard >= $1) \
                  update outbox.command set done_at = clock_timestamp(), result = '{\"error\": \"the shard is no more\"}' \
                   where shard >= $1 and done_at is null";
    audited.tx.execute(divide, &[&count]).await?;
    audited
        .tx
        .execute("delete from outbox.shard where shard >= $1", &[&count])
        .await?;
    let create = "insert into outbox.shard (shard, lease_epoch) select n, $2 from generate_series(0, $1 - 1) n \
                  on conflict (shard) do update set lease_epoch = excluded.lease_epoch";
    audited
        .tx
        .execute(create, &[&i32::from(count), &(epoch + 1)])
        .await?;
    let reached = "insert into outbox.checkpoint (shard, lease_epoch, snap, published, system_identifier, timeline, reached) \
                   select s.shard, s.lease_epoch, $1::text::pg_snapshot, case s.shard when 0 then $2::int8 else 0 end, \
                          (select system_identifier from pg_control_system()), \
                          ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int, '{}' \
                     from outbox.shard s";
    audited.tx.execute(reached, &[&snap, &published]).await?;
    audited
        .done(
            "shards",
            &json!({ "count": count }),
            &json!({ "before": old }),
        )
        .await?;
    writeln!(out, "{db}: relayed in {count} shards from now on")?;
    Ok(Exit::Done)
}

async fn shards(place: &Place) -> anyhow::Result<Vec<i16>> {
    let rows = place
        .client
        .query("select shard from outbox.shard order by shard", &[])
        .await?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

async fn ask(
    place: &mut Place,
    cmd: &str,
    args: &Value,
    shards: &[i16],
) -> anyhow::Result<Vec<i64>> {
    let audited = place.begin().await?;
    let mut asked = Vec::with_capacity(shards.len());
    for shard in shards {
        asked.push(audited.ask(cmd, args, *shard).await?);
    }
    audited.commit().await?;
    Ok(asked)
}

/// Waits for commands, saying how far they are.
async fn results(place: &Place, asked: &[i64]) -> anyhow::Result<Vec<Value>> {
    let began = std::time::Instant::now();
    let mut told = Value::Null;
    loop {
        let query = "select done_at is not null, coalesce(result, 'null') from outbox.command where id = any($1) order by id";
        let rows = place.client.query(query, &[&asked]).await?;
        let results: Vec<Value> = rows.iter().map(|row| row.get(1)).collect();
        if rows.iter().all(|row| row.get(0)) {
            return Ok(results);
        }
        let begun = results.iter().any(|result| !result.is_null());
        if !begun && began.elapsed() > BEGIN {
            bail!(
                "{}: no owner has begun with it after {} s; it stays there for the next",
                place.service,
                BEGIN.as_secs()
            );
        }
        let now = json!(results);
        if begun && now != told {
            eprintln!("{}: {now}", place.service);
            told = now;
        }
        tokio::time::sleep(PACE).await;
    }
}
