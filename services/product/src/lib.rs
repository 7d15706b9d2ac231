//! Product: what a thing is, how it is taxed, and what it costs to buy from us.

mod attribute;
mod barcode;
mod brand;
mod category;
mod column;
mod config;
mod consumers;
mod error;
mod events;
mod history;
mod import_job;
mod import_row;
pub mod jobs;
mod kit;
mod product;
mod schema;
mod search;
mod shelf;
mod state;
mod tax_profile;
mod text;
mod unit;
mod variant;

use bahi_db::EmbeddedMigrations;
use bahi_service::App;
use utoipa_actix_web::service_config::ServiceConfig;

pub use error::Error;
pub use state::State;

/// The tables of this service.
pub const MIGRATIONS: EmbeddedMigrations = bahi_db::embed_migrations!();

/// The service.
pub fn app() -> App<State> {
    App::new("product", State::new)
        .migrations(MIGRATIONS)
        .routes(routes)
        .consumers(consumers::table)
        .jobs(jobs::table)
}

fn routes(cfg: &mut ServiceConfig) {
    // Before `products/{id}`, which would take their paths for ids.
    search::routes(cfg);
    product::routes(cfg);
    variant::routes(cfg);
    history::routes(cfg);
    attribute::routes(cfg);
    category::routes(cfg);
    brand::routes(cfg);
    unit::routes(cfg);
    tax_profile::routes(cfg);
    barcode::routes(cfg);
    import_job::routes(cfg);
}
