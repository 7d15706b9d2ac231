//! `<service> consumer ..`: an operator's commands. Each leaves a record in `inbox.command`.

use std::process::ExitCode;

use anyhow::Context;
use bahi_db::{Letter, Which};
use bahi_kafka::{Operator, Replayed, Standing};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use crate::cli::{Consumer, Dlq, Of, Replay};

/// The command asks for `--yes` and did nothing.
const UNCONFIRMED: u8 = 3;
/// Most followers that `show` names.
const FOLLOWERS: i64 = 20;

/// Carries a command out and prints what became of it.
pub(crate) async fn run(
    operator: &Operator,
    prefix: &str,
    command: Consumer,
) -> anyhow::Result<ExitCode> {
    match command {
        Consumer::Status { json } => status(operator, json).await,
        Consumer::Dlq(Dlq::List { of, limit, json }) => {
            list(operator, prefix, of, limit, json).await
        }
        Consumer::Dlq(Dlq::Show { id, json }) => show(operator, id, json).await,
        Consumer::Dlq(Dlq::Retry {
            id,
            key,
            topic,
            consumer,
            json,
            ..
        }) => {
            let of = Of {
                consumer,
                topic,
                key,
            };
            retry(operator, prefix, id, of, json).await
        }
        Consumer::Dlq(Dlq::Drop { id, yes, json }) => drop_letter(operator, id, yes, json).await,
        Consumer::Replay(wanted) => replay(operator, prefix, wanted).await,
    }
}

fn print(value: &Value) {
    println!("{value:#}");
}

/// The topic with the installation's prefix.
fn full(operator: &Operator, prefix: &str, topic: &str) -> String {
    let known = operator.heard().iter().flat_map(|heard| &heard.topics);
    match known.into_iter().find(|known| *known == topic) {
        Some(known) => known.clone(),
        None if topic.starts_with(prefix) => topic.to_owned(),
        None => format!("{prefix}{topic}"),
    }
}

async fn status(operator: &Operator, as_json: bool) -> anyhow::Result<ExitCode> {
    let all = operator.status().await?;
    if as_json {
        let rows = all.iter().map(|Standing { place, end, lag }| {
            json!({
                "consumer": place.consumer, "topic": place.topic, "partition": place.partition,
                "position": place.next, "highest": place.highest, "end": end, "lag": lag,
                "rejected": place.rejected, "waiting": place.waiting, "moved_at": place.moved_at,
            })
        });
        print(&rows.collect());
        return Ok(ExitCode::SUCCESS);
    }
    let known = |number: Option<i64>| number.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let mut rows = vec![
        [
            "CONSUMER", "TOPIC", "PART", "POSITION", "END", "LAG", "REJECTED", "WAITING", "MOVED",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for Standing { place, end, lag } in all {
        rows.push(vec![
            place.consumer,
            place.topic,
            place.partition.to_string(),
            place.next.to_string(),
            known(end),
            known(lag),
            place.rejected.to_string(),
            place.waiting.to_string(),
            place.moved_at.format("%F %TZ").to_string(),
        ]);
    }
    table(&rows);
    Ok(ExitCode::SUCCESS)
}

fn table(rows: &[Vec<String>]) {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        println!("{}", line.join("  ").trim_end());
    }
}

/// Text as it is, anything else in base64.
fn text(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("base64:{}", BASE64.encode(bytes)),
    })
}

fn brief(letter: &Letter) -> Value {
    json!({
        "id": letter.id, "consumer": letter.consumer, "topic": letter.topic, "partition": letter.partition,
        "offset": letter.offset, "key": text(letter.key.as_deref()), "event_id": letter.event_id,
        "state": letter.state, "reason": letter.reason, "error": letter.error, "attempts": letter.attempts,
        "first_at": letter.first_at, "followers": letter.followers,
    })
}

fn which(operator: &Operator, prefix: &str, id: Option<i64>, of: Of) -> Which {
    Which {
        id,
        consumer: of.consumer,
        topic: of.topic.map(|topic| full(operator, prefix, &topic)),
        key: of.key.map(String::into_bytes),
    }
}

