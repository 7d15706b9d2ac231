//! Transfers in the graph.

use std::collections::HashMap;

use async_graphql::{ComplexObject, Context, Object};
use bahi_db::Tx;
use bahi_graphql::{Batch, Call, Connection, Paging, Result, by};
use bahi_http::valid;
use bahi_types::Id;
use uuid::Uuid;

use super::{
    commands,
    http::{Filter, ReceiveRequest, ShipRequest, TransferReason, TransferRequest, listed},
    model::{Transfer, TransferLine, TransferPart},
    store,
};
use crate::{
    Error, batch,
    batch::BatchBody,
    costs::shown,
    stubs::{Location, Product},
};

struct ById;

impl Batch for ById {
    type Key = Uuid;
    type Value = Transfer;
    type Error = Error;

    async fn load(
        tx: &mut Tx,
        ids: &[Uuid],
    ) -> std::result::Result<HashMap<Uuid, Transfer>, Error> {
        Ok(by(store::by_ids(tx, ids).await?, |transfer| transfer.id))
    }
}

#[ComplexObject]
impl Transfer {
    /// Id.
    async fn id(&self) -> Id<Transfer> {
        self.id.into()
    }

    /// Where the goods come from.
    async fn from_location(&self) -> Location {
        Location {
            id: self.from_location_id,
        }
    }

    /// Where they go.
    async fn to_location(&self) -> Location {
        Location {
            id: self.to_location_id,
        }
    }
}

#[ComplexObject]
impl TransferLine {
    /// The product.
    async fn product(&self) -> Product {
        Product {
            id: self.product_id,
        }
    }

    /// The batch asked for; null when batches are picked.
    async fn batch(&self, ctx: &Context<'_>) -> Result<Option<BatchBody>> {
        batch::graphql::some(ctx, self.batch_id).await
    }
}

#[ComplexObject]
impl TransferPart {
    /// Batch; null for stock without batches.
    #[graphql(name = "batch")]
    async fn of_batch(&self, ctx: &Context<'_>) -> Result<Option<BatchBody>> {
        batch::graphql::some(ctx, self.batch_id).await
    }
}

/// What can be asked.
#[derive(Default)]
pub struct Query;

#[Object(name = "StockTransferQuery")]
impl Query {
    /// A transfer.
    async fn stock_transfer(
        &self,
        ctx: &Context<'_>,
        id: Id<Transfer>,
    ) -> Result<Option<Transfer>> {
        ctx.reader("inventory.stock.read")?;
        let (caller, found) = (ctx.caller()?, ctx.load::<ById>(id.uuid()).await?);
        Ok(found.map(|transfer| shown(caller, transfer)))
    }

    /// Transfers, in the order they were written.
    async fn stock_transfers(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        filter: Option<Filter>,
    ) -> Result<Connection<Transfer>> {
        let paging = Paging::new(first, after, None)?;
        let filter = filter.unwrap_or_default();
        let list = listed(ctx.state()?, ctx.caller()?, filter, &paging.query()).await?;
        Ok(paging.connection(list.1))
    }
}

/// What can be done.
#[derive(Default)]
pub struct Mutation;

#[Object(name = "StockTransferMutation")]
impl Mutation {
    /// Writes a draft of a transfer; no goods move yet.
    async fn create_stock_transfer(
        &self,
        ctx: &Context<'_>,
        input: TransferRequest,
    ) -> Result<Transfer> {
        let command = ctx.command("inventory.transfer.write")?;
        let draft = valid(input)?.draft()?;
        let done = commands::create(ctx.state()?, &command, draft).await?;
        Ok(shown(ctx.caller()?, done.value))
    }

    /// Writes, approves and ships a transfer in one go. Its receiver confirms what arrives.
    async fn send_stock(&self, ctx: &Context<'_>, input: TransferRequest) -> Result<Transfer> {
        let command = ctx.command("inventory.transfer.write")?;
        ctx.caller()?.require("inventory.transfer.approve")?;
        let new = valid(input)?.into();
        let done = commands::send(ctx.state()?, &command, new, None).await?;
        Ok(shown(ctx.caller()?, done.value))
    }

    /// Lets a draft be shipped.
    async fn approve_stock_transfer(
        &self,
        ctx: &Context<'_>,
        id: Id<Transfer>,
    ) -> Result<Transfer> {
        let command = ctx.command("inventory.transfer.approve")?;
        let done = commands::approve(ctx.state()?, &command, id.uuid()).await?;
        Ok(shown(ctx.caller()?, done.value))
    }

    /// Sends the goods, all of them or nothing.
    async fn ship_stock_transfer(
        &self,
        ctx: &Context<'_>,
        id: Id<Transfer>,
        input: Option<ShipRequest>,
    ) -> Result<Transfer> {
        let command = ctx.command("inventory.transfer.write")?;
        let (bill, serials) = valid(input.unwrap_or_default())?.named();
        let state = ctx.state()?;
        let done = commands::ship(state, &command, id.uuid(), bill, serials).await?;
        Ok(shown(ctx.caller()?, done.value))
    }

    /// Goods arrive, in one go or in parts; never more than is on its way.
    async fn receive_stock_transfer(
        &self,
        ctx: &Context<'_>,
        id: Id<Transfer>,
        input: Option<ReceiveRequest>,
    ) -> Result<Transfer> {
        let command = ctx.command("inventory.transfer.receive")?;
        let arrived = valid(input.unwrap_or_default())?.arrived();
        let done = commands::receive(ctx.state()?, &command, id.uuid(), arrived).await?;
        Ok(shown(ctx.caller()?, done.value))
    }

    /// No more will arrive: what is missing is lost.
    async fn close_stock_transfer_short(
        &self,
        ctx: &Context<'_>,
        id: Id<Transfer>,
        #[graphql(desc = "Why; it is audited.")] reason: String,
    ) -> Result<Transfer> {
        let command = ctx.command("inventory.transfer.receive")?;
        let TransferReason { reason } = valid(TransferReason { reason })?;
        let done = commands::close_short(ctx.state()?, &command, id.uuid(), reason).await?;
        Ok(shown(ctx.caller()?, done.value))
    }

    /// Calls off a transfer that has not left.
    async fn cancel_stock_transfer(
        &self,
        ctx: &Context<'_>,
        id: Id<Transfer>,
        #[graphql(desc = "Why; it is audited.")] reason: String,
    ) -> Result<Transfer> {
        let command = ctx.command("inventory.transfer.write")?;
        let TransferReason { reason } = valid(TransferReason { reason })?;
        let done = commands::cancel(ctx.state()?, &command, id.uuid(), reason).await?;
        Ok(shown(ctx.caller()?, done.value))
    }
}
