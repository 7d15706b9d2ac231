//! Tax profiles in the graph.

use std::collections::HashMap;

use async_graphql::{Context, Object};
use bahi_db::Tx;
use bahi_graphql::{Batch, Call, Connection, Paging, Result, by};
use bahi_types::TaxProfileId;

use super::{
    http::{ListTaxProfiles, TaxProfileBody, listed},
    model::TaxProfile,
    store,
};
use crate::Error;

struct ById;

impl Batch for ById {
    type Key = TaxProfileId;
    type Value = TaxProfile;
    type Error = Error;

    async fn load(
        tx: &mut Tx,
        ids: &[TaxProfileId],
    ) -> std::result::Result<HashMap<TaxProfileId, TaxProfile>, Error> {
        Ok(by(store::by_ids(tx, ids).await?, |profile| profile.head.id))
    }
}

/// A tax profile by its id.
pub async fn one(ctx: &Context<'_>, id: TaxProfileId) -> Result<Option<TaxProfileBody>> {
    ctx.reader("product.tax_profile.read")?;
    Ok(ctx.load::<ById>(id).await?.map(TaxProfileBody::from))
}

/// What can be asked.
#[derive(Default)]
pub struct Query;

#[Object(name = "TaxProfileQuery")]
impl Query {
    #[graphql(entity)]
    async fn find_tax_profile(
        &self,
        ctx: &Context<'_>,
        id: TaxProfileId,
    ) -> Result<Option<TaxProfileBody>> {
        one(ctx, id).await
    }

    /// A tax profile.
    async fn tax_profile(
        &self,
        ctx: &Context<'_>,
        id: TaxProfileId,
    ) -> Result<Option<TaxProfileBody>> {
        one(ctx, id).await
    }

    /// Tax profiles, by name or `hsn`.
    async fn tax_profiles(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        sort: Option<String>,
        filter: Option<ListTaxProfiles>,
    ) -> Result<Connection<TaxProfileBody>> {
        let paging = Paging::new(first, after, sort)?;
        let filter = filter.unwrap_or_default();
        let page = listed(ctx.state()?, ctx.caller()?, filter, &paging.query()).await?;
        Ok(paging.connection(page))
    }
}
