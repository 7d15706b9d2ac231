//! Disposals: goods of a batch that may not be sold any more are thrown away.
//!
//! * Only of a batch that is blocked, recalled or expired; it is disposed of from then on, which is final.
//! * Whoever works for some branches only throws away what lies at theirs; what lies elsewhere, and its holds, stay. Before the
//!   batch has expired he does so only where nothing lies elsewhere.
//! * Everything of it that is not promised leaves as scrap, in every state, at its cost. Holds of the API and of orders
//!   lose these goods first; what tills hold was sold and leaves with its sale.
//! * The document is the source of its movements, each of which is said as `inventory.adjusted` and audited as one.

mod commands;
mod http;

pub use http::routes;
