//! The consumer's span knows the producer's.

use std::sync::{Arc, LazyLock, Mutex};

use bahi_types::TenantId;
use opentelemetry::trace::{SpanId, TraceId, TracerProvider};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    propagation::TraceContextPropagator,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use tracing_subscriber::layer::SubscriberExt;

use crate::support::*;

/// Keeps what is exported.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

/// Once a process: consumers have threads of their own.
static KEPT: LazyLock<Kept> = LazyLock::new(|| {
    let kept = Kept::default();
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(kept.clone())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
    kept
});

/// A spans of a trace called "consume", when it is exported.
async fn consume(wanted: impl Fn(&SpanData) -> bool) -> SpanData {
    eventually(async || {
        let spans = KEPT.0.lock().unwrap();
        let mut found = spans.iter().filter(|span| span.name == "consume");
        found.find(|span| wanted(span)).cloned()
    })
    .await
}

fn parent(trace: u128, span: u64) -> String {
    format!("00-{trace:032x}-{span:016x}-01")
}

async fn send(stage: &Stage, sent: &Sent, traceparent: &str) {
    let value = serde_json::to_string(&sent.envelope).unwrap();
    let kind = Some(sent.envelope.event_type.as_str());
    let (key, value) = (sent.key.as_bytes(), value.as_bytes());
    send_traced(
        &stage.producer,
        &stage.topic(),
        Some(key),
        value,
        kind,
        traceparent,
    )
    .await
    .unwrap()
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_span_of_one_event_is_the_child_of_its_producer_and_passes_itself_on() {
    LazyLock::force(&KEPT);
    let stage = Stage::new().await;
    let running = stage.start(stage.consumer());
    let trace = uuid::Uuid::new_v4();
    let mut sent = Sent::new(COUNTED, TenantId::new(), "k", 1);
    sent.envelope.trace_id = Some(trace);
    send(&stage, &sent, &parent(trace.as_u128(), 0xabc)).await;
    stage.await_effects(1).await;
    running.stop().await;
    let id = TraceId::from_bytes(trace.into_bytes());
    let span = consume(|span| span.span_context.trace_id() == id).await;
    assert_eq!(span.parent_span_id, SpanId::from(0xabc));
    // What follows from the event hangs on this span.
    let said = "select traceparent from outbox.event";
    let said: String = stage
        .admin()
        .await
        .query_one(said, &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(said, format!("00-{id}-{}-01", span.span_context.span_id()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_span_of_several_events_links_to_each_producer() {
    LazyLock::force(&KEPT);
    let stage = Stage::new().await;
    let (tenant, base) = (TenantId::new(), uuid::Uuid::new_v4().as_u128() & !0xff);
    for n in 0..3u8 {
        let sent = Sent::new(COUNTED, tenant, "k", n.into());
        send(&stage, &sent, &parent(base + u128::from(n), 1)).await;
    }
    let running = stage.start(stage.consumer());
    stage.await_effects(3).await;
    running.stop().await;
    let of = |n: u8| TraceId::from(base + u128::from(n));
    // However the records came: each is a parent or a link of some batch.
    for n in 0..3 {
        consume(|span| {
            let mut links = span.links.iter();
            span.span_context.trace_id() == of(n)
                || links.any(|link| link.span_context.trace_id() == of(n))
        })
        .await;
    }
}
