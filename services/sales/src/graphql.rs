//! This service's part of the graph: what each noun puts into it.

use async_graphql::MergedObject;
use bahi_graphql::Subgraph;

use crate::{cancellation, customer, invoice, order, returns};

#[derive(MergedObject, Default)]
struct Query(
    invoice::graphql::Query,
    order::graphql::Query,
    returns::graphql::Query,
    customer::graphql::Query,
);

#[derive(MergedObject, Default)]
struct Mutation(
    cancellation::graphql::Mutation,
    order::graphql::Mutation,
    returns::graphql::Mutation,
);

/// The subgraph.
pub fn subgraph() -> Subgraph {
    Subgraph::new(Query::default(), Mutation::default())
}
