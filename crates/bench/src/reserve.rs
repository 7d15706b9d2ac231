//! Reservations of one line, asked of inventory as sales asks: of a thousand products, and of one that every till sells,
//! beside the floor of the same transaction in the same run.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use bahi_db::Ctx;
use bahi_demo::{client::text, setup};
use bahi_http::Signer;
use bahi_proto::{
    auth::Outbound,
    inventory::v1::{
        DemandLine, ReserveRequest, reserve_response::Outcome, stock_client::StockClient,
    },
};
use bahi_types::TenantId;
use rand::Rng;
use tonic::transport::Channel;
use uuid::Uuid;

use crate::{
    floor::{Floor, Work},
    shop,
    step::{Refusals, closed, heading},
};

/// What to load.
#[derive(clap::Args)]
pub struct Args {
    /// The gateway, for what comes before.
    #[arg(long, env = "BAHI_URL")]
    url: String,
    /// PostgreSQL as its superuser: where the floor is measured.
    #[arg(long, env = "BAHI_PG_SALES")]
    postgres: String,
    /// Inventory's gRPC.
    #[arg(long, env = "BAHI_INVENTORY_GRPC")]
    inventory: String,
    /// The key by which sales signs its calls.
    #[arg(long, env = "BAHI_BENCH_SALES_KEY")]
    key: PathBuf,
    /// Seconds of each step.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// The run fails when inventory reserves less than this part of the floor.
    #[arg(long, default_value = "0.3")]
    least: f64,
}

const PRODUCTS: usize = 1000;
const PATIENCE: Duration = Duration::from_secs(10);

struct Load {
    stock: StockClient<Channel>,
    signer: Outbound,
    ctx: Ctx,
    location: String,
    products: Vec<String>,
    refusals: Refusals,
}

impl Load {
    async fn reserve(&self, hot: bool) {
        let n = if hot {
            0
        } else {
            rand::rng().random_range(0..self.products.len())
        };
        self.refusals.note(self.one(&self.products[n]).await);
    }

    async fn one(&self, product: &str) -> anyhow::Result<()> {
        let invoice = Uuid::now_v7();
        let ask = ReserveRequest {
            invoice_id: invoice.to_string(),
            attempt: 1,
            location_id: self.location.clone(),
            lines: vec![DemandLine {
                line: 1,
                product_id: product.to_owned(),
                qty: "1".to_owned(),
                ..DemandLine::default()
            }],
            demand_hash: invoice.simple().to_string(),
            // Long enough that no sweep meets them while they are counted.
            deadline_seconds: 3600,
            allow_short: false,
            ..ReserveRequest::default()
        };
        let request = self.signer.request(&self.ctx, ask, PATIENCE)?;
        let answer = self.stock.clone().reserve(request).await?.into_inner();
        anyhow::ensure!(
            matches!(answer.outcome, Some(Outcome::Granted(_))),
            "{answer:?}"
        );
        Ok(())
    }
}

async fn prepare(args: &Args) -> anyhow::Result<Load> {
    let client = shop::newcomer(&args.url).await?;
    let me = client.get("/api/v1/auth/me").await?;
    let tenant: TenantId = text(&me, "tenant_id")?.parse()?;
    let (location, _) = setup::organisation(&client, 1).await?;
    let products = shop::stock(&client, &location, PRODUCTS).await?;
    let signer = Signer::from_file(&args.key)?;
    Ok(Load {
        stock: StockClient::connect(args.inventory.clone())
            .await
            .context("inventory's gRPC")?,
        signer: Outbound::new(signer),
        ctx: Ctx::service("sales", tenant),
        location,
        products,
        refusals: Refusals::default(),
    })
}

/// All steps, and the verdict: false below the least ratio.
///
/// # Errors
/// When a reservation was refused.
#[allow(clippy::float_arithmetic)] // ratios, not money
pub async fn run(args: Args) -> anyhow::Result<bool> {
    let time = Duration::from_secs(args.seconds);
    println!("preparing a tenant with {PRODUCTS} products");
    let load = Arc::new(prepare(&args).await?);
    let floor = Floor::create(&args.postgres).await?;
    let reserve = |hot: bool| {
        let load = load.clone();
        move |_: usize| {
            let load = load.clone();
            async move { load.reserve(hot).await }
        }
    };
    closed(8, time, &reserve(false))
        .await
        .context("warming up")?;
    heading("reservations of one line", "per s");
    let began = Instant::now();
    let mut good = true;
    for (name, hot) in [("1,000 rows", false), ("one hot row", true)] {
        let (mut most, mut most_at_floor) = (0f64, 0f64);
        for lanes in [1, 8, 32] {
            let at_floor = floor.run(Work::Reserve { hot }, lanes, time / 2).await?;
            let step = closed(lanes, time, &reserve(hot)).await?;
            most = most.max(step.rate);
            most_at_floor = most_at_floor.max(at_floor);
            step.print(
                &format!("{name}, c={lanes}"),
                Some((at_floor, step.rate / at_floor)),
            );
        }
        let ratio = most / most_at_floor;
        good &= ratio >= args.least;
        println!(
            "{name}: at most {most:.0}/s, {ratio:.2} of the floor's {most_at_floor:.0}/s (at least {} is asked)",
            args.least
        );
    }
    floor.drop().await?;
    load.refusals.verdict()?;
    println!("({:.0} s)", began.elapsed().as_secs_f64());
    Ok(good)
}
