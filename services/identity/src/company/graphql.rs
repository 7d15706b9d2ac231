//! The company in the graph.

use async_graphql::{Context, Object};
use bahi_db::Tx;
use bahi_graphql::{Call, Result};
use bahi_http::valid;

use super::{
    commands,
    http::{CompanyBody, CompanyInput},
    store,
};
use crate::{Error, State};

/// What can be asked.
#[derive(Default)]
pub struct Query;

#[Object(name = "CompanyQuery")]
impl Query {
    /// The company whose books these are.
    async fn company(&self, ctx: &Context<'_>) -> Result<CompanyBody> {
        let reader = ctx.reader("identity.organisation.read")?;
        let get = async |tx: &mut Tx| Ok::<_, Error>(store::get(tx).await?);
        Ok(ctx.state::<State>()?.db.read(reader, get).await?.into())
    }
}

/// What can be done.
#[derive(Default)]
pub struct Mutation;

#[Object(name = "CompanyMutation")]
impl Mutation {
    /// Changes the company's details, which the caller has seen at a version.
    async fn update_company(
        &self,
        ctx: &Context<'_>,
        version: i64,
        input: CompanyInput,
    ) -> Result<CompanyBody> {
        let command = ctx.command("identity.organisation.write")?;
        let change = valid(input)?.into();
        let done = commands::update(ctx.state()?, &command, version, change).await?;
        Ok(done.value.into())
    }
}
