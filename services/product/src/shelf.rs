//! The client of inventory: whether there is stock of a product.

use std::time::Duration;

use anyhow::Context;
use bahi_db::Ctx;
use bahi_proto::{
    auth::Outbound,
    inventory::v1::{Summary, SummaryRequest, stock_client::StockClient},
};
use bahi_types::{ProductId, Quantity};
use tonic::transport::{Channel, Endpoint};

use crate::Error;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Inventory, as far as we ask it.
#[derive(Clone)]
pub struct Shelf {
    client: StockClient<Channel>,
    outbound: Outbound,
}

impl Shelf {
    /// Connects when it is first asked.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn new(url: &str, outbound: Outbound) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(url.to_owned())
            .with_context(|| format!("BAHI_INVENTORY_GRPC={url}"))?;
        let channel = endpoint
            .connect_timeout(Duration::from_secs(1))
            .tcp_nodelay(true)
            .connect_lazy();
        Ok(Self {
            client: StockClient::new(channel),
            outbound,
        })
    }

    /// Refuses a product of which there is stock anywhere, or of which some is owed.
    ///
    /// # Errors
    /// [`Error::StockExists`]; [`Error::InventoryUnreachable`] when there is no answer.
    pub async fn is_empty(&self, ctx: &Ctx, product: ProductId) -> Result<(), Error> {
        let there = self.ask(ctx, product).await.map_err(|error| {
            tracing::warn!(error = format!("{error:#}"), "inventory gives no answer");
            Error::InventoryUnreachable
        })?;
        if there.iter().all(|qty| qty.is_zero()) {
            return Ok(());
        }
        let [on_hand, reserved, owed] = there.map(|qty| qty.to_string());
        Err(Error::StockExists {
            on_hand,
            reserved,
            owed,
        })
    }

    /// On hand, reserved, owed.
    async fn ask(&self, ctx: &Ctx, product: ProductId) -> anyhow::Result<[Quantity; 3]> {
        let ask = SummaryRequest {
            product_ids: vec![product.to_string()],
        };
        let request = self.outbound.request(ctx, ask, TIMEOUT)?;
        let answer = self.client.clone().summary(request).await?.into_inner();
        let of_it = |held: &&Summary| held.product_id == product.to_string();
        let held = answer
            .items
            .iter()
            .find(of_it)
            .context("the product is left out")?;
        Ok([
            held.on_hand.parse()?,
            held.reserved.parse()?,
            held.owed.parse()?,
        ])
    }
}
