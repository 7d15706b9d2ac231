//! This service's part of the graph: what each noun puts into it. Signing in, tokens and passwords stay out of it.

use async_graphql::MergedObject;
use bahi_graphql::Subgraph;

use crate::{branch, company, location, till, user};

#[derive(MergedObject, Default)]
struct Query(
    company::graphql::Query,
    branch::graphql::Query,
    location::graphql::Query,
    till::graphql::Query,
    user::graphql::Query,
);

#[derive(MergedObject, Default)]
struct Mutation(
    company::graphql::Mutation,
    branch::graphql::Mutation,
    location::graphql::Mutation,
    till::graphql::Mutation,
    user::graphql::Mutation,
);

/// The subgraph.
pub fn subgraph() -> Subgraph {
    Subgraph::new(Query::default(), Mutation::default())
}
