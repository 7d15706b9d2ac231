//! Pages for people: what is here, whether it is well, and the API's documentation.

use std::{fmt::Write, sync::Arc};

use actix_web::{HttpResponse, ResponseError, http::header, web};
use bahi_http::{Fault, Problem};
use utoipa_swagger_ui::Config;

use crate::State;

const PAGE_POLICY: &str = "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; \
                           img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'";

/// The front page.
pub(crate) async fn front(state: State) -> HttpResponse {
    let mut rows = String::new();
    for upstream in state.0.upstreams.values() {
        let word = if upstream.is_up() { "up" } else { "down" };
        // Writing to a String does not fail.
        let _ = write!(rows, "<tr><td>{}<td class={word}>{word}", upstream.name);
    }
    let page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Bahi</title>\
         <meta name=viewport content='width=device-width'>\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem}}\
         td{{padding:.1rem 1.5rem .1rem 0}}.up{{color:#177245}}.down{{color:#b00020}}</style>\
         <h1>Bahi</h1><p>An event-driven ERP for retail and distribution. This is its gateway.\
         <ul><li><a href=/docs/>API documentation</a> (<a href=/api/openapi.json>OpenAPI</a>)\
         <li><a href=/health/ready>Health</a></ul>\
         <h2>Services</h2><table>{rows}</table>"
    );
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, PAGE_POLICY))
        .body(page)
}

/// The answer to anything but reading.
pub(crate) async fn read_only() -> HttpResponse {
    let mut refused = Problem::from(Fault::MethodNotAllowed).error_response();
    refused
        .headers_mut()
        .insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
    refused
}

/// The process is alive.
pub(crate) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "status": "ok" }))
}

/// Every service answers. The gateway itself takes traffic even when one does not.
pub(crate) async fn ready(state: State) -> HttpResponse {
    let services: serde_json::Map<_, _> = state
        .0
        .upstreams
        .values()
        .map(|u| (u.name.clone(), if u.is_up() { "up" } else { "down" }.into()))
        .collect();
    let all = state.0.upstreams.values().all(|u| u.is_up());
    // How each endpoint stands; where it is, is nobody's business here.
    let endpoints: serde_json::Map<_, _> = state
        .0
        .upstreams
        .values()
        .map(|u| {
            let standings: Vec<_> = u.endpoints().iter().map(|e| e.standing().name()).collect();
            (u.name.clone(), standings.into())
        })
        .collect();
    let status = if all { "ok" } else { "degraded" };
    let body =
        serde_json::json!({ "status": status, "services": services, "endpoints": endpoints });
    if all {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}

/// `/docs` is a folder.
pub(crate) async fn docs_redirect() -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, "/docs/"))
        .finish()
}

/// Swagger UI.
pub(crate) async fn docs(file: web::Path<String>) -> HttpResponse {
    let config = Arc::new(Config::from("/api/openapi.json"));
    match utoipa_swagger_ui::serve(&file, config) {
        Ok(Some(asset)) => HttpResponse::Ok()
            .content_type(asset.content_type)
            .insert_header((header::CONTENT_SECURITY_POLICY, PAGE_POLICY))
            .body(asset.bytes.into_owned()),
        _ => Problem::from(Fault::NotFound).error_response(),
    }
}
