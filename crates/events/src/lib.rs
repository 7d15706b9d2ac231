//! What services tell each other: the envelope, every event's payload with its JSON Schema, the topics.
//!
//! An event type is a constant descriptor ([`EventType`]) that binds name, topic, aggregate and payload.
//! Publishing and consuming both go through it, so a payload cannot ride under a foreign name.

mod audit;
pub mod catalogue;
mod commission;
mod crm;
mod envelope;
mod identity;
mod inventory;
mod orders;
mod pricing;
mod privacy;
mod product;
mod sales;
mod settlement;
mod topic;

pub use audit::*;
pub use commission::*;
pub use crm::*;
pub use envelope::{Actor, Envelope, EventType, Outgoing, VERSION};
pub use identity::*;
pub use inventory::*;
pub use orders::*;
pub use pricing::*;
pub use privacy::*;
pub use product::*;
pub use sales::*;
pub use settlement::*;
pub use topic::Topic;
