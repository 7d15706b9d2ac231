//! A record as it came, from Kafka or out of quarantine, and what can be read from it.

use std::{borrow::Cow, panic::AssertUnwindSafe};

use bahi_db::{Held, Quarantined};
use bahi_events::{Envelope, VERSION};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use chrono::{DateTime, Utc};
use rdkafka::{
    Message,
    message::{BorrowedHeaders, BorrowedMessage, Headers},
};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// A record.
#[derive(Clone)]
pub(crate) struct Record<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    pub recorded_at: Option<DateTime<Utc>>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// The header `ce_type`.
    pub kind: Option<&'a str>,
    /// The header `traceparent`.
    pub trace: Option<&'a str>,
    /// It lies below the furthest position: this partition is being read again.
    pub again: bool,
    headers: Source<'a>,
}

/// Where headers are read from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Kafka(&'a BorrowedHeaders),
    Stored(&'a Value),
    None,
}

impl<'a> Source<'a> {
    pub(crate) fn of(message: &'a BorrowedMessage<'_>) -> Self {
        message.headers().map_or(Self::None, Self::Kafka)
    }
}

/// The last header of this name, where it is text.
pub(crate) fn named<'a>(headers: Source<'a>, name: &str) -> Option<&'a str> {
    match headers {
        Source::None => None,
        Source::Kafka(headers) => (0..headers.count())
            .filter_map(|at| header(headers, at))
            .filter(|(found, _)| *found == name)
            .filter_map(|(_, value)| value.and_then(text))
            .next_back(),
        Source::Stored(stored) => {
            let all = stored.as_array().into_iter().flatten();
            all.filter(|pair| pair[0] == name)
                .filter_map(|pair| pair[1].as_str())
                .next_back()
        }
    }
}

/// Why a record cannot be read as an event.
#[derive(Debug)]
pub(crate) struct Poison {
    pub reason: &'static str,
    pub error: String,
    pub event_id: Option<Uuid>,
}

impl<'a> Record<'a> {
    pub(crate) fn from_kafka(message: &'a BorrowedMessage<'_>, highest: i64) -> Self {
        let headers = Source::of(message);
        Self {
            topic: message.topic(),
            partition: message.partition(),
            offset: message.offset(),
            recorded_at: message
                .timestamp()
                .to_millis()
                .and_then(DateTime::from_timestamp_millis),
            key: message.key(),
            value: message.payload(),
            kind: named(headers, "ce_type"),
            trace: named(headers, "traceparent"),
            again: message.offset() < highest,
            headers,
        }
    }

    pub(crate) fn from_quarantine(held: &'a Held) -> Self {
        let headers = Source::Stored(&held.headers);
        Self {
            topic: &held.topic,
            partition: held.partition,
            offset: held.offset,
            recorded_at: held.recorded_at,
            key: held.key.as_deref(),
            value: held.value.as_deref(),
            kind: named(headers, "ce_type"),
            trace: named(headers, "traceparent"),
            again: false,
            headers,
        }
    }

    /// A value without Kafka around it.
    pub(crate) fn bare(topic: &'a str, key: &'a str, offset: i64, value: &'a [u8]) -> Self {
        Self {
            topic,
            partition: 0,
            offset,
            recorded_at: None,
            key: Some(key.as_bytes()),
            value: Some(value),
            kind: None,
            trace: None,
            again: false,
            headers: Source::None,
        }
    }

    /// The event type: from the header, else from the value.
    pub(crate) fn event_type(&self) -> Result<Cow<'a, str>, Poison> {
        #[derive(Deserialize)]
        struct Peek<'a> {
            #[serde(borrow)]
            event_type: Cow<'a, str>,
        }
        if let Some(kind) = self.kind {
            return Ok(Cow::Borrowed(kind));
        }
        let peek: Result<Peek<'a>, _> = serde_json::from_slice(self.value.unwrap_or_default());
        peek.map(|peek| peek.event_type)
            .map_err(|error| self.poison(&error))
    }

    /// What is wrong with a value that could not be decoded. Reads it once more, which is rare.
    pub(crate) fn poison(&self, error: &serde_json::Error) -> Poison {
        let poison = |reason, event_id| Poison {
            reason,
            error: error.to_string(),
            event_id,
        };
        let value: Value = match serde_json::from_slice(self.value.unwrap_or_default()) {
            Ok(value) => value,
            Err(_) => return poison("not_json", None),
        };
        let event_id = value["event_id"].as_str().and_then(|id| id.parse().ok());
        // Of another contract nothing else can be said.
        if value["version"].as_str().is_some_and(|v| !is_known(v)) {
            return poison("unknown_version", event_id);
        }
        if value.is_object() && value["tenant_id"].is_null() {
            return poison("no_tenant", event_id);
        }
        match serde_json::from_value::<Envelope<Value>>(value) {
            Ok(_) => poison("bad_payload", event_id),
            Err(_) => poison("bad_envelope", event_id),
        }
    }

    /// The record on its way into quarantine.
    pub(crate) fn quarantined(&self, event_id: Option<Uuid>, aside: Aside) -> Quarantined {
        Quarantined {
            topic: self.topic.to_owned(),
            partition: self.partition,
            offset: self.offset,
            key: self.key.map(<[u8]>::to_vec),
            value: self.value.map(<[u8]>::to_vec),
            headers: self.headers(),
            recorded_at: self.recorded_at,
            event_id,
            rejected: aside.rejected,
            reason: aside.reason.to_owned(),
            error: aside.error,
            attempts: aside.attempts,
        }
    }

    fn headers(&self) -> Value {
        match self.headers {
            Source::None => json!([]),
            Source::Stored(stored) => stored.clone(),
            Source::Kafka(headers) => {
                let pairs = (0..headers.count()).filter_map(|at| header(headers, at));
                pairs
                    .map(|(name, value)| json!([name, value.map(readable)]))
                    .collect()
            }
        }
    }
}

