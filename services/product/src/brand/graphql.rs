//! Brands in the graph.

use std::collections::HashMap;

use async_graphql::{Context, Object};
use bahi_db::Tx;
use bahi_graphql::{Batch, Call, Connection, Paging, Result, by};
use bahi_http::valid;
use bahi_types::BrandId;

use super::{
    commands,
    http::{BrandBody, BrandInput, ListBrands, listed},
    model::Brand,
    store,
};
use crate::Error;

struct ById;

impl Batch for ById {
    type Key = BrandId;
    type Value = Brand;
    type Error = Error;

    async fn load(
        tx: &mut Tx,
        ids: &[BrandId],
    ) -> std::result::Result<HashMap<BrandId, Brand>, Error> {
        Ok(by(store::by_ids(tx, ids).await?, |brand| brand.id))
    }
}

/// A brand by its id.
pub async fn one(ctx: &Context<'_>, id: BrandId) -> Result<Option<BrandBody>> {
    ctx.reader("product.brand.read")?;
    Ok(ctx.load::<ById>(id).await?.map(BrandBody::from))
}

/// What can be asked.
#[derive(Default)]
pub struct Query;

#[Object(name = "BrandQuery")]
impl Query {
    #[graphql(entity)]
    async fn find_brand(&self, ctx: &Context<'_>, id: BrandId) -> Result<Option<BrandBody>> {
        one(ctx, id).await
    }

    /// A brand.
    async fn brand(&self, ctx: &Context<'_>, id: BrandId) -> Result<Option<BrandBody>> {
        one(ctx, id).await
    }

    /// Brands, by name or `created_at`.
    async fn brands(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        sort: Option<String>,
        filter: Option<ListBrands>,
    ) -> Result<Connection<BrandBody>> {
        let paging = Paging::new(first, after, sort)?;
        let filter = filter.unwrap_or_default();
        let page = listed(ctx.state()?, ctx.caller()?, filter, &paging.query()).await?;
        Ok(paging.connection(page))
    }
}

/// What can be done.
#[derive(Default)]
pub struct Mutation;

#[Object(name = "BrandMutation")]
impl Mutation {
    /// Makes a brand.
    async fn create_brand(&self, ctx: &Context<'_>, input: BrandInput) -> Result<BrandBody> {
        let command = ctx.command("product.brand.write")?;
        let BrandInput { name } = valid(input)?;
        let made = commands::create(ctx.state()?, &command, name).await?;
        Ok(made.value.into())
    }

    /// Says a brand anew, which the caller has seen at a version.
    async fn update_brand(
        &self,
        ctx: &Context<'_>,
        id: BrandId,
        version: i64,
        input: BrandInput,
    ) -> Result<BrandBody> {
        let command = ctx.command("product.brand.write")?;
        let BrandInput { name } = valid(input)?;
        let done = commands::rename(ctx.state()?, &command, id, version, name).await?;
        Ok(done.value.into())
    }

    /// Deletes a brand, which the caller has seen at a version, and answers its id.
    async fn delete_brand(&self, ctx: &Context<'_>, id: BrandId, version: i64) -> Result<BrandId> {
        let command = ctx.command("product.brand.write")?;
        commands::delete(ctx.state()?, &command, id, version).await?;
        Ok(id)
    }
}
