//! Stock in the graph: balances, movements, and what a product has of both.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_graphql::{ComplexObject, Context, Object};
use bahi_db::Tx;
use bahi_graphql::{Batch, Call, Connection, Paging, Result};
use bahi_types::{BatchId, Id, LocationId, ProductId, Quantity};

use super::{
    http::{self, LedgerFilter, StockFilter},
    levels,
    model::{NO_BATCH, Status},
    query::{self, Entry},
};
pub(crate) use super::{levels::Of, query::Stock};
use crate::{
    Error,
    batch::{
        self,
        http::{BatchBody, BatchFilter},
    },
    kit,
    stubs::{Location, Product},
};

struct Levels;

impl Batch for Levels {
    type Key = Of;
    type Value = Vec<Stock>;
    type Error = Error;

    async fn load(
        tx: &mut Tx,
        asked: &[Of],
    ) -> std::result::Result<HashMap<Of, Vec<Stock>>, Error> {
        Ok(levels::levels(tx, asked).await?)
    }
}

/// Balances.
pub async fn levels_of(ctx: &Context<'_>, of: Of) -> Result<Vec<Stock>> {
    ctx.reader("inventory.stock.read")?;
    Ok(ctx.load::<Levels>(of).await?.unwrap_or_default())
}

/// What may be promised of products, at a location or anywhere. Of a kit nothing is known but at a location.
struct Promisable;

impl Batch for Promisable {
    type Key = (ProductId, Option<LocationId>);
    type Value = Quantity;
    type Error = Error;

    async fn load(
        tx: &mut Tx,
        asked: &[Self::Key],
    ) -> std::result::Result<HashMap<Self::Key, Quantity>, Error> {
        let mut places: BTreeMap<Option<LocationId>, BTreeSet<ProductId>> = BTreeMap::new();
        for (product, location) in asked {
            places.entry(*location).or_default().insert(*product);
        }
        let mut found = HashMap::new();
        for (place, products) in places {
            let products: Vec<ProductId> = products.into_iter().collect();
            if let Some(location) = place {
                let (sums, _, _) = query::with_kits(tx, location, &products).await?;
                found.extend(sums.iter().map(|s| ((s.product_id, place), s.available)));
            } else {
                let kits = kit::store::kits(tx, &products).await?;
                let sums = query::summary(tx, &products).await?;
                let goods = sums
                    .iter()
                    .filter(|s| kits.components(s.product_id).is_none());
                found.extend(goods.map(|s| ((s.product_id, place), s.available)));
            }
        }
        Ok(found)
    }
}

#[ComplexObject]
impl Product {
    /// What there is of it, at one location or everywhere.
    async fn stock(&self, ctx: &Context<'_>, location: Option<LocationId>) -> Result<Vec<Stock>> {
        let of = Of {
            product: self.id,
            location,
            batch: None,
            status: None,
        };
        levels_of(ctx, of).await
    }

    /// How much of it may be promised, at one location or all together. Of a kit: how many whole ones its components
    /// make at a location; null when none is named.
    async fn available(
        &self,
        ctx: &Context<'_>,
        location: Option<LocationId>,
    ) -> Result<Option<Quantity>> {
        ctx.reader("inventory.stock.read")?;
        ctx.load::<Promisable>((self.id, location)).await
    }

    /// Its batches, in the order they came first.
    async fn batches(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        filter: Option<BatchFilter>,
    ) -> Result<Connection<BatchBody>> {
        let paging = Paging::new(first, after, None)?;
        batch::graphql::of_product(ctx, self.id, filter.unwrap_or_default(), &paging).await
    }
}

#[ComplexObject]
impl Stock {
    /// The product.
    async fn product(&self) -> Product {
        Product {
            id: self.product_id,
        }
    }

    /// Where it lies, or is on its way to.
    async fn location(&self) -> Location {
        Location {
            id: self.location_id,
        }
    }

    /// Batch; null for stock without batches.
    async fn batch(&self, ctx: &Context<'_>) -> Result<Option<BatchBody>> {
        batch::graphql::some(ctx, self.batch_id).await
    }
}

#[ComplexObject]
impl Entry {
    /// Document.
    async fn source_id(&self) -> Id<Entry> {
        self.source_id.into()
    }

    /// The product.
    async fn product(&self) -> Product {
        Product {
            id: self.product_id,
        }
    }

    /// Where.
    async fn location(&self) -> Location {
        Location {
            id: self.location_id,
        }
    }

    /// Batch; null for stock without batches.
    async fn batch(&self, ctx: &Context<'_>) -> Result<Option<BatchBody>> {
        batch::graphql::some(ctx, self.batch_id).await
    }
}

/// What can be asked.
#[derive(Default)]
pub struct Query;

#[Object(name = "StockQuery")]
impl Query {
    #[graphql(entity)]
    async fn find_product(&self, id: ProductId) -> Product {
        Product { id }
    }

    #[graphql(entity)]
    async fn find_stock_level(
        &self,
        ctx: &Context<'_>,
        product_id: ProductId,
        location_id: LocationId,
        batch_id: Option<BatchId>,
        status: Status,
    ) -> Result<Option<Stock>> {
        let of = Of {
            product: product_id,
            location: Some(location_id),
            batch: Some(batch_id.unwrap_or(NO_BATCH)),
            status: Some(status),
        };
        Ok(levels_of(ctx, of).await?.pop())
    }

    /// Balances, by product, location and batch.
    async fn stock_levels(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        filter: Option<StockFilter>,
    ) -> Result<Connection<Stock>> {
        let paging = Paging::new(first, after, None)?;
        let filter = filter.unwrap_or_default();
        let page = http::levels(ctx.state()?, ctx.caller()?, filter, &paging.query()).await?;
        Ok(paging.connection(page))
    }

    /// Movements, in the order they were posted.
    async fn stock_movements(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        filter: Option<LedgerFilter>,
    ) -> Result<Connection<Entry>> {
        let paging = Paging::new(first, after, None)?;
        let filter = filter.unwrap_or_default();
        let page = http::movements(ctx.state()?, ctx.caller()?, filter, &paging.query()).await?;
        Ok(paging.connection(page))
    }
}
