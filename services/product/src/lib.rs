//! Product: what a thing is, how it is taxed, and what it costs to buy from us.

mod barcode;
mod barcode_pattern;
mod brand;
mod category;
mod config;
mod consumers;
mod error;
mod events;
mod import_job;
mod import_row;
pub mod jobs;
mod label;
mod product;
mod product_unit;
mod scan;
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
        .follows(scan::follows)
        .jobs(jobs::table)
}

fn routes(cfg: &mut ServiceConfig) {
    scan::routes(cfg);
    product::routes(cfg);
    product_unit::routes(cfg);
    category::routes(cfg);
    brand::routes(cfg);
    unit::routes(cfg);
    tax_profile::routes(cfg);
    barcode::routes(cfg);
    barcode_pattern::routes(cfg);
    label::routes(cfg);
    import_job::routes(cfg);
}
