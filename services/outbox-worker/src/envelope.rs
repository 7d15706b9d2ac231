//! The record on the wire: the envelope composed around the untouched payload, and its headers.

use std::io::Write;

use rdkafka::message::{Header, OwnedHeaders};
use uuid::Uuid;

use crate::row::Event;

/// Writes the value of the record of `event` over what is in `out`.
pub fn compose(event: &Event<'_>, source_service: &str, out: &mut Vec<u8>) {
    out.clear();
    out.reserve(event.payload.len() + 640);
    out.extend(b"{\"event_id\":\"");
    push_uuid(out, event.event_id);
    out.extend(b"\",\"event_type\":");
    push_json(out, event.event_type);
    out.extend(b",\"version\":");
    push_json(out, event.version);
    out.extend(b",\"timestamp\":\"");
    push_time(out, event.timestamp);
    out.extend(b"\",\"trace_id\":");
    push_opt_uuid(out, event.trace_id);
    out.extend(b",\"source_service\":");
    push_json(out, source_service);
    out.extend(b",\"tenant_id\":\"");
    push_uuid(out, event.tenant_id);
    out.extend(b"\",\"aggregate_type\":");
    push_json(out, event.aggregate_type);
    out.extend(b",\"aggregate_id\":");
    push_json(out, event.aggregate_id);
    out.extend(b",\"aggregate_version\":");
    push_number(out, event.aggregate_version);
    out.extend(b",\"epoch\":");
    push_number(out, event.epoch);
    out.extend(b",\"txid\":");
    push_number(out, event.txid);
    out.extend(b",\"occurred_at\":\"");
    push_time(out, event.occurred_at);
    out.extend(b"\",\"causation_id\":");
    push_opt_uuid(out, event.causation_id);
    out.extend(b",\"correlation_id\":");
    push_opt_uuid(out, event.correlation_id);
    out.extend(b",\"actor\":");
    out.extend(event.actor.unwrap_or("null").as_bytes());
    out.extend(b",\"payload\":");
    out.extend(event.payload.as_bytes());
    out.push(b'}');
}

/// The headers of the record: CloudEvents' Kafka binding in binary mode, the trace, where the row came from,
/// and what the service added. What is published once more bears the number of the command that asked for it.
pub fn headers(
    event: &Event<'_>,
    source_service: &str,
    replay: Option<i64>,
    scratch: &mut Vec<u8>,
) -> OwnedHeaders {
    let mut headers = Headers {
        list: OwnedHeaders::new_with_capacity(16),
        scratch,
    }
    .text("ce_specversion", "1.0")
    .written("ce_id", |out| push_uuid(out, event.event_id))
    .text("ce_type", event.event_type)
    .written("ce_source", |out| {
        out.extend(b"/services/");
        out.extend(source_service.as_bytes());
    })
    .written("ce_time", |out| push_time(out, event.occurred_at))
    .written("ce_subject", |out| {
        out.extend(event.aggregate_type.as_bytes());
        out.push(b'/');
        out.extend(event.aggregate_id.as_bytes());
    })
    .written("ce_dataschema", |out| {
        out.extend(b"urn:erp:");
        out.extend(event.event_type.as_bytes());
        out.push(b':');
        out.extend(event.version.as_bytes());
    })
    .text("content-type", "application/json; charset=utf-8")
    .written("x-aggregate-version", |out| {
        push_number(out, event.aggregate_version)
    })
    .written("x-outbox-seq", |out| push_number(out, event.seq))
    .written("x-outbox-epoch", |out| push_number(out, event.epoch));
    if let Some(traceparent) = event.traceparent {
        headers = headers.text("traceparent", traceparent);
    }
    if let Some(command) = replay {
        headers = headers.written("x-replay", |out| push_number(out, command));
    }
    match event.headers {
        Some(additional) => headers.additional(additional),
        None => headers,
    }
    .list
}

struct Headers<'s> {
    list: OwnedHeaders,
    scratch: &'s mut Vec<u8>,
}

impl Headers<'_> {
    fn text(mut self, key: &str, value: &str) -> Self {
        self.list = self.list.insert(Header {
            key,
            value: Some(value),
        });
        self
    }

    fn written(mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        self.scratch.clear();
        write(self.scratch);
        self.list = self.list.insert(Header {
            key,
            value: Some(self.scratch.as_slice()),
        });
        self
    }

    /// The table accepts an object only; strings go as they are, other values as JSON.
    fn additional(mut self, json: &str) -> Self {
        let map: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(json).unwrap_or_default();
        for (key, value) in &map {
            self = match value.as_str() {
                Some(text) => self.text(key, text),
                None => self.text(key, &value.to_string()),
            };
        }
        self
    }
}

fn push_number(out: &mut Vec<u8>, number: i64) {
    // Writing to a Vec does not fail.
    let _ = write!(out, "{number}");
}

fn push_uuid(out: &mut Vec<u8>, id: Uuid) {
    out.extend(
        id.hyphenated()
            .encode_lower(&mut Uuid::encode_buffer())
            .as_bytes(),
    );
}

fn push_opt_uuid(out: &mut Vec<u8>, id: Option<Uuid>) {
    match id {
        Some(id) => {
            out.push(b'"');
            push_uuid(out, id);
            out.push(b'"');
        }
        None => out.extend(b"null"),
    }
}

