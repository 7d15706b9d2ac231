//! Reading posted documents over HTTP, alike for every kind.

use actix_web::HttpResponse;
use async_graphql::InputObject;
use bahi_db::{Done, Tx};
use bahi_http::{Caller, Fault, Problem, Versioned, ok, page};
use bahi_types::{LocationId, Page, PageQuery, ProductId};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::store::{self, Kind};
use crate::{
    Error, State,
    costs::{Costs, shown},
    ledger::{after_id, page_by_id},
};

/// Which documents.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams, InputObject)]
#[into_params(parameter_in = Query)]
#[graphql(name = "StockDocumentFilter")]
pub(crate) struct Filter {
    /// Only of this location.
    pub location: Option<LocationId>,
    /// Only those that moved goods of this product.
    pub product: Option<ProductId>,
    /// First business day they count for.
    pub from: Option<NaiveDate>,
    /// Last business day they count for.
    pub to: Option<NaiveDate>,
}

/// One page of documents of a kind.
///
/// # Errors
/// A cursor or order that is not one of these lists; the database's.
pub(crate) async fn list<T>(
    state: &State,
    caller: &Caller,
    kind: Kind,
    filter: Filter,
    query: &PageQuery,
    id: fn(&T) -> Uuid,
) -> Result<HttpResponse, Problem>
where
    T: Costs + DeserializeOwned + Serialize + Send + 'static,
{
    Ok(page(&listed(state, caller, kind, filter, query, id).await?))
}

/// A part of the list of documents of a kind.
pub(super) async fn listed<T>(
    state: &State,
    caller: &Caller,
    kind: Kind,
    filter: Filter,
    query: &PageQuery,
    id: fn(&T) -> Uuid,
) -> Result<Page<T>, Error>
where
    T: Costs + DeserializeOwned + Send + 'static,
{
    caller.require("inventory.stock.read")?;
    let after = after_id(query)?;
    let asked = query.clone();
    let (rows, total) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            store::list::<T>(tx, kind, &filter, after, &asked)
                .await
                .map_err(Error::from)
        })
        .await?;
    let page = page_by_id(rows, query, total, id);
    Ok(page.map(|body| shown(caller, body)))
}

/// A document.
///
/// # Errors
/// Not found; the database's.
pub(crate) async fn find<T>(
    state: &State,
    caller: &Caller,
    kind: Kind,
    posted: Uuid,
) -> Result<HttpResponse, Problem>
where
    T: Costs + DeserializeOwned + Serialize + Versioned + Send + 'static,
{
    caller.require("inventory.stock.read")?;
    let found = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            let found = store::find::<T>(tx, kind, posted).await?;
            found.ok_or_else(|| Error::from(Fault::NotFound))
        })
        .await?;
    Ok(ok(&Done::first(shown(caller, found))))
}