/// Whether this code knows the contract: `v1`, or `v1.` with whatever was added.
pub(crate) fn is_known(version: &str) -> bool {
    version.split('.').next() == Some(VERSION)
}

/// Why a record is put aside.
#[derive(Debug)]
pub(crate) struct Aside {
    pub rejected: bool,
    pub reason: &'static str,
    pub error: String,
    pub attempts: i32,
}

impl Aside {
    /// The culprit of its key.
    pub(crate) fn rejected(reason: &'static str, error: &str, attempts: i32) -> Self {
        // PostgreSQL takes no NUL, and nobody reads more than this.
        let error = error.chars().filter(|c| *c != '\0').take(2_000).collect();
        Self {
            rejected: true,
            reason,
            error,
            attempts,
        }
    }

    /// It stands behind a culprit.
    pub(crate) fn waiting() -> Self {
        Self {
            rejected: false,
            reason: "behind_rejected",
            error: String::new(),
            attempts: 0,
        }
    }
}

/// The client library panics on a header name that is not UTF-8; such a header is passed over.
fn header(headers: &BorrowedHeaders, at: usize) -> Option<(&str, Option<&[u8]>)> {
    let read = || headers.try_get(at).map(|header| (header.key, header.value));
    std::panic::catch_unwind(AssertUnwindSafe(read))
        .ok()
        .flatten()
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Text as it is, anything else in base64.
fn readable(value: &[u8]) -> Value {
    match text(value).filter(|text| !text.contains('\0')) {
        Some(text) => json!(text),
        None => json!({ "base64": BASE64.encode(value) }),
    }
}

/// The bytes of a stored header's value.
pub(crate) fn header_bytes(stored: &Value) -> Option<Vec<u8>> {
    match stored {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Object(_) => BASE64
            .decode(stored["base64"].as_str().unwrap_or_default())
            .ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poison(value: &[u8]) -> &'static str {
        let record = Record::bare("t", "k", 0, value);
        let error = serde_json::from_slice::<Envelope<u8>>(value).unwrap_err();
        record.poison(&error).reason
    }

    #[test]
    fn the_kinds_of_poison_are_told_apart() {
        let envelope = json!({
            "event_id": Uuid::now_v7(), "event_type": "a.b", "version": "v1", "timestamp": "2026-04-01T00:00:00Z",
            "source_service": "x", "tenant_id": Uuid::now_v7(), "aggregate_type": "a", "aggregate_id": "1",
            "aggregate_version": 1, "epoch": 1, "occurred_at": "2026-04-01T00:00:00Z", "payload": "no number",
        });
        let without = |field: &str| {
            let mut other = envelope.clone();
            other.as_object_mut().unwrap().remove(field);
            other.to_string().into_bytes()
        };
        assert_eq!(poison(b"\xff\x00 nonsense"), "not_json");
        assert_eq!(poison(b""), "not_json");
        assert_eq!(poison(b"[1, 2]"), "bad_envelope");
        assert_eq!(poison(&without("tenant_id")), "no_tenant");
        assert_eq!(poison(&without("epoch")), "bad_envelope");
        assert_eq!(poison(&without("version")), "bad_envelope");
        let mut later = envelope.clone();
        later["version"] = json!("v2");
        later.as_object_mut().unwrap().remove("tenant_id");
        assert_eq!(poison(later.to_string().as_bytes()), "unknown_version");
        assert!(is_known("v1") && is_known("v1.4") && !is_known("v10") && !is_known(""));
        assert_eq!(poison(envelope.to_string().as_bytes()), "bad_payload");
    }

    #[test]
    fn any_header_survives_storage() {
        for value in [&b"text"[..], b"", b"\0nul", b"\xff\xfe"] {
            assert_eq!(header_bytes(&readable(value)).as_deref(), Some(value));
        }
    }
}
