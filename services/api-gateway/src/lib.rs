//! The only door of the fleet. Every request passes, in this order: path and header rules, route, token,
//! rate limit, permission, size, upstream. What the register does not name does not exist.

mod auth;
mod config;
mod edge;
mod error;
mod limit;
mod openapi;
mod pages;
mod proxy;
mod revocation;
mod state;
mod upstream;

use std::time::Duration;

use actix_web::{middleware::from_fn, web};
use bahi_service::{App, Job};

pub use state::State;

/// The gateway as a service without a database.
pub fn app() -> App<State> {
    App::new("api-gateway", State::new).fallback(routes).jobs(jobs)
}

fn routes(cfg: &mut web::ServiceConfig) {
    let everything = web::scope("")
        .wrap(from_fn(edge::headers))
        .route("/", web::get().to(pages::front))
        .route("/health/live", web::get().to(pages::live))
        .route("/health/ready", web::get().to(pages::ready))
        .route("/api/openapi.json", web::get().to(openapi::document))
        .route("/docs", web::get().to(pages::docs_redirect))
        .route("/docs/{file:.*}", web::get().to(pages::docs))
        .default_service(web::to(proxy::forward));
    cfg.service(everything);
}

fn jobs(state: &State) -> Vec<Job> {
    let (health, revoked, keys) = (state.clone(), state.clone(), state.clone());
    vec![
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
