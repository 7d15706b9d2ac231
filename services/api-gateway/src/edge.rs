//! The rules of the edge: paths, headers in and out, CORS.

use actix_web::{
    Error, HttpRequest, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use bahi_http::Fault;

use crate::State;

/// Refuses paths that two parsers might read differently, so that what we authorise is what the service serves.
pub fn check_path(req: &HttpRequest) -> Result<(), Fault> {
    let path = req.uri().path();
    let lower = path.to_ascii_lowercase();
    let tricky = ["%2e", "%2f", "%5c", "%00", "\\", "//", "/./", "/../"].iter().any(|t| lower.contains(t));
    if tricky || lower.ends_with("/..") || lower.ends_with("/.") {
        return Err(Fault::Malformed("the path is ambiguous".into()));
    }
    // An absolute-form target names a host of its own; it must be the one of the Host header.
    if let Some(authority) = req.uri().authority() {
        let host = req.headers().get(header::HOST).and_then(|v| v.to_str().ok());
        if host != Some(authority.as_str()) {
            return Err(Fault::Malformed("the target names another host".into()));
        }
    }
    Ok(())
}

const HOP_BY_HOP: [&str; 9] = [
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
];
const OURS: [&str; 6] = ["authorization", "forwarded", "host", "x-request-id", "traceparent", "content-length"];
const OUR_PREFIXES: [&str; 4] = ["x-user-", "x-tenant-", "x-internal-", "x-forwarded-"];

/// Whether a client's header goes on to the service. Who the client is travels in the signed token alone, so whatever
/// looks like a claim of it stays here.
pub fn forwards(name: &HeaderName, connection: &str) -> bool {
    let name = name.as_str();
    let named = connection.split(',').any(|n| n.trim().eq_ignore_ascii_case(name));
    !named
        && !HOP_BY_HOP.contains(&name)
        && !OURS.contains(&name)
        && !OUR_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a service's header goes back to the client.
pub fn returns(name: &HeaderName) -> bool {
    let name = name.as_str();
    !HOP_BY_HOP.contains(&name) && !["content-length", "x-request-id", "server"].contains(&name)
}

/// Middleware: answers CORS preflights and adds the security headers to every answer.
///
/// # Errors
/// Whatever the handler answers.
pub async fn headers<B: MessageBody + 'static>(
    req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let state = req.app_data::<web::Data<State>>().cloned();
    let origin = req.headers().get(header::ORIGIN).cloned();
    let allowed = origin.filter(|o| {
        let known = state.as_ref().map(|s| s.0.config.origins.as_slice()).unwrap_or_default();
        o.to_str().is_ok_and(|o| known.iter().any(|k| k == o))
    });
    let preflight = req.method() == Method::OPTIONS && req.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if preflight {
        let mut answer = HttpResponse::NoContent();
        if allowed.is_some() {
            answer
                .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE"))
                .insert_header((
                    header::ACCESS_CONTROL_ALLOW_HEADERS,
                    "authorization, content-type, idempotency-key, if-match, traceparent, x-request-id",
                ))
                .insert_header((header::ACCESS_CONTROL_MAX_AGE, "600"));
        }
        req.into_response(answer.finish()).map_into_right_body()
    } else {
        next.call(req).await?.map_into_left_body()
    };
    if let Some(origin) = allowed {
        let out = response.headers_mut();
        out.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        out.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("etag, idempotency-hit, location, retry-after, x-request-id, ratelimit-remaining"),
        );
    }
    let hsts = state.is_some_and(|s| s.0.config.hsts);
    secure(response.headers_mut(), hsts);
    Ok(response)
}

fn secure(out: &mut HeaderMap, hsts: bool) {
    let mut add = |name: &'static str, value: &'static str| {
        let name = HeaderName::from_static(name);
        if !out.contains_key(&name) {
            out.insert(name, HeaderValue::from_static(value));
        }
    };
    add("x-content-type-options", "nosniff");
    add("x-frame-options", "DENY");
    add("referrer-policy", "no-referrer");
    add("content-security-policy", "default-src 'none'; frame-ancestors 'none'");
    add("vary", "Origin");
    add("cache-control", "no-store");
    if hsts {
        add("strict-transport-security", "max-age=31536000; includeSubDomains");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_of_identity_and_hop_by_hop_headers_stay_here() {
        let goes = |name: &'static str| forwards(&HeaderName::from_static(name), "keep-alive, X-Secret");
        for stays in ["x-user-id", "x-tenant-id", "x-internal-token", "x-forwarded-for", "authorization", "te", "x-secret"] {
            assert!(!goes(stays), "{stays}");
        }
        for passes in ["content-type", "idempotency-key", "if-match", "accept", "x-custom"] {
            assert!(goes(passes), "{passes}");
        }
    }
}
