//! What product holds of a tenant: its catalogue, without anything that must not leave. Of people it holds ids alone, which
//! name nobody.

use bahi_privacy::Holdings;

/// What is in no archive, and what stays of a person: nothing.
pub const HOLDINGS: Holdings = Holdings {
    left_out: &[],
    erases: &[],
    keeps: &[],
};
