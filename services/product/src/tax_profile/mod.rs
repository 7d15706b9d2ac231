//! Tax profiles: an HSN or SAC, how the law treats it, and its rates by date.
//!
//! * The rates of a profile follow each other without overlap or gap, and the last one has no end.
//! * A rate is one the law knew on its first day. What is nil-rated, exempt or outside GST carries none.
//! * A rate may change at a price of one unit (footwear to 2,500 rupees, and above): before tax, after discount.
//! * A name is unique in the tenant, ignoring case; several profiles may share an HSN.
//! * HSN and category are fixed while products use the profile: goods that change their category move to another
//!   profile, so that the past keeps its own.
//! * Every change is audited and told with the whole history (`tax_rate.changed`).

pub mod commands;
pub mod graphql;
pub mod http;
pub mod model;
pub mod store;

pub use http::{TaxProfileBody, routes};
