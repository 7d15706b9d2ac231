//! Products in the graph.

use std::{collections::HashMap, sync::Arc};

use async_graphql::{ComplexObject, Context, Object};
use bahi_db::Tx;
use bahi_graphql::{Batch, Call, Connection, Paging, Result, by};
use bahi_http::valid;
use bahi_types::ProductId;

use super::{
    commands,
    http::{ListProducts, ProductBody, ProductInput, listed},
    model::{Draft, Product, Status},
    store,
};
use crate::{
    Error, brand, brand::BrandBody, category, category::CategoryBody, kit::model::Component,
    tax_profile, tax_profile::TaxProfileBody, unit, unit::UnitBody,
};

struct ById;

impl Batch for ById {
    type Key = ProductId;
    type Value = Product;
    type Error = Error;

    async fn load(
        tx: &mut Tx,
        ids: &[ProductId],
    ) -> std::result::Result<HashMap<ProductId, Product>, Error> {
        Ok(by(store::by_ids(tx, ids).await?, |product| product.id))
    }
}

/// A product by its id.
pub async fn one(ctx: &Context<'_>, id: ProductId) -> Result<Option<ProductBody>> {
    ctx.reader("product.product.read")?;
    Ok(ctx.load::<ById>(id).await?.map(ProductBody::from))
}

#[ComplexObject]
impl ProductBody {
    /// Its category.
    async fn category(&self, ctx: &Context<'_>) -> Result<Option<CategoryBody>> {
        match self.category_id {
            Some(id) => category::graphql::one(ctx, id).await,
            None => Ok(None),
        }
    }

    /// Its brand.
    async fn brand(&self, ctx: &Context<'_>) -> Result<Option<BrandBody>> {
        match self.brand_id {
            Some(id) => brand::graphql::one(ctx, id).await,
            None => Ok(None),
        }
    }

    /// The unit in which stock is kept.
    async fn unit(&self, ctx: &Context<'_>) -> Result<Option<UnitBody>> {
        unit::graphql::one(ctx, self.unit_id).await
    }

    /// How it is taxed.
    async fn tax_profile(&self, ctx: &Context<'_>) -> Result<Option<TaxProfileBody>> {
        tax_profile::graphql::one(ctx, self.tax_profile_id).await
    }

    /// The template that it is a variant of.
    async fn parent(&self, ctx: &Context<'_>) -> Result<Option<ProductBody>> {
        match self.variant_of {
            Some(id) => one(ctx, id).await,
            None => Ok(None),
        }
    }
}

#[ComplexObject]
impl Component {
    /// The goods.
    async fn product(&self, ctx: &Context<'_>) -> Result<Option<ProductBody>> {
        one(ctx, self.product_id).await
    }
}

/// What can be asked.
#[derive(Default)]
pub struct Query;

#[Object(name = "ProductQuery")]
impl Query {
    #[graphql(entity)]
    async fn find_product(&self, ctx: &Context<'_>, id: ProductId) -> Result<Option<ProductBody>> {
        one(ctx, id).await
    }

    /// A product.
    async fn product(&self, ctx: &Context<'_>, id: ProductId) -> Result<Option<ProductBody>> {
        one(ctx, id).await
    }

    /// Products, by `name`, `sku`, `price`, `created_at` or `updated_at`. Those found by `q` come the best first unless
    /// `sort` is said, and only then do they continue after a cursor.
    async fn products(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        sort: Option<String>,
        filter: Option<ListProducts>,
    ) -> Result<Connection<ProductBody>> {
        let paging = Paging::new(first, after, sort)?;
        let filter = filter.unwrap_or_default();
        let page = listed(ctx.state()?, ctx.caller()?, filter, &paging.query()).await?;
        Ok(paging.connection(page))
    }
}

/// What can be done.
#[derive(Default)]
pub struct Mutation;

#[Object(name = "ProductMutation")]
impl Mutation {
    /// Makes a product.
    async fn create_product(&self, ctx: &Context<'_>, input: ProductInput) -> Result<ProductBody> {
        let command = ctx.command("product.product.write")?;
        let made = commands::create(ctx.state()?, &command, valid(input)?.into()).await?;
        Ok(made.value.into())
    }

    /// Says a product anew, which the caller has seen at a version.
    async fn update_product(
        &self,
        ctx: &Context<'_>,
        id: ProductId,
        version: i64,
        input: ProductInput,
    ) -> Result<ProductBody> {
        let command = ctx.command("product.product.write")?;
        let draft = Arc::new(Draft::from(valid(input)?));
        let said = move |_: &Product| Ok((*draft).clone());
        let done = commands::amend(ctx.state()?, &command, id, version, said).await?;
        Ok(done.value.into())
    }

    /// Deletes a product of which no stock has moved, and answers its id.
    async fn delete_product(
        &self,
        ctx: &Context<'_>,
        id: ProductId,
        version: i64,
    ) -> Result<ProductId> {
        let command = ctx.command("product.product.write")?;
        commands::delete(ctx.state()?, &command, id, version).await?;
        Ok(id)
    }

    /// Puts a draft or an archived product on sale.
    async fn activate_product(&self, ctx: &Context<'_>, id: ProductId) -> Result<ProductBody> {
        step(ctx, id, Status::Active).await
    }

    /// Ends the buying of an active product; what is left is sold.
    async fn discontinue_product(&self, ctx: &Context<'_>, id: ProductId) -> Result<ProductBody> {
        step(ctx, id, Status::Discontinued).await
    }

    /// Takes a product of which there is no stock out of the assortment.
    async fn archive_product(&self, ctx: &Context<'_>, id: ProductId) -> Result<ProductBody> {
        step(ctx, id, Status::Archived).await
    }
}

async fn step(ctx: &Context<'_>, id: ProductId, to: Status) -> Result<ProductBody> {
    let command = ctx.command("product.product.write")?;
    Ok(commands::step(ctx.state()?, &command, id, to)
        .await?
        .value
        .into())
}
