//! Batches in the graph.

use std::collections::HashMap;

use async_graphql::{ComplexObject, Context, Object};
use bahi_db::Tx;
use bahi_graphql::{Batch as Batched, Call, Connection, Paging, Result, by};
use bahi_http::valid;
use bahi_types::{BatchId, LocationId, ProductId, business_date};

use super::{
    commands,
    http::{BatchBody, BatchFilter, Reason, listed},
    model::Batch,
    store::{self, Filter},
};
use crate::{
    Error, State,
    ledger::{
        after_id,
        graphql::{Of, Stock, levels_of},
        page_by_id,
    },
    stubs::Product,
};

struct ById;

impl Batched for ById {
    type Key = BatchId;
    type Value = Batch;
    type Error = Error;

    async fn load(
        tx: &mut Tx,
        ids: &[BatchId],
    ) -> std::result::Result<HashMap<BatchId, Batch>, Error> {
        Ok(by(store::by_ids(tx, ids).await?, |batch| batch.id))
    }
}

/// A batch by its id, where there is one.
pub async fn some(ctx: &Context<'_>, id: Option<BatchId>) -> Result<Option<BatchBody>> {
    ctx.reader("inventory.stock.read")?;
    let Some(id) = id else { return Ok(None) };
    let body = shown(ctx)?;
    Ok(ctx.load::<ById>(id).await?.map(body))
}

/// Batches as they are today.
fn shown(ctx: &Context<'_>) -> Result<impl Fn(Batch) -> BatchBody + use<>> {
    let today = business_date(ctx.state::<State>()?.db.clock().now());
    Ok(move |batch| BatchBody::new(batch, today))
}

/// The same part of the lists of several products.
struct OfProduct;

#[derive(Clone, PartialEq, Eq, Hash)]
struct Part {
    filter: Filter,
    after: Option<BatchId>,
    limit: i64,
}

impl Batched for OfProduct {
    type Key = (ProductId, Part);
    type Value = (Vec<Batch>, i64);
    type Error = Error;

    async fn load(
        tx: &mut Tx,
        asked: &[Self::Key],
    ) -> std::result::Result<HashMap<Self::Key, Self::Value>, Error> {
        let mut parts: HashMap<&Part, Vec<ProductId>> = HashMap::new();
        for (product, part) in asked {
            parts.entry(part).or_default().push(*product);
        }
        let mut found = HashMap::new();
        for (part, products) in parts {
            let Part {
                filter,
                after,
                limit,
            } = part;
            let lists = store::of_products(tx, &products, filter, *after, *limit).await?;
            let lists = lists.into_iter();
            found.extend(lists.map(|(product, list)| ((product, part.clone()), list)));
        }
        Ok(found)
    }
}

/// Batches of a product.
pub async fn of_product(
    ctx: &Context<'_>,
    product: ProductId,
    filter: BatchFilter,
    paging: &Paging,
) -> Result<Connection<BatchBody>> {
    ctx.reader("inventory.stock.read")?;
    let query = paging.query();
    let part = Part {
        filter: filter.into(),
        after: after_id(&query)?.map(BatchId::from_uuid),
        limit: query.limit(),
    };
    let found = ctx.load::<OfProduct>((product, part)).await?;
    let (rows, total) = found.unwrap_or_default();
    let page = page_by_id(rows, &query, total, |batch| batch.id.uuid());
    Ok(paging.connection(page.map(shown(ctx)?)))
}

#[ComplexObject]
impl BatchBody {
    /// The product.
    async fn product(&self) -> Product {
        Product {
            id: self.product_id,
        }
    }

    /// What there is of it, at one location or everywhere.
    async fn stock(&self, ctx: &Context<'_>, location: Option<LocationId>) -> Result<Vec<Stock>> {
        let of = Of {
            product: self.product_id,
            location,
            batch: Some(self.id),
            status: None,
        };
        levels_of(ctx, of).await
    }
}

/// What can be asked.
#[derive(Default)]
pub struct Query;

#[Object(name = "BatchQuery")]
impl Query {
    #[graphql(entity)]
    async fn find_batch(&self, ctx: &Context<'_>, id: BatchId) -> Result<Option<BatchBody>> {
        some(ctx, Some(id)).await
    }

    /// A batch.
    async fn batch(&self, ctx: &Context<'_>, id: BatchId) -> Result<Option<BatchBody>> {
        some(ctx, Some(id)).await
    }

    /// Batches, in the order they came first.
    async fn batches(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        filter: Option<BatchFilter>,
    ) -> Result<Connection<BatchBody>> {
        let paging = Paging::new(first, after, None)?;
        let filter = filter.unwrap_or_default();
        let page = listed(ctx.state()?, ctx.caller()?, filter, &paging.query()).await?;
        Ok(paging.connection(page))
    }
}

/// What can be done.
#[derive(Default)]
pub struct Mutation;

#[Object(name = "BatchMutation")]
impl Mutation {
    /// Blocks a batch at every location: nothing of it is promised any more.
    async fn block_batch(
        &self,
        ctx: &Context<'_>,
        id: BatchId,
        #[graphql(desc = "Why; it is audited.")] reason: String,
    ) -> Result<BatchBody> {
        set(ctx, id, reason, true).await
    }

    /// Lifts the block. What is owed of the product is served at once. A recall is lifted only with the permission
    /// `inventory.batch.recall`.
    async fn unblock_batch(
        &self,
        ctx: &Context<'_>,
        id: BatchId,
        #[graphql(desc = "Why; it is audited.")] reason: String,
    ) -> Result<BatchBody> {
        set(ctx, id, reason, false).await
    }
}

async fn set(ctx: &Context<'_>, id: BatchId, reason: String, blocked: bool) -> Result<BatchBody> {
    let command = ctx.command("inventory.batch.write")?;
    let Reason { reason } = valid(Reason { reason })?;
    let may_lift = ctx.caller()?.grants.allow("inventory.batch.recall");
    let state = ctx.state()?;
    let done = commands::set_blocked(state, &command, id, blocked, reason, may_lift).await?;
    Ok(shown(ctx)?(done.value))
}
