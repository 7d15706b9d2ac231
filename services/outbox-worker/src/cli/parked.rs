//! What Kafka refused, and the later events of its keys.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Exit,
    place::{Audited, Places},
};
use crate::row::COLUMNS;

#[derive(Subcommand)]
pub enum Parked {
    /// Parked events, in their order.
    List {
        #[command(flatten)]
        of: Of,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: i64,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// One parked event with all that is known of it.
    Show {
        #[command(flatten)]
        one: One,
    },
    /// Try refused events again, and what waits behind them.
    Retry {
        #[command(flatten)]
        of: Of,
        /// Only this event.
        #[arg(long)]
        seq: Option<i64>,
    },
    /// Give an event up; what waits behind it goes on.
    Skip {
        #[command(flatten)]
        one: One,
        /// Do it.
        #[arg(long)]
        yes: bool,
    },
    /// Give an event up and keep it in `outbox.dead_letter`; what waits behind it goes on.
    Dead {
        #[command(flatten)]
        one: One,
        /// Do it.
        #[arg(long)]
        yes: bool,
    },
}

/// Which events.
#[derive(Args)]
pub struct Of {
    /// The service whose database it is.
    #[arg(long)]
    db: String,
    /// Of this topic.
    #[arg(long)]
    topic: Option<String>,
    /// Of this key.
    #[arg(long)]
    key: Option<String>,
}

/// Which event.
#[derive(Args)]
pub struct One {
    /// The service whose database it is.
    #[arg(long)]
    db: String,
    /// Its number in the outbox.
    #[arg(long)]
    seq: i64,
}

impl Parked {
    pub async fn run(self, places: &Places, out: &mut impl Write) -> anyhow::Result<Exit> {
        match self {
            Self::List { of, limit, json } => list(places, &of, limit, json, out).await,
            Self::Show { one } => show(places, &one, out).await,
            Self::Retry { of, seq } => retry(places, &of, seq, out).await,
            Self::Skip { one, yes } => resolve(places, &one, false, yes, out).await,
            Self::Dead { one, yes } => resolve(places, &one, true, yes, out).await,
        }
    }
}

async fn list(
    places: &Places,
    of: &Of,
    limit: i64,
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let place = places.connect(&of.db).await?;
    let query = "select to_jsonb(p) from outbox.parked p \
                  where ($1::text is null or topic = $1) and ($2::text is null or key = $2) order by seq limit $3";
    let rows = place
        .client
        .query(query, &[&of.topic, &of.key, &limit])
        .await?;
    let rows: Vec<Value> = rows.into_iter().map(|row| row.get(0)).collect();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
        return Ok(Exit::Done);
    }
    writeln!(
        out,
        "{:>12} {:<8} {:<16} {:>8} {:<28} {:<38} error",
        "seq", "state", "reason", "attempts", "topic", "key"
    )?;
    for row in &rows {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        writeln!(
            out,
            "{:>12} {:<8} {:<16} {:>8} {:<28} {:<38} {}",
            row["seq"],
            text("state"),
            text("reason"),
            row["attempts"],
            text("topic"),
            text("key"),
            text("error")
        )?;
    }
    writeln!(out, "{} shown", rows.len())?;
    Ok(Exit::Done)
}

async fn show(places: &Places, one: &One, out: &mut impl Write) -> anyhow::Result<Exit> {
    let place = places.connect(&one.db).await?;
    let query = "select to_jsonb(p) || jsonb_build_object('event', to_jsonb(e), 'waiting_behind_it', \
                        (select count(*) from outbox.parked w where w.topic = p.topic and w.key = p.key and w.seq > p.seq)) \
                   from outbox.parked p left join outbox.event e on e.seq = p.seq and e.slot = p.slot where p.seq = $1";
    let Some(row) = place.client.query_opt(query, &[&one.seq]).await? else {
        writeln!(out, "{}: {} is not parked", one.db, one.seq)?;
        return Ok(Exit::Refused);
    };
    writeln!(
        out,
        "{}",
        serde_json::to_string_pretty(&row.get::<_, Value>(0))?
    )?;
    Ok(Exit::Done)
}

async fn retry(
    places: &Places,
    of: &Of,
    seq: Option<i64>,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let mut place = places.connect(&of.db).await?;
    let audited = place.begin().await?;
    let update = "update outbox.parked set state = 'waiting' where state = 'refused' and ($1::int8 is null or seq = $1) \
                   and ($2::text is null or topic = $2) and ($3::text is null or key = $3)";
    let count = audited
        .tx
        .execute(update, &[&seq, &of.topic, &of.key])
        .await?;
    if count == 0 {
        writeln!(out, "{}: nothing refused fits", of.db)?;
        return Ok(Exit::Refused);
    }
    let args = json!({ "seq": seq, "topic": of.topic, "key": of.key });
    audited
        .done("parked retry", &args, &json!({ "events": count }))
        .await?;
    writeln!(
        out,
        "{}: {count} refused events are tried again, and what waits behind them",
        of.db
    )?;
    Ok(Exit::Done)
}

async fn resolve(
    places: &Places,
    one: &One,
    keep: bool,
    yes: bool,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let mut place = places.connect(&one.db).await?;
    let audited = place.begin().await?;
    let query = "select topic, key, event_id::text, state, \
                        (select count(*) from outbox.parked w where w.topic = p.topic and w.key = p.key and w.seq > p.seq) \
                   from outbox.parked p where seq = $1 for update";
    let Some(row) = audited.tx.query_opt(query, &[&one.seq]).await? else {
        writeln!(out, "{}: {} is not parked", one.db, one.seq)?;
        return Ok(Exit::Refused);
    };
    let (topic, key, event_id): (String, String, String) = (row.get(0), row.get(1), row.get(2));
    let (state, behind): (String, i64) = (row.get(3), row.get(4));
    if state != "refused" {
        writeln!(
            out,
            "{}: {} only waits behind another; resolve that one",
            one.db, one.seq
        )?;
        return Ok(Exit::Refused);
    }
    let what = if keep {
        "moved to outbox.dead_letter and never published"
    } else {
        "given up and never published"
    };
    if !yes {
        writeln!(
            out,
            "{}: event {} ({event_id}) of {topic} / {key} would be {what}; {behind} events behind it would go on. Repeat with --yes.",
            one.db, one.seq
        )?;
        return Ok(Exit::Unconfirmed);
    }
    if keep {
        bury(&audited, one.seq).await?;
    }
    audited
        .tx
        .execute("delete from outbox.parked where seq = $1", &[&one.seq])
        .await?;
    let cmd = if keep { "parked dead" } else { "parked skip" };
    let args = json!({ "seq": one.seq, "event_id": event_id, "topic": topic, "key": key });
    audited
        .done(cmd, &args, &json!({ "behind": behind }))
        .await?;
    writeln!(
        out,
        "{}: event {} is {what}; {behind} behind it go on",
        one.db, one.seq
    )?;
    Ok(Exit::Done)
}

async fn bury(audited: &Audited<'_>, seq: i64) -> anyhow::Result<()> {
    let insert = format!(
        "insert into outbox.dead_letter ({COLUMNS}, reason, error, parked_at, resolved_by) \
         select {}, p.reason, p.error, p.parked_at, $2 \
           from outbox.parked p join outbox.event e on e.seq = p.seq and e.slot = p.slot where p.seq = $1",
        COLUMNS
            .split(", ")
            .map(|column| format!("e.{}", column.trim()))
            .collect::<Vec<_>>()
            .join(", ")
    );
    audited.tx.execute(&insert, &[&seq, &audited.who()]).await?;
    Ok(())
}
