//! Puts the schemas of subgraphs together into a supergraph, as Apollo Federation 2 has it (the join specification,
//! v0.3), and says how two supergraphs differ for a client.
//!
//! What composes is narrower than the specification, so that every plan stays simple: an entity has the same keys
//! wherever it is, a type that is no entity belongs to one subgraph or is the same in all, and there is no
//! `@override`, `@provides`, `@interfaceObject` or `@fromContext`.

mod changes;
mod corpus;
mod merge;

pub use changes::{Change, changes};
pub use corpus::{operations, plan};
pub use merge::{Subgraph, compose, fingerprint};
