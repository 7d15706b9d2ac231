//! This service's part of the graph: what each noun puts into it.

use async_graphql::MergedObject;
use bahi_graphql::Subgraph;

use crate::{brand, category, product, tax_profile, unit};

#[derive(MergedObject, Default)]
struct Query(
    product::graphql::Query,
    category::graphql::Query,
    brand::graphql::Query,
    unit::graphql::Query,
    tax_profile::graphql::Query,
);

#[derive(MergedObject, Default)]
struct Mutation(
    product::graphql::Mutation,
    category::graphql::Mutation,
    brand::graphql::Mutation,
    unit::graphql::Mutation,
);

/// The subgraph.
pub fn subgraph() -> Subgraph {
    Subgraph::new(Query::default(), Mutation::default())
}
