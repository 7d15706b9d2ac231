//! The published catalogue is what the code says, and nothing that was published is ever taken back.
//!
//! `BAHI_UPDATE=1 cargo test -p bahi-events` writes `docs/events/asyncapi.json` anew; it refuses to when that would break
//! a consumer, because the version is part of the topic's name and a breaking change needs a new one.

#![allow(clippy::unwrap_used)] // Tests fail by panicking.

use std::{fs, path::PathBuf};

use bahi_events::{Topic, catalogue};
use serde_json::Value;

fn file() -> PathBuf {
    [
        env!("CARGO_MANIFEST_DIR"),
        "..",
        "..",
        "docs",
        "events",
        "asyncapi.json",
    ]
    .iter()
    .collect()
}

fn text() -> String {
    format!(
        "{}\n",
        serde_json::to_string_pretty(&catalogue::asyncapi()).unwrap()
    )
}

/// What a consumer of `old` would miss in `new`.
fn broken(old: &Value, new: &Value, at: &str, wrong: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in old {
                // Texts may be reworded.
                if name == "description" || name == "summary" || name == "title" {
                    continue;
                }
                match new.get(name) {
                    Some(other) => broken(value, other, &format!("{at}/{name}"), wrong),
                    None => wrong.push(format!("{at}/{name} is gone")),
                }
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            wrong.extend(
                old.iter()
                    .filter(|o| !new.contains(o))
                    .map(|o| format!("{at}: {o} is gone")),
            );
        }
        _ if old == new => {}
        _ => wrong.push(format!("{at}: {old} became {new}")),
    }
}

#[test]
fn the_catalogue_is_current_and_breaks_nobody() {
    let published: Value =
        fs::read_to_string(file()).map_or(Value::Null, |t| serde_json::from_str(&t).unwrap());
    let mut wrong = Vec::new();
    if !published.is_null() {
        let part = |v: &Value| v["components"]["messages"].clone();
        broken(
            &part(&published),
            &part(&catalogue::asyncapi()),
            "",
            &mut wrong,
        );
    }
    assert!(wrong.is_empty(), "breaking changes: {wrong:#?}");
    if std::env::var_os("BAHI_UPDATE").is_some() {
        fs::write(file(), text()).unwrap();
    }
    assert!(
        fs::read_to_string(file()).unwrap_or_default() == text(),
        "run BAHI_UPDATE=1 cargo test -p bahi-events"
    );
}

#[test]
fn the_check_catches_what_breaks_a_consumer() {
    let old = catalogue::asyncapi()["components"]["messages"].clone();
    let caught = |change: fn(&mut Value)| {
        let mut new = old.clone();
        change(&mut new);
        let mut wrong = Vec::new();
        broken(&old, &new, "", &mut wrong);
        !wrong.is_empty()
    };
    assert!(caught(|m| drop(
        m.as_object_mut().unwrap().remove("invoice.issued")
    )));
    assert!(caught(|m| drop(
        m["invoice.issued"]["payload"]["properties"]
            .as_object_mut()
            .unwrap()
            .remove("number")
    )));
    assert!(caught(
        |m| m["invoice.issued"]["payload"]["properties"]["number"]["type"] = "integer".into()
    ));
    assert!(caught(
        |m| m["invoice.issued"]["payload"]["required"] = Value::Array(vec![])
    ));
    assert!(!caught(|m| m["invoice.issued"]["payload"]["properties"]
        ["extra"] =
        serde_json::json!({ "type": "string" })));
}

#[test]
fn every_event_goes_to_the_topic_of_its_domain() {
    let names: Vec<_> = Topic::ALL.iter().map(|t| t.name()).collect();
    for event in catalogue::all() {
        assert!(names.contains(&event.topic), "{}", event.name);
    }
    let mut all: Vec<_> = catalogue::all().iter().map(|e| e.name).collect();
    all.sort_unstable();
    let count = all.len();
    all.dedup();
    assert_eq!(all.len(), count, "an event type is listed twice");
}
