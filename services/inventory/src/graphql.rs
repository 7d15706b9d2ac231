//! This service's part of the graph: what each noun puts into it.

use async_graphql::MergedObject;
use bahi_graphql::Subgraph;

use crate::{adjustment, batch, ledger, receipt, status_change, transfer};

#[derive(MergedObject, Default)]
struct Query(
    ledger::graphql::Query,
    batch::graphql::Query,
    receipt::graphql::Query,
    adjustment::graphql::Query,
    status_change::graphql::Query,
    transfer::graphql::Query,
);

#[derive(MergedObject, Default)]
struct Mutation(
    batch::graphql::Mutation,
    receipt::graphql::Mutation,
    adjustment::graphql::Mutation,
    status_change::graphql::Mutation,
    transfer::graphql::Mutation,
);

/// The subgraph.
pub fn subgraph() -> Subgraph {
    Subgraph::new(Query::default(), Mutation::default())
}
