//! What the worker shows of itself. Labels: the database's service, its shard, and the topic where it matters.

use std::sync::{
    LazyLock,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, core::Collector,
};

/// The metrics of one shard of a database.
#[derive(Clone)]
pub struct Metrics {
    db: String,
    shard: String,
    /// Age of the oldest event that is not known to be published, or of the last look, whichever says more.
    pub lag: Gauge,
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
    /// Seconds since the last checkpoint of what was published.
    pub checkpoint_age: Gauge,
    /// Events that may have been published and were sent again, or will be.
    pub repeated: IntCounter,
    /// Events of an aggregate whose version lay behind the one before.
    pub anomalies: IntCounter,
    /// Parked events that Kafka refused.
    pub parked_refused: IntGauge,
    /// Parked events that wait behind another.
    pub parked_waiting: IntGauge,
    /// Keys of which something is parked.
    pub quarantined: IntGauge,
    /// Parked events that were published after all.
    pub released: IntCounter,
    /// Whether this process relays the shard.
    pub lease_owned: IntGauge,
    /// The number of its lease.
    pub lease_epoch: IntGauge,
    /// Times that another worker had taken the lease.
    pub fenced: IntCounter,
    /// Hints received.
    pub hints: IntCounter,
    /// Slots of the ring emptied.
    pub truncated: IntCounter,
    /// Slots of the ring that should have been emptied two periods ago.
    pub overdue: IntGauge,
    /// Age of the oldest transaction of the database.
    pub oldest_xact: Gauge,
    /// Whether the database was restored and waits for an operator.
    pub restored: IntGauge,
    /// Times that the server was found on another timeline.
    pub failovers: IntCounter,
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
    checkpoint_age: GaugeVec,
    repeated: IntCounterVec,
    anomalies: IntCounterVec,
    parked: IntGaugeVec,
    quarantined: IntGaugeVec,
    released: IntCounterVec,
    lease_owned: IntGaugeVec,
    lease_epoch: IntGaugeVec,
    fenced: IntCounterVec,
    hints: IntCounterVec,
    truncated: IntCounterVec,
    ring_bytes: IntGaugeVec,
    overdue: IntGaugeVec,
    oldest_xact: GaugeVec,
    restored: IntGaugeVec,
    failovers: IntCounterVec,
    missing: IntGaugeVec,
    rebuilds: IntCounterVec,
    kafka_rtt: GaugeVec,
    kafka_wait: GaugeVec,
    kafka_requests: IntGaugeVec,
    kafka_messages: IntGaugeVec,
    kafka_bytes: IntGaugeVec,
}

const SHARD: [&str; 2] = ["db", "shard"];
const DB: [&str; 1] = ["db"];

