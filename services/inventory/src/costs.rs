//! What goods cost, and who is told.
//!
//! * Whoever may see stock sees how much there is and what moved. What it cost is for `inventory.valuation.read`: a value
//!   beside a quantity is a cost price.
//! * A body that tells it has its costs as options, and null in their place for everybody else, in REST and in the graph
//!   alike. Events, other services and the audit trail have them always.

use bahi_http::Caller;

/// A body that tells what goods cost.
pub(crate) trait Costs {
    /// Takes out whatever tells it.
    fn hide_costs(&mut self);
}

/// Whether a caller may see what goods cost.
pub(crate) fn seen_by(caller: &Caller) -> bool {
    caller.grants.allow("inventory.valuation.read")
}

/// A body as a caller may see it.
pub(crate) fn shown<T: Costs>(caller: &Caller, mut body: T) -> T {
    if !seen_by(caller) {
        body.hide_costs();
    }
    body
}
