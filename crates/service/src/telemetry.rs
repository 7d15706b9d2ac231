//! JSON logs, and traces by OTLP where there is a collector.

use anyhow::Context;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::Env;

/// Keeps the exporter; flushed when the process ends.
pub(crate) struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Starts logging and, with `BAHI_OTLP_ENDPOINT`, tracing. Once a process.
    pub(crate) fn init(service: &'static str, env: &Env) -> anyhow::Result<Self> {
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        let filter = env.optional("BAHI_LOG").unwrap_or_else(|| "info".into());
        let filter = EnvFilter::try_new(&filter).with_context(|| format!("BAHI_LOG={filter}"))?;
        let logs = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false);
        let provider = match env.optional("BAHI_OTLP_ENDPOINT") {
            None => None,
            Some(endpoint) => {
                let exporter = opentelemetry_otlp::SpanExporter::builder()
                    .with_tonic()
                    .with_endpoint(endpoint)
                    .build()?;
                let resource = Resource::builder().with_service_name(service).build();
                Some(
                    SdkTracerProvider::builder()
                        .with_batch_exporter(exporter)
                        .with_resource(resource)
                        .build(),
                )
            }
        };
        let traces = provider.as_ref().map(|p| {
            // Where in the code a span was made, by which thread, and how long it waited would be six more attributes of
            // each, for names that say as much.
            tracing_opentelemetry::layer()
                .with_location(false)
                .with_threads(false)
                .with_tracked_inactivity(false)
                .with_tracer(p.tracer(service))
        });
        tracing_subscriber::registry()
            .with(filter)
            .with(logs)
            .with(traces)
            .try_init()?;
        Ok(Self(provider))
    }

    pub(crate) fn flush(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}
