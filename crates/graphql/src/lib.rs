//! What every subgraph does alike: the endpoint, who calls, idempotency, lists as connections, batched reads, errors.
//!
//! A noun joins the graph by its file `graphql.rs`, which calls the same commands and reads as its `http.rs` and adds
//! no rule. Its types are the bodies of the REST answers, with what leads on to other nouns beside them.

mod batch;
mod call;
mod connection;
mod fail;
mod subgraph;

pub use batch::{Batch, Loads, by};
pub use call::Call;
pub use connection::{Connection, Edge, PageInfo, Paging};
pub use fail::{Fail, Result};
pub use subgraph::Subgraph;
