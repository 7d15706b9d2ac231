//! Load on the fleet, beside the floor that the same PostgreSQL allows in the same run (`pos`, `inventory`), against goals
//! of its own (`product`), or beside other systems (`relay`, `gateway`).

mod away;
mod catalogue;
mod floor;
mod gateway;
mod live;
mod pos;
mod relay;
mod reserve;
mod shop;
mod step;
mod usage;

use std::{process::ExitCode, time::Duration};

use clap::Parser;

/// Loads the fleet and prints ratios to the floor.
#[derive(Parser)]
enum Args {
    /// Sales at the till.
    Pos {
        /// The gateway.
        #[arg(long, env = "BAHI_URL")]
        url: String,
        /// PostgreSQL as its superuser: where the floor is measured.
        #[arg(long, env = "BAHI_PG_SALES")]
        postgres: String,
        /// Seconds of each step.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Seconds of 200 sales a second at the end, over which memory must stay flat; none unless given.
        #[arg(long, default_value_t = 0)]
        soak: u64,
    },
    /// Reservations of stock.
    Inventory(reserve::Args),
    /// Import, lookup and search of a large catalogue.
    Product(catalogue::Args),
    /// The outbox worker beside Debezium (scripts/bench relay).
    Relay(Box<relay::Args>),
    /// The gateway beside nginx, haproxy and Hive Gateway (scripts/bench gateway).
    Gateway(Box<gateway::Args>),
    /// The services behind all of these: says the same to everybody. Prints its ports.
    Answer(gateway::answer::Args),
}

fn main() -> ExitCode {
    let args = Args::parse();
    // What is measured there are single cores: a load that moves between threads would be measured with it.
    let mut runtime = match args {
        Args::Gateway(_) | Args::Answer(_) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let Ok(runtime) = runtime.enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let ended = runtime.block_on(async {
        match args {
            Args::Pos {
                url,
                postgres,
                seconds,
                soak,
            } => {
                let soaking = Duration::from_secs(soak);
                pos::run(&url, &postgres, Duration::from_secs(seconds), soaking)
                    .await
                    .map(|()| true)
            }
            Args::Inventory(args) => reserve::run(args).await,
            Args::Product(args) => catalogue::run(args).await,
            Args::Relay(args) => relay::run(*args).await,
            Args::Gateway(args) => gateway::run(*args).await,
            Args::Answer(args) => gateway::answer::run(args).await.map(|()| true),
        }
    });
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bahi-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
