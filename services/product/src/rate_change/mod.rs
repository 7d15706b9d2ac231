//! A change of the law: one rate for many tax profiles from a day on.
//!
//! * The profiles are named, or found by the beginning of their HSN or SAC; at most [`model::MOST`] at once.
//! * All change or none. A profile that has a rate from that very day on stands in the way (`RATE_EXISTS`), unless it
//!   is the same one already. What is nil-rated, exempt or outside GST has no rate to change and is passed over.
//! * A rate that a profile has from a later day on still begins then.
//! * With `dry_run` nothing changes: the answer says what would. It counts the products of each profile and pages
//!   through them; one whose price without tax would exceed its MRP with the new tax is marked.

pub mod commands;
mod http;
pub mod model;

pub use http::routes;
