//! Plans of commission: what sales persons earn by which sales.
//!
//! * `draft → active → ended`. A draft may say anything else, or go away; what has paid does not change (a trigger holds that):
//!   only its last day may come nearer, from today on. Other terms are another plan.
//! * A plan pays the sales whose date is within its days, of the sales persons that it names, or of all. Each plan that covers
//!   a sale pays it. Activated later than its first day, it pays the sales since then as well.
//! * A line earns by the rule that is the most specific: of its product, else of the nearest of its categories, else the one for
//!   everything. A rule of zero leaves out what it names. What no rule names earns by the slabs. In a plan with rules and
//!   without slabs, what no rule names is not in the plan; in one that has a target alone, everything is.
//! * Slabs rate the sum of a sales person's sales in a period: the parts between two limits each by their own per cent
//!   (`marginal`), or all of it by that of the highest limit reached (`whole`). Exactly the limit has reached it.
//! * A target pays its bonus while the period's base of all lines in the plan has reached it.
//! * `invoiced`: earned when the bill is issued. `collected`: as it is paid.

mod commands;
mod http;
mod model;
mod store;

pub(crate) use http::routes;
pub(crate) use model::{Amount, Basis, Mode, Period, Plan, PlanId, Rule, Slabs, Terms, share};
pub(crate) use store::in_force;
