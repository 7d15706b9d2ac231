//! Tills in the graph.

use std::collections::HashMap;

use async_graphql::{ComplexObject, Context, Object};
use bahi_db::Tx;
use bahi_graphql::{Batch, Call, Connection, Paging, Result, by};
use bahi_http::valid;
use bahi_types::TillId;

use super::{
    commands,
    http::{Filter, TillBody, TillChange, TillInput, listed},
    model::Till,
    store,
};
use crate::{
    Error,
    branch::{self, BranchBody},
    location::{self, LocationBody},
};

struct ById;

impl Batch for ById {
    type Key = TillId;
    type Value = Till;
    type Error = Error;

    async fn load(
        tx: &mut Tx,
        ids: &[TillId],
    ) -> std::result::Result<HashMap<TillId, Till>, Error> {
        Ok(by(store::by_ids(tx, ids).await?, |till| till.id))
    }
}

/// A till by its id.
pub async fn one(ctx: &Context<'_>, id: TillId) -> Result<Option<TillBody>> {
    ctx.reader("identity.organisation.read")?;
    Ok(ctx.load::<ById>(id).await?.map(TillBody::from))
}

#[ComplexObject]
impl TillBody {
    /// The branch it stands in.
    async fn branch(&self, ctx: &Context<'_>) -> Result<Option<BranchBody>> {
        branch::graphql::one(ctx, self.branch_id).await
    }

    /// Where its sales take stock from.
    async fn location(&self, ctx: &Context<'_>) -> Result<Option<LocationBody>> {
        location::graphql::one(ctx, self.location_id).await
    }
}

/// What can be asked.
#[derive(Default)]
pub struct Query;

#[Object(name = "TillQuery")]
impl Query {
    #[graphql(entity)]
    async fn find_till(&self, ctx: &Context<'_>, id: TillId) -> Result<Option<TillBody>> {
        one(ctx, id).await
    }

    /// A till.
    async fn till(&self, ctx: &Context<'_>, id: TillId) -> Result<Option<TillBody>> {
        one(ctx, id).await
    }

    /// Tills, by `code`, `name` or `created_at`.
    async fn tills(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        sort: Option<String>,
        filter: Option<Filter>,
    ) -> Result<Connection<TillBody>> {
        let paging = Paging::new(first, after, sort)?;
        let filter = filter.unwrap_or_default();
        let page = listed(ctx.state()?, ctx.caller()?, filter, &paging.query()).await?;
        Ok(paging.connection(page))
    }
}

/// What can be done.
#[derive(Default)]
pub struct Mutation;

#[Object(name = "TillMutation")]
impl Mutation {
    /// Adds a till.
    async fn create_till(&self, ctx: &Context<'_>, input: TillInput) -> Result<TillBody> {
        let command = ctx.command("identity.organisation.write")?;
        let new = valid(input)?.try_into()?;
        let made = commands::create(ctx.state()?, &command, new).await?;
        Ok(made.value.into())
    }

    /// Changes a till, retires it or brings it back. The caller has seen it at a version.
    async fn update_till(
        &self,
        ctx: &Context<'_>,
        id: TillId,
        version: i64,
        input: TillChange,
    ) -> Result<TillBody> {
        let command = ctx.command("identity.organisation.write")?;
        let change = valid(input)?.into();
        let done = commands::update(ctx.state()?, &command, (id, version), change).await?;
        Ok(done.value.into())
    }
}
