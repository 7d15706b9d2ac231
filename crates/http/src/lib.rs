//! What every HTTP service does alike: problems, tokens, idempotency, bodies, lists, health, metrics.

mod approval;
mod body;
mod caller;
mod deadline;
mod fault;
mod health;
mod list;
mod operation;
mod problem;
mod request;
mod respond;
pub mod search;
pub mod token;
pub mod validate;

pub use approval::{APPROVAL, APPROVAL_LIFE, AUDIENCE_APPROVAL, Approval};
pub use body::{Amend, BodyLimit, Empty, Post, Public, has_nul, parse, valid};
pub use caller::{Caller, Grants};
pub use deadline::{TIME_LEFT, deadline, time_left, within};
pub use fault::{Fault, FieldError};
pub use health::{Ready, health_routes, metrics_route, metrics_text};
pub use list::{Timed, Walk, paged, paged_by_time};
pub use operation::{Needs, Operations, described, needs};
pub use problem::{Problem, Refusal, Verdict};
pub use request::{RouteTemplate, current_trace, extractor_config, not_found, observe, request_id};
pub use respond::{Versioned, accepted, created, no_content, ok, page};
pub use token::{Claims, Keys, Signer};
