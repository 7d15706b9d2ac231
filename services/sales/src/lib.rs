//! Sales: POS sessions, invoices, returns and held bills, and the protocol by which a sale is made with stock.

mod bundle;
mod cancellation;
mod catalogue;
mod commission;
mod commission_plan;
mod consumers;
mod cost;
mod customer;
mod due;
mod error;
mod events;
mod exchange;
mod fence;
mod graphql;
mod grpc;
mod held;
mod invoice;
pub mod jobs;
mod live;
mod number;
mod offer;
mod offline;
mod order;
mod organisation;
mod price_list;
mod price_note;
mod pricing;
mod print;
pub mod privacy;
mod promotion;
mod quotation;
mod receipt;
mod remark;
mod reservation;
mod restore;
mod returns;
mod right;
mod search;
mod session;
mod state;
mod stubs;
mod timeline;
mod upi;

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
        .graphql(graphql::subgraph)
        .consumers(consumers::table)
        .follows(live::follows)
        .jobs(jobs::table)
        .grpc(grpc::routes)
        .permissions(&[
            (
                "sales.credit.override",
                "Sell beyond a customer's credit limit, with a reason",
            ),
            ("sales.commission.read_all", "See the commission of others"),
            ("sales.discount.give", "Give any discount"),
            (
                "sales.discount.up_to_<n>",
                "Give at most n per cent of each line",
            ),
            (
                "sales.held_bill.take_over",
                "Take over a bill that another till holds",
            ),
            ("sales.price.below_cost", "Sell below cost, with a reason"),
            (
                "sales.price.override",
                "Sell at another price than the list's, with a reason",
            ),
            (
                "sales.price.up_to_<n>",
                "Sell at most n per cent below the list's price, with a reason",
            ),
            (
                "sales.return.unbilled",
                "Take goods back without their bill",
            ),
        ])
}

fn routes(cfg: &mut ServiceConfig) {
    session::routes(cfg);
    held::routes(cfg);
    invoice::routes(cfg);
    quotation::routes(cfg);
    order::routes(cfg);
    exchange::routes(cfg);
    returns::routes(cfg);
    number::routes(cfg);
    customer::routes(cfg);
    receipt::routes(cfg);
    due::routes(cfg);
    cancellation::routes(cfg);
    price_note::routes(cfg);
    remark::routes(cfg);
    timeline::routes(cfg);
    upi::routes(cfg);
    offline::routes(cfg);
    bundle::routes(cfg);
    print::routes(cfg);
    commission_plan::routes(cfg);
    commission::routes(cfg);
    restore::routes(cfg);
    live::routes(cfg);
    search::routes(cfg);
}
