//! What sales holds of a tenant and of people.

use bahi_privacy::Holdings;

/// What is in no archive.
pub const HOLDINGS: Holdings = Holdings { left_out: &[] };
