//! The only door of the fleet. Every request passes, in this order: path and header rules, route, token,
//! rate limit, permission, size, upstream. What the register does not name does not exist.

mod auth;
mod body;
mod compress;
mod config;
mod configz;
mod edge;
mod error;
mod frames;
mod gateway;
mod graphql;
mod held;
mod limit;
mod openapi;
mod pages;
mod peers;
mod progress;
mod proxy;
mod revocation;
mod search;
mod state;
mod streams;
mod ticket;
mod tunnel;
mod upstream;

use std::{future::Future, time::Duration};

use actix_web::{FromRequest, Handler, HttpResponse, Resource, middleware::from_fn, web};
use bahi_service::{App, Job};

pub use gateway::Gateway;
use state::State;

/// The gateway as a service without a database.
pub fn app() -> App<Gateway> {
    App::new("api-gateway", Gateway::new)
        .fallback(routes)
        .checks(gateway::check)
        .admits(Gateway::admit)
        .admin(|cfg| {
            cfg.service(page("/configz", configz::show));
        })
        .jobs(jobs)
}

fn routes(cfg: &mut web::ServiceConfig) {
    let everything = web::scope("")
        .wrap(from_fn(edge::headers))
        .service(page("/", pages::front))
        .service(page("/health/live", pages::live))
        .service(page("/health/ready", pages::ready))
        .service(page("/api/openapi.json", openapi::document))
        .service(ticket::resource())
        .service(web::resource(search::PATH).to(search::search))
        .service(web::resource("/graphql").to(graphql::serve))
        .service(page("/docs", pages::docs_redirect))
        // Within a scope: its expression is tried on what begins with its name only.
        .service(web::scope("/docs").service(page("/{file:.*}", pages::docs)))
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

fn jobs(gateway: &Gateway) -> Vec<Job> {
    // Each time with what is served then.
    fn each<F>(
        name: &'static str,
        every: Duration,
        gateway: &Gateway,
        work: impl Fn(State) -> F + Send + Sync + 'static,
    ) -> Job
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let gateway = gateway.clone();
        Job::every(name, every, move || work(gateway.now()))
    }
    let second = Duration::from_secs(1);
    let (follows, told) = (gateway.clone(), gateway.clone());
    vec![
        each("subgraph_drift", 30 * second, gateway, |state| async move {
            state.look_for_drift().await
        }),
        each("upstream_health", second / 4, gateway, |state| async move {
            state.check_upstreams().await
        }),
        each("full_buckets", 2 * second, gateway, |state| async move {
            state.sweep().await
        }),
        each("revocations", second, gateway, |state| async move {
            state.refresh_revocations().await
        }),
        each("signing_keys", 60 * second, gateway, |state| async move {
            state.refresh_keys().await
        }),
        Job::every("configuration", second, move || {
            let gateway = follows.clone();
            async move { gateway.follow().await }
        }),
        Job::every("hangup", second, move || {
            let gateway = told.clone();
            async move { gateway.listen().await }
        }),
    ]
}
