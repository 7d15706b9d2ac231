//! The only door of the fleet. Every request passes, in this order: path and header rules, route, token,
//! rate limit, permission, size, upstream. What the register does not name does not exist.

mod auth;
mod body;
mod config;
mod edge;
mod error;
mod graphql;
mod held;
mod limit;
mod openapi;
mod pages;
mod peers;
mod proxy;
mod revocation;
mod search;
mod state;
mod tunnel;
mod upstream;

use std::time::Duration;

use actix_web::{FromRequest, Handler, HttpResponse, Resource, middleware::from_fn, web};
use bahi_service::{App, Job};

pub use state::State;

/// The gateway as a service without a database.
pub fn app() -> App<State> {
    App::new("api-gateway", State::new)
        .fallback(routes)
        .admits(State::admit)
        .jobs(jobs)
}

fn routes(cfg: &mut web::ServiceConfig) {
    let everything = web::scope("")
        .wrap(from_fn(edge::headers))
        .service(page("/", pages::front))
        .service(page("/health/live", pages::live))
        .service(page("/health/ready", pages::ready))
        .service(page("/api/openapi.json", openapi::document))
        .service(web::resource(search::PATH).to(search::search))
        .service(web::resource("/graphql").to(graphql::serve))
        .service(page("/docs", pages::docs_redirect))
        .service(page("/docs/{file:.*}", pages::docs))
        .default_service(web::to(proxy::forward));
    cfg.service(everything);
}

/// A page of the gateway's own, which can be read and nothing else.
fn page<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args, Output = HttpResponse>,
    Args: FromRequest + 'static,
{
    web::resource(path)
        .route(web::get().to(handler.clone()))
        .route(web::head().to(handler))
        .default_service(web::to(pages::read_only))
}

fn jobs(state: &State) -> Vec<Job> {
    let (health, revoked, keys) = (state.clone(), state.clone(), state.clone());
    let graph = state.clone();
    vec![
        Job::every("subgraph_drift", Duration::from_secs(30), move || {
            let state = graph.clone();
            async move { state.look_for_drift().await }
        }),
        Job::every("upstream_health", Duration::from_secs(2), move || {
            let state = health.clone();
            async move { state.check_upstreams().await }
        }),
        Job::every("revocations", Duration::from_secs(1), move || {
            let state = revoked.clone();
            async move { state.refresh_revocations().await }
        }),
        Job::every("signing_keys", Duration::from_secs(60), move || {
            let state = keys.clone();
            async move { state.refresh_keys().await }
        }),
    ]
}
