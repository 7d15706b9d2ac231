//! What surrounds every request: id, trace, span, metrics.

use std::{sync::LazyLock, time::Instant};

use actix_web::{
    Error, HttpMessage, HttpRequest, HttpResponse, ResponseError,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    error::{InternalError, PathError, QueryPayloadError},
    http::header::{self, HeaderName, HeaderValue},
    middleware::Next,
    web,
};
use bahi_db::Trace;
use opentelemetry::trace::TraceContextExt;
use prometheus::{HistogramVec, IntCounterVec, register_histogram_vec, register_int_counter_vec};
use tracing::{Instrument, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use uuid::Uuid;

use crate::{Fault, Operations, Problem};

tokio::task_local! {
    static REQUEST: Request;
}

#[derive(Clone)]
struct Request {
    id: String,
    trace: Trace,
}

/// The id of the request being answered; empty outside of one.
pub fn request_id() -> String {
    REQUEST.try_with(|r| r.id.clone()).unwrap_or_default()
}

/// The trace of the request being answered.
pub fn current_trace() -> Option<Trace> {
    REQUEST.try_with(|r| r.trace.clone()).ok()
}

#[allow(clippy::unwrap_used)] // Names and labels are constants; a clash shows at the first request.
static REQUESTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "http_requests_total",
        "Requests answered",
        &["method", "route", "status"]
    )
    .unwrap()
});

#[allow(clippy::unwrap_used)]
static SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let buckets = vec![
        0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    ];
    register_histogram_vec!(
        "http_request_duration_seconds",
        "Time to answer",
        &["method", "route"],
        buckets
    )
    .unwrap()
});

/// Put into a request's extensions by a handler that serves many routes: the template to measure it under.
#[derive(Clone, Debug)]
pub struct RouteTemplate(pub std::sync::Arc<str>);

/// Middleware: gives the request its id and trace, measures it, and puts the id on the answer.
///
/// # Errors
/// Whatever the handler answers.
pub async fn observe<B: MessageBody + 'static>(
    req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let started = Instant::now();
    let id = incoming_id(&req);
    let method = req.method().to_string();
    let named = |route: &str| format!("{method} {route}");
    // What one handler answers for many routes is known once it has.
    let begun = req.match_pattern().filter(|route| !route.is_empty());
    let span = tracing::info_span!(
        "request",
        otel.name = begun.as_deref().map(named),
        otel.kind = "server",
        http.request.method = method,
        http.route = begun,
        http.response.status_code = field::Empty,
        request_id = id,
        trace_id = field::Empty,
        tenant = field::Empty,
    );
    let trace = begin_trace(&req, &span);
    span.record("trace_id", field::display(trace.id.simple()));
    let request = Request {
        id: id.clone(),
        trace,
    };
    let answer = REQUEST
        .scope(request, next.call(req).instrument(span.clone()))
        .await;
    let status = match &answer {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    let routed = answer.as_ref().ok().map(|r| r.request());
    let label = routed.and_then(|r| r.extensions().get::<RouteTemplate>().cloned());
    // Before a request is routed only its path is looked at: `{id}` and `{id}:cancel` are told apart by who answered.
    let answered_by = routed.and_then(|r| r.match_pattern());
    let route = label.as_ref().map(|label| &*label.0);
    let route = route.or(answered_by.as_deref()).or(begun.as_deref());
    let route = route.unwrap_or("unmatched");
    // All in one: each turn of recording costs the log a look at the span.
    if begun.as_deref() == Some(route) {
        span.record("http.response.status_code", status.as_u16());
    } else {
        tracing::record_all!(
            span,
            http.response.status_code = status.as_u16(),
            http.route = route,
            otel.name = named(route),
        );
    }
    REQUESTS
        .with_label_values(&[method.as_str(), route, status.as_str()])
        .inc();
    SECONDS
        .with_label_values(&[method.as_str(), route])
        .observe(started.elapsed().as_secs_f64());
    let mut response = answer?;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response
            .headers_mut()
            .insert(HeaderName::from_static("x-request-id"), value);
    }
    Ok(response)
}

