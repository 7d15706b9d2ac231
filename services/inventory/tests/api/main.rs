//! The behaviour of the inventory service, on a real database: what sales asks over gRPC, what people do over HTTP,
//! and what is heard.

mod adjusting;
mod contract;
mod costs;
mod holding;
mod issuing;
mod random;
mod receiving;
mod reserving;
mod support;
mod sweeping;
mod taking_back;
