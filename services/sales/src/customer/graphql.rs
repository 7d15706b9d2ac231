//! Customers in the graph, read only: CRM keeps them.

use std::collections::HashMap;

use async_graphql::{ComplexObject, Context, Object};
use bahi_db::Tx;
use bahi_graphql::{Batch, Call, Connection, Paging, Result, by};
use bahi_types::CustomerId;

use super::{
    http::{AccountBody, CustomerBody, CustomerFilter, listed},
    model::{Account, Customer},
    store,
};
use crate::error::Error;

struct ById;

impl Batch for ById {
    type Key = CustomerId;
    type Value = Customer;
    type Error = Error;

    async fn load(
        tx: &mut Tx,
        ids: &[CustomerId],
    ) -> std::result::Result<HashMap<CustomerId, Customer>, Error> {
        Ok(by(store::by_ids(tx, ids).await?, |c| c.customer_id))
    }
}

struct Accounts;

impl Batch for Accounts {
    type Key = CustomerId;
    type Value = Account;
    type Error = Error;

    async fn load(
        tx: &mut Tx,
        ids: &[CustomerId],
    ) -> std::result::Result<HashMap<CustomerId, Account>, Error> {
        Ok(by(store::accounts(tx, ids).await?, |a| a.customer_id))
    }
}

/// A customer by his id, where there is one.
pub(crate) async fn some(
    ctx: &Context<'_>,
    id: Option<CustomerId>,
) -> Result<Option<CustomerBody>> {
    let Some(id) = id else { return Ok(None) };
    ctx.reader("sales.customer.read")?;
    Ok(ctx.load::<ById>(id).await?.map(CustomerBody::from))
}

#[ComplexObject]
impl CustomerBody {
    /// What he owes and may owe.
    async fn account(&self, ctx: &Context<'_>) -> Result<Option<AccountBody>> {
        ctx.reader("sales.customer.read")?;
        let found = ctx.load::<Accounts>(self.customer_id).await?;
        Ok(found.map(AccountBody::from))
    }
}

/// What can be asked.
#[derive(Default)]
pub struct Query;

#[Object(name = "CustomerQuery")]
impl Query {
    #[graphql(entity)]
    async fn find_customer(
        &self,
        ctx: &Context<'_>,
        id: CustomerId,
    ) -> Result<Option<CustomerBody>> {
        some(ctx, Some(id)).await
    }

    /// A customer, as CRM last told; a deleted one too.
    async fn customer(&self, ctx: &Context<'_>, id: CustomerId) -> Result<Option<CustomerBody>> {
        some(ctx, Some(id)).await
    }

    /// Customers by name, as CRM last told.
    async fn customers(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        filter: Option<CustomerFilter>,
    ) -> Result<Connection<CustomerBody>> {
        let paging = Paging::new(first, after, None)?;
        let filter = filter.unwrap_or_default();
        let page = listed(ctx.state()?, ctx.caller()?, &filter, &paging.query()).await?;
        Ok(paging.connection(page))
    }
}
