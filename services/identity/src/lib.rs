//! Identity: tenants, people and their roles, sessions, the organisation, and the audit trail.

mod api_key;
mod approval;
mod attempt;
mod audit;
mod branch;
mod breached;
mod cli;
mod code;
mod company;
mod consumers;
mod egress;
mod erasure;
mod error;
mod events;
mod graphql;
mod jobs;
mod jwks;
mod location;
mod mfa;
mod oauth;
mod oidc;
mod password;
pub mod privacy;
mod provider;
mod registration;
mod revocation;
mod role;
mod schema;
mod secret;
mod session;
mod state;
mod tenant;
mod tenant_export;
mod ticket;
mod till;
mod user;
mod verification;

use bahi_db::EmbeddedMigrations;
use bahi_service::App;
use utoipa_actix_web::service_config::ServiceConfig;

pub use audit::{Verdict, verify as verify_trail};
pub use error::Error;
pub use jobs::table as jobs;
pub use state::State;

/// The tables of this service.
pub const MIGRATIONS: EmbeddedMigrations = bahi_db::embed_migrations!();

/// The service.
pub fn app() -> App<State> {
    App::new("identity", State::new)
        .migrations(MIGRATIONS)
        .routes(routes)
        .graphql(graphql::subgraph)
        .consumers(consumers::table)
        .jobs(jobs::table)
        .commands(cli::commands, |state, asked| {
            Box::pin(cli::run(state, asked))
        })
}

fn routes(cfg: &mut ServiceConfig) {
    tenant::routes(cfg);
    tenant_export::routes(cfg);
    erasure::routes(cfg);
    session::routes(cfg);
    mfa::routes(cfg);
    oidc::routes(cfg);
    provider::routes(cfg);
    ticket::routes(cfg);
    approval::routes(cfg);
    user::routes(cfg);
    verification::routes(cfg);
    role::routes(cfg);
    api_key::routes(cfg);
    oauth::routes(cfg);
    company::routes(cfg);
    registration::routes(cfg);
    branch::routes(cfg);
    location::routes(cfg);
    till::routes(cfg);
    revocation::routes(cfg);
    audit::routes(cfg);
    jwks::routes(cfg);
}
