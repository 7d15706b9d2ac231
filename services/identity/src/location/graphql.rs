//! Locations in the graph.

use std::collections::HashMap;

use async_graphql::{ComplexObject, Context, Object};
use bahi_db::Tx;
use bahi_graphql::{Batch, Call, Connection, Paging, Result, by};
use bahi_http::valid;
use bahi_types::LocationId;

use super::{
    commands,
    http::{Filter, LocationBody, LocationChange, LocationInput, listed},
    model::Location,
    store,
};
use crate::{
    Error,
    branch::{self, BranchBody},
};

struct ById;

impl Batch for ById {
    type Key = LocationId;
    type Value = Location;
    type Error = Error;

    async fn load(
        tx: &mut Tx,
        ids: &[LocationId],
    ) -> std::result::Result<HashMap<LocationId, Location>, Error> {
        Ok(by(store::by_ids(tx, ids).await?, |location| location.id))
    }
}

/// A location by its id.
pub async fn one(ctx: &Context<'_>, id: LocationId) -> Result<Option<LocationBody>> {
    ctx.reader("identity.organisation.read")?;
    Ok(ctx.load::<ById>(id).await?.map(LocationBody::from))
}

#[ComplexObject]
impl LocationBody {
    /// The branch it belongs to.
    async fn branch(&self, ctx: &Context<'_>) -> Result<Option<BranchBody>> {
        branch::graphql::one(ctx, self.branch_id).await
    }
}

/// What can be asked.
#[derive(Default)]
pub struct Query;

#[Object(name = "LocationQuery")]
impl Query {
    #[graphql(entity)]
    async fn find_location(
        &self,
        ctx: &Context<'_>,
        id: LocationId,
    ) -> Result<Option<LocationBody>> {
        one(ctx, id).await
    }

    /// A location.
    async fn location(&self, ctx: &Context<'_>, id: LocationId) -> Result<Option<LocationBody>> {
        one(ctx, id).await
    }

    /// Locations, by `code`, `name` or `created_at`.
    async fn locations(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        sort: Option<String>,
        filter: Option<Filter>,
    ) -> Result<Connection<LocationBody>> {
        let paging = Paging::new(first, after, sort)?;
        let filter = filter.unwrap_or_default();
        let page = listed(ctx.state()?, ctx.caller()?, filter, &paging.query()).await?;
        Ok(paging.connection(page))
    }
}

/// What can be done.
#[derive(Default)]
pub struct Mutation;

#[Object(name = "LocationMutation")]
impl Mutation {
    /// Adds a location.
    async fn create_location(
        &self,
        ctx: &Context<'_>,
        input: LocationInput,
    ) -> Result<LocationBody> {
        let command = ctx.command("identity.organisation.write")?;
        let new = valid(input)?.into();
        let made = commands::create(ctx.state()?, &command, new).await?;
        Ok(made.value.into())
    }

    /// Changes a location, closes it or opens it again. The caller has seen it at a version.
    async fn update_location(
        &self,
        ctx: &Context<'_>,
        id: LocationId,
        version: i64,
        input: LocationChange,
    ) -> Result<LocationBody> {
        let command = ctx.command("identity.organisation.write")?;
        let change = valid(input)?.into();
        let done = commands::update(ctx.state()?, &command, (id, version), change).await?;
        Ok(done.value.into())
    }
}
