//! JSON logs, and traces by OTLP where there is a collector.

use std::fmt;

use anyhow::Context;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use serde_json::Value;
use tracing::{
    field::{Field, Visit},
    span::Record,
};
use tracing_subscriber::{
    EnvFilter,
    field::RecordFields,
    fmt::{FormatFields, FormattedFields, format::Writer},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::Env;

/// The fields of a span as JSON for the log, written as they come; what is learned of a span later is added at the end.
/// [`JsonFields`](tracing_subscriber::fmt::format::JsonFields) sorts them in a map of values first, and reads all of it
/// back and writes it anew for what comes later, which cost a gateway's request more than its header lines. Of a field
/// that is said twice the last holds, as whoever reads JSON does.
struct Appending;

impl<'a> FormatFields<'a> for Appending {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'a>, fields: R) -> fmt::Result {
        writer.write_char('{')?;
        Json::written(writer, true, fields)
    }

    fn add_fields(
        &self,
        current: &'a mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> fmt::Result {
        let first = match current.fields.pop() {
            Some('}') => current.fields.ends_with('{'),
            _ => {
                current.fields.clear();
                current.fields.push('{');
                true
            }
        };
        Json::written(current.as_writer(), first, fields)
    }
}

/// An object of JSON on its way.
struct Json<'a> {
    writer: Writer<'a>,
    first: bool,
    done: fmt::Result,
}

impl<'a> Json<'a> {
    /// Writes fields, the first of the object or more of them, and ends it.
    fn written(writer: Writer<'a>, first: bool, fields: impl RecordFields) -> fmt::Result {
        let done = Ok(());
        let mut json = Self {
            writer,
            first,
            done,
        };
        fields.record(&mut json);
        json.done?;
        json.writer.write_char('}')
    }

    fn field(&mut self, field: &Field, value: impl Into<Value>) {
        let comma = if std::mem::take(&mut self.first) {
            ""
        } else {
            ","
        };
        let name = field.name();
        let value: Value = value.into();
        if self.done.is_ok() {
            self.done = write!(self.writer, "{comma}\"{name}\":{value}");
        }
    }
}

impl Visit for Json<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.field(field, value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, value);
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, value);
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field, format!("{value:?}"));
    }
}

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
            .with_span_list(false)
            .fmt_fields(Appending);
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

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use serde_json::json;
    use tracing::field::Empty;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_learned_of_a_span_later_is_in_the_log() {
        let lines = Lines::default();
        let sink = lines.clone();
        let layer = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(move || sink.clone())
            .fmt_fields(Appending);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let bare = tracing::info_span!("bare", late = Empty);
            bare.in_scope(|| tracing::info!("nothing yet"));
            bare.record("late", "a \"quoted\" }");
            bare.in_scope(|| tracing::info!("one"));
            let full = tracing::info_span!("full", route = "/a", status = Empty, tenant = Empty);
            full.record("route", "/b");
            full.record("status", 200);
            full.in_scope(|| tracing::info!("more"));
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let spans: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["span"].clone())
            .collect();
        assert_eq!(
            spans,
            [
                json!({ "name": "bare" }),
                json!({ "name": "bare", "late": "a \"quoted\" }" }),
                json!({ "name": "full", "route": "/b", "status": 200 }),
            ]
        );
    }
}
