//! The consumer's span, tied to the spans of the producers.

use std::collections::{HashMap, HashSet};

use bahi_db::Trace;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use uuid::Uuid;

use crate::record::Record;

/// Most producers that a batch's span names.
const LINKS: usize = 64;

/// The span of a batch. That of a single record is the child of the producer's span; one of several records links to
/// the producers' spans, because it has no one parent.
pub(crate) fn span(consumer: &str, first: &Record<'_>, records: &[Record<'_>]) -> Span {
    let span = tracing::info_span!(
        "consume",
        otel.kind = "consumer",
        consumer,
        records = records.len(),
        topic = first.topic,
        partition = first.partition,
        offset = first.offset,
        traceparent = first.trace
    );
    if records.len() == 1 {
        if let Some(context) = first.trace.map(extract) {
            // Without an exporter there is nothing to attach to, and that is fine.
            let _ = span.set_parent(context);
        }
        return span;
    }
    let mut seen = HashSet::new();
    let parents = records.iter().filter_map(|record| record.trace);
    for parent in parents.filter(|parent| seen.insert(*parent)).take(LINKS) {
        let producer = remote(&extract(parent));
        if producer.is_valid() {
            span.add_link(producer);
        }
    }
    span
}

/// What an event caused by one event says of its trace: the consumer's own span where spans are exported and it belongs
/// to the same trace, else the producer's, so that the chain never breaks.
pub(crate) fn onward(id: Uuid, parent: &str) -> Trace {
    let own = Span::current().context().span().span_context().clone();
    if own.is_valid() && own.trace_id().to_bytes() == *id.as_bytes() {
        let parent = format!(
            "00-{}-{}-{:02x}",
            own.trace_id(),
            own.span_id(),
            own.trace_flags().to_u8()
        );
        return Trace { id, parent };
    }
    Trace {
        id,
        parent: parent.to_owned(),
    }
}

fn extract(parent: &str) -> opentelemetry::Context {
    let carrier = HashMap::from([("traceparent".to_owned(), parent.to_owned())]);
    opentelemetry::global::get_text_map_propagator(|p| {
        p.extract_with_context(&opentelemetry::Context::new(), &carrier)
    })
}

fn remote(context: &opentelemetry::Context) -> SpanContext {
    context.span().span_context().clone()
}
