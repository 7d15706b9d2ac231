//! What the worker shows of itself. Labels: the database's service, and the topic where it matters.

use std::sync::{
    LazyLock,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use prometheus::{
    GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    register_gauge_vec, register_histogram_vec, register_int_counter, register_int_counter_vec,
    register_int_gauge_vec,
};

/// The metrics of one database.
#[derive(Clone)]
pub struct Metrics {
    db: String,
    /// Age of the oldest event that is not known to be published, or of the last look, whichever says more.
    pub lag: prometheus::Gauge,
    /// Events in the outbox and not yet published; an estimate from the sequence.
    pub backlog: IntGauge,
    /// Seconds from insert to acknowledgement.
    pub commit_to_ack: Histogram,
    /// Rows per window that was not empty.
    pub window_rows: Histogram,
    /// Seconds per look at the tail.
    pub poll: Histogram,
    /// Events sent and not acknowledged.
    pub inflight_events: IntGauge,
    /// Their bytes.
    pub inflight_bytes: IntGauge,
    /// Parked events that Kafka refused.
    pub parked_refused: IntGauge,
    /// Parked events that wait behind another.
    pub parked_waiting: IntGauge,
    /// Whether this process relays the database.
    pub lease_owned: IntGauge,
    /// The number of its lease.
    pub lease_epoch: IntGauge,
    /// Times that another worker had taken the lease.
    pub fenced: IntCounter,
    /// Hints received.
    pub hints: IntCounter,
    /// Slots of the ring emptied.
    pub truncated: IntCounter,
}

struct All {
    lag: GaugeVec,
    backlog: IntGaugeVec,
    published: IntCounterVec,
    commit_to_ack: HistogramVec,
    window_rows: HistogramVec,
    poll: HistogramVec,
    inflight_events: IntGaugeVec,
    inflight_bytes: IntGaugeVec,
    parked: IntGaugeVec,
    lease_owned: IntGaugeVec,
    lease_epoch: IntGaugeVec,
    fenced: IntCounterVec,
    hints: IntCounterVec,
    truncated: IntCounterVec,
    rebuilds: IntCounter,
}

#[allow(clippy::unwrap_used)] // Constant names and labels.
static ALL: LazyLock<All> = LazyLock::new(|| All {
    lag: register_gauge_vec!(
        "outbox_lag_seconds",
        "Age of the oldest unpublished event",
        &["db"]
    )
    .unwrap(),
    backlog: register_int_gauge_vec!(
        "outbox_backlog_events",
        "Unpublished events, estimated",
        &["db"]
    )
    .unwrap(),
    published: register_int_counter_vec!(
        "outbox_published_total",
        "Events acknowledged by Kafka",
        &["db", "topic"]
    )
    .unwrap(),
    commit_to_ack: register_histogram_vec!(
        "outbox_commit_to_ack_seconds",
        "From the insert of an event to its acknowledgement by Kafka",
        &["db"],
        vec![
            0.001, 0.002, 0.003, 0.004, 0.006, 0.008, 0.012, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
            5.0, 15.0, 60.0
        ]
    )
    .unwrap(),
    window_rows: register_histogram_vec!(
        "outbox_window_rows",
        "Events per window that was not empty",
        &["db"],
        vec![1.0, 2.0, 5.0, 10.0, 25.0, 100.0, 250.0, 1000.0]
    )
    .unwrap(),
    poll: register_histogram_vec!(
        "outbox_poll_seconds",
        "Time of a look at the tail of the outbox",
        &["db"],
        vec![0.0002, 0.0005, 0.001, 0.002, 0.005, 0.02, 0.1, 1.0]
    )
    .unwrap(),
    inflight_events: register_int_gauge_vec!(
        "outbox_inflight_events",
        "Events sent and not acknowledged",
        &["db"]
    )
    .unwrap(),
    inflight_bytes: register_int_gauge_vec!(
        "outbox_inflight_bytes",
        "Bytes sent and not acknowledged",
        &["db"]
    )
    .unwrap(),
    parked: register_int_gauge_vec!("outbox_parked", "Parked events", &["db", "state"]).unwrap(),
    lease_owned: register_int_gauge_vec!(
        "outbox_lease_owned",
        "Whether this process relays the database",
        &["db"]
    )
    .unwrap(),
    lease_epoch: register_int_gauge_vec!("outbox_lease_epoch", "Number of the lease", &["db"])
        .unwrap(),
    fenced: register_int_counter_vec!(
        "outbox_fenced_total",
        "Times another worker had taken the lease",
        &["db"]
    )
    .unwrap(),
    hints: register_int_counter_vec!("outbox_hint_total", "Hints received", &["db"]).unwrap(),
    truncated: register_int_counter_vec!(
        "outbox_ring_truncate_total",
        "Slots of the ring emptied",
        &["db"]
    )
    .unwrap(),
    rebuilds: register_int_counter!(
        "outbox_producer_rebuilds_total",
        "Producers replaced after a failure"
    )
    .unwrap(),
});

impl Metrics {
    /// The metrics of the database of service `db`.
    pub fn of(db: &str) -> Self {
        let label = &[db];
        Self {
            db: db.to_owned(),
            lag: ALL.lag.with_label_values(label),
            backlog: ALL.backlog.with_label_values(label),
            commit_to_ack: ALL.commit_to_ack.with_label_values(label),
            window_rows: ALL.window_rows.with_label_values(label),
            poll: ALL.poll.with_label_values(label),
            inflight_events: ALL.inflight_events.with_label_values(label),
            inflight_bytes: ALL.inflight_bytes.with_label_values(label),
            parked_refused: ALL.parked.with_label_values(&[db, "refused"]),
            parked_waiting: ALL.parked.with_label_values(&[db, "waiting"]),
            lease_owned: ALL.lease_owned.with_label_values(label),
            lease_epoch: ALL.lease_epoch.with_label_values(label),
            fenced: ALL.fenced.with_label_values(label),
            hints: ALL.hints.with_label_values(label),
            truncated: ALL.truncated.with_label_values(label),
        }
    }

    /// Events of this database published to `topic`.
    pub fn published(&self, topic: &str) -> IntCounter {
        ALL.published.with_label_values(&[&self.db, topic])
    }

    /// Producers replaced after a failure, for the whole process.
    pub fn rebuilds() -> IntCounter {
        ALL.rebuilds.clone()
    }
}

/// Where a relay stands, for those who ask from outside its loop.
#[derive(Default)]
pub struct Standing {
    caught_up: AtomicBool,
    position: AtomicI64,
    looked: AtomicI64,
}

impl Standing {
    /// At `now` (microseconds since 1970) the outbox was read to its end.
    pub fn looked(&self, now: i64) {
        self.looked.store(now, Ordering::Relaxed);
    }

    /// Whether everything that was read is published and nothing more was there.
    pub fn caught_up(&self, caught_up: bool) {
        self.caught_up.store(caught_up, Ordering::Relaxed);
    }

    /// Published up to this number, give or take a window.
    pub fn at(&self, seq: i64) {
        self.position.store(seq, Ordering::Relaxed);
    }

    /// Where that is.
    pub fn position(&self) -> i64 {
        self.position.load(Ordering::Relaxed)
    }

    /// When the outbox was last read to its end; microseconds since 1970.
    pub fn last_look(&self) -> i64 {
        self.looked.load(Ordering::Relaxed)
    }

    /// How far the position is from the last number drawn.
    pub fn distance(&self, drawn: i64) -> i64 {
        if self.caught_up.load(Ordering::Relaxed) {
            return 0;
        }
        (drawn - self.position.load(Ordering::Relaxed)).max(0)
    }
}
