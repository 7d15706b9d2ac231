//! Sales: POS sessions, invoices, returns and held bills, and the protocol by which a sale is made with stock.

mod catalogue;
mod consumers;
mod error;
mod events;
mod fence;
mod grpc;
mod held;
mod invoice;
pub mod jobs;
mod number;
mod organisation;
mod price_list;
mod pricing;
mod promotion;
mod reservation;
mod restore;
mod returns;
mod session;
mod state;

pub use state::State;

use bahi_service::App;
use utoipa_actix_web::service_config::ServiceConfig;

/// The schema's history.
pub const MIGRATIONS: bahi_db::EmbeddedMigrations = bahi_db::embed_migrations!();

/// The service.
pub fn app() -> App<State> {
    App::new("sales", State::new)
        .migrations(MIGRATIONS)
        .routes(routes)
        .consumers(consumers::table)
        .jobs(jobs::table)
        .grpc(grpc::routes)
}

fn routes(cfg: &mut ServiceConfig) {
    session::routes(cfg);
    held::routes(cfg);
    invoice::routes(cfg);
    returns::routes(cfg);
    number::routes(cfg);
    restore::routes(cfg);
}
