//! Units in the graph.

use std::collections::HashMap;

use async_graphql::{Context, Object};
use bahi_db::Tx;
use bahi_graphql::{Batch, Call, Connection, Paging, Result, by};
use bahi_http::valid;
use bahi_types::UnitId;

use super::{
    commands,
    http::{ListUnits, UnitBody, UnitInput, listed},
    model::Unit,
    store,
};
use crate::Error;

struct ById;

impl Batch for ById {
    type Key = UnitId;
    type Value = Unit;
    type Error = Error;

    async fn load(
        tx: &mut Tx,
        ids: &[UnitId],
    ) -> std::result::Result<HashMap<UnitId, Unit>, Error> {
        Ok(by(store::by_ids(tx, ids).await?, |unit| unit.id))
    }
}

/// A unit of measure by its id.
pub async fn one(ctx: &Context<'_>, id: UnitId) -> Result<Option<UnitBody>> {
    ctx.reader("product.unit.read")?;
    Ok(ctx.load::<ById>(id).await?.map(UnitBody::from))
}

/// What can be asked.
#[derive(Default)]
pub struct Query;

#[Object(name = "UnitQuery")]
impl Query {
    #[graphql(entity)]
    async fn find_unit(&self, ctx: &Context<'_>, id: UnitId) -> Result<Option<UnitBody>> {
        one(ctx, id).await
    }

    /// A unit of measure.
    async fn unit(&self, ctx: &Context<'_>, id: UnitId) -> Result<Option<UnitBody>> {
        one(ctx, id).await
    }

    /// Units, by code or `name`.
    async fn units(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        sort: Option<String>,
        filter: Option<ListUnits>,
    ) -> Result<Connection<UnitBody>> {
        let paging = Paging::new(first, after, sort)?;
        let filter = filter.unwrap_or_default();
        let page = listed(ctx.state()?, ctx.caller()?, filter, &paging.query()).await?;
        Ok(paging.connection(page))
    }
}

/// What can be done.
#[derive(Default)]
pub struct Mutation;

#[Object(name = "UnitMutation")]
impl Mutation {
    /// Makes a unit of measure.
    async fn create_unit(&self, ctx: &Context<'_>, input: UnitInput) -> Result<UnitBody> {
        let command = ctx.command("product.unit.write")?;
        let draft = valid(input)?.into();
        let made = commands::create(ctx.state()?, &command, draft).await?;
        Ok(made.value.into())
    }

    /// Says a unit anew, which the caller has seen at a version.
    async fn update_unit(
        &self,
        ctx: &Context<'_>,
        id: UnitId,
        version: i64,
        input: UnitInput,
    ) -> Result<UnitBody> {
        let command = ctx.command("product.unit.write")?;
        let draft = valid(input)?.into();
        let done = commands::amend(ctx.state()?, &command, id, version, draft).await?;
        Ok(done.value.into())
    }

    /// Deletes a unit, which the caller has seen at a version, and answers its id.
    async fn delete_unit(&self, ctx: &Context<'_>, id: UnitId, version: i64) -> Result<UnitId> {
        let command = ctx.command("product.unit.write")?;
        commands::delete(ctx.state()?, &command, id, version).await?;
        Ok(id)
    }
}
