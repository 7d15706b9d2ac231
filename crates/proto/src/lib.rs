//! gRPC contracts between services: generated code, the ids and hashes both sides compute, and who may call.

pub mod auth;
mod hold;

pub use hold::{demand_hash, reservation_id};

/// What inventory answers.
pub mod inventory {
    /// Version 1.
    #[allow(missing_docs, clippy::all)] // Generated; the comments are in the .proto files.
    pub mod v1 {
        tonic::include_proto!("bahi.inventory.v1");
    }
}

/// What sales answers.
pub mod sales {
    /// Version 1.
    #[allow(missing_docs, clippy::all)] // Generated; the comments are in the .proto files.
    pub mod v1 {
        tonic::include_proto!("bahi.sales.v1");
    }
}
