//! Branches in the graph.

use std::collections::HashMap;

use async_graphql::{Context, Object};
use bahi_db::Tx;
use bahi_graphql::{Batch, Call, Connection, Paging, Result, by};
use bahi_http::valid;
use bahi_types::BranchId;

use super::{
    commands,
    http::{BranchBody, BranchChange, BranchInput, Filter, listed},
    model::Branch,
    store,
};
use crate::Error;

struct ById;

impl Batch for ById {
    type Key = BranchId;
    type Value = Branch;
    type Error = Error;

    async fn load(
        tx: &mut Tx,
        ids: &[BranchId],
    ) -> std::result::Result<HashMap<BranchId, Branch>, Error> {
        Ok(by(store::by_ids(tx, ids).await?, |branch| branch.id))
    }
}

/// A branch by its id.
pub async fn one(ctx: &Context<'_>, id: BranchId) -> Result<Option<BranchBody>> {
    ctx.reader("identity.organisation.read")?;
    Ok(ctx.load::<ById>(id).await?.map(BranchBody::from))
}

/// What can be asked.
#[derive(Default)]
pub struct Query;

#[Object(name = "BranchQuery")]
impl Query {
    #[graphql(entity)]
    async fn find_branch(&self, ctx: &Context<'_>, id: BranchId) -> Result<Option<BranchBody>> {
        one(ctx, id).await
    }

    /// A branch.
    async fn branch(&self, ctx: &Context<'_>, id: BranchId) -> Result<Option<BranchBody>> {
        one(ctx, id).await
    }

    /// Branches, by `code`, `name` or `created_at`.
    async fn branches(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        sort: Option<String>,
        filter: Option<Filter>,
    ) -> Result<Connection<BranchBody>> {
        let paging = Paging::new(first, after, sort)?;
        let filter = filter.unwrap_or_default();
        let page = listed(ctx.state()?, ctx.caller()?, filter, &paging.query()).await?;
        Ok(paging.connection(page))
    }
}

/// What can be done.
#[derive(Default)]
pub struct Mutation;

#[Object(name = "BranchMutation")]
impl Mutation {
    /// Opens a branch.
    async fn create_branch(&self, ctx: &Context<'_>, input: BranchInput) -> Result<BranchBody> {
        let command = ctx.command("identity.organisation.write")?;
        let new = valid(input)?.into();
        let made = commands::create(ctx.state()?, &command, new).await?;
        Ok(made.value.into())
    }

    /// Changes a branch, closes it or opens it again. The caller has seen it at a version.
    async fn update_branch(
        &self,
        ctx: &Context<'_>,
        id: BranchId,
        version: i64,
        input: BranchChange,
    ) -> Result<BranchBody> {
        let command = ctx.command("identity.organisation.write")?;
        let change = valid(input)?.into();
        let done = commands::update(ctx.state()?, &command, (id, version), change).await?;
        Ok(done.value.into())
    }
}
