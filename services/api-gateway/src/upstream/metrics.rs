//! What is measured of the services.

use std::sync::LazyLock;

use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec, Opts, core::Collector, histogram_opts};

fn registered<M: Collector + Clone + 'static>(metric: Result<M, prometheus::Error>) -> M {
    #[allow(clippy::unwrap_used)] // Constant names and labels; a clash shows at the first use.
    let metric = metric.unwrap();
    #[allow(clippy::unwrap_used)]
    prometheus::register(Box::new(metric.clone())).unwrap();
    metric
}

fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauge(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(IntGaugeVec::new(Opts::new(name, help), labels))
}

/// Time to the first byte.
pub static SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let buckets = vec![
        0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
    ];
    let (name, help) = (
        "gateway_upstream_seconds",
        "Time to the upstream's first byte",
    );
    registered(HistogramVec::new(
        histogram_opts!(name, help, buckets),
        &["service"],
    ))
});

/// What became of requests.
pub static ATTEMPTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "gateway_upstream_attempts_total",
        "Requests sent to an endpoint, by what became of them",
        &["service", "outcome"],
    )
});

/// What was asked again.
pub static RETRIES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "gateway_upstream_retries_total",
        "Requests asked again, and those that the budget left nothing for",
        &["service", "granted"],
    )
});

/// What was not sent.
pub static REFUSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "gateway_upstream_refused_total",
        "Requests that were not sent, because no endpoint is there or too many are under way",
        &["service", "reason"],
    )
});

/// What is under way.
pub static INFLIGHT: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauge(
        "gateway_upstream_inflight",
        "Requests under way",
        &["service"],
    )
});

/// Endpoints by state.
pub static ENDPOINTS: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauge(
        "gateway_upstream_endpoints",
        "Endpoints by state",
        &["service", "state"],
    )
});

/// Endpoints left out.
pub static EJECTIONS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "gateway_upstream_ejections_total",
        "How often an endpoint was left out for a while",
        &["service"],
    )
});

/// Breakers opened.
pub static OPENED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "gateway_upstream_breaker_opened_total",
        "How often the breaker of an endpoint opened",
        &["service"],
    )
});

/// Names that were not resolved.
pub static UNRESOLVED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "gateway_upstream_unresolved_total",
        "How often the name of a service could not be resolved, and its last addresses were kept",
        &["service"],
    )
});
