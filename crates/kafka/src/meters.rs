//! Prometheus metrics of consumers, in the default registry.

use std::sync::LazyLock;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, core::Collector};

use crate::worker::Tally;

fn registered<T: Collector + Clone + 'static>(metric: prometheus::Result<T>) -> T {
    let metric = metric.unwrap_or_else(|error| unreachable!("the names below are valid: {error}"));
    // A second registration of the name can only be another copy of this library: its values are lost, no more.
    if let Err(error) = prometheus::register(Box::new(metric.clone())) {
        tracing::warn!(%error, "a metric is not exported");
    }
    metric
}

fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauge(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(IntGaugeVec::new(Opts::new(name, help), labels))
}

static LAG: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauge(
        "bahi_consumer_lag",
        "Records not read yet.",
        &["consumer", "topic", "partition"],
    )
});
static HANDLED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "bahi_consumer_handled_total",
        "Events handled.",
        &["consumer", "type"],
    )
});
static SKIPPED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "bahi_consumer_skipped_total",
        "Records of types that the consumer does not hear.",
        &["consumer"],
    )
});
static DUPLICATES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "bahi_consumer_duplicates_total",
        "Events that had been handled before.",
        &["consumer"],
    )
});
static REJECTED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "bahi_consumer_rejected_total",
        "Records put into quarantine as culprits.",
        &["consumer"],
    )
});
static WAITING: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "bahi_consumer_waiting_total",
        "Records put into quarantine behind a culprit of their key.",
        &["consumer"],
    )
});
static RETRIES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "bahi_consumer_retries_total",
        "Batches put off.",
        &["consumer"],
    )
});
static RENEWED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "bahi_consumer_renewed_total",
        "Clients of Kafka that stood still and were replaced.",
        &["consumer"],
    )
});
static QUARANTINED: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauge(
        "bahi_consumer_quarantined",
        "Records in quarantine now.",
        &["consumer", "state"],
    )
});
/// Time of committed batches.
pub(crate) static BATCH_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let buckets = vec![
        0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
    ];
    let opts = HistogramOpts::new("bahi_consumer_batch_seconds", "Time of committed batches.")
        .buckets(buckets);
    registered(HistogramVec::new(opts, &["consumer"]))
});

fn add(to: &IntCounterVec, labels: &[&str], count: usize) {
    if count > 0 {
        to.with_label_values(labels)
            .inc_by(count.try_into().unwrap_or(u64::MAX));
    }
}

/// A batch is committed.
pub(crate) fn count(consumer: &str, tally: &Tally) {
    add(&SKIPPED, &[consumer], tally.skipped);
    add(&DUPLICATES, &[consumer], tally.duplicates);
    add(&REJECTED, &[consumer], tally.rejected);
    add(&WAITING, &[consumer], tally.waiting);
}

/// Events of a type were handled.
pub(crate) fn handled(consumer: &str, event_type: &str, events: usize) {
    add(&HANDLED, &[consumer, event_type], events);
}

/// A batch is put off.
pub(crate) fn retried(consumer: &str) {
    RETRIES.with_label_values(&[consumer]).inc();
}

/// A client that stood still is replaced.
pub(crate) fn renewed(consumer: &str) {
    RENEWED.with_label_values(&[consumer]).inc();
}

/// A partition is `records` behind.
pub(crate) fn lag(consumer: &str, topic: &str, partition: i32, records: i64) {
    LAG.with_label_values(&[consumer, topic, &partition.to_string()])
        .set(records);
}

/// A partition belongs to another process now.
pub(crate) fn no_lag(consumer: &str, topic: &str, partition: i32) {
    // It may never have been set.
    LAG.remove_label_values(&[consumer, topic, &partition.to_string()])
        .ok();
}

/// So much is in quarantine.
pub(crate) fn quarantined(consumer: &str, rejected: i64, waiting: i64) {
    QUARANTINED
        .with_label_values(&[consumer, "rejected"])
        .set(rejected);
    QUARANTINED
        .with_label_values(&[consumer, "waiting"])
        .set(waiting);
}
