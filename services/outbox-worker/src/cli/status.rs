//! Who relays what, how far it is, what waits.

use std::io::Write;

use serde::Serialize;

use super::{Exit, place::Places};

/// One shard of a database.
#[derive(Serialize)]
struct Line {
    db: String,
    shard: i16,
    /// The worker that holds the lease now.
    owner: Option<String>,
    lease_epoch: i64,
    workers_present: i64,
    published: i64,
    unpublished: i64,
    oldest_unpublished_seconds: Option<i64>,
    checkpoint_age_seconds: Option<i64>,
    parked_refused: i64,
    parked_waiting: i64,
    paused: Vec<String>,
    open_commands: i64,
    epoch: i64,
    ring_bytes: i64,
}

const QUERY: &str = "
with held as (
  select classid::int8 as class, objid::int8 as object from pg_locks
   where locktype = 'advisory' and objsubid = 2 and granted
     and database = (select oid from pg_database where datname = current_database())),
 shards as (select count(*)::int as of from outbox.shard),
 open as (
  select outbox.shard_of(e.key, (select of from shards)) as shard, count(*) as events, min(e.\"timestamp\") as oldest
    from outbox.status e where not e.published and not e.parked group by 1)
select s.shard, case when exists (select from held where class = 2831 and object = s.shard) then s.owner end, s.lease_epoch,
       (select count(distinct object) from held where class = 2832 + s.shard),
       coalesce((select k.published from outbox.checkpoint k where k.shard = s.shard order by k.lease_epoch desc, k.id desc limit 1), 0),
       coalesce(o.events, 0), extract(epoch from clock_timestamp() - o.oldest)::int8,
       (select extract(epoch from clock_timestamp() - k.at)::int8 from outbox.checkpoint k
         where k.shard = s.shard order by k.lease_epoch desc, k.id desc limit 1),
       (select count(*) from outbox.parked p where p.state = 'refused' and outbox.shard_of(p.key, (select of from shards)) = s.shard),
       (select count(*) from outbox.parked p where p.state = 'waiting' and outbox.shard_of(p.key, (select of from shards)) = s.shard),
       array(select case when topic = '' then 'everything' when key = '' then topic else topic || '/' || key end
               from outbox.pause order by 1),
       (select count(*) from outbox.command c where c.done_at is null and c.shard = s.shard),
       outbox.current_epoch(),
       (select sum(pg_total_relation_size(format('outbox.event_%s', n)::regclass))::int8 from generate_series(0, 7) n)
  from outbox.shard s left join open o on o.shard = s.shard
 order by s.shard";

pub async fn status(
    places: &Places,
    names: &[String],
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let (mut lines, mut well) = (Vec::new(), true);
    for database in places.select(names)? {
        let place = match places.connect(&database.service).await {
            Ok(place) => place,
            Err(error) => {
                eprintln!("{}: {error:#}", database.service);
                well = false;
                continue;
            }
        };
        for row in place.client.query(QUERY, &[]).await? {
            lines.push(Line {
                db: database.service.clone(),
                shard: row.get(0),
                owner: row.get(1),
                lease_epoch: row.get(2),
                workers_present: row.get(3),
                published: row.get(4),
                unpublished: row.get(5),
                oldest_unpublished_seconds: row.get(6),
                checkpoint_age_seconds: row.get(7),
                parked_refused: row.get(8),
                parked_waiting: row.get(9),
                paused: row.get(10),
                open_commands: row.get(11),
                epoch: row.get(12),
                ring_bytes: row.get(13),
            });
        }
    }
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&lines)?)?;
    } else {
        table(&lines, out)?;
    }
    Ok(Exit::when(
        well && lines.iter().all(|line| line.owner.is_some()),
    ))
}

fn table(lines: &[Line], out: &mut impl Write) -> anyhow::Result<()> {
    writeln!(
        out,
        "{:<16} {:>5} {:<28} {:>7} {:>12} {:>11} {:>8} {:>8} {:>8} {:>9}  paused",
        "db",
        "shard",
        "owner",
        "workers",
        "published",
        "unpublished",
        "oldest s",
        "refused",
        "waiting",
        "ring MiB"
    )?;
    for line in lines {
        writeln!(
            out,
            "{:<16} {:>5} {:<28} {:>7} {:>12} {:>11} {:>8} {:>8} {:>8} {:>9}  {}",
            line.db,
            line.shard,
            line.owner.as_deref().unwrap_or("nobody"),
            line.workers_present,
            line.published,
            line.unpublished,
            line.oldest_unpublished_seconds
                .map_or("-".into(), |s| s.to_string()),
            line.parked_refused,
            line.parked_waiting,
            line.ring_bytes >> 20,
            line.paused.join(", ")
        )?;
    }
    Ok(())
}