async fn list(
    operator: &Operator,
    prefix: &str,
    of: Of,
    limit: i64,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let args = json!({ "consumer": of.consumer, "topic": of.topic, "key": of.key, "limit": limit });
    let mut operation = operator.begin().await?;
    let letters = operation
        .letters(&which(operator, prefix, None, of), limit)
        .await?;
    let result = json!({ "found": letters.len() });
    operation
        .commit(operator.who(), "dlq list", &args, &result)
        .await?;
    if as_json {
        print(&letters.iter().map(brief).collect());
        return Ok(ExitCode::SUCCESS);
    }
    let head = [
        "ID", "CONSUMER", "TOPIC", "PART", "OFFSET", "KEY", "STATE", "REASON", "TRIES", "BEHIND",
        "SINCE",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for letter in letters {
        let key = text(letter.key.as_deref()).unwrap_or_else(|| "-".to_owned());
        rows.push(vec![
            letter.id.to_string(),
            letter.consumer,
            letter.topic,
            letter.partition.to_string(),
            letter.offset.to_string(),
            key.chars().take(40).collect(),
            letter.state,
            letter.reason,
            letter.attempts.to_string(),
            letter.followers.to_string(),
            letter.first_at.format("%F %TZ").to_string(),
        ]);
    }
    table(&rows);
    Ok(ExitCode::SUCCESS)
}

async fn show(operator: &Operator, id: i64, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut operation = operator.begin().await?;
    let found = operation.letter(id).await?;
    let mut followers = Vec::new();
    if let Some(letter) = found.as_ref().filter(|letter| letter.key.is_some()) {
        let which = Which {
            id: None,
            consumer: Some(letter.consumer.clone()),
            topic: Some(letter.topic.clone()),
            key: letter.key.clone(),
        };
        followers = operation.letters(&which, FOLLOWERS + 1).await?;
        followers.retain(|follower| follower.id > id);
    }
    let result = json!({ "found": found.is_some() });
    operation
        .commit(operator.who(), "dlq show", &json!({ "id": id }), &result)
        .await?;
    let letter = found.with_context(|| format!("there is no record {id} in quarantine"))?;
    let value = letter.value.as_deref();
    let decoded: Option<Value> = value.and_then(|value| serde_json::from_slice(value).ok());
    if as_json {
        let mut all = brief(&letter);
        all["headers"] = letter.headers.clone();
        all["recorded_at"] = json!(letter.recorded_at);
        all["sent_at"] = json!(letter.sent_at);
        all["value"] = decoded.unwrap_or_else(|| json!(text(value)));
        all["behind"] = followers.iter().map(brief).collect();
        print(&all);
        return Ok(ExitCode::SUCCESS);
    }
    println!("record     {} ({})", letter.id, letter.state);
    println!("consumer   {}", letter.consumer);
    println!(
        "from       {} [{}] at {}",
        letter.topic, letter.partition, letter.offset
    );
    println!(
        "key        {}",
        text(letter.key.as_deref()).unwrap_or_else(|| "none".into())
    );
    if let Some(event) = letter.event_id {
        println!("event      {event}");
    }
    println!("reason     {}", letter.reason);
    println!("error      {}", letter.error);
    println!(
        "attempts   {}, first at {}",
        letter.attempts,
        letter.first_at.to_rfc3339()
    );
    match letter.sent_at {
        Some(at) => println!(
            "dlq        {}.{}.dlq, {}",
            letter.topic,
            letter.consumer,
            at.to_rfc3339()
        ),
        None => println!("dlq        not sent"),
    }
    println!("headers");
    for pair in letter.headers.as_array().into_iter().flatten() {
        let value = pair[1]
            .as_str()
            .map_or_else(|| pair[1].to_string(), str::to_owned);
        println!("  {}: {value}", pair[0].as_str().unwrap_or_default());
    }
    println!("value ({} bytes)", value.map_or(0, <[u8]>::len));
    match decoded {
        Some(decoded) => println!("{decoded:#}"),
        None => println!("{}", text(value).unwrap_or_else(|| "none".into())),
    }
    println!("behind it wait {}", letter.followers);
    for follower in &followers {
        println!(
            "  {} [{}] at {}, {}",
            follower.id, follower.partition, follower.offset, follower.state
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn retry(
    operator: &Operator,
    prefix: &str,
    id: Option<i64>,
    of: Of,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let args = json!({ "id": id, "consumer": of.consumer, "topic": of.topic, "key": of.key });
    let mut operation = operator.begin().await?;
    let ids = operation.retry(&which(operator, prefix, id, of)).await?;
    let result = json!({ "tried_again": ids });
    let note = operation
        .commit(operator.who(), "dlq retry", &args, &result)
        .await?;
    anyhow::ensure!(
        !ids.is_empty() || id.is_none(),
        "there is no rejected record {} (dlq list shows what there is)",
        id.unwrap_or_default()
    );
    if as_json {
        print(&json!({ "tried_again": ids, "note": note }));
    } else {
        println!("{} rejected records are tried again: {ids:?}", ids.len());
        println!(
            "The running consumer takes them up within seconds; without one, the next to start does."
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn drop_letter(
    operator: &Operator,
    id: i64,
    yes: bool,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let mut operation = operator.begin().await?;
    let found = operation.letter(id).await?;
    let done = yes && operation.drop_letter(id).await?;
    let args = json!({ "id": id, "yes": yes });
    // The record itself is gone afterwards: its note keeps what it was.
    let what = found.as_ref().map(|letter| {
        let mut what = brief(letter);
        what["value"] = json!(text(letter.value.as_deref()));
        what["headers"] = letter.headers.clone();
        what
    });
    let result = json!({ "done": done, "record": what });
    let note = operation
        .commit(operator.who(), "dlq drop", &args, &result)
        .await?;
    let letter = found.with_context(|| format!("there is no record {id} in quarantine"))?;
    anyhow::ensure!(
        letter.state == "rejected",
        "record {id} is {}, only a rejected one is given up: drop or retry the first of its key",
        letter.state
    );
    anyhow::ensure!(done || !yes, "record {id} is not rejected any more");
    if as_json {
        print(&json!({ "done": done, "record": brief(&letter), "note": note }));
    } else {
        let verb = if done { "Gave up" } else { "Would give up" };
        println!(
            "{verb} record {id} ({}) of {} [{}] at {}; {} behind it go on.",
            letter.reason, letter.topic, letter.partition, letter.offset, letter.followers
        );
    }
    confirmed(done)
}

fn confirmed(done: bool) -> anyhow::Result<ExitCode> {
    if done {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("Nothing was done. Say --yes to do it.");
    Ok(ExitCode::from(UNCONFIRMED))
}

async fn replay(operator: &Operator, prefix: &str, wanted: Replay) -> anyhow::Result<ExitCode> {
    let topic = full(operator, prefix, &wanted.topic);
    let hears: Vec<&str> = operator
        .heard()
        .iter()
        .filter(|heard| heard.topics.contains(&topic))
        .map(|heard| heard.consumer.as_str())
        .collect();
    let consumer = match (&wanted.consumer, &hears[..]) {
        (Some(asked), _) if hears.contains(&asked.as_str()) => asked.clone(),
        (None, [only]) => (*only).to_owned(),
        (Some(asked), _) => anyhow::bail!("no consumer {asked} of this service hears {topic}"),
        (None, []) => anyhow::bail!("no consumer of this service hears {topic}"),
        (None, several) => anyhow::bail!(
            "several consumers hear {topic}; say --consumer {}",
            several.join(" or ")
        ),
    };
    let replay = bahi_kafka::Replay {
        consumer,
        topic,
        partition: wanted.partition,
        from: wanted.from,
        again: wanted.again,
        to: wanted.to,
        event_type: wanted.event_type,
        key: wanted.key,
    };
    let Replayed { moves, again, note } = operator.replay(&replay, wanted.yes).await?;
    if wanted.json {
        let moves: Vec<Value> = moves
            .iter()
            .map(|(part, before, after)| json!({ "partition": part, "before": before, "after": after }))
            .collect();
        print(&json!({ "done": wanted.yes, "moves": moves, "again": again, "note": note }));
        return confirmed(wanted.yes);
    }
    let verb = if wanted.yes { "Reads" } else { "Would read" };
    println!("{verb} {} again by {}:", replay.topic, replay.consumer);
    for (partition, before, after) in &moves {
        println!(
            "  [{partition}] from {after} ({} records back)",
            before - after
        );
    }
    if moves.is_empty() {
        println!("  nothing: every position is there or before already");
    }
    if replay.again {
        println!("{again} events are handled again; others that were handled are passed over.");
    } else {
        println!("Events that were handled are passed over.");
    }
    confirmed(wanted.yes)
}