static ALL: LazyLock<All> = LazyLock::new(|| All {
    lag: gauge(
        "outbox_lag_seconds",
        "Age of the oldest unpublished event",
        &SHARD,
    ),
    backlog: int_gauge(
        "outbox_backlog_events",
        "Unpublished events, estimated",
        &SHARD,
    ),
    published: counter(
        "outbox_published_total",
        "Events acknowledged by Kafka",
        &["db", "topic"],
    ),
    commit_to_ack: histogram(
        "outbox_commit_to_ack_seconds",
        "From the insert of an event to its acknowledgement by Kafka",
        &[
            0.001, 0.002, 0.003, 0.004, 0.006, 0.008, 0.012, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
            5.0, 15.0, 60.0,
        ],
    ),
    window_rows: histogram(
        "outbox_window_rows",
        "Events per window that was not empty",
        &[1.0, 2.0, 5.0, 10.0, 25.0, 100.0, 250.0, 1000.0],
    ),
    poll: histogram(
        "outbox_poll_seconds",
        "Time of a look at the tail of the outbox",
        &[0.0002, 0.0005, 0.001, 0.002, 0.005, 0.02, 0.1, 1.0],
    ),
    inflight_events: int_gauge(
        "outbox_inflight_events",
        "Events sent and not acknowledged",
        &SHARD,
    ),
    inflight_bytes: int_gauge(
        "outbox_inflight_bytes",
        "Bytes sent and not acknowledged",
        &SHARD,
    ),
    checkpoint_age: gauge(
        "outbox_checkpoint_age_seconds",
        "Time since a checkpoint while something published is not in one",
        &SHARD,
    ),
    repeated: counter(
        "outbox_duplicates_possible_total",
        "Events in flight when a session or a producer ended: they are sent again",
        &SHARD,
    ),
    anomalies: counter(
        "outbox_order_anomaly_total",
        "Events whose aggregate's version lay behind that of the event before",
        &DB,
    ),
    parked: int_gauge("outbox_parked", "Parked events", &["db", "state"]),
    quarantined: int_gauge(
        "outbox_quarantined_keys",
        "Keys of which events are parked",
        &DB,
    ),
    released: counter(
        "outbox_released_total",
        "Parked events published after all",
        &DB,
    ),
    lease_owned: int_gauge(
        "outbox_lease_owned",
        "Whether this process relays the shard",
        &SHARD,
    ),
    lease_epoch: int_gauge("outbox_lease_epoch", "Number of the lease", &SHARD),
    fenced: counter(
        "outbox_fenced_total",
        "Times another worker had taken the lease",
        &SHARD,
    ),
    hints: counter("outbox_hint_total", "Hints received", &SHARD),
    truncated: counter(
        "outbox_ring_truncate_total",
        "Slots of the ring emptied",
        &DB,
    ),
    ring_bytes: int_gauge(
        "outbox_ring_bytes",
        "Size of a slot of the ring with its indexes",
        &["db", "slot"],
    ),
    overdue: int_gauge(
        "outbox_ring_overdue",
        "Slots of the ring that hold rows two periods after they could have been emptied",
        &DB,
    ),
    oldest_xact: gauge(
        "outbox_oldest_xact_seconds",
        "Age of the oldest transaction of the database",
        &DB,
    ),
    restored: int_gauge(
        "outbox_restored",
        "Whether the database was restored and nothing is relayed until an operator has rebased it",
        &DB,
    ),
    failovers: counter(
        "outbox_timeline_changes_total",
        "Times the server was found on another timeline",
        &DB,
    ),
    missing: int_gauge(
        "outbox_topic_missing_records",
        "Records that were published and are gone from the topic's end",
        &["db", "topic"],
    ),
    rebuilds: counter(
        "outbox_producer_rebuilds_total",
        "Producers replaced after a failure",
        &[],
    ),
    kafka_rtt: gauge(
        "outbox_kafka_rtt_seconds",
        "Round trip to a broker, 99th percentile",
        &["broker"],
    ),
    kafka_wait: gauge(
        "outbox_kafka_queue_seconds",
        "Time of a record in the producer's queue, 99th percentile",
        &["broker"],
    ),
    kafka_requests: int_gauge(
        "outbox_kafka_requests",
        "Requests that wait to be sent or answered",
        &["broker"],
    ),
    kafka_messages: int_gauge(
        "outbox_kafka_queue_messages",
        "Records in the producer",
        &[],
    ),
    kafka_bytes: int_gauge("outbox_kafka_queue_bytes", "Their bytes", &[]),
});

fn registered<T: Collector + Clone + 'static>(metric: prometheus::Result<T>) -> T {
    let metric = metric.unwrap_or_else(|error| unreachable!("the names above are valid: {error}"));
    // A second registration of a name can only be another copy of this library: its values are lost, no more.
    if let Err(error) = prometheus::register(Box::new(metric.clone())) {
        tracing::warn!(%error, "a metric is not exported");
    }
    metric
}

fn gauge(name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    registered(GaugeVec::new(Opts::new(name, help), labels))
}

fn int_gauge(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(IntGaugeVec::new(Opts::new(name, help), labels))
}

fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(IntCounterVec::new(Opts::new(name, help), labels))
}

fn histogram(name: &str, help: &str, buckets: &[f64]) -> HistogramVec {
    let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    registered(HistogramVec::new(opts, &SHARD))
}

impl Metrics {
    /// The metrics of a shard of the database of service `db`.
    pub fn of(db: &str, shard: i16) -> Self {
        let shard = shard.to_string();
        let both = &[db, shard.as_str()];
        let label = &[db];
        Self {
            lag: ALL.lag.with_label_values(both),
            backlog: ALL.backlog.with_label_values(both),
            commit_to_ack: ALL.commit_to_ack.with_label_values(both),
            window_rows: ALL.window_rows.with_label_values(both),
            poll: ALL.poll.with_label_values(both),
            inflight_events: ALL.inflight_events.with_label_values(both),
            inflight_bytes: ALL.inflight_bytes.with_label_values(both),
            checkpoint_age: ALL.checkpoint_age.with_label_values(both),
            repeated: ALL.repeated.with_label_values(both),
            anomalies: ALL.anomalies.with_label_values(label),
            parked_refused: ALL.parked.with_label_values(&[db, "refused"]),
            parked_waiting: ALL.parked.with_label_values(&[db, "waiting"]),
            quarantined: ALL.quarantined.with_label_values(label),
            released: ALL.released.with_label_values(label),
            lease_owned: ALL.lease_owned.with_label_values(both),
            lease_epoch: ALL.lease_epoch.with_label_values(both),
            fenced: ALL.fenced.with_label_values(both),
            hints: ALL.hints.with_label_values(both),
            truncated: ALL.truncated.with_label_values(label),
            overdue: ALL.overdue.with_label_values(label),
            oldest_xact: ALL.oldest_xact.with_label_values(label),
            restored: ALL.restored.with_label_values(label),
            failovers: ALL.failovers.with_label_values(label),
            db: db.to_owned(),
            shard,
        }
    }

