//! Posted documents in the graph, alike for every kind.

use std::{collections::HashMap, marker::PhantomData};

use async_graphql::{Context, OutputType};
use bahi_db::Tx;
use bahi_graphql::{Batch, Call, Connection, Paging, Result, by};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{
    http::{Filter, listed},
    store::{self, Kind},
};
use crate::{
    Error,
    costs::{Costs, shown},
};

/// A document as it is read.
pub(crate) trait Document: Costs + DeserializeOwned + Clone + Send + Sync + 'static {
    /// What it is.
    const KIND: Kind;

    /// Its id.
    fn id(&self) -> Uuid;
}

struct ById<T>(PhantomData<fn() -> T>);

impl<T: Document> Batch for ById<T> {
    type Key = Uuid;
    type Value = T;
    type Error = Error;

    async fn load(tx: &mut Tx, ids: &[Uuid]) -> std::result::Result<HashMap<Uuid, T>, Error> {
        Ok(by(store::by_ids(tx, T::KIND, ids).await?, T::id))
    }
}

/// A document by its id.
pub(crate) async fn one<T: Document>(ctx: &Context<'_>, id: Uuid) -> Result<Option<T>> {
    ctx.reader("inventory.stock.read")?;
    let (caller, found) = (ctx.caller()?, ctx.load::<ById<T>>(id).await?);
    Ok(found.map(|body| shown(caller, body)))
}

/// A part of the list, without lines.
pub(crate) async fn part<T: Document + OutputType>(
    ctx: &Context<'_>,
    paging: &Paging,
    filter: Option<Filter>,
) -> Result<Connection<T>> {
    let (state, caller, query) = (ctx.state()?, ctx.caller()?, paging.query());
    let filter = filter.unwrap_or_default();
    let page = listed::<T>(state, caller, T::KIND, filter, &query, T::id).await?;
    Ok(paging.connection(page))
}
