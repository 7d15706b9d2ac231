//! One row of the outbox, borrowed from the bytes that PostgreSQL sent: nothing is copied or parsed twice.

use std::error::Error;

use bytes::Bytes;
use tokio_postgres::types::{FromSql, Type};
use uuid::Uuid;

/// The columns of an event in the order in which [`Event::decode`] takes them.
pub const COLUMNS: &str = "seq, slot, durable, event_id, topic, key, event_type, version, aggregate_type, aggregate_id, \
     aggregate_version, epoch, \"timestamp\", occurred_at, tenant_id, trace_id, traceparent, causation_id, correlation_id, \
     actor, headers, payload, txid";

/// Microseconds between 1970 (ours) and 2000 (PostgreSQL's).
const EPOCH_SHIFT: i64 = 946_684_800_000_000;

/// An event as it lies in the outbox. Times are microseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the columns of outbox.event, documented there
pub struct Event<'a> {
    pub seq: i64,
    pub slot: i16,
    pub durable: bool,
    pub event_id: Uuid,
    pub topic: &'a str,
    pub key: &'a str,
    pub event_type: &'a str,
    pub version: &'a str,
    pub aggregate_type: &'a str,
    pub aggregate_id: &'a str,
    pub aggregate_version: i64,
    pub epoch: i64,
    pub timestamp: i64,
    pub occurred_at: i64,
    pub tenant_id: Uuid,
    pub trace_id: Option<Uuid>,
    pub traceparent: Option<&'a str>,
    pub causation_id: Option<Uuid>,
    pub correlation_id: Option<Uuid>,
    /// JSON text.
    pub actor: Option<&'a str>,
    /// JSON text of an object.
    pub headers: Option<&'a str>,
    /// JSON text, byte for byte as it was inserted.
    pub payload: &'a str,
    /// The transaction that inserted it.
    pub txid: i64,
}

/// Bytes that are not what the statement asked for: another version of the table, or a broken stream.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("malformed row: {0}")]
pub struct Malformed(pub &'static str);

/// Where the fields of a row come from, one after the other, in PostgreSQL's binary format.
pub trait Fields<'a> {
    /// The next field; None is NULL.
    fn next(&mut self) -> Result<Option<&'a [u8]>, Malformed>;
}

impl<'a> Event<'a> {
    /// Reads an event out of the fields named by [`COLUMNS`].
    pub fn decode(fields: &mut impl Fields<'a>) -> Result<Self, Malformed> {
        let mut need = || fields.next()?.ok_or(Malformed("a null where none may be"));
        let seq = i64::from_be_bytes(fixed(need()?)?);
        let slot = i16::from_be_bytes(fixed(need()?)?);
        let durable = fixed::<1>(need()?)? != [0];
        let event_id = Uuid::from_bytes(fixed(need()?)?);
        let topic = text(need()?)?;
        let key = text(need()?)?;
        let event_type = text(need()?)?;
        let version = text(need()?)?;
        let aggregate_type = text(need()?)?;
        let aggregate_id = text(need()?)?;
        let aggregate_version = i64::from_be_bytes(fixed(need()?)?);
        let epoch = i64::from_be_bytes(fixed(need()?)?);
        let timestamp = micros(need()?)?;
        let occurred_at = micros(need()?)?;
        let tenant_id = Uuid::from_bytes(fixed(need()?)?);
        let trace_id = uuid(fields.next()?)?;
        let traceparent = fields.next()?.map(text).transpose()?;
        let causation_id = uuid(fields.next()?)?;
        let correlation_id = uuid(fields.next()?)?;
        let actor = fields.next()?.map(jsonb).transpose()?;
        let headers = fields.next()?.map(jsonb).transpose()?;
        let payload = text(fields.next()?.ok_or(Malformed("no payload"))?)?;
        let txid = i64::from_be_bytes(fixed(fields.next()?.ok_or(Malformed("no txid"))?)?);
        Ok(Self {
            seq,
            slot,
            durable,
            event_id,
            topic,
            key,
            event_type,
            version,
            aggregate_type,
            aggregate_id,
            aggregate_version,
            epoch,
            timestamp,
            occurred_at,
            tenant_id,
            trace_id,
            traceparent,
            causation_id,
            correlation_id,
            actor,
            headers,
            payload,
            txid,
        })
    }
}

fn fixed<const N: usize>(field: &[u8]) -> Result<[u8; N], Malformed> {
    field
        .try_into()
        .map_err(|_| Malformed("a field of another length"))
}

fn text(field: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(field).map_err(|_| Malformed("text that is not UTF-8"))
}

fn uuid(field: Option<&[u8]>) -> Result<Option<Uuid>, Malformed> {
    field
        .map(|field| Ok(Uuid::from_bytes(fixed(field)?)))
        .transpose()
}

fn micros(field: &[u8]) -> Result<i64, Malformed> {
    Ok(i64::from_be_bytes(fixed(field)?).saturating_add(EPOCH_SHIFT))
}

/// jsonb travels as a version byte, always 1, before its text.
fn jsonb(field: &[u8]) -> Result<&str, Malformed> {
    match field {
        [1, json @ ..] => text(json),
        _ => Err(Malformed("an unknown version of jsonb")),
    }
}

/// The fields of a row of a prepared statement, from a column on.
pub struct RowFields<'a> {
    row: &'a tokio_postgres::Row,
    next: usize,
}

