//! Adjustments in the graph.

use async_graphql::{ComplexObject, Context, Object};
use bahi_graphql::{Call, Connection, Paging, Result};
use bahi_http::valid;
use bahi_types::Id;
use uuid::Uuid;

use super::{
    commands::{self, Adjustment, Line},
    http::AdjustmentRequest,
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

impl Document for Adjustment {
    const KIND: Kind = Kind::Adjustment;

    fn id(&self) -> Uuid {
        self.id
    }
}

#[ComplexObject]
impl Adjustment {
    /// Its id: the source of its movements.
    #[graphql(name = "id")]
    async fn own_id(&self) -> Id<Adjustment> {
        self.id.into()
    }

    /// Where.
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

#[Object(name = "StockAdjustmentQuery")]
impl Query {
    /// An adjustment.
    async fn stock_adjustment(
        &self,
        ctx: &Context<'_>,
        id: Id<Adjustment>,
    ) -> Result<Option<Adjustment>> {
        one(ctx, id.uuid()).await
    }

    /// Adjustments, in the order they were posted.
    async fn stock_adjustments(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        filter: Option<Filter>,
    ) -> Result<Connection<Adjustment>> {
        part(ctx, &Paging::new(first, after, None)?, filter).await
    }
}

/// What can be done.
#[derive(Default)]
pub struct Mutation;

#[Object(name = "StockAdjustmentMutation")]
impl Mutation {
    /// Corrects stock by hand.
    async fn adjust_stock(
        &self,
        ctx: &Context<'_>,
        input: AdjustmentRequest,
    ) -> Result<Adjustment> {
        let command = ctx.command("inventory.stock.adjust")?;
        let new = valid(input)?.by(ctx.caller()?);
        let done = commands::post(ctx.state()?, &command, new).await?;
        Ok(shown(ctx.caller()?, done.value))
    }
}