    /// Events of this database published to `topic`.
    pub fn published(&self, topic: &str) -> IntCounter {
        ALL.published.with_label_values(&[&self.db, topic])
    }

    /// Records that `topic` lacks.
    pub fn missing(&self, topic: &str) -> IntGauge {
        ALL.missing.with_label_values(&[&self.db, topic])
    }

    /// The size of a slot of the ring, in bytes.
    pub fn ring_bytes(&self, slot: i16) -> IntGauge {
        ALL.ring_bytes
            .with_label_values(&[&self.db, &slot.to_string()])
    }

    /// This process does not relay the shard: what it knew of it is old.
    pub fn idle(&self) {
        for gauge in [
            &self.lease_owned,
            &self.backlog,
            &self.parked_refused,
            &self.parked_waiting,
            &self.quarantined,
            &self.overdue,
        ] {
            gauge.set(0);
        }
        self.oldest_xact.set(0.0);
    }

    /// The shard is no more: nobody is to wait for its owner.
    pub fn forget(&self) {
        let both = &[self.db.as_str(), self.shard.as_str()];
        // What was never set need not be removed.
        ALL.lag.remove_label_values(both).ok();
        ALL.backlog.remove_label_values(both).ok();
        ALL.lease_owned.remove_label_values(both).ok();
        ALL.lease_epoch.remove_label_values(both).ok();
        ALL.inflight_events.remove_label_values(both).ok();
        ALL.inflight_bytes.remove_label_values(both).ok();
        ALL.checkpoint_age.remove_label_values(both).ok();
    }

    /// Producers replaced after a failure, for the whole process.
    pub fn rebuilds() -> IntCounter {
        ALL.rebuilds.with_label_values::<&str>(&[])
    }
}

/// What librdkafka says of itself.
#[allow(clippy::float_arithmetic)] // a metric
pub fn kafka(statistics: &rdkafka::Statistics) {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    ALL.kafka_messages
        .with_label_values::<&str>(&[])
        .set(count(statistics.msg_cnt));
    ALL.kafka_bytes
        .with_label_values::<&str>(&[])
        .set(count(statistics.msg_size));
    for broker in statistics
        .brokers
        .values()
        .filter(|broker| broker.nodeid >= 0)
    {
        let label = &[broker.name.as_str()];
        if let Some(rtt) = &broker.rtt {
            ALL.kafka_rtt
                .with_label_values(label)
                .set(rtt.p99 as f64 / 1e6);
        }
        if let Some(wait) = &broker.int_latency {
            ALL.kafka_wait
                .with_label_values(label)
                .set(wait.p99 as f64 / 1e6);
        }
        ALL.kafka_requests
            .with_label_values(label)
            .set(broker.outbuf_cnt + broker.waitresp_cnt);
    }
}

/// Where a relay stands, for those who ask from outside its loop.
#[derive(Default)]
pub struct Standing {
    caught_up: AtomicBool,
    position: AtomicI64,
    looked: AtomicI64,
    unsaved: AtomicI64,
    held: AtomicI64,
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

    /// Since when (microseconds since 1970; 0: not at all) something published is in no checkpoint.
    pub fn unsaved_since(&self, since: i64) {
        self.unsaved.store(since, Ordering::Relaxed);
    }

    /// Since when that is.
    pub fn unsaved(&self) -> i64 {
        self.unsaved.load(Ordering::Relaxed)
    }

    /// So many keys are held.
    pub fn hold(&self, keys: usize) {
        self.held
            .store(i64::try_from(keys).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// How many keys are held.
    pub fn held(&self) -> i64 {
        self.held.load(Ordering::Relaxed)
    }

    /// How far the position is from the last number drawn.
    pub fn distance(&self, drawn: i64) -> i64 {
        if self.caught_up.load(Ordering::Relaxed) {
            return 0;
        }
        (drawn - self.position.load(Ordering::Relaxed)).max(0)
    }
}
