//! Tills: where a branch sells.
//!
//! * Each numbers its invoices in a series of its own, so that tills never wait for each other. The series is unique
//!   under the registration, retired tills included, and never changes: a number is not given twice
//!   (CGST Rules, rule 46(b)). At most three characters: `P1/26-27/000001` must fit into sixteen.
//! * It sells from a location of its own branch. The code is unique in the tenant, in capitals.
//! * Who works there adds and changes it, and every change is audited.

mod commands;
pub mod graphql;
mod http;
mod model;
pub mod store;

pub use http::routes;
pub use model::Till;
