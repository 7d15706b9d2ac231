//! What inventory holds of a tenant: its stock, without anything that must not leave.

use bahi_privacy::Holdings;

/// What is in no archive.
pub const HOLDINGS: Holdings = Holdings { left_out: &[] };
