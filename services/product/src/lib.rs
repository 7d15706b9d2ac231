//! Product: what a thing is, how it is taxed, and what it costs to buy from us.

mod barcode;
mod brand;
mod category;
mod config;
mod consumers;
mod error;
mod events;
mod export;
mod image;
mod import_job;
mod import_row;
pub mod jobs;
mod objects;
mod product;
mod schema;
mod state;
mod tax_profile;
mod text;
mod unit;

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
    // Before products, whose `{id}` would take `export` for an id.
    export::routes(cfg);
    image::routes(cfg);
    product::routes(cfg);
    category::routes(cfg);
    brand::routes(cfg);
    unit::routes(cfg);
    tax_profile::routes(cfg);
    barcode::routes(cfg);
    import_job::routes(cfg);
}