/// A JSON string. Nearly every text here is plain, so look first and copy whole.
fn push_json(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if text
        .bytes()
        .all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\')
    {
        out.extend(text.as_bytes());
    } else {
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => out.extend([b'\\', byte]),
                0..0x20 => {
                    let _ = write!(out, "\\u{byte:04x}");
                }
                byte => out.push(byte),
            }
        }
    }
    out.push(b'"');
}

const DAY: i64 = 86_400_000_000;
/// The last microsecond of the year 9999: RFC 3339 has four digits for the year.
const LAST: i64 = 253_402_300_799_999_999;

/// RFC 3339 in UTC with microseconds. The table refuses business times outside 1970..9999.
fn push_time(out: &mut Vec<u8>, micros: i64) {
    let micros = micros.clamp(0, LAST);
    let (days, time) = (micros / DAY, micros % DAY);
    let (year, month, day) = civil(days);
    let (seconds, fraction) = (time / 1_000_000, time % 1_000_000);
    push_digits::<4>(out, year);
    out.push(b'-');
    push_digits::<2>(out, month);
    out.push(b'-');
    push_digits::<2>(out, day);
    out.push(b'T');
    push_digits::<2>(out, seconds / 3600);
    out.push(b':');
    push_digits::<2>(out, seconds / 60 % 60);
    out.push(b':');
    push_digits::<2>(out, seconds % 60);
    out.push(b'.');
    push_digits::<6>(out, fraction);
    out.push(b'Z');
}

fn push_digits<const N: usize>(out: &mut Vec<u8>, mut number: i64) {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend(digits);
}

/// Days since 1970-01-01 to year, month, day (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, SecondsFormat};
    use proptest::prelude::*;
    use rdkafka::message::Headers as _;
    use serde_json::{Value, json};

    use super::*;

    fn event() -> Event<'static> {
        Event {
            seq: 42,
            slot: 3,
            durable: true,
            event_id: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001),
            topic: "orders.events.v1",
            key: "t|l|p",
            event_type: "order.created",
            version: "v1",
            aggregate_type: "order",
            aggregate_id: "o-1",
            aggregate_version: 5,
            epoch: 2,
            timestamp: 1_729_359_120_000_001,
            occurred_at: 1_729_359_119_500_000,
            tenant_id: Uuid::from_u128(7),
            trace_id: Some(Uuid::from_u128(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736)),
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            causation_id: None,
            correlation_id: Some(Uuid::from_u128(9)),
            actor: Some(r#"{"id": "u", "type": "user"}"#),
            headers: None,
            payload: r#"{ "total" : "1500.00","items":[ ] }"#,
            txid: 815,
        }
    }

    fn value(event: &Event<'_>) -> String {
        let mut out = b"left over".to_vec();
        compose(event, "sales", &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_envelope_is_a_contract() {
        let expected = concat!(
            r#"{"event_id":"01900000-0000-7000-8000-000000000001","event_type":"order.created","version":"v1","#,
            r#""timestamp":"2024-10-19T17:32:00.000001Z","trace_id":"4bf92f35-77b3-4da6-a3ce-929d0e0e4736","#,
            r#""source_service":"sales","tenant_id":"00000000-0000-0000-0000-000000000007","aggregate_type":"order","#,
            r#""aggregate_id":"o-1","aggregate_version":5,"epoch":2,"txid":815,"occurred_at":"2024-10-19T17:31:59.500000Z","#,
            r#""causation_id":null,"correlation_id":"00000000-0000-0000-0000-000000000009","#,
            r#""actor":{"id": "u", "type": "user"},"payload":{ "total" : "1500.00","items":[ ] }}"#,
        );
        assert_eq!(value(&event()), expected);
    }

    #[test]
    fn the_headers_are_a_contract() {
        let event = Event {
            headers: Some(r#"{"x-shard": "7", "x-n": 7}"#),
            ..event()
        };
        let headers = headers(&event, "sales", Some(3), &mut Vec::new());
        let pairs: Vec<(&str, &str)> = headers
            .iter()
            .map(|header| {
                (
                    header.key,
                    std::str::from_utf8(header.value.unwrap()).unwrap(),
                )
            })
            .collect();
        assert_eq!(
            pairs,
            [
                ("ce_specversion", "1.0"),
                ("ce_id", "01900000-0000-7000-8000-000000000001"),
                ("ce_type", "order.created"),
                ("ce_source", "/services/sales"),
                ("ce_time", "2024-10-19T17:31:59.500000Z"),
                ("ce_subject", "order/o-1"),
                ("ce_dataschema", "urn:erp:order.created:v1"),
                ("content-type", "application/json; charset=utf-8"),
                ("x-aggregate-version", "5"),
                ("x-outbox-seq", "42"),
                ("x-outbox-epoch", "2"),
                (
                    "traceparent",
                    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
                ),
                ("x-replay", "3"),
                ("x-n", "7"),
                ("x-shard", "7"),
            ]
        );
    }

    proptest! {
        #[test]
        fn any_text_makes_valid_json(key in "\\PC*|[\\x00-\\x7f]*") {
            let event = Event { aggregate_id: &key, actor: None, trace_id: None, ..event() };
            let parsed: Value = serde_json::from_str(&value(&event)).unwrap();
            prop_assert_eq!(&parsed["aggregate_id"], &json!(key));
            prop_assert_eq!(&parsed["actor"], &Value::Null);
            prop_assert_eq!(&parsed["payload"]["total"], &json!("1500.00"));
        }

        #[test]
        fn times_are_those_of_the_calendar(micros in 0..=LAST) {
            let mut out = Vec::new();
            push_time(&mut out, micros);
            let expected = DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339_opts(SecondsFormat::Micros, true);
            prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
