//! What one database has on its way to Kafka: sent, in order, and not all of it acknowledged.
//!
//! Acknowledgements arrive from the producer's thread, per partition in order but across partitions not.
//! The relay takes from the front what is acknowledged without a gap; only that moves its cursor.

use std::{
    collections::VecDeque,
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use prometheus::Histogram;
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::Notify;

/// An event on its way.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Its number in the outbox.
    pub seq: i64,
    /// When its row was inserted; microseconds since 1970.
    pub inserted: i64,
    /// Bytes of key and value.
    pub bytes: u32,
    /// The relay's own number of the topic.
    pub topic: u16,
    /// Whether it moves the cursor: what is published again, or late, does not.
    pub moves: bool,
}

/// Where Kafka put a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The partition.
    pub partition: i32,
    /// The offset; negative where Kafka did not say.
    pub offset: i64,
}

/// What was taken off the front.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Landed {
    /// Position after the last landed event.
    pub base: u64,
    /// The last landed event's number in the outbox, if one landed.
    pub last_seq: Option<i64>,
}

/// The events in flight of one database. Positions grow for as long as the process lives, so that a late
/// acknowledgement of a flight that was given up cannot be taken for one of the next.
pub struct Flight {
    inner: Mutex<Inner>,
    changed: Notify,
    commit_to_ack: Histogram,
}

#[derive(Default)]
struct Inner {
    base: u64,
    events: VecDeque<(Sent, Option<Ack>)>,
    unacknowledged: usize,
    bytes: usize,
    refused: Vec<(i64, RDKafkaErrorCode)>,
}

impl Flight {
    /// An empty flight; `commit_to_ack` observes the seconds from insert to acknowledgement.
    pub fn new(commit_to_ack: Histogram) -> Self {
        Self {
            inner: Mutex::default(),
            changed: Notify::new(),
            commit_to_ack,
        }
    }

    /// Adds an event at the end and returns its position. Call it before the send: the answer may be faster.
    pub fn push(&self, sent: Sent) -> u64 {
        let mut inner = self.inner.lock();
        inner.events.push_back((sent, None));
        inner.unacknowledged += 1;
        inner.bytes += sent.bytes as usize;
        inner.base + inner.events.len() as u64 - 1
    }

    /// Takes the last event back: the producer did not accept it.
    pub fn unpush(&self) {
        let mut inner = self.inner.lock();
        if let Some((sent, _)) = inner.events.pop_back() {
            inner.unacknowledged -= 1;
            inner.bytes -= sent.bytes as usize;
        }
    }

    /// Kafka has the event at `position`.
    pub fn acknowledge(&self, position: u64, ack: Ack) {
        let mut inner = self.inner.lock();
        let Some(index) = position.checked_sub(inner.base) else {
            return;
        };
        let Some((sent, acknowledged)) = inner.events.get_mut(index as usize) else {
            return;
        };
        if acknowledged.replace(ack).is_some() {
            return;
        }
        let sent = *sent;
        inner.unacknowledged -= 1;
        inner.bytes -= sent.bytes as usize;
        drop(inner);
        self.commit_to_ack.observe(seconds_since(sent.inserted));
        self.changed.notify_one();
    }

    /// Kafka will never take the event at `position` as it is.
    pub fn refuse(&self, position: u64, code: RDKafkaErrorCode) {
        let mut inner = self.inner.lock();
        let Some(index) = position.checked_sub(inner.base) else {
            return;
        };
        let Some(&(sent, _)) = inner.events.get(index as usize) else {
            return;
        };
        inner.refused.push((sent.seq, code));
    }

    /// Wakes the relay.
    pub fn wake(&self) {
        self.changed.notify_one();
    }

    /// Until something was acknowledged or [`Flight::wake`] was called.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes the acknowledged events off the front, handing each to `each`.
    pub fn land(&self, mut each: impl FnMut(&Sent, Ack)) -> Landed {
        let mut inner = self.inner.lock();
        let mut last_seq = None;
        while let Some((sent, Some(ack))) = inner.events.front() {
            each(sent, *ack);
            if sent.moves {
                last_seq = Some(sent.seq);
            }
            inner.events.pop_front();
            inner.base += 1;
        }
        Landed {
            base: inner.base,
            last_seq,
        }
    }

