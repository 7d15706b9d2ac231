//! Categories in the graph.

use std::collections::HashMap;

use async_graphql::{ComplexObject, Context, Object};
use bahi_db::Tx;
use bahi_graphql::{Batch, Call, Connection, Paging, Result, by};
use bahi_http::valid;
use bahi_types::CategoryId;

use super::{
    commands,
    http::{CategoryBody, CategoryInput, ListCategories, listed},
    model::Category,
    store,
};
use crate::Error;

struct ById;

impl Batch for ById {
    type Key = CategoryId;
    type Value = Category;
    type Error = Error;

    async fn load(
        tx: &mut Tx,
        ids: &[CategoryId],
    ) -> std::result::Result<HashMap<CategoryId, Category>, Error> {
        Ok(by(store::by_ids(tx, ids).await?, |category| category.id))
    }
}

/// A category by its id.
pub async fn one(ctx: &Context<'_>, id: CategoryId) -> Result<Option<CategoryBody>> {
    ctx.reader("product.category.read")?;
    Ok(ctx.load::<ById>(id).await?.map(CategoryBody::from))
}

#[ComplexObject]
impl CategoryBody {
    /// The category above.
    async fn parent(&self, ctx: &Context<'_>) -> Result<Option<CategoryBody>> {
        match self.parent_id {
            Some(id) => one(ctx, id).await,
            None => Ok(None),
        }
    }
}

/// What can be asked.
#[derive(Default)]
pub struct Query;

#[Object(name = "CategoryQuery")]
impl Query {
    #[graphql(entity)]
    async fn find_category(
        &self,
        ctx: &Context<'_>,
        id: CategoryId,
    ) -> Result<Option<CategoryBody>> {
        one(ctx, id).await
    }

    /// A category.
    async fn category(&self, ctx: &Context<'_>, id: CategoryId) -> Result<Option<CategoryBody>> {
        one(ctx, id).await
    }

    /// Categories, by name or `created_at`.
    async fn categories(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        sort: Option<String>,
        filter: Option<ListCategories>,
    ) -> Result<Connection<CategoryBody>> {
        let paging = Paging::new(first, after, sort)?;
        let filter = filter.unwrap_or_default();
        let page = listed(ctx.state()?, ctx.caller()?, filter, &paging.query()).await?;
        Ok(paging.connection(page))
    }
}

/// What can be done.
#[derive(Default)]
pub struct Mutation;

#[Object(name = "CategoryMutation")]
impl Mutation {
    /// Makes a category.
    async fn create_category(
        &self,
        ctx: &Context<'_>,
        input: CategoryInput,
    ) -> Result<CategoryBody> {
        let command = ctx.command("product.category.write")?;
        let CategoryInput { name, parent_id } = valid(input)?;
        let made = commands::create(ctx.state()?, &command, name, parent_id).await?;
        Ok(made.value.into())
    }

    /// Says a category anew, which the caller has seen at a version.
    async fn update_category(
        &self,
        ctx: &Context<'_>,
        id: CategoryId,
        version: i64,
        input: CategoryInput,
    ) -> Result<CategoryBody> {
        let command = ctx.command("product.category.write")?;
        let CategoryInput { name, parent_id } = valid(input)?;
        let done = commands::amend(ctx.state()?, &command, id, version, name, parent_id).await?;
        Ok(done.value.into())
    }

    /// Deletes a category, which the caller has seen at a version, and answers its id.
    async fn delete_category(
        &self,
        ctx: &Context<'_>,
        id: CategoryId,
        version: i64,
    ) -> Result<CategoryId> {
        let command = ctx.command("product.category.write")?;
        commands::delete(ctx.state()?, &command, id, version).await?;
        Ok(id)
    }
}
