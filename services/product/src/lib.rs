//! Product: what a thing is, how it is taxed, and what it costs to buy from us.

mod attribute;
mod barcode;
mod barcode_pattern;
mod brand;
mod category;
mod column;
mod config;
mod consumers;
mod coupon;
mod error;
mod events;
mod export;
mod graphql;
mod history;
mod image;
mod import_job;
mod import_row;
pub mod jobs;
mod json;
mod kit;
mod label;
mod price_entry;
mod price_list;
mod price_quote;
pub mod privacy;
mod product;
mod product_unit;
mod promotion;
mod rate_change;
mod scan;
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
        .graphql(graphql::subgraph)
        .consumers(consumers::table)
        .follows(scan::follows)
        .jobs(jobs::table)
}

fn routes(cfg: &mut ServiceConfig) {
    // Before `products/{id}`, which would take their paths for ids.
    search::routes(cfg);
    scan::routes(cfg);
    export::routes(cfg);
    product::routes(cfg);
    product_unit::routes(cfg);
    image::routes(cfg);
    variant::routes(cfg);
    history::routes(cfg);
    attribute::routes(cfg);
    category::routes(cfg);
    brand::routes(cfg);
    unit::routes(cfg);
    tax_profile::routes(cfg);
    rate_change::routes(cfg);
    price_list::routes(cfg);
    price_entry::routes(cfg);
    promotion::routes(cfg);
    coupon::routes(cfg);
    price_quote::routes(cfg);
    barcode::routes(cfg);
    barcode_pattern::routes(cfg);
    label::routes(cfg);
    import_job::routes(cfg);
}
