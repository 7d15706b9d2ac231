//! Changes of status in the graph.

use async_graphql::{ComplexObject, Context, Object};
use bahi_graphql::{Call, Connection, Paging, Result};
use bahi_http::valid;
use bahi_types::Id;
use uuid::Uuid;

use super::{
    commands::{self, Line, StatusChange},
    http::StatusChangeRequest,
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

impl Document for StatusChange {
    const KIND: Kind = Kind::StatusChange;

    fn id(&self) -> Uuid {
        self.id
    }
}

#[ComplexObject]
impl StatusChange {
    /// Its id: the source of its movements.
    #[graphql(name = "id")]
    async fn own_id(&self) -> Id<StatusChange> {
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

#[Object(name = "StockStatusChangeQuery")]
impl Query {
    /// A change of status.
    async fn stock_status_change(
        &self,
        ctx: &Context<'_>,
        id: Id<StatusChange>,
    ) -> Result<Option<StatusChange>> {
        one(ctx, id.uuid()).await
    }

    /// Changes of status, in the order they were posted.
    async fn stock_status_changes(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        filter: Option<Filter>,
    ) -> Result<Connection<StatusChange>> {
        part(ctx, &Paging::new(first, after, None)?, filter).await
    }
}

/// What can be done.
#[derive(Default)]
pub struct Mutation;

#[Object(name = "StockStatusChangeMutation")]
impl Mutation {
    /// Moves goods to another status; all lines or none.
    async fn change_stock_status(
        &self,
        ctx: &Context<'_>,
        input: StatusChangeRequest,
    ) -> Result<StatusChange> {
        let command = ctx.command("inventory.stock.adjust")?;
        let done = commands::post(ctx.state()?, &command, valid(input)?.into()).await?;
        Ok(shown(ctx.caller()?, done.value))
    }
}
