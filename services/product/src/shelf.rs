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

/// What is to become of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is archived.
    Archived,
    /// It is deleted.
    Forgotten,
}

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

    /// Refuses a product of which there is stock anywhere, of which some is owed, or which a transfer or a count that has
    /// not ended names; where it is to be forgotten, also one of which there has ever been any.
    ///
    /// # Errors
    /// [`Error::StockExists`], [`Error::OpenDocuments`], [`Error::Transacted`]; [`Error::InventoryUnreachable`] when there
    /// is no answer.
    pub async fn clears(&self, ctx: &Ctx, product: ProductId, end: End) -> Result<(), Error> {
        let (there, held) = self.ask(ctx, product).await.map_err(|error| {
            tracing::warn!(error = format!("{error:#}"), "inventory gives no answer");
            Error::InventoryUnreachable
        })?;
        if !there.iter().all(|qty| qty.is_zero()) {
            let [on_hand, reserved, owed] = there.map(|qty| qty.to_string());
            return Err(Error::StockExists {
                on_hand,
                reserved,
                owed,
            });
        }
        if held.open_documents {
            return Err(Error::OpenDocuments);
        }
        if end == End::Forgotten && held.moved {
            return Err(Error::Transacted);
        }
        Ok(())
    }

    /// On hand, reserved, owed, and all that was said.
    async fn ask(&self, ctx: &Ctx, product: ProductId) -> anyhow::Result<([Quantity; 3], Summary)> {
        let ask = SummaryRequest {
            product_ids: vec![product.to_string()],
        };
        let request = self.outbound.request(ctx, ask, TIMEOUT)?;
        let answer = self.client.clone().summary(request).await?.into_inner();
        let of_it = |held: &Summary| held.product_id == product.to_string();
        let held = answer
            .items
            .into_iter()
            .find(of_it)
            .context("the product is left out")?;
        let there = [
            held.on_hand.parse()?,
            held.reserved.parse()?,
            held.owed.parse()?,
        ];
        Ok((there, held))
    }
}
