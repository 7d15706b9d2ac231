//! Inventory: how much there is, where, what it cost, and to whom it is promised.

use bahi_db::EmbeddedMigrations;
use bahi_service::App;
use utoipa_actix_web::service_config::ServiceConfig;

mod adjustment;
mod batch;
mod config;
pub mod consumers;
mod copy;
mod costs;
pub mod count;
mod disposal;
mod document;
mod error;
mod events;
mod expiry;
mod graphql;
mod grpc;
pub mod jobs;
mod kit;
mod landed_cost;
pub mod ledger;
mod period;
mod policy;
pub mod privacy;
mod recall;
mod receipt;
mod reorder_level;
mod report;
pub mod reservation;
mod restore;
mod revaluation;
mod sale;
mod sales;
mod serial;
mod serial_gap;
mod shelf_life;
pub mod shortage;
mod state;
mod status_change;
mod stubs;
pub mod supplier_return;
mod transfer;

pub use error::{Error, HoldRef, Short};
pub use state::State;

/// The schema, migration by migration.
pub const MIGRATIONS: EmbeddedMigrations = bahi_db::embed_migrations!();

/// The service.
pub fn app() -> App<State> {
    App::new("inventory", State::new)
        .migrations(MIGRATIONS)
        .routes(routes)
        .graphql(graphql::subgraph)
        .consumers(consumers::table)
        .jobs(jobs::table)
        .grpc(grpc::routes)
        .permissions(&[
            (
                "inventory.batch.override",
                "Reserve a batch against the rules, with a reason",
            ),
            (
                "inventory.count.approve_any",
                "Approve a count whatever its difference is worth",
            ),
            (
                "inventory.stock.adjust_any",
                "Adjust stock whatever the difference is worth",
            ),
        ])
}

fn routes(cfg: &mut ServiceConfig) {
    ledger::routes(cfg);
    receipt::routes(cfg);
    adjustment::routes(cfg);
    reservation::routes(cfg);
    batch::routes(cfg);
    status_change::routes(cfg);
    supplier_return::routes(cfg);
    transfer::routes(cfg);
    count::routes(cfg);
    policy::routes(cfg);
    shortage::routes(cfg);
    revaluation::routes(cfg);
    landed_cost::routes(cfg);
    period::routes(cfg);
    expiry::routes(cfg);
    recall::routes(cfg);
    disposal::routes(cfg);
    shelf_life::routes(cfg);
    reorder_level::routes(cfg);
    serial::routes(cfg);
    serial_gap::routes(cfg);
    report::routes(cfg);
}