impl<'a> RowFields<'a> {
    /// Starts at column `first`.
    pub fn new(row: &'a tokio_postgres::Row, first: usize) -> Self {
        Self { row, next: first }
    }
}

impl<'a> Fields<'a> for RowFields<'a> {
    fn next(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let field: Option<Raw<'a>> = self
            .row
            .try_get(self.next)
            .map_err(|_| Malformed("a column too few"))?;
        self.next += 1;
        Ok(field.map(|raw| raw.0))
    }
}

/// A value of any type as the bytes it came in.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The rows of one message of `COPY ... TO STDOUT (FORMAT BINARY)`. PostgreSQL sends a row per message,
/// the header in front of the first and the trailer in the last.
pub struct CopyRows<'a> {
    rest: &'a [u8],
}

const COPY_SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

impl<'a> CopyRows<'a> {
    /// `first`: whether this is the first message of the stream.
    pub fn new(message: &'a Bytes, first: bool) -> Result<Self, Malformed> {
        let mut rest: &[u8] = message;
        if first {
            rest = rest
                .strip_prefix(COPY_SIGNATURE)
                .ok_or(Malformed("not a binary copy"))?;
            let _flags = take(&mut rest, 4)?;
            let extension = length(&mut rest)?.ok_or(Malformed("a negative extension"))?;
            take(&mut rest, extension)?;
        }
        Ok(Self { rest })
    }

    /// The fields of the next row; None at the end of the message or of the copy.
    pub fn next_row(&mut self) -> Result<Option<CopyFields<'a, '_>>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let count = i16::from_be_bytes(fixed(take(&mut self.rest, 2)?)?);
        if count < 0 {
            self.rest = &[];
            return Ok(None);
        }
        Ok(Some(CopyFields {
            rest: &mut self.rest,
        }))
    }
}

/// The fields of a row of a copy.
pub struct CopyFields<'a, 'r> {
    rest: &'r mut &'a [u8],
}

impl<'a> Fields<'a> for CopyFields<'a, '_> {
    fn next(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match length(self.rest)? {
            Some(length) => take(self.rest, length).map(Some),
            None => Ok(None),
        }
    }
}

fn length(rest: &mut &[u8]) -> Result<Option<usize>, Malformed> {
    let length = i32::from_be_bytes(fixed(take(rest, 4)?)?);
    Ok(usize::try_from(length).ok())
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], Malformed> {
    let (taken, left) = rest
        .split_at_checked(count)
        .ok_or(Malformed("a row cut short"))?;
    *rest = left;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(out: &mut Vec<u8>, value: Option<&[u8]>) {
        match value {
            Some(value) => {
                out.extend((value.len() as i32).to_be_bytes());
                out.extend(value);
            }
            None => out.extend((-1i32).to_be_bytes()),
        }
    }

    fn row() -> Vec<u8> {
        let id = Uuid::from_u128(7);
        let mut out = 23i16.to_be_bytes().to_vec();
        field(&mut out, Some(&42i64.to_be_bytes()));
        field(&mut out, Some(&3i16.to_be_bytes()));
        field(&mut out, Some(&[1]));
        field(&mut out, Some(id.as_bytes()));
        for text in [
            "orders.events.v1",
            "k",
            "order.created",
            "v1",
            "order",
            "o-1",
        ] {
            field(&mut out, Some(text.as_bytes()));
        }
        for number in [5i64, 1, 1_000_000, 2_000_000] {
            field(&mut out, Some(&number.to_be_bytes()));
        }
        field(&mut out, Some(id.as_bytes()));
        for _ in 0..4 {
            field(&mut out, None);
        }
        field(&mut out, Some(b"\x01{\"id\":1}"));
        field(&mut out, None);
        field(&mut out, Some(b"{ \"a\":1 }"));
        field(&mut out, Some(&815i64.to_be_bytes()));
        out
    }

    #[test]
    fn reads_the_rows_of_a_copy() {
        let mut stream = COPY_SIGNATURE.to_vec();
        stream.extend([0; 8]);
        stream.extend(row());
        stream.extend(row());
        stream.extend((-1i16).to_be_bytes());
        let message = Bytes::from(stream);
        let mut rows = CopyRows::new(&message, true).unwrap();
        for _ in 0..2 {
            let event = Event::decode(&mut rows.next_row().unwrap().unwrap()).unwrap();
            assert_eq!(
                (event.seq, event.slot, event.key, event.aggregate_version),
                (42, 3, "k", 5)
            );
            assert_eq!(event.txid, 815);
            assert_eq!(
                (event.timestamp, event.actor, event.payload),
                (EPOCH_SHIFT + 1_000_000, Some("{\"id\":1}"), "{ \"a\":1 }")
            );
        }
        assert!(rows.next_row().unwrap().is_none());
    }

    #[test]
    fn a_row_cut_short_is_an_error_and_never_a_panic() {
        let whole = row();
        for end in 1..whole.len() {
            let message = Bytes::copy_from_slice(&whole[..end]);
            let mut rows = CopyRows::new(&message, false).unwrap();
            let outcome = rows.next_row().and_then(|fields| {
                fields
                    .map(|mut fields| Event::decode(&mut fields))
                    .unwrap_or(Err(Malformed("none")))
            });
            assert!(outcome.is_err(), "cut at {end}");
        }
    }

    #[test]
    fn another_stream_is_refused() {
        assert!(CopyRows::new(&Bytes::from_static(b"1\t2\n"), true).is_err());
    }
}
