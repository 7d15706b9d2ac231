//! `/configz`: how the gateway is configured just now and what became of the last change, for those who run it. Nothing
//! secret is in it.

use actix_web::{HttpResponse, web};
use serde_json::{Map, Value, json};

use crate::{Gateway, State};

/// The page.
pub(crate) async fn show(gateway: web::Data<Gateway>) -> HttpResponse {
    let (state, refused) = gateway.standing();
    let refused = refused.map(|refused| json!({ "at": refused.at, "reason": refused.reason }));
    HttpResponse::Ok().json(json!({
        "generation": state.0.generation,
        "file": gateway.file().map(|file| file.display().to_string()),
        "refused": refused,
        "upstreams": upstreams(&state),
        "configuration": configuration(&state),
    }))
}

fn upstreams(state: &State) -> Map<String, Value> {
    let all = state.0.upstreams.values().map(|upstream| {
        let endpoints = upstream.endpoints();
        let endpoints = endpoints.iter().map(|endpoint| {
            json!({
                "address": endpoint.authority.as_str(),
                "standing": endpoint.standing().name(),
                "inflight": endpoint.inflight(),
            })
        });
        let endpoints: Vec<Value> = endpoints.collect();
        let about = json!({ "endpoints": endpoints, "settings": upstream.settings });
        (upstream.name.clone(), about)
    });
    all.collect()
}

fn configuration(state: &State) -> Value {
    let config = &state.0.config;
    let classes: Map<String, Value> = config
        .classes
        .iter()
        .map(|(class, limits)| {
            let limits = json!({
                "body": limits.body,
                "time_ms": limits.time.as_millis(),
                "rate": limits.rate.to_string(),
            });
            (class.name().to_owned(), limits)
        })
        .collect();
    let graph = &config.graph;
    json!({
        "routes": state.0.targets.len(),
        "classes": classes,
        "origins": config.origins,
        "trusted_proxies": config.proxies,
        "hsts": config.hsts,
        "redis": config.redis.as_deref().map(without_password),
        "stream_idle_ms": config.stream_idle.as_millis(),
        "compression": config.compression,
        "websockets": {
            "per_user": config.sockets_per_user,
            "per_address": config.sockets_per_address,
            "idle_ms": config.socket_idle.as_millis(),
        },
        "graph": {
            "mode": graph.mode,
            "open": graph.open,
            "supergraph": graph.supergraph,
            "documents": graph.documents,
            "budget_ms": graph.budget.as_millis(),
            "elsewhere": graph.elsewhere.keys().collect::<Vec<_>>(),
            "kept": state.0.graph.plans.len(),
        },
    })
}

/// Where it is, and not how one gets in.
fn without_password(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
            format!("{scheme}://{place}")
        }
        None => "***".to_owned(),
    }
}
