//! Receipts of goods in the graph.

use async_graphql::{ComplexObject, Context, Object};
use bahi_graphql::{Call, Connection, Paging, Result};
use bahi_http::valid;
use bahi_types::Id;
use uuid::Uuid;

use super::{
    commands::{self, Line, Receipt},
    http::ReceiptRequest,
};
use crate::{
    batch,
    batch::BatchBody,
    costs::shown,
    document::{
        Filter, Kind,
        graphql::{Document, one, part},
    },
    stubs::{Location, Product},
};

impl Document for Receipt {
    const KIND: Kind = Kind::Receipt;

    fn id(&self) -> Uuid {
        self.id
    }
}

#[ComplexObject]
impl Receipt {
    /// Its id: the source of its movements.
    #[graphql(name = "id")]
    async fn own_id(&self) -> Id<Receipt> {
        self.id.into()
    }

    /// Where the goods went.
    async fn location(&self) -> Location {
        Location {
            id: self.location_id,
        }
    }

    /// Lines, in the order they were said.
    async fn lines(&self, ctx: &Context<'_>) -> Result<Vec<Line>> {
        if !self.lines.is_empty() {
            return Ok(self.lines.clone());
        }
        Ok(one(ctx, self.id)
            .await?
            .map_or(Vec::new(), |r: Self| r.lines))
    }
}

#[ComplexObject]
impl Line {
    /// The product.
    async fn product(&self) -> Product {
        Product {
            id: self.product_id,
        }
    }

    /// Batch; null for goods without batches.
    async fn batch(&self, ctx: &Context<'_>) -> Result<Option<BatchBody>> {
        batch::graphql::some(ctx, self.batch_id).await
    }
}

/// What can be asked.
#[derive(Default)]
pub struct Query;

#[Object(name = "StockReceiptQuery")]
impl Query {
    /// A receipt of goods.
    async fn stock_receipt(&self, ctx: &Context<'_>, id: Id<Receipt>) -> Result<Option<Receipt>> {
        one(ctx, id.uuid()).await
    }

    /// Receipts of goods, in the order they were posted.
    async fn stock_receipts(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        filter: Option<Filter>,
    ) -> Result<Connection<Receipt>> {
        part(ctx, &Paging::new(first, after, None)?, filter).await
    }
}

/// What can be done.
#[derive(Default)]
pub struct Mutation;

#[Object(name = "StockReceiptMutation")]
impl Mutation {
    /// Receives goods.
    async fn receive_stock(&self, ctx: &Context<'_>, input: ReceiptRequest) -> Result<Receipt> {
        let command = ctx.command("inventory.stock.write")?;
        let done = commands::post(ctx.state()?, &command, valid(input)?.into()).await?;
        Ok(shown(ctx.caller()?, done.value))
    }
}