fn incoming_id(req: &ServiceRequest) -> String {
    let given = req
        .headers()
        .get("x-request-id")
        .and_then(|v| v.to_str().ok());
    given
        .filter(|id| Uuid::try_parse(id).is_ok())
        .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// Takes over the caller's trace, or begins one. With tracing exported, our span is its child.
fn begin_trace(req: &ServiceRequest, span: &tracing::Span) -> Trace {
    let parent = req
        .headers()
        .get("traceparent")
        .and_then(|v| v.to_str().ok());
    if let Some(parent) = parent {
        let carrier =
            std::collections::HashMap::from([("traceparent".to_owned(), parent.to_owned())]);
        let context = opentelemetry::global::get_text_map_propagator(|p| p.extract(&carrier));
        // Without an exporter there is nothing to attach to, and that is fine.
        let _ = span.set_parent(context);
    }
    let context = span.context();
    let own = context.span().span_context().clone();
    if own.is_valid() {
        let id = Uuid::from_bytes(own.trace_id().to_bytes());
        return Trace {
            id,
            parent: format!("00-{}-{}-01", own.trace_id(), own.span_id()),
        };
    }
    parent.and_then(parse_traceparent).unwrap_or_else(|| {
        let id = Uuid::new_v4();
        Trace {
            id,
            parent: format!(
                "00-{}-{}-00",
                id.simple(),
                &Uuid::new_v4().simple().to_string()[..16]
            ),
        }
    })
}

fn parse_traceparent(text: &str) -> Option<Trace> {
    let mut parts = text.split('-');
    let (version, id, span) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |s: &str, n| s.len() == n && s.bytes().all(|b| b.is_ascii_hexdigit());
    if !hex(version, 2) || !hex(id, 32) || !hex(span, 16) {
        return None;
    }
    Some(Trace {
        id: Uuid::try_parse(id).ok()?,
        parent: text.to_owned(),
    })
}

/// Answers for a path that nobody serves.
pub async fn not_found(req: HttpRequest) -> HttpResponse {
    if req.resource_map().has_resource(req.path()) {
        method_not_allowed(&req)
    } else {
        Problem::from(Fault::NotFound).error_response()
    }
}

/// 405, with the methods that would be allowed (RFC 9110, 15.5.6).
fn method_not_allowed(req: &HttpRequest) -> HttpResponse {
    let mut response = Problem::from(Fault::MethodNotAllowed).error_response();
    let operations = req.app_data::<web::Data<Operations>>();
    let methods = operations.map(|known| known.methods(req.path()));
    let methods = methods.filter(|methods| !methods.is_empty());
    if let Some(allow) = methods.and_then(|m| HeaderValue::from_str(&m).ok()) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// Whether `path` ends with a verb (`/things/<id>:close`) that the pattern which took it for an id does not know: the verb is
/// asked by another method than its own.
fn verb_of_another(path: &str, pattern: &str) -> bool {
    let last = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
    last(path).contains(':') && last(pattern).starts_with('{') && last(pattern).ends_with('}')
}

/// Makes actix's own extractors answer with problems.
pub fn extractor_config(cfg: &mut web::ServiceConfig) {
    cfg.app_data(
        web::PathConfig::default().error_handler(|error: PathError, req| {
            if verb_of_another(req.path(), &req.match_pattern().unwrap_or_default()) {
                return InternalError::from_response(error, method_not_allowed(req)).into();
            }
            Problem::from(Fault::Malformed(format!("the path: {error}"))).into()
        }),
    );
    cfg.app_data(
        web::QueryConfig::default().error_handler(|error: QueryPayloadError, _| {
            Problem::from(Fault::Malformed(format!("the query: {error}"))).into()
        }),
    );
}

#[cfg(test)]
mod tests {
    use super::verb_of_another;

    #[test]
    fn a_verb_is_not_taken_for_an_id() {
        assert!(verb_of_another("/things/1:close", "/things/{id}"));
        assert!(!verb_of_another("/things/1", "/things/{id}"));
        assert!(!verb_of_another(
            "/things/x:close",
            "/things/{id:[^:/]+}:close"
        ));
        assert!(!verb_of_another("/a:b/1", "/a:b/{id}"));
    }
}
