//! Counts: what lies there, against what the books say.
//!
//! * `open -> counting -> submitted -> approved -> posted`; submitted ones can be counted again, and those that are not
//!   submitted called off. Whoever counts does not see what the books say until he has submitted.
//! * The shop sells on. Goods may be gone while the event that says so is still on its way, so each look keeps a fence:
//!   what the books said then (on hand less what is owed), and a snapshot of sales' database taken right after. What
//!   is visible in it happened before the look, whenever it is heard. `variance = counted - (book at the look + later
//!   movements of events visible in the snapshot)`.
//! * A count is posted when every event visible in its snapshots is in the topics and has been heard here; records in
//!   quarantine have not. When sales was restored since, the looks are worth nothing and the count goes back.
//! * An offline sale from before a look that is told after it counts as visible; when the count is posted already, a
//!   `count_correction` puts its goods back first, because the count has taken them.
//! * Counts may overlap. What an earlier look has put right since counts as in the books at the later look; where the later
//!   look is posted first, the earlier one finds nothing more.
//! * A loss takes at most what is on hand and breaks promises as an adjustment does. A gain needs a cost.
//! * Beyond a value a count is approved by somebody who did not count it. Where the variance that is posted exceeds
//!   what the approver may approve, because events came in between, the count goes back to `submitted`.

mod commands;
mod http;
mod model;
pub(crate) mod store;

pub use commands::post_approved;
pub use http::routes;
pub use model::{Count, CountLine};