    /// Gives up all that is in flight and returns what Kafka had refused of it.
    pub fn abandon(&self) -> Vec<(i64, RDKafkaErrorCode)> {
        let mut inner = self.inner.lock();
        inner.base += inner.events.len() as u64;
        inner.events.clear();
        inner.unacknowledged = 0;
        inner.bytes = 0;
        std::mem::take(&mut inner.refused)
    }

    /// Position of the first event that has not landed.
    pub fn base(&self) -> u64 {
        self.inner.lock().base
    }

    /// Position after the last event.
    pub fn end(&self) -> u64 {
        let inner = self.inner.lock();
        inner.base + inner.events.len() as u64
    }

    /// How many events are held, acknowledged behind a gap or not.
    pub fn len(&self) -> usize {
        self.inner.lock().events.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many events, and of how many bytes, are not acknowledged.
    pub fn load(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.unacknowledged, inner.bytes)
    }

    /// When the oldest event held was inserted; microseconds since 1970.
    pub fn oldest(&self) -> Option<i64> {
        self.inner
            .lock()
            .events
            .front()
            .map(|(sent, _)| sent.inserted)
    }
}

/// Now, in microseconds since 1970.
pub fn now_micros() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_micros());
    i64::try_from(now).unwrap_or(i64::MAX)
}

/// Seconds between a moment in microseconds since 1970 and now; 0 where the clocks disagree.
#[allow(clippy::float_arithmetic)] // a metric
pub fn seconds_since(micros: i64) -> f64 {
    now_micros().saturating_sub(micros).max(0) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use prometheus::HistogramOpts;
    use proptest::prelude::*;

    use super::*;

    const ACK: Ack = Ack {
        partition: 0,
        offset: 0,
    };

    fn flight() -> Flight {
        Flight::new(Histogram::with_opts(HistogramOpts::new("test", "test")).unwrap())
    }

    fn sent(seq: i64) -> Sent {
        Sent {
            seq,
            inserted: 0,
            bytes: 10,
            topic: 0,
            moves: true,
        }
    }

    fn land(flight: &Flight) -> (Vec<i64>, Landed) {
        let mut seqs = Vec::new();
        let landed = flight.land(|sent, _| seqs.push(sent.seq));
        (seqs, landed)
    }

    #[test]
    fn lands_only_what_is_acknowledged_without_a_gap() {
        let flight = flight();
        let positions: Vec<u64> = [10, 11, 14]
            .into_iter()
            .map(|seq| flight.push(sent(seq)))
            .collect();
        flight.acknowledge(positions[1], ACK);
        assert_eq!(
            land(&flight),
            (
                vec![],
                Landed {
                    base: 0,
                    last_seq: None
                }
            )
        );
        flight.acknowledge(positions[0], ACK);
        assert_eq!(
            land(&flight),
            (
                vec![10, 11],
                Landed {
                    base: 2,
                    last_seq: Some(11)
                }
            )
        );
        assert_eq!((flight.len(), flight.load()), (1, (1, 10)));
    }

    #[test]
    fn a_late_acknowledgement_of_a_flight_given_up_counts_for_nothing() {
        let flight = flight();
        let old = flight.push(sent(10));
        flight.refuse(old, RDKafkaErrorCode::MessageSizeTooLarge);
        assert_eq!(
            flight.abandon(),
            [(10, RDKafkaErrorCode::MessageSizeTooLarge)]
        );
        let new = flight.push(sent(10));
        assert_ne!(old, new);
        flight.acknowledge(old, ACK);
        flight.refuse(old, RDKafkaErrorCode::MessageSizeTooLarge);
        assert_eq!(land(&flight).0, Vec::<i64>::new());
        assert_eq!(flight.load(), (1, 10));
        assert!(flight.abandon().is_empty());
    }

    proptest! {
        #[test]
        fn lands_all_in_order_whatever_order_the_answers_come_in(
            order in Just((0..60u64).collect::<Vec<_>>()).prop_shuffle(), twice in 0..60usize
        ) {
            let flight = flight();
            for seq in 0..60 {
                flight.push(sent(seq));
            }
            let mut landed = Vec::new();
            for position in order.iter().chain(&order[..twice]) {
                flight.acknowledge(*position, ACK);
                landed.extend(land(&flight).0);
            }
            prop_assert_eq!(landed, (0..60).collect::<Vec<i64>>());
            prop_assert_eq!(flight.load(), (0, 0));
            prop_assert_eq!(flight.end(), 60);
        }
    }
}
