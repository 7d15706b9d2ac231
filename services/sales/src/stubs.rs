//! What other services own, as the graph refers to it: by id alone.

use async_graphql::SimpleObject;
use bahi_types::{BatchId, BranchId, LocationId, ProductId, TillId, UserId};

/// A product.
#[derive(SimpleObject)]
#[graphql(unresolvable = "id")]
pub struct Product {
    /// Id.
    pub id: ProductId,
}

/// A batch.
#[derive(SimpleObject)]
#[graphql(unresolvable = "id")]
pub struct Batch {
    /// Id.
    pub id: BatchId,
}

/// A branch.
#[derive(SimpleObject)]
#[graphql(unresolvable = "id")]
pub struct Branch {
    /// Id.
    pub id: BranchId,
}

/// A place where goods lie.
#[derive(SimpleObject)]
#[graphql(unresolvable = "id")]
pub struct Location {
    /// Id.
    pub id: LocationId,
}

/// A till.
#[derive(SimpleObject)]
#[graphql(unresolvable = "id")]
pub struct Till {
    /// Id.
    pub id: TillId,
}

/// A user.
#[derive(SimpleObject)]
#[graphql(unresolvable = "id")]
pub struct User {
    /// Id.
    pub id: UserId,
}
