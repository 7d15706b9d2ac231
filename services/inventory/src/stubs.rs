//! What other services own, as the graph refers to it: by id alone.

use async_graphql::SimpleObject;
use bahi_types::{LocationId, ProductId};

/// A product, with what is known of its stock.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct Product {
    /// Id.
    pub id: ProductId,
}

/// A place where goods lie.
#[derive(SimpleObject)]
#[graphql(unresolvable = "id")]
pub struct Location {
    /// Id.
    pub id: LocationId,
}
