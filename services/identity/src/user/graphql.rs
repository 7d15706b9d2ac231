//! Users in the graph. Their invitations and passwords are not: no token is ever handed out there.

use std::collections::HashMap;

use async_graphql::{Context, Object};
use bahi_db::Tx;
use bahi_graphql::{Batch, Call, Connection, Paging, Result, by};
use bahi_http::valid;
use bahi_types::UserId;

use super::{
    commands,
    http::{Disable, Filter, UserBody, listed},
    model::Member,
    store,
};
use crate::Error;

struct ById;

impl Batch for ById {
    type Key = UserId;
    type Value = Member;
    type Error = Error;

    async fn load(
        tx: &mut Tx,
        ids: &[UserId],
    ) -> std::result::Result<HashMap<UserId, Member>, Error> {
        Ok(by(store::by_ids(tx, ids).await?, |member| member.user.id))
    }
}

async fn one(ctx: &Context<'_>, id: UserId) -> Result<Option<UserBody>> {
    ctx.reader("identity.user.read")?;
    Ok(ctx.load::<ById>(id).await?.map(UserBody::from))
}

/// What can be asked.
#[derive(Default)]
pub struct Query;

#[Object(name = "UserQuery")]
impl Query {
    #[graphql(entity)]
    async fn find_user(&self, ctx: &Context<'_>, id: UserId) -> Result<Option<UserBody>> {
        one(ctx, id).await
    }

    /// A user.
    async fn user(&self, ctx: &Context<'_>, id: UserId) -> Result<Option<UserBody>> {
        one(ctx, id).await
    }

    /// Users, by `name`, `email` or `created_at`.
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        sort: Option<String>,
        filter: Option<Filter>,
    ) -> Result<Connection<UserBody>> {
        let paging = Paging::new(first, after, sort)?;
        let filter = filter.unwrap_or_default();
        let page = listed(ctx.state()?, ctx.caller()?, filter, &paging.query()).await?;
        Ok(paging.connection(page))
    }
}

/// What can be done.
#[derive(Default)]
pub struct Mutation;

#[Object(name = "UserMutation")]
impl Mutation {
    /// Shuts a user out.
    async fn disable_user(
        &self,
        ctx: &Context<'_>,
        id: UserId,
        #[graphql(desc = "For the audit trail.")] reason: Option<String>,
    ) -> Result<UserBody> {
        let caller = ctx.commander("identity.user.write")?;
        let Disable { reason } = valid(Disable { reason })?;
        let (state, grants) = (ctx.state()?, &caller.grants);
        let done = commands::disable(state, &caller.ctx, grants, id, reason).await?;
        Ok(done.value.into())
    }

    /// Lets a disabled user in again.
    async fn enable_user(&self, ctx: &Context<'_>, id: UserId) -> Result<UserBody> {
        let caller = ctx.commander("identity.user.write")?;
        let done = commands::enable(ctx.state()?, &caller.ctx, &caller.grants, id).await?;
        Ok(done.value.into())
    }
}
